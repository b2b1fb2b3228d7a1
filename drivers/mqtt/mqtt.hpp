#pragma once

#include "drivers/driver.hpp"

namespace hamlet::drivers::mqtt {

/// Reads a [[device]] with driver = "mqtt": what speaks to a broker in the village. Keys: drivers/mqtt/README.md.
[[nodiscard]] Blueprint read(const config::Table& device, const std::string& id);

}  // namespace hamlet::drivers::mqtt
