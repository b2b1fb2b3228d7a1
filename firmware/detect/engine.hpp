#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "firmware/core/alarm.hpp"
#include "firmware/core/reading.hpp"
#include "firmware/core/result.hpp"
#include "firmware/core/time.hpp"
#include "firmware/detect/alarm_track.hpp"
#include "firmware/detect/due_queue.hpp"
#include "firmware/detect/quality.hpp"
#include "firmware/detect/rules.hpp"

namespace hamlet::detect {

/// A reading as it leaves, judged, and the alarms that it changed, each as it stood after the change, in order.
struct Outcome {
  Reading reading;
  std::vector<Alarm> transitions;
  Flags tests{};                        ///< what each test said of it
  std::optional<double> score{};        ///< the detector's, in [0, 1); nothing: none, or it still learns
  bool anomalous = false;               ///< the score is at the point's threshold or above
  std::optional<Flag> spike_before{};   ///< the spike test's flag of the point's sample before
  std::optional<Reading> correction{};  ///< that sample, where this makes its quality worse than was said
};

/// How a point is being tested.
struct PointState {
  std::vector<std::string_view> tests;  ///< that are configured
  bool waits_for_clock = false;         ///< those by hour or season wait: the clock is unset
  struct Learning {
    std::uint64_t samples = 0;
    Millis time{};
    bool ready = false;
  };
  std::optional<Learning> detector{};
};

/// What came due by time alone.
struct Due {
  std::vector<Reading> readings;  ///< points that fell silent: missing, why "gap"
  std::vector<Alarm> transitions;
};

/// Says what each reading means: its quality, and which alarms are raised.
///
/// Owned by the composition root, called from the io thread; no I/O and no clock of its own. What survives a restart is
/// what the owner stores from save_changed() and gives back to restore(): the alarms' lifecycle, with delays that are
/// running. What the tests and rules remember of a point's past comes back with prime(); without it they start anew.
///
/// Start-up: construct, restore() what is stored, prime() with the readings of this boot, tick() once; from then on
/// silence counts.
///
/// Quality. Of all tests that apply the worst result counts and gives `why`, the test's name (see Test); of equals the
/// first. "gap" is said of a point that has fallen silent; the reading that ends the silence is not blamed for it.
/// The spike test needs the next sample: it only corrects, see Outcome. Booleans and texts pass. A number that is not
/// finite leaves as missing, why "not-finite". What a driver calls missing stays so, with its own reason.
///
/// Wall time is given with each reading, nothing while the clock is unset: what goes by hour or season waits.
///
/// Detectors (detector.hpp) learn from good readings only, and raise no alarm: a score at the threshold is the owner's
/// to tell. What they learned is kept apart, for it changes with every reading: save_detectors() seldom, and at the
/// end.
///
/// Order. A reading older than the newest one of its point is judged by range and climatology alone, and changes
/// neither alarms nor what is remembered. One of the same time and value is a repetition and leaves as the first did.
///
/// Alarms. Good and suspect readings count. Bad and missing ones, and the silence of a point, neither raise nor return
/// an alarm: its state is frozen, a delay that was running is held and goes on with the next reading that counts. A
/// delay that runs out at the very moment of a reading is counted before that reading. The outcome does not depend on
/// when or how often tick() is called, except for the missing readings, which only tick() reports.
///
/// Cost: well under 1 us a reading. Memory: about 2 KiB for a detector, at most 2 for an attenuated-signal test, at
/// most 4 for a flat line while it lasts and for an alarm on rise or fall.
class Engine {
 public:
  /// `boot`: the journal's number of this boot.
  Engine(Rules rules, std::uint32_t boot);

  /// Takes up a stored alarm or detector. Error corrupt: the value is damaged; it starts afresh (and is saved anew).
  /// Error not_found: a detector that the config no longer has. Error invalid: not a key of ours. A delay that was
  /// running in another boot starts anew.
  [[nodiscard]] Status restore(std::string_view key, std::string_view value);
  /// Remembers a reading of this boot as it was judged before the restart, oldest first. No outcome. Of use are those
  /// of the last history(), and of each point the two newest before, with the gap that followed them.
  void prime(const Reading& reading, std::optional<WallTime> wall = {});
  [[nodiscard]] Millis history() const;
  /// Goes on with other rules (reload): unchanged tests keep what they remember, alarms their state. Alarms whose rule
  /// is gone become orphans.
  void reload(Rules rules);

  /// `wall`: when the reading was taken, where the clock can be trusted.
  [[nodiscard]] Outcome evaluate(Reading reading, std::optional<WallTime> wall = {});
  [[nodiscard]] Due tick(MonoTime now);
  /// When tick() is worth calling again; may be early, never late. Nothing: only a reading can change anything.
  [[nodiscard]] std::optional<MonoTime> next_due() const;

  /// An operator has seen it: unacked becomes acked, returned becomes normal. `occurrence`: which one was seen; a newer
  /// one is not acknowledged by mistake. tick(now) first: what has come due is older than this. Errors: not_found (with
  /// the nearest id), invalid (another occurrence, nothing to acknowledge).
  [[nodiscard]] Result<Alarm> acknowledge(std::string_view alarm, std::optional<std::uint64_t> occurrence,
                                          MonoTime now);

  /// Every configured alarm as it stands, in the config's order.
  [[nodiscard]] std::vector<Alarm> alarms() const;
  /// Ids of stored alarms that the config no longer has: clear their snapshots, and remove "alarm/{id}" from the state.
  [[nodiscard]] std::vector<std::string> orphans() const;

  /// What changed since the last call, to be stored in the same transaction as the transitions: key "alarm/{id}", value
  /// a JSON object: the contract's fields of an alarm (since as {"boot","mono"}), and private ones that begin with '_'.
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> save_changed();

  /// What the detectors that have learned since the last call know: key "detect/{point}", value JSON, at most 4 KiB.
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> save_detectors();
  /// Nothing: no such point in the rules.
  [[nodiscard]] std::optional<PointState> point_state(std::string_view point) const;

 private:
  struct StringHash : std::hash<std::string_view> {
    using is_transparent = void;
  };
  struct Point {
    PointQuality quality;
    std::vector<std::size_t> alarms{};       // of alarms_
    std::optional<std::size_t> neighbour{};  // of points_
    std::uint64_t saved_samples = 0;         // of the detector
  };

  void build(Rules rules);
  std::size_t point_index(const std::string& name);
  void note(std::size_t alarm);
  [[nodiscard]] PointQuality::Context context(const Point& point, std::optional<WallTime> wall) const;
  [[nodiscard]] Status restore_detector(std::string_view point, std::string_view value);
  [[nodiscard]] std::optional<MonoTime> due_of(std::size_t timer) const;
  [[nodiscard]] std::vector<Alarm> settle(const Point& point, MonoTime until);

  std::uint32_t boot_;
  std::vector<Point> points_;
  std::unordered_map<std::string, std::size_t, StringHash, std::equal_to<>> point_by_name_;
  std::vector<AlarmTrack> alarms_;
  std::map<std::string, std::size_t, std::less<>> alarm_by_id_;
  std::map<std::string, std::string, std::less<>> orphans_;  // id -> stored value
  std::set<std::size_t> changed_;                            // of alarms_
  DueQueue due_;                                             // timers: alarms_, then points_
  bool ticking_ = false;
};

}  // namespace hamlet::detect
