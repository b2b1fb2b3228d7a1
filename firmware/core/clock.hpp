#pragma once

#include <string>

#include "firmware/core/time.hpp"

namespace hamlet {

/// Where time comes from. Take a `Clock&`; never call now() yourself. Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual WallTime wall() const = 0;
  [[nodiscard]] virtual MonoTime mono() const = 0;
  /// Whether the kernel calls the wall clock disciplined right now. A box that has lost it since is told apart by the journal.
  [[nodiscard]] virtual bool synced() const = 0;
};

/// The machine's clocks: CLOCK_REALTIME, CLOCK_BOOTTIME and the kernel's ntp status (adjtimex).
class SystemClock final : public Clock {
 public:
  /// `trust`: call the wall clock synced whatever the kernel says, for a virtual machine whose host keeps the time.
  explicit SystemClock(bool trust = false) : trust_{trust} {}
  [[nodiscard]] WallTime wall() const override;
  [[nodiscard]] MonoTime mono() const override;
  [[nodiscard]] bool synced() const override;

 private:
  bool trust_;
};

/// The kernel's id of this boot, 32 hex digits; made up at random where /proc does not tell.
[[nodiscard]] std::string read_boot_id();

/// The machine's id, 32 hex digits (machine-id(5)); empty where there is none.
[[nodiscard]] std::string read_machine_id();

}  // namespace hamlet
