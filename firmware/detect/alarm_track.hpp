#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "firmware/core/alarm.hpp"
#include "firmware/core/result.hpp"
#include "firmware/core/time.hpp"
#include "firmware/detect/rules.hpp"

namespace hamlet::detect {

/// The lowest of the values of a trailing window of time, both ends included. At most 130 entries: values closer in
/// time than 1/128 of the window share one, which lasts as long as its newest, so the window may be longer by so much,
/// never shorter.
class TrailingMinimum {
 public:
  explicit TrailingMinimum(Millis window) : window_{window}, granule_{window / 128} {}
  /// Takes a value, not older than the last one, and gives the minimum with it.
  double add(MonoTime at, double x);

 private:
  struct Entry {
    MonoTime first;
    MonoTime last;
    double value;
  };
  Millis window_;
  Millis granule_;
  std::deque<Entry> entries_;  // rising in time and in value
};

/// One alarm: its condition, its delays and its lifecycle (ISA-18.2). Times must not go back; one that does is taken as
/// the time of the last change.
///
///     normal -> unacked (raised: a new occurrence) -> acked -> normal (returned)
///                       unacked -> returned -> normal (acknowledged), or -> unacked (raised again)
class AlarmTrack {
 public:
  AlarmTrack(AlarmRule rule, std::uint32_t boot);

  [[nodiscard]] const AlarmRule& rule() const { return rule_; }
  [[nodiscard]] const Alarm& alarm() const { return alarm_; }

  /// A delay that runs out at `now` or before changes the state, as of the time it ran out.
  [[nodiscard]] std::optional<Alarm> settle(MonoTime now);
  /// A value that counts; settle() up to `at` first. A value of a type that the condition cannot use holds.
  [[nodiscard]] std::optional<Alarm> observe(MonoTime at, const Value& value);
  /// Nothing is known from `at` on: a running delay is held.
  void hold(MonoTime at);
  /// Remembers a value from before a restart; no transition.
  void prime(MonoTime at, const Value& value);
  /// When a running delay runs out.
  [[nodiscard]] std::optional<MonoTime> due() const;

  [[nodiscard]] Result<Alarm> acknowledge(std::optional<std::uint64_t> occurrence, MonoTime now);

  /// The durable form: see Engine::save_changed().
  [[nodiscard]] std::string save() const;
  /// Error corrupt: nothing is changed.
  [[nodiscard]] Status restore(std::string_view stored);
  /// Forgets a delay in progress: its rule has changed.
  void drop_delay() { set_delay({}); }

  /// Its rule judges as before and reads otherwise.
  void reword(const AlarmRule& rule) {
    rule_ = rule;
    alarm_.severity = rule.severity;
    alarm_.text = rule.text;
  }

  /// Whether what save() gives has changed since the last call.
  [[nodiscard]] bool take_changed() { return std::exchange(changed_, false); }

 private:
  /// The way to the other side, raised or returned, while it is delayed: running until `due`, or held with `left` to
  /// go.
  struct Delay {
    std::optional<MonoTime> due;
    Millis left{};
  };

  [[nodiscard]] bool raised() const { return alarm_.state == AlarmState::unacked || alarm_.state == AlarmState::acked; }
  [[nodiscard]] std::optional<bool> holds(MonoTime at, const Value& value);
  [[nodiscard]] MonoTime not_before_last_change(MonoTime at) const;
  void set_delay(std::optional<Delay> delay);
  Alarm change(AlarmState state, MonoTime at);
  Alarm turn(MonoTime at);

  AlarmRule rule_;
  std::uint32_t boot_;
  Alarm alarm_;
  Value last_value_;  // the newest that counted
  std::optional<Delay> delay_;
  std::optional<TrailingMinimum> window_;  // rise; of the negative values for fall
  bool changed_ = false;
};

}  // namespace hamlet::detect
