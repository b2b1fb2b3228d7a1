#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace hamlet::wire {

/// Where a broker is: "mqtt://host[:1883]", or by TLS "mqtts://host[:8883]".
struct BrokerAddress {
  std::string host;
  std::uint16_t port = 1883;
  bool tls = false;
};
/// Nothing where `uri` is no such address.
[[nodiscard]] std::optional<BrokerAddress> parse_broker(std::string_view uri);

}  // namespace hamlet::wire
