#pragma once

#include "drivers/driver.hpp"

namespace hamlet::drivers::board {

/// Reads a [[device]] with driver = "board": what the box knows of itself through sysfs, and the shutdown before its
/// battery ends. Keys: drivers/board/README.md.
[[nodiscard]] Blueprint read(const config::Table& device, const std::string& id);

}  // namespace hamlet::drivers::board
