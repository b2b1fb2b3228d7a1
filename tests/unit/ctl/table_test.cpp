#include "firmware/ctl/table.hpp"

#include <doctest/doctest.h>

#include "firmware/core/text.hpp"

using namespace hamlet::ctl;

TEST_CASE("columns stand under each other, Chinese or not") {
  Table table{{{"测点"}, {"值", Align::right}, {"单位"}}};
  table.add({"river.level", "2.31", "m"});
  table.add({"雨量计", "12", "mm"});
  CHECK(table.render(false) ==
        "测点           值  单位\n"
        "river.level  2.31  m\n"
        "雨量计         12  mm\n");
}

TEST_CASE("no line ends in spaces") {
  Table table{{{"a"}, {"b"}, {"c"}}};
  table.add({"1", "2", ""});
  table.add({"1", "", ""});
  CHECK(table.render(false) == "a  b  c\n1  2\n1\n");
}

TEST_CASE("labels have no heading line") {
  auto table = Table::labels();
  table.add({"网关", "gw-0017"});
  table.add({"State", "ok"});
  CHECK(table.render(false) == "网关   gw-0017\nState  ok\n");
}

TEST_CASE("colour changes what is seen, not where") {
  Table table{{{"状态"}, {"x"}}};
  table.add({Cell{"掉线", Style::bad}, "1"});
  const auto plain = table.render(false);
  auto coloured = table.render(true);
  CHECK(plain.find('\033') == std::string::npos);
  CHECK(coloured.find("\033[1;31m掉线\033[0m") != std::string::npos);
  for (auto at = coloured.find('\033'); at != std::string::npos; at = coloured.find('\033')) {
    coloured.erase(at, coloured.find('m', at) - at + 1);
  }
  CHECK(coloured == plain);
}

TEST_CASE("a cell cannot move the cursor") {
  Table table{{{"name"}}};
  table.add({"a\033[2Jb\nc\td\x7f"});
  table.add(
      {"\xc2\x9b"
       "31m河"});  // U+009B is a control sequence introducer of one character
  CHECK(table.render(false) == "name\na?[2Jb?c?d?\n?31m河\n");
}

TEST_CASE("padding counts columns of the terminal") {
  CHECK(pad("河", 4) == "河  ");
  CHECK(pad("河", 4, Align::right) == "  河");
  CHECK(pad("too wide", 3) == "too wide");
  CHECK(hamlet::display_width(pad("水位 level", 20)) == 20);
}
