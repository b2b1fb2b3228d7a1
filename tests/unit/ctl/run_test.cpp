#include "firmware/ctl/run.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <doctest/doctest.h>

#include "firmware/core/fake_clock.hpp"
#include "firmware/ctl/exit.hpp"
#include "tests/unit/ctl/has.hpp"

using namespace hamlet::ctl;
using hamlet::Errc;
using hamlet::control::CallFailure;
using hamlet::Failure;
using nlohmann::json;

namespace {

CallFailure unreachable() {
  return {CallFailure::Kind::unreachable, {Errc::unavailable, {"连不上", "cannot reach the daemon"}}};
}

// The command in a world of the test's making: one answer of the daemon, one of the journal, one of the config.
struct Bench {
  tl::expected<json, CallFailure> answer = json::object();
  Asked<json> journal = tl::unexpected(Failure{Errc::not_found, {"没有日志库", "no journal"}});
  std::vector<hamlet::config::Diagnostic> diagnostics;
  ProbeAsked probed;
  int probe_code = kOk;
  std::filesystem::path packs = std::filesystem::path{std::getenv("HAMLET_SOURCE")} / "firmware/image/packs";
  std::string verb;
  json args;
  std::string socket;
  std::string state_dir;
  std::string out;
  std::string err;

  int run(std::vector<std::string> words) {
    const hamlet::FakeClock clock;
    std::ostringstream out_stream;
    std::ostringstream err_stream;
    const World world{.out = out_stream,
                      .err = err_stream,
                      .colour = false,
                      .env = [](const char*) { return std::string{}; },
                      .clock = clock,
                      .ask =
                          [this](const auto& path, auto name, const auto& given) {
                            socket = path;
                            verb = name;
                            args = given;
                            return answer;
                          },
                      .read_journal =
                          [this](const auto&, const auto& directory) {
                            state_dir = directory;
                            return journal;
                          },
                      .work_on_journal =
                          [this](const auto&, const auto& gateway, const auto& tell) {
                            state_dir = gateway.state_dir;
                            for (std::uint64_t done = 0; done <= 100; ++done) tell(done, 100);
                            return journal;
                          },
                      .check_config = [this](const auto&) { return diagnostics; },
                      .packs = packs,
                      .probe =
                          [this](const auto& asked) {
                            probed = asked.probe;
                            return probe_code;
                          }};
    const int code = hamlet::ctl::run(words, world);
    out = out_stream.str();
    err = err_stream.str();
    return code;
  }
};

}  // namespace

TEST_CASE("the daemon is asked what was meant") {
  Bench bench;
  CHECK(bench.run({"readings", "river.level", "--since", "2h", "--limit", "5", "--socket", "/tmp/s", "--json"}) == kOk);
  CHECK(bench.verb == "readings");
  CHECK(bench.args == json{{"point", "river.level"}, {"since_ms", 7'200'000}, {"limit", 5}});
  CHECK(bench.socket == "/tmp/s");
  CHECK(bench.run({"events", "--source", "cam-ford", "--json"}) == kOk);
  CHECK(bench.args == json{{"source", "cam-ford"}, {"since_ms", 86'400'000}, {"limit", 100}});
  CHECK(bench.run({"alarms", "ack", "high", "--occurrence", "3", "--json"}) == kOk);
  CHECK(bench.verb == "alarm.ack");
  CHECK(bench.args == json{{"alarm", "high"}, {"occurrence", 3}});
  CHECK(bench.run({"status", "--json"}) == kOk);
  CHECK(bench.args == json::object());
}

TEST_CASE("an output is set by hand for a while, and given back") {
  Bench bench;
  bench.answer = json{{"output", {{"output", "siren"}, {"kind", "state"}, {"by_hand", {{"on", true}, {"until", 1'795'411'860'000}}}}}};
  CHECK(bench.run({"outputs", "set", "siren", "on", "--for", "5min"}) == kOk);
  CHECK(bench.verb == "output.set");
  CHECK(bench.args == json{{"output", "siren"}, {"value", true}, {"for_ms", 300'000}});
  CHECK(has(bench.err, "siren: on by hand until 2026-"));
  bench.run({"outputs", "set", "siren", "off"});
  CHECK(bench.args == json{{"output", "siren"}, {"value", false}, {"for_ms", 600'000}});
  bench.run({"outputs", "set", "duty", "试验"});
  CHECK(bench.args["value"] == "试验");
  bench.run({"outputs", "auto", "siren"});
  CHECK(bench.args == json{{"output", "siren"}, {"value", "auto"}});
  bench.answer = json{{"outputs", {{{"output", "siren"}, {"name", {{"zh", "警报器"}, {"en", "Siren"}}}, {"kind", "state"}, {"on", true},
                                    {"why", "alarm"}, {"alarm", "high"}, {"since", 1'795'411'860'000}, {"confirmed", true}}}}};
  CHECK(bench.run({"--lang", "zh", "outputs"}) == kOk);
  CHECK(has(bench.out, "警报器"));
  CHECK(has(bench.out, "报警 high"));
  (*bench.answer)["outputs"][0].update({{"on", false}, {"why", "returned"}, {"locked", true}});
  bench.run({"--lang", "zh", "outputs"});
  CHECK(has(bench.out, "联锁"));
  (*bench.answer)["outputs"][0].update({{"why", "start"}, {"locked", false}, {"spent", true}});
  bench.run({"outputs"});
  CHECK(has(bench.out, "its time is up"));
  bench.answer = json{{"output", {{"output", "heater"}, {"kind", "state"}, {"locked", true}, {"by_hand", {{"on", true}, {"until", 1'795'411'860'000}}}}}};
  bench.run({"outputs", "set", "heater", "on"});
  CHECK(has(bench.err, "heater: an interlock holds it off"));
  bench.answer = json{{"outputs", json::array()}};
  bench.run({"outputs"});
  CHECK(has(bench.err, "no outputs"));
}

TEST_CASE("packs are listed, shown and written, and nothing is written over") {
  Bench bench;
  CHECK(bench.run({"init"}) == kOk);
  for (const auto* pack : {"cold-store", "flash-flood", "living-alone", "pond-safety"}) CHECK(has(bench.out, pack));
  CHECK(bench.run({"init", "--json"}) == kOk);
  CHECK(json::parse(bench.out)["packs"].size() == 4);
  CHECK(bench.run({"init", "--pack", "flash-flood"}) == kOk);
  CHECK(has(bench.out, "[[output]]"));
  CHECK(bench.run({"init", "--pack", "flash-flod"}) == kFailed);
  CHECK(has(bench.err, "cold-store, flash-flood"));
  const auto file = std::filesystem::temp_directory_path() / "hamlet-unit-ctl-pack.toml";
  std::filesystem::remove(file);
  CHECK(bench.run({"init", "--pack", "pond-safety", "--output", file.string()}) == kOk);
  CHECK(bench.run({"init", "--pack", "pond-safety", "--output", file.string()}) == kFailed);
  CHECK(has(bench.err, "already"));
  std::filesystem::remove(file);
  CHECK(bench.run({"init", "--pack", "pond-safety", "--output", "/no/such/folder/x.toml"}) == kFailed);
  CHECK(bench.verb.empty());
  bench.packs = "/no/such/folder";
  CHECK(bench.run({"init", "--pack", "flash-flood"}) == kFailed);
  CHECK(has(bench.err, "not installed"));
}

TEST_CASE("--json prints the result as it is, in one line and no language") {
  Bench bench;
  bench.answer = json{{"state", "offline"}, {"v", 2.31}, {"name", {{"zh", "河"}, {"en", "River"}}}};
  CHECK(bench.run({"uplink", "--json", "--lang", "zh"}) == kOk);
  CHECK(bench.out == bench.answer->dump() + "\n");
  CHECK(bench.err.empty());
}

TEST_CASE("exit codes tell scripts what happened") {
  Bench bench;
  SUBCASE("ok") {
    bench.answer = json{{"health", "ok"}};
    CHECK(bench.run({"status"}) == kOk);
  }
  SUBCASE("degraded") {
    bench.answer = json{{"health", "degraded"}};
    CHECK(bench.run({"status"}) == kDegraded);
    CHECK(bench.run({"status", "--json"}) == kDegraded);
    CHECK(bench.run({"points"}) == kOk);  // only status speaks of health
  }
  SUBCASE("usage") {
    CHECK(bench.run({"statsu"}) == kUsage);
  }
  SUBCASE("help is no failure") {
    CHECK(bench.run({"--help"}) == kOk);
  }
  SUBCASE("denied") {
    bench.answer = tl::unexpected(CallFailure{CallFailure::Kind::denied, {Errc::denied, {"不行", "may not"}}});
    CHECK(bench.run({"alarms", "ack", "x"}) == kDenied);
    CHECK(bench.err == "hamlet: may not\n");
    CHECK(bench.out.empty());
  }
  SUBCASE("failed") {
    bench.answer = tl::unexpected(CallFailure{CallFailure::Kind::failed, {Errc::not_found, {"没有", "no such point"}}});
    CHECK(bench.run({"readings", "a.b", "--json"}) == kFailed);
    CHECK(bench.out == R"({"error":{"code":"not-found","en":"no such point","zh":"没有"}})"
                       "\n");
  }
  SUBCASE("unreachable, and the verb needs the daemon") {
    bench.answer = tl::unexpected(unreachable());
    for (const std::string verb : {"status", "points", "cameras", "uplink"}) {
      CAPTURE(verb);
      CHECK(bench.run({verb}) == kUnreachable);
      CHECK(has(bench.err, "systemctl status hamletd"));
      CHECK(has(bench.err, "journalctl -u hamletd"));
    }
    CHECK(bench.run({"alarms", "ack", "x", "--json"}) == kUnreachable);
    CHECK(has(bench.out, R"("code":"unreachable")"));
    CHECK(bench.state_dir.empty());
  }
}

TEST_CASE("journaled data is shown while the daemon is down") {
  Bench bench;
  bench.answer = tl::unexpected(unreachable());
  bench.journal = json{{"alarms", json::array()}};
  const std::vector<std::vector<std::string>> verbs{
      {"readings", "a.b"}, {"events"}, {"alarms"}, {"alarms", "list"}, {"journal"}};
  for (auto words : verbs) {
    words.emplace_back("--json");
    words.emplace_back("--config=/nowhere/hamlet.toml");
    CHECK(bench.run(words) == kOk);
    CHECK(bench.out == "{\"alarms\":[]}\n");
    CHECK(bench.state_dir == "/var/lib/hamlet");
    CHECK(has(bench.err, "cannot reach the daemon"));
    CHECK(has(bench.err, "last commit"));
  }
}

TEST_CASE("a journal that cannot be read either is told apart from one that may not be") {
  Bench bench;
  bench.answer = tl::unexpected(unreachable());
  CHECK(bench.run({"events", "--config=/nowhere/hamlet.toml"}) == kUnreachable);
  CHECK(has(bench.err, "no journal"));
  bench.journal = tl::unexpected(Failure{Errc::denied, {"无权", "no permission"}});
  CHECK(bench.run({"events", "--json", "--config=/nowhere/hamlet.toml"}) == kDenied);
  CHECK(has(bench.out, R"("code":"denied")"));
}

TEST_CASE("config check lists every error and asks no daemon") {
  Bench bench;
  bench.answer = tl::unexpected(unreachable());
  CHECK(bench.run({"config", "check", "/tmp/a.toml"}) == kOk);
  CHECK(has(bench.err, "systemctl reload hamletd"));
  bench.diagnostics = {{"a.toml", 12, 8, {"uplink.broker：缺少此项", "uplink.broker: missing"}},
                       {"a.toml", 0, 0, {"无法读取", "cannot be read"}}};
  CHECK(bench.run({"config", "check", "/tmp/a.toml", "--lang", "zh"}) == kFailed);
  CHECK(bench.out == "a.toml:12:8: uplink.broker：缺少此项\na.toml: 无法读取\n");
  CHECK(has(bench.err, "2 处错误"));
  CHECK(bench.run({"config", "check", "/tmp/a.toml", "--json"}) == kFailed);
  CHECK(json::parse(bench.out)["diagnostics"][0]["line"] == 12);
  CHECK(json::parse(bench.out)["diagnostics"][0]["message"] == "uplink.broker: missing");
  CHECK(json::parse(bench.out)["diagnostics"][0]["text"]["zh"] == "uplink.broker：缺少此项");
  CHECK(json::parse(bench.out)["ok"] == false);
  CHECK(bench.run({"config", "check", "/tmp/a.toml", "--lang", "en"}) == kFailed);
  CHECK(bench.out == "a.toml:12:8: uplink.broker: missing\na.toml: cannot be read\n");
  CHECK(bench.verb.empty());
}

TEST_CASE("a probe asks no daemon, and its exit code is the command's") {
  Bench bench;
  bench.probe_code = kFailed;
  CHECK(bench.run({"probe", "decode", "sl651"}) == kFailed);
  CHECK(bench.probed.kind == "decode");
  CHECK(bench.probed.protocol == "sl651");
  CHECK(bench.verb.empty());
}

TEST_CASE("words from the daemon cannot move the cursor") {
  Bench bench;
  bench.answer = tl::unexpected(CallFailure{CallFailure::Kind::failed, {Errc::failed, {"坏\033[2J", "bad\033[2J"}}});
  CHECK(bench.run({"points"}) == kFailed);
  CHECK(bench.err == "hamlet: bad?[2J\n");
}

TEST_CASE("stat, check and export work on the journal's files, whether the daemon runs or not") {
  Bench bench;
  bench.answer = tl::unexpected(unreachable());
  bench.journal = json{{"ok", true}};
  CHECK(bench.run({"journal", "stat", "--json"}) == kOk);
  CHECK(bench.verb.empty());
  CHECK(bench.state_dir == "/var/lib/hamlet");
  CHECK(bench.run({"journal", "check", "--json"}) == kOk);
  CHECK(bench.out == "{\"ok\":true}\n");
  CHECK(has(bench.err, "10 % checked\n20 % checked\n"));
  bench.journal = json{{"ok", false}};
  CHECK(bench.run({"journal", "check"}) == kFailed);
  CHECK(has(bench.err, "There is damage"));
  bench.journal = tl::unexpected(Failure{Errc::full, {"满了", "the stick is full"}});
  CHECK(bench.run({"journal", "export", "--to", "/x", "--json"}) == kFailed);
  CHECK(json::parse(bench.out)["error"]["code"] == "full");
  bench.journal = tl::unexpected(Failure{Errc::denied, {"无权", "no permission"}});
  CHECK(bench.run({"journal", "export", "--to", "/x"}) == kDenied);
}
