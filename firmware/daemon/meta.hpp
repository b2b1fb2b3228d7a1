#pragma once

#include <nlohmann/json.hpp>

#include "firmware/daemon/settings.hpp"

namespace hamlet::daemon {

/// What the contract's `meta` says of the box, without revision and envelope: devices, points, units, types, limits, cameras,
/// zones; all that a page needs to draw itself. No source, user or password of a camera.
[[nodiscard]] nlohmann::json describe(const Settings& settings);

/// One alarm of it.
[[nodiscard]] nlohmann::json describe_alarm(const detect::AlarmRule& rule);

}  // namespace hamlet::daemon
