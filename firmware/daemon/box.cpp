#include "firmware/daemon/box.hpp"

#include <pwd.h>

#include <algorithm>
#include <span>
#include <utility>

#include <fmt/format.h>

#include "firmware/core/id.hpp"
#include "firmware/core/log.hpp"
#include "firmware/daemon/meta.hpp"
#include "sync/journal/media.hpp"
#include "sync/journal/reader.hpp"
#include "sync/uplink/backlog.hpp"

namespace hamlet::daemon {
namespace {

using contract::Lane;
using journal::Urgency;
using nlohmann::json;

// A tele record holds at most so many readings: about 12 kB as a message.
constexpr std::size_t kMaxBatch = 200;
constexpr Millis kClockCheck{5'000};
constexpr Millis kDetectorsEvery = std::chrono::hours{1};
constexpr std::size_t kMaxPrimed = 20'000;  // readings
constexpr Millis kGather{20};  // acknowledgements that are waited for together
constexpr Millis kLastActs{1'000};
constexpr Millis kDrain{1'500};
constexpr Millis kDrainCheck{20};
constexpr std::string_view kRevisionKey = "meta/revision";
constexpr std::string_view kBaseKey = "meta/base";
constexpr std::size_t kMaxOldBases = 8;
constexpr std::string_view kOpenKey = "open/";  // and the event's id
constexpr const char* kEyesUser = "hamlet-eyes";

// Our own child, or, where systemd starts it, a process of the user hamlet-eyes.
EyesLink::Options eyes_options(const config::Gateway& gateway, const std::filesystem::path& program) {
  EyesLink::Options options{.socket = gateway.eyes_socket()};
  if (gateway.start_eyes) {
    options.program = program;
    return options;
  }
  std::vector<char> buffer(16'384);
  passwd entry{};
  passwd* found = nullptr;
  if (getpwnam_r(kEyesUser, &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr) {
    options.peer_uid = entry.pw_uid;
    options.socket_group = entry.pw_gid;
  } else {
    log::warning("there is no such user; only our own may connect as hamlet-eyes", {{"user", kEyesUser}});
  }
  return options;
}

}  // namespace

Box::Box(boost::asio::io_context& io, std::filesystem::path config_file, Settings settings, Programs programs)
    : io_{io},
      config_file_{std::move(config_file)},
      programs_{std::move(programs)},
      settings_{std::move(settings)},
      clock_{settings_.gateway.trust_clock},
      verbs_{io},
      durable_timer_{io},
      batch_timer_{io},
      tick_timer_{io},
      act_timer_{io},
      clock_timer_{io},
      trial_timer_{io} {
  add_verbs();
}

Box::~Box() { stop(); }

Status Box::start() {
  started_ = clock_.mono();
  auto options = settings_.journal;
  options.machine_id = read_machine_id();
  options.boot_id = read_boot_id();
  auto journal = journal::Journal::open(io_, clock_, std::move(options));
  if (!journal) return fail(std::move(journal).error().in("open journal"));
  journal_ = std::move(*journal);
  journal_->on_health([this](Status status) { journal_health(std::move(status)); });
  journal_->on_committed([this] {
    if (uplink_) uplink_->committed();
  });
  journal_->on_epoch([this] {
    if (uplink_) uplink_->epochs_changed();
  });
  journal_->set_uplinks(uplink_names());
  pictures_ = std::make_unique<PictureStore>(io_, settings_.gateway.state_dir / journal::kMediaFolder, settings_.pictures);

  server_ = std::make_unique<control::Server>(io_, settings_.gateway.control_socket(), verbs_);
  if (auto listening = server_->start(); !listening) return fail(std::move(listening).error().in("control socket"));

  running_ = true;
  update_revision();
  update_base();
  load_command_ids();
  load_open_events();
  end_open_events("restart", true);
  open_rooms();
  emit_gateway("start", {{"firmware", HAMLET_VERSION}, {"boot", journal_->boot()}});
  if (!journal_->set_aside().empty()) {
    log::error("the journal is not what it was", {{"why", journal_->set_aside()}});
    emit_gateway("journal", {{"set_aside", journal_->set_aside()}});
  }
  settle_trial_at_start();
  start_uplink();
  check_clock();
  return {};
}

// Everything between a device and the journal. Opened at start and, rebuilt from a new config, at reload.
void Box::open_rooms() {
  if (!detect_) {
    detect_.emplace(settings_.rules, journal_->boot());
    restore_detect();
    prime_detect();
  } else {
    detect_->reload(settings_.rules);
  }
  tick();

  if (!eyes_) {
    auto options = eyes_options(settings_.gateway, programs_.eyes);
    eyes_ = std::make_unique<EyesLink>(
        io_, clock_, std::move(options),
        EyesLink::Sink{.observation = [this](cameras::Observation seen,
                                             EyesLink::Jpegs jpegs) { take_observation(std::move(seen), std::move(jpegs)); },
                       .event = [this](const Event& event) { emit(event); }});
    if (auto started = eyes_->start(settings_.cameras); !started) {
      log::error("cameras cannot be watched", {{"why", started.error().message}});
      emit_gateway("eyes", {{"why", started.error().message}});
    }
  } else {
    eyes_->reload(settings_.cameras);
  }

  drivers_ = std::make_unique<drivers::Drivers>(
      io_, clock_, settings_.devices,
      drivers::Sink{.readings = [this](std::vector<Reading> readings) { take_readings(std::move(readings)); },
                    .event = [this](const Event& event) { emit(event); },
                    .memory = device_memory(),
                    .picture = [this](Event event,
                                      std::string jpeg) { take_picture(std::move(event), std::move(jpeg)); },
                    .when_durable = [this](std::function<void(Status)> then) { when_durable(std::move(then)); }});
  drivers_->start();
  sensing_ = true;
  open_outputs();
  arm_tick();
}

void Box::restore_detect() {
  for (const char* prefix : {"alarm/", "alarms/", "detect/"}) {
    const auto stored = journal_->load_state(prefix);
    if (!stored) log::error("alarms' or detectors' state cannot be read", {{"why", stored.error().message}});
    for (const auto& [key, value] : stored.value_or(std::vector<std::pair<std::string, std::string>>{})) {
      const auto restored = detect_->restore(key, value);
      if (restored) continue;
      if (restored.error().code == Errc::not_found) {
        journal_->put_state(key, std::nullopt, Urgency::window);
      } else {
        log::warning("an alarm or a detector starts afresh", {{"key", key}, {"why", restored.error().message}});
      }
    }
  }
  detectors_saved_ = clock_.mono();
}

// Seldom: what a detector knows is 3 kB, and changes with every reading.
void Box::save_detectors(Urgency urgency) {
  detectors_saved_ = clock_.mono();
  for (auto& [key, value] : detect_->save_detectors()) journal_->put_state(std::move(key), std::move(value), urgency);
}

// What goes by hour or season waits while the clock is unset.
std::optional<WallTime> Box::certain_time(MonoTime at) const {
  const auto dated = journal_->date({journal_->boot(), at});
  return dated.quality == TimeQuality::unsynced ? std::nullopt : std::optional{dated.wall};
}

// Rates, gaps and stuck sensors are judged by what came before: after a restart in the same boot that is in the journal. What it
// cannot give costs nothing but a start anew.
void Box::prime_detect() {
  const auto span = detect_->history();
  if (span == Millis{0}) return;
  auto reader = journal::Reader::open(settings_.gateway.state_dir);
  const auto now = clock_.mono();
  const auto wall = journal_->date({journal_->boot(), now}).wall;
  const auto rows = reader ? (*reader)->readings("", wall - span, kMaxPrimed) : fail(reader.error());
  if (!rows) return log::warning("detection starts without its past", {{"why", rows.error().message}});
  std::vector<Reading> past;
  for (const auto& row : *rows) {
    Reading reading{.point = row.value("s", ""), .at = now - (wall - wall_from_ms(row.value("t", std::int64_t{0})))};
    if (reading.at < MonoTime{} || reading.at > now) continue;  // before this boot, or dated by a clock that was wrong
    const auto& value = row["v"];
    if (value.is_number()) reading.value = value.get<double>();
    if (value.is_boolean()) reading.value = value.get<bool>();
    const auto quality = row.value("q", "");
    reading.quality = quality == "good"      ? Quality::good
                      : quality == "suspect" ? Quality::suspect
                      : quality == "missing" ? Quality::missing
                                             : Quality::bad;
    past.push_back(std::move(reading));
  }
  std::stable_sort(past.begin(), past.end(), [](const auto& a, const auto& b) { return a.at < b.at; });
  for (const auto& reading : past) detect_->prime(reading, certain_time(reading.at));
}

// The last that the county hears of this run is the event gateway/stop.
void Box::stop_sensing() {
  if (!std::exchange(sensing_, false)) return;
  acting_ = false;
  act_timer_.cancel();
  tick_timer_.cancel();
  clock_timer_.cancel();
  drivers_->stop();
  eyes_->stop();
  save_detectors(Urgency::window);
  emit_gateway("stop", json::object());
  flush_readings();
}

void Box::shut_down(std::function<void()> done) {
  acting_ = false;
  act_timer_.cancel();
  for (const auto& action : outputs_->stop(clock_.mono())) carry_out(action);
  await_outputs(clock_.mono() + kLastActs, [this, done = std::move(done)]() mutable {
    stop_sensing();
    await_drain(clock_.mono() + kDrain, std::move(done));
  });
}

bool Box::drained() const {
  const auto stat = journal_->stat();
  const auto link = uplink_->status();
  return link.value("state", "") != "online" || std::all_of(stat.lanes.begin(), stat.lanes.end(), [](const auto& lane) {
           return lane.waiting == 0 && lane.unsent == 0;
         });
}

void Box::await_drain(MonoTime deadline, std::function<void()> done) {
  if (drained() || clock_.mono() >= deadline) {
    stop();
    return done();
  }
  clock_timer_.expires_after(kDrainCheck);
  clock_timer_.async_wait([this, deadline, done = std::move(done)](const boost::system::error_code& error) mutable {
    if (!error) await_drain(deadline, std::move(done));
  });
}

void Box::stop() {
  if (!std::exchange(running_, false)) return;
  stop_sensing();
  batch_timer_.cancel();
  durable_timer_.cancel();
  clock_timer_.cancel();
  trial_timer_.cancel();
  if (uplink_) uplink_->stop();
  if (server_) server_->stop();
  pictures_->stop();
  journal_->stop();
}

Status Box::reload() {
  auto settings = read_settings(config_file_);
  if (!settings) {
    for (const auto& each : settings.error()) log::error("config", {{"at", each.to_string()}});
    return fail(Errc::invalid, fmt::format("the config has {} mistake(s), the first: {}; nothing was changed",
                                           settings.error().size(), settings.error().front().to_string()));
  }
  const auto& now = settings_.gateway;
  const auto& next = settings->gateway;
  if (settings->topics.base() != settings_.topics.base() || next.state_dir != now.state_dir || next.run_dir != now.run_dir) {
    return fail(Errc::invalid, "[gateway] id, division, path, state_dir and run_dir need a restart; nothing was changed");
  }
  if (trial_ != Trial::none) end_trial("reload");
  apply(std::move(*settings));
  return {};
}

void Box::apply(Settings settings) {
  acting_ = false;
  drivers_->stop();
  end_open_events("reload", false);
  flush_readings();
  if (uplink_) uplink_->stop();
  uplink_.reset();
  settings_ = std::move(settings);
  for (auto it = latest_.begin(); it != latest_.end();) {
    const auto known = std::any_of(settings_.devices.begin(), settings_.devices.end(), [&](const auto& device) {
      return std::any_of(device.info.points.begin(), device.info.points.end(),
                         [&](const auto& point) { return point.point == it->first; });
    });
    it = known ? std::next(it) : latest_.erase(it);
  }
  journal_->set_uplinks(uplink_names());
  pictures_->set_options(settings_.pictures);
  update_revision();
  open_rooms();
  start_uplink();
  emit_gateway("reload", {{"rev", revision_}});
  log::info("config read again", {{"rev", revision_}});
}

// ---- the road ------------------------------------------------------------------------------------------------------

void Box::take_readings(std::vector<Reading> readings) {
  gathering_ = true;
  const auto same_poll = [](const Reading& a, const Reading& b) { return a.at == b.at && a.point != b.point; };
  for (std::size_t i = 0; i < readings.size(); ++i) {
    const auto wall = certain_time(readings[i].at);
    const bool more = i + 1 < readings.size() && same_poll(readings[i], readings[i + 1]);
    auto outcome = detect_->evaluate(std::move(readings[i]), wall, more);
    // Before anything that has to do with the disk; the reading and what follows from it together.
    outputs_->reading(outcome.reading, wall);
    for (const auto& alarm : outcome.transitions) tell_outputs(alarm);
    if (!more) act();
    take_findings(outcome);
    take_reading(std::move(outcome.reading));
    take_transitions(outcome.transitions);
  }
  gathering_ = false;
  if (std::exchange(flush_due_, false)) flush_readings();
  flush_full_batch();
  arm_tick();
}

// A reading that the next one shows to be worse than was said, and one that is unusual.
void Box::take_findings(const detect::Outcome& outcome) {
  const auto told = [](const Reading& reading, std::string kind, json detail) {
    detail["point"] = reading.point;
    detail["v"] = to_json(reading.value);
    return Event{.source = reading.point.substr(0, reading.point.find('.')),
                 .kind = std::move(kind),
                 .phase = Phase::once,
                 .id = random_hex64(),
                 .at = reading.at,  // so that `t` is the reading's own time
                 .detail = std::move(detail)};
  };
  if (const auto& worse = outcome.correction) {
    const auto event = told(*worse, "quality", {{"q", to_string(worse->quality)}, {"why", worse->why}});
    store(Lane::event, contract::encode_event(event, clock_.mono()), Urgency::window);
  }
  if (outcome.anomalous) emit(told(outcome.reading, "anomaly", {{"score", *outcome.score}}));
}

void Box::take_reading(Reading reading) {
  latest_.insert_or_assign(reading.point, reading);
  batch_.push_back(std::move(reading));
  if (batch_.size() == 1) arm_batch();
}

void Box::flush_full_batch() {
  if (batch_.size() >= kMaxBatch || settings_.journal.window == Millis{0}) flush_readings();
}

void Box::arm_batch() {
  batch_timer_.expires_after(settings_.journal.window);
  batch_timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error) flush_readings();
  });
}

// In one turn, so in one transaction: readings and what devices remember of them.
void Box::flush_readings() {
  if (gathering_) {
    flush_due_ = true;
    return;
  }
  for (std::size_t at = 0; at < batch_.size(); at += kMaxBatch) {
    const auto some = std::span{batch_}.subspan(at, std::min(kMaxBatch, batch_.size() - at));
    store(Lane::tele, contract::encode_readings(some, clock_.mono(), &journal_->names()), Urgency::now);
  }
  batch_.clear();
  batch_timer_.cancel();
  for (auto& [key, value] : std::exchange(memory_, {})) journal_->put_state(key, std::move(value), Urgency::now);
}

// ---- devices that wait to be acknowledged --------------------------------------------------------------------------

// What a device remembers goes with the readings before it: both are committed, or neither.
drivers::Memory Box::device_memory() {
  const auto key_of = [](const std::string& point) { return fmt::format("driver/{}", point); };
  return {.recall = [this, key_of](const std::string& point) -> std::optional<std::string> {
            const auto waiting = memory_.find(key_of(point));
            if (waiting != memory_.end()) return waiting->second;
            auto stored = journal_->load_state(key_of(point));
            if (!stored || stored->empty() || stored->front().first != key_of(point)) return std::nullopt;
            return std::move(stored->front().second);
          },
          .remember =
              [this, key_of](const std::string& point, std::string value) {
                if (batch_.empty()) return journal_->put_state(key_of(point), std::move(value), Urgency::window);
                memory_.insert_or_assign(key_of(point), std::move(value));
              }};
}

void Box::when_durable(std::function<void(Status)> then) {
  durable_waiters_.push_back(std::move(then));
  if (durable_waiters_.size() > 1) return;
  durable_timer_.expires_after(kGather);
  durable_timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error) make_durable();
  });
}

// One commit for all that wait. What the journal refused is not durable, and nothing else is told so either: devices then
// say it again.
void Box::make_durable() {
  flush_readings();
  journal_->sync([waiters = std::exchange(durable_waiters_, {}), refused = !refused_.empty()](const Status& status) {
    const auto outcome = status && refused ? Status{fail(Errc::full, "the journal is full")} : status;
    for (const auto& then : waiters) then(outcome);
  });
}

void Box::take_picture(Event event, std::string jpeg) {
  if (const auto picture = journal_->append_media(event.at, std::move(jpeg))) {
    event.media.push_back(contract::media_name(picture->epoch, picture->seq));
  } else {
    log::warning("a picture was not kept", {{"source", event.source}, {"why", picture.error().message}});
  }
  emit(event);
}

// Records and lifecycle state go into one transaction; the county hears of it when that is durable.
void Box::take_transitions(const std::vector<Alarm>& transitions) {
  if (outputs_) {  // first of all
    for (const auto& alarm : transitions) tell_outputs(alarm);
    act();
  }
  for (const auto& alarm : transitions) {
    log::info("alarm", {{"id", alarm.id},
                        {"state", to_string(alarm.state)},
                        {"occurrence", alarm.occurrence},
                        {"value", to_string(alarm.value)}});
    store(Lane::alarm, contract::encode_alarm(alarm, {journal_->boot(), clock_.mono()}), Urgency::now);
  }
  for (auto& [key, value] : detect_->save_changed()) {
    journal_->put_state(std::move(key), std::move(value), transitions.empty() ? Urgency::window : Urgency::now);
  }
  tell_notices();
  if (transitions.empty()) return;
  flush_readings();
  if (!uplink_) return;
  for (const auto& alarm : transitions) uplink_->alarm_changed(alarm);
}

// What floods, chatters or is over.
void Box::tell_notices() {
  for (const auto& notice : detect_->take_notices()) {
    Event event{.source = "gateway", .kind = {}, .phase = Phase::once, .id = random_hex64(), .at = notice.at};
    switch (notice.kind) {
      case detect::Notice::Kind::chatter:
        event.kind = "alarm-chatter";
        event.detail = {{"alarm", notice.about}};
        break;
      case detect::Notice::Kind::flood_begins:
        event.kind = "alarm-flood";
        event.detail = {{"begins", true}};
        break;
      case detect::Notice::Kind::flood_ends:
        event.kind = "alarm-flood";
        event.detail = {{"begins", false}};
        break;
      case detect::Notice::Kind::maintenance_ends:
        event.kind = "operator";
        event.detail = {{"verb", "alarm.maintenance"}, {"by", "time"}, {"device", notice.about}, {"on", false}};
        break;
    }
    log::warning("alarms", {{"what", event.kind}, {"detail", event.detail.dump()}});
    emit(event);
  }
}

void Box::take_observation(cameras::Observation seen, EyesLink::Jpegs jpegs) {
  Event event{.source = std::move(seen.camera),
              .kind = std::move(seen.kind),
              .phase = seen.phase,
              .id = std::move(seen.event),
              .at = seen.at,
              .detail = std::move(seen.detail)};
  event.detail["zone"] = std::move(seen.zone);
  if (!jpegs.full.empty()) {
    const json about{{"camera", event.source}, {"zone", event.detail["zone"]}, {"kind", event.kind}, {"event", event.id}};
    if (auto name = store_picture(event.at, std::move(jpegs), about)) event.media.push_back(*std::move(name));
  }
  emit(event);
}

void Box::emit(const Event& event) {
  const bool begins = event.phase == Phase::start || event.phase == Phase::once;
  store(Lane::event, contract::encode_event(event, clock_.mono()), begins ? Urgency::now : Urgency::window);
  track_open(event);
  if (begins) flush_readings();
  if (detect_ && event.source != "gateway") {
    take_transitions(detect_->take(event, certain_time(event.at)));
    arm_tick();
  }
}

// In the same turn as the record, so in the same transaction.
void Box::track_open(const Event& event) {
  const auto key = fmt::format("{}{}", kOpenKey, event.id);
  if (event.phase == Phase::start) {
    open_.insert_or_assign(event.id, Event{.source = event.source, .kind = event.kind, .id = event.id});
    journal_->put_state(key, json{{"source", event.source}, {"kind", event.kind}}.dump(), Urgency::now);
  } else if (event.phase == Phase::end && open_.erase(event.id) > 0) {
    journal_->put_state(key, std::nullopt, Urgency::window);
  }
}

void Box::load_open_events() {
  const auto stored = journal_->load_state(kOpenKey);
  if (!stored) return log::error("events that were open cannot be read", {{"why", stored.error().message}});
  for (const auto& [key, value] : *stored) {
    const auto begun = json::parse(value, nullptr, false);
    if (!begun.is_object() || !begun.value("source", json{}).is_string() || !begun.value("kind", json{}).is_string()) continue;
    const auto id = key.substr(kOpenKey.size());
    open_.insert_or_assign(id, Event{.source = begun["source"], .kind = begun["kind"], .id = id});
  }
}

// Whoever began them is gone, and nobody else would end them. What is still so begins again, as a new event.
void Box::end_open_events(std::string_view why, bool cameras_too) {
  for (const auto& [id, begun] : std::map{open_}) {
    auto event = begun;
    const auto is_camera = [&](const auto& camera) { return camera.id == event.source; };
    if (!cameras_too && std::any_of(settings_.cameras.begin(), settings_.cameras.end(), is_camera)) continue;
    event.phase = Phase::end;
    event.at = clock_.mono();
    event.detail = {{"why", why}};
    emit(event);
  }
}

void Box::emit_gateway(std::string kind, json detail) {
  emit(Event{.source = "gateway",
             .kind = std::move(kind),
             .phase = Phase::once,
             .id = random_hex64(),
             .at = clock_.mono(),
             .detail = std::move(detail)});
}

// A full journal refuses; what it refused is counted, and declared by an event as soon as it takes records again.
void Box::store(Lane lane, contract::Body body, Urgency urgency) {
  if (journal_->append(lane, clock_.mono(), std::move(body), urgency)) return;
  auto& refused = refused_[lane];
  if (refused.records == 0) {
    refused.since = clock_.mono();
    log::error("the journal is full; records are given up", {{"lane", contract::to_string(lane)}});
  }
  ++refused.records;
  if (lane == Lane::tele) refused.readings += batch_.size();
}

void Box::journal_health(Status status) {
  journal_failure_ = status ? std::string{} : status.error().message;
  if (!status) {
    log::error("the journal cannot commit; it keeps trying", {{"why", journal_failure_}});
    return;
  }
  log::info("the journal commits again");
  for (const auto& [lane, refused] : std::exchange(refused_, {})) {
    json detail{{"lane", contract::to_string(lane)},
                {"count", refused.records},
                {"reason", "journal-full"},
                {"for_ms", (clock_.mono() - refused.since).count()}};
    if (lane == Lane::tele) detail["readings"] = refused.readings;
    emit_gateway("gap", std::move(detail));
  }
}

void Box::forget_orphans() {
  if (!old_bases_.empty()) return;  // they have snapshots under the old base too
  for (const auto& id : detect_->orphans()) {
    journal_->put_state(fmt::format("alarm/{}", id), std::nullopt, Urgency::window);
  }
}

// ---- time ----------------------------------------------------------------------------------------------------------

void Box::tick() {
  const auto now = clock_.mono();
  auto due = detect_->tick(now, certain_time(now));
  if (outputs_) {
    for (const auto& reading : due.readings) outputs_->reading(reading);
  }
  for (auto& reading : due.readings) take_reading(std::move(reading));
  flush_full_batch();
  take_transitions(due.transitions);
  arm_tick();
}

void Box::arm_tick() {
  const auto due = detect_->next_due();
  if (!due) {
    tick_timer_.cancel();
    return;
  }
  tick_timer_.expires_after(std::max(Millis{1}, *due - clock_.mono()));
  tick_timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error && sensing_) tick();
  });
}

void Box::check_clock() {
  if (auto change = journal_->check_clock()) {
    log::info("clock", {{"change", change->dump()}});
    emit_gateway("time", std::move(*change));
  }
  if (clock_.mono() - detectors_saved_ >= kDetectorsEvery) save_detectors(Urgency::window);
  journal_->tend();
  pictures_->tend(certain_time(clock_.mono()));
  clock_timer_.expires_after(kClockCheck);
  clock_timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error && sensing_) check_clock();
  });
}

void Box::heartbeat(std::function<void()> alive) {
  if (!running_) return;
  journal_->ping(std::move(alive));
}

// ---- the uplink ----------------------------------------------------------------------------------------------------

// The revision counts how often `meta` has changed in the life of this journal.
void Box::update_revision() {
  meta_ = describe(settings_);
  const auto text = meta_.dump(-1, ' ', false, json::error_handler_t::replace);
  const auto digest = fmt::format("{:016x}", std::hash<std::string>{}(text));
  const auto stored = journal_->load_state(kRevisionKey);
  if (stored && !stored->empty()) {
    const auto before = json::parse(stored->front().second, nullptr, false);
    if (before.is_object() && before.value("rev", json{}).is_number_unsigned()) {
      revision_ = before["rev"].get<std::uint64_t>();
      if (before.value("digest", std::string{}) == digest) return journal_->set_revision(revision_);
    }
  }
  ++revision_;
  journal_->put_state(std::string{kRevisionKey}, json{{"rev", revision_}, {"digest", digest}}.dump(), Urgency::now);
  journal_->set_revision(revision_);
}

// What is retained under a base stays at the broker for ever: where the village moves, it is cleared under the old one. A base of
// another gateway's id comes with a journal from another box, which may be at work: it is left alone.
void Box::update_base() {
  const auto& base = settings_.topics.base();
  std::string before;
  if (const auto stored = journal_->load_state(kBaseKey); stored && !stored->empty()) {
    const auto state = json::parse(stored->front().second, nullptr, false);
    if (state.is_object()) {
      before = state.value("base", "");
      old_bases_ = state.value("old", std::vector<std::string>{});
    }
  }
  if (before == base) return;
  if (before.ends_with("/" + settings_.gateway.id)) old_bases_.push_back(before);
  std::erase(old_bases_, base);
  if (old_bases_.size() > kMaxOldBases) old_bases_.erase(old_bases_.begin());
  store_base();
}

void Box::store_base() {
  journal_->put_state(std::string{kBaseKey}, json{{"base", settings_.topics.base()}, {"old", old_bases_}}.dump(), Urgency::now);
}

std::vector<std::string> Box::left_behind() const {
  std::vector<std::string> topics;
  for (const auto& base : old_bases_) {
    topics.push_back(base + "/state");
    topics.push_back(base + "/meta");
    for (const auto& alarm : detect_->alarms()) topics.push_back(fmt::format("{}/alarm/{}", base, alarm.id));
    for (const auto& id : detect_->orphans()) topics.push_back(fmt::format("{}/alarm/{}", base, id));
  }
  return topics;
}

uplink::Hooks Box::uplink_hooks() {
  return {.meta = [this] { return uplink::Hooks::Meta{revision_, meta_}; },
          .alarms = [this] { return detect_->alarms(); },
          .gone = [this] { return detect_->orphans(); },
          .cleared = [this] { forget_orphans(); },
          .left_behind = [this] { return left_behind(); },
          .left =
              [this] {
                old_bases_.clear();
                store_base();
                forget_orphans();
              },
          .health = [this] { return health_json(); },
          .command =
              [this](contract::Command command, std::function<void(json)> reply) {
                take_command(std::move(command), std::move(reply));
              },
          .picture = [this](std::string_view name) { audit_picture("upload", name, "uplink"); },
          .ignored =
              [this](std::string_view verb, std::string_view why) {
                emit_gateway("command", {{"verb", verb}, {"outcome", "ignored"}, {"why", why}});
              }};
}

std::vector<std::string> Box::uplink_names() const {
  if (!settings_.uplink.enabled) return {};
  return {std::string{uplink::Backlog::kName}};
}

void Box::start_uplink() {
  uplink_ = std::make_unique<uplink::Uplink>(io_, clock_, settings_.uplink, settings_.topics, *journal_, uplink_hooks());
  uplink_->start();
}

}  // namespace hamlet::daemon
