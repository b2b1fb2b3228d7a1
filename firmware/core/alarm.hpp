#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "firmware/core/reading.hpp"
#include "firmware/core/text.hpp"
#include "firmware/core/time.hpp"

namespace hamlet {

/// Lifecycle after ISA-18.2 / IEC 62682. `returned` is back to normal and not yet acknowledged. Stored: frozen.
enum class AlarmState : std::uint8_t {
  normal = 0,
  unacked = 1,
  acked = 2,
  returned = 3,
  shelved = 4,
  suppressed = 5,
  out_of_service = 6,
};
[[nodiscard]] std::string_view to_string(AlarmState state);

/// Stored: frozen.
enum class Severity : std::uint8_t { critical = 0, major = 1, minor = 2, warning = 3 };
[[nodiscard]] std::string_view to_string(Severity severity);

/// An alarm as it stands after a transition.
struct Alarm {
  std::string id;                     ///< an id, from the config
  std::uint64_t occurrence = 0;       ///< counts how often it was raised; 0 = never
  AlarmState state = AlarmState::normal;
  Severity severity = Severity::warning;
  Moment since{};                     ///< when it entered this state
  Value value{};                      ///< of the point, when it entered this state
  Value limit{};                      ///< that was crossed
  Text text;                          ///< what a person reads
  std::vector<std::string> sources;   ///< the points behind it
};

/// Whether it calls for somebody: raised and not yet back, or not yet acknowledged.
[[nodiscard]] constexpr bool is_active(AlarmState state) {
  return state == AlarmState::unacked || state == AlarmState::acked || state == AlarmState::returned;
}

}  // namespace hamlet
