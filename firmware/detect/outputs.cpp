#include "firmware/detect/outputs.hpp"

#include <algorithm>
#include <array>
#include <chrono>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "firmware/detect/rules.hpp"
#include "firmware/detect/texts.hpp"

namespace hamlet::detect {
namespace {

using namespace std::chrono_literals;
using Json = nlohmann::json;

constexpr std::string_view kOutputKey = "output/";
constexpr Millis kRepeat = 1min;    // a repeatable output is told again
constexpr Millis kFirstRetry = 1s;  // doubled each time
constexpr Millis kLastRetry = 30s;
constexpr unsigned kTries = 3;         // of what is not repeatable
constexpr Millis kMessageRetry = 10s;  // doubled each time
constexpr Millis kMessageLastRetry = 5min;
constexpr unsigned kMessageTries = 8;
constexpr int kMostDelay = 3;  // so many times data_down, and a message goes whatever the link does

bool is_raised(AlarmState state) {
  return state == AlarmState::unacked || state == AlarmState::acked;
}

bool keeps_on(AlarmState state, Until until) {
  switch (until) {
    case Until::returned:
      return is_raised(state);
    case Until::acked:
      return state == AlarmState::unacked || state == AlarmState::returned;
    case Until::either:
      return state == AlarmState::unacked;
  }
  return false;
}

Millis doubled(Millis first, unsigned times, Millis most) {
  auto out = first;
  for (unsigned i = 1; i < times && out < most; ++i) out *= 2;
  return std::min(out, most);
}

}  // namespace

Outputs::Outputs(std::vector<OutputRule> rules, std::uint32_t boot) : boot_{boot} {
  build(std::move(rules));
}

void Outputs::build(std::vector<OutputRule> rules) {
  auto points = std::exchange(points_, {});
  for (auto& rule : rules) {
    for (const auto& trigger : rule.triggers) {
      for (const auto& name : trigger.points) {
        auto& stale = points_[name].stale;
        if (rule.stale) stale = std::min(*rule.stale, stale.value_or(*rule.stale));
      }
      for (const auto& name : trigger.heard) points_.try_emplace(name);
    }
    auto& output = outputs_.emplace_back();
    if (rule.only_if) {
      output.lock.emplace(rule.only_if);
      const auto& terms = rule.only_if->terms();
      for (std::size_t i = 0; i < terms.size(); ++i) points_[terms[i].name].locks.emplace_back(outputs_.size() - 1, i);
    }
    output.on = rule.fail_safe;
    output.rule = std::move(rule);
  }
  for (auto& [name, point] : points_) {
    const auto before = points.find(name);
    if (before == points.end()) continue;
    point.counted = before->second.counted;
    point.newest = before->second.newest;
    point.heard = before->second.heard;
  }
}

// An alarm that comes back to the config later counts its occurrences anew.
void Outputs::forget_alarms_gone(Output& output) {
  const auto gone = [&](const auto& each) {
    return std::none_of(output.rule.triggers.begin(), output.rule.triggers.end(),
                        [&](const auto& trigger) { return trigger.alarm == each.first; });
  };
  if (std::erase_if(output.told, gone) + std::erase_if(output.spent_by, gone) > 0) output.save = true;
}

Outputs::Output* Outputs::output(std::string_view id) {
  const auto found =
      std::find_if(outputs_.begin(), outputs_.end(), [&](const auto& each) { return each.rule.id == id; });
  return found == outputs_.end() ? nullptr : &*found;
}

const OutputRule* Outputs::find(std::string_view id) const {
  const auto found =
      std::find_if(outputs_.begin(), outputs_.end(), [&](const auto& each) { return each.rule.id == id; });
  return found == outputs_.end() ? nullptr : &found->rule;
}

void Outputs::wake(MonoTime at) {
  if (!due_ || at < *due_) due_ = at;
}

// ---- start, reload, stop
// ---------------------------------------------------------------------------------------------

void Outputs::start(MonoTime now) {
  data_since_ = now;
  for (auto& output : outputs_) {
    if (!output.rule.is_message()) switch_to(output, {output.rule.fail_safe, "start"}, now);
  }
  dirty_ = true;
}

std::vector<Action> Outputs::reload(std::vector<OutputRule> rules, MonoTime now) {
  auto before = std::exchange(outputs_, {});
  build(std::move(rules));
  std::vector<Action> actions;
  for (auto& output : outputs_) {
    const auto old = std::find_if(before.begin(), before.end(), [&](const auto& each) {
      return each.rule.id == output.rule.id && each.rule.drive.name == output.rule.drive.name;
    });
    if (old == before.end()) {
      if (!output.rule.is_message()) switch_to(output, {output.rule.fail_safe, "start"}, now);
      continue;
    }
    const bool same_lock = output.rule.only_if && old->rule.only_if && *output.rule.only_if == *old->rule.only_if;
    auto rule = std::move(output.rule);
    auto lock = same_lock ? std::move(old->lock) : std::move(output.lock);
    output = std::move(*old);
    before.erase(old);
    output.rule = std::move(rule);
    output.lock = std::move(lock);
    if (output.sending) output.messages.insert(output.messages.begin(), std::move(*std::exchange(output.sending, {})));
    output.under_way = false;  // its device is not the same
    if (!output.rule.max_on && std::exchange(output.spent, false)) output.save = true;
    forget_alarms_gone(output);
    output.again = output.tell || output.rule.is_message() ? std::nullopt : std::optional{now};
  }
  for (auto& gone : before) {
    if (gone.rule.is_message() || gone.on == gone.rule.fail_safe) continue;
    switch_to(gone, {gone.rule.fail_safe, "stop"}, now);
    actions.push_back(tell(gone, gone.why));
  }
  dirty_ = true;
  return actions;
}

std::vector<Action> Outputs::stop(MonoTime now) {
  std::vector<Action> actions;
  for (auto& output : outputs_) {
    if (output.rule.is_message() || (output.on == output.rule.fail_safe && output.confirmed == output.on)) continue;
    switch_to(output, {output.rule.fail_safe, "stop"}, now);
    actions.push_back(tell(output, output.why));
  }
  return actions;
}

// ---- what comes in
// -----------------------------------------------------------------------------------------------------

void Outputs::reading(const Reading& judged, std::optional<WallTime> wall) {
  const auto found = points_.find(judged.point);
  if (found == points_.end()) return;
  auto& point = found->second;
  const bool counts = judged.quality == Quality::good || judged.quality == Quality::suspect;
  if (judged.at < point.newest) return;  // late
  point.newest = judged.at;
  if (!std::exchange(point.heard, true)) dirty_ = true;
  for (const auto& [output, term] : point.locks) {
    outputs_[output].lock->feed(term, judged.at, wall, judged.value, counts);
    dirty_ = true;
  }
  if (!counts) return;
  if (!point.counted || (point.stale && judged.at - *point.counted >= *point.stale)) dirty_ = true;
  point.counted = judged.at;
}

void Outputs::alarm(const Alarm& alarm, bool hushed) {
  alarms_.insert_or_assign(alarm.id, alarm);
  if (hushed) {
    hushed_.insert(alarm.id);
  } else {
    hushed_.erase(alarm.id);
  }
  dirty_ = true;
}

void Outputs::data(bool up, MonoTime now) {
  if (std::exchange(data_up_, up) == up) return;
  data_since_ = now;
  dirty_ = true;
}

Asked<void> Outputs::set(std::string_view id, const std::optional<Value>& value, Millis length, std::string by,
                         MonoTime now) {
  auto* const found = output(id);
  if (found == nullptr) {
    std::vector<std::string> ids;
    for (const auto& each : outputs_) ids.push_back(each.rule.id);
    const auto near = config::nearest(id, ids);
    const auto text = texts::no_such_output(id);
    return refuse(Errc::not_found, near ? texts::perhaps(text, *near) : text);
  }
  auto& output = *found;
  if (output.rule.is_message()) {
    const auto* text = value ? std::get_if<std::string>(&*value) : nullptr;
    if (text == nullptr || text->empty()) return refuse(Errc::invalid, texts::message_wants_text(id));
    std::erase_if(output.messages, [](const auto& each) { return each.alarm.empty(); });
    output.messages.insert(output.messages.begin(), Message{.text = *text, .by = std::move(by), .since = now});
    output.again.reset();
  } else if (value) {
    const auto* on = std::get_if<bool>(&*value);
    if (on == nullptr) return refuse(Errc::invalid, texts::output_wants_on_or_off(id));
    output.by_hand = OutputState::ByHand{*on, now + length, std::move(by)};
    output.by_hand_length = length;
    output.spent = false;
    output.spent_by.clear();
    output.save = true;
  } else {
    output.by_hand.reset();
    output.save = true;
  }
  dirty_ = true;
  return {};
}

void Outputs::done(const std::string& id, std::uint64_t number, const Status& status, MonoTime now) {
  auto* const found = output(id);
  if (found == nullptr || !found->under_way || found->number != number) return;  // it is no longer what was wanted
  auto& output = *found;
  output.under_way = false;
  dirty_ = true;
  if (output.rule.is_message()) return end_message(output, status, now);
  if (status) {
    output.confirmed = output.on;
    output.failures = 0;
    output.failure.clear();
    if (output.rule.drive.repeatable) output.again = now + kRepeat;
    return;
  }
  output.failure = status.error().message;
  ++output.failures;
  if (output.rule.drive.repeatable || output.failures < kTries) {
    output.again = now + doubled(kFirstRetry, output.failures, kLastRetry);
  }
}

// ---- what follows
// ------------------------------------------------------------------------------------------------------

bool Outputs::under_way() const {
  return std::any_of(outputs_.begin(), outputs_.end(), [](const auto& each) { return each.under_way; });
}

std::optional<MonoTime> Outputs::next_due() const {
  return dirty_ ? std::optional{MonoTime{}} : due_;
}

std::vector<Action> Outputs::settle(MonoTime now, std::optional<WallTime> wall) {
  std::vector<Action> actions;
  if (!dirty_ && (!due_ || now < *due_)) return actions;
  dirty_ = false;
  due_.reset();
  wall_ = wall;
  for (auto& output : outputs_) {
    if (output.rule.is_message()) {
      settle_message(output, now, actions);
    } else {
      settle_state(output, now, actions);
    }
  }
  return actions;
}

bool Outputs::was_known(const Trigger& trigger) const {
  return std::all_of(trigger.points.begin(), trigger.points.end(),
                     [&](const auto& name) { return points_.find(name)->second.counted.has_value(); }) &&
         std::all_of(trigger.heard.begin(), trigger.heard.end(),
                     [&](const auto& name) { return points_.find(name)->second.heard; });
}

bool Outputs::known(const Output& output, const Trigger& trigger, MonoTime now) {
  if (!alarms_.contains(trigger.alarm) || !was_known(trigger)) return false;
  if (!output.rule.stale) return true;
  bool fresh = true;
  for (const auto& name : trigger.points) {
    const auto until = *points_.find(name)->second.counted + *output.rule.stale;
    if (until <= now) {
      fresh = false;
    } else {
      wake(until);
    }
  }
  return fresh;
}

// The alarm, where it is known and keeps this output on.
const Alarm* Outputs::raised(const Output& output, const Trigger& trigger) const {
  const auto found = alarms_.find(trigger.alarm);
  if (found == alarms_.end()) return nullptr;
  const auto state = hushed_.contains(trigger.alarm) ? AlarmState::unacked : found->second.state;
  if (!keeps_on(state, output.rule.until)) return nullptr;
  return found->second.severity <= output.rule.least && was_known(trigger) ? &found->second : nullptr;
}

// By hand, by alarms, or not known.
Outputs::Decision Outputs::wanted(Output& output, MonoTime now) {
  if (output.by_hand && now >= output.by_hand->until) {
    output.by_hand.reset();
    output.save = true;
  }
  if (output.by_hand) {
    wake(output.by_hand->until);
    return {output.by_hand->on, "override"};
  }
  for (const auto& trigger : output.rule.triggers) {
    if (const auto* alarm = raised(output, trigger)) return {true, "alarm", alarm->id};
  }
  // Not all_of: each says when it will be too old.
  bool all_known = true;
  for (const auto& trigger : output.rule.triggers) all_known = known(output, trigger, now) && all_known;
  if (!all_known) return {output.rule.fail_safe, "fail-safe", {}, true};
  return {false, output.rule.until == Until::acked ? "acked" : "returned", output.alarm};
}

void Outputs::limit_runtime(Output& output, const Decision& wish, MonoTime now) {
  if (!output.rule.max_on) return;
  const auto each_raised = [&](auto take) {
    for (const auto& trigger : output.rule.triggers) {
      if (const auto* alarm = raised(output, trigger)) take(*alarm);
    }
  };
  if (output.on && !output.spent) {
    if (now - output.changed < *output.rule.max_on) return wake(output.changed + *output.rule.max_on);
    if (!wish.on) return;
    output.spent = true;
    output.spent_since = now;
    each_raised([&](const Alarm& alarm) { output.spent_by[alarm.id] = alarm.occurrence; });
    output.save = true;
    if (output.rule.rest) wake(now + *output.rule.rest);
    return;
  }
  if (!output.spent) return;
  bool over = !wish.on && wish.why != "fail-safe";
  each_raised([&](const Alarm& alarm) {
    const auto before = output.spent_by.find(alarm.id);
    over = over || before == output.spent_by.end() || before->second != alarm.occurrence;
  });
  if (output.rule.rest) {
    over = over || now - output.spent_since >= *output.rule.rest;
    wake(output.spent_since + *output.rule.rest);
  }
  if (!over) return;
  output.spent = false;
  output.spent_by.clear();
  output.save = true;
}

// Asked also while nobody wants it on: a condition that remembers must not miss anything.
bool Outputs::locked(Output& output, MonoTime now) {
  bool met = true;
  if (output.lock) {
    met = output.lock->judge(now, wall_).truth == Truth::yes;
    if (const auto due = output.lock->due()) wake(*due);
  }
  return !met || std::any_of(outputs_.begin(), outputs_.end(), [&](const Output& other) {
    const auto names = [](const Output& one, const Output& another) {
      const auto& ids = one.rule.never_with;
      return std::find(ids.begin(), ids.end(), another.rule.id) != ids.end();
    };
    if (&other == &output || (!names(output, other) && !names(other, output))) return false;
    if (output.on) return other.on && &other < &output;
    return other.on || other.confirmed != false;
  });
}

Outputs::Decision Outputs::decide(Output& output, MonoTime now) {
  auto wish = wanted(output, now);
  limit_runtime(output, wish, now);
  output.locked = locked(output, now) && wish.on;
  if (!wish.on) return wish;
  if (output.locked) return {false, "interlock", {}, true};
  if (output.spent) return {false, "max-on", {}, true};
  return wish;
}

void Outputs::settle_state(Output& output, MonoTime now, std::vector<Action>& actions) {
  const auto decision = decide(output, now);
  output.waits.reset();
  if (decision.on != output.on) {
    const auto least = output.on ? output.rule.min_on : output.rule.min_off;
    const bool held = !(output.on && decision.at_once) && now - output.changed < least;
    if (held) {
      output.waits = output.changed + least;
      wake(*output.waits);
    } else {
      switch_to(output, decision, now);
      if (output.on && output.rule.max_on) wake(now + *output.rule.max_on);
    }
  }
  if (output.tell) {
    actions.push_back(tell(output, output.why));
  } else if (output.again && now >= *output.again) {
    auto action = tell(output, "again");
    action.tell = false;
    actions.push_back(std::move(action));
  } else if (output.again) {
    wake(*output.again);
  }
}

void Outputs::switch_to(Output& output, const Decision& decision, MonoTime now) {
  output.on = decision.on;
  output.why = decision.why;
  output.alarm = decision.alarm;
  output.changed = now;
  output.confirmed.reset();
  output.failures = 0;
  output.failure.clear();
  output.tell = true;
}

Action Outputs::tell(Output& output, std::string why) {
  output.tell = false;
  output.again.reset();
  output.under_way = true;
  output.number = ++number_;
  Action action{.output = output.rule.id,
                .drive = output.rule.drive.name,
                .value = output.on ? output.rule.on : output.rule.off,
                .on = output.on,
                .why = std::move(why),
                .alarm = output.alarm,
                .number = output.number};
  if (output.by_hand && action.why == "override") action.by = output.by_hand->by;
  if (const auto found = alarms_.find(output.alarm); found != alarms_.end())
    action.occurrence = found->second.occurrence;
  return action;
}

// ---- messages
// ----------------------------------------------------------------------------------------------------------

bool Outputs::is_new(const Output& output, const Message& message) const {
  const auto newer = [&](const Told& than) {  // fewer where the alarm had to start afresh
    return message.told.occurrence != than.occurrence || message.told.severity < than.severity;
  };
  const auto told = output.told.find(message.alarm);
  if (told != output.told.end() && !newer(told->second)) return false;
  if (output.sending && output.sending->alarm == message.alarm && !newer(output.sending->told)) return false;
  return std::all_of(output.messages.begin(), output.messages.end(),
                     [&](const auto& each) { return each.alarm != message.alarm || newer(each.told); });
}

// Alarms that are raised and not told yet; of one alarm the newest.
void Outputs::gather_messages(Output& output, MonoTime now) {
  for (const auto& trigger : output.rule.triggers) {
    const auto found = alarms_.find(trigger.alarm);
    if (found == alarms_.end() || !was_known(trigger)) continue;
    const auto& alarm = found->second;
    if (alarm.state != AlarmState::unacked || alarm.severity > output.rule.least) continue;
    Message message{.alarm = alarm.id, .told = {alarm.occurrence, alarm.severity}, .text = {}, .since = now};
    if (!is_new(output, message)) continue;
    const auto value = as_number(alarm.value);
    message.text = alarm.text.in(output.rule.lang);
    if (value)
      message.text +=
          output.rule.lang == Lang::zh ? fmt::format("（{:.6g}）", *value) : fmt::format(" ({:.6g})", *value);
    std::erase_if(output.messages, [&](const auto& each) { return each.alarm == alarm.id; });
    output.messages.push_back(std::move(message));
  }
}

// Where data has got through since, the county knows: `drop`.
bool Outputs::may_send(const Output& output, Message& message, MonoTime now, bool& drop) {
  drop = false;
  if (!output.rule.data_down || message.alarm.empty()) return true;
  const auto wait = *output.rule.data_down;
  const auto from = data_up_ ? std::max(message.since, data_since_) : data_since_;
  const auto at_last = message.since + kMostDelay * wait;
  if (now - from >= wait) {
    drop = data_up_;
    return !drop;
  }
  if (now >= at_last) return true;
  wake(std::min(from + wait, at_last));
  return false;
}

void Outputs::settle_message(Output& output, MonoTime now, std::vector<Action>& actions) {
  gather_messages(output, now);
  while (!output.under_way && !output.messages.empty()) {
    auto& message = output.messages.front();
    if (output.again && now < *output.again) return wake(*output.again);
    if (!output.why.empty() && !message.alarm.empty() && now - output.changed < output.rule.min_off) {
      return wake(output.changed + output.rule.min_off);
    }
    bool drop = false;
    const bool send = may_send(output, message, now, drop);
    if (!send && !drop) return;
    output.sending = std::move(message);
    output.messages.erase(output.messages.begin());
    if (drop) {
      output.told[output.sending->alarm] = output.sending->told;
      output.sending.reset();
      output.save = true;
      continue;
    }
    output.again.reset();
    output.under_way = true;
    output.number = ++number_;
    actions.push_back({.output = output.rule.id,
                       .drive = output.rule.drive.name,
                       .value = output.sending->text,
                       .on = true,
                       .why = "message",
                       .alarm = output.sending->alarm,
                       .occurrence = output.sending->told.occurrence,
                       .by = output.sending->by,
                       .number = output.number,
                       .tell = output.sending->tries == 0});
  }
}

void Outputs::end_message(Output& output, const Status& status, MonoTime now) {
  auto message = std::move(*std::exchange(output.sending, {}));
  output.confirmed = status.has_value();
  output.failure = status ? std::string{} : status.error().message;
  if (!status && ++message.tries < kMessageTries) {
    output.again = now + doubled(kMessageRetry, message.tries, kMessageLastRetry);
    const bool newer = std::any_of(output.messages.begin(), output.messages.end(),
                                   [&](const auto& each) { return each.alarm == message.alarm; });
    if (!newer) output.messages.insert(output.messages.begin(), std::move(message));
    return;
  }
  output.again.reset();
  output.why = "message";
  output.alarm = message.alarm;
  output.changed = now;
  if (message.alarm.empty()) return;
  output.told[message.alarm] = message.told;
  output.save = true;
}

// ---- what is shown and stored
// ------------------------------------------------------------------------------------------

std::vector<OutputState> Outputs::states() const {
  std::vector<OutputState> out;
  for (const auto& each : outputs_) {
    out.push_back({.rule = &each.rule,
                   .on = each.on,
                   .why = each.why,
                   .alarm = each.alarm,
                   .since = each.changed,
                   .confirmed = each.confirmed,
                   .failure = each.failure,
                   .waits = each.waits,
                   .spent = each.spent,
                   .locked = each.locked,
                   .pending = each.messages.size() + (each.sending ? 1U : 0U),
                   .by_hand = each.by_hand});
  }
  return out;
}

std::vector<std::pair<std::string, std::optional<std::string>>> Outputs::save_changed() {
  std::vector<std::pair<std::string, std::optional<std::string>>> out;
  for (auto& output : outputs_) {
    if (!std::exchange(output.save, false)) continue;
    Json stored = Json::object();
    if (const auto& by_hand = output.by_hand) {
      stored["by_hand"] = {{"on", by_hand->on},
                           {"boot", boot_},
                           {"until", to_ms(by_hand->until)},
                           {"length", output.by_hand_length.count()},
                           {"by", by_hand->by}};
    }
    if (output.spent) stored["spent"] = output.spent_by;
    for (const auto& [alarm, told] : output.told)
      stored["told"][alarm] = {told.occurrence, static_cast<int>(told.severity)};
    auto value =
        stored.empty() ? std::nullopt : std::optional{stored.dump(-1, ' ', false, Json::error_handler_t::replace)};
    out.emplace_back(fmt::format("{}{}", kOutputKey, output.rule.id), std::move(value));
  }
  return out;
}

Status Outputs::restore(std::string_view key, std::string_view value, MonoTime now) {
  if (!key.starts_with(kOutputKey)) return fail(Errc::invalid, fmt::format("'{}' is no key of an output's state", key));
  auto* const found = output(key.substr(kOutputKey.size()));
  if (found == nullptr)
    return fail(Errc::not_found, fmt::format("no output '{}' is configured", key.substr(kOutputKey.size())));
  auto& output = *found;
  try {
    const auto stored = Json::parse(value);
    auto told = output.told;
    const auto sent = stored.value("told", Json::object());
    for (const auto& [alarm, each] : sent.items()) {
      const auto severity = std::clamp(each.at(1).get<int>(), 0, static_cast<int>(Severity::warning));
      told[alarm] = {each.at(0).get<std::uint64_t>(), static_cast<Severity>(severity)};
    }
    if (stored.contains("spent")) output.spent_by = stored["spent"].get<Occurrences>();
    output.spent = stored.contains("spent") && output.rule.max_on.has_value();
    output.spent_since = now;
    if (stored.contains("by_hand") && !output.rule.is_message()) {
      const auto& by_hand = stored["by_hand"];
      const Millis length{std::clamp<std::int64_t>(by_hand.at("length").get<std::int64_t>(), 0, Millis{168h}.count())};
      const bool same_boot = by_hand.at("boot").get<std::uint32_t>() == boot_;
      const auto until =
          same_boot ? std::min(mono_from_ms(by_hand.at("until").get<std::int64_t>()), now + length) : now + length;
      output.by_hand = OutputState::ByHand{by_hand.at("on").get<bool>(), until, by_hand.at("by").get<std::string>()};
      output.by_hand_length = length;
      output.save = !same_boot;
    }
    output.told = std::move(told);
    forget_alarms_gone(output);
  } catch (const Json::exception&) {
    return fail(Errc::corrupt, "what the output had to remember is damaged; it starts afresh");
  }
  return {};
}

// ---- the config
// --------------------------------------------------------------------------------------------------------

namespace {

constexpr std::array<std::string_view, 4> kLeasts{"critical", "major", "minor", "warning"};  // as Severity
constexpr std::array<std::string_view, 3> kUntils{"returned", "acked", "either"};                // as Until
constexpr std::array<std::string_view, 2> kStates{"off", "on"};
constexpr std::array<std::string_view, 2> kLangs{"zh", "en"};  // as Lang
constexpr Millis kMostTime = std::chrono::hours{24 * 7};

template <class Names>
Text with_nearest(Text text, std::string_view wanted, const Names& names) {
  const auto near = config::nearest(wanted, names);
  return near ? texts::perhaps(text, *near) : text;
}

std::vector<Trigger> read_triggers(const config::Table& table, std::span<const Trigger> alarms) {
  std::vector<std::string> known;
  for (const auto& each : alarms) known.push_back(each.alarm);
  std::vector<Trigger> out;
  if (!table.has("when")) {
    if (!table.has("severity")) table.error("when", texts::no_trigger());
    return {alarms.begin(), alarms.end()};
  }
  for (const auto& name : table.texts_or("when")) {
    const auto found = std::find(known.begin(), known.end(), name);
    if (found == known.end()) {
      table.error("when", with_nearest(texts::no_such_alarm(name), name, known));
    } else {
      out.push_back(alarms[static_cast<std::size_t>(found - known.begin())]);
    }
  }
  return out;
}

Drive read_drive(const config::Table& table, std::span<const Drive> drives) {
  const auto name = table.point("drive");
  const auto found = std::find_if(drives.begin(), drives.end(), [&](const auto& each) { return each.name == name; });
  if (found != drives.end()) return *found;
  std::vector<std::string> known;
  for (const auto& each : drives) known.push_back(each.name);
  if (table.has("drive")) table.error("drive", with_nearest(texts::no_such_drive(name), name, known));
  return {.name = name};
}

void read_state_keys(const config::Table& table, OutputRule& rule, const Names& names) {
  if (rule.drive.takes == Drive::Takes::number) {
    rule.on = table.number("on");
    rule.off = table.number("off");
  }
  rule.until = static_cast<Until>(table.choice_or("until", 0, kUntils));
  rule.fail_safe = table.choice_or("fail_safe", 0, kStates) == 1;
  rule.stale = table.duration_if("stale", {1s, kMostTime});
  rule.min_on = table.duration_or("min_on", 0ms, {0ms, kMostTime});
  rule.max_on = table.duration_if("max_on", {1s, kMostTime});
  rule.rest = table.duration_if("rest", {1s, kMostTime});
  if (rule.rest && !rule.max_on) table.error("rest", texts::rest_without_max());
  if (rule.max_on && *rule.max_on < rule.min_on) table.error("max_on", texts::max_below_min());
  rule.never_with = table.texts_or("never_with");
  rule.only_if = read_expression(table, "only_if", names);
  if (!rule.only_if) return;
  const auto& terms = rule.only_if->terms();
  if (std::any_of(terms.begin(), terms.end(), [](const auto& term) { return term.is_event; })) {
    table.error("only_if", texts::only_points());
  }
}

void check_never_with(const std::vector<config::Table>& tables, const std::vector<OutputRule>& rules) {
  std::vector<std::string> ids;
  for (const auto& rule : rules) ids.push_back(rule.id);
  for (std::size_t i = 0; i < rules.size(); ++i) {
    for (const auto& name : rules[i].never_with) {
      const auto other = std::find_if(rules.begin(), rules.end(), [&](const auto& each) { return each.id == name; });
      if (other == rules.end() || other->is_message() || name == rules[i].id) {
        tables[i].error("never_with", with_nearest(texts::no_such_output(name), name, ids));
      } else if (other->fail_safe && rules[i].fail_safe) {
        tables[i].error("never_with", texts::both_fail_safe_on(name));
      }
    }
  }
}

}  // namespace

std::vector<OutputRule> read_outputs(const config::Table& root, std::span<const Trigger> alarms, const Names& names,
                                     std::span<const Drive> drives) {
  std::vector<OutputRule> out;
  const auto tables = root.tables("output");
  for (const auto& table : tables) {
    OutputRule rule{.id = table.id("id"), .drive = read_drive(table, drives)};
    const auto same = [&](const auto& each) { return each.id == rule.id; };
    if (std::any_of(out.begin(), out.end(), same)) table.error("id", texts::output_twice(rule.id));
    const auto shared =
        std::find_if(out.begin(), out.end(), [&](const auto& each) { return each.drive.name == rule.drive.name; });
    if (shared != out.end() && !rule.is_message())
      table.error("drive", texts::driven_twice(rule.drive.name, shared->id));
    rule.name = table.both_or("name", {rule.id, rule.id});
    rule.least =
        static_cast<Severity>(table.choice_or("severity", static_cast<std::size_t>(Severity::warning), kLeasts));
    rule.triggers = read_triggers(table, alarms);
    rule.min_off = table.duration_or("min_off", 0ms, {0ms, kMostTime});
    rule.county = table.flag_or("county", false);
    if (rule.is_message()) {
      rule.data_down = table.duration_if("data_down", {1s, kMostTime});
      rule.lang = static_cast<Lang>(table.choice_or("lang", 0, kLangs));
    } else {
      read_state_keys(table, rule, names);
    }
    out.push_back(std::move(rule));
  }
  check_never_with(tables, out);
  return out;
}

}  // namespace hamlet::detect
