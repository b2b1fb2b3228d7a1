#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>

#include "firmware/core/reading.hpp"
#include "firmware/core/time.hpp"
#include "firmware/detect/rules.hpp"

namespace hamlet::detect {

/// What one test says of one sample: the flags of IOOS QARTOD, by their numbers. Comparisons are those of its public
/// reference implementation (ioos_qc). A missing sample is `nullopt`.
enum class Flag : std::uint8_t { good = 1, not_evaluated = 2, suspect = 3, fail = 4, missing = 9 };

/// Strictly outside `range`: fail; else strictly outside `suspect`: suspect.
[[nodiscard]] Flag gross_range(std::optional<double> x, const std::optional<Span>& range,
                               const std::optional<Span>& suspect);

/// Silent for strictly longer than `span`: fail. (The reference, which sees all samples at once, gives the first the
/// second's.)
[[nodiscard]] Flag time_gap(Millis since_last, Millis span);

/// |dx| / dt strictly above the threshold: suspect, for the later sample. The first, and one after a missing one, is
/// good; a change in no time at all is suspect.
class RateOfChange {
 public:
  explicit RateOfChange(double per_second) : per_second_{per_second} {}
  [[nodiscard]] Flag check(MonoTime at, std::optional<double> x);

 private:
  double per_second_;
  MonoTime last_at_{};
  std::optional<double> last_{};
};

/// The values of the window that ends here are less than `tolerance` apart (strictly: tolerance 0 never flags).
///
/// With the sampling interval given, the window is the last int(threshold / interval) + 1 samples, missing ones
/// included: the reference's, which takes the interval from the whole series. Without it the window is the time from
/// `threshold` ago until now, both included, with at least three samples, and a silence longer than `suspect` starts it
/// anew. Up to 128 samples a window is exact; a longer one is kept in at most 129 buckets and found flat up to 1/127 of
/// its length too late, never too early.
class FlatLine {
 public:
  explicit FlatLine(const FlatLineRule& rule);
  [[nodiscard]] Flag check(MonoTime at, std::optional<double> x);

 private:
  struct Bucket {
    double low;
    double high;
    std::int64_t last;  // position of its newest sample
  };
  void add(double x);
  void restart();

  double tolerance_;
  bool by_count_;
  std::int64_t suspect_;  // in positions: samples, or ms
  std::int64_t fail_;
  std::int64_t longest_;           // of both windows
  std::int64_t granule_;           // positions that one bucket spans
  std::deque<Bucket> buckets_;     // oldest first; together less than tolerance apart
  std::int64_t bucket_begin_ = 0;  // first position of the newest bucket
  std::int64_t flat_since_ = 0;    // position after the newest sample that was too far off
  std::int64_t position_ = -1;     // of the newest sample
  int samples_ = 0;                // at least so many are flat together, counted up to 3
};

/// The reason of a missing reading that tells of silence.
inline constexpr std::string_view kGap = "gap";

/// Takes out what is no value: a number that is not finite, or nothing where the driver did not call it missing.
void normalise(Reading& reading);

/// All tests of one point, and what they remember.
class PointQuality {
 public:
  explicit PointQuality(QualityRule rule);

  /// Whether `at` is before the newest sample.
  [[nodiscard]] bool is_late(MonoTime at) const { return last_at_ && at < *last_at_; }
  /// Sets quality and why of a normalised reading. Late ones too: see Engine.
  void judge(Reading& reading);
  /// Remembers a reading that was judged before.
  void prime(const Reading& reading);

  /// When silence becomes a gap, where it is watched and has not been told yet.
  [[nodiscard]] std::optional<MonoTime> gap_due() const;
  /// From now on silence counts, also of a point that never spoke.
  void start(MonoTime now);
  /// The reading that tells of the gap; once.
  [[nodiscard]] Reading tell_gap();

  [[nodiscard]] const QualityRule& rule() const { return rule_; }

 private:
  void remember(const Reading& reading);

  QualityRule rule_;
  std::optional<RateOfChange> rate_;
  std::optional<FlatLine> flat_;
  std::optional<MonoTime> last_at_;  // of the newest sample
  Value last_value_;                 // and what it was, and how it was judged
  Quality last_quality_ = Quality::good;
  std::string last_why_;
  std::optional<MonoTime> silent_from_;  // the newest sample, or the start
  bool gap_told_ = false;                // of the silence that lasts
};

}  // namespace hamlet::detect
