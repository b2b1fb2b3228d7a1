#include "drivers/modbus/frame.hpp"

#include <fmt/format.h>

namespace hamlet::drivers::modbus {
namespace {

constexpr std::size_t kHeader = 7;          // MBAP
constexpr std::size_t kLengthCounted = 6;   // bytes before those that the length field counts
constexpr std::size_t kData = kHeader + 2;  // after function and byte count
constexpr std::uint8_t kException = 0x80;

std::uint8_t high(std::uint32_t word) {
  return static_cast<std::uint8_t>(word >> 8);
}
std::uint8_t low(std::uint32_t word) {
  return static_cast<std::uint8_t>(word & 0xFF);
}

std::uint16_t word_at(std::span<const std::uint8_t> bytes, std::size_t at) {
  return static_cast<std::uint16_t>(bytes[at] << 8 | bytes[at + 1]);
}

tl::unexpected<Fault> bad_answer(std::string message) {
  return tl::unexpected(Fault{.why = "bad-answer", .message = std::move(message)});
}

std::uint16_t bit_at(std::span<const std::uint8_t> bytes, std::size_t from, std::size_t index) {
  return static_cast<std::uint16_t>(bytes[from + index / 8] >> (index % 8) & 1);
}

std::string_view why_of(std::uint8_t exception) {
  switch (exception) {
    case 0x01:
      return "illegal-function";
    case 0x02:
      return "illegal-address";
    case 0x03:
      return "illegal-value";
    case 0x04:
      return "device-failure";
    case 0x05:
    case 0x06:
      return "device-busy";
    case 0x08:
      return "memory-parity";
    case 0x0A:
      return "gateway-path";
    case 0x0B:
      return "gateway-target";
    default:
      return "exception";
  }
}

std::size_t data_bytes(const Request& request) {
  return is_bits(request.function) ? (request.count + 7U) / 8U : request.count * 2U;
}

}  // namespace

std::array<std::uint8_t, 12> encode_request(std::uint16_t transaction, std::uint8_t unit, const Request& request) {
  return {high(transaction),
          low(transaction),
          0,  // protocol
          0,
          0,  // length
          6,
          unit,
          static_cast<std::uint8_t>(request.function),
          high(request.address),
          low(request.address),
          high(request.count),
          low(request.count)};
}

tl::expected<std::vector<std::uint16_t>, Fault> decode_answer(std::uint16_t transaction, std::uint8_t unit,
                                                              const Request& request,
                                                              std::span<const std::uint8_t> frame) {
  if (frame.size() < kData) return bad_answer(fmt::format("the answer has {} bytes only", frame.size()));
  if (word_at(frame, 0) != transaction) return bad_answer("the answer belongs to another request (transaction id)");
  if (word_at(frame, 2) != 0) return bad_answer("the answer is not Modbus (protocol id)");
  if (word_at(frame, 4) != frame.size() - kLengthCounted) return bad_answer("the answer's length field is wrong");
  if (frame[6] != unit && !is_any_unit(unit)) {
    return bad_answer(fmt::format("the answer is of unit {}, unit {} was asked", frame[6], unit));
  }
  const auto function = static_cast<std::uint8_t>(request.function);
  if (frame[7] == (function | kException) && frame.size() == kData) {
    return tl::unexpected(Fault{.why = std::string{why_of(frame[8])},
                                .message = fmt::format("the device answered with exception {:02X} ({}) to function {}, "
                                                       "addresses {} to {} (from 0)",
                                                       frame[8], why_of(frame[8]), function, request.address,
                                                       request.address + request.count - 1),
                                .exception = frame[8]});
  }
  if (frame[7] != function) return bad_answer(fmt::format("the answer has function {}", frame[7]));
  if (frame[8] != data_bytes(request) || frame.size() != kData + frame[8]) {
    return bad_answer("the answer has another number of values than was asked for");
  }
  std::vector<std::uint16_t> words(request.count);
  for (std::size_t i = 0; i < words.size(); ++i) {
    words[i] = is_bits(request.function) ? bit_at(frame, kData, i) : word_at(frame, kData + 2 * i);
  }
  return words;
}

}  // namespace hamlet::drivers::modbus
