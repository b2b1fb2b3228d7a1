#include "tests/integration/cameras/harness.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <utility>

#include <unistd.h>

namespace hamlet::tests {
namespace fs = std::filesystem;

Harness::Harness(With with, Millis silence)
    : link{io, clock,
           daemon::EyesLink::Options{
               .socket = socket,
               .program = with == With::eyes ? std::optional<fs::path>{support::program("hamlet-eyes")} : std::nullopt,
               .silence = silence,
               .restart_first = Millis{100},
               .restart_most = Millis{500}},
           daemon::EyesLink::Sink{.observation =
                                      [this](cameras::Observation what, daemon::EyesLink::Jpegs jpegs) {
                                        seen.push_back({std::move(what), std::move(jpegs.full), std::move(jpegs.thumbnail)});
                                      },
                                  .event = [this](Event event) { events.push_back(std::move(event)); }}} {}

bool Harness::until(const std::function<bool()>& done, std::chrono::seconds deadline) {
  const auto end = std::chrono::steady_clock::now() + deadline;
  while (!done()) {
    if (std::chrono::steady_clock::now() >= end) return false;
    if (io.stopped()) io.restart();
    io.run_one_for(std::chrono::milliseconds{50});
  }
  return true;
}

nlohmann::json Harness::camera(const std::string& id) const {
  const auto status = link.status();
  for (const auto& camera : status.at("cameras")) {
    if (camera.at("id") == id) return camera;
  }
  return {};
}

std::string Harness::state_of(const std::string& id) const {
  const auto status = camera(id);
  if (status.is_null()) return {};
  const auto state = status.at("state").get<std::string>();
  return status.contains("why") ? state + " " + status.at("why").get<std::string>() : state;
}

std::vector<Seen> Harness::seen_in(const std::string& zone, Phase phase) const {
  std::vector<Seen> out;
  std::copy_if(seen.begin(), seen.end(), std::back_inserter(out),
               [&](const Seen& one) { return one.what.zone == zone && one.what.phase == phase; });
  return out;
}

std::vector<Event> Harness::events_of(const std::string& source, const std::string& kind, Phase phase) const {
  std::vector<Event> out;
  std::copy_if(events.begin(), events.end(), std::back_inserter(out), [&](const Event& event) {
    return event.source == source && event.kind == kind && event.phase == phase;
  });
  return out;
}

bool Harness::nothing_open() const {
  std::vector<std::string> open;
  const auto take = [&open](const std::string& id, Phase phase) {
    if (phase == Phase::start) open.push_back(id);
    if (phase == Phase::end) std::erase(open, id);
  };
  for (const auto& one : seen) take(one.what.event, one.what.phase);
  for (const auto& event : events) take(event.id, event.phase);
  return open.empty();
}

pid_t eyes_child() {
  for (const auto& entry : fs::directory_iterator{"/proc"}) {
    std::ifstream in{entry.path() / "stat"};
    std::string line;
    if (!std::getline(in, line)) continue;
    const auto name_end = line.rfind(')');
    if (name_end == std::string::npos || line.find("(hamlet-eyes)") == std::string::npos) continue;
    std::istringstream rest{line.substr(name_end + 1)};
    std::string state;
    pid_t parent = 0;
    if (rest >> state >> parent && parent == getpid() && state != "Z") return std::stoi(line);
  }
  return 0;
}

cameras::CameraConfig file_camera(const std::string& id, const fs::path& file, int width, int height) {
  cameras::CameraConfig camera;
  camera.id = id;
  camera.name = {id, id};
  camera.source = "file:" + file.string();
  camera.speed = 0;
  const double w = width;
  const double h = height;
  camera.zones.push_back({"all", {"全", "All"}, {{0, 0}, {w, 0}, {w, h}, {0, h}}, 0.005, Millis{160}, Millis{800}});
  return camera;
}

}  // namespace hamlet::tests
