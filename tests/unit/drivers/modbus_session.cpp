#include <doctest/doctest.h>

#include "drivers/modbus/session.hpp"

using namespace hamlet;
using namespace hamlet::drivers::modbus;

TEST_CASE("a device that stays away is asked less and less often, never all at once") {
  using namespace std::chrono_literals;
  CHECK(retry_delay(5s, 60s, 1, 0.5) == 5s);
  CHECK(retry_delay(5s, 60s, 2, 0.5) == 10s);
  CHECK(retry_delay(5s, 60s, 4, 0.5) == 40s);
  CHECK(retry_delay(5s, 60s, 5, 0.5) == 60s);
  CHECK(retry_delay(5s, 60s, 4'000'000'000, 0.5) == 60s);
  CHECK(retry_delay(5s, 60s, 1, 0) == 3750ms);
  CHECK(retry_delay(5s, 60s, 1, 1) == 6250ms);
  CHECK(retry_delay(5min, 60s, 9, 0.5) == 5min);  // never more often than when it is well
}
