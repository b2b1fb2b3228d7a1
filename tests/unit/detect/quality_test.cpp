#include "firmware/detect/quality.hpp"

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include <doctest/doctest.h>

namespace quality_test {

using namespace hamlet;
using namespace hamlet::detect;
using std::chrono::minutes;
using std::chrono::seconds;

namespace {

constexpr MonoTime at(std::int64_t s) {
  return mono_from_ms(s * 1000);
}

Reading reading(std::int64_t s, Value value, Quality quality = Quality::good, std::string why = {}) {
  return {.point = "river.level", .at = at(s), .value = std::move(value), .quality = quality, .why = std::move(why)};
}

struct Verdict {
  Quality quality;
  std::string why;
  friend bool operator==(const Verdict&, const Verdict&) = default;
};
Verdict judged(PointQuality& quality, Reading input) {
  normalise(input);
  static_cast<void>(quality.judge(input, {}));
  return {input.quality, input.why};
}
const Verdict kGood{Quality::good, ""};

}  // namespace

TEST_CASE("the ends of a range are in it") {
  const std::optional<Span> range{{0, 10}};
  const std::optional<Span> suspect{{1, 9}};
  CHECK(gross_range(0.0, range, suspect) == Flag::suspect);
  CHECK(gross_range(1.0, range, suspect) == Flag::good);
  CHECK(gross_range(9.0, range, suspect) == Flag::good);
  CHECK(gross_range(10.0, range, suspect) == Flag::suspect);
  CHECK(gross_range(std::nextafter(10.0, 11.0), range, suspect) == Flag::fail);
  CHECK(gross_range(std::nextafter(0.0, -1.0), range, {}) == Flag::fail);
  CHECK(gross_range({}, range, suspect) == Flag::missing);
  CHECK(gross_range(1e300, {}, {}) == Flag::good);
}

TEST_CASE("a rate of exactly the threshold is good, and a change in no time is suspect") {
  CHECK(rate_of_change(0.5, seconds{2}, 1.0, 2.0) == Flag::good);
  CHECK(rate_of_change(0.5, seconds{2}, 2.0, 3.5) == Flag::suspect);
  CHECK(rate_of_change(0.5, seconds{0}, 3.5, 3.5) == Flag::good);
  CHECK(rate_of_change(0.5, seconds{0}, 3.5, 3.6) == Flag::suspect);
  CHECK(rate_of_change(0.5, seconds{1}, 3.6, {}) == Flag::missing);
  CHECK(rate_of_change(0.5, seconds{1}, {}, 99.0) == Flag::good);  // nothing to compare with
}

TEST_CASE("a flat line without a sampling interval is judged by time") {
  const FlatLineRule rule{.tolerance = 0.125, .suspect = minutes{1}, .fail = minutes{2}};
  FlatLine test;
  SUBCASE("suspect and bad from the thresholds on") {
    for (int s = 0; s < 60; s += 10) CHECK(test.check(rule, at(s), 5.0) == Flag::good);
    for (int s = 60; s < 120; s += 10) CHECK(test.check(rule, at(s), 5.05) == Flag::suspect);
    CHECK(test.check(rule, at(120), 5.0) == Flag::fail);
    CHECK(test.check(rule, at(130), 5.125) == Flag::good);  // not less than the tolerance
    CHECK(test.check(rule, at(180), 5.125) == Flag::good);  // the window reaches back to 120 s
    CHECK(test.check(rule, at(190), 5.125) == Flag::suspect);
  }
  SUBCASE("two samples are too few") {
    CHECK(test.check(rule, at(0), 5.0) == Flag::good);
    CHECK(test.check(rule, at(60), 5.0) == Flag::good);
    CHECK(test.check(rule, at(61), 5.0) == Flag::suspect);
  }
  SUBCASE("a silence longer than the threshold starts anew") {
    for (int s = 0; s < 60; s += 10) CHECK(test.check(rule, at(s), 5.0) == Flag::good);
    CHECK(test.check(rule, at(1000), 5.0) == Flag::good);
    CHECK(test.check(rule, at(1030), 5.0) == Flag::good);
    CHECK(test.check(rule, at(1060), 5.0) == Flag::suspect);
  }
}

TEST_CASE("a tolerance of 0 never flags, even with missing samples between") {
  const FlatLineRule rule{.tolerance = 0, .suspect = seconds{2}, .fail = seconds{3}, .every = seconds{1}};
  FlatLine test;
  CHECK(test.check(rule, at(0), 5.0) == Flag::good);
  for (int s = 1; s < 9; ++s) CHECK(test.check(rule, at(s), {}) == Flag::missing);
  CHECK(test.check(rule, at(9), 5.0) == Flag::good);
}

TEST_CASE("a flat line over a long window is found late by at most 1/127, and never early") {
  std::mt19937 random{7};
  for (const std::int64_t window : {127, 128, 500, 5'000}) {
    for (int round = 0; round < 3; ++round) {
      const FlatLineRule rule{.tolerance = 1, .suspect = seconds{window}, .every = seconds{1}};
      FlatLine test;
      std::int64_t last_step = -1;  // position of the newest sample that is far from what follows
      std::int64_t found = -1;
      const auto step_at = static_cast<std::int64_t>(random() % 2'000);
      for (std::int64_t i = 0; i < step_at + 2 * window; ++i) {
        const double x = (i < step_at ? 10.0 : 0.0) + std::uniform_real_distribution{0.0, 0.99}(random);
        if (i < step_at) last_step = i;
        const auto flag = test.check(rule, at(i), x);
        if (i >= step_at && flag == Flag::suspect && found < 0) found = i;
      }
      const auto exact = last_step + 1 + window;
      const auto late = window <= 127 ? 0 : (window + 126) / 127;
      CAPTURE(window);
      CHECK(found >= exact);
      CHECK(found <= exact + late);
    }
  }
}

TEST_CASE("the flat line by buckets agrees with a plain window that is as long or a bucket longer") {
  std::mt19937 random{11};
  for (int round = 0; round < 50; ++round) {
    const std::int64_t window = 3 + static_cast<std::int64_t>(random() % 120);
    const FlatLineRule rule{.tolerance = 1, .suspect = seconds{window}, .every = seconds{1}};
    FlatLine test;
    std::vector<std::optional<double>> series;
    double level = 0;
    for (std::int64_t i = 0; i < 800; ++i) {
      if (random() % 40 == 0) level += std::uniform_real_distribution{-1.0, 1.0}(random);
      const bool gone = random() % 20 == 0;
      series.push_back(gone ? std::nullopt : std::optional{level + std::uniform_real_distribution{0.0, 0.6}(random)});
      double low = std::numeric_limits<double>::max();
      double high = std::numeric_limits<double>::lowest();
      for (std::int64_t j = std::max<std::int64_t>(0, i - window); j <= i; ++j) {
        if (const auto& x = series[static_cast<std::size_t>(j)]) {
          low = std::min(low, *x);
          high = std::max(high, *x);
        }
      }
      const auto expected = gone ? Flag::missing : i >= window && high - low < 1 ? Flag::suspect : Flag::good;
      CAPTURE(round);
      CAPTURE(i);
      REQUIRE(test.check(rule, at(i), series.back()) == expected);
    }
  }
}

TEST_CASE("the worst test is the one that is named") {
  PointQuality quality{{.point = "river.level",
                        .range = Span{0, 10},
                        .suspect = Span{1, 9},
                        .rate_of_change = 0.1,
                        .flat_line = FlatLineRule{.tolerance = 0.1, .suspect = seconds{20}, .fail = seconds{30}}}};
  CHECK(judged(quality, reading(0, 5.0)) == kGood);
  CHECK(judged(quality, reading(10, 9.5)) == Verdict{Quality::suspect, "gross-range"});  // before rate-of-change
  CHECK(judged(quality, reading(20, 5.0)) == Verdict{Quality::suspect, "rate-of-change"});
  CHECK(judged(quality, reading(30, 11.0)) == Verdict{Quality::bad, "gross-range"});
  CHECK(judged(quality, reading(40, 0.5)) == Verdict{Quality::suspect, "gross-range"});
  CHECK(judged(quality, reading(50, 0.5)) == Verdict{Quality::suspect, "gross-range"});
  CHECK(judged(quality, reading(60, 0.5)) == Verdict{Quality::suspect, "gross-range"});
  CHECK(judged(quality, reading(70, 0.5)) == Verdict{Quality::bad, "flat-line"});
}

TEST_CASE("booleans and texts pass, and what a driver said stays") {
  PointQuality quality{{.point = "river.level", .range = Span{2, 3}}};
  CHECK(judged(quality, reading(0, true)) == kGood);
  CHECK(judged(quality, reading(1, std::string{"open"})) == kGood);
  CHECK(judged(quality, reading(2, {}, Quality::missing, "timeout")) == Verdict{Quality::missing, "timeout"});
  CHECK(judged(quality, reading(3, 2.5, Quality::suspect, "device")) == Verdict{Quality::suspect, "device"});
  CHECK(judged(quality, reading(4, 3.5, Quality::suspect, "device")) == Verdict{Quality::bad, "gross-range"});
}

TEST_CASE("what is no value is missing") {
  for (const double x : {std::nan(""), HUGE_VAL, -HUGE_VAL}) {
    auto input = reading(0, x);
    normalise(input);
    CHECK(input.quality == Quality::missing);
    CHECK(input.why == "not-finite");
    CHECK(std::holds_alternative<std::monostate>(input.value));
  }
  auto nothing = reading(0, {});
  normalise(nothing);
  CHECK(nothing.why == "no-value");
  auto contradiction = reading(0, 4.0, Quality::missing, "timeout");
  normalise(contradiction);
  CHECK(std::holds_alternative<std::monostate>(contradiction.value));
  CHECK(contradiction.why == "timeout");
}

TEST_CASE("a late reading is judged by its range alone and changes nothing") {
  PointQuality quality{{.point = "river.level", .range = Span{0, 10}, .rate_of_change = 0.1}};
  CHECK(judged(quality, reading(0, 5.0)) == kGood);
  CHECK(judged(quality, reading(100, 6.0)) == kGood);
  CHECK(judged(quality, reading(50, 9.0)) == kGood);
  CHECK(judged(quality, reading(60, 11.0)) == Verdict{Quality::bad, "gross-range"});
  CHECK(judged(quality, reading(110, 6.5)) == kGood);  // compared with the one at 100 s
}

TEST_CASE("a repetition leaves as the first did") {
  PointQuality quality{{.point = "river.level", .rate_of_change = 0.1}};
  CHECK(judged(quality, reading(0, 5.0)) == kGood);
  CHECK(judged(quality, reading(10, 9.0)) == Verdict{Quality::suspect, "rate-of-change"});
  CHECK(judged(quality, reading(10, 9.0)) == Verdict{Quality::suspect, "rate-of-change"});
  CHECK(judged(quality, reading(20, 9.5)) == kGood);
}

TEST_CASE("climatology: the last member that holds decides, both ends of its spans are in it") {
  const std::vector<ClimatologyMember> members{{.suspect = Span{0, 10}},
                                               {.first_month = 11,
                                                .last_month = 2,
                                                .first_hour = 22,
                                                .last_hour = 5,
                                                .suspect = Span{2, 8},
                                                .range = Span{1, 9}}};
  const auto flag = [&](double x, int month, int hour) {
    return climatology(x, members, LocalTime{month, hour, false});
  };
  CHECK(flag(1.5, 6, 23) == Flag::good);
  CHECK(flag(1.5, 11, 22) == Flag::suspect);
  CHECK(flag(2.0, 2, 5) == Flag::good);
  CHECK(flag(0.5, 1, 0) == Flag::fail);
  CHECK(flag(0.5, 1, 6) == Flag::good);
  CHECK(flag(0.5, 3, 0) == Flag::good);
  CHECK(climatology({}, members, LocalTime{}) == Flag::missing);
  CHECK(climatology(99.0, members, {}) == Flag::not_evaluated);  // the clock is unset
  CHECK(climatology(99.0, {}, LocalTime{}) == Flag::not_evaluated);
}

TEST_CASE("local time is Beijing's") {
  using namespace std::chrono;
  const auto local = detect::local_time(WallTime{sys_days{2026y / 5 / 29} + hours{16}});  // a Friday, 16:00 UTC
  CHECK(local.month == 5);
  CHECK(local.hour == 0);
  CHECK(local.weekend);
}

TEST_CASE("a spike is known when the next sample is there") {
  PointQuality point{QualityRule{.point = "a.b", .spike = SpikeRule{.suspect = 1, .fail = 3}}};
  auto flag_before = [&, second = 0](Value x) mutable {
    Reading reading{.point = "a.b", .at = at(++second), .value = std::move(x)};
    normalise(reading);
    return point.judge(reading, {}).spike;
  };
  CHECK(!flag_before(5.0));
  CHECK(flag_before(9.0) == Flag::not_evaluated);  // the first has none before it
  CHECK(flag_before(5.0) == Flag::fail);
  CHECK(flag_before(5.0) == Flag::suspect);  // 2 from the middle of 9 and 5
  CHECK(flag_before({}) == Flag::not_evaluated);
  CHECK(flag_before(5.0) == Flag::missing);
  CHECK(flag_before(true) == std::nullopt);  // of what is no number nothing is known
  CHECK(flag_before(5.0) == std::nullopt);
  CHECK(flag_before(5.0) == Flag::not_evaluated);
}

TEST_CASE("neighbours") {
  const auto flag = [](double x, double other, NeighbourRule rule) { return neighbour(x, other, rule); };
  const NeighbourRule apart{.point = "b.level", .difference = 0.5};
  CHECK(flag(1, 1.5, apart) == Flag::good);
  CHECK(flag(1, 1.75, apart) == Flag::suspect);
  const NeighbourRule ratio{.point = "b.level", .ratio = 2.0};
  CHECK(flag(1, 2, ratio) == Flag::good);
  CHECK(flag(-1, -2.5, ratio) == Flag::suspect);
  CHECK(flag(0, 0.1, ratio) == Flag::suspect);
  CHECK(flag(0, 0, ratio) == Flag::good);
  const NeighbourRule both{.point = "b.level", .difference = 5.0, .ratio = 2.0};
  CHECK(flag(0, 0.1, both) == Flag::good);
  CHECK(flag(20, 26, both) == Flag::good);
  CHECK(flag(2, 8, both) == Flag::suspect);
  CHECK(neighbour({}, 1.0, both) == Flag::missing);
  CHECK(neighbour(1.0, {}, both) == Flag::not_evaluated);
}

TEST_CASE("an attenuated signal over more than 128 samples: the window is as long, or up to 1/32 longer") {
  std::mt19937 random{5};
  for (const std::int64_t window : {100, 127, 200, 1'000, 5'000}) {
    for (const auto check : {AttenuatedRule::Check::std, AttenuatedRule::Check::range}) {
      const AttenuatedRule rule{.check = check, .suspect = 1, .window = seconds{window}, .min_samples = 2};
      AttenuatedSignal test;
      std::vector<double> series;
      std::int64_t loud_until = 0;
      for (std::int64_t i = 0; i < 4 * window; ++i) {
        const bool loud = i / window % 2 == 0;
        if (loud) loud_until = i;
        series.push_back(loud ? (i % 2 == 0 ? 10.0 : 0.0) : 5 + std::uniform_real_distribution{-0.1, 0.1}(random));
        const auto flag = test.check(rule, at(i), series.back());
        if (i == 0) continue;
        const auto slack = window <= 127 ? 0 : window / 32 + 1;
        CAPTURE(window);
        CAPTURE(i);
        if (i - loud_until >= window + slack) REQUIRE(flag == Flag::suspect);
        if (i - loud_until < window - 2 && check == AttenuatedRule::Check::range) REQUIRE(flag == Flag::good);
      }
    }
  }
}

TEST_CASE("an attenuated signal remembers decimals when one comes that is none") {
  const AttenuatedRule rule{
      .check = AttenuatedRule::Check::range, .suspect = 99.5, .window = seconds{60}, .min_samples = 2};
  AttenuatedSignal test;
  int i = 0;
  for (const double x : {50.5, 100.25, 0.5, 50.25}) (void)test.check(rule, at(i++), x);
  CHECK(test.check(rule, at(i++), 100.0 / 3) == Flag::good);
  CHECK(test.check(rule, at(i++), 200.0 / 3) == Flag::good);
  CHECK(test.check(rule, at(60), 50.5) == Flag::good);
  CHECK(test.check(rule, at(61), 50.5) == Flag::suspect);  // 100.25 has left
}

TEST_CASE("a value too large to be squared leaves no trace in an attenuated signal") {  // all after it were too quiet
  const AttenuatedRule rule{.suspect = 0.1, .fail = 0.01, .window = seconds{10}, .min_samples = 2};
  AttenuatedSignal test;
  const auto check = [&](int i, double x) { return test.check(rule, at(i), x); };
  for (int i = 0; i < 10; ++i) static_cast<void>(check(i, i % 2));
  CHECK(check(10, 1e308) == Flag::good);
  CHECK(check(11, -1e308) == Flag::good);
  for (int i = 12; i < 21; ++i) CHECK(check(i, i % 2) < Flag::suspect);
  for (int i = 21; i < 30; ++i) CHECK(check(i, i % 2) == Flag::good);
  for (int i = 30; i < 50; ++i) static_cast<void>(check(i, 5));
  CHECK(check(50, 5) == Flag::fail);
}

TEST_CASE("an attenuated signal without a window is that of all samples so far") {
  const AttenuatedRule rule{.suspect = 1, .fail = 0.1};
  AttenuatedSignal test;
  CHECK(test.check(rule, at(0), 5.0) == Flag::fail);
  CHECK(test.check(rule, at(1), {}) == Flag::missing);
  CHECK(test.check(rule, at(2), 6.0) == Flag::suspect);
  CHECK(test.check(rule, at(3), 50.0) == Flag::good);
  for (int i = 4; i < 1'000; ++i) CHECK(test.check(rule, at(i), 5.0) == Flag::good);
}

TEST_CASE("of several flags one counts") {
  CHECK(aggregate(std::vector{Flag::good, Flag::fail, Flag::missing}) == Flag::fail);
  CHECK(aggregate(std::vector{Flag::not_evaluated, Flag::good, Flag::suspect}) == Flag::suspect);
  CHECK(aggregate(std::vector{Flag::not_evaluated, Flag::missing}) == Flag::not_evaluated);
  CHECK(aggregate(std::vector{Flag::none}) == Flag::missing);
}

}  // namespace quality_test
