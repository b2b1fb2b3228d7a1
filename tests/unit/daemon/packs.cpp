// The ready-made packs' rules over hours and days: each pack's own config and the real engine, on a clock that goes
// only as it is told. What is said, and when, is all that is said.

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <map>

#include <doctest/doctest.h>
#include <fmt/chrono.h>
#include <fmt/format.h>

#include "firmware/daemon/settings.hpp"
#include "firmware/detect/engine.hpp"
#include "tests/support/process.hpp"

namespace {

using namespace hamlet;
using namespace std::chrono_literals;

/// A pack's points, each a function of the time since Wednesday, 10 June 2026, 00:00 in Beijing, and polled as often as
/// its config says.
class DrivenPack {
 public:
  DrivenPack(const std::string& name, Millis period, std::map<std::string, std::function<Value(Millis)>> points)
      : period_{period}, points_{std::move(points)}, engine_{rules_of(name), 1} {}

  void unset_clock() { clock_set_ = false; }
  [[nodiscard]] int ticks() const { return ticks_; }

  /// What changes until then: "05:31 flood-rain raised", a line each.
  std::string run_to(Millis until) {
    std::string out;
    for (; now_ <= until; now_ += period_) {
      for (auto due = engine_.next_due(); due && *due <= MonoTime{now_}; due = engine_.next_due()) {
        note(out, engine_.tick(*due, wall(due->time_since_epoch())).transitions);
        ++ticks_;
      }
      for (const auto& [point, value] : points_) {
        note(out,
             engine_.evaluate({.point = point, .at = MonoTime{now_}, .value = value(now_)}, wall(now_)).transitions);
      }
    }
    return out;
  }
  /// The camera at the pond.
  std::string event(Millis at, Phase phase, const std::string& zone) {
    auto out = run_to(at - period_);
    note(out, engine_.take({.source = "pond-cam",
                            .kind = "intrusion",
                            .phase = phase,
                            .id = zone,
                            .at = MonoTime{at},
                            .detail = {{"zone", zone}}},
                           wall(at)));
    return out;
  }

 private:
  static detect::Rules rules_of(const std::string& name) {
    const auto pack = std::filesystem::path{std::getenv("HAMLET_SOURCE")} / "firmware/image/packs" / (name + ".toml");
    const support::TempDir dir;
    std::ofstream{dir.path() / "hamlet.toml"} << "[gateway]\nid = \"gw-1\"\ndivision = \"430124104203\"\n"
                                              << std::ifstream{pack}.rdbuf();
    auto settings = daemon::read_settings(dir.path() / "hamlet.toml");
    REQUIRE_MESSAGE(settings, settings.error().front().to_string());
    return std::move(settings->rules);
  }
  std::optional<WallTime> wall(Millis since) const {
    using namespace std::chrono;
    if (!clock_set_) return {};
    return WallTime{sys_days{2026y / June / 9} + 16h} + since;
  }
  static void note(std::string& out, const std::vector<Alarm>& transitions) {
    for (const auto& alarm : transitions) {
      const auto at = alarm.since.mono.time_since_epoch();
      const bool raised = alarm.state == AlarmState::unacked;
      out += fmt::format("{:%H:%M:%S} {} {}\n", std::chrono::floor<std::chrono::seconds>(at % 24h), alarm.id,
                         raised ? "raised" : to_string(alarm.state));
    }
  }

  Millis period_;
  std::map<std::string, std::function<Value(Millis)>> points_;
  detect::Engine engine_;
  Millis now_{0};
  bool clock_set_ = true;
  int ticks_ = 0;
};

std::function<Value(Millis)> always(Value value) {
  return [value](Millis) { return value; };
}
// True from each first to its second.
std::function<Value(Millis)> during(std::vector<std::pair<Millis, Millis>> spans) {
  return [spans](Millis now) {
    return std::any_of(spans.begin(), spans.end(),
                       [&](const auto& span) { return now >= span.first && now < span.second; });
  };
}
// The value of the newest change.
std::function<Value(Millis)> steps(std::map<Millis, double> changes) {
  return [changes](Millis now) { return std::prev(changes.upper_bound(now))->second; };
}
// So much more each minute between the two times; `whole`: all of it at the minute's end.
std::function<Value(Millis)> growing(double from, double a_minute, Millis begin, Millis end, bool whole) {
  return [=](Millis now) {
    const auto minutes = std::chrono::duration<double, std::ratio<60>>{std::clamp(now, begin, end) - begin}.count();
    return from + a_minute * (whole ? std::floor(minutes) : minutes);
  };
}

DrivenPack flood_pack(std::function<Value(Millis)> level, std::function<Value(Millis)> rain) {
  return {"flash-flood", 5s, {{"flood-gauge.level", std::move(level)}, {"flood-gauge.rain", std::move(rain)}}};
}

DrivenPack home_pack() {
  std::vector<std::pair<Millis, Millis>> moving;
  for (auto hour = 0h; hour <= 30h; ++hour) moving.emplace_back(hour, hour + 1min);
  return {"living-alone",
          5s,
          {{"home.door", during({{10h + 30min, 10h + 31min},
                                 {14h, 15h},
                                 {23h, 23h + 20min},
                                 {29h + 30min, 29h + 31min},
                                 {45h + 40min, 52h + 50min}})},
           {"home.moving", during(moving)},
           {"home.help", during({{60h, 60h + 5s}})}}};
}

}  // namespace

TEST_CASE("flash flood: 30 mm of rain in an hour, 50 mm in three, and no less") {
  SUBCASE("30 mm in 1 h") {
    auto pack = flood_pack(always(1.0), growing(0, 0.7, 4h, 5h, true));
    CHECK(pack.run_to(5h + 30min) == "04:43:00 flood-rain raised\n");  // 43 times 0.7
    // Within a bucket of 28 s of 05:18: then what fell from 04:19 on is no more than 30 mm. Then the delay of 30 min.
    const auto after = pack.run_to(12h);
    CHECK(after.ends_with(" flood-rain returned\n"));
    CHECK(after.substr(0, 5) == "05:48");
  }
  SUBCASE("29 mm in 1 h") {
    CHECK(flood_pack(always(1.0), growing(0, 0.49, 4h, 5h, true)).run_to(12h) == "");
  }
  SUBCASE("50 mm in 3 h") {
    CHECK(flood_pack(always(1.0), growing(0, 0.28, 4h, 7h, true)).run_to(7h) == "06:59:00 flood-rain raised\n");
  }
  SUBCASE("48.6 mm in 3 h, hour after hour") {
    CHECK(flood_pack(always(1.0), growing(0, 0.27, 4h, 20h, true)).run_to(20h) == "");
  }
}

TEST_CASE("flash flood: levels, a fast rise, and rain while it rises") {
  SUBCASE("guard and danger, each with its deadband") {
    auto pack = flood_pack(
        [](Millis now) {
          if (now >= 5h + 40min) return 2.7;
          if (now >= 5h + 30min) return 4.35;
          return std::get<double>(growing(2.9033, 0.02, 4h, 5h + 25min, false)(now));
        },
        always(0.0));
    CHECK(pack.run_to(6h) ==
          "04:05:05 flood-level-guard raised\n"
          "05:20:05 flood-level-danger raised\n"
          "05:40:00 flood-level-guard returned\n"
          "05:40:00 flood-level-danger returned\n");
  }
  SUBCASE("31 cm in 10 min") {
    CHECK(flood_pack(growing(1, 0.031, 4h, 4h + 10min, true), always(0.0)).run_to(5h) ==
          "04:10:10 flood-rising raised\n"
          "04:21:00 flood-rising returned\n");  // 10 min after the lowest has left the window
  }
  SUBCASE("29 cm in 10 min") {
    CHECK(flood_pack(growing(1, 0.029, 4h, 5h, true), always(0.0)).run_to(5h) == "");
  }
  SUBCASE("20 mm of rain while it rises") {
    CHECK(flood_pack(growing(1, 0.02, 4h, 5h, false), growing(0, 0.41, 4h, 5h, true)).run_to(12h) ==
          "04:49:00 flood-coming raised\n"
          "05:15:00 flood-coming returned\n");
  }
  SUBCASE("20 mm of rain, and it does not rise") {
    CHECK(flood_pack(always(1.0), growing(0, 0.41, 4h, 5h, true)).run_to(12h) == "");
  }
}

TEST_CASE("living alone: no door by 10:00, no movement for 6 h, the door at night") {
  auto pack = home_pack();
  CHECK(pack.run_to(24h) ==
        "10:00:00 home-no-door raised\n"
        "10:30:00 home-no-door returned\n"
        "23:10:00 home-door-at-night raised\n"
        "23:20:00 home-door-at-night returned\n");
  CHECK(pack.run_to(48h) ==  // the door at 05:30 is in time
        "12:01:00 home-no-movement raised\n"
        "21:00:00 home-no-movement returned\n"
        "22:00:00 home-door-at-night raised\n");
  CHECK(pack.run_to(72h) ==  // that it was closed at 04:50 is no door opened since 05:00
        "04:50:00 home-door-at-night returned\n"
        "08:00:00 home-no-movement raised\n"
        "10:00:00 home-no-door raised\n"
        "12:00:00 home-help raised\n"
        "12:00:05 home-help returned\n"
        "20:00:00 home-no-door returned\n"
        "21:00:00 home-no-movement returned\n");
}

TEST_CASE("living alone: who moves all the time, or only shuts a door, is well") {  // neither came true since
  DrivenPack pack{"living-alone",
                  5s,
                  {{"home.door", during({{4h + 50min, 5h + 20min}, {28h, 28h + 5min}})},
                   {"home.moving", during({{4h, 22h}, {24h, 31h}})},
                   {"home.help", always(false)}}};
  CHECK(pack.run_to(34h) == "10:00:00 home-no-door raised\n");  // on the second day it was
}

TEST_CASE("living alone: while the clock is unset what goes by the hour waits, and the button does not") {
  auto pack = home_pack();
  pack.unset_clock();
  CHECK(pack.run_to(72h) ==
        "12:00:00 home-help raised\n"
        "12:00:05 home-help returned\n");
  CHECK(pack.ticks() <= 3 * 72 * 60);  // of three rules; they look each minute whether the clock is set
}

TEST_CASE("pond: beam or camera at once, both and 20 s of staying for the gravest") {
  DrivenPack pack{"pond-safety",
                  2s,
                  {{"pond-relay.beam",
                    during({{10min, 10min + 4s}, {30min, 30min + 2s}, {40min, 40min + 2s}, {50min, 50min + 2s}})}}};
  CHECK(pack.run_to(15min) ==
        "00:10:00 pond-near-water raised\n"
        "00:10:14 pond-near-water returned\n");
  CHECK(pack.event(16min, Phase::start, "bank") == "");  // another zone
  CHECK(pack.event(20min, Phase::start, "edge") == "00:20:00 pond-near-water raised\n");
  CHECK(pack.event(21min, Phase::end, "edge") == "");
  CHECK(pack.run_to(25min) == "00:21:10 pond-near-water returned\n");
  CHECK(pack.event(30min + 30s, Phase::start, "edge") ==
        "00:30:00 pond-near-water raised\n"
        "00:30:12 pond-near-water returned\n"
        "00:30:30 pond-near-water raised\n");
  CHECK(pack.event(31min + 30s, Phase::end, "edge") ==
        "00:30:50 pond-danger raised\n");
  CHECK(pack.run_to(35min) ==
        "00:31:32 pond-danger returned\n"
        "00:31:40 pond-near-water returned\n");
  // Somebody passes: the camera sees them for 19 s.
  CHECK(pack.event(40min + 10s, Phase::start, "edge") == "00:40:00 pond-near-water raised\n");
  CHECK(pack.event(40min + 29s, Phase::end, "edge") == "");
  CHECK(pack.run_to(45min) == "00:40:39 pond-near-water returned\n");
  // The camera sees somebody only near the end of the minute, and they stay: it was not told.
  CHECK(pack.event(50min + 56s, Phase::start, "edge") ==
        "00:50:00 pond-near-water raised\n"
        "00:50:12 pond-near-water returned\n"
        "00:50:56 pond-near-water raised\n");
  CHECK(pack.event(51min + 20s, Phase::end, "edge") == "00:51:16 pond-danger raised\n");
}

TEST_CASE("cold store and greenhouse: set points with hysteresis, delays, and the open door") {
  DrivenPack pack{"cold-store",
                  5s,
                  {{"climate.store", steps({{0h, 3},
                                            {1h, 5},
                                            {1h + 30min, 2},
                                            {2h, 9},
                                            {2h + 20min, 7},
                                            {2h + 30min, 3},
                                            {2h + 40min, 1},
                                            {3h + 1min, 9},
                                            {3h + 40min, 1}})},
                   {"climate.house", steps({{0h, 20},
                                            {4h, 31},
                                            {4h + 10min, 27},
                                            {4h + 20min, 7},
                                            {4h + 30min, 1},
                                            {4h + 40min, 3.5},
                                            {4h + 50min, 10}})},
                   {"climate.door", during({{30min, 44min}, {3h, 3h + 20min}})},
                   {"climate.smoke", during({{5h, 5h + 5min}})}}};
  CHECK(pack.run_to(1h + 55min) ==
        "00:30:00 store-warm suppressed\n"
        "00:44:00 store-warm normal\n"
        "01:00:00 store-cool raised\n"
        "01:30:00 store-cool returned\n");
  CHECK(pack.run_to(2h + 55min) ==
        "02:00:00 store-cool raised\n"
        "02:10:00 store-warm raised\n"
        "02:20:00 store-warm returned\n"
        "02:40:00 store-cool returned\n");
  CHECK(pack.run_to(3h + 55min) ==
        "03:00:00 store-warm suppressed\n"
        "03:01:00 store-cool raised\n"
        "03:15:00 store-door raised\n"
        "03:20:00 store-door returned\n"
        "03:20:00 store-warm normal\n"
        "03:30:00 store-warm raised\n"
        "03:40:00 store-cool returned\n"
        "03:40:00 store-warm returned\n");
  CHECK(pack.run_to(6h) ==
        "04:00:00 house-vent raised\n"
        "04:10:00 house-vent returned\n"
        "04:20:00 house-heat raised\n"
        "04:30:00 house-frost raised\n"
        "04:40:00 house-frost returned\n"
        "04:50:00 house-heat returned\n"
        "05:00:00 house-smoke raised\n"
        "05:05:00 house-smoke returned\n");
}
