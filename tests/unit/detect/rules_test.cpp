#include "firmware/detect/rules.hpp"

#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <fmt/format.h>

namespace rules_test {

using namespace hamlet;
using namespace hamlet::detect;
using std::chrono::days;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

namespace {

const std::vector<std::string> kPoints{"river.level", "bridge.level", "rain.hour", "pump.on", "gate.state"};

struct Read {
  Rules rules;
  std::vector<std::string> errors;
};
Read read(std::string_view text) {
  auto document = config::Document::parse(text, "t.toml");
  Read out{read_rules(document.root(), kPoints), {}};
  document.finish();
  for (const auto& each : document.diagnostics()) out.errors.push_back(each.to_string());
  return out;
}

// The only error of an alarm on river.level with these lines.
std::string alarm_error(std::string_view lines) {
  const auto errors = read(fmt::format("[[alarm]]\nid = \"a\"\npoint = \"river.level\"\n{}\n", lines)).errors;
  return fmt::format("{}", fmt::join(errors, "\n"));
}
std::string quality_error(std::string_view lines) {
  const auto errors = read(fmt::format("[quality.\"river.level\"]\n{}\n", lines)).errors;
  return fmt::format("{}", fmt::join(errors, "\n"));
}

}  // namespace

TEST_CASE("the rules of the example in the header are read") {
  const auto [rules, errors] = read(R"(
[quality."river.level"]
range = [0, 12]
suspect = [0.2, 8]
rate_of_change = { change = 0.5, per = "1min" }
flat_line = { tolerance = 0.002, suspect = "6h", fail = "1d", every = "10s" }
climatology = [
  { suspect = [0.2, 4] },
  { months = [6, 9], hours = [22, 5], suspect = [0.5, 8], range = [0, 11] },
]
spike = { suspect = 0.3, fail = 1, method = "differential" }
attenuated = { suspect = 0.01, fail = 0.002, check = "range", window = "2h", min_samples = 20 }
gap = "10min"
neighbour = { point = "bridge.level", difference = 0.5, within = "5min" }
anomaly = {}

[[alarm]]
id = "river-level-high"
point = "river.level"
above = 4.5
deadband = 0.2
on_delay = "30s"
off_delay = "5min"
severity = "critical"
text = { zh = "河道水位过高", en = "River level is high" }

[[alarm]]
id = "river-rising"
point = "river.level"
rise = 0.3
within = "10min"

[[alarm]]
id = "gate-open"
point = "gate.state"
equals = "open"
)");
  CHECK(errors == std::vector<std::string>{});
  REQUIRE(rules.quality.size() == 1);
  const QualityRule expected{.point = "river.level",
                             .range = Span{0, 12},
                             .suspect = Span{0.2, 8},
                             .climatology = {{.suspect = Span{0.2, 4}},
                                             {.first_month = 6,
                                              .last_month = 9,
                                              .first_hour = 22,
                                              .last_hour = 5,
                                              .suspect = Span{0.5, 8},
                                              .range = Span{0, 11}}},
                             .spike = SpikeRule{SpikeRule::Method::differential, 0.3, 1},
                             .rate_of_change = 0.5 / 60,
                             .flat_line = FlatLineRule{0.002, hours{6}, days{1}, seconds{10}},
                             .attenuated = AttenuatedRule{AttenuatedRule::Check::range, 0.01, 0.002, hours{2}, 20},
                             .gap = minutes{10},
                             .neighbour = NeighbourRule{"bridge.level", 0.5, {}, minutes{5}},
                             .anomaly = AnomalyRule{}};
  CHECK(rules.quality[0] == expected);
  REQUIRE(rules.alarms.size() == 3);
  CHECK(rules.alarms[0] == AlarmRule{"river-level-high",
                                     "river.level",
                                     Condition::above,
                                     4.5,
                                     {},
                                     0.2,
                                     seconds{30},
                                     minutes{5},
                                     Severity::critical,
                                     {"河道水位过高", "River level is high"}});
  CHECK(rules.alarms[1] == AlarmRule{"river-rising",
                                     "river.level",
                                     Condition::rise,
                                     0.3,
                                     minutes{10},
                                     0,
                                     {},
                                     {},
                                     Severity::warning,
                                     {"river-rising", "river-rising"}});
  CHECK(rules.alarms[2].limit == Value{std::string{"open"}});
}

TEST_CASE("no rules are no mistake") {
  const auto [rules, errors] = read("");
  CHECK(errors.empty());
  CHECK(rules.quality.empty());
  CHECK(rules.alarms.empty());
}

TEST_CASE("mistakes in an alarm are told at their line") {
  CHECK(alarm_error("above = 1\nbelow = 0") ==
        "t.toml:5:9: alarm[1].below: expected exactly one of above, below, equals, rise, fall, when");
  CHECK(alarm_error("deadband = 1") ==
        "t.toml:1:1: alarm[1]: expected exactly one of above, below, equals, rise, fall, when");
  CHECK(alarm_error("above = \"4\"") == "t.toml:4:9: alarm[1].above: expected a number, found a string");
  CHECK(alarm_error("above = 4\ndeadband = -1") ==
        "t.toml:5:12: alarm[1].deadband: -1 is out of range; expected 0 or more");
  CHECK(alarm_error("equals = 4") ==
        "t.toml:4:10: alarm[1].equals: expected true, false or a text; for numbers use above and below");
  CHECK(alarm_error("equals = true\ndeadband = 1") ==
        "t.toml:5:12: alarm[1].deadband: a point that is compared with equals has none");
  CHECK(alarm_error("rise = 0.3") == "t.toml:1:1: alarm[1].within: missing; this key is required");
  CHECK(alarm_error("fall = 0\nwithin = \"1min\"") ==
        "t.toml:4:8: alarm[1].fall: 0 is out of range; expected more than 0");
  CHECK(alarm_error("rise = 0.3\nwithin = \"1min\"\ndeadband = 0.3") ==
        "t.toml:6:12: alarm[1].deadband: must be less than 0.3, or the alarm would never return");
  CHECK(alarm_error("above = 1\nwithin = \"1min\"") == "t.toml:5:10: alarm[1].within: belongs to rise and fall only");
  CHECK(alarm_error("above = 1\non_delay = \"8d\"") ==
        "t.toml:5:12: alarm[1].on_delay: 8d is out of range; expected 0ms to 7d");
  CHECK(alarm_error("above = 1\nseverity = \"critcal\"\n") ==
        "t.toml:5:12: alarm[1].severity: expected one of \"critical\", \"major\", \"minor\", \"warning\"; did you mean "
        "\"critical\"?");
  CHECK(alarm_error("above = 1\nseverity = \"critical\"") ==
        "t.toml:1:1: alarm[1]: text: missing; a critical alarm needs one: text = { zh = \"…\", en = \"…\" }");
  CHECK(alarm_error("above = 1\nseverity = \"critical\"\ntext = { zh = \"水\", en = \"\" }") ==
        "t.toml:6:8: alarm[1].text: must not be empty in either language");
  CHECK(alarm_error("above = 1\nonn_delay = \"1s\"") ==
        "t.toml:5:1: unknown key 'onn_delay' in alarm[1]; did you mean 'on_delay'?");
}

TEST_CASE("mistakes in a quality table are told at their line") {
  CHECK(quality_error("range = [4, 3]") ==
        "t.toml:2:9: quality.river.level.range: expected [low, high] with low below high");
  CHECK(quality_error("range = [1, 2, 3]") ==
        "t.toml:2:9: quality.river.level.range: expected [low, high] with low below high");
  CHECK(quality_error("range = [1, \"a\"]") ==
        "t.toml:2:9: quality.river.level.range: expected an array of numbers, as [1, 2.5]");
  CHECK(quality_error("range = [0, 5]\nsuspect = [1, 6]") ==
        "t.toml:3:11: quality.river.level.suspect: must lie within range [0, 5]");
  CHECK(quality_error("rate_of_change = { per = \"1s\" }") ==
        "t.toml:2:18: quality.river.level.rate_of_change.change: missing; write { change = 0.5, per = \"1min\" }");
  CHECK(quality_error("rate_of_change = 4") ==
        "t.toml:2:18: quality.river.level.rate_of_change: expected a table, found an integer");
  CHECK(quality_error("flat_line = { tolerance = 0, suspect = \"1h\" }") ==
        "t.toml:2:27: quality.river.level.flat_line.tolerance: 0 is out of range; expected more than 0");
  CHECK(quality_error("flat_line = { tolerance = 1, suspect = \"1h\", fail = \"30min\" }") ==
        "t.toml:2:53: quality.river.level.flat_line.fail: must not be shorter than suspect");
  CHECK(quality_error("flat_line = { tolerance = 1, suspect = \"1h\", every = \"1h\" }") ==
        "t.toml:2:40: quality.river.level.flat_line.suspect: must be at least two sampling intervals (every): fewer "
        "samples say nothing");
  CHECK(quality_error("climatology = [{ months = [0, 3], suspect = [1, 2] }]") ==
        "t.toml:2:27: quality.river.level.climatology[1].months: expected [first, last], whole numbers from 1 to 12; "
        "both are "
        "in it");
  CHECK(quality_error("climatology = [{ hours = [1, 3] }]").find("suspect: missing") != std::string::npos);
  CHECK(quality_error("spike = {}").find("expected suspect, fail or both") != std::string::npos);
  CHECK(quality_error("spike = { suspect = 2, fail = 1 }").find("must not be less than suspect") != std::string::npos);
  CHECK(quality_error("attenuated = { suspect = 1, fail = 2 }").find("must not be more than suspect") !=
        std::string::npos);
  CHECK(quality_error("neighbour = { point = \"bridge.levle\", difference = 1, within = \"1min\" }")
            .find("did you mean 'bridge.level'?") != std::string::npos);
  CHECK(quality_error("neighbour = { point = \"river.level\", within = \"1min\", ratio = 2 }")
            .find("no neighbour of itself") != std::string::npos);
  CHECK(
      quality_error("neighbour = { point = \"bridge.level\", within = \"1min\" }").find("difference, ratio or both") !=
      std::string::npos);
  CHECK(quality_error("anomaly = { threshold = 2 }").find("out of range") != std::string::npos);
  CHECK(quality_error("gap = 5") ==
        "t.toml:2:7: quality.river.level.gap: expected a duration in quotes, as in \"5s\", found an integer");
}

TEST_CASE("points that do not exist are errors, with the nearest that does") {
  const auto errors = read(R"([quality."river.levle"]
gap = "1min"
[[alarm]]
id = "a"
point = "rain.hours"
above = 3
[[alarm]]
id = "a"
point = "nothing.like-it"
above = 3)")
                          .errors;
  CHECK(errors == std::vector<std::string>{
                      "t.toml:1:1: quality.river.levle: there is no point 'river.levle'; did you mean 'river.level'?",
                      "t.toml:5:9: alarm[1].point: there is no point 'rain.hours'; did you mean 'rain.hour'?",
                      "t.toml:8:6: alarm[2].id: another alarm is called 'a' already",
                      "t.toml:9:9: alarm[2].point: there is no point 'nothing.like-it'"});
}

TEST_CASE("rules over several points, steps, seasons and the reasons for an alarm") {
  const auto [rules, errors] = read(R"(
[[alarm]]
id = "flash-flood"
when = 'river.level rising AND sum(rain.hour, 1h) > 30'
severity = "critical"
text = { zh = "山洪", en = "Flash flood" }
cause = { zh = "暴雨", en = "Heavy rain" }
action = { zh = "撤离", en = "Leave the valley" }
time_to_act = "20min"
suppressed_when = 'pump.on'

[[alarm]]
id = "river"
point = "river.level"
deadband = 0.1
action = { zh = "巡查", en = "Go and look" }
[[alarm.step]]
id = "guard"
above = 3
severity = "minor"
seasons = [{ months = [6, 9], above = 2.5 }]
[[alarm.step]]
id = "warning"
above = 4.0
severity = "critical"
text = { zh = "警戒水位", en = "Warning level" }
action = { zh = "转移", en = "Move people" }
)");
  CHECK(errors == std::vector<std::string>{});
  REQUIRE(rules.alarms.size() == 3);
  CHECK(rules.alarms[0].point == "river.level");
  CHECK(rules.alarms[0].sources() == std::vector<std::string>{"river.level", "rain.hour"});
  CHECK(rules.alarms[0].rationale->time_to_act == minutes{20});
  CHECK(rules.alarms[0].suppressed_when->text() == "pump.on");
  CHECK(rules.alarms[1].id == "river-guard");
  CHECK(rules.alarms[1].limit == Value{3.0});
  CHECK(rules.alarms[1].deadband == 0.1);
  CHECK(rules.alarms[1].seasons == std::vector<SeasonLimit>{{.first_month = 6, .last_month = 9, .limit = 2.5}});
  CHECK(rules.alarms[1].rationale->action.en == "Go and look");
  CHECK(rules.alarms[2].id == "river-warning");
  CHECK(rules.alarms[2].severity == Severity::critical);
  CHECK(rules.alarms[2].rationale->action.en == "Move people");
}

TEST_CASE("mistakes in steps, seasons and rules are told at their line") {
  CHECK(alarm_error("step = [{ id = \"a\", above = 3 }, { id = \"b\", above = 2 }]").find("further out") != std::string::npos);
  CHECK(alarm_error("above = 3\nstep = [{ id = \"a\", above = 3 }]").find("stand in [[alarm.step]]") != std::string::npos);
  CHECK(alarm_error("equals = true\nseasons = [{ above = 3 }]").find("belongs to above and below only") != std::string::npos);
  CHECK(alarm_error("when = 'pump.on'").find("an expression names its points itself") != std::string::npos);
  CHECK(alarm_error("above = 3\nsuppressed_when = 'pump.no'") ==
        "t.toml:5:20: alarm[1].suppressed_when: character 1: there is no point 'pump.no'; did you mean 'pump.on'?");
}

TEST_CASE("an alarm knows whether it goes by the clock") {
  const auto goes = [](std::string_view alarm) {
    const auto document = config::Document::parse(fmt::format("[[alarm]]\nid = \"a\"\n{}\n", alarm), "t.toml");
    const std::vector<std::string> points{"river.level", "pump.on"};
    const auto rules = read_rules(document.root(), points);
    REQUIRE(document.ok());
    return rules.alarms.at(0).goes_by_clock();
  };
  CHECK_FALSE(goes("point = \"river.level\"\nabove = 3"));
  CHECK_FALSE(goes("when = 'sum(river.level, 1h) > 3'"));
  CHECK(goes("point = \"river.level\"\nabove = 3\nseasons = [{ months = [6, 9], above = 2 }]"));
  CHECK(goes("point = \"river.level\"\nabove = 3\nsuppressed_when = 'pump.on and month in 1-2'"));
  CHECK(goes("when = 'pump.on and time in 22:00-06:00'"));
  CHECK(goes("when = 'sum(river.level, since 06:00) > 3'"));
  CHECK(goes("when = 'count(pump.on, since 06:00) > 3'"));
}

TEST_CASE("a limit that only bad readings could pass is an error") {
  const auto errors = read(R"([quality."river.level"]
range = [0, 5]
[[alarm]]
id = "a"
point = "river.level"
above = 5
[[alarm]]
id = "b"
point = "river.level"
below = -1
[[alarm]]
id = "c"
point = "river.level"
above = 4
seasons = [{ months = [1, 2], above = 6 }])")
                          .errors;
  CHECK(errors ==
        std::vector<std::string>{"t.toml:6:9: alarm[1].above: would never be raised: the point's range is [0, "
                                 "5], and readings outside are bad",
                                 "t.toml:10:9: alarm[2].below: would never be raised: the point's range is "
                                 "[0, 5], and readings outside are bad",
                                 "t.toml:15:11: alarm[3].seasons: would never be raised: the point's range is "
                                 "[0, 5], and readings outside are bad"});
}

TEST_CASE("an alarm that could not be raised, or never return, is an error") {
  const auto wrong = [](std::string_view lines) {
    const auto errors =
        read(fmt::format("[quality.\"river.level\"]\nrange = [0, 5]\n[[alarm]]\nid = \"a\"\npoint = \"river.level\"\n{}\n", lines))
            .errors;
    return fmt::format("{}", fmt::join(errors, "\n"));
  };
  CHECK(wrong("rise = 5\nwithin = \"1h\"") ==
        "t.toml:6:8: alarm[1].rise: would never be raised: the point's range is [0, 5], and readings outside are bad");
  CHECK(wrong("fall = 4.9\nwithin = \"1h\"") == "");
  CHECK(wrong("above = 4\ndeadband = 4") == "");
  CHECK(wrong("above = 4\ndeadband = 4.5") ==
        "t.toml:7:12: alarm[1].deadband: the alarm would never return: readings outside range are bad; expected 4 or less");
  CHECK(wrong("below = 1\ndeadband = 4.5") ==
        "t.toml:7:12: alarm[1].deadband: the alarm would never return: readings outside range are bad; expected 4 or less");
  CHECK(wrong("above = 4\ndeadband = 3\nseasons = [{ above = 2 }]") ==
        "t.toml:7:12: alarm[1].deadband: the alarm would never return: readings outside range are bad; expected 2 or less");
  CHECK(wrong("deadband = 3.5\n[[alarm.step]]\nid = \"x\"\nabove = 3\n[[alarm.step]]\nid = \"y\"\nabove = 6") ==
        "t.toml:6:12: alarm[1].deadband: the alarm would never return: readings outside range are bad; expected 3 or less\n"
        "t.toml:12:9: alarm[1].step[2].above: would never be raised: the point's range is [0, 5], and readings outside "
        "are bad");
}

}  // namespace rules_test
