#pragma once

#include <cstdint>
#include <random>

#include "firmware/core/time.hpp"

namespace hamlet::uplink {

/// How long to wait before the next try: full jitter, drawn evenly from nothing up to a bound that doubles with each
/// try. Thousands of boxes that lose their county at the same moment do not come back at the same moment.
class Backoff {
 public:
  /// `seed` 0: the kernel's random source.
  Backoff(Millis base, Millis max, std::uint64_t seed);

  [[nodiscard]] Millis next();
  void reset() { tries_ = 0; }

 private:
  const Millis base_;
  const Millis max_;
  std::mt19937_64 random_;
  unsigned tries_ = 0;
};

}  // namespace hamlet::uplink
