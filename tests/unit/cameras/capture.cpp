#include "cameras/capture.hpp"

#include <filesystem>
#include <fstream>
#include <thread>

#include <doctest/doctest.h>

#include "firmware/core/sanitized.hpp"
#include "tests/support/clip.hpp"
#include "tests/support/process.hpp"
#include "tests/support/rtsp_server.hpp"

using namespace hamlet;
using namespace hamlet::cameras;

namespace {

CameraConfig file_camera(const std::filesystem::path& file) {
  CameraConfig camera;
  camera.id = "cam";
  camera.source = "file:" + file.string();
  camera.max_fps = 60;
  return camera;
}

struct Played {
  std::vector<std::uint64_t> numbers;
  std::vector<Millis> times;
  cv::Size source;
  cv::Size picture;
  std::string error;
  std::uint64_t frames = 0;
  std::uint64_t corrupt = 0;
};

Played play(const CameraConfig& camera) {
  const std::atomic<bool> cancel{false};
  Played played;
  auto capture = Capture::open(camera, cancel);
  if (!capture) {
    played.error = capture.error().why;
    return played;
  }
  while (true) {
    auto picture = capture->read();
    if (!picture) played.error = picture.error().why;
    if (!picture || !*picture) break;
    played.numbers.push_back((*picture)->number);
    played.times.push_back((*picture)->media);
    played.source = (*picture)->source;
    played.picture = (*picture)->size();
  }
  played.frames = capture->frames();
  played.corrupt = capture->corrupt();
  return played;
}

void overwrite(const std::filesystem::path& file, std::size_t at, std::size_t count) {
  std::fstream out{file, std::ios::binary | std::ios::in | std::ios::out};
  out.seekp(static_cast<std::streamoff>(at));
  out << std::string(count, '\x5a');
}

}  // namespace

TEST_CASE("a file is played frame by frame, with its times, in a size to work with") {
  support::TempDir folder;
  const auto clip = folder.path() / "clip.mjpeg";
  support::write_clip(clip, 30, [](int frame) { return support::scene({1280, 720}, frame); });

  const auto all = play(file_camera(clip));
  CHECK(all.error.empty());
  CHECK(all.frames == 30);
  CHECK(all.numbers.size() == 30);
  CHECK(all.numbers.front() == 1);
  CHECK(all.times.front() == Millis{0});
  CHECK(all.times.back() == Millis{29 * 40});
  CHECK(all.source == cv::Size{1280, 720});
  CHECK(all.picture == cv::Size{640, 360});

  SUBCASE("and with fewer pictures a second where that is asked for") {
    auto camera = file_camera(clip);
    camera.max_fps = 12.5;
    const auto half = play(camera);
    CHECK(half.frames == 30);
    CHECK(half.numbers.size() == 15);
    CHECK(half.times.at(1) == Millis{80});
  }
}

TEST_CASE("a file that does not exist is not found") {
  CHECK(play(file_camera("/nonexistent/clip.mp4")).error == "not-found");
}

TEST_CASE("bytes that are no video are no video") {
  support::TempDir folder;
  const auto file = folder.path() / "clip.mp4";
  std::ofstream{file}
      << "This is a text, and nothing else. It goes on for a while, so that nobody takes it for a header.";
  CHECK_FALSE(play(file_camera(file)).error.empty());
  std::ofstream{file, std::ios::trunc};
  CHECK_FALSE(play(file_camera(file)).error.empty());
}

TEST_CASE("a clip with holes in it is played to its end") {
  support::TempDir folder;
  const auto clip = folder.path() / "clip.mjpeg";
  support::write_clip(clip, 40, [](int frame) { return support::scene({320, 240}, frame); });
  const auto size = std::filesystem::file_size(clip);
  overwrite(clip, size / 3, size / 10);
  const auto played = play(file_camera(clip));
  CHECK(played.error.empty());
  CHECK(played.numbers.size() > 20);
  CHECK(played.numbers.size() < 40);

  std::filesystem::resize_file(clip, size * 7 / 10);
  const auto cut = play(file_camera(clip));
  CHECK(cut.error.empty());
  CHECK(cut.numbers.size() < played.numbers.size());
}

TEST_CASE("user and password are put into the address so that no character of theirs is taken for part of it") {
  CameraConfig camera;
  camera.source = "rtsp://10.0.0.9:8554/main";
  CHECK(address_of(camera) == "rtsp://10.0.0.9:8554/main");
  camera.user = "ad min";
  camera.password = config::Secret{"p@s:s/"};
  CHECK(address_of(camera) == "rtsp://ad%20min:p%40s%3As%2F@10.0.0.9:8554/main");
}

TEST_CASE("a capture that was cancelled gives up") {
  const std::atomic<bool> cancel{true};
  CameraConfig camera;
  camera.source = "rtsp://127.0.0.1:1/none";
  const auto capture = Capture::open(camera, cancel);
  REQUIRE_FALSE(capture);
  CHECK(capture.error().why == "stopped");
}

TEST_CASE("H.264 and H.265 are decoded, and of both key frames alone where nothing moves") {
  support::TempDir folder;
  for (const bool h265 : {false, true}) {
    CAPTURE(h265);
    const auto clip = folder.path() / (h265 ? "clip265.mp4" : "clip264.mp4");
    support::write_video(clip, 60, [](int frame) { return support::scene({320, 240}, frame); }, {.h265 = h265, .key_every = 10});
    const auto all = play(file_camera(clip));
    CHECK(all.error.empty());
    CHECK(all.numbers.size() == 60);
    CHECK(all.corrupt == 0);
    const std::atomic<bool> cancel{false};
    auto capture = Capture::open(file_camera(clip), cancel);
    REQUIRE(capture);
    REQUIRE(capture->read());
    capture->rest(true);
    int few = 1;
    for (auto picture = capture->read(); picture && *picture; picture = capture->read()) ++few;
    CHECK(few < 20);
  }
}

TEST_CASE("what a stall of the link kept back is passed over, and the next picture is of now") {
  const cv::Mat small = support::scene({160, 128}, 0);  // soon made
  support::RtspServer server{{.picture = [&small](int) { return small; }}};
  CameraConfig camera = file_camera({});
  camera.source = server.url();
  camera.max_fps = 60;
  const std::atomic<bool> cancel{false};
  auto capture = Capture::open(camera, cancel);
  REQUIRE_MESSAGE(capture, capture.error().message);
  const auto next = [&] {
    auto picture = capture->read();
    REQUIRE(picture);
    REQUIRE(*picture);
    return (*picture)->number;
  };
  for (int i = 0; i < 25; ++i) next();
  const auto before = next();
  server.hold(true);
  std::thread after{[&] {
    std::this_thread::sleep_for(std::chrono::seconds{2});  // the stall
    server.hold(false);
  }};
  std::uint64_t jumped = 0;
  for (auto last = before; last < before + 75;) {
    const auto number = next();
    jumped = std::max(jumped, number - last);
    last = number;
  }
  after.join();
  CHECK(jumped > 20);  // of the 50 of two seconds
}

TEST_CASE("500 connections leave neither descriptors nor memory behind") {
  support::RtspServer server{{.picture = [](int i) { return support::scene({160, 128}, i); }, .interval = std::chrono::milliseconds{1}}};
  CameraConfig camera = file_camera({});
  camera.source = server.url();
  const std::atomic<bool> cancel{false};
  const auto connect = [&](int times) {
    for (int i = 0; i < times; ++i) {
      auto capture = Capture::open(camera, cancel);
      REQUIRE_MESSAGE(capture, capture.error().message);
      CHECK(capture->read());
    }
  };
  const auto descriptors = [] {
    return std::distance(std::filesystem::directory_iterator{"/proc/self/fd"}, std::filesystem::directory_iterator{});
  };
  const auto resident_kb = [] {
    std::ifstream file{"/proc/self/statm"};
    long total = 0;
    long resident = 0;
    file >> total >> resident;
    return resident * 4;
  };
  connect(50);  // what is allocated once
  const auto descriptors_before = descriptors();
  const auto kb_before = resident_kb();
  connect(450);
  CHECK(descriptors() <= descriptors_before + 2);  // the server's own client comes and goes
  CHECK(resident_kb() - kb_before < (kSanitized ? 256 * 1'024 : 4'096));
}
