#pragma once

#include <string>

#include <opencv2/core/mat.hpp>

#include "firmware/core/result.hpp"

namespace hamlet::cameras {

/// The picture as it may leave the box: outside `zone` in tiles of a sixteenth of the width, and all of `moved` in
/// tiles so large that no face can be recognised, however near it is. What stands still in the zone stays as it is.
/// `bgr` has three channels; `zone` and `moved` have its size and one channel, 255 is inside.
[[nodiscard]] cv::Mat masked(const cv::Mat& bgr, const cv::Mat& zone, const cv::Mat& moved);

/// JPEG of at most `max_bytes`: quality 75 where that fits, less where it does not. Error full: even the least is too
/// large.
[[nodiscard]] Result<std::string> encode_jpeg(const cv::Mat& bgr, std::size_t max_bytes);

/// The same, at most kThumbnailColumns wide; less where there is too much to see for that.
inline constexpr int kThumbnailColumns = 192;
[[nodiscard]] Result<std::string> encode_thumbnail(const cv::Mat& bgr, std::size_t max_bytes);

}  // namespace hamlet::cameras
