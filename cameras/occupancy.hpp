#pragma once

#include <optional>

#include "firmware/core/event.hpp"
#include "firmware/core/time.hpp"

namespace hamlet::cameras {

/// When something becomes an event, and when that ends: pure timing.
class Occupancy {
 public:
  Occupancy(Millis on_delay, Millis hold) : on_delay_{on_delay}, hold_{hold} {}

  /// What follows from seeing it or not at `time`: start (once, when it has lasted for on_delay; gaps shorter than that
  /// do not count), update (while it is there and there is `news`: after 1 s, then after twice as long each time, up to 5 min), end.
  [[nodiscard]] std::optional<Phase> see(bool there, Millis time, bool news = true);

  [[nodiscard]] bool occupied() const { return occupied_; }
  /// It began / was last seen at. Of the present event, or of what may become one.
  [[nodiscard]] Millis first() const { return first_; }
  [[nodiscard]] Millis last() const { return last_; }
  /// It has begun, and has not lasted for on_delay yet.
  [[nodiscard]] bool pending() const { return pending_; }

 private:
  Millis on_delay_;
  Millis hold_;
  bool pending_ = false;
  bool occupied_ = false;
  Millis first_{};
  Millis last_{};
  Millis next_update_{};
  Millis update_every_{};
};

}  // namespace hamlet::cameras
