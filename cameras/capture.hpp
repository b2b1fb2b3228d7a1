#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include <opencv2/core/mat.hpp>
#include <tl/expected.hpp>

#include "cameras/camera_config.hpp"
#include "firmware/core/time.hpp"

namespace hamlet::cameras {

/// Largest picture that is handed on: what is larger is scaled down, its shape kept.
inline constexpr int kPictureColumns = 640;
inline constexpr int kPictureRows = 360;

/// One frame, ready to be looked at.
struct Picture {
  cv::Mat bgr;               ///< 8 bits, three channels
  cv::Size source;           ///< its size before scaling
  std::uint64_t number = 0;  ///< in the source, from 1
  Millis media{};            ///< time in the source, from 0; never goes back
};

/// Why there is no picture: an id (see CameraState::why) and words. "stopped" where `cancel` was set.
struct CaptureError {
  std::string why;
  std::string message;
};

/// An open source: a file, or a camera by RTSP. Decodes with one thread, in the caller's; no call outlasts its deadline
/// (open_timeout, read_timeout), except for a host name that has to be resolved. Bytes that do not decode are passed
/// over. Error messages never name the user or the password.
class Capture {
 public:
  /// `cancel`: when it becomes true, a call that waits gives up at once; must outlive the capture.
  [[nodiscard]] static tl::expected<Capture, CaptureError> open(const CameraConfig& camera,
                                                                const std::atomic<bool>& cancel);
  Capture(Capture&&) noexcept;
  Capture& operator=(Capture&&) noexcept;
  ~Capture();

  /// The next picture, at most CameraConfig::max_fps of them a second of the source: frames between are decoded and
  /// passed over. Nothing at the end of the source.
  [[nodiscard]] tl::expected<std::optional<Picture>, CaptureError> read();

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
