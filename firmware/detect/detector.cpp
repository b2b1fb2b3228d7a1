#include "firmware/detect/detector.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <numeric>
#include <type_traits>

namespace hamlet::detect {
namespace {

static_assert(std::endian::native == std::endian::little, "what save() gives is little-endian");

constexpr double kLn2 = 0.6931471805599453;
constexpr double kLn10 = 2.302585092994046;
constexpr double kLog2 = 0.3010299956639812;  // of 10

constexpr std::uint8_t kScaleFrom = 30;           // samples that set a Tail's scale
constexpr std::uint32_t kTailFrom = 120;          // and those it needs to say something
constexpr double kMostRare = 30;                  // decades
constexpr double kHalfway = 3.47;                 // the strangeness that scores 0.5
constexpr double kFade = 1.0 / 120;               // of a finding's peak, a sample
constexpr double kStranger = 1.1;                 // than that peak: another finding
constexpr std::uint8_t kHourFrom = 6;             // samples that an hour needs before it is usual
constexpr double kJumpWeight = 0.7;               // jumps alone are seldom what matters
constexpr double kLargest = 1e100;                // beyond it sums of squares soon are no numbers any more
constexpr std::int64_t kMostBetween = 3'600'000;  // ms; a longer silence is no learning

// Gains of the moving averages; while young, each is the plain mean.
constexpr double kFast = 0.1;
constexpr double kNear = 0.2;
constexpr double kResidualSlow = 0.0025;
constexpr double kSpreadFast = 0.05;
constexpr double kLong = 0.002;
constexpr double kSlow = 0.001;
constexpr double kHour = 0.025;
constexpr std::uint16_t kSeen = 40;  // from so many on an hour's gain is kHour
constexpr double kRecord = 0.4;

constexpr double kUsualOver = 8;  // how much less a record counts for each range that records used to go beyond

constexpr std::string_view kFormat = "1:";
constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

// Base64 without padding.
std::string to_text(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size() * 4 / 3 + 2);
  std::uint32_t bits = 0;
  int held = 0;
  for (const char c : bytes) {
    bits = bits << 8 | static_cast<std::uint8_t>(c);
    for (held += 8; held >= 6; held -= 6) out += kDigits[bits >> (held - 6) & 63];
  }
  if (held > 0) out += kDigits[bits << (6 - held) & 63];
  return out;
}

std::optional<std::string> to_bytes(std::string_view text) {
  std::string out;
  std::uint32_t bits = 0;
  int held = 0;
  for (const char c : text) {
    const auto digit = kDigits.find(c);
    if (digit == std::string_view::npos) return {};
    bits = bits << 6 | static_cast<std::uint32_t>(digit);
    held += 6;
    if (held < 8) continue;
    held -= 8;
    out += static_cast<char>(bits >> held & 255);
  }
  return out;
}

struct Packer {
  std::string bytes;
  template <class... Fields>
  void operator()(const Fields&... fields) {
    static_assert((std::is_trivially_copyable_v<Fields> && ...));
    (bytes.append(reinterpret_cast<const char*>(&fields), sizeof fields), ...);
  }
};

struct Unpacker {
  std::string_view rest;
  bool ok = true;
  template <class... Fields>
  void operator()(Fields&... fields) {
    static_assert((std::is_trivially_copyable_v<Fields> && ...));
    (take(&fields, sizeof fields), ...);
  }
  void take(void* to, std::size_t size) {
    ok = ok && rest.size() >= size;
    if (!ok) return;
    std::memcpy(to, rest.data(), size);
    rest.remove_prefix(size);
  }
};

double fourth(double x) {
  return x * x * x * x;
}

}  // namespace

LocalTime local_time(WallTime wall) {
  const auto local = wall + std::chrono::hours{8};
  const auto day = std::chrono::floor<std::chrono::days>(local);
  const std::chrono::weekday weekday{day};
  return {static_cast<int>(static_cast<unsigned>(std::chrono::year_month_day{day}.month())),
          static_cast<int>(std::chrono::floor<std::chrono::hours>(local - day).count()),
          weekday == std::chrono::Saturday || weekday == std::chrono::Sunday};
}

// ---- one measure ----------------------------------------------------------------------------------------------------

// floor(3 log2(u / scale_)) from the middle on, without a logarithm: fourteen times a sample it is asked.
inline std::size_t Tail::bin_of(double u) const {
  static_assert(kBins == 3 * 32, "sixteen octaves to each side of the scale");
  constexpr auto fraction = [](std::uint64_t bits) { return bits & 0xF'FFFF'FFFF'FFFF; };
  constexpr auto kOneThird = fraction(std::bit_cast<std::uint64_t>(0.6299605249474366));  // of an octave from 0.5 on
  constexpr auto kTwoThirds = fraction(std::bit_cast<std::uint64_t>(0.7937005259840998));
  const double ratio = u / scale_;
  const auto bits = std::bit_cast<std::uint64_t>(ratio);
  const auto octave = (bits >> 52) - (1023 - 16);
  if (octave >= kBins / 3) return ratio < 1 ? 0 : kBins - 1;
  return 3 * octave + (fraction(bits) >= kOneThird ? 1 : 0) + (fraction(bits) >= kTwoThirds ? 1 : 0);
}

double Tail::edge(std::size_t bin) const {
  return scale_ * std::exp2((static_cast<double>(bin) - kBins / 2) / 3);
}

// A hundredth of all, and at least 8.
inline bool Tail::enough(int in_top) const {
  return in_top * 100 >= std::max<int>(800, inserted_);
}

// Moves the top to where it holds just enough.
void Tail::find_top() {
  const auto add = [this](int more) { in_top_ = static_cast<std::uint16_t>(in_top_ + more); };
  while (top_ > 0 && !enough(in_top_)) add(count(--top_));
  while (top_ < kBins - 1 && enough(in_top_ - count(top_))) add(-count(top_++));
}

// Room for a bin, and one more on its side.
void Tail::grow_to(std::size_t bin) {
  const auto low = bins_.empty() ? bin : std::min<std::size_t>(first_, bin == 0 ? 0 : bin - 1);
  const auto high = bins_.empty() ? bin : std::max(end() - 1, std::min(bin + 1, kBins - 1));
  Short wider(high - low + 1);
  for (auto i = low; i <= high; ++i) wider[i - low] = count(i);
  bins_ = std::move(wider);
  first_ = static_cast<std::uint8_t>(low);
}

void Tail::take(const Bins& bins) {
  const auto used = [](std::uint16_t each) { return each != 0; };
  const auto low = std::find_if(bins.begin(), bins.end(), used);
  const auto high = std::find_if(bins.rbegin(), bins.rend(), used).base();
  bins_ = low < high ? Short(low, high) : Short{};
  first_ = low < high ? static_cast<std::uint8_t>(low - bins.begin()) : std::uint8_t{0};
}

inline double Tail::rarity(double u, std::size_t bin) const {
  if (bin < top_ || inserted_ < kTailFrom) return 0;
  // At the top's lower end what is fitted is never less than what is counted.
  // The more samples, the more that are rare: a quarter of their decades beyond 1,000 counts for nothing.
  const double samples = inserted_ / 1000.0;
  if (bin == top_) return std::max(0.0, kLog2 / 4 * std::log2(fourth((inserted_ + 1.0) / (in_top_ + 1.0)) / samples));
  return std::max(0.0, std::min(kMostRare, beyond_top(u, bin)) - kLog2 / 4 * std::log2(samples));
}

double Tail::beyond_top(double u, std::size_t bin) const {
  double beyond = 0;  // how far those in the top lie beyond its lower end, added up, in nepers
  double as_rare = 0;
  for (auto j = std::max<std::size_t>(top_, first_); j < end(); ++j) {
    const double here = bins_[j - first_];
    beyond += here * (static_cast<double>(j - top_) + 0.5) * kLn2 / 3;
    if (j >= bin) as_rare += here;
  }
  const double mean_beyond = (beyond + 8) / (in_top_ + 20.0);
  const double fitted = std::log10(inserted_ / static_cast<double>(in_top_)) +
                        std::max(0.0, std::log(u / edge(top_))) / (mean_beyond * kLn10);
  const double counted = std::log10((inserted_ + 1.0) / (as_rare + 1));
  return as_rare > 0 ? std::min(fitted, counted) : std::max(fitted, counted);
}

inline bool Tail::is_primed() const {
  return primed_ >= kScaleFrom;
}

void Tail::prime(double u) {
  scale_ = std::max(scale_, u / 16);
  ++primed_;
}

inline void Tail::insert(std::size_t bin) {
  if (bin - first_ >= bins_.size()) grow_to(bin);
  ++bins_[bin - first_];
  ++inserted_;
  const bool in_top = bin >= top_;
  if (in_top) ++in_top_;
  if (inserted_ >= kFull) {
    for (auto& each : bins_) each /= 2;
    static_cast<void>(check());
  } else if (in_top || !enough(in_top_)) {
    find_top();
  }
}

bool Tail::check() {
  if (!std::isfinite(scale_) || scale_ < 0 || (primed_ >= kScaleFrom && scale_ <= 0)) return false;
  const auto inserted = std::accumulate(bins_.begin(), bins_.end(), std::uint32_t{0});
  if (inserted >= kFull || primed_ > kScaleFrom) return false;
  inserted_ = static_cast<std::uint16_t>(inserted);
  top_ = 0;
  in_top_ = inserted_;
  find_top();
  return true;
}

// ---- one series -----------------------------------------------------------------------------------------------------

inline double Detector::gain(double least) const {
  return std::max(least, 1 / (static_cast<double>(state_.samples) + 1));
}

inline Detector::Means Detector::means_with(double x, double residual) const {
  auto means = state_.means;
  const auto towards = [&](double& mean, double least, double y) { mean += gain(least) * (y - mean); };
  towards(means.fast, kFast, x);
  towards(means.residual_fast, kFast, residual);
  towards(means.residual_slow, kResidualSlow, residual);
  const double off = (x - state_.near) * (x - state_.near);
  towards(means.spread_fast, kSpreadFast, off);
  towards(means.spread_slow, kLong, off);
  return means;
}

std::optional<double> Detector::score(double raw, MonoTime at, const std::optional<LocalTime>& local) {
  learn();
  if (std::abs(raw) > kLargest) return {};
  if (state_.samples == 0) {
    const double x = value_of(raw);
    state_.low = state_.high = state_.previous = state_.near = state_.slow = state_.means.fast = x;
  }
  auto& next = pending_.emplace(Pending{.raw = raw, .at_ms = to_ms(at)});
  if (local) next.hour = static_cast<std::uint8_t>(local->hour + (local->weekend ? 24 : 0));
  const auto seen = look_at(raw, next.hour);
  const auto measures = measure(seen, next.hour);
  next.means = seen.means;
  const double strange = strangeness(seen.x, measures, next.bins);
  const double peak = state_.peak * (1 - kFade);
  next.peak = std::max(peak, strange);
  if (!ready()) return {};
  return strange > kStranger * peak ? strange / (strange + kHalfway) : 0;
}

inline double Detector::value_of(double raw) const {
  return state_.counter == 0 || raw < state_.raw ? raw : raw - state_.raw;
}

inline Detector::Seen Detector::look_at(double raw, std::uint8_t hour) const {
  const double x = value_of(raw);
  const bool known = hour != kNone && seen_.at(hour) > 0;
  const double residual = x - (known ? static_cast<double>(usual_.at(hour)) : state_.slow);
  return {.x = x, .residual = residual, .means = means_with(x, residual)};
}

inline double Detector::range() const {
  return std::max(state_.high - state_.low, 1e-12);
}

// Those not above 0 are none.
inline Detector::Measures Detector::measure(const Seen& seen, std::uint8_t hour) const {
  const double least = 0.01 * std::max(range(), 1e-6 * (std::abs(seen.x) + 1));  // what is smaller is the same
  const double calm = 0.01 * least * least;
  const auto& means = seen.means;
  Measures out{};
  out[0] = std::abs(means.fast - state_.slow) + least;
  if (hour != kNone && seen_.at(hour) >= kHourFrom) {
    out[1] = std::abs(seen.residual) + least;
    out[2] = std::abs(means.residual_fast) + least;
    out[3] = std::abs(means.residual_slow) + least;
  }
  out[4] = 1 / std::sqrt((means.spread_fast + calm) / (means.spread_slow + calm) + 1e-12);
  out[5] = (state_.step_fast + 0.1 * least) / (state_.step_slow + 0.1 * least);
  out[6] = std::abs(seen.x - state_.means.fast) / (state_.step_fast + least);
  return out;
}

// A first change says little of how large changes are.
inline double Detector::over(double x) const {
  if (state_.low == state_.high || (x >= state_.low && x <= state_.high)) return 0;
  return std::min(std::max(state_.low - x, x - state_.high) / range(), 3.0);
}

// Notes their bins, too.
inline double Detector::strangeness(double x, const Measures& measures, Bins& bins) const {
  static_assert(Tail::kBins < kPriming);
  double sum = 0;
  for (std::size_t i = 0; i < kMeasures; ++i) {
    const auto& tail = tails_[i];
    bins[i] = measures[i] > 0 ? kPriming : kNone;
    if (bins[i] == kNone || !tail.is_primed()) continue;
    const auto bin = tail.bin_of(measures[i]);
    bins[i] = static_cast<std::uint8_t>(bin);
    const double rarity = tail.rarity(measures[i], bin);
    if (rarity > 0) sum += fourth(rarity * (i == 6 ? kJumpWeight : 1));
  }
  if (const double beyond = over(x); ready() && beyond > 0) {
    sum += fourth(11.4 * (0.3 + beyond / (1 + kUsualOver * state_.usual_over)));
  }
  return std::sqrt(std::sqrt(sum));
}

void Detector::learn() {
  if (!pending_) return;
  if (!find_counter(pending_->raw)) take_in(*pending_);
  pending_.reset();
}

inline void Detector::take_in(const Pending& sample) {
  const double x = value_of(sample.raw);
  const double beyond = over(x);
  auto& s = state_;
  std::optional<Measures> measures;  // only while young
  for (std::size_t i = 0; i < kMeasures; ++i) {
    if (sample.bins[i] < kPriming) {
      tails_[i].insert(sample.bins[i]);
      continue;
    }
    if (sample.bins[i] == kNone) continue;
    if (!measures) measures = measure(look_at(sample.raw, sample.hour), sample.hour);
    tails_[i].prime((*measures)[i]);
  }
  const auto towards = [&](double& mean, double least, double y) { mean += gain(least) * (y - mean); };
  const double step = std::abs(x - s.previous);
  towards(s.step_fast, kFast, step);
  towards(s.step_slow, kLong, step);
  towards(s.near, kNear, x);
  towards(s.slow, kSlow, x);
  if (sample.hour != kNone) {
    auto& seen = seen_.at(sample.hour);
    seen = static_cast<std::uint8_t>(std::min(seen + 1, int{kSeen}));
    auto& usual = usual_.at(sample.hour);
    usual += static_cast<float>(std::max(kHour, 1.0 / seen) * (x - static_cast<double>(usual)));
  }
  s.means = sample.means;
  s.peak = sample.peak;
  if (beyond > 0 && s.samples >= 10) s.usual_over += kRecord * (beyond - s.usual_over);
  s.low = std::min(s.low, x);
  s.high = std::max(s.high, x);
  if (x != s.previous) s.changes = std::min(s.changes + 1, kChanges);
  s.previous = x;
  s.raw = sample.raw;
  if (s.samples > 0) s.learned_ms += std::clamp<std::int64_t>(sample.at_ms - s.last_ms, 0, kMostBetween);
  s.last_ms = sample.at_ms;
  ++s.samples;
}

// A series that rises again and again and hardly ever falls is a counter; one that falls often is none. True: it is the
// other than was thought, and all begins anew.
inline bool Detector::find_counter(double raw) {
  auto& s = state_;
  if (s.samples > 0) {
    s.rises += raw > s.raw ? 1 : 0;
    s.falls += raw < s.raw ? 1 : 0;
  }
  if (s.rises + s.falls > 2'000) {
    s.rises /= 2;
    s.falls /= 2;
  }
  const bool counts = s.falls * 50 <= s.rises;
  if (s.samples == kWarm && s.counter == 0 && s.rises >= 20 && counts) {
    begin_anew(true, raw);
    return true;
  }
  if (s.counter != 0 && s.falls * 10 > s.rises && s.falls >= 10) {
    begin_anew(false, raw);
    return true;
  }
  return false;
}

void Detector::begin_anew(bool counter, double raw) {
  const auto last_ms = state_.last_ms;
  *this = {};
  state_.counter = counter ? 1 : 0;
  state_.raw = raw;
  state_.last_ms = last_ms;
}

template <class Archive>
void Detector::each(Archive& archive) {
  std::array<std::uint16_t, kHours> seen{};
  std::copy(seen_.begin(), seen_.end(), seen.begin());
  archive(state_, usual_, seen);
  std::transform(seen.begin(), seen.end(), seen_.begin(),
                 [](auto each) { return static_cast<std::uint8_t>(std::min(each, kSeen)); });
  for (auto& tail : tails_) tail.each(archive);
}

std::string Detector::save() const {
  Packer packer;
  auto copy = *this;
  copy.each(packer);
  return std::string{kFormat} + to_text(packer.bytes);
}

Status Detector::restore(std::string_view stored, bool same_boot) {
  const auto corrupt = [] { return fail(Errc::corrupt, "what the detector had learned is damaged; it begins anew"); };
  if (!stored.starts_with(kFormat)) return corrupt();
  const auto bytes = to_bytes(stored.substr(kFormat.size()));
  if (!bytes) return corrupt();
  Detector read;
  Unpacker unpacker{*bytes};
  read.each(unpacker);
  const auto& s = read.state_;
  const auto finite = [](std::initializer_list<double> all) {
    return std::all_of(all.begin(), all.end(), [](double each) { return std::isfinite(each); });
  };
  const auto& m = s.means;
  const bool sane =
      unpacker.ok && unpacker.rest.empty() && s.low <= s.high && s.peak >= 0 && s.learned_ms >= 0 &&
      finite({m.fast, m.residual_fast, m.residual_slow, m.spread_fast, m.spread_slow, s.near, s.slow, s.step_fast,
              s.step_slow, s.low, s.high, s.previous, s.raw, s.peak, s.usual_over}) &&
      s.usual_over >= 0 && m.spread_fast >= 0 && m.spread_slow >= 0 && s.step_fast >= 0 && s.step_slow >= 0 &&
      std::all_of(read.usual_.begin(), read.usual_.end(), [](float each) { return std::isfinite(each); }) &&
      std::all_of(read.tails_.begin(), read.tails_.end(), [](Tail& tail) { return tail.check(); });
  if (!sane) return corrupt();
  if (!same_boot) read.state_.last_ms = 0;
  *this = read;
  return {};
}

}  // namespace hamlet::detect
