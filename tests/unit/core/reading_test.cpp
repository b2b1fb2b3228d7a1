#include "firmware/core/reading.hpp"

#include <cmath>
#include <string>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "firmware/core/alarm.hpp"
#include "firmware/core/event.hpp"

using namespace hamlet;

TEST_CASE("a value is a number, a boolean, a text or nothing, in JSON and in words") {
  CHECK(to_json(Value{2.5}) == nlohmann::json(2.5));
  CHECK(to_json(Value{true}) == nlohmann::json(true));
  CHECK(to_json(Value{std::string{"open"}}) == nlohmann::json("open"));
  CHECK(to_json(Value{}).is_null());
  CHECK(to_string(Value{2.31}) == "2.31");
  CHECK(to_string(Value{3.0}) == "3");
  CHECK(to_string(Value{false}) == "false");
  CHECK(to_string(Value{std::string{"open"}}) == "open");
  CHECK(to_string(Value{}) == "-");
}

TEST_CASE("as a number, booleans are 0 and 1, and texts are none") {
  CHECK(as_number(Value{true}) == 1.0);
  CHECK(as_number(Value{false}) == 0.0);
  CHECK(as_number(Value{-2.5}) == -2.5);
  CHECK(!as_number(Value{std::string{"2"}}));
  CHECK(!as_number(Value{}));
}

TEST_CASE("what is stored and sent has the contract's names and frozen numbers") {
  CHECK(to_string(Quality::good) == "good");
  CHECK(to_string(Quality::suspect) == "suspect");
  CHECK(to_string(Quality::bad) == "bad");
  CHECK(to_string(Quality::missing) == "missing");
  CHECK(static_cast<int>(Quality::missing) == 3);
  CHECK(to_string(AlarmState::normal) == "normal");
  CHECK(to_string(AlarmState::unacked) == "unacked");
  CHECK(to_string(AlarmState::acked) == "acked");
  CHECK(to_string(AlarmState::returned) == "returned");
  CHECK(to_string(AlarmState::shelved) == "shelved");
  CHECK(to_string(AlarmState::suppressed) == "suppressed");
  CHECK(to_string(AlarmState::out_of_service) == "out-of-service");
  CHECK(static_cast<int>(AlarmState::out_of_service) == 6);
  CHECK(to_string(Severity::critical) == "critical");
  CHECK(to_string(Severity::major) == "major");
  CHECK(to_string(Severity::minor) == "minor");
  CHECK(to_string(Severity::warning) == "warning");
  CHECK(to_string(Phase::start) == "start");
  CHECK(to_string(Phase::update) == "update");
  CHECK(to_string(Phase::end) == "end");
  CHECK(to_string(Phase::once) == "once");
}

TEST_CASE("an alarm calls for somebody until it is both back and acknowledged") {
  CHECK(is_active(AlarmState::unacked));
  CHECK(is_active(AlarmState::acked));
  CHECK(is_active(AlarmState::returned));
  for (const auto state :
       {AlarmState::normal, AlarmState::shelved, AlarmState::suppressed, AlarmState::out_of_service}) {
    CHECK(!is_active(state));
  }
}
