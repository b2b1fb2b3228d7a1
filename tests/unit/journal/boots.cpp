#include "sync/journal/boots.hpp"

#include <doctest/doctest.h>

#include "sync/contract/contract.hpp"

using namespace hamlet;
using journal::Boots;
using journal::ClockReading;

namespace {

constexpr std::int64_t kNow = 1'795'411'860'000;   // ms UTC when mono is 0
constexpr std::int64_t k2036 = 2'085'978'496'000;  // where a GPS or NTP roll-over throws a clock
constexpr std::int64_t kHour = 3'600'000;

ClockReading reading(std::int64_t wall, std::int64_t mono, bool synced) {
  return {wall_from_ms(wall), mono_from_ms(mono), synced};
}

contract::Dated at(const Boots& boots, std::uint32_t boot, std::int64_t mono) {
  return boots.date({boot, mono_from_ms(mono)});
}

}  // namespace

TEST_CASE("a boot with a good clock dates all of itself") {
  Boots boots;
  boots.begin("a", reading(kNow + 5'000, 5'000, true));
  CHECK(boots.current() == 1);
  CHECK(to_ms(at(boots, 1, 100).wall) == kNow + 100);
  CHECK(at(boots, 1, 100).quality == TimeQuality::synced);
  CHECK_FALSE(boots.observe(reading(kNow + 65'400, 65'000, true)));  // 400 ms off: drift
  CHECK(boots.stretches().size() == 1);
}

TEST_CASE("syncing the clock dates what was recorded before, by changing one row") {
  Boots boots;
  boots.begin("a", reading(1'000, 5'000, false));  // 1970
  CHECK(at(boots, 1, 6'000).quality == TimeQuality::unsynced);
  (void)boots.take_changed();

  const auto change = boots.observe(reading(kNow + kHour, kHour, true));
  REQUIRE(change);
  CHECK(change->at("change") == "synced");
  CHECK(change->at("boot") == 1);
  CHECK(change->at("offset") == kNow);
  CHECK(change->at("moved_ms") == kNow + 4'000);

  CHECK(to_ms(at(boots, 1, 6'000).wall) == kNow + 6'000);
  CHECK(at(boots, 1, 6'000).quality == TimeQuality::repaired);
  CHECK(at(boots, 1, kHour).quality == TimeQuality::synced);
  const auto changed = boots.take_changed();
  REQUIRE(changed.size() == 2);
  CHECK(changed[0].quality == TimeQuality::repaired);
  CHECK(changed[0].error == Millis{1'000 + 360});  // 100 ppm of an hour
  CHECK(changed[1].quality == TimeQuality::synced);
  CHECK(boots.take_changed().empty());
}

TEST_CASE("a boot that ended unsynced stays so, and the next one has a number of its own") {
  Boots boots;
  boots.begin("a", reading(0, 0, false));
  boots.begin("b", reading(kNow, 0, true));
  CHECK(boots.current() == 2);
  CHECK(at(boots, 1, 10).quality == TimeQuality::unsynced);
  CHECK(at(boots, 2, 10).quality == TimeQuality::synced);
  CHECK(at(boots, 3, 10).quality == TimeQuality::unsynced);
  CHECK(to_ms(at(boots, 3, 10).wall) == 0);
}

TEST_CASE("a synced clock that jumps is followed from then on, and what was dated stays") {
  Boots boots;
  boots.begin("a", reading(kNow, 0, true));
  const auto forward = boots.observe(reading(k2036 + kHour, kHour, true));
  REQUIRE(forward);
  CHECK(forward->at("change") == "jump");
  CHECK(forward->at("moved_ms") == k2036 - kNow);
  const auto back = boots.observe(reading(2 * kHour, 2 * kHour, true));
  REQUIRE(back);
  CHECK(back->at("moved_ms") == -k2036);
  CHECK(to_ms(at(boots, 1, kHour - 1).wall) == kNow + kHour - 1);
  CHECK(to_ms(at(boots, 1, kHour + 1).wall) == k2036 + kHour + 1);
  CHECK(to_ms(at(boots, 1, 2 * kHour).wall) == 2 * kHour);
}

TEST_CASE("a clock that lost its discipline is carried on by monotonic time") {
  Boots boots;
  boots.begin("a", reading(kNow, 0, true));
  const auto lost = boots.observe(reading(kNow + kHour, kHour, false));
  REQUIRE(lost);
  CHECK(lost->at("change") == "holdover");
  CHECK(at(boots, 1, kHour - 1).quality == TimeQuality::synced);
  CHECK(at(boots, 1, kHour).quality == TimeQuality::holdover);

  SUBCASE("turned by hand meanwhile, it is reported once and not believed") {
    const auto turned = boots.observe(reading(k2036, 2 * kHour, false));
    REQUIRE(turned);
    CHECK(turned->at("change") == "jump");
    CHECK(turned->at("offset") == kNow);
    CHECK_FALSE(boots.observe(reading(k2036 + kHour, 3 * kHour, false)));
    CHECK(to_ms(at(boots, 1, 2 * kHour).wall) == kNow + 2 * kHour);
  }
  SUBCASE("back, it is believed again") {
    const auto back = boots.observe(reading(kNow + 2 * kHour + 5'000, 2 * kHour, true));
    REQUIRE(back);
    CHECK(back->at("change") == "synced");
    CHECK(back->at("moved_ms") == 5'000);
    CHECK(at(boots, 1, 2 * kHour - 1).quality == TimeQuality::holdover);
    CHECK(at(boots, 1, 2 * kHour).quality == TimeQuality::synced);
  }
}

TEST_CASE("a clock set by hand before it was ever synced starts a stretch, and all are repaired together") {
  Boots boots;
  boots.begin("a", reading(0, 0, false));
  const auto set = boots.observe(reading(kNow - 600'000 + kHour, kHour, false));
  REQUIRE(set);
  CHECK(set->at("tq") == "unsynced");
  CHECK(to_ms(at(boots, 1, kHour).wall) == kNow - 600'000 + kHour);
  REQUIRE(boots.observe(reading(kNow + 2 * kHour, 2 * kHour, true)));
  for (const auto mono : {std::int64_t{0}, kHour, 2 * kHour - 1}) {
    CHECK(to_ms(at(boots, 1, mono).wall) == kNow + mono);
    CHECK(at(boots, 1, mono).quality == TimeQuality::repaired);
  }
}

TEST_CASE("a daemon that starts again in the same boot goes on with its stretches") {
  Boots first;
  first.begin("a", reading(kNow, 0, true));
  Boots again{first.stretches()};
  again.begin("a", reading(kNow + kHour, kHour, false));
  CHECK(again.current() == 1);
  CHECK(at(again, 1, kHour).quality == TimeQuality::synced);  // until the clock is looked at
  REQUIRE(again.observe(reading(kNow + kHour, kHour, false)));
  CHECK(at(again, 1, kHour).quality == TimeQuality::holdover);
}
