// Packed readings, as a damaged file may have them: refused, or decoded within the bounds; what decodes also renders,
// and packs again to readings that are the same.

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "firmware/core/text.hpp"
#include "sync/contract/contract.hpp"
#include "sync/contract/packed.hpp"
#include "tests/fuzz/require.hpp"

namespace hamlet::fuzz_packed {
using namespace hamlet;
using namespace hamlet::contract;

namespace {

Names some_names() {
  Names names;
  for (const auto* name : {"river.level", "river.rain", "pump.on"}) (void)names.intern(name);
  return names;
}

bool same(const Value& a, const Value& b) {
  const auto* x = std::get_if<double>(&a);
  const auto* y = std::get_if<double>(&b);
  return x != nullptr && y != nullptr ? *x == *y || (std::isnan(*x) && std::isnan(*y)) : a == b;
}

void decode(std::string_view bytes, const Names& known) {
  constexpr MonoTime kAt = mono_from_ms(5'000);
  const auto readings = decode_readings({"tele", std::string{bytes}}, kAt, &known);
  if (!readings) return;
  require(readings->size() <= kMaxPacked);
  Names names = known.clone();
  const auto again = unpack(pack(*readings, kAt, &names), kAt, &names);
  require(again && again->size() == readings->size());
  for (std::size_t i = 0; i < again->size(); ++i) {
    require((*again)[i].point == (*readings)[i].point && (*again)[i].at == (*readings)[i].at &&
            (*again)[i].quality == (*readings)[i].quality && same((*again)[i].value, (*readings)[i].value));
  }
  const auto date = [](Moment moment) { return Dated{wall_from_ms(to_ms(moment.mono)), TimeQuality::synced}; };
  (void)render(
      {"tele", std::string{bytes}},
      {.gw = "gw", .epoch = "9f2c41d07be1a655", .lane = Lane::tele, .seq = 1, .at = {1, kAt}, .hist = false, .rev = 1},
      date, &known);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Names known = some_names();
  const std::string_view bytes{reinterpret_cast<const char*>(data), size};  // NOLINT: bytes are characters
  decode(bytes, known);
  decode(std::string{kPackedMark} + std::string{bytes}, known);
  return 0;
}

}  // namespace hamlet::fuzz_packed
