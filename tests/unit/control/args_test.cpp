#include "firmware/control/args.hpp"

#include <doctest/doctest.h>

using hamlet::Errc;
using hamlet::control::Args;
using nlohmann::json;

TEST_CASE("args that are right are read") {
  const json args{{"point", "river.level"}, {"limit", 5}};
  Args in{args};
  CHECK(in.text("point") == "river.level");
  CHECK(in.integer_or("limit", 100, 1, 1000) == 5);
  CHECK(in.integer_or("since_ms", 60'000) == 60'000);
  CHECK(!in.integer_if("occurrence").has_value());
  CHECK(in.text_or("source", "all") == "all");
  CHECK(!in.wrong().has_value());
}

TEST_CASE("args that are wrong are told by name") {
  json args;
  SUBCASE("missing") {
    args = json::object();
  }
  SUBCASE("null is missing") {
    args = {{"point", nullptr}};
  }
  SUBCASE("empty") {
    args = {{"point", ""}};
  }
  SUBCASE("of another kind") {
    args = {{"point", 1}};
  }
  SUBCASE("below the range") {
    args = {{"point", "a.b"}, {"limit", 0}};
  }
  SUBCASE("above the range") {
    args = {{"point", "a.b"}, {"limit", 1001}};
  }
  SUBCASE("beyond 64 bits") {
    args = {{"point", "a.b"}, {"limit", 18'446'744'073'709'551'615U}};
  }
  SUBCASE("a fraction") {
    args = {{"point", "a.b"}, {"limit", 1.5}};
  }
  SUBCASE("a key that nobody knows") {
    args = {{"point", "a.b"}, {"limits", 3}};
  }
  Args in{args};
  static_cast<void>(in.text("point"));
  const auto limit = in.integer_or("limit", 100, 1, 1000);
  CHECK(limit == 100);
  const auto wrong = in.wrong();
  REQUIRE(wrong.has_value());
  CHECK(wrong->code == Errc::invalid);
  const bool names_it =
      wrong->text.en.find("point") != std::string::npos || wrong->text.en.find("limit") != std::string::npos;
  CHECK(names_it);
}

TEST_CASE("the first thing wrong is kept") {
  const json args{{"limit", "many"}};
  Args in{args};
  static_cast<void>(in.text("point"));
  static_cast<void>(in.integer_or("limit", 100));
  REQUIRE(in.wrong().has_value());
  CHECK(in.wrong()->text.en.find("point") != std::string::npos);
}
