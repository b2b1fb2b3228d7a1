#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

#include <fmt/format.h>

namespace hamlet::log {

/// error: someone must act. warning: degraded. info: a rare change of state. debug: for developers, off by default.
enum class Level { error = 3, warning = 4, info = 6, debug = 7 };

/// A key and its value; the value is formatted once, and quoted where it has to be.
struct Field {
  std::string_view key;
  std::string value;
  template <class T>
  Field(std::string_view k, const T& v) : key{k}, value{fmt::format("{}", v)} {}
};
using Fields = std::initializer_list<Field>;

/// Writes one line `message key=value …` to stderr, in one write. Under journald (JOURNAL_STREAM is set) it carries the
/// priority prefix of sd-daemon(3); elsewhere time of day, level and colour where stderr is a terminal. Thread-safe.
/// A repeated fault logs on change of state, not on every poll: that is the caller's duty.
void write(Level level, std::string_view message, Fields fields = {});

inline void error(std::string_view message, Fields fields = {}) { write(Level::error, message, fields); }
inline void warning(std::string_view message, Fields fields = {}) { write(Level::warning, message, fields); }
inline void info(std::string_view message, Fields fields = {}) { write(Level::info, message, fields); }
inline void debug(std::string_view message, Fields fields = {}) { write(Level::debug, message, fields); }

/// The line as it would be written, without prefix or newline: control characters escaped, so that no value forges a line.
[[nodiscard]] std::string format_line(std::string_view message, Fields fields);

/// What is less urgent than this is not written. Default info; HAMLET_LOG=debug in the environment also sets it.
void set_level(Level level);

}  // namespace hamlet::log
