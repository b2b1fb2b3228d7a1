// One test for each kind of value: what is read, and what is said of a mistake, where.
#include <array>
#include <limits>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "tests/unit/config/errors.hpp"

using namespace hamlet;
using namespace hamlet::config;
using std::chrono::hours;
using std::chrono::seconds;

TEST_CASE("texts") {
  const auto errors = errors_in("a = \"水\"\nb = 3\n\n[t]\nc = true", [](const Table& root) {
    CHECK(root.text("a") == "水");
    CHECK(root.text_or("a", "x") == "水");
    CHECK(root.text_or("gone", "x") == "x");
    CHECK(root.text_or("b", "x") == "x");
    CHECK(root.table("t").text("c") == "");
    CHECK(root.text("required") == "");
    CHECK(root.table("t").text("required") == "");
  });
  CHECK(errors == Errors{"t.toml:1:1: required: missing; this key is required",
                         "t.toml:2:5: b: expected a string in quotes, found an integer",
                         "t.toml:4:1: t.required: missing; this key is required",
                         "t.toml:5:5: t.c: expected a string in quotes, found a boolean"});
}

TEST_CASE("ids and points") {
  const auto errors =
      errors_in("a = \"river-2\"\nb = \"River\"\nc = 5\nd = \"river.level\"\ne = \"river\"", [](const Table& root) {
        CHECK(root.id("a") == "river-2");
        CHECK(root.id("b") == "unnamed");
        CHECK(root.id("c") == "unnamed");
        CHECK(root.point("d") == "river.level");
        CHECK(root.point("e") == "unnamed.unnamed");
      });
  CHECK(errors == Errors{"t.toml:2:5: b: expected an id: 1 to 32 of a-z, 0-9 and '-', in quotes",
                         "t.toml:3:5: c: expected an id: 1 to 32 of a-z, 0-9 and '-', in quotes",
                         "t.toml:5:5: e: expected a point as \"device.point\""});
}

TEST_CASE("texts in both languages") {
  constexpr auto kExpected = "expected a text in both languages, as { zh = \"…\", en = \"…\" }";
  const auto errors = errors_in(
      "a = { zh = \"河\", en = \"River\" }\nb = \"River\"\nc = { zh = \"河\" }\nd = { zh = \"河\", en = 1 }\n"
      "e = { zh = \"河\", en = \"River\", fr = \"Fleuve\" }",
      [](const Table& root) {
        CHECK(root.both("a") == Text{"河", "River"});
        CHECK(root.both_or("gone", {"x", "y"}) == Text{"x", "y"});
        for (const char* key : {"b", "c", "d", "e"}) CHECK(root.both(key) == Text{});
      });
  CHECK(errors == Errors{fmt::format("t.toml:2:5: b: {}", kExpected), fmt::format("t.toml:3:5: c: {}", kExpected),
                         fmt::format("t.toml:4:5: d: {}", kExpected), fmt::format("t.toml:5:5: e: {}", kExpected)});
}

TEST_CASE("booleans") {
  const auto errors = errors_in("a = true\nb = \"yes\"", [](const Table& root) {
    CHECK(root.flag_or("a", false));
    CHECK(root.flag_or("gone", true));
    CHECK(root.flag_or("b", true));
  });
  CHECK(errors == Errors{"t.toml:2:5: b: expected true or false, found a string"});
}

TEST_CASE("integers") {
  const auto errors = errors_in("a = 502\nb = 0x1F\nc = 70_000\nd = 1.0\ne = -1\nf = 9", [](const Table& root) {
    CHECK(root.integer("a", {1, 65'535}) == 502);
    CHECK(root.integer("b") == 31);
    CHECK(root.integer_or("gone", 4) == 4);
    CHECK(root.integer("c", {1, 65'535}) == 1);
    CHECK(root.integer_or("d", 7) == 7);
    CHECK(root.integer_or("e", 7, {.min = 0}) == 7);
    CHECK(root.integer_or("f", 7, {.max = 8}) == 7);
  });
  CHECK(errors == Errors{"t.toml:3:5: c: 70000 is out of range; expected 1 to 65535",
                         "t.toml:4:5: d: expected an integer, found a number",
                         "t.toml:5:5: e: -1 is out of range; expected 0 or more",
                         "t.toml:6:5: f: 9 is out of range; expected 8 or less"});
}

TEST_CASE("numbers") {
  const auto errors = errors_in("a = 2.5\nb = 3\nc = nan\nd = inf\ne = \"2\"\nf = 11\ng = true", [](const Table& root) {
    CHECK(root.number("a") == 2.5);
    CHECK(root.number("b") == 3.0);
    CHECK(root.number_or("gone", 1.5) == 1.5);
    CHECK(!root.number_if("gone"));
    CHECK(root.number_or("c", 1.5) == 1.5);
    CHECK(root.number_or("d", 1.5) == 1.5);
    CHECK(root.number_or("e", 1.5) == 1.5);
    CHECK(root.number("f", {5, 10}) == 5);
    CHECK(!root.number_if("g"));
  });
  CHECK(errors == Errors{"t.toml:3:5: c: expected a finite number", "t.toml:4:5: d: expected a finite number",
                         "t.toml:5:5: e: expected a number, found a string",
                         "t.toml:6:5: f: 11 is out of range; expected 5 to 10",
                         "t.toml:7:5: g: expected a number, found a boolean"});
}

TEST_CASE("durations") {
  const auto errors = errors_in("a = \"90s\"\nb = 5\nc = \"5\"\nd = \"2d\"\ne = \"1s\"", [](const Table& root) {
    CHECK(root.duration("a") == seconds{90});
    CHECK(root.duration_or("gone", hours{1}) == hours{1});
    CHECK(!root.duration_if("gone"));
    CHECK(root.duration_or("b", hours{1}) == hours{1});
    CHECK(root.duration("c", {seconds{2}, Millis::max()}) == seconds{2});
    CHECK(root.duration("d", {seconds{1}, hours{24}}) == seconds{1});
    CHECK(!root.duration_if("e", {seconds{2}, Millis::max()}));
  });
  CHECK(errors == Errors{"t.toml:2:5: b: expected a duration in quotes, as in \"5s\", found an integer",
                         "t.toml:3:5: c: '5' is not a duration; write a number and a unit, as in \"250ms\", \"5s\", "
                         "\"10min\", \"2h\" or \"7d\"",
                         "t.toml:4:5: d: 2d is out of range; expected 1s to 1d",
                         "t.toml:5:5: e: 1s is out of range; expected 2s or more"});
}

TEST_CASE("one of a few words") {
  constexpr std::array<std::string_view, 3> kWords{"auto", "5", "3.1.1"};
  const auto errors = errors_in("a = \"3.1.1\"\nb = \"3.11\"\nc = 5\nd = \"something\"", [&](const Table& root) {
    CHECK(root.choice("a", kWords) == 2);
    CHECK(root.choice_or("gone", 1, kWords) == 1);
    CHECK(root.choice("b", kWords) == 0);
    CHECK(root.choice_or("c", 1, kWords) == 1);
    CHECK(root.choice_or("d", 1, kWords) == 1);
  });
  CHECK(errors == Errors{"t.toml:2:5: b: expected one of \"auto\", \"5\", \"3.1.1\"; did you mean \"3.1.1\"?",
                         "t.toml:3:5: c: expected one of \"auto\", \"5\", \"3.1.1\"",
                         "t.toml:4:5: d: expected one of \"auto\", \"5\", \"3.1.1\""});
}

TEST_CASE("arrays") {
  const auto errors = errors_in(
      "a = [1, 2.5]\nb = [1, \"2\"]\nc = [\"x\", \"y\"]\nd = [\"x\", 1]\ne = [[0, 0], [320, 0.5]]\nf = [[0], [1, 2]]\n"
      "g = 5\nh = [nan]\ni = []",
      [](const Table& root) {
        CHECK(root.numbers_or("a") == std::vector<double>{1, 2.5});
        CHECK(root.numbers_or("gone").empty());
        CHECK(root.numbers_or("i").empty());
        CHECK(root.numbers_or("b").empty());
        CHECK(root.numbers_or("h").empty());
        CHECK(root.texts_or("c") == std::vector<std::string>{"x", "y"});
        CHECK(root.texts_or("gone").empty());
        CHECK(root.texts_or("d").empty());
        CHECK(root.pairs_or("e") == std::vector<std::pair<double, double>>{{0, 0}, {320, 0.5}});
        CHECK(root.pairs_or("gone").empty());
        CHECK(root.pairs_or("f").empty());
        CHECK(root.pairs_or("g").empty());
      });
  CHECK(errors == Errors{"t.toml:2:5: b: expected an array of numbers, as [1, 2.5]",
                         "t.toml:4:5: d: expected an array of strings, as [\"a\", \"b\"]",
                         "t.toml:6:5: f: expected pairs of numbers, as [[0, 0], [320, 0], [320, 240]]",
                         "t.toml:7:5: g: expected pairs of numbers, as [[0, 0], [320, 0], [320, 240]]",
                         "t.toml:8:5: h: expected an array of numbers, as [1, 2.5]"});
}

TEST_CASE("values to compare with") {
  const auto errors = errors_in("a = true\nb = \"open\"\nc = 3\nd = 2.5\ne = [1]\nf = inf", [](const Table& root) {
    CHECK(root.value_if("a") == Value{true});
    CHECK(root.value_if("b") == Value{std::string{"open"}});
    CHECK(root.value_if("c") == Value{3.0});
    CHECK(root.value_if("d") == Value{2.5});
    CHECK(!root.value_if("gone"));
    CHECK(!root.value_if("e"));
    CHECK(!root.value_if("f"));
  });
  CHECK(errors == Errors{"t.toml:5:5: e: expected true, false, a number or a text in quotes, found an array",
                         "t.toml:6:5: f: expected true, false, a number or a text in quotes, found a number"});
}

TEST_CASE("tables that are none") {
  const auto errors = errors_in("a = 5\nb = { c = 1 }\nd = [1, 2]", [](const Table& root) {
    CHECK(!root.table("a").exists());
    CHECK(root.tables("b").empty());
    CHECK(root.tables("d").empty());
    CHECK(root.tables("gone").empty());
    const auto gone = root.table("gone");
    CHECK(!gone.exists());
    CHECK(!gone.has("x"));
    CHECK(gone.keys().empty());
    CHECK(gone.table("deeper").text_or("x", "y") == "y");
  });
  CHECK(errors == Errors{"t.toml:1:5: a: expected a table, found an integer",
                         "t.toml:2:5: b: expected an array of tables, written as [[b]], found a table",
                         "t.toml:3:5: d: expected an array of tables, written as [[d]], found an array"});
}

TEST_CASE("arrays of tables within arrays of tables") {
  const auto errors = errors_in(
      R"([[device]]
id = "river"
[[device.point]]
id = "level"
[[device.point]]
id = "flow"
unti = "m3/s"
[[device]]
id = "pump"
[[device.point]]
id = 5)",
      [](const Table& root) {
        std::vector<std::string> seen;
        for (const auto& device : root.tables("device")) {
          const auto id = device.id("id");
          for (const auto& point : device.tables("point")) {
            (void)point.text_or("unit", "");
            seen.push_back(id + "." + point.id("id") + " " + point.path());
          }
        }
        CHECK(seen == std::vector<std::string>{"river.level device[1].point[1]", "river.flow device[1].point[2]",
                                               "pump.unnamed device[2].point[1]"});
      });
  CHECK(errors == Errors{"t.toml:7:1: unknown key 'unti' in device[1].point[2]; did you mean 'unit'?",
                         "t.toml:11:6: device[2].point[1].id: expected an id: 1 to 32 of a-z, 0-9 and '-', in quotes"});
}

TEST_CASE("tables by name") {
  const auto errors =
      errors_in("[quality.\"river.level\"]\ngap = \"1min\"\n[quality]\nrain = 5", [](const Table& root) {
        const auto all = root.table("quality").each();
        REQUIRE(all.size() == 2);
        CHECK(all[0].first == "rain");
        CHECK(!all[0].second.exists());
        CHECK(all[1].first == "river.level");
        CHECK(all[1].second.duration("gap") == seconds{60});
        CHECK(all[1].second.path() == "quality.river.level");
      });
  CHECK(errors == Errors{"t.toml:4:8: quality.rain: expected a table, found an integer"});
}

TEST_CASE("a room's own finding is placed, and silent after a finding of the reader") {
  const auto errors = errors_in("a = 5\nb = \"x\"\n[t]\nc = 1", [](const Table& root) {
    root.error("a", {"zh", "is too odd"});
    (void)root.integer_or("b", 0);
    root.error("b", {"zh", "is too odd"});
    const auto table = root.table("t");
    (void)table.integer("c");
    table.error("", {"zh", "has no soul"});
    table.error("gone", {"zh", "is gone"});
    root.error("", {"zh", "all is lost"});
  });
  CHECK(errors == Errors{"t.toml:1:1: all is lost", "t.toml:1:5: a: is too odd",
                         "t.toml:2:5: b: expected an integer, found a string", "t.toml:3:1: t: has no soul",
                         "t.toml:3:1: t.gone: is gone"});
}

TEST_CASE("the nearest word") {
  const std::vector<std::string> words{"off_delay", "on_delay", "id", "point"};
  CHECK(nearest("on_dealy", words) == "on_delay");
  CHECK(nearest("of_dellay", words) == "off_delay");
  CHECK(nearest("points", words) == "point");
  CHECK(!nearest("temperature", words));
  CHECK(!nearest("", words));
  CHECK(!nearest("x", words));
  CHECK(!nearest(std::string(100, 'a'), words));
  CHECK(!nearest("id", {}));
}
