// Pictures on their way: the county gets thumbnails, the box keeps the whole ones, and every look is written down.

#include <opencv2/core.hpp>

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
