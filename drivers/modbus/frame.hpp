#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <tl/expected.hpp>

#include "drivers/modbus/plan.hpp"

namespace hamlet::drivers::modbus {

/// Why a request brought no values.
struct Fault {
  std::string why;                          ///< an id, as readings and events carry it
  std::string message;                      ///< for people
  std::optional<std::uint8_t> exception{};  ///< set where the device answered, with this exception code
};

/// The unit ids that mean "whoever is at this address": an answer may then name any unit.
[[nodiscard]] constexpr bool is_any_unit(std::uint8_t unit) {
  return unit == 0 || unit == 255;
}

/// A Modbus TCP read request: MBAP header and PDU (Modbus messaging on TCP/IP 1.0b, 3.1).
[[nodiscard]] std::array<std::uint8_t, 12> encode_request(std::uint16_t transaction, std::uint8_t unit,
                                                          const Request& request);

/// The words of an answer: registers, or 0 and 1 for bits; request.count of them. Everything in the frame is compared
/// with the request, so that a late or foreign answer is never taken for a value: transaction, protocol, length, unit,
/// function, byte count.
[[nodiscard]] tl::expected<std::vector<std::uint16_t>, Fault> decode_answer(std::uint16_t transaction,
                                                                            std::uint8_t unit, const Request& request,
                                                                            std::span<const std::uint8_t> frame);

}  // namespace hamlet::drivers::modbus
