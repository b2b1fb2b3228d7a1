// Every profile, polled from a simulator that shows what the datasheet shows.

#include <fmt/format.h>

#include "drivers/modbus/profile.hpp"
#include "tests/integration/drivers/rig.hpp"
#include "tests/support/process.hpp"
#include "tests/support/serial_bus.hpp"

using namespace hamlet;
using namespace hamlet::drivers;
using support::SerialBus;

namespace {

using Registers = std::vector<std::pair<std::uint16_t, std::vector<std::uint16_t>>>;  // from address on
using Values = std::vector<std::pair<std::string, std::string>>;

struct Example {
  std::string profile;
  Registers registers;
  Values values;
};

// 230.2 as a float is 43 66 33 33; 1.5 is 3F C0, 50 is 42 48, 2302 is 45 0F E0 00.
const std::vector<Example> kExamples{
    {"renke-ws", {{0, {0x028C, 0xFF9B}}}, {{"humidity", "65.2"}, {"temperature", "-10.1"}}},
    {"xy-md02", {{1, {0xFF9B, 0x028C}}}, {{"temperature", "-10.1"}, {"humidity", "65.2"}}},
    {"soil-jxct",
     {{0x06, {652}}, {0x12, {345, 0xFF9B}}, {0x15, {1200}}, {0x1E, {32, 37, 48}}},
     {{"ph", "6.52"}, {"moisture", "34.5"}, {"soil-temperature", "-10.1"}, {"ec", "1200"}, {"potassium", "48"}}},
    {"soil-npk-ph", {{3, {65}}, {0x12, {345, 200}}, {0x1E, {32, 37, 48}}}, {{"ph", "6.5"}, {"nitrogen", "32"}}},
    {"soil-7in1", {{0, {345, 200, 1200, 65, 32, 37, 48}}}, {{"moisture", "34.5"}, {"ec", "1200"}, {"potassium", "48"}}},
    {"soil-es107", {{0, {345, 200, 12000, 65, 32, 37, 48}}}, {{"ec", "1200"}, {"ph", "6.5"}}},
    {"station-box",
     {{500, {0x0237, 0x00FB, 0x01F4, 0x002A, 0x0041, 1013, 0, 65000}}},
     {{"humidity", "56.7"}, {"temperature", "25.1"}, {"noise", "50"}, {"pm25", "42"}, {"pm10", "65"},
      {"pressure", "101.3"}, {"illuminance", "65000"}}},
    {"station-wind",
     {{500, {325, 2, 4, 180, 567, 0xFF9B, 500, 42, 65, 1013, 1, 0, 655, 123}}},
     {{"wind-speed", "3.25"}, {"wind-direction", "180"}, {"temperature", "-10.1"}, {"illuminance", "65536"}, {"rain", "12.3"}}},
    {"pm-renke", {{4, {42}}, {9, {65}}}, {{"pm25", "42"}, {"pm10", "65"}}},
    {"rain-xm9505", {{0, {123}}}, {{"rain", "12.3"}}},
    {"rain-renke", {{0, {123}}}, {{"rain", "12.3"}}},
    {"rain-optical", {{0, {123}}}, {{"rain", "12.3"}}},
    {"rain-sen0575", {{6, {2794, 0, 5588, 0, 2, 0, 90}}}, {{"rain-window", "0.2794"}, {"rain", "0.5588"}, {"tips", "2"}}},
    {"rain-hd2016", {{4, {0, 12300}}, {8, {0, 50}}}, {{"rain", "12.3"}, {"rain-rate", "50"}}},
    {"rain-sl651", {{0, {0, 123}}}, {{"rain", "12.3"}}},
    {"level-sl651", {{2, {0, 2310}}}, {{"level", "2.31"}}},
    {"ultrasonic-urm14", {{5, {150, 251}}}, {{"distance", "1.5"}, {"device-temperature", "25.1"}}},
    {"laser-sen0492", {{0x34, {0x070B}}}, {{"distance", "1.803"}}},
    {"ultrasonic-a01", {{0x100, {1500, 1502, 251}}}, {{"distance", "1.5"}, {"distance-raw", "1.502"}}},
    {"level-qdy30a", {{2, {16, 3, 2310}}}, {{"device-unit", "16"}, {"level", "2.31"}}},
    {"sdm120",
     {{0, {0x4366, 0x3333}}, {6, {0x3FC0, 0}}, {0xC, {0x4366, 0x3333}}, {0x12, {0, 0}}, {0x18, {0, 0}}, {0x1E, {0x3F80, 0}},
      {0x46, {0x4248, 0}}, {0x48, {0x3FC0, 0}}, {0x4A, {0, 0}}, {0x156, {0x3FC0, 0}}},
     {{"voltage", "230.2"}, {"current", "1.5"}, {"frequency", "50"}, {"import", "1.5"}, {"energy", "1.5"}}},
    {"sdm230", {{0, {0x4366, 0x3333}}, {0x46, {0x4248, 0}}, {0x156, {0x3FC0, 0}}}, {{"voltage", "230.2"}, {"energy", "1.5"}}},
    {"sdm630",
     {{0, {0x4366, 0x3333, 0x4366, 0x3333, 0x4366, 0x3333}}, {0x34, {0x4366, 0x3333}}, {0x46, {0x4248, 0}}},
     {{"voltage-a", "230.2"}, {"voltage-c", "230.2"}, {"power", "230.2"}, {"frequency", "50"}}},
    {"ddsu666", {{0x2000, {0x4366, 0x3333}}, {0x2004, {0x3FC0, 0}}, {0x4000, {0x3FC0, 0}}}, {{"voltage", "230.2"}, {"power", "1500"}, {"import", "1.5"}}},
    {"dtsu666", {{0x2006, {0x450F, 0xE000}}, {0x101E, {0x3FC0, 0}}}, {{"voltage-a", "230.2"}, {"import", "1.5"}}},
    {"dtsu666-h", {{0x2006, {0x4366, 0x3333}}, {0x101E, {0x3FC0, 0}}}, {{"voltage-a", "230.2"}, {"import", "1.5"}}},
};

}  // namespace

TEST_CASE("every profile loads, and says where it comes from in both languages") {
  const auto known = modbus::known_profiles();
  CHECK(known.size() == kExamples.size());  // each has an example below
  for (const auto& id : known) {
    CAPTURE(id);
    const auto profile = modbus::load_profile(id);
    REQUIRE(profile);
    CHECK_FALSE(profile->source.empty());
    CHECK_FALSE(profile->name.zh == profile->name.en);
    for (const auto& info : profile->infos) CHECK((info.name.zh != info.name.en || info.name.en.starts_with("PM")));
  }
}

TEST_CASE("a profile reads what the datasheet's example shows") {
  SerialBus bus{115200};
  std::string config = fmt::format("[[bus]]\nid = \"rs485\"\npath = \"{}\"\nbaud = 115200\ngap = \"2ms\"\n", bus.path());
  std::uint8_t unit = 0;
  for (const auto& example : kExamples) {
    bus.add(++unit, std::chrono::milliseconds{1});
    const auto profile = modbus::load_profile(example.profile);
    REQUIRE(profile);
    for (const auto& [id, settings] : profile->points) {  // what the example does not show is there and 0
      bus.set(unit, settings.point.need.address, std::vector<std::uint16_t>(settings.point.need.count, 0));
    }
    for (const auto& [address, values] : example.registers) bus.set(unit, address, values);
    config += fmt::format("[[device]]\nid = \"{0}\"\ndriver = \"modbus\"\nprofile = \"{0}\"\nbus = \"rs485\"\nunit_id = {1}\n",
                          example.profile, unit);
  }
  Rig rig{config};
  for (const auto& example : kExamples) {
    CAPTURE(example.profile);
    for (const auto& [id, value] : example.values) {
      const auto name = fmt::format("{}.{}", example.profile, id);
      CAPTURE(name);
      REQUIRE(rig.run_until([&] { return rig.count(name) > 0; }));
      CHECK(to_string(rig.of(name)[0].value) == value);
    }
  }
  CHECK(rig.events.empty());
}

TEST_CASE("a device takes a profile's points as they are, changes some and leaves some out") {
  auto document = config::Document::parse(R"([[bus]]
id = "rs485"
path = "/dev/ttyS1"
[[device]]
id = "pond"
driver = "modbus"
profile = "ultrasonic-a01"
bus = "rs485"
without = ["distance-raw"]
[[device.point]]
id = "distance"
name = { zh = "水位", en = "Level" }
scale = -0.001
offset = 3.2
[[device.point]]
id = "extra"
function = "holding"
address = 7
type = "bits"
bit = 4
bits = 4
)",
                                          "test.toml");
  const auto config = Drivers::read_config(document.root());
  document.finish();
  for (const auto& each : document.diagnostics()) FAIL_CHECK(each.to_string());
  REQUIRE(config.size() == 1);
  const auto& points = config[0].info.points;
  REQUIRE(points.size() == 3);
  CHECK(points[0].point == "pond.distance");
  CHECK(points[0].name.en == "Level");
  CHECK(points[0].unit == "m");
  CHECK(points[1].point == "pond.device-temperature");
  CHECK(points[2].point == "pond.extra");
}

TEST_CASE("what is wrong with a profile or a bus is told where it is named") {
  const auto problem = [](const std::string& text) {
    auto document = config::Document::parse(text, "test.toml");
    (void)Drivers::read_config(document.root());
    document.finish();
    std::string all;
    for (const auto& each : document.diagnostics()) all += each.to_string() + "\n";
    return all;
  };
  const std::string bus = "[[bus]]\nid = \"rs485\"\npath = \"/dev/ttyS1\"\n";
  const std::string device = "[[device]]\nid = \"a\"\ndriver = \"modbus\"\nunit_id = 1\n";
  CHECK(problem(bus + device + "bus = \"rs485\"\nprofile = \"sdm12\"\n") ==
        "test.toml:9:11: device[1].profile: there is no profile 'sdm12'; did you mean 'sdm120'?\n");
  CHECK(problem(bus + device + "bus = \"rs48\"\nprofile = \"sdm120\"\n") ==
        "test.toml:8:7: device[1].bus: there is no [[bus]] with id = \"rs48\"; did you mean 'rs485'?\n");
  CHECK(problem(bus + device + "bus = \"rs485\"\nprofile = \"sdm120\"\nwithout = [\"x\"]\n") ==
        "test.toml:10:11: device[1].without: the profile has no point 'x'\n");
  CHECK(problem("[[bus]]\nid = \"rs485\"\npath = \"ttyS1\"\nbaud = 9601\nformat = \"9N1\"\n" + device +
                "bus = \"rs485\"\nprofile = \"sdm120\"\n" + "[[device]]\nid = \"b\"\ndriver = \"modbus\"\n" +
                "bus = \"rs485\"\nprofile = \"sdm120\"\n") ==
        "test.toml:3:8: bus[1].path: expected a path from the root, as \"/dev/serial/by-id/usb-...\" or \"/dev/ttyS1\"\n"
        "test.toml:4:8: bus[1].baud: expected 1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200, 230400, 460800 or 921600\n"
        "test.toml:5:10: bus[1].format: expected data bits, parity (N, E, O) and stop bits, as \"8N1\" or \"8E1\"\n");
}

TEST_CASE("hamlet probe reads a device by its profile, scans, and prints lines that can be pasted") {
  SerialBus bus{115200};
  bus.add(3, std::chrono::milliseconds{1});
  bus.set(3, 0, {0x028C, 0xFF9B});
  support::TempDir folder;
  const auto probe = [&](std::vector<std::string> args) {
    args.insert(args.begin(), {support::program("hamlet"), "--lang", "en", "probe"});
    const auto log = folder.path() / fmt::format("log-{}", args.size());
    support::Process process{args, log};
    CHECK(process.wait(std::chrono::seconds{60}) == 0);
    return process.log();
  };
  const auto read = probe({"modbus-rtu", bus.path(), "--baud", "115200", "--profile", "renke-ws", "--address", "3"});
  CAPTURE(read);
  CHECK(read.find("sent 03 03 00 00 00 02 C5 E9  unit 3, function 3, from 0, count 2") != std::string::npos);
  CHECK(read.find("unit 3, function 3, 4 bytes: 02 8C FF 9B") != std::string::npos);
  CHECK(read.find("-10.1") != std::string::npos);
  const auto lines = read.substr(read.find("[[bus]]"));
  auto document = config::Document::parse(lines, "pasted.toml");
  CHECK(Drivers::read_config(document.root()).size() == 1);
  document.finish();
  for (const auto& each : document.diagnostics()) FAIL_CHECK(each.to_string());
  const auto scan = probe({"modbus-rtu", bus.path(), "--baud", "115200", "--scan"});
  CHECK(scan.find("a device answers at address 3") != std::string::npos);
}
