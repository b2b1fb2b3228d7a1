// The quiet part of a real clip (a road, nothing passes), and faults synthesised on it: nobody has come, so nobody is told of.

#include <atomic>
#include <cstdlib>
#include <filesystem>

#include <doctest/doctest.h>
#include <opencv2/imgproc.hpp>

#include "cameras/analysis.hpp"
#include "cameras/capture.hpp"

using namespace hamlet;
using namespace hamlet::cameras;

namespace {

constexpr Millis kRealStep{40};
constexpr int kQuietFrom = 175;  // of traffic_camera.mp4; nothing passes the zone in frames 150 to 357
constexpr int kQuietTo = 340;

const std::vector<Picture>& quiet_pictures() {
  static const std::vector<Picture> pictures = [] {
    std::vector<Picture> out;
    const char* data = std::getenv("HAMLET_TEST_DATA");
    CameraConfig camera;
    camera.id = "road";
    camera.source = "file:" + (std::filesystem::path{data != nullptr ? data : ""} / "cameras/traffic_camera.mp4").string();
    camera.max_fps = 60;
    const std::atomic<bool> cancel{false};
    auto capture = Capture::open(camera, cancel);
    if (!capture) return out;
    for (auto picture = capture->read(); picture && *picture; picture = capture->read()) {
      const auto number = (*picture)->number;
      if (number >= kQuietFrom && number <= kQuietTo) out.push_back(**std::move(picture));
      if (number > kQuietTo) break;
    }
    return out;
  }();
  return pictures;
}

// What is told while the quiet part goes to and fro, changed by `draw` for a while, and by `always` else.
std::string told_of(const std::function<void(cv::Mat&, int)>& draw, const std::function<void(cv::Mat&)>& always = {}) {
  const auto& pictures = quiet_pictures();
  CameraConfig camera;
  camera.id = "road";
  camera.evidence = Evidence::none;
  auto& zone = camera.zones.emplace_back();
  zone.id = "zone";
  zone.rule = ZoneRule::intrusion;
  zone.polygon = {{631 / 1280.0, 532 / 720.0}, {841 / 1280.0, 532 / 720.0}, {841 / 1280.0, 659 / 720.0}, {631 / 1280.0, 659 / 720.0}};
  Analysis analysis{camera, pictures[0].size(), pictures[0].size()};
  std::string told;
  for (int i = 0; i < 650; ++i) {
    const int last = static_cast<int>(pictures.size()) - 1;
    const int place = i % (2 * last);
    cv::Mat bgr = pictures[static_cast<std::size_t>(place <= last ? place : 2 * last - place)].bgr();
    if (i >= 300 && i < 500) {
      draw(bgr, i - 300);
    } else if (always) {
      always(bgr);
    }
    auto picture = Picture::from_bgr(bgr, static_cast<std::uint64_t>(i + 1), i * kRealStep);
    for (const auto& message : analysis.process(std::move(picture), mono_from_ms(0) + i * kRealStep)) {
      const auto& seen = std::get<Observation>(message.body);
      if (seen.phase == Phase::start || seen.phase == Phase::once) told += (told.empty() ? "" : ", ") + seen.kind;
    }
  }
  return told;
}

}  // namespace

TEST_CASE("on a real road where nothing passes nobody is told of, whatever becomes of light, lens and weather") {
  if (quiet_pictures().empty()) {
    MESSAGE("skipped: no traffic_camera.mp4 at HAMLET_TEST_DATA");
    return;
  }
  cv::RNG chance{5};
  CHECK(told_of([](cv::Mat&, int) {}) == std::string{});
  CHECK(told_of([](cv::Mat& bgr, int) { bgr.convertTo(bgr, -1, 1.4, 8); }) == std::string{});  // a lamp
  CHECK(told_of([](cv::Mat& bgr, int) { bgr.convertTo(bgr, -1, 0.6, 0); }) == std::string{});  // a cloud
  CHECK(told_of([](cv::Mat& bgr, int) {                                                        // infra-red
          cv::cvtColor(bgr, bgr, cv::COLOR_BGR2GRAY);
          cv::cvtColor(bgr, bgr, cv::COLOR_GRAY2BGR);
          bgr.convertTo(bgr, -1, 0.8, 10);
        }) == std::string{});
  CHECK(told_of([&chance](cv::Mat& bgr, int) {  // rain
          for (int drop = 0; drop < 150; ++drop) {
            const cv::Point at{chance.uniform(0, bgr.cols), chance.uniform(0, bgr.rows)};
            cv::line(bgr, at, at + cv::Point{1, 9}, {190, 190, 190});
          }
        }) == std::string{});
  const auto noise = [&chance](cv::Mat& bgr, double sigma) {  // of a colour sensor
    cv::Mat grain{bgr.size(), CV_16SC3};
    chance.fill(grain, cv::RNG::NORMAL, 0, sigma);
    cv::add(bgr, grain, bgr, cv::noArray(), CV_8U);
  };
  const auto day = [&noise](cv::Mat& bgr) { noise(bgr, 4); };
  CHECK(told_of([&noise](cv::Mat& bgr, int) { noise(bgr, 8); }, day) == std::string{});  // dusk: the gain is turned up
  CHECK(told_of([](cv::Mat& bgr, int) { cv::GaussianBlur(bgr, bgr, {0, 0}, 9.0 * bgr.cols / 1280); }) == "blurred");
  CHECK(told_of([](cv::Mat& bgr, int) { bgr.setTo(cv::Scalar{70, 70, 70}); }) == "covered");
  CHECK(told_of([](cv::Mat& bgr, int) { cv::flip(bgr, bgr, -1); }) == "turned");
}
