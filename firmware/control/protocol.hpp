#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

#include "firmware/core/failure.hpp"

namespace hamlet::control {

/// A request and its newline.
inline constexpr std::size_t kMaxRequestBytes = 64 * 1024;
/// An answer and its newline.
inline constexpr std::size_t kMaxAnswerBytes = 16 * 1024 * 1024;
/// Arrays and objects within each other, the request or answer itself included.
inline constexpr std::size_t kMaxDepth = 16;

/// What a verb gives back: its result, a JSON object, or the reason why there is none.
using Answer = Asked<nlohmann::json>;

/// One line from a client: {"verb":"readings","args":{…},"id":7}. `id` comes back with the answer as it was given: a
/// whole number or a string of at most 64 bytes; null where none was given.
struct Request {
  std::string verb;
  nlohmann::json args = nlohmann::json::object();
  nlohmann::json id = nullptr;
};

/// Parses a line without its newline. Bytes from outside: bounded in size and depth, unknown keys are refused. Error
/// invalid.
[[nodiscard]] Asked<Request> decode_request(std::string_view line);
/// The line with its newline. Text that is not UTF-8 is repaired with replacement characters.
[[nodiscard]] std::string encode_request(const Request& request);

/// The line with its newline: {"ok":true,"result":{…}} or {"ok":false,"code":"not-found","error":{"zh":"…","en":"…"}},
/// and "id" where the request had one. An answer beyond kMaxAnswerBytes becomes a failure that says so.
[[nodiscard]] std::string encode_answer(const Answer& answer, const nlohmann::json& id = nullptr);
/// Parses a line without its newline. The outer Error invalid: this is no answer.
[[nodiscard]] Result<Answer> decode_answer(std::string_view line);

/// The codes as they travel: "failed", "invalid", "not-found", "timeout", "unavailable", "denied", "full", "corrupt",
/// "cancelled".
[[nodiscard]] std::string_view to_string(Errc code);
/// "failed" for a code that is not known.
[[nodiscard]] Errc parse_code(std::string_view text);

/// Parses JSON from outside; nothing where it is not JSON or is nested deeper than kMaxDepth.
[[nodiscard]] std::optional<nlohmann::json> parse_bounded(std::string_view text);

}  // namespace hamlet::control
