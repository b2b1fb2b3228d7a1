#include "firmware/wire/frame.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <memory>

#include <iconv.h>

#include <fmt/format.h>

namespace hamlet::wire {
namespace {

constexpr Millis kChina = std::chrono::hours{8};

template <class T>
std::optional<T> parse_whole(std::string_view digits, std::size_t most, int base) {
  T value = 0;
  if (digits.empty() || digits.size() > most) return {};
  const auto* end = digits.data() + digits.size();
  const auto parsed = std::from_chars(digits.data(), end, value, base);
  if (parsed.ec != std::errc{} || parsed.ptr != end) return {};
  return value;
}

// GBK of few characters can be UTF-8 by chance, of two bytes a character: "水位" would be "ˮλ". Chinese takes three.
bool is_utf8_text(std::string_view bytes) {
  constexpr std::array<std::string_view, 9> kUnits{"°", "±", "·", "×", "÷", "²", "³", "µ", "μ"};
  if (!is_utf8(bytes)) return false;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const auto lead = static_cast<unsigned char>(bytes[i]);
    if (lead >= 0xE0) return true;
    if (lead >= 0xC0 && std::find(kUnits.begin(), kUnits.end(), bytes.substr(i, 2)) == kUnits.end()) return false;
  }
  return true;
}

}  // namespace

std::string_view to_string(FrameFault::Kind kind) {
  switch (kind) {
    case FrameFault::Kind::truncated:
      return "truncated";
    case FrameFault::Kind::header:
      return "header";
    case FrameFault::Kind::end:
      return "end";
    case FrameFault::Kind::crc:
      return "crc";
    case FrameFault::Kind::body:
      return "body";
  }
  return "header";
}

std::string to_hex(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string out;
  out.reserve(2 * bytes.size());
  for (const char byte : bytes) {
    const auto value = static_cast<unsigned char>(byte);
    out += kDigits[value >> 4U];
    out += kDigits[value & 0xFU];
  }
  return out;
}

std::optional<std::string> from_hex(std::string_view hex) {
  if (hex.size() % 2 != 0) return {};
  std::string out;
  out.reserve(hex.size() / 2);
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    const auto byte = parse_hex(hex.substr(i, 2));
    if (!byte) return {};
    out += static_cast<char>(*byte);
  }
  return out;
}

std::optional<std::uint32_t> parse_hex(std::string_view digits) { return parse_whole<std::uint32_t>(digits, 8, 16); }

std::optional<std::uint32_t> parse_decimal(std::string_view digits) {
  return parse_whole<std::uint32_t>(digits, 9, 10);
}

std::optional<WallTime> parse_china_digits(std::string_view digits) {
  const std::size_t year_digits = digits.size() == 14 || digits.size() == 17 ? 4 : 2;
  if (year_digits == 2 && digits.size() != 8 && digits.size() != 10 && digits.size() != 12) return {};
  bool whole = true;
  const auto take = [&](std::size_t count) {
    if (digits.empty()) return 0U;
    const auto value = parse_decimal(digits.substr(0, count));
    digits.remove_prefix(count);
    whole = whole && value.has_value();
    return value.value_or(0);
  };
  const auto year = take(year_digits) + (year_digits == 2 ? 2000 : 0);
  const auto month = take(2);
  const auto day = take(2);
  const auto hour = take(2);
  const auto minute = take(2);
  const auto second = take(2);
  const auto millis = take(3);
  const std::chrono::year_month_day date{std::chrono::year{static_cast<int>(year)}, std::chrono::month{month},
                                         std::chrono::day{day}};
  if (!whole || !date.ok() || hour > 23 || minute > 59 || second > 59) return {};
  return std::chrono::sys_days{date} + std::chrono::hours{hour} + std::chrono::minutes{minute} +
         std::chrono::seconds{second} + Millis{millis} - kChina;
}

std::string china_digits(WallTime time) {
  const auto local = time + kChina;
  const auto day = std::chrono::floor<std::chrono::days>(local);
  const std::chrono::year_month_day date{day};
  const std::chrono::hh_mm_ss<Millis> clock{local - day};
  return fmt::format("{:04}{:02}{:02}{:02}{:02}{:02}{:03}", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), clock.hours().count(),
                     clock.minutes().count(), clock.seconds().count(), clock.subseconds().count());
}

std::string device_text(std::string_view bytes) {
  constexpr std::string_view kReplacement = "\xEF\xBF\xBD";
  if (is_utf8_text(bytes)) return std::string{bytes};
  const auto close = [](void* converter) { iconv_close(converter); };
  const auto opened = iconv_open("UTF-8", "GBK");
  const std::unique_ptr<void, decltype(close)> converter{opened == iconv_t(-1) ? nullptr : opened, close};  // NOLINT: iconv's error
  std::string in{bytes};
  std::string out;
  for (std::size_t at = 0; at < in.size();) {
    std::array<char, 8> character{};
    // One byte or two at a time: what cannot be read costs no more than itself.
    const std::size_t size = static_cast<unsigned char>(in[at]) < 0x80 ? 1 : std::min<std::size_t>(2, in.size() - at);
    char* from = in.data() + at;
    char* to = character.data();
    std::size_t left = size;
    std::size_t room = character.size();
    const bool good = size == 1 ? static_cast<unsigned char>(in[at]) < 0x80
                                : converter && iconv(converter.get(), &from, &left, &to, &room) != static_cast<std::size_t>(-1);
    out += !good ? kReplacement : size == 1 ? std::string_view{&in[at], 1} : std::string_view{character.data(), character.size() - room};
    at += good ? size : 1;
  }
  return out;
}

std::uint16_t crc16(std::string_view bytes) {
  std::uint16_t crc = 0xFFFF;
  for (const char byte : bytes) {
    crc = static_cast<std::uint16_t>(crc ^ static_cast<unsigned char>(byte));
    for (int bit = 0; bit < 8; ++bit) {
      const bool low = (crc & 1U) != 0;
      crc = static_cast<std::uint16_t>(crc >> 1U);
      if (low) crc = static_cast<std::uint16_t>(crc ^ 0xA001U);
    }
  }
  return crc;
}

}  // namespace hamlet::wire
