#include <doctest/doctest.h>

#include "firmware/wire/mqtt_client.hpp"

using hamlet::wire::parse_broker;

TEST_CASE("a broker is a host and a port") {
  const auto named = parse_broker("mqtt://broker.county.example:8883");
  REQUIRE(named);
  CHECK(named->host == "broker.county.example");
  CHECK(named->port == 8883);
  CHECK(parse_broker("mqtt://10.0.0.1")->port == 1883);
  CHECK(parse_broker("mqtt://[2001:db8::1]:1884")->host == "2001:db8::1");
  CHECK(parse_broker("mqtt://[2001:db8::1]")->port == 1883);
  CHECK_FALSE(named->tls);
  CHECK(parse_broker("mqtts://broker")->tls);
  CHECK(parse_broker("mqtts://broker")->port == 8883);
}

TEST_CASE("what is no broker is refused") {
  for (const char* wrong :
       {"", "broker:1883", "http://broker", "mqtt://", "mqtt://:1883", "mqtt://b:0", "mqtt://b:65536", "mqtt://b:18x",
        "mqtt://b:", "mqtt://user@b", "mqtt://b/path", "mqtt://[::1", "mqtt://[::1]x"}) {
    CAPTURE(wrong);
    CHECK_FALSE(parse_broker(wrong));
  }
}

TEST_CASE("reasons have names") {
  CHECK(hamlet::wire::reason_text(0x97) == "0x97 Quota exceeded");
  CHECK(hamlet::wire::reason_text(0x7f) == "0x7f unknown");
}
