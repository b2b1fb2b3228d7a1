#include "firmware/core/text.hpp"

#include <array>
#include <cstdint>
#include <optional>

namespace hamlet {
namespace {

// The next code point and how many bytes it took; nothing where the bytes are not UTF-8 (RFC 3629: no overlong forms, no
// surrogates, nothing above U+10FFFF).
struct Decoded {
  std::uint32_t code;
  std::size_t size;
};
std::optional<Decoded> decode(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  const auto first = byte(0);
  if (first < 0x80) return Decoded{first, 1};
  const std::size_t size = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || text.size() < size) return {};
  std::uint32_t code = first & (0xFFU >> (size + 1));
  for (std::size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return {};
    code = (code << 6) | (byte(i) & 0x3FU);
  }
  constexpr std::array<std::uint32_t, 5> kSmallest{0, 0, 0x80, 0x800, 0x10000};
  if (code < kSmallest.at(size) || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) return {};
  return Decoded{code, size};
}

// East Asian Wide and Fullwidth (UAX #11), in the blocks that occur in practice.
bool is_wide(std::uint32_t c) {
  return (c >= 0x1100 && c <= 0x115F) || (c >= 0x2E80 && c <= 0x303E) || (c >= 0x3041 && c <= 0x33FF) ||
         (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0xA000 && c <= 0xA4CF) ||
         (c >= 0xAC00 && c <= 0xD7A3) || (c >= 0xF900 && c <= 0xFAFF) || (c >= 0xFE30 && c <= 0xFE6F) ||
         (c >= 0xFF00 && c <= 0xFF60) || (c >= 0xFFE0 && c <= 0xFFE6) || (c >= 0x1F300 && c <= 0x1F64F) ||
         (c >= 0x1F900 && c <= 0x1F9FF) || (c >= 0x20000 && c <= 0x3FFFD);
}

bool is_combining(std::uint32_t c) {
  return (c >= 0x0300 && c <= 0x036F) || (c >= 0x200B && c <= 0x200F) || (c >= 0xFE00 && c <= 0xFE0F);
}

}  // namespace

std::size_t display_width(std::string_view utf8) {
  std::size_t width = 0;
  while (!utf8.empty()) {
    const auto next = decode(utf8);
    if (!next) {  // shown as one replacement character
      ++width;
      utf8.remove_prefix(1);
      continue;
    }
    if (!is_combining(next->code)) width += is_wide(next->code) ? 2U : 1U;
    utf8.remove_prefix(next->size);
  }
  return width;
}

bool is_utf8(std::string_view bytes) {
  while (!bytes.empty()) {
    const auto next = decode(bytes);
    if (!next) return false;
    bytes.remove_prefix(next->size);
  }
  return true;
}

}  // namespace hamlet
