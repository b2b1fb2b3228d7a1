#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "firmware/core/text.hpp"
#include "firmware/core/time.hpp"
#include "firmware/ctl/invocation.hpp"

namespace hamlet::ctl {

/// A result as people read it.
struct Shown {
  std::string data;   ///< tables, for stdout
  std::string words;  ///< what it means and what to do next, for stderr
};

/// Draws the result of `asked` in its language. Times are Beijing time, their age is measured from `now`. Never fails:
/// what a result lacks is shown as "-".
[[nodiscard]] Shown show(const Invocation& asked, const nlohmann::json& result, WallTime now, bool colour);

}  // namespace hamlet::ctl
