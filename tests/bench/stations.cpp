// A river basin in a storm: a thousand SL 651 stations report at once, over TCP, into a real journal on a real disk.

#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <stdlib.h>
#include <sys/resource.h>

#include "drivers/drivers.hpp"
#include "firmware/core/clock.hpp"
#include "sync/contract/contract.hpp"
#include "sync/journal/journal.hpp"
#include "sync/journal/reader.hpp"
#include "tests/bench/bench.hpp"
#include "tests/support/station.hpp"

namespace hamlet::bench::stations_suite {
namespace {

namespace sl = wire::sl651;
using contract::Lane;
using journal::Journal;
using journal::Urgency;
using namespace std::chrono_literals;

constexpr int kStations = 1'000;
constexpr Millis kGather{20};  // as the daemon's

std::string station_name(int i) { return fmt::format("{:08}", 10'000'000 + i); }

/// Drivers and journal, put together as the daemon does it.
struct Basin {
  std::filesystem::path folder;
  std::uint16_t port = support::free_port();
  boost::asio::io_context io;
  SystemClock clock{true};
  std::unique_ptr<Journal> journal;
  std::unique_ptr<drivers::Drivers> devices;
  boost::asio::steady_timer timer{io};
  std::vector<Reading> batch;
  std::map<std::string, std::string> memory;
  std::vector<std::function<void(Status)>> waiters;

  Basin() {
    auto pattern = (std::filesystem::current_path() / "hamlet-bench-XXXXXX").string();
    folder = ::mkdtemp(pattern.data());
    journal = Journal::open(io, clock, {.directory = folder, .machine_id = "m", .boot_id = "b"}).value();
    std::string toml;
    for (int i = 0; i < kStations; ++i) {
      toml += fmt::format(
          "[[device]]\nid = \"s{}\"\ndriver = \"sl651\"\nstation = \"{}\"\ntcp = \"127.0.0.1:{}\"\nmax_connections = "
          "1000\nallow = [\"127.0.0.1\"]\n[[device.point]]\nid = \"level\"\nelement = \"Z\"\n[[device.point]]\nid = "
          "\"rain\"\nelement = \"PJ\"\n",
          i, station_name(i), port);
    }
    auto document = config::Document::parse(toml, "bench.toml");
    auto config = drivers::Drivers::read_config(document.root());
    document.finish();
    devices = std::make_unique<drivers::Drivers>(
        io, clock, std::move(config),
        drivers::Sink{.readings = [this](std::vector<Reading> readings) { take(std::move(readings)); },
                      .event = [](const Event&) {},
                      .memory = {.remember = [this](const std::string& key,
                                                    std::string value) { memory[key] = std::move(value); }},
                      .when_durable = [this](std::function<void(Status)> then) { wait(std::move(then)); }});
    devices->start();
  }
  ~Basin() {
    devices.reset();
    journal.reset();
    std::filesystem::remove_all(folder);
  }
  Basin(const Basin&) = delete;
  Basin& operator=(const Basin&) = delete;

  void take(std::vector<Reading> readings) {
    std::move(readings.begin(), readings.end(), std::back_inserter(batch));
    if (batch.size() >= 200) flush();
  }
  void flush() {
    if (!batch.empty()) {
      (void)journal->append(Lane::tele, clock.mono(), contract::encode_readings(batch, clock.mono(), &journal->names()), Urgency::now);
    }
    batch.clear();
    for (auto& [key, value] : std::exchange(memory, {})) {
      journal->put_state("device/" + key, std::move(value), Urgency::now);
    }
  }
  void wait(std::function<void(Status)> then) {
    waiters.push_back(std::move(then));
    if (waiters.size() > 1) return;
    timer.expires_after(kGather);
    timer.async_wait([this](const boost::system::error_code& error) {
      if (error) return;
      flush();
      journal->sync([all = std::exchange(waiters, {})](const Status& status) {
        for (const auto& each : all) each(status);
      });
    });
  }

  // Readings in the journal.
  [[nodiscard]] std::size_t stored() const {
    const auto reader = journal::Reader::open(folder);
    const auto rows = reader ? (*reader)->readings("", clock.wall() - 1h, 100'000) : fail(reader.error());
    return rows ? rows->size() : 0;
  }
};

std::vector<sl::Group> groups(const sl::Address& station, WallTime now) {
  auto out = support::report_groups(station, 'H', now);
  out.push_back(support::element("Z", 10.49));
  out.push_back(support::element("PJ", 4.0));
  return out;
}

void run_burst(benchmark::State& state) {
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  for (auto _ : state) {
    Basin basin;
    basin.io.run_for(50ms);  // the port opens
    std::vector<support::Rtu> stations;
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < kStations; ++i) {
      const auto address = *sl::Address::parse(station_name(i));
      stations.emplace_back(support::StationWire::tcp(basin.port), sl::Frame{.centre = 1, .station = address, .function = sl::kThreshold});
      stations.back().report(sl::kThreshold, groups(address, basin.clock.wall()), basin.clock.wall());
      if (i % 50 == 0) basin.io.poll();
    }
    std::size_t confirmed = 0;
    while (confirmed < kStations && std::chrono::steady_clock::now() - begin < 30s) {
      basin.io.run_for(5ms);
      confirmed = 0;
      for (auto& station : stations) {
        station.step();
        confirmed += station.confirmed();
      }
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    const auto stored = basin.stored();
    if (confirmed != kStations || stored != 2 * kStations) {
      state.SkipWithError(fmt::format("{} confirmed, {} readings stored of {}", confirmed, stored, 2 * kStations).c_str());
    }
    state.SetIterationTime(took.count());
    state.counters["value"] = took.count();
  }
}

}  // namespace

void register_figures() {
  add({.name = "drivers.sl651_burst", .unit = "s", .ours = run_burst, .iterations = 1});
}

}  // namespace hamlet::bench::stations_suite
