#include <cstdlib>
#include <iostream>

#include <unistd.h>

#include "firmware/control/client.hpp"
#include "firmware/core/clock.hpp"
#include "firmware/ctl/backtest.hpp"
#include "firmware/ctl/journal_at_rest.hpp"
#include "firmware/ctl/journal_tools.hpp"
#include "firmware/ctl/probe.hpp"
#include "firmware/ctl/run.hpp"
#include "firmware/daemon/settings.hpp"

namespace {

std::string get_env(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): one thread
  return value == nullptr ? "" : value;
}

std::vector<hamlet::config::Diagnostic> check_config(const std::filesystem::path& file) {
  auto settings = hamlet::daemon::read_settings(file);
  return settings ? std::vector<hamlet::config::Diagnostic>{} : std::move(settings).error();
}

}  // namespace

int main(int argc, char** argv) {
  const hamlet::SystemClock clock;
  const hamlet::ctl::World world{
      .out = std::cout,
      .err = std::cerr,
      .colour = isatty(STDOUT_FILENO) == 1 && get_env("NO_COLOR").empty(),
      .env = get_env,
      .clock = clock,
      .ask = [](const auto& socket, auto verb, const auto& args) {
        return hamlet::control::call(socket, verb, args, verb == "uplink.test" ? hamlet::control::kSlowCallDeadline : hamlet::control::kCallDeadline);
      },
      .read_journal = [&clock](
                          const auto& asked,
                          const auto& state_dir) { return hamlet::ctl::read_journal_at_rest(asked, state_dir, clock); },
      .work_on_journal = [&clock](const auto& asked, const auto& gateway,
                                  const auto& tell) { return hamlet::ctl::work_on_journal(asked, gateway, clock, tell); },
      .check_config = check_config,
      .packs = get_env("HAMLET_PACKS").empty() ? HAMLET_DATADIR "/packs" : get_env("HAMLET_PACKS"),
      .backtest = hamlet::ctl::backtest,
      .probe = [](const auto& asked) { return hamlet::ctl::probe(asked, {std::cin, std::cout, std::cerr}); },
  };
  return hamlet::ctl::run({argv + 1, argv + argc}, world);
}
