#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/ip/address.hpp>
#include <nlohmann/json_fwd.hpp>

#include "drivers/recorder.hpp"
#include "drivers/serial/serial.hpp"
#include "firmware/config/config.hpp"
#include "firmware/core/clock.hpp"
#include "firmware/core/reading.hpp"
#include "firmware/core/result.hpp"
#include "firmware/core/time.hpp"

namespace boost::asio {
class io_context;
}

/// What the drivers have in common whose stations come to us: listeners, serial lines, who may speak and how much.
namespace hamlet::drivers::stations {

/// Addresses that may speak: "10.8.0.5", "10.8.0.0/16", "fd00::/8".
class Admission {
 public:
  /// Notes in `device` what is no address and no network.
  [[nodiscard]] static Admission read(const config::Table& device, const char* key);
  [[nodiscard]] bool admits(const boost::asio::ip::address& address) const;

 private:
  struct Network {
    boost::asio::ip::address address;
    unsigned bits;
  };
  std::vector<Network> networks_;
};

struct PortSettings {
  enum class Kind : std::uint8_t { tcp, udp, serial };
  Kind kind = Kind::tcp;
  std::string address{};  ///< an IP address of this box, of tcp and udp
  std::uint16_t port = 0;
  serial::Settings serial{};
  std::size_t max_connections = 256;  ///< peers at a time, of tcp and udp

  /// "0.0.0.0 TCP port 9000", "/dev/ttyUSB0"
  [[nodiscard]] std::string describe() const;
};

/// What a device says of the port it is reached by.
struct PortTerms {
  PortSettings settings;
  Admission allow;
};
/// Reads tcp, udp or serial (one of them), allow and max_connections.
[[nodiscard]] PortTerms read_port(const config::Table& device);

/// An empty reading, dated as the station does where that can be believed. A time in the future or before 2000 cannot:
/// then it is bad, "device-clock", and dated now. What is from before this boot is dated at its start.
[[nodiscard]] Reading dated(const std::string& point, std::optional<WallTime> at, const Clock& clock);

/// How many frames that are not to be trusted a line may bring before it is banned.
inline constexpr unsigned kMostStrange = 3, kMostStrangeOfOurs = 16;

/// One way to one peer: a TCP connection, a UDP address, the serial line. Io thread only.
class Line {
 public:
  virtual ~Line() = default;
  /// Returns at once. What the peer does not take piles up to a bound, then the line is closed.
  virtual void send(std::string bytes) = 0;
  virtual void close() = 0;
  [[nodiscard]] virtual bool closed() const = 0;
  /// For answers that take time: the line may have gone by then.
  [[nodiscard]] virtual std::weak_ptr<Line> weak() = 0;
  [[nodiscard]] const std::string& peer() const { return peer_; }
  /// Whether this peer may speak for a station; a serial line always may.
  [[nodiscard]] bool admitted_by(const Admission& allow) const { return !address_ || allow.admits(*address_); }
  /// Of the peer; a serial line has none.
  [[nodiscard]] const std::optional<boost::asio::ip::address>& address() const { return address_; }
  /// A station of ours speaks here: the line may stay.
  void identify() { identified_ = true; }
  [[nodiscard]] bool identified() const { return identified_; }

 protected:
  explicit Line(std::string peer, std::optional<boost::asio::ip::address> address = {})
      : peer_{std::move(peer)}, address_{std::move(address)} {}

 private:
  std::string peer_;
  std::optional<boost::asio::ip::address> address_;
  bool identified_ = false;
};

/// Makes frames of what a line brings. One for each line; dies with it.
class Session {
 public:
  virtual ~Session() = default;
  virtual void received(std::string_view bytes) = 0;
  /// Whether a frame has begun and is not whole yet: its rest must come within kRestOfFrame.
  [[nodiscard]] virtual bool waiting() const = 0;
  /// It has not: goes on without it. Afterwards less is waiting.
  virtual void gave_up() = 0;
};

/// A station on a port: one device.
class Member {
 public:
  virtual ~Member() = default;
  /// The port cannot be opened, or has gone.
  virtual void port_failed(const std::string& why, const std::string& message) = 0;
  /// Something to tell the county that belongs to no station.
  virtual void port_happened(std::string kind, nlohmann::json detail) = 0;
  [[nodiscard]] virtual const Admission& allow() const = 0;
  [[nodiscard]] virtual Recorder* recorder() const = 0;
};

/// A listener or serial line that several stations share; open while one of them has joined. Io thread only.
///
/// Bounds: peers (max_connections), bytes a second of each peer (kRate), bytes not yet sent, time to say who one is
/// (kToIdentify), silence (kIdle), names of strangers and addresses banned that are remembered.
class Port {
 public:
  static constexpr Millis kRestOfFrame{5'000};
  static constexpr Millis kToIdentify{60'000};
  static constexpr Millis kIdle{15 * 60'000};
  static constexpr Millis kBan{10'000};
  static constexpr std::size_t kRate = 64U << 10U;
  static constexpr std::size_t kBurst = 256U << 10U;

  using Open = std::function<std::unique_ptr<Session>(Port& port, Line& line)>;
  Port(boost::asio::io_context& io, PortSettings settings, Open open);
  ~Port();
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;

  /// `name`: how the station calls itself on the wire. False where another device has it.
  [[nodiscard]] bool join(const std::string& name, Member& member);
  void leave(const std::string& name);
  [[nodiscard]] Member* find(const std::string& name) const;

  /// Says once, in the log and in an event, that somebody speaks who is not in the config or may not. `reason` is an id.
  void stranger(const std::string& name, const std::string& peer, std::string_view reason);

  /// Hangs up on a peer that says what it may not too often, and does not hear its address for kBan: passwords cannot be
  /// tried out. A serial line stays.
  void ban(Line& line);

  /// Of a port that is one, while it is open; null otherwise.
  [[nodiscard]] std::shared_ptr<Line> serial_line() const;

  [[nodiscard]] const PortSettings& settings() const;

  struct Impl;  // for the .cpp

 private:
  std::shared_ptr<Impl> impl_;  // shared with handlers that may outlive us
};

}  // namespace hamlet::drivers::stations
