#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "drivers/driver.hpp"

namespace hamlet::drivers::lines {

/// Reads a [[device]] with driver = "lines": a device that sends lines over a serial port or TCP. Keys:
/// drivers/lines/README.md.
[[nodiscard]] Blueprint read(const config::Table& device, const std::string& id);

/// What a line means, by the config: pure, for tests and fuzzing.
class Meaning {
 public:
  struct Found {
    std::size_t point;  ///< index
    Value value;        ///< nothing: the device says that it has none
  };
  virtual ~Meaning() = default;
  /// What the line says of which points; empty: nothing, `why` says what is wrong with it.
  [[nodiscard]] virtual std::vector<Found> read(std::string_view line, std::string_view& why) const = 0;
};

/// Reads the keys of device and points that say what lines mean. `infos`: the points.
[[nodiscard]] std::shared_ptr<const Meaning> read_meaning(const config::Table& device, const std::string& id,
                                                          std::vector<PointInfo>& infos);

}  // namespace hamlet::drivers::lines
