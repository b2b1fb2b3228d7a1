#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "firmware/core/alarm.hpp"
#include "firmware/core/event.hpp"
#include "firmware/core/reading.hpp"
#include "firmware/core/result.hpp"
#include "firmware/core/time.hpp"
#include "firmware/detect/alarm_track.hpp"
#include "firmware/detect/due_queue.hpp"
#include "firmware/detect/quality.hpp"
#include "firmware/detect/rules.hpp"
#include "firmware/detect/watch.hpp"

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

  explicit Outcome(Reading&& evaluated) : reading{std::move(evaluated)} {}
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

/// Something about alarms that is told as an event of the gateway.
struct Notice {
  enum class Kind : std::uint8_t { chatter, flood_begins, flood_ends, maintenance_ends };
  Kind kind = Kind::chatter;
  MonoTime at{};
  std::string about{};      ///< chatter: the alarm; maintenance_ends: the device
};

/// How an alarm stands besides its state.
struct Standing {
  Alarm alarm;
  const AlarmRule* rule = nullptr;      ///< until the next reload()
  std::optional<PutAside> shelved{};
  std::optional<PutAside> out_of_service{};
  bool by_design = false;    ///< suppressed_when holds
  bool maintenance = false;  ///< of one of its devices, or of the box
  bool hushed = false;       ///< it was raised in a flood
  bool chatters = false;
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
/// One with a device's stamp at the very start of the boot is from some time before it: limits judge it, rise, fall and
/// windows do not.
///
/// Alarms. Good and suspect readings count. Bad and missing ones, and the silence of a point, neither raise nor return
/// an alarm: its state is frozen, a delay that was running is held and goes on with the next reading that counts. A
/// delay that runs out at the very moment of a reading is counted before that reading. The outcome does not depend on
/// when or how often tick() is called, except for the missing readings, which only tick() reports.
///
/// A flood begins with more than kFloodBegins alarms raised within kFloodWithin and ends with fewer than kFloodEnds.
/// While it lasts what is raised of severity minor and warning shows suppressed, so that what matters more is seen; at
/// its end each shows as it stands. Critical and major alarms always show. What it hides still drives its outputs.
///
/// Maintenance of a device, or of the box (kWholeBox), suppresses every alarm that has it among its sources. It ends by
/// itself.
///
/// Cost: well under 1 us a reading. Memory: about 1 KiB for a detector, at most 2 for an attenuated-signal test and for
/// an alarm on rise or fall, at most 3 for a flat line.
class Engine {
 public:
  static constexpr std::size_t kFloodBegins = 10;
  static constexpr std::size_t kFloodEnds = 5;
  static constexpr Millis kFloodWithin = std::chrono::minutes{10};
  static constexpr std::string_view kWholeBox = "all";
  static constexpr std::string_view kSharedKey = "alarms/shared";
  static constexpr Millis kShortestAside = std::chrono::minutes{1};
  static constexpr Millis kLongestShelving = std::chrono::hours{24};
  static constexpr Millis kLongestMaintenance = std::chrono::days{7};

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

  /// `wall`: when the reading was taken, where the clock can be trusted. `more`: another of the same moment follows, as
  /// of one poll. Alarms are judged by all of them, so the outcome of the last has the transitions.
  [[nodiscard]] Outcome evaluate(Reading reading, std::optional<WallTime> wall = {}, bool more = false);
  /// What a camera or a device says, for rules that name it. Of an event that is open at a restart or a reload whoever
  /// begins it anew, or ends it, tells us.
  [[nodiscard]] std::vector<Alarm> take(const Event& event, std::optional<WallTime> wall = {});
  [[nodiscard]] Due tick(MonoTime now, std::optional<WallTime> wall = {});
  /// When tick() is worth calling again; may be early, never late. Nothing: only a reading can change anything.
  [[nodiscard]] std::optional<MonoTime> next_due() const;

  /// An operator has seen it: unacked becomes acked, returned becomes normal. `occurrence`: which one was seen; a newer
  /// one is not acknowledged by mistake. tick(now) first: what has come due is older than this. Errors: not_found (with
  /// the nearest id), invalid (another occurrence, nothing to acknowledge).
  [[nodiscard]] Asked<Alarm> acknowledge(std::string_view alarm, std::optional<std::uint64_t> occurrence, MonoTime now);

  /// Puts an alarm aside for kShortestAside to kLongestShelving; critical ones too. Each gives the transitions.
  /// tick(now) first. Errors: not_found, invalid (already so, or not so).
  [[nodiscard]] Asked<std::vector<Alarm>> shelve(std::string_view alarm, PutAside how, MonoTime now);
  [[nodiscard]] Asked<std::vector<Alarm>> unshelve(std::string_view alarm, MonoTime now);
  /// Until it is put back: an alarm whose sensor is broken, or that is being changed.
  [[nodiscard]] Asked<std::vector<Alarm>> take_out_of_service(std::string_view alarm, PutAside how, MonoTime now);
  [[nodiscard]] Asked<std::vector<Alarm>> put_in_service(std::string_view alarm, MonoTime now);
  /// Of a device or a camera that an alarm names, or kWholeBox; kShortestAside to kLongestMaintenance.
  [[nodiscard]] Asked<std::vector<Alarm>> begin_maintenance(std::string_view device, PutAside how, MonoTime now);
  [[nodiscard]] Asked<std::vector<Alarm>> end_maintenance(std::string_view device, MonoTime now);
  [[nodiscard]] const std::map<std::string, PutAside, std::less<>>& maintenance() const { return maintenance_; }

  [[nodiscard]] Asked<Standing> standing(std::string_view alarm) const;
  /// What is to be told since the last call.
  [[nodiscard]] std::vector<Notice> take_notices() { return std::exchange(notices_, {}); }
  [[nodiscard]] bool in_flood() const { return flood_; }

  /// Every configured alarm as it stands, in the config's order.
  [[nodiscard]] std::vector<Alarm> alarms() const;
  /// Ids of stored alarms that the config no longer has: clear their snapshots, and remove "alarm/{id}" from the state.
  [[nodiscard]] std::vector<std::string> orphans() const;

  /// What changed since the last call, to be stored in the same transaction as the transitions: key "alarm/{id}", value
  /// a JSON object: the contract's fields of an alarm (since as {"boot","mono"}), and private ones that begin with '_';
  /// and kSharedKey, of floods and maintenance.
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> save_changed();

  /// What the detectors that have learned since the last call know: key "detect/{point}", value JSON, at most 4 KiB.
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> save_detectors();
  /// Nothing: no such point in the rules.
  [[nodiscard]] std::optional<PointState> point_state(std::string_view point) const;

 private:
  struct Listener {
    std::size_t watch = 0;  // of watches_
    std::size_t term = 0;   // of its expression
  };
  struct Point {
    PointQuality quality;
    ShortVector<std::uint32_t, std::uint32_t> alarms{};  // of alarms_, that judge its values themselves
    ShortVector<Listener, std::uint32_t> listeners{};
    std::optional<std::uint32_t> neighbour{};  // of points_
    std::uint64_t saved_samples = 0;         // of the detector
  };
  struct Watching {
    Watch watch;
    std::size_t alarm = 0;
    bool suppresses = false;  // else it raises
  };
  using Transitions = std::vector<Alarm>;
  struct Heard {
    std::uint32_t point = 0;  // of points_
    MonoTime at{};
    Value value{};
    bool known = false;
    bool dated = false;
  };

  void build(Rules rules);
  void add_watch(std::size_t alarm, const std::shared_ptr<const Expression>& expression, bool suppresses);
  std::size_t point_index(const std::string& name);
  [[nodiscard]] std::size_t slot_of(std::string_view name) const;
  [[nodiscard]] std::optional<std::size_t> find_point(std::string_view name) const;
  void arm(std::size_t alarm);
  void note(std::size_t alarm);
  void gather(Transitions& all, std::size_t alarm, Transitions&& changes);
  void judge(Transitions& all, std::size_t watch, MonoTime at, std::optional<WallTime> wall, bool releases = true);
  [[nodiscard]] Outcome take_in(Reading reading, std::optional<WallTime> wall);
  void judge_heard(Transitions& all, std::optional<WallTime> wall);
  void advance(Transitions& all, MonoTime until, std::optional<WallTime> wall, std::vector<Reading>* gaps);
  void fall_silent(Transitions& all, Point& point, MonoTime at);
  void note_raised(Transitions& all, std::size_t alarm, MonoTime at);
  void check_flood(Transitions& all, MonoTime at);
  void show_hushed(Transitions& all, MonoTime at);
  void end_due_maintenance(Transitions& all, MonoTime now);
  void maintain(Transitions& all, std::size_t alarm, MonoTime now);
  [[nodiscard]] Asked<std::size_t> find(std::string_view alarm) const;
  [[nodiscard]] static std::optional<std::size_t> index_of(std::string_view id, const std::vector<AlarmTrack>& alarms,
                                                           const std::vector<std::uint32_t>& by_id);
  [[nodiscard]] bool has_device(const AlarmRule& rule, std::string_view device) const;
  [[nodiscard]] LocalTime local_at(WallTime wall);
  [[nodiscard]] PointQuality::Context context(const Point& point, std::optional<WallTime> wall);
  [[nodiscard]] Status restore_detector(std::string_view point, std::string_view value);
  [[nodiscard]] Status restore_shared(std::string_view value);
  [[nodiscard]] std::string save_alarm(std::size_t alarm) const;
  [[nodiscard]] std::string save_shared() const;
  [[nodiscard]] std::optional<MonoTime> due_of(std::size_t timer) const;
  [[nodiscard]] std::size_t point_timer(std::size_t point) const { return alarms_.size() + point; }
  [[nodiscard]] std::size_t watch_timer(std::size_t watch) const { return alarms_.size() + points_.size() + watch; }
  [[nodiscard]] std::size_t shared_timer() const { return watch_timer(watches_.size()); }
  [[nodiscard]] std::optional<MonoTime> shared_due() const;

  std::uint32_t boot_;
  std::vector<Point> points_;
  std::vector<std::uint32_t> slots_;  // of points_ by hash of the name, open addressing: 0, or its place and one more
  std::size_t expected_ = 0;  // of points_: devices are read in the config's order
  std::vector<AlarmTrack> alarms_;
  std::vector<std::uint32_t> alarms_by_id_;                  // of alarms_, sorted by id
  std::vector<Watching> watches_;
  std::map<std::size_t, std::vector<std::size_t>> watches_of_;       // by alarm
  std::map<std::string, std::vector<Listener>, std::less<>> by_source_;  // of events
  std::map<std::string, std::string, std::less<>> orphans_;  // id -> stored value
  std::set<std::size_t> changed_;                            // of alarms_
  std::vector<Heard> heard_;                                 // of this moment, what alarms are to be judged by
  DueQueue due_;                                             // timers: alarms_, points_, watches_, and what is shared
  bool ticking_ = false;
  std::chrono::sys_time<std::chrono::hours> hour_{};  // of which local_ is the time
  LocalTime local_ = local_time({});

  std::deque<MonoTime> raised_;  // alarms, within kFloodWithin; at most kFloodBegins + 1, the newest
  bool flood_ = false;
  std::map<std::string, PutAside, std::less<>> maintenance_;  // by device
  bool shared_changed_ = false;
  bool foreign_ = false;  // something was put aside in an earlier boot, and the clock has not told yet until when
  std::vector<Notice> notices_;
};

}  // namespace hamlet::detect
