#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tl/expected.hpp>

#include "firmware/core/text.hpp"
#include "firmware/core/time.hpp"

namespace hamlet::detect {

/// What a point measures, as far as an expression cares.
enum class Kind : std::uint8_t { number, boolean, text };

/// What an expression may name.
struct Names {
  struct Point {
    std::string name;            ///< "device.point"
    std::optional<Kind> kind{};  ///< nothing: taken as what its place in the expression wants
    std::string unit{};
  };
  std::vector<Point> points;
  std::optional<std::vector<std::string>> sources{};  ///< of events: devices and cameras; nothing: any id
};

/// A condition over several points and events: `river.level rising AND sum(rain.gauge, 1h) > 30 mm`.
///
/// Total: any expression that parses has a truth at any time, which may be unknown; there are no loops, no recursion
/// and no errors at run time. Bounded: kMaxLength, kMaxDepth, kMaxTerms. Immutable, shared by its watches (watch.hpp).
///
///     condition  = conjunction { OR conjunction }
///     conjunction = negation { AND negation }
///     negation   = [ NOT ] comparison
///     comparison = sum [ ( > | >= | < | <= | == | != ) sum ]  |  point ( rising | falling ) [ in DURATION ]
///                | point ( == | != ) "text"  |  time in HH:MM-HH:MM  |  month in M-M
///     sum        = product { ( + | - ) product }
///     product    = factor { ( * | / ) factor }
///     factor     = NUMBER [ unit ] | true | false | point | - factor | ( condition ) | call
///
/// Calls that give a number, over one point and a WINDOW (`1h`, or `since 06:00` of local time):
///     sum, avg, min, max;  rise (newest less lowest), fall (highest less newest);  increase (of a counter, resets
///     left out)
/// and over a condition: count(CONDITION, WINDOW), how often it came true.
/// Calls that give a truth:
///     known(point)                         its value counts: it is good or suspect, and the point has not fallen silent
///     event("camera", "kind" [, "zone"])   an event lasts; one that happens `once` is true for that moment
///     all(C, …)   any(C, …)   at_least(N, C, …)
///     within(C, DURATION)                  it was true at some time of the last DURATION
///     held(C, DURATION)                    it has been true for so long
///     sequence(C, C, …, DURATION)          each came true after the one before, all within DURATION; while the last is
/// Words may be in small or capital letters. A minus between two points needs spaces: ids may hold one.
///
/// Three values. A point that is bad or missing is unknown, and so is the hour while the clock is unset. known() itself
/// is unknown only until the point has spoken, or its `gap` has passed without a word. What is known
/// in part is used: of a window that is not covered yet (after a start, or with a hole of more than a tenth of it) sum,
/// count, max and rise are "at least so much", so that a storm after a power cut is seen at once, and only its end has
/// to wait. An alarm is neither raised nor returned by what is unknown.
class Expression {
 public:
  static constexpr std::size_t kMaxLength = 1'000;
  static constexpr int kMaxDepth = 32;
  static constexpr std::size_t kMaxNodes = 256;
  static constexpr std::size_t kMaxTerms = 32;  ///< points and events

  struct Mistake {
    std::size_t character = 0;  ///< from 0, in characters: where
    Text what;
  };

  [[nodiscard]] static tl::expected<std::shared_ptr<const Expression>, Mistake> parse(std::string_view text,
                                                                                       const Names& names);

  /// Something outside that it looks at: a point, or a kind of event.
  struct Term {
    bool is_event = false;
    std::string name;    ///< the point, or the event's source
    std::string kind{};  ///< of the event
    std::string zone{};  ///< of the event; empty: any
    friend bool operator==(const Term&, const Term&) = default;
    /// "river.level"; of an event "cam-pond.intrusion".
    [[nodiscard]] std::string label() const { return is_event ? name + '.' + kind : name; }
  };

  enum class Op : std::uint8_t {
    // numbers
    number, point, negate, add, subtract, multiply, divide, sum, average, lowest, highest, rise, fall, increase, count,
    // truths
    constant, is_true, is_text, known, less, less_equal, equal, same, negation, all, any, at_least, rising, falling, event,
    within, held, sequence, time_in, month_in,
  };
  struct Window {
    Millis length{};                       ///< of a window since a time of day: a day
    std::optional<int> since_minute{};     ///< of the local day
    friend bool operator==(const Window&, const Window&) = default;
  };
  struct Node {
    Op op = Op::constant;
    double number = 0;   // number; at_least: how many; constant: 0 or 1; time_in, month_in: the first
    double last = 0;     // time_in, month_in
    std::size_t term = 0;
    std::size_t memory = 0;  // its number among those that remember: windows and flips apart
    Window window{};
    std::string text{};  // is_text
    std::vector<std::size_t> args{};
    friend bool operator==(const Node&, const Node&) = default;
  };
  /// Written alike and meaning the same: a number with a unit is in that of its point.
  friend bool operator==(const Expression& a, const Expression& b) {
    return a.text_ == b.text_ && a.terms_ == b.terms_ && a.nodes_ == b.nodes_;
  }

  [[nodiscard]] const std::string& text() const { return text_; }
  [[nodiscard]] const std::vector<Term>& terms() const { return terms_; }
  [[nodiscard]] const std::vector<Node>& nodes() const { return nodes_; }  ///< arguments before what takes them
  [[nodiscard]] std::size_t windows() const { return windows_; }
  [[nodiscard]] std::size_t memories() const { return memories_; }
  /// The labels of its terms, each once, in order.
  [[nodiscard]] std::vector<std::string> sources() const;
  /// Whether it asks known() of a term's point.
  [[nodiscard]] bool asks_known(std::size_t term) const;
  /// Whether it asks what hour or month it is.
  [[nodiscard]] bool goes_by_clock() const;
  /// How far back it looks at points.
  [[nodiscard]] Millis history() const;

 private:
  friend class Parser;
  std::string text_;
  std::vector<Term> terms_;
  std::vector<Node> nodes_;  // the last is the whole
  std::size_t windows_ = 0;
  std::size_t memories_ = 0;
};


}  // namespace hamlet::detect
