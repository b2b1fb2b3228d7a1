#pragma once

#include <string>

#include "firmware/config/config.hpp"
#include "firmware/core/result.hpp"
#include "firmware/core/time.hpp"

namespace hamlet::drivers::serial {

/// Who drives the RS-485 line while we send.
enum class Rts {
  none,    ///< nobody has to: RS-232, or an adapter that turns round by itself
  high,    ///< RTS on while sending, switched by us
  low,     ///< RTS off while sending, switched by us
  kernel,  ///< the kernel's own RS-485 mode (TIOCSRS485), exact to the bit
};

/// A serial port as the config describes it.
struct Settings {
  std::string path;  ///< best one below /dev/serial/by-id: it stays when adapters are plugged elsewhere
  unsigned baud = 9600;
  unsigned data_bits = 8;
  char parity = 'N';  ///< N, E, O
  unsigned stop_bits = 1;
  Rts rts = Rts::none;

  /// "9600 8N1"
  [[nodiscard]] std::string describe() const;
  /// Bits on the line for one byte, start and stop included.
  [[nodiscard]] unsigned bits_per_byte() const { return 1 + data_bits + (parity == 'N' ? 0 : 1) + stop_bits; }
  /// How long so many bytes take on the line.
  [[nodiscard]] std::chrono::microseconds time_of(std::size_t bytes) const;
};

/// Reads the keys path, baud, format ("8N1") and rts.
[[nodiscard]] Settings read_settings(const config::Table& table);
/// The same without path: what a profile says of its device. `fallback`: what is left out.
void read_line_format(const config::Table& table, Settings& settings);

/// A descriptor: raw, non-blocking, ours alone (flock and TIOCEXCL), nothing left over in it. Close it with
/// close_port(). Errors: not_found (no such port), unavailable (another program has it), denied, invalid (a speed or
/// mode that it cannot).
[[nodiscard]] Result<int> open_port(const Settings& settings);
/// Without waiting for bytes that nobody takes.
void close_port(int fd);

/// Writes all of a frame, with RTS switched where the settings say so. Blocks as long as the bytes take on the line where
/// it is, else not at all.
[[nodiscard]] Status send_frame(int fd, const Settings& settings, const void* bytes, std::size_t size);

}  // namespace hamlet::drivers::serial
