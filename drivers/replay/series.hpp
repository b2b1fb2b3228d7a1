#pragma once

#include <cstdint>
#include <filesystem>
#include <iosfwd>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "firmware/core/reading.hpp"
#include "firmware/core/result.hpp"
#include "firmware/core/time.hpp"

namespace hamlet::drivers::replay {

/// "2014-04-01 00:05:00", "2014-04-01T00:05:00.250Z", "2014-04-01T08:05+08:00", "2014/4/1 0:05", "2014-04-01" (its midnight),
/// Unix time "1396310700" or "1396310700000" up to 2030: without a zone it is taken as UTC.
/// Error invalid: what was expected.
[[nodiscard]] Result<WallTime> parse_stamp(std::string_view text);

enum class CellType { number, boolean };

/// One line of a series.
struct Row {
  WallTime at{};
  Value value{};
};
/// `timestamp,value`; what follows a second comma is not looked at. A number must be finite; a boolean is true, false,
/// 1 or 0. Error invalid: what is wrong.
[[nodiscard]] Result<Row> parse_row(std::string_view line, CellType type);

/// A value and when it comes, counted from the start of the replay.
struct Sample {
  Millis elapsed{};
  Value value{};
};

/// One CSV file, read as a stream: `timestamp,value` lines in order of time, a header or none. One thread.
///
/// Lines that do not parse, that go back in time or are longer than 4096 bytes are counted and left out. At the end it
/// either ends or begins anew, one interval after the last sample.
class Series {
 public:
  static constexpr std::uintmax_t kMaxFileBytes = 1U << 30;
  static constexpr std::size_t kMaxLineBytes = 4096;

  /// Error: no such file, no regular file, too large, not readable.
  [[nodiscard]] static Result<Series> open(const std::filesystem::path& file, CellType type, bool loop);
  /// `name`: what messages call it. The stream must be able to seek where `loop` is set.
  Series(std::unique_ptr<std::istream> in, std::string name, CellType type, bool loop);

  /// The samples of the next `lines` lines: none need not mean the end.
  [[nodiscard]] std::vector<Sample> read(std::size_t lines);
  /// Whether there is nothing more to come. With `loop` only where the file holds no sample at all.
  [[nodiscard]] bool ended() const { return ended_; }

  [[nodiscard]] std::uint64_t bad_lines() const { return bad_lines_; }
  /// "series.csv:12: what is wrong", of the first bad line; empty: none.
  [[nodiscard]] const std::string& first_bad() const { return first_bad_; }

 private:
  [[nodiscard]] std::optional<Sample> read_line();
  [[nodiscard]] std::optional<Sample> place(const Row& row);
  void finish_pass();
  void note_bad(std::string_view what);

  std::unique_ptr<std::istream> in_;
  std::string name_;
  CellType type_;
  bool loop_;
  std::vector<char> buffer_;
  bool ended_ = false;
  std::uint64_t line_ = 0;
  std::uint64_t bad_lines_ = 0;
  std::string first_bad_;
  std::optional<WallTime> last_;  // stamp of the last sample in this pass
  Millis elapsed_{0};             // of the last sample
  Millis interval_{1000};         // between the last two samples that differ in time
  bool pass_begins_ = true;
  bool ever_ = false;  // whether there was a sample
};

}  // namespace hamlet::drivers::replay
