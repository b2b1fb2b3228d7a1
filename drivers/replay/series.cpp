#include "drivers/replay/series.hpp"

#include <charconv>
#include <cmath>
#include <fstream>
#include <system_error>

#include <fmt/format.h>

namespace hamlet::drivers::replay {
namespace fs = std::filesystem;
namespace {

constexpr std::streamsize kMostSkipped = 1 << 20;  // of a line that is too long; the rest counts as a line of its own
constexpr std::string_view kStampExpected = "expected a time as 2014-04-01 00:05:00 or 2014-04-01T00:05:00Z";

/// Reads fixed-width fields off the front of a text.
class Cursor {
 public:
  explicit Cursor(std::string_view text) : rest_{text} {}

  [[nodiscard]] bool empty() const { return rest_.empty(); }
  bool skip(char wanted) {
    if (rest_.empty() || rest_.front() != wanted) return false;
    rest_.remove_prefix(1);
    return true;
  }
  /// At least `fewest` decimal digits, and no more than `most` of them.
  std::optional<int> number(std::size_t fewest, std::size_t most) {
    int value = 0;
    std::size_t count = 0;
    for (; count < most && count < rest_.size() && rest_[count] >= '0' && rest_[count] <= '9'; ++count) {
      value = value * 10 + (rest_[count] - '0');
    }
    if (count < fewest) return {};
    rest_.remove_prefix(count);
    return value;
  }
  std::optional<int> number(std::size_t digits) { return number(digits, digits); }
  /// What follows the dot of a second: any number of digits, of which three count.
  int thousandths() {
    int value = 0;
    int weight = 100;
    for (; !rest_.empty() && rest_.front() >= '0' && rest_.front() <= '9'; rest_.remove_prefix(1), weight /= 10) {
      value += weight * (rest_.front() - '0');
    }
    return value;
  }

 private:
  std::string_view rest_;
};

std::optional<std::chrono::sys_days> read_date(Cursor& cursor) {
  const auto year = cursor.number(4);
  if (!year) return {};
  const char between = cursor.skip('/') ? '/' : '-';
  if (between == '-' && !cursor.skip('-')) return {};
  const auto month = cursor.number(1, 2);
  if (!month || !cursor.skip(between)) return {};
  const auto day = cursor.number(1, 2);
  if (!day) return {};
  const std::chrono::year_month_day date{std::chrono::year{*year}, std::chrono::month{static_cast<unsigned>(*month)},
                                         std::chrono::day{static_cast<unsigned>(*day)}};
  if (!date.ok()) return {};
  return std::chrono::sys_days{date};
}

// "00:05", "00:05:00" or "00:05:00.250"
std::optional<Millis> read_time(Cursor& cursor) {
  const auto hour = cursor.number(1, 2);
  if (!hour || *hour > 23 || !cursor.skip(':')) return {};
  const auto minute = cursor.number(2);
  if (!minute || *minute > 59) return {};
  Millis time = std::chrono::hours{*hour} + std::chrono::minutes{*minute};
  if (!cursor.skip(':')) return time;
  const auto second = cursor.number(2);
  if (!second || *second > 60) return {};  // 60: a leap second
  time += std::chrono::seconds{*second};
  if (cursor.skip('.')) time += Millis{cursor.thousandths()};
  return time;
}

// Nothing, "Z", "+08:00", "+0800", "+08" or "-05:30": how far ahead of UTC.
std::optional<Millis> read_zone(Cursor& cursor) {
  if (cursor.empty() || cursor.skip('Z') || cursor.skip('z')) return Millis{0};
  const bool ahead = cursor.skip('+');
  if (!ahead && !cursor.skip('-')) return {};
  const auto hour = cursor.number(2);
  const bool whole = cursor.empty();
  cursor.skip(':');
  const auto minute = whole ? 0 : cursor.number(2);
  if (!hour || *hour > 23 || !minute || *minute > 59) return {};
  const Millis offset = std::chrono::hours{*hour} + std::chrono::minutes{*minute};
  return ahead ? offset : -offset;
}

// Digits alone: seconds (10) or milliseconds (13) of Unix time up to 2030, so that no date written in digits is taken for one.
std::optional<WallTime> read_unix(std::string_view text) {
  constexpr std::int64_t kMost = 1'900'000'000;
  std::int64_t number = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  if (parsed.ec != std::errc{} || parsed.ptr != text.data() + text.size() || number < 0) return {};
  if (text.size() == 10 && number < kMost) return wall_from_ms(number * 1000);
  if (text.size() == 13 && number < kMost * 1000) return wall_from_ms(number);
  return {};
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r";
  const auto first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

Result<Value> parse_cell(std::string_view text, CellType type) {
  if (type == CellType::boolean) {
    if (text == "true" || text == "1") return true;
    if (text == "false" || text == "0") return false;
    return fail(Errc::invalid, "expected true, false, 1 or 0 as the value");
  }
  double number = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  if (parsed.ec == std::errc{} && parsed.ptr == text.data() + text.size() && std::isfinite(number)) return number;
  return fail(Errc::invalid, "expected a finite number as the value");
}

}  // namespace

Result<WallTime> parse_stamp(std::string_view text) {
  if (const auto unix_time = read_unix(text)) return *unix_time;
  Cursor cursor{text};
  const auto date = read_date(cursor);
  if (date && cursor.empty()) return WallTime{*date};
  if (!date || (!cursor.skip(' ') && !cursor.skip('T') && !cursor.skip('t'))) return fail(Errc::invalid, std::string{kStampExpected});
  const auto time = read_time(cursor);
  if (!time) return fail(Errc::invalid, std::string{kStampExpected});
  const auto zone = read_zone(cursor);
  if (!zone || !cursor.empty()) return fail(Errc::invalid, std::string{kStampExpected});
  return WallTime{*date} + *time - *zone;
}

Result<Row> parse_row(std::string_view line, CellType type) {
  const auto comma = line.find(',');
  if (comma == std::string_view::npos) return fail(Errc::invalid, "expected timestamp,value");
  const auto at = parse_stamp(trimmed(line.substr(0, comma)));
  if (!at) return fail(at.error());
  const auto rest = line.substr(comma + 1);
  auto value = parse_cell(trimmed(rest.substr(0, rest.find(','))), type);
  if (!value) return fail(std::move(value).error());
  return Row{*at, std::move(*value)};
}

Result<Series> Series::open(const fs::path& file, CellType type, bool loop) {
  std::error_code error;
  if (!fs::exists(file, error)) return fail(Errc::not_found, fmt::format("{}: there is no such file", file.string()));
  if (!fs::is_regular_file(file, error)) return fail(Errc::invalid, fmt::format("{}: not a file", file.string()));
  if (fs::file_size(file, error) > kMaxFileBytes) {
    return fail(Errc::invalid, fmt::format("{}: larger than {} bytes", file.string(), kMaxFileBytes));
  }
  auto in = std::make_unique<std::ifstream>(file, std::ios::binary);
  if (!*in) return fail(Errc::denied, fmt::format("{}: cannot be opened; check its owner and mode", file.string()));
  return Series{std::move(in), file.string(), type, loop};
}

Series::Series(std::unique_ptr<std::istream> in, std::string name, CellType type, bool loop)
    : in_{std::move(in)}, name_{std::move(name)}, type_{type}, loop_{loop}, buffer_(kMaxLineBytes + 1) {}

std::vector<Sample> Series::read(std::size_t lines) {
  std::vector<Sample> samples;
  for (std::size_t i = 0; i < lines && !ended_; ++i) {
    if (auto sample = read_line()) samples.push_back(std::move(*sample));
  }
  return samples;
}

std::optional<Sample> Series::read_line() {
  in_->getline(buffer_.data(), static_cast<std::streamsize>(buffer_.size()));
  if (in_->eof() && in_->gcount() == 0) {
    finish_pass();
    return {};
  }
  ++line_;
  if (in_->fail() && !in_->eof()) {
    in_->clear();
    in_->ignore(kMostSkipped, '\n');
    note_bad(fmt::format("the line is longer than {} bytes", kMaxLineBytes));
    return {};
  }
  const auto got = static_cast<std::size_t>(in_->gcount());
  std::string_view line{buffer_.data(), in_->eof() ? got : got - 1};  // the newline was read, not kept
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  if (line_ == 1 && line.starts_with(kByteOrderMark)) line.remove_prefix(kByteOrderMark.size());
  line = trimmed(line);
  if (line.empty()) return {};
  const bool is_header = line_ == 1 && (line.front() < '0' || line.front() > '9');
  if (is_header) return {};
  const auto row = parse_row(line, type_);
  if (row) return place(*row);
  note_bad(row.error().message);
  return {};
}

std::optional<Sample> Series::place(const Row& row) {
  if (last_ && row.at < *last_) {
    note_bad("the time is before that of the line above");
    return {};
  }
  const auto step = last_ ? row.at - *last_ : Millis{0};
  if (step > Millis{0}) interval_ = step;
  if (pass_begins_ && ever_) {
    elapsed_ += interval_;  // a new pass
  } else {
    elapsed_ += step;
  }
  pass_begins_ = false;
  ever_ = true;
  last_ = row.at;
  return Sample{elapsed_, row.value};
}

void Series::finish_pass() {
  if (!loop_ || !ever_) {
    ended_ = true;
    return;
  }
  in_->clear();
  in_->seekg(0);
  if (!*in_) ended_ = true;
  line_ = 0;
  last_.reset();
  pass_begins_ = true;
}

void Series::note_bad(std::string_view what) {
  if (bad_lines_++ == 0) first_bad_ = fmt::format("{}:{}: {}", name_, line_, what);
}

}  // namespace hamlet::drivers::replay
