#include "firmware/core/time.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <ctime>
#include <utility>

#include <fmt/format.h>

namespace hamlet {
namespace {

struct Unit {
  std::string_view name;
  std::int64_t ms;
};
constexpr std::array kUnits{Unit{"ms", 1},     Unit{"s", 1'000},     Unit{"min", 60'000},
                            Unit{"m", 60'000}, Unit{"h", 3'600'000}, Unit{"d", 86'400'000}};
constexpr double kHundredYearsMs = 100.0 * 366 * 86'400'000;

// Years beyond four digits (a clock gone wild) print as they are; nothing here throws.
std::tm civil(std::chrono::sys_seconds time) {
  const std::time_t seconds = time.time_since_epoch().count();
  std::tm out{};
  gmtime_r(&seconds, &out);
  return out;
}

}  // namespace

std::string_view to_string(TimeQuality quality) {
  switch (quality) {
    case TimeQuality::unsynced:
      return "unsynced";
    case TimeQuality::synced:
      return "synced";
    case TimeQuality::holdover:
      return "holdover";
    case TimeQuality::repaired:
      return "repaired";
  }
  return "unsynced";
}

std::string to_iso_utc(WallTime time) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
  const auto tm = civil(seconds);
  const auto ms = (time - seconds).count();
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
                     tm.tm_hour, tm.tm_min, tm.tm_sec, ms);
}

std::string to_china_time(WallTime time) {
  const auto tm = civil(std::chrono::floor<std::chrono::seconds>(time) + std::chrono::hours{8});
  return fmt::format("{:04}-{:02}-{:02} {:02}:{:02}:{:02}", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
                     tm.tm_min, tm.tm_sec);
}

Result<Millis> parse_duration(std::string_view text) {
  const auto bad = [&] {
    return fail(Errc::invalid,
                fmt::format("'{}' is not a duration; write a number and a unit, as in \"250ms\", \"5s\", "
                            "\"10min\", \"2h\" or \"7d\"",
                            text));
  };
  double number = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  if (error != std::errc{} || !std::isfinite(number) || number < 0) return bad();
  std::string_view unit{rest, static_cast<std::size_t>(text.data() + text.size() - rest)};
  while (unit.starts_with(' ')) unit.remove_prefix(1);
  for (const auto& known : kUnits) {
    if (unit != known.name) continue;
    const double ms = number * static_cast<double>(known.ms);
    if (ms > kHundredYearsMs) return bad();
    return Millis{std::llround(ms)};
  }
  return bad();
}

std::string to_string(Millis duration) {
  const auto ms = duration.count();
  for (const auto& [unit, size] :
       {Unit{"d", 86'400'000}, Unit{"h", 3'600'000}, Unit{"min", 60'000}, Unit{"s", 1'000}}) {
    if (ms != 0 && ms % size == 0) return fmt::format("{}{}", ms / size, unit);
  }
  return fmt::format("{}ms", ms);
}

}  // namespace hamlet
