#include "firmware/core/text.hpp"

#include <string>

#include <doctest/doctest.h>

using namespace hamlet;

TEST_CASE("columns on a terminal") {
  CHECK(display_width("") == 0);
  CHECK(display_width("river.level") == 11);
  CHECK(display_width("水位") == 4);
  CHECK(display_width("河道 2.31 m") == 11);
  CHECK(display_width("（２３）") == 8);  // fullwidth forms
  CHECK(display_width("，。、") == 6);
  CHECK(display_width("ｱｲ") == 2);  // halfwidth katakana
  CHECK(display_width("한글") == 4);
  CHECK(display_width("℃ ± µ") == 5);
  CHECK(display_width("é") == 1);
  CHECK(display_width("e\u0301") == 1);  // a combining accent takes none
  CHECK(display_width("a\u200Bb") == 2);
  CHECK(display_width("𠮷") == 2);  // beyond the basic plane
  CHECK(display_width("\xff\xfe") == 2);
}

TEST_CASE("UTF-8 is what RFC 3629 says") {
  for (const std::string good : {"", "a", "é", "水", "𠮷", "\x7f", "\xf4\x8f\xbf\xbf", "\xef\xbf\xbd"}) {
    CAPTURE(good);
    CHECK(is_utf8(good));
  }
  CHECK(is_utf8(std::string_view{"a\0b", 3}));
  for (const std::string bad : {"\x80", "\xc0\x80", "\xc1\xbf", "\xc3", "\xc3(", "\xe0\x80\x80", "\xe6\xb0",
                                "\xed\xa0\x80", "\xf0\x80\x80\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff"}) {
    CHECK(!is_utf8(bad));
    CHECK(!is_utf8("水" + bad));
  }
}

TEST_CASE("a text is kept in both languages") {
  const Text text{"水位高", "High level"};
  CHECK(text.in(Lang::zh) == "水位高");
  CHECK(text.in(Lang::en) == "High level");
}
