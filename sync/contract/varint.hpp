#pragma once

// Numbers in few bytes (LEB128, zigzag for signed ones), and their bounded reading. Header-only: the journal's blocks use
// it too.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace hamlet::contract {

inline void put_varint(std::string& out, std::uint64_t number) {
  while (number >= 0x80) {
    out += static_cast<char>(number | 0x80);
    number >>= 7;
  }
  out += static_cast<char>(number);
}
[[nodiscard]] constexpr std::uint64_t zigzag(std::int64_t number) {
  return (static_cast<std::uint64_t>(number) << 1U) ^ static_cast<std::uint64_t>(number >> 63U);
}
[[nodiscard]] constexpr std::int64_t unzigzag(std::uint64_t number) {
  return static_cast<std::int64_t>(number >> 1U) ^ -static_cast<std::int64_t>(number & 1U);
}
inline void put_signed(std::string& out, std::int64_t number) { put_varint(out, zigzag(number)); }
inline void put_text(std::string& out, std::string_view text) {
  put_varint(out, text.size());
  out += text;
}

/// Takes numbers and texts off the front of bytes that may be anything. After the first that is not there all are
/// empty: check ok() once at the end, and bound every count before it is used.
class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : left_{bytes} {}

  std::uint64_t varint() {
    std::uint64_t number = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      if (left_.empty()) break;
      const auto byte = static_cast<unsigned char>(left_.front());
      left_.remove_prefix(1);
      number |= static_cast<std::uint64_t>(byte & 0x7fU) << shift;
      if (byte < 0x80) return number;
    }
    return bad();
  }
  std::int64_t zigzag() { return unzigzag(varint()); }
  std::string_view text() { return bytes(varint()); }
  std::string_view bytes(std::uint64_t count) {
    if (count > left_.size()) {
      bad();
      return {};
    }
    const auto out = left_.substr(0, static_cast<std::size_t>(count));
    left_.remove_prefix(out.size());
    return out;
  }
  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] bool done() const { return ok_ && left_.empty(); }
  [[nodiscard]] std::size_t left() const { return left_.size(); }

 private:
  std::uint64_t bad() {
    ok_ = false;
    left_ = {};
    return 0;
  }
  std::string_view left_;
  bool ok_ = true;
};

}  // namespace hamlet::contract
