#include "firmware/ctl/check_config.hpp"

#include <set>

#include "cameras/camera_config.hpp"
#include "drivers/drivers.hpp"
#include "firmware/config/gateway.hpp"
#include "firmware/detect/rules.hpp"
#include "sync/contract/contract.hpp"
#include "sync/journal/journal.hpp"
#include "sync/uplink/uplink.hpp"

namespace hamlet::ctl {
namespace {

// The full names of all points, which rules speak of.
std::vector<std::string> point_names(const drivers::Drivers::Config& devices) {
  std::vector<std::string> names;
  for (const auto& device : devices) {
    for (const auto& point : device.info.points) names.push_back(point.point);
  }
  return names;
}

void check_topics(const config::Table& root, const config::Gateway& gateway) {
  const bool by_path = !gateway.path.empty();
  if (!by_path && gateway.division.empty()) return;  // reported as missing
  const auto topics = by_path ? contract::Topics::from_path(gateway.path, gateway.id)
                              : contract::Topics::from_division(gateway.division, gateway.id);
  if (!topics) root.table("gateway").error(by_path ? "path" : "division", topics.error().message);
}

// Devices and cameras are both sources of events, and so is "gateway".
void check_sources(const config::Table& root, const drivers::Drivers::Config& devices,
                   const std::vector<cameras::CameraConfig>& cameras) {
  std::set<std::string> taken{"gateway"};
  for (const auto& device : devices) taken.insert(device.info.id);
  const auto tables = root.tables("camera");
  for (std::size_t i = 0; i < tables.size() && i < cameras.size(); ++i) {
    if (taken.contains(cameras[i].id)) tables[i].error("id", "a device has this id, or it is \"gateway\"");
  }
}

}  // namespace

std::vector<config::Diagnostic> check_config(const std::filesystem::path& file) {
  auto document = config::Document::load(file);
  const auto root = document.root();
  if (document.ok()) {
    const auto gateway = config::read_gateway(root);
    check_topics(root, gateway);
    static_cast<void>(journal::read_options(root.table("journal"), gateway.state_dir));
    static_cast<void>(uplink::read_options(root.table("uplink")));
    const auto devices = drivers::Drivers::read_config(root);
    static_cast<void>(detect::read_rules(root, point_names(devices)));
    check_sources(root, devices, cameras::read_cameras(root));
    document.finish();
  }
  return {document.diagnostics().begin(), document.diagnostics().end()};
}

}  // namespace hamlet::ctl
