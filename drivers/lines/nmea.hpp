#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <tl/expected.hpp>

namespace hamlet::drivers::lines {

/// Cuts a stream into lines, at CR, LF or both. A line of more than kMost bytes is left out as a whole, however long it
/// gets: what is held is bounded.
class Splitter {
 public:
  static constexpr std::size_t kMost = 1024;

  /// Calls `line` for each line that ends in `bytes`; empty ones are left out.
  void feed(std::string_view bytes, const std::function<void(std::string_view)>& line);
  [[nodiscard]] std::size_t too_long() const { return too_long_; }  ///< lines left out so far

 private:
  std::string begun_;
  bool skipping_ = false;
  std::size_t too_long_ = 0;
};

/// A sentence of NMEA 0183: "$WIMWV,214.8,R,0.1,K,A*28".
struct Sentence {
  std::string talker;               ///< "WI"; "P" for a maker's own
  std::string type;                 ///< "MWV"; of a maker's own all after the P
  std::vector<std::string> fields;  ///< from the first after the type; empty ones are empty
};

/// The sentence, or why it is none: "not-nmea", "no-checksum", "bad-checksum". A checksum that is there must be right; one
/// that is not there is a fault where `needs_checksum`.
[[nodiscard]] tl::expected<Sentence, std::string_view> parse_sentence(std::string_view line, bool needs_checksum);

/// Degrees, north and east positive, of "4807.038" and "N"; nothing where they are none.
[[nodiscard]] std::optional<double> parse_coordinate(std::string_view degrees, std::string_view hemisphere);

/// A finite decimal number, all of it, spaces around and a plus before it allowed.
[[nodiscard]] std::optional<double> parse_number(std::string_view text);

}  // namespace hamlet::drivers::lines
