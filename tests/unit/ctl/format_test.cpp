#include "firmware/ctl/format.hpp"

#include <limits>

#include <doctest/doctest.h>

using namespace hamlet::ctl;
using hamlet::Lang;
using hamlet::Millis;
using hamlet::wall_from_ms;
using nlohmann::json;
using namespace std::chrono_literals;

TEST_CASE("an age is told in the largest unit that says enough") {
  const auto now = wall_from_ms(1'795'411'860'000);
  struct Row {
    Millis age;
    const char* zh;
    const char* en;
  };
  const std::vector<Row> rows{
      {0ms, "0 秒前", "0 s ago"},         {59'999ms, "59 秒前", "59 s ago"}, {60s, "1 分钟前", "1 min ago"},
      {59min, "59 分钟前", "59 min ago"}, {1h, "1 小时前", "1 h ago"},       {47h, "47 小时前", "47 h ago"},
      {48h, "2 天前", "2 d ago"},         {-2s, "0 秒前", "0 s ago"},        {-1h, "在将来", "in the future"},
  };
  for (const auto& row : rows) {
    CAPTURE(row.en);
    CHECK(ago(Lang::zh, now - row.age, now) == row.zh);
    CHECK(ago(Lang::en, now - row.age, now) == row.en);
  }
}

TEST_CASE("a span is told in two units at most") {
  CHECK(span(Lang::en, 30s) == "30 s");
  CHECK(span(Lang::en, 90min) == "1 h 30 min");
  CHECK(span(Lang::zh, 50h) == "2 天 2 小时");
  CHECK(span(Lang::en, 59min) == "59 min");
}

TEST_CASE("sizes have one decimal") {
  CHECK(bytes(0) == "0 B");
  CHECK(bytes(999) == "999 B");
  CHECK(bytes(1000) == "1.0 kB");
  CHECK(bytes(3'240'000) == "3.2 MB");
  CHECK(bytes(std::numeric_limits<std::uint64_t>::max()) == "18446744.1 TB");
}

TEST_CASE("values are rounded for people") {
  CHECK(value(Lang::en, 2.31) == "2.31");
  CHECK(value(Lang::en, 2.3099999427795410) == "2.31");
  CHECK(value(Lang::en, 1234567.0) == "1234567");
  CHECK(value(Lang::en, 123456.789) == "123456.79");
  CHECK(value(Lang::en, -0.5) == "-0.5");
  CHECK(value(Lang::en, 7) == "7");
  CHECK(value(Lang::zh, true) == "是");
  CHECK(value(Lang::en, false) == "no");
  CHECK(value(Lang::en, "open") == "open");
  CHECK(value(Lang::en, nullptr) == "-");
}

TEST_CASE("a result that lacks something is read leniently") {
  const json row{{"text", {{"zh", "河道"}, {"en", ""}}}, {"n", -3}, {"t", 1e300}, {"s", 5}};
  CHECK(both_at(Lang::zh, row, "text") == "河道");
  CHECK(both_at(Lang::en, row, "text") == "河道");  // better than nothing
  CHECK(both_at(Lang::en, row, "nothing").empty());
  CHECK(text_at(row, "s").empty());
  CHECK(text_at(json::array(), "s").empty());
  CHECK(count_at(row, "n") == 0);
  CHECK(count_at(row, "text") == 0);
  CHECK(!time_at(row, "t").has_value());
  CHECK(!time_at(json{{"t", std::numeric_limits<std::int64_t>::max()}}, "t").has_value());
  CHECK(!time_at(json{{"t", std::numeric_limits<std::uint64_t>::max()}}, "t").has_value());
  CHECK(time_at(json{{"t", 5}}, "t") == wall_from_ms(5));
}
