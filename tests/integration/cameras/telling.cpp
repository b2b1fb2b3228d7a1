// What the county is told of a camera over time, by RTSP and through the real hamlet-eyes.

#include <algorithm>
#include <cstdlib>

#include <doctest/doctest.h>

#include "tests/integration/cameras/harness.hpp"
#include "tests/support/clip.hpp"
#include "tests/support/rtsp_server.hpp"

using namespace hamlet;
using namespace hamlet::tests;

namespace {

// Somebody walks up and down for ten seconds from second 4 on, and is gone.
cv::Mat pacing(int frame) {
  cv::Mat bgr = support::scene({320, 240}, frame);
  const int step = frame - 100;
  if (step >= 0 && step < 250) support::draw_thing(bgr, {20 + std::abs(step % 100 - 50) * 4, 100, 20, 40});
  return bgr;
}

// The same picture again and again, from second 4 for 36 seconds.
cv::Mat stuck(int frame) {
  return support::scene({320, 240}, frame < 100 ? frame : std::max(100, frame - 900));
}

cameras::CameraConfig watched(const std::string& id, const support::RtspServer& server) {
  auto camera = file_camera(id, "", 320, 240);
  camera.source = server.url();
  return camera;
}

}  // namespace

TEST_CASE("an event has one life with an update a second at most, and a picture that stands still is told") {
  support::RtspServer pacer{{.picture = pacing}};
  support::RtspServer frozen{{.picture = stuck}};
  Harness harness{Harness::With::eyes};
  REQUIRE(harness.link.start({watched("pacer", pacer), watched("frozen", frozen)}));
  const auto of = [&](std::string_view camera, std::string_view kind) {
    std::vector<cameras::Observation> out;
    for (const auto& one : harness.seen)
      if (one.what.camera == camera && one.what.kind == kind) out.push_back(one.what);
    return out;
  };
  const auto ended = [&](std::string_view camera, std::string_view kind) {
    const auto all = of(camera, kind);
    return !all.empty() && all.back().phase == Phase::end;
  };
  REQUIRE(harness.until([&] { return ended("pacer", "motion"); }, std::chrono::seconds{60}));
  const auto life = of("pacer", "motion");
  REQUIRE(life.size() >= 4);
  CHECK(life.front().phase == Phase::start);
  auto told = life.front().detail.at("media_ms").get<int>();
  for (std::size_t i = 1; i < life.size(); ++i) {
    CHECK(life[i].event == life.front().event);
    if (life[i].phase != Phase::update) continue;
    const auto now = life[i].detail.at("media_ms").get<int>();
    CHECK(now - told >= 1'000);
    told = now;
  }
  CHECK(std::count_if(life.begin(), life.end(), [](const auto& one) { return one.phase == Phase::update; }) + 2 ==
        static_cast<std::ptrdiff_t>(life.size()));
  CHECK(life.back().detail.at("duration_ms").get<int>() > 9'000);

  REQUIRE(harness.until([&] { return ended("frozen", "frozen"); }, std::chrono::seconds{90}));
  const auto frost = of("frozen", "frozen");
  REQUIRE(frost.size() == 2);
  CHECK(frost[0].zone == cameras::kWholePicture);
  CHECK(std::abs(frost[0].detail.at("media_ms").get<int>() - 4'000) <= 2'000);
  CHECK(frost[1].at - frost[0].at > std::chrono::seconds{35});
  CHECK(of("frozen", "motion").empty());
}
