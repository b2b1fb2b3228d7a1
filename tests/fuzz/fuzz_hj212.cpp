// Packets of HJ 212 out of any bytes, whole and in pieces.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include <fmt/format.h>

#include "firmware/wire/hj212.hpp"
#include "tests/fuzz/require.hpp"

namespace hamlet::fuzz_hj212 {
using namespace hamlet::wire;
using namespace hamlet::wire::hj212;

namespace {

void look_at(const Parsed& parsed) {
  require(parsed.segment_size <= 9999);
  for (const auto& value : data_of(parsed.packet).values) require(value.text.size() <= parsed.segment_size);
  (void)encode(answer(parsed.packet, "9014"));
  (void)split(parsed.packet, 1024);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes{reinterpret_cast<const char*>(data), size};  // NOLINT: bytes are characters
  const std::size_t step = size == 0 ? 1 : 1 + data[0];
  Decoder decoder;
  const auto drain = [&] {
    while (const auto next = decoder.next()) {
      if (*next) look_at(**next);
    }
  };
  for (std::size_t at = 0; at < bytes.size(); at += step) {
    decoder.feed(bytes.substr(at, step));
    drain();
    require(decoder.pending() <= 4096 + 16 + step);
  }
  while (decoder.pending() > 0) {
    const auto before = decoder.pending();
    decoder.give_up();
    drain();
    require(decoder.pending() < before);
  }
  // A segment needs no CRC to be reached; what is read of it is stable once it has been written.
  const auto segment = bytes.substr(0, 4000);
  if (segment.empty()) return 0;
  const auto frame = fmt::format("##{:04}{}{:04X}\r\n", segment.size(), segment, crc(segment));
  const auto parsed = parse_frame(frame);
  require(parsed.has_value());
  look_at(*parsed);
  const auto again = parse_frame(encode(parsed->packet), {.max_segment = 9999});
  require(again.has_value());
  return 0;
}

}  // namespace hamlet::fuzz_hj212
