// The socket between hamletd and hamlet-eyes: bytes of the other process, in two pieces.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "cameras/messages.hpp"

namespace hamlet::fuzz_eyes_messages {
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace hamlet::cameras;
  const std::string_view bytes{reinterpret_cast<const char*>(data), size};
  FrameDecoder decoder;
  for (const auto part : {bytes.substr(0, size / 2), bytes.substr(size / 2)}) {
    decoder.feed(part);
    while (true) {
      auto frame = decoder.next();
      if (!frame) return 0;
      if (!*frame) break;
      const auto message = parse(**std::move(frame));
      if (!message) continue;
      // What was understood can be said again, and is then understood the same.
      FrameDecoder again;
      again.feed(encode(*message));
      auto said = again.next();
      if (!said || !*said) std::abort();
      const auto same = parse(**std::move(said));
      if (!same || encode(*same) != encode(*message)) std::abort();
    }
  }
  return 0;
}

}  // namespace hamlet::fuzz_eyes_messages
