#pragma once

#include <cstdint>
#include <functional>

#include <nlohmann/json.hpp>
#include <tl/expected.hpp>

#include "firmware/config/gateway.hpp"
#include "firmware/control/protocol.hpp"
#include "firmware/core/clock.hpp"
#include "firmware/ctl/invocation.hpp"

namespace hamlet::ctl {

/// `hamlet journal stat | check | export`: on the files, read-only, beside a daemon that runs or without. `tell`: see
/// journal::Progress.
[[nodiscard]] Asked<nlohmann::json> work_on_journal(
    const Invocation& asked, const config::Gateway& gateway, const Clock& clock,
    const std::function<void(std::uint64_t, std::uint64_t)>& tell);

}  // namespace hamlet::ctl
