#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "firmware/core/text.hpp"
#include "firmware/core/time.hpp"

namespace hamlet::ctl {

// How single values are shown to people. JSON from the daemon is read leniently: what is absent or of another kind
// shows as "-".

/// "3 min ago", from `then` to `now`.
[[nodiscard]] std::string ago(Lang lang, WallTime then, WallTime now);
/// "2 d 3 h", "5 min"
[[nodiscard]] std::string span(Lang lang, Millis duration);
/// "3.2 MB"
[[nodiscard]] std::string bytes(std::uint64_t count);
/// Six significant digits are enough for a person; yes or no for booleans; "-" for null.
[[nodiscard]] std::string value(Lang lang, const nlohmann::json& v);

/// A string member, or empty.
[[nodiscard]] std::string text_at(const nlohmann::json& object, const char* key);
/// A member {"zh","en"} in the language, or empty.
[[nodiscard]] std::string both_at(Lang lang, const nlohmann::json& object, const char* key);
/// A whole number that is not negative, or 0.
[[nodiscard]] std::uint64_t count_at(const nlohmann::json& object, const char* key);
/// A member, or null.
[[nodiscard]] const nlohmann::json& member(const nlohmann::json& object, const char* key);
/// A time in UTC milliseconds.
[[nodiscard]] std::optional<WallTime> time_at(const nlohmann::json& object, const char* key);

}  // namespace hamlet::ctl
