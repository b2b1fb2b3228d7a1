#include "tests/support/demo/village.hpp"

#include <fmt/format.h>

#include "tests/support/modbus_village.hpp"

namespace hamlet::demo {
namespace {

constexpr std::uint32_t kSeed = 1;
// The story begins when the rain has begun, so that the flood falls into the first half minute.
constexpr Millis kIntoStory{6'000};

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

// 0: port of the Modbus device, 1: limit, 2: clip. Where things are measured: tests/support/modbus_village.hpp.
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
  address = 0
  type = "float32"
  [[device.point]]
  id = "rain"
  name = {{ zh = "累计雨量", en = "Rain since the start" }}
  unit = "mm"
  function = "holding"
  address = 10
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
  address = 0
  [[device.point]]
  id = "door"
  name = {{ zh = "门", en = "Door" }}
  function = "discrete"
  address = 0

[quality."river.level"]
range = [0, 12]
rate_of_change = {{ change = 5, per = "1s" }}

[[alarm]]
id = "river-level-high"
point = "river.level"
above = {1}
deadband = 0.3
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
source = "file:/proc/self/cwd/{2}"
name = {{ zh = "渡口摄像机", en = "Ford camera" }}
loop = true
  [[camera.zone]]
  id = "ford"
  name = {{ zh = "渡口", en = "Ford" }}
  polygon = [[300, 200], [560, 200], [560, 420], [300, 420]]
  hold = "1s"
)";

}  // namespace

void measure(support::ModbusSimulator& sensors, Millis elapsed) {
  const std::chrono::duration<double> seconds = elapsed + kIntoStory;
  support::show(support::village_at(seconds.count(), kSeed), sensors);
}

std::string config_to_drain(const Box& box) {
  return fmt::format(kGatewayConfig, kDivision, kGateway, box.broker_port);
}

std::string config(const Box& box) {
  return config_to_drain(box) + fmt::format(kSensorsConfig, box.sensors_port, kLevelLimit, box.clip.string());
}

}  // namespace hamlet::demo
