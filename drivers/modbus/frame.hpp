#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <tl/expected.hpp>

#include "drivers/modbus/plan.hpp"

namespace hamlet::drivers::modbus {

using Bytes = std::vector<std::uint8_t>;
using BytesView = std::span<const std::uint8_t>;
using Words = std::vector<std::uint16_t>;

/// Why a request brought no values.
struct Fault {
  std::string why;                          ///< an id, as readings and events carry it
  std::string message;                      ///< for people
  std::optional<std::uint8_t> exception{};  ///< set where the device answered, with this exception code
};

// ---- what is asked and answered (PDU): function and data, the same on every wire

/// Coils (values 0 or 1) or holding registers to be written: functions 05, 0F, 06 and 10.
struct Write {
  bool coil = false;
  std::uint16_t address = 0;  ///< from 0
  Words values;               ///< of 1 to 1968 coils, or 1 to 123 registers
};

inline constexpr std::size_t kMostCoils = 1968;  // of a write

[[nodiscard]] Bytes encode(const Request& request);
[[nodiscard]] Bytes encode(const Write& write);

/// The words of an answer: registers, or 0 and 1 for bits; request.count of them. Function and byte count are compared
/// with the request.
[[nodiscard]] tl::expected<Words, Fault> decode_answer(const Request& request, BytesView pdu);
/// Whether the device confirms just what was asked for.
[[nodiscard]] tl::expected<void, Fault> check_answer(const Write& write, BytesView pdu);

/// How many bytes the answer to this request has when it is not an exception.
[[nodiscard]] std::size_t answer_size(BytesView request_pdu);

// ---- how it travels

enum class Framing : std::uint8_t {
  tcp,  ///< MBAP header (Modbus messaging on TCP/IP 1.0b, 3.1)
  rtu,  ///< unit and CRC (Modbus over serial line 1.02, 2.5.1); also on the raw sockets of serial servers
};

/// Where a frame goes: what every answer is compared with.
struct Envelope {
  Framing framing = Framing::tcp;
  std::uint16_t transaction = 0;  ///< of tcp
  std::uint8_t unit = 1;
};

/// The unit ids that mean "whoever is there": an answer may then name any unit. (Cheap sensors answer to 254 and 255.)
[[nodiscard]] constexpr bool is_any_unit(std::uint8_t unit) {
  return unit == 0 || unit >= 254;
}

/// CRC-16 with the polynomial A001 (reflected), beginning with FFFF; sent low byte first.
[[nodiscard]] std::uint16_t crc16(BytesView bytes);

[[nodiscard]] Bytes wrap(const Envelope& envelope, BytesView pdu);

/// The answer's PDU in what has come so far; nothing where it is not whole yet. A Fault where what came cannot become one:
/// on tcp at once, since everything in the header is compared with the request. On rtu bytes that are no answer (noise,
/// an echo, a late answer of another unit) are passed over, so waiting has to have an end: see explain().
[[nodiscard]] tl::expected<std::optional<Bytes>, Fault> unwrap(const Envelope& envelope, BytesView request_pdu,
                                                               BytesView received);

/// What was wrong with bytes on rtu in which unwrap() found no answer, once nothing more comes.
[[nodiscard]] Fault explain(const Envelope& envelope, BytesView request_pdu, BytesView received);

/// Room for the longest frame.
inline constexpr std::size_t kMaxFrame = 260;

}  // namespace hamlet::drivers::modbus
