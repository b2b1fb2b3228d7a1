#include "firmware/ctl/table.hpp"

#include <algorithm>
#include <cassert>

#include "firmware/core/text.hpp"

namespace hamlet::ctl {
namespace {

std::string_view escape(Style style) {
  switch (style) {
    case Style::plain:
      return "";
    case Style::good:
      return "\033[32m";
    case Style::attention:
      return "\033[33m";
    case Style::bad:
      return "\033[1;31m";
    case Style::faint:
      return "\033[2m";
  }
  return "";
}

std::string paint(std::string text, Style style, bool colour) {
  if (!colour || style == Style::plain || text.empty()) return text;
  return std::string{escape(style)} + text + "\033[0m";
}

}  // namespace

std::string printable(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    // U+0080 to U+009F, the C1 controls, are C2 80 to C2 9F in UTF-8.
    const bool c1 = byte == 0xC2 && i + 1 < text.size() && (static_cast<unsigned char>(text[i + 1]) & 0xE0U) == 0x80;
    if (c1) ++i;
    out += c1 || byte < 0x20 || byte == 0x7F ? '?' : text[i];
  }
  return out;
}

std::string pad(std::string_view text, std::size_t columns, Align align) {
  const auto width = display_width(text);
  const std::string fill(columns > width ? columns - width : 0, ' ');
  return align == Align::left ? std::string{text} + fill : fill + std::string{text};
}

void Table::add(std::vector<Cell> row) {
  assert(row.size() == columns_.size());
  for (auto& cell : row) cell.text = printable(cell.text);
  rows_.push_back(std::move(row));
}

std::string Table::render(bool colour) const {
  std::vector<std::size_t> widths;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    auto width = display_width(columns_[i].heading);
    for (const auto& row : rows_) width = std::max(width, display_width(row[i].text));
    widths.push_back(width);
  }
  const auto line = [&](const std::vector<Cell>& row) {
    std::size_t last = row.size();  // after the last cell that shows anything: no spaces at the end of a line
    while (last > 0 && row[last - 1].text.empty()) --last;
    std::string out;
    for (std::size_t i = 0; i < last; ++i) {
      const bool fill = columns_[i].align == Align::right || i + 1 < last;
      const auto& cell = row[i];
      out += i == 0 ? "" : "  ";
      out += paint(fill ? pad(cell.text, widths[i], columns_[i].align) : cell.text, cell.style, colour);
    }
    return out + '\n';
  };
  std::vector<Cell> headings;
  for (const auto& column : columns_) headings.emplace_back(column.heading, Style::faint);
  const bool headed = std::any_of(columns_.begin(), columns_.end(), [](const Column& c) { return !c.heading.empty(); });
  std::string out = headed ? line(headings) : std::string{};
  for (const auto& row : rows_) out += line(row);
  return out;
}

}  // namespace hamlet::ctl
