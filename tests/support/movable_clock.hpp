#pragma once

#include <atomic>

#include "firmware/core/clock.hpp"

namespace hamlet::support {

/// The machine's clocks, that a test may move on: both, as if so much time had passed. Thread-safe.
class MovableClock final : public Clock {
 public:
  [[nodiscard]] WallTime wall() const override { return real_.wall() + moved(); }
  [[nodiscard]] MonoTime mono() const override { return real_.mono() + moved(); }
  [[nodiscard]] bool synced() const override { return true; }
  void advance(Millis by) { moved_ += by.count(); }

 private:
  [[nodiscard]] Millis moved() const { return Millis{moved_.load()}; }
  SystemClock real_{true};
  std::atomic<Millis::rep> moved_{0};
};

}  // namespace hamlet::support
