#include "tests/support/modbus_village.hpp"

#include <doctest/doctest.h>

using hamlet::support::village_at;

TEST_CASE("every flood of the village crosses 3.0 m within 20 s and goes back") {
  for (std::uint32_t seed = 0; seed < 50; ++seed) {
    CAPTURE(seed);
    CHECK(village_at(0, seed).river_m < 2.0F);
    CHECK(village_at(15.5, seed).river_m < 3.0F);
    CHECK(village_at(18.5, seed).river_m > 3.0F);
    CHECK(village_at(24, seed).river_m > 3.3F);
    CHECK(village_at(24, seed).river_m < 3.9F);
    CHECK(village_at(24, seed).pump_on);
    CHECK(village_at(38, seed).river_m < 2.7F);
    CHECK_FALSE(village_at(40, seed).pump_on);
    CHECK(village_at(89.9, seed).river_m < 2.0F);
    CHECK(village_at(90 + 24, seed).river_m > 3.3F);
  }
}

TEST_CASE("rain only counts up, and the door opens once a round") {
  std::uint16_t before = 0;
  int openings = 0;
  bool open = false;
  for (int tenth = 0; tenth < 1800; ++tenth) {
    const auto signals = village_at(tenth / 10.0, 4);
    CHECK(signals.rain_tips >= before);
    before = signals.rain_tips;
    if (signals.door_open && !open) ++openings;
    open = signals.door_open;
  }
  CHECK(before > 90);
  CHECK(openings == 2);
}

TEST_CASE("the same moment and seed give the same village") {
  CHECK(village_at(21.5, 3).river_m == village_at(21.5, 3).river_m);
  CHECK(village_at(21.5, 3).river_m != village_at(21.5, 4).river_m);
}
