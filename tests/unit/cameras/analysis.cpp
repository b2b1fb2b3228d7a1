#include "cameras/analysis.hpp"

#include <doctest/doctest.h>
#include <opencv2/imgproc.hpp>
#include <turbojpeg.h>

#include "tests/support/clip.hpp"

using namespace hamlet;
using namespace hamlet::cameras;

namespace {

constexpr Millis kFrame{80};
const cv::Size kSize{320, 240};

CameraConfig yard() {
  CameraConfig camera;
  camera.id = "yard";
  // The right half, and a strip at the left edge.
  camera.zones.push_back({"right", {}, {{160, 0}, {320, 0}, {320, 240}, {160, 240}}, 0.02, Millis{160}, Millis{800}});
  camera.zones.push_back({"edge", {}, {{0, 0}, {20, 0}, {20, 240}, {0, 240}}, 0.02, Millis{160}, Millis{800}});
  return camera;
}

cv::Mat decoded(const std::string& jpeg) {
  auto* handle = tjInitDecompress();
  const auto* bytes = reinterpret_cast<const unsigned char*>(jpeg.data());
  int width = 0;
  int height = 0;
  int sampling = 0;
  int colours = 0;
  REQUIRE(tjDecompressHeader3(handle, bytes, jpeg.size(), &width, &height, &sampling, &colours) == 0);
  cv::Mat bgr(height, width, CV_8UC3);
  REQUIRE(tjDecompress2(handle, bytes, jpeg.size(), bgr.data, width, 0, height, TJPF_BGR, 0) == 0);
  tjDestroy(handle);
  return bgr;
}

// How many columns of a part differ from their neighbours: those of a pixelated one seldom do.
double columns_that_differ(const cv::Mat& bgr, cv::Rect where) {
  const cv::Mat part = bgr(where);
  int count = 0;
  for (int x = 1; x < part.cols; ++x) count += cv::norm(part.col(x), part.col(x - 1), cv::NORM_L1) > 20.0 * part.rows ? 1 : 0;
  return static_cast<double>(count) / part.cols;
}

// Shows pictures to an analysis and keeps what it says.
class Show {
 public:
  explicit Show(const CameraConfig& camera) : analysis_{camera, kSize, kSize} {}

  // `draw` gets the scene and the number of the frame within this part.
  void play(int frames, const std::function<void(cv::Mat&, int)>& draw, int brightness = 100) {
    for (int i = 0; i < frames; ++i) {
      cv::Mat bgr = support::scene(kSize, number_, brightness);
      draw(bgr, i);
      const auto picture = Picture::from_bgr(bgr, static_cast<std::uint64_t>(number_ + 1), number_ * kFrame);
      keep(analysis_.process(picture, mono_from_ms(1'000'000) + picture.media));
      ++number_;
    }
  }
  void still(int frames, int brightness = 100) {
    play(
        frames, [](cv::Mat&, int) {}, brightness);
  }
  // A thing crosses the right half.
  void pass(int frames) {
    play(frames, [frames](cv::Mat& bgr, int i) { support::draw_thing(bgr, {170 + i * 100 / frames, 80, 30, 60}); });
  }
  [[nodiscard]] cv::Mat snapshot(const cv::Mat& bgr) const {
    const auto picture = Picture::from_bgr(bgr, static_cast<std::uint64_t>(number_ + 1), number_ * kFrame);
    return decoded(analysis_.snapshot(picture, 1, mono_from_ms(0)).binary);
  }
  void finish(std::string_view why) { keep(analysis_.finish(why)); }

  // Updates left out.
  [[nodiscard]] std::vector<Observation> seen(std::string_view zone) const {
    std::vector<Observation> out;
    for (const auto& message : messages) {
      const auto& observation = std::get<Observation>(message.body);
      if (observation.zone == zone && observation.phase != Phase::update) out.push_back(observation);
    }
    return out;
  }

  std::vector<Message> messages;

 private:
  void keep(std::vector<Message> more) {
    for (auto& message : more) messages.push_back(std::move(message));
  }

  Analysis analysis_;
  int number_ = 0;
};

std::vector<std::optional<Phase>> see_all(Occupancy& occupancy, const std::string& moving) {
  std::vector<std::optional<Phase>> out;
  Millis at{};
  for (const char c : moving) {
    out.push_back(occupancy.see(c == '#', at));
    at += Millis{100};
  }
  return out;
}

std::string letters(const std::vector<std::optional<Phase>>& phases) {
  std::string out;
  for (const auto& phase : phases)
    out += !phase ? '.' : *phase == Phase::start ? 'S' : *phase == Phase::end ? 'E' : 'U';
  return out;
}

}  // namespace

TEST_CASE("motion is an event when it lasts, and over when it stays away") {
  Occupancy occupancy{Millis{200}, Millis{300}};
  SUBCASE("a flicker is none") {
    CHECK(letters(see_all(occupancy, "##...##..#.")) == "...........");
  }
  SUBCASE("a start, then an end after the hold") {
    CHECK(letters(see_all(occupancy, "..####......")) == "....S...E...");
  }
  SUBCASE("gaps shorter than the hold are bridged") {
    CHECK(letters(see_all(occupancy, "###..##..##....")) == "..S..........E.");
  }
  SUBCASE("the next one is a new one") {
    CHECK(letters(see_all(occupancy, "###...####...")) == "..S..E..S...E");
  }
}

TEST_CASE("without an on-delay the first motion is the start") {
  Occupancy occupancy{Millis{0}, Millis{300}};
  CHECK(letters(see_all(occupancy, ".#....")) == ".S..E.");
}

TEST_CASE("a long event is told of more and more seldom") {
  Occupancy occupancy{Millis{0}, Millis{300}};
  std::vector<int> updates;
  for (int second = 0; second < 1000; ++second) {
    if (occupancy.see(true, Millis{second * 1000}) == Phase::update) updates.push_back(second);
  }
  CHECK(updates == std::vector<int>{1, 3, 7, 15, 31, 63, 127, 255, 511, 811});

  Occupancy still{Millis{0}, Millis{300}};
  CHECK(still.see(true, Millis{0}) == Phase::start);
  for (int second = 1; second < 100; ++second) CHECK_FALSE(still.see(true, Millis{second * 1000}, false));
  CHECK(still.see(true, Millis{100'000}) == Phase::update);
  CHECK_FALSE(still.see(true, Millis{100'900}));
}

TEST_CASE("a thing that crosses a zone is one event in that zone, with its box and a picture") {
  Show show{yard()};
  show.still(40);
  show.pass(20);
  show.still(30);

  CHECK(show.seen("edge").empty());
  const auto seen = show.seen("right");
  REQUIRE(seen.size() == 2);
  CHECK(seen[0].phase == Phase::start);
  CHECK(seen[1].phase == Phase::end);
  CHECK(seen[0].event == seen[1].event);
  CHECK(seen[0].camera == "yard");
  CHECK(seen[0].detail.at("frame") == 41);
  CHECK(seen[0].at == mono_from_ms(1'000'000) + 40 * kFrame);
  CHECK(seen[1].detail.at("frame") == 60);
  CHECK(seen[1].at == mono_from_ms(1'000'000) + 59 * kFrame);
  CHECK(seen[1].detail.at("duration_ms") == 19 * kFrame.count());
  const auto box = seen[0].detail.at("box").get<std::vector<int>>();
  CHECK(std::abs(box.at(0) - 170) <= 4);
  CHECK(std::abs(box.at(1) - 80) <= 4);
  CHECK(std::abs(box.at(2) - 30) <= 8);
  CHECK(std::abs(box.at(3) - 60) <= 8);
  CHECK(show.messages.front().binary.empty());
  CHECK(show.messages.back().binary.starts_with("\xff\xd8"));
}

TEST_CASE("the same pictures are judged the same") {
  const auto told = [] {
    Show show{yard()};
    show.still(40);
    show.pass(20);
    show.still(30);
    std::string out;
    for (auto& message : show.messages) {
      auto& seen = std::get<Observation>(message.body);
      seen.event = "same";
      out += encode(message);
    }
    return out;
  };
  CHECK(told() == told());
}

TEST_CASE("no picture is made where none is wanted") {
  auto camera = yard();
  camera.evidence = Evidence::none;
  Show show{camera};
  show.still(40);
  show.pass(20);
  show.still(30);
  REQUIRE(show.seen("right").size() == 2);
  CHECK(show.messages.back().binary.empty());
}

TEST_CASE("a still scene is no event, however it began") {
  Show show{yard()};
  SUBCASE("with noise alone") {
    show.still(100);
  }
  SUBCASE("while something moves in the first second") {
    show.pass(10);
    show.still(10);
  }
  CHECK(show.messages.empty());
}

TEST_CASE("lights switched on or off are no event") {
  Show show{yard()};
  show.still(60, 70);
  show.still(60, 150);
  show.still(60, 70);
  CHECK(show.messages.empty());
}

TEST_CASE("motion is seen again after the light has changed") {
  Show show{yard()};
  show.still(60, 150);
  show.still(60, 100);
  show.pass(20);
  show.still(30);
  CHECK(show.seen("right").size() == 2);
}

TEST_CASE("what is open when the source ends is ended, and says why") {
  Show show{yard()};
  show.still(40);
  show.pass(10);
  show.finish("camera-lost");
  const auto seen = show.seen("right");
  REQUIRE(seen.size() == 2);
  CHECK(seen[1].phase == Phase::end);
  CHECK(seen[1].detail.at("why") == "camera-lost");
  show.finish("camera-lost");
  CHECK(show.seen("right").size() == 2);
}

TEST_CASE("a long event sends a picture after its first seconds and with its end") {
  Show show{yard()};
  show.still(40);
  // Here and there, so that it does not become part of the scene.
  show.play(200, [](cv::Mat& bgr, int i) { support::draw_thing(bgr, {165 + i * 37 % 120, i * 61 % 170, 30, 60}); });
  show.still(30);
  std::string phases;
  std::string pictures;
  for (const auto& message : show.messages) {
    phases += "SUE"[static_cast<int>(std::get<Observation>(message.body).phase)];
    pictures += message.binary.empty() ? '-' : 'p';
  }
  CHECK(phases == "SUUUUE");
  CHECK(pictures == "---p-p");
}

TEST_CASE("zones follow the picture when they were drawn on another size") {
  auto camera = yard();
  for (auto& zone : camera.zones) {
    for (auto& [x, y] : zone.polygon) {
      x *= 4;
      y *= 3;
    }
  }
  camera.drawn_on = {kSize.width * 4, kSize.height * 3};
  Show show{camera};
  show.still(40);
  show.pass(20);
  show.still(30);
  CHECK(show.seen("right").size() == 2);
  CHECK(show.seen("edge").empty());
}

TEST_CASE("a snapshot pixelates whoever moves, and everything while the scene is new") {
  Show show{yard()};
  const cv::Rect thing{180, 60, 40, 120};
  const auto striped = [&](cv::Mat& bgr, int shift) {  // like a face, it has more detail than its tiles can show
    for (int x = 0; x < thing.width; x += 4) {
      cv::rectangle(bgr, {thing.x + x + shift, thing.y, 2, thing.height}, {220, 220, 220}, cv::FILLED);
      cv::rectangle(bgr, {thing.x + x + 2 + shift, thing.y, 2, thing.height}, {20, 20, 20}, cv::FILLED);
    }
  };
  show.still(20);
  cv::Mat bgr = support::scene(kSize, 20);
  striped(bgr, 0);
  REQUIRE(columns_that_differ(bgr, thing) > 0.4);
  CHECK(columns_that_differ(show.snapshot(bgr), thing) < 0.2);
  show.still(100);
  show.play(8, [&](cv::Mat& shown, int i) { striped(shown, i - 7); });
  bgr = support::scene(kSize, 128);
  striped(bgr, 0);
  CHECK(columns_that_differ(show.snapshot(bgr), thing) < 0.2);
  CHECK(columns_that_differ(show.snapshot(bgr), {20, 60, 100, 120}) ==
        doctest::Approx(columns_that_differ(bgr, {20, 60, 100, 120})).epsilon(0.3));

  SUBCASE("what a mask covers is blank") {
    auto camera = yard();
    camera.masks.push_back({{0, 0}, {0.5, 0}, {0.5, 1}, {0, 1}});
    Show masked_show{camera};
    masked_show.still(120);
    const auto shown = masked_show.snapshot(support::scene(kSize, 120));
    CHECK(cv::norm(shown({0, 0, 150, 240}), cv::NORM_INF) < 20);
    CHECK(cv::norm(shown({170, 0, 150, 240}), cv::NORM_INF) > 60);
  }
}
