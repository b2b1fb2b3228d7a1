#pragma once

#include <cstdint>
#include <string_view>

#include "firmware/core/text.hpp"

/// What the socket and the verb table say to people, in both languages.
namespace hamlet::control::texts {

[[nodiscard]] Text request_too_long();
[[nodiscard]] Text request_not_json();
[[nodiscard]] Text request_wrong_form();
[[nodiscard]] Text answer_too_long();
[[nodiscard]] Text no_answer_in_time(std::string_view verb);
[[nodiscard]] Text verb_unknown(std::string_view verb);
[[nodiscard]] Text verb_unknown(std::string_view verb, std::string_view nearest);
[[nodiscard]] Text may_not_read();
[[nodiscard]] Text may_not_change(std::string_view verb);
[[nodiscard]] Text not_open_to_county(std::string_view verb);
[[nodiscard]] Text too_many_connections();
[[nodiscard]] Text too_much_pending();

[[nodiscard]] Text arg_missing(std::string_view key);
[[nodiscard]] Text arg_unknown(std::string_view key);
[[nodiscard]] Text arg_not_text(std::string_view key);
[[nodiscard]] Text arg_not_value(std::string_view key);
[[nodiscard]] Text arg_not_integer(std::string_view key, std::int64_t min, std::int64_t max);
[[nodiscard]] Text args_wrong(std::string_view detail);

[[nodiscard]] Text socket_path_too_long(std::string_view path);
[[nodiscard]] Text no_socket(std::string_view path);
[[nodiscard]] Text nobody_listens(std::string_view path);
[[nodiscard]] Text no_daemon(std::string_view path, std::string_view cause);
[[nodiscard]] Text socket_denied(std::string_view path);
[[nodiscard]] Text daemon_silent(std::string_view path);
[[nodiscard]] Text connection_lost(std::string_view path);
[[nodiscard]] Text answer_not_understood(std::string_view path);

}  // namespace hamlet::control::texts
