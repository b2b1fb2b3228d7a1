// The ready-made packs on the real programs: hamlet writes one, hamletd runs it as a fragment in conf.d, sensors, siren
// and modem are on the real wire, and the link to the county is down.

#include <cstdlib>

#include <sqlite3.h>

#include "tests/scenario/village.hpp"
#include "tests/support/clip.hpp"
#include "tests/support/modem.hpp"

using namespace hamlet;
using namespace hamlet::scenario;
using namespace std::chrono_literals;
using Kind = support::ModbusSimulator::Kind;

namespace {

std::string slurp(const std::filesystem::path& file) {
  std::ifstream in{file};
  return {std::istreambuf_iterator<char>{in}, {}};
}

/// A village with a pack. What a technician would change is changed here, and everything goes faster.
struct PackVillage : Village {
  std::string toml;

  explicit PackVillage(const std::string& pack) {
    ::setenv("HAMLET_PACKS", (std::filesystem::path{std::getenv("HAMLET_SOURCE")} / "firmware/image/packs").c_str(), 1);
    const auto file = dir.path() / "pack.toml";
    support::Process init{{support::program("hamlet"), "init", "--pack", pack, "--output", file.string()},
                          dir.path() / "init.log"};
    REQUIRE_MESSAGE(init.wait(10s) == 0, init.log());
    toml = slurp(file);
    REQUIRE_FALSE(toml.empty());
  }

  // Every one; at least one there must be.
  PackVillage& change(std::string_view what, std::string_view into) {
    std::size_t found = 0;
    for (auto at = toml.find(what); at != std::string::npos; at = toml.find(what, at + into.size())) {
      toml.replace(at, what.size(), into);
      ++found;
    }
    REQUIRE_MESSAGE(found > 0, what);
    return *this;
  }
  // The device at this address is the simulator.
  PackVillage& place(std::string_view address, const support::ModbusSimulator& simulator) {
    const auto at = toml.find(address);
    REQUIRE(at != std::string::npos);
    const auto port = toml.find("port = 502", at);
    REQUIRE(port != std::string::npos);
    toml.replace(port, 10, fmt::format("port = {}", simulator.port()));
    toml.replace(at, address.size(), "127.0.0.1");
    return *this;
  }
  // Takes the "# " away from the paragraph that holds this.
  PackVillage& uncomment(std::string_view inside) {
    const auto at = toml.find(inside);
    REQUIRE_MESSAGE(at != std::string::npos, inside);
    for (auto line = toml.rfind("\n# [[", at) + 1; line < toml.size() && toml[line] == '#';
         line = toml.find('\n', line) + 1) {
      toml.erase(line, toml.compare(line, 2, "# ") == 0 ? 2 : 1);
    }
    return *this;
  }

  void go() {
    std::filesystem::create_directories(dir.path() / "conf.d");
    std::ofstream{dir.path() / "conf.d/pack.toml"} << toml;
    start();
  }

  template <class Done>
  bool until(Done done) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (!done()) {
      if (std::chrono::steady_clock::now() >= deadline || !hamletd->running()) return false;
      hamletd->wait(10ms);
    }
    return true;
  }
  bool devices_up(std::size_t count) {
    return ask_until("status", [&](const json& now) { return now["devices"]["up"] == count; });
  }
  json alarm(const std::string& id) {
    const auto answer = ask("alarms");
    for (const auto& each : answer.value("alarms", json::array())) {
      if (each["alarm"] == id) return each;
    }
    return json::object();
  }
  json output(const std::string& id) {
    const auto answer = ask("outputs");
    for (const auto& each : answer.value("outputs", json::array())) {
      if (each["output"] == id) return each;
    }
    return json::object();
  }
  // "siren on alarm", as the events tell it, oldest first.
  std::string told(const std::string& id) {
    std::string out;
    const auto answer = ask("events");
    for (const auto& event : answer.value("events", json::array())) {
      const auto& detail = event["detail"];
      if (event["kind"] != "output" || detail.value("output", "") != id) continue;
      out += fmt::format("{} {}, ", detail.value("on", false) ? "on" : "off", detail.value("why", ""));
    }
    return out;
  }
  bool is_offline() {
    return ask_until("uplink", [](const json& now) { return now["state"] != "online"; });
  }
};

// What a coil was told, since log_answers(): "off on".
std::string written(const support::ModbusSimulator& simulator, std::uint16_t address) {
  std::string out;
  std::optional<bool> last;
  for (const auto& answer : simulator.answers()) {
    if (!answer.written || answer.request.address != address || last == answer.written) continue;
    last = answer.written;
    out += std::string{out.empty() ? "" : " "} + (*last ? "on" : "off");
  }
  return out;
}

struct Flood {
  support::ModbusSimulator gauge;
  support::ModbusSimulator relay;
  PackVillage village{"flash-flood"};

  Flood() {
    gauge.set_float(Kind::input, 0, 1.0F);
    relay.log_answers();
    village.place("192.168.1.20", gauge).place("192.168.1.22", relay).change("period = \"5s\"", "period = \"100ms\"");
    village.change("period = \"10s\"", "period = \"200ms\"");
    village.change("on_delay = \"10s\"", "on_delay = \"200ms\"");
  }
  void rise(float level) { gauge.set_float(Kind::input, 0, level); }
};

}  // namespace

TEST_CASE(
    "flash flood: the siren sounds though link and county are away, goes on after kill -9, and the SMS goes out") {
  Flood flood;
  auto& village = flood.village;
  support::SimulatedModem modem;
  village.uncomment("flood-modem\"\n")
      .uncomment("id = \"flood-sms\"")
      .change("/dev/serial/by-id/usb-modem-if02-port0", modem.path());
  village.change("data_down = \"1min\"", "data_down = \"1s\"");
  village.go();
  REQUIRE_MESSAGE(village.devices_up(4), village.hamletd->log());
  REQUIRE(village.ask_until("uplink", [](const json& now) { return now["state"] == "online"; }));
  REQUIRE(village.until([&] { return written(flood.relay, 0) == "off"; }));
  village.proxy.cut();
  REQUIRE(village.is_offline());

  flood.rise(5.0F);
  REQUIRE(village.until([&] { return flood.relay.coil(0); }));
  CHECK(village.alarm("flood-level-danger")["state"] == "unacked");
  CHECK(village.output("flood-siren")["on"] == true);
  CHECK(village.until([&] { return !modem.messages().empty(); }));
  CHECK(modem.messages().front().number == "+8613800000000");
  CHECK(modem.messages().front().text.find("立即转移") != std::string::npos);

  // The restart: first what is safe, then what the alarm, which is still raised, says.
  REQUIRE_MESSAGE(village.until([&] { return village.told("flood-siren") == "off start, on alarm, "; }), village.told("flood-siren"));
  village.hamletd->kill();
  village.start();
  REQUIRE(village.until([&] { return written(flood.relay, 0) == "off on off on"; }));
  CHECK(village.alarm("flood-level-danger")["occurrence"] == 1);

  // By hand, and back; then everybody has seen it.
  CHECK(village.ask("output.set",
                    {{"output", "flood-siren"}, {"value", false}, {"for_ms", 600'000}})["output"]["by_hand"]["on"] ==
        false);
  REQUIRE(village.until([&] { return !flood.relay.coil(0); }));
  (void)village.ask("output.set", {{"output", "flood-siren"}, {"value", "auto"}});
  REQUIRE(village.until([&] { return flood.relay.coil(0); }));
  for (const auto* id : {"flood-level-danger", "flood-rising"}) (void)village.ask("alarm.ack", {{"alarm", id}});
  CHECK(village.until([&] { return !flood.relay.coil(0); }));

  village.proxy.open();
  REQUIRE(village.ask_until("uplink", [](const json& now) { return now["state"] == "online"; }));
  village.hamletd->signal(SIGTERM);
  CHECK(village.hamletd->wait(6s) == 0);
  village.check_all_arrived();
}

TEST_CASE(
    "flash flood: power cut between decision, output and commit: the siren did not wait, and the alarm is raised "
    "once") {
  Flood flood;
  auto& village = flood.village;
  village.go();
  REQUIRE_MESSAGE(village.devices_up(3), village.hamletd->log());
  REQUIRE_MESSAGE(village.until([&] { return village.told("flood-siren") == "off start, "; }), village.told("flood-siren"));

  // The disk hangs: nothing can be committed.
  sqlite3* disk = nullptr;
  REQUIRE(sqlite3_open((village.dir.path() / "state/journal.db").c_str(), &disk) == SQLITE_OK);
  sqlite3_busy_timeout(disk, 10'000);
  REQUIRE(sqlite3_exec(disk, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr) == SQLITE_OK);
  flood.rise(5.0F);
  REQUIRE(village.until([&] { return flood.relay.coil(0); }));
  village.hamletd->kill();
  sqlite3_exec(disk, "ROLLBACK", nullptr, nullptr, nullptr);
  sqlite3_close(disk);
  {
    auto reader = journal::Reader::open(village.dir.path() / "state");
    REQUIRE(reader);
    CHECK((*reader)->stat()->lanes.at(contract::index(Lane::alarm)).last == 0);  // it was never committed
  }
  village.start();
  REQUIRE(village.until([&] { return written(flood.relay, 0) == "off on off on"; }));
  REQUIRE_MESSAGE(village.until([&] { return village.told("flood-siren") == "off start, off start, on alarm, "; }), village.told("flood-siren"));
  CHECK(village.alarm("flood-level-danger")["occurrence"] == 1);
}

TEST_CASE("flash flood: a gauge that is lost is an alarm of its own, and no end of the one that was raised") {
  Flood flood;
  auto& village = flood.village;
  village.change("on_delay = \"2min\"", "on_delay = \"200ms\"");
  village.go();
  REQUIRE_MESSAGE(village.devices_up(3), village.hamletd->log());
  flood.rise(5.0F);
  REQUIRE(village.until([&] { return flood.relay.coil(0); }));
  flood.gauge.set_fault(support::ModbusSimulator::Fault::close);
  REQUIRE(village.until([&] { return village.alarm("flood-blind")["state"] == "unacked"; }));
  CHECK(flood.relay.coil(0));
  CHECK(village.alarm("flood-level-danger")["state"] == "unacked");
  flood.gauge.set_fault(support::ModbusSimulator::Fault::none);
  CHECK(village.until([&] { return village.alarm("flood-blind")["state"] == "returned"; }));
}

TEST_CASE("pond: beam and camera bring light and voice, on the spot") {
  support::ModbusSimulator relay;
  PackVillage village{"pond-safety"};
  // Somebody walks along the edge, and walks.
  support::write_clip(village.dir.path() / "pond.mjpeg", 200, [](int i) {
    auto picture = support::scene({320, 240}, i);
    if (i > 75) support::draw_thing(picture, {20 + (i - 75) % 200, 100, 24, 60});
    return picture;
  });
  village.place("192.168.1.22", relay).change("period = \"2s\"", "period = \"100ms\"");
  village.change("rtsp://192.168.1.64/stream1", "file:" + (village.dir.path() / "pond.mjpeg").string());
  village.change("evidence = \"masked\"", "loop = true\nevidence = \"masked\"");
  village.change("drawn_on = [1280, 720]", "drawn_on = [320, 240]");
  village.change("[[200, 300], [1000, 300], [1100, 700], [100, 700]]", "[[0, 60], [319, 60], [319, 239], [0, 239]]");
  village.change("min_on = \"15s\"", "min_on = \"1s\"").change("min_on = \"10s\"", "min_on = \"1s\"");
  village.change("off_delay = \"10s\"", "off_delay = \"500ms\"").change("20s)", "2s)");
  village.go();
  REQUIRE_MESSAGE(village.devices_up(2), village.hamletd->log());
  village.proxy.cut();

  relay.set_bit(Kind::discrete, 0, true);
  REQUIRE(village.until([&] { return relay.coil(0) && relay.coil(1); }));
  CHECK(village.alarm("pond-near-water")["state"] == "unacked");
  // The camera sees somebody stay, and the beam was cut within the minute.
  REQUIRE(village.until([&] { return village.alarm("pond-danger").value("state", "") == "unacked"; }));
  for (const auto* id : {"pond-near-water", "pond-danger"}) (void)village.ask("alarm.ack", {{"alarm", id}});
  REQUIRE(village.until([&] { return !relay.coil(1); }));  // the voice ends, the light stays on
  CHECK(relay.coil(0));
}

TEST_CASE("living alone: a press of the button rings until somebody has seen it, also across a restart") {
  support::ModbusSimulator home;
  PackVillage village{"living-alone"};
  village.place("192.168.1.23", home).change("period = \"1s\"", "period = \"100ms\"");
  village.go();
  REQUIRE_MESSAGE(village.devices_up(2), village.hamletd->log());
  village.proxy.cut();
  home.set_bit(Kind::discrete, 2, true);
  REQUIRE(village.until([&] { return home.coil(0); }));
  home.set_bit(Kind::discrete, 2, false);  // let go
  REQUIRE(village.until([&] { return village.alarm("home-help")["state"] == "returned"; }));
  CHECK(home.coil(0));
  home.log_answers();
  village.hamletd->kill();
  village.start();
  REQUIRE(village.until([&] { return written(home, 0) == "off on"; }));
  (void)village.ask("alarm.ack", {{"alarm", "home-help"}});
  CHECK(village.until([&] { return !home.coil(0); }));
}

TEST_CASE("cold store and greenhouse: control goes on without the county, and interlocks hold") {
  support::ModbusSimulator climate;
  PackVillage village{"cold-store"};
  village.place("192.168.1.24", climate).change("period = \"5s\"", "period = \"100ms\"");
  village.change("min_on = \"3min\"", "min_on = \"100ms\"")
      .change("min_off = \"3min\"", "min_off = \"100ms\"")
      .change("min_on = \"1min\"", "min_on = \"100ms\"");
  village.change("on_delay = \"10min\"", "on_delay = \"100ms\"");
  const auto temperatures = [&](int store, int house) {
    climate.set_registers(Kind::input, 0,
                          {static_cast<std::uint16_t>(store * 10), static_cast<std::uint16_t>(house * 10)});
  };
  temperatures(3, 20);
  climate.log_answers();
  village.go();
  REQUIRE_MESSAGE(village.devices_up(2), village.hamletd->log());
  village.proxy.cut();
  REQUIRE(village.is_offline());

  temperatures(6, 35);
  REQUIRE(village.until([&] { return climate.coil(0) && climate.coil(1); }));  // compressor, vent
  temperatures(9, 5);
  REQUIRE(village.until([&] { return climate.coil(2) && !climate.coil(1); }));  // heater, and the vent first off
  bool vent = false;
  bool heater = false;
  for (const auto& answer : climate.answers()) {
    if (!answer.written) continue;
    if (answer.request.address == 1) vent = *answer.written;
    if (answer.request.address == 2) heater = *answer.written;
    CHECK_FALSE((vent && heater));
  }
  REQUIRE(village.until([&] { return climate.coil(3); }));  // store-warm: the buzzer
  (void)village.ask("alarm.ack", {{"alarm", "store-warm"}});
  REQUIRE(village.until([&] { return !climate.coil(3); }));
  climate.set_bit(Kind::discrete, 1, true);  // smoke
  REQUIRE(village.until([&] { return !climate.coil(2); }));
  CHECK_MESSAGE(village.until([&] { return village.told("heater").ends_with("off interlock, "); }), village.told("heater"));
  CHECK(climate.coil(0));
  temperatures(1, 20);
  CHECK(village.until([&] { return !climate.coil(0); }));
}
