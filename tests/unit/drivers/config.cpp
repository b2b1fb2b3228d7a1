#include <algorithm>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "drivers/drivers.hpp"
#include "drivers/registry.hpp"

using namespace hamlet;
using namespace hamlet::drivers;

namespace {

// The diagnostics of a config that holds devices only, each as "line:column: message".
std::vector<std::string> problems(const std::string& text) {
  auto document = config::Document::parse(text, "test.toml");
  (void)Drivers::read_config(document.root());
  document.finish();
  std::vector<std::string> out;
  for (const auto& each : document.diagnostics())
    out.push_back(fmt::format("{}:{}: {}", each.line, each.column, each.message.en));
  return out;
}

using Lines = std::vector<std::string>;

const std::string kRiver = R"([[device]]
id = "river"
driver = "modbus"
address = "192.168.1.20"
[[device.point]]
id = "level"
function = "input"
address = 0
type = "float32"
)";

}  // namespace

TEST_CASE("a whole config is read without a complaint") {
  auto document = config::Document::parse(R"(
[[device]]
id = "river"
driver = "modbus"
name = { zh = "河道水位", en = "River gauge" }
address = "192.168.1.20"
port = 1502
unit_id = 3
period = "2s"
timeout = "500ms"
retries = 1
backoff_max = "5min"
base = 1
max_gap = 4
missing_every = "10min"
[[device.point]]
id = "level"
name = { zh = "水位", en = "Level" }
unit = "m"
span = [0, 10]
function = "input"
address = 1
type = "float32"
order = "CDAB"
scale = 0.001
offset = 1.5
invalid = [-9999]
[[device.point]]
id = "pump"
function = "coil"
address = 65536
[[device.point]]
id = "fault"
function = "holding"
address = 7
type = "bit"
bit = 15

[[device]]
id = "history"
driver = "replay"
folder = "/srv/series"
speed = 60
loop = false
[[device.point]]
id = "taxi"
file = "nyc_taxi.csv"
[[device.point]]
id = "door"
file = "door.csv"
type = "boolean"
)",
                                          "test.toml");
  const auto config = Drivers::read_config(document.root());
  document.finish();
  for (const auto& each : document.diagnostics()) FAIL_CHECK(each.to_string());
  REQUIRE(config.size() == 2);
  const auto& river = config[0].info;
  CHECK(river.id == "river");
  CHECK(river.driver == "modbus");
  CHECK(river.name == Text{"河道水位", "River gauge"});
  REQUIRE(river.points.size() == 3);
  CHECK(river.points[0].point == "river.level");
  CHECK(river.points[0].unit == "m");
  CHECK(river.points[0].type == ValueType::number);
  CHECK(river.points[0].name.zh == "水位");
  CHECK(river.points[0].min == 0);
  CHECK(river.points[0].max == 10);
  CHECK(river.points[1].type == ValueType::boolean);
  CHECK(river.points[1].name == Text{"pump", "pump"});
  CHECK_FALSE(river.points[1].min);
  CHECK(river.points[2].type == ValueType::boolean);
  CHECK(config[0].missing_every == std::chrono::minutes{10});
  CHECK(config[1].info.points[0].type == ValueType::number);
  CHECK(config[1].info.points[1].type == ValueType::boolean);
}

TEST_CASE("an unknown driver is told once, with the nearest there is") {
  CHECK(problems("[[device]]\nid = \"a\"\ndriver = \"modbuss\"\naddress = \"x\"\n[[device.point]]\nid = \"b\"\n") ==
        Lines{"3:10: device[1].driver: there is no driver 'modbuss'; did you mean 'modbus'?"});
  CHECK(problems("[[device]]\nid = \"a\"\ndriver = \"lonworks-over-ip\"\n") ==
        Lines{"3:10: device[1].driver: there is no driver 'lonworks-over-ip'; known: board, gpio, hj212, lines, modbus, mqtt, program, replay, sl651, sms, speaker"});
  CHECK(problems("[[device]]\nid = \"a\"\naddress = \"x\"\n") ==
        Lines{"1:1: device[1].driver: missing; this key is required"});
}

TEST_CASE("ids that are there already are told at the second") {
  CHECK(problems(kRiver + kRiver) == Lines{"11:6: device[2].id: there is a device 'river' already"});
  CHECK(problems(kRiver + "[[device.point]]\nid = \"level\"\nfunction = \"coil\"\naddress = 1\n") ==
        Lines{"11:6: device[1].point[2].id: there is a point 'level' in this device already"});
  CHECK(problems("[[device]]\nid = \"River\"\ndriver = \"replay\"\n[[device.point]]\nid = \"a\"\nfile = \"b\"\n") ==
        Lines{"2:6: device[1].id: expected an id: 1 to 32 of a-z, 0-9 and '-', in quotes"});
}

TEST_CASE("a device needs points") {
  CHECK(problems("[[device]]\nid = \"a\"\ndriver = \"modbus\"\naddress = \"10.0.0.1\"\n") ==
        Lines{"1:1: device[1]: a device needs at least one [[device.point]]"});
}

TEST_CASE("what a modbus device cannot be is told with line and column") {
  CHECK(problems("[[device]]\nid = \"a\"\ndriver = \"modbus\"\naddress = \"plc.local\"\ntimeout = \"1m\"\nport = 0\n"
                 "retrys = 3\n[[device.point]]\nid = \"b\"\nfunction = \"coil\"\naddress = 0\n") ==
        Lines{"4:11: device[1].address: expected an IP address, as \"192.168.1.20\" (names are not looked up)",
              "5:11: device[1].timeout: 1m is out of range; expected 50ms to 30s",
              "6:8: device[1].port: 0 is out of range; expected 1 to 65535",
              "7:1: unknown key 'retrys' in device[1]; did you mean 'retries'?"});
}

TEST_CASE("what a modbus point cannot be is told with line and column") {
  const std::string device =
      "[[device]]\nid = \"a\"\ndriver = \"modbus\"\naddress = \"10.0.0.1\"\n[[device.point]]\nid = \"b\"\n";
  CHECK(problems(device + "function = \"coils\"\naddress = 70000\n") ==
        Lines{"7:12: device[1].point[1].function: expected one of \"coil\", \"discrete\", \"holding\", \"input\"; did "
              "you mean "
              "\"coil\"?",
              "8:11: device[1].point[1].address: 70000 is out of range; expected 0 to 65535"});
  CHECK(problems(device + "function = \"coil\"\naddress = 1\ntype = \"int16\"\n") ==
        Lines{"9:8: device[1].point[1].type: has no meaning for a coil or a discrete input: it is a boolean"});
  CHECK(problems(device + "function = \"holding\"\naddress = 65533\ntype = \"float64\"\n") ==
        Lines{"8:11: device[1].point[1].address: the value takes 4 registers and would end after the last one"});
  CHECK(problems(device + "function = \"holding\"\naddress = 1\ntype = \"int16\"\norder = \"CDAB\"\nscale = 0\n") ==
        Lines{"10:9: device[1].point[1].order: a value of one register has no word order; expected \"ABCD\" or "
              "\"BADC\" (bytes "
              "swapped)",
              "11:9: device[1].point[1].scale: 0 would make every value the same; expected another number"});
  CHECK(problems(device + "function = \"holding\"\naddress = 1\ntype = \"bit\"\nscale = 2\n") ==
        Lines{"5:1: device[1].point[1].bit: missing; this key is required",
              "10:9: device[1].point[1].scale: has no meaning for a bit"});
  CHECK(
      problems(device + "function = \"holding\"\naddress = 1\ntype = \"int16\"\nbit = 2\nspan = [3, 1]\n") ==
      Lines{
          "10:7: device[1].point[1].bit: has no meaning without type = \"bit\"",
          "11:8: device[1].point[1].span: expected [lowest, highest] of what the instrument can measure, as [0, 10]"});
}

TEST_CASE("an address counts from the base that the config says") {
  const std::string device =
      "[[device]]\nid = \"a\"\ndriver = \"modbus\"\naddress = \"10.0.0.1\"\nbase = 1\n[[device.point]]\nid = \"b\"\n";
  CHECK(problems(device + "function = \"holding\"\naddress = 0\ntype = \"int16\"\n") ==
        Lines{"9:11: device[1].point[1].address: 0 is out of range; expected 1 to 65536"});
  CHECK(problems(device + "function = \"holding\"\naddress = 65536\ntype = \"int16\"\n").empty());
}

TEST_CASE("what a replay device cannot be is told with line and column") {
  CHECK(problems(
            "[[device]]\nid = \"a\"\ndriver = \"replay\"\nspeed = 0\nloop = \"yes\"\n[[device.point]]\nid = \"b\"\n") ==
        Lines{"4:9: device[1].speed: 0 is out of range; expected 0.01 to 100000",
              "5:8: device[1].loop: expected true or false, found a string",
              "6:1: device[1].point[1].file: missing; this key is required"});
}

TEST_CASE("what has no raw frames cannot be recorded, and says so") {
  const auto all = problems("[[device]]\nid = \"a\"\ndriver = \"gpio\"\nrecord = \"/tmp/a\"\n");
  CHECK(std::find(all.begin(), all.end(), "4:10: device[1].record: driver 'gpio' has no raw frames to record") != all.end());
}

TEST_CASE("two sms devices on one modem are told: of two packs each brings its own") {
  const std::string modem = "[[device]]\nid = \"{}\"\ndriver = \"sms\"\npath = \"/dev/ttyUSB2\"\n[[device.output]]\nid = \"duty\"\nto = [\"+8613800000000\"]\n";
  CHECK(problems(fmt::format(fmt::runtime(modem), "flood-modem")).empty());
  CHECK(problems(fmt::format(fmt::runtime(modem + modem), "flood-modem", "home-modem")) ==
        Lines{"11:8: device[2].path: there is an sms device on '/dev/ttyUSB2' already; write one [[device]] a modem, with a "
              "[[device.output]] for each list of numbers"});
}

TEST_CASE("driver names are ids, and unique") {
  std::vector<std::string_view> names;
  for (const auto& driver : registry()) names.push_back(driver.name);
  std::sort(names.begin(), names.end());
  CHECK(std::adjacent_find(names.begin(), names.end()) == names.end());
  CHECK(names.size() >= 2);
}
