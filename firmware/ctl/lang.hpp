#pragma once

#include <functional>
#include <span>
#include <string>

#include "firmware/core/text.hpp"

namespace hamlet::ctl {

/// Looks up a variable of the environment; empty where it is not set.
using GetEnv = std::function<std::string(const char* name)>;

/// The language to speak: --lang in `args`, else the first of HAMLET_LANG, LC_ALL, LC_MESSAGES and LANG that is set
/// (zh… is Chinese, everything else English). Looks at the raw arguments, so that help and usage errors speak it too.
[[nodiscard]] Lang choose_lang(std::span<const std::string> args, const GetEnv& env);

}  // namespace hamlet::ctl
