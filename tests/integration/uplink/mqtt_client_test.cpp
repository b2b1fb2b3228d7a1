// The MQTT client against a real mosquitto: what Paho is known to do wrong must not come through.
#include "firmware/wire/mqtt_client.hpp"

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <future>
#include <set>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <doctest/doctest.h>
#include <sys/socket.h>

#include "tests/support/broker.hpp"
#include "tests/support/county.hpp"
#include "tests/support/false_broker.hpp"
#include "tests/support/proxy.hpp"

namespace asio = boost::asio;
using asio::ip::tcp;
using hamlet::Errc;
using hamlet::Error;
using hamlet::Millis;
using hamlet::support::Broker;
using hamlet::support::Proxy;
using hamlet::wire::MqttAck;
using hamlet::wire::MqttClient;
using hamlet::wire::MqttMessage;
using hamlet::wire::MqttOptions;
using hamlet::wire::MqttProtocol;
using hamlet::wire::MqttPublish;
using hamlet::wire::MqttSession;
using namespace std::chrono_literals;

namespace {

/// A client with what it told, and the io thread it lives on: this one.
struct Bench {
  explicit Bench(const std::string& uri, std::function<void(MqttOptions&)> change = {},
                 MqttClient::LookUp look_up = {}) {
    MqttOptions options;
    options.broker = hamlet::wire::parse_broker(uri).value();
    options.client_id = "box";
    options.connect_deadline = 10s;
    if (change) change(options);
    hamlet::wire::MqttHandlers handlers{
        .connected = [this](const MqttSession& session) { sessions.push_back(session); },
        .disconnected = [this](const Error& why) { ends.push_back(why); },
        .acked =
            [this](std::span<const MqttAck> some) {
              acks.insert(acks.end(), some.begin(), some.end());
              if (on_acked) on_acked();
            },
        .message = [this](MqttMessage message) { messages.push_back(std::move(message)); }};
    client = look_up ? std::make_unique<MqttClient>(io, options, handlers, look_up)
                     : std::make_unique<MqttClient>(io, options, handlers);
  }

  template <class Done>
  bool run_until(Done done, std::chrono::milliseconds deadline = 20s) {
    const auto until = std::chrono::steady_clock::now() + deadline;
    while (!done()) {
      if (std::chrono::steady_clock::now() > until) return false;
      io.restart();
      io.run_one_for(20ms);
    }
    return true;
  }
  bool connect() {
    const auto before = sessions.size();
    client->connect();
    return run_until([&] { return sessions.size() > before || !ends.empty(); }) && sessions.size() > before;
  }

  asio::io_context io;
  std::vector<MqttSession> sessions;
  std::vector<Error> ends;
  std::vector<MqttAck> acks;
  std::vector<MqttMessage> messages;
  std::function<void()> on_acked;
  std::unique_ptr<MqttClient> client;
};

/// Stands in front of a broker and refuses MQTT 5 as old ones do.
class OldBroker {
 public:
  enum class Manner { connack, close };
  OldBroker(std::uint16_t target, Manner manner) : target_{asio::ip::address_v4::loopback(), target}, manner_{manner} {
    thread_ = std::thread{[this] { serve(); }};
  }
  ~OldBroker() {
    stopping_ = true;
    boost::system::error_code ignored;
    asio::io_context io;
    tcp::socket{io}.connect(acceptor_.local_endpoint(), ignored);  // wakes accept()
    thread_.join();
  }
  [[nodiscard]] std::string uri() const {
    return "mqtt://127.0.0.1:" + std::to_string(acceptor_.local_endpoint().port());
  }
  [[nodiscard]] int refused() const { return refused_; }

 private:
  void serve() {
    std::vector<std::thread> pumps;
    std::vector<std::shared_ptr<tcp::socket>> sockets;
    for (;;) {
      auto client = std::make_shared<tcp::socket>(acceptor_.accept());
      if (stopping_) break;
      std::array<char, 9> head{};  // fixed header (2), "MQTT" with its length (6), level
      boost::system::error_code error;
      asio::read(*client, asio::buffer(head), error);
      if (error) continue;
      if (head[8] == 5) {
        ++refused_;
        if (manner_ == Manner::connack) asio::write(*client, asio::buffer("\x20\x02\x00\x01", 4), error);
        client->shutdown(tcp::socket::shutdown_both, error);
        continue;
      }
      auto broker = std::make_shared<tcp::socket>(io_);
      broker->connect(target_, error);
      asio::write(*broker, asio::buffer(head), error);
      sockets.insert(sockets.end(), {client, broker});
      pumps.emplace_back([client, broker] { pump(*client, *broker); });
      pumps.emplace_back([client, broker] { pump(*broker, *client); });
    }
    for (const auto& socket : sockets) ::shutdown(socket->native_handle(), SHUT_RDWR);
    for (auto& pump : pumps) pump.join();
  }
  static void pump(tcp::socket& from, tcp::socket& to) {
    std::array<char, 4096> bytes{};
    boost::system::error_code error;
    while (!error) {
      const auto size = from.read_some(asio::buffer(bytes), error);
      if (!error) asio::write(to, asio::buffer(bytes, size), error);
    }
    ::shutdown(to.native_handle(), SHUT_RDWR);
  }

  asio::io_context io_;
  tcp::acceptor acceptor_{io_, {asio::ip::address_v4::loopback(), 0}};
  const tcp::endpoint target_;
  const Manner manner_;
  std::atomic<bool> stopping_{false};
  std::atomic<int> refused_{0};
  std::thread thread_;
};

std::size_t files_in_root() {
  const std::filesystem::directory_iterator root{"/"};
  return static_cast<std::size_t>(std::distance(begin(root), end(root)));
}

}  // namespace

TEST_CASE("what is published arrives once, and every PUBACK carries its cookie") {
  for (const auto protocol : {MqttProtocol::v5, MqttProtocol::v311}) {
    CAPTURE(to_string(protocol));
    Broker broker;
    hamlet::support::County county{{.broker = broker.uri(), .base = "t"}};
    Bench bench{broker.uri(), [&](MqttOptions& options) { options.protocol = protocol; }};
    REQUIRE(bench.connect());
    CHECK(bench.sessions[0].protocol == protocol);
    CHECK(bench.sessions[0].max_inflight == 20);
    REQUIRE(bench.client->publish({.topic = "t/meta", .payload = "{\"a\":1}", .retained = true, .cookie = 77}));
    REQUIRE(bench.client->publish({.topic = "t/health", .payload = "{\"b\":2}", .qos = 0, .cookie = 78}));
    REQUIRE(bench.run_until([&] { return bench.acks.size() == 2; }));
    CHECK(bench.acks[0].cookie + bench.acks[1].cookie == 77 + 78);
    CHECK(bench.client->inflight() == 0);
    CHECK(county.wait_until([](const auto& now) { return now.meta.is_object() && now.health.is_object(); }, 10s));
  }
}

TEST_CASE("the window is full at its size, and never stalls the sender") {
  Broker broker;
  Bench bench{broker.uri()};
  REQUIRE(bench.connect());
  std::uint64_t sent = 0;
  const auto fill = [&] {
    while (sent < 5'000 && bench.client->publish({.topic = "t/x", .payload = "x", .cookie = sent})) ++sent;
  };
  bench.on_acked = fill;
  fill();
  CHECK(bench.client->window_left() == 0);
  CHECK(bench.client->inflight() == 20);
  const auto full = bench.client->publish({.topic = "t/x", .payload = "x"});
  REQUIRE_FALSE(full);
  CHECK(full.error().code == Errc::full);
  // More than Paho's own limit in flight stalls it for 1 s a window: 250 windows would take minutes.
  REQUIRE(bench.run_until([&] { return bench.acks.size() == 5'000; }));
  std::set<std::uint64_t> cookies;
  for (const auto& ack : bench.acks) cookies.insert(ack.cookie);
  CHECK(cookies.size() == 5'000);
}

TEST_CASE("nothing is taken while there is no session, and nothing is written to disk") {
  const auto before = files_in_root();
  Broker broker;
  Bench bench{broker.uri()};
  const auto early = bench.client->publish({.topic = "t/x", .payload = "x"});
  REQUIRE_FALSE(early);
  CHECK(early.error().code == Errc::unavailable);
  REQUIRE(bench.connect());
  CHECK(files_in_root() == before);
}

TEST_CASE("the broker's receive maximum shrinks the window") {
  Broker broker{"max_inflight_messages 7"};
  Bench bench{broker.uri(), [](MqttOptions& options) { options.protocol = MqttProtocol::v5; }};
  REQUIRE(bench.connect());
  CHECK(bench.sessions[0].max_inflight == 7);
  CHECK(bench.client->window_left() == 7);
}

TEST_CASE("auto takes 3.1.1 where a broker knows no MQTT 5, and remembers it") {
  Broker broker;
  for (const auto manner : {OldBroker::Manner::connack, OldBroker::Manner::close}) {
    OldBroker old{broker.port(), manner};
    Bench bench{old.uri()};
    REQUIRE(bench.connect());
    CHECK(bench.sessions[0].protocol == MqttProtocol::v311);
    CHECK(old.refused() == 1);
    bench.client->drop();
    REQUIRE(bench.connect());
    CHECK(bench.sessions[1].protocol == MqttProtocol::v311);
    CHECK(old.refused() == 1);
    bench.client->stop();
  }
}

TEST_CASE("a refused login says what to check") {
  Broker broker{"allow_anonymous false"};
  for (const auto protocol : {MqttProtocol::v5, MqttProtocol::v311}) {
    Bench bench{broker.uri(), [&](MqttOptions& options) {
                  options.protocol = protocol;
                  options.user = "box";
                  options.password = hamlet::config::Secret{"wrong"};
                }};
    CHECK_FALSE(bench.connect());
    REQUIRE(bench.ends.size() == 1);
    CHECK(bench.ends[0].code == Errc::denied);
    CHECK(bench.ends[0].message.find("check user and password") != std::string::npos);
    CHECK(bench.ends[0].message.find("wrong") == std::string::npos);
  }
}

TEST_CASE("a message that the broker refuses comes back with its reason") {
  const hamlet::support::TempDir folder;
  const auto acl = folder.path() / "acl";
  std::ofstream{acl} << "topic readwrite open/#\n";
  Broker broker{"acl_file " + acl.string()};
  Bench bench{broker.uri(), [](MqttOptions& options) { options.protocol = MqttProtocol::v5; }};
  REQUIRE(bench.connect());
  REQUIRE(bench.client->publish({.topic = "closed/x", .payload = "x", .cookie = 5}));
  REQUIRE(bench.run_until([&] { return !bench.acks.empty(); }));
  CHECK(bench.acks[0].cookie == 5);
  CHECK(bench.acks[0].refused());
  CHECK(bench.acks[0].reason == 0x87);
  CHECK(bench.client->inflight() == 0);
}

TEST_CASE("a lost connection is told once, and a new session carries on") {
  Broker broker;
  Proxy proxy{broker.port()};
  Bench bench{proxy.uri()};
  for (std::size_t round = 1; round <= 5; ++round) {
    REQUIRE(bench.connect());
    for (int i = 0; i < 20; ++i) REQUIRE(bench.client->publish({.topic = "t/x", .payload = std::string(1'000, 'x')}));
    proxy.cut();
    REQUIRE(bench.run_until([&] { return !bench.ends.empty(); }));
    CHECK(bench.ends.size() == 1);
    CHECK(bench.client->inflight() == 0);
    bench.ends.clear();
    proxy.open();
  }
}

// A broker's DISCONNECT used to go unnoticed until something was to be sent.
TEST_CASE("why a broker hangs up is told, and acted on") {
  struct Row {
    int reason;
    Errc code;
    const char* words;
  };
  for (const auto& row : {Row{0x8e, Errc::full, "another box"}, Row{0x97, Errc::full, "0x97"}, Row{0x8b, Errc::unavailable, "0x8b"}}) {
    CAPTURE(row.reason);
    hamlet::support::FalseBroker broker{{.puback = [&](auto) { return hamlet::support::FalseBroker::kLeave + row.reason; }}};
    Bench bench{broker.uri(), [](MqttOptions& options) { options.protocol = MqttProtocol::v5; }};
    REQUIRE(bench.connect());
    REQUIRE(bench.client->publish({.topic = "t", .payload = "x"}));
    REQUIRE(bench.run_until([&] { return !bench.ends.empty(); }));
    CHECK(bench.ends[0].code == row.code);
    CHECK_MESSAGE(bench.ends[0].message.find(row.words) != std::string::npos, bench.ends[0].message);
  }
}

TEST_CASE("writing to a connection that is gone does not kill the process") {
  std::signal(SIGPIPE, SIG_DFL);
  Broker broker;
  Bench bench{broker.uri()};
  REQUIRE(bench.connect());
  std::signal(SIGPIPE, SIG_DFL);  // should Paho have changed it
  broker.kill();
  while (bench.ends.empty()) {
    while (bench.client->publish({.topic = "t/x", .payload = std::string(10'000, 'x')})) {
    }
    bench.io.restart();
    bench.io.run_one_for(1ms);
  }
  CHECK(bench.ends.size() == 1);
}

TEST_CASE("a half-open link is found within two keepalives") {
  Broker broker;
  Proxy proxy{broker.port()};
  Bench bench{proxy.uri(), [](MqttOptions& options) { options.keepalive = 2s; }};
  REQUIRE(bench.connect());
  proxy.half_open();
  const auto began = std::chrono::steady_clock::now();
  REQUIRE(bench.run_until([&] { return !bench.ends.empty(); }));
  CHECK(std::chrono::steady_clock::now() - began < 4s);
}

TEST_CASE("a connect that nobody answers ends at its deadline") {
  asio::io_context io;
  tcp::acceptor silent{io, {asio::ip::address_v4::loopback(), 0}};  // takes the connection, never says a word
  const auto uri = "mqtt://127.0.0.1:" + std::to_string(silent.local_endpoint().port());
  Bench bench{uri, [](MqttOptions& options) { options.connect_deadline = 300ms; }};
  const auto began = std::chrono::steady_clock::now();
  CHECK_FALSE(bench.connect());
  CHECK(std::chrono::steady_clock::now() - began < 2s);
  REQUIRE(bench.ends.size() == 1);
  CHECK(bench.ends[0].code == Errc::timeout);
}

TEST_CASE("a name look-up that hangs blocks nobody") {
  std::promise<void> release;
  const auto released = release.get_future().share();
  {
    Bench bench{"mqtt://broker.invalid", [](MqttOptions& options) { options.resolve_deadline = 100ms; },
                [released](const std::string&) -> hamlet::Result<std::vector<std::string>> {
                  released.wait();
                  return std::vector<std::string>{"127.0.0.1"};
                }};
    CHECK_FALSE(bench.connect());
    REQUIRE(bench.ends.size() == 1);
    CHECK(bench.ends[0].code == Errc::timeout);
    CHECK(bench.ends[0].message.find("broker.invalid") != std::string::npos);
    bench.ends.clear();
    CHECK_FALSE(bench.connect());
    REQUIRE(bench.ends.size() == 1);
    CHECK(bench.ends[0].code == Errc::unavailable);
    const auto began = std::chrono::steady_clock::now();
    bench.client->stop();
    CHECK(std::chrono::steady_clock::now() - began < 2s);
  }
  release.set_value();
}

TEST_CASE("every address of a name is tried") {
  Broker broker;
  Bench bench{"mqtt://county:" + std::to_string(broker.port()),
              {},
              [](const std::string&) -> hamlet::Result<std::vector<std::string>> {
                return std::vector<std::string>{"::1", "127.0.0.1"};
              }};
  REQUIRE(bench.connect());
  CHECK(bench.sessions[0].address == "127.0.0.1:" + std::to_string(broker.port()));
}

TEST_CASE("the Will comes when the box goes without a word, and not when it says goodbye") {
  Broker broker;
  hamlet::support::County county{{.broker = broker.uri(), .base = "t"}};
  Bench bench{broker.uri(), [](MqttOptions& options) {
                options.will = MqttPublish{.topic = "t/state", .payload = "{\"state\":\"offline\"}", .retained = true};
              }};
  REQUIRE(bench.connect());
  SUBCASE("dropped") {
    bench.client->drop();
    CHECK(county.wait_until([](const auto& now) { return now.state.is_object(); }, 10s));
    CHECK(bench.ends.empty());
  }
  SUBCASE("stopped, with a last word") {
    bench.client->stop(MqttPublish{.topic = "t/meta", .payload = "{\"last\":1}", .retained = true});
    CHECK(county.wait_until([](const auto& now) { return now.meta.is_object(); }, 10s));
    CHECK(county.snapshot().state.is_null());
    bench.client->stop();
  }
}

TEST_CASE("messages come with what a command needs to be judged and answered") {
  Broker broker;
  hamlet::support::County county{{.broker = broker.uri(), .base = "t"}};
  county.publish("cmd/old", "kept", true);
  Bench bench{broker.uri()};
  REQUIRE(bench.connect());
  bench.client->subscribe({"t/cmd/#"});
  REQUIRE(bench.run_until([&] { return bench.messages.size() == 1; }));
  CHECK(bench.messages[0].retained);
  CHECK(bench.messages[0].payload == "kept");
  county.request("cmd/ping", "{}", "answer/ping", "abc");
  REQUIRE(bench.run_until([&] { return bench.messages.size() == 2; }));
  CHECK(bench.messages[1].topic == "t/cmd/ping");
  CHECK_FALSE(bench.messages[1].retained);
  CHECK(bench.messages[1].response_topic == "t/answer/ping");
  CHECK(bench.messages[1].correlation == "abc");
  REQUIRE(bench.client->publish({.topic = "t/answer/ping", .payload = "{}", .correlation = "abc"}));
  CHECK(county.wait_until([](const auto& now) { return now.replies.contains("ping"); }, 10s));
  CHECK(county.correlations() == std::vector<std::string>{"abc"});
}

TEST_CASE("stop is bounded and may come at any time") {
  Broker broker;
  Proxy proxy{broker.port()};
  Bench bench{proxy.uri()};
  SUBCASE("before anything") {}
  SUBCASE("while connecting") {
    bench.client->connect();
  }
  SUBCASE("while connecting through a link that swallows") {
    proxy.half_open();
    bench.client->connect();
  }
  SUBCASE("connected, callbacks under way") {
    REQUIRE(bench.connect());
    while (bench.client->publish({.topic = "t/x", .payload = "x"})) {
    }
  }
  SUBCASE("connected, through a link that swallows") {
    REQUIRE(bench.connect());
    proxy.half_open();
    while (bench.client->publish({.topic = "t/x", .payload = std::string(10'000, 'x')})) {
    }
  }
  const auto began = std::chrono::steady_clock::now();
  bench.client->stop(MqttPublish{.topic = "t/state", .payload = "bye"});
  CHECK(std::chrono::steady_clock::now() - began < 2'500ms);
  bench.io.restart();
  bench.io.poll();
  CHECK(bench.ends.empty());
}

TEST_CASE("a client may be destroyed while callbacks are under way, many times over") {
  Broker broker;
  for (int round = 0; round < 20; ++round) {
    Bench bench{broker.uri()};
    REQUIRE(bench.connect());
    for (int i = 0; i <= round; ++i) REQUIRE(bench.client->publish({.topic = "t/x", .payload = "x"}));
    if (round % 2 == 0) bench.io.run_one_for(1ms);
  }
}
