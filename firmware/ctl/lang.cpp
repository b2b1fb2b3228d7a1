#include "firmware/ctl/lang.hpp"

#include <string_view>

namespace hamlet::ctl {
namespace {

Lang lang_of(std::string_view locale) {
  return locale.starts_with("zh") ? Lang::zh : Lang::en;
}

}  // namespace

Lang choose_lang(std::span<const std::string> args, const GetEnv& env) {
  constexpr std::string_view kOption = "--lang";
  for (std::size_t i = 0; i < args.size(); ++i) {
    const std::string_view arg = args[i];
    if (arg == kOption && i + 1 < args.size()) return lang_of(args[i + 1]);
    if (arg.starts_with("--lang=")) return lang_of(arg.substr(kOption.size() + 1));
  }
  for (const char* name : {"HAMLET_LANG", "LC_ALL", "LC_MESSAGES", "LANG"}) {
    if (const auto value = env(name); !value.empty()) return lang_of(value);
  }
  return Lang::en;
}

}  // namespace hamlet::ctl
