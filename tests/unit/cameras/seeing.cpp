// What the analysis makes of pictures: the foreground, things that are followed, rules, and faults of the picture.

#include <doctest/doctest.h>
#include <opencv2/imgproc.hpp>

#include "cameras/analysis.hpp"
#include "cameras/tracker.hpp"
#include "tests/support/clip.hpp"

using namespace hamlet;
using namespace hamlet::cameras;

namespace {

constexpr Millis kStep{80};
constexpr int kLearned = 110;  // pictures after which the scene is known
const cv::Size kPicture{320, 240};

// A camera whose pictures are drawn here; keeps what is told.
class Stage {
 public:
  explicit Stage(CameraConfig camera) : analysis_{std::move(camera), kPicture, kPicture} {}

  using Draw = std::function<void(cv::Mat&, int)>;
  // Each picture is the scene, changed by `draw`. `still`: the camera's noise stands still as well.
  void play(int frames, const Draw& draw, bool still = false) {
    for (int i = 0; i < frames; ++i, ++frame_) {
      cv::Mat bgr = support::scene(kPicture, still ? 0 : frame_);
      draw(bgr, i);
      auto picture = Picture::from_bgr(bgr, static_cast<std::uint64_t>(frame_ + 1), frame_ * kStep);
      for (auto& message : analysis_.process(std::move(picture), mono_from_ms(0) + frame_ * kStep, minute)) {
        seen.push_back(std::get<Observation>(message.body));
      }
    }
  }
  void empty(int frames) {
    play(frames, [](cv::Mat&, int) {});
  }

  // "motion start, motion end"; updates left out.
  [[nodiscard]] std::string told() const {
    std::string out;
    for (const auto& one : seen) {
      if (one.phase == Phase::update) continue;
      out += (out.empty() ? "" : ", ") + one.kind + " " + std::string{to_string(one.phase)};
    }
    return out;
  }
  [[nodiscard]] double foreground() const {
    return cv::countNonZero(analysis_.foreground().mask()) / static_cast<double>(analysis_.foreground().mask().total());
  }

  std::vector<Observation> seen;
  std::optional<int> minute;

 private:
  Analysis analysis_;
  int frame_ = 0;
};

CameraConfig with_zone(ZoneRule rule, Polygon polygon = {{0.1, 0.1}, {0.9, 0.1}, {0.9, 0.95}, {0.1, 0.95}}) {
  CameraConfig camera;
  camera.id = "yard";
  camera.evidence = Evidence::none;
  auto& zone = camera.zones.emplace_back();
  zone.id = "zone";
  zone.polygon = std::move(polygon);
  zone.rule = rule;
  zone.hold = Millis{800};
  return camera;
}

void person(cv::Mat& bgr, int x, int foot) {
  support::draw_thing(bgr, {x - 12, foot - 60, 24, 60});
}

}  // namespace

TEST_CASE("who stands still for a minute stays one event") {
  Stage stage{with_zone(ZoneRule::intrusion)};
  stage.empty(kLearned);
  stage.play(20, [](cv::Mat& bgr, int i) { person(bgr, i * 8, 200); });
  stage.play(750, [](cv::Mat& bgr, int) { person(bgr, 160, 200); });
  CHECK(stage.told() == "intrusion start");
  stage.play(25, [](cv::Mat& bgr, int i) { person(bgr, 160 + i * 8, 200); });
  stage.empty(30);
  CHECK(stage.told() == "intrusion start, intrusion end");
  CHECK(stage.seen.back().detail.at("class") == "person");
}

TEST_CASE("who stands still changes nothing, and there is nothing to tell until they go on") {
  Stage stage{with_zone(ZoneRule::intrusion)};
  stage.empty(kLearned);
  stage.play(20, [](cv::Mat& bgr, int i) { person(bgr, i * 8, 200); });
  stage.play(50, [](cv::Mat& bgr, int) { person(bgr, 160, 200); });
  const auto before = stage.seen.size();
  stage.play(500, [](cv::Mat& bgr, int) { person(bgr, 160, 200); });
  CHECK(stage.seen.size() == before);
  stage.play(15, [](cv::Mat& bgr, int i) { person(bgr, 160 + i * 5, 200); });
  REQUIRE(stage.seen.size() == before + 1);
  CHECK(stage.seen.back().phase == Phase::update);
}

TEST_CASE("class and box at the end are of one thing, the one that was seen most") {
  Stage stage{with_zone(ZoneRule::motion)};
  stage.empty(kLearned);
  stage.play(100, [](cv::Mat& bgr, int i) {
    person(bgr, 60 + i, 130);
    if (i >= 40 && i < 50) support::draw_thing(bgr, {20 + (i - 40) * 20, 150, 100, 50});  // larger, and soon gone
  });
  stage.empty(30);
  REQUIRE(stage.told() == "motion start, motion end");
  const auto& end = stage.seen.back().detail;
  CHECK(end.at("class") == "person");
  CHECK(end.at("box").at(2).get<int>() < 40);
  CHECK(end.at("box").at(3).get<int>() < 80);
  CHECK(end.at("box").at(1).get<int>() < 90);
}

TEST_CASE("ground that was never seen is ground within some seconds, at any number of pictures a second") {
  for (const int interval : {40, 80, 200}) {
    CAPTURE(interval);
    Foreground foreground{kPicture};
    double gone_after = 0;
    for (int i = 0; i * interval < 50'000; ++i) {
      cv::Mat bgr = support::scene(kPicture, i);
      if (i * interval < 20'000) support::draw_thing(bgr, {140, 100, 40, 60});  // a cart that has always been there
      const auto& mask = foreground.look(Picture::from_bgr(bgr, static_cast<std::uint64_t>(i + 1), Millis{i * interval}));
      if (cv::countNonZero(mask) > 0) gone_after = (i + 1) * interval / 1000.0 - 20;
    }
    CHECK(gone_after > 1);
    CHECK(gone_after < 8);
  }
}

TEST_CASE("a lamp, a cloud, dusk and infra-red are no event, and hide nobody") {
  auto camera = with_zone(ZoneRule::motion);
  camera.zones[0].min_area = 0.1;
  Stage stage{camera};
  // The light changes what is seen; the noise of the camera's sensor stays as it is.
  const auto lit = [](double gain, double offset) {
    return [gain, offset](cv::Mat& bgr, int) {
      const cv::Mat scene = support::scene(kPicture, 0);
      cv::Mat noise;
      cv::subtract(bgr, scene, noise, cv::noArray(), CV_16S);
      scene.convertTo(bgr, -1, gain, offset);
      cv::add(bgr, noise, bgr, cv::noArray(), CV_8U);
    };
  };
  const auto grey = [](cv::Mat& bgr, int) {
    cv::Mat one;
    cv::cvtColor(bgr, one, cv::COLOR_BGR2GRAY);
    cv::cvtColor(one, bgr, cv::COLOR_GRAY2BGR);
  };
  stage.empty(kLearned);
  stage.play(60, lit(1.4, 10));
  CHECK(stage.told() == std::string{});
  stage.play(60, lit(0.7, 0));
  CHECK(stage.told() == std::string{});
  stage.play(60, grey);
  CHECK(stage.told() == std::string{});
  stage.empty(60);
  CHECK(stage.told() == std::string{});

  // The lamp goes on while somebody stands there.
  Stage yard{with_zone(ZoneRule::motion)};
  yard.empty(kLearned);
  yard.play(40, [](cv::Mat& bgr, int i) { person(bgr, 40 + i * 3, 200); });
  yard.play(60, [](cv::Mat& bgr, int) {
    bgr.convertTo(bgr, -1, 1.3, 15);
    person(bgr, 160, 200);
  });
  CHECK(yard.told() == "motion start");
}

TEST_CASE("a sensor that turns up its gain is no event, and hides nobody") {
  auto camera = with_zone(ZoneRule::motion);
  camera.zones[0].min_area = 0.02;
  Stage stage{camera};
  double gain = 1;
  SUBCASE("by half") { gain = 1.4; }
  SUBCASE("twofold") { gain = 2; }
  const auto noisy = [gain](cv::Mat& bgr, int i) { bgr = support::scene(kPicture, 1'000 + i, 100, 3 * gain); };
  stage.empty(kLearned);
  stage.play(300, noisy);
  stage.empty(60);
  stage.play(60, noisy);
  CHECK(stage.told() == std::string{});
  stage.play(30, [&](cv::Mat& bgr, int i) {
    noisy(bgr, 200 + i);
    person(bgr, 60 + i * 5, 180);
  });
  stage.play(30, noisy);
  CHECK(stage.told() == "motion start, motion end");
}

TEST_CASE("a camera that shakes sees nothing in it") {
  Stage stage{with_zone(ZoneRule::motion)};
  cv::RNG wind{7};
  stage.play(200, [&](cv::Mat& bgr, int) {
    const cv::Matx23d shift{1, 0, static_cast<double>(wind.uniform(-3, 4) * 2), 0, 1, static_cast<double>(wind.uniform(-3, 4) * 2)};
    cv::warpAffine(bgr, bgr, shift, bgr.size(), cv::INTER_LINEAR, cv::BORDER_REPLICATE);
  });
  CHECK(stage.told().empty());
  CHECK(stage.foreground() < 0.02);
}

TEST_CASE("leaves in the wind before the sky become part of the scene, and who walks below them does not") {
  Stage stage{with_zone(ZoneRule::intrusion)};
  cv::RNG chance{4};
  cv::Mat leaves(240, 360, CV_8UC3);
  chance.fill(leaves, cv::RNG::UNIFORM, 20, 220);
  cv::GaussianBlur(leaves, leaves, {0, 0}, 2.5);
  leaves.convertTo(leaves, -1, 3, -250);
  const auto in_wind = [&](cv::Mat& bgr, int i) {
    cv::Mat across(90, 320, CV_32F);
    cv::Mat down(90, 320, CV_32F);
    for (int y = 0; y < 90; ++y) {
      for (int x = 0; x < 320; ++x) {
        across.at<float>(y, x) = static_cast<float>(20 + x + 5 * std::sin(i * 0.7) + 2 * std::sin(i * 1.1 + x * 0.15 + y * 0.1));
        down.at<float>(y, x) = static_cast<float>(20 + y + 2 * std::sin(i * 0.9 + x * 0.1));
      }
    }
    cv::Mat above;
    cv::remap(leaves, above, across, down, cv::INTER_LINEAR);
    above.copyTo(bgr.rowRange(0, 90));
  };
  stage.play(kLearned, in_wind);
  CHECK(stage.told().empty());
  CHECK(stage.foreground() < 0.02);
  stage.play(40, [&](cv::Mat& bgr, int i) {
    in_wind(bgr, kLearned + i);
    person(bgr, i * 8, 220);
  });
  CHECK(stage.told() == "intrusion start");
}

TEST_CASE("rain and insects are nobody in the zone") {
  Stage stage{with_zone(ZoneRule::intrusion)};
  cv::RNG chance{3};
  stage.play(200, [&](cv::Mat& bgr, int) {
    for (int drop = 0; drop < 60; ++drop) {
      const cv::Point at{chance.uniform(0, 320), chance.uniform(0, 240)};
      cv::line(bgr, at, at + cv::Point{1, 8}, {200, 200, 200});
    }
    if (chance.uniform(0, 5) == 0) cv::circle(bgr, {chance.uniform(0, 320), chance.uniform(0, 240)}, 9, {250, 250, 250}, cv::FILLED);
  });
  CHECK(stage.told().empty());
}

TEST_CASE("what is out of focus close to the lens is nobody, whose outline is sharp is somebody, on the same way") {
  for (const auto rule : {ZoneRule::motion, ZoneRule::intrusion}) {
    CAPTURE(to_string(rule));
    Stage stage{with_zone(rule)};
    stage.empty(kLearned);
    bool sharp = false;
    const auto crawls = [&sharp](cv::Mat& bgr, int i) {
      cv::Mat over = cv::Mat::zeros(bgr.size(), CV_8UC1);
      cv::ellipse(over, {40 + 3 * i, 100}, {20, 12}, 0, 0, 360, {230}, cv::FILLED);
      if (!sharp) cv::GaussianBlur(over, over, {0, 0}, 6);
      cv::cvtColor(over, over, cv::COLOR_GRAY2BGR);
      cv::multiply(bgr, cv::Scalar::all(255) - over, bgr, 1 / 255.0);
    };
    stage.play(80, crawls);
    CHECK(stage.told().empty());
    stage.empty(30);
    sharp = true;
    stage.play(80, crawls);
    CHECK(stage.told() == std::string{to_string(rule)} + " start");
  }
}

TEST_CASE("a flake that falls past the lens is no thing, a car that passes as fast is") {
  for (const int length : {10, 30}) {
    CAPTURE(length);
    Tracker tracker{{160, 120}};
    const cv::Mat luma(120, 160, CV_8UC1, cv::Scalar{90});
    bool confirmed = false;
    for (int i = 0; i < 10; ++i) {
      cv::Mat mask = cv::Mat::zeros(120, 160, CV_8UC1);
      mask(cv::Rect{80, 8 * i, 8, length}).setTo(255);
      for (const auto& track : tracker.follow(mask, luma, Millis{40 * i})) confirmed = confirmed || track.confirmed();
    }
    CHECK(confirmed == (length == 30));
  }
}

TEST_CASE("what comes in among leaves or snow has to go as far as it is large") {
  Tracker tracker{{160, 120}};
  const cv::Mat luma(120, 160, CV_8UC1, cv::Scalar{90});
  int confirmed = 0;
  for (int i = 0; i < 25; ++i) {
    cv::Mat mask = cv::Mat::zeros(120, 160, CV_8UC1);
    for (int leaf = 0; leaf < 3; ++leaf) mask(cv::Rect{40 + (i * 37 + leaf * 50) % 110, 10 + (i * 13 + leaf * 7) % 30, 4, 4}).setTo(255);
    if (i >= 8) mask(cv::Rect{(i - 8) * 3, 60, 8, 30}).setTo(255);
    for (const auto& track : tracker.follow(mask, luma, Millis{80 * i})) {
      if (track.box.height > 20 && track.confirmed() && confirmed == 0) confirmed = i;
    }
  }
  CHECK(confirmed > 15);  // alone it would be in its fourth
}

TEST_CASE("a picture in which somebody is missed breaks no track, however few pictures a second there are") {
  for (const int interval : {40, 250, 1'000}) {
    CAPTURE(interval);
    Tracker tracker{{160, 120}};
    const cv::Mat luma(120, 160, CV_8UC1, cv::Scalar{90});
    std::vector<int> ids;
    for (int i = 0; i < 6; ++i) {
      cv::Mat mask = cv::Mat::zeros(120, 160, CV_8UC1);
      if (i != 2) mask(cv::Rect{20 + 5 * i, 40, 16, 40}).setTo(255);
      for (const auto& track : tracker.follow(mask, luma, Millis{interval * i})) ids.push_back(track.id);
    }
    CHECK(ids == std::vector<int>(6, 1));
    const cv::Mat nobody = cv::Mat::zeros(120, 160, CV_8UC1);
    for (int i = 6; i < 40; ++i) tracker.follow(nobody, luma, Millis{interval * i});
    CHECK(tracker.tracks().empty());
  }
}

TEST_CASE("what comes in where a shaking camera's picture ends has come from outside, not up in its midst") {
  const cv::Mat luma(120, 160, CV_8UC1, cv::Scalar{90});
  for (const int shift : {0, 5, -5}) {
    CAPTURE(shift);
    Tracker tracker{{160, 120}};
    cv::Mat mask = cv::Mat::zeros(120, 160, CV_8UC1);
    mask(cv::Rect{60, 90, 30, 30} & cv::Rect{0, 0, 160, 120 - shift}).setTo(255);
    const auto& tracks = tracker.follow(mask, luma, Millis{0}, false, true, {0, shift});
    REQUIRE(tracks.size() == 1);
    CHECK_FALSE(tracks.front().sudden);
  }
  Tracker tracker{{160, 120}};
  cv::Mat mask = cv::Mat::zeros(120, 160, CV_8UC1);
  mask(cv::Rect{60, 85, 30, 25}).setTo(255);
  CHECK(tracker.follow(mask, luma, Millis{0}, false, true, {0, 5}).front().sudden);
}

TEST_CASE("what comes in over the picture's edge in two pieces is one thing, and followed") {
  const cv::Mat luma(120, 160, CV_8UC1, cv::Scalar{90});
  // A lorry, near, 12 pictures a second.
  const std::vector<std::vector<cv::Rect>> shown{{{134, 107, 26, 13}, {112, 110, 18, 10}}, {{89, 90, 67, 30}}, {{72, 74, 88, 46}}, {{61, 61, 87, 56}},
                                                 {{51, 52, 82, 68}}, {{42, 42, 74, 66}}, {{34, 33, 67, 60}}, {{27, 26, 62, 54}}};
  Tracker tracker{{160, 120}};
  Millis time{};
  for (const auto& boxes : shown) {
    cv::Mat mask = cv::Mat::zeros(120, 160, CV_8UC1);
    for (const auto& box : boxes) mask(box).setTo(255);
    tracker.follow(mask, luma, time += Millis{80});
  }
  REQUIRE(tracker.tracks().size() == 1);
  const cv::Rect2f& box = tracker.tracks().front().box;
  CHECK(tracker.tracks().front().sights == static_cast<int>(shown.size()));
  CHECK((box & cv::Rect2f{27, 26, 62, 54}).area() > 0.7F * (box | cv::Rect2f{27, 26, 62, 54}).area());
}

TEST_CASE("two who meet and pass cross a line once each, each their own way") {
  auto camera = with_zone(ZoneRule::crossing, {{0.5, 0.1}, {0.5, 0.98}});
  Stage stage{camera};
  stage.empty(kLearned);
  stage.play(60, [](cv::Mat& bgr, int i) {
    person(bgr, 20 + i * 5, 150);
    person(bgr, 300 - i * 5, 215);
  });
  stage.empty(20);
  REQUIRE(stage.told() == "crossing once, crossing once");
  // From the upper end to the lower, the right of the picture is on the left hand.
  const auto& last = stage.seen.back().detail;
  CHECK(last.at("left") == 1);
  CHECK(last.at("right") == 1);
  CHECK(stage.seen[0].at <= mono_from_ms(0) + (kLearned + 35) * kStep);

  camera.zones[0].crossed = Crossed::left;
  Stage one_way{camera};
  one_way.empty(kLearned);
  one_way.play(60, [](cv::Mat& bgr, int i) { person(bgr, 20 + i * 5, 180); });
  one_way.play(60, [](cv::Mat& bgr, int i) { person(bgr, 315 - i * 5, 180); });
  REQUIRE(one_way.seen.size() == 1);
  CHECK(one_way.seen[0].detail.at("direction") == "left");
}

TEST_CASE("who crosses a line while the light changes is told of when that is over") {
  Stage stage{with_zone(ZoneRule::crossing, {{0.5, 0.1}, {0.5, 0.98}})};
  stage.empty(kLearned);
  stage.play(60, [](cv::Mat& bgr, int i) {
    if (i >= 20 && i < 40) bgr.convertTo(bgr, -1, i % 2 == 0 ? 1.5 : 0.8, 0);  // lightning, again and again
    person(bgr, 20 + i * 5, 180);
  });
  stage.empty(20);
  REQUIRE(stage.told() == "crossing once");
  CHECK(stage.seen[0].at >= mono_from_ms(0) + (kLearned + 15) * kStep);
  CHECK(stage.seen[0].at <= mono_from_ms(0) + (kLearned + 42) * kStep);
}

TEST_CASE("what was open when the camera was covered ends once, when it was last seen, and the next is told of") {
  Stage stage{with_zone(ZoneRule::intrusion)};
  stage.empty(kLearned);
  stage.play(25, [](cv::Mat& bgr, int i) { person(bgr, 40 + i * 4, 200); });
  REQUIRE(stage.told() == "intrusion start");
  const MonoTime covered = mono_from_ms(0) + (kLearned + 25) * kStep;
  int seconds = 0;
  SUBCASE("for a moment") { seconds = 3; }
  SUBCASE("for a while") { seconds = 8; }
  SUBCASE("for long") { seconds = 40; }
  SUBCASE("now and then, for long") { seconds = -40; }
  stage.play(std::abs(seconds) * 12, [&](cv::Mat& bgr, int i) {
    if (seconds > 0 || i / 40 % 2 == 0) bgr.setTo(cv::Scalar::all(70));
  });
  stage.empty(200);
  std::string told;
  for (const auto& one : stage.seen) {
    if (one.kind != "intrusion" || one.phase == Phase::update) continue;
    told += std::string{to_string(one.phase)} + " ";
    if (one.phase == Phase::end) CHECK((one.at - covered).count() <= (2 * kStep).count());
  }
  CHECK(told == "start end ");
  stage.play(30, [](cv::Mat& bgr, int i) { person(bgr, 40 + i * 5, 200); });
  stage.empty(30);
  CHECK(stage.told().ends_with("intrusion start, intrusion end"));
}

TEST_CASE("two who walk side by side and are seen as one outline cross a line once each") {
  Stage stage{with_zone(ZoneRule::crossing, {{0.5, 0.1}, {0.5, 0.98}})};
  stage.empty(kLearned);
  stage.play(60, [](cv::Mat& bgr, int i) {
    const int x = 30 + i * 4;
    person(bgr, x, 190);
    person(bgr, x + 38, 190);
    support::draw_thing(bgr, {x + 8, 150, 22, 16});  // arm in arm
  });
  stage.empty(20);
  REQUIRE(stage.told() == "crossing once, crossing once");
  CHECK(stage.seen.back().detail.at("left") == 2);
  CHECK(stage.seen[1].at - stage.seen[0].at > 4 * kStep);
}

TEST_CASE("while nothing moves, what comes is seen in the picture it comes with, and a mere colour soon") {
  Stage stage{with_zone(ZoneRule::motion)};
  stage.empty(kLearned + 40);
  CHECK(stage.foreground() == 0);
  SUBCASE("a small grey thing") {
    stage.play(1, [](cv::Mat& bgr, int) { cv::rectangle(bgr, cv::Rect{150, 100, 14, 14}, {190, 190, 190}, cv::FILLED); });
    CHECK(stage.foreground() > 0);
  }
  SUBCASE("another colour, as bright as the scene") {
    stage.play(4, [](cv::Mat& bgr, int) {
      cv::Mat there = bgr(cv::Rect{120, 80, 60, 60});
      cv::Mat yuv;
      cv::cvtColor(there, yuv, cv::COLOR_BGR2YUV);
      yuv += cv::Scalar{0, 40, -40};
      cv::cvtColor(yuv, there, cv::COLOR_YUV2BGR);
    });
    CHECK(stage.foreground() > 0);
  }
}

TEST_CASE("where the pictures end, the side on which somebody is seen last counts") {
  LineCounter line{{100, 0}, {100, 200}};
  Track walker;
  walker.id = 1;
  walker.sights = 5;
  walker.strayed = 40;
  bool hidden = false;
  const auto at = [&](float x, bool last = false) {
    walker.box = {x - 10, 100, 20, 60};
    if (!hidden) walker.seen = Millis{static_cast<int>(x) * 40};
    return line.see({walker}, Millis{static_cast<int>(x) * 40}, last);
  };
  for (int x = 60; x <= 98; ++x) CHECK(at(static_cast<float>(x)).empty());
  SUBCASE("before the line") { CHECK(at(99, true).empty()); }
  SUBCASE("where they may be while hidden is not where they were seen") {
    hidden = true;
    for (int x = 99; x <= 140; ++x) CHECK(at(static_cast<float>(x), x == 140).empty());
  }
  SUBCASE("behind it, though not clearly") {
    CHECK(at(102).empty());
    const auto crossed = at(102, true);
    REQUIRE(crossed.size() == 1);
    CHECK(crossed[0].way == LineCounter::Way::to_left);
  }
}

TEST_CASE("who stays is loitering, who passes is not") {
  auto camera = with_zone(ZoneRule::loitering);
  camera.zones[0].after = Millis{8'000};
  Stage stage{camera};
  stage.empty(kLearned);
  stage.play(60, [](cv::Mat& bgr, int i) { person(bgr, i * 6, 200); });
  stage.empty(30);
  CHECK(stage.told().empty());
  stage.play(30, [](cv::Mat& bgr, int i) { person(bgr, i * 5, 200); });
  stage.play(120, [](cv::Mat& bgr, int i) { person(bgr, 150 + i % 10, 200); });
  CHECK(stage.told() == "loitering start");
}

TEST_CASE("what is put down and left is told of") {
  auto camera = with_zone(ZoneRule::left_behind);
  camera.zones[0].after = Millis{10'000};
  Stage stage{camera};
  stage.empty(kLearned);
  const auto bag = [](cv::Mat& bgr) { support::draw_thing(bgr, {150, 180, 22, 20}); };
  stage.play(30, [](cv::Mat& bgr, int i) { person(bgr, i * 5, 200); });
  stage.play(40, [&](cv::Mat& bgr, int i) {
    bag(bgr);
    person(bgr, 150 + i * 5, 200);
  });
  stage.play(180, [&](cv::Mat& bgr, int) { bag(bgr); });
  CHECK(stage.told() == "left-behind start");
}

TEST_CASE("outside its hours a zone is not watched, and what is open ends") {
  auto camera = with_zone(ZoneRule::intrusion);
  camera.zones[0].hours = {{22 * 60, 6 * 60}};
  Stage stage{camera};
  stage.minute = 12 * 60;
  stage.empty(kLearned);
  stage.play(30, [](cv::Mat& bgr, int i) { person(bgr, 40 + i * 5, 200); });
  CHECK(stage.told().empty());
  stage.minute = 23 * 60;
  stage.play(10, [](cv::Mat& bgr, int i) { person(bgr, 190 + i * 3, 200); });
  CHECK(stage.told() == "intrusion start");
  stage.minute = 6 * 60;
  stage.play(2, [](cv::Mat& bgr, int) { person(bgr, 220, 200); });
  CHECK(stage.told() == "intrusion start, intrusion end");
  CHECK(stage.seen.back().detail.at("why") == "hours");
}

TEST_CASE("what happens behind a mask happens to nobody") {
  auto camera = with_zone(ZoneRule::motion);
  camera.masks = {{{0, 0}, {1, 0}, {1, 1}, {0, 1}}};
  Stage stage{camera};
  stage.empty(kLearned);
  stage.play(40, [](cv::Mat& bgr, int i) { person(bgr, i * 7, 200); });
  CHECK(std::none_of(stage.seen.begin(), stage.seen.end(), [](const auto& one) { return one.kind == "motion"; }));
}

TEST_CASE("a picture that shows nothing any more is told of, and when it shows again") {
  auto camera = with_zone(ZoneRule::motion);
  camera.zones.clear();
  Stage stage{camera};
  std::string kind;
  Stage::Draw fault;
  bool still = false;
  SUBCASE("covered") {
    kind = "covered";
    fault = [](cv::Mat& bgr, int) { cv::blur(bgr, bgr, {161, 161}); };
  }
  SUBCASE("blurred") {
    kind = "blurred";
    fault = [](cv::Mat& bgr, int) { cv::GaussianBlur(bgr, bgr, {0, 0}, 5); };
  }
  SUBCASE("turned") {
    kind = "turned";
    fault = [](cv::Mat& bgr, int) {
      cv::rotate(bgr, bgr, cv::ROTATE_180);
      bgr.colRange(0, 160).setTo(cv::Scalar::all(120));
    };
  }
  SUBCASE("dark") {
    kind = "dark";
    fault = [](cv::Mat& bgr, int) { bgr.convertTo(bgr, -1, 0.03); };
  }
  SUBCASE("bright") {
    kind = "bright";
    fault = [](cv::Mat& bgr, int) { bgr.convertTo(bgr, -1, 0.1, 240); };
  }
  SUBCASE("frozen") {
    kind = "frozen";
    fault = [](cv::Mat&, int) {};
    still = true;
  }
  stage.empty(100);
  stage.play(500, fault, still);
  stage.empty(100);
  CHECK(stage.told() == kind + " start, " + kind + " end");
}

TEST_CASE("somebody pacing before a bare wall has not turned the camera") {
  Stage stage{with_zone(ZoneRule::intrusion)};
  const auto wall = [](cv::Mat& bgr) { bgr = bgr * 0.05 + cv::Scalar{150, 160, 160}; };
  stage.play(kLearned, [&](cv::Mat& bgr, int) { wall(bgr); });
  stage.play(200, [&](cv::Mat& bgr, int i) {
    wall(bgr);
    support::draw_thing(bgr, {i < 20 ? i * 6 : 120 + std::abs(i % 60 - 30) * 2, 70, 50, 150});
  });
  CHECK(stage.told() == "intrusion start");
  stage.play(100, [](cv::Mat& bgr, int) { cv::flip(bgr, bgr, 0); });
  CHECK(stage.told() == "intrusion start, turned start, intrusion end");
}

TEST_CASE("where what is seen keeps changing to and fro, as leaves do, specks are no thing, and who stands there is") {
  const cv::Rect tree{80, 20, 160, 96};
  Foreground foreground{kPicture};
  cv::RNG chance{7};
  double found = 0;
  constexpr int kAll = 450;
  for (int i = 0; i < kAll; ++i) {
    cv::Mat bgr = support::scene(kPicture, i);
    for (int x = tree.x; x < tree.br().x; x += 4) {
      for (int y = tree.y; y < tree.br().y; y += 4) {
        if (chance.uniform(0, 10) < 3) bgr({x, y, 4, 4}).setTo(cv::Scalar{chance.uniform(0.0, 255.0), chance.uniform(0.0, 255.0), chance.uniform(0.0, 255.0)});
      }
    }
    if (i == kAll - 1) person(bgr, 160, 100);
    const auto& mask = foreground.look(Picture::from_bgr(bgr, static_cast<std::uint64_t>(i + 1), i * Millis{40}));
    if (i >= kAll - 51 && i < kAll - 1) found += cv::countNonZero(mask) * 4.0 / tree.area() / 50;
  }
  CHECK(found < 0.15);
  CHECK(cv::countNonZero(foreground.mask()({74, 20, 12, 30})) > 0.8 * 12 * 30);
}

// From the outline inwards: there the picture is of them and of the scene in turns.
TEST_CASE("who stands there and sways is not worn away") {
  constexpr Millis kEighth{125};
  const cv::Scalar coat{45, 40, 40};
  Foreground foreground{kPicture};
  int at_first = 0;
  for (int i = 0; i < 640; ++i) {
    cv::Mat bgr = support::scene(kPicture, i);
    if (i >= 120) {
      cv::Mat shape = cv::Mat::zeros(kPicture, CV_8UC1);
      const double x = 160 + 1.2 * std::sin(0.4 * i);
      cv::ellipse(shape, {{static_cast<float>(x), 150}, {44, 110}, 0}, {255}, cv::FILLED, cv::LINE_AA);
      cv::GaussianBlur(shape, shape, {0, 0}, 1.5);
      cv::Mat three;
      cv::merge(std::vector<cv::Mat>(3, shape), three);
      cv::Mat worn = bgr.mul(cv::Scalar::all(255) - three, 1.0 / 255);
      cv::Mat person{kPicture, CV_8UC3, coat};
      bgr = worn + person.mul(three, 1.0 / 255);
    }
    const auto& mask = foreground.look(Picture::from_bgr(bgr, static_cast<std::uint64_t>(i + 1), i * kEighth));
    if (i == 130) at_first = cv::countNonZero(mask);
  }
  REQUIRE(at_first > 500);
  CHECK(cv::countNonZero(foreground.mask()) > 0.95 * at_first);
}

TEST_CASE("where there are no colours, as by night, a thing differs enough by its brightness alone") {
  const cv::Rect there{140, 100, 40, 60};
  Foreground foreground{kPicture};
  for (int i = 0; i < 150; ++i) {
    cv::Mat bgr = support::scene(kPicture, i) * 0.2 + cv::Scalar::all(60);
    cv::cvtColor(bgr, bgr, cv::COLOR_BGR2GRAY);
    cv::cvtColor(bgr, bgr, cv::COLOR_GRAY2BGR);
    if (i >= 145) bgr(there) += cv::Scalar::all(22);
    const auto& mask = foreground.look(Picture::from_bgr(bgr, static_cast<std::uint64_t>(i + 1), i * kStep));
    if (i >= 20 && i < 145) CHECK(cv::countNonZero(mask) == 0);
  }
  CHECK(cv::countNonZero(foreground.mask()({70, 50, 20, 30})) > 0.8 * 20 * 30);
}

// It was said to have begun up to a second before, as they touched the zone.
TEST_CASE("who walks slowly into a zone is told of as of when they take enough of it") {
  auto camera = with_zone(ZoneRule::motion, {{0.5, 0.6}, {0.6, 0.6}, {0.6, 0.8}, {0.5, 0.8}});  // columns 160 to 192
  camera.zones[0].min_area = 0.5;
  Stage stage{camera};
  stage.empty(kLearned);
  stage.play(90, [](cv::Mat& bgr, int i) { person(bgr, 2 * i, 200); });  // is at the zone in the 74th, half of it theirs in the 82nd
  REQUIRE(stage.told() == "motion start");
  const int began = stage.seen[0].detail.at("frame").get<int>() - kLearned;
  CHECK(began >= 80);
  CHECK(began <= 84);
}

TEST_CASE("what comes in from the picture's edge is told of before all of it is there") {
  Stage stage{with_zone(ZoneRule::intrusion, {{0, 0}, {1, 0}, {1, 1}, {0, 1}})};
  stage.empty(kLearned);
  // A lorry of 160 pixels, 50 pixels a second: all of it is there in 3.2 s.
  stage.play(30, [](cv::Mat& bgr, int i) { support::draw_thing(bgr, cv::Rect{4 * i - 160, 100, 160, 80} & cv::Rect{{}, kPicture}); });
  CHECK(stage.told() == "intrusion start");
}
