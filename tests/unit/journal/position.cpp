#include <random>
#include <set>

#include <doctest/doctest.h>

#include "sync/journal/journal.hpp"

using hamlet::journal::Position;

TEST_CASE("a position closes up as numbers come in") {
  Position position;
  CHECK(position.add(1));
  CHECK(position.add(3));
  CHECK(position.add(5));
  CHECK(position.add(4));
  CHECK(position.prefix == 1);
  CHECK(position.beyond == std::vector<Position::Span>{{3, 5}});
  CHECK(position.pending(7) == std::vector<Position::Span>{{2, 2}, {6, 7}});
  CHECK(position.add(2));
  CHECK(position.prefix == 5);
  CHECK(position.beyond.empty());
  CHECK(position.pending(5).empty());
}

TEST_CASE("a position takes no 65th range, and says so") {
  Position position;
  for (std::uint64_t n = 1; n <= Position::kMaxRanges; ++n) CHECK(position.add(n * 10));
  const auto before = position;
  CHECK_FALSE(position.add(5));
  CHECK_FALSE(position.add(100'000));
  CHECK(position == before);
  CHECK(position.add(11));  // touches a range
  CHECK(position.add(1));   // touches the prefix
  CHECK(position.pending(640).size() == Position::kMaxRanges);
}

TEST_CASE("a position agrees with a set of numbers, whatever the order") {
  for (unsigned seed = 1; seed <= 200; ++seed) {
    CAPTURE(seed);
    std::mt19937 random{seed};
    std::uniform_int_distribution<std::uint64_t> pick{1, 150 + seed};
    Position position;
    std::set<std::uint64_t> model;
    for (int step = 0; step < 300; ++step) {
      const auto seq = pick(random);
      const auto before = position;
      if (position.add(seq)) {
        model.insert(seq);
      } else {
        REQUIRE(position == before);
        REQUIRE(position.beyond.size() == Position::kMaxRanges);
      }
    }
    const std::uint64_t last = 160 + seed;
    std::set<std::uint64_t> missing;
    for (const auto& [from, to] : position.pending(last)) {
      for (auto n = from; n <= to; ++n) missing.insert(n);
    }
    for (std::uint64_t n = 1; n <= last; ++n) {
      CAPTURE(n);
      REQUIRE(position.contains(n) == model.contains(n));
      REQUIRE(missing.contains(n) != model.contains(n));
    }
    auto end = position.prefix;  // sorted, apart from each other and from the prefix
    for (const auto& [from, to] : position.beyond) {
      REQUIRE(from > end + 1);
      REQUIRE(to >= from);
      end = to;
    }
  }
}
