// Alarms that are put aside, suppressed, chatter or come in floods; rules over several points, in the engine.
#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "firmware/detect/engine.hpp"

namespace lifecycle_test {

using namespace hamlet;
using namespace hamlet::detect;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

namespace {

constexpr std::uint32_t kBoot = 7;
constexpr MonoTime at(std::int64_t s) {
  return mono_from_ms(s * 1000);
}

const Names& names() {
  static const Names all{.points = {{"river.level", Kind::number, "m"},
                                    {"rain.gauge", Kind::number, "mm"},
                                    {"pump.on", Kind::boolean, ""},
                                    {"pump.flow", Kind::number, ""}},
                         .sources = {}};
  return all;
}

AlarmRule high(std::string id = "river-high", Severity severity = Severity::warning) {
  return {.id = std::move(id), .point = "river.level", .condition = Condition::above, .limit = 4.0, .severity = severity};
}
AlarmRule by(std::string_view expression, std::string id = "rule") {
  AlarmRule rule;
  rule.id = std::move(id);
  rule.condition = Condition::when;
  rule.when = Expression::parse(expression, names()).value();
  rule.point = rule.when->terms().front().label();
  return rule;
}

// "unacked@12 …": what happened, and when it is said to have happened.
std::string words(const std::vector<Alarm>& transitions) {
  std::string out;
  for (const auto& alarm : transitions) {
    if (!out.empty()) out += ' ';
    out += fmt::format("{}@{}", to_string(alarm.state), static_cast<double>(to_ms(alarm.since.mono)) / 1000);
  }
  return out;
}
std::string words(const Asked<std::vector<Alarm>>& result) {
  return result ? words(*result) : result.error().text.en;
}
std::string feed(Engine& engine, std::int64_t s, std::string point, Value value) {
  return words(engine.evaluate({.point = std::move(point), .at = at(s), .value = std::move(value)}).transitions);
}
std::string level(Engine& engine, std::int64_t s, double value) {
  return feed(engine, s, "river.level", value);
}
std::string tick(Engine& engine, std::int64_t s) {
  return words(engine.tick(at(s)).transitions);
}
PutAside aside(Millis length) {
  return {.length = length, .by = "li", .reason = "cleaning"};
}

// A restart: what is stored is all that is known.
Engine restarted(Engine& engine, const Rules& rules, std::uint32_t boot = kBoot) {
  static std::map<std::string, std::string> stored;
  for (auto& [key, value] : engine.save_changed()) stored.insert_or_assign(key, value);
  Engine out{rules, boot};
  for (const auto& [key, value] : stored) static_cast<void>(out.restore(key, value));
  return out;
}

}  // namespace

TEST_CASE("a shelved alarm goes on unseen and shows itself when that ends") {
  const Rules rules{.quality = {}, .alarms = {high()}};
  Engine engine{rules, kBoot};
  CHECK(tick(engine, 0) == "");
  CHECK(level(engine, 1, 5) == "unacked@1");
  CHECK(words(engine.shelve("river-high", aside(minutes{10}), at(10))) == "shelved@10");
  CHECK(engine.standing("river-high")->shelved->by == "li");
  CHECK(engine.acknowledge("river-high", {}, at(11)).error().text.en ==
        "alarm 'river-high' is shelved; there is nothing to acknowledge");
  SUBCASE("still there") {
    CHECK(tick(engine, 1000) == "unacked@610");
    CHECK(engine.alarms()[0].occurrence == 1);
  }
  SUBCASE("taken back") {
    CHECK(words(engine.unshelve("river-high", at(20))) == "unacked@20");
    CHECK(words(engine.unshelve("river-high", at(21))) == "alarm 'river-high' is not shelved");
  }
  SUBCASE("gone meanwhile") {
    CHECK(level(engine, 20, 3) == "");
    CHECK(level(engine, 610, 3) == "normal@610");
  }
  SUBCASE("gone and back meanwhile: another occurrence") {
    CHECK(level(engine, 20, 3) == "");
    CHECK(level(engine, 30, 5) == "");
    CHECK(tick(engine, 1000) == "unacked@610");
    CHECK(engine.alarms()[0].occurrence == 2);
  }
  SUBCASE("over a restart") {
    auto again = restarted(engine, rules);
    CHECK(tick(again, 30) == "");
    CHECK(again.alarms()[0].state == AlarmState::shelved);
    CHECK(again.standing("river-high")->shelved->reason == "cleaning");
    CHECK(tick(again, 1000) == "unacked@610");
  }
  SUBCASE("over a reboot it lasts as long again, unless the clock tells") {
    auto again = restarted(engine, rules, kBoot + 1);
    CHECK(tick(again, 30) == "");
    CHECK(tick(again, 629) == "");
    CHECK(tick(again, 631) == "unacked@630");
  }
  SUBCASE("bounds") {
    CHECK(words(engine.shelve("river-high", aside(hours{25}), at(12))) == "25h is out of range; from 1min to 1d");
    CHECK(words(engine.shelve("river-hihg", aside(hours{1}), at(12))) ==
          "there is no alarm 'river-hihg'; did you mean 'river-high'?");
  }
}

TEST_CASE("shelving over a reboot ends when the clock says so") {
  const Rules rules{.quality = {}, .alarms = {high()}};
  Engine engine{rules, kBoot};
  static_cast<void>(tick(engine, 0));
  auto how = aside(minutes{10});
  how.until_wall = wall_from_ms(1'795'000'000'000);
  CHECK(words(engine.shelve("river-high", how, at(10))) == "shelved@10");
  auto again = restarted(engine, rules, kBoot + 1);
  CHECK(tick(again, 1) == "");
  CHECK(words(again.tick(at(5), wall_from_ms(1'794'999'999'000)).transitions) == "");
  CHECK(tick(again, 7) == "normal@6");
}

TEST_CASE("out of service an alarm is not judged; put back it is judged anew") {
  auto rule = high();
  rule.on_delay = seconds{5};
  const Rules rules{.quality = {}, .alarms = {rule}};
  Engine engine{rules, kBoot};
  static_cast<void>(tick(engine, 0));
  CHECK(words(engine.take_out_of_service("river-high", aside({}), at(1))) == "out-of-service@1");
  CHECK(level(engine, 2, 5) == "");
  CHECK(tick(engine, 100) == "");
  engine = restarted(engine, rules);
  CHECK(tick(engine, 101) == "");
  CHECK(level(engine, 102, 5) == "");
  CHECK(words(engine.put_in_service("river-high", at(110))) == "normal@110");
  CHECK(tick(engine, 120) == "unacked@115");
  CHECK(words(engine.put_in_service("river-high", at(121))) == "alarm 'river-high' is in service");
}

TEST_CASE("what only its deadband kept raised is not raised anew") {  // it was, by a value within its limit
  auto rule = high();
  rule.deadband = 0.5;
  const auto quiet = [&](Engine& engine) {
    CHECK(words(engine.begin_maintenance("river", aside(hours{1}), at(10))) == "suppressed@10");
    CHECK(words(engine.end_maintenance("river", at(11))) == "normal@11");
  };
  SUBCASE("above") {
    Engine engine{{.quality = {}, .alarms = {rule}}, kBoot};
    CHECK(level(engine, 1, 5) == "unacked@1");
    CHECK(level(engine, 2, 3.75) == "");
    quiet(engine);
    CHECK(level(engine, 12, 4.25) == "unacked@12");
  }
  SUBCASE("below, by season") {
    rule.condition = Condition::below;
    rule.seasons = {{.limit = 2.0}};
    Engine engine{{.quality = {}, .alarms = {rule}}, kBoot};
    const WallTime wall{hours{24 * 20'000}};
    const auto feed_at = [&](std::int64_t s, double x) {
      return words(engine.evaluate({.point = "river.level", .at = at(s), .value = x}, wall).transitions);
    };
    CHECK(feed_at(1, 1.5) == "unacked@1");
    CHECK(feed_at(2, 2.25) == "");
    quiet(engine);
    CHECK(feed_at(12, 1.5) == "unacked@12");
  }
  SUBCASE("rise") {
    rule.condition = Condition::rise;
    rule.limit = 1.0;
    rule.within = minutes{10};
    Engine engine{{.quality = {}, .alarms = {rule}}, kBoot};
    CHECK(level(engine, 1, 1) == "");
    CHECK(level(engine, 2, 2.25) == "unacked@2");
    CHECK(level(engine, 3, 1.75) == "");
    quiet(engine);
    CHECK(level(engine, 12, 2.25) == "unacked@12");
  }
  SUBCASE("what is beyond the limit is, as before") {
    Engine engine{{.quality = {}, .alarms = {rule}}, kBoot};
    CHECK(level(engine, 1, 5) == "unacked@1");
    CHECK(words(engine.begin_maintenance("river", aside(hours{1}), at(10))) == "suppressed@10");
    CHECK(words(engine.end_maintenance("river", at(11))) == "normal@11 unacked@11");
  }
}

TEST_CASE("a value from before a loss of the sensor is not judged after a restart either") {  // it was
  const Rules rules{.quality = {}, .alarms = {high()}};
  for (const bool restart : {false, true}) {
    Engine engine{rules, kBoot};
    CHECK(words(engine.take_out_of_service("river-high", aside({}), at(0))) == "out-of-service@0");
    const std::vector<Reading> readings{
        {.point = "river.level", .at = at(1), .value = 5.0},
        {.point = "river.level", .at = at(2), .quality = Quality::missing, .why = "timeout"}};
    for (const auto& reading : readings) static_cast<void>(engine.evaluate(reading));
    if (restart) {
      engine = restarted(engine, rules);
      for (const auto& reading : readings) engine.prime(reading);
      CHECK(tick(engine, 3) == "");
    }
    CHECK(words(engine.put_in_service("river-high", at(4))) == "normal@4");
    CHECK(level(engine, 5, 5) == "unacked@5");
  }
}

TEST_CASE("low flow is no alarm while the pump is off") {
  AlarmRule rule{.id = "low-flow", .point = "pump.flow", .condition = Condition::below, .limit = 2.0, .on_delay = seconds{10}};
  rule.suppressed_when = Expression::parse("pump.on == false", names()).value();
  const Rules rules{.quality = {}, .alarms = {rule}};
  Engine engine{rules, kBoot};
  static_cast<void>(tick(engine, 0));
  CHECK(feed(engine, 1, "pump.on", false) == "suppressed@1");
  CHECK(feed(engine, 2, "pump.flow", 0.0) == "");
  CHECK(tick(engine, 50) == "");
  CHECK(engine.standing("low-flow")->by_design);
  CHECK(feed(engine, 60, "pump.on", true) == "normal@60");
  CHECK(feed(engine, 65, "pump.flow", 3.0) == "");  // it has come up in time
  CHECK(feed(engine, 70, "pump.flow", 1.0) == "");
  engine = restarted(engine, rules);
  CHECK(tick(engine, 71) == "");
  CHECK(tick(engine, 80) == "unacked@80");
  CHECK(feed(engine, 90, "pump.on", false) == "suppressed@90");
}

// What was read first was judged by what the others had been in the poll before: the alarm was raised for one poll.
TEST_CASE("a poll is judged by all that it says, in whatever order") {
  AlarmRule low{.id = "low-flow", .point = "pump.flow", .condition = Condition::below, .limit = 2.0};
  low.suppressed_when = Expression::parse("pump.on == false", names()).value();
  Engine engine{{.quality = {}, .alarms = {low, by("pump.flow < 2 AND pump.on", "dry")}}, kBoot};
  static_cast<void>(tick(engine, 0));
  bool flow_first = false;
  SUBCASE("the flow first") { flow_first = true; }
  SUBCASE("the pump first") {}
  const auto poll = [&](std::int64_t s, double flow, bool on) {
    const Reading of_flow{.point = "pump.flow", .at = at(s), .value = flow};
    const Reading of_pump{.point = "pump.on", .at = at(s), .value = on};
    CHECK(engine.evaluate(flow_first ? of_flow : of_pump, {}, true).transitions.empty());
    return words(engine.evaluate(flow_first ? of_pump : of_flow).transitions);
  };
  CHECK(poll(1, 5, true) == "");
  CHECK(poll(2, 0, false) == "suppressed@2");
  CHECK(poll(3, 5, true) == "normal@3");
  CHECK(poll(4, 1, true) == "unacked@4 unacked@4");
  CHECK(poll(5, 0, false) == "suppressed@5 returned@5");
  // The last of a poll may be of no alarm, or late: the others are judged all the same.
  CHECK(engine.evaluate({.point = "pump.on", .at = at(6), .value = true}, {}, true).transitions.empty());
  CHECK(words(engine.evaluate({.point = "rain.gauge", .at = at(6), .value = 1.0}).transitions) == "unacked@6 normal@6 unacked@6");
}

TEST_CASE("maintenance suppresses every alarm of a device, and ends by itself") {
  auto other = high("rain-much");
  other.point = "rain.gauge";
  const Rules rules{.quality = {}, .alarms = {high(), other, by("river.level > 3 and rain.gauge > 3")}};
  Engine engine{rules, kBoot};
  static_cast<void>(tick(engine, 0));
  CHECK(words(engine.begin_maintenance("rivr", aside(hours{1}), at(1))) ==
        "no alarm watches a device 'rivr'; all: the whole box");
  CHECK(words(engine.begin_maintenance("river", aside(hours{1}), at(1))) == "suppressed@1 suppressed@1");
  CHECK(level(engine, 2, 5) == "");
  CHECK(feed(engine, 3, "rain.gauge", 5.0) == "unacked@3");
  engine = restarted(engine, rules);
  CHECK(tick(engine, 4) == "");
  CHECK(level(engine, 5, 5) == "");
  CHECK(feed(engine, 5, "rain.gauge", 5.0) == "");
  CHECK(tick(engine, 4000) == "normal@3601 unacked@3601 normal@3601 unacked@3601");
  const auto notices = engine.take_notices();
  REQUIRE(notices.size() == 1);
  CHECK(notices[0].kind == Notice::Kind::maintenance_ends);
  CHECK(notices[0].about == "river");
  CHECK(words(engine.begin_maintenance("all", aside(hours{1}), at(4001))) == "suppressed@4001 suppressed@4001 suppressed@4001");
  CHECK(words(engine.end_maintenance("all", at(4002))) ==
        "normal@4002 unacked@4002 normal@4002 unacked@4002 normal@4002 unacked@4002");
}

TEST_CASE("an alarm that chatters stays raised until it has been gone for long") {
  const Rules rules{.quality = {}, .alarms = {high()}};
  Engine engine{rules, kBoot};
  static_cast<void>(tick(engine, 0));
  std::string all;
  for (int i = 0; i < 20; ++i) all += level(engine, 10 + i, i % 2 == 0 ? 5 : 3) + ",";
  CHECK(all == "unacked@10,returned@11,unacked@12,returned@13,unacked@14,,,,,,,,,,,,,,,,");
  const auto notices = engine.take_notices();
  REQUIRE(notices.size() == 1);
  CHECK(notices[0].about == "river-high");
  CHECK(engine.standing("river-high")->chatters);
  engine = restarted(engine, rules);
  CHECK(tick(engine, 30) == "");
  CHECK(level(engine, 60, 5) == "");
  CHECK(level(engine, 61, 3) == "");
  CHECK(tick(engine, 1000) == "returned@361");
  CHECK_FALSE(engine.standing("river-high")->chatters);
}

TEST_CASE("in a flood what matters less waits, and is not lost") {
  Rules rules;
  for (int i = 0; i < 12; ++i) rules.alarms.push_back(high(fmt::format("a{}", i), i == 11 ? Severity::critical : Severity::minor));
  for (int i = 0; i < 12; ++i) rules.alarms[static_cast<std::size_t>(i)].limit = 1.0 + i;
  Engine engine{rules, kBoot};
  static_cast<void>(tick(engine, 0));
  for (int i = 0; i < 10; ++i) CHECK(level(engine, 10 + i, 1.5 + i) == fmt::format("unacked@{}", 10 + i));
  CHECK_FALSE(engine.in_flood());
  CHECK(level(engine, 20, 11.5) == "suppressed@20");
  CHECK(engine.in_flood());
  CHECK(engine.standing("a10")->hushed);
  CHECK(level(engine, 21, 12.5) == "unacked@21");  // critical
  auto again = restarted(engine, rules);
  CHECK(again.in_flood());
  CHECK(tick(again, 22) == "");
  CHECK(tick(again, 3600) == "unacked@617.001");  // a10, when fewer than five are left of the last ten minutes
  CHECK_FALSE(again.in_flood());
  const auto notices = again.take_notices();
  REQUIRE(notices.size() == 1);
  CHECK(notices[0].kind == Notice::Kind::flood_ends);
}

TEST_CASE("what a flood hid is shown after a power cut") {  // it stayed hidden until it returned
  Rules rules;
  for (int i = 0; i < 12; ++i) rules.alarms.push_back(high(fmt::format("a{}", i), Severity::minor));
  Engine engine{rules, kBoot};
  static_cast<void>(tick(engine, 0));
  static_cast<void>(level(engine, 1, 5));
  REQUIRE(engine.in_flood());
  REQUIRE(engine.alarms()[11].state == AlarmState::suppressed);
  auto again = restarted(engine, rules, kBoot + 1);
  CHECK(tick(again, 5) == "unacked@5 unacked@5");
  CHECK_FALSE(again.in_flood());
  CHECK(level(again, 6, 3).substr(0, 10) == "returned@6");
}

TEST_CASE("a rule goes by its point's new unit after a reload") {  // by the old one until the next start
  const auto rules = [&](const std::string& unit) {
    auto rule = by("river.level > 300 cm");
    rule.when = Expression::parse("river.level > 300 cm", {.points = {{"river.level", Kind::number, unit}}}).value();
    return Rules{.quality = {}, .alarms = {rule}};
  };
  Engine engine{rules("m"), kBoot};
  CHECK(level(engine, 1, 2) == "");
  engine.reload(rules("cm"));
  static_cast<void>(tick(engine, 2));
  CHECK(level(engine, 3, 250) == "");
  CHECK(level(engine, 4, 350) == "unacked@4");
}

TEST_CASE("a rule over two points raises one alarm with both as sources") {
  const Rules rules{.quality = {{.point = "river.level", .range = Span{0, 10}}},
                    .alarms = {by("river.level > 3 AND sum(rain.gauge, 1h) > 30 mm")}};
  Engine engine{rules, kBoot};
  static_cast<void>(tick(engine, 0));
  CHECK(feed(engine, 10, "rain.gauge", 31.0) == "");
  CHECK(level(engine, 20, 11) == "");  // bad
  const auto raised = engine.evaluate({.point = "river.level", .at = at(30), .value = 3.5}).transitions;
  REQUIRE(raised.size() == 1);
  CHECK(raised[0].state == AlarmState::unacked);
  CHECK(raised[0].sources == std::vector<std::string>{"river.level", "rain.gauge"});
  CHECK(raised[0].value == Value{3.5});
  CHECK(raised[0].limit == Value{3.0});
  CHECK(level(engine, 40, 11) == "");  // bad: neither raised nor returned
  CHECK(level(engine, 45, 3.5) == "");
  CHECK(tick(engine, 5000) == "returned@3638.125");  // the rain is an hour old
}

TEST_CASE("a rule tells that a point is lost, also one that has never spoken") {
  const Rules rules{.quality = {{.point = "river.level", .gap = minutes{1}}}, .alarms = {by("NOT known(river.level)", "lost")}};
  Engine engine{rules, kBoot};
  CHECK(tick(engine, 0) == "");
  CHECK(tick(engine, 59) == "");
  CHECK(tick(engine, 62) == "unacked@60.001");
  CHECK(level(engine, 70, 2) == "returned@70");
  const auto lost = [&](std::int64_t s) {
    return words(engine.evaluate({.point = "river.level", .at = at(s), .quality = Quality::missing, .why = "timeout"}).transitions);
  };
  CHECK(lost(80) == "unacked@80");
  engine = restarted(engine, rules);  // nothing is known of the point: it is neither raised again nor returned
  CHECK(tick(engine, 81) == "");
  CHECK(lost(90) == "");
  CHECK(level(engine, 100, 2) == "returned@100");
}

TEST_CASE("what a station tells of hours past is no rain of the last one") {  // all of it was summed as of now
  const Rules rules{.quality = {}, .alarms = {by("river.level > 3 AND sum(rain.gauge, 1h) > 30 mm")}};
  Engine engine{rules, kBoot};
  static_cast<void>(tick(engine, 0));
  CHECK(level(engine, 36'000, 4) == "");
  for (int hour = 0; hour <= 10; ++hour) CHECK(feed(engine, hour * 3'600, "rain.gauge", 12.0) == "");
  CHECK(feed(engine, 36'060, "rain.gauge", 12.0) == "");
  CHECK(feed(engine, 36'120, "rain.gauge", 12.0) == "unacked@36120");
}

TEST_CASE("what a station tells of before the boot is no rain of the time since") {  // all of it was
  AlarmRule rise{.id = "rise", .point = "rain.gauge", .condition = Condition::rise, .limit = 5.0, .within = minutes{10}};
  const Rules rules{.quality = {}, .alarms = {by("sum(rain.gauge, 1h) > 30"), rise}};
  Engine engine{rules, kBoot};
  static_cast<void>(tick(engine, 60));
  for (int hour = 0; hour < 10; ++hour) {
    const auto told = engine.evaluate({.point = "rain.gauge",
                                       .at = MonoTime{},
                                       .value = 8.0 + hour,
                                       .device_time = wall_from_ms(1'795'000'000'000 + hour * 3'600'000)});
    CHECK(words(told.transitions) == "");
  }
  CHECK(feed(engine, 120, "rain.gauge", 29.0) == "");
  CHECK(feed(engine, 180, "rain.gauge", 2.0) == "unacked@180");
  CHECK(feed(engine, 240, "rain.gauge", 8.0) == "unacked@240");  // by 6
}

// At each reading the oldest left before the newest was there: the alarm returned, and was raised again, every 5 minutes.
TEST_CASE("steady rain is one alarm") {
  Engine engine{{.quality = {}, .alarms = {by("sum(rain.gauge, 1h) > 30"), by("increase(river.level, 1h) > 30", "counter")}}, kBoot};
  static_cast<void>(tick(engine, 0));
  std::int64_t jitter = 0;
  SUBCASE("on the minute") {}
  SUBCASE("a little earlier or later") { jitter = 3; }
  std::string told;
  double total = 0;
  const auto rain = [&](int i, double mm) {
    const auto now = 300 * i + jitter * (i % 3 - 1);
    if (const auto words = tick(engine, now - 1); !words.empty()) told += words + ' ';
    for (const auto& words : {feed(engine, now, "rain.gauge", mm), feed(engine, now, "river.level", total += mm)}) {
      if (!words.empty()) told += words + ' ';
    }
  };
  int i = 1;
  while (i < 40) rain(i++, 2.55);
  CHECK(engine.alarms()[0].state == AlarmState::unacked);
  CHECK(engine.alarms()[1].state == AlarmState::unacked);
  CHECK(std::count(told.begin(), told.end(), '@') == 2);
  while (i < 60) rain(i++, 0);
  CHECK(engine.alarms()[0].state == AlarmState::returned);
  CHECK(engine.alarms()[1].state == AlarmState::returned);
  CHECK(engine.alarms()[0].occurrence == 1);
  CHECK(engine.alarms()[1].occurrence == 1);
}

TEST_CASE("what a counter has gone up while it was lost for long is no rain of the last hour") {  // it was
  const Rules rules{.quality = {}, .alarms = {by("increase(rain.gauge, 1h) > 30")}};
  Engine engine{rules, kBoot};
  static_cast<void>(tick(engine, 0));
  const auto lost = [&](std::int64_t s) {
    return words(engine.evaluate({.point = "rain.gauge", .at = at(s), .quality = Quality::missing, .why = "timeout"})
                     .transitions);
  };
  for (int minute = 0; minute <= 120; ++minute) CHECK(feed(engine, minute * 60, "rain.gauge", 100.0) == "");
  SUBCASE("for ten hours") {
    CHECK(lost(7'260) == "");
    CHECK(feed(engine, 43'200, "rain.gauge", 150.0) == "");
    CHECK(feed(engine, 43'260, "rain.gauge", 181.0) == "unacked@43260");
  }
  SUBCASE("for half an hour: that was within it") {
    CHECK(lost(7'260) == "");
    CHECK(feed(engine, 9'000, "rain.gauge", 131.0) == "unacked@9000");
  }
  SUBCASE("never lost, and told each two hours") {
    CHECK(feed(engine, 14'400, "rain.gauge", 131.0) == "unacked@14400");
  }
}

TEST_CASE("a window since a time of day begins anew within the hour where the clock is set") {  // a day later
  const Rules rules{.quality = {}, .alarms = {by("count(pump.on, since 05:00) < 1")}};
  Engine engine{rules, kBoot};
  const WallTime noon{hours{24 * 20'000 + 4}};
  static_cast<void>(engine.tick(at(0), noon - hours{6}));
  const auto pump = [&](std::int64_t s, bool on) {
    return words(engine.evaluate({.point = "pump.on", .at = at(s), .value = on}, noon - hours{6} + seconds{s}).transitions);
  };
  CHECK(pump(10, false) == "");
  CHECK(pump(21'600, true) == "");  // at noon
  const auto next_day = noon + hours{17} + minutes{30};
  CHECK(words(engine.tick(at(25'200), next_day).transitions) == "unacked@25200");
}

TEST_CASE("a rule over a camera's event and a point") {
  const Rules rules{.quality = {}, .alarms = {by("event('cam-pond', 'intrusion') and river.level > 1")}};
  Engine engine{rules, kBoot};
  static_cast<void>(tick(engine, 0));
  CHECK(level(engine, 1, 2) == "");
  Event seen{.source = "cam-pond", .kind = "intrusion", .phase = Phase::start, .id = "e", .at = at(5)};
  CHECK(words(engine.take(seen)) == "unacked@5");
  seen.phase = Phase::end;
  seen.at = at(9);
  CHECK(words(engine.take(seen)) == "returned@9");
  seen.source = "cam-other";
  CHECK(words(engine.take(seen)) == "");
}

TEST_CASE("limits by season wait where only the clock could tell") {
  auto rule = high();
  rule.seasons = {{.first_month = 6, .last_month = 9, .limit = 3.0}};
  Engine engine{{.quality = {}, .alarms = {rule}}, kBoot};
  const auto july = wall_from_ms(1'783'000'000'000);
  const auto feed_at = [&](std::int64_t s, double x, std::optional<WallTime> wall) {
    return words(engine.evaluate({.point = "river.level", .at = at(s), .value = x}, wall).transitions);
  };
  CHECK(feed_at(1, 3.5, {}) == "");
  CHECK(feed_at(2, 4.5, {}) == "unacked@2");  // whatever the season
  CHECK(feed_at(3, 3.5, {}) == "");
  CHECK(feed_at(4, 2.5, {}) == "returned@4");
  CHECK(feed_at(5, 3.5, july) == "unacked@5");
  CHECK(engine.alarms()[0].limit == Value{3.0});
  CHECK(feed_at(6, 3.5, july + std::chrono::days{120}) == "returned@6");
}

TEST_CASE("a limit by season is known of a value from before a restart") {  // it had to wait for the next reading
  auto rule = high("a");
  rule.limit = 100.0;
  rule.seasons = {{.first_month = 1, .last_month = 12, .limit = 4.0}};
  const WallTime noon{std::chrono::hours{24 * 20'000 + 4}};
  Engine engine{{.quality = {}, .alarms = {rule}}, kBoot};
  REQUIRE(engine.take_out_of_service("a", {.by = "li", .reason = "dry"}, mono_from_ms(0)));
  const auto stored = engine.save_changed();
  Engine again{{.quality = {}, .alarms = {rule}}, kBoot};
  for (const auto& [key, value] : stored) REQUIRE(again.restore(key, value));
  again.prime({.point = "river.level", .at = mono_from_ms(1'000), .value = 5.0}, noon);
  static_cast<void>(again.tick(mono_from_ms(2'000), noon));
  const auto back = again.put_in_service("a", mono_from_ms(3'000));
  REQUIRE(back);
  CHECK(back->back().state == AlarmState::unacked);
}

TEST_CASE("a reload keeps what a rule remembers") {
  const Rules rules{.quality = {}, .alarms = {by("held(river.level > 3, 10s)")}};
  Engine engine{rules, kBoot};
  static_cast<void>(tick(engine, 0));
  static_cast<void>(level(engine, 1, 1));
  static_cast<void>(level(engine, 2, 4));
  engine.reload(rules);
  CHECK(tick(engine, 5) == "");
  CHECK(tick(engine, 20) == "unacked@12");
  engine.reload({.quality = {}, .alarms = {high(), by("river.level > 3")}});
  CHECK(tick(engine, 21) == "");
  CHECK(engine.alarms()[1].state == AlarmState::unacked);
  engine.reload({});
  CHECK(engine.orphans().size() == 2);
}

}  // namespace lifecycle_test
