#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include <tl/expected.hpp>

#include "drivers/driver.hpp"

namespace hamlet::drivers::board {

/// What of the kernel's a point reads.
enum class Source { hwmon, iio, w1, thermal, power, mmc, ext4 };

struct Place {
  Source source = Source::thermal;
  std::string sensor;   ///< hwmon and iio: what the file `name` says; thermal: what `type` says; w1, power, mmc, ext4: the folder
  std::string channel;  ///< hwmon "temp1", iio "in_temp", power "capacity", mmc "life_time", ext4 "errors_count"
};

/// The kind of value that a place has.
[[nodiscard]] ValueType type_of(const Place& place);

/// Reads a place below `root` ("/sys"), in units that people use: °C, V, A, W, %, rpm. Or why there is none: "no-sensor",
/// "no-channel", "unreadable", "bad-crc", "not-a-number", "power-on-value". May block for a second (1-Wire).
[[nodiscard]] tl::expected<Value, std::string_view> read_place(const std::filesystem::path& root, const Place& place);

/// The °C in what the file w1_slave of a thermometer says.
[[nodiscard]] tl::expected<double, std::string_view> parse_w1_slave(std::string_view text);

}  // namespace hamlet::drivers::board
