#include "firmware/core/id.hpp"

#include <algorithm>
#include <cstdint>
#include <random>

#include <fmt/format.h>

namespace hamlet {

bool is_id(std::string_view text) {
  return !text.empty() && text.size() <= 32 && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
}

bool is_point_name(std::string_view text) {
  const auto dot = text.find('.');
  return dot != std::string_view::npos && is_id(text.substr(0, dot)) && is_id(text.substr(dot + 1));
}

std::string random_hex64() {
  std::random_device device;  // getrandom(2) on Linux
  const auto value = (std::uint64_t{device()} << 32) | device();
  return fmt::format("{:016x}", value);
}

}  // namespace hamlet
