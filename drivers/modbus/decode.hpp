#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include <tl/expected.hpp>

#include "firmware/core/reading.hpp"

namespace hamlet::drivers::modbus {

/// How the words of a point are read. `flag` is a coil or a discrete input, `bit` one bit of a register, `bits` several
/// of them as a number, `text` characters, two a register.
enum class Type : std::uint8_t {
  flag,
  bit,
  bits,
  int16,
  uint16,
  int32,
  uint32,
  int64,
  uint64,
  float32,
  float64,
  text
};

/// In which order the bytes of a value come, A the most significant. For 64 bits (ABCDEFGH) the same two switches:
/// CDAB = GHEFCDAB, BADC = BADCFEHG, DCBA = HGFEDCBA. For 16 bits only the bytes can be swapped: BADC and DCBA do.
enum class Order : std::uint8_t {
  abcd,  ///< big endian, as the standard has it
  cdab,  ///< the last word first
  badc,  ///< bytes swapped within each word
  dcba,  ///< both: little endian
};

/// From words to a value: (raw * scale + offset), unless raw is one of `invalid`.
struct Decoding {
  Type type = Type::uint16;
  Order order = Order::abcd;
  unsigned bit = 0;      ///< for bit and bits: the lowest, 0 (least significant) to 15, after ordering
  unsigned bits = 1;     ///< for bits: how many
  unsigned length = 1;   ///< for text: registers
  double scale = 1;
  double offset = 0;
  /// Raw values by which the device says that it has none. Integers match as the type reads them and as unsigned: 65535
  /// is found in an int16, too.
  std::vector<double> invalid{};
  /// Where set, raw values from here on mean 0, -1, -2 ...: how some makers write negative ones (10250 is -250).
  std::optional<double> negative_from{};
};

/// Registers (for flag: bits) that the value takes.
[[nodiscard]] std::uint16_t width(const Decoding& how);

/// raw * scale + offset, to 15 digits.
[[nodiscard]] double decode_number(double raw, const Decoding& how);

/// The words to write for `value`: decode() the other way round. Nothing where the type cannot hold it.
[[nodiscard]] std::optional<std::vector<std::uint16_t>> encode_value(const Value& value, const Decoding& how);

/// The value, or why there is none: "invalid-raw", "not-a-number" for NaN, infinities and what scale makes infinite, or
/// "not-text" for bytes that are no UTF-8. `words`: width(how) of them, as read; a coil or discrete input is 0 or 1.
/// float32 gives the shortest decimal that is that float (2.31, not 2.309999942779541); scaled values keep 15 digits.
[[nodiscard]] tl::expected<Value, std::string_view> decode(std::span<const std::uint16_t> words, const Decoding& how);

}  // namespace hamlet::drivers::modbus
