#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace hamlet::ctl {

enum class Style { plain, good, attention, bad, faint };

struct Cell {
  std::string text;
  Style style = Style::plain;

  Cell(std::string words, Style how = Style::plain) : text{std::move(words)}, style{how} {}  // NOLINT: implicit
  Cell(const char* words) : text{words} {}                                                   // NOLINT: implicit
};

enum class Align { left, right };

struct Column {
  std::string heading;
  Align align = Align::left;
};

/// A table for people: columns as wide as their widest cell on a terminal, two spaces between, wide (CJK) characters
/// counted as two. Control characters in a cell are shown as '?': a name from a config or an error from the network
/// must not move the cursor.
class Table {
 public:
  explicit Table(std::vector<Column> columns) : columns_{std::move(columns)} {}
  /// Label and value, without headings.
  static Table labels() { return Table{{{""}, {""}}}; }

  /// As many cells as there are columns.
  void add(std::vector<Cell> row);
  [[nodiscard]] bool empty() const { return rows_.empty(); }
  /// A line a row, each with its newline; the headings first where there are any.
  [[nodiscard]] std::string render(bool colour) const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<Cell>> rows_;
};

/// The text without control characters.
[[nodiscard]] std::string printable(std::string_view text);

/// The text filled up with spaces to so many columns of a terminal.
[[nodiscard]] std::string pad(std::string_view text, std::size_t columns, Align align = Align::left);

}  // namespace hamlet::ctl
