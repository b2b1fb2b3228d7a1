#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "firmware/core/time.hpp"
#include "tests/support/modbus_simulator.hpp"

namespace hamlet::demo {

inline constexpr const char* kDivision = "430124104203";
inline constexpr const char* kGateway = "gw-demo";
inline constexpr const char* kCamera = "cam-ford";
inline constexpr std::array<std::string_view, 4> kPoints{"river.level", "river.rain", "pump-house.pump",
                                                         "pump-house.door"};
inline constexpr double kLevelLimit = 3.0;  ///< m: above it the alarm is raised
inline constexpr double kLevelTop = 4.0;    ///< m: of the gauge on the screen

/// Puts what there is to measure at a time of the demo where the village's Modbus sensors have it: rain falls, the
/// river rises over its limit some ten seconds in and falls again, the pump runs meanwhile; later somebody opens a
/// door.
void measure(support::ModbusSimulator& sensors, Millis elapsed);

/// hamletd's config. Its sockets lie in run/ and its journal in state/ below the folder it runs in, whose own path may
/// be too long for a socket.
struct Box {
  std::uint16_t broker_port = 0;   ///< of the link to the county
  std::uint16_t sensors_port = 0;  ///< of the Modbus device
  std::filesystem::path clip;      ///< what the camera sees; relative to that folder, without spaces
};
[[nodiscard]] std::string config(const Box& box);
/// The same box without sensors and cameras: it only sends what it still has.
[[nodiscard]] std::string config_to_drain(const Box& box);

}  // namespace hamlet::demo
