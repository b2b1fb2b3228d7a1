#include "firmware/detect/engine.hpp"

#include <algorithm>
#include <iterator>
#include <numeric>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "firmware/config/config.hpp"
#include "firmware/core/id.hpp"
#include "firmware/detect/texts.hpp"

namespace hamlet::detect {
namespace {

constexpr std::string_view kKeyPrefix = "alarm/";
constexpr std::string_view kDetectorPrefix = "detect/";
constexpr Millis kDetectorHistory = std::chrono::hours{1};  // as often, at least, are detectors saved

bool counts(const Reading& reading) {
  return reading.quality == Quality::good || reading.quality == Quality::suspect;
}

// What a station tells of before this boot is dated at its start: how fast it changed nobody knows.
bool is_dated(const Reading& reading) {
  return !reading.device_time || reading.at > MonoTime{};
}
bool is_windowed(const AlarmRule& rule) {
  return rule.condition == Condition::rise || rule.condition == Condition::fall;
}

std::optional<WallTime> wall_at(MonoTime at, MonoTime now, std::optional<WallTime> wall) {
  return wall ? std::optional{*wall - (now - at)} : std::nullopt;
}

}  // namespace

Engine::Engine(Rules rules, std::uint32_t boot) : boot_{boot} {
  build(std::move(rules));
}

void Engine::build(Rules rules) {
  for (auto& rule : rules.quality) {
    auto& point = points_[point_index(rule.point)];
    point.quality = PointQuality{std::move(rule)};
    if (const auto& neighbour = point.quality.rule().neighbour) {
      const auto self = static_cast<std::size_t>(&point - points_.data());
      const auto other = point_index(neighbour->point);  // may move all points
      points_[self].neighbour = static_cast<std::uint32_t>(other);
    }
  }
  for (auto& rule : rules.alarms) {
    const auto when = rule.when;
    const auto suppressed_when = rule.suppressed_when;
    if (!when) points_[point_index(rule.point)].alarms.push_back(static_cast<std::uint32_t>(alarms_.size()));
    alarms_.emplace_back(std::move(rule), boot_);
    if (suppressed_when) add_watch(alarms_.size() - 1, suppressed_when, true);
    if (when) add_watch(alarms_.size() - 1, when, false);
  }
  points_.shrink_to_fit();
  alarms_.shrink_to_fit();
  alarms_by_id_.resize(alarms_.size());
  std::iota(alarms_by_id_.begin(), alarms_by_id_.end(), std::uint32_t{0});
  std::sort(alarms_by_id_.begin(), alarms_by_id_.end(),
            [&](auto a, auto b) { return alarms_[a].rule().id < alarms_[b].rule().id; });
  due_.reset(shared_timer() + 1);
}

std::optional<std::size_t> Engine::index_of(std::string_view id, const std::vector<AlarmTrack>& alarms,
                                            const std::vector<std::uint32_t>& by_id) {
  const auto found = std::lower_bound(by_id.begin(), by_id.end(), id,
                                      [&](auto alarm, std::string_view wanted) { return alarms[alarm].rule().id < wanted; });
  if (found == by_id.end() || alarms[*found].rule().id != id) return {};
  return *found;
}

void Engine::add_watch(std::size_t alarm, const std::shared_ptr<const Expression>& expression, bool suppresses) {
  const auto& terms = expression->terms();
  for (std::size_t i = 0; i < terms.size(); ++i) {
    const Listener listener{watches_.size(), i};
    if (terms[i].is_event) {
      by_source_[terms[i].name].push_back(listener);
    } else {
      points_[point_index(terms[i].name)].listeners.push_back(listener);
    }
  }
  watches_of_[alarm].push_back(watches_.size());
  watches_.push_back({Watch{expression}, alarm, suppresses});
}

inline std::size_t Engine::slot_of(std::string_view name) const {
  for (auto slot = std::hash<std::string_view>{}(name);; ++slot) {
    slot &= slots_.size() - 1;
    if (slots_[slot] == 0 || points_[slots_[slot] - 1].quality.rule().point == name) return slot;
  }
}

inline std::optional<std::size_t> Engine::find_point(std::string_view name) const {
  const auto found = slots_.empty() ? 0 : slots_[slot_of(name)];
  return found == 0 ? std::nullopt : std::optional<std::size_t>{found - 1};
}

std::size_t Engine::point_index(const std::string& name) {
  if (const auto found = find_point(name)) return *found;
  if (4 * (points_.size() + 1) > 3 * slots_.size()) {
    slots_.assign(std::max<std::size_t>(8, 2 * slots_.size()), 0);
    for (std::uint32_t i = 0; i < points_.size(); ++i) slots_[slot_of(points_[i].quality.rule().point)] = i + 1;
  }
  const auto slot = slot_of(name);  // which may be of a point, that moves now
  points_.push_back({PointQuality{QualityRule{.point = name}}});
  slots_[slot] = static_cast<std::uint32_t>(points_.size());
  return points_.size() - 1;
}

inline void Engine::arm(std::size_t alarm) {
  if (const auto due = alarms_[alarm].due()) due_.arm(alarm, *due);
}

// After every step of an alarm: if it changed it has to be saved, and may have a new time to be looked at.
inline void Engine::note(std::size_t alarm) {
  if (!alarms_[alarm].take_changed()) return;
  changed_.insert(alarm);
  arm(alarm);
}

inline void Engine::gather(Transitions& all, std::size_t alarm, Transitions&& changes) {
  if (!alarms_[alarm].is_changed()) return;
  for (auto& change : changes) {
    const bool raised = change.state == AlarmState::unacked;
    const auto at = change.since.mono;
    all.push_back(std::move(change));
    if (raised) note_raised(all, alarm, at);
  }
  if (alarms_[alarm].take_chatter()) {
    notices_.push_back({.kind = Notice::Kind::chatter, .at = alarms_[alarm].alarm().since.mono, .about = alarms_[alarm].rule().id});
  }
  note(alarm);
}

// ---- floods ---------------------------------------------------------------------------------------------------------

// The transition is the last of `all`.
void Engine::note_raised(Transitions& all, std::size_t alarm, MonoTime at) {
  check_flood(all, at);
  raised_.push_back(at);
  if (raised_.size() > kFloodBegins + 1) raised_.pop_front();
  shared_changed_ = true;
  if (!flood_ && raised_.size() > kFloodBegins) {
    flood_ = true;
    notices_.push_back({.kind = Notice::Kind::flood_begins, .at = at});
  }
  if (flood_) {
    if (const auto due = shared_due()) due_.arm(shared_timer(), *due);
    if (alarms_[alarm].rule().severity < Severity::minor) return;
    auto hushed = alarms_[alarm].hush(true, at);
    if (!hushed.empty()) all.back() = std::move(hushed.back());
  }
}

// Forgets what was raised long ago; the flood may be over with it.
void Engine::check_flood(Transitions& all, MonoTime at) {
  while (!raised_.empty() && raised_.front() < at - kFloodWithin) {
    const auto over_at = raised_.front() + kFloodWithin + Millis{1};
    raised_.pop_front();
    shared_changed_ = true;
    if (!flood_ || raised_.size() >= kFloodEnds) continue;
    flood_ = false;
    notices_.push_back({.kind = Notice::Kind::flood_ends, .at = over_at});
    show_hushed(all, over_at);
  }
}

void Engine::show_hushed(Transitions& all, MonoTime at) {
  for (std::size_t i = 0; i < alarms_.size(); ++i) {
    if (!alarms_[i].hushed()) continue;
    for (auto& change : alarms_[i].hush(false, at)) all.push_back(std::move(change));
    note(i);
  }
}

std::optional<MonoTime> Engine::shared_due() const {
  std::optional<MonoTime> due;
  const auto consider = [&](MonoTime at) {
    if (!due || at < *due) due = at;
  };
  if (flood_ && !raised_.empty()) consider(raised_.front() + kFloodWithin + Millis{1});
  for (const auto& [device, how] : maintenance_) {
    if (how.until) consider(*how.until);
  }
  return due;
}

// ---- expressions ----------------------------------------------------------------------------------------------------

// `releases`: whether it may end that an alarm is suppressed.
void Engine::judge(Transitions& all, std::size_t watch, MonoTime at, std::optional<WallTime> wall, bool releases) {
  auto& watching = watches_[watch];
  auto& alarm = alarms_[watching.alarm];
  const auto verdict = watching.watch.judge(at, wall);
  if (watching.watch.take_changed()) changed_.insert(watching.alarm);
  if (const auto due = watching.watch.due()) due_.arm(watch_timer(watch), *due);
  const auto stands = verdict.truth == Truth::unknown ? std::nullopt : std::optional{verdict.truth == Truth::yes};
  if (!watching.suppresses) {
    gather(all, watching.alarm, alarm.observe(at, stands, verdict.value, verdict.limit));
  } else if (stands && (*stands || releases)) {
    gather(all, watching.alarm, alarm.suppress(*stands, at));
  }
}

Engine::Transitions Engine::take(const Event& event, std::optional<WallTime> wall) {
  Transitions out;
  const auto found = by_source_.find(event.source);
  if (found == by_source_.end()) return out;
  advance(out, event.at, wall, nullptr);
  for (const auto& [watch, term] : found->second) {
    const bool pulse = watches_[watch].watch.feed(term, event);
    judge(out, watch, event.at, wall);
    if (!pulse) continue;
    watches_[watch].watch.end_pulse();
    judge(out, watch, event.at, wall);
  }
  return out;
}

// The readings of an hour share it.
inline LocalTime Engine::local_at(WallTime wall) {
  const auto hour = std::chrono::floor<std::chrono::hours>(wall);
  if (hour != hour_) {
    hour_ = hour;
    local_ = local_time(wall);
  }
  return local_;
}

inline PointQuality::Context Engine::context(const Point& point, std::optional<WallTime> wall) {
  const auto local = wall ? std::optional{local_at(*wall)} : std::nullopt;
  return {local, point.neighbour ? &points_[*point.neighbour].quality : nullptr};
}

Status Engine::restore_detector(std::string_view name, std::string_view value) {
  const auto found = find_point(name);
  if (!found || !points_[*found].quality.detector()) {
    return fail(Errc::not_found, fmt::format("no detector is configured for '{}'", name));
  }
  auto& point = points_[*found];
  const auto stored = nlohmann::json::parse(value, nullptr, false);
  if (!stored.is_object() || !stored.value("boot", nlohmann::json{}).is_number_unsigned() ||
      !stored.value("learned", nlohmann::json{}).is_string()) {
    return fail(Errc::corrupt, "what the detector had learned is damaged; it begins anew");
  }
  const bool same_boot = stored["boot"].get<std::uint64_t>() == boot_;
  auto status = point.quality.detector()->restore(stored["learned"].get_ref<const std::string&>(), same_boot);
  point.saved_samples = point.quality.detector()->samples();
  return status;
}

Status Engine::restore(std::string_view key, std::string_view value) {
  if (key == kSharedKey) return restore_shared(value);
  if (key.starts_with(kDetectorPrefix)) return restore_detector(key.substr(kDetectorPrefix.size()), value);
  if (!key.starts_with(kKeyPrefix) || !is_id(key.substr(kKeyPrefix.size()))) {
    return fail(Errc::invalid, fmt::format("'{}' is no key of an alarm's state", key));
  }
  const auto id = key.substr(kKeyPrefix.size());
  const auto found = index_of(id, alarms_, alarms_by_id_);
  if (!found) {
    orphans_.insert_or_assign(std::string{id}, std::string{value});
    return {};
  }
  auto& alarm = alarms_[*found];
  auto status = alarm.restore(value);
  if (const auto watches = watches_of_.find(*found); status && watches != watches_of_.end()) {
    const auto json = nlohmann::json::parse(value, nullptr, false);
    const auto stored = json.value("_watch", nlohmann::json{});
    if (stored.is_object() && stored.value("boot", nlohmann::json{}) == boot_) {
      for (const auto i : watches->second) {
        watches_[i].watch.restore(stored.value(watches_[i].suppresses ? "suppressed_when" : "when", nlohmann::json{}));
      }
    }
  }
  if (alarm.by_design() && !alarm.rule().suppressed_when) static_cast<void>(alarm.suppress(false, alarm.alarm().since.mono));
  foreign_ = true;
  if (save_alarm(*found) != value) changed_.insert(*found);
  arm(*found);
  return status;
}

// What conditions were belongs to the alarm's state.
std::string Engine::save_alarm(std::size_t alarm) const {
  auto text = alarms_[alarm].save();
  const auto watches = watches_of_.find(alarm);
  if (watches == watches_of_.end()) return text;
  auto json = nlohmann::json::parse(text);
  auto& stored = json["_watch"];
  stored["boot"] = boot_;
  for (const auto i : watches->second) {
    stored[watches_[i].suppresses ? "suppressed_when" : "when"] = watches_[i].watch.save();
  }
  return json.dump();
}

std::string Engine::save_shared() const {
  std::string maintenance{"{}"};
  if (!maintenance_.empty()) {
    nlohmann::json all;
    for (const auto& [device, how] : maintenance_) all[device] = to_json(how, boot_);
    maintenance = all.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  }
  std::string raised;
  for (const auto at : raised_) (raised += raised.empty() ? "" : ",") += fmt::to_string(to_ms(at));
  return fmt::format(R"({{"boot":{},"flood":{},"maintenance":{},"raised":[{}]}})", boot_, flood_,
                     maintenance, raised);
}

Status Engine::restore_shared(std::string_view value) {
  const auto json = nlohmann::json::parse(value, nullptr, false);
  if (!json.is_object()) return fail(Errc::corrupt, "what was known of floods and maintenance is damaged");
  const auto member = [&](const char* key) { return json.contains(key) ? json[key] : nlohmann::json{}; };
  if (member("boot") == boot_ && member("raised").is_array()) {
    flood_ = member("flood") == true;
    for (const auto& at : json["raised"]) {
      if (at.is_number_integer() && raised_.size() <= kFloodBegins) raised_.push_back(mono_from_ms(at.get<std::int64_t>()));
    }
  }
  if (const auto maintenance = member("maintenance"); maintenance.is_object()) {
    for (const auto& [device, how] : maintenance.items()) {
      if (auto read = aside_of(how, boot_)) maintenance_.insert_or_assign(device, std::move(*read));
    }
  }
  foreign_ = true;
  if (const auto due = shared_due()) due_.arm(shared_timer(), *due);
  return {};
}

void Engine::prime(const Reading& reading, std::optional<WallTime> wall) {
  const auto found = find_point(reading.point);
  if (!found) return;
  auto& point = points_[*found];
  if (point.quality.is_late(reading.at)) return;
  const bool repeated = reading.why != kGap && point.quality.is_repeated(reading);
  point.quality.prime(reading, context(point, wall));
  if (const auto due = point.quality.gap_due()) due_.arm(point_timer(*found), *due);
  for (const auto& [watch, term] : point.listeners) {
    if (!repeated) watches_[watch].watch.feed(term, reading.at, wall, reading.value, counts(reading), is_dated(reading));
  }
  for (const auto alarm : point.alarms) {
    const bool known = counts(reading) && (is_dated(reading) || !is_windowed(alarms_[alarm].rule()));
    alarms_[alarm].prime(reading.at, known ? reading.value : Value{}, wall);
  }
}

Millis Engine::history() const {
  Millis longest{0};
  for (const auto& point : points_) {
    const auto& rule = point.quality.rule();
    longest = std::max(longest, rule.gap.value_or(Millis{0}));
    if (rule.flat_line) {
      longest = std::max({longest, rule.flat_line->suspect, rule.flat_line->fail.value_or(Millis{0})});
    }
    if (rule.attenuated) longest = std::max(longest, rule.attenuated->window.value_or(Millis{0}));
    if (rule.anomaly) longest = std::max(longest, kDetectorHistory);
  }
  for (const auto& alarm : alarms_) longest = std::max(longest, alarm.rule().within);
  for (const auto& watching : watches_) longest = std::max(longest, watching.watch.expression().history());
  return 2 * longest;  // where all of the first half is missing, a flat line starts anew
}

void Engine::reload(Rules rules) {
  auto points = std::exchange(points_, {});
  std::map<std::string, std::size_t> point_by_name;
  for (std::size_t i = 0; i < points.size(); ++i) point_by_name.emplace(points[i].quality.rule().point, i);
  slots_.clear();
  auto alarms = std::exchange(alarms_, {});
  const auto by_id = std::exchange(alarms_by_id_, {});
  auto watches = std::exchange(watches_, {});
  auto watches_of = std::exchange(watches_of_, {});
  by_source_.clear();
  changed_.clear();
  build(std::move(rules));
  ticking_ = false;  // silence of points that are new counts from the next tick

  for (auto& alarm : alarms) orphans_.insert_or_assign(alarm.rule().id, alarm.save());
  const std::vector<std::string> ids = [&] {  // they move away
    std::vector<std::string> out;
    for (const auto& alarm : alarms) out.push_back(alarm.rule().id);
    return out;
  }();
  for (std::size_t i = 0; i < alarms_.size(); ++i) {
    const auto& id = alarms_[i].rule().id;
    const auto at = std::lower_bound(by_id.begin(), by_id.end(), id, [&](auto a, const auto& wanted) { return ids[a] < wanted; });
    const auto old = at != by_id.end() && ids[*at] == id ? std::optional<std::size_t>{*at} : std::nullopt;
    const auto stored = orphans_.find(id);
    if (old && alarms[*old].rule().judges_as(alarms_[i].rule())) {
      alarms[*old].reword(alarms_[i].rule());
      alarms_[i] = std::move(alarms[*old]);
      if (const auto mine = watches_of_.find(i); mine != watches_of_.end()) {
        const auto& before = watches_of.at(*old);
        for (std::size_t w = 0; w < mine->second.size(); ++w) {
          watches_[mine->second[w]].watch = std::move(watches[before[w]].watch);
        }
      }
    } else if (stored != orphans_.end() && alarms_[i].restore(stored->second)) {
      alarms_[i].drop_delay();
      if (!alarms_[i].rule().suppressed_when) static_cast<void>(alarms_[i].suppress(false, MonoTime{}));
    }
    if (stored != orphans_.end()) orphans_.erase(stored);
    changed_.insert(i);
    arm(i);
  }
  for (std::size_t i = 0; i < points_.size(); ++i) {
    auto& quality = points_[i].quality;
    const auto old = point_by_name.find(quality.rule().point);
    if (old == point_by_name.end()) continue;
    auto& before = points[old->second];
    points_[i].saved_samples = before.saved_samples;
    if (before.quality.rule() != quality.rule()) {
      if (quality.detector() && before.quality.detector()) quality.detector() = before.quality.detector();
      continue;
    }
    quality = std::move(before.quality);
    if (const auto due = quality.gap_due()) due_.arm(point_timer(i), *due);
  }
  if (const auto due = shared_due()) due_.arm(shared_timer(), *due);
}

// From `at` on nothing is known of it.
void Engine::fall_silent(Transitions& all, Point& point, MonoTime at) {
  for (const auto i : point.alarms) {
    alarms_[i].hold(at);
    note(i);
  }
  for (const auto& [watch, term] : point.listeners) {
    watches_[watch].watch.feed(term, at, watches_[watch].watch.wall(at), {}, false);
    judge(all, watch, at, watches_[watch].watch.wall(at));
  }
}

// All that comes due up to `until`, in order of time. Silence is told where `gaps` is given, and else stays to be told.
void Engine::advance(Transitions& all, MonoTime until, std::optional<WallTime> wall, std::vector<Reading>* gaps) {
  std::vector<std::pair<std::size_t, MonoTime>> untold;
  while (const auto timer = due_.pop(until)) {
    const auto number = timer->number;
    const auto due = due_of(number);
    if (!due) continue;
    if (*due > timer->at) {  // put off meanwhile
      due_.arm(number, *due);
    } else if (number < alarms_.size()) {
      gather(all, number, alarms_[number].settle(*due));
    } else if (number < watch_timer(0)) {
      auto& point = points_[number - alarms_.size()];
      fall_silent(all, point, *due);
      if (gaps != nullptr) {
        gaps->push_back(point.quality.tell_gap());
      } else {
        untold.emplace_back(number, *due);
      }
    } else if (number < shared_timer()) {
      const auto watch = number - watch_timer(0);
      const auto then = wall_at(*due, until, wall);
      judge(all, watch, *due, then ? then : watches_[watch].watch.wall(*due));
    } else {
      check_flood(all, *due);
      end_due_maintenance(all, *due);
      if (const auto next = shared_due()) due_.arm(number, *next);
    }
  }
  for (const auto& [number, at] : untold) due_.arm(number, at);
}

Outcome Engine::evaluate(Reading reading, std::optional<WallTime> wall, bool more) {
  auto out = take_in(std::move(reading), wall);
  if (!more && !heard_.empty()) judge_heard(out.transitions, wall);
  return out;
}

inline Outcome Engine::take_in(Reading reading, std::optional<WallTime> wall) {
  Outcome out{std::move(reading)};
  normalise(out.reading);
  const bool as_expected = expected_ < points_.size() && points_[expected_].quality.rule().point == out.reading.point;
  const auto found = as_expected ? std::optional{expected_} : find_point(out.reading.point);
  if (!found) return out;
  expected_ = *found + 1;
  auto& point = points_[*found];
  point.quality.prefetch();
  for (const auto i : point.alarms) alarms_[i].prefetch();
  const auto at = out.reading.at;
  const bool late = point.quality.is_late(at);
  const bool repeated = point.quality.is_repeated(out.reading);
  if (const auto next = due_.next(); !late && next && *next <= at) advance(out.transitions, at, wall, nullptr);
  auto judged = point.quality.judge(out.reading, context(point, wall));
  out.tests = judged.tests;
  if (late) return out;
  out.score = judged.score;
  out.anomalous = judged.score && *judged.score >= point.quality.rule().anomaly->threshold;
  out.spike_before = judged.spike;
  out.correction = std::move(judged.before);

  if (const auto due = point.quality.gap_due()) due_.arm(point_timer(*found), *due);
  const bool known = counts(out.reading);
  const bool dated = is_dated(out.reading);
  for (const auto& [watch, term] : point.listeners) {
    if (!repeated) watches_[watch].watch.feed(term, at, wall, out.reading.value, known, dated);
  }
  if (point.alarms.size() + point.listeners.size() > 0) {
    heard_.push_back({static_cast<std::uint32_t>(*found), at, out.reading.value, known, dated});
  }
  return out;
}

// An alarm that is suppressed from this moment on is not raised in it; one that no longer is is judged by the newest
// value.
void Engine::judge_heard(Transitions& all, std::optional<WallTime> wall) {
  const auto judge_each = [&](bool suppressing, bool releases) {
    for (const auto& each : heard_) {
      for (const auto& listener : points_[each.point].listeners) {
        if (watches_[listener.watch].suppresses == suppressing) judge(all, listener.watch, each.at, wall, releases);
      }
    }
  };
  judge_each(true, false);
  for (const auto& [point, at, value, known, dated] : heard_) {
    for (const auto i : points_[point].alarms) {
      if (!known || (!dated && is_windowed(alarms_[i].rule()))) {
        alarms_[i].hold(at);
        note(i);
      } else {
        gather(all, i, alarms_[i].observe(at, value, wall));
      }
    }
  }
  judge_each(false, true);
  judge_each(true, true);
  heard_.clear();
}

std::optional<MonoTime> Engine::due_of(std::size_t timer) const {
  if (timer < alarms_.size()) return alarms_[timer].due();
  if (timer < watch_timer(0)) return points_[timer - alarms_.size()].quality.gap_due();
  if (timer < shared_timer()) return watches_[timer - watch_timer(0)].watch.due();
  return shared_due();
}

Due Engine::tick(MonoTime now, std::optional<WallTime> wall) {
  Due out;
  if (!ticking_) {
    ticking_ = true;
    for (std::size_t i = 0; i < points_.size(); ++i) {
      points_[i].quality.start(now);
      if (const auto due = points_[i].quality.gap_due()) due_.arm(point_timer(i), *due);
    }
    for (std::size_t i = 0; i < alarms_.size(); ++i) maintain(out.transitions, i, now);
    if (!flood_) show_hushed(out.transitions, now);  // of a flood in another boot
    for (std::size_t i = 0; i < watches_.size(); ++i) {
      const auto then = wall ? wall : watches_[i].watch.wall(now);
      judge(out.transitions, i, now, then);
    }
  }
  if (foreign_ && std::exchange(foreign_, !wall)) {
    for (std::size_t i = 0; i < alarms_.size(); ++i) {
      alarms_[i].resume(now, wall);
      note(i);
    }
    for (auto& [device, how] : maintenance_) {
      if (resume(how, now, wall)) shared_changed_ = true;
    }
    if (const auto due = shared_due()) due_.arm(shared_timer(), *due);
  }
  advance(out.transitions, now, wall, &out.readings);
  return out;
}

std::optional<MonoTime> Engine::next_due() const {
  return due_.next();
}

// ---- what operators do ----------------------------------------------------------------------------------------------

Asked<std::size_t> Engine::find(std::string_view alarm) const {
  if (const auto found = index_of(alarm, alarms_, alarms_by_id_)) return *found;
  std::vector<std::string> ids;
  for (const auto& each : alarms_) ids.push_back(each.rule().id);
  const auto near = config::nearest(alarm, ids);
  const auto text = texts::no_such_alarm(alarm);
  return refuse(Errc::not_found, near ? texts::perhaps(text, *near) : text);
}

Asked<Alarm> Engine::acknowledge(std::string_view alarm, std::optional<std::uint64_t> occurrence, MonoTime now) {
  const auto found = find(alarm);
  if (!found) return tl::unexpected(found.error());
  auto result = alarms_[*found].acknowledge(occurrence, now);
  note(*found);
  return result;
}

namespace {

Asked<void> check_length(Millis length, Millis longest) {
  if (length >= Engine::kShortestAside && length <= longest) return {};
  return refuse(Errc::invalid,
                texts::length_out_of_range(hamlet::to_string(length), hamlet::to_string(Engine::kShortestAside),
                                           hamlet::to_string(longest)));
}

}  // namespace

Asked<std::vector<Alarm>> Engine::shelve(std::string_view alarm, PutAside how, MonoTime now) {
  const auto found = find(alarm);
  if (!found) return tl::unexpected(found.error());
  if (auto fits = check_length(how.length, kLongestShelving); !fits) return tl::unexpected(fits.error());
  Transitions out;
  gather(out, *found, alarms_[*found].shelve(std::move(how), now));
  return out;
}

Asked<std::vector<Alarm>> Engine::unshelve(std::string_view alarm, MonoTime now) {
  const auto found = find(alarm);
  if (!found) return tl::unexpected(found.error());
  const auto* shelved = alarms_[*found].shelved();
  if (shelved == nullptr || !*shelved) return refuse(Errc::invalid, texts::not_shelved(alarm));
  Transitions out;
  gather(out, *found, alarms_[*found].unshelve(now));
  return out;
}

Asked<std::vector<Alarm>> Engine::take_out_of_service(std::string_view alarm, PutAside how, MonoTime now) {
  const auto found = find(alarm);
  if (!found) return tl::unexpected(found.error());
  Transitions out;
  gather(out, *found, alarms_[*found].take_out_of_service(std::move(how), now));
  return out;
}

Asked<std::vector<Alarm>> Engine::put_in_service(std::string_view alarm, MonoTime now) {
  const auto found = find(alarm);
  if (!found) return tl::unexpected(found.error());
  const auto* out_of_service = alarms_[*found].out_of_service();
  if (out_of_service == nullptr || !*out_of_service) {
    return refuse(Errc::invalid, texts::in_service(alarm));
  }
  Transitions out;
  gather(out, *found, alarms_[*found].put_in_service(now));
  return out;
}

bool Engine::has_device(const AlarmRule& rule, std::string_view device) const {
  if (device == kWholeBox) return true;
  const auto sources = rule.sources();
  return std::any_of(sources.begin(), sources.end(),
                     [&](const auto& source) { return source.substr(0, source.find('.')) == device; });
}

void Engine::maintain(Transitions& all, std::size_t alarm, MonoTime now) {
  const bool in_maintenance = std::any_of(maintenance_.begin(), maintenance_.end(), [&](const auto& each) {
    return has_device(alarms_[alarm].rule(), each.first);
  });
  gather(all, alarm, alarms_[alarm].maintain(in_maintenance, now));
}

Asked<std::vector<Alarm>> Engine::begin_maintenance(std::string_view device, PutAside how, MonoTime now) {
  if (auto fits = check_length(how.length, kLongestMaintenance); !fits) return tl::unexpected(fits.error());
  const bool known = std::any_of(alarms_.begin(), alarms_.end(),
                                 [&](const auto& alarm) { return has_device(alarm.rule(), device); });
  if (!known) return refuse(Errc::not_found, texts::no_alarm_watches(device));
  how.until = now + how.length;
  maintenance_.insert_or_assign(std::string{device}, std::move(how));
  shared_changed_ = true;
  due_.arm(shared_timer(), *shared_due());
  Transitions out;
  for (std::size_t i = 0; i < alarms_.size(); ++i) maintain(out, i, now);
  return out;
}

Asked<std::vector<Alarm>> Engine::end_maintenance(std::string_view device, MonoTime now) {
  const auto found = maintenance_.find(device);
  if (found == maintenance_.end()) return refuse(Errc::invalid, texts::not_in_maintenance(device));
  maintenance_.erase(found);
  shared_changed_ = true;
  Transitions out;
  for (std::size_t i = 0; i < alarms_.size(); ++i) maintain(out, i, now);
  return out;
}

void Engine::end_due_maintenance(Transitions& all, MonoTime now) {
  const auto ended = std::erase_if(maintenance_, [&](const auto& each) {
    const bool over = each.second.until && *each.second.until <= now;
    if (over) notices_.push_back({.kind = Notice::Kind::maintenance_ends, .at = now, .about = each.first});
    return over;
  });
  if (ended == 0) return;
  shared_changed_ = true;
  for (std::size_t i = 0; i < alarms_.size(); ++i) maintain(all, i, now);
}

Asked<Standing> Engine::standing(std::string_view alarm) const {
  const auto found = find(alarm);
  if (!found) return tl::unexpected(found.error());
  const auto& track = alarms_[*found];
  Standing out{.alarm = track.alarm(), .rule = &track.rule()};
  if (const auto* shelved = track.shelved()) out.shelved = *shelved;
  if (const auto* out_of_service = track.out_of_service()) out.out_of_service = *out_of_service;
  out.by_design = track.by_design();
  out.maintenance = track.in_maintenance();
  out.hushed = track.hushed();
  out.chatters = track.chatters();
  return out;
}

std::vector<Alarm> Engine::alarms() const {
  std::vector<Alarm> out;
  out.reserve(alarms_.size());
  for (const auto& alarm : alarms_) out.push_back(alarm.alarm());
  return out;
}

std::vector<std::string> Engine::orphans() const {
  std::vector<std::string> out;
  for (const auto& [id, stored] : orphans_) out.push_back(id);
  return out;
}

std::vector<std::pair<std::string, std::string>> Engine::save_changed() {
  std::vector<std::pair<std::string, std::string>> out;
  for (const auto i : changed_) {
    out.emplace_back(std::string{kKeyPrefix} + alarms_[i].rule().id, save_alarm(i));
  }
  changed_.clear();
  if (std::exchange(shared_changed_, false)) out.emplace_back(std::string{kSharedKey}, save_shared());
  return out;
}

std::vector<std::pair<std::string, std::string>> Engine::save_detectors() {
  std::vector<std::pair<std::string, std::string>> out;
  for (auto& point : points_) {
    const auto& detector = point.quality.detector();
    if (!detector || detector->samples() == point.saved_samples) continue;
    point.saved_samples = detector->samples();
    out.emplace_back(fmt::format("{}{}", kDetectorPrefix, point.quality.rule().point),
                     nlohmann::json{{"boot", boot_}, {"learned", detector->save()}}.dump());
  }
  return out;
}

std::optional<PointState> Engine::point_state(std::string_view point) const {
  const auto found = find_point(point);
  if (!found) return {};
  const auto& quality = points_[*found].quality;
  PointState out{.tests = tests_of(quality.rule()), .waits_for_clock = quality.waits_for_clock()};
  if (const auto& detector = quality.detector()) {
    out.detector = PointState::Learning{detector->samples(), detector->learned_for(), detector->ready()};
  }
  return out;
}

}  // namespace hamlet::detect
