#pragma once

#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace hamlet::support {

/// What firmware/detect says of one vector {test, args, t, x, flags} made with QARTOD's reference implementation:
/// samples go one by one through the classes that judge readings. The reference sees the whole series at once; what
/// follows from that alone is done here: the first sample's time gap, a whole series' spread, the median interval, and
/// that under 3 samples nothing is flat. Throws std::exception where the vector is not understood.
[[nodiscard]] std::vector<int> qartod_flags(const nlohmann::json& vector);

}  // namespace hamlet::support
