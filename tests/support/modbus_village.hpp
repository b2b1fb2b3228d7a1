#pragma once

#include <cstdint>

#include "tests/support/modbus_simulator.hpp"

namespace hamlet::support {

/// What the sensors of a village show at one moment.
struct VillageSignals {
  float river_m = 0;            ///< level of the river
  std::uint16_t rain_tips = 0;  ///< of a tipping-bucket gauge, 0.1 mm each, counted from the start; wraps at 65536
  bool pump_on = false;
  bool door_open = false;
};

/// The signals `seconds` after the start: the same for the same seed, on every machine. A round takes 90 s: the river
/// stands at about 1.7 m, a flood crosses 3.0 m at 16 to 18 s, peaks near 3.6 m at 24 s and is below 2.6 m again by 38
/// s. Meanwhile the pump runs while the river is above 2.6 m, rain falls from 2 to 27 s, and the door stands open for 6
/// s somewhere after 45 s.
[[nodiscard]] VillageSignals village_at(double seconds, std::uint32_t seed);

/// Where the simulator has them, all from 0: input registers 0 and 1 the river as float32 ABCD, holding register 10 the
/// rain, coil 0 the pump, discrete input 0 the door.
void show(const VillageSignals& signals, ModbusSimulator& simulator);

}  // namespace hamlet::support
