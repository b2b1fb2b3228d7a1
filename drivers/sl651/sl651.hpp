#pragma once

#include "drivers/driver.hpp"

namespace hamlet::drivers::sl651 {

/// Reads a [[device]] with driver = "sl651": one station of SL 651-2014 that reports to us. Keys: drivers/sl651/README.md.
[[nodiscard]] Blueprint read(const config::Table& device, const std::string& id);

}  // namespace hamlet::drivers::sl651
