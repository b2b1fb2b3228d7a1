// The real hamlet-eyes at its real socket, on clips made here.

#include <filesystem>
#include <fstream>
#include <utility>

#include <boost/asio/ip/tcp.hpp>
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "tests/integration/cameras/harness.hpp"
#include "tests/support/clip.hpp"
#include "tests/support/rtsp_server.hpp"

using namespace hamlet;
using namespace hamlet::tests;
namespace fs = std::filesystem;

namespace {

// A still scene; from second 4 to 8 a thing wanders about.
cv::Mat a_thing_wanders(int frame) {
  cv::Mat bgr = support::scene({320, 240}, frame);
  if (frame >= 100 && frame < 200) support::draw_thing(bgr, {20 + (frame - 100) * 2, 80, 40, 80});
  return bgr;
}

// 12 s of it, made once.
fs::path the_clip() {
  static const support::TempDir folder;
  static const fs::path file = [] {
    support::write_clip(folder.path() / "clip.mjpeg", 300, a_thing_wanders);
    return folder.path() / "clip.mjpeg";
  }();
  return file;
}

void overwrite(const fs::path& file, std::size_t at, std::size_t count) {
  std::fstream out{file, std::ios::binary | std::ios::in | std::ios::out};
  out.seekp(static_cast<std::streamoff>(at));
  out << std::string(count, '\x5a');
}

}  // namespace

TEST_CASE("what moves in a clip arrives as an event with a picture, and the camera's end is told") {
  Harness harness{Harness::With::eyes};
  REQUIRE(harness.link.start({file_camera("yard", the_clip(), 320, 240)}));
  CHECK(harness.eyes_state() == "starting");
  REQUIRE(harness.until([&] { return harness.state_of("yard") == "down ended"; }));

  const auto starts = harness.seen_in("all", Phase::start);
  const auto ends = harness.seen_in("all", Phase::end);
  REQUIRE(starts.size() == 1);
  REQUIRE(ends.size() == 1);
  CHECK(starts[0].what.event == ends[0].what.event);
  CHECK(starts[0].what.kind == "motion");
  CHECK(std::abs(starts[0].what.detail.at("frame").get<int>() - 101) <= 3);
  CHECK(std::abs(ends[0].what.detail.at("frame").get<int>() - 200) <= 3);
  CHECK(starts[0].jpeg.empty());
  CHECK(ends[0].jpeg.size() > 1000);
  CHECK(ends[0].jpeg.size() <= cameras::kMaxJpegBytes);
  CHECK(ends[0].what.at <= harness.clock.mono());
  CHECK(harness.events_of("yard", "down", Phase::start).at(0).detail.at("why") == "ended");

  const auto yard = harness.camera("yard");
  CHECK(yard.at("frames") == 300);
  CHECK(yard.at("zones") == nlohmann::json{"all"});
  CHECK(std::abs(yard.at("last_event_ts").get<std::int64_t>() - to_ms(harness.clock.wall())) < 60'000);
  CHECK(harness.eyes_state() == "up");

  harness.link.stop();
  CHECK(harness.nothing_open());
  CHECK(eyes_child() == 0);
  CHECK_FALSE(fs::exists(harness.socket));
}

TEST_CASE("a snapshot of a camera comes within its deadline, with a thumbnail for the link") {
  Harness harness{Harness::With::eyes};
  auto camera = file_camera("yard", the_clip(), 320, 240);
  camera.speed = 1;
  camera.loop = true;
  auto mute = camera;
  mute.id = "mute";
  mute.evidence = cameras::Evidence::none;
  REQUIRE(harness.link.start({camera, mute}));
  REQUIRE(harness.until([&] { return harness.state_of("yard") == "up" && harness.state_of("mute") == "up"; }));
  std::optional<Result<daemon::EyesLink::Shot>> shot;
  harness.link.snapshot("yard", [&](auto got) { shot = std::move(got); });
  REQUIRE(harness.until([&] { return shot.has_value(); }));
  REQUIRE(*shot);
  CHECK((*shot)->jpegs.full.size() > 1000);
  CHECK((*shot)->jpegs.thumbnail.size() <= cameras::kMaxThumbnailBytes);
  CHECK((*shot)->at <= harness.clock.mono());
  shot.reset();
  harness.link.snapshot("mute", [&](auto got) { shot = std::move(got); });
  REQUIRE(harness.until([&] { return shot.has_value(); }));
  CHECK(shot->error().code == Errc::denied);
}

TEST_CASE("a file in real time keeps to its time stamps, and begins again when told to") {
  Harness harness{Harness::With::eyes};
  auto camera = file_camera("yard", harness.folder.path() / "clip.mjpeg", 320, 240);
  support::write_clip(harness.folder.path() / "clip.mjpeg", 25, [](int i) { return support::scene({320, 240}, i); });
  camera.speed = 4;
  camera.loop = true;
  REQUIRE(harness.link.start({camera}));
  REQUIRE(harness.until([&] { return harness.state_of("yard") == "up"; }));
  const auto began = std::chrono::steady_clock::now();
  REQUIRE(harness.until([&] { return harness.camera("yard").at("fps").get<double>() > 0; }));
  const auto took = std::chrono::steady_clock::now() - began;
  CHECK(took > std::chrono::seconds{4});
  CHECK(harness.camera("yard").at("fps").get<double>() <= 110);  // never faster than the 100 of four times real time
  CHECK(harness.camera("yard").at("frames").get<int>() > 25);
}

TEST_CASE("eyes that is killed is told of, what it left open is ended, and it comes back") {
  Harness harness{Harness::With::eyes};
  auto camera = file_camera("yard", the_clip(), 320, 240);
  camera.speed = 2;
  camera.loop = true;
  REQUIRE(harness.link.start({camera}));
  REQUIRE(harness.until([&] { return !harness.seen_in("all", Phase::start).empty(); }));
  const pid_t first = eyes_child();
  REQUIRE(first > 0);

  kill(first, SIGKILL);
  REQUIRE(harness.until([&] { return harness.eyes_state() == "lost"; }));
  CHECK(harness.state_of("yard") == "down eyes-lost");
  const auto ends = harness.seen_in("all", Phase::end);
  REQUIRE(ends.size() == 1);
  CHECK(ends[0].what.detail.at("why") == "eyes-lost");
  const auto lost = harness.events_of("gateway", "eyes", Phase::start);
  REQUIRE(lost.size() == 1);
  CHECK(lost[0].detail.at("why") == "killed by signal 9");
  CHECK(harness.events_of("yard", "down", Phase::start).empty());

  REQUIRE(harness.until([&] { return harness.state_of("yard") == "up"; }));
  CHECK(eyes_child() != first);
  CHECK(harness.events_of("gateway", "eyes", Phase::end).at(0).id == lost[0].id);
  CHECK(harness.link.status().at("eyes").at("restarts") == 1);
  harness.link.stop();
  CHECK(harness.nothing_open());
}

TEST_CASE("eyes that hangs is killed and replaced") {
  Harness harness{Harness::With::eyes, Millis{4'000}};
  REQUIRE(harness.link.start({file_camera("yard", the_clip(), 320, 240)}));
  REQUIRE(harness.until([&] { return harness.state_of("yard") == "down ended"; }));
  const pid_t first = eyes_child();
  kill(first, SIGSTOP);
  REQUIRE(harness.until([&] { return !harness.events_of("gateway", "eyes", Phase::end).empty(); }));
  CHECK(harness.events_of("gateway", "eyes", Phase::start).at(0).detail.at("why") == "it has hung");
  CHECK(eyes_child() != first);
}

TEST_CASE("eyes that is out of memory is told of and replaced, whatever it was doing") {
  Harness harness{Harness::With::eyes};
  auto camera = file_camera("yard", the_clip(), 320, 240);
  camera.speed = 2;
  camera.loop = true;
  REQUIRE(harness.link.start({camera}));
  REQUIRE(harness.until([&] { return harness.state_of("yard") == "up"; }));
  const pid_t first = eyes_child();
  const rlimit none{1 << 20, 1 << 20};
  REQUIRE(prlimit(first, RLIMIT_AS, &none, nullptr) == 0);
  REQUIRE(harness.until([&] { return !harness.events_of("gateway", "eyes", Phase::start).empty(); }));
  const auto why = harness.events_of("gateway", "eyes", Phase::start)[0].detail.at("why").get<std::string>();
  CHECK_MESSAGE((why == "out of memory" || why == "killed by signal 6"), why);  // as it said, or in the middle of something
  REQUIRE(harness.until([&] { return harness.state_of("yard") == "up"; }));
  CHECK(eyes_child() != first);
  harness.link.stop();
  CHECK(harness.nothing_open());
}

TEST_CASE("a program that is not there is told of, and tried again") {
  Harness other{Harness::With::nobody};
  daemon::EyesLink link{other.io,
                        other.clock,
                        {.socket = other.folder.path() / "x.sock",
                         .program = "/nonexistent/hamlet-eyes",
                         .restart_first = Millis{50},
                         .restart_most = Millis{50}},
                        {.observation = {}, .event = [&](Event event) { other.events.push_back(std::move(event)); }}};
  REQUIRE(link.start({file_camera("yard", "/nonexistent/clip.mp4", 320, 240)}));
  REQUIRE(other.until([&] { return link.status().at("eyes").at("restarts") >= 3; }));
  CHECK(other.events_of("gateway", "eyes", Phase::start).size() == 1);
}

TEST_CASE("no source takes the process down, nor its neighbours") {
  Harness harness{Harness::With::eyes};
  const auto good = the_clip();
  const auto corrupt = harness.folder.path() / "corrupt.mjpeg";
  const auto cut = harness.folder.path() / "cut.mjpeg";
  const auto empty = harness.folder.path() / "empty.mp4";
  fs::copy_file(good, corrupt);
  for (std::size_t part = 1; part < 20; ++part) overwrite(corrupt, fs::file_size(corrupt) * part / 20, 3000);
  fs::copy_file(good, cut);
  fs::resize_file(cut, fs::file_size(cut) * 3 / 7);
  std::ofstream{empty}.flush();

  REQUIRE(harness.link.start({file_camera("corrupt", corrupt, 320, 240), file_camera("cut", cut, 320, 240),
                              file_camera("empty", empty, 320, 240), file_camera("good", good, 320, 240),
                              file_camera("absent", "/nonexistent/clip.mp4", 320, 240)}));
  const auto is = [&](const std::string& id, const std::string& state) { return harness.state_of(id) == state; };
  CHECK(harness.until([&] { return is("absent", "down not-found") && is("good", "down ended"); }));
  CHECK(harness.until([&] { return is("corrupt", "down ended") && is("cut", "down ended"); }));
  CHECK(harness.until([&] { return harness.state_of("empty").starts_with("down "); }));
  CHECK(harness.camera("corrupt").at("frames") > 200);
  CHECK(harness.camera("corrupt").at("frames") < 300);
  CHECK(harness.camera("cut").at("frames") < 140);
  CHECK(harness.eyes_state() == "up");
  CHECK(harness.link.status().at("eyes").at("restarts") == 0);
}

TEST_CASE("a camera that accepts and then says nothing is given up at the deadline") {
  Harness harness{Harness::With::eyes};
  boost::asio::ip::tcp::acceptor silent{harness.io, {boost::asio::ip::address_v4::loopback(), 0}};
  cameras::CameraConfig camera;
  camera.id = "silent";
  camera.source = "rtsp://127.0.0.1:" + std::to_string(silent.local_endpoint().port()) + "/stream";
  camera.user = "admin";
  camera.password = config::Secret{"hunter2"};
  camera.open_timeout = camera.read_timeout = Millis{1'000};
  const auto began = std::chrono::steady_clock::now();
  REQUIRE(harness.link.start({camera}));
  REQUIRE(harness.until([&] { return harness.state_of("silent") == "down timeout"; }));
  CHECK(std::chrono::steady_clock::now() - began < std::chrono::seconds{8});
  const auto down = harness.events_of("silent", "down", Phase::start);
  REQUIRE(down.size() == 1);
  CHECK(down[0].detail.dump().find("hunter2") == std::string::npos);

  SUBCASE("and stopping does not wait for it") {
    const auto stopping = std::chrono::steady_clock::now();
    harness.link.stop();
    CHECK(std::chrono::steady_clock::now() - stopping < std::chrono::seconds{2});
    CHECK(eyes_child() == 0);
    CHECK(harness.nothing_open());
  }
}

TEST_CASE("a camera is watched by RTSP, lost when it falls silent, and found again") {
  support::RtspServer server{{.picture = a_thing_wanders, .user = "ad min", .password = "p@ss:w/", .pictures = 225}};
  Harness harness{Harness::With::eyes};
  auto camera = file_camera("cam", "", 320, 240);
  camera.source = server.url();
  camera.user = "ad min";
  camera.password = config::Secret{"p@ss:w/"};
  camera.open_timeout = camera.read_timeout = Millis{3'000};
  const MonoTime began = harness.clock.mono();
  REQUIRE(harness.link.start({camera}));
  REQUIRE(harness.until([&] { return harness.state_of("cam") == "up"; }));
  REQUIRE(harness.until([&] { return !harness.seen_in("all", Phase::end).empty(); }));
  const auto seen = harness.seen_in("all", Phase::end).at(0);
  CHECK(seen.what.at > began);
  CHECK(seen.what.at <= harness.clock.mono());
  CHECK(seen.jpeg.size() > 1000);

  REQUIRE(harness.until([&] { return harness.state_of("cam") == "down timeout"; }));
  REQUIRE(harness.until([&] { return harness.state_of("cam") == "up"; }));
  CHECK(harness.events_of("cam", "down", Phase::end).size() == 1);

  server.drop_client();
  REQUIRE(harness.until([&] { return harness.state_of("cam") == "down closed"; }));
  CHECK(harness.until([&] { return harness.state_of("cam") == "up"; }));
}

TEST_CASE("a camera that does not know the password is not asked again and again") {
  support::RtspServer server{{.picture = a_thing_wanders, .user = "admin", .password = "right"}};
  Harness harness{Harness::With::eyes};
  auto camera = file_camera("cam", "", 320, 240);
  camera.source = server.url();
  camera.user = "admin";
  camera.password = config::Secret{"wrong"};
  REQUIRE(harness.link.start({camera}));
  REQUIRE(harness.until([&] { return harness.state_of("cam") == "down refused"; }));
  CHECK(server.clients() == 1);
  camera.password = config::Secret{"right"};
  harness.link.reload({camera});
  CHECK(harness.until([&] { return harness.state_of("cam") == "up"; }));
  CHECK(server.clients() == 2);
}

TEST_CASE("a camera that refuses the connection is unreachable") {
  Harness harness{Harness::With::eyes};
  boost::asio::ip::tcp::acceptor gone{harness.io, {boost::asio::ip::address_v4::loopback(), 0}};
  cameras::CameraConfig camera;
  camera.id = "gone";
  camera.source = "rtsp://127.0.0.1:" + std::to_string(gone.local_endpoint().port()) + "/stream";
  gone.close();
  REQUIRE(harness.link.start({camera}));
  CHECK(harness.until([&] { return harness.state_of("gone") == "down unreachable"; }));
}

TEST_CASE("a new config leaves alone what did not change") {
  Harness harness{Harness::With::eyes};
  auto loop = file_camera("loop", the_clip(), 320, 240);
  loop.speed = 1;
  loop.loop = true;
  auto other = loop;
  other.id = "other";
  REQUIRE(harness.link.start({loop}));
  REQUIRE(harness.until([&] { return harness.state_of("loop") == "up"; }));
  harness.link.reload({loop, other});
  CHECK(harness.state_of("loop") == "up");
  CHECK(harness.state_of("other") == "starting");
  REQUIRE(harness.until([&] { return harness.state_of("other") == "up"; }));
  CHECK(harness.state_of("loop") == "up");

  SUBCASE("a camera that is switched off is down and no event") {
    other.enabled = false;
    harness.link.reload({loop, other});
    CHECK(harness.state_of("other") == "down disabled");
    CHECK(harness.events_of("other", "down", Phase::start).empty());
  }
  SUBCASE("a camera that is taken out is gone") {
    harness.link.reload({other});
    CHECK(harness.state_of("loop").empty());
    CHECK(harness.state_of("other") == "up");
  }
}

TEST_CASE("without a camera nothing is started until there is one") {
  Harness harness{Harness::With::eyes};
  REQUIRE(harness.link.start({}));
  CHECK(harness.eyes_state() == "off");
  CHECK(eyes_child() == 0);
  harness.link.reload({file_camera("yard", the_clip(), 320, 240)});
  CHECK(harness.eyes_state() == "starting");
  CHECK(harness.until([&] { return harness.state_of("yard") == "down ended"; }));
}

TEST_CASE("eyes ends when its daemon is gone") {
  Harness harness{Harness::With::nobody};
  REQUIRE(harness.link.start({}));
  support::Process eyes{{support::program("hamlet-eyes"), "--socket", harness.socket.string()},
                        harness.folder.path() / "log"};
  REQUIRE(harness.until([&] { return harness.eyes_state() == "up"; }));
  harness.link.stop();
  CHECK(eyes.wait(std::chrono::seconds{3}) == 0);
}

TEST_CASE("eyes that finds no daemon says so and fails") {
  support::TempDir folder;
  support::Process eyes{{support::program("hamlet-eyes"), "--socket", (folder.path() / "none").string()},
                        folder.path() / "log"};
  CHECK(eyes.wait(std::chrono::seconds{10}) == 1);
  CHECK(eyes.log().find("connect to hamletd") != std::string::npos);
}
