#include "drivers/registry.hpp"

#include <array>

#include "drivers/board/board.hpp"
#include "drivers/gpio/gpio.hpp"
#include "drivers/lines/lines.hpp"
#include "drivers/modbus/modbus.hpp"
#include "drivers/mqtt/mqtt.hpp"
#include "drivers/replay/replay.hpp"

namespace hamlet::drivers {

std::span<const Driver> registry() {
  static constexpr std::array kDrivers{
      Driver{"board", &board::read},
      Driver{"gpio", &gpio::read},
      Driver{"lines", &lines::read},
      Driver{"modbus", &modbus::read},
      Driver{"mqtt", &mqtt::read},
      Driver{"replay", &replay::read},
  };
  return kDrivers;
}

}  // namespace hamlet::drivers
