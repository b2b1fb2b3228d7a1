#pragma once

#include <filesystem>

#include <nlohmann/json.hpp>
#include <tl/expected.hpp>

#include "firmware/control/protocol.hpp"
#include "firmware/core/clock.hpp"
#include "firmware/ctl/invocation.hpp"

namespace hamlet::ctl {

/// What the daemon would have answered, from its journal in `state_dir`: as of the last commit.
[[nodiscard]] Asked<nlohmann::json> read_journal_at_rest(
    const Invocation& asked, const std::filesystem::path& state_dir, const Clock& clock);

/// Why a journal could not be read, and what to do, in both languages.
[[nodiscard]] Failure explain_unreadable(const Error& error, const std::filesystem::path& state_dir);

}  // namespace hamlet::ctl
