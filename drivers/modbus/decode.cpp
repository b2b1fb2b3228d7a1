#include "drivers/modbus/decode.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <charconv>
#include <cmath>
#include <limits>
#include <string>

#include "firmware/core/text.hpp"

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
    case Type::int64:
      return static_cast<double>(static_cast<std::int64_t>(bits));
    case Type::float32: {
      const auto number = std::bit_cast<float>(static_cast<std::uint32_t>(bits));
      return std::isfinite(number) ? through_decimal(number, 0) : number;
    }
    case Type::float64:
      return std::bit_cast<double>(bits);
    case Type::flag:
    case Type::bit:
    case Type::bits:
    case Type::uint16:
    case Type::uint32:
    case Type::uint64:
    case Type::text:
      return static_cast<double>(bits);
  }
  return 0;
}

std::uint16_t swapped(std::uint16_t word) {
  return static_cast<std::uint16_t>(word >> 8 | word << 8);
}

std::vector<std::uint16_t> disassemble(std::uint64_t bits, std::size_t count, Order order) {
  std::vector<std::uint16_t> words(count);
  for (auto it = words.rbegin(); it != words.rend(); ++it, bits >>= 16) *it = static_cast<std::uint16_t>(bits & 0xFFFF);
  if (order == Order::cdab || order == Order::dcba) std::reverse(words.begin(), words.end());
  if (order == Order::badc || order == Order::dcba) std::transform(words.begin(), words.end(), words.begin(), swapped);
  return words;
}

template <class Integer>
std::optional<std::uint64_t> integer_bits(double number) {
  number = std::round(number);
  // Both bounds are exact as doubles, the upper one as the power of two beyond it.
  if (!(number >= static_cast<double>(std::numeric_limits<Integer>::min()) &&
        number < std::ldexp(1.0, std::numeric_limits<Integer>::digits))) {
    return {};
  }
  return static_cast<std::uint64_t>(static_cast<Integer>(number));
}

// What is written for a number; nothing where it does not fit.
std::optional<std::uint64_t> to_bits(double number, Type type) {
  switch (type) {
    case Type::int16:
      return integer_bits<std::int16_t>(number);
    case Type::uint16:
      return integer_bits<std::uint16_t>(number);
    case Type::int32:
      return integer_bits<std::int32_t>(number);
    case Type::uint32:
      return integer_bits<std::uint32_t>(number);
    case Type::int64:
      return integer_bits<std::int64_t>(number);
    case Type::uint64:
      return integer_bits<std::uint64_t>(number);
    case Type::float32:
      if (std::abs(number) > static_cast<double>(std::numeric_limits<float>::max())) return {};
      return std::bit_cast<std::uint32_t>(static_cast<float>(number));
    case Type::float64:
      return std::bit_cast<std::uint64_t>(number);
    case Type::flag:
    case Type::bit:
    case Type::bits:
    case Type::text:
      break;
  }
  return {};
}

// Two characters a register, the high byte first; what fills the end is cut off.
tl::expected<Value, std::string_view> decode_text(std::span<const std::uint16_t> words, Order order) {
  std::string text;
  for (auto word : words) {
    if (order == Order::badc || order == Order::dcba) word = swapped(word);
    text.push_back(static_cast<char>(word >> 8));
    text.push_back(static_cast<char>(word & 0xFF));
  }
  text.resize(std::min(text.find('\0'), text.size()));
  text.resize(text.find_last_not_of(" \xFF") + 1);
  const bool controls = std::any_of(text.begin(), text.end(), [](char c) { return c >= 0 && c < ' '; });
  if (controls || !is_utf8(text)) return tl::unexpected(std::string_view{"not-text"});
  return text;
}

bool is_invalid(double raw, std::uint64_t bits, const Decoding& how) {
  const bool is_float = how.type == Type::float32 || how.type == Type::float64;
  return std::any_of(how.invalid.begin(), how.invalid.end(), [&](double invalid) {
    return raw == invalid || (!is_float && static_cast<double>(bits) == invalid);
  });
}

}  // namespace

std::uint16_t width(const Decoding& how) {
  switch (how.type) {
    case Type::flag:
    case Type::bit:
    case Type::bits:
    case Type::int16:
    case Type::uint16:
      return 1;
    case Type::int32:
    case Type::uint32:
    case Type::float32:
      return 2;
    case Type::int64:
    case Type::uint64:
    case Type::float64:
      return 4;
    case Type::text:
      return static_cast<std::uint16_t>(how.length);
  }
  return 1;
}

tl::expected<Value, std::string_view> decode(std::span<const std::uint16_t> words, const Decoding& how) {
  assert(words.size() == width(how));
  if (how.type == Type::flag) return words[0] != 0;
  if (how.type == Type::text) return decode_text(words, how.order);
  const auto bits = assemble(words, how.order);
  const auto raw = to_number(bits, how.type);
  if (is_invalid(raw, bits, how)) return tl::unexpected(std::string_view{"invalid-raw"});
  if (how.type == Type::bit) return (bits >> how.bit & 1) != 0;
  if (how.type == Type::bits) return static_cast<double>(bits >> how.bit & ((std::uint64_t{1} << how.bits) - 1));
  const bool negative = how.negative_from && raw >= *how.negative_from;
  const auto value = decode_number(negative ? *how.negative_from - raw : raw, how);
  if (!std::isfinite(value)) return tl::unexpected(std::string_view{"not-a-number"});
  return value;
}

double decode_number(double raw, const Decoding& how) {
  const auto value = raw * how.scale + how.offset;
  return std::isfinite(value) && (how.scale != 1 || how.offset != 0) ? through_decimal(value, 15) : value;
}

std::optional<std::vector<std::uint16_t>> encode_value(const Value& value, const Decoding& how) {
  const auto number = as_number(value);
  if (!number) return {};
  if (how.type == Type::flag) return std::vector<std::uint16_t>{*number != 0 ? std::uint16_t{1} : std::uint16_t{0}};
  const auto bits = to_bits((*number - how.offset) / how.scale, how.type);
  if (!bits) return {};
  return disassemble(*bits, width(how), how.order);
}

}  // namespace hamlet::drivers::modbus
