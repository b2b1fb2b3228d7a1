#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>

#include "firmware/core/result.hpp"
#include "tests/support/county.hpp"

namespace hamlet::demo {

/// What a journal says it has taken, read while the daemon is down.
struct Journaled {
  std::string epoch;
  std::array<std::uint64_t, contract::kLaneCount> last{};  ///< by lane: numbers start at 1 and have no holes
  std::uint64_t readings = 0;
};
[[nodiscard]] Result<Journaled> read_journal(const std::filesystem::path& state_dir);

/// One line of the account.
struct Account {
  std::uint64_t journaled = 0;
  std::uint64_t received = 0;  ///< different numbers among those
  std::uint64_t missing = 0;
  std::uint64_t duplicated = 0;
};
using Accounts = std::array<Account, contract::kLaneCount>;

/// Holds what the county received against it.
[[nodiscard]] Accounts settle(const Journaled& journaled, const support::County::Snapshot& county);
[[nodiscard]] bool complete(const Accounts& accounts);

/// The account as a table, a lane a line.
[[nodiscard]] std::string to_table(const Accounts& accounts);

}  // namespace hamlet::demo
