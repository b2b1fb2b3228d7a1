#pragma once

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <doctest/doctest.h>

#include "sync/uplink/uplink.hpp"
#include "tests/support/broker.hpp"
#include "tests/support/county.hpp"
#include "tests/support/movable_clock.hpp"
#include "tests/support/process.hpp"

namespace hamlet::uplink_tests {

using contract::Lane;
using journal::Journal;
using journal::Urgency;
using nlohmann::json;
using support::Broker;
using support::County;
using support::MovableClock;
using uplink::Hooks;
using uplink::Uplink;
using std::chrono::milliseconds;
using std::chrono::seconds;

inline contract::Topics topics() {
  return hamlet::contract::Topics::from_division("430124104203", "gw-0017").value();
}

/// A box without devices: a journal and its uplink, on this thread.
struct Box {
  explicit Box(const std::string& broker, std::function<void(hamlet::uplink::Options&)> change = {},
               Millis window = milliseconds{50})
      : commit_window{window} {
    options.enabled = true;
    options.broker = broker;
    options.backoff_base = milliseconds{50};
    options.backoff_max = milliseconds{200};
    options.connect_deadline = seconds{5};
    options.health_every = std::chrono::hours{1};
    if (change) change(options);
    open();
  }
  ~Box() { close(); }

  void open() {
    journal = Journal::open(io, clock,
                            {.directory = folder.path(),
                             .window = commit_window,
                             .machine_id = std::string(32, 'a'),
                             .boot_id = std::string(32, 'b')})
                  .value();
    journal->set_revision(7);
    Hooks hooks{.meta =
                    [] {
                      return Hooks::Meta{7, json{{"devices", json::array()}}};
                    },
                .alarms = [this] { return alarms; },
                .health =
                    [this] {
                      return json{{"healthy", ++healths}};
                    },
                .command =
                    [this](hamlet::contract::Command command, auto reply) {
                      commands.push_back(command);
                      if (command.verb == "replay") {
                        const auto asked = uplink->replay(command.args);
                        return reply({{"ok", asked.has_value()}, {"result", asked.value_or(json::object())}});
                      }
                      reply({{"ok", true}, {"said", command.args.value("say", "")}});
                    }};
    uplink = std::make_unique<Uplink>(io, clock, options, topics(), *journal, std::move(hooks));
    journal->on_committed([this] {
      if (uplink) uplink->committed();
    });
  }
  void close() {
    if (uplink) uplink->stop();
    uplink.reset();
    if (journal) journal->stop();
    journal.reset();
  }

  void read(std::size_t count, Urgency urgency = Urgency::window) {
    for (std::size_t i = 0; i < count; ++i) {
      const Reading reading{.point = "river.level", .at = clock.mono(), .value = double(++readings)};
      REQUIRE(journal->append(Lane::tele, clock.mono(),
                              hamlet::contract::encode_readings(std::span{&reading, 1}, clock.mono()), urgency));
    }
  }
  void happen() {
    const hamlet::Event event{.source = "gateway", .kind = "up", .id = "0123456789abcdef", .at = clock.mono()};
    REQUIRE(
        journal->append(Lane::event, clock.mono(), hamlet::contract::encode_event(event, clock.mono()), Urgency::now));
  }
  Alarm alarm(hamlet::AlarmState state) {
    return {.id = "level-high",
            .occurrence = 1,
            .state = state,
            .severity = hamlet::Severity::major,
            .since = {journal->boot(), clock.mono()},
            .value = 3.5,
            .limit = 3.0,
            .text = {"水位高", "level high"},
            .sources = {"river.level"}};
  }
  void raise() {
    const auto raised = alarm(hamlet::AlarmState::unacked);
    alarms = {raised};
    REQUIRE(journal->append(Lane::alarm, clock.mono(),
                            hamlet::contract::encode_alarm(raised, {journal->boot(), clock.mono()}), Urgency::now));
    uplink->alarm_changed(raised);
  }
  void photograph(std::string jpeg) { REQUIRE(journal->append_media(clock.mono(), std::move(jpeg))); }

  template <class Done>
  bool run_until(Done done, std::chrono::milliseconds deadline = seconds{30}) {
    const auto until = std::chrono::steady_clock::now() + deadline;
    while (!done()) {
      if (std::chrono::steady_clock::now() > until) return false;
      io.restart();
      io.run_one_for(milliseconds{5});
    }
    return true;
  }
  /// Waits for the county with the box at work.
  template <class Done>
  bool seen_by(const County& county, Done done, std::chrono::milliseconds deadline) {
    const bool seen = run_until([&] { return done(county.snapshot()); }, deadline);
    if (!seen) MESSAGE(county.snapshot().to_string());
    return seen;
  }
  [[nodiscard]] std::string state() const { return uplink->status()["state"]; }
  bool online() {
    return run_until([&] { return state() == "online"; });
  }
  [[nodiscard]] std::uint64_t pending() const {
    std::uint64_t sum = 0;
    const auto status = uplink->status();
    for (const auto& [name, lane] : status["lanes"].items()) sum += lane["pending"].get<std::uint64_t>();
    return sum;
  }
  bool drained() {
    return run_until([&] {
      const auto stat = journal->stat();
      return std::all_of(stat.lanes.begin(), stat.lanes.end(), [](const auto& lane) { return lane.waiting == 0; }) &&
             pending() == 0;
    });
  }

  hamlet::support::TempDir folder;
  boost::asio::io_context io;
  MovableClock clock;
  Millis commit_window;
  hamlet::uplink::Options options;
  std::vector<Alarm> alarms;
  std::vector<hamlet::contract::Command> commands;
  std::uint64_t readings = 0;
  int healths = 0;
  std::unique_ptr<Journal> journal;
  std::unique_ptr<Uplink> uplink;
};

inline County::Options county_of(const Broker& broker, bool keep = false) {
  return {.broker = broker.uri(), .base = topics().base(), .keep_messages = keep};
}

}  // namespace hamlet::uplink_tests
