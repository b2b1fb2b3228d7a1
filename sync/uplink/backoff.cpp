#include "sync/uplink/backoff.hpp"

#include <algorithm>

namespace hamlet::uplink {

Backoff::Backoff(Millis base, Millis max, std::uint64_t seed)
    : base_{base}, max_{std::max(base, max)}, random_{seed != 0 ? seed : std::random_device{}()} {}

Millis Backoff::next() {
  Millis bound = base_;
  for (unsigned i = 0; i < tries_ && bound < max_; ++i) bound *= 2;
  bound = std::min(bound, max_);
  if (bound < max_) ++tries_;
  return Millis{std::uniform_int_distribution<Millis::rep>{0, bound.count()}(random_)};
}

}  // namespace hamlet::uplink
