#include "firmware/ctl/format.hpp"

#include <array>
#include <cmath>

#include <fmt/format.h>

#include "firmware/ctl/texts.hpp"

namespace hamlet::ctl {

using nlohmann::json;
using std::chrono::seconds;

std::string ago(Lang lang, WallTime then, WallTime now) {
  const auto age = std::chrono::floor<seconds>(now - then).count();
  if (age < -5) return say(lang, Say::in_future);
  if (age < 60) return say(lang, Say::seconds_ago, std::max<std::int64_t>(age, 0));
  if (age < 3'600) return say(lang, Say::minutes_ago, age / 60);
  if (age < 48 * 3'600) return say(lang, Say::hours_ago, age / 3'600);
  return say(lang, Say::days_ago, age / 86'400);
}

std::string span(Lang lang, Millis duration) {
  const auto all = std::chrono::floor<seconds>(duration).count();
  if (all < 60) return say(lang, Say::span_seconds, all);
  if (all < 3'600) return say(lang, Say::span_minutes, all / 60);
  if (all < 48 * 3'600) return say(lang, Say::span_hours, all / 3'600, all % 3'600 / 60);
  return say(lang, Say::span_days, all / 86'400, all % 86'400 / 3'600);
}

std::string bytes(std::uint64_t count) {
  constexpr std::array kUnits{"B", "kB", "MB", "GB", "TB"};
  auto size = static_cast<double>(count);
  std::size_t unit = 0;
  while (size >= 999.5 && unit + 1 < kUnits.size()) {
    size /= 1000;
    ++unit;
  }
  return unit == 0 ? fmt::format("{} B", count) : fmt::format("{:.1f} {}", size, kUnits.at(unit));
}

std::string value(Lang lang, const json& v) {
  if (v.is_boolean()) return say(lang, v.get<bool>() ? Say::yes : Say::no);
  if (v.is_string()) return v.get<std::string>();
  if (v.is_number_integer()) return v.dump();
  if (!v.is_number_float()) return say(lang, Say::none);
  const auto number = v.get<double>();
  if (number == std::round(number) && std::abs(number) < 1e15) return fmt::format("{:.0f}", number);
  return std::abs(number) < 1e5 ? fmt::format("{:.6g}", number) : fmt::format("{:.2f}", number);
}

const json& member(const json& object, const char* key) {
  static const json kNull;
  if (!object.is_object()) return kNull;
  const auto found = object.find(key);
  return found == object.end() ? kNull : *found;
}

std::string text_at(const json& object, const char* key) {
  const auto& found = member(object, key);
  return found.is_string() ? found.get<std::string>() : std::string{};
}

std::string both_at(Lang lang, const json& object, const char* key) {
  const auto& found = member(object, key);
  if (found.is_string()) return found.get<std::string>();
  auto text = text_at(found, lang == Lang::zh ? "zh" : "en");
  return text.empty() ? text_at(found, lang == Lang::zh ? "en" : "zh") : text;
}

std::uint64_t count_at(const json& object, const char* key) {
  const auto& found = member(object, key);
  if (found.is_number_unsigned()) return found.get<std::uint64_t>();
  if (found.is_number_integer())
    return static_cast<std::uint64_t>(std::max<std::int64_t>(found.get<std::int64_t>(), 0));
  return 0;
}

std::optional<WallTime> time_at(const json& object, const char* key) {
  const auto& found = member(object, key);
  constexpr std::int64_t kYear10000{253'402'300'800'000};
  if (!found.is_number_integer()) return {};
  const auto ms = found.get<std::int64_t>();
  return ms >= 0 && ms < kYear10000 ? std::optional{wall_from_ms(ms)} : std::nullopt;
}

}  // namespace hamlet::ctl
