#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "firmware/core/result.hpp"

namespace hamlet {

using Millis = std::chrono::milliseconds;

/// Time of day, UTC, as the box believes it. May jump.
using WallTime = std::chrono::sys_time<Millis>;

/// Time since this boot of the kernel, suspend included (CLOCK_BOOTTIME). Never jumps, starts anew at each boot.
struct MonoClock {
  using rep = Millis::rep;
  using period = Millis::period;
  using duration = Millis;
  using time_point = std::chrono::time_point<MonoClock>;
  static constexpr bool is_steady = true;
};
using MonoTime = MonoClock::time_point;

/// A point in time that outlives a reboot: monotonic time within a numbered boot. The journal numbers the boots (from 1) and
/// knows how each maps to wall time; 0 is "not known".
struct Moment {
  std::uint32_t boot = 0;
  MonoTime mono{};
  friend auto operator<=>(const Moment&, const Moment&) = default;
};

/// How far a time stamp may be trusted. The values are stored and sent: frozen.
enum class TimeQuality : std::uint8_t {
  unsynced = 0,  ///< the clock was never set in this boot
  synced = 1,    ///< the kernel says that the clock is disciplined
  holdover = 2,  ///< was synced in this boot, now free-running
  repaired = 3,  ///< dated after the fact
};
[[nodiscard]] std::string_view to_string(TimeQuality quality);

/// Milliseconds since 1970-01-01T00:00:00Z: how times travel.
[[nodiscard]] constexpr std::int64_t to_ms(WallTime time) { return time.time_since_epoch().count(); }
/// Milliseconds since this boot.
[[nodiscard]] constexpr std::int64_t to_ms(MonoTime time) { return time.time_since_epoch().count(); }
[[nodiscard]] constexpr WallTime wall_from_ms(std::int64_t ms) { return WallTime{Millis{ms}}; }
[[nodiscard]] constexpr MonoTime mono_from_ms(std::int64_t ms) { return MonoTime{Millis{ms}}; }

/// "2026-05-01T08:30:00.123Z"
[[nodiscard]] std::string to_iso_utc(WallTime time);
/// "2026-05-01 16:30:00", eight hours ahead of UTC: how times are shown to people, whatever the host's zone.
[[nodiscard]] std::string to_china_time(WallTime time);

/// "250ms", "5s", "10 min", "2h", "7d". At least one digit, then a unit; decimals are allowed.
/// Error invalid: says what was expected. Range: 0 to 100 years.
[[nodiscard]] Result<Millis> parse_duration(std::string_view text);
/// The shortest exact form of the same: "250ms", "90s", "2h".
[[nodiscard]] std::string to_string(Millis duration);

}  // namespace hamlet
