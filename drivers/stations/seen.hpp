#pragma once

#include <algorithm>
#include <cstddef>
#include <deque>
#include <string>
#include <string_view>

namespace hamlet::drivers::stations {

/// Which reports of a station we have had: the newest so many, as the journal remembers them, and those on their way there.
class Seen {
 public:
  static constexpr std::size_t kMost = 64;

  /// What text() gave.
  explicit Seen(std::string_view text = {}) {
    while (!text.empty()) {
      const auto end = std::min(text.find(' '), text.size());
      if (end > 0) keys_.emplace_back(text.substr(0, end));
      text.remove_prefix(std::min(end + 1, text.size()));
    }
    while (keys_.size() > kMost) keys_.pop_front();
  }
  [[nodiscard]] std::string text() const {
    std::string out;
    for (const auto& key : keys_) out += (out.empty() ? "" : " ") + key;
    return out;
  }

  [[nodiscard]] bool contains(const std::string& key) const {
    return std::find(keys_.begin(), keys_.end(), key) != keys_.end();
  }
  /// `key` has no space.
  void add(std::string key) {
    keys_.push_back(std::move(key));
    if (keys_.size() > kMost) keys_.pop_front();
  }
  void forget(const std::string& key) { std::erase(keys_, key); }

 private:
  std::deque<std::string> keys_;  // oldest first
};

}  // namespace hamlet::drivers::stations
