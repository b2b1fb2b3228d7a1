// A config that the county proposes: on trial until it is confirmed, and gone by itself where that does not happen.
//
//   (own) --config.propose--> proposed --a moment--> running --config.confirm--> (county)
//                                                       |
//              the time is over, a restart, a reload    +--> as it was before
//
// The county's confirmed changes are the file county.toml beside the journal, read on top of the box's own config; those on trial are
// county.toml.trial. What is not confirmed never outlives the process, so neither a reboot nor a config that kills the daemon needs anybody
// to drive out.

#include <filesystem>
#include <system_error>

#include "firmware/control/args.hpp"
#include "firmware/core/log.hpp"
#include "firmware/daemon/box.hpp"
#include "firmware/daemon/texts.hpp"
#include "sync/journal/media.hpp"

namespace hamlet::daemon {
namespace {

using control::Access;
using control::Args;
using control::Reply;
using nlohmann::json;

constexpr std::size_t kMaxToml = 64 * 1024;
constexpr std::int64_t kConfirmWithin = 600, kMinWithin = 1, kMaxWithin = 86'400;  // seconds
constexpr Millis kMoment{500};  // for the answer to go out, before the uplink may be another one

void remove_durably(const std::filesystem::path& file) {
  std::error_code error;
  if (std::filesystem::remove(file, error)) (void)journal::sync_folder(file.parent_path());
  if (error) log::error("cannot remove a file", {{"file", file.string()}, {"error", error.message()}});
}

}  // namespace

void Box::add_proposal_verbs() {
  add_verb("config.propose", Access::change, "toml, confirm_within_s?",
           [this](const json& args, const auto&, const Reply& reply) { propose_config(args, reply); });
  add_verb("config.confirm", Access::change, "", [this](const json& args, const auto&, const Reply& reply) {
    Args in{args};
    if (auto wrong = in.wrong()) return reply(tl::unexpected(*wrong));
    confirm_config(reply);
  });
}

void Box::propose_config(const json& args, const Reply& reply) {
  Args in{args};
  const auto toml = in.text_or("toml", "");  // none: back to the box's own
  const auto within = in.integer_or("confirm_within_s", kConfirmWithin, kMinWithin, kMaxWithin);
  if (auto wrong = in.wrong()) return reply(tl::unexpected(*wrong));
  if (trial_ != Trial::none) return reply(refuse(Errc::unavailable, texts::trial_is_running()));
  if (toml.size() > kMaxToml) return reply(refuse(Errc::invalid, texts::proposal_too_large(kMaxToml)));
  const auto file = settings_.gateway.county_trial();
  if (auto written = journal::write_durably(file.parent_path(), file.filename(), toml); !written) {
    remove_durably(file);
    return reply(tl::unexpected(Failure{written.error()}));
  }
  const auto settings = read_settings(config_file_, file);
  if (!settings) {
    remove_durably(file);
    const auto& first = settings.error().front();
    return reply(refuse(Errc::invalid, {first.to_string(Lang::zh), first.to_string(Lang::en)}));
  }
  trial_ = Trial::proposed;
  trial_timer_.expires_after(kMoment);
  trial_timer_.async_wait([this, within](const boost::system::error_code& error) {
    if (!error) try_proposal(std::chrono::seconds{within});
  });
  emit_gateway("config", {{"outcome", "proposed"}, {"confirm_within_s", within}});
  reply(json{{"confirm_within_s", within}});
}

void Box::try_proposal(Millis confirm_within) {
  auto settings = read_settings(config_file_, settings_.gateway.county_trial());
  if (!settings) return end_trial("the box's own config has changed");
  trial_ = Trial::running;
  trial_timer_.expires_after(confirm_within);
  trial_timer_.async_wait([this](const boost::system::error_code& error) {
    if (error || trial_ != Trial::running) return;
    end_trial("not confirmed");
    auto before = read_settings(config_file_);
    if (!before) return log::error("the box's own config has mistakes by now: what was on trial stays until they are gone");
    apply(std::move(*before));
  });
  log::info("a config of the county's is on trial", {{"confirm_within_s", confirm_within.count() / 1000}});
  apply(std::move(*settings));
}

void Box::confirm_config(const Reply& reply) {
  if (trial_ != Trial::running) return reply(refuse(Errc::unavailable, texts::no_trial()));
  const auto& gateway = settings_.gateway;
  std::error_code error;
  std::filesystem::rename(gateway.county_trial(), gateway.county_config(), error);
  if (error) return reply(tl::unexpected(Failure{Error{Errc::failed, error.message()}}));
  trial_ = Trial::none;
  trial_timer_.cancel();
  if (auto synced = journal::sync_folder(gateway.state_dir); !synced) return reply(tl::unexpected(Failure{synced.error()}));
  log::info("the county's config is confirmed");
  emit_gateway("config", {{"outcome", "confirmed"}, {"rev", revision_}});
  reply(json{{"rev", revision_}});
}

/// The files are as before; whoever calls it applies what they say.
void Box::end_trial(std::string_view why) {
  trial_ = Trial::none;
  trial_timer_.cancel();
  remove_durably(settings_.gateway.county_trial());
  log::warning("the county's config goes back", {{"why", why}});
  emit_gateway("config", {{"outcome", "rolled-back"}, {"why", why}});
}

void Box::settle_trial_at_start() {
  std::error_code ignored;
  if (std::filesystem::exists(settings_.gateway.county_trial(), ignored)) end_trial("restart");
  if (settings_.county_mistakes.empty()) return;
  const auto why = settings_.county_mistakes.front().to_string();
  log::error("what the county had changed is left out", {{"why", why}});
  emit_gateway("config", {{"outcome", "left-out"}, {"why", why}});
}

}  // namespace hamlet::daemon
