#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "firmware/config/config.hpp"
#include "firmware/core/alarm.hpp"
#include "firmware/core/failure.hpp"
#include "firmware/core/reading.hpp"
#include "firmware/core/result.hpp"
#include "firmware/core/text.hpp"
#include "firmware/core/time.hpp"
#include "firmware/detect/expression.hpp"
#include "firmware/detect/watch.hpp"

namespace hamlet::detect {

/// An alarm that may drive an output, and the points that it is about.
struct Trigger {
  std::string alarm;
  std::vector<std::string> points{};
  std::vector<std::string> heard{};  ///< points of which any reading will do, as its expression asks known() of them
  friend bool operator==(const Trigger&, const Trigger&) = default;
};

/// Something that a device can be told to do, as the owner knows it.
struct Drive {
  enum class Takes : std::uint8_t { flag, number, text };
  std::string name{};  ///< "device.output"
  Takes takes = Takes::flag;
  bool repeatable = true;  ///< setting it again to what it is does no harm and may mend it: a coil, a pin
};

/// How long an alarm keeps an output on.
enum class Until : std::uint8_t {
  returned,  ///< while it is raised, acknowledged or not
  acked,     ///< until somebody acknowledges it, even where it has returned before
  either,    ///< until it returns or somebody acknowledges it
};

/// One [[output]].
struct OutputRule {
  std::string id;
  Text name{};
  Drive drive{};
  Value on = true;  ///< what the device is told; of a message: nothing, the alarm's text is told
  Value off = false;
  std::vector<Trigger> triggers{};
  Severity least = Severity::warning;  ///< of the alarms that count
  Until until = Until::returned;
  bool fail_safe = false;         ///< on, where it is not known what should be
  std::optional<Millis> stale{};  ///< no good reading for so long: not known
  Millis min_on{};
  Millis min_off{};  ///< of a message: from one to the next
  std::optional<Millis> max_on{};
  std::optional<Millis> rest{};  ///< after max_on; absent: until another alarm is raised
  std::vector<std::string> never_with{};
  std::shared_ptr<const Expression> only_if{};  ///< on only while this is true
  std::optional<Millis> data_down{};            ///< of a message: only where data has not got through for so long
  Lang lang = Lang::zh;                         ///< of a message
  bool county = false;                          ///< whether it may be set from afar
  [[nodiscard]] bool is_message() const { return drive.takes == Drive::Takes::text; }
};

/// Reads [[output]] from the root of a config; every mistake is noted there. `alarms`: all that are configured.
/// `names`: what conditions may name. `drives`: what devices can be told to do.
[[nodiscard]] std::vector<OutputRule> read_outputs(const config::Table& root, std::span<const Trigger> alarms,
                                                   const Names& names, std::span<const Drive> drives);

/// Something to do at once. Tell Outputs how it ended: done().
struct Action {
  std::string output;
  std::string drive;  ///< "device.output"
  Value value;        ///< what the device is to be told
  bool on = false;
  /// An id: start, stop, alarm, returned, acked, fail-safe, max-on, interlock, override, message, again.
  std::string why;
  std::string alarm{};  ///< behind it, where one is
  std::uint64_t occurrence = 0;
  std::string by{};          ///< who, of an override
  std::uint64_t number = 0;  ///< for done()
  bool tell = true;          ///< false: it only says again what was said before; no event
};

/// How an output stands.
struct OutputState {
  const OutputRule* rule = nullptr;
  bool on = false;  ///< as it was last told
  std::string why;
  std::string alarm{};
  MonoTime since{};
  std::optional<bool> confirmed{};  ///< whether the device has said so; nothing: it has not answered yet
  std::string failure{};            ///< why it could not be set, where it could not
  std::optional<MonoTime> waits{};  ///< until when a minimum time holds it
  bool spent = false;               ///< off because its maximum time was up
  bool locked = false;              ///< wanted on, and an interlock holds it off
  std::size_t pending = 0;          ///< messages that wait
  struct ByHand {
    bool on = false;
    MonoTime until{};
    std::string by;
  };
  std::optional<ByHand> by_hand{};
};

/// Says when each output is on: siren, pump, message. Pure: no I/O, no clock, no thread; the owner does what settle()
/// says, at once, and only then sees to the disk.
///
/// What counts, the later over the earlier: the alarms (on while one of them is as `until` says); a manual override,
/// which has an end; the maximum runtime; minimum times; interlocks, which switch off at once, whatever the others say.
///
/// An alarm counts once each of its points has had a reading that counts (good or suspect) since the start, and, with
/// `stale`, within that time; of a point that it asks known() of, once that has had any reading. One that is known and raised switches on, though others are not known yet, and goes on
/// doing so when its sensor is lost. Where none is raised and one is not known, the output is in its fail-safe state.
///
/// Interlocks: an only_if that is not known, as where a reading is bad or missing, is not met. Of two that are
/// never on together the one that is on stays so; the other waits until the device has confirmed that it is off. Where
/// both are wanted, the first in the config goes on.
///
/// What the device did not confirm is tried again after 1 s, then more rarely, at most every 30 s; a repeatable one is
/// told again every minute, others are tried three times. A message is tried eight times, in some 20 minutes.
///
/// What survives a restart is save_changed(): overrides, which go on to their end (after a reboot: for their whole time
/// anew), which alarms had used up the maximum runtime, and which messages were sent.
class Outputs {
 public:
  /// `boot`: the journal's number of this boot.
  Outputs(std::vector<OutputRule> rules, std::uint32_t boot);

  /// Takes up what is stored under "output/{id}". Error not_found: the config has no such output any more. Error
  /// corrupt: it starts afresh.
  [[nodiscard]] Status restore(std::string_view key, std::string_view value, MonoTime now);
  /// Everything into its fail-safe state, told so at the next settle().
  void start(MonoTime now);
  /// Goes on with other rules: outputs of the same id stay as they are, and are all told again. Gives what those that
  /// are gone have to be told.
  [[nodiscard]] std::vector<Action> reload(std::vector<OutputRule> rules, MonoTime now);
  /// The last: everything into its fail-safe state.
  [[nodiscard]] std::vector<Action> stop(MonoTime now);

  /// A reading as detect judged it, after the rules have seen it. `wall`: when, where the clock can be trusted.
  void reading(const Reading& judged, std::optional<WallTime> wall = {});
  /// An alarm as it stands now. `hushed`: it is raised, and a flood hides it from people: what it switches is switched,
  /// no message tells of it.
  void alarm(const Alarm& alarm, bool hushed = false);
  /// Whether data gets through to the county. Down until told otherwise.
  void data(bool up, MonoTime now);

  /// What is to be done now. Cheap where nothing has changed.
  [[nodiscard]] std::vector<Action> settle(MonoTime now, std::optional<WallTime> wall = {});
  /// How an action ended.
  void done(const std::string& output, std::uint64_t number, const Status& status, MonoTime now);
  /// Whether a device has been told something and has not answered yet.
  [[nodiscard]] bool under_way() const;
  /// When settle() is worth calling again; may be early, never late.
  [[nodiscard]] std::optional<MonoTime> next_due() const;

  /// By hand: on, off or, of a message, a text to send; nothing: as the alarms say. `length`: until its end. Errors:
  /// not_found (with the nearest id), invalid.
  [[nodiscard]] Asked<void> set(std::string_view output, const std::optional<Value>& value, Millis length,
                                std::string by, MonoTime now);

  [[nodiscard]] std::vector<OutputState> states() const;
  [[nodiscard]] const OutputRule* find(std::string_view output) const;
  /// What changed since the last call; nothing as value: remove it.
  [[nodiscard]] std::vector<std::pair<std::string, std::optional<std::string>>> save_changed();

 private:
  using Occurrences = std::map<std::string, std::uint64_t>;  // by alarm
  struct Told {
    std::uint64_t occurrence = 0;
    Severity severity = Severity::warning;
  };
  struct Message {
    std::string alarm{};  // empty: given by hand
    Told told{};
    std::string text;
    std::string by{};
    MonoTime since{};
    unsigned tries = 0;
  };
  struct Decision {
    bool on = false;
    std::string why;
    std::string alarm{};
    bool at_once = false;  // no minimum time holds it
  };
  struct Output {
    OutputRule rule;
    bool on = false;
    std::string why;
    std::string alarm{};
    MonoTime changed{};
    bool tell = false;  // the device has to be told
    std::optional<bool> confirmed{};
    std::string failure{};
    unsigned failures = 0;  // in a row
    std::optional<MonoTime> again{};
    std::uint64_t number = 0;  // of the action under way, or of the last
    bool under_way = false;
    std::optional<MonoTime> waits{};
    std::optional<OutputState::ByHand> by_hand{};
    Millis by_hand_length{};
    bool locked = false;
    bool spent = false;
    MonoTime spent_since{};
    Occurrences spent_by{};
    std::map<std::string, Told> told{};  // messages sent, by alarm
    std::vector<Message> messages{};     // that wait: one an alarm, and one by hand, which goes first
    std::optional<Message> sending{};
    std::optional<Watch> lock{};  // only_if at work
    bool save = false;
  };
  struct Point {
    MonoTime newest{};                                         // reading
    bool heard = false;                                        // any, since the start
    std::optional<MonoTime> counted{};                         // the newest that counts
    std::vector<std::pair<std::size_t, std::size_t>> locks{};  // outputs, and its term in their only_if
    std::optional<Millis> stale{};                             // the shortest of the outputs that look at it
  };
  struct StringHash : std::hash<std::string_view> {
    using is_transparent = void;
  };

  void build(std::vector<OutputRule> rules);
  static void forget_alarms_gone(Output& output);
  [[nodiscard]] Output* output(std::string_view id);
  [[nodiscard]] bool known(const Output& output, const Trigger& trigger, MonoTime now);
  [[nodiscard]] bool was_known(const Trigger& trigger) const;
  [[nodiscard]] bool is_new(const Output& output, const Message& message) const;
  [[nodiscard]] const Alarm* raised(const Output& output, const Trigger& trigger) const;
  [[nodiscard]] Decision decide(Output& output, MonoTime now);
  [[nodiscard]] Decision wanted(Output& output, MonoTime now);
  void limit_runtime(Output& output, const Decision& wish, MonoTime now);
  [[nodiscard]] bool locked(Output& output, MonoTime now);
  void settle_state(Output& output, MonoTime now, std::vector<Action>& actions);
  void settle_message(Output& output, MonoTime now, std::vector<Action>& actions);
  void gather_messages(Output& output, MonoTime now);
  void switch_to(Output& output, const Decision& decision, MonoTime now);
  [[nodiscard]] Action tell(Output& output, std::string why);
  void end_message(Output& output, const Status& status, MonoTime now);
  [[nodiscard]] bool may_send(const Output& output, Message& message, MonoTime now, bool& drop);
  void wake(MonoTime at);

  std::uint32_t boot_;
  std::vector<Output> outputs_;
  std::unordered_map<std::string, Point, StringHash, std::equal_to<>> points_;
  std::map<std::string, Alarm, std::less<>> alarms_;
  std::set<std::string, std::less<>> hushed_;  // of alarms_
  bool data_up_ = false;
  MonoTime data_since_{};
  bool dirty_ = false;
  std::optional<WallTime> wall_{};  // of the settle() under way
  std::optional<MonoTime> due_{};
  std::uint64_t number_ = 0;
};

}  // namespace hamlet::detect
