// The real `hamlet probe sl651` and `hj212`, wherever stations come in: TCP, UDP, a serial line.

#include <chrono>
#include <csignal>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "tests/support/process.hpp"
#include "tests/support/station.hpp"

namespace sl = hamlet::wire::sl651;
using hamlet::WallTime;
using hamlet::support::free_port;
using hamlet::support::StationWire;
using namespace std::chrono_literals;

namespace {

const sl::Address kStation{0x00, 0x12, 0x34, 0x56, 0x78};
const WallTime kNow = std::chrono::sys_days{std::chrono::year{2026} / 11 / 24} + 1h;

struct Probe {
  hamlet::support::TempDir folder;
  hamlet::support::Process process;

  explicit Probe(std::vector<std::string> args) : process{command(std::move(args)), folder.path() / "log"} {}

  static std::vector<std::string> command(std::vector<std::string> args) {
    args.insert(args.begin(), {hamlet::support::program("hamlet"), "probe"});
    args.insert(args.end(), {"--lang", "en"});
    return args;
  }
  [[nodiscard]] bool says(std::string_view text) const {
    const auto end = std::chrono::steady_clock::now() + 20s;
    while (std::chrono::steady_clock::now() < end) {
      if (process.log().find(text) != std::string::npos) return true;
      std::this_thread::sleep_for(10ms);  // between two looks
    }
    MESSAGE(process.log());
    return false;
  }
};

// What it returns holds the wire: a pty is gone with its station.
[[nodiscard]] hamlet::support::Rtu report(StationWire wire,
                                          hamlet::support::StationFault fault = hamlet::support::StationFault::none) {
  hamlet::support::Rtu rtu{std::move(wire), {.centre = 1, .station = kStation, .password = 0x1234}};
  rtu.set_fault(fault);
  auto groups = hamlet::support::report_groups(kStation, 'H', kNow);
  groups.push_back(hamlet::support::element("Z", 10.49));
  rtu.report(sl::kTimed, groups, kNow);
  return rtu;
}

}  // namespace

TEST_CASE("probe sl651 tells what a station says by TCP, at the address that is asked for") {
  const auto port = free_port();
  Probe probe{{"sl651", "--listen", fmt::format("127.0.0.1:{}", port), "--count", "1"}};
  REQUIRE(probe.says(fmt::format("waiting at 127.0.0.1 TCP port {}", port)));
  const auto station = report(StationWire::tcp(port));
  CHECK(probe.process.wait(20s) == 0);
  CHECK(probe.says("10.49"));
  CHECK(probe.says(fmt::format("tcp = \"127.0.0.1:{}\"", port)));
  CHECK(probe.says("allow = [\"127.0.0.1\"]"));
}

TEST_CASE("probe sl651 tells what comes by UDP") {
  const auto port = free_port();
  Probe probe{{"sl651", "--udp", fmt::format("{}", port), "--count", "1"}};
  REQUIRE(probe.says(fmt::format("waiting at 0.0.0.0 UDP port {}", port)));
  const auto station = report(StationWire::udp(port));
  CHECK(probe.process.wait(20s) == 0);
  CHECK(probe.says(fmt::format("udp = \"0.0.0.0:{}\"", port)));
}

TEST_CASE("probe tells what comes on a serial line, behind noise, and how to configure it") {
  auto wire = StationWire::serial();
  const auto path = wire.path();
  SUBCASE("sl651") {
    Probe probe{{"sl651", path, "--baud", "4800", "--count", "1"}};
    REQUIRE(probe.says("waiting at " + path));
    const auto station = report(std::move(wire), hamlet::support::StationFault::noise);
    CHECK(probe.process.wait(20s) == 0);
    CHECK(probe.says("10.49"));
    CHECK(probe.says(fmt::format("serial = {{ path = \"{}\", baud = 4800, format = \"8N1\" }}", path)));
  }
  SUBCASE("hj212") {
    Probe probe{{"hj212", path, "--count", "1"}};
    REQUIRE(probe.says("waiting at " + path));
    hamlet::support::Logger logger{std::move(wire), {.st = "32", .pw = "123456", .mn = "010000A8900016F000169DC0"}};
    logger.upload("2011", {{{"DataTime", "20261124090000"}}, {{"w01018-Rtd", "12.5"}, {"w01018-Flag", "N"}}}, kNow);
    CHECK(probe.process.wait(20s) == 0);
    CHECK(probe.says("12.5"));
    CHECK(probe.says("mn = \"010000A8900016F000169DC0\""));
  }
}

TEST_CASE("probe says what is wrong with the way in") {
  const auto fails = [](std::vector<std::string> args, int code, std::string_view words) {
    Probe probe{std::move(args)};
    CHECK(probe.process.wait(20s) == code);
    CHECK(probe.says(words));
  };
  fails({"sl651"}, 2, "say how stations come in");
  fails({"sl651", "--listen", "9000", "--udp", "9000"}, 2, "say how stations come in");
  fails({"hj212", "--listen", "river:9000"}, 2, "9000");
  fails({"hj212", "--listen", "127.0.0.1:0"}, 2, "9000");
  fails({"sl651", "/dev/no-such-port"}, 1, "/dev/no-such-port");
  fails({"sl651", "--listen", "192.0.2.1:9000"}, 1, "cannot wait there");
}

TEST_CASE("Ctrl-C ends a probe that has heard nothing") {
  const auto port = free_port();
  Probe probe{{"hj212", "--listen", fmt::format("127.0.0.1:{}", port)}};
  REQUIRE(probe.says("waiting at"));
  probe.process.signal(SIGINT);
  CHECK(probe.process.wait(20s) == 1);
}
