#pragma once

// What hamletd and hamlet-eyes say to each other on their Unix socket. All that the daemon links of cameras.
//
//   frame   := length json_length json binary
//   length  := u32, big endian: bytes that follow it (json_length included)
//   json_length := u32, big endian
//   binary  := of an observation or a snapshot: the JPEG, then its thumbnail ("thumbnail" in the JSON: bytes of it); else empty
//
// eyes -> daemon: hello, state, observation, snapshot, heartbeat (every kHeartbeat). daemon -> eyes: config, look, stop.
// Whoever finds the socket closed is alone: eyes ends, the daemon starts it anew.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cameras/camera_config.hpp"
#include "firmware/core/event.hpp"
#include "firmware/core/id.hpp"
#include "firmware/core/result.hpp"
#include "firmware/core/time.hpp"

namespace hamlet::cameras {

inline constexpr int kProtocol = 3;
inline constexpr std::size_t kMaxFrameBytes = 4u << 20;
inline constexpr std::size_t kMaxJsonBytes = 1u << 20;
inline constexpr std::size_t kMaxJpegBytes = 64u << 10;
inline constexpr std::size_t kMaxThumbnailBytes = 4u << 10;  ///< what the link to the county has room for
inline constexpr int kMaxJsonDepth = 8;  ///< what is nested deeper is left out
inline constexpr Millis kHeartbeat{200};
inline constexpr int kOutOfMemory = 12;  ///< the exit code of hamlet-eyes, where that is why it ends

/// The first message of eyes.
struct Hello {
  int protocol = kProtocol;
  std::string version;
};

/// Replaces every camera. Cameras that did not change go on undisturbed.
struct Configure {
  std::vector<CameraConfig> cameras;
};

enum class CameraCondition : std::uint8_t { starting = 0, up = 1, down = 2 };
inline constexpr std::array<std::string_view, 3> kConditionWords{"starting", "up", "down"};
[[nodiscard]] inline std::string_view to_string(CameraCondition condition) {
  return kConditionWords.at(static_cast<std::size_t>(condition));
}

/// How a camera does: at each change, and every few seconds.
struct CameraState {
  std::string camera;
  CameraCondition condition = CameraCondition::starting;
  /// An id, when it is not simply up: "ended" (a file, played to its end), "not-found", "refused" (by the other side,
  /// or user and password are wrong), "timeout", "unreachable", "no-video", "corrupt", "failed"; up with
  /// "zone-outside": a zone has no pixel in the picture.
  std::string why{};
  std::string message{};     ///< the same in words, for whoever looks deeper; English
  double fps = 0;            ///< frames received a second, over the last seconds
  std::uint64_t frames = 0;  ///< received since the camera was started
};

/// The zone of what is wrong with the picture as a whole (see scene_watch.hpp): no zone of the config.
inline constexpr std::string_view kWholePicture = "picture";

/// What happened in a zone; `kind` is the word of its rule, or of a fault of the picture. `detail`: "frame" (number in
/// the source, from 1), "media_ms" (time in the source), "area" (fraction of the zone that moves; at the end: that moved
/// most), "box" ([x, y, width, height] in pixels of the source, of the largest thing) and "class" (of the same thing; at the
/// end both are of the one that was seen most, where it was largest); update and end also "duration_ms" and "frames" (analysed with something in it); an end that is no end
/// of it has "why" ("camera-lost", "ended", "stopped", "eyes-lost"). A crossing has "direction" ("left", "right") and
/// "left" and "right", the counts since the camera came up. A fault of the picture has "frame" and "media_ms" alone.
struct Observation {
  std::string camera;
  std::string zone;
  std::string kind = "motion";
  Phase phase = Phase::start;
  std::string event;  ///< 16 hex digits, the same from start to end
  MonoTime at{};      ///< when it really began, was last so, or happened
  nlohmann::json detail = nlohmann::json::object();
};

struct Heartbeat {
  std::uint64_t dropped = 0;  ///< updates given up since the start because the daemon did not read
};

/// Asks for a picture as it is now; answered by one Snapshot, or, where the camera gives no picture, by none.
struct Look {
  std::string camera;
  std::uint64_t request = 0;
};

/// What leaves the box of a picture: masks blanked, whatever moves pixelated, unless the camera's evidence is "clear".
struct Snapshot {
  std::string camera;
  std::uint64_t request = 0;
  MonoTime at{};      ///< when it was taken
  std::string why{};  ///< why there is no picture: "no-pictures" (the camera's evidence is "none"), "failed"
};

struct Stop {};

/// `binary`: the picture of an observation or a snapshot, JPEG, and the same small enough for any link; or empty.
struct Message {
  std::variant<Hello, Configure, CameraState, Observation, Heartbeat, Look, Snapshot, Stop> body;
  std::string binary{};
  std::string thumbnail{};
};

/// One frame as it came, before anybody has looked at what it says.
struct Frame {
  std::string json;
  std::string binary;
};

/// Finds frames in a stream of bytes, however it is cut. One thread.
class FrameDecoder {
 public:
  void feed(std::string_view bytes) { buffer_.append(bytes); }

  /// The next frame, or nothing until more bytes are fed. Error corrupt: the stream is lost, and so is every later
  /// call.
  [[nodiscard]] Result<std::optional<Frame>> next() {
    if (buffer_.size() < 8) return std::nullopt;
    const std::size_t length = u32_at(0);
    const std::size_t json_length = u32_at(4);
    if (length < 4 || length > kMaxFrameBytes || json_length > length - 4 || json_length > kMaxJsonBytes) {
      return fail(Errc::corrupt, fmt::format("frame of {} bytes, {} of them JSON: not ours", length, json_length));
    }
    if (buffer_.size() < 4 + length) return std::nullopt;
    Frame frame{buffer_.substr(8, json_length), buffer_.substr(8 + json_length, length - 4 - json_length)};
    buffer_.erase(0, 4 + length);
    return frame;
  }

 private:
  [[nodiscard]] std::uint32_t u32_at(std::size_t at) const {
    std::uint32_t value = 0;
    for (std::size_t i = at; i < at + 4; ++i) value = value << 8 | static_cast<unsigned char>(buffer_[i]);
    return value;
  }

  std::string buffer_;
};

namespace detail {

using nlohmann::json;

inline void put_u32(std::string& out, std::size_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(value >> shift & 0xff));
}

inline json to_json(const Text& text) {
  return {{"zh", text.zh}, {"en", text.en}};
}

inline json to_json(const ZoneConfig& zone) {
  return {{"id", zone.id},
          {"name", to_json(zone.name)},
          {"polygon", zone.polygon},
          {"min_area", zone.min_area},
          {"on_delay", zone.on_delay.count()},
          {"hold", zone.hold.count()},
          {"rule", static_cast<int>(zone.rule)},
          {"after", zone.after.count()},
          {"crossed", static_cast<int>(zone.crossed)},
          {"min_size", zone.min_size},
          {"classes", zone.classes},
          {"hours", zone.hours}};
}

// With the password: for the socket, and for nothing else.
inline json to_json(const CameraConfig& camera) {
  json zones = json::array();
  for (const auto& zone : camera.zones) zones.push_back(to_json(zone));
  json out{{"id", camera.id},
           {"name", to_json(camera.name)},
           {"source", camera.source},
           {"enabled", camera.enabled},
           {"user", camera.user},
           {"password", camera.password.reveal()},
           {"transport", static_cast<int>(camera.transport)},
           {"open_timeout", camera.open_timeout.count()},
           {"read_timeout", camera.read_timeout.count()},
           {"max_fps", camera.max_fps},
           {"rest", camera.rest},
           {"loop", camera.loop},
           {"speed", camera.speed},
           {"evidence", static_cast<int>(camera.evidence)},
           {"gb28181", camera.gb28181},
           {"zones", std::move(zones)},
           {"masks", camera.masks}};
  if (camera.drawn_on) out["drawn_on"] = *camera.drawn_on;
  return out;
}

inline Text text_from(const json& in) {
  return {in.at("zh").get<std::string>(), in.at("en").get<std::string>()};
}
inline Millis millis_from(const json& in) {
  return Millis{in.get<std::int64_t>()};
}

// An enum from its number; nlohmann's exception where it is none.
template <class Enum>
Enum enum_from(const json& in, std::size_t count) {
  const int value = in.get<int>();
  if (value < 0 || static_cast<std::size_t>(value) >= count) throw json::out_of_range::create(401, "no such enum value", &in);
  return static_cast<Enum>(value);
}

inline ZoneConfig zone_from(const json& in) {
  ZoneConfig zone;
  zone.id = in.at("id").get<std::string>();
  zone.name = text_from(in.at("name"));
  zone.polygon = in.at("polygon").get<std::vector<std::pair<double, double>>>();
  zone.min_area = in.at("min_area").get<double>();
  zone.on_delay = millis_from(in.at("on_delay"));
  zone.hold = millis_from(in.at("hold"));
  zone.rule = enum_from<ZoneRule>(in.at("rule"), kZoneRuleWords.size());
  zone.after = millis_from(in.at("after"));
  zone.crossed = enum_from<Crossed>(in.at("crossed"), kCrossedWords.size());
  zone.min_size = in.at("min_size").get<double>();
  for (const auto& kind : in.at("classes")) zone.classes.push_back(enum_from<ThingClass>(kind, kThingClassWords.size()));
  zone.hours = in.at("hours").get<std::vector<Hours>>();
  return zone;
}

inline CameraConfig camera_from(const json& in) {
  CameraConfig camera;
  camera.id = in.at("id").get<std::string>();
  camera.name = text_from(in.at("name"));
  camera.source = in.at("source").get<std::string>();
  camera.enabled = in.at("enabled").get<bool>();
  camera.user = in.at("user").get<std::string>();
  camera.password = config::Secret{in.at("password").get<std::string>()};
  camera.transport = enum_from<Transport>(in.at("transport"), 2);
  camera.open_timeout = millis_from(in.at("open_timeout"));
  camera.read_timeout = millis_from(in.at("read_timeout"));
  camera.max_fps = in.at("max_fps").get<double>();
  camera.rest = in.at("rest").get<bool>();
  camera.loop = in.at("loop").get<bool>();
  camera.speed = in.at("speed").get<double>();
  camera.evidence = enum_from<Evidence>(in.at("evidence"), 3);
  camera.gb28181 = in.at("gb28181").get<std::string>();
  if (in.contains("drawn_on")) camera.drawn_on = in.at("drawn_on").get<std::pair<double, double>>();
  camera.masks = in.at("masks").get<std::vector<Polygon>>();
  for (const auto& zone : in.at("zones")) camera.zones.push_back(zone_from(zone));
  return camera;
}

inline json to_json(const Hello& hello) {
  return {{"type", "hello"}, {"protocol", hello.protocol}, {"version", hello.version}};
}
inline json to_json(const Configure& configure) {
  json cameras = json::array();
  for (const auto& camera : configure.cameras) cameras.push_back(to_json(camera));
  return {{"type", "config"}, {"cameras", std::move(cameras)}};
}
inline json to_json(const CameraState& state) {
  return {{"type", "state"},       {"camera", state.camera},   {"condition", static_cast<int>(state.condition)},
          {"why", state.why},      {"message", state.message}, {"fps", state.fps},
          {"frames", state.frames}};
}
inline json to_json(const Observation& seen) {
  return {{"type", "observation"}, {"camera", seen.camera}, {"zone", seen.zone},
          {"kind", seen.kind},     {"event", seen.event},   {"phase", static_cast<int>(seen.phase)},
          {"at", to_ms(seen.at)},  {"detail", seen.detail}};
}
inline json to_json(const Heartbeat& heartbeat) {
  return {{"type", "heartbeat"}, {"dropped", heartbeat.dropped}};
}
inline json to_json(const Look& look) {
  return {{"type", "look"}, {"camera", look.camera}, {"request", look.request}};
}
inline json to_json(const Snapshot& shot) {
  return {{"type", "snapshot"}, {"camera", shot.camera}, {"request", shot.request}, {"at", to_ms(shot.at)}, {"why", shot.why}};
}
inline json to_json(const Stop&) {
  return {{"type", "stop"}};
}

inline std::string id_from(const json& in) {
  auto id = in.get<std::string>();
  if (!is_id(id)) throw json::other_error::create(501, "not an id", &in);
  return id;
}

inline CameraState state_from(const json& in) {
  return {id_from(in.at("camera")),        enum_from<CameraCondition>(in.at("condition"), 3),
          in.at("why").get<std::string>(), in.at("message").get<std::string>(),
          in.at("fps").get<double>(),      in.at("frames").get<std::uint64_t>()};
}

inline Observation observation_from(const json& in) {
  Observation seen{id_from(in.at("camera")), id_from(in.at("zone")),
                   id_from(in.at("kind")),   enum_from<Phase>(in.at("phase"), 4),
                   id_from(in.at("event")),  mono_from_ms(in.at("at").get<std::int64_t>()),
                   in.at("detail")};
  if (!seen.detail.is_object()) throw json::other_error::create(501, "detail is no object", &in);
  return seen;
}

inline decltype(Message::body) body_from(const json& in) {
  const auto type = in.at("type").get<std::string>();
  if (type == "hello") return Hello{in.at("protocol").get<int>(), in.at("version").get<std::string>()};
  if (type == "state") return state_from(in);
  if (type == "observation") return observation_from(in);
  if (type == "heartbeat") return Heartbeat{in.at("dropped").get<std::uint64_t>()};
  if (type == "look") return Look{id_from(in.at("camera")), in.at("request").get<std::uint64_t>()};
  if (type == "snapshot") {
    return Snapshot{id_from(in.at("camera")), in.at("request").get<std::uint64_t>(),
                    mono_from_ms(in.at("at").get<std::int64_t>()), in.at("why").get<std::string>()};
  }
  if (type == "stop") return Stop{};
  if (type != "config") throw json::other_error::create(501, "unknown type", &in);
  Configure configure;
  for (const auto& camera : in.at("cameras")) configure.cameras.push_back(camera_from(camera));
  return configure;
}

}  // namespace detail

/// Whether two configs say the same, passwords included.
[[nodiscard]] inline bool same(const CameraConfig& a, const CameraConfig& b) {
  return detail::to_json(a) == detail::to_json(b);
}

/// The frame's bytes. Text that is not UTF-8 is repaired.
[[nodiscard]] inline std::string encode(const Message& message) {
  auto json = std::visit([](const auto& body) { return detail::to_json(body); }, message.body);
  if (!message.thumbnail.empty()) json["thumbnail"] = message.thumbnail.size();
  const std::string text = json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  std::string out;
  const std::size_t length = text.size() + message.binary.size() + message.thumbnail.size();
  out.reserve(8 + length);
  detail::put_u32(out, 4 + length);
  detail::put_u32(out, text.size());
  return out.append(text).append(message.binary).append(message.thumbnail);
}

/// What a frame says. Error invalid: it says nothing that this protocol knows.
[[nodiscard]] inline Result<Message> parse(Frame frame) {
  try {
    const auto shallow = [](int depth, nlohmann::json::parse_event_t, nlohmann::json&) {
      return depth <= kMaxJsonDepth;
    };
    const auto json = nlohmann::json::parse(frame.json, shallow);
    Message message{detail::body_from(json), std::move(frame.binary)};
    const auto small = json.value("thumbnail", std::size_t{0});
    if (small > message.binary.size()) return fail(Errc::invalid, "a thumbnail is longer than what came with it");
    message.thumbnail = message.binary.substr(message.binary.size() - small);
    message.binary.erase(message.binary.size() - small);
    return message;
  } catch (const nlohmann::json::exception& error) {
    return fail(Errc::invalid, error.what());
  }
}

}  // namespace hamlet::cameras
