#include "drivers/registry.hpp"

#include <array>

#include "drivers/modbus/modbus.hpp"
#include "drivers/replay/replay.hpp"

namespace hamlet::drivers {

std::span<const Driver> registry() {
  static constexpr std::array kDrivers{
      Driver{"modbus", &modbus::read},
      Driver{"replay", &replay::read},
  };
  return kDrivers;
}

}  // namespace hamlet::drivers
