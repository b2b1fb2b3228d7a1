#pragma once

// What hamletd and hamlet-eyes say to each other on their Unix socket. All that the daemon links of cameras.
//
//   frame   := length json_length json binary
//   length  := u32, big endian: bytes that follow it (json_length included)
//   json_length := u32, big endian
//   binary  := of an observation or a snapshot: the JPEG, then its thumbnail ("thumbnail" in the JSON: bytes of it);
//   else empty
//
// eyes -> daemon: hello, state, observation, snapshot, heartbeat (every kHeartbeat). daemon -> eyes: config, look,
// stop. Whoever finds the socket closed is alone: eyes ends, the daemon starts it anew.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

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
inline constexpr int kMaxJsonDepth = 8;                      ///< what is nested deeper is left out
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
  /// An id, when it is not simply up: "ended" (a file, played to its end), "not-found", "refused" (user and password
  /// are wrong), "denied" (by this machine), "exception" (the camera says that it cannot), "timeout", "unreachable",
  /// "closed" (by the camera, while it was watched), "no-video", "corrupt", "failed"; up with "zone-outside" or
  /// "mask-outside": one has a corner outside the picture.
  std::string why{};
  std::string message{};     ///< the same in words, for whoever looks deeper; English
  double fps = 0;            ///< frames received a second, over the last seconds
  std::uint64_t frames = 0;  ///< received since the camera was started
};

/// The zone of what is wrong with the picture as a whole (see scene_watch.hpp): no zone of the config.
inline constexpr std::string_view kWholePicture = "picture";

/// What happened in a zone; `kind` is the word of its rule, or of a fault of the picture. `detail`: "frame" (number in
/// the source, from 1), "media_ms" (time in the source), "area" (fraction of the zone that moves; at the end: that
/// moved most), "box" ([x, y, width, height] in pixels of the source, of the largest thing) and "class" (of the same
/// thing; at the end both are of the one that was seen most, where it was largest); update and end also "duration_ms"
/// and "frames" (analysed with something in it); an end that is no end of it has "why" ("camera-lost", "ended",
/// "stopped", "eyes-lost"). A crossing has "direction" ("left", "right") and "left" and "right", the counts since the
/// camera came up. A fault of the picture has "frame" and "media_ms" alone.
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
  [[nodiscard]] Result<std::optional<Frame>> next();

 private:
  [[nodiscard]] std::uint32_t u32_at(std::size_t at) const {
    std::uint32_t value = 0;
    for (std::size_t i = at; i < at + 4; ++i) value = value << 8 | static_cast<unsigned char>(buffer_[i]);
    return value;
  }

  std::string buffer_;
};

/// Whether two configs say the same, passwords included.
[[nodiscard]] bool same(const CameraConfig& a, const CameraConfig& b);

/// The frame's bytes. Text that is not UTF-8 is repaired.
[[nodiscard]] std::string encode(const Message& message);

/// What a frame says. Error invalid: it says nothing that this protocol knows.
[[nodiscard]] Result<Message> parse(Frame frame);

}  // namespace hamlet::cameras
