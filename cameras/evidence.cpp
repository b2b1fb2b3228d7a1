#include "cameras/evidence.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <vector>

#include <fmt/format.h>
#include <opencv2/imgproc.hpp>
#include <turbojpeg.h>

namespace hamlet::cameras {
namespace {

// A face is about an eighth of a standing person, or all that moves where somebody looks into the camera: six tiles
// across the shorter side leave it one tile or six, and both are too few.
constexpr int kTilesAcross = 6;
constexpr int kSmallestTile = 10;

cv::Mat tiled(const cv::Mat& bgr, int tile) {
  cv::Mat small;
  cv::resize(bgr, small, {std::max(1, bgr.cols / tile), std::max(1, bgr.rows / tile)}, 0, 0, cv::INTER_AREA);
  cv::Mat out;
  cv::resize(small, out, bgr.size(), 0, 0, cv::INTER_NEAREST);
  return out;
}

struct CompressorCloser {
  void operator()(void* handle) const { tjDestroy(handle); }
};

}  // namespace

cv::Mat masked(const cv::Mat& bgr, const cv::Mat& zone, const cv::Mat& moved) {
  cv::Mat out = tiled(bgr, std::max(kSmallestTile, bgr.cols / 16));
  bgr.copyTo(out, zone);
  cv::Mat seen;
  cv::bitwise_and(moved, zone, seen);
  std::vector<std::vector<cv::Point>> outlines;
  cv::findContours(seen, outlines, cv::RETR_EXTERNAL, cv::CHAIN_APPROX_SIMPLE);
  for (const auto& outline : outlines) {
    const cv::Rect box = cv::boundingRect(outline);
    const cv::Mat part = bgr(box);
    cv::Mat target = out(box);
    tiled(part, std::max(kSmallestTile, std::min(box.width, box.height) / kTilesAcross)).copyTo(target, zone(box));
  }
  return out;
}

Result<std::string> encode_jpeg(const cv::Mat& bgr, std::size_t max_bytes) {
  CV_Assert(bgr.type() == CV_8UC3);
  const std::unique_ptr<void, CompressorCloser> compressor{tjInitCompress()};
  if (!compressor) return fail(Errc::failed, "make a JPEG compressor: out of memory");
  std::vector<unsigned char> buffer(tjBufSize(bgr.cols, bgr.rows, TJSAMP_420));
  for (const int quality : std::array{75, 50, 30, 10}) {
    auto* bytes = buffer.data();
    unsigned long size = buffer.size();
    if (tjCompress2(compressor.get(), bgr.data, bgr.cols, static_cast<int>(bgr.step[0]), bgr.rows, TJPF_BGR, &bytes,
                    &size, TJSAMP_420, quality, TJFLAG_NOREALLOC) != 0) {
      return fail(Errc::failed, fmt::format("make a JPEG: {}", tjGetErrorStr2(compressor.get())));
    }
    if (size <= max_bytes) return std::string{buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(size)};
  }
  return fail(Errc::full, fmt::format("a JPEG of {} x {} does not fit into {} bytes", bgr.cols, bgr.rows, max_bytes));
}

Result<std::string> encode_thumbnail(const cv::Mat& bgr, std::size_t max_bytes) {
  for (int columns = std::min(bgr.cols, kThumbnailColumns);; columns /= 2) {
    cv::Mat small;
    cv::resize(bgr, small, {columns, std::max(1, bgr.rows * columns / bgr.cols)}, 0, 0, cv::INTER_AREA);
    auto jpeg = encode_jpeg(small, max_bytes);
    if (jpeg || jpeg.error().code != Errc::full || columns < kThumbnailColumns / 4) return jpeg;
  }
}

}  // namespace hamlet::cameras
