// A journal's block whose checksum holds although its data is anything: refused, or unpacked within the bounds. The
// first byte says the packing and the lane, the second how many records there should be.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "sync/journal/block.hpp"
#include "sync/journal/crc.hpp"
#include "tests/fuzz/require.hpp"

namespace hamlet::fuzz_blocks {
using namespace hamlet;
using namespace hamlet::journal;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Blocks blocks;
  constexpr std::string_view kEpoch = "9f2c41d07be1a655";
  if (size < 2) return 0;
  Block block{.key = key_of(3, 1'000), .count = data[1] + 1U, .at = {2, mono_from_ms(50'000)}};
  block.packing = static_cast<Packing>(data[0] & 1U);
  const auto lane = contract::kLanes.at(data[0] >> 1U & 3U);
  block.data.assign(reinterpret_cast<const char*>(data) + 2, size - 2);  // NOLINT: bytes are characters
  require(!blocks.unpack(block, lane, kEpoch));                          // no checksum yet
  block.crc = crc_of(kEpoch, lane, block.key, block.count, block.at.boot, to_ms(block.at.mono),
                     static_cast<int>(block.packing), block.data);
  const auto records = blocks.unpack(block, lane, kEpoch);
  if (!records) return 0;
  require(records->size() == block.count);
  std::vector<const Record*> again;
  for (const auto& record : *records) again.push_back(&record);
  require(records->back().seq == 1'000 && records->front().seq == 1'001 - block.count);
  // What was unpacked packs again, where it is not beyond what a block takes.
  if (Blocks::fitting(again) != again.size()) return 0;
  require(blocks.unpack(blocks.pack(again, kEpoch), lane, kEpoch).has_value());
  return 0;
}

}  // namespace hamlet::fuzz_blocks
