#include "cameras/messages.hpp"

#include <random>

#include <doctest/doctest.h>

using namespace hamlet;
using namespace hamlet::cameras;

namespace {

CameraConfig ford() {
  CameraConfig camera;
  camera.id = "cam-ford";
  camera.name = {"渡口", "The ford"};
  camera.source = "rtsp://192.168.1.64/stream1";
  camera.user = "admin";
  camera.password = config::Secret{"p@ss:word/"};
  camera.transport = Transport::udp;
  camera.open_timeout = Millis{1500};
  camera.evidence = Evidence::clear;
  camera.gb28181 = "43012410401320000001";
  camera.drawn_on = {1280, 720};
  camera.zones.push_back({"water", {"水面", "Water"}, {{1, 2}, {3.5, 4}, {5, 6}}, 0.25, Millis{300}, Millis{900}});
  auto& gate = camera.zones.emplace_back();
  gate.id = "gate";
  gate.polygon = {{0.1, 0.2}, {0.3, 0.4}};
  gate.rule = ZoneRule::crossing;
  gate.crossed = Crossed::right;
  gate.after = Millis{60'000};
  gate.min_size = 0.1;
  gate.classes = {ThingClass::vehicle};
  gate.hours = {{60, 120}};
  camera.masks = {{{0, 0}, {1, 0}, {1, 1}}};
  camera.rest = true;
  return camera;
}

Observation walker() {
  return {"cam-ford", "water", "motion", Phase::end, "00112233445566ff", mono_from_ms(123'456), {{"area", 0.5}}};
}

Message decode_one(std::string_view bytes) {
  FrameDecoder decoder;
  decoder.feed(bytes);
  auto frame = decoder.next();
  REQUIRE(frame);
  REQUIRE(*frame);
  auto message = parse(**std::move(frame));
  REQUIRE_MESSAGE(message, message.error().message);
  return *std::move(message);
}

Frame frame_of(std::string json) {
  return {std::move(json), {}};
}

std::string with_lengths(std::uint32_t length, std::uint32_t json_length, std::string_view rest) {
  std::string out;
  for (const auto value : {length, json_length}) {
    for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(value >> shift & 0xffU));
  }
  return out.append(rest);
}

}  // namespace

TEST_CASE("a camera's config crosses the socket whole") {
  const auto message = decode_one(encode({Configure{{ford()}}}));
  const auto& cameras = std::get<Configure>(message.body).cameras;
  REQUIRE(cameras.size() == 1);
  CHECK(same(cameras[0], ford()));
  CHECK(cameras[0].password.reveal() == "p@ss:word/");
  CHECK(cameras[0].drawn_on == std::pair<double, double>{1280, 720});
  CHECK(cameras[0].zones.at(0).polygon.at(1) == std::pair<double, double>{3.5, 4});
  CHECK(cameras[0].zones.at(0).hold == Millis{900});
}

TEST_CASE("configs that differ in the password alone are not the same") {
  auto other = ford();
  other.password = config::Secret{"new"};
  CHECK_FALSE(same(ford(), other));
}

TEST_CASE("an observation carries its picture, whatever bytes it has") {
  std::string jpeg;
  for (int i = 0; i < 1000; ++i) jpeg.push_back(static_cast<char>(i * 7));
  const auto message = decode_one(encode({walker(), jpeg}));
  CHECK(message.binary == jpeg);
  const auto& seen = std::get<Observation>(message.body);
  CHECK(seen.camera == "cam-ford");
  CHECK(seen.zone == "water");
  CHECK(seen.phase == Phase::end);
  CHECK(seen.event == "00112233445566ff");
  CHECK(seen.at == mono_from_ms(123'456));
  CHECK(seen.detail.at("area") == 0.5);
}

TEST_CASE("a picture and its thumbnail are told apart") {
  const auto message = decode_one(encode({Snapshot{"cam-ford", 7, mono_from_ms(5)}, "picture", "small"}));
  CHECK(message.binary == "picture");
  CHECK(message.thumbnail == "small");
  CHECK(std::get<Snapshot>(message.body).request == 7);
  Frame frame{R"({"type":"look","camera":"a","request":1,"thumbnail":9})", "12345678"};
  CHECK(parse(frame).error().code == Errc::invalid);
  frame.json = R"({"type":"look","camera":"a","request":1,"thumbnail":-1})";
  CHECK_FALSE(parse(frame));
}

TEST_CASE("the other messages come back as they went") {
  const CameraState down{"cam-ford", CameraCondition::down, "timeout", "read: nothing came", 12.5, 99};
  const auto state = std::get<CameraState>(decode_one(encode({down})).body);
  CHECK(state.condition == CameraCondition::down);
  CHECK(state.why == "timeout");
  CHECK(state.fps == 12.5);
  CHECK(state.frames == 99);
  CHECK(std::get<Hello>(decode_one(encode({Hello{3, "1.2"}})).body).protocol == 3);
  CHECK(std::get<Heartbeat>(decode_one(encode({Heartbeat{7}})).body).dropped == 7);
  CHECK(std::holds_alternative<Stop>(decode_one(encode({Stop{}})).body));
}

TEST_CASE("frames are found however the stream is cut") {
  std::string stream;
  for (std::uint64_t i = 0; i < 200; ++i) {
    stream += i % 3 == 0 ? encode({walker(), std::string(i * 11, 'x')}) : encode({Heartbeat{i}});
  }
  std::mt19937 random{7};
  for (int round = 0; round < 20; ++round) {
    FrameDecoder decoder;
    std::uint64_t found = 0;
    for (std::size_t at = 0; at < stream.size();) {
      const std::size_t part = std::uniform_int_distribution<std::size_t>{1, round < 10 ? 9u : 4000u}(random);
      decoder.feed(std::string_view{stream}.substr(at, part));
      at += part;
      while (true) {
        auto frame = decoder.next();
        REQUIRE(frame);
        if (!*frame) break;
        const auto message = parse(**std::move(frame));
        REQUIRE(message);
        if (found % 3 == 0) {
          REQUIRE(message->binary.size() == found * 11);
        } else {
          REQUIRE(std::get<Heartbeat>(message->body).dropped == found);
        }
        ++found;
      }
    }
    CHECK(found == 200);
  }
}

TEST_CASE("lengths that cannot be ours are refused before anything is kept for them") {
  const auto next = [](std::string_view bytes) {
    FrameDecoder decoder;
    decoder.feed(bytes);
    return decoder.next();
  };
  CHECK_FALSE(next(with_lengths(0, 0, {})));
  CHECK_FALSE(next(with_lengths(3, 0, {})));
  CHECK_FALSE(next(with_lengths(kMaxFrameBytes + 1, 2, {})));
  CHECK_FALSE(next(with_lengths(10, 7, "{}xxxxxx")));
  CHECK_FALSE(next(with_lengths(kMaxFrameBytes, kMaxJsonBytes + 1, {})));
  CHECK(next(with_lengths(10, 6, "{    }")).value());
}

TEST_CASE("what does not say what it must is refused with a reason") {
  CHECK_FALSE(parse(frame_of("")));
  CHECK_FALSE(parse(frame_of("[]")));
  CHECK_FALSE(parse(frame_of("{}")));
  CHECK_FALSE(parse(frame_of(R"({"type":"dance"})")));
  CHECK_FALSE(parse(frame_of(R"({"type":"hello","protocol":"1","version":"x"})")));
  CHECK_FALSE(parse(frame_of(R"({"type":"heartbeat","dropped":"\xff"})")));
  const std::string observation =
      R"({"type":"observation","camera":"c","zone":"z","kind":"motion","event":"e","phase":PHASE,"at":1,"detail":DETAIL})";
  const auto with = [&](const std::string& phase, const std::string& detail) {
    auto text = observation;
    text.replace(text.find("PHASE"), 5, phase);
    text.replace(text.find("DETAIL"), 6, detail);
    return parse(frame_of(text));
  };
  CHECK(with("0", "{}"));
  CHECK(with("3", "{}"));  // a crossing happens once
  CHECK_FALSE(with("4", "{}"));
  CHECK_FALSE(with("-1", "{}"));
  CHECK_FALSE(with("0", "[]"));
  CHECK_FALSE(
      parse(frame_of(R"({"type":"state","camera":"no id!","condition":0,"why":"","message":"","fps":0,"frames":0})")));
}

TEST_CASE("deep nesting is cut off, so that writing it out again cannot exhaust the stack") {
  const std::string deep = std::string(100'000, '[') + std::string(100'000, ']');
  const auto message = parse(frame_of(
      R"({"type":"observation","camera":"c","zone":"z","kind":"motion","event":"e","phase":0,"at":1,"detail":{"x":)" +
      deep + "}}"));
  REQUIRE(message);
  CHECK(std::get<Observation>(message->body).detail.dump().size() < 50);
}
