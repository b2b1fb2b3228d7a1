// Modbus answers: any bytes, on both wires, to any request.

#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "drivers/modbus/decode.hpp"
#include "drivers/modbus/frame.hpp"

namespace hamlet::fuzz_modbus {
using namespace hamlet::drivers::modbus;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 8) return 0;
  const Envelope envelope{(data[0] & 1) != 0 ? Framing::rtu : Framing::tcp,
                          static_cast<std::uint16_t>(data[1] << 8 | data[2]), data[3]};
  const Request request{static_cast<Function>(1 + data[4] % 4), 0, static_cast<std::uint16_t>(1 + data[5] % 125), {}};
  const Write write{(data[6] & 1) != 0, 7, hamlet::drivers::modbus::Words(1 + data[6] % 3, data[7])};
  const BytesView bytes{data + 8, size - 8};
  for (const auto& pdu : {encode(request), encode(write)}) {
    const auto answer = unwrap(envelope, pdu, bytes);
    (void)explain(envelope, pdu, bytes);
    if (!answer || !*answer) continue;
    if ((*answer)->empty() || (*answer)->size() > kMaxFrame) std::abort();
    (void)check_answer(write, **answer);
    if (const auto words = decode_answer(request, **answer); words && words->size() != request.count) std::abort();
  }
  (void)decode_answer(request, bytes);
  (void)check_answer(write, bytes);
  Decoding how{.type = static_cast<Type>(data[6] % 12), .order = static_cast<Order>(data[7] % 4), .length = 3};
  hamlet::drivers::modbus::Words words;
  for (std::size_t i = 0; i < width(how); ++i) words.push_back(i < bytes.size() ? bytes[i] : 0);
  (void)decode(words, how);
  return 0;
}

}  // namespace hamlet::fuzz_modbus
