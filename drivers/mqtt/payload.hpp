#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "drivers/driver.hpp"
#include "firmware/core/result.hpp"

namespace hamlet::drivers::mqtt {

/// How one point is taken from a payload.
struct Rule {
  nlohmann::json::json_pointer pointer;
  ValueType type = ValueType::number;
  double scale = 1;
  double offset = 0;
  std::optional<double> absent{};  ///< what it means where the pointer leads nowhere (protobuf leaves out what is 0)
  std::vector<std::string> none{};  ///< texts that mean that there is no value, beside null, "nan" and "unknown"
  bool fahrenheit = false;        ///< the device says °F (Tasmota's TempUnit): to be made °C
};

/// JSON, or where it is none a text. At most 64 KiB, 16 levels and 4096 values: error invalid.
[[nodiscard]] Result<nlohmann::json> parse_payload(std::string_view payload);

/// The value of a point; nothing (monostate): the device says that it has none; nullopt: the payload does not speak of it.
[[nodiscard]] std::optional<Value> value_at(const nlohmann::json& payload, const Rule& rule);

/// "2026-05-01T08:30:00.123456+08:00"; nothing for what has no offset: local time means nothing here.
[[nodiscard]] std::optional<WallTime> parse_rfc3339(std::string_view text);

/// Whether a topic is of a filter with + and #.
[[nodiscard]] bool matches(std::string_view filter, std::string_view topic);

/// "online"/"offline", {"state":"online"}, "Online"/"Offline": whether the device is there; nothing for anything else.
[[nodiscard]] std::optional<bool> parse_availability(std::string_view payload);

}  // namespace hamlet::drivers::mqtt
