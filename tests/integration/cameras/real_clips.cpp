// The real hamlet-eyes on real surveillance pictures whose truth is known (HAMLET_TEST_DATA). How good the detector has
// to be is held here: a change that loses events fails.

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <utility>

#include <doctest/doctest.h>

#include "tests/integration/cameras/harness.hpp"

using namespace hamlet;
using namespace hamlet::tests;
namespace fs = std::filesystem;

namespace {

using Interval = std::pair<int, int>;  // frames, first and last

// Its place, or nothing; says so.
std::optional<fs::path> test_data(const std::string& name) {
  const char* root = std::getenv("HAMLET_TEST_DATA");
  const fs::path path = fs::path{root != nullptr ? root : ""} / "cameras" / name;
  if (fs::exists(path)) return path;
  MESSAGE("skipped: there is no ", path.string());
  return std::nullopt;
}

// The frames of each event of a zone, by its start and end.
std::vector<Interval> events_in(const Harness& harness, const std::string& zone) {
  std::vector<Interval> out;
  for (const auto& one : harness.seen) {
    if (one.what.zone != zone) continue;
    const int frame = one.what.detail.at("frame");
    if (one.what.phase == Phase::start) out.emplace_back(frame, frame);
    if (one.what.phase == Phase::end) out.back().second = frame;
  }
  return out;
}

bool overlap(Interval a, Interval b) {
  return a.first <= b.second && b.first <= a.second;
}

int count_met(const std::vector<Interval>& these, const std::vector<Interval>& those) {
  return static_cast<int>(std::count_if(these.begin(), these.end(), [&](Interval one) {
    return std::any_of(those.begin(), those.end(), [&](Interval other) { return overlap(one, other); });
  }));
}

struct Score {
  int occupied = 0;
  int found = 0;
  int told = 0;
  int right = 0;
};

// Plays a sequence of pictures and compares each zone's events with the truth, from the first frame that is judged.
Score judge(const fs::path& cameras, const std::string& sequence) {
  const auto truth = nlohmann::json::parse(std::ifstream{cameras / "events.json"}).at(sequence);
  auto camera = file_camera(sequence, cameras / sequence / "input" / "in%06d.jpg", 320, 240);
  camera.max_fps = 25;
  camera.zones.clear();
  for (const auto& [id, zone] : truth.at("zones").items()) {
    camera.zones.push_back({id, {id, id}, zone.at("polygon"), zone.at("cover"), Millis{120}, Millis{480}});
  }
  Harness harness{Harness::With::eyes};
  REQUIRE(harness.link.start({camera}));
  REQUIRE(harness.until([&] { return harness.state_of(sequence) == "down ended"; }, std::chrono::seconds{100}));

  Score score;
  const int from = truth.at("evaluated_frames").at(0);
  for (const auto& [id, zone] : truth.at("zones").items()) {
    const auto occupied = zone.at("occupied").get<std::vector<Interval>>();
    auto told = events_in(harness, id);
    std::erase_if(told, [from](Interval one) { return one.second < from; });
    score.occupied += static_cast<int>(occupied.size());
    score.found += count_met(occupied, told);
    score.told += static_cast<int>(told.size());
    score.right += count_met(told, occupied);
  }
  MESSAGE(sequence, ": found ", score.found, " of ", score.occupied, "; right ", score.right, " of ", score.told);
  return score;
}

}  // namespace

TEST_CASE("cars on a road are found where and when they were") {
  const auto clip = test_data("traffic_camera.mp4");
  if (!clip) return;
  auto camera = file_camera("road", *clip, 1280, 720);
  camera.zones[0].polygon = {{631, 532}, {841, 532}, {841, 659}, {631, 659}};
  camera.zones[0].min_area = 0.03;
  camera.zones[0].hold = Millis{2'000};
  Harness harness{Harness::With::eyes};
  REQUIRE(harness.link.start({camera}));
  REQUIRE(harness.until([&] { return harness.state_of("road") == "down ended"; }, std::chrono::seconds{100}));

  const std::vector<Interval> truth{{9, 149}, {358, 491}, {542, 576}};
  const auto told = events_in(harness, "all");
  CHECK(count_met(truth, told) == 3);
  CHECK(count_met(told, truth) == static_cast<int>(told.size()));
  CHECK(told.size() <= 4);
  for (const auto& end : harness.seen_in("all", Phase::end)) CHECK(end.jpeg.size() > 1000);
}

TEST_CASE("cars on a motorway are found, lane by lane") {
  const auto data = test_data("highway");
  if (!data) return;
  const auto score = judge(data->parent_path(), "highway");
  CHECK(score.found >= score.occupied * 8 / 10);
  CHECK(score.right >= score.told * 9 / 10);
}

TEST_CASE("a camera that shakes on its pole finds what passes, and little else") {
  const auto data = test_data("traffic");
  if (!data) return;
  const auto score = judge(data->parent_path(), "traffic");
  CHECK(score.found >= score.occupied * 8 / 10);
  CHECK(score.right >= score.told * 8 / 10);
}
