// Vectors made with the public reference implementation of IOOS QARTOD, where they are present.
#include <cstdlib>
#include <fstream>
#include <map>
#include <string>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "tests/support/qartod_vectors.hpp"

namespace qartod_test {

using nlohmann::json;

TEST_CASE("the tests give the flags of QARTOD's reference implementation") {
  const char* data = std::getenv("HAMLET_TEST_DATA");
  std::ifstream file{std::string{data != nullptr ? data : "."} + "/series/qartod/vectors.json"};
  if (!file) {
    MESSAGE("skipped: there is no series/qartod/vectors.json in HAMLET_TEST_DATA");
    return;
  }
  const auto vectors = json::parse(file);
  std::map<std::string, int> done;
  for (std::size_t i = 0; i < vectors.size(); ++i) {
    const auto& vector = vectors[i];
    CAPTURE(i);
    CAPTURE(vector.dump());
    CHECK(json(hamlet::support::qartod_flags(vector)) == vector["flags"]);
    ++done[vector["test"].get<std::string>()];
  }
  CHECK(done.size() == 9);
}

}  // namespace qartod_test
