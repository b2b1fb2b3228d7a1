// Lines over a pty and TCP, pins, the box itself and local MQTT.

#include <filesystem>
#include <fstream>

#include <fmt/format.h>
#include <sys/eventfd.h>

#include "drivers/gpio/gpio.hpp"
#include "tests/integration/drivers/rig.hpp"
#include "tests/support/broker.hpp"
#include "tests/support/process.hpp"
#include "tests/support/pty.hpp"

using namespace hamlet;
using namespace hamlet::drivers;
using namespace std::chrono_literals;

namespace {

// A pin that the test moves.
class FakePin final : public gpio::Pin {
 public:
  struct State {
    int ready = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    bool level = false;
    std::vector<gpio::Edge> waiting;

    void edge(bool active, std::chrono::milliseconds at) {
      level = active;
      waiting.push_back({active, at});
      eventfd_write(ready, 1);
    }
  };
  explicit FakePin(State& state) : state_{state} {}
  [[nodiscard]] int descriptor() const override { return state_.ready; }
  Result<bool> level() override { return state_.level; }
  Result<std::vector<gpio::Edge>> edges() override {
    eventfd_t count = 0;
    eventfd_read(state_.ready, &count);
    return std::exchange(state_.waiting, {});
  }

 private:
  State& state_;
};

struct Heard final : Report {
  std::vector<Reading> readings;
  void answered(std::vector<Reading> more) override { std::move(more.begin(), more.end(), std::back_inserter(readings)); }
  void failed(std::string, std::string) override {}
  void happened(std::string, nlohmann::json) override {}
  void pictured(std::string, nlohmann::json, std::string) override {}
  void when_durable(std::function<void(Status)>) override {}
};

void write(const std::filesystem::path& file, const std::string& text) {
  std::filesystem::create_directories(file.parent_path());
  std::ofstream{file} << text;
}

}  // namespace

TEST_CASE("an instrument that speaks NMEA by itself is read; silence is told") {
  support::Pty cable;
  Rig rig{fmt::format("[[device]]\nid = \"wind\"\ndriver = \"lines\"\npath = \"{}\"\nbaud = 4800\nprotocol = \"nmea\"\n"
                      "timeout = \"1s\"\ninterval = \"0s\"\n"
                      "[[device.point]]\nid = \"direction\"\nsentence = \"MWV\"\nfield = 1\n",
                      cable.path())};
  REQUIRE(rig.run_until([&] { return rig.state() == "down"; }));
  CHECK(rig.drivers->status()[0]["why"] == "silence");
  REQUIRE(rig.run_until([&] {
    cable.say("noise$WIMWV,2\r\n$WIMWV,214.8,R,0.1,K,A*28\r\n");  // until the port is open again
    return rig.state() == "up";
  }));
  for (const auto& reading : rig.of("wind.direction")) {
    if (reading.quality == Quality::good) CHECK(to_string(reading.value) == "214.8");
  }
}

TEST_CASE("a station that has to be asked is asked") {
  support::Pty cable;
  Rig rig{fmt::format("[[device]]\nid = \"wx\"\ndriver = \"lines\"\npath = \"{}\"\nsend = \"0R0\\r\\n\"\nevery = \"1h\"\n"
                      "patterns = ['Ta=(?P<temperature>[-0-9.]+)C']\n[[device.point]]\nid = \"temperature\"\n",
                      cable.path())};
  std::string heard;
  REQUIRE(rig.run_until([&] { return (heard += cable.heard()).find("0R0\r\n") != std::string::npos; }));
  cable.say("0R0,Ta=-3.5C\r\n");
  CHECK(to_string(rig.next("wx.temperature").value) == "-3.5");
}

TEST_CASE("a pin that counts goes on after a restart; an input tells what it settles at") {
  boost::asio::io_context io;
  SystemClock clock{true};
  Heard heard;
  Commons commons;
  std::map<std::string, std::string> kept;
  const Memory memory{.recall = [&](const std::string& key) -> std::optional<std::string> {
                        return kept.contains(key) ? std::optional{kept[key]} : std::nullopt;
                      },
                      .remember = [&](const std::string& key, std::string value) { kept[key] = std::move(value); }};
  FakePin::State rain;
  FakePin::State door;
  gpio::Settings settings{.period = 1h, .interval = 0ms, .points = {}};
  settings.points.push_back({.name = "io.rain", .pin = {.chip = "c", .line = 1}, .counts = true, .debounce = 20ms, .scale = 0.2});
  settings.points.push_back({.name = "io.door", .pin = {.chip = "c", .line = 2}, .debounce = 1ms});
  const auto open = [&](const gpio::PinSettings& pin) -> Result<std::unique_ptr<gpio::Pin>> {
    return std::make_unique<FakePin>(pin.line == 1 ? rain : door);
  };
  const auto last = [&](std::string_view point) {
    std::string out;
    for (const auto& reading : heard.readings) {
      if (reading.point == point) out = to_string(reading.value);
    }
    return out;
  };
  const auto until = [&](auto done) {
    const auto end = std::chrono::steady_clock::now() + 10s;
    while (!done() && std::chrono::steady_clock::now() < end) io.run_one_for(10ms);
    REQUIRE(done());
  };
  auto device = gpio::make_device(settings, open, {}, {io, clock, heard, commons, memory, nullptr});
  device->start();
  until([&] { return last("io.door") == "false" && last("io.rain") == "0"; });
  rain.edge(true, 1000ms);
  rain.edge(false, 1001ms);
  rain.edge(true, 1002ms);
  rain.edge(false, 1200ms);
  rain.edge(true, 1500ms);
  door.edge(true, 1500ms);
  until([&] { return last("io.rain") == "0.4" && last("io.door") == "true"; });
  device->stop();
  heard.readings.clear();
  auto again = gpio::make_device(settings, open, {}, {io, clock, heard, commons, memory, nullptr});
  again->start();
  until([&] { return last("io.rain") == "0.4"; });
  again->stop();
}

TEST_CASE("where there is no gpiochip that is told in words") {
  Rig rig{"[[device]]\nid = \"io\"\ndriver = \"gpio\"\nchip = \"gpiochip99\"\n[[device.point]]\nid = \"a\"\nline = 3\n"};
  REQUIRE(rig.run_until([&] { return rig.state() == "down"; }));
  CHECK(rig.drivers->status()[0]["message"].get<std::string>().find("gpiochip99") != std::string::npos);
}

TEST_CASE("the box goes down before its battery ends, by a command without a shell") {
  support::TempDir sys;
  const auto supply = sys.path() / "class/power_supply";
  write(supply / "BAT0/capacity", "80\n");
  write(supply / "AC/online", "1\n");
  const auto proof = sys.path() / "went; touch down";  // one word, whatever is in it
  Rig rig{fmt::format("[[device]]\nid = \"box\"\ndriver = \"board\"\nroot = \"{}\"\nperiod = \"100ms\"\n"
                      "[[device.point]]\nid = \"charge\"\nsource = \"power\"\nsensor = \"BAT0\"\nchannel = \"capacity\"\n"
                      "[[device.point]]\nid = \"mains\"\nsource = \"power\"\nsensor = \"AC\"\nchannel = \"online\"\n"
                      "[device.shutdown]\nbattery = \"BAT0\"\nmains = \"AC\"\nbelow = 15\nafter = \"200ms\"\n"
                      "command = [\"/usr/bin/touch\", \"{}\"]\n",
                      sys.path().string(), proof.string())};
  CHECK(to_string(rig.next("box.charge").value) == "80");
  CHECK(to_string(rig.next("box.mains").value) == "true");
  write(supply / "BAT0/capacity", "10\n");
  rig.readings.clear();
  REQUIRE(rig.run_until([&] { return rig.count("box.charge") >= 5; }));
  CHECK(rig.events.empty());  // the mains are there
  write(supply / "AC/online", "0\n");
  REQUIRE(rig.run_until([&] { return std::filesystem::exists(proof); }));
  REQUIRE(rig.events.size() == 1);
  CHECK(rig.events[0].kind == "shutdown");
  CHECK(rig.events[0].detail["charge"] == 10);
}

TEST_CASE("devices behind a local broker: ChirpStack, Zigbee2MQTT, Tasmota and plain payloads") {
  support::Broker broker;
  const auto device = [&](std::string_view id, std::string_view keys) {
    return fmt::format("[[device]]\nid = \"{}\"\ndriver = \"mqtt\"\nbroker = \"{}\"\n{}\n", id, broker.uri(), keys);
  };
  support::TempDir folder;
  int runs = 0;
  const auto publish = [&](const std::string& topic, const std::string& payload, bool retained = false) {
    std::vector<std::string> command{"/usr/bin/mosquitto_pub", "-p", fmt::to_string(broker.port()), "-q", "1", "-t", topic, "-m", payload};
    if (retained) command.emplace_back("-r");
    support::Process process{command, folder.path() / fmt::to_string(++runs)};
    REQUIRE(process.wait(20s) == 0);
  };
  publish("meter/power", "99", true);  // old before we came
  Rig rig{device("soil", "kind = \"chirpstack\"\ndev_eui = \"0102030405060708\"\n"
                         "[[device.point]]\nid = \"moisture\"\npointer = \"/object/moisture\"\n"
                         "[[device.point]]\nid = \"fcnt\"\npointer = \"/fCnt\"\nabsent = 0\n") +
          device("leak", "kind = \"zigbee2mqtt\"\nfriendly_name = \"shed/leak\"\n"
                         "[[device.point]]\nid = \"water\"\npointer = \"/water_leak\"\ntype = \"boolean\"\n") +
          device("plug", "kind = \"tasmota\"\ntopic = \"plug1\"\n"
                         "[[device.point]]\nid = \"temperature\"\npointer = \"/BME280/Temperature\"\n"
                         "[[device.point]]\nid = \"rssi\"\nmessage = \"STATE\"\npointer = \"/Wifi/RSSI\"\n") +
          device("meter", "topic = \"meter/power\"\nsilence = \"1s\"\n[[device.point]]\nid = \"power\"\npointer = \"\"\n")};
  REQUIRE(rig.run_until([&] { return rig.state(3) == "down"; }));  // subscribed, and silent
  CHECK(rig.drivers->status()[3]["why"] == "silence");
  for (const auto& reading : rig.of("meter.power")) CHECK(reading.quality == Quality::missing);

  const auto* up = R"({"deduplicationId":"a1","time":"2026-05-01T08:30:00.5+00:00","object":{"moisture":34.5}})";
  publish("application/x/device/0102030405060708/event/up", up);
  publish("application/x/device/0102030405060708/event/up", up);
  publish("application/x/device/ffffffffffffffff/event/up", R"({"deduplicationId":"a2","object":{"moisture":1}})");
  publish("zigbee2mqtt/shed/leak", R"({"water_leak":true,"linkquality":80})");
  publish("tele/plug1/SENSOR", R"({"Time":"2019-11-03T19:34:28","BME280":{"Temperature":70.7},"TempUnit":"F"})");
  publish("tele/plug1/STATE", R"({"Wifi":{"RSSI":84}})");
  publish("meter/power", "1500.5");
  REQUIRE(rig.run_until([&] { return rig.count("plug.rssi") > 0 && rig.state(3) == "up"; }));
  REQUIRE(rig.count("soil.moisture") == 1);
  CHECK(to_string(rig.of("soil.moisture")[0].value) == "34.5");
  CHECK(rig.of("soil.moisture")[0].device_time == wall_from_ms(1777624200500));
  CHECK(to_string(rig.of("soil.fcnt")[0].value) == "0");
  CHECK(to_string(rig.of("leak.water")[0].value) == "true");
  CHECK(std::get<double>(rig.of("plug.temperature")[0].value) == doctest::Approx(21.5));
  CHECK(to_string(rig.of("meter.power").back().value) == "1500.5");

  publish("zigbee2mqtt/shed/leak/availability", R"({"state":"offline"})", true);
  REQUIRE(rig.run_until([&] { return rig.state(1) == "down"; }));
  CHECK(rig.drivers->status()[1]["why"] == "offline");
  publish("zigbee2mqtt/shed/leak", "{broken");
  broker.stop();
  REQUIRE(rig.run_until([&] { return rig.drivers->status()[1]["why"] == "no-broker"; }));
  broker.start();
  REQUIRE(rig.run_until([&] {
    if (rig.state(1) != "up") publish("zigbee2mqtt/shed/leak", R"({"water_leak":false})");
    return rig.state(1) == "up";
  }));
}
