#include "cameras/evidence.hpp"

#include <doctest/doctest.h>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>
#include <turbojpeg.h>

#include "tests/support/clip.hpp"

using namespace hamlet;
using namespace hamlet::cameras;

namespace {

// How much neighbouring pixels differ: detail.
double detail_in(const cv::Mat& bgr, cv::Rect where) {
  cv::Mat grey;
  cv::Mat edges;
  cv::cvtColor(bgr(where), grey, cv::COLOR_BGR2GRAY);
  cv::Laplacian(grey, edges, CV_16S);
  cv::Scalar mean;
  cv::Scalar deviation;
  cv::meanStdDev(edges, mean, deviation);
  return deviation[0];
}

cv::Mat black(cv::Size size) {
  return cv::Mat::zeros(size, CV_8UC1);
}

}  // namespace

TEST_CASE("outside the zone, and where something moved, no detail is left") {
  const cv::Size size{640, 360};
  cv::Mat picture(size, CV_8UC3);
  cv::RNG{1}.fill(picture, cv::RNG::UNIFORM, 0, 255);
  const cv::Rect inside{160, 80, 320, 200};
  const cv::Rect moving{200, 120, 60, 120};
  cv::Mat zone = black(size);
  cv::Mat moved = black(size);
  zone(inside).setTo(255);
  moved(moving).setTo(255);

  const cv::Mat shown = masked(picture, zone, moved);

  REQUIRE(shown.size() == size);
  const double full = detail_in(picture, {0, 0, 640, 360});
  CHECK(detail_in(shown, {0, 0, 150, 360}) < full / 20);
  CHECK(detail_in(shown, {0, 290, 640, 70}) < full / 20);
  CHECK(detail_in(shown, moving) < full / 5);
  CHECK(detail_in(shown, {300, 100, 150, 150}) == doctest::Approx(detail_in(picture, {300, 100, 150, 150})));
  // Six tiles across the moving thing's width: neighbours within one tile are the same.
  CHECK(cv::norm(shown(cv::Rect{201, 121, 1, 8}), shown(cv::Rect{203, 121, 1, 8}), cv::NORM_INF) == 0);
}

TEST_CASE("what moves outside the zone is as coarse as the rest there") {
  const cv::Size size{320, 240};
  cv::Mat picture(size, CV_8UC3);
  cv::RNG{1}.fill(picture, cv::RNG::UNIFORM, 0, 255);
  cv::Mat moved = black(size);
  moved(cv::Rect{10, 10, 300, 200}).setTo(255);
  const cv::Mat with = masked(picture, black(size), moved);
  const cv::Mat without = masked(picture, black(size), black(size));
  CHECK(cv::norm(with, without, cv::NORM_INF) == 0);
}

TEST_CASE("a JPEG is one, and as small as was asked for") {
  const cv::Mat picture = support::scene({640, 360}, 1);
  const auto jpeg = encode_jpeg(picture, 64u << 10);
  REQUIRE(jpeg);
  CHECK(jpeg->size() <= 64u << 10);

  auto* handle = tjInitDecompress();
  int width = 0;
  int height = 0;
  int sampling = 0;
  int colours = 0;
  const auto* bytes = reinterpret_cast<const unsigned char*>(jpeg->data());
  CHECK(tjDecompressHeader3(handle, bytes, jpeg->size(), &width, &height, &sampling, &colours) == 0);
  tjDestroy(handle);
  CHECK(width == 640);
  CHECK(height == 360);

  cv::Mat noise(360, 640, CV_8UC3);
  cv::RNG{1}.fill(noise, cv::RNG::UNIFORM, 0, 255);
  const auto small = encode_jpeg(noise, 64u << 10);
  REQUIRE(small);
  CHECK(small->size() <= 64u << 10);
  CHECK(encode_jpeg(noise, 100).error().code == Errc::full);
}

TEST_CASE("a thumbnail fits however much there is to see, and whatever the picture's shape") {
  for (const cv::Size size : {cv::Size{640, 360}, cv::Size{352, 640}, cv::Size{64, 360}, cv::Size{640, 32}}) {
    CAPTURE(size.width);
    cv::Mat noise(size.height / 3, size.width / 3, CV_8UC3);
    cv::randu(noise, cv::Scalar::all(0), cv::Scalar::all(256));
    cv::resize(noise, noise, size, 0, 0, cv::INTER_NEAREST);
    CHECK(encode_thumbnail(noise, 4 << 10));
    CHECK(encode_jpeg(noise, 64 << 10));
  }
}
