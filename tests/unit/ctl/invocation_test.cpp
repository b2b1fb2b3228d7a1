#include "firmware/ctl/invocation.hpp"

#include <doctest/doctest.h>

#include "firmware/ctl/exit.hpp"
#include "tests/unit/ctl/has.hpp"

using namespace hamlet::ctl;
using hamlet::Lang;
using namespace std::chrono_literals;

namespace {

Invocation good(std::vector<std::string> args) {
  const auto asked = parse(std::move(args), Lang::en);
  if (!asked) MESSAGE(asked.error().text);
  REQUIRE(asked.has_value());
  return *asked;
}

std::string bad(std::vector<std::string> args, Lang lang = Lang::en) {
  const auto asked = parse(std::move(args), lang);
  REQUIRE(!asked.has_value());
  CHECK(asked.error().exit_code == kUsage);
  return asked.error().text;
}

}  // namespace

TEST_CASE("maintenance lasts four hours unless another time is given, or it ends") {
  const auto length = [](std::vector<std::string> more) {
    std::vector<std::string> args{"alarms", "maintenance", "river"};
    args.insert(args.end(), more.begin(), more.end());
    const auto parsed = parse(args, Lang::en);
    return parsed ? std::optional{parsed->length} : std::nullopt;
  };
  CHECK(length({}) == Millis{14'400'000});
  CHECK(length({"--for", "90min"}) == Millis{5'400'000});
  CHECK(length({"--off"}) == Millis{0});
  CHECK(length({"--for", "0s"}) == std::nullopt);  // it ended it, and an output was set for ten minutes
  CHECK(length({"--off", "--for", "1h"}) == std::nullopt);
}

TEST_CASE("every verb is understood") {
  const std::vector<std::pair<std::vector<std::string>, Verb>> rows{
      {{"status"}, Verb::status},
      {{"points"}, Verb::points},
      {{"readings", "river.level"}, Verb::readings},
      {{"events"}, Verb::events},
      {{"alarms"}, Verb::alarms},
      {{"alarms", "list"}, Verb::alarms},
      {{"alarms", "ack", "river-level-high"}, Verb::alarm_ack},
      {{"alarms", "shelve", "river-level-high", "--for", "2h"}, Verb::alarm_shelve},
      {{"alarms", "unshelve", "river-level-high"}, Verb::alarm_unshelve},
      {{"alarms", "out-of-service", "river-level-high", "--reason", "broken"}, Verb::alarm_out},
      {{"alarms", "in-service", "river-level-high"}, Verb::alarm_in},
      {{"alarms", "maintenance", "river"}, Verb::alarm_maintenance},
      {{"alarms", "explain", "river-level-high"}, Verb::alarm_explain},
      {{"cameras"}, Verb::cameras},
      {{"journal"}, Verb::journal},
      {{"journal", "stat"}, Verb::journal_stat},
      {{"journal", "check"}, Verb::journal_check},
      {{"journal", "export", "--to", "/media/usb"}, Verb::journal_export},
      {{"uplink"}, Verb::uplink},
      {{"config", "check"}, Verb::config_check},
  };
  for (const auto& [args, verb] : rows) {
    CAPTURE(args);
    CHECK(good(args).verb == verb);
  }
}

TEST_CASE("what is not said has its default") {
  const auto status = good({"status"});
  CHECK(status.socket == "/run/hamlet/control.sock");
  CHECK(status.config == "/etc/hamlet/hamlet.toml");
  CHECK(!status.json);
  const auto readings = good({"readings", "river.level"});
  CHECK(readings.since == 2h);
  CHECK(readings.limit == 100);
  CHECK(good({"events"}).since == 24h);
  CHECK(!good({"alarms", "ack", "x"}).occurrence.has_value());
}

TEST_CASE("options are read, before the verb and after it") {
  const auto readings =
      good({"--json", "readings", "river.level", "--since", "90min", "--limit=5", "--socket", "/tmp/s"});
  CHECK(readings.json);
  CHECK(readings.point == "river.level");
  CHECK(readings.since == 90min);
  CHECK(readings.limit == 5);
  CHECK(readings.socket == "/tmp/s");
  CHECK(good({"events", "--source", "cam-ford"}).source == "cam-ford");
  CHECK(good({"alarms", "ack", "x", "--occurrence", "3"}).occurrence == 3);
  CHECK(good({"alarms", "ack", "x", "--json"}).json);
  CHECK(good({"config", "check", "a.toml"}).config == "a.toml");
  CHECK(good({"config", "check", "--config", "b.toml"}).config == "b.toml");
}

TEST_CASE("what to export is the backlog, or a range of ages or Beijing times") {
  using hamlet::wall_from_ms;
  const auto exported = [](std::vector<std::string> more) {
    more.insert(more.begin(), {"journal", "export", "--to", "/media/usb"});
    return good(std::move(more));
  };
  CHECK(exported({}).to == "/media/usb");
  CHECK(!exported({}).range.has_value());
  CHECK(!exported({"--unsent"}).range.has_value());
  const auto now = wall_from_ms(1'795'411'860'000);
  const auto days = exported({"--since", "7d"}).range;
  REQUIRE(days.has_value());
  CHECK(days->first.as_of(now) == now - 168h);
  CHECK(days->second.as_of(now) == now);
  const auto dates = exported({"--since", "2026-11-20", "--until", "2026-11-20T08:30"}).range;
  REQUIRE(dates.has_value());
  CHECK(dates->first.as_of(now) == wall_from_ms(1'795'104'000'000));  // 2026-11-19 16:00 UTC
  CHECK(dates->second.as_of(now) == dates->first.as_of(now) + 8h + 30min);

  CHECK(has(bad({"journal", "export"}), "--to is missing"));
  CHECK(has(bad({"journal", "export", "--to", "/x", "--since", "2026-02-30"}), "'2026-02-30' is not a time"));
  CHECK(has(bad({"journal", "export", "--to", "/x", "--until", "1d"}), "--since with or without --until"));
  CHECK(has(bad({"journal", "export", "--to", "/x", "--unsent", "--since", "1d"}), "either --unsent"));
  CHECK(has(bad({"journal", "chekc"}), "did you mean 'check'?"));
}

TEST_CASE("a wrong command line is explained, in either language") {
  CHECK(has(bad({}), "a command is missing"));
  CHECK(has(bad({"config"}), "a command is missing"));
  CHECK(has(bad({"readings"}), "the argument POINT is missing"));
  CHECK(has(bad({"readings", "level"}), "'level' is not a point"));
  CHECK(has(bad({"readings", "a.b", "--since", "yesterday"}), "'yesterday' is not a duration"));
  CHECK(has(bad({"readings", "a.b", "--limit", "0"}), "'0' is not a whole number from 1"));
  CHECK(has(bad({"readings", "a.b", "--limit", "many"}), "'many' is not a whole number"));
  CHECK(has(bad({"readings", "a.b", "--since"}), "--since needs a value"));
  CHECK(has(bad({"events", "--source", "Cam 1"}), "'Cam 1' is not an id"));
  CHECK(has(bad({"status", "--lang", "fr"}), "'fr' is neither zh nor en"));
  CHECK(has(bad({"alarms", "ack"}), "the argument ID is missing"));
  CHECK(has(bad({"probe"}), "a command is missing"));
  CHECK(has(bad({"probe", "decode", "modbus"}), "'modbus' is neither sl651 nor hj212"));
  CHECK(has(bad({"readings"}, Lang::zh), "缺少参数 POINT"));
  CHECK(has(bad({"readings"}, Lang::zh), "hamlet readings --help"));
}

TEST_CASE("a misspelt word is met with the nearest one") {
  CHECK(has(bad({"statsu"}), "'statsu' was not expected; did you mean 'status'?"));
  CHECK(has(bad({"readings", "a.b", "--sicne", "2h"}), "did you mean '--since'?"));
  CHECK(has(bad({"alarms", "akc"}), "did you mean 'ack'?"));
  CHECK(has(bad({"statsu"}, Lang::zh), "不认识“statsu”；您是否想用“status”？"));
}

TEST_CASE("help is in the language, all of it") {
  const auto help = [](std::vector<std::string> args, Lang lang) {
    const auto asked = parse(std::move(args), lang);
    REQUIRE(!asked.has_value());
    CHECK(asked.error().exit_code == kOk);
    return asked.error().text;
  };
  for (const std::vector<std::string>& args : {std::vector<std::string>{"--help"},
                                               {"readings", "--help"},
                                               {"alarms", "-h"},
                                               {"alarms", "ack", "--help"},
                                               {"config", "check", "--help"},
                                               {"probe", "decode", "--help"}}) {
    CAPTURE(args);
    const auto zh = help(args, Lang::zh);
    CHECK(has(zh, "用法: hamlet"));
    for (const std::string word : {"Usage", "Options", "OPTIONS", "Positionals", "SUBCOMMAND", "Subcommands",
                                   "REQUIRED", "TEXT", " INT", "default", "Print", "required"}) {
      CAPTURE(word);
      CAPTURE(zh);
      CHECK(!has(zh, word));
    }
    CHECK(has(help(args, Lang::en), "Usage: hamlet"));
  }
  CHECK(has(help({"readings", "--help"}, Lang::en), "hamlet readings"));
  CHECK(has(help({"--version"}, Lang::en), "hamlet " HAMLET_VERSION));
}
