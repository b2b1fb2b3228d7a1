#pragma once

#include "firmware/core/time.hpp"

namespace hamlet::demo {

/// Catches SIGINT, SIGTERM and SIGHUP, so that Ctrl-C ends the demo in order. One in a process; it goes last.
class Interrupt {
 public:
  Interrupt();
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  /// Waits for `time` at most; whether a signal has come since the last forget().
  [[nodiscard]] bool wait(Millis time) const;
  void forget() const;
};

}  // namespace hamlet::demo
