#include "drivers/mqtt/payload.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

namespace hamlet::drivers::mqtt {
namespace {

using nlohmann::json;

constexpr std::size_t kMostBytes = 64 << 10;
constexpr int kDeepest = 16;
constexpr std::size_t kMostValues = 4096;
constexpr std::size_t kMostText = 256;

std::string lower(std::string_view text) {
  std::string out{text};
  std::transform(out.begin(), out.end(), out.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return out;
}

std::optional<double> to_number(std::string_view text) {
  double number = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  if (parsed.ec != std::errc{} || parsed.ptr != text.data() + text.size()) return {};
  return number;
}

std::optional<double> number_of(const json& value) {
  if (value.is_number()) return value.get<double>();
  if (value.is_boolean()) return value.get<bool>() ? 1 : 0;
  return value.is_string() ? to_number(value.get_ref<const std::string&>()) : std::nullopt;
}

std::optional<bool> flag_of(const json& value) {
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_number()) return value.get<double>() != 0;
  if (!value.is_string()) return {};
  const auto word = lower(value.get_ref<const std::string&>());
  for (const auto* yes : {"on", "true", "1", "yes", "open"}) {
    if (word == yes) return true;
  }
  for (const auto* no : {"off", "false", "0", "no", "closed"}) {
    if (word == no) return false;
  }
  return {};
}

Value number_value(double raw, const Rule& rule) {
  if (rule.fahrenheit) raw = (raw - 32) / 1.8;
  const auto value = raw * rule.scale + rule.offset;
  return std::isfinite(value) ? Value{value} : Value{};
}

bool is_none(const json& value, const Rule& rule) {
  if (value.is_null()) return true;
  if (!value.is_string()) return false;
  const auto& text = value.get_ref<const std::string&>();
  const auto word = lower(text);
  return word == "nan" || word == "unknown" || word == "null" ||
         std::find(rule.none.begin(), rule.none.end(), text) != rule.none.end();
}

// "08" at `at`, within bounds; -1 where it is none.
int digits(std::string_view text, std::size_t at, std::size_t count, int most) {
  int number = 0;
  if (text.size() < at + count) return -1;
  const auto part = text.substr(at, count);
  const auto parsed = std::from_chars(part.data(), part.data() + count, number);
  return parsed.ec == std::errc{} && parsed.ptr == part.data() + count && number >= 0 && number <= most ? number : -1;
}

}  // namespace

Result<json> parse_payload(std::string_view payload) {
  if (payload.size() > kMostBytes) return fail(Errc::invalid, "longer than 64 KiB");
  bool deep = false;
  std::size_t values = 0;
  auto parsed = json::parse(
      payload,
      [&](int depth, json::parse_event_t event, json&) {
        const bool opens = event == json::parse_event_t::array_start || event == json::parse_event_t::object_start;
        deep = deep || (opens && depth >= kDeepest) || ++values > kMostValues;
        return !deep;
      },
      false);
  if (deep) return fail(Errc::invalid, "deeper than 16 levels, or more than 4096 values");
  if (!parsed.is_discarded()) return parsed;
  if (!is_utf8(payload)) return fail(Errc::invalid, "neither JSON nor text");
  return json(std::string{payload});
}

std::optional<Value> value_at(const json& payload, const Rule& rule) {
  const json* found = nullptr;
  try {
    found = &payload.at(rule.pointer);
  } catch (const json::exception&) {  // its only way to say no
    return rule.absent ? std::optional{number_value(*rule.absent, rule)} : std::nullopt;
  }
  if (is_none(*found, rule)) return Value{};
  switch (rule.type) {
    case ValueType::number: {
      const auto number = number_of(*found);
      return number && std::isfinite(*number) ? number_value(*number, rule) : Value{};
    }
    case ValueType::boolean: {
      const auto flag = flag_of(*found);
      return flag ? Value{*flag} : Value{};
    }
    case ValueType::text:
      if (!found->is_string() || found->get_ref<const std::string&>().size() > kMostText) return Value{};
      return Value{found->get<std::string>()};
  }
  return Value{};
}

std::optional<WallTime> parse_rfc3339(std::string_view text) {
  using namespace std::chrono;
  const int y = digits(text, 0, 4, 9999);
  const int mo = digits(text, 5, 2, 12);
  const int d = digits(text, 8, 2, 31);
  const int h = digits(text, 11, 2, 23);
  const int mi = digits(text, 14, 2, 59);
  const int s = digits(text, 17, 2, 60);
  if (y < 0 || mo < 1 || d < 1 || h < 0 || mi < 0 || s < 0) return {};
  if (text[4] != '-' || text[7] != '-' || (text[10] != 'T' && text[10] != ' ') || text[13] != ':' || text[16] != ':') return {};
  const year_month_day date{year{y}, month{static_cast<unsigned>(mo)}, day{static_cast<unsigned>(d)}};
  if (!date.ok()) return {};
  auto rest = text.substr(19);
  int ms = 0;
  if (rest.starts_with('.')) {
    const auto end = std::min(rest.find_first_not_of("0123456789", 1), rest.size());
    if (end < 2) return {};
    int place = 100;
    for (std::size_t i = 1; i < end && place > 0; ++i, place /= 10) ms += (rest[i] - '0') * place;
    rest.remove_prefix(end);
  }
  minutes offset{0};
  if (rest != "Z" && rest != "z") {
    const int oh = digits(rest, 1, 2, 23);
    const int om = digits(rest, 4, 2, 59);
    if (rest.size() != 6 || (rest[0] != '+' && rest[0] != '-') || rest[3] != ':' || oh < 0 || om < 0) return {};
    offset = minutes{oh * 60 + om} * (rest[0] == '-' ? -1 : 1);
  }
  return sys_days{date} + hours{h} + minutes{mi} + seconds{s} + milliseconds{ms} - offset;
}

bool matches(std::string_view filter, std::string_view topic) {
  for (;;) {
    const auto want = filter.substr(0, filter.find('/'));
    if (want == "#") return true;
    const auto level = topic.substr(0, topic.find('/'));
    if (want != "+" && want != level) return false;
    const bool filter_ends = want.size() == filter.size();
    const bool topic_ends = level.size() == topic.size();
    if (filter_ends || topic_ends) return filter_ends == topic_ends || filter.substr(want.size()) == "/#";
    filter.remove_prefix(want.size() + 1);
    topic.remove_prefix(level.size() + 1);
  }
}

std::optional<bool> parse_availability(std::string_view payload) {
  const auto parsed = parse_payload(payload);
  if (!parsed) return {};
  const auto* word = &*parsed;
  if (parsed->is_object() && parsed->contains("state")) word = &parsed->at("state");
  if (!word->is_string()) return {};
  const auto text = lower(word->get_ref<const std::string&>());
  if (text == "online") return true;
  if (text == "offline") return false;
  return {};
}

}  // namespace hamlet::drivers::mqtt
