// Power cuts at random operations of a random workload, on a simulated disk. By the environment:
//
//   HAMLET_POWER_CUTS=N       so many cuts (tests/power-cut)
//   HAMLET_POWER_CUT_SEED=N   the first run's seed; each run has the next

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include <doctest/doctest.h>

#include "firmware/core/log.hpp"
#include "tests/support/power_cut_run.hpp"

using namespace hamlet::support;

namespace {

std::uint64_t number_from(const char* variable, std::uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

std::string schema_v1() {
  const char* source = std::getenv("HAMLET_SOURCE");
  std::ifstream in{std::filesystem::path{source == nullptr ? "." : source} / "tests/unit/journal/schema_v1.sql"};
  std::string sql{std::istreambuf_iterator<char>{in}, {}};
  REQUIRE_MESSAGE(!sql.empty(), "tests/unit/journal/schema_v1.sql is not found; set HAMLET_SOURCE to the source tree");
  return sql;
}

// The journal says of each cut that it could not commit: thousands of lines.
const bool quiet = [] {
  hamlet::log::set_level(hamlet::log::Level{0});
  return true;
}();

}  // namespace

TEST_CASE("the journal keeps its promises across power cuts at any operation") {
  const auto cuts = number_from("HAMLET_POWER_CUTS", 400);
  PowerCutSettings settings{.seed = number_from("HAMLET_POWER_CUT_SEED", 1), .schema_v1 = schema_v1()};
  PowerCutReport all;
  for (; static_cast<std::uint64_t>(all.cuts) < cuts; ++settings.seed) {
    const auto report = run_power_cuts(settings);
    all += report;
    CHECK_MESSAGE(report.violation.empty(), report.violation << "\n  again: tests/power-cut 1 " << settings.seed);
    if (!report.violation.empty()) break;
  }
  MESSAGE(all.cuts << " cuts, " << all.cuts_while_opening << " of them while opening, " << all.migrations_cut
                   << " in a migration; " << all.comparisons << " comparisons, " << all.clean_stops << " clean stops; "
                   << all.records << " records, " << all.turns << " turns, " << all.turns_lost << " rightly lost; "
                   << all.gaps << " gaps declared, " << all.epochs << " epochs, " << all.renumbered << " times numbered anew");
  CHECK(all.comparisons > 0);
  if (cuts >= 400) {
    CHECK(all.cuts_while_opening > 0);
    CHECK(all.migrations_cut > 0);
    CHECK(all.turns_lost > 0);
    CHECK(all.gaps > 0);
    CHECK(all.renumbered > 0);
  }
}

TEST_CASE("on a disk whose syncs do nothing the same run finds what is lost") {
  int found = 0;
  for (std::uint64_t seed = 1; seed <= 8; ++seed)
    if (!run_power_cuts({.seed = seed, .cuts = 10, .lying_syncs = true, .schema_v1 = {}}).violation.empty()) ++found;
  CHECK(found >= 6);
}
