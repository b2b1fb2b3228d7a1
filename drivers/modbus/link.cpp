#include "drivers/modbus/link.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <new>
#include <system_error>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <modbus/modbus.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

namespace hamlet::drivers::modbus {
namespace {

struct Endpoint {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

Endpoint to_endpoint(const std::string& address, std::uint16_t port) {
  Endpoint endpoint;
  sockaddr_in v4{};
  sockaddr_in6 v6{};
  if (inet_pton(AF_INET, address.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    std::memcpy(&endpoint.storage, &v4, sizeof v4);
    endpoint.size = sizeof v4;
  } else if (inet_pton(AF_INET6, address.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    std::memcpy(&endpoint.storage, &v6, sizeof v6);
    endpoint.size = sizeof v6;
  }
  return endpoint;
}

int make_wake() {
  const int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (fd < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
  return fd;
}

std::string describe(int error) {
  return std::generic_category().message(error);
}

}  // namespace

void Link::FreeContext::operator()(_modbus* context) const {
  modbus_free(context);
}

Link::Link(std::string address, std::uint16_t port, std::uint8_t unit, Millis timeout)
    : address_{std::move(address)},
      port_{port},
      unit_{unit},
      timeout_{timeout},
      wake_{make_wake()},
      context_{modbus_new_tcp("127.0.0.1", MODBUS_TCP_DEFAULT_PORT)} {  // never dialled: it gets our sockets
  if (!context_) throw std::bad_alloc();
  const auto ms = static_cast<std::uint32_t>(timeout_.count());
  modbus_set_response_timeout(context_.get(), ms / 1000, ms % 1000 * 1000);
  modbus_set_byte_timeout(context_.get(), 0, 0);  // the response timeout covers the whole answer
}

Link::~Link() {
  close();
  ::close(wake_);
}

tl::expected<Link::Words, Fault> Link::read(const Request& request) {
  if (socket_ >= 0 && !drain()) close();
  if (socket_ < 0) {
    if (auto connected = connect(); !connected) return tl::unexpected(std::move(connected).error());
  }
  auto words = exchange(request);
  if (!words && !words.error().exception) close();
  return words;
}

void Link::cancel() {
  cancelled_ = true;
  eventfd_write(wake_, 1);
  const std::lock_guard lock{mutex_};
  if (socket_ >= 0) shutdown(socket_, SHUT_RDWR);
}

tl::expected<Link::Words, Fault> Link::exchange(const Request& request) {
  const auto frame = encode_request(++transaction_, unit_, request);
  if (send(socket_, frame.data(), frame.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(frame.size())) {
    return fault("closed", fmt::format("the connection broke ({})", describe(errno)));
  }
  std::array<std::uint8_t, MODBUS_TCP_MAX_ADU_LENGTH> answer{};
  const int received = modbus_receive_confirmation(context_.get(), answer.data());
  if (received < 0 && errno == ETIMEDOUT) {
    return fault("timeout",
                 fmt::format("no whole answer within {}; check that unit id {} is right, and the device's power "
                             "and bus wiring",
                             to_string(timeout_), unit_));
  }
  if (received < 0 && errno == EMBBADDATA) return fault("bad-answer", "the answer is longer than Modbus allows");
  if (received < 0) return fault("closed", fmt::format("the connection broke ({})", modbus_strerror(errno)));
  auto words = decode_answer(transaction_, unit_, request, std::span{answer}.first(static_cast<std::size_t>(received)));
  if (!words) words.error().message = at_device(words.error().message);
  return words;
}

// Throws away what came unasked. False where the other side has closed.
bool Link::drain() {
  std::array<std::uint8_t, MODBUS_TCP_MAX_ADU_LENGTH> bytes{};
  for (int i = 0; i < 16; ++i) {
    const auto got = recv(socket_, bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (got < 0) return errno == EAGAIN;
    if (got == 0) return false;
  }
  return false;  // it babbles
}

tl::expected<void, Fault> Link::connect() {
  const auto endpoint = to_endpoint(address_, port_);
  const int socket = ::socket(endpoint.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (socket < 0) return fault("unreachable", fmt::format("no socket ({})", describe(errno)));
  if (socket >= FD_SETSIZE) {  // libmodbus waits with select()
    ::close(socket);
    return fault("unreachable", fmt::format("more than {} files are open in this process", FD_SETSIZE));
  }
  const int on = 1;
  setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  auto connected = tl::expected<void, Fault>{};
  if (::connect(socket, reinterpret_cast<const sockaddr*>(&endpoint.storage), endpoint.size) < 0) {
    if (errno == EINPROGRESS) {
      connected = await_connected(socket);
    } else {
      connected = fault("unreachable", describe(errno));
    }
  }
  if (connected && !adopt(socket)) connected = fault("cancelled", "stopped");
  if (!connected) ::close(socket);
  return connected;
}

tl::expected<void, Fault> Link::await_connected(int socket) const {
  std::array<pollfd, 2> waiting{{{socket, POLLOUT, 0}, {wake_, POLLIN, 0}}};
  const int ready = poll(waiting.data(), waiting.size(), static_cast<int>(timeout_.count()));
  if (cancelled_) return fault("cancelled", "stopped");
  if (ready == 0) {
    return fault("unreachable",
                 fmt::format("no connection within {}; check the device's power, network cable and address",
                             to_string(timeout_)));
  }
  int error = 0;
  socklen_t size = sizeof error;
  if (ready < 0 || getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &size) < 0) error = errno;
  if (error == 0) return {};
  if (error == ECONNREFUSED) {
    return fault("refused",
                 fmt::format("nothing listens on port {}; check the port and that Modbus TCP is switched on", port_));
  }
  return fault("unreachable", describe(error));
}

bool Link::adopt(int socket) {
  const std::lock_guard lock{mutex_};
  if (cancelled_) return false;
  socket_ = socket;
  modbus_set_socket(context_.get(), socket);
  return true;
}

void Link::close() {
  const std::lock_guard lock{mutex_};
  if (socket_ < 0) return;
  ::close(socket_);
  socket_ = -1;
  modbus_set_socket(context_.get(), -1);
}

tl::unexpected<Fault> Link::fault(std::string_view why, std::string_view what) const {
  return tl::unexpected(Fault{.why = std::string{why}, .message = at_device(what)});
}

std::string Link::at_device(std::string_view what) const {
  return fmt::format("{} port {}: {}", address_, port_, what);
}

}  // namespace hamlet::drivers::modbus
