#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include <tl/expected.hpp>

#include "cameras/camera_config.hpp"
#include "cameras/picture.hpp"

namespace hamlet::cameras {

class DeviceCalls;

/// Why there is no picture: an id (see CameraState::why) and words. "stopped" where `cancel` was set.
struct CaptureError {
  std::string why;
  std::string message;
};

/// An open source: a file, a camera by RTSP or HTTP, or one at this machine. What a live one sends all at once after a stall is old, and passed over.
/// Decodes with one thread, in the caller's; no call outlasts its deadline
/// (open_timeout, read_timeout), except for a host name that has to be resolved. Bytes that do not decode are passed
/// over. Error messages never name the user or the password.
class Capture {
 public:
  /// `cancel`: when it becomes true, a call that waits gives up at once; must outlive the capture.
  /// `calls`: what a camera at this machine is reached by; must outlive the capture.
  [[nodiscard]] static tl::expected<Capture, CaptureError> open(const CameraConfig& camera, const std::atomic<bool>& cancel,
                                                                DeviceCalls* calls = nullptr);
  Capture(Capture&&) noexcept;
  Capture& operator=(Capture&&) noexcept;
  ~Capture();

  /// The next picture, at most CameraConfig::max_fps of them a second of the source: frames between are decoded and
  /// passed over. Nothing at the end of the source.
  [[nodiscard]] tl::expected<std::optional<Picture>, CaptureError> read();

  /// From the next key frame on, only key frames are decoded, or all again. Nothing changes where every frame is one, or where a live
  /// source sends them more than 5 s apart.
  void rest(bool key_frames_alone);

  /// Frames decoded so far, those passed over included.
  [[nodiscard]] std::uint64_t frames() const;
  /// Packets and frames that did not decode.
  [[nodiscard]] std::uint64_t corrupt() const;

 private:
  struct State;
  explicit Capture(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// The address that FFmpeg is given: user and password put in, percent-encoded. Not for logs.
[[nodiscard]] std::string address_of(const CameraConfig& camera);

}  // namespace hamlet::cameras
