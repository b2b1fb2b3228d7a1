#pragma once

#include <algorithm>
#include <array>
#include <cmath>
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

/// What a thing looks like, by shape and speed. Rough, and nothing about who.
enum class ThingClass : std::uint8_t { other = 0, small = 1, person = 2, vehicle = 3 };
inline constexpr std::array<std::string_view, 4> kThingClassWords{"other", "small", "person", "vehicle"};
[[nodiscard]] inline std::string_view to_string(ThingClass kind) {
  return kThingClassWords.at(static_cast<std::size_t>(kind));
}

/// What makes an event of what happens in a zone. Its word is the event's kind.
///   motion      so much of the zone moves (min_area)
///   intrusion   a thing is in it
///   loitering   the same thing stays in it for `after`
///   crossing    a thing's foot crosses the line of two points; an event `once`, with counts each way
///   left-behind something that was not there stands still in it for `after`, and did not walk in
enum class ZoneRule : std::uint8_t { motion = 0, intrusion = 1, loitering = 2, crossing = 3, left_behind = 4 };
inline constexpr std::array<std::string_view, 5> kZoneRuleWords{"motion", "intrusion", "loitering", "crossing",
                                                                 "left-behind"};
[[nodiscard]] inline std::string_view to_string(ZoneRule rule) {
  return kZoneRuleWords.at(static_cast<std::size_t>(rule));
}

/// Which way a line has to be crossed, for who looks from its first point to its second.
enum class Crossed : std::uint8_t { both = 0, left = 1, right = 2 };
inline constexpr std::array<std::string_view, 3> kCrossedWords{"both", "left", "right"};

/// Minutes of the day, local time. Over midnight where the first is the later one.
using Hours = std::pair<int, int>;

using Polygon = std::vector<std::pair<double, double>>;

/// A part of the picture that is watched, and for what.
struct ZoneConfig {
  std::string id;
  Text name;
  /// Fractions of the picture where no number is above 1, else pixels: see CameraConfig::drawn_on.
  Polygon polygon;
  double min_area = 0.01;  ///< motion: fraction of the zone that has to move, (0, 1]
  Millis on_delay{200};    ///< what is shorter is no event
  Millis hold{2000};       ///< the event ends when there has been nothing for this long
  ZoneRule rule = ZoneRule::motion;
  Millis after{30'000};              ///< loitering, left-behind
  Crossed crossed = Crossed::both;   ///< crossing
  double min_size = 0;               ///< a thing's height, as a fraction of the picture's; not for motion
  std::vector<ThingClass> classes{};  ///< of things that count; empty: any. Not for motion
  std::vector<Hours> hours{};         ///< when the zone is watched; empty, or while the clock is unset: always
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
  std::string source;  ///< "file:/absolute/path" (also a series of pictures, "…/in%06d.jpg") or "rtsp://host[:port]/…",
                       ///< or "http://host[:port]/…" (Motion-JPEG, say), or "device:/dev/video0" (at this machine)
  bool enabled = true;
  std::string user;         ///< for rtsp and http
  config::Secret password;  ///< for rtsp and http; never part of `source`, of a log line or of `meta`
  Transport transport = Transport::tcp;
  Millis open_timeout{10'000};
  Millis read_timeout{10'000};
  double max_fps = 12.5;  ///< frames analysed a second; more are decoded and passed over
  /// While nothing moves only key frames are decoded: far cheaper, and an event is seen as late as two of them are apart.
  bool rest = false;
  bool loop = false;      ///< file: begin again at the end
  double speed = 1;       ///< file: 1 is real time, 0 is as fast as possible (for tests)
  Evidence evidence = Evidence::masked;
  std::string gb28181;  ///< the camera's 20-digit id after GB/T 28181; may be empty
  /// Width and height of the picture that the polygons were drawn on. Absent: the source's own size. With it the zones
  /// stay right when the camera is switched to another resolution.
  std::optional<std::pair<double, double>> drawn_on;
  std::vector<ZoneConfig> zones;
  std::vector<Polygon> masks{};  ///< blanked before anything looks at the picture; as ZoneConfig::polygon

  [[nodiscard]] bool is_file() const { return source.starts_with("file:"); }
  [[nodiscard]] bool is_device() const { return source.starts_with("device:"); }
};

inline constexpr std::size_t kMaxCameras = 32;
inline constexpr std::size_t kMaxZones = 8;
inline constexpr std::size_t kMaxCorners = 32;

/// Whether all of it lies in a picture of this width and height, in the pixels that it is given in.
[[nodiscard]] inline bool lies_in(const Polygon& polygon, std::pair<double, double> size) {
  return std::all_of(polygon.begin(), polygon.end(),
                     [&](const auto& corner) { return corner.first <= size.first && corner.second <= size.second; });
}
[[nodiscard]] inline bool is_fractions(const Polygon& polygon) { return lies_in(polygon, {1, 1}); }

namespace detail {

using Corner = Polygon::value_type;

// Twice the area of a, b and c; above 0 where c is right of the way from a to b.
inline double turn(const Corner& a, const Corner& b, const Corner& c) {
  return (b.first - a.first) * (c.second - a.second) - (b.second - a.second) * (c.first - a.first);
}

inline double area_of(const Polygon& polygon) {
  double twice = 0;
  for (std::size_t i = 2; i < polygon.size(); ++i) twice += turn(polygon[0], polygon[i - 1], polygon[i]);
  return std::abs(twice) / 2;
}

// Corners that were given in a wrong order: a part of what was meant is not enclosed. Sides that touch do not cross.
inline bool crosses_itself(const Polygon& polygon) {
  const auto side = [&](std::size_t i) { return std::pair{polygon[i], polygon[(i + 1) % polygon.size()]}; };
  for (std::size_t i = 0; i < polygon.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      const auto [a, b] = side(i);
      const auto [c, d] = side(j);
      if (turn(a, b, c) * turn(a, b, d) < 0 && turn(c, d, a) * turn(c, d, b) < 0) return true;
    }
  }
  return false;
}

inline Polygon read_polygon(const config::Table& table, std::size_t least, std::size_t most) {
  auto polygon = table.pairs_or("polygon");
  const bool line = most == 2;
  if (polygon.size() < least || polygon.size() > most || (line && polygon[0] == polygon[1])) {
    table.error("polygon", line ? texts::want_line() : texts::want_corners(most));
    return polygon;
  }
  for (const auto& [x, y] : polygon) {
    if (x < 0 || y < 0 || x > 16384 || y > 16384) {
      table.error("polygon", texts::corner_outside(x, y));
      return polygon;
    }
  }
  const bool fractions = is_fractions(polygon);
  const auto between = [](double value) { return value > 0 && value < 1; };
  const double least_area = fractions ? 0.0001 : 16;
  if (!fractions && std::any_of(polygon.begin(), polygon.end(), [&](const Corner& corner) { return between(corner.first) || between(corner.second); })) {
    table.error("polygon", texts::mixed_numbers());
  } else if (!line && crosses_itself(polygon)) {
    table.error("polygon", texts::sides_cross());
  } else if (!line && area_of(polygon) < least_area) {
    table.error("polygon", texts::no_area());
  }
  return polygon;
}

// "22:00-06:30"
inline std::optional<Hours> hours_from(std::string_view text) {
  constexpr std::string_view kShape = "00:00-00:00";
  if (text.size() != kShape.size()) return std::nullopt;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool digit = text[i] >= '0' && text[i] <= '9';
    if (kShape[i] == '0' ? !digit : text[i] != kShape[i]) return std::nullopt;
  }
  const auto number = [text](std::size_t at) { return (text[at] - '0') * 10 + text[at + 1] - '0'; };
  const Hours hours{number(0) * 60 + number(3), number(6) * 60 + number(9)};
  const bool valid = number(3) < 60 && number(9) < 60 && hours.first <= 24 * 60 && hours.second <= 24 * 60 && hours.first != hours.second;
  return valid ? std::optional{hours} : std::nullopt;
}

inline ZoneConfig read_zone(const config::Table& table) {
  ZoneConfig zone;
  zone.id = table.id("id");
  zone.name = table.both_or("name", Text{zone.id, zone.id});
  zone.rule = static_cast<ZoneRule>(table.choice_or("rule", 0, kZoneRuleWords));
  const bool line = zone.rule == ZoneRule::crossing;
  zone.polygon = read_polygon(table, line ? 2 : 3, line ? 2 : kMaxCorners);
  zone.min_area = table.number_or("min_area", zone.min_area, {0.0005, 1});
  zone.on_delay = table.duration_or("on_delay", zone.on_delay, {Millis{0}, Millis{60'000}});
  zone.hold = table.duration_or("hold", zone.hold, {Millis{100}, Millis{60'000}});
  zone.after = table.duration_or("after", zone.after, {Millis{1'000}, Millis{3'600'000}});
  zone.crossed = static_cast<Crossed>(table.choice_or("crossed", 0, kCrossedWords));
  zone.min_size = table.number_or("min_size", zone.min_size, {0, 1});
  for (const auto& word : table.texts_or("classes")) {
    const auto known = std::find(kThingClassWords.begin(), kThingClassWords.end(), word);
    if (known == kThingClassWords.end()) {
      table.error("classes", texts::no_class(word));
    } else {
      zone.classes.push_back(static_cast<ThingClass>(known - kThingClassWords.begin()));
    }
  }
  for (const auto& text : table.texts_or("hours")) {
    if (const auto hours = hours_from(text)) {
      zone.hours.push_back(*hours);
    } else {
      table.error("hours", texts::no_hours(text));
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
  } else if (source.starts_with("device:")) {
    if (!source.starts_with("device:/dev/") || source.find("..") != std::string_view::npos) table.error("source", texts::want_device());
  } else if (source.starts_with("rtsp://") || source.starts_with("http://")) {
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
  if (camera.user.empty() && table.has("password")) table.error("password", texts::want_user());
  camera.transport = static_cast<Transport>(table.choice_or("transport", 0, kTransportWords));
  camera.open_timeout = table.duration_or("open_timeout", camera.open_timeout, {Millis{500}, Millis{60'000}});
  camera.read_timeout = table.duration_or("read_timeout", camera.read_timeout, {Millis{500}, Millis{60'000}});
  camera.max_fps = table.number_or("max_fps", camera.max_fps, {1, 60});
  camera.rest = table.flag_or("rest", camera.rest);
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
  for (const auto& part : table.tables("mask")) camera.masks.push_back(read_polygon(part, 3, kMaxCorners));
  if (camera.drawn_on) {
    for (const auto& zone : camera.zones) {
      if (!lies_in(zone.polygon, *camera.drawn_on)) table.error("drawn_on", texts::beyond_drawn_on(zone.id));
    }
    for (const auto& mask : camera.masks) {
      if (!lies_in(mask, *camera.drawn_on)) table.error("drawn_on", texts::beyond_drawn_on("mask"));
    }
  }
  if (camera.masks.size() > kMaxZones) table.error("mask", texts::too_many_masks(kMaxZones));
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
