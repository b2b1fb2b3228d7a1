#pragma once

// Writing JSON straight into a string: what encode.cpp and render.cpp share. Not part of the room's face.

#include <charconv>
#include <cmath>
#include <concepts>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "firmware/core/reading.hpp"

namespace hamlet::contract {

inline constexpr char kMarkOpen = '\x01';
inline constexpr char kMarkClose = '\x02';

inline void append_integer(std::string& out, std::integral auto number) {
  char digits[24];
  const auto end = std::to_chars(std::begin(digits), std::end(digits), number).ptr;
  out.append(digits, static_cast<std::size_t>(end - digits));
}

/// The shortest form that reads back as the same number; null where it is not finite, which JSON cannot say.
inline void append_number(std::string& out, double number) {
  if (!std::isfinite(number)) {
    out += "null";
    return;
  }
  char digits[32];
  const auto end = std::to_chars(std::begin(digits), std::end(digits), number).ptr;
  out.append(digits, static_cast<std::size_t>(end - digits));
}

/// Any JSON value on one line; what is not UTF-8 in it is replaced.
inline void append_json(std::string& out, const nlohmann::json& value) {
  out += value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

/// A JSON string. Ids and other plain ASCII, the hot path, are copied as they are.
inline void append_text(std::string& out, std::string_view text) {
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte > 0x7e || c == '"' || c == '\\') return append_json(out, std::string{text});
  }
  out.append(1, '"').append(text).append(1, '"');
}

inline void append_value(std::string& out, const Value& value) {
  if (const auto* number = std::get_if<double>(&value)) return append_number(out, *number);
  if (const auto* flag = std::get_if<bool>(&value)) {
    out += *flag ? "true" : "false";
  } else if (const auto* text = std::get_if<std::string>(&value)) {
    append_text(out, *text);
  } else {
    out += "null";
  }
}

template <class Range, class Append>
void append_array(std::string& out, const Range& items, Append append) {
  out += '[';
  bool first = true;
  for (const auto& item : items) {
    if (!first) out += ',';
    first = false;
    append(out, item);
  }
  out += ']';
}

}  // namespace hamlet::contract
