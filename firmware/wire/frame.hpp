#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "firmware/core/text.hpp"
#include "firmware/core/time.hpp"

/// What the frames of SL 651 and HJ 212 have in common. Pure: bytes and structs, no I/O, no clock.
namespace hamlet::wire {

/// Why bytes are no frame, or a frame's body cannot be read to its end.
struct FrameFault {
  /// truncated: more bytes may still come. crc, end: the header was right. header: not even that. body: the frame is
  /// right, what it carries is not.
  enum class Kind : std::uint8_t { truncated, header, end, crc, body };
  Kind kind = Kind::header;
  std::string field;       ///< in the standard's terms: "length", "crc", "element 39 Z"
  std::size_t offset = 0;  ///< of the field, from the frame's first byte
  Text message;            ///< what is there, what was expected, what to do
};
[[nodiscard]] std::string_view to_string(FrameFault::Kind kind);

/// "7E7E01"
[[nodiscard]] std::string to_hex(std::string_view bytes);
/// An even number of hex digits of either case, and nothing else.
[[nodiscard]] std::optional<std::string> from_hex(std::string_view hex);
/// At most eight hex digits.
[[nodiscard]] std::optional<std::uint32_t> parse_hex(std::string_view digits);
/// At most nine decimal digits, without a sign.
[[nodiscard]] std::optional<std::uint32_t> parse_decimal(std::string_view digits);

/// Digits of China time (UTC+8, which devices keep) to UTC: YYMMDDHH, YYMMDDHHmm, YYMMDDHHmmSS, YYYYMMDDHHmmSS or with
/// milliseconds behind (17). Years of two digits are of this century. Nothing where it is no date.
[[nodiscard]] std::optional<WallTime> parse_china_digits(std::string_view digits);
/// YYYYMMDDHHmmSSzzz in China time, to be cut as needed.
[[nodiscard]] std::string china_digits(WallTime time);

/// What a device wrote as UTF-8, or as GBK, which older ones send: as UTF-8. What is neither becomes U+FFFD.
[[nodiscard]] std::string device_text(std::string_view bytes);

/// CRC-16, reflected 0xA001 from 0xFFFF: SL 651 and Modbus. "123456789" gives 4B37.
[[nodiscard]] std::uint16_t crc16(std::string_view bytes);

}  // namespace hamlet::wire
