#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "cameras/camera_config.hpp"
#include "drivers/drivers.hpp"
#include "firmware/config/config.hpp"
#include "firmware/config/gateway.hpp"
#include "firmware/core/result.hpp"
#include "firmware/daemon/picture_store.hpp"
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
  PictureStore::Options pictures;
  bool changed_by_county = false;
  std::vector<config::Diagnostic> county_mistakes;  ///< why what the county had changed was left out
};

/// Reads and checks a whole config; touches no device and no journal. Failure: everything that is wrong with it.
///
/// On top of the box's own files lies what the county has changed (config.propose): `over`, or where none is given the confirmed one. The
/// latter is left out where it does not fit any more; the former is then a failure. Either may only hold what [county] tables lists, and
/// never who the box is, what the county may do, what is run, or who is trusted.
[[nodiscard]] tl::expected<Settings, std::vector<config::Diagnostic>> read_settings(
    const std::filesystem::path& file, const std::optional<std::filesystem::path>& over = {});

}  // namespace hamlet::daemon
