#include "tests/support/qartod_vectors.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <stdexcept>
#include <utility>

#include <nlohmann/json.hpp>

#include "firmware/detect/quality.hpp"

namespace hamlet::support {
namespace {

using namespace hamlet::detect;
using nlohmann::json;

struct Sample {
  MonoTime at;
  std::optional<double> x;
};
using Samples = std::vector<Sample>;
using FlagList = std::vector<Flag>;

Millis seconds_of(const json& seconds) {
  return Millis{std::llround(seconds.get<double>() * 1000)};
}

Samples samples_of(const json& vector) {
  Samples out;
  for (std::size_t i = 0; i < vector.at("t").size(); ++i) {
    const auto& x = vector.at("x").at(i);
    out.push_back({MonoTime{seconds_of(vector["t"][i])}, x.is_null() ? std::nullopt : std::optional{x.get<double>()}});
  }
  return out;
}

// What is null is not given.
bool given(const json& args, const char* key) {
  return args.contains(key) && !args[key].is_null();
}

std::optional<Span> span_of(const json& args, const char* key) {
  if (!given(args, key)) return {};
  const auto a = args[key].at(0).get<double>();
  const auto b = args[key].at(1).get<double>();
  return Span{std::min(a, b), std::max(a, b)};
}

double limit_of(const json& args, const char* key) {
  return args.contains(key) && args[key].is_number() ? args[key].get<double>() : 0;
}

FlagList each(const Samples& samples, const std::function<Flag(const Sample&)>& check) {
  FlagList out;
  for (const auto& sample : samples) out.push_back(check(sample));
  return out;
}

FlagList run_gross_range(const json& args, const Samples& samples) {
  const auto fail = span_of(args, "fail_span");
  const auto suspect = span_of(args, "suspect_span");
  return each(samples, [&](const Sample& sample) { return gross_range(sample.x, fail, suspect); });
}

FlagList run_climatology(const json& args, const Samples& samples) {
  const std::vector<ClimatologyMember> members{
      {.suspect = span_of(args, "vspan").value(), .range = span_of(args, "fspan")}};
  return each(samples, [&](const Sample& sample) { return climatology(sample.x, members, LocalTime{}); });
}

FlagList run_spike(const json& args, const Samples& samples) {
  const SpikeRule rule{.method = args.value("method", "average") == "differential" ? SpikeRule::Method::differential
                                                                                   : SpikeRule::Method::average,
                       .suspect = limit_of(args, "suspect_threshold"),
                       .fail = limit_of(args, "fail_threshold")};
  FlagList out;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const auto beside = [&](std::size_t j) { return j < samples.size() ? samples[j].x : std::nullopt; };
    out.push_back(spike(rule, beside(i - 1), samples[i].x, beside(i + 1)));
  }
  return out;
}

FlagList run_rate_of_change(const json& args, const Samples& samples) {
  const auto per_second = args.at("threshold_per_s").get<double>();
  Sample last{};
  return each(samples, [&](const Sample& sample) {
    const auto before = std::exchange(last, sample);
    return rate_of_change(per_second, sample.at - before.at, before.x, sample.x);
  });
}

FlagList run_flat_line(const json& args, const Samples& samples) {
  if (samples.size() < 3) return FlagList(samples.size(), Flag::good);
  const FlatLineRule rule{.tolerance = args.at("tolerance").get<double>(),
                          .suspect = seconds_of(args.at("suspect_threshold_s")),
                          .fail = seconds_of(args.at("fail_threshold_s")),
                          .every = seconds_of(args.at("dt_s"))};
  FlatLine test;
  return each(samples, [&](const Sample& sample) { return test.check(rule, sample.at, sample.x); });
}

// Whole seconds, as the reference takes it; 0 where there is none.
double median_interval(const Samples& samples) {
  std::vector<double> steps;
  for (std::size_t i = 1; i < samples.size(); ++i) {
    steps.push_back(static_cast<double>((samples[i].at - samples[i - 1].at).count()) / 1000);
  }
  if (steps.empty()) return 0;
  std::sort(steps.begin(), steps.end());
  return std::floor((steps[(steps.size() - 1) / 2] + steps[steps.size() / 2]) / 2);
}

FlagList run_attenuated_signal(const json& args, const Samples& samples) {
  AttenuatedRule rule{
      .check = args.value("check_type", "std") == "range" ? AttenuatedRule::Check::range : AttenuatedRule::Check::std,
      .suspect = args.at("suspect_threshold").get<double>(),
      .fail = args.at("fail_threshold").get<double>()};
  if (given(args, "test_period_s")) rule.window = seconds_of(args["test_period_s"]);
  if (given(args, "min_obs")) {
    rule.min_samples = args["min_obs"].get<int>();
  } else if (const auto interval = median_interval(samples); given(args, "min_period_s") && interval > 0) {
    rule.min_samples = static_cast<int>(args["min_period_s"].get<double>() / interval);
  }
  AttenuatedSignal test;
  auto out = each(samples, [&](const Sample& sample) { return test.check(rule, sample.at, sample.x); });
  if (rule.window) return out;
  const auto last = std::find_if(out.rbegin(), out.rend(), [](Flag flag) { return flag != Flag::missing; });
  if (last != out.rend())
    std::replace_if(
        out.begin(), out.end(), [](Flag flag) { return flag != Flag::missing; }, Flag{*last});
  return out;
}

FlagList run_time_gap(const json& args, const Samples& samples) {
  const auto span = seconds_of(args.at("fail_span_s"));
  FlagList out(samples.size(), Flag::good);
  for (std::size_t i = 1; i < samples.size(); ++i) out[i] = time_gap(samples[i].at - samples[i - 1].at, span);
  if (out.size() > 1) out[0] = out[1];
  return out;
}

FlagList run_aggregate(const json& vector) {
  const auto inputs = vector.at("inputs").get<std::vector<std::vector<int>>>();
  FlagList out;
  for (std::size_t i = 0; !inputs.empty() && i < inputs[0].size(); ++i) {
    FlagList column;
    for (const auto& input : inputs) column.push_back(static_cast<Flag>(input.at(i)));
    out.push_back(aggregate(column));
  }
  return out;
}

}  // namespace

std::vector<int> qartod_flags(const json& vector) {
  using Run = FlagList (*)(const json&, const Samples&);
  static const std::map<std::string, Run> kRuns{{"gross_range", run_gross_range},
                                                {"climatology", run_climatology},
                                                {"spike", run_spike},
                                                {"spike_differential", run_spike},
                                                {"rate_of_change", run_rate_of_change},
                                                {"flat_line", run_flat_line},
                                                {"time_gap", run_time_gap},
                                                {"attenuated_signal", run_attenuated_signal}};
  const auto name = vector.at("test").get<std::string>();
  FlagList flags;
  if (name == "aggregate") {
    flags = run_aggregate(vector);
  } else if (const auto run = kRuns.find(name); run != kRuns.end()) {
    flags = run->second(vector.at("args"), samples_of(vector));
  } else {
    throw std::invalid_argument("no test is called '" + name + "'");
  }
  std::vector<int> out;
  for (const auto flag : flags) out.push_back(static_cast<int>(flag));
  return out;
}

}  // namespace hamlet::support
