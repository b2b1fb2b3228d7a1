#include "cameras/picture.hpp"

#include <algorithm>
#include <cmath>

#include <opencv2/imgproc.hpp>

namespace hamlet::cameras {

cv::Size picture_size(cv::Size source) {
  const double scale = std::min(
      {1.0, static_cast<double>(kPictureColumns) / source.width, static_cast<double>(kPictureRows) / source.height});
  const auto columns = std::lround(source.width * scale / kPictureStep) * kPictureStep;
  const auto rows = std::lround(source.height * scale / 2) * 2;
  return {static_cast<int>(std::max(columns, 2L * kPictureStep)), static_cast<int>(std::max(rows, 32L))};
}

cv::Mat Picture::colour(int which) const {
  const cv::Size half = size() / 2;
  auto* data = const_cast<std::uint8_t*>(yuv.ptr(size().height)) + which * half.area();
  return {half, CV_8UC1, data};
}

cv::Mat Picture::bgr() const {
  cv::Mat out;
  if (!full_range) {
    cv::cvtColor(yuv, out, cv::COLOR_YUV2BGR_I420);
    return out;
  }
  cv::Mat narrow(yuv.size(), CV_8UC1);
  const int rows = size().height;
  yuv.rowRange(0, rows).convertTo(narrow.rowRange(0, rows), CV_8U, 219.0 / 255, 16);
  yuv.rowRange(rows, yuv.rows).convertTo(narrow.rowRange(rows, yuv.rows), CV_8U, 224.0 / 255, 128 - 128 * 224.0 / 255);
  cv::cvtColor(narrow, out, cv::COLOR_YUV2BGR_I420);
  return out;
}

Picture Picture::from_bgr(const cv::Mat& bgr, std::uint64_t number, Millis media) {
  Picture picture{.yuv = {}, .source = bgr.size(), .number = number, .media = media};
  cv::Mat sized;
  cv::resize(bgr, sized, picture_size(bgr.size()), 0, 0, cv::INTER_AREA);
  cv::cvtColor(sized, picture.yuv, cv::COLOR_BGR2YUV_I420);
  return picture;
}

}  // namespace hamlet::cameras
