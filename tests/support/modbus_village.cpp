#include "tests/support/modbus_village.hpp"

#include <algorithm>
#include <cmath>

namespace hamlet::support {
namespace {

constexpr double kRound = 90;      // seconds
constexpr double kPeakAt = 24;     // seconds into a round
constexpr double kPumpFrom = 2.6;  // m

// 0 to 1, the same for the same arguments (a mix of 32 bits after Chris Wellons' "lowbias32").
double chance(std::uint32_t seed, std::uint32_t index) {
  std::uint32_t x = seed * 0x9E3779B9U + index;
  x = (x ^ (x >> 16)) * 0x7FEB352DU;
  x = (x ^ (x >> 15)) * 0x846CA68BU;
  x ^= x >> 16;
  return x / 4294967295.0;
}

// The flood's bell, lower and wider on its way out.
double flood(double into_round) {
  const double from_peak = into_round - kPeakAt;
  const double spread = from_peak < 0 ? 8 : 9;
  return std::exp(-from_peak * from_peak / (2 * spread * spread));
}

// Tips in the first `into_round` seconds of a round: rain falls from the 2nd to the 27th second.
double tips(double into_round, double heaviest) {
  return std::clamp(into_round - 2, 0.0, 25.0) * heaviest;
}

}  // namespace

VillageSignals village_at(double seconds, std::uint32_t seed) {
  const auto round = static_cast<std::uint32_t>(std::max(0.0, seconds) / kRound);
  const double into_round = std::max(0.0, seconds) - round * kRound;
  const double crest = 1.8 + 0.2 * chance(seed, round * 3);
  const double waves = 0.03 * std::sin(seconds * 1.7) + 0.02 * std::sin(seconds * 4.3 + seed % 7);
  const double level = 1.7 + crest * flood(into_round);

  double rain = 0;
  for (std::uint32_t past = 0; past < round; ++past) rain += tips(kRound, 2 + chance(seed, past * 3 + 1));
  rain += tips(into_round, 2 + chance(seed, round * 3 + 1));

  const double door_from = 45 + 30 * chance(seed, round * 3 + 2);
  VillageSignals signals;
  signals.river_m = static_cast<float>(std::round((level + waves) * 1000) / 1000);
  signals.rain_tips = static_cast<std::uint16_t>(static_cast<std::uint64_t>(rain) % 65536);
  signals.pump_on = level > kPumpFrom;
  signals.door_open = into_round >= door_from && into_round < door_from + 6;
  return signals;
}

void show(const VillageSignals& signals, ModbusSimulator& simulator) {
  using Kind = ModbusSimulator::Kind;
  simulator.set_float(Kind::input, 0, signals.river_m);
  simulator.set_register(Kind::holding, 10, signals.rain_tips);
  simulator.set_bit(Kind::coil, 0, signals.pump_on);
  simulator.set_bit(Kind::discrete, 0, signals.door_open);
}

}  // namespace hamlet::support
