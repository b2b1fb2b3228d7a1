#include "firmware/core/time.hpp"

#include <limits>
#include <string>

#include <doctest/doctest.h>

#include "firmware/core/fake_clock.hpp"

using namespace hamlet;

TEST_CASE("durations are a number and a unit") {
  const auto ms = [](std::string_view text) { return parse_duration(text).value().count(); };
  CHECK(ms("250ms") == 250);
  CHECK(ms("0s") == 0);
  CHECK(ms("5s") == 5'000);
  CHECK(ms("1.5s") == 1'500);
  CHECK(ms("0.0004s") == 0);
  CHECK(ms("10min") == 600'000);
  CHECK(ms("10 min") == 600'000);
  CHECK(ms("10m") == 600'000);
  CHECK(ms("2h") == 7'200'000);
  CHECK(ms("7d") == 604'800'000);
  CHECK(ms("36600d") == 3'162'240'000'000);
}

TEST_CASE("what is no duration is refused, with an example of one") {
  for (const std::string text : {"", "5", "s", "five s", "5 s ", " 5s", "5sec", "-5s", "+5s", "1e3s", "nan s", "inf s",
                                 "5S", "5s5s", "36601d", "1e999d", "99999999999999999999999999d", "0x10s"}) {
    CAPTURE(text);
    const auto parsed = parse_duration(text);
    REQUIRE(!parsed);
    CHECK(parsed.error().code == Errc::invalid);
    CHECK(parsed.error().message ==
          "'" + text +
              "' is not a duration; write a number and a unit, as in \"250ms\", \"5s\", \"10min\", \"2h\" or \"7d\"");
  }
}

TEST_CASE("durations print in their shortest exact form") {
  CHECK(to_string(Millis{0}) == "0ms");
  CHECK(to_string(Millis{250}) == "250ms");
  CHECK(to_string(Millis{1'000}) == "1s");
  CHECK(to_string(Millis{90'000}) == "90s");
  CHECK(to_string(Millis{600'000}) == "10min");
  CHECK(to_string(Millis{7'200'000}) == "2h");
  CHECK(to_string(Millis{86'400'000}) == "1d");
  CHECK(to_string(Millis{86'400'001}) == "86400001ms");
  for (const std::int64_t ms : {1, 999, 61'000, 3'600'000, 172'800'000}) {
    CHECK(parse_duration(to_string(Millis{ms})) == Millis{ms});
  }
}

TEST_CASE("times travel in UTC and are shown in China's") {
  const auto time = wall_from_ms(1'777'624'200'123);
  CHECK(to_iso_utc(time) == "2026-05-01T08:30:00.123Z");
  CHECK(to_china_time(time) == "2026-05-01 16:30:00");
  CHECK(to_china_time(wall_from_ms(1'798'732'799'999)) == "2026-12-31 23:59:59");
  CHECK(to_iso_utc(wall_from_ms(0)) == "1970-01-01T00:00:00.000Z");
  CHECK(to_iso_utc(wall_from_ms(-1)) == "1969-12-31T23:59:59.999Z");
  CHECK(to_iso_utc(wall_from_ms(1'709'164'800'000)) == "2024-02-29T00:00:00.000Z");
}

// Eight hours were once added before the milliseconds were cut off, which overflowed.
TEST_CASE("a clock gone wild still prints") {
  const auto wildest = wall_from_ms(std::numeric_limits<std::int64_t>::max());
  CHECK(to_iso_utc(wildest) == "292278994-08-17T07:12:55.807Z");
  CHECK(to_china_time(wildest) == "292278994-08-17 15:12:55");
  CHECK(!to_china_time(wall_from_ms(std::numeric_limits<std::int64_t>::min())).empty());
}

TEST_CASE("moments are ordered by boot, then by time") {
  CHECK(Moment{1, mono_from_ms(900)} < Moment{2, mono_from_ms(1)});
  CHECK(Moment{2, mono_from_ms(1)} < Moment{2, mono_from_ms(2)});
  CHECK(Moment{} == Moment{0, mono_from_ms(0)});
}

TEST_CASE("the fake clock moves by hand only") {
  FakeClock clock{wall_from_ms(1'000), mono_from_ms(50)};
  clock.advance(Millis{10});
  CHECK(to_ms(clock.wall()) == 1'010);
  CHECK(to_ms(clock.mono()) == 60);
  clock.set_wall(wall_from_ms(5));
  CHECK(to_ms(clock.wall()) == 5);
  CHECK(to_ms(clock.mono()) == 60);
  CHECK(clock.synced());
  clock.set_synced(false);
  CHECK(!clock.synced());
}

TEST_CASE("the machine's clocks tell a present and a boot") {
  const SystemClock clock{true};
  CHECK(clock.synced());
  CHECK(to_ms(clock.wall()) > 1'577'836'800'000);  // 2020
  const auto before = clock.mono();
  CHECK(to_ms(before) >= 0);
  CHECK(clock.mono() >= before);
  CHECK(read_boot_id().size() == 32);
}
