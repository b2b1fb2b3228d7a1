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

FlatLine::FlatLine(const FlatLineRule& rule) : tolerance_{rule.tolerance}, by_count_{rule.every.has_value()} {
  const auto positions = [&](Millis threshold) { return by_count_ ? threshold / *rule.every : threshold.count(); };
  suspect_ = positions(rule.suspect);
  fail_ = rule.fail ? positions(*rule.fail) : kNever;
  longest_ = rule.fail ? std::max(suspect_, fail_) : suspect_;
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
  const auto stays = std::find_if(buckets_.begin(), buckets_.end(),
                                  [&](const auto& bucket) { return bucket.last >= position_ - longest_; });
  buckets_.erase(buckets_.begin(), stays);
  if (!buckets_.empty() && position_ - bucket_begin_ < granule_) {
    auto& newest = buckets_.back();
    newest = {std::min(newest.low, x), std::max(newest.high, x), position_};
  } else {
    buckets_.push_back({x, x, position_});
    bucket_begin_ = position_;
  }
  samples_ = std::min(samples_ + 1, kFewestSamples);
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
  const auto stays = std::find_if(samples_.begin(), samples_.end(),
                                  [&](const auto& sample) { return sample.at_ms() > at_ms - rule_.window->count(); });
  if (stays == samples_.end()) {
    running_ = {};
  } else {
    std::for_each(samples_.begin(), stays, [&](const auto& sample) { running_.leave(sample.value()); });
  }
  samples_.erase(samples_.begin(), stays);
  if (samples_.size() == kExactSteps + 1) {
    buckets_.reserve(kBuckets + 2);
    for (const auto& sample : samples_) put(sample.at_ms(), sample.value());
    samples_ = {};
    return take_in_buckets(at_ms, x);
  }
  samples_.push_back({at_ms * 2 + (x ? 1 : 0), x.value_or(0)});
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
    const auto [low, high] =
        std::minmax_element(samples_.begin(), samples_.end(), [](const auto& a, const auto& b) { return a.x < b.x; });
    return high->x - low->x;
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
