#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include <doctest/doctest.h>

namespace hamlet::support {

/// How to run a sample consumer of the contract, `which` of "python" and "node", in a test's pace, on all that the county 430124 has.
/// `broker`: HOST:PORT. `files`: of TLS; "ca", "cert" and "key" with their paths, or empty. Empty: it cannot be run here, which is told.
inline std::vector<std::string> sample_consumer(const std::string& which, const std::string& broker, const std::filesystem::path& store,
                                                const std::vector<std::string>& files = {}) {
  const std::filesystem::path examples = std::filesystem::path{std::getenv("HAMLET_SOURCE")} / "sync/contract/examples";
  std::vector<std::string> command;
  if (which == "python") {
    command = {"/usr/bin/python3", (examples / "consumer.py").string(), broker};
  } else {
    const char* npm = std::getenv("HAMLET_NPM");
    const std::filesystem::path modules = std::filesystem::path{npm != nullptr ? npm : ""} / "node_modules";
    if (!std::filesystem::exists(modules / "mqtt")) {
      MESSAGE("skipped: the package mqtt of npm is not in ", modules.string(), "; the test contract_npm installs it where npm's registry can be reached");
      return {};
    }
    command = {"/usr/bin/env", "NODE_PATH=" + modules.string(), "node", (examples / "consumer.js").string(), (files.empty() ? "mqtt://" : "mqtts://") + broker};
  }
  for (const auto* word : {"hamlet/v1/430124", store.c_str(), "--every", "0.2", "--patience", "1"}) command.emplace_back(word);
  for (std::size_t i = 0; i + 1 < files.size(); i += 2) {
    command.push_back("--" + files[i]);
    command.push_back(files[i + 1]);
  }
  return command;
}

}  // namespace hamlet::support
