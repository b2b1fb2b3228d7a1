#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "firmware/core/reading.hpp"
#include "firmware/core/time.hpp"
#include "firmware/detect/detector.hpp"
#include "firmware/detect/rules.hpp"

namespace hamlet::detect {

/// What one test says of one sample: the flags of IOOS QARTOD, by their numbers. Comparisons are those of its public
/// reference implementation (ioos_qc). A missing sample is `nullopt`.
/// `none`: the test is not configured.
enum class Flag : std::uint8_t { none = 0, good = 1, not_evaluated = 2, suspect = 3, fail = 4, missing = 9 };

/// The tests, in the order in which they are blamed.
enum class Test : std::uint8_t {
  gross_range,
  climatology,
  spike,
  rate_of_change,
  flat_line,
  attenuated_signal,
  time_gap,
  neighbour
};
inline constexpr std::size_t kTests = 8;
/// "gross-range", …: what `why` says.
[[nodiscard]] std::string_view to_string(Test test);

/// The names of those that a rule configures.
[[nodiscard]] std::vector<std::string_view> tests_of(const QualityRule& rule);

/// to = from. A variant finds out by a detour what is in it, and mostly it is a number.
inline void assign(Value& to, const Value& from) {
  auto* const old = std::get_if<double>(&to);
  const auto* const number = std::get_if<double>(&from);
  if (old != nullptr && number != nullptr) {
    *old = *number;
  } else {
    to = from;
  }
}

/// What each test says of one sample.
class Flags {
 public:
  [[nodiscard]] Flag& operator[](Test test) { return flags_.at(static_cast<std::size_t>(test)); }
  [[nodiscard]] Flag operator[](Test test) const { return flags_.at(static_cast<std::size_t>(test)); }
  [[nodiscard]] std::span<const Flag> all() const { return flags_; }
  /// Whether one is suspect or worse: all at once, that is when a byte and 125 are 128 or more.
  [[nodiscard]] bool any_worse() const {
    static_assert(sizeof flags_ == sizeof(std::uint64_t) && static_cast<int>(Flag::suspect) == 3);
    return ((std::bit_cast<std::uint64_t>(flags_) + 0x7D7D'7D7D'7D7D'7D7D) & 0x8080'8080'8080'8080) != 0;
  }

 private:
  std::array<Flag, kTests> flags_{};
};

/// Of several flags the one that counts: fail, suspect, good, not evaluated, missing. `none` does not count; missing
/// where there is no other.
[[nodiscard]] Flag aggregate(std::span<const Flag> flags);

/// Strictly outside `range`: fail; else strictly outside `suspect`: suspect.
[[nodiscard]] Flag gross_range(std::optional<double> x, const std::optional<Span>& range,
                               const std::optional<Span>& suspect);

/// Silent for strictly longer than `span`: fail. (The reference, which sees all samples at once, gives the first the
/// second's.)
[[nodiscard]] Flag time_gap(Millis since_last, Millis span);

/// The last member whose months and hours hold the sample decides: strictly outside `range` fail, else strictly outside
/// `suspect` suspect. Without a member, or without the time (the clock is unset), not evaluated.
[[nodiscard]] Flag climatology(std::optional<double> x, std::span<const ClimatologyMember> members,
                               const std::optional<LocalTime>& at);

/// Another gauge's value of about the same time; none: not evaluated. Both limits strict. Where the two differ in sign,
/// or one is 0, any ratio is exceeded.
[[nodiscard]] Flag neighbour(std::optional<double> x, std::optional<double> other, const NeighbourRule& rule);

/// A sample that stands out, strictly by more than a threshold, from its neighbours in order; missing where it is so
/// itself. The first and the last of a series, and one beside a missing one, are not evaluated.
[[nodiscard]] Flag spike(const SpikeRule& rule, std::optional<double> before, std::optional<double> x,
                         std::optional<double> after);

/// |dx| / dt strictly above the threshold: suspect, for the later sample. The first, and one after a missing one, is
/// good; a change in no time at all is suspect.
[[nodiscard]] Flag rate_of_change(double per_second, Millis since_last, std::optional<double> before,
                                  std::optional<double> x);

/// The samples of a series that are lower than all later ones, of which any window's lowest is one.
class Extremes {
 public:
  struct Sample {
    double value;
    std::int64_t position;
  };
  /// Not before the last one. Samples of the same granule share one, of the newest's position.
  void add(std::int64_t position, double x, std::int64_t granule);
  /// Takes out the oldest, as long as leaves(sample).
  template <class Leaves>
  void drop_while(Leaves leaves) {
    std::size_t gone = 0;
    while (gone < size() && leaves((*this)[gone])) ++gone;
    if (gone > 0) samples_.erase(samples_.begin(), samples_.begin() + static_cast<std::ptrdiff_t>(gone));
  }
  void drop_before(std::int64_t position) {
    drop_while([&](const Sample& each) { return each.position < position; });
  }
  void clear() { samples_.clear(); }
  [[nodiscard]] bool empty() const { return samples_.empty(); }
  [[nodiscard]] std::size_t size() const { return samples_.size(); }
  /// The oldest is 0: they rise.
  [[nodiscard]] Sample operator[](std::size_t i) const {
    const auto& [low, high, after] = samples_[i];
    return {std::bit_cast<double>(std::uint64_t{high} << 32 | low), base_ + after};
  }
  [[nodiscard]] Sample newest() const { return (*this)[size() - 1]; }
  void prefetch() const { __builtin_prefetch(samples_.data()); }

 private:
  ShortVector<std::array<std::uint32_t, 3>, std::uint16_t> samples_;  // a value's halves, a position from base_ on
  std::int64_t base_ = 0;
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
  [[nodiscard]] Flag check(const FlatLineRule& rule, MonoTime at, std::optional<double> x);
  void prefetch() const {
    lows_.prefetch();
    highs_.prefetch();
  }

 private:
  static constexpr std::int64_t kNone = std::numeric_limits<std::int64_t>::min();
  void add(double x, double tolerance, std::int64_t longest);
  void restart();

  Extremes lows_;  // of the samples that are less than the tolerance apart
  Extremes highs_;
  std::int64_t flat_since_ = 0;  // position (samples, or ms) after the newest sample that was too far off
  std::int64_t position_ = -1;   // of the newest sample
  std::array<std::int64_t, 2> before_{kNone, kNone};  // of those before it, the newer last
};

/// The samples of a trailing window, exactly, in a ring. Each is the time since the one before and a value: a decimal of
/// up to six places, as those of sensors are, in two bytes or four; where one is no such decimal all are kept whole.
class Samples {
 public:
  void push(std::int64_t at_ms, std::optional<double> x);
  /// Takes out what is from `at_ms` or before, oldest first.
  template <class Leave>
  void drop_until(std::int64_t at_ms, Leave leave) {
    while (!empty() && first_ms_ <= at_ms) {
      leave(value(first_));
      first_ = static_cast<std::uint16_t>(after(first_));
      --size_;
      if (!empty()) first_ms_ += time_since(first_);
    }
  }
  /// Calls visit(at_ms, value) of each, oldest first.
  template <class Visit>
  void each(Visit visit) const {
    auto at_ms = first_ms_;
    std::size_t word = first_;
    for (std::size_t i = 0; i < size_; ++i, word = after(word)) {
      if (i > 0) at_ms += time_since(word);
      visit(at_ms, value(word));
    }
  }
  void clear() { *this = {}; }
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }
  void prefetch() const { __builtin_prefetch(words_.data() + first_); }  // the newest are just before it

 private:
  // How each is written, in words of 16 bits.
  struct Form {
    std::uint8_t time_words = 1;
    std::uint8_t value_words = 1;  // 4: a double; else it is multiplied by 10 ^ decimals
    std::uint8_t decimals = 0;
    friend bool operator==(const Form&, const Form&) = default;
  };
  [[nodiscard]] std::size_t record() const { return static_cast<std::size_t>(form_.time_words) + form_.value_words; }
  // Of the sample after the one there.
  [[nodiscard]] std::size_t after(std::size_t word) const {
    word += record();
    return word == words_.size() ? 0 : word;
  }
  template <class Number>
  [[nodiscard]] Number read(std::size_t word) const;
  [[nodiscard]] std::int64_t time_since(std::size_t word) const;
  [[nodiscard]] std::optional<double> value(std::size_t word) const;
  [[nodiscard]] static Form fitting(Form form, std::int64_t since_ms, std::optional<double> x);
  [[nodiscard]] bool holds(std::int64_t since_ms, std::optional<double> x) const;
  void make_hold(std::int64_t since_ms, std::optional<double> x);
  void append(std::int64_t since_ms, std::optional<double> x);
  void grow();

  ShortVector<std::uint16_t, std::uint16_t> words_;  // room for a whole number of samples
  std::int64_t first_ms_ = 0;
  std::int64_t last_ms_ = 0;
  std::uint16_t first_ = 0;  // the oldest sample's word
  std::uint16_t size_ = 0;
  Form form_;
};

/// Spread over a trailing window, or over all samples so far: at least the threshold is good.
///
/// Up to 128 samples in the window it is exact, to the bit of the reference's (pandas') running sums. Beyond, they are
/// kept in at most 33 buckets, and the window may be longer by up to 1/32 of its length, never shorter.
class AttenuatedSignal {
 public:
  [[nodiscard]] Flag check(const AttenuatedRule& rule, MonoTime at, std::optional<double> x);
  void prefetch() const { samples_.prefetch(); }

 private:
  struct Bucket {
    std::int64_t first_ms;
    std::int64_t last_ms;
    std::uint32_t known;
    std::uint32_t missing;
    double mean;
    double squares;  // of the distances from the mean, added up
    double low;
    double high;
  };
  // Sums that samples come to and leave: Welford's, with Kahan's compensation.
  struct Running {
    double mean = 0;
    double squares = 0;
    double lost_adding = 0;
    double lost_leaving = 0;
    double previous = 0;
    std::int32_t known = 0;
    std::int32_t missing = 0;
    std::int32_t alike = 0;  // the newest so many are equal
    void add(std::optional<double> x);
    void leave(std::optional<double> x);
  };
  void take_exactly(std::int64_t window_ms, std::int64_t at_ms, std::optional<double> x);
  void take_in_buckets(std::int64_t window_ms, std::int64_t at_ms, std::optional<double> x);
  void put(std::int64_t granule_ms, std::int64_t at_ms, std::optional<double> x);
  [[nodiscard]] std::optional<double> spread(const AttenuatedRule& rule) const;
  [[nodiscard]] Bucket total() const;

  Running running_;
  Samples samples_;
  ShortVector<Bucket, std::uint32_t> buckets_;  // in their place; for the whole series just one
};

/// The reason of a missing reading that tells of silence.
inline constexpr std::string_view kGap = "gap";

/// Takes out what is no value: a number that is not finite, or nothing where the driver did not call it missing.
void normalise(Reading& reading);

/// All tests of one point, its detector, and what they remember.
class PointQuality {
 public:
  /// What a reading is judged by, besides itself.
  struct Context {
    std::optional<LocalTime> local{};         ///< when it was taken; nothing while the clock is unset
    const PointQuality* neighbour = nullptr;  ///< of the rule
  };
  struct Judgement {
    Flags tests;
    std::optional<double> score{};    ///< the detector's
    std::optional<Flag> spike{};      ///< of the sample before
    std::optional<Reading> before{};  ///< the sample before, where its quality is worse than was said
  };

  explicit PointQuality(QualityRule rule);

  /// Whether `at` is before the newest sample.
  [[nodiscard]] bool is_late(MonoTime at) const { return last_at_ && at < *last_at_; }
  /// Whether it is the newest sample once more.
  [[nodiscard]] bool is_repeated(const Reading& reading) const {
    return reading.at == last_at_ && reading.value == last_value_;
  }
  /// Fetches what judge() will need, which lies far apart, all at once.
  void prefetch() const;
  /// Sets quality and why of a normalised reading. Late ones too: see Engine.
  Judgement judge(Reading& reading, const Context& context);
  /// Remembers a reading that was judged before.
  void prime(const Reading& reading, const Context& context);

  /// When silence becomes a gap, where it is watched and has not been told yet.
  [[nodiscard]] std::optional<MonoTime> gap_due() const;
  /// From now on silence counts, also of a point that never spoke.
  void start(MonoTime now);
  /// The reading that tells of the gap; once.
  [[nodiscard]] Reading tell_gap();

  [[nodiscard]] const QualityRule& rule() const { return rule_; }
  /// Whether tests wait for the clock, as of the newest sample.
  [[nodiscard]] bool waits_for_clock() const { return waits_for_clock_; }
  [[nodiscard]] const std::optional<Detector>& detector() const { return detector_; }
  [[nodiscard]] std::optional<Detector>& detector() { return detector_; }
  /// The newest number that is good.
  struct Known {
    MonoTime at;
    double x;
  };
  [[nodiscard]] const std::optional<Known>& newest_good() const { return newest_good_; }

 private:
  void remember(const Reading& reading, const Flags& tests, std::optional<double> score);
  void run_tests(const Reading& reading, std::optional<double> x, const Context& context, Judgement& out);
  void look_back(Judgement& out);
  void watch(const Reading& reading, const Context& context, Judgement& out);

  QualityRule rule_;
  FlatLine flat_;
  AttenuatedSignal attenuated_;
  std::optional<Detector> detector_;
  std::optional<Known> newest_good_;
  std::optional<MonoTime> last_at_;  // of the newest sample
  std::optional<double> before_;     // that number before it
  Value last_value_;                 // and what it was, and how it was judged
  std::string last_why_;
  std::optional<double> last_score_;
  Flags last_tests_;
  Quality last_quality_ = Quality::good;
  bool waits_for_clock_ = false;
  bool gap_told_ = false;                // of the silence that lasts
  std::optional<MonoTime> silent_from_;  // the newest sample, or the start
};

}  // namespace hamlet::detect
