#include "tests/support/false_broker.hpp"

#include <cerrno>
#include <system_error>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace hamlet::support {
namespace {

constexpr int kSliceMs = 20;

/// Exactly `size` bytes; false where the peer or we have gone.
bool receive(int fd, std::string& out, std::size_t size, const std::atomic<bool>& stopping) {
  out.clear();
  while (out.size() < size) {
    pollfd one{fd, POLLIN, 0};
    if (stopping) return false;
    if (::poll(&one, 1, kSliceMs) <= 0) continue;
    char bytes[4096];
    const auto got = ::recv(fd, bytes, std::min(sizeof bytes, size - out.size()), 0);
    if (got <= 0) return false;
    out.append(bytes, static_cast<std::size_t>(got));
  }
  return true;
}

void send_all(int fd, const std::string& bytes) { (void)!::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL); }

}  // namespace

FalseBroker::FalseBroker(Manners manners) : manners_{std::move(manners)} {
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (::bind(listener_, reinterpret_cast<const sockaddr*>(&address), size) != 0 || ::listen(listener_, 8) != 0) {
    throw std::system_error(errno, std::generic_category(), "listen on 127.0.0.1");
  }
  ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
  port_ = ntohs(address.sin_port);
  thread_ = std::thread{[this] { run(); }};
}

FalseBroker::~FalseBroker() {
  stopping_ = true;
  thread_.join();
  ::close(listener_);
}

void FalseBroker::run() {
  while (!stopping_) {
    pollfd one{listener_, POLLIN, 0};
    if (::poll(&one, 1, kSliceMs) <= 0) continue;
    const int fd = ::accept(listener_, nullptr, nullptr);
    if (fd < 0) continue;
    serve(fd);
    ::close(fd);
  }
}

void FalseBroker::serve(int fd) {
  std::string head;
  std::string body;
  if (!manners_.says.empty()) {
    for (std::string came; receive(fd, head, 1, stopping_);) {
      if (!(came += head).ends_with(manners_.once_asked)) continue;
      send_all(fd, manners_.says);
      break;
    }
    ::shutdown(fd, SHUT_WR);
    while (receive(fd, head, 1, stopping_)) continue;
    return;
  }
  while (receive(fd, head, 1, stopping_)) {
    const auto type = static_cast<std::uint8_t>(head[0]);
    std::size_t length = 0;
    for (unsigned shift = 0;; shift += 7) {
      if (!receive(fd, body, 1, stopping_)) return;
      length |= (static_cast<std::size_t>(body[0]) & 0x7f) << shift;
      if ((body[0] & 0x80) == 0) break;
    }
    if (!receive(fd, body, length, stopping_) || !answer(fd, type, body)) return;
  }
}

/// False: the connection is over.
bool FalseBroker::answer(int fd, std::uint8_t type, const std::string& body) {
  using namespace std::string_literals;
  switch (type >> 4) {
    case 1:  // CONNECT
      ++logins_;
      if (manners_.answers_connect) send_all(fd, "\x20\x03\x00"s + static_cast<char>(manners_.connack) + "\x00"s);
      return manners_.connack == 0;
    case 3: {  // PUBLISH
      if ((type & 6) == 0) return true;
      const auto topic = static_cast<std::size_t>(static_cast<std::uint8_t>(body[0]) << 8 | static_cast<std::uint8_t>(body[1]));
      const int reason = manners_.puback(++publishes_);
      if (reason == kDrop) return false;
      if (reason >= kLeave) {
        send_all(fd, "\xe0\x01"s + static_cast<char>(reason - kLeave));
        return false;
      }
      if (reason != kSilent) send_all(fd, "\x40\x03"s + body.substr(2 + topic, 2) + static_cast<char>(reason));
      return true;
    }
    case 8:  // SUBSCRIBE, of one topic
      send_all(fd, "\x90\x04"s + body.substr(0, 2) + "\x00\x01"s);
      return true;
    case 10:  // UNSUBSCRIBE
      send_all(fd, "\xb0\x04"s + body.substr(0, 2) + "\x00\x00"s);
      return true;
    case 12:
      send_all(fd, "\xd0\x00"s);
      return true;
    case 14:
      return false;
    default:
      return true;
  }
}

}  // namespace hamlet::support
