#pragma once

#include <cstdint>

#include <opencv2/core/mat.hpp>

#include "firmware/core/time.hpp"

namespace hamlet::cameras {

/// Largest picture that is handed on: what is larger is scaled down, its shape kept but for a few columns.
inline constexpr int kPictureColumns = 640;
inline constexpr int kPictureRows = 360;
/// A picture's width is a multiple of this, so that half of it is a whole number of the processor's vectors.
inline constexpr int kPictureStep = 32;

/// The size that a frame of `source` is handed on in.
[[nodiscard]] cv::Size picture_size(cv::Size source);

/// With so many pixels more on each side, where the picture has them.
[[nodiscard]] inline cv::Rect grown(cv::Rect box, int by, cv::Size picture) {
  return cv::Rect{box.x - by, box.y - by, box.width + 2 * by, box.height + 2 * by} & cv::Rect{{}, picture};
}

/// One frame, ready to be looked at: Y, U and V, the colours at half the size, as nearly every camera sends them.
struct Picture {
  cv::Mat yuv;               ///< I420, continuous: the rows of Y, then U, then V. Shared, written to by nobody
  cv::Size source;           ///< its size before scaling
  std::uint64_t number = 0;  ///< in the source, from 1
  Millis media{};            ///< time in the source, from 0; never goes back
  bool full_range = false;   ///< Y is 0 to 255, not 16 to 235

  [[nodiscard]] cv::Size size() const { return {yuv.cols, yuv.rows * 2 / 3}; }
  [[nodiscard]] cv::Mat y() const { return yuv.rowRange(0, size().height); }
  [[nodiscard]] cv::Mat u() const { return colour(0); }
  [[nodiscard]] cv::Mat v() const { return colour(1); }
  [[nodiscard]] cv::Mat bgr() const;

  /// Of a picture made by hand; `bgr` is taken for its source.
  [[nodiscard]] static Picture from_bgr(const cv::Mat& bgr, std::uint64_t number, Millis media);

 private:
  [[nodiscard]] cv::Mat colour(int which) const;
};

}  // namespace hamlet::cameras
