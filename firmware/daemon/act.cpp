// Outputs: what detect decides is done at once, whatever the disk does; then it is told.

#include <algorithm>
#include <utility>

#include "firmware/control/args.hpp"
#include "firmware/core/log.hpp"
#include "firmware/daemon/box.hpp"
#include "firmware/daemon/texts.hpp"
#include "firmware/detect/texts.hpp"

namespace hamlet::daemon {
namespace {

using control::Args;
using control::Reply;
using journal::Urgency;
using nlohmann::json;

constexpr Millis kLinkCheck{1'000};
constexpr Millis kActCheck{20};
constexpr Millis kByHand = std::chrono::minutes{10};  // where nothing else is said
constexpr Millis kShortestByHand = std::chrono::seconds{1};
constexpr Millis kLongestByHand = std::chrono::days{7};

}  // namespace

// After the devices, so that there is something to act on.
void Box::open_outputs() {
  const auto now = clock_.mono();
  std::vector<detect::Action> gone;
  if (outputs_) {
    gone = outputs_->reload(settings_.outputs, now);
  } else {
    outputs_.emplace(settings_.outputs, journal_->boot());
    const auto stored = journal_->load_state("output/");
    if (!stored) log::error("outputs' state cannot be read", {{"why", stored.error().message}});
    for (const auto& [key, value] : stored.value_or(std::vector<std::pair<std::string, std::string>>{})) {
      const auto restored = outputs_->restore(key, value, now);
      if (restored) continue;
      log::warning("an output starts afresh", {{"key", key}, {"why", restored.error().message}});
      journal_->put_state(key, std::nullopt, Urgency::window);
    }
    outputs_->start(now);
  }
  for (const auto& alarm : detect_->alarms()) tell_outputs(alarm);
  failing_outputs_.clear();
  acting_ = true;
  for (const auto& action : gone) carry_out(action);
  act();
}

// A flood hides an alarm from people, not from what it drives.
void Box::tell_outputs(const Alarm& alarm) {
  const auto standing =
      alarm.state == AlarmState::suppressed ? std::optional{detect_->standing(alarm.id)} : std::nullopt;
  outputs_->alarm(alarm, standing && *standing && (*standing)->hushed);
}

// After every reading: where nothing has changed it costs nothing.
void Box::act() {
  if (!acting_) return;
  const auto now = clock_.mono();
  const auto due = outputs_->next_due();
  if (!due || *due > now) return;
  for (const auto& action : outputs_->settle(now, certain_time(now))) carry_out(action);
  save_outputs();
  arm_act();
}

void Box::save_outputs() {
  for (auto& [key, value] : outputs_->save_changed())
    journal_->put_state(std::move(key), std::move(value), Urgency::now);
}

// Messages that wait for the link want to know how it is.
void Box::arm_act() {
  auto due = outputs_->next_due();
  const bool watches_link = std::any_of(settings_.outputs.begin(), settings_.outputs.end(),
                                        [](const auto& rule) { return rule.data_down.has_value(); });
  const auto now = clock_.mono();
  if (watches_link) due = std::min(due.value_or(now + kLinkCheck), now + kLinkCheck);
  if (!due) {
    act_timer_.cancel();
    return;
  }
  act_timer_.expires_after(std::max(Millis{1}, *due - now));
  act_timer_.async_wait([this, watches_link](const boost::system::error_code& error) {
    if (error || !acting_) return;
    if (watches_link) outputs_->data(data_gets_through(), clock_.mono());
    act();
    arm_act();
  });
}

// The county has every alarm that was raised.
bool Box::data_gets_through() const {
  if (!uplink_ || uplink_->status().value("state", "") != "online") return false;
  const auto alarms = journal_->lane_stat(contract::Lane::alarm);
  return alarms.waiting == 0 && alarms.unsent == 0;
}

void Box::carry_out(const detect::Action& action) {
  auto* const device = drivers_->output(action.drive);
  if (device != nullptr) {
    device->set(action.value, [this, output = action.output, number = action.number](const Status& status) {
      on_acted(output, number, status);
    });
  } else {
    outputs_->done(action.output, action.number, fail(Errc::not_found, "its device is not there"), clock_.mono());
  }
  if (action.tell) tell_action(action);
}

void Box::tell_action(const detect::Action& action) {
  log::info("output", {{"id", action.output}, {"on", action.on}, {"why", action.why}});
  json detail{{"output", action.output}, {"on", action.on}, {"value", to_json(action.value)}, {"why", action.why}};
  if (!action.alarm.empty()) detail["alarm"] = action.alarm;
  if (action.occurrence > 0) detail["occurrence"] = action.occurrence;
  if (!action.by.empty()) detail["by"] = action.by;
  emit_gateway("output", std::move(detail));
}

// A failure is told once, and so is its end.
void Box::on_acted(const std::string& output, std::uint64_t number, const Status& status) {
  outputs_->done(output, number, status, clock_.mono());
  if (!status && failing_outputs_.insert(output).second) {
    log::error("an output cannot be set", {{"id", output}, {"why", status.error().message}});
    emit_gateway("output", {{"output", output}, {"why", "failed"}, {"message", status.error().message}});
  } else if (status && failing_outputs_.erase(output) > 0) {
    log::info("an output can be set again", {{"id", output}});
    emit_gateway("output", {{"output", output}, {"why", "works-again"}});
  }
  act();
}

void Box::await_outputs(MonoTime deadline, std::function<void()> done) {
  if (!outputs_->under_way() || clock_.mono() >= deadline) return done();
  act_timer_.expires_after(kActCheck);
  act_timer_.async_wait([this, deadline, done = std::move(done)](const boost::system::error_code& error) mutable {
    if (!error) await_outputs(deadline, std::move(done));
  });
}

json Box::output_json(const detect::OutputState& state) const {
  const auto& rule = *state.rule;
  const auto wall = [this](MonoTime at) { return to_ms(journal_->date({journal_->boot(), at}).wall); };
  json out{{"output", rule.id},
           {"name", {{"zh", rule.name.zh}, {"en", rule.name.en}}},
           {"drive", rule.drive.name},
           {"kind", rule.is_message() ? "message" : "state"},
           {"on", rule.is_message() ? json{} : json(state.on)},
           {"why", state.why},
           {"since", state.why.empty() ? json{} : json(wall(state.since))},
           {"tq", to_string(journal_->date({journal_->boot(), state.since}).quality)},
           {"confirmed", state.confirmed ? json(*state.confirmed) : json{}},
           {"pending", state.pending},
           {"spent", state.spent},
           {"locked", state.locked},
           {"county", rule.county}};
  if (!state.alarm.empty()) out["alarm"] = state.alarm;
  if (!state.failure.empty()) out["failure"] = state.failure;
  if (state.waits) out["waits_until"] = wall(*state.waits);
  if (const auto& by_hand = state.by_hand) {
    out["by_hand"] = {{"on", by_hand->on}, {"until", wall(by_hand->until)}, {"by", by_hand->by}};
  }
  return out;
}

json Box::outputs_json() const {
  auto rows = json::array();
  for (const auto& state : outputs_->states()) rows.push_back(output_json(state));
  return {{"outputs", std::move(rows)}};
}

void Box::set_output(const json& args, const control::Caller& caller, Reply reply) {
  Args in{args};
  const auto id = in.text("output");
  const auto asked = in.value("value");
  const Millis length{in.integer_or("for_ms", kByHand.count())};
  if (auto wrong = in.wrong()) return reply(tl::unexpected(*wrong));
  if (length < kShortestByHand || length > kLongestByHand) {
    return reply(refuse(Errc::invalid, detect::texts::length_out_of_range(to_string(length), to_string(kShortestByHand), to_string(kLongestByHand))));
  }
  const auto* rule = outputs_->find(id);
  if (rule != nullptr && !rule->county && caller.origin == control::Caller::Origin::county) {
    return reply(refuse(Errc::denied, texts::output_not_from_afar(id)));
  }
  std::optional<Value> value;
  if (asked.is_boolean()) value = asked.get<bool>();
  const bool is_auto = asked == "auto" && (rule == nullptr || !rule->is_message());
  if (asked.is_string() && !is_auto) value = asked.get<std::string>();
  if (auto set = outputs_->set(id, value, length, caller.name, clock_.mono()); !set) {
    return reply(tl::unexpected(set.error()));
  }
  act();
  emit_gateway("operator",
               {{"verb", "output.set"}, {"by", caller.name}, {"output", id}, {"value", asked}, {"for_ms", length.count()}});
  const auto states = outputs_->states();
  const auto state = std::find_if(states.begin(), states.end(), [&](const auto& each) { return each.rule->id == id; });
  journal_->sync(
      [reply = std::move(reply), row = output_json(*state)](const Status& status) {
        if (!status) return reply(tl::unexpected(Failure{status.error()}));
        reply(json{{"output", row}});
      },
      journal::Durable::urgent);
}

}  // namespace hamlet::daemon
