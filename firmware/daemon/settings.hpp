#pragma once

#include <filesystem>
#include <vector>

#include "cameras/camera_config.hpp"
#include "drivers/drivers.hpp"
#include "firmware/config/config.hpp"
#include "firmware/config/gateway.hpp"
#include "firmware/core/result.hpp"
#include "firmware/detect/outputs.hpp"
#include "firmware/detect/rules.hpp"
#include "sync/contract/contract.hpp"
#include "sync/journal/journal.hpp"
#include "sync/uplink/uplink.hpp"

namespace hamlet::daemon {

/// Everything the config says, each part read by the room that owns it.
struct Settings {
  config::Gateway gateway;
  contract::Topics topics;
  journal::Options journal;
  uplink::Options uplink;
  drivers::Drivers::Config devices;
  detect::Rules rules;
  std::vector<detect::OutputRule> outputs;
  std::vector<cameras::CameraConfig> cameras;
};

/// Reads and checks a whole config; touches no device and no journal. Failure: everything that is wrong with it.
[[nodiscard]] tl::expected<Settings, std::vector<config::Diagnostic>> read_settings(const std::filesystem::path& file);

}  // namespace hamlet::daemon
