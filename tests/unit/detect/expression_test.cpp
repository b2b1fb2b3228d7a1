#include "firmware/detect/expression.hpp"

#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "firmware/config/config.hpp"
#include "firmware/detect/rules.hpp"
#include "firmware/detect/watch.hpp"

namespace expression_test {

using namespace hamlet;
using namespace hamlet::detect;

namespace {

const Names& names() {
  static const Names all{.points = {{"river.level", Kind::number, "m"},
                                    {"rain.gauge", Kind::number, "mm"},
                                    {"hall.temp", Kind::number, "°C"},
                                    {"door.open", Kind::boolean, ""},
                                    {"pump.on", Kind::boolean, ""},
                                    {"gate.state", Kind::text, ""},
                                    {"some.thing", {}, ""}},
                         .sources = std::vector<std::string>{"cam-pond", "river"}};
  return all;
}

// Character (from 1) and words, or nothing.
std::string mistake(std::string_view text) {
  const auto parsed = Expression::parse(text, names());
  return parsed ? "" : fmt::format("{}: {}", parsed.error().character + 1, parsed.error().what.en);
}

// 2026-11-24 00:00 in Beijing: the wall time at 0 s.
constexpr std::int64_t kMidnight = 1'795'449'600'000;

// An expression at work, in seconds.
class Bench {
 public:
  explicit Bench(std::string_view text) : watch{Expression::parse(text, names()).value()} {}

  char set(std::int64_t s, std::string_view point, Value value) { return feed(s, point, std::move(value), true); }
  char lose(std::int64_t s, std::string_view point) { return feed(s, point, {}, false); }
  char at(std::int64_t s) { return letter(watch.judge(mono_from_ms(s * 1000), wall(s))); }
  std::string event(std::int64_t s, Phase phase, std::string kind = "intrusion", std::string id = "e1",
                    std::string zone = "deep") {
    std::string out;
    const auto& terms = watch.expression().terms();
    for (std::size_t i = 0; i < terms.size(); ++i) {
      if (!terms[i].is_event) continue;
      const Event told{.source = "cam-pond", .kind = kind, .phase = phase, .id = id, .at = mono_from_ms(s * 1000),
                       .detail = {{"zone", zone}}};
      const bool pulse = watch.feed(i, told);
      out += at(s);
      if (!pulse) continue;
      watch.end_pulse();
      out += at(s);
    }
    return out;
  }
  // Judges whenever it is due, up to then: when it turned, as "120y".
  std::string run(std::int64_t until) {
    std::string out;
    char before = at(until < 0 ? 0 : now);
    while (watch.due() && to_ms(*watch.due()) <= until * 1000) {
      const auto ms = to_ms(*watch.due());
      now = ms / 1000;
      const char letter_now = letter(watch.judge(mono_from_ms(ms), clock ? std::optional{wall_from_ms(kMidnight + ms)} : std::nullopt));
      if (letter_now == before) continue;
      out += fmt::format("{}{}{} ", ms / 1000, ms % 1000 == 0 ? "" : "+", letter_now);
      before = letter_now;
    }
    return out;
  }

  Watch watch;
  Watch::Verdict last{};
  bool clock = true;
  std::int64_t now = 0;

 private:
  [[nodiscard]] std::optional<WallTime> wall(std::int64_t s) const {
    return clock ? std::optional{wall_from_ms(kMidnight + s * 1000)} : std::nullopt;
  }
  char feed(std::int64_t s, std::string_view point, Value value, bool known) {
    const auto& terms = watch.expression().terms();
    for (std::size_t i = 0; i < terms.size(); ++i) {
      if (terms[i].name == point) watch.feed(i, mono_from_ms(s * 1000), wall(s), value, known);
    }
    now = s;
    return at(s);
  }
  char letter(Watch::Verdict verdict) {
    last = verdict;
    return verdict.truth == Truth::yes ? 'y' : verdict.truth == Truth::no ? 'n' : '?';
  }
};

}  // namespace

TEST_CASE("an expression names its sources, each once") {
  const auto parsed = Expression::parse(
      "river.level rising AND sum(rain.gauge, 1h) > 30 mm OR event('cam-pond', 'intrusion', 'deep') and river.level > 2",
      names());
  REQUIRE(parsed);
  CHECK((*parsed)->sources() == std::vector<std::string>{"river.level", "rain.gauge", "cam-pond.intrusion"});
  CHECK((*parsed)->history() == std::chrono::hours{1});
}

TEST_CASE("a mistake is told at its character") {
  CHECK(mistake("river.level > 3 AND pump.on") == "");
  CHECK(mistake("") == "1: expected a point, a number, an event or a function");
  CHECK(mistake("river.levle > 3") == "1: there is no point 'river.levle'; did you mean 'river.level'?");
  CHECK(mistake("pump.on AND summ(rain.gauge, 1h) > 3") == "13: there is no function 'summ'; did you mean 'sum'?");
  CHECK(mistake("river.level") == "1: the point 'river.level' is not true or false; compare it with a limit or a text");
  CHECK(mistake("river.level + 1") == "1: expected a condition, this is a number; compare it, as > 3");
  // What a Chinese keyboard gives was told as a missing comparison, of the point before it.
  CHECK(mistake("river.level ＞ 3") == "13: '＞' means nothing here; the symbols are > >= < <= == != + - * / ( ) ,");
  CHECK(mistake("pump.on AND sum(rain.gauge, 1h) ≥ 3").starts_with("33: '≥' means nothing here"));
  CHECK(mistake("pump.on > 3") == "1: the point 'pump.on' is not a number");
  CHECK(mistake("(NOT pump.on) + 1 > 3") == "1: expected a number, this is a condition");
  CHECK(mistake("(pump.on) + 1 > 3") == "1: the point 'pump.on' is not a number");
  CHECK(mistake("river.level > 3 pump.on") == "17: 'pump.on' is left over; conditions are joined by AND or OR");
  CHECK(mistake("sum(rain.gauge 1h) > 3") == "16: expected ','");
  CHECK(mistake("sum(rain.gauge, 1 fortnight) > 3") == "17: expected a duration from 1s to 31d, as 10min");
  CHECK(mistake("sum(rain.gauge, 32d) > 3") == "17: expected a duration from 1s to 31d, as 10min");
  CHECK(mistake("river.level > 20 °C") == "15: °C cannot be compared with m");
  CHECK(mistake("gate.state == \"open") == "15: the quote does not end");
  CHECK(mistake("gate.state > \"open\"") == "14: a text can only be compared with a point, by == or !=");
  CHECK(mistake("river.level == \"open\"") == "1: the point 'river.level' is not a text");
  CHECK(mistake("event('cam-pont', 'intrusion')") == "7: there is no camera or device 'cam-pont'; did you mean 'cam-pond'?");
  CHECK(mistake("event(cam-pond, 'intrusion')") == "7: expected an id in quotes, as \"cam-pond\"");
  CHECK(mistake("at_least(3, pump.on, door.open)") == "1: needs 3 conditions at least");
  CHECK(mistake("pump.on AND known(river.levle)") == "19: there is no point 'river.levle'; did you mean 'river.level'?");
  CHECK(mistake("known( 3 > 2)") == "8: expected a point here");
  CHECK(mistake("known(pump.on, 3s)") == "14: expected ')'");
  CHECK(mistake("known(pump.on) > 3") == "1: expected a number, this is a condition");
  CHECK(mistake("knwon(pump.on)") == "1: there is no function 'knwon'; did you mean 'known'?");
  CHECK(mistake("sequence(pump.on, 5min)") == "19: needs 2 conditions at least");
  CHECK(mistake("time in 25:00-06:00 and pump.on") == "9: expected hours, as 22:00-06:00");
  CHECK(mistake("pump.on and time in 06:00-06:00") == "21: expected hours, as 22:00-06:00");  // it was never true
  CHECK(mistake("month in 0-3 and pump.on") == "10: expected months, as 5-9");
  CHECK(mistake("true") == "1: names no point and no event");
  CHECK(mistake("2 * river.level / 0 > 1") == "19: nothing can be divided by 0");
  CHECK(mistake("pump.on rising") == "1: the point 'pump.on' is not a number");
  CHECK(mistake("河 > 3") == "1: expected a point, a number, an event or a function");
  CHECK(mistake("pump.on AND 河 > 3") == "13: expected a point, a number, an event or a function");
  CHECK(mistake(std::string(40, '(') + "pump.on" + std::string(40, ')')).ends_with("nested more than 32 deep"));
  CHECK(mistake(std::string(1'001, ' ')) == "1: longer than 1000 characters");
  std::string many = "pump.on";
  for (int i = 0; i < 90; ++i) many += " or pump.on";
  CHECK(mistake(many) == "");
  for (int i = 0; i < 200; ++i) many = "not " + many;
  CHECK(mistake(many).ends_with("longer than 1000 characters"));
}

TEST_CASE("in a config a mistake is told at its column") {
  auto document = config::Document::parse(
      "[[alarm]]\nid = \"a\"\nwhen = 'pump.on AND rivr.level > 3'\n[[alarm]]\nid = \"b\"\nwhen = \"\"\"pump.no\"\"\"\n", "t.toml");
  static_cast<void>(read_rules(document.root(), names()));
  document.finish();
  std::vector<std::string> errors;
  for (const auto& each : document.diagnostics()) errors.push_back(each.to_string());
  CHECK(errors == std::vector<std::string>{"t.toml:3:21: alarm[1].when: character 13: there is no point 'rivr.level'; did "
                                           "you mean 'river.level'?",
                                           "t.toml:6:11: alarm[2].when: character 1: there is no point 'pump.no'; did you "
                                           "mean 'pump.on'?"});
}

TEST_CASE("numbers are compared in the point's own unit") {
  CHECK(Bench{"river.level > 250 cm"}.set(1, "river.level", 2.6) == 'y');
  CHECK(Bench{"river.level > 250 cm"}.set(1, "river.level", 2.4) == 'n');
  CHECK(Bench{"2.5 < river.level"}.set(1, "river.level", 2.6) == 'y');
  CHECK(Bench{"-river.level * 2 + 1 <= -4"}.set(1, "river.level", 2.5) == 'y');
  CHECK(Bench{"1 / river.level > 0"}.set(1, "river.level", 0.0) == '?');
  CHECK(Bench{"hall.temp >= 30°C"}.set(1, "hall.temp", 30.0) == 'y');
  CHECK(Bench{"river.level != 3"}.set(1, "river.level", 3.0) == 'n');
  Bench shown{"pump.on or river.level > 250 cm"};
  CHECK(shown.set(1, "river.level", 2.6) == 'y');
  CHECK(shown.last.value == Value{2.6});
  CHECK(shown.last.limit == Value{2.5});
}

TEST_CASE("what is unknown neither makes true nor false where it matters") {
  Bench both{"pump.on AND river.level > 3"};
  CHECK(both.at(0) == '?');
  CHECK(both.set(1, "river.level", 2.0) == 'n');  // whatever the pump does
  CHECK(both.set(2, "river.level", 4.0) == '?');
  CHECK(both.set(3, "pump.on", true) == 'y');
  CHECK(both.lose(4, "river.level") == '?');
  CHECK(both.set(5, "pump.on", false) == 'n');
  Bench either{"NOT pump.on OR gate.state == 'open'"};
  CHECK(either.set(1, "gate.state", std::string{"open"}) == 'y');
  CHECK(either.set(2, "gate.state", std::string{"shut"}) == '?');
  CHECK(either.set(3, "pump.on", false) == 'y');
  CHECK(either.set(4, "pump.on", 3.0) == '?');  // no truth
  Bench two{"at_least(2, pump.on, door.open, river.level > 3)"};
  CHECK(two.set(1, "pump.on", true) == '?');
  CHECK(two.set(2, "river.level", 4.0) == 'y');
  CHECK(two.set(3, "pump.on", false) == '?');
  CHECK(two.set(4, "door.open", false) == 'n');
}

TEST_CASE("known tells of a point whether its value counts, whatever its type") {
  Bench lost{"NOT known(river.level)"};
  CHECK(lost.at(0) == '?');  // it has not had the time to say anything
  CHECK(lost.set(1, "river.level", 2.0) == 'n');
  CHECK(lost.lose(2, "river.level") == 'y');
  CHECK(lost.last.value == Value{true});
  CHECK(lost.set(3, "river.level", 2.0) == 'n');
  Bench both{"known(gate.state) == true AND KNOWN( pump.on ) AND known(some.thing)"};
  CHECK(both.set(1, "gate.state", std::string{"open"}) == '?');
  CHECK(both.set(2, "pump.on", false) == '?');
  CHECK(both.set(3, "some.thing", 4.0) == 'y');
  CHECK(both.lose(4, "gate.state") == 'n');
  Bench instead{"river.level > 3 OR NOT known(river.level) AND sum(rain.gauge, 1h) > 30"};  // the rain stands in for it
  CHECK(instead.set(1, "rain.gauge", 40.0) == '?');
  CHECK(instead.set(2, "river.level", 2.0) == 'n');
  CHECK(instead.lose(3, "river.level") == 'y');
}

TEST_CASE("a sum over a window is at least what was seen until the window is full") {
  Bench rain{"sum(rain.gauge, 1h) > 30 mm"};
  CHECK(rain.set(0, "rain.gauge", 5.0) == '?');
  for (int minute = 10; minute <= 50; minute += 10) CHECK(rain.set(minute * 60, "rain.gauge", 4.0) == '?');
  CHECK(rain.last.value == Value{25.0});
  CHECK(rain.set(55 * 60, "rain.gauge", 6.0) == 'y');  // 31, and the hour is not full
  CHECK(rain.run(2 * 3600) == "3628+n ");               // the first is an hour old, and a 128th more without another
  CHECK(rain.set(2 * 3600, "rain.gauge", 40.0) == 'y');
}

TEST_CASE("a hole in a window leaves a sum open, a single lost sample does not") {
  Bench rain{"sum(rain.gauge, 10min) > 5"};
  CHECK(rain.set(0, "rain.gauge", 0.0) == '?');
  for (int minute = 1; minute <= 10; ++minute) {
    rain.set(minute * 60, "rain.gauge", 0.0);
  }
  CHECK(rain.at(600) == 'n');
  CHECK(rain.lose(660, "rain.gauge") == 'n');
  CHECK(rain.set(720, "rain.gauge", 0.0) == 'n');
  CHECK(rain.lose(780, "rain.gauge") == 'n');
  CHECK(rain.run(900) == "840+? ");
  CHECK(rain.set(960, "rain.gauge", 1.0) == '?');
  CHECK(rain.set(1020, "rain.gauge", 6.0) == 'y');
}

TEST_CASE("rates and trends") {
  Bench rise{"rise(river.level, 10min) > 30 cm"};
  CHECK(rise.set(0, "river.level", 2.0) == '?');
  CHECK(rise.set(300, "river.level", 2.25) == '?');
  CHECK(rise.set(600, "river.level", 2.25) == 'n');
  CHECK(rise.set(900, "river.level", 2.5625) == 'y');
  CHECK(rise.run(2000) == "1200+n ");  // the level of 600 s has left
  Bench rising{"river.level rising in 10min"};
  double level = 2;
  for (int minute = 0; minute <= 10; ++minute) rising.set(minute * 60, "river.level", level);
  CHECK(rising.at(600) == 'n');
  char last = 'n';
  for (int minute = 11; minute <= 20; ++minute) last = rising.set(minute * 60, "river.level", level += 0.01);
  CHECK(last == 'y');
  Bench counter{"increase(some.thing, 1h) >= 7"};
  counter.set(0, "some.thing", 100.0);
  counter.set(60, "some.thing", 104.0);
  CHECK(counter.set(120, "some.thing", 3.0) == 'y');  // it began anew: 4 and 3
}

TEST_CASE("nobody opened the door by ten") {
  const std::string text = "time in 10:00-20:00 AND count(door.open, since 04:00) == 0";
  const std::int64_t hour = 3'600;
  SUBCASE("nobody") {
    Bench day{text};
    CHECK(day.set(3 * hour, "door.open", false) == 'n');
    CHECK(day.run(23 * hour) == "36000y 72000n ");
  }
  SUBCASE("somebody did") {
    Bench day{text};
    day.set(3 * hour, "door.open", false);
    day.set(7 * hour, "door.open", true);
    CHECK(day.set(7 * hour + 9, "door.open", false) == 'n');
    CHECK(day.run(23 * hour) == "");
  }
  SUBCASE("the box came up at six: nobody knows") {
    Bench day{text};
    day.set(6 * hour, "door.open", false);
    CHECK(day.run(19 * hour) == "36000? ");
  }
  SUBCASE("the clock is unset") {
    Bench day{text};
    day.clock = false;
    day.set(3 * hour, "door.open", false);
    CHECK(day.run(23 * hour) == "");
    CHECK(day.at(23 * hour) == '?');
  }
}

TEST_CASE("an event is true while it lasts, and unknown while nobody can tell") {
  Bench pond{"event('cam-pond', 'intrusion', 'deep')"};
  CHECK(pond.at(0) == '?');
  CHECK(pond.event(5, Phase::start) == "y");
  CHECK(pond.event(6, Phase::start, "intrusion", "e2") == "y");
  CHECK(pond.event(7, Phase::end) == "y");
  CHECK(pond.event(8, Phase::end, "intrusion", "e2") == "n");
  CHECK(pond.event(9, Phase::start, "intrusion", "e3", "shore") == "n");
  CHECK(pond.event(10, Phase::start, "down", "d1") == "?");
  CHECK(pond.event(20, Phase::end, "down", "d1") == "n");
  Bench quiet{"event('cam-pond', 'intrusion')"};
  CHECK(quiet.at(0) == '?');
  CHECK(quiet.run(100) == "60n ");  // it had time to say so
  Bench crossing{"within(event('cam-pond', 'crossing'), 5min)"};
  CHECK(crossing.event(100, Phase::once, "crossing") == "yy");
  CHECK(crossing.run(1000) == "400+n ");
}

TEST_CASE("held, within, count and sequence") {
  Bench held{"held(door.open, 10min)"};
  held.set(0, "door.open", false);
  CHECK(held.set(60, "door.open", true) == 'n');
  CHECK(held.run(2000) == "660y ");
  CHECK(held.set(2001, "door.open", false) == 'n');
  Bench since_ever{"held(door.open, 10min)"};
  CHECK(since_ever.set(60, "door.open", true) == '?');  // perhaps long
  CHECK(since_ever.run(2000) == "660y ");

  Bench many{"count(door.open, 10min) >= 3"};
  many.set(0, "door.open", false);
  for (int i = 1; i <= 3; ++i) {
    CHECK(many.set(i * 100, "door.open", true) == (i == 3 ? 'y' : '?'));
    many.set(i * 100 + 10, "door.open", false);
  }
  CHECK(many.run(2000) == "700n ");

  Bench steps{"sequence(door.open, pump.on, river.level > 3, 10min)"};
  for (const auto* point : {"door.open", "pump.on"}) steps.set(0, point, false);
  steps.set(0, "river.level", 1.0);
  SUBCASE("in order and in time") {
    CHECK(steps.set(100, "door.open", true) == 'n');
    CHECK(steps.set(200, "pump.on", true) == 'n');
    CHECK(steps.set(300, "river.level", 4.0) == 'y');
    CHECK(steps.set(310, "door.open", false) == 'y');
    CHECK(steps.set(320, "river.level", 2.0) == 'n');
  }
  SUBCASE("out of order") {
    steps.set(100, "pump.on", true);
    steps.set(200, "door.open", true);
    CHECK(steps.set(300, "river.level", 4.0) == 'n');
  }
  SUBCASE("too late") {
    steps.set(100, "door.open", true);
    steps.set(200, "pump.on", true);
    CHECK(steps.set(701, "river.level", 4.0) == 'n');
  }
}

TEST_CASE("what conditions were comes back from what is stored") {
  Bench before{"within(door.open, 10min) and held(pump.on, 5min) and count(door.open, 1h) > 0 and sequence(pump.on, door.open, 1h)"};
  before.set(0, "door.open", false);
  before.set(0, "pump.on", false);
  before.set(100, "pump.on", true);
  before.set(200, "door.open", true);
  before.set(250, "door.open", false);
  Bench after{before.watch.expression().text()};
  after.watch.restore(before.watch.save());
  CHECK(after.watch.save() == before.watch.save());
  for (auto* bench : {&before, &after}) {
    bench->set(300, "pump.on", true);
    bench->set(300, "door.open", false);
  }
  CHECK(after.run(2000) == before.run(2000));
  after.watch.restore(nlohmann::json::parse("[[1],2]"));
  after.watch.restore(nlohmann::json::parse("null"));
}

}  // namespace expression_test
