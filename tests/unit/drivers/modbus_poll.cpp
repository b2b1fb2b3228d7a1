#include <doctest/doctest.h>

#include "drivers/counter.hpp"
#include "drivers/modbus/poll.hpp"
#include "drivers/recorder.hpp"
#include "firmware/core/fake_clock.hpp"

using namespace hamlet;
using namespace hamlet::drivers;
using namespace hamlet::drivers::modbus;

namespace {

Point point(std::string name, std::uint16_t address) {
  return {.name = std::move(name), .need = {Function::holding, address, 1}, .decoding = {.type = Type::uint16}};
}

const Fault kTimeout{.why = "timeout", .message = "nothing came"};

}  // namespace

TEST_CASE("a device that stays away is asked less and less often, never all at once") {
  using namespace std::chrono_literals;
  CHECK(retry_delay(5s, 60s, 1, 0) == 5s);
  CHECK(retry_delay(5s, 60s, 2, 0) == 10s);
  CHECK(retry_delay(5s, 60s, 4, 0) == 40s);
  CHECK(retry_delay(5s, 60s, 5, 0) == 60s);
  CHECK(retry_delay(5s, 60s, 4'000'000'000, 0) == 60s);
  CHECK(retry_delay(5s, 60s, 1, 1) == 3750ms);
  CHECK(retry_delay(5min, 60s, 9, 0) == 5min);
}

TEST_CASE("a poll asks again what brought silence, as often as it may, and then gives up") {
  FakeClock clock;
  Poll poll{{point("a.x", 0), point("a.y", 100)}, 8, clock};
  poll.begin(2);
  REQUIRE(poll.asking() != nullptr);
  CHECK(poll.asking()->address == 0);
  poll.take(tl::unexpected(kTimeout));
  CHECK(poll.asking()->address == 0);
  SUBCASE("an answer to the second try: each request has its own tries") {
    poll.take(Words{1});
    CHECK(poll.asking()->address == 100);
    poll.take(tl::unexpected(kTimeout));
    poll.take(tl::unexpected(kTimeout));
    clock.advance(std::chrono::seconds{1});
    poll.take(Words{2});
    CHECK(poll.asking() == nullptr);
    const auto polled = poll.finish();
    REQUIRE(polled);
    CHECK(polled->size() == 2);
    for (const auto& reading : *polled) CHECK(reading.at == clock.mono());  // a poll is one moment to the rules
  }
  SUBCASE("no answer to any") {
    poll.take(tl::unexpected(kTimeout));
    poll.take(tl::unexpected(kTimeout));
    CHECK(poll.asking() == nullptr);
    const auto polled = poll.finish();
    REQUIRE_FALSE(polled);
    CHECK(polled.error().why == "timeout");
    poll.begin(0);
    CHECK(poll.asking()->address == 0);
  }
}

TEST_CASE("a count goes on where the device's own wraps or starts anew") {
  Counter counter{65536};
  CHECK(counter.advance(65530) == 65530);
  CHECK(counter.advance(65535) == 65535);
  CHECK(counter.advance(4) == 65540);
  SUBCASE("across a restart") {
    Counter again{65536};
    REQUIRE(again.restore(counter.save()));
    CHECK(again.advance(10) == 65546);
  }
  SUBCASE("after a reset it counts on from what the device shows") {
    counter.advance(1000);
    const auto total = counter.advance(1010);
    CHECK(counter.advance(3) == total);
    CHECK(counter.advance(5) == total + 2);
  }
  SUBCASE("with a bound of its own") {
    Counter rain{65536, 100};
    CHECK(rain.advance(10) == 10);
    CHECK(rain.advance(200) == 10);
    CHECK(rain.advance(300) == 110);
  }
  Counter other{65536};
  for (const auto* bad : {"", "1", "1 ", "x 2", "1 2 3", "70000 1", "-1 2"}) CHECK_FALSE(other.restore(bad));
}

TEST_CASE("a recorded frame is read as it was written") {
  const Recorded line{.at = Millis{1234}, .sent = true, .bytes = std::string("\x01\x03\x00\xFF", 4)};
  CHECK(format_recorded(line) == "1234 > 01 03 00 FF");
  const auto read = parse_recorded("1234 > 01 03 00 FF\r");
  REQUIRE(read);
  REQUIRE(*read);
  CHECK((*read)->bytes == line.bytes);
  CHECK((*read)->sent);
  CHECK_FALSE(parse_recorded("# a comment").value());
  for (const auto* bad : {"x", "1", "1 ", "1 ?", "1 > 0", "1 > 0g", "-1 < 00", "1 < 00 1"}) CHECK_FALSE(parse_recorded(bad));
}
