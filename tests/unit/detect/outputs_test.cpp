#include "firmware/detect/outputs.hpp"

#include <map>
#include <random>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace outputs_test {

using namespace hamlet;
using namespace hamlet::detect;
using namespace std::chrono_literals;

namespace {

constexpr std::uint32_t kBoot = 7;
constexpr MonoTime at(std::int64_t s) {
  return mono_from_ms(s * 1000);
}

Reading reading(std::string point, std::int64_t s, Value value = 1.0, Quality quality = Quality::good) {
  return {.point = std::move(point), .at = at(s), .value = std::move(value), .quality = quality};
}

Alarm alarm_of(std::string id, AlarmState state, std::uint64_t occurrence = 1, Severity severity = Severity::critical) {
  return {.id = std::move(id),
          .occurrence = occurrence,
          .state = state,
          .severity = severity,
          .value = 4.2,
          .text = {"水位高", "high"},
          .sources = {}};
}

OutputRule siren() {
  return {.id = "siren", .drive = {.name = "relay.siren"}, .triggers = {{"high", {"river.level"}}}};
}

std::shared_ptr<const Expression> condition(std::string_view text) {
  const auto parsed = Expression::parse(text, {.points = {{"tank.level", Kind::number}, {"door.open", Kind::boolean}}});
  REQUIRE(parsed);
  return *parsed;
}

/// An output logic whose device confirms at once, unless it is broken.
struct Bench {
  Outputs outputs;
  bool broken = false;
  std::vector<Action> pending{};
  std::string words{};  // what was told since the last look: "siren on alarm"

  explicit Bench(std::vector<OutputRule> rules, std::int64_t from = 0) : outputs{std::move(rules), kBoot} {
    outputs.start(at(from));
  }

  void run(std::int64_t s) {
    for (int rounds = 0; rounds < 10; ++rounds) {
      auto actions = outputs.settle(at(s));
      if (actions.empty()) return;
      for (const auto& action : actions) {
        if (action.tell) {
          if (!words.empty()) words += ", ";
          words += fmt::format("{} {} {}", action.output,
                               action.value.index() == 3 ? std::get<std::string>(action.value)
                               : action.on               ? "on"
                                                         : "off",
                               action.why);
        }
        outputs.done(action.output, action.number, broken ? Status{fail(Errc::unavailable, "no answer")} : Status{},
                     at(s));
      }
    }
    FAIL("it does not settle");
  }
  std::string at_time(std::int64_t s) {
    run(s);
    return std::exchange(words, {});
  }
  std::string feed(Reading input) {
    const auto s = to_ms(input.at) / 1000;
    outputs.reading(input);
    return at_time(s);
  }
  std::string raise(std::int64_t s, std::string id = "high", std::uint64_t occurrence = 1,
                    Severity severity = Severity::critical) {
    outputs.alarm(alarm_of(std::move(id), AlarmState::unacked, occurrence, severity));
    return at_time(s);
  }
  std::string become(std::int64_t s, AlarmState state, std::string id = "high", std::uint64_t occurrence = 1) {
    outputs.alarm(alarm_of(std::move(id), state, occurrence));
    return at_time(s);
  }
  OutputState state(std::size_t i = 0) const { return outputs.states().at(i); }
};

Bench running(OutputRule rule) {
  Bench bench{{std::move(rule)}};
  bench.outputs.alarm(alarm_of("high", AlarmState::normal, 0));
  bench.feed(reading("river.level", 1));
  bench.words.clear();
  return bench;
}

}  // namespace

TEST_CASE("after a start an output is in its fail-safe state until its points have readings that count") {
  auto rule = siren();
  SUBCASE("off") {
    Bench bench{{rule}, 100};
    CHECK(bench.raise(100) == "siren off start");  // raised before the restart
    CHECK(bench.feed(reading("river.level", 101, {}, Quality::missing)) == "");
    CHECK(bench.feed(reading("river.level", 101, 99.0, Quality::bad)) == "");
    CHECK(bench.feed(reading("other.level", 101)) == "");
    CHECK(bench.feed(reading("river.level", 102, 5.0)) == "siren on alarm");
    CHECK(bench.state().alarm == "high");
  }
  SUBCASE("on: it stays on until all is known") {
    rule.fail_safe = true;
    rule.triggers.push_back({"gone", {"other.level"}});
    Bench bench{{rule}, 100};
    bench.outputs.alarm(alarm_of("high", AlarmState::normal, 0));
    bench.outputs.alarm(alarm_of("gone", AlarmState::normal, 0));
    CHECK(bench.at_time(100) == "siren on start");
    CHECK(bench.feed(reading("river.level", 101)) == "");
    CHECK(bench.feed(reading("other.level", 102)) == "siren off returned");
  }
  SUBCASE("a rule that asks whether a point is known takes any reading of it") {
    rule.triggers = {{"high", {}, {"river.level"}}};
    Bench bench{{rule}, 100};
    CHECK(bench.raise(100) == "siren off start");
    CHECK(bench.feed(reading("river.level", 101, {}, Quality::missing)) == "siren on alarm");
  }
  SUBCASE("a suspect reading counts: a flood is never usual") {
    Bench bench{{rule}, 100};
    bench.raise(100);
    CHECK(bench.feed(reading("river.level", 101, 9.0, Quality::suspect)) == "siren on alarm");
  }
  SUBCASE("one raised alarm is enough, though another's sensor is dead") {
    rule.triggers.push_back({"gone", {"other.level"}});
    Bench bench{{rule}, 100};
    bench.raise(100);
    CHECK(bench.feed(reading("river.level", 101)) == "siren on alarm");
  }
}

TEST_CASE("an output follows its alarms as `until` says") {
  auto rule = siren();
  SUBCASE("returned") {
    auto bench = running(rule);
    CHECK(bench.raise(2) == "siren on alarm");
    CHECK(bench.become(3, AlarmState::acked) == "");
    CHECK(bench.become(4, AlarmState::normal) == "siren off returned");
  }
  SUBCASE("acked: also where it has returned before") {
    rule.until = Until::acked;
    auto bench = running(rule);
    CHECK(bench.raise(2) == "siren on alarm");
    CHECK(bench.become(3, AlarmState::returned) == "");
    CHECK(bench.become(4, AlarmState::normal) == "siren off acked");
  }
  SUBCASE("either") {
    rule.until = Until::either;
    auto bench = running(rule);
    CHECK(bench.raise(2) == "siren on alarm");
    CHECK(bench.become(3, AlarmState::acked) == "siren off returned");
    CHECK(bench.raise(4, "high", 2) == "siren on alarm");
    CHECK(bench.become(5, AlarmState::returned) == "siren off returned");
  }
  SUBCASE("what is shelved, suppressed or out of service is silent") {
    auto bench = running(rule);
    CHECK(bench.raise(2) == "siren on alarm");
    CHECK(bench.become(3, AlarmState::shelved) == "siren off returned");
    CHECK(bench.become(4, AlarmState::suppressed) == "");
    CHECK(bench.become(5, AlarmState::out_of_service) == "");
  }
  SUBCASE("what a flood hides is switched all the same") {  // a fan on an alarm of severity warning stood still
    auto bench = running(rule);
    bench.outputs.alarm(alarm_of("high", AlarmState::suppressed), true);
    CHECK(bench.at_time(2) == "siren on alarm");
    CHECK(bench.raise(3) == "");  // the flood is over
    bench.outputs.alarm(alarm_of("high", AlarmState::suppressed), true);
    CHECK(bench.at_time(4) == "");
    CHECK(bench.become(5, AlarmState::normal) == "siren off returned");
  }
  SUBCASE("of alarms that are not grave enough it hears nothing") {
    rule.least = Severity::major;
    auto bench = running(rule);
    CHECK(bench.raise(2, "high", 1, Severity::minor) == "");
    CHECK(bench.raise(3, "high", 1, Severity::major) == "siren on alarm");
  }
}

TEST_CASE("a sensor that is lost does not end an alarm, and brings the fail-safe state where there is none") {
  auto rule = siren();
  rule.stale = 10s;
  SUBCASE("raised: it goes on") {
    auto bench = running(rule);
    CHECK(bench.raise(2) == "siren on alarm");
    CHECK(bench.at_time(60) == "");
    CHECK(bench.become(61, AlarmState::normal) == "siren off fail-safe");
  }
  SUBCASE("not raised: fail-safe on, until it is back") {
    rule.fail_safe = true;
    auto bench = running(rule);
    REQUIRE(bench.outputs.next_due());
    CHECK(*bench.outputs.next_due() == at(11));
    CHECK(bench.at_time(10) == "");
    CHECK(bench.at_time(11) == "siren on fail-safe");
    CHECK(bench.feed(reading("river.level", 20)) == "siren off returned");
  }
}

TEST_CASE("minimum times hold an output; nothing is forgotten meanwhile") {
  auto rule = siren();
  rule.min_on = 30s;
  rule.min_off = 60s;
  auto bench = running(rule);
  CHECK(bench.raise(10) == "");  // off since the start, 60 s are not over
  CHECK(bench.state().waits == at(60));
  CHECK(bench.at_time(59) == "");
  CHECK(bench.at_time(60) == "siren on alarm");
  CHECK(bench.become(61, AlarmState::normal) == "");
  CHECK(bench.outputs.next_due() == at(90));
  CHECK(bench.at_time(90) == "siren off returned");
}

TEST_CASE("a maximum runtime ends it until another alarm is raised, or after a rest") {
  auto rule = siren();
  rule.max_on = 60s;
  SUBCASE("no rest") {
    auto bench = running(rule);
    CHECK(bench.raise(10) == "siren on alarm");
    CHECK(bench.at_time(69) == "");
    CHECK(bench.at_time(70) == "siren off max-on");
    CHECK(bench.state().spent);
    CHECK(bench.at_time(10'000) == "");
    CHECK(bench.become(10'001, AlarmState::acked) == "");
    SUBCASE("another occurrence") {
      CHECK(bench.raise(10'002, "high", 2) == "siren on alarm");
    }
    SUBCASE("it returned meanwhile") {
      bench.become(10'002, AlarmState::normal);
      CHECK_FALSE(bench.state().spent);
    }
    SUBCASE("known after a restart, too") {
      auto saved = bench.outputs.save_changed();
      REQUIRE(saved.size() == 1);
      Bench next{{rule}, 20'000};
      REQUIRE(next.outputs.restore(saved[0].first, *saved[0].second, at(20'000)));
      CHECK(next.raise(20'000) == "siren off start");
      CHECK(next.feed(reading("river.level", 20'001)) == "");
      CHECK(next.raise(20'002, "high", 2) == "siren on alarm");
    }
  }
  SUBCASE("taken from the config: it goes on again") {  // it stayed off for good
    auto bench = running(rule);
    bench.raise(10);
    CHECK(bench.at_time(70) == "siren off max-on");
    CHECK(bench.outputs.reload({siren()}, at(80)).empty());
    bench.words.clear();
    CHECK(bench.at_time(80) == "siren on alarm");
  }
  SUBCASE("rest") {
    rule.rest = 100s;
    auto bench = running(rule);
    bench.raise(10);
    CHECK(bench.at_time(70) == "siren off max-on");
    CHECK(bench.at_time(169) == "");
    CHECK(bench.at_time(170) == "siren on alarm");
    CHECK(bench.at_time(230) == "siren off max-on");
  }
}

TEST_CASE("by hand: it has an end, obeys interlocks, survives a restart") {
  auto rule = siren();
  auto bench = running(rule);
  bench.raise(2);
  bench.words.clear();
  REQUIRE(bench.outputs.set("siren", Value{false}, 600s, "li", at(10)));
  CHECK(bench.at_time(10) == "siren off override");
  CHECK(bench.state().by_hand->by == "li");
  SUBCASE("its end") {
    CHECK(bench.at_time(609) == "");
    CHECK(bench.at_time(610) == "siren on alarm");
  }
  SUBCASE("auto") {
    REQUIRE(bench.outputs.set("siren", std::nullopt, 0s, "li", at(20)));
    CHECK(bench.at_time(20) == "siren on alarm");
    const auto saved = bench.outputs.save_changed();
    REQUIRE(saved.size() == 1);
    CHECK_FALSE(saved[0].second);
  }
  SUBCASE("restart, and reboot") {
    const auto saved = bench.outputs.save_changed();
    REQUIRE(saved.size() == 1);
    CHECK(saved[0].first == "output/siren");
    Bench again{{rule}, 100};
    REQUIRE(again.outputs.restore(saved[0].first, *saved[0].second, at(100)));
    CHECK(again.state().by_hand->until == at(610));
    Outputs rebooted{{rule}, kBoot + 1};
    REQUIRE(rebooted.restore(saved[0].first, *saved[0].second, at(5)));
    CHECK(rebooted.states()[0].by_hand->until == at(605));
  }
  SUBCASE("what cannot be") {
    const auto wrong = bench.outputs.set("sirene", Value{true}, 1s, "li", at(20));
    REQUIRE_FALSE(wrong);
    CHECK(wrong.error().code == Errc::not_found);
    CHECK(wrong.error().text.en == "there is no such output 'sirene'; did you mean 'siren'?");
    CHECK_FALSE(bench.outputs.set("siren", Value{"on"}, 1s, "li", at(20)));
  }
  SUBCASE("damaged state starts afresh") {
    CHECK(bench.outputs.restore("output/siren", "{\"by_hand\":{}}", at(1)).error().code == Errc::corrupt);
    CHECK(bench.outputs.restore("output/siren", "[", at(1)).error().code == Errc::corrupt);
    CHECK(bench.outputs.restore("output/gone", "{}", at(1)).error().code == Errc::not_found);
  }
}

TEST_CASE("interlocks") {
  auto rule = siren();
  SUBCASE("only with a reading that allows it; without one it goes off at once") {
    rule.min_on = 1h;
    rule.only_if = condition("tank.level > 0.5 AND door.open == false");
    auto bench = running(rule);
    CHECK(bench.raise(2) == "");
    CHECK(bench.feed(reading("tank.level", 3, 0.6)) == "");
    CHECK(bench.feed(reading("door.open", 4, false)) == "siren on alarm");
    REQUIRE(bench.outputs.set("siren", Value{true}, 600s, "li", at(5)));
    SUBCASE("the value") {
      CHECK(bench.feed(reading("tank.level", 6, 0.5)) == "siren off interlock");
    }
    SUBCASE("the quality") {
      CHECK(bench.feed(reading("door.open", 6, {}, Quality::missing)) == "siren off interlock");
    }
  }
  SUBCASE("one that remembers misses nothing while nobody wants the output") {  // it looked only when asked
    rule.only_if = condition("not within(door.open, 1min)");
    auto bench = running(rule);
    bench.feed(reading("door.open", 2, false));
    bench.at_time(70);
    CHECK(bench.raise(100) == "siren on alarm");
    CHECK(bench.become(101, AlarmState::normal) == "siren off returned");
    bench.feed(reading("door.open", 200, true));
    bench.feed(reading("door.open", 205, false));
    CHECK(bench.raise(210, "high", 2) == "");
    CHECK(bench.state().locked);
    CHECK(bench.at_time(265) == "");
    CHECK(bench.at_time(266) == "siren on alarm");
    CHECK_FALSE(bench.state().locked);
  }
  SUBCASE("a reading of before the sensor was lost opens none") {  // a station may tell of it afterwards
    rule.only_if = condition("door.open == false");
    auto bench = running(rule);
    bench.feed(reading("door.open", 2, false));
    bench.feed(reading("door.open", 20, {}, Quality::missing));
    CHECK(bench.feed(reading("door.open", 10, false)) == "");
    CHECK(bench.raise(30) == "");
    CHECK(bench.state().locked);
    CHECK(bench.feed(reading("door.open", 31, false)) == "siren on alarm");
  }
  SUBCASE("never together: the second waits until the first is confirmed to be off") {
    auto other = siren();
    other.id = "pump";
    other.drive.name = "relay.pump";
    other.triggers = {{"low", {"river.level"}}};
    other.never_with = {"siren"};
    Bench bench{{rule, other}};
    bench.outputs.alarm(alarm_of("high", AlarmState::normal, 0));
    bench.outputs.alarm(alarm_of("low", AlarmState::normal, 0));
    bench.feed(reading("river.level", 1));
    CHECK(bench.raise(2, "low") == "pump on alarm");
    CHECK(bench.raise(3, "high") == "");
    bench.broken = true;
    CHECK(bench.become(4, AlarmState::normal, "low") == "pump off returned");
    CHECK_FALSE(bench.state(1).confirmed);
    CHECK(bench.state(1).failure == "no answer");
    bench.broken = false;
    CHECK(bench.at_time(5) == "siren on alarm");  // told again a second later, and confirmed
    CHECK(bench.state(1).confirmed == false);
  }
  SUBCASE("both wanted at once: the first goes on") {
    auto other = siren();
    other.id = "pump";
    other.drive.name = "relay.pump";
    rule.never_with = {"pump"};
    Bench bench{{rule, other}};
    bench.raise(0);
    bench.words.clear();
    CHECK(bench.feed(reading("river.level", 1)) == "siren on alarm");
  }
}

TEST_CASE(
    "what the device does not confirm is told again, more rarely each time; what it did is told again each minute") {
  auto bench = running(siren());
  bench.broken = true;
  CHECK(bench.raise(2) == "siren on alarm");
  CHECK(bench.state().failure == "no answer");
  std::vector<std::int64_t> times;
  for (std::int64_t s = 3; s < 120; ++s) {
    for (const auto& action : bench.outputs.settle(at(s))) {
      times.push_back(s);
      CHECK_FALSE(action.tell);
      bench.outputs.done("siren", action.number - 1, {}, at(s));  // of an older one: not heard
      bench.outputs.done("siren", action.number, fail(Errc::unavailable, "no answer"), at(s));
    }
  }
  CHECK(times == std::vector<std::int64_t>{3, 5, 9, 17, 33, 63, 93});
  CHECK(bench.at_time(123) == "");  // quietly
  CHECK_FALSE(bench.state().failure.empty());
  bench.broken = false;
  CHECK(bench.at_time(200) == "");
  CHECK(bench.state().confirmed == true);
  CHECK(bench.outputs.next_due() == at(260));
}

TEST_CASE("a program is not run again for nothing") {
  auto rule = siren();
  rule.drive.repeatable = false;
  auto bench = running(rule);
  bench.raise(2);
  CHECK_FALSE(bench.outputs.next_due());
  bench.broken = true;
  bench.become(3, AlarmState::normal);
  for (std::int64_t s = 4; s < 100; ++s) bench.at_time(s);
  CHECK_FALSE(bench.outputs.next_due());  // three tries
}

namespace {

OutputRule sms() {
  auto rule = siren();
  rule.id = "sms";
  rule.drive = {"modem.sms", Drive::Takes::text, false};
  rule.triggers.push_back({"door", {}});
  return rule;
}

}  // namespace

TEST_CASE("a message tells each alarm once, also across a restart") {
  Bench bench{{sms()}};
  bench.outputs.alarm(alarm_of("high", AlarmState::normal, 0));
  CHECK(bench.feed(reading("river.level", 1)) == "");
  CHECK(bench.raise(2) == "sms 水位高（4.2） message");
  CHECK(bench.become(3, AlarmState::acked) == "");
  CHECK(bench.raise(4, "door", 3) == "sms 水位高（4.2） message");
  CHECK(bench.raise(5, "door", 4, Severity::major) == "sms 水位高（4.2） message");
  CHECK(bench.raise(6, "door", 4, Severity::critical) == "sms 水位高（4.2） message");  // graver
  CHECK(bench.raise(7, "door", 4, Severity::critical) == "");
  const auto saved = bench.outputs.save_changed();
  REQUIRE(saved.size() == 1);
  Bench again{{sms()}, 100};
  REQUIRE(again.outputs.restore(saved[0].first, *saved[0].second, at(100)));
  again.outputs.alarm(alarm_of("door", AlarmState::unacked, 4));
  CHECK(again.raise(100) == "");
  CHECK(again.feed(reading("river.level", 101)) == "");
  CHECK(again.raise(102, "high", 2) == "sms 水位高（4.2） message");
}

TEST_CASE("an alarm that had to start afresh is told, though its numbers are lower") {  // told after as many as before
  Bench bench{{sms()}};
  CHECK(bench.raise(1, "door", 5) != "");
  CHECK(bench.become(2, AlarmState::normal, "door", 5) == "");
  SUBCASE("its state was damaged") {
    CHECK(bench.raise(3, "door", 1) != "");
    CHECK(bench.raise(4, "door", 1) == "");
  }
  SUBCASE("it was taken from the config, and came back with the same number") {
    auto without = sms();
    without.triggers.pop_back();
    CHECK(bench.outputs.reload({without}, at(3)).empty());
    CHECK(bench.outputs.reload({sms()}, at(4)).empty());
    CHECK(bench.raise(5, "door", 5) != "");
  }
  SUBCASE("or over a restart") {
    const auto saved = bench.outputs.save_changed();
    REQUIRE(saved.size() == 1);
    auto without = sms();
    without.triggers.pop_back();
    Outputs again{{without}, kBoot};
    REQUIRE(again.restore(saved[0].first, *saved[0].second, at(3)));
    const auto after = again.save_changed();
    REQUIRE(after.size() == 1);
    CHECK_FALSE(after[0].second);
  }
}

TEST_CASE("no message tells what a flood hides, before it is over") {
  Bench bench{{{.id = "sms", .drive = {.name = "modem.sms", .takes = Drive::Takes::text}, .triggers = {{"high", {}}}}}};
  bench.outputs.alarm(alarm_of("high", AlarmState::suppressed), true);
  CHECK(bench.at_time(1) == "");
  CHECK(bench.raise(2) != "");
}

TEST_CASE("a message that does not go is tried again, and given up in the end") {
  Bench bench{{sms()}};
  bench.broken = true;
  CHECK(bench.raise(1, "door") == "sms 水位高（4.2） message");
  CHECK(bench.state().pending == 1);
  for (std::int64_t s = 2; s < 7200; ++s) {
    bench.outputs.alarm(alarm_of("door", AlarmState::unacked));
    bench.run(s);
  }
  CHECK(bench.state().pending == 0);
  CHECK(bench.words.empty());  // told once as an event
  CHECK(bench.state().failure == "no answer");
  bench.broken = false;
  CHECK(bench.raise(7300, "door", 2) == "sms 水位高（4.2） message");
}

TEST_CASE("where data gets through no message is sent") {
  auto rule = sms();
  rule.data_down = 30s;
  Bench bench{{rule}};
  SUBCASE("down for long: at once") {
    bench.at_time(50);
    CHECK(bench.raise(50, "door") == "sms 水位高（4.2） message");
  }
  SUBCASE("up: the county knows") {
    bench.outputs.data(true, at(1));
    CHECK(bench.raise(50, "door") == "");
    CHECK(bench.at_time(80) == "");
    CHECK(bench.state().pending == 0);
  }
  SUBCASE("goes down meanwhile") {
    bench.outputs.data(true, at(1));
    CHECK(bench.raise(50, "door") == "");
    bench.outputs.data(false, at(51));
    CHECK(bench.at_time(80) == "");
    CHECK(bench.at_time(81) == "sms 水位高（4.2） message");
  }
  SUBCASE("flaps: it is sent all the same") {
    bench.outputs.data(true, at(45));
    std::string sent = bench.raise(50, "door");
    for (std::int64_t s = 51; s < 150; ++s) {
      bench.outputs.data(s / 10 % 2 == 0, at(s));
      sent += bench.at_time(s);
    }
    CHECK(sent == "sms 水位高（4.2） message");
  }
  SUBCASE("by hand: whatever the link does") {
    bench.outputs.data(true, at(1));
    REQUIRE(bench.outputs.set("sms", Value{"试验"}, 0s, "li", at(2)));
    CHECK(bench.at_time(2) == "sms 试验 message");
    CHECK_FALSE(bench.outputs.set("sms", Value{true}, 0s, "li", at(2)));
  }
}

TEST_CASE("reload: what is on stays on; what is gone is told to stop") {
  auto bench = running(siren());
  bench.raise(2);
  auto other = siren();
  other.id = "lamp";
  other.drive.name = "relay.lamp";
  CHECK(bench.outputs.reload({siren(), other}, at(3)).empty());
  CHECK(bench.state().on);
  bench.words.clear();
  CHECK(bench.at_time(3) == "lamp on alarm");
  const auto stopped = bench.outputs.reload({other}, at(4));
  REQUIRE(stopped.size() == 1);
  CHECK(stopped[0].drive == "relay.siren");
  CHECK_FALSE(stopped[0].on);
  const auto last = bench.outputs.stop(at(5));
  REQUIRE(last.size() == 1);
  CHECK(last[0].output == "lamp");
  CHECK(last[0].why == "stop");
}

TEST_CASE("property: whatever comes, restarts and reloads too, no bound is broken and no alarm is lost") {
  std::map<std::string, int> seen;  // reasons
  for (std::uint32_t seed = 0; seed < 200; ++seed) {
    std::mt19937 random{seed};
    const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
    auto a = siren();
    a.min_on = 5s;
    a.min_off = 7s;
    a.max_on = 20s;
    if (below(2) == 0) a.rest = 30s;
    if (below(2) == 0) a.stale = 15s;
    a.until = static_cast<Until>(below(3));
    auto b = siren();
    b.id = "pump";
    b.drive.name = "relay.pump";
    b.triggers = {{"low", {"tank.level"}}};
    b.never_with = {"siren"};
    b.only_if = condition("tank.level > 0.5 and not within(door.open, 5s)");
    OutputRule c{.id = "sms", .drive = {"modem.sms", Drive::Takes::text, false}, .triggers = {a.triggers[0], b.triggers[0]}};
    c.min_off = 2s;
    Outputs outputs{{a, b, c}, kBoot};
    std::map<std::string, std::string> stored;
    std::map<std::string, Alarm> alarms{{"high", alarm_of("high", AlarmState::normal, 0)},
                                        {"low", alarm_of("low", AlarmState::normal, 0)}};
    outputs.start(at(0));
    std::map<std::string, bool> told;  // what the devices were told
    std::map<std::string, bool> confirmed;
    std::map<std::string, std::int64_t> since;
    std::map<std::pair<std::string, std::uint64_t>, int> sent;  // messages that went, by alarm and occurrence
    std::optional<std::uint64_t> spent;                         // the occurrence that used up the siren's time
    bool by_alarm = false;
    double tank = 0;
    bool door = true;
    std::int64_t door_closed = 0;
    bool working = false;
    const auto give = [&](const std::string& id, bool hushed = false) { outputs.alarm(alarms[id], hushed); };
    const auto change = [&](const std::string& id, AlarmState state, std::int64_t s) {
      auto& alarm = alarms[id];
      const bool again = state == AlarmState::unacked && alarm.state != state;
      alarm = alarm_of(id, state, again ? static_cast<std::uint64_t>(s) : alarm.occurrence);
      if (id == "high") spent.reset();
      give(id, state == AlarmState::suppressed && below(2) == 0);
    };
    const auto carry_out = [&](const Action& action, std::int64_t s) {
      const auto& id = action.output;
      ++seen[action.why];
      if (id == "sms") {
        const bool goes = working || below(3) > 0;
        if (goes) CHECK(++sent[{action.alarm, action.occurrence}] == 1);
        return outputs.done(id, action.number, goes ? Status{} : Status{fail(Errc::timeout, "silent")}, at(s));
      }
      const auto was = told.find(id);
      const bool changes = was != told.end() && was->second != action.on;
      const bool starts = action.why == "start" || action.why == "stop";
      if (changes && id == "siren" && action.on) CHECK(s - since["siren"] >= 7);
      if (changes && id == "siren" && !action.on && !starts && action.why != "max-on" && action.why != "interlock" &&
          action.why != "fail-safe") {
        CHECK(s - since["siren"] >= 5);
      }
      if (id == "siren" && action.why == "max-on" && by_alarm) spent = alarms["high"].occurrence;
      if (id == "siren" && action.on && action.why == "alarm" && !a.rest) CHECK((!spent || *spent != action.occurrence));
      if (changes || was == told.end() || starts) since[id] = s;
      if (id == "siren" && changes) by_alarm = action.why == "alarm";
      told[id] = action.on;
      if (action.on) CHECK(confirmed[id == "siren" ? "pump" : "siren"] == false);
      if (action.on || was == told.end()) confirmed[id] = true;  // until it says that it is off
      if (id == "pump" && action.on) {
        CHECK(tank > 0.5);
        CHECK((!door && s - door_closed > 5));
      }
      const bool answers = working || below(3) > 0;
      if (answers && !action.on) confirmed[id] = false;
      outputs.done(id, action.number, answers ? Status{} : Status{fail(Errc::timeout, "silent")}, at(s));
    };
    const auto settle = [&](std::int64_t s) {
      for (int round = 0; round < 5; ++round) {
        for (const auto& action : outputs.settle(at(s))) {
          CAPTURE(seed);
          CAPTURE(s);
          CAPTURE(action.output);
          CAPTURE(action.why);
          carry_out(action, s);
        }
      }
      for (auto& [key, value] : outputs.save_changed()) stored[key] = value.value_or("{}");
      if (told["siren"]) CHECK(s - since["siren"] <= 20);
      CHECK_FALSE((told["siren"] && told["pump"]));
      if (const auto due = outputs.next_due()) CHECK(*due > at(s));
    };
    for (std::int64_t s = 0; s < 400; ++s) {
      const auto what = below(14);
      if (what == 0) change("high", static_cast<AlarmState>(below(7)), s);
      if (what == 1) change("low", static_cast<AlarmState>(below(7)), s);
      if (what == 2) outputs.reading(reading("river.level", s, 1.0, below(3) > 0 ? Quality::good : Quality::missing));
      if (what == 3) {
        tank = below(4) > 0 ? below(10) / 10.0 : 0;
        outputs.reading(reading("tank.level", s, tank, tank > 0 ? Quality::good : Quality::bad));
      }
      if (what == 4) {
        const bool pump = below(2) == 0;
        (void)outputs.set(pump ? "pump" : "siren", Value{below(2) == 0}, 9s, "li", at(s));
        if (!pump) spent.reset();
      }
      if (what == 5) (void)outputs.set("siren", std::nullopt, 9s, "li", at(s));
      if (what == 6) {
        if (door && below(2) == 0) door_closed = s;
        door = door && door_closed != s;
        if (!door && below(6) == 0) door = true;
        outputs.reading(reading("door.open", s, door));
      }
      if (what == 7) outputs.reading(reading("tank.level", below(static_cast<int>(s) + 1), 0.9));  // may be late
      if (what == 7) tank = 0.9;
      if (what == 8 && below(8) == 0) {  // kill -9: what is stored is all that is known
        outputs = Outputs{{a, b, c}, kBoot};
        for (const auto& [key, value] : stored) REQUIRE(outputs.restore(key, value, at(s)));
        outputs.start(at(s));
        for (const auto& [id, alarm] : alarms) give(id);
        door = true;  // as far as anybody knows
      }
      if (what == 9 && below(8) == 0) {
        for (const auto& action : outputs.reload({a, b, c}, at(s))) carry_out(action, s);
      }
      settle(s);
    }
    // And then all is well again: what is raised now is acted on and told.
    working = true;
    std::int64_t s = 400;
    for (; s < 1'200; ++s) {
      if (s == 400) change("low", AlarmState::normal, s);
      if (s == 460) change("high", AlarmState::normal, s);
      if (s == 1'000) change("high", AlarmState::unacked, s);
      if (s == 1'100) {
        change("high", AlarmState::normal, s);
        change("low", AlarmState::unacked, s);
      }
      tank = 0.9;
      if (door) door_closed = s;
      door = false;
      outputs.reading(reading("tank.level", s, 0.9));
      outputs.reading(reading("river.level", s));
      outputs.reading(reading("door.open", s, false));
      settle(s);
      CAPTURE(seed);
      if (s > 1'000 && s < 1'020) CHECK(told["siren"]);
      if (s > 1'105) CHECK(told["pump"]);
    }
    CHECK(sent[{"high", 1'000}] == 1);
    CHECK(sent[{"low", 1'100}] == 1);
  }
  for (const auto* why : {"start", "alarm", "returned", "fail-safe", "max-on", "interlock", "override", "message", "again"}) {
    CAPTURE(why);
    CHECK(seen[why] > 20);
  }
}

TEST_CASE("the config of outputs: each mistake, with its line") {
  const std::vector<Trigger> alarms{{"high", {"river.level"}}, {"low", {"river.level"}}};
  const Names points{.points = {{"river.level", Kind::number}, {"tank.level", Kind::number}}};
  const std::vector<Drive> drives{
      {"relay.siren"}, {"relay.pump"}, {"plc.speed", Drive::Takes::number}, {"modem.sms", Drive::Takes::text, false}};
  const auto read = [&](std::string_view text, std::vector<std::string>& mistakes) {
    auto document = config::Document::parse(text, "c");
    auto rules = read_outputs(document.root(), alarms, points, drives);
    document.finish();
    for (const auto& each : document.diagnostics()) mistakes.push_back(each.to_string());
    return rules;
  };
  std::vector<std::string> mistakes;
  const auto good = read(R"(
[[output]]
id = "siren"
drive = "relay.siren"
when = ["high"]
until = "acked"
fail_safe = "off"
stale = "10min"
min_on = "5s"
min_off = "5s"
max_on = "10min"
rest = "5min"
never_with = ["pump"]
only_if = "tank.level > 0.5"
county = true
[[output]]
id = "pump"
drive = "plc.speed"
on = 50
off = 0
severity = "major"
[[output]]
id = "sms"
drive = "modem.sms"
severity = "critical"
data_down = "1min"
min_off = "1min"
lang = "zh"
)",
                         mistakes);
  CHECK(mistakes == std::vector<std::string>{});
  REQUIRE(good.size() == 3);
  CHECK(good[0].max_on == 10min);
  CHECK(good[0].triggers == std::vector<Trigger>{alarms[0]});
  CHECK(good[1].on == Value{50.0});
  CHECK(good[1].triggers.size() == 2);
  CHECK(good[1].least == Severity::major);
  CHECK(good[2].is_message());

  (void)read(R"(
[[output]]
id = "siren"
drive = "relay.sirens"
when = ["hihg"]
rest = "5min"
min_on = "10s"
never_with = ["pumpe"]
only_if = "tank.levle > 0.5"
[[output]]
id = "siren"
drive = "plc.speed"
max_on = "5s"
min_on = "10s"
[[output]]
id = "sms"
drive = "modem.sms"
severity = "critical"
fail_safe = "on"
)",
             mistakes);
  std::string all;
  for (const auto& each : mistakes) all += each + '\n';
  CHECK(all.find("c:4:") != std::string::npos);
  CHECK(all.find("there is no 'relay.sirens'; expected \"device.output\", of a [[device.output]]; did you mean "
                 "'relay.siren'?") != std::string::npos);
  CHECK(all.find("there is no alarm 'hihg'; did you mean 'high'?") != std::string::npos);
  CHECK(all.find("has no meaning without max_on") != std::string::npos);
  CHECK(all.find("tank.levle") != std::string::npos);
  CHECK(all.find("another output is called 'siren' already") != std::string::npos);
  CHECK(all.find("must not be shorter than min_on") != std::string::npos);
  CHECK(all.find("fail_safe") != std::string::npos);  // of a message: nobody asks for it
  CHECK(all.find("there is no such output 'pumpe'") != std::string::npos);
}

}  // namespace outputs_test
