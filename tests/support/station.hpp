#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "firmware/wire/hj212.hpp"
#include "firmware/wire/sl651.hpp"
#include "tests/support/broker.hpp"  // free_port()

namespace hamlet::support {

/// The station's end of a wire to the gateway. Nothing blocks but connecting, which the kernel answers.
class StationWire {
 public:
  /// `from`: the source address, for admission tests.
  [[nodiscard]] static StationWire tcp(std::uint16_t port, const std::string& from = "127.0.0.1");
  [[nodiscard]] static StationWire udp(std::uint16_t port);
  /// A pty: the gateway opens path().
  [[nodiscard]] static StationWire serial();
  StationWire(StationWire&& other) noexcept;
  StationWire& operator=(StationWire&& other) noexcept;
  ~StationWire();

  [[nodiscard]] const std::string& path() const { return path_; }
  void send(std::string_view bytes);
  /// What has come since the last call.
  [[nodiscard]] std::string take();
  /// Whether the gateway has hung up; take() notices it.
  [[nodiscard]] bool closed() const { return closed_; }
  void hang_up();

 private:
  explicit StationWire(int fd) : fd_{fd} {}
  int fd_ = -1;
  std::string path_;
  bool closed_ = false;
};

/// What is wrong with a station.
enum class StationFault {
  none,
  silent,      ///< sends nothing
  half,        ///< half a frame
  noise,       ///< noise before the frame
  wrong_crc,   ///< a bit flipped
  dribble,     ///< a byte with each step()
  flood,       ///< 64 KiB of frames with wrong CRCs before it
  disconnect,  ///< hangs up in the middle of the frame
};

/// A hydrology station (SL 651). Call step() again and again: it reads answers, and dribbles.
class Rtu {
 public:
  Rtu(StationWire wire, wire::sl651::Frame like) : wire_{std::move(wire)}, like_{std::move(like)} {}

  void set_fault(StationFault fault) { fault_ = fault; }
  [[nodiscard]] StationWire& wire() { return wire_; }
  void rewire(StationWire wire) { wire_ = std::move(wire); }
  /// On a line that stations share: whose reports follow.
  void speak_as(const wire::sl651::Address& station) { like_.station = station; }

  /// Sends a report with the next serial number, and keeps it to repeat().
  void report(std::uint8_t function, std::vector<wire::sl651::Group> groups, WallTime now,
              std::uint8_t end = wire::sl651::kEtx);
  /// The same in packets (M3); `lost`: the number of one that does not go out at first.
  void report_in_packets(std::uint8_t function, std::vector<wire::sl651::Group> groups, WallTime now, std::size_t slice,
                         std::uint16_t lost = 0);
  void repeat();
  void keep_alive(WallTime now);
  void step();

  [[nodiscard]] const std::vector<wire::sl651::Frame>& answers() const { return answers_; }
  /// Answers that confirm: EOT, ESC or ACK.
  [[nodiscard]] std::size_t confirmed() const;
  [[nodiscard]] std::uint16_t serial() const { return serial_; }

 private:
  void send(const std::string& bytes);

  StationWire wire_;
  wire::sl651::Frame like_;
  StationFault fault_ = StationFault::none;
  std::uint16_t serial_ = 0;
  std::vector<wire::sl651::Frame> last_;  // the frames of the last report
  std::string dribble_;
  wire::sl651::Decoder decoder_;
  std::vector<wire::sl651::Frame> answers_;
};

/// "F1F1 …", "F0F0 …" and one element: what every report begins with.
[[nodiscard]] std::vector<wire::sl651::Group> report_groups(const wire::sl651::Address& station, char class_code,
                                                            WallTime observed);
[[nodiscard]] wire::sl651::Group element(std::string_view symbol, double value);

/// An environment monitor (HJ 212).
class Logger {
 public:
  Logger(StationWire wire, wire::hj212::Packet like) : wire_{std::move(wire)}, like_{std::move(like)} {}

  void set_fault(StationFault fault) { fault_ = fault; }
  [[nodiscard]] StationWire& wire() { return wire_; }
  void rewire(StationWire wire) { wire_ = std::move(wire); }

  void upload(std::string cn, std::vector<wire::hj212::Item> cp, WallTime now);
  void repeat();
  /// Answers requests for history with `count` uploads of one item from BeginTime on, a period apart, then 9012.
  void serve_history(std::string item, unsigned count, Millis period);
  void step();

  [[nodiscard]] const std::vector<wire::hj212::Packet>& answers() const { return answers_; }
  [[nodiscard]] std::size_t count(std::string_view cn) const;

 private:
  void send(const std::string& bytes);
  void serve(const wire::hj212::Packet& request);

  StationWire wire_;
  wire::hj212::Packet like_;
  StationFault fault_ = StationFault::none;
  std::string last_;
  std::string dribble_;
  wire::hj212::Decoder decoder_;
  std::vector<wire::hj212::Packet> answers_;
  std::string history_item_;
  unsigned history_count_ = 0;
  Millis history_period_{};
};

}  // namespace hamlet::support
