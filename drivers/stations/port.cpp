#include "drivers/stations/port.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <deque>
#include <span>
#include <utility>

#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/udp.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "drivers/texts.hpp"
#include "firmware/core/log.hpp"

namespace hamlet::drivers::stations {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using asio::ip::udp;
using namespace std::chrono_literals;
using ErrorCode = boost::system::error_code;
using SteadyClock = std::chrono::steady_clock;

constexpr std::size_t kChunk = 8'192;  // more than the longest datagram of either protocol
constexpr std::size_t kMaxUnsent = 64U << 10U;
constexpr std::size_t kMaxStrangers = 256;
constexpr Millis kReopen{5'000};
constexpr Millis kFuture{5min};  // clocks of stations are off by seconds to minutes

asio::ip::address plain(const asio::ip::address& address) {
  if (!address.is_v6() || !address.to_v6().is_v4_mapped()) return address;
  return asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6());
}

bool same_bits(std::span<const std::uint8_t> a, std::span<const std::uint8_t> b, unsigned bits) {
  for (std::size_t i = 0; i < a.size() && bits > 0; ++i) {
    const auto here = std::min(bits, 8U);
    const auto mask = static_cast<std::uint8_t>(0xFFU << (8U - here));
    if ((a[i] & mask) != (b[i] & mask)) return false;
    bits -= here;
  }
  return true;
}

/// So many bytes a second, with a burst.
class Budget {
 public:
  /// Takes bytes; how long the peer has to wait for it.
  Millis spend(std::size_t bytes) {
    const auto now = SteadyClock::now();
    const auto earned = std::chrono::duration<double>(now - last_).count() * static_cast<double>(Port::kRate);
    left_ = std::min(left_ + earned, static_cast<double>(Port::kBurst)) - static_cast<double>(bytes);
    last_ = now;
    if (left_ >= 0) return Millis{0};
    return Millis{static_cast<std::int64_t>(-left_ * 1000 / static_cast<double>(Port::kRate)) + 1};
  }

 private:
  SteadyClock::time_point last_ = SteadyClock::now();
  double left_ = static_cast<double>(Port::kBurst);
};

}  // namespace

// ---- settings ------------------------------------------------------------------------------------------------------

Admission Admission::read(const config::Table& device, const char* key) {
  Admission out;
  for (const auto& text : device.texts_or(key)) {
    const auto slash = text.find('/');
    ErrorCode error;
    const auto address = asio::ip::make_address(text.substr(0, slash), error);
    unsigned bits = address.is_v4() ? 32 : 128;
    const auto most = bits;
    if (slash != std::string::npos) {
      const auto* end = text.data() + text.size();
      const auto parsed = std::from_chars(text.data() + slash + 1, end, bits);
      if (parsed.ec != std::errc{} || parsed.ptr != end) bits = most + 1;
    }
    if (error || bits > most) {
      device.error(key, texts::not_a_network(text));
      continue;
    }
    out.networks_.push_back({address, bits});
  }
  return out;
}

bool Admission::admits(const asio::ip::address& given) const {
  const auto address = plain(given);
  return std::any_of(networks_.begin(), networks_.end(), [&](const Network& network) {
    if (network.address.is_v4() != address.is_v4()) return false;
    if (address.is_v4()) return same_bits(network.address.to_v4().to_bytes(), address.to_v4().to_bytes(), network.bits);
    return same_bits(network.address.to_v6().to_bytes(), address.to_v6().to_bytes(), network.bits);
  });
}

std::string PortSettings::describe() const {
  if (kind == Kind::serial) return serial.path;
  return fmt::format("{} {} port {}", address, kind == Kind::tcp ? "TCP" : "UDP", port);
}

PortTerms read_port(const config::Table& device) {
  PortTerms out;
  auto& settings = out.settings;
  const bool is_tcp = device.has("tcp");
  const bool is_udp = device.has("udp");
  const auto serial = device.table("serial");
  if (int{is_tcp} + int{is_udp} + int{serial.exists()} != 1) {
    device.error(is_udp ? "udp" : is_tcp ? "tcp" : "", texts::want_one_way_in());
  }
  settings.max_connections =
      static_cast<std::size_t>(device.integer_or("max_connections", 256, {1, 10'000}));
  out.allow = Admission::read(device, "allow");
  if (serial.exists()) {
    settings.kind = PortSettings::Kind::serial;
    settings.serial = serial::read_settings(serial);
    if (settings.serial.rts == serial::Rts::high || settings.serial.rts == serial::Rts::low) {
      serial.error("rts", texts::rts_not_for_stations());
    }
    return out;
  }
  const auto key = is_udp ? "udp" : "tcp";
  settings.kind = is_udp ? PortSettings::Kind::udp : PortSettings::Kind::tcp;
  const auto where = device.text_or(key, "");
  const auto colon = where.rfind(':');
  auto address = where.substr(0, colon);
  if (address.starts_with('[') && address.ends_with(']')) address = address.substr(1, address.size() - 2);
  ErrorCode error;
  (void)asio::ip::make_address(address, error);
  const auto digits = colon == std::string::npos ? std::string_view{} : std::string_view{where}.substr(colon + 1);
  const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), settings.port);
  const bool whole = !digits.empty() && parsed.ec == std::errc{} && parsed.ptr == digits.data() + digits.size();
  if (device.has(key) && (error || !whole || settings.port == 0)) {
    device.error(key, texts::want_listen_address());
  }
  settings.address = std::move(address);
  if (device.has(key) && !device.has("allow")) {
    device.error("", texts::want_allow());
  }
  return out;
}

Reading dated(const std::string& point, std::optional<WallTime> at, const Clock& clock) {
  constexpr WallTime kFirst = std::chrono::sys_days{std::chrono::year{2000} / 1 / 1};
  Reading out{.point = point, .at = clock.mono()};
  if (!at) return out;
  const auto now = clock.wall();
  if (*at < kFirst || (clock.synced() && *at > now + kFuture)) {
    out.quality = Quality::bad;
    out.why = "device-clock";
    return out;
  }
  out.device_time = at;
  const auto age = now - *at;
  if (clock.synced() && age > Millis{0}) out.at = std::max(MonoTime{}, out.at - age);
  return out;
}

// ---- the port ------------------------------------------------------------------------------------------------------

struct Port::Impl : std::enable_shared_from_this<Port::Impl> {
  class TcpLine;
  class UdpLine;
  class SerialLine;

  Impl(asio::io_context& io_in, PortSettings settings_in, Open open_in)
      : io{io_in}, settings{std::move(settings_in)}, open{std::move(open_in)}, acceptor{io_in}, datagrams{io_in}, reopen{io_in} {}

  void start();
  void stop();
  [[nodiscard]] Result<void> listen();
  void start_later();
  void accept();
  void on_accepted(const ErrorCode& error, tcp::socket socket);
  void receive();
  void on_received(const ErrorCode& error, std::size_t size);
  [[nodiscard]] bool is_admitted(const asio::ip::address& address) const;
  void ban(const asio::ip::address& address);
  [[nodiscard]] bool is_banned(const asio::ip::address& address);
  void tell_failed(const std::string& why, const std::string& message);
  void stranger(const std::string& name, const std::string& peer, std::string_view reason);
  void record(bool sent, std::string_view bytes) const;

  asio::io_context& io;
  const PortSettings settings;
  const Open open;
  Port* facade = nullptr;
  bool running = false;
  std::map<std::string, Member*> members;
  std::set<std::string> strangers;
  std::map<asio::ip::address, SteadyClock::time_point> banned;  // until when
  bool full = false;

  tcp::acceptor acceptor;
  std::set<std::shared_ptr<TcpLine>> connections;
  udp::socket datagrams;
  udp::endpoint sender;
  std::array<char, kChunk> datagram{};
  std::map<udp::endpoint, std::shared_ptr<UdpLine>> peers;
  std::shared_ptr<SerialLine> serial;
  asio::steady_timer reopen;
};

/// What the lines that bring a stream have in common: a session, what may be read, and the deadlines.
template <class Stream, class Self>
class StreamLine : public Line, public std::enable_shared_from_this<Self> {
 public:
  StreamLine(Port::Impl& port, Stream stream, std::string peer, std::optional<asio::ip::address> address)
      : Line{std::move(peer), std::move(address)},
        port_{port.weak_from_this()},
        stream_{std::move(stream)},
        rest_{port.io},
        pause_{port.io},
        deadline_{port.io} {}

  void start(std::unique_ptr<Session> session) {
    session_ = std::move(session);
    read();
  }

  void send(std::string bytes) override {
    if (closed_) return;
    unsent_ += bytes.size();
    if (unsent_ > kMaxUnsent) return close();
    if (const auto port = port_.lock()) port->record(true, bytes);
    queue_.push_back(std::move(bytes));
    if (queue_.size() == 1) write();
  }

  void close() override {
    if (std::exchange(closed_, true)) return;
    rest_.cancel();
    pause_.cancel();
    deadline_.cancel();
    ErrorCode ignored;
    stream_.close(ignored);
    // Not from inside: the session may be what called us.
    asio::post(stream_.get_executor(), [self = this->shared_from_this()] { self->gone(); });
  }

  [[nodiscard]] bool closed() const override { return closed_; }
  [[nodiscard]] std::weak_ptr<Line> weak() override { return this->weak_from_this(); }

  virtual void gone() = 0;  // off the port's books

 protected:
  void arm(Millis after) {
    deadline_.expires_after(after);
    deadline_.async_wait(handler([](Self& self, const ErrorCode& error) {
      if (!error) self.close();
    }));
  }
  std::weak_ptr<Port::Impl> port_;

 private:
  template <class Then>
  auto handler(Then then) {
    return [weak = this->weak_from_this(), then](const ErrorCode& error, auto&&... rest) {
      const auto self = weak.lock();
      if (self && !self->closed()) then(*self, error, rest...);
    };
  }

  void read() {
    stream_.async_read_some(asio::buffer(chunk_), handler([](Self& self, const ErrorCode& error, std::size_t size) {
                              self.on_read(error, size);
                            }));
  }

  void on_read(const ErrorCode& error, std::size_t size) {
    if (error) return close();
    const std::string_view bytes{chunk_.data(), size};
    if (const auto port = port_.lock()) port->record(false, bytes);
    session_->received(bytes);
    if (closed_) return;
    watch_rest();
    on_activity();
    const auto wait = budget_.spend(size);
    if (wait == Millis{0}) return read();
    pause_.expires_after(wait);
    pause_.async_wait(handler([](Self& self, const ErrorCode& cancelled) {
      if (!cancelled) self.read();
    }));
  }

  void watch_rest() {
    if (!session_->waiting()) {
      rest_armed_ = false;
      rest_.cancel();
      return;
    }
    if (std::exchange(rest_armed_, true)) return;  // a dribble does not put the deadline off
    rest_.expires_after(Port::kRestOfFrame);
    rest_.async_wait(handler([](Self& self, const ErrorCode& error) {
      if (error) return;
      self.rest_armed_ = false;
      self.session_->gave_up();
      if (!self.closed()) self.watch_rest();
    }));
  }

  void write() {
    asio::async_write(stream_, asio::buffer(queue_.front()),
                      handler([](Self& self, const ErrorCode& error, std::size_t /*size*/) { self.on_written(error); }));
  }

  void on_written(const ErrorCode& error) {
    if (error) return close();
    unsent_ -= queue_.front().size();
    queue_.pop_front();
    if (!queue_.empty()) write();
  }

 protected:
  virtual void on_activity() = 0;

 private:
  Stream stream_;
  std::unique_ptr<Session> session_;
  std::array<char, kChunk> chunk_{};
  Budget budget_;
  asio::steady_timer rest_;
  bool rest_armed_ = false;
  asio::steady_timer pause_;
  asio::steady_timer deadline_;
  std::deque<std::string> queue_;
  std::size_t unsent_ = 0;
  bool closed_ = false;
};

class Port::Impl::TcpLine final : public StreamLine<tcp::socket, Port::Impl::TcpLine> {
 public:
  TcpLine(Port::Impl& port, tcp::socket socket, const tcp::endpoint& peer)
      : StreamLine{port, std::move(socket), fmt::format("{}:{}", peer.address().to_string(), peer.port()), peer.address()} {}
  void start(std::unique_ptr<Session> session) {
    arm(kToIdentify);
    StreamLine::start(std::move(session));
  }

  void gone() override {
    if (const auto port = port_.lock()) {
      port->connections.erase(shared_from_this());
      port->full = port->full && port->connections.size() >= port->settings.max_connections;
    }
  }

 protected:
  void on_activity() override {
    if (identified()) arm(kIdle);
  }
};

class Port::Impl::SerialLine final : public StreamLine<asio::posix::stream_descriptor, Port::Impl::SerialLine> {
 public:
  SerialLine(Port::Impl& port, int fd)
      : StreamLine{port, asio::posix::stream_descriptor{port.io, fd}, port.settings.serial.path, {}} {
    identify();
  }

  void gone() override {
    const auto port = port_.lock();
    if (!port || port->serial.get() != this) return;
    port->serial.reset();
    if (!port->running) return;
    port->tell_failed("unreachable", fmt::format("{}: the serial port has gone; check the adapter and its cable", peer()));
    port->start_later();
  }

 protected:
  void on_activity() override {}
};

class Port::Impl::UdpLine final : public Line, public std::enable_shared_from_this<UdpLine> {
 public:
  UdpLine(Port::Impl& port, udp::endpoint endpoint)
      : Line{fmt::format("{}:{}", endpoint.address().to_string(), endpoint.port()), endpoint.address()},
        port_{port.weak_from_this()},
        endpoint_{std::move(endpoint)} {}

  void send(std::string bytes) override {
    const auto port = port_.lock();
    if (!port || closed_) return;
    port->record(true, bytes);
    ErrorCode ignored;  // a datagram may be lost
    port->datagrams.send_to(asio::buffer(bytes), endpoint_, 0, ignored);
  }
  void close() override { closed_ = true; }
  [[nodiscard]] bool closed() const override { return closed_; }
  [[nodiscard]] std::weak_ptr<Line> weak() override { return weak_from_this(); }

  // A frame does not go on in the next datagram.
  void received(std::string_view bytes) {
    last_ = SteadyClock::now();
    if (budget_.spend(bytes.size()) > Millis{0}) return;
    session->received(bytes);
    while (session->waiting()) session->gave_up();
  }
  [[nodiscard]] SteadyClock::time_point last() const { return last_; }

  std::unique_ptr<Session> session;

 private:
  std::weak_ptr<Port::Impl> port_;
  udp::endpoint endpoint_;
  Budget budget_;
  SteadyClock::time_point last_ = SteadyClock::now();
  bool closed_ = false;
};

void Port::Impl::start() {
  running = true;
  if (const auto listening = listen(); !listening) {
    tell_failed(listening.error().code == Errc::denied ? "refused" : "unreachable", listening.error().message);
    start_later();
  }
}

Result<void> Port::Impl::listen() {
  if (settings.kind == PortSettings::Kind::serial) {
    auto fd = serial::open_port(settings.serial);
    if (!fd) return fail(std::move(fd).error());
    serial = std::make_shared<SerialLine>(*this, *fd);
    serial->start(open(*facade, *serial));
    return {};
  }
  ErrorCode error;
  const auto address = asio::ip::make_address(settings.address, error);
  const auto attempt = [&](auto& socket, const auto& endpoint) {
    if (!error) socket.open(endpoint.protocol(), error);
    if (!error) socket.set_option(asio::socket_base::reuse_address{true}, error);
    if (!error) socket.bind(endpoint, error);
  };
  if (settings.kind == PortSettings::Kind::tcp) {
    attempt(acceptor, tcp::endpoint{address, settings.port});
    if (!error) acceptor.listen(1024, error);
    if (!error) accept();
  } else {
    attempt(datagrams, udp::endpoint{address, settings.port});
    if (!error) datagrams.non_blocking(true, error);
    if (!error) receive();
  }
  if (!error) return {};
  ErrorCode ignored;
  acceptor.close(ignored);
  datagrams.close(ignored);
  return fail(error == asio::error::access_denied ? Errc::denied : Errc::unavailable,
              fmt::format("{}: {}; check that the address is one of this box and that no other program listens there",
                          settings.describe(), error.message()));
}

void Port::Impl::start_later() {
  reopen.expires_after(kReopen);
  reopen.async_wait([weak = weak_from_this()](const ErrorCode& error) {
    const auto self = weak.lock();
    if (!error && self && self->running) self->start();
  });
}

void Port::Impl::stop() {
  running = false;
  reopen.cancel();
  ErrorCode ignored;
  acceptor.close(ignored);
  datagrams.close(ignored);
  for (const auto& line : std::exchange(connections, {})) line->close();
  peers.clear();
  if (const auto line = std::exchange(serial, nullptr)) line->close();
}

void Port::Impl::accept() {
  acceptor.async_accept([weak = weak_from_this()](const ErrorCode& error, tcp::socket socket) {
    const auto self = weak.lock();
    if (self && self->running) self->on_accepted(error, std::move(socket));
  });
}

void Port::Impl::on_accepted(const ErrorCode& error, tcp::socket socket) {
  if (error == asio::error::operation_aborted) return;
  if (error) {  // out of descriptors, say: not at once again
    reopen.expires_after(1s);
    reopen.async_wait([weak = weak_from_this()](const ErrorCode& cancelled) {
      const auto self = weak.lock();
      if (!cancelled && self && self->running) self->accept();
    });
    return;
  }
  accept();
  ErrorCode failed;
  const auto peer = socket.remote_endpoint(failed);
  if (failed) return;
  if (!is_admitted(peer.address())) return stranger(peer.address().to_string(), peer.address().to_string(), "not-admitted");
  if (is_banned(peer.address())) return;
  if (connections.size() >= settings.max_connections) {
    if (!std::exchange(full, true)) {
      log::warning("more connections than allowed; new ones are closed",
                   {{"port", settings.describe()}, {"max_connections", settings.max_connections}});
    }
    return;
  }
  socket.set_option(tcp::no_delay{true}, failed);
  socket.set_option(asio::socket_base::keep_alive{true}, failed);
  const auto line = std::make_shared<TcpLine>(*this, std::move(socket), peer);
  connections.insert(line);
  line->start(open(*facade, *line));
}

void Port::Impl::receive() {
  datagrams.async_receive_from(asio::buffer(datagram), sender, [weak = weak_from_this()](const ErrorCode& error, std::size_t size) {
    const auto self = weak.lock();
    if (self && self->running) self->on_received(error, size);
  });
}

void Port::Impl::on_received(const ErrorCode& error, std::size_t size) {
  if (error == asio::error::operation_aborted) return;
  if (error) return receive();
  if (!is_admitted(sender.address())) {
    stranger(sender.address().to_string(), sender.address().to_string(), "not-admitted");
    return receive();
  }
  if (is_banned(sender.address())) return receive();
  auto found = peers.find(sender);
  if (found == peers.end()) {
    if (peers.size() >= settings.max_connections) {  // the one that has been silent longest goes
      peers.erase(std::min_element(peers.begin(), peers.end(),
                                   [](const auto& a, const auto& b) { return a.second->last() < b.second->last(); }));
    }
    found = peers.emplace(sender, std::make_shared<UdpLine>(*this, sender)).first;
    found->second->session = open(*facade, *found->second);
  }
  const auto line = found->second;
  const std::string_view bytes{datagram.data(), size};
  record(false, bytes);
  line->received(bytes);
  if (line->closed()) peers.erase(sender);
  receive();
}

bool Port::Impl::is_admitted(const asio::ip::address& address) const {
  return std::any_of(members.begin(), members.end(),
                     [&](const auto& member) { return member.second->allow().admits(address); });
}

void Port::Impl::ban(const asio::ip::address& address) {
  constexpr std::size_t kMost = 256;
  if (banned.size() >= kMost) banned.erase(banned.begin());
  banned[address] = SteadyClock::now() + kBan;
}

bool Port::Impl::is_banned(const asio::ip::address& address) {
  const auto found = banned.find(address);
  if (found == banned.end()) return false;
  if (SteadyClock::now() < found->second) return true;
  banned.erase(found);
  return false;
}

void Port::Impl::tell_failed(const std::string& why, const std::string& message) {
  for (const auto& [name, member] : members) member->port_failed(why, message);
}

void Port::Impl::stranger(const std::string& name, const std::string& peer, std::string_view reason) {
  if (members.empty() || strangers.size() >= kMaxStrangers) return;
  if (!strangers.insert(fmt::format("{} {}", reason, name)).second) return;
  log::warning("somebody speaks who may not; nothing of it is taken",
               {{"port", settings.describe()}, {"name", name}, {"peer", peer}, {"reason", reason}});
  members.begin()->second->port_happened("stranger", {{"name", name}, {"peer", peer}, {"reason", reason}});
}

void Port::Impl::record(bool sent, std::string_view bytes) const {
  for (const auto& [name, member] : members) {
    auto* const recorder = member->recorder();
    if (recorder == nullptr) continue;
    sent ? recorder->sent(as_bytes(bytes)) : recorder->received(as_bytes(bytes));
  }
}

Port::Port(asio::io_context& io, PortSettings settings, Open open)
    : impl_{std::make_shared<Impl>(io, std::move(settings), std::move(open))} {
  impl_->facade = this;
}

Port::~Port() { impl_->stop(); }

bool Port::join(const std::string& name, Member& member) {
  if (!impl_->members.emplace(name, &member).second) return false;
  if (impl_->running) return true;
  impl_->running = true;
  asio::post(impl_->io, [weak = std::weak_ptr{impl_}] {  // not from inside a device's start()
    const auto self = weak.lock();
    if (self && self->running) self->start();
  });
  return true;
}

void Port::leave(const std::string& name) {
  impl_->members.erase(name);
  if (impl_->members.empty()) impl_->stop();
}

Member* Port::find(const std::string& name) const {
  const auto found = impl_->members.find(name);
  return found == impl_->members.end() ? nullptr : found->second;
}

void Port::stranger(const std::string& name, const std::string& peer, std::string_view reason) {
  impl_->stranger(name, peer, reason);
}

void Port::ban(Line& line) {
  if (!line.address()) return;
  impl_->ban(*line.address());
  line.close();
}

std::shared_ptr<Line> Port::serial_line() const { return impl_->serial; }

const PortSettings& Port::settings() const { return impl_->settings; }

}  // namespace hamlet::drivers::stations
