#include "drivers/registry.hpp"

#include <array>

#include "drivers/board/board.hpp"
#include "drivers/gpio/gpio.hpp"
#include "drivers/hj212/hj212.hpp"
#include "drivers/lines/lines.hpp"
#include "drivers/modbus/modbus.hpp"
#include "drivers/mqtt/mqtt.hpp"
#include "drivers/program/program.hpp"
#include "drivers/replay/replay.hpp"
#include "drivers/sl651/sl651.hpp"
#include "drivers/sms/sms.hpp"
#include "drivers/speaker/speaker.hpp"

namespace hamlet::drivers {

std::span<const Driver> registry() {
  static constexpr std::array kDrivers{
      Driver{"board", &board::read, false},
      Driver{"gpio", &gpio::read, false},
      Driver{"hj212", &hj212::read},
      Driver{"lines", &lines::read},
      Driver{"modbus", &modbus::read},
      Driver{"mqtt", &mqtt::read},
      Driver{"program", &program::read, false},
      Driver{"replay", &replay::read, false},
      Driver{"sl651", &sl651::read},
      Driver{"sms", &sms::read},
      Driver{"speaker", &speaker::read, false},
  };
  return kDrivers;
}

}  // namespace hamlet::drivers
