#pragma once

#include "drivers/driver.hpp"

namespace hamlet::drivers::modbus {

/// Reads a [[device]] with driver = "modbus": Modbus TCP, function codes 1 to 4. Keys: drivers/modbus/README.md.
[[nodiscard]] Blueprint read(const config::Table& device, const std::string& id);

}  // namespace hamlet::drivers::modbus
