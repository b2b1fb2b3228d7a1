#include <doctest/doctest.h>

#include "sync/contract/contract.hpp"

using namespace hamlet;
using contract::Topics;

TEST_CASE("a base comes from a division code or from any three words") {
  const auto village = Topics::from_division("430124104203", "gw-0017");
  REQUIRE(village);
  CHECK(village->base() == "hamlet/v1/430124/104/203/gw-0017");
  CHECK(village->at("event/cam-ford/motion") == "hamlet/v1/430124/104/203/gw-0017/event/cam-ford/motion");
  CHECK(village->gw() == "gw-0017");
  const std::vector<std::string> words{"north", "Hill_2", "mill"};
  CHECK(Topics::from_path(words, "gw-1")->base() == "hamlet/v1/north/Hill_2/mill/gw-1");
}

TEST_CASE("what would break a topic is refused with what was expected") {
  CHECK(Topics::from_division("43012410420", "gw").error().message.find("12 digits") != std::string::npos);
  CHECK_FALSE(Topics::from_division("43012410420x", "gw"));
  CHECK_FALSE(Topics::from_division("430124104203", "GW"));
  CHECK_FALSE(Topics::from_division("430124104203", ""));
  for (const auto* word : {"", "a/b", "+", "#", "a b", "$SYS", "\xE4\xB8\xAD"}) {
    CAPTURE(word);
    CHECK_FALSE(Topics::from_path(std::vector<std::string>{"a", word, "c"}, "gw"));
  }
  CHECK_FALSE(Topics::from_path(std::vector<std::string>{"a", "b"}, "gw"));
}

TEST_CASE("lanes have names") {
  for (const auto lane : contract::kLanes) CHECK(contract::parse_lane(contract::to_string(lane)) == lane);
  CHECK_FALSE(contract::parse_lane("picture"));
  CHECK(contract::media_name("9f2c41d07be1a655", 12) == "9f2c41d07be1a655-12");
}
