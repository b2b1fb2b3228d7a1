// What the video costs the processor. CPU time, one thread: the machine's other work does not count.

#include <cstdint>
#include <ctime>
#include <functional>
#include <vector>

#include <opencv2/core/utility.hpp>
#include <opencv2/video/background_segm.hpp>

#include "cameras/analysis.hpp"
#include "tests/bench/bench.hpp"
#include "tests/support/clip.hpp"

namespace hamlet::bench {
namespace {

constexpr int kFrames = 100;
constexpr Millis kFrame{80};

double cpu_ms() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

// A thing wanders through a noisy scene.
std::vector<cv::Mat> make_frames(cv::Size size) {
  std::vector<cv::Mat> frames;
  for (int i = 0; i < kFrames; ++i) {
    frames.push_back(support::scene(size, i));
    support::draw_thing(frames.back(),
                        {i * size.width / (2 * kFrames), size.height / 3, size.width / 8, size.height / 3});
  }
  return frames;
}

// CPU-ms a frame of what `begin` returns, called for each frame.
using Look = std::function<void(const cv::Mat&, int)>;
std::function<void(benchmark::State&)> per_frame(cv::Size size, const std::function<Look()>& begin) {
  return [size, begin](benchmark::State& state) {
    cv::setNumThreads(1);
    const auto frames = make_frames(size);
    double spent = 0;
    std::int64_t looked = 0;
    for (auto _ : state) {
      const Look look = begin();
      const double before = cpu_ms();
      for (int i = 0; i < kFrames; ++i) look(frames[static_cast<std::size_t>(i)], i);
      spent += cpu_ms() - before;
      looked += kFrames;
    }
    state.counters["value"] = spent / static_cast<double>(looked);
  };
}

// The whole way from a decoded, scaled picture to observations, two zones.
Look our_analysis(cv::Size size) {
  cameras::CameraConfig camera;
  camera.id = "bench";
  const double w = size.width;
  const double h = size.height;
  camera.zones.push_back({"left", {}, {{0, 0}, {w / 2, 0}, {w / 2, h}, {0, h}}});
  camera.zones.push_back({"right", {}, {{w / 2, 0}, {w, 0}, {w, h}, {w / 2, h}}});
  auto analysis = std::make_shared<cameras::Analysis>(camera, size, size);
  return [analysis, size](const cv::Mat& bgr, int i) {
    const cameras::Picture picture{bgr, size, static_cast<std::uint64_t>(i + 1), i * kFrame};
    benchmark::DoNotOptimize(analysis->process(picture, mono_from_ms(0) + picture.media));
  };
}

Look plain_mog2() {
  auto background = cv::createBackgroundSubtractorMOG2();
  return [background, mask = cv::Mat{}](const cv::Mat& bgr, int) mutable { background->apply(bgr, mask); };
}

void add_size(const char* name, cv::Size size) {
  add(Figure{.name = name,
             .unit = "ms",
             .ours = per_frame(size, [size] { return our_analysis(size); }),
             .versus = "plain MOG2 on the same frames",
             .theirs = per_frame(size, [] { return plain_mog2(); }),
             .iterations = 2});
}

}  // namespace

void register_cameras_figures() {
  add_size("cameras.ms_per_frame", {640, 360});
  add_size("cameras.ms_per_frame_small", {320, 180});
}

}  // namespace hamlet::bench
