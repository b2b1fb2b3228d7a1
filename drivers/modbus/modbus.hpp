#pragma once

#include "drivers/driver.hpp"
#include "drivers/modbus/port.hpp"

namespace hamlet::drivers::modbus {

/// Reads a [[device]] with driver = "modbus": on a [[bus]], or by TCP. Keys: drivers/modbus/README.md.
[[nodiscard]] Blueprint read(const config::Table& device, const std::string& id);

/// Reads a [[bus]].
[[nodiscard]] PortSettings read_bus(const config::Table& bus);

}  // namespace hamlet::drivers::modbus
