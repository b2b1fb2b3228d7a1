// What a modem says, in pieces; and any text as short messages.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "drivers/sms/at.hpp"
#include "drivers/sms/pdu.hpp"

namespace hamlet::fuzz_sms {
using namespace hamlet::drivers::sms;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes{reinterpret_cast<const char*>(data), size};
  AtLines lines;
  const auto piece = size > 0 ? 1U + data[0] % 64U : 1U;
  for (std::size_t at = 0; at < size; at += piece) {
    lines.feed(bytes.substr(at, piece));
    (void)lines.prompted();
    if (at % 3 == 0) continue;
    while (const auto line = lines.next()) {
      if (line->empty() || line->size() > 512) std::abort();
      const auto end = final_of(*line);
      if (end && end->ok != end->error.empty()) std::abort();
    }
  }
  std::size_t octets = 0;
  const auto pdus = make_pdus("+8613800138000", bytes, 7);
  if (pdus.empty() || pdus.size() > 4) std::abort();
  for (const auto& pdu : pdus) {
    if (pdu.hex.size() != 2 * (pdu.length + 1) || pdu.length > 160) std::abort();
    octets += pdu.length;
  }
  if (octets > 4 * 160) std::abort();
  for (const auto& part : cut(bytes, 160, 70, 4)) {
    if (to_utf16(part).size() > 160) std::abort();
  }
  return 0;
}

}  // namespace hamlet::fuzz_sms
