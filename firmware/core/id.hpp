#pragma once

#include <string>
#include <string_view>

namespace hamlet {

/// Ids of gateways, devices, points' own names, alarms, cameras, zones, event kinds: [a-z0-9-]{1,32}.
[[nodiscard]] bool is_id(std::string_view text);

/// A point's full name, "device.point": two ids and a dot.
[[nodiscard]] bool is_point_name(std::string_view text);

/// 16 hex digits from the kernel's random source: event ids, epochs.
[[nodiscard]] std::string random_hex64();

}  // namespace hamlet
