#pragma once

#include <csignal>
#include <filesystem>
#include <fstream>
#include <memory>

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "firmware/control/client.hpp"
#include "sync/journal/reader.hpp"
#include "tests/support/broker.hpp"
#include "tests/support/county.hpp"
#include "tests/support/modbus_simulator.hpp"
#include "tests/support/process.hpp"
#include "tests/support/proxy.hpp"

namespace hamlet::scenario {

using contract::Lane;
using nlohmann::json;
using support::County;

inline constexpr auto kPatience = std::chrono::seconds{60};

/// hamletd with a Modbus device and an alarm, a broker behind a bad link, and a county that keeps the books and validates.
struct Village {
  support::TempDir dir;
  support::Broker broker;
  support::Proxy proxy{broker.port()};
  support::ModbusSimulator device;
  std::filesystem::path config = dir.path() / "hamlet.toml";
  std::filesystem::path socket = dir.path() / "control.sock";
  std::filesystem::path log = dir.path() / "hamletd.log";
  std::unique_ptr<support::Process> hamletd;
  County county;

  /// Further tables, and further keys of [uplink].
  explicit Village(const std::string& more = {}, const std::string& uplink = {})
      : county{{.broker = broker.uri(), .base = "hamlet/v1/430124/104/203/gw-test", .validate = true}} {
    std::string points;
    for (int i = 0; i < 20; ++i) {
      points += fmt::format("[[device.point]]\nid = \"p{}\"\nfunction = \"holding\"\naddress = {}\ntype = \"uint16\"\n", i, 100 + i);
    }
    std::ofstream{config} << fmt::format(
        R"([gateway]
id = "gw-test"
division = "430124104203"
state_dir = "{0}/state"
run_dir = "{0}"
trust_clock = true
[journal]
window = "200ms"
[uplink]
broker = "{1}"
protocol = "5"
keepalive = "2s"
backoff = "100ms"
backoff_max = "500ms"
{5}
[[device]]
id = "river"
driver = "modbus"
address = "127.0.0.1"
port = {2}
period = "100ms"
[[device.point]]
id = "level"
unit = "m"
function = "holding"
address = 0
type = "float32"
{3}
[[alarm]]
id = "river-level-high"
point = "river.level"
above = 3.0
deadband = 0.1
severity = "critical"
text = {{ zh = "水位过高", en = "River level is high" }}
{4}
)",
        dir.path().string(), proxy.uri(), device.port(), points, more, uplink);
  }

  void start() { hamletd = std::make_unique<support::Process>(std::vector{support::program("hamletd"), std::string{"--config"}, config.string()}, log); }

  void set_level(float level) { device.set_float(support::ModbusSimulator::Kind::holding, 0, level); }

  json ask(std::string_view verb, json args = json::object()) {
    auto answer = control::call(socket, verb, std::move(args));
    return answer ? *answer : json{};
  }

  // Asks until the answer is as wanted; the socket comes up a moment after the process.
  template <class Wanted>
  bool ask_until(std::string_view verb, Wanted wanted) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (std::chrono::steady_clock::now() < deadline && hamletd->running()) {
      const auto answer = ask(verb);
      if (!answer.is_null() && wanted(answer)) return true;
      hamletd->wait(std::chrono::milliseconds{20});  // a pause that ends early where the daemon does
    }
    return false;
  }

  static std::uint64_t unsent(const json& journal, const char* lane) { return journal["lanes"][lane]["unsent"]; }

  // Whether the county holds, without a hole, all that a journal at rest holds.
  void check_all_arrived() {
    auto reader = journal::Reader::open(dir.path() / "state");
    REQUIRE_MESSAGE(reader, reader.error().message);
    const auto stat = (*reader)->stat();
    REQUIRE(stat);
    for (const auto lane : contract::kLanes) {
      const auto last = stat->lanes.at(contract::index(lane)).last;
      const auto arrived = county.wait_until(
          [&](const County::Snapshot& now) {
            const auto found = now.epochs.find(stat->epoch);
            return last == 0 || (found != now.epochs.end() && found->second.at(contract::index(lane)).prefix >= last);
          },
          kPatience);
      CHECK_MESSAGE(arrived, contract::to_string(lane), " up to ", last, "\n", county.snapshot().to_string());
      CHECK(county.snapshot().total(lane).conflicts == 0);
    }
    CHECK(county.snapshot().epochs.size() == 1);
    CHECK(county.snapshot().invalid.empty());
  }
};

}  // namespace hamlet::scenario
