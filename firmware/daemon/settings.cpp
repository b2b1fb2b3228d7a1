#include "firmware/daemon/settings.hpp"

#include <map>
#include <set>

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

// Events have no readings that an output would wait for.
std::vector<std::string> points_of(const detect::AlarmRule& rule) {
  if (!rule.when) return {rule.point};
  std::vector<std::string> points;
  for (const auto& term : rule.when->terms()) {
    if (!term.is_event) points.push_back(term.name);
  }
  return points;
}

std::vector<detect::OutputRule> read_outputs(const config::Table& root, const Settings& settings,
                                             const detect::Names& names) {
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
  for (const auto& rule : settings.rules.alarms) alarms.push_back({rule.id, points_of(rule)});
  return detect::read_outputs(root, alarms, names, drives);
}

// A limit says nothing of a switch, nor `equals` of a value of another type: such an alarm would never be raised.
void check_types(const config::Table& root, const Settings& settings) {
  std::map<std::string_view, drivers::ValueType> types;
  for (const auto& device : settings.devices) {
    for (const auto& point : device.info.points) types.emplace(point.point, point.type);
  }
  std::map<std::string_view, const detect::AlarmRule*> rules;
  for (const auto& rule : settings.rules.alarms) rules.emplace(rule.id, &rule);
  for (const auto& table : root.tables("alarm")) {
    const auto found = rules.find(table.text_or("id", ""));  // steps are named otherwise; their limits are numbers
    if (found == rules.end()) continue;
    const auto& rule = *found->second;
    const auto point = types.find(rule.point);
    if (point == types.end()) continue;  // reported as unknown, or an expression, which knows types
    const auto type = point->second;
    const auto key = detect::to_string(rule.condition);
    if (rule.condition == detect::Condition::when) continue;
    if (rule.condition != detect::Condition::equals) {
      if (type != drivers::ValueType::number) {
        table.error(key, texts::limit_needs_numbers(rule.point, drivers::to_string(type)));
      }
    } else if (std::holds_alternative<bool>(rule.limit) != (type == drivers::ValueType::boolean)) {
      table.error(key, texts::equals_other_type(rule.point, drivers::to_string(type)));
    }
  }
}

// What rules may name.
detect::Names names_of(const Settings& settings) {
  const auto kind_of = [](drivers::ValueType type) {
    switch (type) {
      case drivers::ValueType::number:
        return detect::Kind::number;
      case drivers::ValueType::boolean:
        return detect::Kind::boolean;
      case drivers::ValueType::text:
        return detect::Kind::text;
    }
    return detect::Kind::number;
  };
  detect::Names names;
  auto& sources = names.sources.emplace();
  for (const auto& device : settings.devices) {
    sources.push_back(device.info.id);
    for (const auto& point : device.info.points) {
      names.points.push_back({.name = point.point, .kind = kind_of(point.type), .unit = point.unit});
    }
  }
  for (const auto& camera : settings.cameras) sources.push_back(camera.id);
  return names;
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
  out.cameras = cameras::read_cameras(root);
  const auto names = names_of(out);
  out.rules = detect::read_rules(root, names);
  out.outputs = read_outputs(root, out, names);
  check_sources(root, out);
  check_types(root, out);
  document.finish();
  if (!document.ok()) return tl::unexpected(std::vector(document.diagnostics().begin(), document.diagnostics().end()));
  return out;
}

}  // namespace hamlet::daemon
