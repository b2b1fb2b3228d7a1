#include "tests/support/demo/village.hpp"

#include <cmath>
#include <numbers>

#include <fmt/format.h>

namespace hamlet::demo {
namespace {

using Kind = support::ModbusSimulator::Kind;

constexpr double kStorySeconds = 40;

constexpr std::uint16_t kLevelAddress = 0;   // input registers, float32
constexpr std::uint16_t kRainAddress = 100;  // holding register, 0.1 mm/h
constexpr std::uint16_t kPumpAddress = 0;    // coil
constexpr std::uint16_t kDoorAddress = 0;    // discrete input

// 0: division, 1: gateway, 2: port of the link
constexpr std::string_view kGatewayConfig = R"([gateway]
id = "{1}"
division = "{0}"
name = {{ zh = "河口村", en = "River mouth" }}
state_dir = "/proc/self/cwd/state"
run_dir = "/proc/self/cwd/run"
trust_clock = true

[journal]
window = "1s"

[uplink]
broker = "mqtt://127.0.0.1:{2}"
keepalive = "5s"
connect_deadline = "5s"
backoff = "500ms"
backoff_max = "2s"
)";

// 0: port of the Modbus device, 1: address of the level, 2: of the rain, 3: of the pump, 4: of the door, 5: limit, 6: clip
constexpr std::string_view kSensorsConfig = R"(
[[device]]
id = "river"
driver = "modbus"
name = {{ zh = "河道站", en = "River gauge" }}
address = "127.0.0.1"
port = {0}
period = "500ms"
  [[device.point]]
  id = "level"
  name = {{ zh = "水位", en = "Level" }}
  unit = "m"
  function = "input"
  address = {1}
  type = "float32"
  [[device.point]]
  id = "rain"
  name = {{ zh = "雨强", en = "Rain" }}
  unit = "mm/h"
  function = "holding"
  address = {2}
  type = "uint16"
  scale = 0.1

[[device]]
id = "pump-house"
driver = "modbus"
name = {{ zh = "泵房", en = "Pump house" }}
address = "127.0.0.1"
port = {0}
period = "500ms"
  [[device.point]]
  id = "pump"
  name = {{ zh = "水泵", en = "Pump" }}
  function = "coil"
  address = {3}
  [[device.point]]
  id = "door"
  name = {{ zh = "门", en = "Door" }}
  function = "discrete"
  address = {4}

[quality."river.level"]
range = [0, 12]
rate_of_change = {{ change = 5, per = "1s" }}

[[alarm]]
id = "river-level-high"
point = "river.level"
above = {5}
deadband = 0.2
on_delay = "1s"
severity = "critical"
text = {{ zh = "河道水位过高", en = "River level is high" }}

[[alarm]]
id = "pump-house-open"
point = "pump-house.door"
equals = true
severity = "minor"
text = {{ zh = "泵房门打开", en = "Pump house door is open" }}

[[camera]]
id = "cam-ford"
source = "file:/proc/self/cwd/{6}"
name = {{ zh = "渡口摄像机", en = "Ford camera" }}
loop = true
  [[camera.zone]]
  id = "ford"
  name = {{ zh = "渡口", en = "Ford" }}
  polygon = [[300, 200], [560, 200], [560, 420], [300, 420]]
  hold = "1s"
)";

}  // namespace

Weather weather_at(Millis since_start) {
  const double second = std::fmod(static_cast<double>(since_start.count()) / 1000, kStorySeconds);
  const double flood = std::pow(std::sin(std::numbers::pi * second / kStorySeconds), 2);
  Weather weather;
  weather.level_m = 1.2 + 4.0 * flood;
  weather.rain_mm_h = second > 2 && second < 18 ? 22 * std::pow(std::sin(std::numbers::pi * (second - 2) / 16), 2) : 0;
  weather.pump_on = weather.level_m > 3.5;
  weather.door_open = second > 3 && second < 7;
  return weather;
}

void measure(support::ModbusSimulator& sensors, const Weather& weather) {
  sensors.set_float(Kind::input, kLevelAddress, static_cast<float>(weather.level_m));
  sensors.set_register(Kind::holding, kRainAddress, static_cast<std::uint16_t>(std::lround(weather.rain_mm_h * 10)));
  sensors.set_bit(Kind::coil, kPumpAddress, weather.pump_on);
  sensors.set_bit(Kind::discrete, kDoorAddress, weather.door_open);
}

std::string config_to_drain(const Box& box) {
  return fmt::format(kGatewayConfig, kDivision, kGateway, box.broker_port);
}

std::string config(const Box& box) {
  return config_to_drain(box) + fmt::format(kSensorsConfig, box.sensors_port, kLevelAddress, kRainAddress, kPumpAddress,
                                            kDoorAddress, kLevelLimit, box.clip.string());
}

}  // namespace hamlet::demo
