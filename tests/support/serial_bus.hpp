#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/process.hpp"

namespace hamlet::support {

/// An RS-485 line with Modbus RTU slaves on it, on a pty, on a thread of its own. Every byte takes the time that it takes
/// at the baud rate, in both directions. All functions may be called from any thread.
class SerialBus {
 public:
  explicit SerialBus(unsigned baud = 9600, unsigned bits_per_byte = 10);
  ~SerialBus();
  SerialBus(const SerialBus&) = delete;
  SerialBus& operator=(const SerialBus&) = delete;

  /// A path that stays when the adapter is unplugged and comes back, as those in /dev/serial/by-id.
  [[nodiscard]] std::string path() const;

  /// A slave; `turnaround`: from the request's last bit to the answer's first.
  void add(std::uint8_t unit, std::chrono::milliseconds turnaround = std::chrono::milliseconds{5});
  /// Registers that exist: holding and input alike. Others bring exception 02.
  void set(std::uint8_t unit, std::uint16_t address, std::vector<std::uint16_t> values);
  [[nodiscard]] std::optional<std::uint16_t> get(std::uint8_t unit, std::uint16_t address) const;

  enum class Fault {
    none,
    silent,
    late,        ///< answers after `delay` more
    wrong_crc,
    wrong_unit,  ///< another slave answers
    half,        ///< half a frame, then nothing
    noise,       ///< three bytes of noise before the frame
    echo,        ///< the request comes back before the answer
    dribble,     ///< `delay` more between two bytes
    flood,       ///< bytes without end
  };
  void set_fault(std::uint8_t unit, Fault fault, std::chrono::milliseconds delay = {});

  void unplug();
  void plug_in();

  [[nodiscard]] std::size_t requests(std::uint8_t unit) const;
  [[nodiscard]] std::size_t requests() const;
  void forget_requests();
  /// Requests that began before the line had been silent for 3.5 characters.
  [[nodiscard]] std::size_t hasty() const;

  /// What a request and its answer take on the line, the silence after it included.
  [[nodiscard]] std::chrono::microseconds time_of(std::size_t bytes) const;

 private:
  using Bytes = std::vector<std::uint8_t>;
  using Time = std::chrono::steady_clock::time_point;
  struct Slave {
    std::chrono::milliseconds turnaround{};
    std::map<std::uint16_t, std::uint16_t> registers{};
    Fault fault = Fault::none;
    std::chrono::milliseconds delay{};
    std::size_t requests = 0;
  };

  void run();
  void serve(Bytes& heard, Time ended);
  [[nodiscard]] Bytes answer_pdu(Slave& slave, const Bytes& request);
  void send(const Bytes& frame, Time begin, std::chrono::milliseconds between);
  void misbehave(std::uint8_t unit, const Slave& slave, const Bytes& request, Bytes pdu, Time begin);
  bool sleep_until(Time time);

  const unsigned baud_;
  const unsigned bits_per_byte_;
  TempDir folder_;
  int stop_;
  mutable std::mutex mutex_;
  int master_ = -1;
  int slave_ = -1;
  std::map<std::uint8_t, Slave> slaves_;
  std::size_t hasty_ = 0;
  Time silent_since_{};
  std::thread thread_;
};

}  // namespace hamlet::support
