#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <queue>
#include <utility>
#include <vector>

#include "firmware/core/time.hpp"

namespace hamlet::detect {

/// Numbered timers, of which the owner knows the true due times; the queue keeps a bound that is never later. A timer
/// that was put off need not be told: it comes up early, and the owner arms it again. So a reading that only postpones
/// a gap costs nothing here, and there is at most one live entry a timer.
class DueQueue {
 public:
  struct Timer {
    MonoTime at{};
    std::size_t number = 0;
    friend auto operator<=>(const Timer&, const Timer&) = default;
  };

  /// Forgets all; timers are 0 to `timers` - 1.
  void reset(std::size_t timers);
  /// Makes `number` come up at `at` or before.
  void arm(std::size_t number, MonoTime at);
  /// The first bound.
  [[nodiscard]] std::optional<MonoTime> next() const;
  /// Takes out the next timer that comes up at `now` or before: by time, then by number.
  [[nodiscard]] std::optional<Timer> pop(MonoTime now);

 private:
  void drop_stale();

  static constexpr MonoTime kNever = MonoTime::max();
  std::vector<MonoTime> armed_;  // by number
  // An entry is stale where armed_ says another time; the top never is.
  std::priority_queue<Timer, std::vector<Timer>, std::greater<>> queue_;
};

}  // namespace hamlet::detect
