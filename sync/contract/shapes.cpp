#include "sync/contract/shapes.hpp"

#include <array>
#include <charconv>
#include <optional>
#include <vector>

namespace hamlet::contract {
namespace {

// Holes in a shape: bytes that no body has.
constexpr char kUnsigned = '\x03';  // an integer, as a varint
constexpr char kSigned = '\x04';    // an integer, zigzag
constexpr char kFraction = '\x05';   // digits behind the point, then all digits as an integer, zigzag
constexpr char kHex = '\x06';       // 16 hex digits, as 8 bytes
constexpr char kQuoted = '\x07';      // up to the next quotation mark
constexpr char kList = '\x08';      // up to the next bracket that closes

// How a message is written: as topic and body, as body alone, or by a shape.
constexpr std::uint64_t kWithTopic = 0;
constexpr std::uint64_t kWithoutTopic = 1;
constexpr std::uint64_t kFirstShape = 2;

// In the order of their numbers: what cameras see, with and without a time of its own.
std::vector<std::string> make_shapes() {
  std::vector<std::string> shapes;
  for (const auto* kind : {"motion", "\x07"}) {
    for (const auto* time : {",\"t\":\x01\x04\x02", ""}) {
      const auto add = [&](const char* phase, const char* duration, const char* frames) {
        shapes.push_back(std::string{"{\"source\":\"\x07\",\"kind\":\""} + kind + "\",\"phase\":\"" + phase +
                         "\",\"event\":\"\x06\"" + time + ",\"detail\":{\"area\":\x05,\"box\":[\x03,\x03,\x03,\x03]" + duration +
                         ",\"frame\":\x03" + frames + ",\"media_ms\":\x03,\"zone\":\"\x07\"},\"media\":[\x08]}");
      };
      add("start", "", "");
      add("update", ",\"duration_ms\":\x03", ",\"frames\":\x03");
      add("end", ",\"duration_ms\":\x03", ",\"frames\":\x03");
    }
  }
  return shapes;
}

const std::vector<std::string>& shapes() {
  static const auto all = make_shapes();
  return all;
}

// "event/{source}/{kind}", "alarmlog/{id}"; empty where the body does not begin like that.
std::string topic_of(std::string_view body) {
  const auto take = [&body](std::string_view before) -> std::optional<std::string_view> {
    if (!body.starts_with(before)) return {};
    body.remove_prefix(before.size());
    const auto end = body.find('"');
    if (end == std::string_view::npos) return {};
    const auto text = body.substr(0, end);
    body.remove_prefix(end);
    return text;
  };
  if (const auto alarm = take(R"({"alarm":")")) return "alarmlog/" + std::string{*alarm};
  const auto source = take(R"({"source":")");
  const auto kind = source ? take(R"(","kind":")") : std::nullopt;
  return kind ? "event/" + std::string{*source} + "/" + std::string{*kind} : std::string{};
}

constexpr std::size_t kMaxShapeDigits = 18;

std::string_view take_digits(std::string_view& text) {
  std::size_t count = 0;
  while (count < text.size() && text[count] >= '0' && text[count] <= '9') ++count;
  const auto digits = text.substr(0, count);
  text.remove_prefix(count);
  return digits;
}

std::uint64_t number_of(std::string_view digits) {
  std::uint64_t number = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), number);
  return number;
}

// The next three take a number off the text, where it is written as we would write it.

std::optional<std::uint64_t> take_unsigned(std::string_view& text) {
  const auto digits = take_digits(text);
  if (digits.empty() || digits.size() > kMaxShapeDigits || (digits.size() > 1 && digits.front() == '0')) return {};
  return number_of(digits);
}

std::optional<std::int64_t> take_signed(std::string_view& text) {
  const bool minus = text.starts_with('-');
  if (minus) text.remove_prefix(1);
  const auto number = take_unsigned(text);
  if (!number || (minus && *number == 0)) return {};
  return minus ? -static_cast<std::int64_t>(*number) : static_cast<std::int64_t>(*number);
}

struct Fraction {
  std::int64_t number = 0;
  std::size_t digits = 0;  // behind the point
};
std::optional<Fraction> take_decimal(std::string_view& text) {
  const bool minus = text.starts_with('-');
  if (minus) text.remove_prefix(1);
  const auto before = take_digits(text);
  if (before.empty() || (before.size() > 1 && before.front() == '0')) return {};
  std::string_view behind;
  if (text.starts_with('.')) {
    text.remove_prefix(1);
    behind = take_digits(text);
    if (behind.empty()) return {};
  }
  if (before.size() + behind.size() > kMaxShapeDigits) return {};
  const auto number = static_cast<std::int64_t>(number_of(std::string{before}.append(behind)));
  if (minus && number == 0) return {};
  return Fraction{minus ? -number : number, behind.size()};
}

void append_decimal(std::string& out, Fraction decimal) {
  auto text = std::to_string(decimal.number);
  if (decimal.digits == 0) {
    out += text;
    return;
  }
  if (decimal.number < 0) text.erase(0, 1);
  if (text.size() <= decimal.digits) text.insert(0, decimal.digits + 1 - text.size(), '0');
  if (decimal.number < 0) out += '-';
  out.append(text, 0, text.size() - decimal.digits).append(1, '.').append(text, text.size() - decimal.digits);
}

// Nothing where it is no digit as we write it.
std::optional<unsigned> hex_digit(char c) {
  if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<unsigned>(c - 'a' + 10);
  return {};
}

constexpr std::size_t kHexBytes = 8;

bool fill_hex(std::string& out, std::string_view& text) {
  if (text.size() < 2 * kHexBytes) return false;
  for (std::size_t i = 0; i < kHexBytes; ++i) {
    const auto high = hex_digit(text[2 * i]);
    const auto low = hex_digit(text[2 * i + 1]);
    if (!high || !low) return false;
    out += static_cast<char>(*high << 4 | *low);
  }
  text.remove_prefix(2 * kHexBytes);
  return true;
}

bool fill_up_to(char end, std::string& out, std::string_view& text) {
  const auto size = text.find(end);
  if (size == std::string_view::npos) return false;
  put_text(out, text.substr(0, size));
  text.remove_prefix(size);
  return true;
}

// Takes what stands in one hole off the text; false where it does not fit.
bool fill(char hole, std::string& out, std::string_view& text) {
  switch (hole) {
    case kUnsigned: {
      const auto number = take_unsigned(text);
      if (number) put_varint(out, *number);
      return number.has_value();
    }
    case kSigned: {
      const auto number = take_signed(text);
      if (number) put_signed(out, *number);
      return number.has_value();
    }
    case kFraction: {
      const auto decimal = take_decimal(text);
      if (!decimal) return false;
      put_varint(out, decimal->digits);
      put_signed(out, decimal->number);
      return true;
    }
    case kHex:
      return fill_hex(out, text);
    case kQuoted:
      return fill_up_to('"', out, text);
    case kList:
      return fill_up_to(']', out, text);
    default:
      if (!text.starts_with(hole)) return false;
      text.remove_prefix(1);
      return true;
  }
}

bool pour(char hole, ByteReader& in, std::string& out) {
  switch (hole) {
    case kUnsigned:
      out += std::to_string(in.varint());
      return in.ok();
    case kSigned:
      out += std::to_string(in.zigzag());
      return in.ok();
    case kFraction: {
      const auto digits = in.varint();
      const auto number = in.zigzag();
      if (!in.ok() || digits > kMaxShapeDigits) return false;
      append_decimal(out, {number, static_cast<std::size_t>(digits)});
      return true;
    }
    case kHex:
      for (const char byte : in.bytes(kHexBytes)) {
        constexpr std::string_view kDigits = "0123456789abcdef";
        out += kDigits[static_cast<unsigned char>(byte) >> 4U];
        out += kDigits[static_cast<unsigned char>(byte) & 0xfU];
      }
      return in.ok();
    case kQuoted:
    case kList:
      out += in.text();
      return in.ok();
    default:
      out += hole;
      return true;
  }
}

}  // namespace

void put_message(std::string& out, std::string_view topic, std::string_view body) {
  if (topic != topic_of(body)) {
    put_varint(out, kWithTopic);
    put_text(out, topic);
    put_text(out, body);
    return;
  }
  std::string holes;
  for (std::size_t i = 0; i < shapes().size(); ++i) {
    holes.clear();
    auto left = body;
    bool fits = true;
    for (const char c : shapes()[i]) {
      fits = fill(c, holes, left);
      if (!fits) break;
    }
    if (!fits || !left.empty()) continue;
    put_varint(out, kFirstShape + i);
    out += holes;
    return;
  }
  put_varint(out, kWithoutTopic);
  put_text(out, body);
}

bool take_message(ByteReader& in, std::string& topic, std::string& body) {
  const auto how = in.varint();
  if (!in.ok()) return false;
  if (how >= kFirstShape) {
    if (how - kFirstShape >= shapes().size()) return false;
    for (const char c : shapes()[static_cast<std::size_t>(how - kFirstShape)]) {
      if (!pour(c, in, body)) return false;
    }
    topic = topic_of(body);
    return true;
  }
  if (how == kWithTopic) topic = in.text();
  body = in.text();
  if (how == kWithoutTopic) topic = topic_of(body);
  return in.ok();
}

}  // namespace hamlet::contract
