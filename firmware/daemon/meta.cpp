#include "firmware/daemon/meta.hpp"

#include <algorithm>

#include "firmware/detect/quality.hpp"

namespace hamlet::daemon {
namespace {

using nlohmann::json;

json in_both(const Text& text) { return {{"zh", text.zh}, {"en", text.en}}; }

json describe(const drivers::PointInfo& point) {
  json out{{"point", point.point}, {"unit", point.unit}, {"type", drivers::to_string(point.type)}, {"name", in_both(point.name)}};
  if (point.min) out["min"] = *point.min;
  if (point.max) out["max"] = *point.max;
  return out;
}

// What is said of a point's values besides their limits: the names of its tests, and whether the detector watches it.
json describe(const drivers::PointInfo& point, const std::vector<detect::QualityRule>& rules) {
  auto out = describe(point);
  const auto rule = std::find_if(rules.begin(), rules.end(), [&](const auto& each) { return each.point == point.point; });
  if (rule == rules.end()) return out;
  out["tests"] = detect::tests_of(*rule);
  if (rule->anomaly) out["anomaly"] = {{"threshold", rule->anomaly->threshold}};
  return out;
}

json describe(const drivers::DeviceInfo& device, const std::vector<detect::QualityRule>& rules) {
  auto points = json::array();
  for (const auto& point : device.points) points.push_back(describe(point, rules));
  return {{"id", device.id}, {"driver", device.driver}, {"name", in_both(device.name)}, {"points", std::move(points)}};
}

json describe(const detect::OutputRule& rule) {
  auto alarms = json::array();
  for (const auto& trigger : rule.triggers) alarms.push_back(trigger.alarm);
  return {{"output", rule.id}, {"name", in_both(rule.name)},       {"kind", rule.is_message() ? "message" : "state"},
          {"alarms", alarms},  {"severity", to_string(rule.least)}, {"county", rule.county}};
}

json describe(const cameras::CameraConfig& camera) {
  auto zones = json::array();
  for (const auto& zone : camera.zones) {
    zones.push_back({{"id", zone.id}, {"name", in_both(zone.name)}, {"polygon", zone.polygon}});
  }
  json out{{"id", camera.id}, {"name", in_both(camera.name)}, {"zones", std::move(zones)}};
  if (camera.drawn_on) out["drawn_on"] = {camera.drawn_on->first, camera.drawn_on->second};
  if (!camera.gb28181.empty()) out["gb28181"] = camera.gb28181;
  return out;
}

template <class Things>
json describe_all(const Things& things) {
  auto out = json::array();
  for (const auto& thing : things) out.push_back(describe(thing));
  return out;
}

}  // namespace

json describe_alarm(const detect::AlarmRule& rule) {
  json out{{"alarm", rule.id},
           {"point", rule.point},
           {"condition", detect::to_string(rule.condition)},
           {"limit", to_json(rule.limit)},
           {"deadband", rule.deadband},
           {"severity", to_string(rule.severity)},
           {"text", in_both(rule.text)}};
  for (const auto& [key, time] : {std::pair{"within_ms", rule.within}, {"on_delay_ms", rule.on_delay}, {"off_delay_ms", rule.off_delay}}) {
    if (time > Millis{0}) out[key] = time.count();
  }
  if (rule.when) {
    out["when"] = rule.when->text();
    out["sources"] = rule.sources();
  }
  if (rule.suppressed_when) out["suppressed_when"] = rule.suppressed_when->text();
  for (const auto& season : rule.seasons) {
    out["seasons"].push_back({{"months", {season.first_month, season.last_month}},
                              {"hours", {season.first_hour, season.last_hour}},
                              {"limit", season.limit}});
  }
  if (rule.rationale) {
    const auto& why = *rule.rationale;
    for (const auto& [key, text] : {std::pair{"cause", &why.cause}, {"consequence", &why.consequence}, {"action", &why.action}}) {
      if (!text->zh.empty()) out[key] = in_both(*text);
    }
    if (why.time_to_act) out["time_to_act_ms"] = why.time_to_act->count();
  }
  return out;
}

json describe(const Settings& settings) {
  auto devices = json::array();
  for (const auto& device : settings.devices) devices.push_back(describe(device.info, settings.rules.quality));
  auto alarms = json::array();
  for (const auto& rule : settings.rules.alarms) alarms.push_back(describe_alarm(rule));
  return {{"name", in_both(settings.gateway.name)},
          {"devices", std::move(devices)},
          {"alarms", std::move(alarms)},
          {"outputs", describe_all(settings.outputs)},
          {"cameras", describe_all(settings.cameras)}};
}

}  // namespace hamlet::daemon
