#pragma once

#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "firmware/config/config.hpp"
#include "firmware/core/text.hpp"

namespace hamlet::config {

/// The tables [gateway] and [county]: who this box is, where it keeps things, what the county may ask of it.
struct Gateway {
  std::string id = "unnamed";         ///< `gw` in every message; never changes
  std::string division;               ///< 12 digits (GB/T 2260, GB/T 10114); or
  std::vector<std::string> path;      ///< any three path words in its place
  Text name;                          ///< of the village, for people; default: the id
  std::filesystem::path state_dir = "/var/lib/hamlet";  ///< the journal and the pictures
  std::filesystem::path run_dir = "/run/hamlet";        ///< the sockets control.sock and eyes.sock
  bool trust_clock = false;           ///< call the clock synced although the kernel does not: a VM whose host keeps time
  bool start_eyes = true;             ///< start hamlet-eyes as a child; false where systemd does
  std::set<std::string> county_verbs;  ///< [county] verbs: the commands that the county may give; none by default
  std::set<std::string> county_tables;  ///< [county] tables: what config.propose may change; none by default

  [[nodiscard]] std::filesystem::path control_socket() const { return run_dir / "control.sock"; }
  /// What the county has changed, and what it has proposed and not confirmed.
  [[nodiscard]] std::filesystem::path county_config() const { return state_dir / "county.toml"; }
  [[nodiscard]] std::filesystem::path county_trial() const { return state_dir / "county.toml.trial"; }
  [[nodiscard]] std::filesystem::path eyes_socket() const { return run_dir / "eyes.sock"; }
};
[[nodiscard]] Gateway read_gateway(const Table& root);

}  // namespace hamlet::config
