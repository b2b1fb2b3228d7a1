#include "drivers/sms/pdu.hpp"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

namespace hamlet::drivers::sms {
namespace {

constexpr std::size_t kMostParts = 4;

// GSM 03.38 of an ASCII character, where both have it in one septet.
std::optional<std::uint8_t> septet_of(char c) {
  switch (c) {
    case '@':
      return 0x00;
    case '$':
      return 0x02;
    case '_':
      return 0x11;
    case '\n':
    case '\r':
      return static_cast<std::uint8_t>(c);
    default:
      break;
  }
  const bool same = (c >= ' ' && c <= 'Z') || (c >= 'a' && c <= 'z');
  return same ? std::optional{static_cast<std::uint8_t>(c)} : std::nullopt;
}

// Octets of the UTF-8 character at the front; 0: it is none.
std::size_t character_size(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text.front());
  const std::size_t size = lead < 0x80 ? 1 : lead < 0xC2 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF5 ? 4 : 0;
  if (size > text.size()) return 0;
  for (std::size_t i = 1; i < size; ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0xC0U) != 0x80U) return 0;
  }
  return size;
}

char32_t code_point(std::string_view character) {
  const auto lead = static_cast<unsigned char>(character[0]);
  if (character.size() == 1) return lead;
  char32_t code = lead & (0xFFU >> (character.size() + 1));
  for (const char c : character.substr(1)) code = (code << 6U) | (static_cast<unsigned char>(c) & 0x3FU);
  return code;
}

void append_hex(std::string& out, std::size_t octet) {
  out += fmt::format("{:02X}", octet & 0xFFU);
}

std::string address(std::string_view number) {
  const bool international = number.starts_with('+');
  std::string digits{international ? number.substr(1) : number};
  std::string out;
  append_hex(out, digits.size());
  append_hex(out, international ? 0x91 : 0x81);
  if (digits.size() % 2 != 0) digits += 'F';
  for (std::size_t i = 0; i < digits.size(); i += 2) {
    out += digits[i + 1];
    out += digits[i];
  }
  return out;
}

// Septets, low bits first, after `header` octets: they begin at the next whole septet.
void pack_septets(std::vector<std::uint8_t>& octets, std::string_view text) {
  std::size_t bit = (octets.size() * 8 + 6) / 7 * 7;
  for (const char c : text) {
    const unsigned septet = septet_of(c).value_or('?');
    octets.resize((bit + 7 + 7) / 8);
    octets[bit / 8] |= static_cast<std::uint8_t>((septet << (bit % 8)) & 0xFFU);
    if (bit % 8 > 1) octets[bit / 8 + 1] |= static_cast<std::uint8_t>(septet >> (8 - bit % 8));
    bit += 7;
  }
}

Pdu submit(std::string_view number, std::string_view part, bool plain, std::vector<std::uint8_t> header) {
  std::string body;
  append_hex(body, header.empty() ? 0x11 : 0x51);  // SUBMIT, relative validity, perhaps a header
  append_hex(body, 0);                             // the modem numbers it
  body += address(number);
  append_hex(body, 0);
  append_hex(body, plain ? 0x00 : 0x08);
  append_hex(body, 0xA7);  // worth a day
  auto octets = std::move(header);
  if (plain) {
    append_hex(body, (octets.size() * 8 + 6) / 7 + part.size());  // in septets
    pack_septets(octets, part);
  } else {
    for (const char16_t unit : to_utf16(part)) {
      octets.push_back(static_cast<std::uint8_t>(unit >> 8U));
      octets.push_back(static_cast<std::uint8_t>(unit & 0xFFU));
    }
    append_hex(body, octets.size());
  }
  for (const auto octet : octets) append_hex(body, octet);
  return {"00" + body, body.size() / 2};
}

}  // namespace

bool is_number(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  return text.size() >= 3 && text.size() <= 20 &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

bool is_plain(std::string_view utf8) {
  return std::all_of(utf8.begin(), utf8.end(), [](char c) { return septet_of(c).has_value(); });
}

std::u16string to_utf16(std::string_view utf8) {
  std::u16string out;
  while (!utf8.empty()) {
    const auto size = character_size(utf8);
    const auto code = size == 0 ? U'?' : code_point(utf8.substr(0, size));
    utf8.remove_prefix(std::max<std::size_t>(size, 1));
    if (code < 0x10000) {
      out += static_cast<char16_t>(code);
    } else {
      out += static_cast<char16_t>(0xD800U + ((code - 0x10000U) >> 10U));
      out += static_cast<char16_t>(0xDC00U + ((code - 0x10000U) & 0x3FFU));
    }
  }
  return out;
}

std::string to_ucs2_hex(std::string_view utf8) {
  std::string out;
  for (const char16_t unit : to_utf16(utf8)) out += fmt::format("{:04X}", static_cast<unsigned>(unit));
  return out;
}

std::vector<std::string> cut(std::string_view utf8, std::size_t plain, std::size_t wide, std::size_t parts) {
  const auto most = is_plain(utf8) ? plain : wide;
  std::vector<std::string> out(1);
  std::size_t units = 0;
  while (!utf8.empty()) {
    const auto size = std::max<std::size_t>(character_size(utf8), 1);
    const std::size_t more = size == 4 ? 2 : 1;
    if (units + more > most) {
      if (out.size() == parts) {
        auto& last = out.back();  // its last character makes room
        while (!last.empty() && (static_cast<unsigned char>(last.back()) & 0xC0U) == 0x80U) last.pop_back();
        if (!last.empty()) last.pop_back();
        last += most == plain ? "." : "…";
        return out;
      }
      out.emplace_back();
      units = 0;
    }
    out.back() += utf8.substr(0, size);
    units += more;
    utf8.remove_prefix(size);
  }
  return out;
}

std::vector<Pdu> make_pdus(std::string_view number, std::string_view utf8, std::uint8_t reference) {
  const bool plain = is_plain(utf8);
  auto parts = cut(utf8, 160, 70, 2);
  if (parts.size() == 1) return {submit(number, parts[0], plain, {})};
  parts = cut(utf8, 153, 67, kMostParts);
  std::vector<Pdu> out;
  for (const auto& part : parts) {
    const auto count = static_cast<std::uint8_t>(parts.size());
    out.push_back(submit(number, part, plain, {5, 0, 3, reference, count, static_cast<std::uint8_t>(out.size() + 1)}));
  }
  return out;
}

}  // namespace hamlet::drivers::sms
