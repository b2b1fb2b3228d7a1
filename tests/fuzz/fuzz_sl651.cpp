// Frames of SL 651 out of any bytes, whole and in pieces; what is read must be written back as it was.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "firmware/wire/sl651.hpp"
#include "tests/fuzz/require.hpp"

namespace hamlet::fuzz_sl651 {
using namespace hamlet::wire;
using namespace hamlet::wire::sl651;

namespace {

void look_at(const Frame& frame) {
  require(frame.body.size() <= kMaxLength);
  if (frame.body.empty() && !frame.packets) return;  // a length of 0 is no frame
  const auto again = parse_frame(encode(frame));
  require(again.has_value() && again->frame == frame);
  const auto body = parse_body(frame);
  if (!body) return;
  for (const auto& seen : observations(*body, frame.station)) require(seen.sample.digits.size() <= 2 * kMaxLength);
  for (const auto& group : body->groups) require(group.raw.size() <= frame.body.size());
  (void)encode_body(*body, frame.encoding);
  (void)encode(confirmation(frame, body->serial, {}, kEot, std::uint16_t{1}));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes{reinterpret_cast<const char*>(data), size};  // NOLINT: bytes are characters
  Decoder decoder;
  Assembly assembly;
  const std::size_t step = size == 0 ? 1 : 1 + data[0];
  const auto drain = [&] {
    while (const auto next = decoder.next()) {
      if (!*next) {
        require(!(*next).error().message.en.empty());
        continue;
      }
      look_at(**next);
      if ((*next)->packets && assembly.add(**next) && assembly.complete()) (void)parse_body(assembly.whole());
    }
  };
  for (std::size_t at = 0; at < bytes.size(); at += step) {
    decoder.feed(bytes.substr(at, step));
    drain();
    require(decoder.pending() <= kMaxFrame + step);
  }
  while (decoder.pending() > 0) {
    const auto before = decoder.pending();
    decoder.give_up();
    drain();
    require(decoder.pending() < before);
  }
  // A body needs no CRC to be reached.
  for (const auto function :
       {kTimed, kUniform, kPicture, kInterval, std::uint8_t{0x40}, std::uint8_t{0x45}, std::uint8_t{0x4E}}) {
    for (const bool down : {false, true}) {
      for (const auto encoding : {Encoding::hex, Encoding::ascii}) {
        look_at({.encoding = encoding,
                 .down = down,
                 .function = function,
                 .body = std::string{bytes.substr(0, kMaxLength)},
                 .end = down ? kEnq : kEtx});
      }
    }
  }
  return 0;
}

}  // namespace hamlet::fuzz_sl651
