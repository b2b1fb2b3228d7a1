#include <algorithm>

#include "sync/journal/journal.hpp"

namespace hamlet::journal {

bool Position::add(std::uint64_t seq) {
  if (seq <= prefix) return true;
  // The first range that ends at or behind the number's left neighbour.
  const auto next = std::find_if(beyond.begin(), beyond.end(), [&](const Span& span) { return span.to + 1 >= seq; });
  if (next != beyond.end() && next->from <= seq && seq <= next->to) return true;

  if (next != beyond.end() && next->to + 1 == seq) {
    next->to = seq;
    const auto after = next + 1;
    if (after != beyond.end() && after->from == seq + 1) {
      next->to = after->to;
      beyond.erase(after);
    }
  } else if (next != beyond.end() && next->from == seq + 1) {
    next->from = seq;
  } else if (seq == prefix + 1) {
    prefix = seq;
    return true;
  } else {
    if (beyond.size() == kMaxRanges) return false;
    beyond.insert(next, Span{seq, seq});
  }
  if (!beyond.empty() && beyond.front().from == prefix + 1) {
    prefix = beyond.front().to;
    beyond.erase(beyond.begin());
  }
  return true;
}

bool Position::contains(std::uint64_t seq) const {
  if (seq <= prefix) return true;
  return std::any_of(beyond.begin(), beyond.end(),
                     [&](const Span& span) { return span.from <= seq && seq <= span.to; });
}

std::uint64_t Position::count() const {
  auto sum = prefix;
  for (const auto& span : beyond) sum += span.to - span.from + 1;
  return sum;
}

std::vector<Position::Span> Position::pending(std::uint64_t last) const {
  std::vector<Span> gaps;
  std::uint64_t from = prefix + 1;
  for (const auto& span : beyond) {
    if (span.from > last) break;
    gaps.push_back({from, span.from - 1});
    from = span.to + 1;
  }
  if (from <= last) gaps.push_back({from, last});
  return gaps;
}

}  // namespace hamlet::journal
