#include "sync/uplink/backoff.hpp"

#include <set>

#include <doctest/doctest.h>

using hamlet::Millis;
using hamlet::uplink::Backoff;
using namespace std::chrono_literals;

TEST_CASE("the wait is drawn from the whole of a bound that doubles up to its cap") {
  const std::vector<Millis> bounds{1s, 2s, 4s, 8s, 10s, 10s, 10s};
  std::vector<Millis> longest(bounds.size(), 0ms);
  std::vector<Millis> shortest(bounds.size(), 1h);
  for (std::uint64_t seed = 1; seed <= 500; ++seed) {
    Backoff backoff{1s, 10s, seed};
    for (std::size_t i = 0; i < bounds.size(); ++i) {
      const auto wait = backoff.next();
      longest[i] = std::max(longest[i], wait);
      shortest[i] = std::min(shortest[i], wait);
    }
  }
  for (std::size_t i = 0; i < bounds.size(); ++i) {
    CAPTURE(i);
    CHECK(longest[i] <= bounds[i]);
    CHECK(longest[i] > bounds[i] * 9 / 10);
    CHECK(shortest[i] < bounds[i] / 10);
  }
}

TEST_CASE("a success starts it anew") {
  Backoff backoff{1s, 60s, 7};
  for (int i = 0; i < 20; ++i) (void)backoff.next();
  backoff.reset();
  CHECK(backoff.next() <= 1s);
}

TEST_CASE("boxes that lose their county together come back apart") {
  std::set<Millis> waits;
  for (int box = 0; box < 100; ++box) {
    Backoff backoff{60s, 60s, 0};
    waits.insert(backoff.next());
  }
  CHECK(waits.size() > 90);
}
