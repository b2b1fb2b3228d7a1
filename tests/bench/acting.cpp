// From a reading over its limit to the output switched: a whole box in this process, sensors and relay on real Modbus
// TCP.

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <thread>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <fmt/format.h>

#include "firmware/daemon/box.hpp"
#include "tests/bench/bench.hpp"
#include "tests/support/modbus_simulator.hpp"
#include "tests/support/process.hpp"

namespace hamlet::bench::acting_suite {
namespace {

using namespace std::chrono_literals;
using Kind = support::ModbusSimulator::Kind;

constexpr int kDevices = 100;  // of 100 points each, each second
constexpr int kAlarms = 200;   // on each fifth point of the first ten devices; each is raised once: none chatters
int address_of(int alarm) {
  return alarm * 5;
}
std::uint8_t unit_of(int alarm) {
  return static_cast<std::uint8_t>(address_of(alarm) / 100 + 1);
}

// Those that go together are neighbours on the relay board, as outputs of one board are.
int coil_of(int alarm, int at_once) {
  const int rounds = kAlarms / at_once;
  return alarm % rounds * at_once + alarm / rounds;
}

// A file may hold 1 MiB: ten devices to each in conf.d.
void write_config(const std::filesystem::path& folder, std::uint16_t sensors, std::uint16_t relay, int at_once) {
  std::filesystem::create_directories(folder / "conf.d");
  auto out = fmt::format(
      "[gateway]\nid = \"gw-1\"\ndivision = \"430124104203\"\nstate_dir = \"{0}/state\"\nrun_dir = "
      "\"{0}\"\ntrust_clock = true\n",
      folder.string());
  for (int device = 0; device < kDevices; ++device) {
    std::string rules;
    auto devices = fmt::format(
        "[[device]]\nid = \"d{}\"\ndriver = \"modbus\"\naddress = \"127.0.0.1\"\nport = {}\nunit_id = {}\nperiod = "
        "\"1s\"\n",
        device, sensors, device + 1);
    for (int point = 0; point < 100; ++point) {
      devices +=
          fmt::format("[[device.point]]\nid = \"p{}\"\nfunction = \"holding\"\naddress = {}\ntype = \"uint16\"\n",
                      point, device % 10 * 100 + point);
      rules += fmt::format(
          "[quality.\"d{}.p{}\"]\nrange = [0, 100]\nrate_of_change = {{ change = 100, per = \"1s\" }}\ngap = "
          "\"1min\"\n",
          device, point);
    }
    std::ofstream{folder / fmt::format("conf.d/{}.toml", device / 10), std::ios::app} << devices << rules;
  }
  std::string rules;
  out += fmt::format(
      "[[device]]\nid = \"relay\"\ndriver = \"modbus\"\naddress = \"127.0.0.1\"\nport = {}\nperiod = "
      "\"1s\"\n[[device.point]]\nid = \"c0\"\nfunction = \"coil\"\naddress = 0\n",
      relay);
  for (int alarm = 0; alarm < kAlarms; ++alarm) {
    out += fmt::format("[[device.output]]\nid = \"c{}\"\nfunction = \"coil\"\naddress = {}\n", alarm,
                       coil_of(alarm, at_once));
    rules += fmt::format(
        "[[alarm]]\nid = \"a{0}\"\npoint = \"d{1}.p{2}\"\nabove = 50\nseverity = \"critical\"\ntext = {{ zh = \"高\", "
        "en = \"high\" }}\n"
        "[[output]]\nid = \"o{0}\"\ndrive = \"relay.c{0}\"\nwhen = [\"a{0}\"]\n",
        alarm, address_of(alarm) / 100, address_of(alarm) % 100);
  }
  std::ofstream{folder / "hamlet.toml"} << out << rules;
}

bool wait_for(const std::function<bool()>& done) {
  const auto deadline = std::chrono::steady_clock::now() + 30s;
  while (!done()) {
    if (std::chrono::steady_clock::now() >= deadline) return false;
    std::this_thread::sleep_for(5ms);
  }
  return true;
}

// From the first answer with the new value to the coil's write, in ms.
std::optional<double> latency(const std::vector<support::ModbusSimulator::Answer>& read,
                              const std::vector<support::ModbusSimulator::Answer>& written, int alarm, int coil,
                              std::chrono::steady_clock::time_point from) {
  const auto of_point = [&](const auto& answer) {
    const auto& request = answer.request;
    return answer.at >= from && request.unit == unit_of(alarm) && request.address <= address_of(alarm) &&
           address_of(alarm) < request.address + request.count;
  };
  const auto of_coil = [&](const auto& answer) {
    return answer.at >= from && answer.written == true && answer.request.address == coil;
  };
  const auto seen = std::find_if(read.begin(), read.end(), of_point);
  const auto switched = std::find_if(written.begin(), written.end(), of_coil);
  if (seen == read.end() || switched == written.end()) return {};
  return std::chrono::duration<double, std::milli>{switched->at - seen->at}.count();
}

void to_output(benchmark::State& state, int at_once) {
  const int rounds = kAlarms / at_once;
  const support::TempDir dir;
  support::ModbusSimulator sensors;
  support::ModbusSimulator relay;
  write_config(dir.path(), sensors.port(), relay.port(), at_once);
  auto settings = daemon::read_settings(dir.path() / "hamlet.toml");
  if (!settings) return state.SkipWithError(settings.error().front().to_string().c_str());
  boost::asio::io_context io;
  daemon::Box box{io, dir.path() / "hamlet.toml", std::move(*settings), {}};
  if (auto started = box.start(); !started) return state.SkipWithError(started.error().message.c_str());
  std::thread thread{[&] { io.run(); }};
  for (auto _ : state) {
    std::vector<double> all;
    sensors.log_answers();
    (void)wait_for([&] { return sensors.answers().size() >= 3 * kDevices; });  // it knows every point
    for (int round = 0; round < rounds; ++round) {
      const auto mine = [&](int i) { return i * rounds + round; };
      const auto coil = [&](int i) { return coil_of(mine(i), at_once); };
      sensors.log_answers();
      relay.log_answers();
      const auto from = std::chrono::steady_clock::now();
      for (int i = 0; i < at_once; ++i)
        sensors.set_register(Kind::holding, static_cast<std::uint16_t>(address_of(mine(i))), 60);
      const auto on = [&](bool wanted) {
        for (int i = 0; i < at_once; ++i) {
          if (relay.coil(static_cast<std::uint16_t>(coil(i))) != wanted) return false;
        }
        return true;
      };
      if (!wait_for([&] { return on(true); })) break;
      for (int i = 0; i < at_once; ++i) {
        if (const auto one = latency(sensors.answers(), relay.answers(), mine(i), coil(i), from)) all.push_back(*one);
      }
      for (int i = 0; i < at_once; ++i)
        sensors.set_register(Kind::holding, static_cast<std::uint16_t>(address_of(mine(i))), 0);
      if (!wait_for([&] { return on(false); })) break;
    }
    if (all.size() < kAlarms) {
      state.SkipWithError("an output did not follow its alarm");
      break;
    }
    std::sort(all.begin(), all.end());
    state.counters["value"] = all[all.size() * 99 / 100];
  }
  boost::asio::post(io, [&] {
    box.stop();
    io.stop();
  });
  thread.join();
}

}  // namespace

void register_figures() {
  add({.name = "detect.to_output_p99", .unit = "ms", .ours = [](auto& state) { to_output(state, 10); }, .iterations = 1});
  add({.name = "detect.to_output_50_p99", .unit = "ms", .ours = [](auto& state) { to_output(state, 50); }, .iterations = 1});
}

}  // namespace hamlet::bench::acting_suite
