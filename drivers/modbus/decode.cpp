#include "drivers/modbus/decode.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <charconv>
#include <cmath>

namespace hamlet::drivers::modbus {
namespace {

std::uint64_t assemble(std::span<const std::uint16_t> words, Order order) {
  const bool words_reversed = order == Order::cdab || order == Order::dcba;
  const bool bytes_swapped = order == Order::badc || order == Order::dcba;
  std::uint64_t bits = 0;
  for (std::size_t i = 0; i < words.size(); ++i) {
    std::uint32_t word = words[words_reversed ? words.size() - 1 - i : i];
    if (bytes_swapped) word = (word >> 8 | word << 8) & 0xFFFF;
    bits = bits << 16 | word;
  }
  return bits;
}

// Through decimal text: `digits` significant ones, or the shortest that are exactly `number` where that is 0.
template <class Number>
double through_decimal(Number number, int digits) {
  std::array<char, 64> text{};
  auto* const end = text.data() + text.size();
  const auto written = digits == 0 ? std::to_chars(text.data(), end, number)
                                   : std::to_chars(text.data(), end, number, std::chars_format::general, digits);
  double out = 0;
  std::from_chars(text.data(), written.ptr, out);
  return out;
}

double to_number(std::uint64_t bits, Type type) {
  switch (type) {
    case Type::int16:
      return static_cast<std::int16_t>(bits);
    case Type::int32:
      return static_cast<std::int32_t>(bits);
    case Type::float32: {
      const auto number = std::bit_cast<float>(static_cast<std::uint32_t>(bits));
      return std::isfinite(number) ? through_decimal(number, 0) : number;
    }
    case Type::float64:
      return std::bit_cast<double>(bits);
    case Type::flag:
    case Type::bit:
    case Type::uint16:
    case Type::uint32:
      return static_cast<double>(bits);
  }
  return 0;
}

bool is_invalid(double raw, std::uint64_t bits, const Decoding& how) {
  const bool is_float = how.type == Type::float32 || how.type == Type::float64;
  return std::any_of(how.invalid.begin(), how.invalid.end(), [&](double invalid) {
    return raw == invalid || (!is_float && static_cast<double>(bits) == invalid);
  });
}

}  // namespace

std::uint16_t width(Type type) {
  switch (type) {
    case Type::flag:
    case Type::bit:
    case Type::int16:
    case Type::uint16:
      return 1;
    case Type::int32:
    case Type::uint32:
    case Type::float32:
      return 2;
    case Type::float64:
      return 4;
  }
  return 1;
}

tl::expected<Value, std::string_view> decode(std::span<const std::uint16_t> words, const Decoding& how) {
  assert(words.size() == width(how.type));
  if (how.type == Type::flag) return words[0] != 0;
  const auto bits = assemble(words, how.order);
  const auto raw = to_number(bits, how.type);
  if (is_invalid(raw, bits, how)) return tl::unexpected(std::string_view{"invalid-raw"});
  if (how.type == Type::bit) return (bits >> how.bit & 1) != 0;
  auto value = raw * how.scale + how.offset;
  if (!std::isfinite(value)) return tl::unexpected(std::string_view{"not-a-number"});
  if (how.scale != 1 || how.offset != 0) value = through_decimal(value, 15);
  return value;
}

}  // namespace hamlet::drivers::modbus
