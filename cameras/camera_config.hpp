#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cameras/config_texts.hpp"
#include "firmware/config/config.hpp"
#include "firmware/core/id.hpp"
#include "firmware/core/text.hpp"
#include "firmware/core/time.hpp"

namespace hamlet::cameras {

/// A part of the picture that is watched: motion in it is an event.
struct ZoneConfig {
  std::string id;
  Text name;
  std::vector<std::pair<double, double>> polygon;  ///< x, y in pixels: see CameraConfig::drawn_on
  double min_area = 0.01;                          ///< fraction of the zone that has to move, (0, 1]
  Millis on_delay{200};                            ///< motion shorter than this is no event
  Millis hold{2000};                               ///< the event ends when nothing has moved for this long
};

/// How RTP travels: inside the RTSP connection, or beside it where a camera cannot do that.
enum class Transport : std::uint8_t { tcp = 0, udp = 1 };

/// What an event's picture shows. masked: everything outside the zone and whatever moves in it is pixelated, so
/// that nobody who passes can be recognised. clear: the picture as it is; whoever asks for it answers for it. none: no
/// pictures.
enum class Evidence : std::uint8_t { masked = 0, none = 1, clear = 2 };

inline constexpr std::array<std::string_view, 2> kTransportWords{"tcp", "udp"};
inline constexpr std::array<std::string_view, 3> kEvidenceWords{"masked", "none", "clear"};

/// A [[camera]] of the config.
struct CameraConfig {
  std::string id;
  Text name;
  std::string source;  ///< "file:/absolute/path" (also a series of pictures, "…/in%06d.jpg") or "rtsp://host[:port]/…"
  bool enabled = true;
  std::string user;         ///< for rtsp
  config::Secret password;  ///< for rtsp; never part of `source`, of a log line or of `meta`
  Transport transport = Transport::tcp;
  Millis open_timeout{10'000};
  Millis read_timeout{10'000};
  double max_fps = 12.5;  ///< frames analysed a second; more are decoded and passed over
  bool loop = false;      ///< file: begin again at the end
  double speed = 1;       ///< file: 1 is real time, 0 is as fast as possible (for tests)
  Evidence evidence = Evidence::masked;
  std::string gb28181;  ///< the camera's 20-digit id after GB/T 28181; may be empty
  /// Width and height of the picture that the polygons were drawn on. Absent: the source's own size. With it the zones
  /// stay right when the camera is switched to another resolution.
  std::optional<std::pair<double, double>> drawn_on;
  std::vector<ZoneConfig> zones;

  [[nodiscard]] bool is_file() const { return source.starts_with("file:"); }
};

inline constexpr std::size_t kMaxCameras = 32;
inline constexpr std::size_t kMaxZones = 8;
inline constexpr std::size_t kMaxCorners = 32;

namespace detail {

inline ZoneConfig read_zone(const config::Table& table) {
  ZoneConfig zone;
  zone.id = table.id("id");
  zone.name = table.both_or("name", Text{zone.id, zone.id});
  zone.polygon = table.pairs_or("polygon");
  zone.min_area = table.number_or("min_area", zone.min_area, {0.0005, 1});
  zone.on_delay = table.duration_or("on_delay", zone.on_delay, {Millis{0}, Millis{60'000}});
  zone.hold = table.duration_or("hold", zone.hold, {Millis{100}, Millis{60'000}});
  if (zone.polygon.size() < 3 || zone.polygon.size() > kMaxCorners) {
    table.error("polygon", texts::want_corners(kMaxCorners));
  }
  for (const auto& [x, y] : zone.polygon) {
    if (x < 0 || y < 0 || x > 16384 || y > 16384) {
      table.error("polygon", texts::corner_outside(x, y));
      break;
    }
  }
  return zone;
}

inline void check_source(const config::Table& table, const CameraConfig& camera) {
  const std::string_view source = camera.source;
  if (source.empty()) return;  // reported as missing
  if (source.size() > 1024) {
    table.error("source", texts::source_too_long());
  } else if (std::any_of(source.begin(), source.end(), [](char c) { return static_cast<unsigned char>(c) <= ' '; })) {
    table.error("source", texts::source_has_space());
  } else if (source.starts_with("file:")) {
    if (!source.starts_with("file:/")) table.error("source", texts::want_whole_path());
  } else if (source.starts_with("rtsp://")) {
    const auto rest = source.substr(7);
    const auto host = rest.substr(0, rest.find('/'));
    if (host.empty()) table.error("source", texts::no_host());
    if (host.find('@') != std::string_view::npos) {
      table.error("source", texts::password_in_source());
    }
  } else {
    table.error("source", texts::no_source());
  }
}

inline void read_drawn_on(const config::Table& table, CameraConfig& camera) {
  const auto size = table.numbers_or("drawn_on");
  if (size.empty()) return;
  if (size.size() != 2 || size[0] < 16 || size[1] < 16 || size[0] > 16384 || size[1] > 16384) {
    table.error("drawn_on", texts::want_drawn_on());
    return;
  }
  camera.drawn_on = {size[0], size[1]};
}

inline CameraConfig read_camera(const config::Table& table) {
  CameraConfig camera;
  camera.id = table.id("id");
  camera.name = table.both_or("name", Text{camera.id, camera.id});
  camera.source = table.text("source");
  camera.enabled = table.flag_or("enabled", camera.enabled);
  camera.user = table.text_or("user", "");
  camera.password = table.secret_or("password");
  camera.transport = static_cast<Transport>(table.choice_or("transport", 0, kTransportWords));
  camera.open_timeout = table.duration_or("open_timeout", camera.open_timeout, {Millis{500}, Millis{60'000}});
  camera.read_timeout = table.duration_or("read_timeout", camera.read_timeout, {Millis{500}, Millis{60'000}});
  camera.max_fps = table.number_or("max_fps", camera.max_fps, {1, 60});
  camera.loop = table.flag_or("loop", camera.loop);
  camera.speed = table.number_or("speed", camera.speed, {0, 100});
  camera.evidence = static_cast<Evidence>(table.choice_or("evidence", 0, kEvidenceWords));
  camera.gb28181 = table.text_or("gb28181", "");
  read_drawn_on(table, camera);
  check_source(table, camera);
  const bool digits =
      std::all_of(camera.gb28181.begin(), camera.gb28181.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (!camera.gb28181.empty() && (camera.gb28181.size() != 20 || !digits)) {
    table.error("gb28181", texts::want_gb28181());
  }
  std::set<std::string> ids;
  for (const auto& part : table.tables("zone")) {
    camera.zones.push_back(read_zone(part));
    if (!ids.insert(camera.zones.back().id).second) part.error("id", texts::zone_twice());
  }
  if (camera.zones.size() > kMaxZones) table.error("zone", texts::too_many_zones(kMaxZones));
  return camera;
}

}  // namespace detail

/// Every [[camera]], the switched-off ones too. Problems are in the document's diagnostics.
[[nodiscard]] inline std::vector<CameraConfig> read_cameras(const config::Table& root) {
  std::vector<CameraConfig> cameras;
  std::set<std::string> ids;
  for (const auto& table : root.tables("camera")) {
    cameras.push_back(detail::read_camera(table));
    if (!ids.insert(cameras.back().id).second) table.error("id", texts::camera_twice());
  }
  if (cameras.size() > kMaxCameras) root.error("camera", texts::too_many_cameras(kMaxCameras));
  return cameras;
}

}  // namespace hamlet::cameras
