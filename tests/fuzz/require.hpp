#pragma once

#include <cstdlib>

namespace hamlet {

/// Ends the process where what must hold does not: the finding.
inline void require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace hamlet
