#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <map>
#include <memory>

#include <boost/asio/execution/outstanding_work.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/require.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "drivers/drivers.hpp"
#include "tests/bench/bench.hpp"
#include "tests/support/modbus_simulator.hpp"
#include "tests/support/serial_bus.hpp"

namespace hamlet::bench::drivers_suite {
namespace {

using namespace std::chrono_literals;
using drivers::Drivers;
using std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

// Drivers on this thread.
struct Village {
  explicit Village(const std::string& toml) {
    auto document = config::Document::parse(toml, "bench.toml");
    auto config = Drivers::read_config(document.root());
    document.finish();
    if (!document.ok()) throw std::runtime_error(document.diagnostics().front().to_string());
    all = std::make_unique<Drivers>(io, clock, std::move(config),
                                    drivers::Sink{.readings =
                                                      [this](std::vector<Reading> batch) {
                                                        for (auto& each : batch) {
                                                          if (each.quality == Quality::good) on_reading(each);
                                                        }
                                                      },
                                                  .event = [](Event) {}});
    all->start();
  }
  template <class Done>
  bool run_until(Done done, std::chrono::seconds deadline = 60s) {
    const auto end = steady_clock::now() + deadline;
    while (!done() && steady_clock::now() < end) io.run_one_for(20ms);
    return done();
  }
  void run_for(std::chrono::milliseconds time) {
    io.restart();
    const auto end = steady_clock::now() + time;
    while (steady_clock::now() < end) io.run_one_until(end);
  }

  boost::asio::io_context io;
  // A serial bus works on a thread of its own: without this the io_context would stop for want of work.
  using Working = decltype(boost::asio::require(std::declval<boost::asio::io_context::executor_type>(),
                                                boost::asio::execution::outstanding_work.tracked));
  Working working{boost::asio::require(io.get_executor(), boost::asio::execution::outstanding_work.tracked)};
  SystemClock clock{true};
  std::function<void(const Reading&)> on_reading = [](const Reading&) {};
  std::unique_ptr<Drivers> all;
};

double thread_seconds() {
  rusage usage{};
  getrusage(RUSAGE_THREAD, &usage);
  const auto seconds = [](const timeval& time) { return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6; };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// ---- 1,000 points on 50 devices at 1 Hz

struct Measured {
  double percent = 0;  // of a core
  double late_ms = 0;  // p99
};

Measured modbus_tcp() {
  constexpr int kDevices = 50;
  constexpr int kPointsEach = 20;
  std::vector<std::unique_ptr<support::ModbusSimulator>> simulators;
  std::string toml;
  for (int i = 0; i < kDevices; ++i) {
    simulators.push_back(std::make_unique<support::ModbusSimulator>());
    toml += fmt::format("[[device]]\nid = \"d{}\"\ndriver = \"modbus\"\naddress = \"127.0.0.1\"\nport = {}\nperiod = \"1s\"\n", i,
                        simulators.back()->port());
    for (int p = 0; p < kPointsEach; ++p) {
      toml += fmt::format("[[device.point]]\nid = \"p{0}\"\nfunction = \"holding\"\naddress = {0}\ntype = \"uint16\"\n", p);
    }
  }
  Village village{toml};
  std::map<std::string, MonoTime> first;
  std::vector<double> late;
  std::size_t count = 0;
  village.on_reading = [&](const Reading& reading) {
    ++count;
    const auto [it, fresh] = first.emplace(reading.point, reading.at);
    const auto off = static_cast<double>((reading.at - it->second).count() % 1000);
    if (!fresh) late.push_back(std::min(off, 1000 - off));
  };
  if (!village.run_until([&] { return first.size() == kDevices * kPointsEach; })) throw std::runtime_error("devices do not answer");
  const auto cpu = thread_seconds();
  const auto begin = steady_clock::now();
  village.run_for(6s);
  Measured measured;
  measured.percent = 100 * (thread_seconds() - cpu) / Seconds{steady_clock::now() - begin}.count();
  if (count < 5 * kDevices * kPointsEach) throw std::runtime_error("polls are missing");
  std::sort(late.begin(), late.end());
  measured.late_ms = late[late.size() * 99 / 100];
  return measured;
}

void guarded(benchmark::State& state, const std::function<double()>& measure) {
  try {
    for (auto _ : state) state.counters["value"] = measure();
  } catch (const std::exception& error) {
    state.SkipWithError(error.what());
  }
}

// ---- 32 slaves on a bus of 9600 baud

constexpr auto kTurnaround = 5ms;
constexpr std::size_t kRequest = 8;
constexpr std::size_t kAnswer = 9;

std::string bus_toml(const support::SerialBus& bus, int slaves) {
  auto toml = fmt::format("[[bus]]\nid = \"rs485\"\npath = \"{}\"\nbaud = 9600\ngap = \"0ms\"\n", bus.path());
  for (int unit = 1; unit <= slaves; ++unit) {
    toml += fmt::format("[[device]]\nid = \"s{0}\"\ndriver = \"modbus\"\nbus = \"rs485\"\nunit_id = {0}\nperiod = \"100ms\"\n"
                        "timeout = \"300ms\"\n[[device.point]]\nid = \"x\"\nfunction = \"holding\"\naddress = 0\ntype = \"float32\"\n",
                        unit);
  }
  return toml;
}

// Answered polls a second of the live ones, on a bus that is never idle.
double polls_per_second(int live, int dead, std::chrono::milliseconds time) {
  support::SerialBus bus{9600};
  for (int unit = 1; unit <= live + dead; ++unit) {
    bus.add(static_cast<std::uint8_t>(unit), kTurnaround);
    bus.set(static_cast<std::uint8_t>(unit), 0, {0x4366, 0x3333});
    if (unit > live) bus.set_fault(static_cast<std::uint8_t>(unit), support::SerialBus::Fault::silent);
  }
  Village village{bus_toml(bus, live + dead)};
  std::size_t count = 0;
  village.on_reading = [&](const Reading&) { ++count; };
  const auto settled = [&] {
    int up = 0;
    int down = 0;
    for (const auto& each : village.all->status()) {
      up += each["state"] == "up" ? 1 : 0;
      down += each["state"] == "down" ? 1 : 0;
    }
    return up == live && down == dead;
  };
  if (!village.run_until(settled)) throw std::runtime_error("slaves do not answer");
  count = 0;
  const auto begin = steady_clock::now();
  village.run_for(time);
  return static_cast<double>(count) / Seconds{steady_clock::now() - begin}.count();
}

double perfect_polls_per_second() {
  const support::SerialBus line{9600};
  const auto each = line.time_of(kRequest) + kTurnaround + line.time_of(kAnswer) + line.time_of(7) / 2;
  return 1 / Seconds{each}.count();
}

// ---- memory

std::size_t resident() {
  std::ifstream statm{"/proc/self/statm"};
  std::size_t size = 0;
  std::size_t pages = 0;
  statm >> size >> pages;
  return pages * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

// In a process of its own, where nothing else has left memory to use again.
double bytes_per_device() {
  constexpr int kDevices = 400;
  std::array<int, 2> pipe_ends{};
  if (pipe(pipe_ends.data()) != 0) throw std::runtime_error("pipe");
  const auto child = fork();
  if (child == 0) {
    const int listener = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    socklen_t size = sizeof address;
    bind(listener, reinterpret_cast<const sockaddr*>(&address), size);
    getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
    listen(listener, kDevices);
    std::string toml;
    for (int i = 0; i < kDevices; ++i) {
      toml += fmt::format("[[device]]\nid = \"d{}\"\ndriver = \"modbus\"\naddress = \"127.0.{}.{}\"\nport = {}\ntimeout = \"30s\"\n"
                          "[[device.point]]\nid = \"x\"\nfunction = \"holding\"\naddress = 0\ntype = \"uint16\"\n",
                          i, 1 + i / 200, 1 + i % 200, ntohs(address.sin_port));
    }
    auto document = config::Document::parse(toml, "bench.toml");
    auto config = Drivers::read_config(document.root());
    boost::asio::io_context io;
    SystemClock clock{true};
    const auto before = resident();
    Drivers all{io, clock, std::move(config), {.readings = [](std::vector<Reading>) {}, .event = [](Event) {}}};
    all.start();
    io.run_for(1s);
    const auto each = static_cast<double>(resident() - before) / kDevices / 1024;
    (void)!write(pipe_ends[1], &each, sizeof each);
    _exit(0);
  }
  close(pipe_ends[1]);
  double each = 0;
  const auto got = read(pipe_ends[0], &each, sizeof each);
  close(pipe_ends[0]);
  waitpid(child, nullptr, 0);
  if (got != sizeof each) throw std::runtime_error("the child process failed");
  return each;
}

// ---- a device that comes back

double seconds_until_read_again() {
  auto simulator = std::make_unique<support::ModbusSimulator>();
  const auto port = simulator->port();
  Village village{fmt::format("[[device]]\nid = \"d\"\ndriver = \"modbus\"\naddress = \"127.0.0.1\"\nport = {}\nperiod = \"1s\"\n"
                              "[[device.point]]\nid = \"x\"\nfunction = \"holding\"\naddress = 0\ntype = \"uint16\"\n",
                              port)};
  std::size_t count = 0;
  village.on_reading = [&](const Reading&) { ++count; };
  if (!village.run_until([&] { return count > 0; })) throw std::runtime_error("the device does not answer");
  simulator.reset();
  village.run_for(4s);
  simulator = std::make_unique<support::ModbusSimulator>(port);
  count = 0;
  const auto back = steady_clock::now();
  if (!village.run_until([&] { return count > 0; })) throw std::runtime_error("the device is not read again");
  return std::max(0.0, Seconds{steady_clock::now() - back}.count() - 1);
}

}  // namespace

void register_figures() {
  add({.name = "drivers.modbus_tcp",
       .unit = "% of a core",
       .ours = [](benchmark::State& state) { guarded(state, [] { return modbus_tcp().percent; }); },
       .iterations = 1});
  add({.name = "drivers.modbus_tcp_late",
       .unit = "ms p99",
       .ours = [](benchmark::State& state) { guarded(state, [] { return modbus_tcp().late_ms; }); },
       .iterations = 1});
  add({.name = "drivers.rtu_bus",
       .unit = "polls/s",
       .ours = [](benchmark::State& state) { guarded(state, [] { return polls_per_second(32, 0, 8s); }); },
       .versus = "a perfect scheduler",
       .theirs = [](benchmark::State& state) { guarded(state, perfect_polls_per_second); },
       .iterations = 1});
  add({.name = "drivers.rtu_dead_slave",
       .unit = "ms a poll",
       .ours = [](benchmark::State& state) { guarded(state, [] { return 1000 / polls_per_second(31, 1, 10s); }); },
       .versus = "none dead",
       .theirs = [](benchmark::State& state) { guarded(state, [] { return 1000 / polls_per_second(31, 0, 10s); }); },
       .iterations = 1});
  add({.name = "drivers.bytes",
       .unit = "KiB a device",
       .ours = [](benchmark::State& state) { guarded(state, bytes_per_device); },
       .iterations = 1});
  add({.name = "drivers.return",
       .unit = "s",
       .ours = [](benchmark::State& state) { guarded(state, seconds_until_read_again); },
       .iterations = 1});
}

}  // namespace hamlet::bench::drivers_suite
