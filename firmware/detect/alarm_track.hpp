#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "firmware/core/alarm.hpp"
#include "firmware/core/failure.hpp"
#include "firmware/core/result.hpp"
#include "firmware/core/time.hpp"
#include "firmware/detect/quality.hpp"
#include "firmware/detect/rules.hpp"

namespace hamlet::detect {

/// The lowest of the values of a trailing window of time, both ends included. At most 130 entries of 12 bytes: values
/// closer in time than 1/128 of the window share one, which lasts as long as its newest, so the window may be longer by
/// so much, never shorter.
class TrailingMinimum {
 public:
  /// Takes a value, not older than the last one, and gives the minimum of the window that ends with it.
  double add(MonoTime at, double x, Millis window);
  void prefetch() const { lows_.prefetch(); }

 private:
  Extremes lows_;
};

/// Who put an alarm aside, until when, and why.
struct PutAside {
  std::optional<MonoTime> until{};   ///< of this boot; nothing: not known yet, or until it is taken back
  std::optional<WallTime> until_wall{};
  Millis length{};                   ///< that was asked for; 0: until it is taken back
  std::string by;
  std::string reason;
  bool foreign = false;              ///< `until` was guessed after a restart: the clock may still tell better
};

/// What is kept of it. `boot`: of its times.
[[nodiscard]] nlohmann::json to_json(const PutAside& aside, std::uint32_t boot);
[[nodiscard]] std::optional<PutAside> aside_of(const nlohmann::json& json, std::uint32_t boot);
/// What was put aside in an earlier boot goes on from `now`, for as long as is left, or as was asked for where the clock
/// does not tell. Whether that changed anything.
bool resume(PutAside& aside, MonoTime now, std::optional<WallTime> wall);

/// One alarm: its condition, its delays and its lifecycle (ISA-18.2). Times must not go back; one that does is taken as
/// the time of the last change.
///
///     normal -> unacked (raised: a new occurrence) -> acked -> normal (returned)
///                       unacked -> returned -> normal (acknowledged), or -> unacked (raised again)
///
/// Before all that stand, the first that applies: out of service; shelved; suppressed (by design, by maintenance, or
/// hushed in a flood).
/// - Shelved it goes on unseen, and when that ends it shows how it stands. What returned meanwhile needs no
///   acknowledgement.
/// - Out of service, suppressed by design or by maintenance it is not judged. When that ends it is normal, and the
///   newest value is judged anew, with its delay.
/// - Hushed (see Engine) it shows suppressed while it is raised.
/// One that is raised three times within a minute chatters: from then on it must be gone for kChatterDelay to return.
class AlarmTrack {
 public:
  static constexpr Millis kChatterWithin{60'000};
  static constexpr Millis kChatterDelay = std::chrono::minutes{5};

  AlarmTrack(AlarmRule rule, std::uint32_t boot);

  [[nodiscard]] const AlarmRule& rule() const { return rule_; }
  [[nodiscard]] Alarm alarm() const;
  [[nodiscard]] AlarmState state() const;

  /// Delays and shelving that run out at `now` or before change the state, as of the time they ran out.
  [[nodiscard]] std::vector<Alarm> settle(MonoTime now);
  /// A value that counts; settle() up to `at` first. A value of a type that the condition cannot use holds.
  /// `wall`: for limits by season.
  [[nodiscard]] std::vector<Alarm> observe(MonoTime at, const Value& value, std::optional<WallTime> wall);
  /// What an expression says: its truth, and the value and limit that are shown. Nothing holds.
  [[nodiscard]] std::vector<Alarm> observe(MonoTime at, std::optional<bool> stands, const Value& value,
                                           const Value& limit);
  /// Nothing is known from `at` on: a running delay is held.
  void hold(MonoTime at);
  /// Remembers a value from before a restart, nothing where it did not count; no transition.
  void prime(MonoTime at, const Value& value, std::optional<WallTime> wall);
  /// When a delay or shelving runs out.
  [[nodiscard]] std::optional<MonoTime> due() const;

  [[nodiscard]] Asked<Alarm> acknowledge(std::optional<std::uint64_t> occurrence, MonoTime now);

  // Each gives the transitions, none where nothing changed.
  [[nodiscard]] std::vector<Alarm> shelve(PutAside how, MonoTime now);
  [[nodiscard]] std::vector<Alarm> unshelve(MonoTime now);
  [[nodiscard]] std::vector<Alarm> take_out_of_service(PutAside how, MonoTime now);
  [[nodiscard]] std::vector<Alarm> put_in_service(MonoTime now);
  [[nodiscard]] std::vector<Alarm> suppress(bool by_design, MonoTime now);
  [[nodiscard]] std::vector<Alarm> maintain(bool in_maintenance, MonoTime now);
  /// In a flood: while it stays raised it shows suppressed. Only of one that was just raised.
  [[nodiscard]] std::vector<Alarm> hush(bool hushed, MonoTime now);
  [[nodiscard]] bool hushed() const { return hushed_; }
  [[nodiscard]] const std::optional<PutAside>* shelved() const { return aside_ ? &aside_->shelved : nullptr; }
  [[nodiscard]] const std::optional<PutAside>* out_of_service() const { return aside_ ? &aside_->out : nullptr; }
  [[nodiscard]] bool by_design() const { return by_design_; }
  [[nodiscard]] bool in_maintenance() const { return maintenance_; }
  [[nodiscard]] bool chatters() const { return chatters_; }
  /// Whether it has begun to chatter since the last call.
  [[nodiscard]] bool take_chatter() { return std::exchange(chatter_news_, false); }
  /// After a restart, and once more when the clock is known: see above.
  void resume(MonoTime now, std::optional<WallTime> wall);

  /// The durable form: see Engine::save_changed().
  [[nodiscard]] std::string save() const;
  /// Error corrupt: nothing is changed.
  [[nodiscard]] Status restore(std::string_view stored);
  /// Forgets a delay in progress: its rule has changed.
  void drop_delay() { set_delay({}); }

  /// Its rule judges as before and reads otherwise.
  void reword(const AlarmRule& rule) { rule_ = rule; }

  /// It will soon be asked.
  void prefetch() const {
    __builtin_prefetch(&rule_.limit);
    __builtin_prefetch(&state_);
    __builtin_prefetch(&delay_);
    window_.prefetch();
  }

  /// Whether what save() gives has changed since the last take_changed(): with every transition it has.
  [[nodiscard]] bool is_changed() const { return changed_; }
  [[nodiscard]] bool take_changed() { return std::exchange(changed_, false); }

 private:
  /// The way to the other side, raised or returned, while it is delayed: running until `due`, or held with `left` to
  /// go.
  struct Delay {
    std::optional<MonoTime> due;
    Millis left{};
  };
  struct Aside {
    std::optional<PutAside> shelved{};
    std::optional<PutAside> out{};
  };

  [[nodiscard]] bool raised() const { return state_ == AlarmState::unacked || state_ == AlarmState::acked; }
  [[nodiscard]] bool unjudged() const { return by_design_ || maintenance_ || (aside_ && aside_->out); }
  [[nodiscard]] std::vector<Alarm> follow(MonoTime at, std::optional<bool> stands, const Value& value);
  [[nodiscard]] std::optional<bool> holds(MonoTime at, const Value& value, std::optional<WallTime> wall);
  [[nodiscard]] std::pair<double, double> limits(double limit, std::optional<WallTime> wall) const;
  [[nodiscard]] MonoTime not_before_last_change(MonoTime at) const;
  void set_delay(std::optional<Delay> delay);
  [[nodiscard]] const Value& last_limit() const { return limits_ ? limits_->last : rule_.limit; }
  void set_last_limit(const Value& limit);
  [[nodiscard]] std::vector<Alarm> change(AlarmState state, MonoTime at);
  [[nodiscard]] std::vector<Alarm> turn(MonoTime at);
  void note_raised(MonoTime at);
  void stand_without_deadband();
  [[nodiscard]] Aside& aside();
  template <class Set>
  [[nodiscard]] std::vector<Alarm> put(MonoTime at, Set set);

  AlarmRule rule_;
  std::uint32_t boot_;
  AlarmState state_ = AlarmState::normal;  // whatever stands before it
  bool changed_ = false;
  bool chatters_ = false;
  bool chatter_news_ = false;
  bool by_design_ = false;  // what stands before it, besides aside_
  bool maintenance_ = false;
  bool hushed_ = false;
  std::optional<bool> last_stood_{};
  std::uint64_t occurrence_ = 0;
  Moment since_{};                // of what is shown
  Value value_{};                 // when it entered that
  Value last_value_;              // the newest that counted
  struct Limits {
    Value shown;  // that was crossed
    Value last;   // of the newest value
  };
  std::unique_ptr<Limits> limits_;  // where they are not the rule's: of expressions, by season
  std::optional<Delay> delay_;
  TrailingMinimum window_;  // of rise; of the negative values for fall
  std::unique_ptr<Aside> aside_;
  std::array<MonoTime, 2> raised_at_{};      // the newest but one, and the newest
};

}  // namespace hamlet::detect
