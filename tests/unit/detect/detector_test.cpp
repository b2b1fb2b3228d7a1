#include "firmware/detect/detector.hpp"

#include <cmath>
#include <functional>
#include <random>
#include <string>

#include <doctest/doctest.h>

namespace detector_test {

using namespace hamlet;
using namespace hamlet::detect;
using std::chrono::hours;
using std::chrono::minutes;

namespace {

// Five minutes apart, from a Monday on.
constexpr std::int64_t kStepMs = 300'000;
const WallTime kMonday{std::chrono::sys_days{std::chrono::year{2026} / 6 / 1} - hours{8}};

struct Feed {
  Detector detector{};
  std::int64_t i = 0;
  bool clock = true;

  double operator()(double x) {
    const auto at = mono_from_ms(1 + i * kStepMs);
    const auto wall = clock ? std::optional{kMonday + Millis{i * kStepMs}} : std::nullopt;
    ++i;
    return detector.score(x, at, wall ? std::optional{detect::local_time(*wall)} : std::nullopt).value_or(-1);
  }
  double highest(int samples, const std::function<double(std::int64_t)>& series) {
    double out = -1;
    for (int n = 0; n < samples; ++n) out = std::max(out, (*this)(series(i)));
    return out;
  }
};

std::mt19937 random_engine{42};
double noise(double size) {
  return std::normal_distribution{0.0, size}(random_engine);
}

// Warm by day, cold by night.
double daily(std::int64_t i) {
  return 20 - 8 * std::cos(static_cast<double>(i) * 2 * 3.14159265 / 288) + noise(0.2);
}

}  // namespace

TEST_CASE("what is larger than anything measured is not learned") {  // after it there was no finding, and nothing was restored
  Feed feed;
  const auto usual = [](std::int64_t i) { return 3 + 0.1 * static_cast<double>(i % 7); };
  static_cast<void>(feed.highest(2'000, usual));
  for (const double glitch : {1e200, -1.7e308}) CHECK(feed(glitch) == -1);
  CHECK(feed.highest(50, usual) < 0.5);
  Detector again;
  CHECK(again.restore(feed.detector.save(), true));
  CHECK(feed(9) > 0.5);
}

TEST_CASE("the detector says nothing before it has seen enough, and how long it has learned") {
  Feed feed;
  for (int i = 0; i < 120; ++i) CHECK(feed(noise(1)) == -1);
  CHECK(!feed.detector.ready());
  CHECK(feed(noise(1)) >= 0);
  CHECK(feed.detector.ready());
  CHECK(feed.detector.samples() == 120);  // the newest waits
  CHECK(feed.detector.learned_for() == Millis{119 * kStepMs});
}

TEST_CASE("scores are from 0 to below 1, whatever comes") {
  Feed feed;
  for (int i = 0; i < 20'000; ++i) {
    double x = noise(1);
    switch (i / 2'000 % 5) {
      case 0:
        x = 7;
        break;
      case 1:
        x *= 1e300;
        break;
      case 2:
        x = i % 2 == 0 ? 1e-310 : -1e-310;
        break;
      case 3:
        x = std::pow(2, i % 1'000 - 500);
        break;
      default:
        break;
    }
    const double score = feed(x);
    CAPTURE(i);
    REQUIRE((score == -1 || (score >= 0 && score < 1)));
  }
}

TEST_CASE("what is unusual is found, and told once") {
  Feed feed;
  CHECK(feed.highest(30 * 288, daily) < 0.7);
  SUBCASE("a value never seen") {
    CHECK(feed(45) > 0.6);
  }
  SUBCASE("a night as warm as noon") {
    while (feed.i % 288 != 12) feed(daily(feed.i));  // one o'clock
    CHECK(feed.highest(12, [](auto i) { return daily(i + 144); }) > 0.5);
  }
  SUBCASE("noise that grows") {
    CHECK(feed.highest(144, [](auto i) { return daily(i) + noise(2); }) > 0.5);
  }
  SUBCASE("one finding, not one a sample") {
    int findings = 0;
    for (int i = 0; i < 100; ++i) findings += feed(45) > 0.6 ? 1 : 0;
    CHECK(findings == 1);
  }
}

TEST_CASE("a counter is known by its increments") {
  Feed feed;
  double total = 1'000;
  const auto count = [&](double step) {
    return [&total, step](auto) { return total += std::round(step * (2 + noise(0.3))); };
  };
  CHECK(feed.highest(3'000, count(10)) < 0.7);
  SUBCASE("that it goes on rising is usual") {
    CHECK(feed.highest(3'000, count(10)) < 0.6);
  }
  SUBCASE("that it rises faster is not") {
    CHECK(feed.highest(20, count(40)) > 0.6);
  }
  SUBCASE("starting again from 0 is no fall") {
    total = 0;
    CHECK(feed.highest(100, count(10)) < 0.6);
  }
}

TEST_CASE("without the clock the hours wait, and the rest goes on") {
  Feed feed;
  feed.clock = false;
  CHECK(feed.highest(10 * 288, daily) < 0.7);
  CHECK(feed(45) > 0.6);
}

TEST_CASE("a sample that is forgotten leaves no trace") {
  Feed one;
  one.highest(1'000, daily);
  auto other = one;
  random_engine.seed(7);
  std::vector<double> expected;
  for (int i = 0; i < 50; ++i) expected.push_back(one(daily(i)));
  random_engine.seed(7);
  for (int i = 0; i < 50; ++i) {
    CHECK(other(daily(i)) == expected[static_cast<std::size_t>(i)]);
    if (i % 10 != 3) continue;
    other.detector.learn();
    other(1e6);
    --other.i;
    other.detector.forget();
  }
}

TEST_CASE("what was learned is kept to the bit, in at most 4 KiB") {
  Feed one;
  one.highest(50'000, daily);
  one.detector.learn();
  const auto stored = one.detector.save();
  CHECK(stored.size() <= 4'000);
  Feed other{.i = one.i};
  REQUIRE(other.detector.restore(stored, true));
  CHECK(other.detector.save() == stored);
  CHECK(other.detector.samples() == 50'000);
  for (int i = 0; i < 500; ++i) {
    const double x = daily(i);
    CHECK(other(x) == one(x));
  }
}

TEST_CASE("damaged state is refused and changes nothing") {
  Feed feed;
  feed.highest(500, daily);
  const auto stored = feed.detector.save();
  for (const auto& damaged :
       {std::string{}, std::string{"2:AAAA"}, stored.substr(0, stored.size() - 4), stored + "AAAA", std::string{"1:"},
        "1:" + std::string(stored.size() - 2, '/'), std::string{"1:\xff\xfe"}}) {
    Detector detector;
    const auto status = detector.restore(damaged, true);
    REQUIRE(!status);
    CHECK(status.error().code == Errc::corrupt);
    CHECK(detector.samples() == 0);
  }
  std::mt19937 random{3};
  for (int i = 0; i < 2'000; ++i) {  // never worse than a wrong memory
    auto damaged = stored;
    damaged[2 + random() % (damaged.size() - 2)] = static_cast<char>('A' + random() % 26);
    Feed other{.i = feed.i};
    if (!other.detector.restore(damaged, true)) continue;
    for (int n = 0; n < 5; ++n) {
      const double score = other(daily(n));
      REQUIRE((score == -1 || (score >= 0 && score < 1)));
    }
  }
}

}  // namespace detector_test
