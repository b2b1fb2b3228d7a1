// What technicians do to alarms, over the daemon's own socket.

#include <grp.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>

#include "firmware/core/clock.hpp"
#include "tests/scenario/village.hpp"

using namespace hamlet;
using namespace hamlet::scenario;

namespace {

constexpr auto kId = "river-level-high";

struct AlarmVillage : Village {
  AlarmVillage() {
    set_level(1.0F);
    start();
    REQUIRE_MESSAGE(until("normal"), hamletd->log());
  }
  json alarm() {
    const auto answer = ask("alarm.explain", {{"alarm", kId}});
    return answer.is_object() ? answer["alarm"] : json::object();
  }
  bool until(std::string_view state) {
    return ask_until("status", [&](const json& now) { return now["devices"]["up"] == 1 && alarm()["state"] == state; });
  }
  // The state that a verb leaves the alarm in.
  std::string after(std::string_view verb, json args = {}) {
    args.emplace(verb == "alarm.maintenance" ? "device" : "alarm", verb == "alarm.maintenance" ? "river" : kId);
    const auto answer = ask(verb, std::move(args));
    return answer.contains("alarm") ? answer["alarm"]["state"] : answer.at("alarms").at(0)["state"];
  }
  Text refused(std::string_view verb, json args) {
    const auto answer = control::call(socket, verb, std::move(args));
    REQUIRE_FALSE(answer);
    return answer.error().failure.text;
  }
  void crash() {
    hamletd->kill();
    start();
    REQUIRE(ask_until("status", [](const json& now) { return now["devices"]["up"] == 1; }));
  }
  // What operators did, oldest first, as the journal has it.
  std::vector<json> acts() {
    std::vector<json> out;
    for (const auto& event : ask("events", {{"source", "gateway"}}).value("events", json::array())) {
      if (event["kind"] == "operator") out.push_back(event["detail"]);
    }
    return out;
  }
};

}  // namespace

TEST_CASE("what is done to an alarm survives kill -9, with who did it and why, and each act is an event") {
  AlarmVillage village;
  village.set_level(5.0F);
  REQUIRE(village.until("unacked"));

  CHECK(village.after("alarm.shelve", {{"for_ms", 600'000}, {"reason", "cleaning"}}) == "shelved");
  village.crash();
  auto alarm = village.alarm();
  CHECK(alarm["state"] == "shelved");
  CHECK(alarm["shelved"]["reason"] == "cleaning");
  CHECK(alarm["shelved"]["by"].get<std::string>().find("uid") != std::string::npos);
  CHECK(alarm["shelved"]["until"].is_number());
  CHECK(village.after("alarm.unshelve") == "unacked");
  CHECK(village.after("alarm.ack", {{"occurrence", 1}}) == "acked");

  CHECK(village.after("alarm.out-of-service", {{"reason", "float stuck"}}) == "out-of-service");
  village.crash();
  alarm = village.alarm();
  CHECK(alarm["state"] == "out-of-service");
  CHECK(alarm["out_of_service"]["reason"] == "float stuck");
  (void)village.ask("alarm.in-service", {{"alarm", kId}});
  REQUIRE(village.until("unacked"));
  CHECK(village.alarm()["occurrence"] == 2);  // judged anew

  CHECK(village.after("alarm.maintenance", {{"for_ms", 600'000}, {"reason", "new gauge"}}) == "suppressed");
  village.crash();
  CHECK(village.alarm()["state"] == "suppressed");
  CHECK(village.alarm()["suppressed_by"] == json::array({"maintenance"}));
  CHECK(village.ask("alarms")["maintenance"].size() == 1);
  (void)village.ask("alarm.maintenance", {{"device", "river"}, {"for_ms", 0}});
  REQUIRE(village.until("unacked"));
  CHECK(village.ask("alarms")["maintenance"].empty());

  std::string verbs;
  for (const auto& act : village.acts()) {
    verbs += act["verb"].get<std::string>().substr(6) + ' ';
    CHECK(act["by"].get<std::string>().find("uid") != std::string::npos);
  }
  CHECK(verbs == "shelve unshelve ack out-of-service in-service maintenance maintenance ");
}

TEST_CASE("what cannot be done to an alarm is told in both languages, and is no event") {
  AlarmVillage village;
  const auto check = [&](std::string_view verb, json args, const Text& text) {
    const auto said = village.refused(verb, std::move(args));
    CHECK(said.zh == text.zh);
    CHECK(said.en == text.en);
  };
  check("alarm.unshelve", {{"alarm", kId}},
        {"报警“river-level-high”没有搁置", "alarm 'river-level-high' is not shelved"});
  check("alarm.in-service", {{"alarm", kId}},
        {"报警“river-level-high”没有停用", "alarm 'river-level-high' is in service"});
  check("alarm.ack", {{"alarm", kId}},
        {"报警“river-level-high”当前状态为“正常”，无需确认",
         "alarm 'river-level-high' is normal; there is nothing to acknowledge"});
  check("alarm.ack", {{"alarm", kId}, {"occurrence", 7}},
        {"报警“river-level-high”现在是第 0 次，不是第 7 次；请重新查看",
         "alarm 'river-level-high' is at occurrence 0, not 7; look at it again"});
  check("alarm.explain", {{"alarm", "river-level-hihg"}},
        {"没有报警“river-level-hihg”；是否应为“river-level-high”？",
         "there is no alarm 'river-level-hihg'; did you mean 'river-level-high'?"});
  check("alarm.shelve", {{"alarm", kId}, {"for_ms", 1'000}},
        {"1s 超出范围；应为 1min 到 1d", "1s is out of range; from 1min to 1d"});
  check("alarm.maintenance", {{"device", "bridge"}, {"for_ms", 600'000}},
        {"没有报警用到设备“bridge”；全站请写 all", "no alarm watches a device 'bridge'; all: the whole box"});
  check("alarm.maintenance", {{"device", "river"}, {"for_ms", 0}},
        {"“river”不在检修中", "'river' is not in maintenance"});
  CHECK(village.acts().empty());
}

TEST_CASE("while the clock is unset the alarms that go by the hour are named where people look") {  // only tests of points were
  if (SystemClock{}.synced()) {
    MESSAGE("skipped: this machine's clock is set");
    return;
  }
  Village village{"[[alarm]]\nid = \"night\"\nwhen = \"river.level > 3 AND time in 22:00-05:00\"\n"};
  std::ifstream file{village.config};
  std::string config{std::istreambuf_iterator<char>{file}, {}};
  const std::string_view trusted = "trust_clock = true";
  config.replace(config.find(trusted), trusted.size(), "trust_clock = false");
  std::ofstream{village.config} << config;
  village.set_level(5.0F);
  village.start();
  REQUIRE(village.ask_until("alarms", [](const json& now) { return now["alarms"].at(0)["state"] == "unacked"; }));
  const auto alarms = village.ask("alarms")["alarms"];
  CHECK_FALSE(alarms.at(0).contains("waits"));
  CHECK(alarms.at(0)["tq"] == "unsynced");
  CHECK(alarms.at(1)["state"] == "normal");
  CHECK(alarms.at(1)["waits"] == "clock");
  CHECK(village.ask("alarm.explain", {{"alarm", "night"}})["alarm"]["waits"] == "clock");
  const auto problems = village.ask("status")["problems"];
  const auto clock = std::find_if(problems.begin(), problems.end(), [](const json& each) { return each["id"] == "clock"; });
  REQUIRE(clock != problems.end());
  for (const auto* lang : {"zh", "en"}) CHECK((*clock)["text"][lang].get<std::string>().ends_with("night"));
}

TEST_CASE("whoever is not in the box's groups changes no alarm, and who may only look has one explained") {
  if (geteuid() != 0) {
    MESSAGE("skipped: needs root to become somebody else");
    return;
  }
  AlarmVillage village;
  std::filesystem::permissions(village.dir.path(), std::filesystem::perms::others_exec,
                               std::filesystem::perm_options::add);
  std::filesystem::permissions(village.socket, std::filesystem::perms::all);  // peers are told apart by who they are
  const auto exit_code = [&](std::string gid, std::vector<std::string> verb) {
    std::vector<std::string> command{
        "/usr/bin/setpriv",         "--reuid=65534", "--regid=" + std::move(gid), "--clear-groups",
        support::program("hamlet"), "--socket",      village.socket.string(),     "alarms"};
    command.insert(command.end(), verb.begin(), verb.end());
    return support::Process{command, village.dir.path() / "ctl.log"}.wait(std::chrono::seconds{20});
  };
  const std::vector<std::vector<std::string>> changes{{"ack", kId},        {"shelve", kId, "--for", "10min"},
                                                      {"unshelve", kId},   {"out-of-service", kId},
                                                      {"in-service", kId}, {"maintenance", "river", "--for", "10min"}};
  for (const auto& change : changes) CHECK(exit_code("65534", change) == 5);
  CHECK(exit_code("65534", {"explain", kId}) == 5);
  if (const auto* const readers = ::getgrnam("hamlet")) {
    for (const auto& change : changes) CHECK(exit_code(std::to_string(readers->gr_gid), change) == 5);
    CHECK(exit_code(std::to_string(readers->gr_gid), {"explain", kId}) == 0);
  }
  CHECK(village.alarm()["state"] == "normal");
  CHECK(village.acts().empty());
}
