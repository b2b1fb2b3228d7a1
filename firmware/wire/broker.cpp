#include "firmware/wire/broker.hpp"

#include <algorithm>
#include <charconv>
#include <system_error>

namespace hamlet::wire {

std::optional<BrokerAddress> parse_broker(std::string_view uri) {
  BrokerAddress address;
  constexpr std::string_view kPlain = "mqtt://";
  constexpr std::string_view kTls = "mqtts://";
  address.tls = uri.starts_with(kTls);
  if (address.tls) address.port = 8883;
  if (!address.tls && !uri.starts_with(kPlain)) return {};
  std::string_view rest = uri.substr(address.tls ? kTls.size() : kPlain.size());
  if (rest.starts_with('[')) {  // an IPv6 address
    const auto end = rest.find(']');
    if (end == std::string_view::npos) return {};
    address.host = rest.substr(1, end - 1);
    rest.remove_prefix(end + 1);
  } else {
    const auto end = std::min(rest.find(':'), rest.size());
    address.host = rest.substr(0, end);
    rest.remove_prefix(end);
  }
  if (address.host.empty() || address.host.find_first_of(" /@[]") != std::string::npos) return {};
  if (rest.empty()) return address;
  if (!rest.starts_with(':')) return {};
  rest.remove_prefix(1);
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), address.port);
  if (error != std::errc{} || end != rest.data() + rest.size() || address.port == 0) return {};
  return address;
}

}  // namespace hamlet::wire
