#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include <nlohmann/json_fwd.hpp>

#include "firmware/core/time.hpp"

namespace hamlet {

/// What a point measures: a finite number, a boolean, a short text, or nothing. Never NaN or an infinity.
using Value = std::variant<std::monostate, bool, double, std::string>;

/// Number, boolean or string; null for nothing.
[[nodiscard]] nlohmann::json to_json(const Value& value);
/// "2.31", "true", "open"; "-" for nothing.
[[nodiscard]] std::string to_string(const Value& value);
/// The value as a number: booleans are 0 and 1; nothing for texts and for no value.
[[nodiscard]] std::optional<double> as_number(const Value& value);

/// How far a value may be trusted. The values are stored: frozen.
enum class Quality : std::uint8_t { good = 0, suspect = 1, bad = 2, missing = 3 };
[[nodiscard]] std::string_view to_string(Quality quality);

/// One value of one point, at one time of this boot.
struct Reading {
  std::string point;                    ///< "device.point"
  MonoTime at{};                        ///< when it was taken
  Value value{};                        ///< in the unit that the config gives the point
  Quality quality = Quality::good;      ///< drivers say good or missing; detect decides the rest
  std::string why{};                    ///< the test or fault that said so, an id; empty when good
  std::optional<WallTime> device_time{};  ///< the device's own stamp, kept as it is
};

}  // namespace hamlet
