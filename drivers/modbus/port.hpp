#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <tl/expected.hpp>

#include "drivers/modbus/frame.hpp"
#include "drivers/recorder.hpp"
#include "drivers/serial/serial.hpp"

namespace hamlet::drivers::modbus {

/// The wire that leads to one device or, on a bus or behind a gateway, to several.
struct PortSettings {
  Framing framing = Framing::tcp;
  std::string address{};     ///< IPv4 or IPv6, no name: a look-up that hangs would hang the devices; empty: serial
  std::uint16_t port = 502;  ///< of address
  serial::Settings serial{};
  Millis gap{};       ///< least silence between an answer and the next request; never less than the standard's
  bool echo = false;  ///< the adapter hears what we send

  [[nodiscard]] bool is_serial() const { return address.empty(); }
  /// "192.168.1.20 port 502", "/dev/ttyUSB0"
  [[nodiscard]] std::string describe() const;
  /// gap, or on a serial line 3.5 characters where that is more.
  [[nodiscard]] std::chrono::microseconds silence() const;
};

/// One exchange at a time: a request out, its answer in. Opens the wire when it is needed, and again when it comes back.
/// Runs on one io_context, of the thread that calls it.
///
/// libmodbus is not used here: it waits with select() and cannot be broken off on a serial port, passes answers of
/// another unit over TCP, and takes an echo for an answer. The tests' devices are libmodbus, so that two
/// implementations meet.
class Port : public std::enable_shared_from_this<Port> {
 public:
  using Then = std::function<void(tl::expected<Bytes, Fault>)>;

  Port(boost::asio::io_context& io, PortSettings settings);
  ~Port();
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;

  /// Asks once. `then` is called once, with the answer's PDU (perhaps an exception) or a Fault, and not from inside;
  /// unless close() comes first. Connecting and answering take one `timeout` each at most, beside the time that the
  /// bytes take on a serial line. `frames` may be null.
  void exchange(std::uint8_t unit, Bytes pdu, Millis timeout, FrameLog* frames, Then then);
  [[nodiscard]] bool busy() const { return then_ != nullptr; }
  /// Gives up what is under way and closes the wire.
  void close();

 private:
  using ErrorCode = boost::system::error_code;

  void open();
  void open_serial();
  void connect();
  void on_connected(const ErrorCode& error);
  [[nodiscard]] bool drain();
  void send();
  [[nodiscard]] bool write_frame();
  void read();
  void on_read(const ErrorCode& error, std::size_t size);
  void take_bytes(std::size_t size);
  void skip_echo();
  void on_deadline();
  void on_quiet();
  void hang_up();
  void finish(tl::expected<Bytes, Fault> result);
  void fail_with(std::string_view why, std::string_view what);
  [[nodiscard]] std::chrono::microseconds answer_time() const;
  template <class Member>
  auto handler(Member member);

  const PortSettings settings_;
  boost::asio::io_context& io_;
  boost::asio::posix::stream_descriptor stream_;
  boost::asio::steady_timer deadline_;
  boost::asio::steady_timer quiet_;
  std::uint64_t turn_ = 0;  // of the exchange: handlers of an earlier one do nothing
  Envelope envelope_;
  Bytes pdu_;
  Bytes frame_;
  Bytes received_;
  std::size_t echo_left_ = 0;
  Millis timeout_{};
  FrameLog* frames_ = nullptr;
  Then then_;
  std::array<std::uint8_t, kMaxFrame> chunk_{};
};

}  // namespace hamlet::drivers::modbus
