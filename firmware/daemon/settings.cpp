#include "firmware/daemon/settings.hpp"

#include <algorithm>
#include <array>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

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

PictureStore::Options read_pictures(const config::Table& table, const journal::Options& journal) {
  constexpr std::int64_t kMega = 1 << 20;
  PictureStore::Options out;
  out.min_free_bytes = journal.min_free_bytes;
  const auto budget = table.integer_or("budget_mb", static_cast<std::int64_t>(out.budget_bytes) / kMega, {1, 1'000'000});
  out.budget_bytes = static_cast<std::uint64_t>(budget * kMega);
  out.keep = std::chrono::days{table.integer_or("keep_days", out.keep.count(), {1, 3650})};
  return out;
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
detect::Trigger trigger_of(const detect::AlarmRule& rule) {
  if (!rule.when) return {rule.id, {rule.point}};
  detect::Trigger out{.alarm = rule.id};
  const auto& terms = rule.when->terms();
  for (std::size_t i = 0; i < terms.size(); ++i) {
    if (!terms[i].is_event) (rule.when->asks_known(i) ? out.heard : out.points).push_back(terms[i].name);
  }
  return out;
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
  for (const auto& rule : settings.rules.alarms) alarms.push_back(trigger_of(rule));
  return detect::read_outputs(root, alarms, names, drives);
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

namespace {

using Mistakes = std::vector<config::Diagnostic>;

tl::expected<Settings, Mistakes> read_files(const std::filesystem::path& file, const std::filesystem::path& over) {
  auto document = config::Document::load(file, over);
  if (!document.ok()) return tl::unexpected(std::vector(document.diagnostics().begin(), document.diagnostics().end()));
  const auto root = document.root();
  Settings out;
  out.gateway = config::read_gateway(root);
  out.topics = read_topics(root, out.gateway);
  out.journal = journal::read_options(root.table("journal"), out.gateway.state_dir);
  out.uplink = uplink::read_options(root.table("uplink"));
  out.devices = drivers::Drivers::read_config(root);
  out.cameras = cameras::read_cameras(root);
  out.pictures = read_pictures(root.table("media"), out.journal);
  const auto names = names_of(out);
  out.rules = detect::read_rules(root, names);
  out.outputs = read_outputs(root, out, names);
  check_sources(root, out);
  document.finish();
  if (!document.ok()) return tl::unexpected(std::vector(document.diagnostics().begin(), document.diagnostics().end()));
  return out;
}

// Who the box is and what the county may do; and, wherever they stand, secrets, trust, files, and what is run.
constexpr std::array<std::string_view, 2> kNeverTables{"gateway", "county"};
constexpr std::array<std::string_view, 11> kNeverKeys{"user", "password", "credential", "ca", "cert", "key", "file", "record", "command", "program", "exec"};

Mistakes what_the_county_may_not(const std::filesystem::path& over, const config::Gateway& gateway) {
  const auto document = config::Document::load(over);
  Mistakes out(document.diagnostics().begin(), document.diagnostics().end());
  const auto note = [&](Text what) { out.push_back({over.string(), 0, 0, std::move(what)}); };
  for (const auto& path : document.every_key()) {
    const auto& table = path.front();
    if (std::find(kNeverTables.begin(), kNeverTables.end(), table) != kNeverTables.end() ||
        std::find(kNeverKeys.begin(), kNeverKeys.end(), path.back()) != kNeverKeys.end()) {
      note(texts::never_the_countys(fmt::format("{}", fmt::join(path, "."))));
    } else if (path.size() == 1 && !gateway.county_tables.contains(table)) {
      note(texts::not_the_countys(table));
    }
  }
  return out;
}

bool by_tls(const std::string& broker) { return broker.starts_with("mqtts:"); }

}  // namespace

tl::expected<Settings, std::vector<config::Diagnostic>> read_settings(const std::filesystem::path& file,
                                                                      const std::optional<std::filesystem::path>& over) {
  auto own = read_files(file, {});
  if (!own) return own;
  const auto county = over.value_or(own->gateway.county_config());
  std::error_code ignored;
  if (!std::filesystem::exists(county, ignored)) return own;
  auto mistakes = what_the_county_may_not(county, own->gateway);
  if (mistakes.empty()) {
    auto both = read_files(file, county);
    if (both && by_tls(own->uplink.broker)) {
      auto brokers = both->uplink.fallback_brokers;
      brokers.push_back(both->uplink.broker);
      for (const auto& each : brokers) {
        if (!by_tls(each)) mistakes.push_back({county.string(), 0, 0, texts::no_longer_tls(each)});
      }
    }
    if (!both) mistakes = std::move(both).error();
    if (mistakes.empty()) {
      both->changed_by_county = std::filesystem::file_size(county, ignored) > 0;
      return both;
    }
  }
  if (over) return tl::unexpected(std::move(mistakes));
  own->county_mistakes = std::move(mistakes);
  return own;
}

}  // namespace hamlet::daemon
