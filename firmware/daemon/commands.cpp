// What the county asks: the same verbs, but each only once, in time, and only where this box's config allows it.

#include <algorithm>

#include <fmt/format.h>

#include "firmware/core/log.hpp"
#include "firmware/daemon/box.hpp"
#include "firmware/daemon/texts.hpp"

namespace hamlet::daemon {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxCommandIds = 1'000;
constexpr Millis kMaxAhead{60'000};
constexpr std::string_view kCommandPrefix = "command/";

json failure_json(const Failure& failure) {
  return {{"ok", false},
          {"code", control::to_string(failure.code)},
          {"error", {{"zh", failure.text.zh}, {"en", failure.text.en}}}};
}

}  // namespace

void Box::load_command_ids() {
  const auto stored = journal_->load_state(kCommandPrefix);
  if (!stored) return;
  std::vector<std::pair<std::uint64_t, std::string>> by_number;
  for (const auto& [key, value] : *stored) {
    by_number.emplace_back(std::strtoull(value.c_str(), nullptr, 10), key.substr(kCommandPrefix.size()));
  }
  std::sort(by_number.begin(), by_number.end());
  for (auto& [number, id] : by_number) {
    command_ids_.push_back(std::move(id));
    command_number_ = number;
  }
}

std::optional<Failure> Box::refuse_command(const contract::Command& command) const {
  if (!settings_.gateway.county_verbs.contains(command.verb)) {
    return Failure{Errc::denied, texts::command_not_allowed(command.verb)};
  }
  if (std::find(command_ids_.begin(), command_ids_.end(), command.id) != command_ids_.end()) {
    return Failure{Errc::invalid, texts::command_ran_already(command.id)};
  }
  const auto* verb = verbs_.find(command.verb);
  const bool acts = verb != nullptr && verb->access == control::Access::change;
  if (!acts && !command.expires) return {};
  if (!command.expires) return Failure{Errc::invalid, texts::command_without_expiry(command.verb)};
  const auto now = journal_->date({journal_->boot(), clock_.mono()});
  if (now.quality == TimeQuality::unsynced) return Failure{Errc::unavailable, texts::command_clock_unset()};
  if (*command.expires < now.wall) return Failure{Errc::timeout, texts::command_expired()};
  if (acts && *command.expires > now.wall + kMaxAhead) {
    return Failure{Errc::invalid, texts::command_without_expiry(command.verb)};
  }
  return {};
}

// The id is durable before the verb runs: after a crash in between the command does not run again.
void Box::take_command(contract::Command command, std::function<void(json)> reply) {
  if (const auto refused = refuse_command(command)) {
    log::warning("a command from the county was refused", {{"verb", command.verb}, {"why", refused->text.en}});
    emit_gateway("command", {{"verb", command.verb}, {"command", command.id}, {"outcome", "refused"}, {"why", refused->text.en}});
    return reply(failure_json(*refused));
  }
  command_ids_.push_back(command.id);
  journal_->put_state(fmt::format("{}{}", kCommandPrefix, command.id), std::to_string(++command_number_), journal::Urgency::now);
  if (command_ids_.size() > kMaxCommandIds) {
    journal_->put_state(fmt::format("{}{}", kCommandPrefix, command_ids_.front()), std::nullopt, journal::Urgency::window);
    command_ids_.pop_front();
  }
  journal_->sync([this, command = std::move(command), reply = std::move(reply)](const Status& status) {
    if (!running_) return;
    if (!status) return reply(failure_json(Failure{status.error()}));
    run_command(command, reply);
  });
}

void Box::run_command(const contract::Command& command, std::function<void(json)> reply) {
  auto args = command.args;
  for (const auto* key : {"id", "exp", "reply"}) args.erase(key);
  verbs_.run(control::Caller::county(), command.verb, args,
             [this, verb = command.verb, id = command.id, reply = std::move(reply)](control::Answer answer) {
               if (!running_) return;
               emit_gateway("command", {{"verb", verb}, {"command", id}, {"outcome", answer ? "done" : "failed"}});
               reply(answer ? json{{"ok", true}, {"result", std::move(*answer)}} : failure_json(answer.error()));
             });
}

}  // namespace hamlet::daemon
