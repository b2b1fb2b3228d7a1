#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "firmware/core/event.hpp"
#include "firmware/core/reading.hpp"
#include "firmware/core/time.hpp"
#include "firmware/detect/expression.hpp"

namespace hamlet::detect {

enum class Truth : std::uint8_t { no, yes, unknown };

/// What is known of a number: from low to high, both in it.
struct Interval {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  [[nodiscard]] static Interval exactly(double x) { return {x, x}; }
};

/// An expression at work: what it remembers of its points and events, and its truth now.
///
/// Times of one point must not go back. Points may be apart, as where a station tells of hours past: windows are of a
/// point's own times; all else takes what is older than the latest as that. A window is kept in at most 129 buckets: up
/// to 128 samples apart by a 128th of it are exact, else it may be longer by so much, never shorter. What adds up stays
/// so much longer, too, where nothing has come in its place.
class Watch {
 public:
  explicit Watch(std::shared_ptr<const Expression> expression);

  [[nodiscard]] const Expression& expression() const { return *expression_; }

  /// A reading of the term's point; `known`: whether its value counts. `dated` false: it is from some time before this
  /// boot, and of no window.
  void feed(std::size_t term, MonoTime at, std::optional<WallTime> wall, const Value& value, bool known,
            bool dated = true);
  /// An event of the term's source. True: it came and went; judge() now, then call end_pulse() and judge() again.
  [[nodiscard]] bool feed(std::size_t term, const Event& event);
  void end_pulse();

  struct Verdict {
    Truth truth = Truth::unknown;
    Value value{};  ///< of the first comparison, where it is known; else the truth
    Value limit{};  ///< that it is compared with
  };
  /// `wall`: the time `at`; nothing while the clock is unset. Without a reading or an event in between, the truth stays
  /// until due().
  Verdict judge(MonoTime at, std::optional<WallTime> wall);
  [[nodiscard]] std::optional<MonoTime> due() const { return due_; }
  /// Of the last judge(): nothing while the clock is unset.
  [[nodiscard]] std::optional<WallTime> wall(MonoTime at) const {
    return offset_ ? std::optional{WallTime{at.time_since_epoch() + *offset_}} : std::nullopt;
  }

  /// Whether what save() gives has changed since the last call.
  [[nodiscard]] bool take_changed() { return std::exchange(changed_, false); }
  /// What conditions were, and when: what readings cannot bring back (that is feed()'s).
  [[nodiscard]] nlohmann::json save() const;
  /// Of the same boot. What is not understood is left out.
  void restore(const nlohmann::json& stored);

 private:
  struct TermState {
    Value value{};
    bool known = false;
    std::vector<std::string> open{};  // events, by id
    bool down = false;                // their source
    bool pulse = false;
    bool heard = false;
  };
  struct Bucket {
    std::int64_t first_ms;
    std::int64_t last_ms;
    double sum;
    double low;
    double high;
    std::uint32_t samples;
  };
  // The past of a point.
  struct Window {
    std::vector<Bucket> buckets{};  // oldest first
    double newest = 0;
    std::optional<std::int64_t> covered_from_ms{};
    std::optional<std::int64_t> unknown_since_ms{};
  };
  // The past of a condition, short unknown stretches passed over.
  struct Past {
    Truth now = Truth::unknown;
    std::int64_t since_ms = 0;
    std::optional<std::int64_t> unknown_since_ms{};  // passed over so far
  };
  struct Flip {
    std::int64_t at_ms;
    std::uint32_t times;
  };
  struct Memory {
    std::vector<Past> past{};                              // of each argument
    std::optional<std::int64_t> last_true_ms{};            // within
    std::optional<std::int64_t> last_unknown_ms{};         // within, count
    bool doubtful = false;                                 // held: unknown before
    std::vector<Flip> flips{};                             // count
    std::vector<std::optional<std::int64_t>> begun_ms{};   // sequence: when the chain began that has come so far
  };
  struct Result {
    Interval number;
    Truth truth = Truth::unknown;
  };

  void consider(std::int64_t due_ms);
  void consider_new_day(const Expression::Window& window);
  [[nodiscard]] std::int64_t begin_of(const Expression::Window& window, std::int64_t at_ms);
  [[nodiscard]] Result evaluate(const Expression::Node& node);
  [[nodiscard]] Truth of_event(std::size_t term);
  [[nodiscard]] Interval over_window(const Expression::Node& node);
  [[nodiscard]] Truth trend(const Expression::Node& node);
  [[nodiscard]] bool covered(Window& window, const Expression::Node& node, std::int64_t begin_ms);
  [[nodiscard]] bool step(Past& past, Truth truth, Millis tolerance);
  [[nodiscard]] Result remember(const Expression::Node& node);
  void know_nothing_before(Memory& memory);
  [[nodiscard]] Truth within(const Expression::Node& node, Memory& memory, bool turned, Truth before);
  [[nodiscard]] Truth held(const Expression::Node& node, Memory& memory, bool turned, Truth before);
  [[nodiscard]] Interval count(const Expression::Node& node, Memory& memory, bool turned, Truth before);
  [[nodiscard]] Truth sequence(const Expression::Node& node, Memory& memory);
  [[nodiscard]] Truth by_calendar(const Expression::Node& node);

  std::shared_ptr<const Expression> expression_;
  std::vector<TermState> terms_;
  std::vector<Window> windows_;
  std::vector<Memory> memories_;
  std::vector<Result> results_;  // by node, of the present judge()
  std::int64_t now_ms_ = std::numeric_limits<std::int64_t>::min();
  std::optional<std::int64_t> started_ms_{};
  std::optional<Millis> offset_{};  // from monotonic to wall time
  std::optional<MonoTime> due_;
  bool changed_ = false;
};

}  // namespace hamlet::detect
