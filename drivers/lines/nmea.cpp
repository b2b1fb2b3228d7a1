#include "drivers/lines/nmea.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace hamlet::drivers::lines {
namespace {

constexpr std::string_view kEnds = "\r\n";

bool is_upper_or_digit(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

}  // namespace

void Splitter::feed(std::string_view bytes, const std::function<void(std::string_view)>& line) {
  while (!bytes.empty()) {
    const auto end = bytes.find_first_of(kEnds);
    if (const auto part = bytes.substr(0, end); !skipping_) {
      if (begun_.size() + part.size() > kMost) {
        begun_.clear();
        skipping_ = true;
        ++too_long_;
      } else {
        begun_.append(part);
      }
    }
    if (end == std::string_view::npos) return;
    if (!begun_.empty()) line(begun_);
    begun_.clear();
    skipping_ = false;
    bytes.remove_prefix(end + 1);
  }
}

tl::expected<Sentence, std::string_view> parse_sentence(std::string_view line, bool needs_checksum) {
  if (line.size() < 6 || (line.front() != '$' && line.front() != '!')) return tl::unexpected(std::string_view{"not-nmea"});
  line.remove_prefix(1);
  const auto star = line.rfind('*');
  if (star == std::string_view::npos) {
    if (needs_checksum) return tl::unexpected(std::string_view{"no-checksum"});
  } else {
    unsigned told = 0;
    const auto digits = line.substr(star + 1);
    const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), told, 16);
    unsigned sum = 0;
    for (const char c : line.substr(0, star)) sum ^= static_cast<unsigned char>(c);
    if (digits.size() != 2 || parsed.ec != std::errc{} || parsed.ptr != digits.data() + 2 || told != sum) {
      return tl::unexpected(std::string_view{"bad-checksum"});
    }
    line = line.substr(0, star);
  }
  const auto comma = std::min(line.find(','), line.size());
  const auto address = line.substr(0, comma);
  if (address.size() < 4 || !std::all_of(address.begin(), address.end(), is_upper_or_digit)) {
    return tl::unexpected(std::string_view{"not-nmea"});
  }
  const std::size_t talker = address.front() == 'P' ? 1 : 2;
  Sentence sentence{std::string{address.substr(0, talker)}, std::string{address.substr(talker)}, {}};
  for (auto rest = line.substr(comma); !rest.empty();) {  // begins with a comma
    rest.remove_prefix(1);
    const auto field = rest.substr(0, rest.find(','));
    sentence.fields.emplace_back(field);
    rest.remove_prefix(field.size());
  }
  return sentence;
}

std::optional<double> parse_number(std::string_view text) {
  const auto first = text.find_first_not_of(' ');
  if (first == std::string_view::npos) return {};
  text = text.substr(first, text.find_last_not_of(' ') - first + 1);
  if (text.starts_with('+') && !text.starts_with("+-")) text.remove_prefix(1);
  double number = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  if (parsed.ec != std::errc{} || parsed.ptr != text.data() + text.size() || !std::isfinite(number)) return {};
  return number;
}

std::optional<double> parse_coordinate(std::string_view degrees, std::string_view hemisphere) {
  const auto number = parse_number(degrees);
  const bool latitude = hemisphere == "N" || hemisphere == "S";
  if (!number || *number < 0 || (!latitude && hemisphere != "E" && hemisphere != "W")) return {};
  const auto whole = std::floor(*number / 100);
  const auto minutes = *number - whole * 100;
  const auto value = whole + minutes / 60;
  if (minutes >= 60 || value > (latitude ? 90 : 180)) return {};
  return hemisphere == "N" || hemisphere == "E" ? value : -value;
}

}  // namespace hamlet::drivers::lines
