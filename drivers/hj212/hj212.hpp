#pragma once

#include "drivers/driver.hpp"

namespace hamlet::drivers::hj212 {

/// Reads a [[device]] with driver = "hj212": one environment monitor that reports to us. Keys: drivers/hj212/README.md.
[[nodiscard]] Blueprint read(const config::Table& device, const std::string& id);

}  // namespace hamlet::drivers::hj212
