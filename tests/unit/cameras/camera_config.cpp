#include "cameras/camera_config.hpp"

#include <filesystem>
#include <fstream>

#include <doctest/doctest.h>

#include "tests/support/process.hpp"

using namespace hamlet;
using namespace hamlet::cameras;

namespace {

// The diagnostics' text, one a line.
std::string problems_of(std::string_view toml) {
  auto document = config::Document::parse(toml, "t.toml");
  (void)read_cameras(document.root());
  document.finish();
  std::string out;
  for (const auto& diagnostic : document.diagnostics()) out += diagnostic.to_string() + "\n";
  return out;
}

bool says(const std::string& problems, std::string_view words) {
  return problems.find(words) != std::string::npos;
}

constexpr std::string_view kZone = "[[camera.zone]]\nid = \"z\"\npolygon = [[0, 0], [10, 0], [10, 10]]\n";

}  // namespace

TEST_CASE("a camera is read with its zones and defaults") {
  auto document = config::Document::parse(R"(
[[camera]]
id = "ford"
source = "file:/clips/ford.avi"
name = { zh = "渡口", en = "The ford" }
loop = true
drawn_on = [768, 576]
gb28181 = "43012410401320000001"
[[camera.zone]]
id = "water"
name = { zh = "水面", en = "Water" }
polygon = [[0, 0], [100, 0], [100, 50.5]]
min_area = 0.2
hold = "500ms"
[[camera]]
id = "gate"
source = "rtsp://10.0.0.9:8554/main"
user = "viewer"
transport = "udp"
evidence = "none"
enabled = false
)",
                                          "t.toml");
  const auto cameras = read_cameras(document.root());
  document.finish();
  REQUIRE(document.ok());
  REQUIRE(cameras.size() == 2);
  CHECK(cameras[0].name == Text{"渡口", "The ford"});
  CHECK(cameras[0].loop);
  CHECK(cameras[0].evidence == Evidence::masked);
  CHECK(cameras[0].drawn_on == std::pair<double, double>{768, 576});
  REQUIRE(cameras[0].zones.size() == 1);
  CHECK(cameras[0].zones[0].polygon.size() == 3);
  CHECK(cameras[0].zones[0].min_area == 0.2);
  CHECK(cameras[0].zones[0].hold == Millis{500});
  CHECK(cameras[0].zones[0].on_delay == Millis{200});
  CHECK_FALSE(cameras[1].enabled);
  CHECK(cameras[1].transport == Transport::udp);
  CHECK(cameras[1].evidence == Evidence::none);
  CHECK(cameras[1].user == "viewer");
  CHECK(cameras[1].name == Text{"gate", "gate"});
}

TEST_CASE("what is wrong with a camera is said, with what to do") {
  const auto source = [](std::string_view text) {
    return problems_of("[[camera]]\nid = \"a\"\nsource = \"" + std::string{text} + "\"\n");
  };
  CHECK(source("file:/clips/a.avi").empty());
  CHECK(says(source("clips/a.avi"), "expected \"rtsp://host/path\", \"http://host/path\", \"device:/dev/video0\" or \"file:/path/clip.mp4\""));
  CHECK(source("http://host/x").empty());
  CHECK(says(source("ftp://host/x"), "this is no source"));
  CHECK(says(source("file:clips/a.avi"), "whole path"));
  CHECK(says(source("rtsp:///x"), "host is missing"));
  CHECK(says(source("rtsp://host/a b"), "space"));
  CHECK(says(problems_of("[[camera]]\nid = \"a\"\n"), "source"));
  const support::TempDir folder;
  const auto secret = folder.path() / "secret";
  std::ofstream{secret} << "hunter2";
  std::filesystem::permissions(secret, std::filesystem::perms::owner_read);
  CHECK(says(problems_of("[[camera]]\nid = \"a\"\nsource = \"rtsp://host/x\"\npassword = { file = \"" + secret.string() + "\" }\n"), "no user"));
  CHECK(says(problems_of("[[camera]]\nid = \"a\"\nsource = \"file:/x\"\ngb28181 = \"123\"\n"), "20 digits"));
  CHECK(says(problems_of("[[camera]]\nid = \"a\"\nsource = \"file:/x\"\ndrawn_on = [1280]\n"), "drawn_on"));
}

TEST_CASE("a password in the source is refused, and not repeated") {
  const auto problems = problems_of("[[camera]]\nid = \"a\"\nsource = \"rtsp://admin:hunter2@host/x\"\n");
  CHECK(says(problems, "password = { file ="));
  CHECK_FALSE(says(problems, "hunter2"));
}

TEST_CASE("zones need three corners inside a picture, and an id of their own") {
  const auto camera = std::string{"[[camera]]\nid = \"a\"\nsource = \"file:/x\"\n"};
  CHECK(problems_of(camera + std::string{kZone}).empty());
  CHECK(says(problems_of(camera + std::string{kZone} + std::string{kZone}), "another zone"));
  CHECK(says(problems_of(camera + "[[camera.zone]]\nid = \"z\"\npolygon = [[0, 0], [1, 1]]\n"), "3 to 32 corners"));
  CHECK(says(problems_of(camera + "[[camera.zone]]\nid = \"z\"\npolygon = [[0, 0], [1, 1], [-1, 5]]\n"),
             "outside any picture"));
  CHECK(says(problems_of(camera + camera), "another camera"));
}

TEST_CASE("a polygon that cannot be what was meant is told of") {
  const auto camera = std::string{"[[camera]]\nid = \"a\"\nsource = \"file:/x\"\n"};
  const auto mask = [&](const std::string& corners) { return problems_of(camera + "[[camera.mask]]\npolygon = " + corners + "\n"); };
  CHECK(mask("[[0, 0], [1, 0], [1, 1], [0, 1]]").empty());
  CHECK(mask("[[0, 0], [1, 0], [640, 480], [0, 480]]").empty());
  CHECK(mask("[[0.1, 0.1], [0.5, 0.1], [0.5, 0.5], [0.3, 0.1]]").empty());  // touches itself
  CHECK(says(mask("[[0.1, 0.1], [0.9, 0.1], [1.2, 0.9]]"), "mixed"));
  CHECK(says(mask("[[0, 0], [1, 1], [1, 0], [0, 1]]"), "cross one another"));
  CHECK(says(mask("[[0.1, 0.1], [0.5, 0.5], [0.9, 0.9]]"), "next to nothing"));
  CHECK(says(mask("[[0, 0], [2, 0], [2, 2]]"), "next to nothing"));
  const auto line = [&](const std::string& ends) { return problems_of(camera + "[[camera.zone]]\nid = \"z\"\nrule = \"crossing\"\npolygon = " + ends + "\n"); };
  CHECK(line("[[0.5, 0], [0.5, 1]]").empty());
  CHECK(says(line("[[0.5, 0.5], [0.5, 0.5]]"), "two points"));
  CHECK(says(line("[[0.5, 0], [0.5, 300]]"), "mixed"));
  const auto drawn = std::string{"[[camera]]\nid = \"a\"\nsource = \"file:/x\"\ndrawn_on = [640, 360]\n"};
  CHECK(problems_of(drawn + "[[camera.mask]]\npolygon = [[0, 0], [640, 0], [640, 360]]\n").empty());
  CHECK(says(problems_of(drawn + "[[camera.mask]]\npolygon = [[0, 0], [1920, 0], [1920, 1080]]\n"), "beyond the picture of drawn_on"));
}

TEST_CASE("a zone's rule, hours, classes and masks are read, and what is wrong with them is said") {
  const auto camera = std::string{"[[camera]]\nid = \"a\"\nsource = \"file:/x\"\n"};
  const auto zone = camera + "[[camera.zone]]\nid = \"z\"\n";
  auto document = config::Document::parse(camera + R"(
[[camera.mask]]
polygon = [[0, 0], [0.5, 0], [0.5, 0.5]]
[[camera.zone]]
id = "gate"
rule = "crossing"
polygon = [[0.1, 0.5], [0.9, 0.5]]
crossed = "left"
min_size = 0.1
classes = ["person", "vehicle"]
hours = ["22:00-06:30"]
)",
                                          "t.toml");
  const auto cameras = read_cameras(document.root());
  document.finish();
  REQUIRE(document.ok());
  CHECK(cameras.at(0).masks.size() == 1);
  const auto& gate = cameras.at(0).zones.at(0);
  CHECK(gate.rule == ZoneRule::crossing);
  CHECK(gate.crossed == Crossed::left);
  CHECK(gate.classes == std::vector{ThingClass::person, ThingClass::vehicle});
  CHECK(gate.hours == std::vector{Hours{22 * 60, 6 * 60 + 30}});

  CHECK(says(problems_of(zone + "rule = \"crossing\"\npolygon = [[0, 0], [1, 0], [1, 1]]\n"), "two points"));
  CHECK(says(problems_of(zone + "polygon = [[0, 0], [1, 0], [1, 1]]\nhours = [\"22-6\"]\n"), "22:00-06:30"));
  CHECK(says(problems_of(zone + "polygon = [[0, 0], [1, 0], [1, 1]]\nhours = [\"22:61-06:00\"]\n"), "span of hours"));
  CHECK(says(problems_of(zone + "polygon = [[0, 0], [1, 0], [1, 1]]\nhours = [\"22:00-22:00\"]\n"), "span of hours"));
  CHECK(says(problems_of(zone + "polygon = [[0, 0], [1, 0], [1, 1]]\nclasses = [\"cow\"]\n"), "there is no class"));
  CHECK(says(problems_of(camera + "[[camera.mask]]\npolygon = [[0, 0], [1, 1]]\n"), "corners"));
}
