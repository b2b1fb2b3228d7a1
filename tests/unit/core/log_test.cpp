#include "firmware/core/log.hpp"

#include <string>

#include <doctest/doctest.h>

using hamlet::log::format_line;

TEST_CASE("a log line is a message and keys with values") {
  CHECK(format_line("started", {}) == "started");
  CHECK(format_line("device down", {{"id", "pump"}, {"tries", 3}, {"ok", false}}) ==
        "device down id=pump tries=3 ok=false");
}

TEST_CASE("values are quoted where they have to be") {
  CHECK(format_line("x", {{"why", "disk full"}}) == R"(x why="disk full")");
  CHECK(format_line("x", {{"why", ""}}) == R"(x why="")");
  CHECK(format_line("x", {{"why", "a=b"}}) == R"(x why="a=b")");
  CHECK(format_line("x", {{"why", R"(say "no" \)"}}) == R"(x why="say \"no\" \\")");
  CHECK(format_line("x", {{"why", "水位过高"}}) == "x why=水位过高");
}

TEST_CASE("no value and no message forges a line or moves the cursor") {
  CHECK(format_line("a\nb", {{"v", "c\nERROR d"}}) == R"(a\nb v="c\nERROR d")");
  CHECK(format_line("x", {{"v", "\033[2J\r\t\x7f"}}) == R"(x v=\x1b[2J\x0d\x09\x7f)");
  CHECK(format_line("x", {{"v", std::string("a\0b", 3)}}) == R"(x v=a\x00b)");
}
