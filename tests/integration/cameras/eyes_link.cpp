// The daemon's end of the socket, against peers that are not what they should be. The test plays eyes.

#include <utility>

#include <boost/asio/buffer.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/write.hpp>
#include <doctest/doctest.h>
#include <sys/stat.h>

#include "tests/integration/cameras/harness.hpp"

using namespace hamlet;
using namespace hamlet::tests;
using boost::asio::local::stream_protocol;
using cameras::Message;

namespace {

constexpr auto kEvent = "00112233445566aa";
const std::string kJpeg = "\xff\xd8 and so on";

class Peer {
 public:
  explicit Peer(Harness& harness) : harness_{harness}, socket_{harness.io} {
    socket_.connect(stream_protocol::endpoint{harness.socket.string()});
    socket_.non_blocking(true);
  }

  void say(const Message& message) { say_bytes(cameras::encode(message)); }
  void say_bytes(const std::string& bytes) {
    boost::system::error_code ignored;  // the other side may hang up before it has read all
    boost::asio::write(socket_, boost::asio::buffer(bytes), ignored);
  }
  void hang_up() { socket_.close(); }
  // The next message of the daemon; nothing where it hung up.
  std::optional<Message> hear() {
    std::optional<Message> heard;
    bool closed = false;
    REQUIRE(harness_.until([&] {
      std::array<char, 65536> bytes{};
      boost::system::error_code error;
      const auto count = socket_.read_some(boost::asio::buffer(bytes), error);
      if (error && error != boost::asio::error::would_block) closed = true;
      decoder_.feed({bytes.data(), count});
      auto frame = decoder_.next();
      if (frame && *frame) heard = cameras::parse(**std::move(frame)).value();
      return closed || heard.has_value();
    }));
    return heard;
  }

 private:
  Harness& harness_;
  stream_protocol::socket socket_;
  cameras::FrameDecoder decoder_;
};

cameras::CameraConfig yard() {
  return file_camera("yard", "/clip.mp4", 100, 100);
}

// A peer that has been accepted and given its config.
void greet(Peer& peer) {
  peer.say({cameras::Hello{cameras::kProtocol, "test"}});
  const auto config = peer.hear();
  REQUIRE(config);
  REQUIRE(std::get<cameras::Configure>(config->body).cameras.size() == 1);
}

Message seen(Harness& harness, Phase phase, std::string event = kEvent, std::string zone = "all") {
  return {cameras::Observation{
              "yard", std::move(zone), "motion", phase, std::move(event), harness.clock.mono(), {{"area", 0.5}}},
          phase == Phase::end ? kJpeg : std::string{}, phase == Phase::end ? kJpeg : std::string{}};
}

Message state(cameras::CameraCondition condition, std::string why) {
  return {cameras::CameraState{"yard", condition, std::move(why), "words", 25, 100}};
}

}  // namespace

TEST_CASE("the socket is for its owner alone") {
  Harness harness{Harness::With::nobody};
  REQUIRE(harness.link.start({yard()}));
  struct stat socket {};
  REQUIRE(stat(harness.socket.c_str(), &socket) == 0);
  CHECK((socket.st_mode & 0777) == 0600);
}

TEST_CASE("a socket that cannot be made is told with its path") {
  Harness harness{Harness::With::nobody};
  const auto start = [&](const std::filesystem::path& path) {
    daemon::EyesLink link{harness.io, harness.clock, {.socket = path}, {}};
    return link.start({});
  };
  CHECK(start("/nonexistent/eyes.sock").error().message.find("/nonexistent/eyes.sock") != std::string::npos);
  CHECK(start(harness.folder.path() / std::string(200, 'x')).error().code == Errc::invalid);
}

TEST_CASE("an observation goes through, from start to end") {
  Harness harness{Harness::With::nobody};
  REQUIRE(harness.link.start({yard()}));
  CHECK(harness.eyes_state() == "starting");
  Peer peer{harness};
  greet(peer);
  CHECK(harness.eyes_state() == "up");
  peer.say(seen(harness, Phase::start));
  peer.say(seen(harness, Phase::update));
  peer.say(seen(harness, Phase::end));
  REQUIRE(harness.until([&] { return harness.seen.size() == 3; }));
  CHECK(harness.seen[2].jpeg == kJpeg);
  CHECK(harness.seen[2].thumbnail == kJpeg);
  CHECK(harness.nothing_open());
}

TEST_CASE("a snapshot is asked for, and every asking is answered once") {
  Harness harness{Harness::With::nobody};
  std::vector<std::string> answers;
  const auto ask = [&](const std::string& camera) {
    harness.link.snapshot(camera, [&](const Result<daemon::EyesLink::Shot>& shot) {
      answers.push_back(shot ? shot->jpegs.full : shot.error().message);
    });
  };
  REQUIRE(harness.link.start({yard()}));
  ask("garden");
  ask("yard");
  CHECK(answers == std::vector<std::string>{"garden", "starting"});
  Peer peer{harness};
  greet(peer);
  peer.say({cameras::CameraState{"yard", cameras::CameraCondition::up}});
  REQUIRE(harness.until([&] { return harness.state_of("yard") == "up"; }));
  answers.clear();
  ask("yard");
  ask("yard");
  ask("yard");
  peer.say({cameras::Snapshot{"garden", 1, harness.clock.mono()}, kJpeg, kJpeg});  // not of this camera
  peer.say({cameras::Snapshot{"yard", 1, harness.clock.mono()}, kJpeg, kJpeg});
  peer.say({cameras::Snapshot{"yard", 1, harness.clock.mono()}, kJpeg, kJpeg});  // again
  peer.say({cameras::Snapshot{"yard", 2, harness.clock.mono(), "no-pictures"}});
  REQUIRE(harness.until([&] { return answers.size() == 2; }));
  CHECK(answers == std::vector<std::string>{kJpeg, "no-pictures"});
  peer.hang_up();
  REQUIRE(harness.until([&] { return answers.size() == 3; }));
  CHECK(answers[2] == "eyes-lost");
}

TEST_CASE("what eyes may not say is dropped") {
  Harness harness{Harness::With::nobody};
  REQUIRE(harness.link.start({yard()}));
  Peer peer{harness};
  greet(peer);
  peer.say(seen(harness, Phase::update));                              // never started
  peer.say(seen(harness, Phase::end));                                 // the same
  peer.say(seen(harness, Phase::start, "00000000000000bb", "other"));  // no such zone
  auto foreign = seen(harness, Phase::start, "00000000000000cc");
  std::get<cameras::Observation>(foreign.body).camera = "gate";  // no such camera
  peer.say(foreign);
  auto large = seen(harness, Phase::start, "00000000000000dd");
  std::get<cameras::Observation>(large.body).detail = {{"x", std::string(10'000, 'x')}};
  peer.say(large);
  peer.say(seen(harness, Phase::start));
  peer.say(seen(harness, Phase::start, "00000000000000ee"));  // the zone is occupied already
  auto future = seen(harness, Phase::end);
  std::get<cameras::Observation>(future.body).at += Millis{3'600'000};
  future.binary = "this is no JPEG";
  peer.say(future);
  REQUIRE(harness.until([&] { return !harness.seen_in("all", Phase::end).empty(); }));
  REQUIRE(harness.seen.size() == 2);
  CHECK(harness.seen[0].what.event == kEvent);
  CHECK(harness.seen[1].what.at <= harness.clock.mono());
  CHECK(harness.seen[1].jpeg.empty());
}

TEST_CASE("a camera's down and up are one event, however often it is repeated") {
  Harness harness{Harness::With::nobody};
  REQUIRE(harness.link.start({yard()}));
  Peer peer{harness};
  greet(peer);
  using enum cameras::CameraCondition;
  for (const auto* why : {"timeout", "unreachable", "timeout"}) peer.say(state(down, why));
  peer.say(state(up, ""));
  peer.say(state(up, ""));
  REQUIRE(harness.until([&] { return harness.state_of("yard") == "up"; }));
  REQUIRE(harness.events.size() == 2);
  CHECK(harness.events[0].phase == Phase::start);
  CHECK(harness.events[0].detail.at("why") == "timeout");
  CHECK(harness.events[1].phase == Phase::end);
  CHECK(harness.events[0].id == harness.events[1].id);
}

TEST_CASE("a peer that breaks the protocol is hung up on, and that is an event") {
  Harness harness{Harness::With::nobody};
  REQUIRE(harness.link.start({yard()}));
  Peer peer{harness};
  SUBCASE("by speaking another version") {
    peer.say({cameras::Hello{99, "future"}});
  }
  SUBCASE("by not saying hello") {
    peer.say({cameras::Heartbeat{}});
  }
  SUBCASE("by saying what only the daemon says") {
    greet(peer);
    peer.say({cameras::Stop{}});
  }
  SUBCASE("by bytes that are no frame") {
    peer.say_bytes("GET / HTTP/1.1\r\n\r\n");
  }
  SUBCASE("by JSON that is none") {
    peer.say_bytes(std::string("\0\0\0\x6\0\0\0\x2{x", 10));
  }
  CHECK_FALSE(peer.hear());
  REQUIRE(harness.until([&] { return harness.eyes_state() == "lost"; }));
  CHECK(harness.events_of("gateway", "eyes", Phase::start).size() == 1);

  Peer next{harness};
  greet(next);
  CHECK(harness.eyes_state() == "up");
  CHECK(harness.nothing_open());
}

TEST_CASE("there is one peer, and a second is turned away") {
  Harness harness{Harness::With::nobody};
  REQUIRE(harness.link.start({yard()}));
  Peer peer{harness};
  greet(peer);
  Peer second{harness};
  second.say({cameras::Hello{}});
  CHECK_FALSE(second.hear());
  peer.say(seen(harness, Phase::start));
  CHECK(harness.until([&] { return harness.seen.size() == 1; }));
}

TEST_CASE("eyes that never comes is told of once") {
  Harness harness{Harness::With::nobody, Millis{200}};
  REQUIRE(harness.link.start({yard()}));
  REQUIRE(harness.until([&] { return harness.eyes_state() == "lost"; }));
  CHECK(harness.state_of("yard") == "down eyes-lost");
  CHECK(harness.events_of("gateway", "eyes", Phase::start).size() == 1);
}

TEST_CASE("stopping ends whatever is open, once") {
  Harness harness{Harness::With::nobody};
  REQUIRE(harness.link.start({yard()}));
  Peer peer{harness};
  greet(peer);
  peer.say(seen(harness, Phase::start));
  peer.say(state(cameras::CameraCondition::down, "timeout"));
  REQUIRE(harness.until([&] { return harness.events.size() == 1; }));
  harness.link.stop();
  harness.link.stop();
  CHECK(harness.nothing_open());
  REQUIRE(harness.seen_in("all", Phase::end).size() == 1);
  CHECK(harness.seen_in("all", Phase::end)[0].what.detail.at("why") == "stopped");
  CHECK(harness.eyes_state() == "off");
}
