// Pictures on their way: the county gets thumbnails, the box keeps the whole ones, and every look is written down.

#include <opencv2/core.hpp>
#include <sys/resource.h>

#include "tests/scenario/village.hpp"
#include "tests/support/clip.hpp"

using namespace hamlet::scenario;
using namespace std::chrono_literals;
namespace support = hamlet::support;

namespace {

constexpr const char* kPassword = "s3cret:p@ss/word";

// A camera by H.264 and RTSP that wants a password, and somebody who walks in it.
struct WatchedVillage {
  support::TempDir dir;
  std::uint16_t port = support::free_port();
  std::unique_ptr<support::Process> camera;
  std::unique_ptr<Village> village;

  WatchedVillage() {
    const auto clip = dir.path() / "clip.mp4";
    support::write_video(clip, 1'500, [](int frame) {
      cv::Mat bgr = support::scene({320, 240}, frame);
      if (frame % 150 >= 75) support::draw_thing(bgr, {frame % 150 - 55, 80, 40, 80});
      return bgr;
    });
    camera = std::make_unique<support::Process>(
        std::vector{support::program("gst-camera"), std::to_string(port), clip.string(), std::string{"h264"}, std::string{"admin"},
                    std::string{kPassword}},
        dir.path() / "camera.log");
    std::ofstream{dir.path() / "secret"} << kPassword;
    std::filesystem::permissions(dir.path() / "secret", std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
    village = std::make_unique<Village>(fmt::format(R"([county]
verbs = ["snapshot", "media.upload"]
[media]
budget_mb = 1
[[camera]]
id = "cam-ford"
source = "rtsp://127.0.0.1:{}/stream"
user = "admin"
password = {{ file = "{}/secret" }}
[[camera.zone]]
id = "water"
polygon = [[0, 0], [1, 0], [1, 1], [0, 1]]
)",
                                                    port, dir.path().string()));
    village->start();
  }

  json ask(std::string_view verb, json args) {
    auto answer = hamlet::control::call(village->socket, verb, std::move(args));
    REQUIRE_MESSAGE(answer, answer.error().failure.text.en);
    return *answer;
  }
  // The acts on a picture that were written down.
  json acts(const std::string& picture) {
    auto out = json::array();
    const auto answer = ask("events", {{"source", "gateway"}});
    for (const auto& event : answer["events"]) {
      if (event["kind"] == "picture" && event["detail"]["picture"] == picture) out.push_back(event["detail"]["act"]);
    }
    std::sort(out.begin(), out.end());
    return out;
  }
};

}  // namespace

TEST_CASE("a picture on command, its thumbnail at the county, its hold, and everybody who looked") {
  WatchedVillage watched;
  auto& village = *watched.village;
  REQUIRE_MESSAGE(village.ask_until("cameras", [](const json& now) { return now["cameras"][0]["state"] == "up"; }), village.hamletd->log());

  const auto shot = watched.ask("snapshot", {{"camera", "cam-ford"}});
  const std::string picture = shot["picture"];
  CHECK(shot["bytes"] > 1'000);
  CHECK(village.county.wait_until([](const auto& now) { return now.total(Lane::media).prefix >= 1; }, kPatience));
  CHECK(village.county.snapshot().media_bytes > 500);

  const auto shown = watched.ask("media.show", {{"picture", picture}});
  CHECK(shown["jpeg"].get<std::string>().starts_with("/9j/"));  // FF D8 FF in base64
  watched.ask("media.hold", {{"picture", picture}});
  const auto list = watched.ask("media.list", {{"held", 1}});
  REQUIRE(list["pictures"].size() == 1);
  CHECK(list["pictures"][0]["picture"] == picture);
  CHECK(list["pictures"][0]["camera"] == "cam-ford");
  CHECK(list["pictures"][0]["kind"] == "snapshot");
  watched.ask("media.release", {{"picture", picture}});
  const auto sent = watched.ask("media.upload", {{"picture", picture}});
  CHECK(sent["as"] != picture);
  const json wanted{"hold", "release", "upload", "upload", "view"};  // one upload by the uplink itself, of the thumbnail
  CHECK(village.ask_until("events", [&](const json&) { return watched.acts(picture).size() >= wanted.size(); }));
  CHECK(watched.acts(picture).dump() == wanted.dump());

  const auto refused = [&](std::string_view verb, json args) { return hamlet::control::call(village.socket, verb, std::move(args)).error().failure.text.en; };
  CHECK(refused("snapshot", {{"camera", "garden"}}).find("no camera garden") != std::string::npos);
  CHECK(refused("media.show", {{"picture", "../secret"}}).find("no picture's name") != std::string::npos);
  CHECK(refused("media.show", {{"picture", "0123456789abcdef-9"}}).find("no picture") != std::string::npos);

  // Whoever walks by is a picture at the county too, and the password is nowhere.
  CHECK(village.county.wait_until([](const auto& now) { return now.total(Lane::media).prefix >= 3; }, kPatience));
  CHECK(village.county.snapshot().meta.dump().find("s3cret") == std::string::npos);
  village.hamletd->signal(SIGTERM);
  CHECK(village.hamletd->wait(10s) == 0);
  CHECK(village.hamletd->log().find("s3cret") == std::string::npos);
  CHECK(village.hamletd->log().find("p%40ss") == std::string::npos);
  village.check_all_arrived();
}

namespace {

// hamlet-eyes, the child of a hamletd; 0: there is none.
pid_t eyes_of(const Village& village) {
  std::ifstream children{fmt::format("/proc/{0}/task/{0}/children", village.hamletd->pid())};
  pid_t child = 0;
  children >> child;
  return child;
}

}  // namespace

TEST_CASE("no reading and no alarm waits for the cameras, whatever becomes of their process") {
  support::TempDir dir;
  const auto clip = dir.path() / "clip.mjpeg";
  support::write_clip(clip, 100, [](int frame) { return support::scene({320, 240}, frame); });
  Village village{fmt::format(R"([[camera]]
id = "cam-ford"
source = "file:{}"
loop = true
[[camera.zone]]
id = "water"
polygon = [[0, 0], [1, 0], [1, 1], [0, 1]]
)",
                              clip.string())};
  const County county{{.broker = village.broker.uri(), .base = "hamlet/v1/430124/104/203/gw-test", .keep_messages = true}};
  const auto up = [](const json& now) { return now["cameras"][0]["state"] == "up"; };
  const rlimit no_memory{1 << 20, 1 << 20};
  const std::vector<std::function<void(pid_t)>> harms{[](pid_t eyes) { kill(eyes, SIGKILL); },
                                                      [](pid_t eyes) { kill(eyes, SIGSTOP); },
                                                      [&](pid_t eyes) { prlimit(eyes, RLIMIT_AS, &no_memory, nullptr); }};
  village.set_level(1.0F);
  village.start();
  for (const auto& harm : harms) {
    REQUIRE_MESSAGE(village.ask_until("cameras", up), village.hamletd->log());
    village.set_level(1.0F);  // an alarm that has come three times would wait longer than this to return
    REQUIRE(village.ask_until("alarms", [](const json& now) { return now["alarms"][0]["state"] != "unacked"; }));
    const pid_t before = eyes_of(village);
    REQUIRE(before > 0);
    harm(before);
    village.set_level(4.0F);
    REQUIRE(village.ask_until("alarms", [](const json& now) { return now["alarms"][0]["state"] == "unacked"; }));
    REQUIRE(village.ask_until("cameras", [&](const json& now) { return up(now) && eyes_of(village) != before; }));
  }
  CHECK(village.ask("cameras")["eyes"]["restarts"] == harms.size());
  village.hamletd->signal(SIGTERM);
  CHECK(village.hamletd->wait(10s) == 0);
  village.check_all_arrived();

  // By the box's own clock, ms: what was read, and when the alarm came of it.
  REQUIRE(county.wait_until(
      [all = village.county.snapshot()](const auto& now) {
        return now.total(Lane::alarm).prefix >= all.total(Lane::alarm).prefix && now.total(Lane::tele).prefix >= all.total(Lane::tele).prefix &&
               now.total(Lane::event).prefix >= all.total(Lane::event).prefix;
      },
      kPatience));
  std::map<std::int64_t, double> level;
  std::vector<std::int64_t> alarms;
  std::size_t lost = 0;
  for (const auto& message : county.snapshot().messages) {
    const auto& said = message.payload;
    if (message.topic == "alarmlog/river-level-high" && said["state"] == "unacked") alarms.push_back(said["ts"]);
    if (message.topic == "event/gateway/eyes" && said["phase"] == "start") ++lost;
    if (message.topic != "tele") continue;
    for (const auto& reading : said["readings"]) {
      if (reading["s"] == "river.level") level[reading["t"]] = reading["v"];
    }
  }
  CHECK(lost == harms.size());
  REQUIRE(alarms.size() == harms.size());
  auto alarm = alarms.begin();
  for (auto one = level.begin(), next = std::next(one); next != level.end(); one = next++) {
    CHECK(next->first - one->first < 1'000);  // there is one each 100 ms
    if (one->second > 3 || next->second < 3) continue;
    REQUIRE(alarm != alarms.end());
    CHECK(std::abs(*alarm++ - next->first) < 500);
  }
  CHECK(alarm == alarms.end());
}
