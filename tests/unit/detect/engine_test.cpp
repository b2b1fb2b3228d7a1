#include "firmware/detect/engine.hpp"

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace engine_test {

using namespace hamlet;
using namespace hamlet::detect;
using std::chrono::minutes;
using std::chrono::seconds;

namespace {

constexpr std::uint32_t kBoot = 7;
constexpr MonoTime at(std::int64_t s) {
  return mono_from_ms(s * 1000);
}

Reading reading(std::int64_t s, Value value, std::string point = "river.level") {
  return {.point = std::move(point), .at = at(s), .value = std::move(value)};
}
Reading missing(std::int64_t s) {
  return {.point = "river.level", .at = at(s), .quality = Quality::missing, .why = "timeout"};
}

AlarmRule high(Millis on_delay = {}, Millis off_delay = {}) {
  return {.id = "river-high",
          .point = "river.level",
          .condition = Condition::above,
          .limit = 4.0,
          .deadband = 0.5,
          .on_delay = on_delay,
          .off_delay = off_delay,
          .severity = Severity::critical,
          .text = {"水位高", "River is high"}};
}

Engine engine_of(AlarmRule alarm, QualityRule quality = {.point = "river.level", .range = Span{0, 10}}) {
  return Engine{{.quality = {std::move(quality)}, .alarms = {std::move(alarm)}}, kBoot};
}

// "unacked@12": what happened, and when it is said to have happened.
std::string words(const std::vector<Alarm>& transitions) {
  std::string out;
  for (const auto& alarm : transitions) {
    if (!out.empty()) out += ' ';
    out += fmt::format("{}@{}", to_string(alarm.state), static_cast<double>(to_ms(alarm.since.mono)) / 1000);
  }
  return out;
}
std::string feed(Engine& engine, Reading input) {
  return words(engine.evaluate(std::move(input)).transitions);
}

}  // namespace

TEST_CASE("an alarm goes through its life") {
  auto engine = engine_of(high());
  CHECK(feed(engine, reading(1, 4.0)) == "");  // strictly above
  const auto raised = engine.evaluate(reading(2, 4.25)).transitions;
  REQUIRE(raised.size() == 1);
  CHECK(raised[0].id == "river-high");
  CHECK(raised[0].occurrence == 1);
  CHECK(raised[0].state == AlarmState::unacked);
  CHECK(raised[0].severity == Severity::critical);
  CHECK(raised[0].since == Moment{kBoot, at(2)});
  CHECK(raised[0].value == Value{4.25});
  CHECK(raised[0].limit == Value{4.0});
  CHECK(raised[0].text.zh == "水位高");
  CHECK(raised[0].sources == std::vector<std::string>{"river.level"});
  CHECK(feed(engine, reading(3, 9.0)) == "");

  SUBCASE("acknowledged, then returned") {
    const auto acked = engine.acknowledge("river-high", 1, at(4));
    REQUIRE(acked);
    CHECK(acked->state == AlarmState::acked);
    CHECK(acked->since == Moment{kBoot, at(4)});
    CHECK(feed(engine, reading(5, 3.5)) == "normal@5");
  }
  SUBCASE("returned, then acknowledged") {
    CHECK(feed(engine, reading(5, 3.5)) == "returned@5");
    const auto acked = engine.acknowledge("river-high", {}, at(6));
    REQUIRE(acked);
    CHECK(acked->state == AlarmState::normal);
  }
  SUBCASE("returned, then raised again: another occurrence") {
    CHECK(feed(engine, reading(5, 3.5)) == "returned@5");
    const auto again = engine.evaluate(reading(6, 5.0)).transitions;
    REQUIRE(again.size() == 1);
    CHECK(again[0].occurrence == 2);
    CHECK(again[0].state == AlarmState::unacked);
  }
  SUBCASE("within the deadband it stays") {
    CHECK(feed(engine, reading(5, 3.75)) == "");
    CHECK(feed(engine, reading(6, 3.5)) == "returned@6");
    CHECK(feed(engine, reading(7, 3.75)) == "");
    CHECK(feed(engine, reading(8, 4.0)) == "");
  }
}

TEST_CASE("acknowledging what cannot be says why") {
  auto engine = engine_of(high());
  auto wrong = engine.acknowledge("river-hihg", {}, at(1));
  REQUIRE(!wrong);
  CHECK(wrong.error().code == Errc::not_found);
  CHECK(wrong.error().text.en == "there is no alarm 'river-hihg'; did you mean 'river-high'?");
  wrong = engine.acknowledge("river-high", {}, at(1));
  REQUIRE(!wrong);
  CHECK(wrong.error().code == Errc::invalid);
  CHECK(wrong.error().text.en == "alarm 'river-high' is normal; there is nothing to acknowledge");
  CHECK(feed(engine, reading(2, 5.0)) == "unacked@2");
  wrong = engine.acknowledge("river-high", 2, at(3));
  REQUIRE(!wrong);
  CHECK(wrong.error().text.en == "alarm 'river-high' is at occurrence 1, not 2; look at it again");
  CHECK(engine.acknowledge("river-high", 1, at(3)));
  wrong = engine.acknowledge("river-high", 1, at(4));
  REQUIRE(!wrong);
  CHECK(wrong.error().text.en == "alarm 'river-high' is acknowledged; there is nothing to acknowledge");
}

TEST_CASE("delays run out at their very moment") {
  auto engine = engine_of(high(seconds{30}, seconds{60}));
  CHECK(feed(engine, reading(10, 5.0)) == "");
  CHECK(engine.next_due() == at(40));
  CHECK(engine.tick(mono_from_ms(39'999)).transitions.empty());

  SUBCASE("told by the timer") {
    CHECK(words(engine.tick(at(40)).transitions) == "unacked@40");
  }
  SUBCASE("told by a late timer, as of the moment it was due") {
    CHECK(words(engine.tick(at(55)).transitions) == "unacked@40");
  }
  SUBCASE("told by the next reading") {
    CHECK(feed(engine, reading(40, 5.0)) == "unacked@40");
  }
  SUBCASE("a reading that denies it at the same moment comes after") {
    CHECK(feed(engine, reading(40, 1.0)) == "unacked@40");
    CHECK(words(engine.tick(at(100)).transitions) == "returned@100");
    return;
  }
  SUBCASE("a reading that denies it before stops it") {
    CHECK(engine.evaluate({.point = "river.level", .at = mono_from_ms(39'999), .value = 4.0}).transitions.empty());
    CHECK(engine.tick(at(1000)).transitions.empty());
    return;
  }
  CHECK(feed(engine, reading(60, 3.0)) == "");
  CHECK(feed(engine, reading(100, 3.0)) == "");
  CHECK(feed(engine, reading(110, 3.6)) == "");  // back above limit minus deadband: the off-delay starts anew
  CHECK(feed(engine, reading(115, 3.0)) == "");
  CHECK(engine.tick(mono_from_ms(174'999)).transitions.empty());
  CHECK(words(engine.tick(at(175)).transitions) == "returned@175");
  CHECK(engine.tick(at(10'000)).transitions.empty());
}

TEST_CASE("bad and missing readings freeze an alarm, suspect ones count") {
  QualityRule quality{.point = "river.level", .range = Span{0, 10}, .suspect = Span{0, 6}};
  SUBCASE("a bad one does not raise") {
    auto engine = engine_of(high(), quality);
    CHECK(feed(engine, reading(1, 11.0)) == "");
    CHECK(feed(engine, reading(2, 7.0)) == "unacked@2");
  }
  SUBCASE("nor do bad and missing ones return") {
    auto engine = engine_of(high(), quality);
    CHECK(feed(engine, reading(1, 5.0)) == "unacked@1");
    CHECK(feed(engine, reading(2, -1.0)) == "");
    CHECK(feed(engine, missing(3)) == "");
    CHECK(feed(engine, reading(4, std::nan(""))) == "");
    CHECK(feed(engine, reading(5, std::string{"low"})) == "");
    CHECK(feed(engine, reading(6, 1.0)) == "returned@6");
  }
  SUBCASE("a delay is held, and goes on where it stopped") {
    auto engine = engine_of(high(seconds{30}), quality);
    CHECK(feed(engine, reading(0, 5.0)) == "");
    CHECK(feed(engine, missing(20)) == "");
    CHECK(engine.tick(at(100)).transitions.empty());
    CHECK(feed(engine, reading(100, 5.0)) == "");
    CHECK(engine.tick(mono_from_ms(109'999)).transitions.empty());
    CHECK(words(engine.tick(at(110)).transitions) == "unacked@110");
  }
  SUBCASE("a held delay ends with a reading that denies it") {
    auto engine = engine_of(high(seconds{30}), quality);
    CHECK(feed(engine, reading(0, 5.0)) == "");
    CHECK(feed(engine, missing(20)) == "");
    CHECK(feed(engine, reading(100, 2.0)) == "");
    CHECK(feed(engine, reading(110, 5.0)) == "");
    CHECK(words(engine.tick(at(1000)).transitions) == "unacked@140");
  }
}

TEST_CASE("the other conditions") {
  AlarmRule rule{.id = "a", .point = "river.level", .condition = Condition::below, .limit = 1.0, .deadband = 0.5};
  SUBCASE("below") {
    auto engine = engine_of(rule);
    CHECK(feed(engine, reading(1, 1.0)) == "");
    CHECK(feed(engine, reading(2, 0.75)) == "unacked@2");
    CHECK(feed(engine, reading(3, 1.25)) == "");
    CHECK(feed(engine, reading(4, 1.5)) == "returned@4");
  }
  SUBCASE("equals, a boolean") {
    rule.condition = Condition::equals;
    rule.limit = true;
    auto engine = engine_of(rule);
    CHECK(feed(engine, reading(1, false)) == "");
    CHECK(feed(engine, reading(2, true)) == "unacked@2");
    CHECK(feed(engine, reading(3, 0.0)) == "");  // of another type: nothing is known
    CHECK(feed(engine, reading(4, false)) == "returned@4");
  }
  SUBCASE("equals, a text") {
    rule.condition = Condition::equals;
    rule.limit = std::string{"open"};
    auto engine = engine_of(rule);
    CHECK(feed(engine, reading(1, std::string{"open"})) == "unacked@1");
    CHECK(feed(engine, reading(2, std::string{"shut"})) == "returned@2");
  }
  SUBCASE("rise") {
    rule.condition = Condition::rise;
    rule.within = minutes{10};
    auto engine = engine_of(rule);
    CHECK(feed(engine, reading(0, 2.0)) == "");
    CHECK(feed(engine, reading(300, 2.5)) == "");
    CHECK(feed(engine, reading(600, 3.0)) == "");              // exactly 1.0 above the lowest, ten minutes ago
    CHECK(feed(engine, reading(610, 3.75)) == "unacked@610");  // 1.25 above 2.5
    CHECK(feed(engine, reading(901, 3.75)) == "");             // 0.75 above 3.0: within the deadband
    CHECK(feed(engine, reading(1300, 4.0)) == "returned@1300");
  }
  SUBCASE("fall") {
    rule.condition = Condition::fall;
    rule.within = minutes{10};
    auto engine = engine_of(rule);
    CHECK(feed(engine, reading(0, 2.0)) == "");
    CHECK(feed(engine, reading(10, 5.0)) == "");
    CHECK(feed(engine, reading(20, 4.0)) == "");
    CHECK(feed(engine, reading(30, 3.75)) == "unacked@30");
  }
}

TEST_CASE("a silent point is told once, from the first tick on") {
  auto engine = engine_of(high(minutes{20}), {.point = "river.level", .gap = minutes{5}});
  CHECK(!engine.next_due());
  CHECK(engine.tick(at(0)).readings.empty());

  SUBCASE("one that never spoke") {
    CHECK(engine.next_due() == mono_from_ms(300'001));
    CHECK(engine.tick(at(300)).readings.empty());
    const auto told = engine.tick(at(301)).readings;
    REQUIRE(told.size() == 1);
    CHECK(told[0].point == "river.level");
    CHECK(told[0].quality == Quality::missing);
    CHECK(told[0].why == "gap");
    CHECK(told[0].at == mono_from_ms(300'001));
    CHECK(engine.tick(at(5000)).readings.empty());
    CHECK(!engine.next_due());
  }
  SUBCASE("one that stopped, and speaks again") {
    for (int s = 0; s <= 1000; s += 100) {
      CHECK(engine.evaluate(reading(s, 5.0)).reading.quality == Quality::good);
      CHECK(engine.tick(at(s)).readings.empty());
    }
    CHECK(engine.tick(at(1300)).readings.empty());
    CHECK(engine.tick(at(9000)).readings.size() == 1);
    CHECK(engine.tick(at(9001)).transitions.empty());  // the on-delay is held: 1300.001 s of 20 min went by … not yet
    CHECK(engine.evaluate(reading(9001, 5.0)).transitions.empty());
    CHECK(engine.tick(at(9302)).readings.size() == 1);
  }
}

TEST_CASE("silence holds a delay, whether tick() was called or not") {
  for (const bool ticked : {true, false}) {
    auto engine = engine_of(high(minutes{10}), {.point = "river.level", .gap = minutes{5}});
    CHECK(engine.tick(at(0)).readings.empty());
    CHECK(feed(engine, reading(100, 5.0)) == "");
    if (ticked) CHECK(engine.tick(at(3000)).readings.size() == 1);
    CHECK(feed(engine, reading(3000, 5.0)) == "");  // 300.001 s were known, 299.999 s are left
    CHECK(engine.tick(mono_from_ms(3'299'998)).transitions.empty());
    const auto raised = engine.tick(at(3300)).transitions;
    REQUIRE(raised.size() == 1);
    CHECK(raised[0].since.mono == mono_from_ms(3'299'999));
  }
}

TEST_CASE("readings out of order change no alarm") {
  auto engine = engine_of(high());
  CHECK(feed(engine, reading(100, 1.0)) == "");
  const auto late = engine.evaluate(reading(50, 9.0));
  CHECK(late.transitions.empty());
  CHECK(late.reading.quality == Quality::good);
  CHECK(engine.evaluate(reading(60, 11.0)).reading.why == "gross-range");
  CHECK(feed(engine, reading(100, 9.0)) == "unacked@100");
  CHECK(feed(engine, reading(100, 9.0)) == "");
}

TEST_CASE("points without rules pass, yet never with a value that is none") {
  auto engine = engine_of(high());
  CHECK(engine.evaluate(reading(1, 99.0, "other.point")).reading.quality == Quality::good);
  CHECK(engine.evaluate(reading(1, HUGE_VAL, "other.point")).reading.quality == Quality::missing);
}

TEST_CASE("state is saved when it changes, as the contract has it") {
  auto engine = engine_of(high(seconds{30}));
  CHECK(engine.save_changed().empty());
  CHECK(feed(engine, reading(1, 3.0)) == "");
  CHECK(engine.save_changed().empty());
  CHECK(feed(engine, reading(10, 5.0)) == "");
  auto saved = engine.save_changed();
  REQUIRE(saved.size() == 1);
  CHECK(saved[0].first == "alarm/river-high");
  CHECK(nlohmann::json::parse(saved[0].second)["_due"] == nlohmann::json{{"boot", 7}, {"mono", 40'000}});
  CHECK(engine.save_changed().empty());
  CHECK(feed(engine, reading(40, 5.5)) == "unacked@40");
  saved = engine.save_changed();
  REQUIRE(saved.size() == 2);  // and how many were raised of late
  auto alarm = nlohmann::json::parse(saved[0].second);
  CHECK(alarm.erase("_raised") == 1);
  CHECK(alarm ==
        nlohmann::json::parse(R"({"alarm":"river-high","occurrence":1,"state":"unacked","severity":"critical",
          "since":{"boot":7,"mono":40000},"value":5.0,"limit":4.0,"text":{"zh":"水位高","en":"River is high"},
          "sources":["river.level"]})"));
}

TEST_CASE("an alarm raised before a restart is still raised, and not raised twice") {
  auto before = engine_of(high());
  CHECK(feed(before, reading(2, 5.0)) == "unacked@2");
  const auto saved = before.save_changed();
  for (const std::uint32_t boot : {kBoot, kBoot + 1}) {
    Engine after{{.quality = {}, .alarms = {high()}}, boot};
    for (const auto& [key, value] : saved) CHECK(after.restore(key, value));
    CHECK(after.save_changed().empty() == (boot == kBoot));  // when it was raised of late counts within a boot
    REQUIRE(after.alarms().size() == 1);
    CHECK(after.alarms()[0].state == AlarmState::unacked);
    CHECK(after.alarms()[0].since == Moment{kBoot, at(2)});
    CHECK(after.alarms()[0].value == Value{5.0});
    CHECK(feed(after, reading(3, 5.0)) == "");
    CHECK(feed(after, reading(4, 1.0)) == "returned@4");
    const auto again = after.evaluate(reading(5, 5.0)).transitions;
    REQUIRE(again.size() == 1);
    CHECK(again[0].occurrence == 2);
  }
}

TEST_CASE("a delay goes on across a restart, and starts anew in another boot") {
  auto before = engine_of(high(seconds{30}));
  CHECK(feed(before, reading(10, 5.0)) == "");
  const auto saved = before.save_changed();
  Engine same{{.quality = {}, .alarms = {high(seconds{30})}}, kBoot};
  Engine other{{.quality = {}, .alarms = {high(seconds{30})}}, kBoot + 1};
  for (const auto& [key, value] : saved) {
    CHECK(same.restore(key, value));
    CHECK(other.restore(key, value));
  }
  const auto raised = same.tick(at(60)).transitions;
  CHECK(words(raised) == "unacked@40");
  REQUIRE(raised.size() == 1);
  CHECK(raised[0].value == Value{5.0});
  CHECK(other.tick(at(60)).transitions.empty());
  CHECK(feed(other, reading(70, 5.0)) == "");
  CHECK(words(other.tick(at(100)).transitions) == "unacked@100");
}

TEST_CASE("damaged state is told, and the alarm starts afresh") {
  const std::string good =
      R"({"alarm":"river-high","occurrence":3,"state":"unacked","since":{"boot":7,"mono":1},"value":5,"limit":4})";
  std::vector<std::string> damaged{"", "{", "[]", "null", "\xff\xfe", std::string(60'000, '[')};
  for (const auto& [from, to] : std::map<std::string, std::string>{{"\"unacked\"", "\"shelved\""},
                                                                   {"\"unacked\"", "1"},
                                                                   {":3", ":-3"},
                                                                   {":3", ":0"},
                                                                   {":3", ":3.5"},
                                                                   {":3", ":18446744073709551615"},
                                                                   {":7", ":4294967296"},
                                                                   {":1}", ":-1}"},
                                                                   {"river-high", "other"}}) {
    auto text = good;
    text.replace(text.find(from), from.size(), to);
    damaged.push_back(std::move(text));
  }
  for (std::size_t cut = 0; cut < good.size(); cut += 7) damaged.push_back(good.substr(0, cut));
  for (const auto& text : damaged) {
    CAPTURE(text);
    auto engine = engine_of(high());
    const auto status = engine.restore("alarm/river-high", text);
    REQUIRE(!status);
    CHECK(status.error().code == Errc::corrupt);
    CHECK(engine.alarms()[0].state == AlarmState::normal);
    CHECK(engine.save_changed().size() == 1);
    CHECK(feed(engine, reading(2, 5.0)) == "unacked@2");
  }
  auto engine = engine_of(high());
  CHECK(engine.restore("alarm/river-high", good));
  for (const char* key : {"other/river-high", "alarm/", "alarm/River"}) {
    const auto status = engine.restore(key, good);
    REQUIRE(!status);
    CHECK(status.error().code == Errc::invalid);
  }
}

TEST_CASE("a text that is no UTF-8 is saved all the same") {
  AlarmRule rule{.id = "a", .point = "river.level", .condition = Condition::equals, .limit = std::string{"\xff"}};
  auto engine = engine_of(rule);
  CHECK(feed(engine, reading(1, std::string{"\xff"})) == "unacked@1");
  CHECK(engine.save_changed().size() == 2);
}

TEST_CASE("alarms whose rule is gone are orphans") {
  auto engine = engine_of(high());
  CHECK(engine.restore("alarm/old-one", "{}"));
  CHECK(engine.orphans() == std::vector<std::string>{"old-one"});
  CHECK(engine.alarms().size() == 1);
}

TEST_CASE("a reload keeps what its rules leave unchanged") {
  auto rise = AlarmRule{
      .id = "rising", .point = "rain.hour", .condition = Condition::rise, .limit = 1.0, .within = minutes{10}};
  const QualityRule quality{.point = "river.level", .rate_of_change = 0.1, .gap = minutes{5}};
  Engine engine{{.quality = {quality}, .alarms = {high(seconds{30}), rise}}, kBoot};
  CHECK(engine.tick(at(0)).readings.empty());
  CHECK(feed(engine, reading(1, 5.0)) == "");
  CHECK(feed(engine, reading(1, 0.0, "rain.hour")) == "");

  SUBCASE("delays, windows and tests go on") {
    engine.reload({.quality = {quality}, .alarms = {rise, high(seconds{30})}});
    CHECK(engine.tick(at(2)).readings.empty());
    CHECK(feed(engine, reading(2, 1.5, "rain.hour")) == "unacked@2");
    CHECK(engine.evaluate(reading(11, 9.0)).reading.why == "rate-of-change");
    CHECK(words(engine.tick(at(31)).transitions) == "unacked@31");
    CHECK(engine.tick(at(312)).readings.size() == 1);
  }
  SUBCASE("another text or severity leaves the delay running") {  // it used to start anew
    auto reworded = high(seconds{30});
    reworded.text.zh = "河水位高";
    reworded.severity = Severity::major;
    engine.reload({.quality = {quality}, .alarms = {reworded, rise}});
    const auto raised = engine.tick(at(31)).transitions;
    CHECK(words(raised) == "unacked@31");
    CHECK(raised.at(0).text.zh == "河水位高");
    CHECK(raised.at(0).severity == Severity::major);
  }
  SUBCASE("another delay starts anew") {
    engine.reload({.quality = {quality}, .alarms = {high(seconds{10})}});
    CHECK(engine.orphans() == std::vector<std::string>{"rising"});
    CHECK(engine.tick(at(20)).transitions.empty());
    CHECK(feed(engine, reading(20, 5.0)) == "");
    CHECK(words(engine.tick(at(30)).transitions) == "unacked@30");
  }
  SUBCASE("a raised alarm stays raised, and returns from the orphans") {
    CHECK(words(engine.tick(at(31)).transitions) == "unacked@31");
    engine.reload({.quality = {quality}, .alarms = {}});
    CHECK(engine.alarms().empty());
    engine.reload({.quality = {quality}, .alarms = {high()}});
    CHECK(engine.orphans() == std::vector<std::string>{"rising"});
    REQUIRE(engine.alarms().size() == 1);
    CHECK(engine.alarms()[0].state == AlarmState::unacked);
    CHECK(feed(engine, reading(40, 5.0)) == "");
    CHECK(feed(engine, reading(41, 1.0)) == "returned@41");
  }
}

TEST_CASE("how much of the past is of use") {
  CHECK(engine_of(high(), {.point = "river.level"}).history() == Millis{0});
  const FlatLineRule flat{.tolerance = 1, .suspect = minutes{64}};
  CHECK(engine_of(high(), {.point = "river.level", .flat_line = flat}).history() == minutes{128});
}

TEST_CASE("a spike leaves as good and is corrected by the next reading") {
  Engine engine{
      {.quality = {{.point = "river.level", .spike = SpikeRule{.suspect = 1, .fail = 3}, .anomaly = AnomalyRule{}}},
       .alarms = {high()}},
      kBoot};
  CHECK(!engine.evaluate(reading(1, 2.0)).correction);
  const auto spike = engine.evaluate(reading(2, 9.0));
  CHECK(spike.reading.quality == Quality::good);
  CHECK(spike.tests[Test::spike] == Flag::not_evaluated);
  CHECK(words(spike.transitions) == "unacked@2");  // alarms do not look ahead
  const auto next = engine.evaluate(reading(3, 2.0));
  CHECK(next.spike_before == Flag::fail);
  REQUIRE(next.correction);
  CHECK(next.correction->at == at(2));
  CHECK(next.correction->value == Value{9.0});
  CHECK(next.correction->quality == Quality::bad);
  CHECK(next.correction->why == "spike");
  CHECK(engine.point_state("river.level")->detector->samples == 1);  // the spike was not learned, this one waits
}

TEST_CASE("tests by hour wait for the clock, and say so") {
  auto engine = engine_of(high(), {.point = "river.level", .climatology = {{.suspect = Span{1, 3}}}});
  CHECK(engine.evaluate(reading(1, 9.0)).tests[Test::climatology] == Flag::not_evaluated);
  CHECK(engine.point_state("river.level")->waits_for_clock);
  const auto outcome = engine.evaluate(reading(2, 9.0), wall_from_ms(1'795'411'860'000));
  CHECK(outcome.reading.quality == Quality::suspect);
  CHECK(outcome.reading.why == "climatology");
  CHECK(!engine.point_state("river.level")->waits_for_clock);
  CHECK(engine.point_state("river.level")->tests == std::vector<std::string_view>{"climatology"});
  CHECK(!engine.point_state("rain.hour"));
}

TEST_CASE("a gauge is compared with its neighbour's newest good reading") {
  Engine engine{
      {.quality = {{.point = "river.level",
                    .neighbour = NeighbourRule{.point = "bridge.level", .difference = 1.0, .within = seconds{60}}},
                   {.point = "bridge.level", .range = Span{0, 10}}},
       .alarms = {}},
      kBoot};
  const auto flag = [&](std::int64_t s, double x) { return engine.evaluate(reading(s, x)).tests[Test::neighbour]; };
  CHECK(flag(0, 2) == Flag::not_evaluated);
  static_cast<void>(engine.evaluate(reading(10, 2.5, "bridge.level")));
  CHECK(flag(20, 2) == Flag::good);
  CHECK(flag(30, 5) == Flag::suspect);
  static_cast<void>(engine.evaluate(reading(40, 50.0, "bridge.level")));  // bad: the one before counts
  CHECK(flag(70, 5) == Flag::suspect);
  CHECK(flag(71, 5) == Flag::not_evaluated);  // 61 s old
}

TEST_CASE("what a detector has learned survives a restart, and is learned from good readings only") {
  const Rules rules{.quality = {{.point = "river.level", .range = Span{0, 10}, .anomaly = AnomalyRule{}}},
                    .alarms = {}};
  Engine engine{rules, kBoot};
  for (int i = 0; i < 300; ++i) static_cast<void>(engine.evaluate(reading(i, i % 7 == 0 ? 99.0 : 2 + i % 5 * 0.1)));
  CHECK(engine.point_state("river.level")->detector->samples == 256);
  const auto saved = engine.save_detectors();
  REQUIRE(saved.size() == 1);
  CHECK(saved[0].first == "detect/river.level");
  CHECK(saved[0].second.size() <= 4'096);
  CHECK(engine.save_detectors().empty());
  Engine again{rules, kBoot + 1};
  REQUIRE(again.restore(saved[0].first, saved[0].second));
  CHECK(again.point_state("river.level")->detector->ready);
  CHECK(again.restore("detect/rain.hour", saved[0].second).error().code == Errc::not_found);
  for (const std::string_view damaged :
       {"", "{}", "[]", R"({"boot":1,"learned":"1:"})", R"({"boot":-1,"learned":"1:"})"}) {
    CHECK(again.restore("detect/river.level", damaged).error().code == Errc::corrupt);
  }
  again.reload({.quality = {{.point = "river.level", .range = Span{0, 12}, .anomaly = AnomalyRule{}}}, .alarms = {}});
  CHECK(again.point_state("river.level")->detector->ready);  // another limit is no reason to forget
}

}  // namespace engine_test
