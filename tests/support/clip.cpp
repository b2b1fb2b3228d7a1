#include "tests/support/clip.hpp"

#include <fstream>
#include <stdexcept>

#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include "cameras/evidence.hpp"

namespace hamlet::support {

cv::Mat scene(cv::Size size, int frame, int brightness) {
  cv::Mat texture(size.height / 8 + 1, size.width / 8 + 1, CV_8UC3);
  cv::RNG still{42};
  still.fill(texture, cv::RNG::UNIFORM, brightness - 40, brightness + 40);
  cv::Mat bgr;
  cv::resize(texture, bgr, size, 0, 0, cv::INTER_CUBIC);
  cv::Mat noise(size, CV_16SC3);
  cv::RNG moving{static_cast<std::uint64_t>(frame) + 1};
  moving.fill(noise, cv::RNG::NORMAL, 0, 3);
  cv::add(bgr, noise, bgr, cv::noArray(), CV_8U);
  return bgr;
}

void draw_thing(cv::Mat& bgr, cv::Rect box) {
  cv::rectangle(bgr, box, {240, 240, 240}, cv::FILLED);
  for (int y = box.y + 4; y < box.br().y; y += 8) {
    cv::line(bgr, {box.x, y}, {box.br().x - 1, y}, {200, 30, 30}, 2);
  }
}

void write_clip(const std::filesystem::path& file, int frames, const std::function<cv::Mat(int)>& picture) {
  std::ofstream out{file, std::ios::binary};
  for (int frame = 0; frame < frames; ++frame) {
    const auto jpeg = cameras::encode_jpeg(picture(frame), 1u << 20);
    if (!jpeg) throw std::runtime_error{jpeg.error().message};
    out << *jpeg;
  }
  if (!out.flush()) throw std::runtime_error{"write " + file.string()};
}

}  // namespace hamlet::support
