#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hamlet::drivers::sms {

/// One part of a short message, ready for AT+CMGS in PDU mode (3GPP TS 23.040, 27.005).
struct Pdu {
  std::string hex;         ///< with the empty address of the service centre in front: the card's own
  std::size_t length = 0;  ///< octets without that
};

/// "+8613800000000" or "10086": 3 to 20 digits.
[[nodiscard]] bool is_number(std::string_view text);
/// Whether every character is of GSM's 7-bit alphabet, as far as ASCII goes: 160 characters fit then, else 70.
[[nodiscard]] bool is_plain(std::string_view utf8);
/// UTF-16, big-endian; what is no UTF-8 becomes "?".
[[nodiscard]] std::u16string to_utf16(std::string_view utf8);
/// The same as hex digits, as modems want texts in their character set "UCS2".
[[nodiscard]] std::string to_ucs2_hex(std::string_view utf8);

/// A text cut to what fits: `plain` and `wide` units a part, at most `parts`; what is beyond is left out, and an
/// ellipsis says so.
[[nodiscard]] std::vector<std::string> cut(std::string_view utf8, std::size_t plain, std::size_t wide,
                                           std::size_t parts);

/// The messages for one text: one where it fits, else parts that a phone puts together, which it knows by `reference`.
/// At most 4.
[[nodiscard]] std::vector<Pdu> make_pdus(std::string_view number, std::string_view utf8, std::uint8_t reference);

}  // namespace hamlet::drivers::sms
