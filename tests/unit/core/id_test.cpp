#include "firmware/core/id.hpp"

#include <string>

#include <doctest/doctest.h>

using namespace hamlet;

TEST_CASE("an id is 1 to 32 of a-z, 0-9 and '-'") {
  for (const std::string id : {"a", "0", "-", "river-level-high", "gw-0017"}) CHECK(is_id(id));
  CHECK(is_id(std::string(32, 'z')));
  CHECK(!is_id(std::string(33, 'z')));
  for (const std::string id : {"", "A", "a_b", "a.b", "a b", "a/b", "水", "a\n"}) CHECK(!is_id(id));
  CHECK(!is_id(std::string_view{"a\0b", 3}));
}

TEST_CASE("a point is two ids and a dot") {
  CHECK(is_point_name("river.level"));
  for (const std::string name : {"", ".", "river", "river.", ".level", "a.b.c", "River.level", "river level"}) {
    CAPTURE(name);
    CHECK(!is_point_name(name));
  }
  CHECK(is_point_name(std::string(32, 'a') + "." + std::string(32, 'b')));
  CHECK(!is_point_name(std::string(33, 'a') + ".b"));
}

TEST_CASE("random ids are 16 hex digits, and differ") {
  const auto one = random_hex64();
  CHECK(one.size() == 16);
  CHECK(one.find_first_not_of("0123456789abcdef") == std::string::npos);
  CHECK(one != random_hex64());
}
