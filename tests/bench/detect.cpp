#include <cmath>
#include <random>
#include <unordered_map>

#include <fmt/format.h>

#include "firmware/detect/engine.hpp"
#include "tests/bench/bench.hpp"

namespace hamlet::bench {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

constexpr std::size_t kPoints = 1'000;
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

detect::Rules all_rules() {
  detect::Rules rules;
  for (std::size_t i = 0; i < kPoints; ++i) {
    rules.quality.push_back(
        {.point = name_of(i),
         .range = detect::Span{0, 12},
         .suspect = detect::Span{0.2, 8},
         .rate_of_change = 0.5,
         .flat_line = detect::FlatLineRule{.tolerance = 0.02, .suspect = minutes{10}, .fail = minutes{20}},
         .gap = minutes{5}});
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
  Series() {
    for (std::size_t i = 0; i < kPoints; ++i) names_.push_back(name_of(i));
  }
  Reading next() {
    const auto point = n_ % kPoints;
    Reading out{.point = names_[point],
                .at = mono_from_ms(static_cast<std::int64_t>(n_ / kPoints) * 10'000 + static_cast<std::int64_t>(point)),
                .value = values()[n_ % values().size()]};
    ++n_;
    return out;
  }

 private:
  std::vector<std::string> names_;
  std::size_t n_ = 0;
};

void evaluate(benchmark::State& state) {
  detect::Engine engine{all_rules(), 1};
  Series series;
  for (std::size_t i = 0; i < kPoints * kRounds; ++i) benchmark::DoNotOptimize(engine.evaluate(series.next()));
  std::size_t transitions = 0;
  for (auto _ : state) {
    auto outcome = engine.evaluate(series.next());
    if (const auto due = engine.next_due(); due && *due <= outcome.reading.at) {
      transitions += engine.tick(outcome.reading.at).transitions.size();
    }
    transitions += outcome.transitions.size();
    if (!outcome.transitions.empty()) benchmark::DoNotOptimize(engine.save_changed());
    benchmark::DoNotOptimize(outcome);
  }
  state.counters["transitions"] = static_cast<double>(transitions);
}

// What a script on a box would do: look the point's limit up and compare.
void compare(benchmark::State& state) {
  std::unordered_map<std::string, double> limits;
  for (std::size_t i = 0; i < kPoints; ++i) limits.emplace(name_of(i), kLimit);
  Series series;
  for (std::size_t i = 0; i < kPoints; ++i) benchmark::DoNotOptimize(series.next());
  for (auto _ : state) {
    const auto reading = series.next();
    bool over = as_number(reading.value) > limits.find(reading.point)->second;
    benchmark::DoNotOptimize(over);
  }
}

}  // namespace

void register_detect_figures() {
  add({.name = "detect.cost", .unit = "ns", .ours = evaluate, .versus = "a plain threshold", .theirs = compare});
}

}  // namespace hamlet::bench
