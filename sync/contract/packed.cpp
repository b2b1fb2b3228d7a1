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

// value * 10^digits, only where it gives back the same double, to the last bit. Inline: a call costs as much as it does.
[[gnu::always_inline]] inline std::optional<std::int64_t> as_integer(double value, unsigned digits) {
  constexpr double kLargest = 4.5e15;  // below 2^52: a half can be added
  constexpr double kRounding = 0x1p-52;
  const double scaled = value * kPowers.at(digits);
  if (!(std::fabs(scaled) < kLargest)) return {};
  const auto number = static_cast<std::int64_t>(scaled + std::copysign(0.5, scaled));
  const auto whole = static_cast<double>(number);
  if (std::fabs(scaled - whole) > std::fabs(scaled) * kRounding || whole / kPowers.at(digits) != value) return {};
  if (number == 0 && std::signbit(value)) return {};
  return number;
}

double as_double(Decimal decimal) {
  return static_cast<double>(decimal.number) / kPowers.at(decimal.digits);
}

Names::Id put_name(std::string& out, std::string_view name, Names* names) {
  const auto id = names == nullptr ? Names::kInline : names->intern(name);
  put_varint(out, id);
  if (id == Names::kInline) put_text(out, name);
  return id;
}

// Its number, where it is one that is known.
std::optional<Names::Id> take_name(ByteReader& in, const Names* names, std::string& name) {
  const auto id = in.varint();
  if (id > Names::kMax || !in.ok()) return {};
  if (id == Names::kInline) {
    name = in.text();
    return in.ok() ? std::optional{Names::kInline} : std::nullopt;
  }
  const auto known = names != nullptr ? names->at(static_cast<Names::Id>(id)) : std::nullopt;
  if (!known) return {};
  name = *known;
  return static_cast<Names::Id>(id);
}

// A point of the batch.
struct Point {
  Names::Id id = Names::kInline;
  std::string_view name;
  std::optional<Decimal> last{};      // value
  std::optional<std::size_t> next{};  // the point that followed it
};

/// The points of a batch, in the order in which they are first seen; foretells the next one.
class Points {
 public:
  Points(const Names* names, std::size_t readings) : names_{names} {
    constexpr std::size_t kMost = 256;
    all_.reserve(std::min(readings, kMost));
  }

  /// Nothing where nothing is foretold.
  [[nodiscard]] std::string_view foretold() const {
    if (!before_) return {};
    const auto& before = all_[*before_];
    if (before.next) return all_[*before.next].name;
    const bool numbered = names_ != nullptr && before.id != Names::kInline && before.id < Names::kMax;
    return numbered ? names_->at(before.id + 1).value_or(std::string_view{}) : std::string_view{};
  }
  /// The one that is next, as it was foretold. `name` must stay where it is.
  std::size_t follow(std::string_view name) {
    const auto& before = all_[*before_];
    return before.next ? *(before_ = before.next) : see(before.id + 1, name);
  }
  std::size_t see(Names::Id id, std::string_view name) {
    if (id >= by_id_.size()) by_id_.resize(2 * id + 1, kUnseen);
    auto& which = id == Names::kInline ? by_name_.try_emplace(name, kUnseen).first->second : by_id_[id];
    if (which == kUnseen) {
      which = all_.size();
      all_.push_back({.id = id, .name = name});
    }
    if (before_) all_[*before_].next = which;
    return *(before_ = which);
  }
  [[nodiscard]] Point& operator[](std::size_t i) { return all_[i]; }

 private:
  static constexpr auto kUnseen = static_cast<std::size_t>(-1);

  const Names* names_;
  std::vector<Point> all_;
  std::vector<std::size_t> by_id_;
  std::unordered_map<std::string_view, std::size_t> by_name_;  // those without a number
  std::optional<std::size_t> before_;
};

// Gives which of the points each reading has.
std::vector<std::size_t> put_points(std::string& out, std::span<const Reading> readings, Points& points, Names* names) {
  std::vector<std::size_t> which;
  which.reserve(readings.size());
  std::uint64_t run = 0;
  for (const auto& reading : readings) {
    if (!reading.point.empty() && points.foretold() == reading.point) {
      which.push_back(points.follow(reading.point));
      ++run;
      continue;
    }
    if (!which.empty()) put_varint(out, std::exchange(run, 0));
    const auto id = put_name(out, reading.point, names);
    which.push_back(points.see(id, reading.point));
  }
  if (!which.empty()) put_varint(out, run);
  return which;
}

bool take_points(ByteReader& in, std::vector<Reading>& readings, Points& points, const Names* names,
                 std::vector<std::size_t>& which) {
  which.reserve(readings.size());
  for (auto reading = readings.begin(); reading != readings.end();) {
    const auto id = take_name(in, names, reading->point);
    if (!id) return false;
    which.push_back(points.see(*id, reading->point));
    ++reading;
    auto run = in.varint();
    if (!in.ok() || run > static_cast<std::uint64_t>(readings.end() - reading)) return false;
    for (; run > 0; --run, ++reading) {
      reading->point = points.foretold();
      if (reading->point.empty()) return false;
      which.push_back(points.follow(reading->point));
    }
  }
  return true;
}

void put_times(std::string& out, std::span<const Reading> readings, MonoTime at) {
  for (std::size_t i = 0; i < readings.size();) {
    const auto difference = (readings[i].at - std::exchange(at, readings[i].at)).count();
    auto end = i + 1;
    while (end < readings.size() && readings[end].at == at) ++end;
    const auto more = end - i - 1;
    put_varint(out, zigzag(difference) << 1U | (more > 0 ? 1U : 0U));
    if (more > 0) put_varint(out, more - 1);
    i = end;
  }
}

bool take_times(ByteReader& in, std::vector<Reading>& readings, MonoTime at) {
  auto time = to_ms(at);
  for (auto reading = readings.begin(); reading != readings.end();) {
    const auto head = in.varint();
    if (__builtin_add_overflow(time, unzigzag(head >> 1U), &time)) return false;
    (reading++)->at = mono_from_ms(time);
    if ((head & 1U) == 0) continue;
    const auto more = in.varint();
    if (!in.ok() || more >= static_cast<std::uint64_t>(readings.end() - reading)) return false;
    for (const auto end = reading + static_cast<std::ptrdiff_t>(more) + 1; reading != end; ++reading)
      reading->at = mono_from_ms(time);
  }
  return true;
}

void put_value(std::string& out, const Value& value, std::optional<Decimal>& last) {
  const auto shape = [&out](std::uint64_t which) { put_varint(out, which << 1U | 1U); };
  const auto* number = std::get_if<double>(&value);
  if (number == nullptr) {
    if (const auto* text = std::get_if<std::string>(&value)) {
      shape(kText);
      put_text(out, *text);
    } else if (const auto* flag = std::get_if<bool>(&value)) {
      shape(*flag ? kTrue : kFalse);
    } else {
      shape(kNothing);
    }
    return;
  }
  // Of a run of 2.31, 2.3, 2.29 all are hundredths.
  if (const auto same = last ? as_integer(*number, last->digits) : std::nullopt) {
    put_varint(out, zigzag(*same - last->number) << 1U);
    last->number = *same;
    return;
  }
  for (unsigned digits = 0; digits <= kMaxDigits; ++digits) {
    const auto integer = as_integer(*number, digits);
    if (!integer) continue;
    shape(kDecimal + digits);
    put_signed(out, *integer);
    last = {*integer, digits};
    return;
  }
  shape(std::isfinite(*number) ? kDouble : kNothing);  // JSON has no NaN and no infinities
  if (std::isfinite(*number)) out.append(reinterpret_cast<const char*>(number), sizeof *number);
}

bool take_value(ByteReader& in, Value& value, std::optional<Decimal>& last) {
  const auto head = in.varint();
  if ((head & 1U) == 0) {
    if (!last || __builtin_add_overflow(last->number, unzigzag(head >> 1U), &last->number)) return false;
    value = as_double(*last);
    return in.ok();
  }
  const auto shape = head >> 1U;
  if (shape == kFalse || shape == kTrue) {
    value = shape == kTrue;
  } else if (shape == kText) {
    value = std::string{in.text()};
  } else if (shape == kDouble) {
    const auto bytes = in.bytes(sizeof(double));
    double number = 0;
    if (bytes.size() == sizeof number) std::memcpy(&number, bytes.data(), sizeof number);
    if (!std::isfinite(number)) return false;
    value = number;
  } else if (shape >= kDecimal && shape <= kDecimal + kMaxDigits) {
    last = Decimal{in.zigzag(), static_cast<unsigned>(shape - kDecimal)};
    value = as_double(*last);
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
    (void)put_name(out, reading.why, reading.why.empty() ? nullptr : names);
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
  constexpr std::size_t kTypical = 4;
  std::string out;
  out.reserve(16 + kTypical * readings.size());
  out += kPackedMark;
  put_varint(out, readings.size());
  Points points{names, readings.size()};
  const auto which = put_points(out, readings, points, names);
  put_times(out, readings, at);
  for (std::size_t i = 0; i < readings.size(); ++i) put_value(out, readings[i].value, points[which[i]].last);
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
  Points points{names, readings.size()};
  std::vector<std::size_t> which;
  if (!take_points(in, readings, points, names, which) || !take_times(in, readings, at)) return damaged();
  for (std::size_t i = 0; i < readings.size(); ++i) {
    if (!take_value(in, readings[i].value, points[which[i]].last)) return damaged();
  }
  if (!take_exceptions(in, readings, names)) return damaged();
  return readings;
}

}  // namespace hamlet::contract
