#pragma once

#include <ostream>

#include "firmware/ctl/invocation.hpp"

namespace hamlet::ctl {

/// `hamlet backtest`: what quality tests, detector and alarm rules of the config would have said of a recorded series.
/// Reads the config's devices, quality and alarms; touches neither daemon nor devices. Rows go to `out` as the series
/// is read: memory does not depend on its length. Returns an ExitCode.
[[nodiscard]] int backtest(const Invocation& asked, std::ostream& out, std::ostream& err);

}  // namespace hamlet::ctl
