#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <tl/expected.hpp>

#include "drivers/modbus/decode.hpp"
#include "drivers/modbus/link.hpp"
#include "drivers/modbus/plan.hpp"
#include "firmware/core/clock.hpp"
#include "firmware/core/reading.hpp"

namespace hamlet::drivers::modbus {

/// One point: where it is and how it is read.
struct Point {
  std::string name;  ///< "device.point"
  Need need;
  Decoding decoding;
};

/// A [[device]] with driver = "modbus".
struct Settings {
  std::string address;
  std::uint16_t port = 502;
  std::uint8_t unit = 1;
  Millis period{5000};
  Millis timeout{1000};
  unsigned retries = 2;
  Millis backoff_max{60000};
  std::uint32_t max_gap = 8;
  std::vector<Point> points;
};

/// Polls all points of a device. One thread, but for cancel(). Keeps the connection between polls, and what the device
/// taught: which requests it refuses as a whole.
class Session {
 public:
  Session(const Settings& settings, const Clock& clock);

  /// A reading of every point, or why the device did not answer, retries included. Points that the device refuses
  /// (exceptions) or has no value for are missing, with why. Blocks.
  [[nodiscard]] tl::expected<std::vector<Reading>, Fault> poll();

  void cancel() { link_.cancel(); }

 private:
  using Answer = tl::expected<std::vector<std::uint16_t>, Fault>;

  [[nodiscard]] Answer ask(const Request& request);
  void take(const Request& request, const std::vector<std::uint16_t>& words, std::vector<Reading>& readings) const;
  void refuse(const Request& request, const std::string& why, std::vector<Reading>& readings) const;

  const std::vector<Point> points_;
  const unsigned retries_;
  const Clock& clock_;
  std::vector<Need> needs_;        // of points_, by index
  std::vector<Request> requests_;  // that serve them, as far as is known
  Link link_;
};

/// How long to wait after `failures` failed polls (1 or more) of a device polled every `period`: doubled each time up
/// to `longest`, a quarter more or less by `chance` (0 to 1), so that devices that failed together are not asked
/// together.
[[nodiscard]] Millis retry_delay(Millis period, Millis longest, unsigned failures, double chance);

}  // namespace hamlet::drivers::modbus
