#include "firmware/detect/alarm_track.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "firmware/detect/detector.hpp"
#include "firmware/detect/texts.hpp"

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

std::optional<AlarmState> state_of(const Json& json) {
  if (!json.is_string()) return {};
  for (const auto state : {AlarmState::normal, AlarmState::unacked, AlarmState::acked, AlarmState::returned,
                           AlarmState::shelved, AlarmState::suppressed, AlarmState::out_of_service}) {
    if (json.get_ref<const std::string&>() == to_string(state)) return state;
  }
  return {};
}

Json to_json(Moment at) {
  return {{"boot", at.boot}, {"mono", to_ms(at.mono)}};
}

std::string text_of(Moment at) {
  return "{\"boot\":" + fmt::to_string(at.boot) + ",\"mono\":" + fmt::to_string(to_ms(at.mono)) + '}';
}

// JSON, which what is plain ASCII needs only quotes for. A text from a device may be any bytes.
std::string in_quotes(std::string_view text) {
  const auto plain = [](char c) { return c >= ' ' && c <= '~' && c != '"' && c != '\\'; };
  if (std::all_of(text.begin(), text.end(), plain)) return std::string{'"'}.append(text) + '"';
  return Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string text_of(const Value& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return in_quotes(*text);
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  const auto* number = std::get_if<double>(&value);
  if (number == nullptr) return "null";
  auto out = fmt::to_string(*number);
  if (out.find_first_of(".e") == std::string::npos) out += ".0";  // a whole number is read back as one, and -0 as 0
  return out;
}

}  // namespace

Json to_json(const PutAside& aside, std::uint32_t boot) {
  Json out{{"for", aside.length.count()}, {"by", aside.by}, {"reason", aside.reason}};
  if (aside.until) out["until"] = to_json(Moment{boot, *aside.until});
  if (aside.until_wall) out["wall"] = to_ms(*aside.until_wall);
  return out;
}

std::optional<PutAside> aside_of(const Json& json, std::uint32_t boot) {
  if (!json.is_object()) return {};
  PutAside out;
  const auto text = [&](const char* key) {
    const auto found = json.find(key);
    return found != json.end() && found->is_string() ? found->get<std::string>() : std::string{};
  };
  out.by = text("by");
  out.reason = text("reason");
  out.length = Millis{static_cast<std::int64_t>(whole(json, "for", kLatest).value_or(0))};
  if (const auto wall = whole(json, "wall", kLatest)) out.until_wall = wall_from_ms(static_cast<std::int64_t>(*wall));
  const auto until = json.find("until");
  const auto at = until == json.end() ? std::nullopt : moment(*until);
  if (at && at->boot == boot) out.until = at->mono;
  return out;
}

bool resume(PutAside& aside, MonoTime now, std::optional<WallTime> wall) {
  if (aside.length <= Millis{0} || (aside.until && !(aside.foreign && wall && aside.until_wall))) return false;
  auto left = aside.length;
  if (wall && aside.until_wall) left = std::clamp(*aside.until_wall - *wall, Millis{0}, aside.length);
  aside.until = now + left;
  aside.foreign = !wall;
  return true;
}

inline double TrailingMinimum::add(MonoTime at, double x, Millis window) {
  lows_.drop_before(to_ms(at - window));
  lows_.add(to_ms(at), x, window.count() / 128);
  return lows_[0].value;
}

AlarmTrack::AlarmTrack(AlarmRule rule, std::uint32_t boot) : rule_{std::move(rule)}, boot_{boot} {}

Alarm AlarmTrack::alarm() const {
  return {.id = rule_.id,
          .occurrence = occurrence_,
          .state = state(),
          .severity = rule_.severity,
          .since = since_,
          .value = value_,
          .limit = limits_ ? limits_->shown : rule_.limit,
          .text = rule_.text,
          .sources = rule_.sources()};
}

AlarmState AlarmTrack::state() const {
  if (aside_ && aside_->out) return AlarmState::out_of_service;
  if (aside_ && aside_->shelved) return AlarmState::shelved;
  return by_design_ || maintenance_ || hushed_ ? AlarmState::suppressed : state_;
}

// The lowest and the highest limit that may be meant: by season they are known while the clock is.
inline std::pair<double, double> AlarmTrack::limits(double limit, std::optional<WallTime> wall) const {
  if (!wall) {
    std::pair out{limit, limit};
    for (const auto& season : rule_.seasons)
      out = {std::min(out.first, season.limit), std::max(out.second, season.limit)};
    return out;
  }
  const auto local = local_time(*wall);
  const auto within = [](int value, int first, int last) {
    return first <= last ? value >= first && value <= last : value >= first || value <= last;
  };
  const auto& seasons = rule_.seasons;
  const auto season = std::find_if(seasons.rbegin(), seasons.rend(), [&](const auto& each) {
    return within(local.month, each.first_month, each.last_month) && within(local.hour, each.first_hour, each.last_hour);
  });
  if (season != seasons.rend()) limit = season->limit;
  return {limit, limit};
}

// Whether the condition stands: against the limit where the alarm is to be raised, against limit and deadband where it
// is to return. Nothing where the value is of a type that cannot be compared, or it depends on the season and the clock
// is unset.
inline std::optional<bool> AlarmTrack::holds(MonoTime at, const Value& value, std::optional<WallTime> wall) {
  if (rule_.condition == Condition::equals) {
    if (value.index() != rule_.limit.index()) return {};
    return value == rule_.limit;
  }
  const auto* x = std::get_if<double>(&value);
  const auto* limit = std::get_if<double>(&rule_.limit);
  if (x == nullptr || limit == nullptr) return {};
  const double back = raised() ? rule_.deadband : 0;
  if (rule_.condition == Condition::rise) return *x - window_.add(at, *x, rule_.within) > *limit - back;
  if (rule_.condition == Condition::fall) return -*x - window_.add(at, -*x, rule_.within) > *limit - back;
  const bool above = rule_.condition == Condition::above;
  if (rule_.seasons.empty()) return above ? *x > *limit - back : *x < *limit + back;
  const auto [low, high] = limits(*limit, wall);
  if (low == high) set_last_limit(low);
  const bool surely = above ? *x > high - back : *x < low + back;
  const bool perhaps = above ? *x > low - back : *x < high + back;
  return surely == perhaps ? std::optional{surely} : std::nullopt;
}

std::vector<Alarm> AlarmTrack::settle(MonoTime now) {
  std::vector<Alarm> out;
  const auto add = [&](std::vector<Alarm> more) {
    out.insert(out.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
  };
  for (auto next = due(); next && *next <= now; next = due()) {
    const bool shelving = aside_ && aside_->shelved && aside_->shelved->until == next;
    add(shelving ? unshelve(*next) : turn(*next));
  }
  return out;
}

std::vector<Alarm> AlarmTrack::observe(MonoTime at, const Value& value, std::optional<WallTime> wall) {
  at = not_before_last_change(at);
  return follow(at, holds(at, value, wall), value);
}

std::vector<Alarm> AlarmTrack::observe(MonoTime at, std::optional<bool> stands, const Value& value,
                                       const Value& limit) {
  if (stands) set_last_limit(limit);
  return follow(not_before_last_change(at), stands, value);
}

std::vector<Alarm> AlarmTrack::follow(MonoTime at, std::optional<bool> stands, const Value& value) {
  last_stood_ = stands;
  if (!stands) {
    hold(at);
    return {};
  }
  assign(last_value_, value);
  if (unjudged()) return {};
  if (*stands == raised()) {
    if (delay_) set_delay({});
    return {};
  }
  if (!delay_) {
    const auto off_delay = chatters_ ? std::max(rule_.off_delay, kChatterDelay) : rule_.off_delay;
    set_delay(Delay{at + (raised() ? off_delay : rule_.on_delay), {}});
  } else if (!delay_->due) {
    set_delay(Delay{at + delay_->left, {}});
  }
  return settle(at);
}

void AlarmTrack::hold(MonoTime at) {
  last_stood_.reset();
  if (!delay_ || !delay_->due) return;
  set_delay(Delay{std::nullopt, std::max(Millis{0}, *delay_->due - at)});
}

void AlarmTrack::prime(MonoTime at, const Value& value, std::optional<WallTime> wall) {
  last_stood_ = holds(at, value, wall);
  if (last_stood_) last_value_ = value;
}

std::optional<MonoTime> AlarmTrack::due() const {
  auto out = delay_ ? delay_->due : std::nullopt;
  if (aside_ && aside_->shelved && aside_->shelved->until && (!out || *aside_->shelved->until < *out)) {
    out = aside_->shelved->until;
  }
  return out;
}

Asked<Alarm> AlarmTrack::acknowledge(std::optional<std::uint64_t> occurrence, MonoTime now) {
  if (occurrence && *occurrence != occurrence_) {
    return refuse(Errc::invalid, texts::other_occurrence(rule_.id, occurrence_, *occurrence));
  }
  const auto shown = state();
  if (shown == AlarmState::unacked) return change(AlarmState::acked, now).front();
  if (shown == AlarmState::returned) return change(AlarmState::normal, now).front();
  return refuse(Errc::invalid, texts::nothing_to_acknowledge(rule_.id, shown));
}

MonoTime AlarmTrack::not_before_last_change(MonoTime at) const {
  return since_.boot == boot_ ? std::max(at, since_.mono) : at;
}

void AlarmTrack::set_delay(std::optional<Delay> delay) {
  delay_ = delay;
  changed_ = true;
}

void AlarmTrack::set_last_limit(const Value& limit) {
  if (limits_) {
    limits_->last = limit;
  } else if (limit != rule_.limit) {
    limits_ = std::make_unique<Limits>(Limits{rule_.limit, limit});
  }
}

// What stands before the state hides its changes.
std::vector<Alarm> AlarmTrack::change(AlarmState state, MonoTime at) {
  const auto shown = this->state();
  state_ = state;
  changed_ = true;
  if (!raised()) hushed_ = false;
  if (this->state() == shown && shown != state) return {};
  since_ = {boot_, not_before_last_change(at)};
  return {alarm()};
}

// To the other side: raised, or returned.
std::vector<Alarm> AlarmTrack::turn(MonoTime at) {
  set_delay({});
  value_ = last_value_;
  if (limits_) limits_->shown = limits_->last;
  if (raised()) {
    chatters_ = false;
    const bool seen = state() == state_;
    return change(state_ == AlarmState::acked || !seen ? AlarmState::normal : AlarmState::returned, at);
  }
  ++occurrence_;
  note_raised(at);
  return change(AlarmState::unacked, at);
}

void AlarmTrack::note_raised(MonoTime at) {
  if (occurrence_ > 2 && raised_at_[0] != MonoTime{} && at - raised_at_[0] <= kChatterWithin && !chatters_) {
    chatters_ = true;
    chatter_news_ = true;
  }
  raised_at_ = {raised_at_[1], at};
}

// ---- what stands before it ------------------------------------------------------------------------------------------

AlarmTrack::Aside& AlarmTrack::aside() {
  if (!aside_) aside_ = std::make_unique<Aside>();
  return *aside_;
}

template <class Set>
std::vector<Alarm> AlarmTrack::put(MonoTime at, Set set) {
  at = not_before_last_change(at);
  const auto shown = state();
  const bool judged = !unjudged();
  set();
  if (aside_ && !aside_->shelved && !aside_->out) aside_.reset();
  changed_ = true;
  if (unjudged() && judged) {
    if (raised()) stand_without_deadband();
    state_ = AlarmState::normal;
    chatters_ = false;
    hushed_ = false;
    set_delay({});
  }
  const bool anew = !judged && !unjudged();
  std::vector<Alarm> out;
  if (state() != shown) {
    since_ = {boot_, at};
    out.push_back(alarm());
  }
  if (anew && last_stood_) {
    for (auto& more : follow(at, last_stood_, Value{last_value_})) out.push_back(std::move(more));
  }
  return out;
}

// The deadband keeps what is raised, and raises nothing anew.
void AlarmTrack::stand_without_deadband() {
  const auto* x = std::get_if<double>(&last_value_);
  const auto* limit = std::get_if<double>(&last_limit());
  if (rule_.deadband == 0 || !last_stood_.value_or(false) || x == nullptr || limit == nullptr) return;
  if (rule_.condition == Condition::above) {
    last_stood_ = *x > *limit;
  } else if (rule_.condition == Condition::below) {
    last_stood_ = *x < *limit;
  } else {
    last_stood_.reset();  // of rise and fall the next reading tells
  }
}

std::vector<Alarm> AlarmTrack::shelve(PutAside how, MonoTime now) {
  how.until = not_before_last_change(now) + how.length;
  return put(now, [&] { aside().shelved = std::move(how); });
}
std::vector<Alarm> AlarmTrack::unshelve(MonoTime now) {
  if (!aside_ || !aside_->shelved) return {};
  return put(now, [&] { aside_->shelved.reset(); });
}
std::vector<Alarm> AlarmTrack::take_out_of_service(PutAside how, MonoTime now) {
  return put(now, [&] { aside().out = std::move(how); });
}
std::vector<Alarm> AlarmTrack::put_in_service(MonoTime now) {
  if (!aside_ || !aside_->out) return {};
  return put(now, [&] { aside_->out.reset(); });
}
std::vector<Alarm> AlarmTrack::suppress(bool by_design, MonoTime now) {
  if (by_design_ == by_design) return {};
  return put(now, [&] { by_design_ = by_design; });
}
std::vector<Alarm> AlarmTrack::maintain(bool in_maintenance, MonoTime now) {
  if (maintenance_ == in_maintenance) return {};
  return put(now, [&] { maintenance_ = in_maintenance; });
}
std::vector<Alarm> AlarmTrack::hush(bool hushed, MonoTime now) {
  if (hushed_ == hushed) return {};
  return put(now, [&] { hushed_ = hushed; });
}

void AlarmTrack::resume(MonoTime now, std::optional<WallTime> wall) {
  if (aside_ && aside_->shelved && hamlet::detect::resume(*aside_->shelved, now, wall)) changed_ = true;
}

// ---- what is kept ---------------------------------------------------------------------------------------------------

// An object of the contract's fields, after them in order of the alphabet what is ours. Written at each change: by hand.
std::string AlarmTrack::save() const {
  const auto dump = [](const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace); };
  std::string out;
  out.reserve(512);
  const auto add = [&out](std::string_view key, std::string_view value) {
    out += out.empty() ? '{' : ',';
    ((out += '"') += key) += "\":";
    out += value;
  };
  if (by_design_) add("_by_design", "true");
  if (chatters_) add("_chatters", "true");
  if (delay_ && delay_->due) add("_due", text_of({boot_, *delay_->due}));
  if (hushed_) add("_hushed", "true");
  if (aside_ || by_design_ || maintenance_ || hushed_) add("_inner", in_quotes(to_string(state_)));
  if (delay_ && !delay_->due) add("_left", fmt::to_string(delay_->left.count()));
  if (delay_ && (rule_.condition == Condition::when || !rule_.seasons.empty())) {
    add("_limit", text_of(last_limit()));
  }
  if (maintenance_) add("_maintenance", "true");
  if (aside_ && aside_->out) add("_out", dump(to_json(*aside_->out, boot_)));
  if (raised_at_[1] != MonoTime{}) {
    add("_raised", "{\"boot\":" + fmt::to_string(boot_) + ",\"ms\":[" + fmt::to_string(to_ms(raised_at_[0])) + ',' +
                       fmt::to_string(to_ms(raised_at_[1])) + "]}");
  }
  if (aside_ && aside_->shelved) add("_shelved", dump(to_json(*aside_->shelved, boot_)));
  if (delay_) add("_value", text_of(last_value_));
  add("alarm", in_quotes(rule_.id));
  add("limit", text_of(limits_ ? limits_->shown : rule_.limit));
  add("occurrence", fmt::to_string(occurrence_));
  add("severity", in_quotes(to_string(rule_.severity)));
  add("since", text_of(since_));
  std::string sources;
  for (const auto& source : rule_.sources()) (sources += sources.empty() ? '[' : ',') += in_quotes(source);
  add("sources", sources += ']');
  add("state", in_quotes(to_string(state())));
  add("text", "{\"en\":" + in_quotes(rule_.text.en) + ",\"zh\":" + in_quotes(rule_.text.zh) + '}');
  add("value", text_of(value_));
  return out += '}';
}

Status AlarmTrack::restore(std::string_view stored) {
  const auto json = Json::parse(stored, nullptr, false);
  const auto damaged = [&](std::string_view what) {
    return fail(Errc::corrupt, fmt::format("stored state of alarm '{}': {}; the alarm starts afresh", rule_.id, what));
  };
  if (!json.is_object()) return damaged("this is no JSON object");
  const auto member = [&](const char* key) { return json.contains(key) ? json[key] : Json{}; };
  const auto shown = state_of(member("state"));
  const auto inner = state_of(json.contains("_inner") ? json["_inner"] : member("state"));
  const auto occurrence = whole(json, "occurrence", kLatest);
  const auto since = moment(member("since"));
  const auto is_inner = [](AlarmState state) { return state == AlarmState::normal || is_active(state); };
  if (member("alarm") != rule_.id) return damaged("it is of another alarm");
  if (!shown || !inner || !is_inner(*inner)) return damaged("its state is unknown");
  if (!occurrence || (*occurrence == 0 && *inner != AlarmState::normal)) return damaged("its occurrence is wrong");
  if (!since) return damaged("its time is wrong");

  state_ = *inner;
  occurrence_ = *occurrence;
  since_ = *since;
  value_ = value_of(member("value"));
  const bool has_own_limit = rule_.condition != Condition::when && rule_.seasons.empty();
  limits_.reset();
  if (auto limit = value_of(member("limit"));
      (*inner != AlarmState::normal || !has_own_limit) && limit != rule_.limit) {
    limits_ = std::make_unique<Limits>(Limits{std::move(limit), rule_.limit});
  }
  last_value_ = json.contains("_value") ? value_of(json["_value"]) : value_;
  if (json.contains("_limit")) set_last_limit(value_of(json["_limit"]));
  delay_.reset();
  if (const auto due = moment(member("_due")); due && due->boot == boot_) {
    delay_ = Delay{due->mono, {}};
  } else if (const auto left = whole(json, "_left", kLatest)) {
    delay_ = Delay{std::nullopt, Millis{static_cast<std::int64_t>(*left)}};
  }
  raised_at_ = {};
  const auto raised = member("_raised");
  if (raised.is_object() && raised.value("boot", Json{}) == boot_ && raised.value("ms", Json{}).is_array()) {
    const auto& ms = raised["ms"];
    for (std::size_t i = 0; i < raised_at_.size() && i < ms.size(); ++i) {
      if (ms[i].is_number_integer()) raised_at_[i] = mono_from_ms(ms[i].get<std::int64_t>());
    }
  }
  chatters_ = member("_chatters") == true;
  Aside aside{.shelved = aside_of(member("_shelved"), boot_), .out = aside_of(member("_out"), boot_)};
  aside_ = aside.shelved || aside.out ? std::make_unique<Aside>(std::move(aside)) : nullptr;
  by_design_ = member("_by_design") == true;
  maintenance_ = member("_maintenance") == true;
  hushed_ = member("_hushed") == true;
  return {};
}

}  // namespace hamlet::detect
