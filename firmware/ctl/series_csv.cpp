#include "firmware/ctl/series_csv.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

#include <fmt/format.h>

#include "drivers/replay/series.hpp"

namespace hamlet::ctl {
namespace {

constexpr std::size_t kMostTold = 40;  // bytes of what is wrong

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r";
  const auto first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  text = text.substr(first, text.find_last_not_of(kBlank) - first + 1);
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"') text = text.substr(1, text.size() - 2);
  return text;
}

// Where the first column of a line ends: at a separator outside quotes.
std::size_t end_of_column(std::string_view line, char separator) {
  bool quoted = false;
  std::size_t i = 0;
  for (; i < line.size() && (quoted || line[i] != separator); ++i) quoted = quoted != (line[i] == '"');
  return i;
}

std::string lower(std::string_view text) {
  std::string out{text};
  std::transform(out.begin(), out.end(), out.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return out;
}

// What a first line is separated by: commas, or where it has none semicolons or tabs.
char separator_of(std::string_view line) {
  for (const char each : {',', ';', '\t'}) {
    if (end_of_column(line, each) < line.size()) return each;
  }
  return ',';
}

// In the zone, where the stamp names none.
std::string in_zone(std::string_view stamp, const std::string& zone) {
  std::string out{stamp};
  const auto time = out.find(':');
  if (time == std::string::npos) return out.find_first_of("-/") == std::string::npos ? out : out + " 00:00" + zone;
  return out.find_first_of("Zz+-", time) == std::string::npos ? out + zone : out;
}

// "01/04/2014", "1-4-14": a day or a month comes first.
bool begins_without_year(std::string_view stamp) {
  const auto first = std::min(stamp.find_first_not_of("0123456789"), stamp.size());
  if (first < 1 || first > 2 || first == stamp.size() || std::string_view{"/-."}.find(stamp[first]) == std::string_view::npos) {
    return false;
  }
  const auto rest = stamp.substr(first + 1);
  const auto second = rest.find(stamp[first]);
  return second != std::string_view::npos && rest.find_first_not_of("0123456789") == second;
}

}  // namespace

// The column `index` of the line; nothing where there are fewer.
std::optional<std::string_view> SeriesCsv::column(std::size_t index) const {
  std::string_view line{line_};
  for (; index > 0; --index) {
    const auto end = end_of_column(line, separator_);
    if (end == line.size()) return {};
    line.remove_prefix(end + 1);
  }
  return trimmed(line.substr(0, end_of_column(line, separator_)));
}

// The next line that is not blank; false at the end.
bool SeriesCsv::read_line() {
  do {
    line_.clear();
    too_long_ = false;
    int c = in_.get();
    if (c == std::istream::traits_type::eof()) return false;
    for (; c != std::istream::traits_type::eof() && c != '\n'; c = in_.get()) {
      if (line_.size() < kMaxLineBytes) {
        line_ += static_cast<char>(c);
      } else {
        too_long_ = true;
      }
    }
    ++number_;
    if (number_ == 1 && line_.starts_with("\xEF\xBB\xBF")) line_.erase(0, 3);
  } while (trimmed(line_).empty());
  return true;
}

// Whether the first line is a heading.
tl::expected<bool, SeriesCsv::Wrong> SeriesCsv::read_heading() {
  const auto begins = trimmed(line_);
  if (begins.front() >= '0' && begins.front() <= '9') return false;
  std::optional<std::size_t> stamp;
  std::optional<std::size_t> value;
  for (std::size_t i = 0; const auto name = column(i); ++i) {
    if (!stamp && lower(*name) == "timestamp") stamp = i;
    if (!value && lower(*name) == "value") value = i;
  }
  if (!stamp || !value) return tl::unexpected(Wrong{Say::csv_columns});
  stamp_at_ = *stamp;
  value_at_ = *value;
  return true;
}

tl::expected<SeriesCsv::Row, SeriesCsv::Wrong> SeriesCsv::read_row() const {
  const auto stamp = column(stamp_at_);
  const auto value = column(value_at_);
  if (!stamp || !value) return tl::unexpected(Wrong{Say::csv_row});
  const auto wrong = [](Say what, std::string_view about) {
    return tl::unexpected(Wrong{what, std::string{about.substr(0, kMostTold)}});
  };
  const auto at = drivers::replay::parse_stamp(in_zone(*stamp, zone_));
  if (!at) return wrong(begins_without_year(*stamp) ? Say::csv_year_not_first : Say::csv_no_time, *stamp);
  Row row{.line = number_, .at = *at};
  auto word = lower(*value);
  if (separator_ == ';') std::replace(word.begin(), word.end(), ',', '.');  // a decimal comma
  if (word.empty() || word == "nan" || word == "null") return row;
  double number = 0;
  const auto* end = word.data() + word.size();
  const bool plus = word.front() == '+' && !word.starts_with("+-");
  const auto parsed = std::from_chars(word.data() + (plus ? 1 : 0), end, number);
  if (parsed.ec == std::errc{} && parsed.ptr == end) {
    if (!std::isnan(number)) row.number = number;
    return row;
  }
  if (word != "true" && word != "false") return wrong(Say::csv_no_number, *value);
  row.text = word;
  return row;
}

SeriesCsv::Next SeriesCsv::next() {
  const bool first = number_ == 0;
  if (!read_line()) return {};
  const auto bad = [&](Wrong wrong) { return Next{{}, BadLine{number_, std::move(wrong)}}; };
  if (too_long_) return bad({Say::csv_line_too_long, fmt::to_string(kMaxLineBytes)});
  if (first) {
    if (line_.starts_with("\xFF\xFE") || line_.starts_with("\xFE\xFF")) {
      in_.setstate(std::ios::eofbit);  // no line of it can be read
      return bad({Say::csv_utf16});
    }
    separator_ = separator_of(line_);
    const auto heading = read_heading();
    if (!heading) return bad(heading.error());
    if (*heading) return next();
  }
  auto row = read_row();
  if (!row) return bad(std::move(row).error());
  return {std::move(*row), {}};
}

}  // namespace hamlet::ctl
