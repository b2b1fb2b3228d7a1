#pragma once

#include <cstdint>
#include <string_view>
#include <type_traits>

#include <zlib.h>

namespace hamlet::journal {

/// CRC-32 (IEEE) over numbers and texts, texts with their lengths, so that no two rows have the same bytes.
/// Little-endian, as all our machines are.
template <class... Parts>
[[nodiscard]] std::int32_t crc_of(const Parts&... parts) {
  auto crc = ::crc32(0, nullptr, 0);
  const auto process = [&crc](const void* data, std::size_t size) {
    crc = ::crc32_z(crc, static_cast<const Bytef*>(data), size);
  };
  const auto add = [&process](const auto& part) {
    if constexpr (std::is_convertible_v<decltype(part), std::string_view>) {
      const std::string_view text = part;
      const auto size = static_cast<std::uint64_t>(text.size());
      process(&size, sizeof size);
      if (!text.empty()) process(text.data(), text.size());  // of no bytes at no address zlib gives the CRC of nothing
    } else {
      static_assert(std::has_unique_object_representations_v<std::remove_cvref_t<decltype(part)>>);
      process(&part, sizeof part);
    }
  };
  (add(parts), ...);
  return static_cast<std::int32_t>(crc);
}

}  // namespace hamlet::journal
