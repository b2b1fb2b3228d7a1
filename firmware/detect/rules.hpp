#pragma once

#include <cstdint>
#include <memory>
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
#include "firmware/detect/expression.hpp"

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

/// What is usual at some hours of some months, local time. Both ends of both spans are in it; a span whose first is
/// behind its last goes round the turn of the year or the day.
struct ClimatologyMember {
  int first_month = 1;
  int last_month = 12;
  int first_hour = 0;
  int last_hour = 23;
  Span suspect;                 ///< outside: suspect
  std::optional<Span> range{};  ///< outside: bad
  friend bool operator==(const ClimatologyMember&, const ClimatologyMember&) = default;
};

/// A sample that stands out from both its neighbours; needs the next one.
struct SpikeRule {
  enum class Method : std::uint8_t {
    average,       ///< by how far it is from the middle between them
    differential,  ///< by the smaller of the two steps, where they go opposite ways
  };
  Method method = Method::average;
  double suspect = 0;  ///< more: suspect; 0: never
  double fail = 0;     ///< more: bad; 0: never
  friend bool operator==(const SpikeRule&, const SpikeRule&) = default;
};

/// A signal that has become too quiet.
struct AttenuatedRule {
  enum class Check : std::uint8_t {
    std,    ///< the population's standard deviation; missing samples are left out
    range,  ///< highest less lowest; a missing sample in the window makes it unknown
  };
  Check check = Check::std;
  double suspect = 0;              ///< less: suspect
  double fail = 0;                 ///< less: bad
  std::optional<Millis> window{};  ///< of (now - window, now]; absent: of the whole series up to now
  int min_samples = 1;             ///< fewer in the window say nothing
  friend bool operator==(const AttenuatedRule&, const AttenuatedRule&) = default;
};

/// Another gauge that should agree. Where both limits are given, both must be crossed.
struct NeighbourRule {
  std::string point;
  std::optional<double> difference{};  ///< further apart: suspect
  std::optional<double> ratio{};       ///< the larger more than so many times the smaller: suspect
  Millis within{};                     ///< how old the other's reading may be
  friend bool operator==(const NeighbourRule&, const NeighbourRule&) = default;
};

/// The detector: see detector.hpp.
struct AnomalyRule {
  double threshold = 0.67;  ///< a score of so much is told as an event
  friend bool operator==(const AnomalyRule&, const AnomalyRule&) = default;
};

/// The quality tests of one point. What is absent is not tested.
struct QualityRule {
  std::string point;
  std::optional<Span> range{};                   ///< outside: bad
  std::optional<Span> suspect{};                 ///< outside: suspect; lies within `range`
  std::vector<ClimatologyMember> climatology{};  ///< later ones overrule
  std::optional<SpikeRule> spike{};
  std::optional<double> rate_of_change{};  ///< units per second; changing faster: suspect
  std::optional<FlatLineRule> flat_line{};
  std::optional<AttenuatedRule> attenuated{};
  std::optional<Millis> gap{};  ///< silent for longer: missing
  std::optional<NeighbourRule> neighbour{};
  std::optional<AnomalyRule> anomaly{};
  friend bool operator==(const QualityRule&, const QualityRule&) = default;
};

enum class Condition : std::uint8_t {
  above,   ///< value > limit
  below,   ///< value < limit
  equals,  ///< value == limit, a boolean or a text
  rise,    ///< more than limit above the lowest value `within` the time before it
  fall,    ///< more than limit below the highest value `within` the time before it
  when,    ///< an expression over several points and events
};

/// The key in the config: "above", …
[[nodiscard]] std::string_view to_string(Condition condition);

/// A limit at some hours of some months, local time; as ClimatologyMember.
struct SeasonLimit {
  int first_month = 1;
  int last_month = 12;
  int first_hour = 0;
  int last_hour = 23;
  double limit = 0;
  friend bool operator==(const SeasonLimit&, const SeasonLimit&) = default;
};

/// Why an alarm is there (ISA-18.2's rationalisation), for `hamlet alarms explain`. What is not written is empty.
struct Rationale {
  Text cause;
  Text consequence;
  Text action;
  std::optional<Millis> time_to_act{};
  friend bool operator==(const Rationale&, const Rationale&) = default;
};

/// One alarm: on one point, or by an expression over several.
struct AlarmRule {
  std::string id;
  std::string point;  ///< of `when`: the first that it names, of an event "source.kind"
  Condition condition = Condition::above;
  Value limit;
  Millis within{};      ///< of rise and fall
  double deadband = 0;  ///< how far back behind the limit a value must be to count as returned
  Millis on_delay{};    ///< how long it must hold before the alarm is raised
  Millis off_delay{};   ///< how long it must be gone before the alarm has returned
  Severity severity = Severity::warning;
  Text text{};
  std::vector<SeasonLimit> seasons{};                       ///< of above and below; later ones overrule
  std::shared_ptr<const Expression> when{};                 ///< of the condition `when`
  std::shared_ptr<const Expression> suppressed_when{};      ///< while it is true the alarm is suppressed by design
  std::shared_ptr<const Rationale> rationale{};
  /// By hour or season: while the clock is unset that has to wait.
  [[nodiscard]] bool goes_by_clock() const;
  /// The points and kinds of events behind it.
  [[nodiscard]] std::vector<std::string> sources() const;
  /// Expressions are equal where they are written alike and mean the same.
  friend bool operator==(const AlarmRule& a, const AlarmRule& b);
  /// The same but for what people read: severity, text and rationale.
  [[nodiscard]] bool judges_as(AlarmRule other) const {
    other.severity = severity;
    other.text = text;
    other.rationale = rationale;
    return other == *this;
  }
};

struct Rules {
  std::vector<QualityRule> quality;
  std::vector<AlarmRule> alarms;
};

/// Reads [quality."device.point"] and [[alarm]] from the root of a config; every mistake is noted there, one in an
/// expression at its character. `names`: all configured points and sources of events; a rule for another is an error.
///
///     [quality."river.level"]
///     range = [0, 12]                                    # outside: bad
///     suspect = [0.2, 8]                                 # outside: suspect
///     climatology = [                                    # by month and hour of local time; either may be left out
///       { suspect = [0.2, 4] },
///       { months = [6, 9], hours = [0, 23], suspect = [0.5, 8], range = [0, 11] },
///     ]
///     spike = { suspect = 0.3, fail = 1, method = "average" }    # or "differential"; one limit may be left out
///     rate_of_change = { change = 0.5, per = "1min" }    # faster: suspect
///     flat_line = { tolerance = 0.002, suspect = "6h", fail = "1d", every = "10s" }   # fail, every: if wanted
///     attenuated = { suspect = 0.01, fail = 0.002, check = "std", window = "2h", min_samples = 20 }    # or "range"
///     gap = "10min"                                      # silent for longer: missing
///     neighbour = { point = "bridge.level", difference = 0.5, within = "5min" }    # or ratio, or both
///     anomaly = { threshold = 0.67 }                     # or {}: watch it with the detector
///
///     [[alarm]]
///     id = "river-level-high"
///     point = "river.level"
///     above = 4.5                  # or below, or equals = true | "open", or rise | fall = 0.3 with within = "10min"
///     seasons = [{ months = [6, 9], above = 4.0 }]   # other limits by month and hour; later ones overrule
///     deadband = 0.2               # default 0
///     on_delay = "30s"             # default 0, as is off_delay; up to 7 d
///     off_delay = "5min"
///     severity = "critical"        # critical, major, minor, warning; default warning: its priority
///     text = { zh = "河道水位过高", en = "River level is high" }    # a critical alarm must have one; default: the id
///     cause = { zh = "…", en = "…" }    # as consequence and action: why it is there, and what to do
///     time_to_act = "30min"
///     suppressed_when = 'pump.on == false'    # suppressed by design meanwhile
///
///     [[alarm]]
///     id = "flash-flood"
///     when = 'river.level rising AND sum(rain.gauge, 1h) > 30 mm'   # in place of point and limit: expression.hpp
///
///     [[alarm]]
///     id = "river"                 # an alarm for each step: river-guard, river-warning
///     point = "river.level"
///     deadband = 0.1               # holds for each, as does all else that is written here
///     [[alarm.step]]
///     id = "guard"
///     above = 3.0                  # or below
///     severity = "minor"
///     [[alarm.step]]
///     id = "warning"
///     above = 4.0
///     severity = "critical"
///     text = { zh = "…", en = "…" }
[[nodiscard]] Rules read_rules(const config::Table& root, const Names& names);
/// Of points whose types are not known.
[[nodiscard]] Rules read_rules(const config::Table& root, std::span<const std::string> known_points);

/// Reads an expression at `key`; nothing: it is absent, or wrong, which is noted.
[[nodiscard]] std::shared_ptr<const Expression> read_expression(const config::Table& table, std::string_view key,
                                                                const Names& names);

}  // namespace hamlet::detect
