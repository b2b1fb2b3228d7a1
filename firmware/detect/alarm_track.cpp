#include "firmware/detect/alarm_track.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace hamlet::detect {
namespace {

using Json = nlohmann::json;

// Far beyond any uptime, and safe to add to.
constexpr auto kLatest = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max() / 4);

std::optional<std::uint64_t> whole(const Json& object, const char* key, std::uint64_t max) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number_unsigned() || found->get<std::uint64_t>() > max) return {};
  return found->get<std::uint64_t>();
}

std::optional<Moment> moment(const Json& object) {
  const auto boot = whole(object, "boot", std::numeric_limits<std::uint32_t>::max());
  const auto mono = whole(object, "mono", kLatest);
  if (!boot || !mono) return {};
  return Moment{static_cast<std::uint32_t>(*boot), mono_from_ms(static_cast<std::int64_t>(*mono))};
}

Value value_of(const Json& json) {
  if (json.is_boolean()) return json.get<bool>();
  if (json.is_string()) return json.get<std::string>();
  if (json.is_number() && std::isfinite(json.get<double>())) return json.get<double>();
  return {};
}

// The states that this version gives an alarm; what a later version has added is not understood.
std::optional<AlarmState> state_of(const Json& json) {
  if (!json.is_string()) return {};
  for (const auto state : {AlarmState::normal, AlarmState::unacked, AlarmState::acked, AlarmState::returned}) {
    if (json.get_ref<const std::string&>() == to_string(state)) return state;
  }
  return {};
}

Json to_json(Moment at) {
  return {{"boot", at.boot}, {"mono", to_ms(at.mono)}};
}

}  // namespace

double TrailingMinimum::add(MonoTime at, double x) {
  while (!entries_.empty() && entries_.back().value >= x) entries_.pop_back();
  if (!entries_.empty() && at - entries_.back().first < granule_) {
    entries_.back().last = at;
  } else {
    entries_.push_back({at, at, x});
  }
  while (entries_.front().last < at - window_) entries_.pop_front();
  return entries_.front().value;
}

AlarmTrack::AlarmTrack(AlarmRule rule, std::uint32_t boot) : rule_{std::move(rule)}, boot_{boot} {
  alarm_.id = rule_.id;
  alarm_.severity = rule_.severity;
  alarm_.limit = rule_.limit;
  alarm_.text = rule_.text;
  alarm_.sources = {rule_.point};
  if (rule_.condition == Condition::rise || rule_.condition == Condition::fall) window_.emplace(rule_.within);
}

// Whether the condition stands: against the limit where the alarm is to be raised, against limit and deadband where it
// is to return. Nothing where the value is of a type that cannot be compared.
std::optional<bool> AlarmTrack::holds(MonoTime at, const Value& value) {
  if (rule_.condition == Condition::equals) {
    if (value.index() != rule_.limit.index()) return {};
    return value == rule_.limit;
  }
  const auto* x = std::get_if<double>(&value);
  const auto* limit = std::get_if<double>(&rule_.limit);
  if (x == nullptr || limit == nullptr) return {};
  const double back = raised() ? rule_.deadband : 0;
  switch (rule_.condition) {
    case Condition::above:
      return *x > *limit - back;
    case Condition::below:
      return *x < *limit + back;
    case Condition::rise:
      return *x - window_->add(at, *x) > *limit - back;
    case Condition::fall:
      return -*x - window_->add(at, -*x) > *limit - back;
    case Condition::equals:
      break;
  }
  return {};
}

std::optional<Alarm> AlarmTrack::settle(MonoTime now) {
  if (!delay_ || !delay_->due || *delay_->due > now) return {};
  return turn(*delay_->due);
}

std::optional<Alarm> AlarmTrack::observe(MonoTime at, const Value& value) {
  at = not_before_last_change(at);
  const auto stands = holds(at, value);
  if (!stands) {
    hold(at);
    return {};
  }
  last_value_ = value;
  if (*stands == raised()) {
    if (delay_) set_delay({});
    return {};
  }
  if (!delay_) {
    set_delay(Delay{at + (raised() ? rule_.off_delay : rule_.on_delay), {}});
  } else if (!delay_->due) {
    set_delay(Delay{at + delay_->left, {}});
  }
  return settle(at);
}

void AlarmTrack::hold(MonoTime at) {
  if (!delay_ || !delay_->due) return;
  set_delay(Delay{std::nullopt, std::max(Millis{0}, *delay_->due - at)});
}

void AlarmTrack::prime(MonoTime at, const Value& value) {
  if (holds(at, value)) last_value_ = value;
}

std::optional<MonoTime> AlarmTrack::due() const {
  return delay_ ? delay_->due : std::nullopt;
}

Result<Alarm> AlarmTrack::acknowledge(std::optional<std::uint64_t> occurrence, MonoTime now) {
  if (occurrence && *occurrence != alarm_.occurrence) {
    return fail(Errc::invalid, fmt::format("alarm '{}' is at occurrence {}, not {}; look at it again", rule_.id,
                                           alarm_.occurrence, *occurrence));
  }
  if (alarm_.state == AlarmState::unacked) return change(AlarmState::acked, now);
  if (alarm_.state == AlarmState::returned) return change(AlarmState::normal, now);
  return fail(Errc::invalid,
              fmt::format("alarm '{}' is {}; there is nothing to acknowledge", rule_.id, to_string(alarm_.state)));
}

MonoTime AlarmTrack::not_before_last_change(MonoTime at) const {
  return alarm_.since.boot == boot_ ? std::max(at, alarm_.since.mono) : at;
}

void AlarmTrack::set_delay(std::optional<Delay> delay) {
  delay_ = delay;
  changed_ = true;
}

Alarm AlarmTrack::change(AlarmState state, MonoTime at) {
  alarm_.since = {boot_, not_before_last_change(at)};
  alarm_.state = state;
  changed_ = true;
  return alarm_;
}

// To the other side: raised, or returned.
Alarm AlarmTrack::turn(MonoTime at) {
  set_delay({});
  alarm_.value = last_value_;
  alarm_.limit = rule_.limit;
  if (raised()) return change(alarm_.state == AlarmState::acked ? AlarmState::normal : AlarmState::returned, at);
  ++alarm_.occurrence;
  return change(AlarmState::unacked, at);
}

std::string AlarmTrack::save() const {
  Json out{{"alarm", alarm_.id},
           {"occurrence", alarm_.occurrence},
           {"state", to_string(alarm_.state)},
           {"severity", to_string(alarm_.severity)},
           {"since", to_json(alarm_.since)},
           {"value", hamlet::to_json(alarm_.value)},
           {"limit", hamlet::to_json(alarm_.limit)},
           {"text", {{"zh", alarm_.text.zh}, {"en", alarm_.text.en}}},
           {"sources", alarm_.sources}};
  if (delay_) {
    out["_value"] = hamlet::to_json(last_value_);
    if (delay_->due) {
      out["_due"] = to_json(Moment{boot_, *delay_->due});
    } else {
      out["_left"] = delay_->left.count();
    }
  }
  // A text from a device may be any bytes.
  return out.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Status AlarmTrack::restore(std::string_view stored) {
  const auto json = Json::parse(stored, nullptr, false);
  const auto damaged = [&](std::string_view what) {
    return fail(Errc::corrupt, fmt::format("stored state of alarm '{}': {}; the alarm starts afresh", rule_.id, what));
  };
  if (!json.is_object()) return damaged("this is no JSON object");
  const auto member = [&](const char* key) { return json.contains(key) ? json[key] : Json{}; };
  const auto state = state_of(member("state"));
  const auto occurrence = whole(json, "occurrence", kLatest);
  const auto since = moment(member("since"));
  if (member("alarm") != rule_.id) return damaged("it is of another alarm");
  if (!state) return damaged("its state is unknown");
  if (!occurrence || (*occurrence == 0 && *state != AlarmState::normal)) return damaged("its occurrence is wrong");
  if (!since) return damaged("its time is wrong");

  alarm_.state = *state;
  alarm_.occurrence = *occurrence;
  alarm_.since = *since;
  alarm_.value = value_of(member("value"));
  if (*state != AlarmState::normal) alarm_.limit = value_of(member("limit"));
  last_value_ = json.contains("_value") ? value_of(json["_value"]) : alarm_.value;
  delay_.reset();
  if (const auto due = moment(member("_due")); due && due->boot == boot_) {
    delay_ = Delay{due->mono, {}};
  } else if (const auto left = whole(json, "_left", kLatest)) {
    delay_ = Delay{std::nullopt, Millis{static_cast<std::int64_t>(*left)}};
  }
  return {};
}

}  // namespace hamlet::detect
