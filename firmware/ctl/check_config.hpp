#pragma once

#include <filesystem>
#include <vector>

#include "firmware/config/config.hpp"

namespace hamlet::ctl {

/// Reads a config as the daemon would, every room's tables, and returns everything wrong with it. Touches no device.
[[nodiscard]] std::vector<config::Diagnostic> check_config(const std::filesystem::path& file);

}  // namespace hamlet::ctl
