#include "firmware/wire/mqtt_client.hpp"

#include <array>
#include <atomic>
#include <cassert>
#include <charconv>
#include <chrono>
#include <csignal>
#include <deque>
#include <mutex>
#include <utility>
#include <variant>

#include <boost/asio/ip/address.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <fmt/format.h>
#include <mqtt/async_client.h>
#include <pthread.h>

#include "firmware/core/log.hpp"
#include "firmware/core/worker.hpp"
#include "firmware/wire/pinned_name.hpp"
#include "firmware/wire/resolver.hpp"
#include "firmware/wire/texts.hpp"

// What is known to bite in Debian's Paho C++ 1.2.0 and C 1.3.12, and what is done about it here:
//
//   1. A persistence folder of "" means files in "/": the persistence is a null iclient_persistence*, always.
//   2. Its buffers for times without a link lose (above 100 messages it throws) or never finish (O(n^2)): it is given
//      nothing while not connected, and never more than our window.
//   3. More handed over than its own limit of messages in flight stalls it for a second: our window is the smaller one.
//   4. Its own reconnect deadlocks, loses and aborts (paho.mqtt.cpp #356, #384, #465), and tokens of a lost connection
//      stay pending for ever (#525): each session is a new async_client, destroyed when it is over.
//   5. It looks names up holding the lock that all its calls need: it gets numeric addresses only; by TLS, where it must have the name, the
//      name is pinned to the address that our resolver has found (pinned_name.cpp).
//   6. Its callbacks run under that same lock (#389): ours move what came into an inbox, and post.
//   7. Its threads write to sockets that are gone (#419): they inherit a mask in which SIGPIPE is blocked.
//   8. It calls a link dead after 2.5 keepalives: it is told three quarters of ours, which makes that less than two.
//   9. Its connect timeout is looked at every 3 s only: the deadline is ours.
//  10. It always says DISCONNECT, and C++ 1.2.0 drops the reason code "with Will": where the Will is due, we publish
//  it.
//  11. A CONNACK's MQTT 5 reason is where 3.1.1's return code was; a PUBACK's is there only where it refuses. That of a success is lost
//      inside (seen with 0x10 on the wire): MQTTAsync_successData5 says 0x00 with no properties, the trace callback has the packet's
//      id at its most talkative and no reason. So "nobody subscribes" cannot be counted; it counts as taken (ARCHITECTURE.md).
//  12. Destroying its last client waits for its threads, up to a second or so: only the Worker does that. (An idle
//      client beside it would save that, and cost each connect a second: new sockets are looked at only that often.)
//  13. Where the broker says DISCONNECT, connection_lost is not called, and nothing is known of the end: both callbacks end the session.

namespace hamlet::wire {

namespace {

constexpr std::size_t kMaxWindow = 50;
constexpr std::size_t kMaxUndelivered = 256;  // messages the io thread has not looked at; more are dropped
constexpr std::chrono::milliseconds kFarewell{700};
constexpr std::chrono::milliseconds kGoodbye{300};

constexpr int kMalformed = 0x81, kProtocolError = 0x82, kUnsupportedVersion = 0x84;  // reasons of MQTT 5
constexpr int kBadLogin = 0x86, kNotAuthorized = 0x87;
constexpr int kTakenOver = 0x8e;
constexpr int kServerBusy = 0x89, kRateExceeded = 0x96, kQuotaExceeded = 0x97;
constexpr int kConnackVersion = 1, kConnackBadLogin = 4, kConnackNotAuthorized = 5;  // return codes of 3.1.1

// ---- what Paho's threads tell the io thread ----

struct Opened {
  std::size_t receive_maximum = kMaxWindow;
};
/// The session did not come to be.
struct Failed {
  LinkError error;
  enum class Version { fine, perhaps_refused, refused } version = Version::fine;
};
/// The session is no more.
struct Lost {
  LinkError error;
};
/// One slot of the window is free again.
struct Done {
  std::size_t slot = 0;
  int reason = 0;
};
using Incident = std::variant<Opened, Failed, Lost, Done, MqttMessage>;

/// Carries incidents from Paho's threads to the io thread, many with one post. Thread-safe.
class Inbox {
 public:
  /// `wake` is called when the inbox stops being empty.
  explicit Inbox(std::function<void()> wake) : wake_{std::move(wake)} {}

  void push(Incident incident) {
    const bool message = std::holds_alternative<MqttMessage>(incident);
    {
      const std::lock_guard lock{mutex_};
      if (message && ++messages_ > kMaxUndelivered) {
        if (messages_ == kMaxUndelivered + 1)
          log::warning("too many messages from the broker at once: some are dropped");
        return;
      }
      incidents_.push_back(std::move(incident));
      if (incidents_.size() > 1) return;
    }
    wake_();
  }

  [[nodiscard]] std::vector<Incident> take() {
    const std::lock_guard lock{mutex_};
    messages_ = 0;
    return std::exchange(incidents_, {});
  }

 private:
  const std::function<void()> wake_;
  std::mutex mutex_;
  std::vector<Incident> incidents_;  // guarded by mutex_
  std::size_t messages_ = 0;         // guarded by mutex_
};

struct Outgoing {
  MqttPublish message;
  std::size_t slot = 0;
};

/// The failure that a finished token stands for.
mqtt::exception failure_of(const mqtt::token& token) {
  try {
    if (token.get_type() == mqtt::token::Type::CONNECT) (void)token.get_connect_response();
  } catch (const mqtt::exception& error) {
    return error;
  }
  return mqtt::exception{token.get_return_code(), token.get_reason_code()};
}

Failed connect_failure(const mqtt::exception& error, const std::string& address) {
  const std::string what = error.get_message();
  if (what == "CONNACK return code") {  // MQTT 5's reason, too, is where 3.1.1's return code was
    const int reason = error.get_return_code();
    if (reason == kBadLogin || reason == kConnackBadLogin || reason == kNotAuthorized ||
        reason == kConnackNotAuthorized) {
      return {LinkError{Errc::denied, "bad-login", texts::bad_login(address)}};
    }
    const bool version =
        reason == kMalformed || reason == kProtocolError || reason == kUnsupportedVersion || reason == kConnackVersion;
    const bool quota = reason == kQuotaExceeded || reason == kRateExceeded || reason == kServerBusy;
    return {LinkError{quota ? Errc::full : Errc::unavailable, "refused", texts::refused(address, reason_text(reason))},
            version ? Failed::Version::refused : Failed::Version::fine};
  }
  // A broker that knows no MQTT 5 may answer in a form that Paho takes for a broken one, or just close; so does a link
  // that breaks.
  if (what == "TCP connect completion failure" || what == "socket error") {
    return {LinkError{Errc::unavailable, "closed", texts::closed(address)},
            Failed::Version::perhaps_refused};
  }
  return {LinkError{Errc::unavailable, "not-reached", texts::not_reached(address, what.empty() ? "no connection" : what)}};
}

// ---- one session ----

/// One attempt to connect and what becomes of it. Made by the io thread, then called only from the Worker, which also
/// destroys it; Paho's threads call its listeners.
class Session {
 public:
  Session(const MqttOptions& options, int version, std::string address, std::shared_ptr<Inbox> inbox)
      : options_{options}, version_{version}, address_{std::move(address)}, inbox_{std::move(inbox)} {}

  /// From the io thread: nobody waits for it any more.
  void give_up() { given_up_ = true; }

  void open() {
    if (given_up_) return;  // the Worker came to it too late
    try {
      const auto ip = boost::asio::ip::make_address(address_);
      // By TLS the name is needed, for SNI and the certificate; else the address is enough.
      const auto& broker = options_.broker;
      boost::system::error_code is_name;
      (void)boost::asio::ip::make_address(broker.host, is_name);
      const bool named = broker.tls && is_name;
      if (named) pin_name(broker.host, address_);
      const std::string host = named ? broker.host : ip.is_v6() ? "[" + address_ + "]" : address_;
      const std::string uri = fmt::format("{}://{}:{}", broker.tls ? "ssl" : "tcp", host, broker.port);
      mqtt::create_options create{version_, static_cast<int>(kMaxWindow)};
      create.set_send_while_disconnected(false);
      client_ = std::make_unique<mqtt::async_client>(uri, options_.client_id, create,
                                                     static_cast<mqtt::iclient_persistence*>(nullptr));
      client_->set_connection_lost_handler([this](const std::string&) { lost(0); });
      client_->set_disconnected_handler([this](const mqtt::properties&, mqtt::ReasonCode reason) { lost(reason); });
      client_->set_message_callback([this](const mqtt::const_message_ptr& message) { arrived(*message); });
      client_->connect(connect_options(), nullptr, connect_listener_);
    } catch (const std::exception& error) {
      inbox_->push(Failed{LinkError{Errc::failed, "failed", texts::not_reached(address_, error.what())}});
    }
  }

  void subscribe(const std::vector<std::string>& filters) {
    try {
      mqtt::subscribe_options as_published;
      as_published.set_retain_as_published(version_ == MQTTVERSION_5);
      for (const auto& filter : filters) client_->subscribe(filter, 1, nullptr, subscribe_listener_, as_published);
    } catch (const std::exception& error) {
      inbox_->push(Lost{LinkError{Errc::unavailable, "lost", texts::lost(address_, error.what())}});
    }
  }

  void peek(const std::string& topic, bool begin) {
    try {
      mqtt::subscribe_options as_published;
      as_published.set_retain_as_published(version_ == MQTTVERSION_5);
      if (begin) {
        client_->subscribe(topic, 1, as_published);
      } else {
        client_->unsubscribe(topic);
      }
    } catch (const std::exception& error) {
      inbox_->push(Lost{LinkError{Errc::unavailable, "lost", texts::lost(address_, error.what())}});
    }
  }

  /// From the io thread. True: a job that calls flush() has to be posted.
  [[nodiscard]] bool queue(Outgoing outgoing) {
    const std::lock_guard lock{mutex_};
    outgoing_.push_back(std::move(outgoing));
    return outgoing_.size() == 1;
  }

  void flush() {
    std::vector<Outgoing> batch;
    {
      const std::lock_guard lock{mutex_};
      batch.swap(outgoing_);
    }
    try {
      for (auto& [message, slot] : batch) send(std::move(message), &slots_[slot], publish_listener_);
    } catch (const std::exception& error) {
      inbox_->push(Lost{LinkError{Errc::unavailable, "lost", texts::lost(address_, error.what())}});
    }
  }

  /// Publishes one more and waits for it.
  void say(MqttPublish farewell) {
    try {
      send(std::move(farewell), nullptr, farewell_listener_)->wait_for(kFarewell);
    } catch (const std::exception& error) {
      log::debug("no farewell to the broker", {{"error", error.what()}});
    }
  }

  enum class Leave { saying_goodbye, with_will };
  void close(Leave leave) {
    try {
      if (!client_ || !client_->is_connected()) return;
      if (leave == Leave::with_will && options_.will) say(*options_.will);
      client_->disconnect()->wait_for(kGoodbye);
    } catch (const std::exception&) {  // it is gone already, which is what was wanted
    }
  }

  [[nodiscard]] int version() const { return version_; }
  [[nodiscard]] const std::string& address() const { return address_; }
  [[nodiscard]] const std::shared_ptr<Inbox>& inbox() const { return inbox_; }

 private:
  struct ConnectListener final : mqtt::iaction_listener {
    explicit ConnectListener(Session& session) : self{session} {}
    void on_success(const mqtt::token& token) override {
      Opened opened;
      const auto response = token.get_connect_response();
      const auto& properties = response.get_properties();
      if (properties.contains(mqtt::property::RECEIVE_MAXIMUM)) {
        opened.receive_maximum = mqtt::get<std::uint16_t>(properties, mqtt::property::RECEIVE_MAXIMUM);
      }
      self.inbox_->push(opened);
    }
    void on_failure(const mqtt::token& token) override {
      self.inbox_->push(connect_failure(failure_of(token), self.address_));
    }
    Session& self;
  };

  struct PublishListener final : mqtt::iaction_listener {
    explicit PublishListener(Session& session) : self{session} {}
    void on_success(const mqtt::token& token) override { self.inbox_->push(Done{slot(token), 0}); }
    void on_failure(const mqtt::token& token) override {
      const int reason = token.get_reason_code();
      // Without a reason of the broker's it is the session that ends, and says so itself.
      if (reason >= 0x80 && reason != mqtt::MQTTPP_V3_CODE) self.inbox_->push(Done{slot(token), reason});
    }
    [[nodiscard]] std::size_t slot(const mqtt::token& token) const {
      return static_cast<std::size_t>(static_cast<std::byte*>(token.get_user_context()) - self.slots_.data());
    }
    Session& self;
  };

  struct SubscribeListener final : mqtt::iaction_listener {
    explicit SubscribeListener(Session& session) : self{session} {}
    void on_success(const mqtt::token&) override {}
    void on_failure(const mqtt::token& token) override {
      // The link may have broken before the answer: that is no refusal, for which we would stay away.
      const int reason = token.get_reason_code();
      const bool refused = (reason >= 0x80 && reason != mqtt::MQTTPP_V3_CODE) || token.get_return_code() >= 0x80;
      if (!refused) return self.inbox_->push(Lost{LinkError{Errc::unavailable, "lost", texts::lost(self.address_)}});
      const auto topics = token.get_topics();
      const std::string topic = topics && !topics->empty() ? (*topics)[0] : std::string{"?"};
      self.inbox_->push(Lost{LinkError{Errc::denied, "no-access", texts::no_subscription(topic)}});
    }
    Session& self;
  };

  /// A member as the others are: the answer may come after nobody waits for it.
  struct FarewellListener final : mqtt::iaction_listener {
    void on_success(const mqtt::token&) override {}
    void on_failure(const mqtt::token&) override {}
  };

  [[nodiscard]] mqtt::connect_options connect_options() const {
    mqtt::connect_options options;
    options.set_mqtt_version(version_);
    options.set_keep_alive_interval(std::max(
        std::chrono::seconds{1}, std::chrono::duration_cast<std::chrono::seconds>(options_.keepalive * 3 / 4)));
    options.set_connect_timeout(std::chrono::duration_cast<std::chrono::seconds>(options_.connect_deadline) +
                                std::chrono::seconds{5});
    options.set_automatic_reconnect(false);
    if (version_ == MQTTVERSION_5) {
      options.set_clean_start(options_.session_expiry == Millis{0});
      if (options_.session_expiry > Millis{0}) {
        const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(options_.session_expiry).count();
        options.set_properties({{mqtt::property::SESSION_EXPIRY_INTERVAL, static_cast<std::int32_t>(seconds)}});
      }
    } else {
      options.set_clean_session(options_.session_expiry == Millis{0});
    }
    if (options_.broker.tls) {
      mqtt::ssl_options tls;  // TLS 1.2 at least: the system's floor
      if (!options_.tls.ca.empty()) tls.set_trust_store(options_.tls.ca.string());
      if (!options_.tls.cert.empty()) tls.set_key_store(options_.tls.cert.string());
      if (!options_.tls.key.empty()) tls.set_private_key(options_.tls.key.string());
      tls.set_enable_server_cert_auth(true);
      tls.set_verify(true);
      options.set_ssl(tls);
    }
    if (!options_.user.empty()) options.set_user_name(options_.user);
    if (!options_.password.empty()) options.set_password(options_.password.reveal());
    if (const auto& will = options_.will) {
      options.set_will(mqtt::will_options{will->topic, will->payload, will->qos, will->retained});
    }
    return options;
  }

  mqtt::delivery_token_ptr send(MqttPublish message, void* context, mqtt::iaction_listener& listener) {
    mqtt::properties properties;
    if (version_ == MQTTVERSION_5 && !message.correlation.empty()) {
      properties.add({mqtt::property::CORRELATION_DATA, message.correlation});
    }
    if (version_ == MQTTVERSION_5 && !message.encoding.empty()) {
      properties.add({mqtt::property::USER_PROPERTY, "content-encoding", message.encoding});
    }
    return client_->publish(
        mqtt::message::create(std::move(message.topic), mqtt::binary_ref{std::move(message.payload)}, message.qos,
                              message.retained, properties),
        context, listener);
  }

  /// `said`: the reason of the broker's DISCONNECT; 0: none.
  void lost(int said) {
    if (said == kTakenOver) return inbox_->push(Lost{LinkError{Errc::full, "taken-over", texts::taken_over(address_)}});
    const bool quota = said == kQuotaExceeded || said == kRateExceeded || said == kServerBusy;
    inbox_->push(Lost{LinkError{quota ? Errc::full : Errc::unavailable, "lost",
                                said != 0 ? texts::lost(address_, reason_text(said)) : texts::lost(address_)}});
  }

  void arrived(const mqtt::message& message) {
    MqttMessage in{message.get_topic(), message.to_string(), message.is_retained()};
    const auto& properties = message.get_properties();
    if (properties.contains(mqtt::property::RESPONSE_TOPIC)) {
      in.response_topic = mqtt::get<std::string>(properties, mqtt::property::RESPONSE_TOPIC);
    }
    if (properties.contains(mqtt::property::CORRELATION_DATA)) {
      in.correlation = mqtt::get<std::string>(properties, mqtt::property::CORRELATION_DATA);
    }
    if (properties.contains(mqtt::property::MESSAGE_EXPIRY_INTERVAL)) {
      in.expires_in =
          std::chrono::seconds{mqtt::get<std::uint32_t>(properties, mqtt::property::MESSAGE_EXPIRY_INTERVAL)};
    }
    inbox_->push(std::move(in));
  }

  const MqttOptions options_;
  const int version_;
  const std::string address_;
  const std::shared_ptr<Inbox> inbox_;
  std::atomic<bool> given_up_ = false;
  std::mutex mutex_;
  std::vector<Outgoing> outgoing_;             // guarded by mutex_; bounded by the window
  std::array<std::byte, kMaxWindow> slots_{};  // their addresses name the slots of the window
  ConnectListener connect_listener_{*this};
  PublishListener publish_listener_{*this};
  SubscribeListener subscribe_listener_{*this};
  FarewellListener farewell_listener_;
  std::unique_ptr<mqtt::async_client> client_;  // last: destroying it calls the listeners
};

void block_sigpipe() {
  sigset_t pipe;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
}

int paho_version(MqttProtocol protocol) {
  return protocol == MqttProtocol::v311 ? MQTTVERSION_3_1_1 : MQTTVERSION_5;
}

}  // namespace

// ---- the client ----

struct MqttClient::Impl : std::enable_shared_from_this<Impl> {
  enum class State { idle, resolving, connecting, connected, stopped };

  Impl(boost::asio::io_context& io_context, MqttOptions the_options, MqttHandlers the_handlers, LookUp look_up)
      : io{io_context},
        options{std::move(the_options)},
        handlers{std::move(the_handlers)},
        resolver{io, std::move(look_up)},
        deadline{io},
        protocol{options.protocol} {
    assert(options.max_inflight >= 1 && options.max_inflight <= kMaxWindow);
  }

  void connect() {
    assert(state == State::idle);
    state = State::resolving;
    const auto started = std::chrono::steady_clock::now();
    give_up_at = started + options.connect_deadline;
    boost::system::error_code not_numeric;
    (void)boost::asio::ip::make_address(options.broker.host, not_numeric);
    arm(not_numeric ? std::min(give_up_at, started + options.resolve_deadline) : give_up_at);
    if (!not_numeric) {
      boost::asio::post(io, [weak = weak_from_this(), host = options.broker.host] {
        if (const auto self = weak.lock()) self->resolved(std::vector{host});
      });
      return;
    }
    auto asked = resolver.resolve(options.broker.host, [weak = weak_from_this()](auto found) {
      if (const auto self = weak.lock()) self->resolved(std::move(found));
    });
    if (asked) return;
    boost::asio::post(io, [weak = weak_from_this(), error = std::move(asked).error()] {
      if (const auto self = weak.lock(); self && self->state == State::resolving) {
        self->over({error.code, "name-hangs", texts::name_fails(self->options.broker.host, error.message)});
      }
    });
  }

  void resolved(Result<std::vector<std::string>> found) {
    if (state != State::resolving) return;
    if (!found) return over({found.error().code, "name-unknown", texts::name_fails(options.broker.host, found.error().message)});
    addresses.assign(found->begin(), found->end());
    state = State::connecting;
    arm(give_up_at);
    open_next(paho_version(protocol));
  }

  /// Tries the first of the addresses that are left.
  void open_next(int version) {
    std::weak_ptr<Impl> weak = weak_from_this();
    auto inbox = std::make_shared<Inbox>([&context = io, weak] {
      boost::asio::post(context, [weak] {
        if (const auto self = weak.lock()) self->look_into_inbox();
      });
    });
    session = std::make_shared<Session>(options, version, addresses.front(), std::move(inbox));
    run([session = session] { session->open(); });
  }

  void look_into_inbox() {
    if (!session) return;
    const auto inbox = session->inbox();
    const auto still_on = [&] { return session && session->inbox() == inbox; };
    for (auto& incident : inbox->take()) {
      if (const auto* done = std::get_if<Done>(&incident)) {
        acks.push_back({cookies[done->slot], done->reason});
        free_slots.push_back(done->slot);
        continue;
      }
      hand_over_acks();
      if (!still_on()) return;
      std::visit([this](auto& it) { handle(it); }, incident);
      if (!still_on()) return;
    }
    hand_over_acks();
  }

  void hand_over_acks() {
    if (acks.empty()) return;
    if (handlers.acked) handlers.acked(acks);
    acks.clear();
  }

  void handle(Opened& opened) {
    if (state != State::connecting) return;
    deadline.cancel();
    state = State::connected;
    if (options.protocol == MqttProtocol::any) {
      protocol = session->version() == MQTTVERSION_5 ? MqttProtocol::v5 : MqttProtocol::v311;
    }
    const std::size_t window = std::clamp<std::size_t>(opened.receive_maximum, 1, options.max_inflight);
    free_slots.clear();
    for (std::size_t slot = window; slot-- > 0;) free_slots.push_back(slot);
    used_window = window;
    handlers.connected({session->version() == MQTTVERSION_5 ? MqttProtocol::v5 : MqttProtocol::v311,
                        fmt::format("{}:{}", session->address(), options.broker.port), window});
  }

  void handle(Failed& failed) {
    if (state != State::connecting) return;
    const bool may_fall_back = options.protocol == MqttProtocol::any && session->version() == MQTTVERSION_5;
    const bool refused = failed.version == Failed::Version::refused ||
                         (failed.version == Failed::Version::perhaps_refused && protocol == MqttProtocol::any);
    retire(Session::Leave::with_will);
    if (may_fall_back && refused) return open_next(MQTTVERSION_3_1_1);
    addresses.pop_front();
    if (!addresses.empty()) return open_next(paho_version(protocol));
    if (protocol == MqttProtocol::v311) protocol = options.protocol;  // it may have learned MQTT 5 meanwhile
    over(failed.error);
  }

  void handle(Lost& lost) { over(lost.error); }
  void handle(MqttMessage& message) {
    if (handlers.message) handlers.message(std::move(message));
  }
  void handle(Done&) {}  // together with others: look_into_inbox()

  Status publish(MqttPublish message) {
    if (state != State::connected) return fail(Errc::unavailable, "not connected to the broker");
    if (free_slots.empty()) return fail(Errc::full, "the window of messages in flight is full");
    const std::size_t slot = free_slots.back();
    free_slots.pop_back();
    cookies[slot] = message.cookie;
    if (session->queue({std::move(message), slot})) run([session = session] { session->flush(); });
    return {};
  }

  void arm(std::chrono::steady_clock::time_point when) {
    deadline.expires_at(when);
    deadline.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
      if (error) return;
      if (const auto self = weak.lock()) self->deadline_passed();
    });
  }

  void deadline_passed() {
    if (deadline.expiry() > std::chrono::steady_clock::now()) return;  // armed anew meanwhile
    if (state == State::resolving) {
      return over({Errc::timeout, "name-hangs", texts::name_hangs(options.broker.host, hamlet::to_string(options.resolve_deadline))});
    }
    if (state != State::connecting) return;
    over({Errc::timeout, "no-answer", texts::no_answer(fmt::format("{}:{}", addresses.front(), options.broker.port),
                                                       hamlet::to_string(options.connect_deadline))});
  }

  /// The session, or the attempt, has ended by itself.
  void over(LinkError why) {
    abandon();
    if (handlers.disconnected) handlers.disconnected(why);
  }

  void abandon() {
    deadline.cancel();
    resolver.cancel();
    retire(Session::Leave::with_will);
    free_slots.clear();
    used_window = 0;
    if (state != State::stopped) state = State::idle;
  }

  /// Hands the present session to the Worker, to be closed and destroyed there.
  void retire(Session::Leave leave) {
    if (!session) return;
    session->give_up();
    run([session = std::exchange(session, nullptr), leave] { session->close(leave); });
  }

  void run(Worker::Job job) {
    // Its queue is full only where Paho has not come back for hours; what is refused then ends by its deadline.
    if (!worker.post(std::move(job))) log::error("the MQTT library hangs: restart hamletd");
  }

  void stop(std::optional<MqttPublish> farewell) {
    if (state == State::stopped) return;
    if (state == State::connected && farewell) {
      run([session = session, farewell = std::move(*farewell)]() mutable {
        session->flush();
        session->say(std::move(farewell));
      });
    }
    state = State::stopped;
    deadline.cancel();
    resolver.cancel();
    retire(Session::Leave::saying_goodbye);
    worker.stop(Worker::Drain::yes);
  }

  boost::asio::io_context& io;
  MqttOptions options;
  const MqttHandlers handlers;
  Resolver resolver;
  boost::asio::steady_timer deadline;
  std::chrono::steady_clock::time_point give_up_at{};
  State state = State::idle;
  MqttProtocol protocol;              // what is known of the broker: any, or what it was last connected with
  std::deque<std::string> addresses;  // that this connect() has not tried, the present one first
  std::shared_ptr<Session> session;   // the io thread never holds the last reference: retire()
  std::array<std::uint64_t, kMaxWindow> cookies{};
  std::vector<std::size_t> free_slots;
  std::size_t used_window = 0;  // slots of the present session
  std::vector<MqttAck> acks;    // of one look into the inbox
  Worker worker{"mqtt", 1024};
};

MqttClient::MqttClient(boost::asio::io_context& io, MqttOptions options, MqttHandlers handlers)
    : MqttClient{io, std::move(options), std::move(handlers), &look_up_by_libc} {}

MqttClient::MqttClient(boost::asio::io_context& io, MqttOptions options, MqttHandlers handlers, LookUp look_up)
    : impl_{std::make_shared<Impl>(io, std::move(options), std::move(handlers), std::move(look_up))} {
  impl_->run(&block_sigpipe);
}

MqttClient::~MqttClient() {
  stop();
}

void MqttClient::connect() {
  impl_->connect();
}
void MqttClient::set_broker(BrokerAddress broker) {
  impl_->options.broker = std::move(broker);
}
void MqttClient::set_will(MqttPublish will) {
  impl_->options.will = std::move(will);
}
Status MqttClient::publish(MqttPublish message) {
  return impl_->publish(std::move(message));
}
std::size_t MqttClient::window_left() const {
  return impl_->free_slots.size();
}
std::size_t MqttClient::inflight() const {
  return impl_->used_window - impl_->free_slots.size();
}

void MqttClient::subscribe(std::vector<std::string> topic_filters) {
  if (impl_->state != Impl::State::connected) return;
  impl_->run([session = impl_->session, filters = std::move(topic_filters)] { session->subscribe(filters); });
}

void MqttClient::peek(std::string topic) {
  if (impl_->state != Impl::State::connected) return;
  impl_->run([session = impl_->session, topic = std::move(topic)] { session->peek(topic, true); });
}
void MqttClient::unpeek(std::string topic) {
  if (impl_->state != Impl::State::connected) return;
  impl_->run([session = impl_->session, topic = std::move(topic)] { session->peek(topic, false); });
}

void MqttClient::drop() {
  impl_->abandon();
}
void MqttClient::stop(std::optional<MqttPublish> farewell) {
  impl_->stop(std::move(farewell));
}

// ---- words ----

std::string_view to_string(MqttProtocol protocol) {
  switch (protocol) {
    case MqttProtocol::v5:
      return "5";
    case MqttProtocol::v311:
      return "3.1.1";
    case MqttProtocol::any:
      return "auto";
  }
  return "?";
}

std::string reason_text(int reason) {
  const char* name = MQTTReasonCode_toString(static_cast<MQTTReasonCodes>(reason));
  return fmt::format("0x{:02x} {}", reason, name ? name : "unknown");
}

}  // namespace hamlet::wire
