#pragma once

#include <span>

#include "drivers/driver.hpp"

namespace hamlet::drivers {

/// Every driver of this firmware, by name. A new one is one line in registry.cpp.
[[nodiscard]] std::span<const Driver> registry();

}  // namespace hamlet::drivers
