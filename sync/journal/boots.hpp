#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "firmware/core/time.hpp"
#include "sync/contract/contract.hpp"

namespace hamlet::journal {

/// What the machine's clocks say at one instant.
struct ClockReading {
  WallTime wall{};
  MonoTime mono{};
  bool synced = false;
};

/// A part of one boot during which wall time is monotonic time plus an offset: a row of the table boots.
struct Stretch {
  std::uint32_t boot = 0;
  MonoTime from{};
  std::string boot_id;
  Millis offset{};  ///< UTC = mono + offset
  TimeQuality quality = TimeQuality::unsynced;
  std::optional<Millis> error{};  ///< how far a time may be off; absent: nobody knows
  std::optional<MonoTime> until{};  ///< of a boot that is over: the last that is known of it
  friend bool operator==(const Stretch&, const Stretch&) = default;
};

/// Maps moments of any boot to wall time, and learns from the clock. Pure: no clock, no I/O.
///
/// A wall clock is believed while the kernel calls it disciplined. Once it has been, monotonic time carries on alone
/// (holdover) until it is again: a wall clock that somebody turns meanwhile is reported and not believed. What was
/// recorded before the first discipline of a boot is dated after the fact (repaired). A boot that ended before its clock
/// was ever set lies between its neighbours: it is dated in the middle of what they leave, with the error that follows.
class Boots {
 public:
  /// What differs by more is a jump; less is drift and slewing.
  static constexpr Millis kTolerance{1'000};

  Boots() = default;
  /// As stored, in any order.
  explicit Boots(std::vector<Stretch> stored);

  /// Goes on with the boot of that id where it is the newest, else starts the next one, whole of it dated by this
  /// reading. `newest`: of all that is stored, so that an earlier boot's length is known.
  void begin(std::string_view boot_id, const ClockReading& now, Moment newest = {});
  /// Of the boot that runs; 0 before begin().
  [[nodiscard]] std::uint32_t current() const { return current_; }

  /// Takes note of the clock. Where something changed that a county should know: the detail of event/gateway/time.
  [[nodiscard]] std::optional<nlohmann::json> observe(const ClockReading& now);

  /// Before a boot's first stretch its first holds. A boot that is not known: 1970, unsynced.
  [[nodiscard]] contract::Dated date(Moment moment) const;

  /// In order of boot and time.
  [[nodiscard]] const std::vector<Stretch>& stretches() const { return stretches_; }
  /// The stretches that changed since the last call: to be stored.
  [[nodiscard]] std::vector<Stretch> take_changed();

 private:
  void add(Stretch stretch);
  void repair(Millis offset, MonoTime until);
  void bound_earlier();

  std::vector<Stretch> stretches_;
  std::vector<Stretch> changed_;
  std::uint32_t current_ = 0;
  Millis seen_offset_{};  // of the wall clock as it was last seen, believed or not
};

}  // namespace hamlet::journal
