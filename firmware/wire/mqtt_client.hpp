#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/io_context.hpp>

#include "firmware/config/config.hpp"
#include "firmware/core/result.hpp"
#include "firmware/core/time.hpp"
#include "firmware/wire/broker.hpp"
#include "firmware/wire/link.hpp"

namespace hamlet::wire {

enum class MqttProtocol {
  v5,    ///< MQTT 5 or nothing
  v311,  ///< MQTT 3.1.1 or nothing
  any,   ///< 5, then 3.1.1 where the broker refuses 5 as an old one does
};
[[nodiscard]] std::string_view to_string(MqttProtocol protocol);

/// One message to be sent.
struct MqttPublish {
  std::string topic;
  std::string payload;
  int qos = 1;  ///< 0 or 1
  bool retained = false;
  std::uint64_t cookie = 0;      ///< comes back with its acknowledgement
  std::string correlation = {};  ///< MQTT 5 correlation data; empty: none. Left out on 3.1.1
  std::string encoding = {};     ///< MQTT 5 user property "content-encoding"; empty: none. Not to be used on 3.1.1
};

/// One message that came.
struct MqttMessage {
  std::string topic;
  std::string payload;
  bool retained = false;
  std::string response_topic = {};        ///< MQTT 5; empty: none
  std::string correlation = {};           ///< MQTT 5
  std::optional<Millis> expires_in = {};  ///< MQTT 5 message expiry, what was left when it came
};

/// The broker's answer to one published message (QoS 0: it left this machine).
struct MqttAck {
  std::uint64_t cookie = 0;
  /// MQTT 5 reason code where the broker refused the message (from 0x80 on), else 0: of a success Paho tells none (trap 11).
  int reason = 0;
  [[nodiscard]] bool refused() const { return reason >= 0x80; }
};
/// "0x97 Quota exceeded"
[[nodiscard]] std::string reason_text(int reason);

struct MqttOptions {
  BrokerAddress broker;
  TlsFiles tls;
  MqttProtocol protocol = MqttProtocol::any;
  std::string client_id;
  std::string user;
  config::Secret password;
  Millis keepalive{30'000};         ///< whole seconds, at least 1 s
  Millis resolve_deadline{5'000};   ///< for the name look-up
  Millis connect_deadline{20'000};  ///< for all of it: look-up, TCP, every address and protocol tried
  Millis session_expiry{0};         ///< MQTT 5; 0: the broker forgets the session, each one starts clean
  std::size_t max_inflight = 20;    ///< messages handed over and not yet acknowledged; 1 to 50
  std::optional<MqttPublish> will;  ///< what the broker publishes when we go without saying so
};

/// What a session turned out to be.
struct MqttSession {
  MqttProtocol protocol = MqttProtocol::v5;  ///< v5 or v311
  std::string address;                       ///< numeric, "127.0.0.1:1883"
  std::size_t max_inflight = 0;              ///< ours, or the broker's receive maximum where that is smaller
};

/// What a client tells; every one is called on the io thread, none after stop().
struct MqttHandlers {
  std::function<void(const MqttSession&)> connected;
  /// Once for each connect(): it failed, or what had been connected is no more. `reason` in the text where the broker
  /// gave one.
  std::function<void(const LinkError& why)> disconnected;
  std::function<void(std::span<const MqttAck>)> acked;
  std::function<void(MqttMessage)> message;
};

/// The one MQTT client: Eclipse Paho, with what is known to bite worked round in this one place (see the .cpp).
///
/// Every member is called from the io thread and does not block, except stop(). Paho is called only from the Worker
/// `mqtt`, and only with a numeric address, or a name that is pinned to one. Nothing is kept over a lost connection: what was not acknowledged is the
/// caller's to send again. It never connects again by itself.
class MqttClient {
 public:
  /// Addresses, numeric, by name. Blocks as long as it likes; runs in a thread of its own.
  using LookUp = std::function<Result<std::vector<std::string>>(const std::string& host)>;

  MqttClient(boost::asio::io_context& io, MqttOptions options, MqttHandlers handlers);
  /// With a name look-up of the caller's: the seam for a look-up that hangs.
  MqttClient(boost::asio::io_context& io, MqttOptions options, MqttHandlers handlers, LookUp look_up);
  ~MqttClient();  ///< stop()
  MqttClient(const MqttClient&) = delete;
  MqttClient& operator=(const MqttClient&) = delete;

  /// Starts a session; connected() or disconnected() follows within connect_deadline. Only while there is none. The
  /// Will may be another one each time.
  void connect();
  void set_will(MqttPublish will);
  /// Of the next connect().
  void set_broker(BrokerAddress broker);

  /// Error full: the window is; unavailable: not connected. Where it succeeds acked() follows, unless the session ends
  /// before.
  [[nodiscard]] Status publish(MqttPublish message);
  /// How many more publish() would take now.
  [[nodiscard]] std::size_t window_left() const;
  [[nodiscard]] std::size_t inflight() const;

  /// QoS 1. On MQTT 5 messages keep the retained flag they were published with. A refusal ends the session.
  void subscribe(std::vector<std::string> topic_filters);
  /// Asks for what is retained at one topic; unpeek() when it has come, or is no longer waited for. That the broker may
  /// refuse it is no matter.
  void peek(std::string topic);
  void unpeek(std::string topic);

  /// Gives the session up, whatever state it is in, and has the Will published. disconnected() does not follow.
  void drop();

  /// Sends `farewell` if connected, says goodbye, ends. Blocks at most 2 s. Idempotent; safe while connecting.
  void stop(std::optional<MqttPublish> farewell = std::nullopt);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace hamlet::wire
