// Stations that report to a real hamletd: what it has confirmed it still has after kill -9, once.

#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "firmware/core/clock.hpp"
#include "sync/journal/reader.hpp"
#include "tests/support/process.hpp"
#include "tests/support/station.hpp"

namespace {

using namespace hamlet;
using namespace std::chrono_literals;
namespace sl = wire::sl651;
namespace hj = wire::hj212;

constexpr auto kPatience = 30s;
const auto kStation = *sl::Address::parse("12345678");

struct Box {
  support::TempDir dir;
  std::uint16_t hydro = support::free_port();
  std::uint16_t air = support::free_port();
  std::unique_ptr<support::Process> hamletd;
  SystemClock clock{true};

  Box() {
    std::ofstream{dir.path() / "hamlet.toml"} << fmt::format(R"(
[gateway]
id = "gw-test"
division = "430124104203"
state_dir = "{0}/state"
run_dir = "{0}"
trust_clock = true
[journal]
window = "10s"
[[device]]
id = "hydro"
driver = "sl651"
station = "12345678"
tcp = "127.0.0.1:{1}"
allow = ["127.0.0.1"]
  [[device.point]]
  id = "level"
  element = "Z"
[[device]]
id = "air"
driver = "hj212"
mn = "MN1"
tcp = "127.0.0.1:{2}"
allow = ["127.0.0.1"]
  [[device.point]]
  id = "pm25"
  factor = "a34004"
)",
                                                              dir.path().string(), hydro, air);
  }

  void start() {
    hamletd = std::make_unique<support::Process>(
        std::vector{support::program("hamletd"), std::string{"--config"}, (dir.path() / "hamlet.toml").string()}, dir.path() / "log");
  }

  support::StationWire connect(std::uint16_t port) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (std::chrono::steady_clock::now() < deadline && hamletd->running()) {
      try {
        return support::StationWire::tcp(port);
      } catch (const std::exception&) {
        hamletd->wait(20ms);  // a pause that ends early where the daemon does
      }
    }
    FAIL("hamletd does not listen: ", hamletd->log());
    throw std::runtime_error{"unreachable"};
  }

  template <class Station, class Done>
  bool until(Station& station, Done done) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (std::chrono::steady_clock::now() < deadline) {
      station.step();
      if (done()) return true;
      if (hamletd->wait(5ms)) return false;
    }
    return false;
  }

  // Values of a point in the journal of a daemon that is dead.
  std::vector<double> stored(const std::string& point) {
    auto reader = journal::Reader::open(dir.path() / "state");
    REQUIRE_MESSAGE(reader, reader.error().message);
    const auto rows = (*reader)->readings(point, clock.wall() - 24h, 1000);
    REQUIRE(rows);
    std::vector<double> out;
    for (const auto& row : *rows) {
      if (row["v"].is_number()) out.push_back(row["v"].get<double>());
    }
    return out;
  }
};

}  // namespace

TEST_CASE("what hamletd has confirmed to a station outlives kill -9, and is stored once") {
  Box box;
  box.start();
  support::Rtu rtu{box.connect(box.hydro), {.centre = 1, .station = kStation, .password = 0x1234}};
  support::Logger logger{box.connect(box.air), {.st = "22", .pw = "123456", .mn = "MN1", .flag = 5}};
  const auto report = [&](double level) {
    auto groups = support::report_groups(kStation, 'H', box.clock.wall());
    groups.push_back(support::element("Z", level));
    rtu.report(sl::kTimed, groups, box.clock.wall());
  };
  const auto upload = [&](int value) {
    logger.upload("2011",
                  {{{"DataTime", wire::china_digits(box.clock.wall()).substr(0, 14)}}, {{"a34004-Rtd", fmt::to_string(value)}, {"a34004-Flag", "N"}}},
                  box.clock.wall());
  };
  for (int round = 1; round <= 5; ++round) {
    report(round);
    upload(round);
    REQUIRE_MESSAGE(box.until(rtu, [&] { return rtu.confirmed() == static_cast<std::size_t>(2 * round - 1); }), box.hamletd->log());
    REQUIRE_MESSAGE(box.until(logger, [&] { return logger.count("9014") == static_cast<std::size_t>(2 * round - 1); }), box.hamletd->log());
    box.hamletd->kill();  // within the journal's window of 10 s
    CHECK(box.stored("hydro.level").size() == static_cast<std::size_t>(round));
    CHECK(box.stored("air.pm25").size() == static_cast<std::size_t>(round));
    box.start();
    rtu.rewire(box.connect(box.hydro));
    logger.rewire(box.connect(box.air));
    rtu.repeat();  // as if the confirmation had been lost
    logger.repeat();
    REQUIRE(box.until(rtu, [&] { return rtu.confirmed() == static_cast<std::size_t>(2 * round); }));
    REQUIRE(box.until(logger, [&] { return logger.count("9014") == static_cast<std::size_t>(2 * round); }));
  }
  box.hamletd->kill();
  CHECK(box.stored("hydro.level").size() == 5);
  CHECK(box.stored("air.pm25").size() == 5);
}
