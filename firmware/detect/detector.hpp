#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/container/options.hpp>
#include <boost/container/vector.hpp>

#include "firmware/core/result.hpp"
#include "firmware/core/time.hpp"

namespace hamlet::detect {

/// A vector of at most as many as Size counts, in 16 bytes.
template <class T, class Size>
using ShortVector =
    boost::container::vector<T, void, boost::container::vector_options_t<boost::container::stored_size<Size>>>;

/// Eight hours ahead of UTC, whatever the host's zone: the hours and months of the config are these.
struct LocalTime {
  int month = 1;  ///< 1 to 12
  int hour = 0;   ///< 0 to 23
  bool weekend = false;
};
[[nodiscard]] LocalTime local_time(WallTime wall);

/// How rare the values of one positive measure are, learned from those seen: a histogram in thirds of octaves, and
/// beyond its end an exponential tail fitted to its upper part.
class Tail {
 public:
  static constexpr std::size_t kBins = 96;

  /// Whether insert() is due: a value has a bin from here on. Until then it goes to prime().
  [[nodiscard]] bool is_primed() const;
  void prime(double u);
  [[nodiscard]] std::size_t bin_of(double u) const;
  /// How many decades rarer than usual `u`, of this bin, is; 0 while fewer than 120 are known.
  [[nodiscard]] double rarity(double u, std::size_t bin) const;
  void insert(std::size_t bin);
  /// It will soon be asked.
  void prefetch() const { __builtin_prefetch(bins_.data()); }

  template <class Archive>
  void each(Archive& archive) {
    Bins bins{};
    std::copy(bins_.begin(), bins_.end(), bins.begin() + first_);
    std::uint32_t inserted = inserted_;
    std::uint32_t primed = primed_;
    archive(bins, scale_, inserted, primed);
    take(bins);
    primed_ = static_cast<std::uint8_t>(std::min(primed, std::uint32_t{255}));
  }
  /// After each(): false where the bins do not add up.
  [[nodiscard]] bool check();

 private:
  static constexpr std::uint16_t kFull = 40'000;  // then all is halved: what is old fades
  using Bins = std::array<std::uint16_t, kBins>;
  using Short = ShortVector<std::uint16_t, std::uint8_t>;
  [[nodiscard]] double edge(std::size_t bin) const;
  [[nodiscard]] double beyond_top(double u, std::size_t bin) const;
  [[nodiscard]] std::size_t end() const { return first_ + bins_.size(); }
  [[nodiscard]] std::uint16_t count(std::size_t bin) const {
    return bin >= first_ && bin < end() ? bins_[bin - first_] : std::uint16_t{0};
  }
  void grow_to(std::size_t bin);
  void take(const Bins& bins);
  [[nodiscard]] bool enough(int in_top) const;
  void find_top();

  // From first_ on; those around them are empty: most measures span a third.
  Short bins_{};
  double scale_ = 0;  // the middle of the bins: a sixteenth of the largest of the first 30
  std::uint16_t inserted_ = 0;
  std::uint16_t in_top_ = 0;  // in the bin top_ and above: just enough, or all
  std::uint8_t primed_ = 0;
  std::uint8_t top_ = 0;
  std::uint8_t first_ = 0;
};

/// A statistical detector of what is unusual in one series, whatever it measures: a score in [0, 1) for each sample,
/// from this sample and those before it alone. 0.5 is a sensible threshold where somebody looks at every finding,
/// 0.67 (kDefaultThreshold) where nobody wants to be called more than about once a month.
///
/// Seven measures, each compared with its own past (Tail): how far the level has moved (fast against slow mean), the
/// distance from what is usual at this hour of a working day or a weekend (now, smoothed, smoothed long), calm (spread
/// that has gone), bustle (steps larger than for long), and a jump against the steps of late. To their combined rarity
/// comes what lies beyond all that was ever seen, less where records used to be broken by much. After a finding only
/// what is stranger still is another, for a while. A series that never falls but for resets is a counter: its
/// increments are watched instead.
///
/// Without wall time (the clock is unset) the hours wait: the other measures go on.
///
/// Two steps, so that a test that needs the next sample can still reject: score() learns nothing, learn() takes in the
/// sample scored last. At most 2.1 KB, mostly 1.
class Detector {
 public:
  static constexpr double kDefaultThreshold = 0.67;

  /// Nothing: too little is known yet, or it is larger than anything that is measured (1e100). `local`: nothing while
  /// the clock is unset.
  [[nodiscard]] std::optional<double> score(double x, MonoTime at, const std::optional<LocalTime>& local);
  /// Takes in the sample that was scored last (score() does so), where there is one that was not taken in or forgotten
  /// yet.
  void learn();
  void forget() { pending_.reset(); }
  /// Fetches what score() will need, which lies far apart, all at once.
  void prefetch() const {
    for (const auto& tail : tails_) tail.prefetch();
  }

  /// How many samples, over how much time, it has learned from since it began (or began anew: it found a counter).
  [[nodiscard]] std::uint64_t samples() const { return state_.samples; }
  [[nodiscard]] Millis learned_for() const { return Millis{state_.learned_ms}; }
  [[nodiscard]] bool ready() const { return state_.samples >= kWarm && state_.changes >= kChanges; }
  /// Whether a sample of this time is behind all that it knows; it takes one of each time.
  [[nodiscard]] bool is_news(MonoTime at) const {
    return pending_ ? to_ms(at) > pending_->at_ms : state_.samples == 0 || to_ms(at) > state_.last_ms;
  }

  /// What it has learned, as text of at most 4 KB; a sample that waits to be learned is left out.
  [[nodiscard]] std::string save() const;
  /// Error corrupt: nothing is changed. `same_boot`: whether times are still those of save().
  [[nodiscard]] Status restore(std::string_view stored, bool same_boot);

 private:
  static constexpr std::size_t kMeasures = 7;
  static constexpr std::size_t kHours = 48;  // of a working day, of a weekend's day
  static constexpr std::uint64_t kWarm = 120;
  static constexpr std::uint32_t kChanges = 20;  // of value: of one that never changed nothing is unusual
  using Measures = std::array<double, kMeasures>;

  // Moving averages that take in a sample before it is scored.
  struct Means {
    double fast = 0;
    double residual_fast = 0;
    double residual_slow = 0;
    double spread_fast = 0;
    double spread_slow = 0;
  };
  struct State {
    std::uint64_t samples = 0;
    std::int64_t learned_ms = 0;
    std::int64_t last_ms = 0;
    Means means;
    double near = 0;  // means that take it in after
    double slow = 0;
    double step_fast = 0;
    double step_slow = 0;
    double low = 0;
    double high = 0;
    double previous = 0;
    double raw = 0;         // the previous sample itself, where increments are watched
    double peak = 0;        // of the findings of late, fading
    double usual_over = 0;  // how far, in ranges, records went beyond all before
    std::uint32_t rises = 0;
    std::uint32_t falls = 0;
    std::uint32_t changes = 0;  // counted up to kChanges
    std::uint32_t counter = 0;
  };
  // A measure's bin in its Tail; or what takes its place.
  static constexpr std::uint8_t kNone = 255;
  static constexpr std::uint8_t kPriming = 254;
  using Bins = std::array<std::uint8_t, kMeasures>;
  struct Pending {
    double raw;
    std::int64_t at_ms;
    double peak = 0;            // with this sample, as are the means
    Means means{};
    std::uint8_t hour = kNone;  // of kHours
    Bins bins{};
  };
  // A sample against what is known without it.
  struct Seen {
    double x;
    double residual;
    Means means;
  };

  [[nodiscard]] double value_of(double raw) const;
  [[nodiscard]] Seen look_at(double raw, std::uint8_t hour) const;
  [[nodiscard]] double gain(double least) const;
  [[nodiscard]] Means means_with(double x, double residual) const;
  [[nodiscard]] double range() const;
  [[nodiscard]] double over(double x) const;
  [[nodiscard]] Measures measure(const Seen& seen, std::uint8_t hour) const;
  [[nodiscard]] double strangeness(double x, const Measures& measures, Bins& bins) const;
  void take_in(const Pending& sample);
  [[nodiscard]] bool find_counter(double raw);
  void begin_anew(bool counter, double raw);
  template <class Archive>
  void each(Archive& archive);

  State state_;
  std::array<Tail, kMeasures> tails_{};
  std::array<float, kHours> usual_{};
  std::array<std::uint8_t, kHours> seen_{};  // counted up to kSeen
  std::optional<Pending> pending_;
};

}  // namespace hamlet::detect
