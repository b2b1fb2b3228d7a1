// Every kind of source, watched by the real hamlet-eyes behind its seccomp filter: cameras that are stopped, killed, stalled and
// restarted, and some that send nothing but rubbish.

#include <fstream>
#include <random>
#include <sstream>
#include <thread>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <signal.h>

#include "cameras/capture.hpp"
#include "cameras/evidence.hpp"
#include "firmware/core/sanitized.hpp"
#include "tests/integration/cameras/harness.hpp"
#include "tests/support/broker.hpp"
#include "tests/support/clip.hpp"
#include "tests/support/rtsp_server.hpp"

using namespace hamlet;
using namespace hamlet::tests;
namespace fs = std::filesystem;
using boost::asio::ip::tcp;

namespace {

const cv::Size kSize{320, 240};

// A thing wanders about from second 4 on, again and again.
cv::Mat wanderer(int frame) {
  cv::Mat bgr = support::scene(kSize, frame);
  const int step = frame % 200;
  if (step >= 100) support::draw_thing(bgr, {20 + (step - 100) * 2, 80, 40, 80});
  return bgr;
}

// 24 s of it in H.264 or H.265, made once.
fs::path video(bool h265 = false) {
  static const support::TempDir folder;
  const auto file = folder.path() / (h265 ? "265.mp4" : "264.mp4");
  if (!fs::exists(file)) support::write_video(file, 600, wanderer, {.h265 = h265, .key_every = 25});
  return file;
}

// The program gst-camera, which tests stop, kill and start again at the same port.
class GstCamera {
 public:
  explicit GstCamera(fs::path file, std::string codec = "h264") : file_{std::move(file)}, codec_{std::move(codec)} { start(); }
  void start() {
    const auto before = process_ ? process_->log().size() : 0;
    process_.emplace(std::vector{support::program("gst-camera"), std::to_string(port_), file_.string(), codec_, std::string{"admin"},
                                 std::string{kPassword}},
                     folder_.path() / "log");
    for (int i = 0; i < 3'000 && process_->log().find("ready", before) == std::string::npos && process_->running(); ++i) {
      process_->wait(std::chrono::milliseconds{10});
    }
    REQUIRE_MESSAGE(process_->running(), process_->log());
  }
  support::Process& process() { return *process_; }
  [[nodiscard]] cameras::CameraConfig config(const std::string& id) const {
    auto camera = file_camera(id, "", kSize.width, kSize.height);
    camera.source = fmt::format("rtsp://127.0.0.1:{}/stream", port_);
    camera.user = "admin";
    camera.password = config::Secret{kPassword};
    camera.open_timeout = camera.read_timeout = Millis{3'000};
    return camera;
  }
  static constexpr const char* kPassword = "s3cret:p@ss/word";

 private:
  support::TempDir folder_;
  const fs::path file_;
  const std::string codec_;
  const std::uint16_t port_ = support::free_port();
  std::optional<support::Process> process_;
};

// What each client that connects is sent, and then no more; on a thread of its own.
class RawServer {
 public:
  explicit RawServer(std::function<void(tcp::socket&)> serve) : serve_{std::move(serve)}, thread_{[this] { run(); }} {}
  ~RawServer() {
    stopping_ = true;
    boost::system::error_code ignored;
    boost::asio::io_context io;
    tcp::socket{io}.connect(acceptor_.local_endpoint(), ignored);
    thread_.join();
  }
  [[nodiscard]] cameras::CameraConfig config(const std::string& id, std::string_view scheme = "http") const {
    auto camera = file_camera(id, "", kSize.width, kSize.height);
    camera.source = fmt::format("{}://127.0.0.1:{}/video", scheme, acceptor_.local_endpoint().port());
    return camera;
  }

 private:
  void run() {
    while (!stopping_) {
      tcp::socket client = acceptor_.accept();
      if (stopping_) return;
      try {
        serve_(client);
      } catch (const boost::system::system_error&) {  // it hung up
      }
    }
  }
  std::function<void(tcp::socket&)> serve_;
  boost::asio::io_context io_;
  tcp::acceptor acceptor_{io_, {boost::asio::ip::address_v4::loopback(), 0}};
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

void send(tcp::socket& client, const std::string& bytes) { boost::asio::write(client, boost::asio::buffer(bytes)); }

// Closed with the request unread, the connection would be reset.
void read_request(tcp::socket& client) {
  std::array<char, 512> request{};
  client.read_some(boost::asio::buffer(request));
}

auto answer(std::string bytes) {
  return [bytes = std::move(bytes)](tcp::socket& client) {
    read_request(client);
    send(client, bytes);
  };
}

constexpr const char* kMjpegHead = "HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=picture\r\n\r\n";

std::string mjpeg_part(int frame) {
  const auto jpeg = cameras::encode_jpeg(wanderer(frame), 1U << 20).value();
  return fmt::format("--picture\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n{}\r\n", jpeg.size(), jpeg);
}

// Motion-JPEG as cameras send it by HTTP; of `pictures` no more than those, and then it hangs up.
auto mjpeg(std::chrono::milliseconds interval, int pictures = -1) {
  return [interval, pictures](tcp::socket& client) {
    read_request(client);
    send(client, kMjpegHead);
    for (int frame = 0; frame != pictures; ++frame) {
      send(client, mjpeg_part(frame));
      std::this_thread::sleep_for(interval);
    }
  };
}

std::string status_line(pid_t process, const std::string& key) {
  std::ifstream status{fmt::format("/proc/{}/status", process)};
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(key + ":\t")) return line.substr(key.size() + 2);
  }
  return {};
}

std::string file_of(pid_t process, const char* name) {
  std::ifstream in{fmt::format("/proc/{}/{}", process, name)};
  std::stringstream out;
  out << in.rdbuf();
  return out.str();
}

}  // namespace

TEST_CASE("every kind of source is watched by a process that has given up its rights") {
  const support::TempDir folder;
  for (int i = 0; i < 150; ++i) {
    std::ofstream{folder.path() / fmt::format("in{:06}.jpg", i + 1), std::ios::binary} << cameras::encode_jpeg(wanderer(i), 1U << 20).value();
  }
  support::RtspServer rtsp{{.picture = wanderer}};
  RawServer http{mjpeg(std::chrono::milliseconds{40})};
  GstCamera gst264{video()};
  GstCamera gst265{video(true), "h265"};
  Harness harness{Harness::With::eyes};
  std::vector<cameras::CameraConfig> cameras{file_camera("h264", video(), 320, 240), file_camera("h265", video(true), 320, 240),
                                             file_camera("pictures", folder.path() / "in%06d.jpg", 320, 240),
                                             file_camera("rtsp", "", 320, 240), http.config("http"),
                                             gst264.config("gst264"), gst265.config("gst265")};
  cameras[3].source = rtsp.url();
  REQUIRE(harness.link.start(cameras));
  for (const auto* id : {"h264", "h265", "pictures"}) {
    CAPTURE(id);
    CHECK(harness.until([&] { return harness.state_of(id) == "down ended"; }, std::chrono::seconds{90}));
  }
  for (const auto* id : {"rtsp", "http", "gst264", "gst265"}) {
    CAPTURE(id);
    CHECK(harness.until([&] { return harness.state_of(id) == "up"; }, std::chrono::seconds{60}));
    CHECK(harness.until([&] {
      return std::any_of(harness.seen.begin(), harness.seen.end(), [&](const auto& seen) { return seen.what.camera == id; });
    }, std::chrono::seconds{60}));
  }
  CHECK(harness.camera("pictures").at("frames") == 150);
  CHECK(harness.camera("h265").at("frames") == 600);

  const pid_t eyes = eyes_child();
  CHECK(status_line(eyes, "NoNewPrivs") == "1");
  CHECK(status_line(eyes, "CapEff") == "0000000000000000");
  CHECK(status_line(eyes, "CapPrm") == "0000000000000000");
  if (!kSanitized) CHECK(status_line(eyes, "Seccomp") == "2");
  for (const auto* where : {"cmdline", "environ"}) CHECK(file_of(eyes, where).find(GstCamera::kPassword) == std::string::npos);
}

TEST_CASE("a camera is told of when it is stopped, killed or stalls, and found again") {
  GstCamera camera{video()};
  Harness harness{Harness::With::eyes};
  REQUIRE(harness.link.start({camera.config("gst")}));
  const auto patience = std::chrono::seconds{60};
  REQUIRE(harness.until([&] { return harness.state_of("gst") == "up"; }, patience));

  camera.process().signal(SIGSTOP);  // stalls: the connection stays
  REQUIRE(harness.until([&] { return harness.state_of("gst") == "down timeout"; }, patience));
  camera.process().signal(SIGCONT);
  REQUIRE(harness.until([&] { return harness.state_of("gst") == "up"; }, patience));

  camera.process().kill();
  REQUIRE(harness.until([&] { return harness.state_of("gst") == "down unreachable"; }, patience));
  camera.start();
  REQUIRE(harness.until([&] { return harness.state_of("gst") == "up"; }, patience));

  const auto downs = harness.events_of("gst", "down", Phase::start);
  CHECK(downs.size() == 2);
  CHECK(harness.events_of("gst", "down", Phase::end).size() == 2);
  for (const auto& down : downs) CHECK(down.detail.dump().find("s3cret") == std::string::npos);
  CHECK(harness.link.status().at("eyes").at("restarts") == 0);
}

TEST_CASE("pictures without time stamps are looked at at the camera's own pace, however slow it is") {
  for (const auto& [interval, pictures] : {std::pair{std::chrono::milliseconds{100}, 30}, std::pair{std::chrono::milliseconds{1'300}, 6}}) {
    CAPTURE(pictures);
    const RawServer server{mjpeg(interval, pictures)};
    const auto camera = server.config("http");
    const std::atomic<bool> cancel{false};
    auto capture = cameras::Capture::open(camera, cancel);
    REQUIRE_MESSAGE(capture, capture.error().message);
    int seen = 0;
    while (capture->read()) ++seen;
    CHECK(seen >= pictures - 2);  // before its pace is known the second of slow ones may be taken for what a stall has kept back
  }
}

TEST_CASE("what a stall of the link kept back of pictures without time stamps is passed over, too") {
  std::string kept_back;
  for (int frame = 0; frame < 30; ++frame) kept_back += mjpeg_part(frame);
  const RawServer server{[&](tcp::socket& client) {
    mjpeg(std::chrono::milliseconds{100}, 30)(client);
    std::this_thread::sleep_for(std::chrono::seconds{3});
    send(client, kept_back);
  }};
  auto camera = server.config("http");
  camera.max_fps = 60;
  const std::atomic<bool> cancel{false};
  auto capture = cameras::Capture::open(camera, cancel);
  REQUIRE_MESSAGE(capture, capture.error().message);
  int seen = 0;
  while (capture->read()) ++seen;
  CHECK(capture->frames() == 60);
  CHECK(seen < 40);  // of those that came at once next to none
}

TEST_CASE("a camera that comes and goes is tried, and told of, more and more seldom") {
  const RawServer server{mjpeg(std::chrono::milliseconds{1}, 2)};
  Harness harness{Harness::With::eyes};
  REQUIRE(harness.link.start({server.config("http")}));
  const auto downs = [&] { return harness.events_of("http", "down", Phase::start); };
  REQUIRE(harness.until([&] { return downs().size() >= 4; }));
  CHECK(downs()[0].detail.at("why") == "closed");
  CHECK(downs()[3].at - downs()[0].at >= Millis{3'500});  // half of 1 + 2 + 4 s at least
}

TEST_CASE("a host without an address is unreachable, a web page is no video, and a camera that has too many watchers says so") {
  const RawServer busy{answer("RTSP/1.0 453 Not Enough Bandwidth\r\nCSeq: 1\r\n\r\n")};
  const RawServer page{answer("HTTP/1.0 200 OK\r\nContent-Type: text/html\r\nContent-Length: 9000\r\n\r\n" + std::string(9'000, ' '))};
  auto nowhere = page.config("nowhere");
  nowhere.source = "rtsp://camera.invalid/stream";
  Harness harness{Harness::With::eyes};
  REQUIRE(harness.link.start({page.config("page"), nowhere, busy.config("full", "rtsp")}));
  CHECK(harness.until([&] { return harness.state_of("full") == "down exception"; }));
  CHECK(harness.until([&] { return harness.state_of("page") == "down no-video"; }));
  CHECK(harness.until([&] { return harness.state_of("nowhere") == "down unreachable"; }));
}

TEST_CASE("what was drawn on a larger picture than the camera's is told of, a mask before a zone") {
  auto camera = file_camera("cam", video(), 640, 480);
  camera.loop = true;
  camera.speed = 1;
  Harness harness{Harness::With::eyes};
  REQUIRE(harness.link.start({camera}));
  CHECK(harness.until([&] { return harness.state_of("cam") == "up zone-outside"; }));
  camera.masks = {{{600, 0}, {640, 0}, {640, 100}}};
  harness.link.reload({camera});
  CHECK(harness.until([&] { return harness.state_of("cam") == "up mask-outside"; }));
  camera.drawn_on = {640, 480};
  harness.link.reload({camera});
  CHECK(harness.until([&] { return harness.state_of("cam") == "up"; }));
}

TEST_CASE("key frames that come seldom are not waited for") {
  const support::TempDir folder;
  const auto file = folder.path() / "seldom.mp4";
  support::write_video(file, 600, wanderer, {.key_every = 300});
  const GstCamera server{file};
  auto camera = server.config("gst");
  camera.rest = true;
  const std::atomic<bool> cancel{false};
  auto capture = cameras::Capture::open(camera, cancel);
  REQUIRE_MESSAGE(capture, capture.error().message);
  capture->rest(true);
  for (int i = 0; i < 200; ++i) {
    const auto picture = capture->read();
    REQUIRE_MESSAGE(picture, picture.error().message);
  }
}

TEST_CASE("rubbish in place of video hurts nobody: eyes survives, or comes back, and the others are watched") {
  const support::TempDir folder;
  std::minstd_rand random{7};
  const auto damaged = [&](const fs::path& from, int number) {
    auto to = folder.path() / fmt::format("{}{}", number, from.extension().string());
    fs::copy_file(from, to);
    const auto size = fs::file_size(to);
    if (number % 3 == 0) fs::resize_file(to, size * (1 + random() % 9) / 10);
    std::fstream bytes{to, std::ios::binary | std::ios::in | std::ios::out};
    for (int i = 0; i < 200; ++i) {
      bytes.seekp(static_cast<std::streamoff>(random() % (size * 9 / 10)));
      bytes.put(static_cast<char>(random()));
    }
    return to;
  };
  const auto stream = folder.path() / "whole.ts";
  support::write_video(stream, 100, wanderer);
  std::vector<cameras::CameraConfig> cameras;
  for (int i = 0; i < 12; ++i) {
    cameras.push_back(file_camera(fmt::format("damaged-{}", i), damaged(i % 2 == 0 ? stream : video(i % 4 == 1), i), 320, 240));
  }
  const auto noise = [&random](std::size_t count) {
    std::string out;
    while (out.size() < count) out += static_cast<char>(random());
    return out;
  };
  const std::vector<std::string> answers{
      noise(20'000),
      "RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: 99999999999\r\n\r\n",
      "RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: -1\r\n\r\nv=0\r\n",
      "RTSP/1.0 200 OK\r\n" + std::string(300'000, 'A'),
      "RTSP/1.0 200 OK\r\nCSeq: 1\r\nPublic: OPTIONS\r\n\r\nRTSP/1.0 200 OK\r\nCSeq: 2\r\nContent-Type: application/sdp\r\nContent-Length: 4000\r\n\r\nv=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n" +
          noise(3'900),
      "RTSP/1.0 301 Moved\r\nCSeq: 1\r\nLocation: file:///etc/passwd\r\n\r\n",
      "$\x01\xff\xff" + noise(70'000),
      "HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=x\r\n\r\n--x\r\nContent-Length: 4294967295\r\n\r\n" + noise(9'000)};
  std::vector<std::unique_ptr<RawServer>> servers;
  for (std::size_t i = 0; i < answers.size(); ++i) {
    servers.push_back(std::make_unique<RawServer>(answer(answers[i])));
    auto camera = servers.back()->config(fmt::format("rubbish-{}", i), i % 8 == 7 ? "http" : "rtsp");
    camera.open_timeout = camera.read_timeout = Millis{2'000};
    cameras.push_back(camera);
  }
  cameras.push_back(file_camera("good", video(), 320, 240));
  Harness harness{Harness::With::eyes};
  REQUIRE(harness.link.start(cameras));
  for (const auto& camera : cameras) {
    CAPTURE(camera.id);
    CHECK(harness.until([&] { return harness.state_of(camera.id).starts_with("down "); }, std::chrono::seconds{90}));
  }
  CHECK(harness.until([&] { return harness.state_of("good") == "down ended"; }, std::chrono::seconds{90}));
  CHECK(harness.camera("good").at("frames") == 600);
  CHECK(harness.eyes_state() == "up");
}
