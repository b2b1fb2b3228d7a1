#pragma once

#include "drivers/driver.hpp"

namespace hamlet::drivers::speaker {

/// Reads a [[device]] with driver = "speaker": recorded messages over a loudspeaker, by ALSA. Keys:
/// drivers/speaker/README.md.
[[nodiscard]] Blueprint read(const config::Table& device, const std::string& id);

}  // namespace hamlet::drivers::speaker
