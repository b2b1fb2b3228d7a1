// What the video costs: CPU time and memory, so that the machine's other work counts little; and how fast its process returns.

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <opencv2/core/utility.hpp>
#include <opencv2/video/background_segm.hpp>
#include <sys/resource.h>
#include <unistd.h>

#include "cameras/analysis.hpp"
#include "firmware/core/clock.hpp"
#include "firmware/daemon/eyes_link.hpp"
#include "tests/bench/bench.hpp"
#include "tests/support/clip.hpp"
#include "tests/support/process.hpp"

namespace hamlet::bench::cameras_suite {
namespace {

const auto kEyes = std::filesystem::read_symlink("/proc/self/exe").parent_path().parent_path() / "bin/hamlet-eyes";
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

// CPU-ms a frame of what `begin` returns, called for each frame. Where nothing moves, of a scene that it has seen for a while.
using Look = std::function<void(const cv::Mat&, const cameras::Picture&)>;
std::function<void(benchmark::State&)> per_frame(cv::Size size, bool moves, const std::function<Look()>& begin) {
  return [size, moves, begin](benchmark::State& state) {
    cv::setNumThreads(1);
    const auto frames = make_frames(size, moves);
    std::vector<cameras::Picture> pictures;
    for (const auto& frame : frames) pictures.push_back(cameras::Picture::from_bgr(frame, 1, Millis{0}));
    double spent = 0;
    std::int64_t looked = 0;
    for (auto _ : state) {
      const Look look = begin();
      std::uint64_t number = 0;
      const auto play = [&] {
        for (std::size_t i = 0; i < frames.size(); ++i) {
          pictures[i].number = ++number;
          pictures[i].media = number * kFrame;
          look(frames[i], pictures[i]);
        }
      };
      if (!moves) play();
      const double before = cpu_ms();
      play();
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

// ---- the process ---------------------------------------------------------------------------------------------------

// hamlet-eyes as hamletd runs it, with its own defaults.
class Watching {
 public:
  explicit Watching(std::vector<cameras::CameraConfig> cameras) {
    if (!link_.start(std::move(cameras))) throw std::runtime_error{"no socket for hamlet-eyes"};
  }
  bool until(const std::function<bool()>& done, std::chrono::seconds deadline) {
    const auto end = std::chrono::steady_clock::now() + deadline;
    while (!done()) {
      if (std::chrono::steady_clock::now() > end) return false;
      io_.restart();
      io_.run_one_for(std::chrono::milliseconds{10});
    }
    return true;
  }
  void run_for(std::chrono::seconds time) {
    static_cast<void>(until([] { return false; }, time));
  }
  [[nodiscard]] bool all_up() const {
    const auto status = link_.status();
    return std::all_of(status["cameras"].begin(), status["cameras"].end(), [](const auto& camera) { return camera["state"] == "up"; });
  }
  // Our only child.
  [[nodiscard]] static pid_t process() {
    std::ifstream children{fmt::format("/proc/self/task/{}/children", getpid())};
    pid_t child = 0;
    children >> child;
    return child;
  }

 private:
  support::TempDir folder_;
  boost::asio::io_context io_;
  SystemClock clock_;
  daemon::EyesLink link_{io_, clock_, {.socket = folder_.path() / "eyes.sock", .program = kEyes}, {}};
};

// Somebody walks through for two seconds of twenty; key frames two seconds apart.
std::vector<cameras::CameraConfig> mostly_quiet(std::size_t count) {
  static const support::TempDir folder;
  const auto clip = folder.path() / "quiet.mp4";
  if (!std::filesystem::exists(clip)) {
    support::write_video(clip, 100, [](int frame) {
      cv::Mat bgr = support::scene({640, 360}, frame);
      if (frame >= 50 && frame < 60) support::draw_thing(bgr, {100 + (frame - 50) * 30, 120, 60, 140});
      return bgr;
    }, {.fps = 5, .key_every = 10});
  }
  std::vector<cameras::CameraConfig> cameras(count);
  for (auto& camera : cameras) {
    camera.id = fmt::format("cam-{}", &camera - cameras.data());
    camera.source = "file:" + clip.string();
    camera.loop = true;
    camera.zones.push_back({"all", {}, {{0, 0}, {1, 0}, {1, 1}, {0, 1}}});
  }
  return cameras;
}

// Of a process: seconds of CPU, and MB resident.
struct Cost {
  double cpu_s = 0;
  double rss_mb = 0;
};
Cost cost_of(pid_t process) {
  std::ifstream file{fmt::format("/proc/{}/stat", process)};
  std::string text{std::istreambuf_iterator<char>{file}, {}};
  std::istringstream rest{text.substr(text.rfind(')') + 2)};
  std::vector<std::string> fields{std::istream_iterator<std::string>{rest}, {}};
  const auto number = [&](std::size_t at) { return std::stod(fields.at(at)); };  // field 3 of proc(5) is the first here
  return {(number(11) + number(12)) / static_cast<double>(sysconf(_SC_CLK_TCK)),
          number(21) * static_cast<double>(sysconf(_SC_PAGESIZE)) / 1e6};
}

// Measured once: % of a core after the scenes are known, and MB.
const Cost& nineteen() {
  static const Cost measured = [] {
    constexpr int kSeconds = 40;
    Watching watching{mostly_quiet(19)};
    if (!watching.until([&] { return watching.all_up(); }, std::chrono::seconds{60})) throw std::runtime_error{"cameras do not come up"};
    watching.run_for(std::chrono::seconds{12});
    const auto before = cost_of(Watching::process());
    watching.run_for(std::chrono::seconds{kSeconds});
    const auto after = cost_of(Watching::process());
    return Cost{(after.cpu_s - before.cpu_s) / kSeconds * 100, after.rss_mb};
  }();
  return measured;
}

// Until its camera is up again after `harm`.
double seconds_to_return(const std::function<void(pid_t)>& harm) {
  Watching watching{mostly_quiet(1)};
  if (!watching.until([&] { return watching.all_up(); }, std::chrono::seconds{60})) throw std::runtime_error{"it does not come up"};
  const pid_t first = Watching::process();
  const auto began = std::chrono::steady_clock::now();
  harm(first);
  if (!watching.until([&] { return Watching::process() != first && Watching::process() != 0 && watching.all_up(); }, std::chrono::seconds{60})) {
    throw std::runtime_error{"it does not return"};
  }
  return std::chrono::duration<double>{std::chrono::steady_clock::now() - began}.count();
}

std::function<void(benchmark::State&)> once(const std::function<double()>& measure) {
  return [measure](benchmark::State& state) {
    try {
      for (auto _ : state) state.counters["value"] = measure();
    } catch (const std::exception& error) {
      state.SkipWithError(error.what());
    }
  };
}

}  // namespace

void register_figures() {
  add_row("cameras.cost", {320, 240}, true, our_foreground);
  add_row("cameras.busy_vs_mog2", {640, 360}, true, our_analysis);
  add_row("cameras.quiet_vs_mog2", {640, 360}, false, our_analysis);
  add(Figure{.name = "cameras.nineteen_cpu", .unit = "%", .ours = once([] { return nineteen().cpu_s; }), .iterations = 1});
  add(Figure{.name = "cameras.nineteen_rss", .unit = "MB", .ours = once([] { return nineteen().rss_mb; }), .iterations = 1});
  add(Figure{.name = "cameras.return",
             .unit = "s",
             .ours = once([] {
               const rlimit none{1 << 20, 1 << 20};
               return std::max({seconds_to_return([](pid_t eyes) { kill(eyes, SIGKILL); }),
                                seconds_to_return([](pid_t eyes) { kill(eyes, SIGSTOP); }),
                                seconds_to_return([&none](pid_t eyes) { prlimit(eyes, RLIMIT_AS, &none, nullptr); })});
             }),
             .iterations = 1});
}

}  // namespace hamlet::bench::cameras_suite
