#include <array>

#include "sync/uplink/texts.hpp"
#include "sync/uplink/uplink.hpp"

namespace hamlet::uplink {

Options read_options(const config::Table& table) {
  using std::chrono::days, std::chrono::minutes, std::chrono::seconds;
  constexpr std::array<std::string_view, 3> kProtocols{"auto", "5", "3.1.1"};
  constexpr std::array kMeant{wire::MqttProtocol::any, wire::MqttProtocol::v5, wire::MqttProtocol::v311};
  Options options;
  if (!table.exists()) return options;
  options.enabled = table.flag_or("enabled", true);
  options.broker = options.enabled ? table.text("broker") : table.text_or("broker", "");
  if (!options.broker.empty() && !wire::parse_broker(options.broker)) {
    table.error("broker", texts::want_broker(options.broker));
  }
  options.fallback_brokers = table.texts_or("fallback_brokers");
  for (const auto& each : options.fallback_brokers) {
    if (!wire::parse_broker(each)) table.error("fallback_brokers", texts::want_broker(each));
  }
  options.return_after = table.duration_or("return_after", options.return_after, {seconds{1}, days{1}});
  options.tls = {table.text_or("ca", ""), table.text_or("cert", ""), table.text_or("key", "")};
  if (options.tls.cert.empty() != options.tls.key.empty()) table.error("cert", texts::cert_and_key());
  options.protocol = kMeant.at(table.choice_or("protocol", 0, kProtocols));
  options.client_id = table.text_or("client_id", "");
  options.user = table.text_or("user", "");
  options.password = table.secret_or("password");
  options.keepalive = table.duration_or("keepalive", options.keepalive, {seconds{2}, minutes{10}});
  options.connect_deadline = table.duration_or("connect_deadline", options.connect_deadline, {seconds{1}, minutes{5}});
  options.backoff_base = table.duration_or("backoff", options.backoff_base, {Millis{10}, minutes{10}});
  options.backoff_max = table.duration_or("backoff_max", options.backoff_max, {options.backoff_base, days{1}});
  options.backoff_refused = table.duration_or("backoff_refused", options.backoff_refused, {seconds{1}, days{1}});
  options.backoff_quota = table.duration_or("backoff_quota", options.backoff_quota, {seconds{1}, std::chrono::hours{1}});
  options.health_every = table.duration_or("health_every", options.health_every, {seconds{1}, days{1}});
  constexpr std::array<std::string_view, 2> kOrders{"oldest", "newest"};
  options.live_share = table.number_or("live_share", options.live_share, {0, 1});
  options.newest_first = table.choice_or("backlog", 0, kOrders) == 1;
  options.max_kbit = static_cast<std::uint64_t>(table.integer_or("max_kbit", 0, {0, 1'000'000}));
  options.compress = table.flag_or("compress", false);
  options.session_expiry = table.duration_or("session_expiry", options.session_expiry, {Millis{0}, days{30}});
  options.county_ack = table.flag_or("county_ack", false);
  return options;
}

}  // namespace hamlet::uplink
