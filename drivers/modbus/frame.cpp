#include "drivers/modbus/frame.hpp"

#include <algorithm>
#include <cassert>

#include <fmt/format.h>

namespace hamlet::drivers::modbus {
namespace {

constexpr std::size_t kHeader = 7;         // MBAP
constexpr std::size_t kLengthCounted = 6;  // its bytes before those that its length field counts
constexpr std::size_t kLongestLength = 254;
constexpr std::uint8_t kException = 0x80;
constexpr std::size_t kExceptionPdu = 2;
constexpr std::uint8_t kWriteCoil = 0x05;
constexpr std::uint8_t kWriteRegister = 0x06;
constexpr std::uint8_t kWriteCoils = 0x0F;
constexpr std::uint8_t kWriteRegisters = 0x10;

std::uint8_t high(std::size_t word) {
  return static_cast<std::uint8_t>(word >> 8 & 0xFF);
}
std::uint8_t low(std::size_t word) {
  return static_cast<std::uint8_t>(word & 0xFF);
}

std::uint16_t word_at(BytesView bytes, std::size_t at) {
  return static_cast<std::uint16_t>(bytes[at] << 8 | bytes[at + 1]);
}

tl::unexpected<Fault> bad_answer(std::string message) {
  return tl::unexpected(Fault{.why = "bad-answer", .message = std::move(message)});
}

std::uint16_t bit_at(BytesView bytes, std::size_t index) {
  return static_cast<std::uint16_t>(bytes[index / 8] >> (index % 8) & 1);
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

// An exception, told as a Fault; nothing where the answer is none.
std::optional<Fault> exception_in(std::uint8_t function, BytesView pdu, std::size_t address, std::size_t count) {
  if (pdu.size() != kExceptionPdu || pdu[0] != (function | kException)) return {};
  return Fault{.why = std::string{why_of(pdu[1])},
               .message = fmt::format("the device answered with exception {:02X} ({}) to function {}, addresses {} to "
                                      "{} (from 0)",
                                      pdu[1], why_of(pdu[1]), function, address, address + count - 1),
               .exception = pdu[1]};
}

tl::expected<std::optional<Bytes>, Fault> unwrap_tcp(const Envelope& envelope, BytesView received) {
  if (received.size() < kHeader) return std::nullopt;
  if (word_at(received, 0) != envelope.transaction) {
    return bad_answer("the answer belongs to another request (transaction id)");
  }
  if (word_at(received, 2) != 0) return bad_answer("the answer is not Modbus (protocol id)");
  const std::size_t length = word_at(received, 4);
  if (length < 3 || length > kLongestLength) return bad_answer("the answer's length field is wrong");
  if (received[6] != envelope.unit && !is_any_unit(envelope.unit)) {
    return bad_answer(fmt::format("the answer is of unit {}, unit {} was asked", received[6], envelope.unit));
  }
  if (received.size() < kLengthCounted + length) return std::nullopt;
  if (received.size() > kLengthCounted + length) return bad_answer("the answer is longer than it says");
  return Bytes(received.begin() + kHeader, received.end());
}

// A whole RTU frame of `pdu_size` at the beginning of `bytes`, CRC included.
bool is_frame(BytesView bytes, std::size_t pdu_size) {
  const auto size = 1 + pdu_size;
  if (bytes.size() < size + 2) return false;
  return crc16(bytes.first(size)) == (bytes[size] | bytes[size + 1] << 8);
}

// The size of the PDU that may begin at bytes[1] in answer to `request`; 0: none.
std::size_t pdu_size_at(BytesView request, BytesView bytes) {
  if (bytes.size() < 3) return 0;
  if (bytes[1] == (request[0] | kException)) return kExceptionPdu;
  if (bytes[1] != request[0]) return 0;
  const auto size = answer_size(request);
  const bool reads = request[0] < kWriteCoil;
  return !reads || bytes[2] == size - 2 ? size : 0;
}

std::optional<Bytes> find_rtu(const Envelope& envelope, BytesView request, BytesView received) {
  for (std::size_t at = 0; at < received.size(); ++at) {
    const auto rest = received.subspan(at);
    if (rest[0] != envelope.unit && !is_any_unit(envelope.unit)) continue;
    const auto size = pdu_size_at(request, rest);
    if (size > 0 && is_frame(rest, size)) return Bytes(rest.begin() + 1, rest.begin() + 1 + static_cast<long>(size));
  }
  return {};
}

}  // namespace

Bytes encode(const Request& request) {
  return {static_cast<std::uint8_t>(request.function), high(request.address), low(request.address),
          high(request.count), low(request.count)};
}

Bytes encode(const Write& write) {
  assert(!write.values.empty() && write.values.size() <= (write.coil ? kMostCoils : 123));
  if (write.coil && write.values.size() == 1) {
    return {kWriteCoil, high(write.address), low(write.address), write.values[0] != 0 ? std::uint8_t{0xFF} : std::uint8_t{},
            0};
  }
  if (write.coil) {
    const auto bytes = (write.values.size() + 7) / 8;
    Bytes pdu{kWriteCoils,
              high(write.address),
              low(write.address),
              high(write.values.size()),
              low(write.values.size()),
              low(bytes)};
    pdu.resize(pdu.size() + bytes);
    for (std::size_t i = 0; i < write.values.size(); ++i) {
      if (write.values[i] != 0) pdu[6 + i / 8] |= static_cast<std::uint8_t>(1 << i % 8);
    }
    return pdu;
  }
  if (write.values.size() == 1) {
    return {kWriteRegister, high(write.address), low(write.address), high(write.values[0]), low(write.values[0])};
  }
  Bytes pdu{kWriteRegisters,           high(write.address),      low(write.address), high(write.values.size()),
            low(write.values.size()), low(write.values.size() * 2)};
  for (const auto word : write.values) {
    pdu.push_back(high(word));
    pdu.push_back(low(word));
  }
  return pdu;
}

std::size_t answer_size(BytesView request_pdu) {
  if (request_pdu[0] >= kWriteCoil) return 5;
  const std::size_t count = word_at(request_pdu, 3);
  return 2 + (request_pdu[0] <= 2 ? (count + 7) / 8 : count * 2);
}

tl::expected<Words, Fault> decode_answer(const Request& request, BytesView pdu) {
  const auto function = static_cast<std::uint8_t>(request.function);
  if (auto fault = exception_in(function, pdu, request.address, request.count)) return tl::unexpected(std::move(*fault));
  if (pdu.size() < 2) return bad_answer("the answer is too short");
  if (pdu[0] != function) return bad_answer(fmt::format("the answer has function {}", pdu[0]));
  if (pdu[1] != data_bytes(request) || pdu.size() != 2U + pdu[1]) {
    return bad_answer("the answer has another number of values than was asked for");
  }
  Words words(request.count);
  for (std::size_t i = 0; i < words.size(); ++i) {
    words[i] = is_bits(request.function) ? bit_at(pdu.subspan(2), i) : word_at(pdu, 2 + 2 * i);
  }
  return words;
}

tl::expected<void, Fault> check_answer(const Write& write, BytesView pdu) {
  const auto asked = encode(write);
  if (auto fault = exception_in(asked[0], pdu, write.address, write.values.size())) {
    return tl::unexpected(std::move(*fault));
  }
  if (!std::equal(pdu.begin(), pdu.end(), asked.begin(), asked.begin() + 5)) {
    return bad_answer("the answer confirms something else than was written");
  }
  return {};
}

std::uint16_t crc16(BytesView bytes) {
  std::uint32_t crc = 0xFFFF;
  for (const auto byte : bytes) {
    crc ^= byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 1) != 0 ? crc >> 1 ^ 0xA001U : crc >> 1;
  }
  return static_cast<std::uint16_t>(crc);
}

Bytes wrap(const Envelope& envelope, BytesView pdu) {
  Bytes frame;
  frame.reserve(kHeader + pdu.size());
  if (envelope.framing == Framing::tcp) {
    frame = {high(envelope.transaction), low(envelope.transaction), 0, 0, high(pdu.size() + 1), low(pdu.size() + 1)};
  }
  frame.push_back(envelope.unit);
  frame.insert(frame.end(), pdu.begin(), pdu.end());
  if (envelope.framing == Framing::rtu) {
    const auto crc = crc16(frame);
    frame.push_back(low(crc));
    frame.push_back(high(crc));
  }
  return frame;
}

tl::expected<std::optional<Bytes>, Fault> unwrap(const Envelope& envelope, BytesView request_pdu, BytesView received) {
  if (envelope.framing == Framing::tcp) return unwrap_tcp(envelope, received);
  return find_rtu(envelope, request_pdu, received);
}

Fault explain(const Envelope& envelope, BytesView request_pdu, BytesView received) {
  for (std::size_t at = 0; at < received.size(); ++at) {
    const auto rest = received.subspan(at);
    const auto size = pdu_size_at(request_pdu, rest);
    if (size > 0 && rest[0] != envelope.unit && is_frame(rest, size)) {
      return bad_answer(fmt::format("the answer is of unit {}, unit {} was asked", rest[0], envelope.unit)).value();
    }
  }
  if (received.size() >= 2 && received[0] == envelope.unit && received.size() >= answer_size(request_pdu) + 3) {
    return bad_answer("the answer's checksum (CRC) is wrong; check wiring, termination and baud rate").value();
  }
  return bad_answer(fmt::format("{} bytes came that are no answer; check baud rate, parity and wiring",
                                received.size()))
      .value();
}

}  // namespace hamlet::drivers::modbus
