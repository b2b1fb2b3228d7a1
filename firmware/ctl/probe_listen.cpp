#include <array>
#include <csignal>
#include <memory>
#include <string>
#include <utility>

#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/signal_set.hpp>
#include <fmt/format.h>

#include "firmware/ctl/exit.hpp"
#include "firmware/ctl/probe.hpp"
#include "firmware/ctl/texts.hpp"

namespace hamlet::ctl {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using ErrorCode = boost::system::error_code;

/// Carries out one `probe sl651` or `probe hj212`. Whoever runs it sees all that comes, so it admits everybody, answers
/// nobody and bounds only how many there are.
class Listening {
 public:
  Listening(const Invocation& asked, ProbeStreams streams)
      : asked_{asked}, streams_{streams}, teller_{asked, streams}, acceptor_{io_}, signals_{io_, SIGINT, SIGTERM} {}

  int run() {
    ErrorCode error;
    const tcp::endpoint here{tcp::v4(), static_cast<std::uint16_t>(asked_.probe.listen)};
    acceptor_.open(here.protocol(), error);
    if (!error) acceptor_.set_option(asio::socket_base::reuse_address{true}, error);
    if (!error) acceptor_.bind(here, error);
    if (!error) acceptor_.listen(kMostPeers, error);
    if (error) {
      streams_.err << say(asked_.lang, Say::probe_no_listen, asked_.probe.listen, error.message()) << '\n';
      return kFailed;
    }
    streams_.err << say(asked_.lang, Say::probe_listening, asked_.probe.listen) << std::endl;
    signals_.async_wait([this](const ErrorCode& failed, int) {
      if (!failed) io_.stop();
    });
    accept();
    io_.run();
    return teller_.frames() > 0 ? kOk : kFailed;
  }

 private:
  static constexpr int kMostPeers = 64;

  struct Peer {
    tcp::socket socket;
    std::string address;
    std::string unread{};
    std::array<char, 4096> chunk{};
  };

  void accept() {
    acceptor_.async_accept([this](const ErrorCode& error, tcp::socket socket) { on_accepted(error, std::move(socket)); });
  }

  void on_accepted(const ErrorCode& error, tcp::socket socket) {
    ErrorCode failed;
    const auto from = error ? tcp::endpoint{} : socket.remote_endpoint(failed);
    if (!error && !failed && peers_ < kMostPeers) {
      const auto address = from.address().to_string();
      streams_.err << say(asked_.lang, Say::probe_connected, fmt::format("{}:{}", address, from.port())) << std::endl;
      ++peers_;
      read(std::make_shared<Peer>(Peer{std::move(socket), address}));
    }
    accept();
  }

  void read(const std::shared_ptr<Peer>& peer) {
    peer->socket.async_read_some(asio::buffer(peer->chunk), [this, peer](const ErrorCode& error, std::size_t size) {
      on_read(peer, error, size);
    });
  }

  void on_read(const std::shared_ptr<Peer>& peer, const ErrorCode& error, std::size_t size) {
    if (error) {
      --peers_;
      return;
    }
    peer->unread.append(peer->chunk.data(), size);
    teller_.take(peer->unread, peer->address);
    const auto most = static_cast<std::size_t>(asked_.probe.count);
    if (most > 0 && teller_.frames() >= most) return io_.stop();
    read(peer);
  }

  const Invocation& asked_;
  ProbeStreams streams_;
  FrameTeller teller_;
  asio::io_context io_{1};
  tcp::acceptor acceptor_;
  asio::signal_set signals_;
  int peers_ = 0;
};

}  // namespace

int probe_listen(const Invocation& asked, ProbeStreams streams) { return Listening{asked, streams}.run(); }

}  // namespace hamlet::ctl
