#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <tl/expected.hpp>

#include "drivers/modbus/frame.hpp"
#include "firmware/core/time.hpp"

struct _modbus;  // libmodbus' modbus_t, which stays out of this header

namespace hamlet::drivers::modbus {

/// One Modbus TCP connection, opened when it is needed.
///
/// read() blocks and belongs to one thread; cancel() may come from any. Bounded: connecting and answering take one
/// timeout each at most, also from a device that sends a byte now and then.
///
/// libmodbus receives the answers. What it leaves out is done here: connecting so that it can be broken off, and
/// comparing the whole header with the request (decode_answer); over TCP libmodbus looks at neither unit id nor length.
/// After any doubt the connection is closed, so that a late answer has nowhere to arrive.
class Link {
 public:
  /// `address`: IPv4 or IPv6, no name: a name server that hangs would hang the device.
  Link(std::string address, std::uint16_t port, std::uint8_t unit, Millis timeout);
  ~Link();
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  /// Asks once. A Fault without an exception code means that the connection was closed.
  [[nodiscard]] tl::expected<std::vector<std::uint16_t>, Fault> read(const Request& request);

  /// Makes a read() under way, and every later one, fail at once.
  void cancel();
  [[nodiscard]] bool cancelled() const { return cancelled_; }

 private:
  struct FreeContext {
    void operator()(_modbus* context) const;
  };
  using Words = std::vector<std::uint16_t>;

  [[nodiscard]] tl::expected<void, Fault> connect();
  [[nodiscard]] tl::expected<void, Fault> await_connected(int socket) const;
  [[nodiscard]] tl::expected<Words, Fault> exchange(const Request& request);
  [[nodiscard]] bool drain();
  [[nodiscard]] bool adopt(int socket);
  void close();
  [[nodiscard]] tl::unexpected<Fault> fault(std::string_view why, std::string_view what) const;
  [[nodiscard]] std::string at_device(std::string_view what) const;

  const std::string address_;
  const std::uint16_t port_;
  const std::uint8_t unit_;
  const Millis timeout_;
  const int wake_;  // an eventfd: readable when cancelled
  std::unique_ptr<_modbus, FreeContext> context_;
  std::uint16_t transaction_ = 0;
  std::atomic<bool> cancelled_{false};
  std::mutex mutex_;
  int socket_ = -1;  // closed and replaced under mutex_, by the reading thread only
};

}  // namespace hamlet::drivers::modbus
