#pragma once

#include <deque>
#include <string>
#include <vector>

#include <tl/expected.hpp>

#include "drivers/modbus/decode.hpp"
#include "drivers/modbus/frame.hpp"
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

/// A reading of every point, or why the device did not answer.
using Polled = tl::expected<std::vector<Reading>, Fault>;

/// Asking one device for all its points, without the wire: says what to ask next and takes what came. Remembers between
/// polls what the device taught: which requests it refuses as a whole.
///
///   poll.begin(2);
///   while (const auto* request = poll.asking()) poll.take(exchange(*request));
///   report(poll.finish());
class Poll {
 public:
  Poll(std::vector<Point> points, std::uint32_t max_gap, const Clock& clock);

  /// `retries`: further tries of a request that brings silence. A poll ends at the first request that stays without.
  void begin(unsigned retries);
  /// What to ask now; null when the poll is over. Valid until take().
  [[nodiscard]] const Request* asking() const;
  void take(const tl::expected<Words, Fault>& answer);
  /// Points that the device refuses (exceptions) or has no value for are missing, with why. All are of the moment the
  /// poll ends: rules over several of them see them together.
  [[nodiscard]] Polled finish();

 private:
  void take_words(const Request& request, const Words& words);
  void refuse(const Request& request, const std::string& why);

  const std::vector<Point> points_;
  const Clock& clock_;
  std::vector<Need> needs_;        // of points_, by index
  std::vector<Request> requests_;  // that serve them, as far as is known
  unsigned retries_ = 0;
  unsigned tries_left_ = 0;  // of the request at the front
  std::deque<Request> todo_;
  std::vector<Request> done_;
  Polled result_;
};

/// The device itself has not answered: nothing came, or what came was no answer, or a gateway says so.
[[nodiscard]] bool is_silence(const Fault& fault);

/// How long to wait after `failures` failed polls (1 or more) of a device polled every `period`: doubled each time up
/// to `longest`, up to a quarter less by `chance` (0 to 1), so that devices that failed together are not asked
/// together.
[[nodiscard]] Millis retry_delay(Millis period, Millis longest, unsigned failures, double chance);

}  // namespace hamlet::drivers::modbus
