#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/execution/outstanding_work.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/require.hpp>
#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "drivers/drivers.hpp"

namespace hamlet::drivers {

/// Drivers on an io thread of their own: the test's.
class Rig {
 public:
  /// `kept`: where devices keep what they must know after a restart; null: nowhere.
  explicit Rig(const std::string& toml, std::map<std::string, std::string>* kept = nullptr) {
    auto document = config::Document::parse(toml, "test.toml");
    auto config = Drivers::read_config(document.root());
    document.finish();
    for (const auto& each : document.diagnostics()) FAIL_CHECK(each.to_string());
    REQUIRE(document.ok());
    Memory memory;
    if (kept != nullptr) {
      memory.recall = [kept](const std::string& key) -> std::optional<std::string> {
        const auto it = kept->find(key);
        return it == kept->end() ? std::nullopt : std::optional{it->second};
      };
      memory.remember = [kept](const std::string& key, std::string value) { (*kept)[key] = std::move(value); };
    }
    drivers = std::make_unique<Drivers>(io, clock, std::move(config),
                                        Sink{.readings =
                                                 [this](std::vector<Reading> batch) {
                                                   std::move(batch.begin(), batch.end(), std::back_inserter(readings));
                                                 },
                                             .event = [this](Event event) { events.push_back(std::move(event)); },
                                             .memory = std::move(memory),
                                             .picture =
                                                 [this](Event event, std::string jpeg) {
                                                   events.push_back(std::move(event));
                                                   pictures.push_back(std::move(jpeg));
                                                 },
                                             .when_durable =
                                                 [this](std::function<void(Status)> then) {
                                                   waiting.push_back(std::move(then));
                                                   if (!hold) settle({});
                                                 }});
    drivers->start();
  }

  /// Runs the io thread until `done`, which may look at other threads' things, too; false where it does not come to
  /// that within `deadline`.
  template <class Done>
  [[nodiscard]] bool run_until(Done done, std::chrono::milliseconds deadline = std::chrono::seconds{20}) {
    const auto end = std::chrono::steady_clock::now() + deadline;
    while (!done()) {
      if (std::chrono::steady_clock::now() >= end) return false;
      io.run_one_for(std::chrono::milliseconds{5});
    }
    return true;
  }

  /// Tells all who wait that what they gave is durable, or why not.
  void settle(const Status& status) {
    boost::asio::post(io, [waiters = std::exchange(waiting, {}), status] {
      for (const auto& then : waiters) then(status);
    });
  }

  /// Readings of a point so far.
  [[nodiscard]] std::vector<Reading> of(std::string_view point) const {
    std::vector<Reading> out;
    for (const auto& reading : readings) {
      if (reading.point == point) out.push_back(reading);
    }
    return out;
  }
  [[nodiscard]] std::size_t count(std::string_view point) const { return of(point).size(); }

  /// The first reading of a point that comes from now on.
  [[nodiscard]] Reading next(std::string_view point) {
    readings.clear();
    REQUIRE(run_until([&] { return count(point) > 0; }));
    return of(point).front();
  }

  [[nodiscard]] std::string state(std::size_t device = 0) const { return drivers->status()[device]["state"]; }

  boost::asio::io_context io;
  SystemClock clock{true};
  std::vector<Reading> readings;
  std::vector<Event> events;
  std::vector<std::string> pictures;
  bool hold = false;  ///< nothing becomes durable by itself
  std::vector<std::function<void(Status)>> waiting;  ///< for what they gave to become durable
  std::unique_ptr<Drivers> drivers;

 private:
  using Working = decltype(boost::asio::require(std::declval<boost::asio::io_context::executor_type>(),
                                                boost::asio::execution::outstanding_work.tracked));
  Working work_{boost::asio::require(io.get_executor(), boost::asio::execution::outstanding_work.tracked)};
};

}  // namespace hamlet::drivers
