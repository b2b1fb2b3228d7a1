#include <doctest/doctest.h>

#include "drivers/mqtt/payload.hpp"

using namespace hamlet;
using namespace hamlet::drivers;
using namespace hamlet::drivers::mqtt;
using nlohmann::json;

namespace {

Rule rule(const char* pointer, ValueType type = ValueType::number) {
  return {.pointer = json::json_pointer{pointer}, .type = type};
}

std::string value(std::string_view payload, const Rule& how) {
  const auto parsed = parse_payload(payload);
  if (!parsed) return parsed.error().message;
  const auto found = value_at(*parsed, how);
  return found ? to_string(*found) : "absent";
}

}  // namespace

TEST_CASE("values are found by JSON pointer, in whatever form they come") {
  CHECK(value(R"({"object":{"t":25.0}})", rule("/object/t")) == "25");
  CHECK(value(R"({"BME280":{"PM2.5":"12.5"}})", rule("/BME280/PM2.5")) == "12.5");
  CHECK(value(R"({"a":[1,2,3]})", rule("/a/2")) == "3");
  CHECK(value(R"({"a":null})", rule("/a")) == "-");
  CHECK(value(R"({"a":"nan"})", rule("/a")) == "-");
  CHECK(value(R"({"a":1e999})", rule("/a")) != "inf");
  CHECK(value(R"({"a":{}})", rule("/a")) == "-");
  CHECK(value(R"({})", rule("/a")) == "absent");
  auto zero = rule("/fCnt");
  zero.absent = 0;
  CHECK(value("{}", zero) == "0");
  CHECK(value("23.5", rule("")) == "23.5");
  CHECK(value("ON", rule("", ValueType::boolean)) == "true");
  for (const auto* no : {R"({"s":"OFF"})", R"({"s":false})", R"({"s":0})", R"({"s":"false"})"}) {
    CHECK(value(no, rule("/s", ValueType::boolean)) == "false");
  }
  CHECK(value(R"({"s":"hold"})", rule("/s", ValueType::text)) == "hold");
  auto hot = rule("/t");
  hot.fahrenheit = true;
  CHECK(value(R"({"t":212})", hot) == "100");
}

TEST_CASE("payloads are bounded before they are believed") {
  CHECK(value(std::string(17, '[') + std::string(17, ']'), rule("")).find("deeper") != std::string::npos);
  CHECK(value(std::string(70'000, ' '), rule("")).find("64 KiB") != std::string::npos);
  CHECK(value("\xFF\xFE", rule("")) == "neither JSON nor text");
}

TEST_CASE("times with an offset are understood, others not") {
  const auto ms = [](std::string_view text) {
    const auto time = parse_rfc3339(text);
    return time ? to_ms(*time) : -1;
  };
  CHECK(ms("2026-05-01T08:30:00Z") == 1777624200000);
  CHECK(ms("2026-05-01T16:30:00.123456789+08:00") == 1777624200123);
  CHECK(ms("2026-05-01T08:30:00") == -1);
  CHECK(ms("2026-13-01T08:30:00Z") == -1);
  CHECK(ms("2026-02-30T08:30:00Z") == -1);
  CHECK(ms("2026-05-01T08:30:00.Z") == -1);
  CHECK(ms("") == -1);
}

TEST_CASE("topics and filters") {
  CHECK(matches("application/+/device/+/event/up", "application/1/device/2/event/up"));
  CHECK_FALSE(matches("application/+/device/+/event/up", "application/1/device/2/event/join"));
  CHECK(matches("a/#", "a/b/c"));
  CHECK(matches("a/#", "a"));
  CHECK(matches("a/b", "a/b"));
  CHECK_FALSE(matches("a/b", "a/b/c"));
  CHECK_FALSE(matches("a/b/c", "a/b"));
  CHECK(matches("+", "a"));
}

TEST_CASE("availability in each of its forms") {
  CHECK(parse_availability("online") == true);
  CHECK(parse_availability("Offline") == false);
  CHECK(parse_availability(R"({"state":"offline"})") == false);
  CHECK_FALSE(parse_availability(""));
  CHECK_FALSE(parse_availability("42"));
}
