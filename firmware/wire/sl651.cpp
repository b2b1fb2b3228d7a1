#include "firmware/wire/sl651.hpp"

#include <algorithm>
#include <cassert>
#include <charconv>
#include <chrono>
#include <cmath>
#include <span>
#include <utility>

#include <fmt/format.h>

namespace hamlet::wire::sl651 {
namespace {

using Kind = FrameFault::Kind;
using std::chrono::minutes;

constexpr char kHexStart = 0x7E;

constexpr std::uint8_t byte_at(std::string_view bytes, std::size_t at) {
  return static_cast<std::uint8_t>(bytes[at]);
}

bool is_hex_digits(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F') || (c >= 'a' && c <= 'f');
  });
}

bool is_digits(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

template <class... Args>
Text words(const char* zh, const char* en, const Args&... args) {
  return {fmt::format(fmt::runtime(zh), args...), fmt::format(fmt::runtime(en), args...)};
}

tl::unexpected<FrameFault> refuse(Kind kind, std::string field, std::size_t offset, Text message) {
  return tl::unexpected(FrameFault{kind, std::move(field), offset, std::move(message)});
}

// A field of the header as a number: bytes in one encoding, hex digits in the other.
std::uint32_t number_at(Encoding encoding, std::string_view bytes, std::size_t at, std::size_t size) {
  const auto field = bytes.substr(at, size);
  return parse_hex(encoding == Encoding::hex ? to_hex(field) : std::string{field}).value_or(0);
}

std::string as_field(Encoding encoding, std::uint32_t value, int byte_count) {
  const auto digits = fmt::format("{:0{}X}", value, 2 * byte_count);
  return encoding == Encoding::hex ? from_hex(digits).value_or("") : digits;
}

std::string crc_field(Encoding encoding, std::string_view bytes) { return as_field(encoding, crc16(bytes), 2); }

bool ends_frame(bool down, std::uint8_t code) {
  return down ? code == kEot || code == kEnq || code == kAck || code == kNak || code == kEsc
              : code == kEtx || code == kEtb;
}

bool is_block(std::uint16_t id) { return id >= 0xF4 && id <= 0xFC; }

// Whether the address is followed by the class of the station.
bool has_class(std::uint8_t function) { return (function >= kTest && function <= kElements) || function == 0x44; }

bool is_configuration(std::uint8_t function) { return (function >= 0x40 && function <= 0x43) || function == 0x49; }

// Where groups are named without values.
bool names_only(bool down, std::uint8_t function) {
  return down && (function == kElements || function == 0x41 || function == 0x43 || function == 0x47 || function == 0x48);
}

double to_double(std::string_view text) {
  double value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

// "00010490" with 3 decimals: 10.490.
Sample number_sample(std::string digits, std::uint8_t decimals) {
  Sample sample{.digits = std::move(digits)};
  const std::string_view all{sample.digits};
  if (all.find_first_not_of('F') == std::string_view::npos) {
    sample.state = Sample::State::missing;
    return sample;
  }
  const bool negative = all.starts_with("FF");
  const auto plain = negative ? all.substr(2) : all;
  if (plain.empty() || !is_digits(plain)) {
    sample.state = Sample::State::invalid;
    return sample;
  }
  std::string text{plain};
  if (text.size() <= decimals) text.insert(0, decimals + 1U - text.size(), '0');
  text.insert(text.size() - decimals, 1, '.');
  sample.value = to_double(text);
  if (negative) sample.value = -sample.value;
  return sample;
}

std::string number_digits(const Sample& sample, std::size_t digits, std::uint8_t decimals) {
  if (sample.state != Sample::State::good) return std::string(digits, 'F');
  auto text = fmt::format("{:.{}f}", std::abs(sample.value), decimals);
  std::erase(text, '.');
  text.erase(0, std::min(text.find_first_not_of('0'), text.size()));
  const bool negative = std::signbit(sample.value) && !text.empty();
  const auto room = negative ? digits - std::min<std::size_t>(2, digits) : digits;
  if (text.size() > room || (negative && room == 0)) return std::string(digits, 'F');
  text.insert(0, room - text.size(), '0');
  return negative ? "FF" + text : text;
}

// One slot of an hour block: 1 byte of 0.1 mm, or 2 bytes of 0.01 m.
Sample block_sample(std::string digits) {
  Sample sample{.digits = std::move(digits)};
  if (sample.digits.find_first_not_of('F') == std::string::npos) {
    sample.state = Sample::State::missing;
  } else if (const auto raw = parse_hex(sample.digits)) {
    sample.value = static_cast<double>(*raw) / (sample.digits.size() == 2 ? 10 : 100);
  } else {
    sample.state = Sample::State::invalid;
  }
  return sample;
}

std::string block_digits(const Sample& sample, bool rain) {
  const auto most = rain ? 0xFEU : 0xFFFEU;
  const int digits = rain ? 2 : 4;
  if (sample.state != Sample::State::good) return std::string(static_cast<std::size_t>(digits), 'F');
  const auto scaled = std::clamp(std::round(sample.value * (rain ? 10 : 100)), 0.0, static_cast<double>(most));
  return fmt::format("{:0{}X}", static_cast<unsigned>(scaled), digits);
}

Sample status_sample(std::string digits) {
  Sample sample{.digits = std::move(digits)};
  if (sample.digits.find_first_not_of('F') == std::string::npos) {
    sample.state = Sample::State::missing;
  } else if (const auto bits = parse_hex(sample.digits)) {
    sample.value = *bits;
  } else {
    sample.state = Sample::State::invalid;
  }
  return sample;
}

std::string status_digits(const Sample& sample) {
  if (sample.state != Sample::State::good) return "FFFFFFFF";
  return fmt::format("{:08X}", static_cast<std::uint32_t>(std::clamp(sample.value, 0.0, 4294967295.0)));
}

Millis step_of(unsigned days, unsigned hours, unsigned mins) {
  return std::chrono::hours{24 * days + hours} + minutes{mins};
}

struct StepParts {
  std::int64_t days, hours, mins;
};
StepParts parts_of(Millis step) {
  const auto mins = std::chrono::duration_cast<minutes>(step).count();
  if (mins % (24 * 60) == 0) return {mins / (24 * 60), 0, 0};
  if (mins % 60 == 0) return {0, mins / 60, 0};
  return {0, 0, mins};
}

// ---- reading a body ------------------------------------------------------------------------------------------------

/// What both encodings share: a cursor over the body, and the groups so far.
class Reader {
 public:
  Reader(const Frame& frame, std::size_t offset) : frame_{frame}, bytes_{frame.body}, offset_{offset} {}

 protected:
  [[nodiscard]] std::size_t left() const { return bytes_.size() - at_; }
  [[nodiscard]] std::size_t here() const { return offset_ + at_; }
  std::string_view take(std::size_t count) {
    const auto taken = bytes_.substr(at_, count);
    at_ += taken.size();
    return taken;
  }

  Group begin(Group::Kind kind, std::uint16_t id) {
    begun_ = at_;
    Group group{.kind = kind, .id = id, .offset = here()};
    if (const auto* info = find_element(id)) group.symbol = info->symbol;
    return group;
  }
  void finish(Group group) {
    group.raw = bytes_.substr(begun_, at_ - begun_);
    body_.groups.push_back(std::move(group));
  }
  void damage(std::string field, Text message) {
    body_.damage = FrameFault{Kind::body, std::move(field), offset_ + begun_, std::move(message)};
  }
  void field(std::string name, std::size_t count) {
    if (body_.damage || count == 0) return;
    auto group = begin(Group::Kind::field, 0);
    group.symbol = std::move(name);
    if (count > left()) {
      damage(group.symbol, words("需要 {} 字节，只剩 {} 字节", "takes {} bytes and only {} are left", count, left()));
      return;
    }
    group.bytes = take(count);
    finish(std::move(group));
  }
  [[nodiscard]] bool going() const { return !body_.damage && left() > 0; }

  const Frame& frame_;
  std::string_view bytes_;
  std::size_t offset_;
  std::size_t at_ = 0;
  std::size_t begun_ = 0;
  Body body_;
};

/// HEX/BCD.
class HexReader : Reader {
 public:
  using Reader::Reader;

  tl::expected<Body, FrameFault> read() {
    if (bytes_.size() < 8) {
      return refuse(Kind::body, "serial", offset_,
                    words("正文只有 {} 字节，流水号和发报时间需要 8 字节", "the body has {} bytes; serial and time need 8",
                          bytes_.size()));
    }
    body_.serial = static_cast<std::uint16_t>(parse_hex(to_hex(take(2))).value_or(0));
    body_.sent = {to_hex(take(6))};
    if (frame_.down && frame_.function == kInterval && left() > 0) {
      field("start_time", 4);
      if (!body_.damage) field("end_time", 4);
    }
    while (going()) {
      if (!group()) break;
    }
    return std::move(body_);
  }

 private:
  [[nodiscard]] std::uint8_t peek(std::size_t ahead) const { return byte_at(bytes_, at_ + ahead); }

  // False where reading has come to its end.
  bool group() {
    const bool marked = left() >= 2 && peek(0) == peek(1);
    if (marked && peek(0) == 0xF1) return address();
    if (marked && peek(0) == 0xF0) return observed();
    if (marked && peek(0) == 0xF2) return rest(Group::Kind::text, 0xF2);
    if (marked && peek(0) == 0xF3) return rest(Group::Kind::picture, 0xF3);
    if (left() >= 2 && peek(0) == 0xFD && (peek(1) == 0xF6 || peek(1) == 0xFD)) return rest(Group::Kind::data, 0xFD);
    if (tail()) return true;
    return identified();
  }

  bool short_of(std::string what, std::size_t need) {
    begun_ = at_;
    if (left() >= need) return false;
    damage(std::move(what), words("需要 {} 字节，只剩 {} 字节", "takes {} bytes and only {} are left", need, left()));
    return true;
  }

  bool address() {
    if (short_of("station_address", 7)) return false;
    auto group = begin(Group::Kind::station, 0xF1);
    take(2);
    const auto bytes = take(5);
    std::copy(bytes.begin(), bytes.end(), group.station.bytes.begin());
    const bool time_is_next = left() >= 3 && peek(0) == 0xF0 && peek(1) == 0xF0 && peek(2) != 0xF0;
    const bool time_is_behind = left() >= 3 && peek(1) == 0xF0 && peek(2) == 0xF0;  // of a function that is the user's own
    if (left() > 0 && !time_is_next && (has_class(frame_.function) || time_is_behind)) group.class_code = take(1)[0];
    finish(std::move(group));
    return true;
  }

  bool observed() {
    if (short_of("observation_time", 7)) return false;
    auto group = begin(Group::Kind::observed, 0xF0);
    take(2);
    group.time = {to_hex(take(5))};
    finish(std::move(group));
    return true;
  }

  bool rest(Group::Kind kind, std::uint16_t id) {
    auto group = begin(kind, id);
    take(2);
    group.bytes = take(left());
    finish(std::move(group));
    return false;
  }

  // What has no identifier, by the kind of report. True where it was that.
  bool tail() {
    const auto function = frame_.function;
    const bool addressed = frame_.down || (!body_.groups.empty() && body_.groups.back().kind == Group::Kind::station);
    if (!addressed) return false;
    if (function == 0x45 && !frame_.down) {
      const std::size_t length = peek(0);
      field("version_length", 1);
      field("version", length);
    } else if (function == 0x50 && !frame_.down) {
      field("event_counters", left());
    } else if (function == 0x4C || function == 0x4D || function == 0x4E) {
      const std::size_t units = peek(0);
      field("count", 1);
      field("bitmap", std::min((units + 7) / 8, left()));
      if (function == 0x4E) field("openings_cm", left());
    } else if (function == 0x4F) {
      field("fixed_volume_control", 1);
    } else {
      return false;
    }
    return true;
  }

  bool identified() {
    begun_ = at_;
    std::uint16_t id = peek(0);
    std::size_t head = 2;
    if (id == 0xFF && left() >= 2) {
      id = static_cast<std::uint16_t>(0xFF00U | peek(1));
      head = 3;
    }
    if (short_of("element", head)) return false;
    const auto definition = peek(head - 1);
    const bool configuration = is_configuration(frame_.function);
    const auto kind = configuration                                                        ? Group::Kind::parameter
                      : id == 0x04                                                         ? Group::Kind::step
                      : id == 0x45                                                         ? Group::Kind::status
                      : is_block(id)                                                       ? Group::Kind::series
                      : find_element(id) == nullptr && id < 0xFF00 && id < kFirstSpecialId ? Group::Kind::unknown
                                                                                           : Group::Kind::number;
    auto group = begin(kind, id);
    if (configuration) group.symbol.clear();
    take(head);
    group.length = static_cast<std::uint8_t>(definition >> 3U);
    group.decimals = definition & 7U;
    std::size_t length = group.length;
    if (configuration && id == 0x0E) length = definition;  // a plain length up to 255
    if (names_only(frame_.down, frame_.function) || (frame_.down && frame_.function == kInterval && id != 0x04)) {
      group.kind = Group::Kind::identifier;
      if (frame_.function != kElements && frame_.function != kInterval) group.symbol.clear();  // parameters have none
      finish(std::move(group));
      return true;
    }
    const auto name = fmt::format("element {:02X} {}", id, group.symbol);
    if (length == 0) {
      damage(name, words("数据定义字节 {:02X} 的长度为 0，后面无法解读", "the definition byte {:02X} says 0 bytes; what follows cannot be read",
                         definition));
      return false;
    }
    if (uniform(kind)) return series(std::move(group));
    if (length > left()) {
      damage(name, words("需要 {} 字节，只剩 {} 字节", "takes {} bytes and only {} are left", length, left()));
      return false;
    }
    fill(group, take(length));
    if (group.kind == Group::Kind::step) stepped_ = true;
    finish(std::move(group));
    return true;
  }

  // Whether what has an identifier here is the row of a uniform report: after its step, and no hour block.
  [[nodiscard]] bool uniform(Group::Kind kind) const {
    return stepped_ && !frame_.down && (frame_.function == kUniform || frame_.function == kInterval) &&
           (kind == Group::Kind::number || kind == Group::Kind::unknown || kind == Group::Kind::status);
  }

  bool series(Group group) {
    if (left() % group.length != 0) {
      damage(fmt::format("element {:02X} {}", group.id, group.symbol),
             words("剩余 {} 字节不是每个数据 {} 字节的整数倍", "{} bytes are left, which is no multiple of the {} of a value", left(),
                   group.length));
      return false;
    }
    group.kind = Group::Kind::series;
    while (left() > 0) group.samples.push_back(number_sample(to_hex(take(group.length)), group.decimals));
    finish(std::move(group));
    return false;
  }

  static void fill(Group& group, std::string_view bytes) {
    const auto digits = to_hex(bytes);
    switch (group.kind) {
      case Group::Kind::step:
        if (bytes.size() == 3 && is_digits(digits)) {
          const auto part = [&](std::size_t at) { return parse_decimal(digits.substr(at, 2)).value_or(0); };
          group.step = step_of(part(0), part(2), part(4));
        }
        group.bytes = bytes;
        break;
      case Group::Kind::status:
        group.samples.push_back(bytes.size() == 4 ? status_sample(digits)
                                                  : Sample{.state = Sample::State::invalid, .digits = digits});
        break;
      case Group::Kind::series: {
        const std::size_t width = group.id == 0xF4 ? 2 : 4;
        for (std::size_t at = 0; at + width <= digits.size(); at += width) {
          group.samples.push_back(block_sample(digits.substr(at, width)));
        }
        break;
      }
      case Group::Kind::parameter:
        group.bytes = bytes;
        if (group.id >= 0x20 || group.id == 0x0C) group.samples.push_back(number_sample(digits, group.decimals));
        break;
      case Group::Kind::unknown:
        group.bytes = bytes;
        group.samples.push_back(number_sample(digits, group.decimals));
        break;
      case Group::Kind::station:
      case Group::Kind::observed:
      case Group::Kind::number:
      case Group::Kind::text:
      case Group::Kind::picture:
      case Group::Kind::data:
      case Group::Kind::identifier:
      case Group::Kind::field:
        group.samples.push_back(number_sample(digits, group.decimals));
        break;
    }
  }

  static constexpr std::uint16_t kFirstSpecialId = 0xF0;
  bool stepped_ = false;
};

/// ASCII: identifiers and values, each with a space behind.
class AsciiReader : Reader {
 public:
  using Reader::Reader;

  tl::expected<Body, FrameFault> read() {
    const auto head = bytes_.substr(0, 16);
    if (head.size() < 16 || !is_hex_digits(head.substr(0, 4))) {
      return refuse(Kind::body, "serial", offset_,
                    words("正文开头应为 4 位流水号和 12 位发报时间", "the body must begin with 4 digits of serial and 12 of time"));
    }
    body_.serial = static_cast<std::uint16_t>(parse_hex(take(4)).value_or(0));
    body_.sent = {std::string{take(12)}};
    if (frame_.down && frame_.function == kInterval && left() > 0) {
      bare("start_time", 8);
      bare("end_time", 8);
    }
    while (going()) {
      begun_ = at_;
      const auto token = word();
      if (!token.empty()) group(token);
    }
    return std::move(body_);
  }

 private:
  // The next word; the space behind it is eaten.
  std::string_view word() {
    const auto end = std::min(bytes_.find(' ', at_), bytes_.size());
    const auto out = take(end - at_);
    take(1);
    return out;
  }
  [[nodiscard]] std::string_view peek() const {
    const auto end = std::min(bytes_.find(' ', at_), bytes_.size());
    return bytes_.substr(at_, end - at_);
  }

  // What has no identifier: so many characters, with a space behind or none.
  void bare(std::string name, std::size_t size) {
    auto group = begin(Group::Kind::field, 0);
    group.symbol = std::move(name);
    group.bytes = take(size);
    if (bytes_.substr(at_, 1) == " ") take(1);
    finish(std::move(group));
  }

  static bool is_value(std::string_view text) {
    if (text == "M") return true;
    if (text.starts_with('-') || text.starts_with('+')) text.remove_prefix(1);
    const auto point = text.find('.');
    const auto whole = text.substr(0, point);
    const auto fraction = point == std::string_view::npos ? std::string_view{} : text.substr(point + 1);
    return !text.empty() && text.size() <= 20 && is_digits(whole) && is_digits(fraction) &&
           !(whole.empty() && fraction.empty());
  }

  static Sample sample(std::string_view text) {
    Sample out{.digits = std::string{text}};
    if (text == "M") {
      out.state = Sample::State::missing;
    } else if (is_value(text)) {
      out.value = to_double(text.starts_with('+') ? text.substr(1) : text);
    } else {
      out.state = Sample::State::invalid;
    }
    return out;
  }

  static std::uint8_t decimals_of(std::string_view text) {
    const auto point = text.find('.');
    return point == std::string_view::npos ? std::uint8_t{0} : static_cast<std::uint8_t>(text.size() - point - 1);
  }

  // DRD, DRH or DRN and two digits.
  static std::optional<Millis> step(std::string_view token) {
    if (token.size() != 5 || !token.starts_with("DR") || !is_digits(token.substr(3))) return {};
    const auto count = parse_decimal(token.substr(3)).value_or(0);
    if (token[2] == 'D') return step_of(count, 0, 0);
    if (token[2] == 'H') return step_of(0, count, 0);
    if (token[2] == 'N') return step_of(0, 0, count);
    return {};
  }

  Group named(Group::Kind kind, std::string_view symbol) {
    const auto* info = find_element(symbol);
    Group group{.kind = kind, .id = info == nullptr ? std::uint16_t{0} : info->id, .symbol = std::string{symbol},
                .offset = offset_ + begun_};
    return group;
  }

  void group(std::string_view token) {
    if (token == "ST") return address(token);
    if (token == "TT") {
      auto group = named(Group::Kind::observed, token);
      group.time = {std::string{word()}};
      return finish(std::move(group));
    }
    if (token == "RGZS") return rest(Group::Kind::text, token);
    if (token == "PIC") return rest(Group::Kind::picture, token);
    if (token == "DATA") return rest(Group::Kind::data, token);
    if (const auto length = step(token)) {
      auto group = named(Group::Kind::step, token);
      group.id = 0x04;
      group.step = *length;
      stepped_ = true;
      return finish(std::move(group));
    }
    if (names_only(frame_.down, frame_.function) || (frame_.down && frame_.function == kInterval)) {
      return finish(named(Group::Kind::identifier, token));
    }
    const auto* info = find_element(token);
    if (info != nullptr && is_block(info->id)) return block(token, info->id == 0xF4);
    const bool uniform = stepped_ && !frame_.down && (frame_.function == kUniform || frame_.function == kInterval);
    if (uniform) return series(token);
    auto group = named(token == "ZT" ? Group::Kind::status : info == nullptr ? Group::Kind::unknown : Group::Kind::number,
                       token);
    if (left() == 0) {
      return damage(fmt::format("element {}", token), words("标识符后没有数据", "has no value behind its identifier"));
    }
    const auto text = word();
    group.bytes = group.kind == Group::Kind::unknown ? text : std::string_view{};
    group.decimals = decimals_of(text);
    group.samples.push_back(group.kind == Group::Kind::status && text != "M" ? status_sample(std::string{text})
                                                                              : sample(text));
    finish(std::move(group));
  }

  void address(std::string_view token) {
    auto group = named(Group::Kind::station, token);
    const auto digits = word();
    const auto bytes = digits.size() == 10 ? from_hex(digits) : std::nullopt;
    if (!bytes) {
      return damage("station_address", words("“{}”不是 10 位地址", "'{}' is no address of 10 digits", digits));
    }
    std::copy(bytes->begin(), bytes->end(), group.station.bytes.begin());
    const bool time_is_behind = bytes_.substr(at_ + std::min<std::size_t>(1, left()), 4) == " TT ";
    if (peek().size() == 1 && (has_class(frame_.function) || time_is_behind)) group.class_code = word()[0];
    finish(std::move(group));
    if (frame_.function == 0x45 && !frame_.down && left() > 0) version();
  }

  // The text, behind its length in two hex digits where a station sends that.
  void version() {
    const auto length = parse_hex(peek().substr(0, 2));
    const bool with_length = peek().size() == 2 && length && *length > 0 && *length + 3 <= left();
    if (with_length) bare("version_length", 2);
    const bool space = bytes_.ends_with(' ');
    bare("version", with_length ? *length : left() - (space ? 1 : 0));
  }

  void rest(Group::Kind kind, std::string_view token) {
    auto group = named(kind, token);
    group.bytes = take(left());
    finish(std::move(group));
  }

  // Twelve slots as one word of hex digits, or as numbers of their own.
  void block(std::string_view token, bool rain) {
    auto group = named(Group::Kind::series, token);
    const std::size_t width = rain ? 2 : 4;
    if (peek().size() == 12 * width && is_hex_digits(peek())) {
      const std::string digits{word()};
      for (std::size_t at = 0; at < digits.size(); at += width) {
        group.samples.push_back(block_sample(digits.substr(at, width)));
      }
    } else {
      while (group.samples.size() < 12 && left() > 0 && is_value(peek())) group.samples.push_back(sample(word()));
    }
    if (group.samples.empty()) return damage(fmt::format("element {}", token), words("标识符后没有数据", "has no value behind its identifier"));
    finish(std::move(group));
  }

  // A uniform report: identifiers, then the values of all of them, row by row.
  void series(std::string_view token) {
    std::vector<Group> columns{named(Group::Kind::series, token)};
    while (left() > 0 && !is_value(peek()) && !is_marker(peek())) {
      columns.push_back(named(Group::Kind::series, word()));
    }
    std::size_t count = 0;
    for (; left() > 0 && is_value(peek()); ++count) {
      auto& column = columns[count % columns.size()];
      column.decimals = std::max(column.decimals, decimals_of(peek()));
      column.samples.push_back(sample(word()));
    }
    if (count == 0 || count % columns.size() != 0) {
      return damage(fmt::format("element {}", token),
                    words("{} 个数据不能分给 {} 个要素", "{} values cannot be shared out to {} elements", count, columns.size()));
    }
    for (auto& column : columns) finish(std::move(column));
  }

  static bool is_marker(std::string_view token) { return token == "ST" || token == "TT" || step(token).has_value(); }

  bool stepped_ = false;
};

// ---- writing a body ------------------------------------------------------------------------------------------------

/// Appends groups in one encoding.
class Writer {
 public:
  explicit Writer(Encoding encoding) : hex_{encoding == Encoding::hex} {}

  std::string write(const Body& body) {
    out_ = as_field(hex_ ? Encoding::hex : Encoding::ascii, body.serial, 2);
    out_ += hex_ ? bcd(body.sent.digits) : body.sent.digits;
    for (std::size_t i = 0; i < body.groups.size(); ++i) {
      const auto& group = body.groups[i];
      if (!hex_ && group.kind == Group::Kind::series && !is_block(group.id)) {
        std::size_t end = i;
        while (end < body.groups.size() && body.groups[end].kind == Group::Kind::series) ++end;
        rows(std::span{body.groups}.subspan(i, end - i));
        i = end - 1;
      } else if (hex_) {
        hex(group);
      } else {
        ascii(group);
      }
    }
    return std::move(out_);
  }

 private:
  static std::string bcd(std::string_view digits) {
    std::string even{digits};
    if (even.size() % 2 != 0) even.insert(0, 1, '0');
    return from_hex(even).value_or(std::string(even.size() / 2, '\0'));
  }

  void identifier(const Group& group) {
    const auto id = group.id;
    if (id >= 0xFF00) out_ += static_cast<char>(0xFF);
    out_ += static_cast<char>(id & 0xFFU);
    out_ += group.kind == Group::Kind::parameter && id == 0x0E
                ? static_cast<char>(group.bytes.size())
                : static_cast<char>((group.length << 3U) | group.decimals);
  }

  void hex(const Group& group) {
    switch (group.kind) {
      case Group::Kind::station:
        out_ += "\xF1\xF1";
        for (const auto byte : group.station.bytes) out_ += static_cast<char>(byte);
        if (group.class_code != 0) out_ += group.class_code;
        break;
      case Group::Kind::observed:
        out_ += "\xF0\xF0" + bcd(group.time.digits);
        break;
      case Group::Kind::text:
        out_ += "\xF2\xF2" + group.bytes;
        break;
      case Group::Kind::picture:
        out_ += "\xF3\xF3" + group.bytes;
        break;
      case Group::Kind::data:
        out_ += "\xFD\xF6" + group.bytes;
        break;
      case Group::Kind::field:
        out_ += group.bytes;
        break;
      case Group::Kind::identifier:
        identifier(group);
        break;
      case Group::Kind::parameter:
      case Group::Kind::unknown:
        identifier(group);
        out_ += group.bytes;
        break;
      case Group::Kind::step: {
        const auto parts = parts_of(group.step);
        identifier(group);
        out_ += bcd(fmt::format("{:02}{:02}{:02}", parts.days, parts.hours, parts.mins));
        break;
      }
      case Group::Kind::status:
        identifier(group);
        out_ += bcd(status_digits(group.samples.at(0)));
        break;
      case Group::Kind::number:
      case Group::Kind::series:
        identifier(group);
        for (const auto& sample : group.samples) {
          out_ += bcd(is_block(group.id) ? block_digits(sample, group.id == 0xF4)
                                         : number_digits(sample, 2U * group.length, group.decimals));
        }
        break;
    }
  }

  static std::string symbol(const Group& group) {
    if (!group.symbol.empty()) return group.symbol;
    const auto* info = find_element(group.id);
    return info == nullptr ? fmt::format("{:02X}", group.id) : info->symbol;
  }

  static std::string text(const Sample& sample, std::uint8_t decimals) {
    if (sample.state == Sample::State::good) return fmt::format("{:.{}f}", sample.value + 0.0, decimals);
    return sample.state == Sample::State::missing ? "M" : sample.digits;
  }

  void put(std::string_view word) {
    out_ += word;
    out_ += ' ';
  }

  void ascii(const Group& group) {
    switch (group.kind) {
      case Group::Kind::station:
        put("ST");
        put(to_hex({reinterpret_cast<const char*>(group.station.bytes.data()), 5}));  // NOLINT: bytes are characters
        if (group.class_code != 0) put({&group.class_code, 1});
        break;
      case Group::Kind::observed:
        put("TT");
        put(group.time.digits);
        break;
      case Group::Kind::text:
      case Group::Kind::picture:
      case Group::Kind::data:
        put(group.kind == Group::Kind::text ? "RGZS" : group.kind == Group::Kind::picture ? "PIC" : "DATA");
        out_ += group.bytes;
        break;
      case Group::Kind::field:
        put(group.bytes);
        break;
      case Group::Kind::identifier:
        put(symbol(group));
        break;
      case Group::Kind::step: {
        const auto parts = parts_of(group.step);
        put(parts.days > 0    ? fmt::format("DRD{:02}", parts.days)
            : parts.hours > 0 ? fmt::format("DRH{:02}", parts.hours)
                              : fmt::format("DRN{:02}", parts.mins));
        break;
      }
      case Group::Kind::status:
        put(symbol(group));
        put(status_digits(group.samples.at(0)));
        break;
      case Group::Kind::series: {  // an hour block
        put(symbol(group));
        std::string digits;
        for (const auto& sample : group.samples) digits += block_digits(sample, group.id == 0xF4);
        put(digits);
        break;
      }
      case Group::Kind::parameter:
      case Group::Kind::unknown:
      case Group::Kind::number:
        put(symbol(group));
        put(group.samples.empty() ? group.bytes : text(group.samples.front(), group.decimals));
        break;
    }
  }

  void rows(std::span<const Group> columns) {
    for (const auto& column : columns) put(symbol(column));
    for (std::size_t row = 0; row < columns.front().samples.size(); ++row) {
      for (const auto& column : columns) {
        if (row < column.samples.size()) put(text(column.samples[row], column.decimals));
      }
    }
  }

  bool hex_;
  std::string out_;
};

}  // namespace

// ---- addresses -----------------------------------------------------------------------------------------------------

std::string Address::text() const {
  const auto hex = to_hex({reinterpret_cast<const char*>(bytes.data()), bytes.size()});  // NOLINT: bytes are characters
  if (bytes[0] == 0) return hex.substr(2);
  return fmt::format("{}{:05}", hex.substr(0, 6), bytes[3] * 256 + bytes[4]);
}

std::optional<Address> Address::parse(std::string_view text) {
  std::string hex{text};
  if (text.size() == 8 && is_digits(text)) hex.insert(0, "00");
  if (text.size() == 11 && is_digits(text)) {
    const auto number = parse_decimal(text.substr(6)).value_or(0);
    if (number > 0xFFFF) return {};
    hex = fmt::format("{}{:04X}", text.substr(0, 6), number);
  }
  const auto bytes = hex.size() == 10 ? from_hex(hex) : std::nullopt;
  if (!bytes) return {};
  Address out;
  std::copy(bytes->begin(), bytes->end(), out.bytes.begin());
  return out;
}

// ---- frames --------------------------------------------------------------------------------------------------------

Layout layout(Encoding encoding, bool down) {
  const std::size_t wide = encoding == Encoding::hex ? 1 : 2;
  const std::size_t first = encoding == Encoding::hex ? 2 : 1;
  Layout out{};
  out.centre_size = wide;
  out.station_size = 5 * wide;
  out.centre = down ? first + out.station_size : first;
  out.station = down ? first : first + out.centre_size;
  out.password = first + out.centre_size + out.station_size;
  out.password_size = 2 * wide;
  out.function = out.password + out.password_size;
  out.function_size = wide;
  out.length = out.function + out.function_size;
  out.length_size = 2 * wide;
  out.start = out.length + out.length_size;
  out.body = out.start + 1;
  return out;
}

std::string encode(const Frame& frame) {
  const auto encoding = frame.encoding;
  const bool hex = encoding == Encoding::hex;
  std::string inner;
  if (frame.packets) {
    inner = fmt::format("{:03X}{:03X}", frame.packets->count & 0xFFFU, frame.packets->number & 0xFFFU);
    if (hex) inner = from_hex(inner).value_or("");
  }
  inner += frame.body;
  assert(inner.size() <= kMaxLength);
  std::string station{reinterpret_cast<const char*>(frame.station.bytes.data()), 5};  // NOLINT: bytes are characters
  if (!hex) station = to_hex(station);
  const auto centre = as_field(encoding, frame.centre, 1);
  std::string out = hex ? std::string(2, kHexStart) : std::string(1, static_cast<char>(kSoh));
  out += frame.down ? station + centre : centre + station;
  out += as_field(encoding, frame.password, 2);
  out += as_field(encoding, frame.function, 1);
  out += as_field(encoding, static_cast<std::uint32_t>((frame.down ? 0x8000U : 0U) | (inner.size() & 0xFFFU)), 2);
  out += static_cast<char>(frame.packets ? kSyn : kStx);
  out += inner;
  out += static_cast<char>(frame.end);
  out += crc_field(encoding, out);
  return out;
}

tl::expected<Parsed, FrameFault> parse_frame(std::string_view bytes) {
  const auto truncated = [&](std::string field, std::size_t need) {
    return refuse(Kind::truncated, std::move(field), bytes.size(),
                  words("报文不完整：至少还缺 {} 字节；检查长度字段和通信是否中断",
                        "cut short: at least {} more bytes are due; check the length field, and whether the link broke",
                        need - bytes.size()));
  };
  if (bytes.empty()) return truncated("start", 2);
  if (bytes[0] != kHexStart && byte_at(bytes, 0) != kSoh) {
    return refuse(Kind::header, "start", 0,
                  words("起始符应为 7E7E 或 01，实际为 {:02X}", "must begin with 7E7E or 01, not {:02X}", byte_at(bytes, 0)));
  }
  const auto encoding = bytes[0] == kHexStart ? Encoding::hex : Encoding::ascii;
  const bool hex = encoding == Encoding::hex;
  if (hex && bytes.size() < 2) return truncated("start", 2);
  if (hex && bytes[1] != kHexStart) {
    return refuse(Kind::header, "start", 1, words("起始符应为 7E7E", "must begin with 7E7E, not 7E{:02X}", byte_at(bytes, 1)));
  }
  const auto up = layout(encoding, false);
  if (!hex) {
    const auto header = bytes.substr(1, up.start - 1);
    for (std::size_t i = 0; i < header.size(); ++i) {
      if (!is_hex_digits(header.substr(i, 1))) {
        return refuse(Kind::header, "header", i + 1,
                      words("ASCII 报头应为十六进制数字，此处为 {:02X}", "an ASCII header is hex digits, and here is {:02X}",
                            byte_at(header, i)));
      }
    }
  }
  if (bytes.size() < up.body) return truncated("header", up.body);

  const auto length_field = number_at(encoding, bytes, up.length, up.length_size);
  const auto direction = length_field >> 12U;
  const std::size_t length = length_field & 0xFFFU;
  if (direction != 0 && direction != 8) {
    return refuse(Kind::header, "direction", up.length,
                  words("上下行标识应为 0 或 8，实际为 {:X}", "the direction must be 0 (up) or 8 (down), not {:X}", direction));
  }
  const bool down = direction == 8;
  const auto start = byte_at(bytes, up.start);
  if (start != kStx && start != kSyn) {
    return refuse(Kind::header, "body_start", up.start,
                  words("正文起始符应为 02（STX）或 16（SYN），实际为 {:02X}", "the body must begin with 02 (STX) or 16 (SYN), not {:02X}",
                        start));
  }
  const std::size_t head = start == kSyn ? (hex ? 3 : 6) : 0;
  if (length == 0 || length < head) {
    return refuse(Kind::header, "length", up.length, words("长度 {} 太小", "a length of {} is too short", length));
  }
  if (bytes.size() < up.body + head) return truncated("packets", up.body + head);
  std::optional<Packets> packets;
  if (head > 0) {
    const auto both = number_at(encoding, bytes, up.body, head);
    packets = Packets{static_cast<std::uint16_t>(both >> 12U), static_cast<std::uint16_t>(both & 0xFFFU)};
    if (packets->number == 0 || packets->number > packets->count) {
      return refuse(Kind::header, "packets", up.body,
                    words("包序号 {} 不在 1 到总包数 {} 之内", "packet {} is not from 1 to the number of packets, {}", packets->number,
                          packets->count));
    }
  }
  const std::size_t crc_size = hex ? 2 : 4;
  const auto end_at = up.body + length;
  const auto size = end_at + 1 + crc_size;
  if (bytes.size() < size) return truncated("body", size);

  const auto end = byte_at(bytes, end_at);
  if (!ends_frame(down, end)) {
    return refuse(Kind::end, "end", end_at,
                  words("长度 {} 指向的结束符应为 {}，实际为 {:02X}；长度字段错误或数据丢失",
                        "where a length of {} puts the end there must be {}, and is {:02X}; the length is wrong or bytes were lost",
                        length, down ? "04/05/06/15/1B" : "03/17", end));
  }
  const auto sent = number_at(encoding, bytes, end_at + 1, crc_size);
  const auto crc_text = bytes.substr(end_at + 1, crc_size);
  const auto right = crc16(bytes.substr(0, end_at + 1));
  if (sent != right || (!hex && !is_hex_digits(crc_text))) {
    const bool swapped = sent == ((right >> 8U) | ((right & 0xFFU) << 8U));
    auto message = words("校验码应为 {:04X}，实际为 {:04X}", "the CRC must be {:04X}, and is {:04X}", right, sent);
    if (swapped) {
      message.zh += "，高低字节颠倒";
      message.en += ": its bytes are swapped";
    }
    return refuse(Kind::crc, "crc", end_at + 1, std::move(message));
  }
  const auto at = layout(encoding, down);
  Parsed out{.size = size};
  auto& frame = out.frame;
  frame.encoding = encoding;
  frame.down = down;
  frame.centre = static_cast<std::uint8_t>(number_at(encoding, bytes, at.centre, at.centre_size));
  const auto station = bytes.substr(at.station, at.station_size);
  const auto station_bytes = hex ? std::string{station} : from_hex(station).value_or(std::string(5, '\0'));
  std::copy(station_bytes.begin(), station_bytes.end(), frame.station.bytes.begin());
  frame.password = static_cast<std::uint16_t>(number_at(encoding, bytes, at.password, at.password_size));
  frame.function = static_cast<std::uint8_t>(number_at(encoding, bytes, at.function, at.function_size));
  frame.packets = packets;
  frame.body = bytes.substr(at.body + head, length - head);
  frame.end = end;
  return out;
}

std::size_t find_start(std::string_view bytes) {
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (byte_at(bytes, i) == kSoh) return i;
    if (bytes[i] == kHexStart && (i + 1 == bytes.size() || bytes[i + 1] == kHexStart)) return i;
  }
  return std::string_view::npos;
}

void Decoder::skip(std::size_t count) {
  at_ += count;
  skipped_ += count;
}

std::optional<tl::expected<Frame, FrameFault>> Decoder::next() {
  std::optional<tl::expected<Frame, FrameFault>> out;
  while (!out && pending() > 0) {
    const auto rest = std::string_view{buffer_}.substr(at_);
    const auto start = find_start(rest);
    if (start == std::string_view::npos) {
      skip(rest.size());
      break;
    }
    skip(start);
    auto parsed = parse_frame(rest.substr(start));
    if (parsed) {
      at_ += parsed->size;
      out = std::move(parsed->frame);
    } else if (parsed.error().kind == Kind::truncated) {
      break;
    } else {
      skip(1);
      if (parsed.error().kind != Kind::header) out = tl::unexpected(std::move(parsed.error()));
    }
  }
  if (at_ == buffer_.size() || at_ > kMaxFrame) {
    buffer_.erase(0, at_);
    at_ = 0;
  }
  return out;
}

void Decoder::give_up() {
  if (pending() > 0) skip(1);
}

// ---- bodies --------------------------------------------------------------------------------------------------------

tl::expected<Body, FrameFault> parse_body(const Frame& frame, std::size_t offset) {
  return frame.encoding == Encoding::hex ? HexReader{frame, offset}.read() : AsciiReader{frame, offset}.read();
}

std::string encode_body(const Body& body, Encoding encoding) { return Writer{encoding}.write(body); }

std::vector<Observation> observations(const Body& body, const Address& header) {
  std::vector<Observation> out;
  Observation now{.station = header};
  Millis step = minutes{5};
  bool undated = false;
  for (const auto& group : body.groups) {
    switch (group.kind) {
      case Group::Kind::station:
        now.station = group.station;
        now.class_code = group.class_code;
        break;
      case Group::Kind::observed:
        now.at = group.time.time();
        undated = !now.at;
        break;
      case Group::Kind::step:
        step = group.step;
        break;
      case Group::Kind::number:
      case Group::Kind::status:
      case Group::Kind::unknown:
      case Group::Kind::series: {
        auto one = now;
        one.id = group.id;
        one.symbol = group.symbol;
        one.series = group.kind == Group::Kind::series;
        const auto apart = is_block(group.id) ? Millis{minutes{5}} : step;
        for (std::size_t i = 0; i < group.samples.size(); ++i) {
          one.sample = group.samples[i];
          if (undated) one.sample.state = Sample::State::invalid;
          if (now.at) one.at = *now.at + apart * static_cast<std::int64_t>(i);
          out.push_back(one);
        }
        break;
      }
      case Group::Kind::text:
      case Group::Kind::picture:
      case Group::Kind::data:
      case Group::Kind::identifier:
      case Group::Kind::parameter:
      case Group::Kind::field:
        break;
    }
  }
  return out;
}

// ---- answers -------------------------------------------------------------------------------------------------------

Frame confirmation(const Frame& of, std::uint16_t serial, WallTime now, std::uint8_t end,
                   std::optional<std::uint16_t> packet) {
  Frame out = of;
  out.down = true;
  out.end = end;
  if (of.packets) out.packets = Packets{of.packets->count, packet.value_or(of.packets->count)};
  out.body = encode_body({.serial = serial, .sent = Stamp::seconds(now)}, of.encoding);
  return out;
}

Frame command(const Frame& like, std::uint8_t function, WallTime now, std::vector<Group> groups) {
  Frame out = like;
  out.down = true;
  out.function = function;
  out.end = kEnq;
  out.packets.reset();
  out.body = encode_body({.sent = Stamp::seconds(now), .groups = std::move(groups)}, like.encoding);
  return out;
}

bool Assembly::add(const Frame& packet) {
  if (!packet.packets || packet.packets->count > kMaxPackets) return false;
  const auto [count, number] = *packet.packets;
  const bool other = parts_.size() != count || packet.function != head_.function || packet.station != head_.station ||
                     (number == 1 && parts_[0] && *parts_[0] != packet.body);
  if (other) {
    clear();
    head_ = packet;
    parts_.resize(count);
  }
  auto& part = parts_[number - 1U];
  bytes_ += packet.body.size() - (part ? part->size() : 0);
  if (bytes_ > kMaxBytes) {
    clear();
    return false;
  }
  part = packet.body;
  return true;
}

bool Assembly::complete() const { return !parts_.empty() && !first_missing(); }

std::optional<std::uint16_t> Assembly::first_missing() const {
  const auto found = std::find(parts_.begin(), parts_.end(), std::nullopt);
  if (found == parts_.end()) return {};
  return static_cast<std::uint16_t>(found - parts_.begin() + 1);
}

std::uint16_t Assembly::serial() const {
  if (parts_.empty() || !parts_[0]) return 0;
  const bool hex = head_.encoding == Encoding::hex;
  return static_cast<std::uint16_t>(number_at(head_.encoding, *parts_[0], 0, std::min<std::size_t>(hex ? 2 : 4, parts_[0]->size())));
}

Frame Assembly::whole() const {
  auto out = head_;
  out.packets.reset();
  out.end = kEtx;
  out.body.clear();
  for (const auto& part : parts_) out.body += part.value_or("");
  return out;
}

std::vector<Frame> split(const Frame& whole, std::size_t slice) {
  assert(slice > 0);
  const auto count = std::max<std::size_t>(1, (whole.body.size() + slice - 1) / slice);
  std::vector<Frame> out;
  for (std::size_t i = 0; i < count; ++i) {
    auto frame = whole;
    frame.body = whole.body.substr(i * slice, slice);
    frame.packets = Packets{static_cast<std::uint16_t>(count), static_cast<std::uint16_t>(i + 1)};
    frame.end = i + 1 == count ? kEtx : kEtb;
    out.push_back(std::move(frame));
  }
  return out;
}

}  // namespace hamlet::wire::sl651
