#pragma once

#include <cstdint>
#include <istream>
#include <optional>
#include <string>
#include <utility>

#include <tl/expected.hpp>

#include "firmware/core/time.hpp"
#include "firmware/ctl/texts.hpp"

namespace hamlet::ctl {

/// A recorded series as a file of lines `timestamp,value`, read as a stream: memory does not depend on its length.
///
/// A heading, where there is one, names the columns `timestamp` and `value`, in any place among others; without one
/// they are the first two. Columns are separated as in the first line: by commas, semicolons (numbers then may have a decimal
/// comma) or tabs. A stamp is any that drivers::replay::parse_stamp() takes; one without a zone is in `zone`. A value that
/// is empty, NaN or null is missing. Quotes around a field are taken off. Times need not be in order.
class SeriesCsv {
 public:
  static constexpr std::size_t kMaxLineBytes = 4096;

  struct Row {
    std::uint64_t line = 0;  ///< from 1
    WallTime at{};
    std::string text{};              ///< of the value, where it is no number: "true"
    std::optional<double> number{};  ///< may be infinite, never NaN
    [[nodiscard]] bool missing() const { return !number && text.empty(); }
  };
  /// What is wrong with a line: a text, and what it speaks of.
  struct Wrong {
    Say what;
    std::string about{};
  };
  /// A line that does not parse; what follows can still be read.
  struct BadLine {
    std::uint64_t line = 0;
    Wrong wrong;
  };
  /// A row, a bad line, or neither at the end.
  struct Next {
    std::optional<Row> row{};
    std::optional<BadLine> bad{};
  };

  /// `zone`: "Z", "+08:00".
  SeriesCsv(std::istream& in, std::string zone) : in_{in}, zone_{std::move(zone)} {}
  [[nodiscard]] Next next();

 private:
  [[nodiscard]] bool read_line();
  [[nodiscard]] std::optional<std::string_view> column(std::size_t index) const;
  [[nodiscard]] tl::expected<bool, Wrong> read_heading();
  [[nodiscard]] tl::expected<Row, Wrong> read_row() const;

  std::istream& in_;
  std::string zone_;
  std::string line_;
  std::uint64_t number_ = 0;
  bool too_long_ = false;
  char separator_ = ',';
  std::size_t stamp_at_ = 0;
  std::size_t value_at_ = 1;
};

}  // namespace hamlet::ctl
