#include "firmware/ctl/check_config.hpp"

#include "cameras/camera_config.hpp"
#include "drivers/drivers.hpp"
#include "firmware/config/gateway.hpp"
#include "firmware/detect/rules.hpp"
#include "sync/contract/contract.hpp"
#include "sync/journal/journal.hpp"

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

}  // namespace

std::vector<config::Diagnostic> check_config(const std::filesystem::path& file) {
  auto document = config::Document::load(file);
  const auto root = document.root();
  if (document.ok()) {
    const auto gateway = config::read_gateway(root);
    check_topics(root, gateway);
    static_cast<void>(journal::read_options(root.table("journal"), gateway.state_dir));
    static_cast<void>(root.has("uplink"));
    static_cast<void>(detect::read_rules(root, point_names(drivers::Drivers::read_config(root))));
    static_cast<void>(cameras::read_cameras(root));
    document.finish();
  }
  return {document.diagnostics().begin(), document.diagnostics().end()};
}

}  // namespace hamlet::ctl
