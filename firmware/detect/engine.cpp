#include "firmware/detect/engine.hpp"

#include <algorithm>
#include <iterator>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "firmware/config/config.hpp"
#include "firmware/core/id.hpp"

namespace hamlet::detect {
namespace {

constexpr std::string_view kKeyPrefix = "alarm/";
constexpr std::string_view kDetectorPrefix = "detect/";
constexpr Millis kDetectorHistory = std::chrono::hours{1};  // as often, at least, are detectors saved

bool counts(const Reading& reading) {
  return reading.quality == Quality::good || reading.quality == Quality::suspect;
}

void append(std::vector<Alarm>& to, std::vector<Alarm> from) {
  to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
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
      const auto self = point_by_name_.at(point.quality.rule().point);
      const auto other = point_index(neighbour->point);  // may move all points
      points_[self].neighbour = other;
    }
  }
  for (auto& rule : rules.alarms) {
    points_[point_index(rule.point)].alarms.push_back(alarms_.size());
    alarm_by_id_.emplace(rule.id, alarms_.size());
    alarms_.emplace_back(std::move(rule), boot_);
  }
  due_.reset(alarms_.size() + points_.size());
}

std::size_t Engine::point_index(const std::string& name) {
  const auto [found, added] = point_by_name_.emplace(name, points_.size());
  if (added) points_.push_back({PointQuality{QualityRule{.point = name}}});
  return found->second;
}

// After every step of an alarm: it may have to be saved, and may have a new time to be looked at.
void Engine::note(std::size_t alarm) {
  if (alarms_[alarm].take_changed()) changed_.insert(alarm);
  if (const auto due = alarms_[alarm].due()) due_.arm(alarm, *due);
}

PointQuality::Context Engine::context(const Point& point, std::optional<WallTime> wall) const {
  return {wall, point.neighbour ? &points_[*point.neighbour].quality : nullptr};
}

Status Engine::restore_detector(std::string_view name, std::string_view value) {
  const auto found = point_by_name_.find(name);
  if (found == point_by_name_.end() || !points_[found->second].quality.detector()) {
    return fail(Errc::not_found, fmt::format("no detector is configured for '{}'", name));
  }
  auto& point = points_[found->second];
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
  if (key.starts_with(kDetectorPrefix)) return restore_detector(key.substr(kDetectorPrefix.size()), value);
  if (!key.starts_with(kKeyPrefix) || !is_id(key.substr(kKeyPrefix.size()))) {
    return fail(Errc::invalid, fmt::format("'{}' is no key of an alarm's state", key));
  }
  const auto id = key.substr(kKeyPrefix.size());
  const auto found = alarm_by_id_.find(id);
  if (found == alarm_by_id_.end()) {
    orphans_.insert_or_assign(std::string{id}, std::string{value});
    return {};
  }
  auto& alarm = alarms_[found->second];
  auto status = alarm.restore(value);
  if (alarm.save() != value) changed_.insert(found->second);
  note(found->second);
  return status;
}

void Engine::prime(const Reading& reading, std::optional<WallTime> wall) {
  const auto found = point_by_name_.find(reading.point);
  if (found == point_by_name_.end()) return;
  auto& point = points_[found->second];
  if (point.quality.is_late(reading.at)) return;
  point.quality.prime(reading, context(point, wall));
  if (const auto due = point.quality.gap_due()) due_.arm(alarms_.size() + found->second, *due);
  if (!counts(reading)) return;
  for (const auto alarm : point.alarms) alarms_[alarm].prime(reading.at, reading.value);
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
  return 2 * longest;  // where all of the first half is missing, a flat line starts anew
}

void Engine::reload(Rules rules) {
  auto points = std::exchange(points_, {});
  auto point_by_name = std::exchange(point_by_name_, {});
  auto alarms = std::exchange(alarms_, {});
  auto alarm_by_id = std::exchange(alarm_by_id_, {});
  changed_.clear();
  build(std::move(rules));
  ticking_ = false;  // silence of points that are new counts from the next tick

  for (auto& alarm : alarms) orphans_.insert_or_assign(alarm.rule().id, alarm.save());
  for (std::size_t i = 0; i < alarms_.size(); ++i) {
    const auto& id = alarms_[i].rule().id;
    const auto old = alarm_by_id.find(id);
    const auto stored = orphans_.find(id);
    if (old != alarm_by_id.end() && alarms[old->second].rule().judges_as(alarms_[i].rule())) {
      alarms[old->second].reword(alarms_[i].rule());
      alarms_[i] = std::move(alarms[old->second]);
    } else if (stored != orphans_.end() && alarms_[i].restore(stored->second)) {
      alarms_[i].drop_delay();
    }
    if (stored != orphans_.end()) orphans_.erase(stored);
    changed_.insert(i);
    note(i);
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
    if (const auto due = quality.gap_due()) due_.arm(alarms_.size() + i, *due);
  }
}

// What has come due for one point's alarms up to `until`. Where the point has fallen silent meanwhile, its alarms are
// held from then on.
std::vector<Alarm> Engine::settle(const Point& point, MonoTime until) {
  const auto gap = point.quality.gap_due();
  const bool silent = gap && *gap <= until;
  std::vector<Alarm> transitions;
  for (const auto i : point.alarms) {
    if (auto changed = alarms_[i].settle(silent ? *gap : until)) transitions.push_back(std::move(*changed));
    if (silent) alarms_[i].hold(*gap);
    note(i);
  }
  return transitions;
}

Outcome Engine::evaluate(Reading reading, std::optional<WallTime> wall) {
  Outcome out{.reading = std::move(reading), .transitions = {}};
  normalise(out.reading);
  const auto found = point_by_name_.find(out.reading.point);
  if (found == point_by_name_.end()) return out;
  auto& point = points_[found->second];
  const auto at = out.reading.at;
  const bool late = point.quality.is_late(at);
  if (const auto next = due_.next(); !late && next && *next <= at) out.transitions = settle(point, at);
  auto judged = point.quality.judge(out.reading, context(point, wall));
  out.tests = judged.tests;
  if (late) return out;
  out.score = judged.score;
  out.anomalous = judged.score && *judged.score >= point.quality.rule().anomaly->threshold;
  out.spike_before = judged.spike;
  out.correction = std::move(judged.before);

  if (const auto due = point.quality.gap_due()) due_.arm(alarms_.size() + found->second, *due);
  for (const auto i : point.alarms) {
    if (!counts(out.reading)) {
      alarms_[i].hold(at);
    } else if (auto changed = alarms_[i].observe(at, out.reading.value)) {
      out.transitions.push_back(std::move(*changed));
    }
    note(i);
  }
  return out;
}

std::optional<MonoTime> Engine::due_of(std::size_t timer) const {
  if (timer < alarms_.size()) return alarms_[timer].due();
  return points_[timer - alarms_.size()].quality.gap_due();
}

Due Engine::tick(MonoTime now) {
  if (!ticking_) {
    ticking_ = true;
    for (std::size_t i = 0; i < points_.size(); ++i) {
      points_[i].quality.start(now);
      if (const auto due = points_[i].quality.gap_due()) due_.arm(alarms_.size() + i, *due);
    }
  }
  Due out;
  while (const auto timer = due_.pop(now)) {
    const auto due = due_of(timer->number);
    if (!due) continue;
    if (*due > timer->at) {  // put off meanwhile
      due_.arm(timer->number, *due);
    } else if (timer->number < alarms_.size()) {
      if (auto changed = alarms_[timer->number].settle(*due)) out.transitions.push_back(std::move(*changed));
      note(timer->number);
    } else {
      auto& point = points_[timer->number - alarms_.size()];
      append(out.transitions, settle(point, *due));
      out.readings.push_back(point.quality.tell_gap());
    }
  }
  return out;
}

std::optional<MonoTime> Engine::next_due() const {
  return due_.next();
}

Result<Alarm> Engine::acknowledge(std::string_view alarm, std::optional<std::uint64_t> occurrence, MonoTime now) {
  const auto found = alarm_by_id_.find(alarm);
  if (found == alarm_by_id_.end()) {
    std::vector<std::string> ids;
    for (const auto& each : alarms_) ids.push_back(each.rule().id);
    const auto near = config::nearest(alarm, ids);
    return fail(Errc::not_found,
                fmt::format("there is no alarm '{}'{}", alarm, near ? fmt::format("; did you mean '{}'?", *near) : ""));
  }
  auto result = alarms_[found->second].acknowledge(occurrence, now);
  note(found->second);
  return result;
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
    out.emplace_back(fmt::format("{}{}", kKeyPrefix, alarms_[i].rule().id), alarms_[i].save());
  }
  changed_.clear();
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
  const auto found = point_by_name_.find(point);
  if (found == point_by_name_.end()) return {};
  const auto& quality = points_[found->second].quality;
  PointState out{.tests = tests_of(quality.rule()), .waits_for_clock = quality.waits_for_clock()};
  if (const auto& detector = quality.detector()) {
    out.detector = PointState::Learning{detector->samples(), detector->learned_for(), detector->ready()};
  }
  return out;
}

}  // namespace hamlet::detect
