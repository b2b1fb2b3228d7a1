#include <cmath>
#include <deque>
#include <random>
#include <unordered_map>

#include <fmt/format.h>
#include <malloc.h>

#include "firmware/detect/engine.hpp"
#include "tests/bench/bench.hpp"
#include "tests/support/village_series.hpp"

namespace hamlet::bench::detect_suite {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

constexpr std::size_t kPoints = 1'000;
constexpr std::size_t kManyPoints = 10'000;  // of detect.bytes
constexpr std::size_t kRounds = 256;  // then the values repeat; time goes on
constexpr double kLimit = 5;

std::string name_of(std::size_t point) {
  return fmt::format("device-{:03}.level", point);
}

// A river in a hundred villages: slow waves with noise, quantised as sensors do, so that some stretches are flat.
const std::vector<double>& values() {
  static const auto all = [] {
    std::mt19937 random{42};
    std::normal_distribution noise{0.0, 0.02};
    std::vector<double> out;
    for (std::size_t round = 0; round < kRounds; ++round) {
      for (std::size_t point = 0; point < kPoints; ++point) {
        const auto phase = static_cast<double>(round) * 2 * 3.14159265 / kRounds + static_cast<double>(point);
        out.push_back(std::round((3 + 2.5 * std::sin(phase) + noise(random)) * 100) / 100);
      }
    }
    return out;
  }();
  return all;
}

detect::Rules all_rules(std::size_t points = kPoints) {
  detect::Rules rules;
  for (std::size_t i = 0; i < points; ++i) {
    rules.quality.push_back(
        {.point = name_of(i),
         .range = detect::Span{0, 12},
         .suspect = detect::Span{0.2, 8},
         .climatology =
             {{.suspect = detect::Span{0.3, 7}},
              {.first_month = 6, .last_month = 9, .first_hour = 20, .last_hour = 6, .suspect = detect::Span{0.1, 8}}},
         .spike = detect::SpikeRule{.suspect = 1, .fail = 2},
         .rate_of_change = 0.5,
         .flat_line = detect::FlatLineRule{.tolerance = 0.02, .suspect = minutes{10}, .fail = minutes{20}},
         .attenuated = detect::AttenuatedRule{.suspect = 0.001, .window = minutes{20}, .min_samples = 10},
         .gap = minutes{5},
         .neighbour =
             detect::NeighbourRule{.point = name_of((i + 1) % points), .difference = 9.0, .within = minutes{1}},
         .anomaly = detect::AnomalyRule{}});
    rules.alarms.push_back({.id = fmt::format("high-{}", i),
                            .point = name_of(i),
                            .condition = detect::Condition::above,
                            .limit = kLimit,
                            .deadband = 0.3,
                            .on_delay = seconds{30},
                            .off_delay = minutes{5}});
    rules.alarms.push_back({.id = fmt::format("rise-{}", i),
                            .point = name_of(i),
                            .condition = detect::Condition::rise,
                            .limit = 3.0,
                            .within = minutes{10},
                            .deadband = 0.5});
  }
  return rules;
}

// One reading a point and 10 s, in an endless series.
class Series {
 public:
  explicit Series(std::size_t points = kPoints) {
    for (std::size_t i = 0; i < points; ++i) names_.push_back(name_of(i));
  }
  Reading next() {
    const auto points = names_.size();
    const auto point = n_ % points;
    Reading out{.point = names_[point],
                .at = mono_from_ms(static_cast<std::int64_t>(n_ / points) * 10'000 + static_cast<std::int64_t>(point * kPoints / points)),
                .value = values()[n_ / points % kRounds * kPoints + point % kPoints]};
    ++n_;
    return out;
  }

 private:
  std::vector<std::string> names_;
  std::size_t n_ = 0;
};

WallTime wall_of(const Reading& reading) {
  return wall_from_ms(1'780'000'000'000 + to_ms(reading.at));
}

// Calls each(reading) for some thousands of readings; what is measured is that alone, not where readings come from.
template <class Each>
void measure(benchmark::State& state, Series& series, Each each) {
  std::vector<Reading> batch(10 * kPoints);
  for (auto _ : state) {
    state.PauseTiming();
    for (auto& reading : batch) reading = series.next();
    state.ResumeTiming();
    for (auto& reading : batch) each(reading);
  }
  using benchmark::Counter;
  state.counters["value"] = Counter{1e-9 * static_cast<double>(batch.size()),
                                    Counter::kIsIterationInvariantRate | Counter::kInvert};
}

void evaluate(benchmark::State& state) {
  detect::Engine engine{all_rules(), 1};
  Series series;
  for (std::size_t i = 0; i < kPoints * kRounds; ++i) {
    auto reading = series.next();
    const auto wall = wall_of(reading);
    benchmark::DoNotOptimize(engine.evaluate(std::move(reading), wall));
  }
  measure(state, series, [&](Reading& reading) {
    const auto wall = wall_of(reading);
    auto outcome = engine.evaluate(std::move(reading), wall);
    if (const auto due = engine.next_due(); due && *due <= outcome.reading.at) {
      benchmark::DoNotOptimize(engine.tick(outcome.reading.at).transitions);
    }
    if (!outcome.transitions.empty()) benchmark::DoNotOptimize(engine.save_changed());
    benchmark::DoNotOptimize(outcome);
  });
}

// What a script on a box would do: look the point's limit up and compare.
void compare(benchmark::State& state) {
  std::unordered_map<std::string, double> limits;
  for (std::size_t i = 0; i < kPoints; ++i) limits.emplace(name_of(i), kLimit);
  Series series;
  for (std::size_t i = 0; i < kPoints; ++i) benchmark::DoNotOptimize(series.next());
  measure(state, series, [&](const Reading& reading) {
    bool over = as_number(reading.value) > limits.find(reading.point)->second;
    benchmark::DoNotOptimize(over);
  });
}

// What the allocator has given out for a point, its own headers included: rules, tests, detector, alarms.
void bytes(benchmark::State& state) {
  Series series{kManyPoints};
  benchmark::DoNotOptimize(values());  // the series itself is no cost
  const auto given_out = [] { return mallinfo2().uordblks + mallinfo2().hblkhd; };
  for (auto _ : state) {
    const auto before = given_out();
    detect::Engine engine{all_rules(kManyPoints), 1};
    for (std::size_t i = 0; i < kManyPoints * kRounds; ++i) {
      auto reading = series.next();
      const auto wall = wall_of(reading);
      if (!engine.evaluate(std::move(reading), wall).transitions.empty()) benchmark::DoNotOptimize(engine.save_changed());
    }
    benchmark::DoNotOptimize(engine.save_changed());
    state.counters["value"] = static_cast<double>(given_out() - before) / kManyPoints;
  }
}

// Twelve series-months of ordinary days, five minutes apart: what is found in them is found wrongly. A detector is made
// for each series: a sample to whether it calls.
using Caller = std::function<bool(const support::VillageSample&)>;
void false_alarms(benchmark::State& state, const std::function<Caller()>& make) {
  for (auto _ : state) {
    int found = 0;
    int months = 0;
    for (int quantity = 0; quantity < support::kQuantities; ++quantity) {
      for (const std::uint32_t seed : {1U, 2U}) {
        const auto caller = make();
        for (const auto& sample :
             support::village_series(static_cast<support::Quantity>(quantity), seed, 30, minutes{5})) {
          found += caller(sample) ? 1 : 0;
        }
        ++months;
      }
    }
    state.counters["value"] = static_cast<double>(found) / months;
  }
}

Caller make_detector() {
  detect::Rules rules;
  rules.quality.push_back({.point = "a.b", .anomaly = detect::AnomalyRule{}});
  return [engine = std::make_shared<detect::Engine>(std::move(rules), 1)](const support::VillageSample& sample) {
    Reading reading{.point = "a.b", .at = MonoTime{sample.at.time_since_epoch()}, .value = sample.x};
    return engine->evaluate(std::move(reading), sample.at).anomalous;
  };
}

// Mean and deviation of the last day; further than 5 deviations.
Caller make_gaussian() {
  return [window = std::deque<double>{}](const support::VillageSample& sample) mutable {
    constexpr std::size_t kDay = 288;
    double sum = 0;
    double squares = 0;
    for (const double x : window) sum += x;
    const double mean = window.empty() ? 0 : sum / static_cast<double>(window.size());
    for (const double x : window) squares += (x - mean) * (x - mean);
    const bool full = window.size() == kDay;
    const double deviation = full ? std::sqrt(squares / kDay) : 0;
    window.push_back(sample.x);
    if (full) window.pop_front();
    return full && std::abs(sample.x - mean) > 5 * std::max(deviation, 1e-9);
  };
}

// Beyond what the first three days showed, and a tenth of that more.
Caller make_limits() {
  return [low = 1e300, high = -1e300, seen = 0](const support::VillageSample& sample) mutable {
    if (seen++ < 3 * 288) {
      low = std::min(low, sample.x);
      high = std::max(high, sample.x);
      return false;
    }
    const double more = (high - low) / 10;
    return sample.x > high + more || sample.x < low - more;
  };
}

}  // namespace

void register_figures() {
  add({.name = "detect.bytes", .unit = "bytes a point", .ours = bytes, .iterations = 1});
  add({.name = "detect.false_alarms",
       .unit = "a series and month",
       .ours = [](auto& state) { false_alarms(state, make_detector); },
       .versus = "a windowed Gaussian, 5 deviations",
       .theirs = [](auto& state) { false_alarms(state, make_gaussian); },
       .iterations = 1});
  add({.name = "detect.false_alarms_limits",
       .unit = "a series and month",
       .ours = [](auto& state) { false_alarms(state, make_detector); },
       .versus = "limits a tenth beyond the first 3 days",
       .theirs = [](auto& state) { false_alarms(state, make_limits); },
       .iterations = 1});
  add({.name = "detect.cost", .unit = "ns", .ours = evaluate, .versus = "a plain threshold", .theirs = compare});
}

}  // namespace hamlet::bench::detect_suite
