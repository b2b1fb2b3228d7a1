// The control protocol's decoders: whatever arrives, they answer, and what they accept survives the way back.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "firmware/control/args.hpp"
#include "firmware/control/protocol.hpp"

namespace hamlet::fuzz_control {
using namespace hamlet::control;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view line{reinterpret_cast<const char*>(data), size};

  if (const auto request = decode_request(line)) {
    const auto again = decode_request(encode_request(*request));
    // Numbers may grow when they are written anew, so a request at the bound may not fit a second time.
    if (again && (again->verb != request->verb || again->args != request->args)) std::abort();
    Args in{request->args};
    static_cast<void>(in.text("point"));
    static_cast<void>(in.integer_or("limit", 100, 1, 1000));
    static_cast<void>(in.wrong());
  }

  if (const auto answer = decode_answer(line)) {
    const auto written = encode_answer(*answer);
    const auto again = decode_answer(std::string_view{written}.substr(0, written.size() - 1));
    if (!again || again->has_value() != answer->has_value()) std::abort();
  }
  return 0;
}

}  // namespace hamlet::fuzz_control
