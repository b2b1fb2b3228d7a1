// Vectors made with the public reference implementation of IOOS QARTOD, where they are present.
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "firmware/detect/quality.hpp"

using namespace hamlet;
using namespace hamlet::detect;
using nlohmann::json;

namespace {

struct Sample {
  MonoTime at;
  std::optional<double> x;
};

std::vector<Sample> samples_of(const json& vector) {
  std::vector<Sample> out;
  for (std::size_t i = 0; i < vector["t"].size(); ++i) {
    const auto& x = vector["x"][i];
    out.push_back({mono_from_ms(std::llround(vector["t"][i].get<double>() * 1000)),
                   x.is_null() ? std::nullopt : std::optional{x.get<double>()}});
  }
  return out;
}

Millis seconds_of(const json& seconds) {
  return Millis{std::llround(seconds.get<double>() * 1000)};
}

std::vector<Flag> run_gross_range(const json& args, const std::vector<Sample>& samples) {
  const auto span = [&](const char* key) { return Span{args[key][0].get<double>(), args[key][1].get<double>()}; };
  std::vector<Flag> out;
  for (const auto& sample : samples) out.push_back(gross_range(sample.x, span("fail_span"), span("suspect_span")));
  return out;
}

std::vector<Flag> run_rate_of_change(const json& args, const std::vector<Sample>& samples) {
  RateOfChange test{args["threshold_per_s"].get<double>()};
  std::vector<Flag> out;
  for (const auto& sample : samples) out.push_back(test.check(sample.at, sample.x));
  return out;
}

std::vector<Flag> run_flat_line(const json& args, const std::vector<Sample>& samples) {
  FlatLine test{{.tolerance = args["tolerance"].get<double>(),
                 .suspect = seconds_of(args["suspect_threshold_s"]),
                 .fail = seconds_of(args["fail_threshold_s"]),
                 .every = seconds_of(args["dt_s"])}};
  std::vector<Flag> out;
  for (const auto& sample : samples) out.push_back(test.check(sample.at, sample.x));
  return out;
}

std::vector<Flag> run_time_gap(const json& args, const std::vector<Sample>& samples) {
  std::vector<Flag> out(samples.size(), Flag::good);
  for (std::size_t i = 1; i < samples.size(); ++i) {
    out[i] = time_gap(samples[i].at - samples[i - 1].at, seconds_of(args["fail_span_s"]));
  }
  if (out.size() > 1) out[0] = out[1];  // the reference sees all samples at once
  return out;
}

}  // namespace

TEST_CASE("the tests give the flags of QARTOD's reference implementation") {
  using Run = std::vector<Flag> (*)(const json&, const std::vector<Sample>&);
  const std::map<std::string, Run> runs{{"gross_range", run_gross_range},
                                        {"rate_of_change", run_rate_of_change},
                                        {"flat_line", run_flat_line},
                                        {"time_gap", run_time_gap}};
  const char* data = std::getenv("HAMLET_TEST_DATA");
  std::ifstream file{std::string{data != nullptr ? data : "."} + "/series/qartod/vectors.json"};
  if (!file) {
    MESSAGE("skipped: there is no series/qartod/vectors.json in HAMLET_TEST_DATA");
    return;
  }
  const auto vectors = json::parse(file);
  std::map<std::string, int> done;
  for (std::size_t i = 0; i < vectors.size(); ++i) {
    const auto& vector = vectors[i];
    const auto run = runs.find(vector["test"].get<std::string>());
    if (run == runs.end()) continue;
    std::vector<int> flags;
    for (const auto flag : run->second(vector["args"], samples_of(vector))) flags.push_back(static_cast<int>(flag));
    CAPTURE(i);
    CAPTURE(vector.dump());
    CHECK(json(flags) == vector["flags"]);
    ++done[run->first];
  }
  for (const auto& [name, run] : runs) {
    CAPTURE(name);
    CHECK(done[name] > 0);
  }
}
