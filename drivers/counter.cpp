#include "drivers/counter.hpp"

#include <charconv>

#include <fmt/format.h>

namespace hamlet::drivers {

std::uint64_t Counter::advance(std::uint64_t raw) {
  if (!last_) {
    total_ = raw;
  } else {
    const auto step = raw >= *last_ ? raw - *last_ : raw + (modulus_ - *last_);
    if (step <= most_) total_ += step;
  }
  last_ = raw;
  return total_;
}

std::string Counter::save() const {
  return fmt::format("{} {}", last_.value_or(0), total_);
}

bool Counter::restore(std::string_view text) {
  std::uint64_t last = 0;
  std::uint64_t total = 0;
  const auto* const end = text.data() + text.size();
  const auto first = std::from_chars(text.data(), end, last);
  if (first.ec != std::errc{} || first.ptr == end || *first.ptr != ' ') return false;
  const auto second = std::from_chars(first.ptr + 1, end, total);
  if (second.ec != std::errc{} || second.ptr != end || last >= modulus_) return false;
  last_ = last;
  total_ = total;
  return true;
}

}  // namespace hamlet::drivers
