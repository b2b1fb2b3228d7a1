#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "firmware/config/config.hpp"
#include "firmware/core/alarm.hpp"
#include "firmware/core/reading.hpp"
#include "firmware/core/text.hpp"
#include "firmware/core/time.hpp"

namespace hamlet::detect {

/// From low to high, both in it.
struct Span {
  double low = 0;
  double high = 0;
  friend bool operator==(const Span&, const Span&) = default;
};

/// When a point that hardly moves is stuck.
struct FlatLineRule {
  double tolerance = 0;           ///< flat: the values of the window are less than this apart
  Millis suspect{};               ///< flat for so long: suspect
  std::optional<Millis> fail{};   ///< flat for so long: bad; not shorter than `suspect`
  std::optional<Millis> every{};  ///< the sampling interval: windows then count samples, as QARTOD's reference does
  friend bool operator==(const FlatLineRule&, const FlatLineRule&) = default;
};

/// The quality tests of one point. What is absent is not tested.
struct QualityRule {
  std::string point;
  std::optional<Span> range{};             ///< outside: bad
  std::optional<Span> suspect{};           ///< outside: suspect; lies within `range`
  std::optional<double> rate_of_change{};  ///< units per second; changing faster: suspect
  std::optional<FlatLineRule> flat_line{};
  std::optional<Millis> gap{};  ///< silent for longer: missing
  friend bool operator==(const QualityRule&, const QualityRule&) = default;
};

enum class Condition : std::uint8_t {
  above,   ///< value > limit
  below,   ///< value < limit
  equals,  ///< value == limit, a boolean or a text
  rise,    ///< more than limit above the lowest value `within` the time before it
  fall,    ///< more than limit below the highest value `within` the time before it
};

/// The key in the config: "above", …
[[nodiscard]] std::string_view to_string(Condition condition);

/// One alarm on one point.
struct AlarmRule {
  std::string id;
  std::string point;
  Condition condition = Condition::above;
  Value limit;
  Millis within{};      ///< of rise and fall
  double deadband = 0;  ///< how far back behind the limit a value must be to count as returned
  Millis on_delay{};    ///< how long it must hold before the alarm is raised
  Millis off_delay{};   ///< how long it must be gone before the alarm has returned
  Severity severity = Severity::warning;
  Text text{};
  friend bool operator==(const AlarmRule&, const AlarmRule&) = default;
  /// The same but for what people read: severity and text.
  [[nodiscard]] bool judges_as(AlarmRule other) const {
    other.severity = severity;
    other.text = text;
    return other == *this;
  }
};

struct Rules {
  std::vector<QualityRule> quality;
  std::vector<AlarmRule> alarms;
};

/// Reads [quality."device.point"] and [[alarm]] from the root of a config; every mistake is noted there.
/// `known_points`: the full names of all configured points; a rule for another is an error.
///
///     [quality."river.level"]
///     range = [0, 12]                                    # outside: bad
///     suspect = [0.2, 8]                                 # outside: suspect
///     rate_of_change = { change = 0.5, per = "1min" }    # faster: suspect
///     flat_line = { tolerance = 0.002, suspect = "6h", fail = "1d", every = "10s" }   # fail and every may be left out
///     gap = "10min"                                      # silent for longer: missing
///
///     [[alarm]]
///     id = "river-level-high"
///     point = "river.level"
///     above = 4.5                  # or below, or equals = true | "open", or rise | fall = 0.3 with within = "10min"
///     deadband = 0.2               # default 0
///     on_delay = "30s"             # default 0, as is off_delay; up to 7 d
///     off_delay = "5min"
///     severity = "critical"        # critical, major, minor, warning; default warning
///     text = { zh = "河道水位过高", en = "River level is high" }    # a critical alarm must have one; default: the id
[[nodiscard]] Rules read_rules(const config::Table& root, std::span<const std::string> known_points);

}  // namespace hamlet::detect
