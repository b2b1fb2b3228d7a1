// The quiet part of a real clip (a road, nothing passes), and faults synthesised on it: nobody has come, so nobody is told of.

#include <atomic>
#include <cmath>
#include <cstdlib>
#include <filesystem>

#include <doctest/doctest.h>
#include <opencv2/imgproc.hpp>

#include "cameras/analysis.hpp"
#include "cameras/capture.hpp"
#include "tests/support/clip.hpp"
#include "tests/support/process.hpp"

using namespace hamlet;
using namespace hamlet::cameras;

namespace {

constexpr Millis kRealStep{40};
constexpr int kQuietFrom = 175;  // of traffic_camera.mp4; nothing passes the zone in frames 150 to 357
constexpr int kQuietTo = 340;
constexpr int kCarTo = 491;  // one passes the zone from 358 on

std::vector<Picture> pictures_of(const std::filesystem::path& clip, int from, int to) {
  std::vector<Picture> out;
  CameraConfig camera;
  camera.source = "file:" + clip.string();
  camera.max_fps = 60;
  const std::atomic<bool> cancel{false};
  auto capture = Capture::open(camera, cancel);
  if (!capture) return out;
  for (auto picture = capture->read(); picture && *picture; picture = capture->read()) {
    const auto number = static_cast<int>((*picture)->number);
    if (number >= from && number <= to) out.push_back(**std::move(picture));
    if (number > to) break;
  }
  return out;
}

std::filesystem::path road_clip() {
  const char* data = std::getenv("HAMLET_TEST_DATA");
  return std::filesystem::path{data != nullptr ? data : ""} / "cameras/traffic_camera.mp4";
}

const std::vector<Picture>& quiet_pictures() {
  static const std::vector<Picture> pictures = pictures_of(road_clip(), kQuietFrom, kQuietTo);
  return pictures;
}

const std::vector<Picture>& car_pictures() {
  static const std::vector<Picture> pictures = pictures_of(road_clip(), kQuietTo + 1, kCarTo);
  return pictures;
}

CameraConfig road_camera() {
  CameraConfig camera;
  camera.id = "road";
  camera.evidence = Evidence::none;
  auto& zone = camera.zones.emplace_back();
  zone.id = "zone";
  zone.rule = ZoneRule::intrusion;
  zone.polygon = {{631 / 1280.0, 532 / 720.0}, {841 / 1280.0, 532 / 720.0}, {841 / 1280.0, 659 / 720.0}, {631 / 1280.0, 659 / 720.0}};
  return camera;
}

// What is told while the quiet part goes to and fro, changed by `draw` for a while, and by `always` else.
std::string told_of(const std::function<void(cv::Mat&, int)>& draw, const std::function<void(cv::Mat&)>& always = {}) {
  const auto& pictures = quiet_pictures();
  Analysis analysis{road_camera(), pictures[0].size(), pictures[0].size()};
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

// The same at 12.5 pictures a second: quiet for 12 s, then in a weather, and then a car comes in it. What is told before the car, and of it.
struct Told {
  std::string before{};
  std::string of_car{};
};
using Weather = std::function<void(cv::Mat&, double)>;  // `double`: seconds since it began
Told told_in(const Weather& weather, const Weather& always = {}) {
  constexpr int kLearn = 150;
  constexpr int kNobody = 100;
  constexpr Millis kStep{80};
  const auto& quiet = quiet_pictures();
  const auto& car = car_pictures();
  Analysis analysis{road_camera(), quiet[0].size(), quiet[0].size()};
  Told told;
  const int last = static_cast<int>(quiet.size()) - 1;
  const int all = kLearn + kNobody + static_cast<int>(car.size()) / 2;
  for (int i = 0; i < all; ++i) {
    // The car comes in the picture after the last quiet one.
    const int back = std::abs((kLearn + kNobody - 1 - i) * 2) % (2 * last);
    const bool passes = i >= kLearn + kNobody;
    const auto& shown = passes ? car[static_cast<std::size_t>(i - kLearn - kNobody) * 2] : quiet[static_cast<std::size_t>(back <= last ? last - back : back - last)];
    cv::Mat bgr = shown.bgr();
    if (always) always(bgr, i * 0.08);
    if (i >= kLearn) weather(bgr, (i - kLearn) * 0.08);
    auto picture = Picture::from_bgr(bgr, static_cast<std::uint64_t>(i + 1), i * kStep);
    for (const auto& message : analysis.process(std::move(picture), mono_from_ms(0) + i * kStep)) {
      const auto& seen = std::get<Observation>(message.body);
      if (seen.phase != Phase::start) continue;
      auto& to = passes ? told.of_car : told.before;
      to += (to.empty() ? "" : ", ") + seen.kind;
    }
  }
  return told;
}

// `gain`: of each pixel.
void light_up(cv::Mat& bgr, const cv::Mat& gain) {
  cv::Mat three;
  cv::merge(std::vector<cv::Mat>{gain, gain, gain}, three);
  cv::multiply(bgr, three, bgr, 1, CV_8U);
}

// Light that falls on a place: gain `most` in its middle and `base` far from it.
void shine(cv::Mat& bgr, cv::Point2d middle, cv::Size2d reach, double base, double most) {
  cv::Mat across(1, bgr.cols, CV_32F);
  cv::Mat down(bgr.rows, 1, CV_32F);
  for (int x = 0; x < bgr.cols; ++x) across.at<float>(x) = static_cast<float>(std::exp(-std::pow((x / double(bgr.cols) - middle.x) / reach.width, 2)));
  for (int y = 0; y < bgr.rows; ++y) down.at<float>(y) = static_cast<float>(std::exp(-std::pow((y / double(bgr.rows) - middle.y) / reach.height, 2)));
  light_up(bgr, down * across * (most - base) + base);
}

// Noise of a colour sensor.
void grain(cv::Mat& bgr, cv::RNG& chance, double sigma) {
  cv::Mat noise{bgr.size(), CV_16SC3};
  chance.fill(noise, cv::RNG::NORMAL, 0, sigma);
  cv::add(bgr, noise, bgr, cv::noArray(), CV_8U);
}

}  // namespace

TEST_CASE("in any light and weather a real road without a car is silent, and a real car is told of") {
  if (quiet_pictures().empty()) {
    MESSAGE("skipped: no traffic_camera.mp4 at HAMLET_TEST_DATA");
    return;
  }
  cv::RNG chance{11};
  Weather weather = [](cv::Mat&, double) {};
  Weather always{};
  SUBCASE("none") {}
  SUBCASE("headlights by night") {
    always = [&chance](cv::Mat& bgr, double) {
      bgr.convertTo(bgr, -1, 0.45);
      grain(bgr, chance, 3);
    };
    weather = [](cv::Mat& bgr, double s) {
      const double at = std::fmod(s, 4) / 3;
      if (at < 1) shine(bgr, {1.3 * at - 0.15, 0.7}, {0.18, 0.2}, 1, 1 + 1.5 * std::sin(CV_PI * at));
    };
  }
  SUBCASE("a lamp in view") {
    weather = [](cv::Mat& bgr, double) { shine(bgr, {0.5, 0.6}, {0.3, 0.4}, 1, 1.7); };
  }
  SUBCASE("a cloud's edge") {
    weather = [](cv::Mat& bgr, double s) {
      cv::Mat gain(1, bgr.cols, CV_32F);
      for (int x = 0; x < bgr.cols; ++x) gain.at<float>(x) = static_cast<float>(1 - 0.35 / (1 + std::exp((x / double(bgr.cols) - s / 6 + 0.2) / 0.05)));
      light_up(bgr, cv::repeat(gain, bgr.rows, 1));
    };
  }
  SUBCASE("infra-red that lights the middle most") {
    weather = [&chance](cv::Mat& bgr, double) {
      cv::cvtColor(bgr, bgr, cv::COLOR_BGR2GRAY);
      cv::cvtColor(bgr, bgr, cv::COLOR_GRAY2BGR);
      shine(bgr, {0.5, 0.5}, {0.7, 0.7}, 0.4, 1);
      grain(bgr, chance, 4);
    };
  }
  SUBCASE("snow") {
    std::vector<cv::Point3d> flakes;
    for (int i = 0; i < 250; ++i) flakes.emplace_back(chance.uniform(0.0, 1.0), chance.uniform(0.0, 1.0), std::pow(chance.uniform(0.0, 1.0), 3));
    weather = [flakes](cv::Mat& bgr, double s) {
      const double scale = bgr.cols / 320.0;
      for (const auto& flake : flakes) {
        const double y = std::fmod(flake.y + s * (0.12 + 0.85 * flake.z), 1.0) * bgr.rows;
        const double x = std::fmod(flake.x + 0.05 * s, 1.0) * bgr.cols;
        cv::circle(bgr, {static_cast<int>(x), static_cast<int>(y)}, static_cast<int>((0.5 + 4 * flake.z) * scale), {235, 235, 235}, cv::FILLED);
      }
    };
  }
  SUBCASE("a web before the lens") {
    weather = [](cv::Mat& bgr, double s) {
      cv::Mat over = bgr.clone();
      const double scale = bgr.cols / 320.0;
      for (int thread = 0; thread < 3; ++thread) {
        const double sway = 6 * scale * std::sin(s * (2 + thread) + thread);
        std::vector<cv::Point> line;
        for (int i = 0; i <= 20; ++i) {
          const double out = sway * std::sin(CV_PI * i / 20);
          line.emplace_back(static_cast<int>(bgr.cols * (0.3 + 0.15 * thread) + i * 6 * scale + out), static_cast<int>(bgr.rows * i / 20.0 + out));
        }
        cv::polylines(over, line, false, {230, 230, 230}, static_cast<int>(3 * scale), cv::LINE_AA);
      }
      cv::addWeighted(over, 0.5, bgr, 0.5, 0, bgr);
    };
  }
  SUBCASE("shadows of leaves") {
    weather = [](cv::Mat& bgr, double s) {
      const double scale = bgr.cols / 320.0;
      cv::Mat gain(bgr.size(), CV_32F, cv::Scalar(1));
      cv::RNG leaves{5};
      for (int leaf = 0; leaf < 25; ++leaf) {
        const double x = leaves.uniform(0.3, 0.8) * bgr.cols + 6 * scale * std::sin(s * 2.1 + leaf);
        const double y = leaves.uniform(0.6, 0.95) * bgr.rows + 3 * scale * std::cos(s * 1.7 + 2 * leaf);
        const cv::Size size{static_cast<int>(leaves.uniform(4, 12) * scale), static_cast<int>(leaves.uniform(3, 7) * scale)};
        cv::ellipse(gain, cv::Point{static_cast<int>(x), static_cast<int>(y)}, size, 0, 0, 360, {0.65}, cv::FILLED);
      }
      cv::GaussianBlur(gain, gain, {0, 0}, 2 * scale);
      light_up(bgr, gain);
    };
  }
  const auto told = told_in(weather, always);
  CHECK(told.before == std::string{});
  CHECK(told.of_car == "intrusion");
}

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
  const auto day = [&chance](cv::Mat& bgr) { grain(bgr, chance, 4); };
  CHECK(told_of([&chance](cv::Mat& bgr, int) { grain(bgr, chance, 8); }, day) == std::string{});  // dusk: the gain is turned up
  CHECK(told_of([](cv::Mat& bgr, int) { cv::GaussianBlur(bgr, bgr, {0, 0}, 9.0 * bgr.cols / 1280); }) == "blurred");
  CHECK(told_of([](cv::Mat& bgr, int) { bgr.setTo(cv::Scalar{70, 70, 70}); }) == "covered");
  CHECK(told_of([](cv::Mat& bgr, int) { cv::flip(bgr, bgr, -1); }) == "turned");
}

// What a coder makes of the same picture differs a little from one to the next.
TEST_CASE("a picture that stands still is frozen though it is coded anew, and a scene in which nothing happens is not") {
  constexpr int kFrames = 200;
  support::TempDir folder;
  for (const bool live : {false, true}) {
    CAPTURE(live);
    const auto clip = folder.path() / (live ? "live.mp4" : "stuck.mp4");
    support::write_video(clip, kFrames, [live](int frame) { return support::scene({320, 240}, live ? frame : 0, 100, 1); }, {.fps = 5, .key_every = 10});
    const auto pictures = pictures_of(clip, 1, kFrames);
    REQUIRE(pictures.size() == kFrames);
    Analysis analysis{road_camera(), pictures[0].size(), pictures[0].size()};
    std::string told;
    for (const auto& picture : pictures) {
      for (const auto& message : analysis.process(picture, mono_from_ms(0) + picture.media)) told += std::get<Observation>(message.body).kind;
    }
    CHECK(told == (live ? "" : "frozen"));
  }
}
