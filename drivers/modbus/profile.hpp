#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "drivers/driver.hpp"
#include "drivers/modbus/poll.hpp"
#include "drivers/serial/serial.hpp"

namespace hamlet::drivers::modbus {

/// A point as config and profiles write it, and how its count goes on where it is one.
struct PointSettings {
  Point point;
  bool counter = false;
  std::uint64_t counter_most = 0;  ///< greatest step; 0: half of where it wraps
};

/// An output: a coil or holding registers.
struct OutputSettings {
  std::string id;
  bool coil = false;
  std::uint16_t address = 0;
  Decoding decoding{};
};

/// What is known of a kind of device, so that nobody has to know its registers.
struct Profile {
  std::string id;  ///< the file's name without .toml
  Text name{};
  std::string source{};     ///< where the registers were read
  bool verified = false;  ///< whether anybody has held it against the device
  serial::Settings line{};  ///< how it speaks as delivered; path is empty
  std::uint8_t unit = 1;  ///< its address as delivered
  std::optional<Millis> period{};
  std::optional<Millis> timeout{};
  std::uint32_t max_gap = 8;
  std::vector<PointInfo> infos{};  ///< named by their own id, without a device's
  std::map<std::string, PointSettings> points{};  ///< by that id
};

/// Where profiles are looked for, first to last: $HAMLET_PROFILES, or /etc/hamlet/profiles and share/hamlet/profiles.
[[nodiscard]] std::vector<std::filesystem::path> profile_folders();
/// The ids of all of them, sorted.
[[nodiscard]] std::vector<std::string> known_profiles();
/// Error not_found names the nearest; invalid says file, line and what is wrong.
[[nodiscard]] tl::expected<Profile, Text> load_profile(const std::string& id);
[[nodiscard]] tl::expected<Profile, Text> read_profile(const std::filesystem::path& file);

/// Reads a point's own keys. `known`: from the profile; what the table leaves out is taken from it.
[[nodiscard]] PointSettings read_point(const config::Table& table, std::int64_t base, const PointSettings* known);
[[nodiscard]] OutputSettings read_output(const config::Table& table, std::int64_t base);
[[nodiscard]] ValueType value_type(const Decoding& decoding);
/// Its config, to be pasted: "float32".
[[nodiscard]] std::string_view to_string(Type type);

}  // namespace hamlet::drivers::modbus
