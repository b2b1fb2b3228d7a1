#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <optional>

#include <fmt/format.h>
#include <re2/re2.h>

#include "drivers/lines/lines.hpp"
#include "drivers/lines/nmea.hpp"
#include "drivers/texts.hpp"

namespace hamlet::drivers::lines {
namespace {

using namespace std::string_view_literals;

constexpr std::array kProtocols{"text"sv, "nmea"sv};
constexpr std::array kTypes{"number"sv, "text"sv, "boolean"sv, "coordinate"sv};
enum class Type { number, text, boolean, coordinate };  // as kTypes

constexpr std::size_t kMostPatterns = 32;
constexpr std::size_t kMostText = 256;  // bytes of a value

/// How the text of a point becomes its value.
struct Conversion {
  Type type = Type::number;
  double scale = 1;
  double offset = 0;
  std::vector<std::string> none;  // texts that mean that there is no value
  std::string is_true;
};

Conversion read_conversion(const config::Table& table) {
  Conversion how;
  how.type = static_cast<Type>(table.choice_or("type", 0, kTypes));
  how.none = table.texts_or("none");
  if (how.type == Type::number) {
    how.scale = table.number_or("scale", 1);
    if (how.scale == 0) table.error("scale", texts::scale_zero());
    how.offset = table.number_or("offset", 0);
  }
  if (how.type == Type::boolean) how.is_true = table.text("is_true");
  return how;
}

ValueType value_type(Type type) {
  if (type == Type::text) return ValueType::text;
  return type == Type::boolean ? ValueType::boolean : ValueType::number;
}

// Nothing (monostate): no value.
Value convert(std::string_view text, const Conversion& how) {
  if (text.empty() || std::find(how.none.begin(), how.none.end(), text) != how.none.end()) return {};
  if (how.type == Type::boolean) return text == how.is_true;
  if (how.type == Type::text) {
    if (text.size() > kMostText || !is_utf8(text)) return {};
    return std::string{text};
  }
  const auto number = parse_number(text);
  const auto value = number.value_or(0) * how.scale + how.offset;
  if (!number || !std::isfinite(value)) return {};
  return value;
}

/// Lines by pattern: RE2, whose time is linear in the line, whatever pattern and line are.
class Patterns final : public Meaning {
 public:
  struct Point {
    std::string group;
    Conversion how;
  };

  Patterns(std::vector<std::shared_ptr<const RE2>> patterns, const std::vector<Point>& points) {
    for (auto& pattern : patterns) {
      Pattern each{.regex = std::move(pattern), .wanted = {}};
      const auto& names = each.regex->NamedCapturingGroups();
      for (std::size_t i = 0; i < points.size(); ++i) {
        if (const auto it = names.find(points[i].group); it != names.end()) {
          each.wanted.push_back({i, static_cast<std::size_t>(it->second), points[i].how});
        }
      }
      patterns_.push_back(std::move(each));
    }
  }

  std::vector<Found> read(std::string_view line, std::string_view& why) const override {
    std::vector<Found> found;
    why = "no-match";
    for (const auto& pattern : patterns_) {
      std::vector<re2::StringPiece> groups(static_cast<std::size_t>(pattern.regex->NumberOfCapturingGroups()) + 1);
      const re2::StringPiece text{line.data(), line.size()};
      if (!pattern.regex->Match(text, 0, line.size(), RE2::UNANCHORED, groups.data(), static_cast<int>(groups.size()))) {
        continue;
      }
      for (const auto& each : pattern.wanted) {
        const auto& group = groups[each.group];
        if (group.data() != nullptr) found.push_back({each.point, convert({group.data(), group.size()}, each.how)});
      }
    }
    return found;
  }

 private:
  struct Wanted {
    std::size_t point;
    std::size_t group;
    Conversion how;
  };
  struct Pattern {
    std::shared_ptr<const RE2> regex;
    std::vector<Wanted> wanted;
  };
  std::vector<Pattern> patterns_;
};

/// NMEA 0183 by sentence and field. The talker does not matter: a gauge may be WI or II.
class Nmea final : public Meaning {
 public:
  struct Point {
    std::string sentence;
    std::size_t field = 1;              // from 1
    std::size_t valid_field = 0;        // 0: none
    std::vector<std::string> valid;     // what it then has to be
    Conversion how;
  };

  Nmea(std::vector<Point> points, bool needs_checksum) : points_{std::move(points)}, needs_checksum_{needs_checksum} {}

  std::vector<Found> read(std::string_view line, std::string_view& why) const override {
    std::vector<Found> found;
    const auto sentence = parse_sentence(line, needs_checksum_);
    why = sentence ? "no-match" : sentence.error();
    if (!sentence) return found;
    for (std::size_t i = 0; i < points_.size(); ++i) {
      if (points_[i].sentence == sentence->type) found.push_back({i, value_of(points_[i], sentence->fields)});
    }
    return found;
  }

 private:
  static Value value_of(const Point& point, const std::vector<std::string>& fields) {
    const auto field = [&](std::size_t number) -> std::string_view {
      return number <= fields.size() ? std::string_view{fields[number - 1]} : std::string_view{};
    };
    if (point.valid_field > 0) {
      const auto mark = field(point.valid_field);
      if (std::find(point.valid.begin(), point.valid.end(), mark) == point.valid.end()) return {};
    }
    if (point.how.type != Type::coordinate) return convert(field(point.field), point.how);
    const auto degrees = parse_coordinate(field(point.field), field(point.field + 1));
    return degrees ? Value{*degrees} : Value{};
  }

  std::vector<Point> points_;
  bool needs_checksum_;
};

std::vector<std::shared_ptr<const RE2>> read_patterns(const config::Table& device) {
  std::vector<std::shared_ptr<const RE2>> patterns;
  const auto texts = device.texts_or("patterns");
  if (texts.empty() || texts.size() > kMostPatterns) {
    device.error("patterns", texts::want_patterns());
  }
  RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(1 << 20);
  options.set_encoding(RE2::Options::EncodingLatin1);  // lines need not be UTF-8
  for (const auto& text : texts) {
    auto regex = std::make_shared<const RE2>(text, options);
    if (!regex->ok()) device.error("patterns", texts::bad_pattern(text, regex->error()));
    if (regex->ok()) patterns.push_back(std::move(regex));
  }
  return patterns;
}

std::shared_ptr<const Meaning> read_text(const config::Table& device, const std::string& id,
                                         std::vector<PointInfo>& infos) {
  const auto patterns = read_patterns(device);
  std::vector<Patterns::Point> points;
  infos = read_points(device, id, [&](const config::Table& table) {
    auto usual = table.id("id");
    std::replace(usual.begin(), usual.end(), '-', '_');
    const auto group = table.text_or("group", usual);
    const bool known = std::any_of(patterns.begin(), patterns.end(), [&](const auto& pattern) {
      return pattern->NamedCapturingGroups().contains(group);
    });
    if (!known && !patterns.empty()) {
      table.error("group", texts::no_group(group));
    }
    points.push_back({group, read_conversion(table)});
    if (points.back().how.type == Type::coordinate) table.error("type", texts::only_nmea());
    return value_type(points.back().how.type);
  });
  return std::make_shared<Patterns>(patterns, points);
}

std::shared_ptr<const Meaning> read_nmea(const config::Table& device, const std::string& id,
                                         std::vector<PointInfo>& infos) {
  std::vector<Nmea::Point> points;
  const bool needs_checksum = device.flag_or("checksum", true);
  infos = read_points(device, id, [&](const config::Table& table) {
    Nmea::Point point;
    point.sentence = table.text("sentence");
    point.field = static_cast<std::size_t>(table.integer("field", {1, 80}));
    if (table.has("valid_field")) {
      point.valid_field = static_cast<std::size_t>(table.integer("valid_field", {1, 80}));
      point.valid = table.texts_or("valid");
      if (point.valid.empty()) table.error("valid", texts::want_valid());
    }
    point.how = read_conversion(table);
    points.push_back(std::move(point));
    return value_type(points.back().how.type);
  });
  return std::make_shared<Nmea>(std::move(points), needs_checksum);
}

}  // namespace

std::shared_ptr<const Meaning> read_meaning(const config::Table& device, const std::string& id,
                                            std::vector<PointInfo>& infos) {
  return device.choice_or("protocol", 0, kProtocols) == 1 ? read_nmea(device, id, infos) : read_text(device, id, infos);
}

}  // namespace hamlet::drivers::lines
