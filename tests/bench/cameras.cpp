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

// A noisy scene, and where `moves` a thing that wanders through it.
std::vector<cv::Mat> make_frames(cv::Size size, bool moves) {
  std::vector<cv::Mat> frames;
  for (int i = 0; i < kFrames; ++i) {
    frames.push_back(support::scene(size, i));
    if (!moves) continue;
    support::draw_thing(frames.back(),
                        {i * size.width / (2 * kFrames), size.height / 3, size.width / 8, size.height / 3});
  }
  return frames;
}

// CPU-ms a frame of what `begin` returns, called for each frame.
using Look = std::function<void(const cv::Mat&, const cameras::Picture&)>;
std::function<void(benchmark::State&)> per_frame(cv::Size size, bool moves, const std::function<Look()>& begin) {
  return [size, moves, begin](benchmark::State& state) {
    cv::setNumThreads(1);
    const auto frames = make_frames(size, moves);
    std::vector<cameras::Picture> pictures;
    for (const auto& frame : frames) {
      pictures.push_back(cameras::Picture::from_bgr(frame, pictures.size() + 1, pictures.size() * kFrame));
    }
    double spent = 0;
    std::int64_t looked = 0;
    for (auto _ : state) {
      const Look look = begin();
      const double before = cpu_ms();
      for (std::size_t i = 0; i < frames.size(); ++i) look(frames[i], pictures[i]);
      spent += cpu_ms() - before;
      looked += kFrames;
    }
    state.counters["value"] = spent / static_cast<double>(looked);
  };
}

Look our_foreground(cv::Size size) {
  auto foreground = std::make_shared<cameras::Foreground>(size);
  return [foreground](const cv::Mat&, const cameras::Picture& picture) {
    benchmark::DoNotOptimize(foreground->look(picture).data);
  };
}

// The whole way from a decoded, scaled picture to observations, two zones.
Look our_analysis(cv::Size size) {
  cameras::CameraConfig camera;
  camera.id = "bench";
  camera.zones.push_back({"left", {}, {{0, 0}, {0.5, 0}, {0.5, 1}, {0, 1}}});
  camera.zones.push_back({"right", {}, {{0.5, 0}, {1, 0}, {1, 1}, {0.5, 1}}});
  auto analysis = std::make_shared<cameras::Analysis>(camera, size, size);
  return [analysis](const cv::Mat&, const cameras::Picture& picture) {
    benchmark::DoNotOptimize(analysis->process(picture, mono_from_ms(0) + picture.media));
  };
}

Look plain_mog2() {
  auto background = cv::createBackgroundSubtractorMOG2();
  return [background, mask = cv::Mat{}](const cv::Mat& bgr, const cameras::Picture&) mutable {
    background->apply(bgr, mask);
  };
}

void add_row(const char* name, cv::Size size, bool moves, const std::function<Look(cv::Size)>& ours) {
  add(Figure{.name = name,
             .unit = "ms",
             .ours = per_frame(size, moves, [size, ours] { return ours(size); }),
             .versus = "plain MOG2 on the same frames",
             .theirs = per_frame(size, moves, plain_mog2),
             .iterations = 2});
}

}  // namespace

void register_cameras_figures() {
  add_row("cameras.cost", {320, 240}, true, our_foreground);
  add_row("cameras.busy_vs_mog2", {640, 360}, true, our_analysis);
  add_row("cameras.quiet_vs_mog2", {640, 360}, false, our_analysis);
}

}  // namespace hamlet::bench
