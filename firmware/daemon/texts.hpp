#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "firmware/core/text.hpp"

/// What the daemon itself tells people, in both languages: what is wrong and what to do now.
namespace hamlet::daemon::texts {

[[nodiscard]] Text device_down(std::string_view device, std::string_view why);
[[nodiscard]] Text output_fails(std::string_view output, std::string_view why);
[[nodiscard]] Text camera_down(std::string_view camera, std::string_view why);
[[nodiscard]] Text camera_misfit(std::string_view camera, std::string_view why);
[[nodiscard]] Text eyes_lost();
[[nodiscard]] Text pictures_lost();
[[nodiscard]] Text journal_fails(std::string_view why);
[[nodiscard]] Text uplink_away(std::string_view broker, const Text& why);
/// `waiting`: the alarms that go by hour or season.
[[nodiscard]] Text clock_unset(const std::vector<std::string>& waiting);

[[nodiscard]] Text unknown_point(std::string_view point, std::string_view nearest);
[[nodiscard]] Text unknown_camera(std::string_view camera);
[[nodiscard]] Text camera_shows_nothing(std::string_view camera);
[[nodiscard]] Text snapshot_late(std::string_view camera);
[[nodiscard]] Text unknown_picture(std::string_view name);
[[nodiscard]] Text no_picture_name(std::string_view name);
[[nodiscard]] Text disk_is_busy();
[[nodiscard]] Text pictures_fail(std::string_view why);
[[nodiscard]] Text output_not_from_afar(std::string_view output);
[[nodiscard]] Text command_not_allowed(std::string_view verb);
[[nodiscard]] Text command_ran_already(std::string_view id);
[[nodiscard]] Text command_without_expiry(std::string_view verb);
[[nodiscard]] Text command_expired();
[[nodiscard]] Text command_clock_unset();
[[nodiscard]] Text trial_is_running();
[[nodiscard]] Text no_trial();
[[nodiscard]] Text proposal_too_large(std::size_t most);

}  // namespace hamlet::daemon::texts
