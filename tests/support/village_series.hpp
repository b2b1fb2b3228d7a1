#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "firmware/core/time.hpp"

namespace hamlet::support {

/// What a village measures, on ordinary days: nothing in these series is worth a call.
enum class Quantity : std::uint8_t { level, rain, temperature, soil, power, door };
inline constexpr int kQuantities = 6;
[[nodiscard]] std::string_view to_string(Quantity quantity);

struct VillageSample {
  WallTime at{};
  double x = 0;
};

/// A seeded series from a day in spring on. level: m, with rises after rain; rain: mm in a step; temperature: degrees;
/// soil: per cent, drying between rains; power: kW of a village with a pump; door: 0 or 1.
[[nodiscard]] std::vector<VillageSample> village_series(Quantity quantity, std::uint32_t seed, int days, Millis step);

}  // namespace hamlet::support
