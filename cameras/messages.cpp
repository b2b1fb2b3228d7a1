#include "cameras/messages.hpp"

#include <utility>

#include <fmt/format.h>

namespace hamlet::cameras {
namespace {

using nlohmann::json;

void put_u32(std::string& out, std::size_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(value >> shift & 0xff));
}

json to_json(const Text& text) {
  return {{"zh", text.zh}, {"en", text.en}};
}

json to_json(const ZoneConfig& zone) {
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
json to_json(const CameraConfig& camera) {
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

Text text_from(const json& in) {
  return {in.at("zh").get<std::string>(), in.at("en").get<std::string>()};
}
Millis millis_from(const json& in) {
  return Millis{in.get<std::int64_t>()};
}

// An enum from its number; nlohmann's exception where it is none.
template <class Enum>
Enum enum_from(const json& in, std::size_t count) {
  const int value = in.get<int>();
  if (value < 0 || static_cast<std::size_t>(value) >= count)
    throw json::out_of_range::create(401, "no such enum value", &in);
  return static_cast<Enum>(value);
}

ZoneConfig zone_from(const json& in) {
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
  for (const auto& kind : in.at("classes"))
    zone.classes.push_back(enum_from<ThingClass>(kind, kThingClassWords.size()));
  zone.hours = in.at("hours").get<std::vector<Hours>>();
  return zone;
}

CameraConfig camera_from(const json& in) {
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

json to_json(const Hello& hello) {
  return {{"type", "hello"}, {"protocol", hello.protocol}, {"version", hello.version}};
}
json to_json(const Configure& configure) {
  json cameras = json::array();
  for (const auto& camera : configure.cameras) cameras.push_back(to_json(camera));
  return {{"type", "config"}, {"cameras", std::move(cameras)}};
}
json to_json(const CameraState& state) {
  return {{"type", "state"},       {"camera", state.camera},   {"condition", static_cast<int>(state.condition)},
          {"why", state.why},      {"message", state.message}, {"fps", state.fps},
          {"frames", state.frames}};
}
json to_json(const Observation& seen) {
  return {{"type", "observation"}, {"camera", seen.camera}, {"zone", seen.zone},
          {"kind", seen.kind},     {"event", seen.event},   {"phase", static_cast<int>(seen.phase)},
          {"at", to_ms(seen.at)},  {"detail", seen.detail}};
}
json to_json(const Heartbeat& heartbeat) {
  return {{"type", "heartbeat"}, {"dropped", heartbeat.dropped}};
}
json to_json(const Look& look) {
  return {{"type", "look"}, {"camera", look.camera}, {"request", look.request}};
}
json to_json(const Snapshot& shot) {
  return {{"type", "snapshot"},
          {"camera", shot.camera},
          {"request", shot.request},
          {"at", to_ms(shot.at)},
          {"why", shot.why}};
}
json to_json(const Stop&) {
  return {{"type", "stop"}};
}

std::string id_from(const json& in) {
  auto id = in.get<std::string>();
  if (!is_id(id)) throw json::other_error::create(501, "not an id", &in);
  return id;
}

CameraState state_from(const json& in) {
  return {id_from(in.at("camera")),        enum_from<CameraCondition>(in.at("condition"), 3),
          in.at("why").get<std::string>(), in.at("message").get<std::string>(),
          in.at("fps").get<double>(),      in.at("frames").get<std::uint64_t>()};
}

Observation observation_from(const json& in) {
  Observation seen{id_from(in.at("camera")), id_from(in.at("zone")),
                   id_from(in.at("kind")),   enum_from<Phase>(in.at("phase"), 4),
                   id_from(in.at("event")),  mono_from_ms(in.at("at").get<std::int64_t>()),
                   in.at("detail")};
  if (!seen.detail.is_object()) throw json::other_error::create(501, "detail is no object", &in);
  return seen;
}

decltype(Message::body) body_from(const json& in) {
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

}  // namespace

Result<std::optional<Frame>> FrameDecoder::next() {
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

bool same(const CameraConfig& a, const CameraConfig& b) {
  return to_json(a) == to_json(b);
}

std::string encode(const Message& message) {
  auto json = std::visit([](const auto& body) { return to_json(body); }, message.body);
  if (!message.thumbnail.empty()) json["thumbnail"] = message.thumbnail.size();
  const std::string text = json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  std::string out;
  const std::size_t length = text.size() + message.binary.size() + message.thumbnail.size();
  out.reserve(8 + length);
  put_u32(out, 4 + length);
  put_u32(out, text.size());
  return out.append(text).append(message.binary).append(message.thumbnail);
}

Result<Message> parse(Frame frame) {
  try {
    const auto shallow = [](int depth, nlohmann::json::parse_event_t, nlohmann::json&) {
      return depth <= kMaxJsonDepth;
    };
    const auto json = nlohmann::json::parse(frame.json, shallow);
    Message message{body_from(json), std::move(frame.binary)};
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
