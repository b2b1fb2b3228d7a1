#pragma once

#include <array>
#include <filesystem>
#include <string>
#include <string_view>

#include <doctest/doctest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace hamlet::support {

inline sockaddr_un unix_address(const std::filesystem::path& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const auto name = path.string();
  REQUIRE(name.size() < sizeof address.sun_path);
  std::copy(name.begin(), name.end(), std::begin(address.sun_path));
  return address;
}

/// A client that does what a good one would not. Every wait fails the test after ten seconds.
class RawSocket {
 public:
  explicit RawSocket(const std::filesystem::path& path) : socket_{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)} {
    const auto address = unix_address(path);
    REQUIRE(connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  }
  ~RawSocket() { close(socket_); }
  RawSocket(const RawSocket&) = delete;
  RawSocket& operator=(const RawSocket&) = delete;

  void send(std::string_view bytes) {
    while (!bytes.empty()) {
      const auto sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;  // the daemon has hung up: what it said before is still there
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
  }
  /// A line without its newline; empty once the daemon has hung up.
  std::string line() {
    for (;;) {
      if (const auto end = inbox_.find('\n'); end != std::string::npos) {
        auto out = inbox_.substr(0, end);
        inbox_.erase(0, end + 1);
        return out;
      }
      if (!fill()) return {};
    }
  }
  /// Reads on until the daemon hangs up; how many bytes came.
  std::size_t drain() {
    while (fill()) {
    }
    return inbox_.size();
  }
  /// Waits until the answer has begun, and leaves the rest of it where it is.
  void wait_for_bytes() { REQUIRE(fill()); }
  /// Waits until the daemon has hung up, without reading.
  void wait_for_hangup() {
    pollfd what{socket_, 0, 0};
    REQUIRE(poll(&what, 1, 10'000) == 1);
  }

 private:
  bool fill() {
    pollfd what{socket_, POLLIN, 0};
    REQUIRE(poll(&what, 1, 10'000) == 1);
    std::array<char, 65536> chunk{};
    const auto got = recv(socket_, chunk.data(), chunk.size(), 0);
    if (got > 0) inbox_.append(chunk.data(), static_cast<std::size_t>(got));
    return got > 0;
  }

  int socket_;
  std::string inbox_;
};

}  // namespace hamlet::support
