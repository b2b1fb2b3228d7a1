#include "firmware/control/verb_table.hpp"

#include <cassert>

#include <boost/asio/error.hpp>
#include <boost/asio/steady_timer.hpp>

#include "firmware/config/config.hpp"
#include "firmware/control/texts.hpp"
#include "firmware/core/log.hpp"

namespace hamlet::control {
namespace {

// One verb under way: whoever settles it first, the handler or the deadline, gives the answer.
struct Running {
  Running(boost::asio::io_context& io, std::string_view name, Reply to)
      : verb{name}, reply{std::move(to)}, deadline{io} {}

  std::string verb;
  Reply reply;  // empty once settled
  boost::asio::steady_timer deadline;

  void settle(Answer answer) {
    if (!reply) return;
    const auto to = std::exchange(reply, nullptr);
    deadline.cancel();
    to(std::move(answer));
  }
};

}  // namespace

VerbTable::VerbTable(boost::asio::io_context& io, Millis deadline) : io_{io}, deadline_{deadline} {}

void VerbTable::add(Verb verb) {
  assert(verb.handler);
  [[maybe_unused]] const bool fresh = verbs_.emplace(verb.name, verb).second;
  assert(fresh);
}

const Verb* VerbTable::find(std::string_view name) const {
  const auto found = verbs_.find(name);
  return found == verbs_.end() ? nullptr : &found->second;
}

std::optional<std::string> VerbTable::nearest(std::string_view name) const {
  std::vector<std::string> names;
  for (const auto& [known, verb] : verbs_) names.push_back(known);
  return config::nearest(name, names);
}

std::vector<const Verb*> VerbTable::all() const {
  std::vector<const Verb*> out;
  for (const auto& [name, verb] : verbs_) out.push_back(&verb);
  return out;
}

std::optional<Failure> VerbTable::refusal(const Caller& caller, std::string_view name, const Verb* verb) const {
  if (!caller.may_read && !caller.may_change) return Failure{Errc::denied, texts::may_not_read()};
  if (verb == nullptr) {
    const auto near = nearest(name);
    return Failure{Errc::not_found, near ? texts::verb_unknown(name, *near) : texts::verb_unknown(name)};
  }
  if (caller.origin == Caller::Origin::county && !verb->county) {
    return Failure{Errc::denied, texts::not_open_to_county(name)};
  }
  if (verb->access == Access::change && !caller.may_change) {
    return Failure{Errc::denied, texts::may_not_change(name)};
  }
  return {};
}

void VerbTable::run(const Caller& caller, std::string_view name, const nlohmann::json& args, Reply reply) const {
  const auto* verb = find(name);
  if (const auto refused = refusal(caller, name, verb)) return reply(tl::unexpected(*refused));

  const auto running = std::make_shared<Running>(io_, name, std::move(reply));
  running->deadline.expires_after(verb->deadline.value_or(deadline_));
  running->deadline.async_wait([running](const boost::system::error_code& error) {
    if (error == boost::asio::error::operation_aborted || !running->reply) return;
    log::warning("verb did not finish", {{"verb", running->verb}});
    running->settle(refuse(Errc::timeout, texts::no_answer_in_time(running->verb)));
  });
  try {
    verb->handler(args, caller, [running](Answer answer) { running->settle(std::move(answer)); });
  } catch (const nlohmann::json::exception& error) {
    running->settle(refuse(Errc::invalid, texts::args_wrong(error.what())));
  }
}

}  // namespace hamlet::control
