#include "drivers/modbus/port.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include <arpa/inet.h>
#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

namespace hamlet::drivers::modbus {
namespace {

using namespace std::chrono_literals;

// After so long without a byte nothing more will come of what has: USB adapters deliver in bursts of up to 16 ms.
constexpr auto kQuiet = 50ms;
constexpr std::size_t kMostReceived = 4 * kMaxFrame;  // noise included

std::string describe(int error) {
  return std::generic_category().message(error);
}

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

}  // namespace

std::string PortSettings::describe() const {
  return is_serial() ? serial.path : fmt::format("{} port {}", address, port);
}

// Modbus over serial line 1.02, 2.5.1.1: 3.5 characters, above 19200 baud 1.75 ms.
std::chrono::microseconds PortSettings::silence() const {
  if (!is_serial()) return gap;
  const auto least = serial.baud > 19200 ? std::chrono::microseconds{1750} : serial.time_of(7) / 2;
  return std::max(std::chrono::microseconds{gap}, least);
}

Port::Port(boost::asio::io_context& io, PortSettings settings)
    : settings_{std::move(settings)}, io_{io}, stream_{io}, deadline_{io}, quiet_{io} {
  envelope_.framing = settings_.framing;
}

Port::~Port() {
  hang_up();
}

// What runs on an event, unless the exchange it belongs to is over.
template <class Member>
auto Port::handler(Member member) {
  return [weak = weak_from_this(), turn = turn_, member](const ErrorCode& error, auto... more) {
    const auto self = weak.lock();
    if (!self || self->turn_ != turn || !self->then_) return;
    if constexpr (std::is_invocable_v<Member, Port&>) {
      if (!error) (self.get()->*member)();
    } else {
      (self.get()->*member)(error, more...);
    }
  };
}

void Port::exchange(std::uint8_t unit, Bytes pdu, Millis timeout, FrameLog* frames, Then then) {
  ++turn_;
  envelope_.unit = unit;
  ++envelope_.transaction;
  pdu_ = std::move(pdu);
  timeout_ = timeout;
  frames_ = frames;
  then_ = std::move(then);
  if (stream_.is_open() && !drain()) hang_up();
  if (stream_.is_open()) {
    send();
  } else {
    open();
  }
}

void Port::close() {
  ++turn_;
  then_ = nullptr;
  frame_.clear();
  deadline_.cancel();
  quiet_.cancel();
  hang_up();
}

void Port::open() {
  if (settings_.is_serial()) {
    open_serial();
  } else {
    connect();
  }
}

void Port::open_serial() {
  const auto fd = serial::open_port(settings_.serial);
  if (!fd) {
    finish(tl::unexpected(Fault{.why = fd.error().code == Errc::unavailable ? "port-busy" : "no-port",
                                .message = fd.error().message}));
    return;
  }
  stream_.assign(*fd);
  send();
}

void Port::connect() {
  const auto endpoint = to_endpoint(settings_.address, settings_.port);
  const int socket = ::socket(endpoint.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (socket < 0) return fail_with("unreachable", fmt::format("no socket ({})", describe(errno)));
  const int on = 1;
  setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  const int begun = ::connect(socket, reinterpret_cast<const sockaddr*>(&endpoint.storage), endpoint.size);
  const int error = errno;
  stream_.assign(socket);
  if (begun == 0) return send();
  if (error != EINPROGRESS) return fail_with("unreachable", describe(error));
  stream_.async_wait(boost::asio::posix::stream_descriptor::wait_write, handler(&Port::on_connected));
  deadline_.expires_after(timeout_);
  deadline_.async_wait(handler(&Port::on_deadline));
}

void Port::on_connected(const ErrorCode& failed) {
  int error = failed ? failed.value() : 0;
  socklen_t size = sizeof error;
  if (!failed && getsockopt(stream_.native_handle(), SOL_SOCKET, SO_ERROR, &error, &size) < 0) error = errno;
  if (error == 0) return send();
  if (error == ECONNREFUSED) {
    return fail_with("refused", fmt::format("nothing listens on port {}; check the port and that Modbus TCP is switched on",
                                            settings_.port));
  }
  fail_with("unreachable", describe(error));
}

// Throws away what came unasked: late answers, noise. False where the other side has gone or never ends.
bool Port::drain() {
  for (int i = 0; i < 16; ++i) {
    const auto got = ::read(stream_.native_handle(), chunk_.data(), chunk_.size());
    if (got < 0) return errno == EAGAIN;
    if (got == 0) return false;
  }
  return settings_.is_serial();
}

void Port::send() {
  frame_ = wrap(envelope_, pdu_);
  received_.clear();
  echo_left_ = settings_.echo ? frame_.size() : 0;
  if (frames_ != nullptr) frames_->sent(frame_);
  if (!write_frame()) return;
  deadline_.expires_after(timeout_ + answer_time());
  deadline_.async_wait(handler(&Port::on_deadline));
  read();
}

bool Port::write_frame() {
  if (settings_.is_serial()) {
    auto sent = serial::send_frame(stream_.native_handle(), settings_.serial, frame_.data(), frame_.size());
    if (!sent) fail_with("no-port", sent.error().message);
    return sent.has_value();
  }
  const auto written = ::send(stream_.native_handle(), frame_.data(), frame_.size(), MSG_NOSIGNAL);
  if (written == static_cast<ssize_t>(frame_.size())) return true;
  fail_with("closed", fmt::format("the connection broke ({})", describe(errno)));
  return false;
}

// What request and answer take on the line: not the device's fault.
std::chrono::microseconds Port::answer_time() const {
  if (!settings_.is_serial()) return {};
  return settings_.serial.time_of(frame_.size() + answer_size(pdu_) + 3);
}

void Port::read() {
  stream_.async_read_some(boost::asio::buffer(chunk_), handler(&Port::on_read));
}

void Port::on_read(const ErrorCode& error, std::size_t size) {
  if (!error) return take_bytes(size);
  if (settings_.is_serial()) {
    return fail_with("no-port", fmt::format("the port has gone ({}); is its adapter plugged in?", error.message()));
  }
  fail_with("closed", fmt::format("the connection broke ({})", error.message()));
}

void Port::take_bytes(std::size_t size) {
  const BytesView bytes{chunk_.data(), size};
  if (frames_ != nullptr) frames_->received(bytes);
  received_.insert(received_.end(), bytes.begin(), bytes.end());
  skip_echo();
  auto answer = unwrap(envelope_, pdu_, received_);
  if (!answer) return fail_with(answer.error().why, answer.error().message);
  if (*answer) return finish(std::move(**answer));
  if (received_.size() > kMostReceived) return fail_with("bad-answer", "it sends without end");
  if (envelope_.framing == Framing::rtu && !received_.empty()) {
    quiet_.expires_after(kQuiet);
    quiet_.async_wait(handler(&Port::on_quiet));
  }
  read();
}

void Port::skip_echo() {
  if (echo_left_ == 0 || received_.size() < echo_left_) return;
  if (std::equal(frame_.begin(), frame_.end(), received_.begin())) {
    received_.erase(received_.begin(), received_.begin() + static_cast<std::ptrdiff_t>(echo_left_));
  }
  echo_left_ = 0;
}

void Port::on_deadline() {
  if (frame_.empty()) {
    return fail_with("unreachable", fmt::format("no connection within {}; check the device's power, network cable and "
                                                "address",
                                                hamlet::to_string(timeout_)));
  }
  if (envelope_.framing == Framing::rtu && !received_.empty()) return on_quiet();
  fail_with("timeout", fmt::format("no whole answer within {}; check that unit id {} is right, and the device's power "
                                   "and bus wiring",
                                   hamlet::to_string(timeout_), envelope_.unit));
}

void Port::on_quiet() {
  if (received_.empty()) return;
  const auto fault = explain(envelope_, pdu_, received_);
  fail_with(fault.why, fault.message);
}

void Port::hang_up() {
  if (!stream_.is_open()) return;
  if (settings_.is_serial()) {
    serial::close_port(stream_.release());
  } else {
    ErrorCode ignored;
    stream_.close(ignored);
  }
}

void Port::fail_with(std::string_view why, std::string_view what) {
  // A socket has nowhere for a late answer to arrive once it is closed; a serial line is kept, and drained before the next
  // request.
  if (!settings_.is_serial() || why == "no-port") hang_up();
  finish(tl::unexpected(Fault{.why = std::string{why}, .message = fmt::format("{}: {}", settings_.describe(), what)}));
}

void Port::finish(tl::expected<Bytes, Fault> result) {
  ++turn_;
  deadline_.cancel();
  quiet_.cancel();
  frame_.clear();
  if (stream_.is_open()) stream_.cancel();
  boost::asio::post(io_, [weak = weak_from_this(), turn = turn_, result = std::move(result)]() mutable {
    const auto self = weak.lock();
    if (self && self->turn_ == turn && self->then_) std::exchange(self->then_, nullptr)(std::move(result));
  });
}

}  // namespace hamlet::drivers::modbus
