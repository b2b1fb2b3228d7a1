#include "firmware/config/gateway.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "tests/unit/config/errors.hpp"

using namespace hamlet;
using namespace hamlet::config;

namespace {

Errors errors_of_gateway(std::string_view lines) {
  return errors_in(fmt::format("[gateway]\n{}\n", lines), [](const Table& root) { (void)read_gateway(root); });
}
constexpr auto kGood = "id = \"gw-0017\"\ndivision = \"430124104203\"\n";

}  // namespace

TEST_CASE("a gateway says who it is; the rest has defaults") {
  auto document = Document::parse(std::string{"[gateway]\n"} + kGood, "t.toml");
  const auto gateway = read_gateway(document.root());
  document.finish();
  CHECK(errors_of(document) == Errors{});
  CHECK(gateway.id == "gw-0017");
  CHECK(gateway.division == "430124104203");
  CHECK(gateway.state_dir == "/var/lib/hamlet");
  CHECK(gateway.control_socket() == "/run/hamlet/control.sock");
  CHECK(!gateway.trust_clock);
  CHECK(gateway.county_verbs.empty());
}

TEST_CASE("mistakes in [gateway] are told") {
  CHECK(errors_in("", [](const Table& root) { (void)read_gateway(root); }) ==
        Errors{"t.toml:1:1: gateway: the table [gateway] is missing; it says who this box is: id and division"});
  CHECK(errors_of_gateway("division = \"430124104203\"") ==
        Errors{"t.toml:1:1: gateway.id: missing; this key is required"});
  CHECK(errors_of_gateway("id = \"gw\"") ==
        Errors{"t.toml:1:1: gateway.division: give either division = \"12 digits\" or path = [\"county\", \"town\", "
               "\"village\"]"});
  CHECK(errors_of_gateway(std::string{kGood} + "state_dir = \"var\"") ==
        Errors{"t.toml:4:13: gateway.state_dir: expected a path from the root, as in \"/var/lib/hamlet\""});
  CHECK(
      errors_of_gateway(std::string{kGood} + "run_dir = \"/" + std::string(100, 'x') + "\"") ==
      Errors{"t.toml:4:11: gateway.run_dir: the path is too long for a Unix socket; with /control.sock it must fit in "
             "107 bytes"});
}
