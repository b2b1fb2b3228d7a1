#include "sync/contract/packed.hpp"

#include <cmath>
#include <cstring>
#include <unordered_map>

#include "sync/contract/varint.hpp"

namespace hamlet::contract {
namespace {

// Shapes of values. Stored: frozen.
constexpr std::uint64_t kNothing = 0;
constexpr std::uint64_t kFalse = 1;
constexpr std::uint64_t kTrue = 2;
constexpr std::uint64_t kText = 3;
constexpr std::uint64_t kDouble = 4;
constexpr std::uint64_t kDecimal = 5;  // and the digits behind the point
constexpr unsigned kMaxDigits = 9;

constexpr unsigned kQualityMask = 3;
constexpr unsigned kHasDeviceTime = 4;

constexpr std::array<double, kMaxDigits + 1> kPowers{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9};

struct Decimal {
  std::int64_t number = 0;
  unsigned digits = 0;
};

// Only where it gives back the same double, to the last bit.
std::optional<Decimal> as_decimal(double value) {
  constexpr double kLargest = 9e15;  // below 2^53: every integer is a double
  if (value == 0 && std::signbit(value)) return {};
  for (unsigned digits = 0; digits <= kMaxDigits; ++digits) {
    const double scaled = value * kPowers.at(digits);
    if (!(std::fabs(scaled) < kLargest)) return {};
    const double whole = std::nearbyint(scaled);
    if (whole / kPowers.at(digits) == value) return Decimal{static_cast<std::int64_t>(whole), digits};
  }
  return {};
}

double as_double(Decimal decimal) {
  return static_cast<double>(decimal.number) / kPowers.at(decimal.digits);
}

void put_name(std::string& out, std::string_view name, Names* names) {
  const auto id = names == nullptr ? Names::kInline : names->intern(name);
  put_varint(out, id);
  if (id == Names::kInline) put_text(out, name);
}

bool take_name(ByteReader& in, const Names* names, std::string& name) {
  const auto id = in.varint();
  if (id == Names::kInline) {
    name = in.text();
    return in.ok();
  }
  const auto known = names != nullptr && id <= Names::kMax ? names->at(static_cast<Names::Id>(id)) : std::nullopt;
  if (known) name = *known;
  return known.has_value();
}

// What the last value of each point was: a difference to it is small.
using LastDecimals = std::unordered_map<std::string_view, Decimal>;

void put_value(std::string& out, const Reading& reading, LastDecimals& last) {
  const auto shape = [&out](std::uint64_t which) {
    out += '\x01';
    put_varint(out, which);
  };
  const auto* number = std::get_if<double>(&reading.value);
  if (number == nullptr) {
    if (const auto* text = std::get_if<std::string>(&reading.value)) {
      shape(kText);
      put_text(out, *text);
    } else if (const auto* flag = std::get_if<bool>(&reading.value)) {
      shape(*flag ? kTrue : kFalse);
    } else {
      shape(kNothing);
    }
    return;
  }
  const auto decimal = std::isfinite(*number) ? as_decimal(*number) : std::nullopt;
  if (!decimal) {
    shape(std::isfinite(*number) ? kDouble : kNothing);  // JSON has no NaN and no infinities
    if (std::isfinite(*number)) out.append(reinterpret_cast<const char*>(number), sizeof *number);
    return;
  }
  const auto [before, fresh] = last.try_emplace(reading.point, *decimal);
  if (!fresh && before->second.digits >= decimal->digits) {
    // Of a run of 2.31, 2.3, 2.29 all are hundredths.
    auto same = *decimal;
    for (; same.digits < before->second.digits && std::abs(same.number) < 900'000'000'000'000; ++same.digits)
      same.number *= 10;
    if (same.digits == before->second.digits) {
      const auto difference = same.number - before->second.number;
      put_varint(out, ((static_cast<std::uint64_t>(difference) << 1) ^ static_cast<std::uint64_t>(difference >> 63)) << 1);
      before->second = same;
      return;
    }
  }
  shape(kDecimal + decimal->digits);
  put_signed(out, decimal->number);
  before->second = *decimal;
}

bool take_value(ByteReader& in, Reading& reading, LastDecimals& last, std::string_view point) {
  const auto head = in.varint();
  if ((head & 1) == 0) {
    const auto before = last.find(point);
    if (before == last.end()) return false;
    const auto zigzag = head >> 1;
    const auto difference = static_cast<std::int64_t>(zigzag >> 1) ^ -static_cast<std::int64_t>(zigzag & 1);
    if (__builtin_add_overflow(before->second.number, difference, &before->second.number)) return false;
    reading.value = as_double(before->second);
    return in.ok();
  }
  if (head != 1) return false;
  const auto shape = in.varint();
  if (shape == kFalse || shape == kTrue) {
    reading.value = shape == kTrue;
  } else if (shape == kText) {
    reading.value = std::string{in.text()};
  } else if (shape == kDouble) {
    const auto bytes = in.bytes(sizeof(double));
    double number = 0;
    if (bytes.size() == sizeof number) std::memcpy(&number, bytes.data(), sizeof number);
    if (!std::isfinite(number)) return false;
    reading.value = number;
  } else if (shape >= kDecimal && shape <= kDecimal + kMaxDigits) {
    const Decimal decimal{in.zigzag(), static_cast<unsigned>(shape - kDecimal)};
    reading.value = as_double(decimal);
    last.insert_or_assign(point, decimal);
  } else if (shape != kNothing) {
    return false;
  }
  return in.ok();
}

bool is_exception(const Reading& reading) {
  return reading.quality != Quality::good || !reading.why.empty() || reading.device_time;
}

void put_exceptions(std::string& out, std::span<const Reading> readings, Names* names) {
  const auto count = std::count_if(readings.begin(), readings.end(), is_exception);
  put_varint(out, static_cast<std::uint64_t>(count));
  std::size_t before = 0;
  for (std::size_t i = 0; i < readings.size(); ++i) {
    const auto& reading = readings[i];
    if (!is_exception(reading)) continue;
    put_varint(out, i - std::exchange(before, i));
    put_varint(out, static_cast<unsigned>(reading.quality) | (reading.device_time ? kHasDeviceTime : 0U));
    put_name(out, reading.why, reading.why.empty() ? nullptr : names);
    if (reading.device_time) put_signed(out, to_ms(*reading.device_time));
  }
}

bool take_exceptions(ByteReader& in, std::vector<Reading>& readings, const Names* names) {
  const auto count = in.varint();
  std::uint64_t at = 0;
  for (std::uint64_t n = 0; n < count; ++n) {
    const auto distance = in.varint();
    const auto flags = in.varint();
    if (!in.ok() || distance >= readings.size() - at || flags > (kQualityMask | kHasDeviceTime)) return false;
    at += distance;
    auto& reading = readings[static_cast<std::size_t>(at)];
    reading.quality = static_cast<Quality>(flags & kQualityMask);
    if (!take_name(in, names, reading.why)) return false;
    if ((flags & kHasDeviceTime) != 0) reading.device_time = wall_from_ms(in.zigzag());
  }
  return in.done();
}

}  // namespace

std::string pack(std::span<const Reading> readings, MonoTime at, Names* names) {
  constexpr std::size_t kTypical = 5;
  std::string out;
  out.reserve(8 + kTypical * readings.size());
  out += kPackedMark;
  put_varint(out, readings.size());
  LastDecimals last;
  last.reserve(readings.size());
  for (auto time = at; const auto& reading : readings) {
    put_name(out, reading.point, names);
    put_signed(out, (reading.at - std::exchange(time, reading.at)).count());
    put_value(out, reading, last);
  }
  put_exceptions(out, readings, names);
  return out;
}

Result<std::vector<Reading>> unpack(std::string_view bytes, MonoTime at, const Names* names) {
  ByteReader in{bytes};
  const auto damaged = [] { return fail(Errc::corrupt, "a batch of readings is damaged"); };
  if (in.bytes(1) != std::string_view{&kPackedMark, 1}) return damaged();
  const auto count = in.varint();
  if (!in.ok() || count > kMaxPacked || count > in.left()) return damaged();
  std::vector<Reading> readings(static_cast<std::size_t>(count));
  LastDecimals last;
  auto time = to_ms(at);
  for (auto& reading : readings) {
    if (!take_name(in, names, reading.point)) return damaged();
    if (__builtin_add_overflow(time, in.zigzag(), &time)) return damaged();
    reading.at = mono_from_ms(time);
    if (!take_value(in, reading, last, reading.point)) return damaged();
  }
  if (!take_exceptions(in, readings, names)) return damaged();
  return readings;
}

}  // namespace hamlet::contract
