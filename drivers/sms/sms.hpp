#pragma once

#include "drivers/driver.hpp"

namespace hamlet::drivers::sms {

/// Reads a [[device]] with driver = "sms": short messages through a modem on a serial port. Keys:
/// drivers/sms/README.md.
[[nodiscard]] Blueprint read(const config::Table& device, const std::string& id);

}  // namespace hamlet::drivers::sms
