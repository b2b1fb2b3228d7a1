// The replay driver's CSV reader: any bytes, in pieces, with and without a loop.

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <sstream>
#include <string>

#include "drivers/replay/series.hpp"

namespace hamlet::fuzz_replay_csv {
using namespace hamlet;
using namespace hamlet::drivers::replay;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const bool loop = (data[0] & 1) != 0;
  const auto type = (data[0] & 2) != 0 ? CellType::boolean : CellType::number;
  std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  Series series{std::make_unique<std::istringstream>(std::move(text)), "fuzz", type, loop};
  Millis last{0};
  for (int piece = 0; piece < 16 && !series.ended(); ++piece) {
    for (const auto& sample : series.read(64)) {
      if (sample.elapsed < last) std::abort();  // time never goes back
      last = sample.elapsed;
      const auto* number = std::get_if<double>(&sample.value);
      if (number != nullptr && !std::isfinite(*number)) std::abort();
    }
  }
  if ((series.bad_lines() == 0) != series.first_bad().empty()) std::abort();
  return 0;
}

}  // namespace hamlet::fuzz_replay_csv
