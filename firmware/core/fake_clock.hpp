#pragma once

#include <atomic>

#include "firmware/core/clock.hpp"

namespace hamlet {

/// A clock that tests move by hand. Thread-safe.
class FakeClock final : public Clock {
 public:
  explicit FakeClock(WallTime wall = wall_from_ms(1'795'411'860'000), MonoTime mono = mono_from_ms(100'000))
      : wall_{to_ms(wall)}, mono_{to_ms(mono)} {}

  [[nodiscard]] WallTime wall() const override { return wall_from_ms(wall_); }
  [[nodiscard]] MonoTime mono() const override { return mono_from_ms(mono_); }
  [[nodiscard]] bool synced() const override { return synced_; }

  /// Both clocks go on.
  void advance(Millis by) {
    wall_ += by.count();
    mono_ += by.count();
  }
  /// The wall clock alone is set.
  void set_wall(WallTime wall) { wall_ = to_ms(wall); }
  void set_mono(MonoTime mono) { mono_ = to_ms(mono); }
  void set_synced(bool synced) { synced_ = synced; }

 private:
  std::atomic<std::int64_t> wall_;
  std::atomic<std::int64_t> mono_;
  std::atomic<bool> synced_{true};
};

}  // namespace hamlet
