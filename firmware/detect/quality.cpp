#include "firmware/detect/quality.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>

namespace hamlet::detect {
namespace {

constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t kExactSteps = 127;  // from the first to the last of 128 samples
constexpr int kFewestSamples = 3;

Quality quality_of(Flag flag) {
  switch (flag) {
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

FlatLine::FlatLine(const FlatLineRule& rule) : tolerance_{rule.tolerance}, by_count_{rule.every.has_value()} {
  const auto positions = [&](Millis threshold) { return by_count_ ? threshold / *rule.every : threshold.count(); };
  suspect_ = positions(rule.suspect);
  fail_ = rule.fail ? positions(*rule.fail) : kNever;
  longest_ = rule.fail ? fail_ : suspect_;
  granule_ = std::max<std::int64_t>(1, (longest_ + kExactSteps - 1) / kExactSteps);
}

Flag FlatLine::check(MonoTime at, std::optional<double> x) {
  if (by_count_) ++position_;
  if (!x) return Flag::missing;
  if (!by_count_) {
    const auto silence = to_ms(at) - std::exchange(position_, to_ms(at));
    if (samples_ == 0 || silence > suspect_) restart();
  }
  add(*x);
  if (tolerance_ <= 0 || (!by_count_ && samples_ < kFewestSamples)) return Flag::good;
  const auto flat_for = position_ - flat_since_;
  if (flat_for >= fail_) return Flag::fail;
  return flat_for >= suspect_ ? Flag::suspect : Flag::good;
}

void FlatLine::restart() {
  buckets_.clear();
  samples_ = 0;
  flat_since_ = position_;
}

void FlatLine::add(double x) {
  // Back from here as far as all values are less than the tolerance apart.
  double low = x;
  double high = x;
  auto flat = buckets_.rbegin();
  for (; flat != buckets_.rend(); ++flat) {
    const auto [lower, higher] = std::pair{std::min(low, flat->low), std::max(high, flat->high)};
    if (!(higher - lower < tolerance_)) break;
    low = lower;
    high = higher;
  }
  if (flat != buckets_.rend()) {
    flat_since_ = flat->last + 1;
    buckets_.erase(buckets_.begin(), flat.base());
    samples_ = std::min(samples_, static_cast<int>(buckets_.size()));
  }
  while (!buckets_.empty() && buckets_.front().last < position_ - longest_) buckets_.pop_front();
  if (!buckets_.empty() && position_ - bucket_begin_ < granule_) {
    auto& newest = buckets_.back();
    newest = {std::min(newest.low, x), std::max(newest.high, x), position_};
  } else {
    buckets_.push_back({x, x, position_});
    bucket_begin_ = position_;
  }
  samples_ = std::min(samples_ + 1, kFewestSamples);
}

void normalise(Reading& reading) {
  const auto* number = std::get_if<double>(&reading.value);
  const bool not_finite = number != nullptr && !std::isfinite(*number);
  if (not_finite || reading.quality == Quality::missing) reading.value = {};
  if (!std::holds_alternative<std::monostate>(reading.value) || reading.quality == Quality::missing) return;
  reading.quality = Quality::missing;
  reading.why = not_finite ? "not-finite" : "no-value";
}

PointQuality::PointQuality(QualityRule rule) : rule_{std::move(rule)} {
  if (rule_.rate_of_change) rate_.emplace(*rule_.rate_of_change);
  if (rule_.flat_line) flat_.emplace(*rule_.flat_line);
}

void PointQuality::judge(Reading& reading) {
  const bool late = is_late(reading.at);
  if (reading.at == last_at_ && reading.value == last_value_) {
    reading.quality = last_quality_;
    reading.why = last_why_;
    return;
  }
  const auto* number = std::get_if<double>(&reading.value);
  const bool missing = reading.quality == Quality::missing;
  if (number != nullptr || missing) {
    const auto x = number != nullptr ? std::optional{*number} : std::nullopt;
    blame(reading, gross_range(x, rule_.range, rule_.suspect), "gross-range");
    if (late) return;
    if (rate_) blame(reading, rate_->check(reading.at, x), "rate-of-change");
    if (flat_) blame(reading, flat_->check(reading.at, x), "flat-line");
  }
  if (!late) remember(reading);
}

void PointQuality::prime(const Reading& reading) {
  if (is_late(reading.at)) return;
  if (reading.quality == Quality::missing && reading.why == kGap) {
    gap_told_ = true;
    return;
  }
  auto again = reading;
  judge(again);
}

void PointQuality::remember(const Reading& reading) {
  last_at_ = reading.at;
  silent_from_ = reading.at;
  gap_told_ = false;
  last_value_ = reading.value;
  last_quality_ = reading.quality;
  last_why_ = reading.why;
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
