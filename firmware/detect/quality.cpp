#include "firmware/detect/quality.hpp"

#include <algorithm>
#include <cmath>
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
void blame(Reading& reading, Flag flag, std::string_view test) {
  const auto quality = quality_of(flag);
  if (quality <= reading.quality) return;
  reading.quality = quality;
  reading.why = test;
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
  const auto member = std::find_if(members.rbegin(), members.rend(), [&](const auto& each) {
    return within(at->month, each.first_month, each.last_month) && within(at->hour, each.first_hour, each.last_hour);
  });
  return member == members.rend() ? Flag::not_evaluated : gross_range(x, member->range, member->suspect);
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

std::optional<Flag> Spike::check(std::optional<double> x) {
  std::optional<Flag> out;
  if (begun_) {
    out = !last_ ? Flag::missing : before_ && x ? judge(*before_, *last_, *x) : Flag::not_evaluated;
  }
  before_ = std::exchange(last_, x);
  begun_ = true;
  return out;
}

Flag Spike::judge(double before, double x, double after) const {
  double apart = 0;
  if (rule_.method == SpikeRule::Method::average) {
    apart = std::abs(x - (before + after) / 2);
  } else if ((x - before) * (after - x) < 0) {
    apart = std::min(std::abs(x - before), std::abs(after - x));
  }
  if (!std::isfinite(apart)) return Flag::not_evaluated;
  if (rule_.fail != 0 && apart > rule_.fail) return Flag::fail;
  return rule_.suspect != 0 && apart > rule_.suspect ? Flag::suspect : Flag::good;
}

Flag time_gap(Millis since_last, Millis span) {
  return since_last > span ? Flag::fail : Flag::good;
}

Flag RateOfChange::check(MonoTime at, std::optional<double> x) {
  const auto before = std::exchange(last_, x);
  const auto seconds = std::chrono::duration<double>{at - std::exchange(last_at_, at)}.count();
  if (!x) return Flag::missing;
  if (!before) return Flag::good;
  // In no time at all a change is infinitely fast, and no change is 0 / 0, which is not above anything.
  return std::abs(*x - *before) / seconds > per_second_ ? Flag::suspect : Flag::good;
}

void Extremes::add(std::int64_t position, double x) {
  while (!samples_.empty() && samples_.back().value >= x) samples_.pop_back();
  if (!samples_.empty() && position / granule_ == samples_.back().position / granule_) {
    samples_.back().position = position;
  } else {
    if (samples_.size() * 4 < samples_.capacity()) samples_.shrink_to_fit();
    samples_.push_back({x, position});
  }
}

void Extremes::drop_before(std::int64_t position) {
  const auto stays =
      std::find_if(samples_.begin(), samples_.end(), [&](const auto& each) { return each.position >= position; });
  samples_.erase(samples_.begin(), stays);
}

FlatLine::FlatLine(const FlatLineRule& rule)
    : tolerance_{rule.tolerance},
      by_count_{rule.every.has_value()},
      suspect_{by_count_ ? rule.suspect / *rule.every : rule.suspect.count()},
      fail_{!rule.fail ? kNever : by_count_ ? *rule.fail / *rule.every : rule.fail->count()},
      longest_{rule.fail ? std::max(suspect_, fail_) : suspect_},
      lows_{(longest_ + kExactSteps - 1) / kExactSteps},
      highs_{(longest_ + kExactSteps - 1) / kExactSteps} {}

Flag FlatLine::check(MonoTime at, std::optional<double> x) {
  if (by_count_) ++position_;
  if (!x) return Flag::missing;
  if (!by_count_) {
    const auto silence = to_ms(at) - std::exchange(position_, to_ms(at));
    if (lows_.empty() || silence > suspect_) restart();
  }
  add(*x);
  const bool few = before_[0] == kNone || before_[0] < flat_since_;
  before_ = {before_[1], position_};
  if (tolerance_ <= 0 || (!by_count_ && few)) return Flag::good;
  const auto flat_for = position_ - flat_since_;
  if (flat_for >= fail_) return Flag::fail;
  return flat_for >= suspect_ ? Flag::suspect : Flag::good;
}

void FlatLine::restart() {
  lows_.clear();
  highs_.clear();
  before_ = {kNone, kNone};
  flat_since_ = position_;
}

// The newest sample that is too far off is among the lowest, or the highest, of those since.
void FlatLine::add(double x) {
  const auto too_far = [&](const Extremes& extremes, double sign) {
    for (const auto& each : extremes.samples()) {
      if (sign * x - each.value < tolerance_) break;
      flat_since_ = std::max(flat_since_, each.position + 1);
    }
  };
  too_far(lows_, 1);
  too_far(highs_, -1);
  const auto from = std::max(flat_since_, position_ - longest_);
  lows_.drop_before(from);
  highs_.drop_before(from);
  lows_.add(position_, x);
  highs_.add(position_, -x);
}

// ---- samples --------------------------------------------------------------------------------------------------------

namespace {

constexpr std::array<double, 7> kPowers{1, 10, 100, 1'000, 10'000, 100'000, 1'000'000};
constexpr std::int32_t kMissing = std::numeric_limits<std::int32_t>::min();
constexpr double kLargest = 2'147'483'647;

}  // namespace

std::optional<double> Samples::value(std::size_t i) const {
  if (!exact_.empty()) return std::isnan(exact_[i]) ? std::nullopt : std::optional{exact_[i]};
  if (scaled_[i] == kMissing) return {};
  return scaled_[i] / kPowers.at(static_cast<std::size_t>(decimals_));
}

void Samples::push(std::int64_t at_ms, std::optional<double> x) {
  if (empty()) {
    base_ms_ = at_ms;
    decimals_ = 0;
  } else if (at_ms - base_ms_ > std::numeric_limits<std::uint32_t>::max()) {
    const auto later = offsets_.front();
    for (auto& offset : offsets_) offset -= later;
    base_ms_ += later;
  }
  const auto small = exact_.empty() ? (x ? scaled(*x) : kMissing) : std::nullopt;
  if (small) {
    scaled_.push_back(*small);
  } else {
    constexpr auto kNone = std::numeric_limits<double>::quiet_NaN();
    if (exact_.empty()) {
      std::vector<double> exact;  // value() reads exact_ as soon as it holds anything
      for (std::size_t i = 0; i < size(); ++i) exact.push_back(value(i).value_or(kNone));
      exact_ = std::move(exact);
      scaled_ = {};
    }
    exact_.push_back(x.value_or(kNone));
  }
  offsets_.push_back(static_cast<std::uint32_t>(at_ms - base_ms_));
}

void Samples::drop(std::size_t count) {
  const auto erase = [count](auto& from) {
    if (!from.empty()) from.erase(from.begin(), from.begin() + static_cast<std::ptrdiff_t>(count));
  };
  erase(offsets_);
  erase(scaled_);
  erase(exact_);
}

// Nothing: it is no decimal of so few places, or one of the others would not fit.
std::optional<std::int32_t> Samples::scaled(double x) {
  if (x == 0 && std::signbit(x)) return {};
  for (int decimals = decimals_; decimals < static_cast<int>(kPowers.size()); ++decimals) {
    const double power = kPowers.at(static_cast<std::size_t>(decimals));
    const double rounded = std::round(x * power);
    if (!(std::abs(rounded) <= kLargest)) return {};
    if (rounded / power != x) continue;
    if (decimals > decimals_ && !scale_to(decimals)) return {};
    return static_cast<std::int32_t>(rounded);
  }
  return {};
}

bool Samples::scale_to(int decimals) {
  const auto by = static_cast<std::int64_t>(kPowers.at(static_cast<std::size_t>(decimals - decimals_)));
  const bool fit = std::all_of(scaled_.begin(), scaled_.end(), [&](std::int32_t each) {
    return each == kMissing || std::abs(each * by) <= static_cast<std::int64_t>(kLargest);
  });
  if (!fit) return false;
  for (auto& each : scaled_) {
    if (each != kMissing) each = static_cast<std::int32_t>(each * by);
  }
  decimals_ = decimals;
  return true;
}

// ---- attenuated signal ----------------------------------------------------------------------------------------------

AttenuatedSignal::AttenuatedSignal(const AttenuatedRule& rule) : rule_{rule} {}

Flag AttenuatedSignal::check(MonoTime at, std::optional<double> x) {
  if (!rule_.window) {
    put(0, x);
  } else if (buckets_.empty()) {
    take_exactly(to_ms(at), x);
  } else {
    take_in_buckets(to_ms(at), x);
  }
  if (!x) return Flag::missing;
  const auto quiet = spread();
  if (!quiet) return Flag::not_evaluated;
  if (*quiet < rule_.fail) return Flag::fail;
  return *quiet < rule_.suspect ? Flag::suspect : Flag::good;
}

void AttenuatedSignal::Running::add(std::optional<double> x) {
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

void AttenuatedSignal::Running::leave(std::optional<double> x) {
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

void AttenuatedSignal::take_exactly(std::int64_t at_ms, std::optional<double> x) {
  samples_.drop_until(at_ms - rule_.window->count(), [&](auto value) { running_.leave(value); });
  if (samples_.empty()) running_ = {};
  if (samples_.size() == kExactSteps + 1) {
    buckets_.reserve(kBuckets + 2);
    for (std::size_t i = 0; i < samples_.size(); ++i) put(samples_.at_ms(i), samples_.value(i));
    samples_.clear();
    return take_in_buckets(at_ms, x);
  }
  samples_.push(at_ms, x);
  running_.add(x);
}

void AttenuatedSignal::take_in_buckets(std::int64_t at_ms, std::optional<double> x) {
  std::erase_if(buckets_, [&](const auto& bucket) { return bucket.last_ms <= at_ms - rule_.window->count(); });
  put(at_ms, x);
}

void AttenuatedSignal::put(std::int64_t at_ms, std::optional<double> x) {
  const auto granule = rule_.window ? rule_.window->count() / kBuckets : 0;
  if (buckets_.empty() || (rule_.window && at_ms - buckets_.back().first_ms >= granule)) {
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
std::optional<double> AttenuatedSignal::spread() const {
  const bool by_range = rule_.check == AttenuatedRule::Check::range;
  if (buckets_.empty()) {
    if (running_.known < rule_.min_samples || (by_range && running_.missing > 0)) return {};
    if (!by_range) {
      if (running_.known == 1 || running_.alike >= running_.known) return 0;
      return std::sqrt(std::max(0.0, running_.squares / static_cast<double>(running_.known)));
    }
    double low = kInfinity;
    double high = -kInfinity;
    for (std::size_t i = 0; i < samples_.size(); ++i) {
      low = std::min(low, samples_.value(i).value_or(kInfinity));
      high = std::max(high, samples_.value(i).value_or(-kInfinity));
    }
    return high - low;
  }
  const auto all = total();
  if (rule_.window && (all.known < static_cast<std::uint32_t>(rule_.min_samples) || (by_range && all.missing > 0)))
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
  if (rule_.spike) spike_.emplace(*rule_.spike);
  if (rule_.rate_of_change) rate_.emplace(*rule_.rate_of_change);
  if (rule_.flat_line) flat_.emplace(*rule_.flat_line);
  if (rule_.attenuated) attenuated_.emplace(*rule_.attenuated);
  if (rule_.anomaly) detector_.emplace();
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
    if (!rule_.climatology.empty()) {
      const auto local = context.wall ? std::optional{local_time(*context.wall)} : std::nullopt;
      out.tests[Test::climatology] = climatology(x, rule_.climatology, local);
    }
    if (!late) run_tests(reading, x, context, out);
    for (std::size_t i = 0; i < kTests; ++i) {
      const auto test = static_cast<Test>(i);
      if (test != Test::time_gap) blame(reading, out.tests[test], to_string(test));  // the silence itself was told
    }
  }
  if (late) return out;
  look_back(out);
  watch(reading, context, out);
  if (number != nullptr && reading.quality == Quality::good) newest_good_ = Known{reading.at, *number};
  waits_for_clock_ = !context.wall && (!rule_.climatology.empty() || detector_);
  remember(reading, out.tests, out.score);
  return out;
}

void PointQuality::run_tests(const Reading& reading, std::optional<double> x, const Context& context, Judgement& out) {
  if (spike_) {
    out.spike = spike_->check(x);
    out.tests[Test::spike] = x ? Flag::not_evaluated : Flag::missing;
  }
  if (rate_) out.tests[Test::rate_of_change] = rate_->check(reading.at, x);
  if (flat_) out.tests[Test::flat_line] = flat_->check(reading.at, x);
  if (attenuated_) out.tests[Test::attenuated_signal] = attenuated_->check(reading.at, x);
  if (rule_.gap) {
    out.tests[Test::time_gap] = last_at_ ? time_gap(reading.at - *last_at_, *rule_.gap) : Flag::not_evaluated;
  }
  if (rule_.neighbour) {
    std::optional<double> other;
    const auto known = context.neighbour != nullptr ? context.neighbour->newest_good() : std::nullopt;
    if (known && std::chrono::abs(reading.at - known->at) <= rule_.neighbour->within) other = known->x;
    out.tests[Test::neighbour] = neighbour(x, other, *rule_.neighbour);
  }
}

// What the spike test now knows of the sample before. The detector has not learned from that one yet.
void PointQuality::look_back(Judgement& out) {
  if (!out.spike || !last_at_ || quality_of(*out.spike) <= last_quality_) return;
  out.before =
      Reading{.point = rule_.point, .at = *last_at_, .value = last_value_, .quality = last_quality_, .why = last_why_};
  blame(*out.before, *out.spike, to_string(Test::spike));
  if (detector_ && last_quality_ == Quality::good) detector_->forget();
}

// The detector sees what all tests call good.
void PointQuality::watch(const Reading& reading, const Context& context, Judgement& out) {
  const auto x = as_number(reading.value);
  if (!detector_ || !x || reading.quality != Quality::good || !detector_->is_news(reading.at)) return;
  out.score = detector_->score(*x, reading.at, context.wall);
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

void PointQuality::remember(const Reading& reading, const Flags& tests, std::optional<double> score) {
  last_at_ = reading.at;
  silent_from_ = reading.at;
  gap_told_ = false;
  last_value_ = reading.value;
  last_quality_ = reading.quality;
  last_why_ = reading.why;
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
