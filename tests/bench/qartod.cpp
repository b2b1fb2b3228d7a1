// Runs a file of QARTOD vectors and prints what differs. See tests/bench/qartod.

#include <fstream>
#include <iostream>
#include <map>

#include <nlohmann/json.hpp>

#include "firmware/core/command_line.hpp"
#include "tests/support/qartod_vectors.hpp"

using nlohmann::json;

namespace {

struct Count {
  std::size_t cases = 0;
  std::size_t equal = 0;
};

}  // namespace

int main(int argc, char** argv) {
  std::filesystem::path file;
  bool as_json = false;
  hamlet::CommandLine line{"Runs a file of QARTOD vectors through firmware/detect and prints what differs"};
  line.path("FILE", file, "[{test, args, t, x, flags}, …]", hamlet::CommandLine::Given::always);
  line.flag("--json", as_json, "One object: {cases, equal, tests, differ}");
  if (const auto ends = line.parse(argc, argv)) return *ends;

  std::ifstream in{file};
  const auto vectors = json::parse(in, nullptr, false);
  if (!vectors.is_array()) {
    std::cerr << "qartod: " << file << ": not a JSON array that can be read\n";
    return 2;
  }
  std::map<std::string, Count> tests;
  Count all;
  auto differ = json::array();
  for (std::size_t i = 0; i < vectors.size(); ++i) {
    const auto& vector = vectors[i];
    json got;
    json expected;
    std::string name = "?";
    try {
      name = vector.at("test").get<std::string>();
      expected = vector.at("flags");
      got = hamlet::support::qartod_flags(vector);
    } catch (const std::exception& error) {
      got = error.what();
    }
    const bool equal = got == expected;
    for (auto* count : {&tests[name], &all}) {
      ++count->cases;
      count->equal += equal ? 1 : 0;
    }
    if (!equal) {
      differ.push_back(
          {{"index", i}, {"test", name}, {"args", vector.value("args", json{})}, {"expected", expected}, {"got", got}});
    }
  }
  if (as_json) {
    json by_test;
    for (const auto& [name, count] : tests) by_test[name] = {{"cases", count.cases}, {"equal", count.equal}};
    std::cout << json{{"cases", all.cases}, {"equal", all.equal}, {"tests", by_test}, {"differ", differ}}.dump()
              << '\n';
  } else {
    for (const auto& each : differ) {
      std::cout << each["index"] << ' ' << each["test"].get<std::string>() << ' ' << each["args"].dump()
                << "\n  expected " << each["expected"].dump() << "\n  got      " << each["got"].dump() << '\n';
    }
    for (const auto& [name, count] : tests)
      std::cout << name << ": " << count.equal << " of " << count.cases << " equal\n";
    std::cout << "all: " << all.equal << " of " << all.cases << " equal\n";
  }
  return all.equal == all.cases ? 0 : 1;
}
