#include "firmware/daemon/settings.hpp"

#include <algorithm>
#include <cstdlib>
#include <fstream>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "firmware/daemon/meta.hpp"
#include "tests/support/process.hpp"

namespace {

using namespace hamlet;

constexpr std::string_view kSmallest = R"([gateway]
id = "gw-1"
division = "430124104203"
)";

auto read(const std::string& text) {
  const support::TempDir dir;
  const auto file = dir.path() / "hamlet.toml";
  std::ofstream{file} << text;
  return daemon::read_settings(file);
}

std::string first_mistake(const std::string& text) {
  const auto settings = read(text);
  return settings ? std::string{"none"} : settings.error().front().to_string();
}

std::filesystem::path example() { return std::filesystem::path{std::getenv("HAMLET_SOURCE")} / "firmware/image/hamlet.toml"; }

}  // namespace

TEST_CASE("every ready-made pack is right as it is, and drives something") {
  const auto folder = example().parent_path() / "packs";
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator{folder}) {
    if (entry.path().extension() != ".toml") continue;
    CAPTURE(entry.path().string());
    ++count;
    std::ifstream in{entry.path()};
    const std::string toml{std::istreambuf_iterator<char>{in}, {}};
    const auto settings = read(std::string{kSmallest} + toml);
    REQUIRE_MESSAGE(settings, settings.error().front().to_string());
    CHECK_FALSE(settings->outputs.empty());
    for (const auto& output : settings->outputs) CHECK_FALSE(output.triggers.empty());
    for (const auto& alarm : settings->rules.alarms) CHECK(alarm.text.zh != alarm.text.en);
  }
  CHECK(count == 4);
}

TEST_CASE("an output needs a device\'s output and an alarm that are there") {
  const std::string relay = R"([[device]]
id = "relay"
driver = "modbus"
address = "127.0.0.1"
[[device.point]]
id = "on"
function = "coil"
address = 0
[[device.output]]
id = "siren"
function = "coil"
address = 0
[[alarm]]
id = "high"
point = "relay.on"
equals = true
)";
  const auto good = read(std::string{kSmallest} + relay + "[[output]]\nid = \"siren\"\ndrive = \"relay.siren\"\nwhen = [\"high\"]\n");
  REQUIRE_MESSAGE(good, good.error().front().to_string());
  REQUIRE(good->outputs.size() == 1);
  CHECK(good->outputs[0].triggers[0].points == std::vector<std::string>{"relay.on"});
  CHECK(first_mistake(std::string{kSmallest} + relay + "[[output]]\nid = \"siren\"\ndrive = \"relay.sirne\"\nwhen = [\"high\"]\n").find("did you mean \'relay.siren\'?") !=
        std::string::npos);
  const auto meta = daemon::describe(*good);
  CHECK(meta["outputs"][0]["alarms"][0] == "high");
}

TEST_CASE("the example config is right, and shows every kind of thing") {
  const auto settings = daemon::read_settings(example());
  REQUIRE_MESSAGE(settings, settings.error().front().to_string());
  CHECK(settings->topics.base() == "hamlet/v1/430124/104/203/gw-0017");
  CHECK(settings->devices.size() == 2);
  CHECK(settings->rules.alarms.size() == 2);
  CHECK(settings->rules.quality.size() == 2);
  CHECK(settings->cameras.size() == 1);
  CHECK(settings->gateway.county_verbs.contains("alarm.ack"));
}

TEST_CASE("a config of three lines is enough") {
  const auto settings = read(std::string{kSmallest});
  REQUIRE(settings);
  CHECK(settings->gateway.name.zh == "gw-1");
  CHECK(settings->uplink.enabled == false);
  CHECK(settings->journal.window == Millis{10'000});
}

TEST_CASE("mistakes in different rooms are told in one go, each at its line") {
  const auto settings = read(R"([gateway]
id = "Gateway 1"
division = "4301"
[journal]
window = "10"
[uplink]
broker = "mqtt://county"
kepalive = "30s"
[[device]]
id = "river"
driver = "modbuss"
)");
  REQUIRE_FALSE(settings);
  std::string all;
  for (const auto& each : settings.error()) all += each.to_string() + "\n";
  CAPTURE(all);
  for (const auto* part : {":2:", "id: expected an id", ":3:", "division", ":5:", "window", "duration", ":8:",
                           "did you mean 'keepalive'", ":11:", "modbus"}) {
    CHECK_MESSAGE(all.find(part) != std::string::npos, "not told: ", part);
  }
}

TEST_CASE("every mistake is told in Chinese too") {
  const auto settings = read(R"([gateway]
id = "Gateway 1"
division = "4301"
colour = "red"
[journal]
window = "10"
[uplink]
broker = "county"
enabled = 1
password = { file = "/nonexistent" }
[[device]]
id = "river"
driver = "modbus"
address = "river.example"
[[device.point]]
id = "level"
function = "holdin"
address = 70000
type = "float32"
[quality."river.leve"]
range = [4, 0]
[[alarm]]
id = "high"
point = "river.level"
above = "much"
severity = "critical"
[[camera]]
id = "river"
source = "http://camera"
)");
  REQUIRE_FALSE(settings);
  CHECK(settings.error().size() >= 15);
  for (const auto& each : settings.error()) {
    CAPTURE(each.to_string());
    CHECK(std::any_of(each.message.zh.begin(), each.message.zh.end(), [](char c) { return static_cast<signed char>(c) < 0; }));
    CHECK(each.message.zh != each.message.en);
  }
}

TEST_CASE("an alarm that could never be raised is refused: its point has another type") {
  const std::string pump = std::string{kSmallest} + R"([[device]]
id = "pump"
driver = "modbus"
address = "10.0.0.1"
[[device.point]]
id = "on"
function = "coil"
address = 1
[[device.point]]
id = "flow"
function = "holding"
address = 1
type = "int16"
[[alarm]]
id = "a"
)";
  CHECK(first_mistake(pump + "point = \"pump.on\"\nabove = 0.5\n").find("'pump.on' is a boolean") != std::string::npos);
  CHECK(first_mistake(pump + "point = \"pump.on\"\nequals = \"on\"\n").find("another type") != std::string::npos);
  CHECK(first_mistake(pump + "point = \"pump.flow\"\nequals = true\n").find("another type") != std::string::npos);
  CHECK(first_mistake(pump + "point = \"pump.flow\"\nequals = \"on\"\n").find("another type") != std::string::npos);  // it passed
  CHECK(first_mistake(pump + "point = \"pump.on\"\n[[alarm.step]]\nid = \"b\"\nabove = 0.5\n").find("'pump.on' is a boolean") !=
        std::string::npos);  // it passed
  CHECK(first_mistake(pump + "point = \"pump.on\"\nequals = true\n") == "none");
  CHECK(first_mistake(pump + "point = \"pump.flow\"\nrise = 1\nwithin = \"1min\"\n") == "none");
  // A test of numbers on a switch passed, and did nothing.
  const auto tested = pump + "point = \"pump.on\"\nequals = true\n[quality.\"pump.on\"]\n";
  CHECK(first_mistake(tested + "flat_line = { tolerance = 1, suspect = \"1d\" }\n").find("this does nothing") != std::string::npos);
  CHECK(first_mistake(tested + "gap = \"1h\"\nanomaly = {}\n") == "none");
}

TEST_CASE("a camera may not have the id of a device: both are sources of events") {
  const auto text = first_mistake(std::string{kSmallest} + R"([[device]]
id = "ford"
driver = "modbus"
address = "127.0.0.1"
[[device.point]]
id = "p"
function = "coil"
address = 1
[[camera]]
id = "ford"
source = "file:/clip.avi"
)");
  CHECK(text.find("camera[1].id: a device has this id") != std::string::npos);
}

TEST_CASE("the county changes what the box lists, key by key and list by list, and nothing else") {
  support::TempDir dir;
  const auto file = dir.path() / "hamlet.toml";
  std::ofstream{file} << fmt::format(R"([gateway]
id = "gw-1"
division = "430124104203"
state_dir = "{}"
[county]
tables = ["alarm", "uplink", "quality", "gateway", "device"]
[uplink]
broker = "mqtts://a.example"
user = "gw-1"
[[device]]
id = "river"
driver = "modbus"
address = "10.0.0.1"
[[device.point]]
id = "level"
function = "holding"
address = 0
type = "float32"
[[alarm]]
id = "high"
point = "river.level"
above = 3.0
text = {{ zh = "高", en = "high" }}
)", dir.path().string());
  const auto over = dir.path() / "county.toml.trial";
  const auto proposed = [&](const std::string& text) {
    std::ofstream{over, std::ios::trunc} << text;
    return daemon::read_settings(file, over);
  };
  const auto refused = [&](const std::string& text, const std::string& why) {
    const auto settings = proposed(text);
    return !settings && settings.error().front().to_string().find(why) != std::string::npos;
  };
  const auto good = proposed("[uplink]\nkeepalive = \"1min\"\n[[alarm]]\nid = \"higher\"\npoint = \"river.level\"\nabove = 4.0\n"
                             "text = { zh = \"高\", en = \"high\" }\n");
  REQUIRE(good);
  CHECK(good->changed_by_county);
  CHECK(good->uplink.keepalive == std::chrono::minutes{1});
  CHECK(good->uplink.user == "gw-1");
  REQUIRE(good->rules.alarms.size() == 1);
  CHECK(good->rules.alarms[0].id == "higher");
  const auto back = proposed("");
  REQUIRE(back);
  CHECK_FALSE(back->changed_by_county);
  CHECK(back->rules.alarms.at(0).id == "high");

  CHECK(refused("[journal]\nwindow = \"1s\"", "[county] tables"));
  CHECK(refused("[county]\nverbs = [\"reload\"]", "only be changed on the box"));
  CHECK(refused("[gateway]\nid = \"gw-2\"", "only be changed on the box"));
  CHECK(refused("[uplink]\npassword = { file = \"/etc/shadow\" }", "uplink.password"));
  CHECK(refused("uplink = { ca = \"/tmp/mine.pem\" }", "uplink.ca"));
  CHECK(refused("[[device]]\nid = \"x\"\ndriver = \"board\"\n[[device.shutdown]]\ncommand = [\"/bin/sh\"]", "device.shutdown.command"));
  CHECK(refused("[uplink]\nbroker = \"mqtt://a.example\"", "uses TLS"));
  CHECK(refused("[uplink]\nfallback_brokers = [\"mqtt://a.example\"]", "uses TLS"));
  CHECK(refused("[[alarm]]\nid = \"x\"\npoint = \"river.lvl\"\nabove = 1\ntext = { zh = \"a\", en = \"a\" }", "river.level"));
  CHECK(refused("[uplink\n", "TOML"));

  // The confirmed one gives way where it does not fit the box's own any more.
  std::ofstream{dir.path() / "county.toml"} << "[journal]\nwindow = \"1s\"\n";
  const auto own = daemon::read_settings(file);
  REQUIRE(own);
  CHECK(own->county_mistakes.size() == 1);
  CHECK_FALSE(own->changed_by_county);
}

TEST_CASE("a file that is not there is told in words") {
  const auto settings = daemon::read_settings("/nowhere/hamlet.toml");
  REQUIRE_FALSE(settings);
  CHECK(settings.error().front().to_string() == "/nowhere/hamlet.toml: there is no such file");
}

TEST_CASE("meta says within how long a value must rise") {
  const auto settings = read(std::string{kSmallest} + R"([[device]]
id = "river"
driver = "modbus"
address = "10.0.0.1"
[[device.point]]
id = "level"
function = "holding"
address = 1
type = "int16"
[[alarm]]
id = "rising"
point = "river.level"
rise = 2
within = "10min"
)");
  REQUIRE(settings);
  CHECK(daemon::describe(*settings)["alarms"][0]["within_ms"] == 600'000);
}

TEST_CASE("meta draws the page and gives nothing away") {
  const auto settings = daemon::read_settings(example());
  REQUIRE(settings);
  const auto meta = daemon::describe(*settings);
  CHECK(meta["devices"][0]["points"][0]["point"] == "river.level");
  CHECK(meta["devices"][0]["points"][0]["unit"] == "m");
  CHECK(meta["alarms"][0]["limit"] == 3.0);
  CHECK(meta["cameras"][0]["zones"][0]["polygon"].size() == 4);
  CHECK_FALSE(meta["alarms"][0].contains("within_ms"));
  const auto text = meta.dump();
  for (const auto* secret : {"rtsp", "viewer", "password", "192.168"}) {
    CHECK_MESSAGE(text.find(secret) == std::string::npos, "meta tells ", secret);
  }
}
