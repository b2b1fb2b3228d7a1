#pragma once

#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>
#include <tl/expected.hpp>

#include "firmware/config/config.hpp"
#include "firmware/config/gateway.hpp"
#include "firmware/control/client.hpp"
#include "firmware/core/clock.hpp"
#include "firmware/ctl/invocation.hpp"
#include "firmware/ctl/lang.hpp"

namespace hamlet::ctl {

/// What the command touches of the world: main() gives the real one, tests another.
struct World {
  std::ostream& out;  ///< data
  std::ostream& err;  ///< words
  bool colour = false;
  GetEnv env;
  const Clock& clock;

  /// Asks the daemon.
  std::function<tl::expected<nlohmann::json, control::CallFailure>(const std::filesystem::path& socket,
                                                                   std::string_view verb, const nlohmann::json& args)>
      ask;
  /// The same result from the journal of a daemon that is down; see journal_at_rest.hpp.
  std::function<Asked<nlohmann::json>(const Invocation&, const std::filesystem::path& state_dir)> read_journal;
  /// The verbs stat, check and export of `journal`, on its files, whether a daemon runs or not; see journal_tools.hpp.
  std::function<Asked<nlohmann::json>(const Invocation&, const config::Gateway&,
                                      const std::function<void(std::uint64_t, std::uint64_t)>&)>
      work_on_journal;
  /// Everything wrong in a config; empty: nothing.
  std::function<std::vector<config::Diagnostic>(const std::filesystem::path&)> check_config;
  /// Where the ready-made configs are; see packs.hpp.
  std::filesystem::path packs{};
  /// See backtest.hpp.
  std::function<int(const Invocation&, std::ostream& out, std::ostream& err)> backtest{};
  /// Carries out `hamlet probe …`, words and all, and returns the exit code; see probe.hpp.
  std::function<int(const Invocation&)> probe{};
};

/// The command `hamlet`: `args` without the program's name. Returns its exit code.
[[nodiscard]] int run(const std::vector<std::string>& args, const World& world);

}  // namespace hamlet::ctl
