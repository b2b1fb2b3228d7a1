#include "firmware/core/log.hpp"

#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <ctime>

namespace hamlet::log {
namespace {

Level level_from_environment() {
  const char* text = std::getenv("HAMLET_LOG");
  if (text == nullptr) return Level::info;
  const std::string_view name{text};
  if (name == "debug") return Level::debug;
  if (name == "warning") return Level::warning;
  if (name == "error") return Level::error;
  return Level::info;
}

std::atomic<Level>& threshold() {
  static std::atomic<Level> level{level_from_environment()};
  return level;
}

void append_escaped(std::string& out, std::string_view text) {
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\n') {
      out += "\\n";
    } else if (byte < 0x20 || byte == 0x7F) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
}

struct Style {
  std::string_view word;
  std::string_view colour;
};
Style style_of(Level level) {
  switch (level) {
    case Level::error: return {"ERROR", "\033[31m"};
    case Level::warning: return {"WARN ", "\033[33m"};
    case Level::info: return {"info ", "\033[32m"};
    case Level::debug: return {"debug", "\033[2m"};
  }
  return {"", ""};
}

}  // namespace

std::string format_line(std::string_view message, Fields fields) {
  std::string out;
  append_escaped(out, message);
  for (const auto& field : fields) {
    out += ' ';
    out += field.key;
    out += '=';
    if (!field.value.empty() && field.value.find_first_of(" \"=") == std::string::npos) {
      append_escaped(out, field.value);
      continue;
    }
    out += '"';
    std::string quoted;
    for (const char c : field.value) {
      if (c == '"' || c == '\\') quoted += '\\';
      quoted += c;
    }
    append_escaped(out, quoted);
    out += '"';
  }
  return out;
}

void write(Level level, std::string_view message, Fields fields) {
  if (level > threshold()) return;
  static const bool journald = std::getenv("JOURNAL_STREAM") != nullptr;
  static const bool colour = isatty(STDERR_FILENO) == 1;
  std::string line;
  if (journald) {
    line = fmt::format("<{}>", static_cast<int>(level));
  } else {
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    std::tm local{};
    localtime_r(&now.tv_sec, &local);
    const auto style = style_of(level);
    line = fmt::format("{:02}:{:02}:{:02}.{:03} {}{}{} ", local.tm_hour, local.tm_min, local.tm_sec,
                       now.tv_nsec / 1'000'000, colour ? style.colour : "", style.word, colour ? "\033[0m" : "");
  }
  line += format_line(message, fields);
  line += '\n';
  // Nowhere is left to report a failure to log.
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, line.data(), line.size());
}

void set_level(Level level) { threshold() = level; }

}  // namespace hamlet::log
