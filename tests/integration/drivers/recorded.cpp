// What was recorded in the field is played to the same driver again.

#include <fstream>

#include <fmt/format.h>

#include "tests/integration/drivers/rig.hpp"
#include "tests/support/process.hpp"
#include "tests/support/recorded_peer.hpp"
#include "tests/support/serial_bus.hpp"

using namespace hamlet;
using namespace hamlet::drivers;
using namespace std::chrono_literals;

namespace {

std::string gauge(const std::string& path, std::string_view more = "") {
  return fmt::format("[[bus]]\nid = \"rs485\"\npath = \"{}\"\nbaud = 9600\n"
                     "[[device]]\nid = \"gauge\"\ndriver = \"modbus\"\nbus = \"rs485\"\nunit_id = 1\nperiod = \"100ms\"\n"
                     "timeout = \"300ms\"\nretries = 0\n{}\n"
                     "[[device.point]]\nid = \"level\"\nfunction = \"holding\"\naddress = 0\ntype = \"uint16\"\n",
                     path, more);
}

// The values that came, in their order; "-" for none.
std::vector<std::string> values(const Rig& rig) {
  std::vector<std::string> out;
  for (const auto& reading : rig.readings) out.push_back(to_string(reading.value));
  return out;
}

}  // namespace

TEST_CASE("a recording brings the same readings again, and the same faults") {
  support::TempDir folder;
  const auto file = folder.path() / "gauge.frames";
  std::vector<std::string> then;
  {
    support::SerialBus bus{9600};
    bus.add(1);
    bus.set(1, 0, {100});
    Rig rig{gauge(bus.path(), fmt::format("record = \"{}\"", file.string()))};
    REQUIRE(rig.run_until([&] { return rig.count("gauge.level") >= 1; }));
    bus.set_fault(1, support::SerialBus::Fault::wrong_crc);
    REQUIRE(rig.run_until([&] { return rig.state() == "down"; }));
    bus.set_fault(1, support::SerialBus::Fault::none);
    bus.set(1, 0, {200});
    REQUIRE(rig.run_until([&] { return rig.state() == "up"; }));
    then = values(rig);
  }
  auto recording = read_recording(file);
  REQUIRE(recording);
  support::RecordedPeer peer{std::move(*recording)};
  Rig rig{gauge(peer.path())};
  REQUIRE(rig.run_until([&] { return peer.played() && rig.state() == "up" && rig.events.size() == 2; }));
  CHECK(values(rig) == then);
  CHECK(rig.events[0].detail["why"] == "bad-answer");

  support::Process shown{{support::program("hamlet"), "--lang", "en", "probe", "modbus-rtu", "--recording", file.string()},
                         folder.path() / "log"};
  REQUIRE(shown.wait(20s) == 0);
  CHECK(shown.log().find("sent 01 03 00 00 00 01 84 0A  unit 1, function 3, from 0, count 1") != std::string::npos);
  CHECK(shown.log().find("unit 1, function 3, 2 bytes: 00 64") != std::string::npos);
}

TEST_CASE("lines are played, too") {
  support::TempDir folder;
  const auto file = folder.path() / "wx.frames";
  std::ofstream{file} << "# from the field\n0 > 3F\n0 < 54 61 3D 31 2E 35 43\n40 < 0D 0A 54 61 3D\n80 < 32 2E 35 43 0D 0A\n";
  auto recording = read_recording(file);
  REQUIRE(recording);
  support::RecordedPeer peer{std::move(*recording)};
  Rig rig{fmt::format("[[device]]\nid = \"wx\"\ndriver = \"lines\"\npath = \"{}\"\ninterval = \"0s\"\nsend = \"?\"\nevery = \"1h\"\n"
                      "patterns = ['Ta=(?P<temperature>[0-9.]+)C']\n[[device.point]]\nid = \"temperature\"\n",
                      peer.path())};
  REQUIRE(rig.run_until([&] { return rig.count("wx.temperature") == 2; }));
  CHECK(values(rig) == std::vector<std::string>{"1.5", "2.5"});
}
