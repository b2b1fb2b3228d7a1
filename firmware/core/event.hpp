#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "firmware/core/time.hpp"

namespace hamlet {

/// Where in its life an event is. The values are stored: frozen.
enum class Phase : std::uint8_t { start = 0, update = 1, end = 2, once = 3 };
[[nodiscard]] std::string_view to_string(Phase phase);

/// Something that happened: a camera saw motion, a device went down, readings were given up, somebody gave a command.
struct Event {
  std::string source;              ///< an id: device, camera, or "gateway"
  std::string kind;                ///< an id: "motion", "down", "up", "gap", "time", "command", …
  Phase phase = Phase::once;
  std::string id;                  ///< the same from start to end; random_hex64()
  MonoTime at{};                   ///< when, in this boot
  nlohmann::json detail = nlohmann::json::object();
  std::vector<std::string> media{};  ///< "<epoch>-<seq>" of pictures in the media lane
};

}  // namespace hamlet
