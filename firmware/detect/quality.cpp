#include "firmware/detect/quality.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <iterator>
#include <limits>
#include <utility>

namespace hamlet::detect {
namespace {

constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr std::int64_t kExactSteps = 127;  // from the first to the last of 128 samples
constexpr int kFewestSamples = 3;
constexpr std::int64_t kBuckets = 32;  // of a longer window of AttenuatedSignal

Quality quality_of(Flag flag) {
  switch (flag) {
    case Flag::none:
    case Flag::good:
    case Flag::not_evaluated:
      return Quality::good;
    case Flag::suspect:
      return Quality::suspect;
    case Flag::fail:
      return Quality::bad;
    case Flag::missing:
      return Quality::missing;
  }
  return Quality::bad;
}

// Quality's values rise from good to missing: of two results the worse stays, of equals the first.
void blame(Reading& reading, Flag flag, Test test) {
  const auto quality = quality_of(flag);
  if (quality <= reading.quality) return;
  reading.quality = quality;
  reading.why = to_string(test);
}

}  // namespace

Flag gross_range(std::optional<double> x, const std::optional<Span>& range, const std::optional<Span>& suspect) {
  const auto outside = [&](const std::optional<Span>& span) { return span && (*x < span->low || *x > span->high); };
  if (!x) return Flag::missing;
  if (outside(range)) return Flag::fail;
  return outside(suspect) ? Flag::suspect : Flag::good;
}

std::string_view to_string(Test test) {
  switch (test) {
    case Test::gross_range:
      return "gross-range";
    case Test::climatology:
      return "climatology";
    case Test::spike:
      return "spike";
    case Test::rate_of_change:
      return "rate-of-change";
    case Test::flat_line:
      return "flat-line";
    case Test::attenuated_signal:
      return "attenuated-signal";
    case Test::time_gap:
      return "time-gap";
    case Test::neighbour:
      return "neighbour";
  }
  return "";
}

std::vector<std::string_view> tests_of(const QualityRule& rule) {
  std::vector<std::string_view> out;
  const auto add = [&](bool configured, Test test) {
    if (configured) out.push_back(to_string(test));
  };
  add(rule.range || rule.suspect, Test::gross_range);
  add(!rule.climatology.empty(), Test::climatology);
  add(rule.spike.has_value(), Test::spike);
  add(rule.rate_of_change.has_value(), Test::rate_of_change);
  add(rule.flat_line.has_value(), Test::flat_line);
  add(rule.attenuated.has_value(), Test::attenuated_signal);
  add(rule.gap.has_value(), Test::time_gap);
  add(rule.neighbour.has_value(), Test::neighbour);
  return out;
}

Flag aggregate(std::span<const Flag> flags) {
  for (const auto flag : {Flag::fail, Flag::suspect, Flag::good, Flag::not_evaluated}) {
    if (std::find(flags.begin(), flags.end(), flag) != flags.end()) return flag;
  }
  return Flag::missing;
}

Flag climatology(std::optional<double> x, std::span<const ClimatologyMember> members,
                 const std::optional<LocalTime>& at) {
  if (!x) return Flag::missing;
  if (!at) return Flag::not_evaluated;
  const auto within = [](int value, int first, int last) {
    return first <= last ? value >= first && value <= last : value >= first || value <= last;
  };
  for (auto member = members.rbegin(); member != members.rend(); ++member) {
    if (within(at->month, member->first_month, member->last_month) &&
        within(at->hour, member->first_hour, member->last_hour)) {
      return gross_range(x, member->range, member->suspect);
    }
  }
  return Flag::not_evaluated;
}

Flag neighbour(std::optional<double> x, std::optional<double> other, const NeighbourRule& rule) {
  if (!x) return Flag::missing;
  if (!other) return Flag::not_evaluated;
  const double larger = std::max(std::abs(*x), std::abs(*other));
  const double smaller = *x * *other > 0 ? std::min(std::abs(*x), std::abs(*other)) : 0;
  const bool differs = !rule.difference || std::abs(*x - *other) > *rule.difference;
  const bool out_of_ratio = !rule.ratio || larger > *rule.ratio * smaller;
  return differs && out_of_ratio && *x != *other ? Flag::suspect : Flag::good;
}

Flag spike(const SpikeRule& rule, std::optional<double> before, std::optional<double> x, std::optional<double> after) {
  if (!x) return Flag::missing;
  if (!before || !after) return Flag::not_evaluated;
  double apart = 0;
  if (rule.method == SpikeRule::Method::average) {
    apart = std::abs(*x - (*before + *after) / 2);
  } else if ((*x - *before) * (*after - *x) < 0) {
    apart = std::min(std::abs(*x - *before), std::abs(*after - *x));
  }
  if (!std::isfinite(apart)) return Flag::not_evaluated;
  if (rule.fail != 0 && apart > rule.fail) return Flag::fail;
  return rule.suspect != 0 && apart > rule.suspect ? Flag::suspect : Flag::good;
}

Flag time_gap(Millis since_last, Millis span) {
  return since_last > span ? Flag::fail : Flag::good;
}

Flag rate_of_change(double per_second, Millis since_last, std::optional<double> before, std::optional<double> x) {
  if (!x) return Flag::missing;
  if (!before) return Flag::good;
  const auto seconds = std::chrono::duration<double>{since_last}.count();
  // In no time at all a change is infinitely fast, and no change is 0 / 0, which is not above anything.
  return std::abs(*x - *before) / seconds > per_second ? Flag::suspect : Flag::good;
}

constexpr std::size_t kFew = 3;  // room for so many is not given back

void Extremes::add(std::int64_t position, double x, std::int64_t granule) {
  granule = std::max<std::int64_t>(1, granule);
  while (!empty() && newest().value >= x) samples_.pop_back();
  if (empty()) base_ = position;
  if (position - base_ > std::numeric_limits<std::uint32_t>::max()) {
    const auto later = samples_.front()[2];
    for (auto& each : samples_) each[2] -= later;
    base_ += later;
  }
  const auto after = static_cast<std::uint32_t>(position - base_);
  if (!empty() && position - newest().position < granule && position / granule == newest().position / granule) {
    samples_.back()[2] = after;
    return;
  }
  if (size() == samples_.capacity()) {
    samples_.reserve(size() + size() / 8 + 2);
  } else if (samples_.capacity() > kFew && size() * 2 < samples_.capacity()) {
    samples_.shrink_to_fit();
  }
  const auto bits = std::bit_cast<std::uint64_t>(x);
  samples_.push_back({static_cast<std::uint32_t>(bits), static_cast<std::uint32_t>(bits >> 32), after});
}

Flag FlatLine::check(const FlatLineRule& rule, MonoTime at, std::optional<double> x) {
  const bool by_count = rule.every.has_value();
  const auto positions = [&](Millis time) { return by_count ? time / *rule.every : time.count(); };
  const auto suspect = positions(rule.suspect);
  const auto fail = rule.fail ? positions(*rule.fail) : kNever;
  if (by_count) ++position_;
  if (!x) return Flag::missing;
  if (!by_count) {
    const auto silence = to_ms(at) - std::exchange(position_, to_ms(at));
    if (lows_.empty() || silence > suspect) restart();
  }
  add(*x, rule.tolerance, rule.fail ? std::max(suspect, fail) : suspect);
  const bool few = before_[0] == kNone || before_[0] < flat_since_;
  before_ = {before_[1], position_};
  if (rule.tolerance <= 0 || (!by_count && few)) return Flag::good;
  const auto flat_for = position_ - flat_since_;
  if (flat_for >= fail) return Flag::fail;
  return flat_for >= suspect ? Flag::suspect : Flag::good;
}

void FlatLine::restart() {
  lows_.clear();
  highs_.clear();
  before_ = {kNone, kNone};
  flat_since_ = position_;
}

// The newest sample that is too far off is among the lowest, or the highest, of those since.
inline void FlatLine::add(double x, double tolerance, std::int64_t longest) {
  const auto drop = [&](Extremes& extremes, double sign) {
    extremes.drop_while([&](const auto& each) {
      const bool too_far = sign * x - each.value >= tolerance;
      if (too_far) flat_since_ = std::max(flat_since_, each.position + 1);
      return too_far || each.position < std::max(flat_since_, position_ - longest);
    });
  };
  drop(lows_, 1);
  drop(highs_, -1);
  lows_.drop_before(flat_since_);
  const auto granule = (longest + kExactSteps - 1) / kExactSteps;
  lows_.add(position_, x, granule);
  highs_.add(position_, -x, granule);
}

// ---- samples --------------------------------------------------------------------------------------------------------

namespace {

constexpr std::array<double, 7> kPowers{1, 10, 100, 1'000, 10'000, 100'000, 1'000'000};
constexpr std::uint8_t kWhole = 4;  // words of a double

// The largest number of so many words, and one beyond the smallest: a missing sample.
std::int64_t largest(int words) {
  return (std::int64_t{1} << (16 * words - 1)) - 1;
}
std::int64_t missing(int words) {
  return -largest(words) - 1;
}

double power(std::uint8_t decimals) {
  return kPowers[decimals];
}

// Not the nearest where that is a matter of the last bit: who asks compares.
std::int64_t near(double x) {
  return static_cast<std::int64_t>(x + std::copysign(0.5, x));
}

}  // namespace

template <class Number>
Number Samples::read(std::size_t word) const {
  Number out;
  std::memcpy(&out, &words_[word], sizeof out);
  return out;
}

inline std::int64_t Samples::time_since(std::size_t word) const {
  return form_.time_words == 1 ? read<std::uint16_t>(word) : read<std::uint32_t>(word);
}

inline std::optional<double> Samples::value(std::size_t word) const {
  word += form_.time_words;
  if (form_.value_words == kWhole) {
    const auto x = read<double>(word);
    return std::isnan(x) ? std::nullopt : std::optional{x};
  }
  const auto out = form_.value_words == 1 ? read<std::int16_t>(word) : read<std::int32_t>(word);
  if (out == missing(form_.value_words)) return {};
  return static_cast<double>(out) / power(form_.decimals);
}

// Whether its form does, as is mostly so: what fitting() says, in short.
inline bool Samples::holds(std::int64_t since_ms, std::optional<double> x) const {
  if (since_ms > std::numeric_limits<std::uint16_t>::max() && form_.time_words == 1) return false;
  if (!x || form_.value_words == kWhole) return true;
  const double scaled = *x * power(form_.decimals);
  if (!(std::abs(scaled) < static_cast<double>(largest(form_.value_words)))) return false;
  return *x != 0 && static_cast<double>(near(scaled)) / power(form_.decimals) == *x;
}

// The least that holds what `form` does, and this.
Samples::Form Samples::fitting(Form form, std::int64_t since_ms, std::optional<double> x) {
  if (since_ms > std::numeric_limits<std::uint16_t>::max()) form.time_words = 2;
  if (!x || form.value_words == kWhole) return form;
  for (auto decimals = form.decimals; decimals < kPowers.size() && (*x != 0 || !std::signbit(*x)); ++decimals) {
    const double scaled = *x * power(decimals);
    if (!(std::abs(scaled) < static_cast<double>(largest(2)))) break;
    const auto number = near(scaled);
    if (static_cast<double>(number) / power(decimals) != *x) continue;
    form.decimals = decimals;
    if (std::abs(number) > largest(1)) form.value_words = 2;
    return form;
  }
  form.value_words = kWhole;
  return form;
}

inline void Samples::push(std::int64_t at_ms, std::optional<double> x) {
  if (empty()) {
    clear();
    first_ms_ = last_ms_ = at_ms;
  }
  const auto since_ms = at_ms - std::exchange(last_ms_, at_ms);
  if (!holds(since_ms, x)) make_hold(since_ms, x);
  append(since_ms, x);
}

void Samples::make_hold(std::int64_t since_ms, std::optional<double> x) {
  auto form = fitting(form_, since_ms, x);
  if (form == form_) return;
  std::vector<std::pair<std::int64_t, std::optional<double>>> before;
  auto last_ms = first_ms_;
  each([&](std::int64_t ms, auto value) { before.emplace_back(ms - std::exchange(last_ms, ms), value); });
  for (const auto& [ms, value] : before) form = fitting(form, ms, value);  // with more decimals they are longer
  words_.clear();
  first_ = size_ = 0;
  form_ = form;
  for (const auto& [ms, value] : before) append(ms, value);
}

inline void Samples::append(std::int64_t since_ms, std::optional<double> x) {
  const auto words = form_.value_words;
  const auto value = words == kWhole ? std::bit_cast<std::int64_t>(x.value_or(std::numeric_limits<double>::quiet_NaN()))
                     : x             ? near(*x * power(form_.decimals))
                                     : missing(words);
  if (size_ * record() == words_.size()) grow();
  auto word = first_ + size_ * record();
  if (word >= words_.size()) word -= words_.size();
  auto* to = &words_[word];
  const auto write = [&to](std::int64_t number, int count) {
    for (; count > 0; --count, number >>= 16) *to++ = static_cast<std::uint16_t>(number & 0xFFFF);
  };
  write(since_ms, form_.time_words);
  write(value, words);
  ++size_;
}

// By a sixteenth; the oldest sample comes to the front.
void Samples::grow() {
  decltype(words_) more;
  const auto samples = size_ + size_ / 16U + 1;
  more.resize(samples * record(), boost::container::default_init);
  std::rotate_copy(words_.begin(), words_.begin() + first_, words_.end(), more.begin());
  words_ = std::move(more);
  first_ = 0;
}

// ---- attenuated signal ----------------------------------------------------------------------------------------------

Flag AttenuatedSignal::check(const AttenuatedRule& rule, MonoTime at, std::optional<double> x) {
  if (!rule.window) {
    put(kNever, 0, x);
  } else if (buckets_.empty()) {
    take_exactly(rule.window->count(), to_ms(at), x);
  } else {
    take_in_buckets(rule.window->count(), to_ms(at), x);
  }
  if (!x) return Flag::missing;
  const auto quiet = spread(rule);
  if (!quiet || std::isnan(*quiet)) return Flag::not_evaluated;
  if (*quiet < rule.fail) return Flag::fail;
  return *quiet < rule.suspect ? Flag::suspect : Flag::good;
}

inline void AttenuatedSignal::Running::add(std::optional<double> x) {
  if (!x) {
    ++missing;
    return;
  }
  ++known;
  alike = *x == previous ? alike + 1 : 1;
  previous = *x;
  const double mean_before = mean - lost_adding;
  const double y = *x - lost_adding;
  const double delta = y - mean;
  lost_adding = delta + mean - y;
  mean += delta / static_cast<double>(known);
  squares += (*x - mean_before) * (*x - mean);
}

inline void AttenuatedSignal::Running::leave(std::optional<double> x) {
  if (!x) {
    --missing;
    return;
  }
  if (--known == 0) {
    mean = 0;
    squares = 0;
    return;
  }
  const double mean_before = mean - lost_leaving;
  const double y = *x - lost_leaving;
  const double delta = y - mean;
  lost_leaving = delta + mean - y;
  mean -= delta / static_cast<double>(known);
  squares -= (*x - mean_before) * (*x - mean);
}

inline void AttenuatedSignal::take_exactly(std::int64_t window_ms, std::int64_t at_ms, std::optional<double> x) {
  samples_.drop_until(at_ms - window_ms, [&](auto value) { running_.leave(value); });
  if (samples_.empty() || !std::isfinite(running_.squares)) {  // a value that cannot be squared would stay in them
    running_ = {};
    samples_.each([&](std::int64_t, auto value) { running_.add(value); });
  }
  if (samples_.size() == kExactSteps + 1) {
    buckets_.reserve(kBuckets + 2);
    samples_.each([&](std::int64_t ms, auto value) { put(window_ms / kBuckets, ms, value); });
    samples_.clear();
    return take_in_buckets(window_ms, at_ms, x);
  }
  samples_.push(at_ms, x);
  running_.add(x);
}

void AttenuatedSignal::take_in_buckets(std::int64_t window_ms, std::int64_t at_ms, std::optional<double> x) {
  buckets_.erase(buckets_.begin(), std::find_if(buckets_.begin(), buckets_.end(), [&](const auto& bucket) {
                   return bucket.last_ms > at_ms - window_ms;
                 }));
  put(window_ms / kBuckets, at_ms, x);
}

void AttenuatedSignal::put(std::int64_t granule_ms, std::int64_t at_ms, std::optional<double> x) {
  if (buckets_.empty() || at_ms - buckets_.back().first_ms >= granule_ms) {
    buckets_.push_back(
        {at_ms, at_ms, 0, 0, 0, 0, std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()});
  }
  auto& bucket = buckets_.back();
  bucket.last_ms = at_ms;
  if (!x) {
    ++bucket.missing;
    return;
  }
  ++bucket.known;
  const double delta = *x - bucket.mean;
  bucket.mean += delta / bucket.known;
  bucket.squares += delta * (*x - bucket.mean);
  bucket.low = std::min(bucket.low, *x);
  bucket.high = std::max(bucket.high, *x);
}

AttenuatedSignal::Bucket AttenuatedSignal::total() const {
  Bucket sum = buckets_.front();
  for (auto bucket = buckets_.begin() + 1; bucket != buckets_.end(); ++bucket) {
    sum.missing += bucket->missing;
    if (bucket->known == 0) continue;
    const auto known = static_cast<double>(sum.known);
    const auto more = static_cast<double>(bucket->known);
    const double delta = bucket->mean - sum.mean;
    sum.known += bucket->known;
    sum.mean += delta * more / (known + more);
    sum.squares += bucket->squares + delta * delta * known * more / (known + more);
    sum.low = std::min(sum.low, bucket->low);
    sum.high = std::max(sum.high, bucket->high);
  }
  return sum;
}

// Nothing: too few samples, or a range that a missing one makes unknown.
inline std::optional<double> AttenuatedSignal::spread(const AttenuatedRule& rule) const {
  const bool by_range = rule.check == AttenuatedRule::Check::range;
  if (buckets_.empty()) {
    if (running_.known < rule.min_samples || (by_range && running_.missing > 0)) return {};
    if (!by_range) {
      if (running_.known == 1 || running_.alike >= running_.known) return 0;
      return std::sqrt(std::max(running_.squares / static_cast<double>(running_.known), 0.0));  // NaN stays
    }
    double low = kInfinity;
    double high = -kInfinity;
    samples_.each([&](std::int64_t, auto value) {
      low = std::min(low, value.value_or(kInfinity));
      high = std::max(high, value.value_or(-kInfinity));
    });
    return high - low;
  }
  const auto all = total();
  if (rule.window && (all.known < static_cast<std::uint32_t>(rule.min_samples) || (by_range && all.missing > 0)))
    return {};
  return by_range ? all.high - all.low : std::sqrt(all.squares / all.known);
}

// ---- one point ------------------------------------------------------------------------------------------------------

void normalise(Reading& reading) {
  const auto* number = std::get_if<double>(&reading.value);
  const bool not_finite = number != nullptr && !std::isfinite(*number);
  if (not_finite || reading.quality == Quality::missing) reading.value = {};
  if (!std::holds_alternative<std::monostate>(reading.value) || reading.quality == Quality::missing) return;
  reading.quality = Quality::missing;
  reading.why = not_finite ? "not-finite" : "no-value";
}

PointQuality::PointQuality(QualityRule rule) : rule_{std::move(rule)} {
  if (rule_.anomaly) detector_.emplace();
}

void PointQuality::prefetch() const {
  flat_.prefetch();
  attenuated_.prefetch();
  if (detector_) detector_->prefetch();
}

PointQuality::Judgement PointQuality::judge(Reading& reading, const Context& context) {
  const bool late = is_late(reading.at);
  if (is_repeated(reading)) {
    reading.quality = last_quality_;
    reading.why = last_why_;
    return {last_tests_, last_score_, {}, {}};
  }
  Judgement out;
  const auto* number = std::get_if<double>(&reading.value);
  if (number != nullptr || reading.quality == Quality::missing) {
    const auto x = number != nullptr ? std::optional{*number} : std::nullopt;
    if (rule_.range || rule_.suspect) out.tests[Test::gross_range] = gross_range(x, rule_.range, rule_.suspect);
    if (!rule_.climatology.empty()) out.tests[Test::climatology] = climatology(x, rule_.climatology, context.local);
    if (!late) run_tests(reading, x, context, out);
    for (std::size_t i = 0; i < kTests && out.tests.any_worse(); ++i) {
      const auto test = static_cast<Test>(i);
      const auto flag = out.tests[test];
      if (flag > Flag::not_evaluated && test != Test::time_gap) blame(reading, flag, test);  // the silence itself was told
    }
  }
  if (late) return out;
  look_back(out);
  watch(reading, context, out);
  if (number != nullptr && reading.quality == Quality::good) newest_good_ = Known{reading.at, *number};
  waits_for_clock_ = !context.local && (!rule_.climatology.empty() || detector_);
  remember(reading, out.tests, out.score);
  return out;
}

inline void PointQuality::run_tests(const Reading& reading, std::optional<double> x, const Context& context, Judgement& out) {
  const auto* const number = std::get_if<double>(&last_value_);
  const auto last = number != nullptr ? std::optional{*number} : std::nullopt;
  const auto since_last = last_at_ ? reading.at - *last_at_ : Millis{};
  if (rule_.spike) {
    if (last_tests_[Test::spike] != Flag::none) out.spike = spike(*rule_.spike, before_, last, x);
    out.tests[Test::spike] = x ? Flag::not_evaluated : Flag::missing;
    before_ = last;
  }
  if (rule_.rate_of_change) {
    out.tests[Test::rate_of_change] = rate_of_change(*rule_.rate_of_change, since_last, last, x);
  }
  if (rule_.flat_line) out.tests[Test::flat_line] = flat_.check(*rule_.flat_line, reading.at, x);
  if (rule_.attenuated) out.tests[Test::attenuated_signal] = attenuated_.check(*rule_.attenuated, reading.at, x);
  if (rule_.gap) {
    out.tests[Test::time_gap] = last_at_ ? time_gap(since_last, *rule_.gap) : Flag::not_evaluated;
  }
  if (rule_.neighbour) {
    std::optional<double> other;
    const auto known = context.neighbour != nullptr ? context.neighbour->newest_good() : std::nullopt;
    if (known && std::chrono::abs(reading.at - known->at) <= rule_.neighbour->within) other = known->x;
    out.tests[Test::neighbour] = neighbour(x, other, *rule_.neighbour);
  }
}

// What the spike test now knows of the sample before. The detector has not learned from that one yet.
inline void PointQuality::look_back(Judgement& out) {
  if (!out.spike || !last_at_ || quality_of(*out.spike) <= last_quality_) return;
  out.before =
      Reading{.point = rule_.point, .at = *last_at_, .value = last_value_, .quality = last_quality_, .why = last_why_};
  blame(*out.before, *out.spike, Test::spike);
  if (detector_ && last_quality_ == Quality::good) detector_->forget();
}

// The detector sees what all tests call good.
inline void PointQuality::watch(const Reading& reading, const Context& context, Judgement& out) {
  if (!detector_ || reading.quality != Quality::good || !detector_->is_news(reading.at)) return;
  if (const auto x = as_number(reading.value)) out.score = detector_->score(*x, reading.at, context.local);
}

void PointQuality::prime(const Reading& reading, const Context& context) {
  if (is_late(reading.at)) return;
  if (reading.quality == Quality::missing && reading.why == kGap) {
    gap_told_ = true;
    return;
  }
  auto again = reading;
  static_cast<void>(judge(again, context));
}

inline void PointQuality::remember(const Reading& reading, const Flags& tests, std::optional<double> score) {
  last_at_ = reading.at;
  silent_from_ = reading.at;
  gap_told_ = false;
  assign(last_value_, reading.value);
  last_quality_ = reading.quality;
  if (last_why_ != reading.why) last_why_ = reading.why;
  last_tests_ = tests;
  last_score_ = score;
}

std::optional<MonoTime> PointQuality::gap_due() const {
  if (!rule_.gap || gap_told_ || !silent_from_) return {};
  return *silent_from_ + *rule_.gap + Millis{1};  // strictly longer: see time_gap()
}

void PointQuality::start(MonoTime now) {
  if (!silent_from_) silent_from_ = now;
}

Reading PointQuality::tell_gap() {
  Reading reading{.point = rule_.point, .at = *gap_due(), .quality = Quality::missing, .why = std::string{kGap}};
  gap_told_ = true;
  return reading;
}

}  // namespace hamlet::detect
