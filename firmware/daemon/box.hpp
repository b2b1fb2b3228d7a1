#pragma once

#include <deque>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <nlohmann/json.hpp>

#include "firmware/control/server.hpp"
#include "firmware/control/verb_table.hpp"
#include "firmware/core/clock.hpp"
#include "firmware/core/event.hpp"
#include "firmware/daemon/eyes_link.hpp"
#include "firmware/daemon/settings.hpp"
#include "firmware/detect/engine.hpp"
#include "firmware/detect/outputs.hpp"

namespace hamlet::daemon {

/// The composition root: owns every room and is the only code that brings two of them together. Everything runs on the io
/// thread.
///
///   drivers -> readings -> detect -> journal.append -> (committed) -> uplink
///   eyes_link -> observations -> journal.append
///   control socket and county commands -> one verb table -> rooms
///
/// What survives power loss is what the journal has committed: records, alarms' state, the revision of `meta`, the ids of
/// commands. Readings wait in one batch for at most the journal's window; alarms and event starts commit at once and take the
/// batch along.
class Box {
 public:
  struct Programs {
    std::filesystem::path eyes;  ///< hamlet-eyes, where we start it ourselves
  };

  Box(boost::asio::io_context& io, std::filesystem::path config_file, Settings settings, Programs programs);
  ~Box();  ///< stop()
  Box(const Box&) = delete;
  Box& operator=(const Box&) = delete;

  /// Opens the journal and starts every room. Blocks while the journal opens.
  [[nodiscard]] Status start();
  /// Puts the outputs into their fail-safe state, ends the sensors and cameras, commits what waits, gives the uplink at most kDrain to send it, and stop()s; then calls
  /// `done`.
  void shut_down(std::function<void()> done);
  /// Ends every room and commits what waits. Idempotent. Blocks; the rooms' own bounds add up to less than 9 s, normally far
  /// less than one.
  void stop();

  /// Reads the config again. A config with mistakes changes nothing: they are logged and returned.
  /// What the county has on trial ends with it.
  [[nodiscard]] Status reload();

  /// Goes once through the io thread and the journal's writer and back: what feeds the watchdog.
  void heartbeat(std::function<void()> alive);

 private:
  // box.cpp: the road
  void apply(Settings settings);
  void stop_sensing();
  void await_drain(MonoTime deadline, std::function<void()> done);
  [[nodiscard]] bool drained() const;
  void open_rooms();
  void take_readings(std::vector<Reading> readings);
  void take_reading(Reading reading);
  void arm_batch();
  void flush_full_batch();
  void take_transitions(const std::vector<Alarm>& transitions);
  void tell_notices();
  [[nodiscard]] drivers::Memory device_memory();
  void take_picture(Event event, std::string jpeg);
  void when_durable(std::function<void(Status)> then);
  void make_durable();
  void take_observation(cameras::Observation observation, EyesLink::Jpegs jpegs);
  void emit(const Event& event);
  void emit_gateway(std::string kind, nlohmann::json detail);
  void flush_readings();
  void store(contract::Lane lane, contract::Body body, journal::Urgency urgency);
  void journal_health(Status status);
  void forget_orphans();
  void restore_detect();
  void track_open(const Event& event);
  void load_open_events();
  void end_open_events(std::string_view why, bool cameras_too);
  void prime_detect();
  void save_detectors(journal::Urgency urgency);
  void take_findings(const detect::Outcome& outcome);
  [[nodiscard]] std::optional<WallTime> certain_time(MonoTime at) const;
  void tick();
  void arm_tick();
  void check_clock();
  void update_revision();
  void update_base();
  void store_base();
  [[nodiscard]] std::vector<std::string> left_behind() const;
  [[nodiscard]] uplink::Hooks uplink_hooks();
  [[nodiscard]] std::vector<std::string> uplink_names() const;
  void start_uplink();

  // act.cpp: outputs
  void open_outputs();
  void act();
  void tell_outputs(const Alarm& alarm);
  void arm_act();
  void carry_out(const detect::Action& action);
  void on_acted(const std::string& output, std::uint64_t number, const Status& status);
  void tell_action(const detect::Action& action);
  void save_outputs();
  [[nodiscard]] bool data_gets_through() const;
  void await_outputs(MonoTime deadline, std::function<void()> done);
  [[nodiscard]] nlohmann::json outputs_json() const;
  [[nodiscard]] nlohmann::json output_json(const detect::OutputState& state) const;
  void set_output(const nlohmann::json& args, const control::Caller& caller, control::Reply reply);

  // verbs.cpp: what can be asked
  void add_verbs();
  void add_verb(std::string name, control::Access access, std::string args, control::Verb::Handler handler,
                std::optional<Millis> deadline = {});  // its own, where it takes longer than the table's
  [[nodiscard]] nlohmann::json ping_json() const;
  [[nodiscard]] nlohmann::json status_json() const;
  [[nodiscard]] nlohmann::json problems_json() const;
  [[nodiscard]] nlohmann::json points_json() const;
  [[nodiscard]] nlohmann::json alarms_json() const;
  [[nodiscard]] nlohmann::json cameras_json() const;
  [[nodiscard]] nlohmann::json uplink_json() const;
  [[nodiscard]] nlohmann::json journal_json() const;
  [[nodiscard]] nlohmann::json health_json() const;
  [[nodiscard]] nlohmann::json alarm_json(const Alarm& alarm) const;
  void query_journal(std::function<Result<nlohmann::json>(journal::Reader&)> run, control::Reply reply);
  void list_readings(const nlohmann::json& args, control::Reply reply);
  void list_events(const nlohmann::json& args, control::Reply reply);
  void acknowledge(const nlohmann::json& args, const control::Caller& caller, control::Reply reply);
  void operated(Asked<std::vector<Alarm>> done, nlohmann::json detail, const control::Caller& caller,
                control::Reply reply);
  [[nodiscard]] detect::PutAside aside_for(Millis length, std::string reason, const control::Caller& caller) const;
  void shelve(const nlohmann::json& args, const control::Caller& caller, control::Reply reply);
  void unshelve(const nlohmann::json& args, const control::Caller& caller, control::Reply reply);
  void take_out_of_service(const nlohmann::json& args, const control::Caller& caller, control::Reply reply);
  void put_in_service(const nlohmann::json& args, const control::Caller& caller, control::Reply reply);
  void maintain(const nlohmann::json& args, const control::Caller& caller, control::Reply reply);
  void explain(const nlohmann::json& args, const control::Reply& reply) const;

  // pictures.cpp: what becomes of cameras' pictures, and who has looked at which
  void add_picture_verbs();
  std::optional<std::string> store_picture(MonoTime at, EyesLink::Jpegs jpegs, const nlohmann::json& about);
  void audit_picture(std::string_view act, std::string_view picture, std::string_view by, nlohmann::json more = nlohmann::json::object());
  void take_snapshot(const nlohmann::json& args, const control::Caller& caller, control::Reply reply);
  void list_pictures(const nlohmann::json& args, control::Reply reply);
  void show_picture(const nlohmann::json& args, const control::Caller& caller, control::Reply reply);
  void upload_picture(const nlohmann::json& args, const control::Caller& caller, control::Reply reply);
  void hold_picture(bool held, const nlohmann::json& args, const control::Caller& caller, control::Reply reply);

  // proposal.cpp: a config that the county proposes
  void add_proposal_verbs();
  void propose_config(const nlohmann::json& args, const control::Reply& reply);
  void confirm_config(const control::Reply& reply);
  void try_proposal(Millis confirm_within);
  void end_trial(std::string_view why);
  void settle_trial_at_start();

  // commands.cpp: what the county asks
  void load_command_ids();
  void take_command(contract::Command command, std::function<void(nlohmann::json)> reply);
  [[nodiscard]] std::optional<Failure> refuse_command(const contract::Command& command) const;
  void run_command(const contract::Command& command, std::function<void(nlohmann::json)> reply);

  boost::asio::io_context& io_;
  const std::filesystem::path config_file_;
  const Programs programs_;
  Settings settings_;
  SystemClock clock_;
  MonoTime started_{};
  bool running_ = false;
  bool sensing_ = false;

  std::unique_ptr<journal::Journal> journal_;
  std::unique_ptr<PictureStore> pictures_;
  std::optional<detect::Engine> detect_;
  std::optional<detect::Outputs> outputs_;
  std::set<std::string> failing_outputs_;
  bool acting_ = false;
  MonoTime detectors_saved_{};
  std::unique_ptr<drivers::Drivers> drivers_;
  std::unique_ptr<EyesLink> eyes_;
  std::unique_ptr<uplink::Uplink> uplink_;
  control::VerbTable verbs_;
  std::unique_ptr<control::Server> server_;

  std::vector<Reading> batch_;  // not yet appended
  bool gathering_ = false;      // readings that came together are being taken: nothing is stored in between
  bool flush_due_ = false;      // and is to be afterwards
  std::map<std::string, std::string> memory_;  // what devices remember, by key: goes with batch_
  std::vector<std::function<void(Status)>> durable_waiters_;  // of devices that wait for an acknowledgement
  boost::asio::steady_timer durable_timer_;
  boost::asio::steady_timer batch_timer_;
  boost::asio::steady_timer tick_timer_;
  boost::asio::steady_timer act_timer_;
  boost::asio::steady_timer clock_timer_;
  std::map<std::string, Reading, std::less<>> latest_;  // by point

  struct Refused {
    std::uint64_t records = 0;
    std::uint64_t readings = 0;
    MonoTime since{};
  };
  std::map<contract::Lane, Refused> refused_;  // by a full journal; told in a gap event when it works again
  std::string journal_failure_;

  std::map<std::string, Event, std::less<>> open_;  // by id: events that have begun and not ended; durable
  std::vector<std::string> old_bases_;              // left, and not cleared yet at the broker

  enum class Trial { none, proposed, running };
  Trial trial_ = Trial::none;  // of a config that the county proposed
  boost::asio::steady_timer trial_timer_;

  nlohmann::json meta_;
  std::uint64_t revision_ = 0;
  std::deque<std::string> command_ids_;  // oldest first, at most kMaxCommandIds
  std::uint64_t command_number_ = 0;     // of the newest
};

}  // namespace hamlet::daemon
