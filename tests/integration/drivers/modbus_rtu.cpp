// Modbus RTU on a pty that takes the time of its baud rate, and third parties on either end.

#include <fstream>
#include <sstream>

#include <fmt/format.h>

#include "drivers/recorder.hpp"
#include "tests/integration/drivers/rig.hpp"
#include "tests/support/process.hpp"
#include "tests/support/serial_bus.hpp"

using namespace hamlet;
using namespace hamlet::drivers;
using namespace std::chrono_literals;
using support::SerialBus;
using BusFault = SerialBus::Fault;

namespace {

std::string bus_toml(const SerialBus& bus, std::string_view more = "") {
  return fmt::format("[[bus]]\nid = \"rs485\"\npath = \"{}\"\nbaud = 9600\ngap = \"5ms\"\n{}\n", bus.path(), more);
}

// A device with two registers from 0: level, and a signed temperature.
std::string device(int unit, std::string_view more = "") {
  return fmt::format(
      "[[device]]\nid = \"unit-{0}\"\ndriver = \"modbus\"\nbus = \"rs485\"\nunit_id = {0}\nperiod = \"100ms\"\n"
      "timeout = \"200ms\"\nretries = 1\n{1}\n"
      "[[device.point]]\nid = \"level\"\nfunction = \"holding\"\naddress = 0\ntype = \"uint16\"\nscale = 0.001\n"
      "[[device.point]]\nid = \"temperature\"\nfunction = \"holding\"\naddress = 1\ntype = \"int16\"\nscale = 0.1\n",
      unit, more);
}

void add(SerialBus& bus, std::uint8_t unit, std::uint16_t level) {
  bus.add(unit);
  bus.set(unit, 0, {level, 0xFF9B});
}

bool installed(const char* program) {
  return std::system(fmt::format("command -v {} >/dev/null 2>&1", program).c_str()) == 0;
}

}  // namespace

TEST_CASE("slaves share a bus: each is read, and the line is silent long enough between them") {
  SerialBus bus;
  std::string config = bus_toml(bus);
  for (const int unit : {1, 2, 3, 247}) {
    add(bus, static_cast<std::uint8_t>(unit), static_cast<std::uint16_t>(unit * 10));
    config += device(unit);
  }
  Rig rig{config};
  REQUIRE(rig.run_until([&] { return rig.count("unit-1.level") >= 3 && rig.count("unit-247.level") >= 3; }));
  CHECK(to_string(rig.of("unit-2.level")[0].value) == "0.02");
  CHECK(to_string(rig.of("unit-247.temperature")[0].value) == "-10.1");
  CHECK(rig.events.empty());
  CHECK(bus.hasty() == 0);
}

TEST_CASE("what a slave does wrong is told in words, and forgotten when it is right again") {
  SerialBus bus;
  add(bus, 1, 2310);
  Rig rig{bus_toml(bus) + device(1, "backoff_max = \"1s\"")};
  CHECK(to_string(rig.next("unit-1.level").value) == "2.31");
  std::string why;
  SUBCASE("silence") {
    bus.set_fault(1, BusFault::silent);
    why = "timeout";
  }
  SUBCASE("answers that come too late") {
    bus.set_fault(1, BusFault::late, 700ms);
    why = "timeout";
  }
  SUBCASE("wrong checksums") {
    bus.set_fault(1, BusFault::wrong_crc);
    why = "bad-answer";
  }
  SUBCASE("another slave's answers") {
    bus.set_fault(1, BusFault::wrong_unit);
    why = "bad-answer";
  }
  SUBCASE("half frames") {
    bus.set_fault(1, BusFault::half);
    why = "bad-answer";
  }
  SUBCASE("a flood") {
    bus.set_fault(1, BusFault::flood);
    why = "bad-answer";
  }
  CAPTURE(why);
  REQUIRE(rig.run_until([&] { return !rig.events.empty(); }));
  CHECK(rig.events[0].detail["why"] == why);
  CHECK(rig.events[0].detail["message"].get<std::string>().find(bus.path()) != std::string::npos);
  bus.set_fault(1, BusFault::none);
  REQUIRE(rig.run_until([&] { return rig.events.size() == 2; }));
  CHECK(rig.events[1].phase == Phase::end);
  CHECK(to_string(rig.next("unit-1.level").value) == "2.31");
}

TEST_CASE("what a good driver has to bear is borne") {
  SerialBus bus;
  add(bus, 1, 2310);
  SUBCASE("noise before the frame") { bus.set_fault(1, BusFault::noise); }
  SUBCASE("an echo that nobody spoke of") { bus.set_fault(1, BusFault::echo); }
  SUBCASE("a slow dribble") { bus.set_fault(1, BusFault::dribble, 10ms); }
  Rig rig{bus_toml(bus) + device(1)};
  CHECK(to_string(rig.next("unit-1.level").value) == "2.31");
  CHECK(rig.events.empty());
}

TEST_CASE("an adapter's echo is dropped where the config says so, also from writes") {
  SerialBus bus;
  add(bus, 1, 2310);
  bus.set_fault(1, BusFault::echo);
  Rig rig{bus_toml(bus, "echo = true") + device(1) +
          "[[device.output]]\nid = \"pump\"\nfunction = \"holding\"\naddress = 8\ntype = \"uint16\"\n"};
  CHECK(to_string(rig.next("unit-1.level").value) == "2.31");
  std::optional<Status> done;
  rig.drivers->output("unit-1.pump")->set(Value{1.0}, [&](Status status) { done = std::move(status); });
  REQUIRE(rig.run_until([&] { return done.has_value(); }));
  CHECK(done->has_value());
}

TEST_CASE("a late answer is not taken for another request's") {
  SerialBus bus;
  bus.add(1);
  bus.set(1, 0, {100});
  bus.set(1, 50, {200});
  bus.set_fault(1, BusFault::late, 250ms);  // beyond the timeout, within that of the second try
  Rig rig{bus_toml(bus) +
          "[[device]]\nid = \"a\"\ndriver = \"modbus\"\nbus = \"rs485\"\nunit_id = 1\nperiod = \"100ms\"\n"
          "timeout = \"200ms\"\nretries = 3\n"
          "[[device.point]]\nid = \"x\"\nfunction = \"holding\"\naddress = 0\ntype = \"uint16\"\n"
          "[[device.point]]\nid = \"y\"\nfunction = \"holding\"\naddress = 50\ntype = \"uint16\"\n"};
  REQUIRE(rig.run_until([&] { return rig.count("a.y") >= 3 || !rig.events.empty(); }));
  for (const auto& reading : rig.of("a.x")) {
    if (reading.quality == Quality::good) CHECK(to_string(reading.value) == "100");
  }
  for (const auto& reading : rig.of("a.y")) {
    if (reading.quality == Quality::good) CHECK(to_string(reading.value) == "200");
  }
}

TEST_CASE("a dead slave leaves the others their bus, and is found when it comes back") {
  SerialBus bus;
  add(bus, 1, 1);
  add(bus, 2, 2);
  bus.set_fault(2, BusFault::silent);
  Rig rig{bus_toml(bus) + device(1) + device(2)};
  REQUIRE(rig.run_until([&] { return rig.state(1) == "down"; }));
  bus.forget_requests();
  rig.readings.clear();
  REQUIRE(rig.run_until([&] { return rig.count("unit-1.level") >= 30; }));
  CHECK(bus.requests(2) <= 3);
  CHECK(rig.state(0) == "up");
  bus.set_fault(2, BusFault::none);
  REQUIRE(rig.run_until([&] { return rig.state(1) == "up"; }));
}

TEST_CASE("an adapter that is unplugged is down, and read again at its stable path when it is back") {
  SerialBus bus;
  add(bus, 1, 2310);
  Rig rig{bus_toml(bus) + device(1)};
  CHECK(to_string(rig.next("unit-1.level").value) == "2.31");
  bus.unplug();
  REQUIRE(rig.run_until([&] { return rig.state() == "down"; }));
  CHECK(rig.drivers->status()[0]["why"] == "no-port");
  bus.plug_in();
  REQUIRE(rig.run_until([&] { return rig.state() == "up"; }));
}

TEST_CASE("a port that another program has is left alone, and said so") {
  SerialBus bus;
  add(bus, 1, 2310);
  Rig first{bus_toml(bus) + device(1)};
  CHECK(first.next("unit-1.level").quality == Quality::good);
  Rig second{bus_toml(bus) + device(1)};
  REQUIRE(second.run_until([&] { return second.state() == "down"; }));
  CHECK(second.drivers->status()[0]["why"] == "port-busy");
  CHECK(first.next("unit-1.level").quality == Quality::good);
  first.drivers->stop();
  REQUIRE(second.run_until([&] { return second.state() == "up"; }));
}

TEST_CASE("an RTS line that is not there is said so") {
  SerialBus bus;
  Rig rig{bus_toml(bus, "rts = \"high\"") + device(1)};
  REQUIRE(rig.run_until([&] { return rig.state() == "down"; }));
  CHECK(rig.drivers->status()[0]["message"].get<std::string>().find("RTS") != std::string::npos);
}

TEST_CASE("outputs are written between polls and confirmed") {
  SerialBus bus;
  add(bus, 1, 2310);
  Rig rig{bus_toml(bus) + device(1) +
          "[[device.output]]\nid = \"setpoint\"\nfunction = \"holding\"\naddress = 16\ntype = \"float32\"\n"
          "[[device.output]]\nid = \"siren\"\nfunction = \"coil\"\naddress = 3\n"};
  CHECK(rig.next("unit-1.level").quality == Quality::good);
  std::optional<Status> done;
  const auto set = [&](std::string_view name, const Value& value) {
    done.reset();
    auto* output = rig.drivers->output(name);
    REQUIRE(output != nullptr);
    output->set(value, [&](Status status) { done = std::move(status); });
    REQUIRE(rig.run_until([&] { return done.has_value(); }));
  };
  set("unit-1.setpoint", Value{230.2});
  CHECK(done->has_value());
  CHECK(bus.get(1, 16) == 0x4366);
  CHECK(bus.get(1, 17) == 0x3333);
  set("unit-1.siren", Value{true});  // these slaves have no coils: exception 01
  CHECK_FALSE(done->has_value());
  CHECK(done->error().message.find("illegal-function") != std::string::npos);
  set("unit-1.setpoint", Value{std::string{"on"}});
  CHECK(done->error().code == Errc::invalid);
  bus.set_fault(1, BusFault::silent);
  set("unit-1.setpoint", Value{1.0});
  CHECK(done->error().code == Errc::unavailable);
  CHECK(rig.drivers->output("unit-1.none") == nullptr);
  CHECK(rig.drivers->output("nobody.siren") == nullptr);
}

TEST_CASE("a counter that wraps goes on, also after a restart") {
  SerialBus bus;
  bus.add(1);
  bus.set(1, 0, {65530});
  const auto config = bus_toml(bus) +
                      "[[device]]\nid = \"rain\"\ndriver = \"modbus\"\nbus = \"rs485\"\nunit_id = 1\nperiod = \"100ms\"\n"
                      "[[device.point]]\nid = \"total\"\nfunction = \"holding\"\naddress = 0\ntype = \"uint16\"\n"
                      "counter = true\nscale = 0.1\n";
  std::map<std::string, std::string> kept;
  {
    Rig rig{config, &kept};
    CHECK(to_string(rig.next("rain.total").value) == "6553");
    bus.set(1, 0, {4});
    REQUIRE(rig.run_until([&] { return to_string(rig.readings.back().value) == "6554"; }));
  }
  bus.set(1, 0, {14});
  Rig again{config, &kept};
  CHECK(to_string(again.next("rain.total").value) == "6555");
}

TEST_CASE("raw frames are recorded, and bounded") {
  SerialBus bus;
  add(bus, 1, 2310);
  support::TempDir folder;
  const auto file = folder.path() / "unit-1.frames";
  {
    Rig rig{bus_toml(bus) + device(1, fmt::format("record = \"{}\"\nrecord_max = 2048", file.string()))};
    REQUIRE(rig.run_until([&] { return std::filesystem::exists(file.string() + ".1"); }));
  }
  const auto lines = read_recording(file.string() + ".1");
  REQUIRE(lines);
  REQUIRE(lines->size() > 10);
  CHECK(lines->at(0).sent);
  CHECK(lines->at(0).bytes == std::string("\x01\x03\x00\x00\x00\x02\xC4\x0B", 8));
  CHECK(std::filesystem::file_size(file.string() + ".1") <= 2048);
}

TEST_CASE("a third party reads our simulator: mbpoll") {
  if (!installed("mbpoll")) return void(std::puts("skipped: mbpoll is not installed (toolchains/setup --tools)"));
  SerialBus bus{19200};
  add(bus, 7, 1234);
  support::TempDir folder;
  support::Process mbpoll{{"/usr/bin/mbpoll", "-m", "rtu", "-a", "7", "-b", "19200", "-P", "none", "-t", "4", "-r", "1", "-c", "2",
                           "-1", bus.path()},
                          folder.path() / "log"};
  const auto ended = mbpoll.wait(20s);
  CAPTURE(mbpoll.log());
  REQUIRE(ended == 0);
  CHECK(mbpoll.log().find("1234") != std::string::npos);
  CHECK(mbpoll.log().find("-101") != std::string::npos);
}

TEST_CASE("our driver reads a third party: pymodbus, by RTU over TCP") {
  if (std::system("/usr/bin/python3 -c 'import pymodbus' >/dev/null 2>&1") != 0) {
    return void(std::puts("skipped: python3-pymodbus is not installed (toolchains/setup --tools)"));
  }
  support::TempDir folder;
  std::ofstream{folder.path() / "server.py"} << R"(
import socket
from pymodbus.datastore import ModbusSequentialDataBlock, ModbusSlaveContext, ModbusServerContext
from pymodbus.server import StartTcpServer
from pymodbus.framer.rtu_framer import ModbusRtuFramer
probe = socket.socket(); probe.bind(("127.0.0.1", 0)); port = probe.getsockname()[1]; probe.close()
print("PORT", port, flush=True)
block = ModbusSequentialDataBlock(1, [2310, 0xFF9B] + [0] * 20)
context = ModbusServerContext(slaves={5: ModbusSlaveContext(hr=block, ir=block, co=block)}, single=False)
StartTcpServer(context=context, framer=ModbusRtuFramer, address=("127.0.0.1", port))
)";
  support::Process server{{"/usr/bin/python3", (folder.path() / "server.py").string()}, folder.path() / "log"};
  std::string port;
  const auto end = std::chrono::steady_clock::now() + 20s;
  while (port.empty() && std::chrono::steady_clock::now() < end && server.running()) {
    const auto log = server.log();
    const auto at = log.find("PORT ");
    if (at != std::string::npos && log.find('\n', at) != std::string::npos) port = log.substr(at + 5, log.find('\n', at) - at - 5);
  }
  REQUIRE_FALSE(port.empty());
  Rig rig{fmt::format("[[bus]]\nid = \"rs485\"\naddress = \"127.0.0.1\"\nport = {}\n", port) + device(5) +
          "[[device.output]]\nid = \"set\"\nfunction = \"holding\"\naddress = 0\ntype = \"uint16\"\n"};
  REQUIRE(rig.run_until([&] { return rig.state() == "up"; }));
  REQUIRE(rig.run_until([&] { return rig.count("unit-5.level") > 0; }));
  CHECK(to_string(rig.of("unit-5.temperature").back().value) == "-10.1");
  std::optional<Status> done;
  rig.drivers->output("unit-5.set")->set(Value{1500.0}, [&](Status status) { done = std::move(status); });
  REQUIRE(rig.run_until([&] { return done.has_value(); }));
  REQUIRE(done->has_value());
  REQUIRE(rig.run_until([&] { return to_string(rig.of("unit-5.level").back().value) == "1.5"; }));
}

TEST_CASE("stop returns at once while a slave hangs") {
  SerialBus bus;
  add(bus, 1, 1);
  bus.set_fault(1, BusFault::silent);
  Rig rig{bus_toml(bus) +
          "[[device]]\nid = \"a\"\ndriver = \"modbus\"\nbus = \"rs485\"\nunit_id = 1\ntimeout = \"30s\"\n"
          "[[device.point]]\nid = \"x\"\nfunction = \"holding\"\naddress = 0\ntype = \"uint16\"\n"};
  REQUIRE(rig.run_until([&] { return bus.requests(1) > 0; }));
  const auto begin = std::chrono::steady_clock::now();
  rig.drivers->stop();
  CHECK(std::chrono::steady_clock::now() - begin < 5s);
}
