#pragma once

#include "drivers/driver.hpp"

namespace hamlet::drivers::replay {

/// Reads a [[device]] with driver = "replay": recorded series as a sensor. Keys: drivers/replay/README.md.
[[nodiscard]] Blueprint read(const config::Table& device, const std::string& id);

}  // namespace hamlet::drivers::replay
