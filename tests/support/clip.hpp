#pragma once

#include <filesystem>
#include <functional>

#include <opencv2/core/mat.hpp>

namespace hamlet::support {

/// A still, textured scene with sensor noise that differs from frame to frame, the same in each run.
[[nodiscard]] cv::Mat scene(cv::Size size, int frame, int brightness = 100, double noise = 3);

/// Draws something that does not look like the scene.
void draw_thing(cv::Mat& bgr, cv::Rect box);

/// Writes `frames` pictures, numbered from 0, one behind the other as a Motion-JPEG file, which plays at 25 a second.
void write_clip(const std::filesystem::path& file, int frames, const std::function<cv::Mat(int)>& picture);

/// How write_video() encodes.
struct Video {
  bool h265 = false;
  int fps = 25;
  int key_every = 50;  ///< pictures
};
/// The same as H.264 or H.265, in the container that the file's ending names (mp4, ts, mkv).
void write_video(const std::filesystem::path& file, int frames, const std::function<cv::Mat(int)>& picture, Video video = {});

}  // namespace hamlet::support
