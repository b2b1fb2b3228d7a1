// The real pipeline over a folder of sequences, judged by pixel and by event. See tests/bench/cambench.

#include <algorithm>
#include <cmath>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <optional>
#include <set>
#include <sstream>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <opencv2/core/utility.hpp>
#include <opencv2/imgproc.hpp>
#include <png.h>

#include "cameras/analysis.hpp"
#include "cameras/capture.hpp"
#include "firmware/core/command_line.hpp"

using namespace hamlet;
using namespace hamlet::cameras;
using nlohmann::json;
namespace fs = std::filesystem;

namespace {

// Labels of CDnet 2014.
constexpr int kTruthShadow = 50;
constexpr int kTruthMoving = 255;

struct Pixels {
  std::uint64_t right = 0;   // moving, found
  std::uint64_t wrong = 0;   // still, found
  std::uint64_t missed = 0;  // moving, not found
  std::uint64_t shadow = 0;  // of `wrong`, what is a shadow
  [[nodiscard]] double recall() const { return ratio(right, right + missed); }
  [[nodiscard]] double precision() const { return ratio(right, right + wrong); }
  [[nodiscard]] double f() const { return ratio(2 * right, 2 * right + wrong + missed); }
  static double ratio(std::uint64_t part, std::uint64_t whole) {
    return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
  }
};

struct Crossing {
  std::string line;
  int frame = 0;
  std::string direction;
  std::string box{};
};

struct Interval {
  std::string zone;
  int first = 0;
  int last = 0;
  int announced = 0;
  std::string what{};
};

struct Events {
  std::size_t truth = 0;
  std::size_t told = 0;
  std::size_t matched = 0;
  double latest = 0;  // s, from the start of an event to its announcement
  [[nodiscard]] double f() const { return truth + told == 0 ? 1 : 2 * static_cast<double>(matched) / static_cast<double>(truth + told); }
};

struct Row {
  std::string name;
  int frames = 0;
  double cpu_ms = 0;  // a frame: the whole analysis
  std::optional<Pixels> pixels;
  std::optional<Events> events;
  std::optional<Events> crossings;
};

struct Sequence {
  std::string name;
  std::string source;     // as CameraConfig has it
  fs::path truth;         // folder of masks
  json zones = json::object();
  std::map<std::string, Polygon> lines{};
  std::vector<Crossing> crossings{};  // truth
  double fps = 0;         // 0: as the source says
  int judged_from = 1;
  int judged_to = 1 << 30;
};

double cpu_ms() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

cv::Mat read_png(const fs::path& file) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  if (png_image_begin_read_from_file(&image, file.c_str()) == 0) return {};
  image.format = PNG_FORMAT_GRAY;
  cv::Mat out(static_cast<int>(image.height), static_cast<int>(image.width), CV_8UC1);
  if (png_image_finish_read(&image, nullptr, out.data, 0, nullptr) == 0) return {};
  return out;
}

void write_png(const fs::path& file, const cv::Mat& mask) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = static_cast<png_uint_32>(mask.cols);
  image.height = static_cast<png_uint_32>(mask.rows);
  image.format = PNG_FORMAT_GRAY;
  image.flags = PNG_IMAGE_FLAG_FAST;
  if (png_image_write_to_file(&image, file.c_str(), 0, mask.data, static_cast<png_int_32>(mask.step[0]), nullptr) == 0) {
    throw std::runtime_error(fmt::format("{}: {}", file.string(), image.message));
  }
}

bool is_video(const fs::path& file) {
  static const std::set<std::string> kinds{".mp4", ".avi", ".mkv", ".mov", ".mpg", ".ts", ".webm", ".mjpeg", ".h264", ".h265"};
  return fs::is_regular_file(file) && kinds.contains(file.extension().string());
}

// "in%06d.jpg" of the first picture in a folder.
std::optional<std::string> pattern_in(const fs::path& folder) {
  if (!fs::is_directory(folder)) return std::nullopt;
  std::optional<std::string> first;
  for (const auto& entry : fs::directory_iterator{folder}) {
    const auto name = entry.path().filename().string();
    const auto kind = entry.path().extension();
    if (kind != ".jpg" && kind != ".png" && kind != ".bmp" && kind != ".jpeg") continue;
    if (!first || name < *first) first = name;
  }
  if (!first) return std::nullopt;
  const auto end = first->find_last_of("0123456789");
  if (end == std::string::npos) return std::nullopt;
  auto begin = first->find_last_not_of("0123456789", end);
  begin = begin == std::string::npos ? 0 : begin + 1;
  return (folder / fmt::format("{}%0{}d{}", first->substr(0, begin), end - begin + 1, first->substr(end + 1))).string();
}

std::vector<Sequence> sequences_in(const fs::path& folder) {
  json all = json::object();
  if (std::ifstream in{folder / "events.json"}) all = json::parse(in);
  std::vector<Sequence> out;
  for (const auto& entry : fs::directory_iterator{folder}) {
    Sequence one;
    const auto& path = entry.path();
    one.name = path.filename().string();
    if (is_video(path)) {
      one.source = "file:" + fs::absolute(path).string();
      if (!all.contains(one.name)) one.name = path.stem().string();
    } else if (const auto pattern = pattern_in(path / "input")) {
      one.source = "file:" + fs::absolute(*pattern).string();
      if (fs::is_directory(path / "groundtruth")) one.truth = path / "groundtruth";
      if (std::ifstream in{path / "temporalROI.txt"}) in >> one.judged_from >> one.judged_to;
    } else {
      continue;
    }
    if (all.contains(one.name)) {
      const auto& told = all.at(one.name);
      one.fps = told.value("fps", 0.0);
      one.zones = told.value("zones", json::object());
      if (told.contains("evaluated_frames")) {
        one.judged_from = told.at("evaluated_frames").at(0);
        one.judged_to = told.at("evaluated_frames").at(1);
      }
    }
    out.push_back(std::move(one));
  }
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return out;
}

// Where people's feet cross a line, by the boxes that somebody has drawn: "frame,id,left,top,width,height,…".
std::vector<Crossing> crossings_in(const fs::path& boxes, const std::map<std::string, Polygon>& lines, int from) {
  std::map<int, std::map<int, cv::Point2d>> feet;  // by person, by frame
  std::ifstream in{boxes};
  std::string line;
  while (std::getline(in, line)) {
    std::array<double, 6> numbers{};
    std::istringstream parts{line};
    std::string part;
    for (auto& number : numbers) {
      std::getline(parts, part, ',');
      number = std::stod(part);
    }
    const auto [frame, person, left, top, width, height] = numbers;
    feet[static_cast<int>(person)][static_cast<int>(frame)] = {left + width / 2, top + height};
  }
  std::vector<Crossing> out;
  for (const auto& [id, polygon] : lines) {
    const cv::Point2d a{polygon[0].first, polygon[0].second};
    const cv::Point2d along = cv::Point2d{polygon[1].first, polygon[1].second} - a;
    for (const auto& [person, path] : feet) {
      for (auto one = path.begin(), next = std::next(one); next != path.end(); one = next++) {
        const double before = along.cross(one->second - a);
        const double after = along.cross(next->second - a);
        if ((before < 0) == (after < 0) || next->first < from) continue;
        const cv::Point2d meets = one->second + (next->second - one->second) * (before / (before - after));
        const double at = along.dot(meets - a) / along.dot(along);
        if (at >= 0 && at <= 1) out.push_back({id, next->first, after < 0 ? "left" : "right"});
      }
    }
  }
  return out;
}

// People on a square, with the boxes of PETS 2009 beside the other truth: Debian's opencv-doc has the clip.
std::optional<Sequence> people(const fs::path& folder, const fs::path& clip) {
  const auto boxes = folder / "pets09-s2l1.boxes.txt";
  if (!fs::exists(boxes) || !fs::exists(clip)) return std::nullopt;
  Sequence one;
  one.name = "vtest";
  one.source = "file:" + fs::absolute(clip).string();
  one.judged_from = 51;
  one.lines = {{"square", {{346, 138}, {346, 323}}}, {"road", {{430, 250}, {700, 420}}}};
  one.crossings = crossings_in(boxes, one.lines, one.judged_from);
  return one;
}

CameraConfig camera_of(const Sequence& sequence) {
  CameraConfig camera;
  camera.id = "bench";
  camera.source = sequence.source;
  camera.max_fps = 1e6;
  camera.evidence = Evidence::none;
  const double fps = sequence.fps > 0 ? sequence.fps : 25;
  const auto frames = [fps](const json& count) { return Millis{std::llround(count.get<double>() * 1000 / fps)}; };
  for (const auto& [id, zone] : sequence.zones.items()) {
    ZoneConfig config{.id = id, .name = {id, id}, .polygon = zone.at("polygon")};
    config.min_area = zone.value("cover", config.min_area);
    if (zone.contains("min_frames")) config.on_delay = frames(zone.at("min_frames"));
    if (zone.contains("hold_frames")) config.hold = frames(zone.at("hold_frames"));
    camera.zones.push_back(std::move(config));
  }
  for (const auto& [id, polygon] : sequence.lines) {
    ZoneConfig config{.id = id, .name = {id, id}, .polygon = polygon};
    config.rule = ZoneRule::crossing;
    camera.zones.push_back(std::move(config));
  }
  return camera;
}

void judge(const cv::Mat& mask, const cv::Mat& truth, Pixels& pixels) {
  for (int row = 0; row < truth.rows; ++row) {
    for (int column = 0; column < truth.cols; ++column) {
      const int label = truth.at<std::uint8_t>(row, column);
      const bool found = mask.at<std::uint8_t>(row, column) != 0;
      if (label == kTruthMoving) {
        ++(found ? pixels.right : pixels.missed);
      } else if (found && (label == 0 || label == kTruthShadow)) {
        ++pixels.wrong;
        pixels.shadow += label == kTruthShadow;
      }
    }
  }
}

// One to one, overlapping, starts within a second.
Events judge(const Sequence& sequence, const std::vector<Interval>& told, double fps) {
  Events out;
  std::map<std::string, std::vector<std::pair<int, int>>> truth;
  for (const auto& [id, zone] : sequence.zones.items()) {
    for (const auto& one : zone.value("occupied", json::array())) truth[id].emplace_back(one.at(0), one.at(1));
    out.truth += truth[id].size();
  }
  for (const auto& one : told) {
    if (one.last < sequence.judged_from || one.first > sequence.judged_to || !truth.contains(one.zone)) continue;
    ++out.told;
    out.latest = std::max(out.latest, (one.announced - one.first) / fps);
    auto& open = truth[one.zone];
    const auto match = std::find_if(open.begin(), open.end(), [&](const auto& real) {
      return std::abs(real.first - one.first) <= fps && one.first <= real.second && real.first <= one.last;
    });
    if (match == open.end()) continue;
    ++out.matched;
    open.erase(match);
  }
  return out;
}

// One to one, the same way, within a second.
Events judge_crossings(const Sequence& sequence, const std::vector<Crossing>& told, double fps) {
  Events out{.truth = sequence.crossings.size()};
  auto open = sequence.crossings;
  for (const auto& one : told) {
    if (one.frame < sequence.judged_from) continue;
    ++out.told;
    auto best = open.end();
    for (auto real = open.begin(); real != open.end(); ++real) {
      if (real->line != one.line || real->direction != one.direction || std::abs(real->frame - one.frame) > fps) continue;
      if (best == open.end() || std::abs(real->frame - one.frame) < std::abs(best->frame - one.frame)) best = real;
    }
    if (best == open.end()) continue;
    ++out.matched;
    open.erase(best);
  }
  return out;
}

class Run {
 public:
  Run(Sequence sequence, fs::path out) : sequence_{std::move(sequence)}, out_{std::move(out)} {}

  Row run(bool quiet) {
    const auto camera = camera_of(sequence_);
    const std::atomic<bool> cancel{false};
    auto capture = Capture::open(camera, cancel);
    if (!capture) throw std::runtime_error(fmt::format("{}: {}", sequence_.name, capture.error().message));
    if (!out_.empty()) fs::create_directories(out_);
    if (!sequence_.truth.empty()) row_.pixels.emplace();
    std::optional<Analysis> analysis;
    while (true) {
      auto picture = capture->read();
      if (!picture) throw std::runtime_error(fmt::format("{}: {}", sequence_.name, picture.error().message));
      if (!*picture) break;
      look(camera, analysis, **std::move(picture));
    }
    if (analysis) keep(analysis->finish("ended"), row_.frames);
    row_.name = sequence_.name;
    row_.cpu_ms /= std::max(1, row_.frames);
    if (!sequence_.zones.empty()) row_.events = judge(sequence_, events_, fps_);
    if (!sequence_.lines.empty()) row_.crossings = judge_crossings(sequence_, crossings_, fps_);
    if (!out_.empty()) write_events();
    if (!quiet) print_events();
    return row_;
  }

 private:
  void look(const CameraConfig& camera, std::optional<Analysis>& analysis, Picture picture) {
    const int number = static_cast<int>(picture.number);
    if (sequence_.fps > 0) {
      picture.media = Millis{std::llround((number - 1) * 1000 / sequence_.fps)};
      fps_ = sequence_.fps;
    } else if (picture.media > Millis{0}) {
      fps_ = (number - 1) * 1000.0 / static_cast<double>(picture.media.count());
    }
    media_ = picture.media;
    if (!analysis) analysis.emplace(camera, picture.source, picture.size());
    const double before = cpu_ms();
    auto messages = analysis->process(picture, mono_from_ms(0) + picture.media);
    row_.cpu_ms += cpu_ms() - before;
    cv::Mat mask;
    cv::resize(analysis->foreground().mask(), mask, picture.source, 0, 0, cv::INTER_LINEAR);
    cv::threshold(mask, mask, 127, 255, cv::THRESH_BINARY);
    keep(std::move(messages), number);
    // A frame that did not decode shows what the one before did.
    for (int frame = row_.frames + 1; frame <= number; ++frame) take(frame, frame == number ? mask : last_mask_);
    last_mask_ = mask;
    row_.frames = number;
  }

  void take(int frame, const cv::Mat& mask) {
    if (mask.empty()) return;
    if (!out_.empty()) write_png(out_ / fmt::format("bin{:06}.png", frame), mask);
    if (sequence_.truth.empty() || frame < sequence_.judged_from || frame > sequence_.judged_to) return;
    const auto truth = read_png(sequence_.truth / fmt::format("gt{:06}.png", frame));
    if (truth.size() == mask.size()) judge(mask, truth, *row_.pixels);
  }

  void keep(std::vector<Message> messages, int frame) {
    for (const auto& message : messages) {
      const auto* seen = std::get_if<Observation>(&message.body);
      if (seen == nullptr || seen->zone == kWholePicture) continue;  // its faults are no events of a zone
      const int at = seen->detail.at("frame");
      if (seen->phase == Phase::once) {
        const auto ago = (seen->detail.at("media_ms").get<double>() - static_cast<double>(media_.count())) / 1000;
        crossings_.push_back({seen->zone, static_cast<int>(std::lround(at + ago * fps_)), seen->detail.at("direction"), seen->detail.at("box").dump()});
      }
      if (seen->phase == Phase::start) {
        open_[seen->event] = events_.size();
        events_.push_back({seen->zone, at, at, frame});
      } else if (open_.contains(seen->event)) {
        auto& event = events_[open_[seen->event]];
        event.last = at;
        event.what = seen->detail.value("class", event.what);
      }
    }
  }

  void write_events() const {
    json all = json::array();
    for (const auto& one : events_) {
      all.push_back({{"zone", one.zone}, {"start_frame", one.first}, {"end_frame", one.last}, {"announced_frame", one.announced}, {"class", one.what}});
    }
    std::ofstream{out_ / "events.json"} << all.dump(1) << '\n';
  }

  void print_events() const {
    for (const auto& one : sequence_.crossings) fmt::print("  truth {} {} {}\n", one.line, one.frame, one.direction);
    for (const auto& one : crossings_) fmt::print("  told  {} {} {} {}\n", one.line, one.frame, one.direction, one.box);
    for (const auto& one : events_) {
      fmt::print("  {} {}: {}-{}, announced {} {}\n", sequence_.name, one.zone, one.first, one.last, one.announced, one.what);
    }
  }

  Sequence sequence_;
  fs::path out_;
  Row row_;
  double fps_ = 25;
  cv::Mat last_mask_;
  Millis media_{};
  std::vector<Crossing> crossings_;
  std::vector<Interval> events_;
  std::map<std::string, std::size_t> open_;
};

void print(const std::vector<Row>& rows) {
  fmt::print("{:<24} {:>6} {:>8} {:>9} {:>7} {:>7} {:>7} {:>7}   {}\n", "sequence", "frames", "CPU ms", "precision", "recall", "F", "shadow",
             "event F", "matched/truth/told, latest s");
  double f = 0;
  int judged = 0;
  Events pooled;
  for (const auto& row : rows) {
    fmt::print("{:<24} {:>6} {:>8.2f} ", row.name, row.frames, row.cpu_ms);
    if (row.pixels) {
      fmt::print("{:>9.3f} {:>7.3f} {:>7.3f} {:>7.3f} ", row.pixels->precision(), row.pixels->recall(), row.pixels->f(),
                 Pixels::ratio(row.pixels->shadow, row.pixels->wrong + row.pixels->right));
      f += row.pixels->f();
      ++judged;
    } else {
      fmt::print("{:>9} {:>7} {:>7} {:>7} ", "-", "-", "-", "-");
    }
    if (row.events) {
      fmt::print("{:>7.3f}   {}/{}/{}, {:.2f}", row.events->f(), row.events->matched, row.events->truth, row.events->told, row.events->latest);
      pooled.truth += row.events->truth;
      pooled.told += row.events->told;
      pooled.matched += row.events->matched;
      pooled.latest = std::max(pooled.latest, row.events->latest);
    }
    if (row.crossings) {
      fmt::print("{:>7.3f}   crossings {}/{}/{}", row.crossings->f(), row.crossings->matched, row.crossings->truth, row.crossings->told);
    }
    fmt::print("\n");
  }
  fmt::print("mean F {:.3f}; events pooled F {:.3f} ({}/{}/{}), latest announced after {:.2f} s\n", judged ? f / judged : 0.0, pooled.f(),
             pooled.matched, pooled.truth, pooled.told, pooled.latest);
}

json to_json(const Row& row) {
  json out{{"sequence", row.name}, {"frames", row.frames}, {"cpu_ms", row.cpu_ms}};
  if (row.pixels) out.update({{"precision", row.pixels->precision()}, {"recall", row.pixels->recall()}, {"f", row.pixels->f()}});
  if (row.events) {
    out["events"] = {{"truth", row.events->truth}, {"told", row.events->told}, {"matched", row.events->matched}, {"f", row.events->f()}, {"latest_s", row.events->latest}};
  }
  if (row.crossings) {
    out["crossings"] = {{"truth", row.crossings->truth}, {"told", row.crossings->told}, {"matched", row.crossings->matched}, {"f", row.crossings->f()}};
  }
  return out;
}

}  // namespace

int main(int argc, char** argv) try {
  using Line = hamlet::CommandLine;
  Line line{"The camera pipeline over every sequence of a folder, judged by pixel and by event."};
  fs::path folder;
  fs::path out;
  fs::path clip = "/usr/share/doc/opencv-doc/examples/data/vtest.avi";
  bool as_json = false;
  bool events = false;
  std::string only;
  line.path("folder", folder, "sequences: NAME/input/in%06d.jpg, NAME/groundtruth/gt%06d.png, video files; events.json",
            Line::Given::always, Line::Names::folder);
  line.path("--out", out, "write NAME/bin%06d.png and NAME/events.json here");
  line.text("--only", only, "this sequence alone");
  line.path("--vtest", clip, "Debian opencv-doc's vtest.avi, judged where FOLDER has its pets09-s2l1.boxes.txt");
  line.flag("--json", as_json, "a line a sequence");
  line.flag("--events", events, "print each event");
  if (const auto ends = line.parse(argc, argv)) return *ends;
  cv::setNumThreads(1);
  std::vector<Row> rows;
  auto sequences = sequences_in(folder);
  if (auto more = people(folder, clip)) sequences.push_back(*std::move(more));
  for (const auto& sequence : sequences) {
    if (!only.empty() && sequence.name != only) continue;
    rows.push_back(Run{sequence, out.empty() ? out : out / sequence.name}.run(!events));
    if (as_json) std::cout << to_json(rows.back()).dump() << std::endl;
  }
  if (!as_json) print(rows);
  return 0;
} catch (const std::exception& error) {
  std::cerr << "hamlet-cambench: " << error.what() << '\n';
  return 1;
}
