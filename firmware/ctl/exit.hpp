#pragma once

namespace hamlet::ctl {

/// Exit codes of `hamlet`. Scripts depend on them: frozen.
enum ExitCode : int {
  kOk = 0,
  kFailed = 1,
  kUsage = 2,
  kUnreachable = 3,  ///< the daemon does not answer, and the verb needs it
  kDegraded = 4,     ///< it answers and something is wrong
  kDenied = 5,
};

}  // namespace hamlet::ctl
