#include "firmware/ctl/lang.hpp"

#include <map>

#include <doctest/doctest.h>

using hamlet::Lang;
using hamlet::ctl::choose_lang;

TEST_CASE("the language is the first that is asked for") {
  struct Row {
    const char* what;
    std::vector<std::string> args;
    std::map<std::string, std::string> env;
    Lang lang;
  };
  const std::vector<Row> rows{
      {"nothing is set", {}, {}, Lang::en},
      {"a Chinese machine", {}, {{"LANG", "zh_CN.UTF-8"}}, Lang::zh},
      {"the C locale", {}, {{"LANG", "C.UTF-8"}}, Lang::en},
      {"LC_MESSAGES goes before LANG", {}, {{"LC_MESSAGES", "en_GB.UTF-8"}, {"LANG", "zh_CN.UTF-8"}}, Lang::en},
      {"LC_ALL goes before LC_MESSAGES", {}, {{"LC_ALL", "zh_CN"}, {"LC_MESSAGES", "en_GB.UTF-8"}}, Lang::zh},
      {"HAMLET_LANG goes before all", {}, {{"HAMLET_LANG", "en"}, {"LC_ALL", "zh_CN"}}, Lang::en},
      {"an empty variable is none", {}, {{"LC_ALL", ""}, {"LANG", "zh_CN.UTF-8"}}, Lang::zh},
      {"--lang goes before the environment", {"status", "--lang", "zh"}, {{"HAMLET_LANG", "en"}}, Lang::zh},
      {"--lang= too", {"--lang=en", "status"}, {{"LANG", "zh_CN.UTF-8"}}, Lang::en},
  };
  for (const auto& row : rows) {
    CAPTURE(row.what);
    const auto env = [&row](const char* name) {
      const auto found = row.env.find(name);
      return found == row.env.end() ? std::string{} : found->second;
    };
    CHECK(choose_lang(row.args, env) == row.lang);
  }
}
