#include "firmware/core/result.hpp"

#include <doctest/doctest.h>

using namespace hamlet;

namespace {

Status open_journal() {
  return fail(Errc::full, "disk full");
}

Result<int> start() {
  auto opened = open_journal();
  if (!opened) return fail(std::move(opened).error().in("open journal"));
  return 1;
}

}  // namespace

TEST_CASE("an error gathers context on its way up, and keeps its kind") {
  const auto result = start();
  REQUIRE(!result);
  CHECK(result.error().code == Errc::full);
  CHECK(result.error().message == "open journal: disk full");
  CHECK(result.error().in("start").message == "start: open journal: disk full");
  CHECK(result.error().message == "open journal: disk full");
}
