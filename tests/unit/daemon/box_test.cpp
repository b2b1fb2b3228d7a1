#include "firmware/daemon/box.hpp"

#include <algorithm>
#include <chrono>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <thread>

#include <boost/asio/io_context.hpp>
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "sync/journal/reader.hpp"
#include "tests/support/modbus_simulator.hpp"
#include "tests/support/process.hpp"

namespace {

using namespace hamlet;
using namespace std::chrono_literals;

// A whole box in this process, with one recorded point.
struct BoxBench {
  support::TempDir dir;
  std::optional<boost::asio::io_context> io;
  std::unique_ptr<daemon::Box> box;

  BoxBench() {
    std::ofstream{dir.path() / "level.csv"} << "2026-01-01 00:00:00,1.5\n2026-01-01 12:00:00,1.5\n";
    configure(fmt::format(R"([[device]]
id = "river"
driver = "replay"
[[device.point]]
id = "level"
file = "{}/level.csv"
[quality."river.level"]
gap = "3s"
)",
                          dir.path().string()));
  }

  void configure(const std::string& devices) const {
    std::ofstream{dir.path() / "hamlet.toml"} << fmt::format(R"([gateway]
id = "gw-1"
division = "430124104203"
state_dir = "{0}/state"
run_dir = "{0}"
trust_clock = true
[journal]
window = "0s"
{1}
)",
                                                             dir.path().string(), devices);
  }

  void start() {
    auto settings = daemon::read_settings(dir.path() / "hamlet.toml");
    REQUIRE(settings);
    io.emplace();
    box = std::make_unique<daemon::Box>(*io, dir.path() / "hamlet.toml", std::move(*settings), daemon::Box::Programs{});
    REQUIRE(box->start());
  }

  // The readings of a point that are stored, oldest first.
  auto stored_of(std::string_view point) const {
    auto reader = journal::Reader::open(dir.path() / "state");
    return reader ? (*reader)->readings(point, WallTime{}, 1000) : fail(reader.error());
  }

  // How many readings of a quality and why are stored.
  std::size_t stored(std::string_view quality, std::string_view why) const {
    const auto rows = stored_of("river.level");
    REQUIRE(rows);
    return static_cast<std::size_t>(std::count_if(rows->begin(), rows->end(), [&](const auto& row) {
      return row.value("q", "") == quality && row.value("why", "") == why;
    }));
  }

  bool run_until(const std::function<bool()>& done) {
    for (const auto deadline = std::chrono::steady_clock::now() + 20s; std::chrono::steady_clock::now() < deadline;) {
      io->restart();
      io->run_for(20ms);
      if (done()) return true;
    }
    return false;
  }
};

}  // namespace

// The missing reading that the first tick tells used to be dropped.
TEST_CASE("a point that fell silent while the box was off is told at once") {
  BoxBench bench;
  bench.start();
  REQUIRE(bench.run_until([&] { return bench.stored("good", "") == 1; }));
  bench.box->stop();
  bench.box.reset();
  REQUIRE(bench.stored("missing", "gap") == 0);
  std::this_thread::sleep_for(3100ms);  // the gap itself has to pass
  bench.start();
  bench.box->stop();
  CHECK(bench.stored("missing", "gap") == 1);
}

TEST_CASE("a count goes on where it was, though the box was off and the device's own count wrapped") {
  using support::ModbusSimulator;
  ModbusSimulator meter;
  BoxBench bench;
  bench.configure(fmt::format(R"([[device]]
id = "rain"
driver = "modbus"
address = "127.0.0.1"
port = {}
period = "100ms"
[[device.point]]
id = "total"
function = "holding"
address = 0
type = "uint16"
counter = true
)",
                              meter.port()));
  const auto stored = [&](double total) {
    const auto rows = bench.stored_of("rain.total");
    return rows && std::any_of(rows->begin(), rows->end(), [&](const auto& row) { return row["v"] == total; });
  };
  meter.set_register(ModbusSimulator::Kind::holding, 0, 65530);
  bench.start();
  REQUIRE(bench.run_until([&] { return stored(65530); }));
  bench.box->stop();
  bench.box.reset();
  meter.set_register(ModbusSimulator::Kind::holding, 0, 4);
  bench.start();
  CHECK(bench.run_until([&] { return stored(65540); }));
  bench.box->stop();
}

TEST_CASE("what a flood of alarms hides from people is switched all the same") {
  using support::ModbusSimulator;
  ModbusSimulator meter;
  BoxBench bench;
  std::string config = fmt::format(R"([[device]]
id = "house"
driver = "modbus"
address = "127.0.0.1"
port = {}
period = "100ms"
[[device.point]]
id = "heat"
function = "holding"
address = 0
type = "uint16"
[[device.output]]
id = "fan"
function = "coil"
address = 3
[[output]]
id = "fan"
drive = "house.fan"
when = ["heat-11"]
)",
                                   meter.port());
  for (int i = 0; i < 12; ++i)
    config += fmt::format("[[alarm]]\nid = \"heat-{}\"\npoint = \"house.heat\"\nabove = {}\nseverity = \"minor\"\n", i, i);
  bench.configure(config);
  meter.set_register(ModbusSimulator::Kind::holding, 0, 100);
  bench.start();
  CHECK(bench.run_until([&] { return meter.coil(3); }));
  bench.box->stop();
  auto reader = journal::Reader::open(bench.dir.path() / "state");
  REQUIRE(reader);
  const auto state = (*reader)->state("alarm/heat-11");
  REQUIRE((state && state->size() == 1));
  CHECK(state->front().second.find("\"state\":\"suppressed\"") != std::string::npos);
}

// The flow was read before the pump: where both went to 0 in one poll the lamp flashed, and an alarm was left behind.
TEST_CASE("a poll switches nothing and raises nothing by what is only half of it") {
  using support::ModbusSimulator;
  ModbusSimulator pump;
  BoxBench bench;
  bench.configure(fmt::format(R"([[device]]
id = "pump"
driver = "modbus"
address = "127.0.0.1"
port = {}
period = "100ms"
[[device.point]]
id = "flow"
function = "holding"
address = 0
type = "bits"
bit = 1
bits = 8
[[device.point]]
id = "on"
function = "holding"
address = 0
type = "bit"
bit = 0
[[device.output]]
id = "lamp"
function = "coil"
address = 3
[[alarm]]
id = "low"
point = "pump.flow"
below = 2
suppressed_when = "pump.on == false"
[[alarm]]
id = "dry"
when = "pump.flow < 2 AND pump.on"
[[output]]
id = "lamp"
drive = "pump.lamp"
when = ["low", "dry"]
)",
                              pump.port()));
  const auto stored = [&](double flow) {
    const auto rows = bench.stored_of("pump.flow");
    return rows && !rows->empty() && rows->back()["v"] == flow;
  };
  constexpr std::uint16_t kRuns = 5 * 2 + 1;
  pump.log_answers();
  pump.set_register(ModbusSimulator::Kind::holding, 0, kRuns);
  bench.start();
  for (const std::uint16_t state : {kRuns, std::uint16_t{0}, kRuns}) {
    pump.set_register(ModbusSimulator::Kind::holding, 0, state);
    REQUIRE(bench.run_until([&] { return stored(state / 2); }));
  }
  pump.set_register(ModbusSimulator::Kind::holding, 0, 1 * 2 + 1);  // and now it is so
  REQUIRE(bench.run_until([&] { return pump.coil(3); }));
  bench.box->stop();
  const auto answers = pump.answers();
  CHECK(std::count_if(answers.begin(), answers.end(), [](const auto& each) { return each.written == true; }) == 1);
  auto reader = journal::Reader::open(bench.dir.path() / "state");
  REQUIRE(reader);
  for (const auto* alarm : {"alarm/low", "alarm/dry"}) {
    const auto state = (*reader)->state(alarm);
    REQUIRE((state && state->size() == 1));
    CHECK(state->front().second.find("\"occurrence\":1,") != std::string::npos);
  }
}
