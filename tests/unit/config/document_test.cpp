#include <doctest/doctest.h>
#include <fmt/format.h>

#include "tests/unit/config/errors.hpp"

using namespace hamlet;
using namespace hamlet::config;

namespace {

std::string only_error(std::string_view text) {
  const auto errors = errors_of(Document::parse(text, "t.toml"));
  REQUIRE(errors.size() == 1);
  return errors[0];
}

// Reads the two keys that it knows, in a table of the same.
void read_known(const Table& root) {
  (void)root.integer_or("port", 0);
  (void)root.text_or("host", "");
  (void)root.table("sub").integer_or("deep", 0);
}

}  // namespace

TEST_CASE("nothing is a config without mistakes") {
  for (const auto* text : {"", "\n", "# only a comment", "\xEF\xBB\xBF", "\xEF\xBB\xBF\r\n"}) {
    auto document = Document::parse(text, "t.toml");
    CHECK(document.root().exists());
    CHECK(document.root().keys().empty());
    document.finish();
    CHECK(document.ok());
  }
}

TEST_CASE("unknown keys are told with the nearest that is known, or with all") {
  CHECK(errors_in("prot = 1\nzzz = 2\n[sub]\ndepe = 3", read_known) ==
        Errors{"t.toml:1:1: unknown key 'prot'; did you mean 'port'?",
               "t.toml:2:1: unknown key 'zzz'; known here: host, port, sub",
               "t.toml:4:1: unknown key 'depe' in sub; did you mean 'deep'?"});
}

TEST_CASE("what is in an unknown table is not told again") {
  CHECK(errors_in("[sbu]\ndeep = 1\nother = 2\n[sbu.more]\nx = 1", read_known) ==
        Errors{"t.toml:1:2: unknown key 'sbu'; did you mean 'sub'?"});
}

TEST_CASE("an inline table is a table like any other") {
  CHECK(errors_in("sub = { depe = 1 }", read_known) ==
        Errors{"t.toml:1:9: unknown key 'depe' in sub; did you mean 'deep'?"});
  CHECK(errors_in("sub.depe = 1", read_known) == Errors{"t.toml:1:5: unknown key 'depe' in sub; did you mean 'deep'?"});
}

TEST_CASE("several mistakes are told in one go, in the order of the file") {
  CHECK(errors_in("[sub]\ndeep = \"a\"\nx = 1\n",
                  [](const Table& root) {
                    (void)root.integer("port");
                    read_known(root);
                  }) == Errors{"t.toml:1:1: port: missing; this key is required",
                               "t.toml:2:8: sub.deep: expected an integer, found a string",
                               "t.toml:3:1: unknown key 'x' in sub; known here: deep"});
}

TEST_CASE("what is not TOML is told where") {
  CHECK(only_error("a = 1\nb = = 2\n").starts_with("t.toml:2:5: this is not TOML: "));
  CHECK(only_error("a = 1\na = 2\n").starts_with("t.toml:2:5: this is not TOML: "));
  CHECK(only_error("a = \"open\n").starts_with("t.toml:1:10: this is not TOML: "));
  CHECK(only_error("[a\n").starts_with("t.toml:1:3: this is not TOML: "));
}

TEST_CASE("a file in another encoding is told as such") {
  // "河道" in GBK, as an older editor saves it.
  CHECK(only_error("a = 1\r\nb = \"\xba\xd3\xb5\xc0\"\r\n") ==
        "t.toml:2:1: this is not UTF-8; save the file again in the encoding UTF-8");
  CHECK(only_error("# 水\xff") == "t.toml:1:1: this is not UTF-8; save the file again in the encoding UTF-8");
  CHECK(only_error(std::string("\xff\xfe"
                               "a\0",
                               4)) == "t.toml:1:1: this is not UTF-8; save the file again in the encoding UTF-8");
}

TEST_CASE("lines and columns count as an editor does") {
  CHECK(errors_in("host = \"河道\"\r\n\r\nport = \"x\"\r\n", read_known) ==
        Errors{"t.toml:3:8: port: expected an integer, found a string"});
  CHECK(errors_in("\xEF\xBB\xBFport = \"x\"", read_known) ==
        Errors{"t.toml:1:8: port: expected an integer, found a string"});
  CHECK(errors_in("sub = { \"河道水位\" = 1, deep = \"x\" }", read_known) ==
        Errors{"t.toml:1:9: unknown key '河道水位' in sub; known here: deep",
               "t.toml:1:28: sub.deep: expected an integer, found a string"});
}

TEST_CASE("text without a line is told of the file as a whole") {
  CHECK(Diagnostic{"a.toml", 0, 0, {"没了", "gone"}}.to_string() == "a.toml: gone");
  CHECK(Diagnostic{"a.toml", 3, 7, {"错", "wrong"}}.to_string() == "a.toml:3:7: wrong");
  CHECK(Diagnostic{"a.toml", 3, 7, {"错", "wrong"}}.to_string(Lang::zh) == "a.toml:3:7: 错");
}

TEST_CASE("values nested without end are an error") {
  CHECK(only_error("a = " + std::string(100'000, '[')).starts_with("t.toml:1:"));
  std::string inline_tables = "a = ";
  for (int i = 0; i < 10'000; ++i) inline_tables += "{ b = ";
  CHECK(only_error(inline_tables).starts_with("t.toml:1:"));
}

// A key of 100,000 parts once overflowed the stack when its tables were taken down.
TEST_CASE("keys with parts without end are an error") {
  const auto parts = [](int n, std::string_view part) {
    std::string out;
    for (int i = 0; i < n; ++i) out += part;
    return out;
  };
  CHECK(only_error("\n[" + parts(100'000, "a.") + "b]") == "t.toml:2:1: a key here has more than 32 parts");
  CHECK(only_error(parts(100'000, "a . ") + "b = 1") == "t.toml:1:1: a key here has more than 32 parts");
  CHECK(only_error("x = \"\"\"\n\n\"\"\"\n" + parts(40, "\"a\".") + "b = 1") ==
        "t.toml:4:1: a key here has more than 32 parts");
  CHECK(only_error("x = { " + parts(40, "'a'.") + "b = 1 }") == "t.toml:1:1: a key here has more than 32 parts");
  CHECK(only_error("x = { y = \"\"\"z\"\"\"\", " + parts(40, "a.") + "b = 1 }") ==
        "t.toml:1:1: a key here has more than 32 parts");
  CHECK(Document::parse("[" + parts(31, "a.") + "b]", "t.toml").ok());

  const auto dots = parts(100, "a.");
  for (const auto& text :
       {"x = \"" + dots + "\"", "x = '" + dots + "'", "x = \"\"\"\n" + dots + "\n\"\"\"", "x = '''" + dots + "'''",
        "# " + dots, "x = [" + parts(100, "1.5, ") + "]", "x = \"quoted \\\" " + dots + "\"", "x = \"\" # " + dots,
        "x = 1 # don't\ny = 2 # " + dots}) {
    CAPTURE(text);
    CHECK(Document::parse(text, "t.toml").ok());
  }
}
