#include "tests/support/proxy.hpp"

#include <chrono>
#include <future>
#include <string>
#include <thread>

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <doctest/doctest.h>

namespace asio = boost::asio;
using asio::ip::tcp;
using hamlet::support::Proxy;
using namespace std::chrono_literals;

namespace {

/// Sends everything back, in a thread of its own.
class EchoServer {
 public:
  EchoServer() {
    accept();
    thread_ = std::thread{[this] { io_.run(); }};
  }
  ~EchoServer() {
    io_.stop();
    thread_.join();
  }
  [[nodiscard]] std::uint16_t port() const { return acceptor_.local_endpoint().port(); }

 private:
  struct Peer : std::enable_shared_from_this<Peer> {
    explicit Peer(tcp::socket s) : socket{std::move(s)} {}
    void read() {
      socket.async_read_some(asio::buffer(bytes), [self = shared_from_this()](auto error, std::size_t size) {
        if (error) return;
        asio::async_write(self->socket, asio::buffer(self->bytes, size), [self](auto failed, std::size_t) {
          if (!failed) self->read();
        });
      });
    }
    tcp::socket socket;
    std::array<char, 4096> bytes{};
  };
  void accept() {
    acceptor_.async_accept([this](auto error, tcp::socket socket) {
      if (error) return;
      std::make_shared<Peer>(std::move(socket))->read();
      accept();
    });
  }
  asio::io_context io_{1};
  tcp::acceptor acceptor_{io_, {asio::ip::address_v4::loopback(), 0}};
  std::thread thread_;
};

/// A client whose reads have a deadline.
class Client {
 public:
  explicit Client(std::uint16_t port) { socket_.connect({asio::ip::address_v4::loopback(), port}, connect_error_); }
  [[nodiscard]] bool connected() const { return !connect_error_; }
  void send(const std::string& text) {
    boost::system::error_code ignored;
    asio::write(socket_, asio::buffer(text), ignored);
  }
  /// What has come when `size` bytes, the end or the deadline is reached.
  std::string receive(std::size_t size, std::chrono::milliseconds deadline = 5s) {
    std::string text(size, '\0');
    std::size_t got = 0;
    ended_ = false;
    asio::async_read(socket_, asio::buffer(text), [&](auto error, std::size_t count) {
      got = count;
      ended_ = error && error != asio::error::operation_aborted;
    });
    io_.restart();
    io_.run_for(deadline);
    if (!io_.stopped()) {
      socket_.cancel();
      io_.run();
    }
    text.resize(got);
    return text;
  }
  [[nodiscard]] bool ended() const { return ended_; }

 private:
  asio::io_context io_{1};
  tcp::socket socket_{io_};
  boost::system::error_code connect_error_;
  bool ended_ = false;
};

}  // namespace

TEST_CASE("an open link carries everything both ways, and its end") {
  const EchoServer server;
  const Proxy proxy{server.port()};
  const std::string text(100'000, 'x');
  {
    Client client{proxy.port()};
    client.send(text);
    CHECK(client.receive(text.size()) == text);
    CHECK(proxy.counts().bytes_up == text.size());
    CHECK(proxy.counts().open == 1);
  }
  while (proxy.counts().open > 0) std::this_thread::yield();
  CHECK(proxy.counts().connections == 1);
}

TEST_CASE("a cut link resets what was open and refuses what is new") {
  const EchoServer server;
  Proxy proxy{server.port()};
  Client client{proxy.port()};
  client.send("a");
  CHECK(client.receive(1) == "a");
  proxy.cut();
  CHECK(client.receive(1).empty());
  CHECK(client.ended());
  Client second{proxy.port()};
  second.send("b");
  CHECK(second.receive(1).empty());
  CHECK(second.ended());
  proxy.open();
  Client third{proxy.port()};
  third.send("c");
  CHECK(third.receive(1) == "c");
}

TEST_CASE("a stalled link gives everything back later") {
  const EchoServer server;
  Proxy proxy{server.port()};
  Client client{proxy.port()};
  client.send("a");
  CHECK(client.receive(1) == "a");
  proxy.stall();
  client.send("bc");
  CHECK(client.receive(2, 50ms).empty());
  CHECK_FALSE(client.ended());
  proxy.open();
  CHECK(client.receive(2) == "bc");
}

TEST_CASE("a half-open link swallows and never says so") {
  const EchoServer server;
  Proxy proxy{server.port()};
  Client client{proxy.port()};
  client.send("a");
  CHECK(client.receive(1) == "a");
  proxy.half_open();
  client.send("bc");
  CHECK(client.receive(2, 50ms).empty());
  CHECK_FALSE(client.ended());
  CHECK(proxy.counts().swallowed == 2);
  proxy.open();
  CHECK(client.receive(2, 50ms).empty());
  Client second{proxy.port()};
  second.send("d");
  CHECK(second.receive(1) == "d");
}

TEST_CASE("rate and delay take their time") {
  const EchoServer server;
  Proxy proxy{server.port()};
  proxy.delay(hamlet::Millis{60});
  proxy.rate(800'000);  // 100 bytes a millisecond
  Client client{proxy.port()};
  const auto started = std::chrono::steady_clock::now();
  const std::string text(10'000, 'x');
  client.send(text);
  CHECK(client.receive(text.size()) == text);
  // At least two delays, and one crossing: the way back overlaps with the way there.
  CHECK(std::chrono::steady_clock::now() - started >= 2 * 60ms + 100ms);
}

TEST_CASE("a script plays its faults in time") {
  const EchoServer server;
  Proxy proxy{server.port()};
  REQUIRE(proxy.run("delay 1ms; rate 10mbit; at 30ms cut; at 60ms open"));
  Client client{proxy.port()};
  REQUIRE(client.connected());
  CHECK(client.receive(1).empty());
  CHECK(client.ended());
  for (;;) {  // until it is open again
    Client next{proxy.port()};
    next.send("a");
    if (next.receive(1) == "a") break;
  }
  REQUIRE(proxy.run("every 20ms for 10ms cut"));
  Client third{proxy.port()};
  CHECK(third.receive(1).empty());
  CHECK(third.ended());
}

TEST_CASE("a script that is wrong says where") {
  Proxy proxy{1};
  for (const char* wrong :
       {"cutt", "at cut", "at 2 cut", "rate", "rate 3mbps", "delay", "cut now", "every 1s for 2s cut"}) {
    CAPTURE(wrong);
    CHECK_FALSE(proxy.run(wrong));
  }
  CHECK(proxy.run(" ; "));
}
