#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "tests/support/broker.hpp"
#include "tests/support/county.hpp"
#include "tests/support/demo/feed.hpp"
#include "tests/support/demo/interrupt.hpp"
#include "tests/support/demo/ledger.hpp"
#include "tests/support/demo/screen.hpp"
#include "tests/support/demo/village.hpp"
#include "tests/support/modbus_simulator.hpp"
#include "tests/support/process.hpp"
#include "tests/support/proxy.hpp"

namespace hamlet::demo {

struct Options {
  std::filesystem::path clip;      ///< of the camera
  std::filesystem::path programs;  ///< where hamletd and hamlet-eyes are
  std::filesystem::path work;      ///< the folder we run in; everything lies below it
  std::string hint;                ///< a command to try meanwhile
  std::optional<Millis> total{};   ///< none: until a signal comes
};

/// When the link is up: with an end, cut in the middle third; without one, cut for 15 s of every 40.
[[nodiscard]] bool link_up_at(Millis elapsed, std::optional<Millis> total);

/// A village and its county on this machine: a broker, a proxy for the link, the county's subscriber, Modbus sensors,
/// and hamletd with hamlet-eyes. Runs in the folder `work`. Throws std::runtime_error where something does not work.
class Demo {
 public:
  Demo(Options options, const Interrupt& interrupt);

  /// Shows the village until its time is over or a signal comes, then stops the box, has it send what is left, and
  /// prints the account. Whether the account is complete; a second signal ends it at once, with false.
  [[nodiscard]] bool run();

 private:
  void start_box(const std::string& config);
  void stop_box();
  void show_village();
  void set_link(Millis elapsed);
  [[nodiscard]] View view(Millis elapsed) const;
  /// Asks the box; nothing where it does not answer.
  [[nodiscard]] std::optional<nlohmann::json> ask_journal() const;
  [[nodiscard]] bool drain(const Journaled& journaled);
  [[nodiscard]] bool report(const Journaled& journaled) const;
  [[nodiscard]] Millis elapsed() const;

  const Options options_;
  const Interrupt& interrupt_;
  Feed feed_;
  support::Broker broker_;
  support::Proxy link_;
  support::County county_;
  support::ModbusSimulator sensors_;
  const Box box_config_;
  std::unique_ptr<support::Process> box_;
  const std::chrono::steady_clock::time_point started_;
  bool link_up_ = true;
  std::optional<Millis> link_changed_;
};

}  // namespace hamlet::demo
