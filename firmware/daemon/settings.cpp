#include "firmware/daemon/settings.hpp"

#include <set>

namespace hamlet::daemon {
namespace {

contract::Topics read_topics(const config::Table& root, const config::Gateway& gateway) {
  auto topics = gateway.path.empty() ? contract::Topics::from_division(gateway.division, gateway.id)
                                     : contract::Topics::from_path(gateway.path, gateway.id);
  if (topics) return std::move(*topics);
  root.table("gateway").error(gateway.path.empty() ? "division" : "path", topics.error().message);
  return {};
}

// Devices and cameras are both sources of events: "event/{source}/{kind}".
void check_sources(const config::Table& root, const Settings& settings) {
  std::set<std::string> taken{"gateway"};
  for (const auto& device : settings.devices) taken.insert(device.info.id);
  const auto cameras = root.tables("camera");
  for (std::size_t i = 0; i < cameras.size() && i < settings.cameras.size(); ++i) {
    if (taken.contains(settings.cameras[i].id)) cameras[i].error("id", "a device has this id, or it is \"gateway\"");
  }
}

}  // namespace

tl::expected<Settings, std::vector<config::Diagnostic>> read_settings(const std::filesystem::path& file) {
  auto document = config::Document::load(file);
  if (!document.ok()) return tl::unexpected(std::vector(document.diagnostics().begin(), document.diagnostics().end()));
  const auto root = document.root();
  Settings out;
  out.gateway = config::read_gateway(root);
  out.topics = read_topics(root, out.gateway);
  out.journal = journal::read_options(root.table("journal"), out.gateway.state_dir);
  out.uplink = uplink::read_options(root.table("uplink"));
  out.devices = drivers::Drivers::read_config(root);
  std::vector<std::string> points;
  for (const auto& device : out.devices) {
    for (const auto& point : device.info.points) points.push_back(point.point);
  }
  out.rules = detect::read_rules(root, points);
  out.cameras = cameras::read_cameras(root);
  check_sources(root, out);
  document.finish();
  if (!document.ok()) return tl::unexpected(std::vector(document.diagnostics().begin(), document.diagnostics().end()));
  return out;
}

}  // namespace hamlet::daemon
