// The road, end to end, on the real programs: hamletd, hamlet-eyes, mosquitto, a Modbus device, a clip, a bad link.

#include <cstdlib>
#include <random>

#include "tests/scenario/village.hpp"
#include "tests/support/zstd_lines.hpp"

using namespace hamlet;
using namespace hamlet::scenario;
using namespace std::chrono_literals;

TEST_CASE("every number of every lane arrives through a cut link and two kill -9, and twice only as the same") {
  Village village;
  village.set_level(1.5F);
  village.start();
  REQUIRE_MESSAGE(village.county.wait_until([](const auto& now) { return now.total(Lane::tele).prefix >= 5; }, kPatience),
                  village.hamletd->log());

  village.proxy.cut();
  for (int kill = 0; kill < 2; ++kill) {
    // Alarms and readings while nobody listens.
    village.set_level(4.0F);
    REQUIRE(village.ask_until("alarms", [](const json& now) { return now["alarms"][0]["state"] == "unacked"; }));
    village.set_level(1.0F);
    REQUIRE(village.ask_until("alarms", [](const json& now) { return now["alarms"][0]["state"] == "returned"; }));
    REQUIRE(village.ask_until("journal", [&](const json& now) {
      return Village::unsent(now, "tele") >= static_cast<std::uint64_t>(10 * (kill + 1)) &&
             Village::unsent(now, "alarm") >= static_cast<std::uint64_t>(2 * (kill + 1));
    }));
    village.hamletd->kill();
    village.start();
  }
  // The alarm was raised before the last kill; the box still knows.
  REQUIRE(village.ask_until("alarms", [](const json& now) { return now["alarms"][0]["state"] == "returned"; }));
  CHECK(village.ask("alarms")["alarms"][0]["occurrence"] == 2);

  village.proxy.open();
  REQUIRE(village.ask_until("uplink", [](const json& now) { return now["state"] == "online"; }));
  village.hamletd->signal(SIGTERM);
  CHECK(village.hamletd->wait(5s) == 0);
  village.check_all_arrived();
  // The county's retained picture is that of the box.
  CHECK(village.county.wait_until(
      [](const auto& now) {
        const auto alarm = now.alarms.find("river-level-high");
        return now.state.is_object() && now.state.value("state", "") == "offline" && alarm != now.alarms.end() &&
               alarm->second.value("state", "") == "returned";
      },
      kPatience));
  MESSAGE(village.county.snapshot().to_string());
}

// By hand HAMLET_KILLS=200, some minutes.
TEST_CASE("however often hamletd is killed while it works, nothing that was committed is lost and no number comes twice") {
  const char* asked = std::getenv("HAMLET_KILLS");  // NOLINT(concurrency-mt-unsafe): one thread
  const int kills = asked == nullptr ? 8 : std::atoi(asked);
  Village village;
  std::minstd_rand random{7};
  std::uint64_t known = 0;
  for (int kill = 0; kill < kills; ++kill) {
    CAPTURE(kill);
    village.set_level(kill % 2 == 0 ? 4.0F : 1.0F);  // an alarm, or its return
    if (kill % 5 == 4) village.proxy.cut();
    if (kill % 5 == 0) village.proxy.open();
    village.start();
    // Somewhere between the first commit and some messages later; where the link is cut the county hears nothing.
    if (kill % 5 == 4) {
      REQUIRE(village.ask_until("journal", [](const json& now) { return Village::unsent(now, "tele") >= 3; }));
    } else {
      const auto more = std::uniform_int_distribution<std::uint64_t>{0, 6}(random);
      REQUIRE_MESSAGE(village.county.wait_until([&](const auto& now) { return now.total(Lane::tele).prefix >= known + more; }, kPatience),
                      village.hamletd->log());
    }
    village.hamletd->kill();
    known = village.county.snapshot().total(Lane::tele).prefix;
  }
  village.proxy.open();
  village.start();
  REQUIRE(village.ask_until("uplink", [](const json& now) { return now["state"] == "online"; }));
  village.hamletd->signal(SIGTERM);
  CHECK(village.hamletd->wait(5s) == 0);
  village.check_all_arrived();
  MESSAGE(kills << " kills; " << village.county.snapshot().to_string());
}

TEST_CASE("what is exported to a stick is what the county then receives") {
  Village village;
  County books{{.broker = village.broker.uri(), .base = "hamlet/v1/430124/104/203/gw-test", .keep_messages = true}};
  village.start();
  REQUIRE_MESSAGE(village.county.wait_until([](const auto& now) { return now.total(Lane::tele).prefix >= 3; }, kPatience),
                  village.hamletd->log());
  village.proxy.cut();
  village.set_level(4.0F);
  REQUIRE(village.ask_until("journal", [](const json& now) {
    return Village::unsent(now, "tele") >= 10 && Village::unsent(now, "alarm") >= 1;
  }));

  const auto stick = village.dir.path() / "stick";
  std::filesystem::create_directory(stick);
  const auto said = village.dir.path() / "export.log";
  support::Process exporting{{support::program("hamlet"), "--config", village.config.string(), "--json", "journal", "export",
                              "--to", stick.string(), "--unsent"},
                             said};
  REQUIRE_MESSAGE(exporting.wait(20s) == 0, exporting.log());
  const auto folder = std::filesystem::directory_iterator{stick}->path();

  village.proxy.open();
  REQUIRE(village.ask_until("uplink", [](const json& now) { return now["state"] == "online"; }));
  village.hamletd->signal(SIGTERM);
  CHECK(village.hamletd->wait(5s) == 0);
  village.check_all_arrived();

  std::map<std::pair<Lane, std::uint64_t>, County::Arrival> received;
  for (auto& arrival : books.snapshot().messages) received[{arrival.lane, arrival.seq}] = arrival;
  for (const auto lane : {Lane::alarm, Lane::event, Lane::tele}) {
    const auto name = std::string{contract::to_string(lane)};
    const auto lines = support::zstd_lines(folder / (name + ".ndjson.zst"));
    CHECK(lines.size() >= (lane == Lane::tele ? 10 : 1));
    for (const auto& line : lines) {
      auto exported = json::parse(line);
      const auto found = received.find({lane, exported["payload"]["seq"].get<std::uint64_t>()});
      REQUIRE_MESSAGE(found != received.end(), line);
      auto sent = found->second.payload;
      CHECK(exported["topic"].get<std::string>() == "hamlet/v1/430124/104/203/gw-test/" + found->second.topic);
      for (auto* each : {&sent, &exported["payload"]}) each->erase("hist");  // grows old meanwhile
      CHECK(exported["payload"] == sent);
    }
  }
}

TEST_CASE("an acknowledgement outlives kill -9") {
  Village village;
  village.set_level(4.0F);
  village.start();
  REQUIRE_MESSAGE(village.ask_until("alarms", [](const json& now) { return now["alarms"][0]["state"] == "unacked"; }),
                  village.hamletd->log());
  CHECK(village.ask("alarm.ack", {{"alarm", "river-level-high"}})["alarm"]["state"] == "acked");
  village.hamletd->kill();
  village.start();
  REQUIRE(village.ask_until("alarms", [](const json& now) { return now["alarms"].size() == 1; }));
  const auto alarm = village.ask("alarms")["alarms"][0];
  CHECK(alarm["state"] == "acked");
  CHECK(alarm["occurrence"] == 1);
}

TEST_CASE("a device that goes away is an event and a problem, and so is its return") {
  Village village;
  village.start();
  REQUIRE(village.ask_until("status", [](const json& now) { return now["devices"]["up"] == 1; }));
  village.device.set_fault(support::ModbusSimulator::Fault::silent);
  REQUIRE(village.ask_until("status", [](const json& now) {
    return now["health"] == "degraded" && now["devices"]["down"] == 1 && !now["problems"].empty();
  }));
  village.device.set_fault(support::ModbusSimulator::Fault::none);
  REQUIRE(village.ask_until("status", [](const json& now) { return now["devices"]["up"] == 1; }));
  REQUIRE(village.ask_until("events", [](const json& now) {
    int ends = 0;
    for (const auto& event : now["events"]) ends += event["source"] == "river" && event["phase"] == "end" ? 1 : 0;
    return ends == 1;
  }));
}

TEST_CASE("a device that is down across a restart: its event ends, and a new one begins") {
  Village village;
  const auto phases = [&](const json& now) {
    std::string out;  // oldest first
    for (const auto& event : now["events"]) {
      if (event["source"] == "river" && event["kind"] == "down") out.insert(0, event["phase"].get<std::string>() + " ");
    }
    return out;
  };
  village.device.set_fault(support::ModbusSimulator::Fault::silent);
  village.start();
  REQUIRE(village.ask_until("events", [&](const json& now) { return phases(now) == "start "; }));
  village.hamletd->kill();
  village.start();
  CHECK(village.ask_until("events", [&](const json& now) { return phases(now) == "start end start "; }));
  village.hamletd->signal(SIGHUP);
  CHECK(village.ask_until("events", [&](const json& now) { return phases(now) == "start end start end start "; }));
}

TEST_CASE("SIGHUP takes a new config; one with mistakes changes nothing") {
  Village village;
  village.start();
  REQUIRE(village.ask_until("points", [](const json& now) { return now["points"].size() == 21; }));
  std::ofstream{village.config, std::ios::app} << "\nnonsense = 1\n";
  village.hamletd->signal(SIGHUP);
  REQUIRE(village.ask_until("points", [&](const json&) { return village.hamletd->log().find("nonsense") != std::string::npos; }));
  CHECK(village.ask("points")["points"].size() == 21);

  std::string text;
  {
    std::ifstream in{village.config};
    text.assign(std::istreambuf_iterator<char>{in}, {});
  }
  text.replace(text.find("nonsense = 1"), 12,
               "[[alarm]]\nid = \"second\"\npoint = \"river.p0\"\nabove = 1\nseverity = \"minor\"");
  std::ofstream{village.config} << text;
  village.hamletd->signal(SIGHUP);
  REQUIRE(village.ask_until("alarms", [](const json& now) { return now["alarms"].size() == 2; }));
  // The county hears of it: a new revision of meta with the new alarm.
  CHECK(village.county.wait_until(
      [](const auto& now) { return now.meta.is_object() && now.meta.value("alarms", json::array()).size() == 2; }, kPatience));
}

TEST_CASE("the county's commands run once, in time, and only where the box allows it") {
  Village village{"[county]\nverbs = [\"ping\", \"alarm.ack\"]\n"};
  village.set_level(4.0F);
  village.start();
  REQUIRE(village.ask_until("uplink", [](const json& now) { return now["state"] == "online"; }));
  REQUIRE(village.ask_until("alarms", [](const json& now) { return now["alarms"][0]["state"] == "unacked"; }));
  const auto reply = [&](const std::string& verb, const json& command, std::size_t number) {
    village.county.publish("cmd/" + verb, command.dump());
    const auto came = village.county.wait_until(
        [&](const auto& now) { return now.replies.contains(verb) && now.replies.at(verb).size() >= number; }, kPatience);
    return came ? village.county.snapshot().replies.at(verb).at(number - 1) : json{};
  };
  const auto soon = to_ms(SystemClock{}.wall()) + 30'000;

  const auto first = reply("ping", {{"id", "c1"}}, 1);
  CHECK(first["ok"] == true);
  CHECK(first["id"] == "c1");
  CHECK(reply("ping", {{"id", "c1"}}, 2)["ok"] == false);
  CHECK(reply("reload", {{"id", "c2"}, {"exp", soon}}, 1)["code"] == "denied");
  CHECK(reply("alarm.ack", {{"id", "c3"}, {"alarm", "river-level-high"}}, 1)["ok"] == false);  // no expiry
  CHECK(reply("alarm.ack", {{"id", "c4"}, {"alarm", "river-level-high"}, {"exp", soon - 60'000}}, 2)["ok"] == false);
  CHECK(village.ask("alarms")["alarms"][0]["state"] == "unacked");
  CHECK(reply("alarm.ack", {{"id", "c5"}, {"alarm", "river-level-high"}, {"exp", soon}}, 3)["ok"] == true);
  CHECK(village.ask("alarms")["alarms"][0]["state"] == "acked");

  // A crash between the recording of an id and the run of its verb: as the journal has it then.
  village.hamletd->kill();
  {
    boost::asio::io_context io;
    SystemClock clock{true};
    auto journal = journal::Journal::open(io, clock, {.directory = village.dir.path() / "state", .machine_id = {}, .boot_id = {}});
    REQUIRE_MESSAGE(journal, journal.error().message);
    (*journal)->put_state("command/c7", "99", journal::Urgency::now);
    (*journal)->stop();
  }
  village.start();
  REQUIRE(village.ask_until("uplink", [](const json& now) { return now["state"] == "online"; }));
  CHECK(reply("alarm.ack", {{"id", "c7"}, {"alarm", "river-level-high"}, {"exp", soon}}, 4)["code"] == "invalid");

  // A retained one leaves an event and nothing else.
  village.county.publish("cmd/alarm.ack", json{{"id", "c6"}, {"alarm", "river-level-high"}, {"exp", soon}}.dump(), true);
  // Not again after a crash either.
  village.hamletd->kill();
  village.start();
  REQUIRE(village.ask_until("uplink", [](const json& now) { return now["state"] == "online"; }));
  CHECK(reply("alarm.ack", {{"id", "c5"}, {"alarm", "river-level-high"}, {"exp", soon}}, 5)["ok"] == false);
  CHECK(village.ask_until("events", [](const json& now) {  // the one that had expired
    return std::any_of(now["events"].begin(), now["events"].end(), [](const json& event) {
      return event["kind"] == "command" && event["detail"].value("command", "") == "c4" && event["detail"].value("outcome", "") == "refused";
    });
  }));
  CHECK(village.ask_until("events", [](const json& now) {
    return std::any_of(now["events"].begin(), now["events"].end(), [](const json& event) {
      return event["kind"] == "command" && event["detail"].value("outcome", "") == "ignored" && event["detail"].value("why", "") == "retained";
    });
  }));
}

TEST_CASE("a config of the county's is tried, and goes back by itself unless it is confirmed") {
  Village village{"[county]\nverbs = [\"config.propose\", \"config.confirm\"]\ntables = [\"alarm\", \"uplink\"]\n"};
  village.start();
  REQUIRE(village.ask_until("uplink", [](const json& now) { return now["state"] == "online"; }));
  std::map<std::string, std::size_t> asked;
  const auto command = [&](const std::string& verb, json args) {
    const auto number = ++asked[verb];
    args["id"] = fmt::format("{}-{}", verb, number);
    args["exp"] = to_ms(SystemClock{}.wall()) + 30'000;
    village.county.publish("cmd/" + verb, args.dump());
    const auto came = village.county.wait_until(
        [&](const auto& now) { return now.replies.contains(verb) && now.replies.at(verb).size() >= number; }, kPatience);
    return came ? village.county.snapshot().replies.at(verb).at(number - 1) : json{};
  };
  const auto alarm_is = [&](const std::string& id) {
    return village.ask_until("alarms", [&](const json& now) { return now["alarms"].size() == 1 && now["alarms"][0]["alarm"] == id; });
  };
  const auto config_is = [&](const std::string& which) {
    return village.ask_until("status", [&](const json& now) { return now["config"] == which && now["uplink"]["state"] == "online"; });
  };
  const auto outcome = [&](const std::string& what, const std::string& why) {
    return village.ask_until("events", [&](const json& now) {
      return std::any_of(now["events"].begin(), now["events"].end(), [&](const json& event) {
        return event["kind"] == "config" && event["detail"].value("outcome", "") == what && event["detail"].value("why", "") == why;
      });
    });
  };
  const auto alarm = [](const std::string& id) {
    return fmt::format("[[alarm]]\nid = \"{}\"\npoint = \"river.level\"\nabove = 5.0\ntext = {{ zh = \"高\", en = \"high\" }}\n", id);
  };
  CHECK(command("config.confirm", json::object())["code"] == "unavailable");
  CHECK(command("config.propose", {{"toml", "[gateway]\nid = \"gw-2\"\n"}})["code"] == "invalid");
  CHECK(command("config.propose", {{"toml", alarm("a") + "below = 7\n"}})["code"] == "invalid");

  // Confirmed: it stays, also across kill -9.
  REQUIRE(command("config.propose", {{"toml", alarm("first")}})["ok"] == true);
  REQUIRE(config_is("trial"));
  CHECK(command("config.propose", json::object())["code"] == "unavailable");
  CHECK(alarm_is("first"));
  REQUIRE(command("config.confirm", json::object())["ok"] == true);
  CHECK(config_is("county"));
  village.hamletd->kill();
  village.start();
  CHECK(config_is("county"));
  CHECK(alarm_is("first"));

  // Not confirmed; a broker that is not there: the county could not confirm that.
  REQUIRE(command("config.propose", {{"toml", alarm("second") + "[uplink]\nbroker = \"mqtt://127.0.0.1:1\"\n"}, {"confirm_within_s", 2}})["ok"] == true);
  CHECK(alarm_is("second"));
  CHECK(alarm_is("first"));
  CHECK(config_is("county"));
  CHECK(outcome("rolled-back", "not confirmed"));

  // A restart ends it at once.
  REQUIRE(command("config.propose", {{"toml", alarm("third")}})["ok"] == true);
  REQUIRE(config_is("trial"));
  village.hamletd->kill();
  village.start();
  CHECK(config_is("county"));
  CHECK(alarm_is("first"));
  CHECK(outcome("rolled-back", "restart"));

  // And back to the box's own.
  REQUIRE(command("config.propose", json::object())["ok"] == true);
  REQUIRE(config_is("trial"));
  REQUIRE(command("config.confirm", json::object())["ok"] == true);
  CHECK(config_is("own"));
  CHECK(alarm_is("river-level-high"));
  village.check_all_arrived();
}

TEST_CASE("an alarm that the config no longer has leaves the county's screen") {
  Village village;
  village.set_level(4.0F);
  village.start();
  REQUIRE(village.county.wait_until(
      [](const auto& now) { return now.alarms.contains("river-level-high"); }, kPatience));
  std::string text;
  {
    std::ifstream in{village.config};
    text.assign(std::istreambuf_iterator<char>{in}, {});
  }
  const auto from = text.find("id = \"river-level-high\"");
  text.replace(from, 23, "id = \"another\"");
  std::ofstream{village.config} << text;
  village.hamletd->signal(SIGHUP);
  CHECK(village.county.wait_until(
      [](const auto& now) { return now.alarms.contains("another") && !now.alarms.contains("river-level-high"); }, kPatience));
}

TEST_CASE("a village that moves leaves nothing behind on the county's old screen") {
  Village village;
  village.set_level(4.0F);
  village.start();
  REQUIRE(village.county.wait_until(
      [](const auto& now) { return now.alarms.contains("river-level-high") && now.meta.is_object(); }, kPatience));
  village.hamletd->signal(SIGTERM);
  REQUIRE(village.hamletd->wait(5s) == 0);
  std::string text;
  {
    std::ifstream in{village.config};
    text.assign(std::istreambuf_iterator<char>{in}, {});
  }
  text.replace(text.find("430124104203"), 12, "430124104204");
  std::ofstream{village.config} << text;
  village.start();
  County moved{{.broker = village.broker.uri(), .base = "hamlet/v1/430124/104/204/gw-test"}};
  REQUIRE(moved.wait_until([](const auto& now) { return now.alarms.contains("river-level-high"); }, kPatience));
  REQUIRE(village.county.wait_until([](const auto& now) { return now.alarms.empty(); }, kPatience));
  REQUIRE(village.ask_until("uplink", [](const json& now) { return now["state"] == "online"; }));
  // Whoever comes later finds nothing retained; the marker comes after what is.
  County late{{.broker = village.broker.uri(), .base = "hamlet/v1/430124/104/203/gw-test"}};
  late.publish("cmd/marker", R"({"id":"marker"})");
  REQUIRE(late.wait_until([](const auto& now) { return !now.commands.empty(); }, kPatience));
  CHECK(late.snapshot().state.is_null());
  CHECK(late.snapshot().meta.is_null());
  CHECK(late.snapshot().alarms.empty());
}

TEST_CASE("motion in a clip reaches the county as an event with a picture") {
  const char* data = std::getenv("HAMLET_TEST_DATA");
  const auto clip = std::filesystem::path{data != nullptr ? data : ""} / "cameras/traffic_camera.mp4";
  if (!std::filesystem::exists(clip)) {
    MESSAGE("skipped: no clips at HAMLET_TEST_DATA");
    return;
  }
  Village village{fmt::format(R"([[camera]]
id = "cam-road"
source = "file:{}"
drawn_on = [1280, 720]
loop = true
[[camera.zone]]
id = "lane"
polygon = [[631, 532], [841, 532], [841, 659], [631, 659]]
)",
                              std::filesystem::weakly_canonical(clip).string())};
  village.start();
  const auto seen = [](const auto& now) { return now.total(Lane::media).prefix >= 1 && now.total(Lane::event).prefix >= 4; };
  CHECK_MESSAGE(village.county.wait_until(seen, kPatience), village.hamletd->log());
  CHECK(village.county.snapshot().media_bytes > 1000);
  village.hamletd->signal(SIGTERM);
  CHECK(village.hamletd->wait(5s) == 0);
  village.check_all_arrived();
}
