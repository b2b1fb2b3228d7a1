#include "firmware/daemon/settings.hpp"

#include <map>
#include <set>
#include <span>

#include "firmware/daemon/settings_texts.hpp"

namespace hamlet::daemon {
namespace {

contract::Topics read_topics(const config::Table& root, const config::Gateway& gateway) {
  auto topics = gateway.path.empty() ? contract::Topics::from_division(gateway.division, gateway.id)
                                     : contract::Topics::from_path(gateway.path, gateway.id);
  if (topics) return std::move(*topics);
  if (!gateway.path.empty()) {
    root.table("gateway").error("path", texts::want_path());
  } else if (!gateway.division.empty()) {  // reported as missing
    root.table("gateway").error("division", texts::want_division());
  }
  return {};
}

// Devices and cameras are both sources of events: "event/{source}/{kind}".
void check_sources(const config::Table& root, const Settings& settings) {
  std::set<std::string> taken{"gateway"};
  for (const auto& device : settings.devices) taken.insert(device.info.id);
  const auto cameras = root.tables("camera");
  for (std::size_t i = 0; i < cameras.size() && i < settings.cameras.size(); ++i) {
    if (taken.contains(settings.cameras[i].id)) cameras[i].error("id", texts::source_taken());
  }
}

std::vector<detect::OutputRule> read_outputs(const config::Table& root, const Settings& settings,
                                             std::span<const std::string> points) {
  std::vector<detect::Drive> drives;
  for (const auto& device : settings.devices) {
    for (const auto& output : device.info.outputs) {
      auto takes = detect::Drive::Takes::flag;
      if (output.type == drivers::ValueType::number) takes = detect::Drive::Takes::number;
      if (output.type == drivers::ValueType::text) takes = detect::Drive::Takes::text;
      drives.push_back({output.output, takes, output.repeatable});
    }
  }
  std::vector<detect::Trigger> alarms;
  for (const auto& rule : settings.rules.alarms) alarms.push_back({rule.id, {rule.point}});
  return detect::read_outputs(root, alarms, points, drives);
}

// A limit says nothing of a switch, nor `equals` of a value of another type: such an alarm would never be raised.
void check_types(const config::Table& root, const Settings& settings) {
  std::map<std::string_view, drivers::ValueType> types;
  for (const auto& device : settings.devices) {
    for (const auto& point : device.info.points) types.emplace(point.point, point.type);
  }
  const auto tables = root.tables("alarm");
  for (std::size_t i = 0; i < tables.size() && i < settings.rules.alarms.size(); ++i) {
    const auto& rule = settings.rules.alarms[i];
    const auto found = types.find(rule.point);
    if (found == types.end()) continue;  // reported as unknown
    const auto type = found->second;
    const auto key = detect::to_string(rule.condition);
    if (rule.condition != detect::Condition::equals) {
      if (type != drivers::ValueType::number) {
        tables[i].error(key, texts::limit_needs_numbers(rule.point, drivers::to_string(type)));
      }
    } else if (std::holds_alternative<bool>(rule.limit) != (type == drivers::ValueType::boolean)) {
      tables[i].error(key, texts::equals_other_type(rule.point, drivers::to_string(type)));
    }
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
  out.outputs = read_outputs(root, out, points);
  out.cameras = cameras::read_cameras(root);
  check_sources(root, out);
  check_types(root, out);
  document.finish();
  if (!document.ok()) return tl::unexpected(std::vector(document.diagnostics().begin(), document.diagnostics().end()));
  return out;
}

}  // namespace hamlet::daemon
