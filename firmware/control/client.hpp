#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>
#include <tl/expected.hpp>

#include "firmware/control/protocol.hpp"
#include "firmware/core/time.hpp"

namespace hamlet::control {

/// Why a call gave no result.
struct CallFailure {
  enum class Kind {
    unreachable,  ///< nobody listens there, or nobody answered in time
    denied,       ///< the socket or the daemon does not let this user
    failed,       ///< the daemon answered that it could not
  };
  Kind kind = Kind::failed;
  Failure failure;
};

/// Longer than the daemon's own deadline for a verb, so that its words arrive.
inline constexpr Millis kCallDeadline{15'000};
inline constexpr Millis kSlowCallDeadline{60'000};  ///< of `uplink.test`

/// Asks the daemon that listens at `path` and waits for its answer, at most `deadline`. Blocks.
[[nodiscard]] tl::expected<nlohmann::json, CallFailure> call(const std::filesystem::path& path, std::string_view verb,
                                                             nlohmann::json args, Millis deadline = kCallDeadline);

}  // namespace hamlet::control
