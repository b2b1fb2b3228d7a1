#pragma once

#include <string>
#include <string_view>

namespace hamlet {

enum class Lang { zh, en };

/// A text that a technician or a county sees, in both languages.
struct Text {
  std::string zh;
  std::string en;

  [[nodiscard]] const std::string& in(Lang lang) const { return lang == Lang::zh ? zh : en; }
  friend bool operator==(const Text&, const Text&) = default;
};

/// Columns that UTF-8 text takes on a terminal: 2 for wide (CJK) characters, 0 for combining ones.
[[nodiscard]] std::size_t display_width(std::string_view utf8);

/// Whether `bytes` is well-formed UTF-8 (what MQTT and JSON demand).
[[nodiscard]] bool is_utf8(std::string_view bytes);

}  // namespace hamlet
