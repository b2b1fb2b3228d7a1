#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace hamlet::drivers::modbus {

/// What is read, by its function code.
enum class Function : std::uint8_t { coil = 1, discrete = 2, holding = 3, input = 4 };

[[nodiscard]] constexpr bool is_bits(Function function) {
  return function == Function::coil || function == Function::discrete;
}

/// The most that one request may ask for (Modbus application protocol 1.1b, 6.1 and 6.3).
[[nodiscard]] constexpr std::uint32_t max_count(Function function) {
  return is_bits(function) ? 2000 : 125;
}

/// What one point needs: `count` bits or registers from `address` (from 0) on. It is read in one request or not at all,
/// so that a value of several registers is never put together from two moments.
struct Need {
  Function function = Function::holding;
  std::uint16_t address = 0;
  std::uint16_t count = 1;
};

/// One request, and whose needs it serves.
struct Request {
  Function function = Function::holding;
  std::uint16_t address = 0;
  std::uint16_t count = 0;
  std::vector<std::size_t> needs;  ///< indices of those it serves
};

/// The fewest requests that serve all of `needs`, in order of function and address. Up to `max_gap` bits or registers
/// that nobody needs are read along where that saves a request. A need must end at 65536 at the latest and fit a
/// request.
[[nodiscard]] std::vector<Request> plan(std::span<const Need> needs, std::uint32_t max_gap);

/// The next smaller requests for one that the device refuses as a whole: cut at its holes, else in halves; empty where
/// it serves one need only.
[[nodiscard]] std::vector<Request> split(const Request& request, std::span<const Need> needs);

}  // namespace hamlet::drivers::modbus
