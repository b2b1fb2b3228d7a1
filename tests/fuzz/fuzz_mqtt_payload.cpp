// Payloads of local MQTT devices: any bytes.

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "drivers/mqtt/payload.hpp"

namespace hamlet::fuzz_mqtt_payload {
using namespace hamlet;
using namespace hamlet::drivers;
using namespace hamlet::drivers::mqtt;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes{reinterpret_cast<const char*>(data), size};
  (void)parse_availability(bytes);
  (void)parse_rfc3339(bytes);
  (void)matches(bytes, "a/b/c");
  (void)matches("a/+/#", bytes);
  const auto payload = parse_payload(bytes);
  if (!payload) return 0;
  for (const auto* pointer : {"", "/object/t", "/a/0", "/s"}) {
    for (const auto type : {ValueType::number, ValueType::boolean, ValueType::text}) {
      Rule rule{.pointer = nlohmann::json::json_pointer{pointer}, .type = type, .scale = 1e300};
      const auto value = value_at(*payload, rule);
      const auto* number = value ? std::get_if<double>(&*value) : nullptr;
      if (number != nullptr && !std::isfinite(*number)) std::abort();
    }
  }
  return 0;
}

}  // namespace hamlet::fuzz_mqtt_payload
