// The uplink with a real journal, a real mosquitto, a bad link and a county that keeps the books.
#include <fstream>

#include "tests/integration/uplink/box.hpp"
#include "tests/support/power_cut_vfs.hpp"
#include "tests/support/proxy.hpp"

using namespace hamlet::uplink_tests;
using hamlet::Millis;
using hamlet::Reading;
using hamlet::support::Proxy;
using namespace std::chrono_literals;

TEST_CASE("a birth says everything that a page needs, and a stop says goodbye") {
  Broker broker;
  County county{county_of(broker)};
  Box box{broker.uri()};
  CHECK(box.state() == "off");
  box.alarms = {box.alarm(hamlet::AlarmState::acked)};
  box.read(3, Urgency::now);
  box.uplink->start();
  REQUIRE(box.online());
  REQUIRE(box.drained());
  REQUIRE(box.seen_by(county, 
      [](const auto& now) {
        return now.total(Lane::tele).prefix == 3 && now.alarms.size() == 1 && now.health.is_object();
      },
      10s));
  const auto birth = county.snapshot();
  CHECK(birth.state["state"] == "online");
  CHECK(birth.state["gw"] == "gw-0017");
  CHECK(birth.state["epoch"] == box.journal->epoch());
  CHECK(birth.state["firmware"] == HAMLET_VERSION);
  CHECK(birth.state["lanes"]["tele"].contains("pending"));
  CHECK(birth.meta["rev"] == 7);
  CHECK(birth.meta["devices"].is_array());
  CHECK(birth.alarms.at("level-high")["state"] == "acked");
  CHECK(birth.health["healthy"] == 1);
  CHECK(birth.invalid.empty());
  const auto status = box.uplink->status();
  CHECK(status["broker"] == broker.uri());
  CHECK(status["protocol"] == "5");
  CHECK(status["lanes"]["tele"] == json{{"last", 3}, {"sent", 3}, {"pending", 0}});
  box.close();
  CHECK(box.seen_by(county, [](const auto& now) { return now.state["state"] == "offline"; }, 10s));
}

TEST_CASE("every lane arrives, each in its own numbers, by MQTT 5 and by 3.1.1") {
  for (const auto protocol : {hamlet::wire::MqttProtocol::v5, hamlet::wire::MqttProtocol::v311}) {
    Broker broker;
    County county{county_of(broker)};
    Box box{broker.uri(), [&](auto& options) { options.protocol = protocol; }};
    box.uplink->start();
    REQUIRE(box.online());
    box.read(500);
    for (int i = 0; i < 30; ++i) box.happen();
    for (int i = 0; i < 5; ++i) box.photograph("jpeg " + std::to_string(i));
    box.raise();
    REQUIRE(box.drained());
    REQUIRE(box.seen_by(county, [](const auto& now) { return now.total(Lane::tele).prefix == 500; }, 10s));
    const auto books = county.snapshot();
    CHECK(books.total(Lane::event).prefix == 30);
    CHECK(books.total(Lane::media).prefix == 5);
    CHECK(books.total(Lane::alarm).prefix == 1);
    CHECK(books.total(Lane::tele).duplicates == 0);
    CHECK(books.readings == 500);
    CHECK(books.media_bytes == 5 * 6);
    CHECK(books.alarms.at("level-high")["state"] == "unacked");
    CHECK(books.invalid.empty());
  }
}

TEST_CASE("the Will tells of a box that went without a word") {
  Broker broker;
  Proxy proxy{broker.port()};
  County county{county_of(broker)};
  Box box{proxy.uri()};
  box.uplink->start();
  REQUIRE(box.online());
  proxy.cut();
  REQUIRE(box.seen_by(county, [](const auto& now) { return now.state.is_object() && now.state.value("state", "") == "offline"; }, 10s));
  CHECK(county.snapshot().state["epoch"] == box.journal->epoch());
  proxy.open();
  REQUIRE(box.run_until([&] { return box.state() != "online"; }));
  REQUIRE(box.online());
  CHECK(box.seen_by(county, [](const auto& now) { return now.state["state"] == "online"; }, 10s));
  CHECK(box.uplink->status()["reconnects"] == 1);
}

TEST_CASE("never are more than twenty messages in flight, and two places are the alarms'") {
  Broker broker;
  Proxy proxy{broker.port()};
  County county{county_of(broker)};
  Box box{proxy.uri()};
  box.uplink->start();
  REQUIRE(box.online());
  box.read(200, Urgency::now);
  REQUIRE(box.drained());  // the link has shown that it carries much: what bounds is the window
  proxy.stall();
  box.read(500, Urgency::now);
  for (int i = 0; i < 30; ++i) box.happen();
  std::uint64_t most = 0;
  const auto look = [&] { return most = std::max(most, box.uplink->status()["inflight"].get<std::uint64_t>()); };
  REQUIRE(box.run_until([&] { return look() == 18 && box.journal->committed(Lane::tele) == 700; }));
  for (int i = 0; i < 5; ++i) box.raise();
  REQUIRE(box.run_until([&] { return look() == 20 && box.journal->committed(Lane::alarm) == 5; }));
  proxy.open();
  REQUIRE(box.run_until([&] {
    look();
    return box.pending() == 0;
  }));
  CHECK(most == 20);
  CHECK(box.seen_by(county, [](const auto& now) { return now.total(Lane::tele).prefix == 700; }, 10s));
}

TEST_CASE("a link that is cut again and again loses nothing and doubles only what was in flight") {
  Broker broker;
  Proxy proxy{broker.port()};
  County county{county_of(broker)};
  Box box{proxy.uri()};
  box.uplink->start();
  REQUIRE(box.online());
  box.read(5'000);
  constexpr std::uint64_t kCuts = 4;
  for (std::uint64_t cut = 1; cut <= kCuts; ++cut) {
    REQUIRE(box.run_until([&] { return box.uplink->status()["lanes"]["tele"]["sent"] >= cut * 1'000; }));
    proxy.cut();
    REQUIRE(box.run_until([&] { return box.state() != "online"; }));
    proxy.open();
    REQUIRE(box.online());
  }
  REQUIRE(box.drained());
  REQUIRE(box.seen_by(county, [](const auto& now) { return now.total(Lane::tele).prefix == 5'000; }, 20s));
  const auto tele = county.snapshot().total(Lane::tele);
  CHECK(tele.missing == 0);
  CHECK(tele.conflicts == 0);
  CHECK(tele.duplicates <= kCuts * 20);
}

TEST_CASE("a half-open link under load is found within two keepalives, though TCP says nothing") {
  Broker broker;
  Proxy proxy{broker.port()};
  County county{county_of(broker)};
  Box box{proxy.uri(), [](auto& options) { options.keepalive = 2s; }};
  box.uplink->start();
  REQUIRE(box.online());
  proxy.half_open();
  const auto began = std::chrono::steady_clock::now();
  box.read(100, Urgency::now);
  REQUIRE(box.run_until([&] { return box.state() != "online"; }));
  CHECK(std::chrono::steady_clock::now() - began < 4s + 500ms);
  proxy.open();
  REQUIRE(box.online());
  REQUIRE(box.drained());
  CHECK(box.seen_by(county, [](const auto& now) { return now.total(Lane::tele).prefix == 100; }, 10s));
}

TEST_CASE("an alarm and the newest reading go ahead of a backlog") {
  const bool newest_first = [] {
    bool newest = false;
    SUBCASE("oldest first") {}
    SUBCASE("newest first") { newest = true; }
    return newest;
  }();
  Broker broker;
  Proxy proxy{broker.port()};
  County county{county_of(broker, true)};
  Box box{proxy.uri(), [&](auto& options) { options.newest_first = newest_first; }};
  box.read(4'000, Urgency::now);
  REQUIRE(box.run_until([&] { return box.journal->committed(Lane::tele) == 4'000; }));
  proxy.rate(4'000'000);
  box.uplink->start();
  const auto sent = [&] { return 4'000 - box.uplink->status()["lanes"]["tele"]["pending"].get<std::uint64_t>(); };
  REQUIRE(box.run_until([&] { return sent() >= 500; }));
  box.raise();
  std::uint64_t sent_when_durable = 0;
  REQUIRE(box.run_until([&] {
    if (sent_when_durable == 0 && box.journal->committed(Lane::alarm) == 1) sent_when_durable = sent();
    return box.uplink->status()["lanes"]["alarm"]["sent"] == 1;
  }));
  proxy.rate(0);
  REQUIRE(box.drained());
  REQUIRE(box.seen_by(county, [](const auto& now) { return now.total(Lane::tele).prefix == 4'000; }, 20s));
  const auto books = county.snapshot();
  CHECK(books.total(Lane::tele).duplicates == 0);
  const auto alarm = std::find_if(books.messages.begin(), books.messages.end(),
                                  [](const auto& arrival) { return arrival.lane == Lane::alarm; });
  REQUIRE(alarm != books.messages.end());
  const auto ahead = static_cast<std::uint64_t>(alarm - books.messages.begin());
  CHECK(ahead >= 500);
  CHECK(ahead <= sent_when_durable + 200);  // what was in flight when it became durable, and until it was read back
  CHECK(books.messages.front().seq == 4'000);
  CHECK(books.messages.at(1).seq == (newest_first ? 3'744 : 1));
}

TEST_CASE("live and backlog share the link as live_share says, while both wait") {
  const double share = [] {
    double part = 0;
    SUBCASE("a quarter") { part = 0.25; }
    SUBCASE("half") { part = 0.5; }
    SUBCASE("four fifths") { part = 0.8; }
    return part;
  }();
  Broker broker;
  Proxy proxy{broker.port()};
  County county{county_of(broker, true)};
  Box box{proxy.uri(), [&](auto& options) { options.live_share = share; }};
  constexpr std::uint64_t kBefore = 600, kAfter = 300, kLook = 150;
  box.read(kBefore, Urgency::now);
  REQUIRE(box.run_until([&] { return box.journal->committed(Lane::tele) == kBefore; }));
  proxy.rate(1'000'000);
  box.uplink->start();
  REQUIRE(box.run_until([&] { return box.uplink->status()["lanes"]["tele"]["pending"] < kBefore - 40; }));
  box.read(kAfter, Urgency::now);
  proxy.rate(1'000'000);
  REQUIRE(box.drained());
  REQUIRE(box.seen_by(county, [](const auto& now) { return now.total(Lane::tele).prefix == kBefore + kAfter; }, 20s));
  const auto came = county.snapshot().messages;
  const auto is_live = [](const auto& each) { return each.seq > kBefore; };
  const auto first = std::find_if(came.begin(), came.end(), is_live);
  REQUIRE(came.end() - first >= static_cast<std::ptrdiff_t>(kLook));
  const auto live = static_cast<double>(std::count_if(first, first + kLook, is_live)) / kLook;
  CHECK(live == doctest::Approx(share).epsilon(0.1));
}

TEST_CASE("max_kbit holds for all that is sent, also over a lost link, and an alarm does not wait for it") {
  Broker broker;
  Proxy proxy{broker.port()};
  County county{county_of(broker)};
  std::vector<Reading> batch;
  for (int i = 0; i < 20; ++i) batch.push_back({.point = "river.level", .at = {}, .value = double(i)});
  SUBCASE("what is sent") {
    constexpr double kKbit = 800;
    Box box{proxy.uri(), [&](auto& options) { options.max_kbit = static_cast<std::uint64_t>(kKbit); }};
    for (auto& each : batch) each.at = box.clock.mono();
    const auto body = hamlet::contract::encode_readings(batch, box.clock.mono());
    for (int i = 0; i < 400; ++i) REQUIRE(box.journal->append(Lane::tele, box.clock.mono(), body, Urgency::window));
    REQUIRE(box.run_until([&] { return box.journal->committed(Lane::tele) == 400; }));
    box.uplink->start();
    const auto kbit_until = [&](std::uint64_t left) {
      const auto before = proxy.counts().bytes_up;
      const auto began = std::chrono::steady_clock::now();
      REQUIRE(box.run_until([&] { return box.pending() <= left; }));
      const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - began;
      return 8 * static_cast<double>(proxy.counts().bytes_up - before) / took.count();
    };
    (void)kbit_until(350);  // it may begin half a second ahead
    const auto steady = kbit_until(150);
    CHECK(steady <= kKbit);
    CHECK(steady >= 0.6 * kKbit);
    proxy.cut();
    REQUIRE(box.run_until([&] { return box.state() != "online"; }));
    proxy.open();
    CHECK(kbit_until(30) <= kKbit * 1.1);
  }
  SUBCASE("alarms") {
    Box box{proxy.uri(), [](auto& options) { options.max_kbit = 8; }};  // a batch takes more than a second
    for (auto& each : batch) each.at = box.clock.mono();
    const auto body = hamlet::contract::encode_readings(batch, box.clock.mono());
    for (int i = 0; i < 50; ++i) REQUIRE(box.journal->append(Lane::tele, box.clock.mono(), body, Urgency::window));
    REQUIRE(box.run_until([&] { return box.journal->committed(Lane::tele) == 50; }));
    box.uplink->start();
    REQUIRE(box.online());
    REQUIRE(box.seen_by(county, [](const auto& now) { return now.total(Lane::tele).received >= 2; }, 20s));
    const auto began = std::chrono::steady_clock::now();
    for (int i = 0; i < 8; ++i) box.raise();
    REQUIRE(box.seen_by(county, [](const auto& now) { return now.total(Lane::alarm).prefix == 8; }, 20s));
    CHECK(std::chrono::steady_clock::now() - began < 2s);  // by the cap: 5 s
  }
}

TEST_CASE("what gains by it is compressed where the county asked for it and can see it") {
  auto protocol = hamlet::wire::MqttProtocol::v5;
  SUBCASE("MQTT 5") {}
  SUBCASE("3.1.1") { protocol = hamlet::wire::MqttProtocol::v311; }
  Broker broker;
  County county{county_of(broker)};
  Box box{broker.uri(), [&](auto& options) {
            options.compress = true;
            options.protocol = protocol;
          }};
  std::vector<Reading> readings;
  for (int i = 0; i < 200; ++i) readings.push_back({.point = "river.level", .at = box.clock.mono(), .value = double(i)});
  REQUIRE(box.journal->append(Lane::tele, box.clock.mono(), hamlet::contract::encode_readings(readings, box.clock.mono()), Urgency::now));
  box.photograph(std::string(5'000, 'j'));
  box.uplink->start();
  box.raise();
  REQUIRE(box.drained());
  REQUIRE(box.seen_by(county, [](const auto& now) { return now.readings == 200 && now.media_bytes == 5'000 && now.alarms.size() == 1; }, 10s));
  CHECK(box.seen_by(county, [](const auto& now) { return now.total(Lane::alarm).prefix == 1; }, 10s));
  if (protocol == hamlet::wire::MqttProtocol::v5) {
    CHECK(county.snapshot().compressed >= 1);
  } else {
    CHECK(county.snapshot().compressed == 0);
  }
  CHECK(county.snapshot().invalid.empty());
}

TEST_CASE("the batches of a backlog share a message where it is compressed, each with its identity") {
  auto newest_first = false;
  SUBCASE("oldest first") {}
  SUBCASE("newest first") { newest_first = true; }
  constexpr std::uint64_t kRecords = 3'000;
  Broker broker;
  Proxy proxy{broker.port()};
  County county{county_of(broker)};
  Box box{proxy.uri(), [&](auto& options) {
            options.compress = true;
            options.protocol = hamlet::wire::MqttProtocol::v5;
            options.newest_first = newest_first;
          }};
  box.read(kRecords);
  REQUIRE(box.run_until([&] { return box.journal->committed(Lane::tele) == kRecords; }));
  box.uplink->start();
  for (unsigned cut = 1; cut <= 4; ++cut) {
    REQUIRE(box.run_until([&] { return box.pending() <= kRecords - cut * 400; }));
    proxy.cut();
    REQUIRE(box.run_until([&] { return box.state() != "online"; }));
    proxy.open();
  }
  REQUIRE(box.drained());
  REQUIRE(box.seen_by(county, [&](const auto& now) { return now.total(Lane::tele).prefix == kRecords; }, 10s));
  const auto now = county.snapshot();
  CHECK(now.readings == kRecords);
  CHECK(now.total(Lane::tele).conflicts == 0);
  CHECK(now.total(Lane::tele).duplicates < kRecords);
  CHECK(now.compressed < now.total(Lane::tele).received / 20);
  CHECK(now.invalid.empty());
  CHECK(box.journal->position("county", Lane::tele).prefix == kRecords);
  const auto before = now.total(Lane::tele).received;
  REQUIRE(box.uplink->replay({{"lane", "tele"}, {"from", 101}, {"to", 400}}));
  REQUIRE(box.seen_by(county, [&](const auto& then) { return then.total(Lane::tele).received == before + 300; }, 10s));
  CHECK(county.snapshot().compressed < now.compressed + 300 / 20);
  CHECK(county.snapshot().total(Lane::tele).conflicts == 0);
}

TEST_CASE("nothing is sent before it is durable") {
  Broker broker;
  County county{county_of(broker)};
  Box box{broker.uri(), [](auto& options) { options.health_every = 1s; }, 1h};
  box.uplink->start();
  REQUIRE(box.online());
  box.read(10);
  // Two more healths: the uplink has looked around meanwhile.
  const int before = box.healths;
  REQUIRE(box.run_until([&] { return box.healths >= before + 2; }));
  CHECK(box.journal->committed(Lane::tele) == 0);
  CHECK(county.snapshot().total(Lane::tele).received == 0);
  box.journal->sync([](const auto&) {});
  REQUIRE(box.run_until([&] { return box.journal->committed(Lane::tele) == 10; }));
  REQUIRE(box.drained());
  CHECK(box.seen_by(county, [](const auto& now) { return now.total(Lane::tele).prefix == 10; }, 10s));
}

// A birth used to wait for the disk for ever: a box that was connected sent nothing.
TEST_CASE("a disk that hangs keeps back an alarm's present state, and nothing else that is stored") {
  hamlet::support::PowerCutVfs disk{1};
  Broker broker;
  County county{county_of(broker)};
  Box box{broker.uri()};
  box.read(10, Urgency::now);
  REQUIRE(box.run_until([&] { return box.journal->committed(Lane::tele) == 10; }));
  disk.hold();
  const std::unique_ptr<hamlet::support::PowerCutVfs, void (*)(hamlet::support::PowerCutVfs*)> held{&disk, [](auto* it) { it->release(); }};
  box.raise();
  box.uplink->start();
  REQUIRE(box.run_until([&] {
    if (county.snapshot().total(Lane::tele).prefix == 10) return true;
    if (county.snapshot().states == 0) box.clock.advance(100ms);
    return false;
  }));
  CHECK(county.snapshot().alarms.empty());
  CHECK(county.snapshot().total(Lane::alarm).received == 0);
  disk.release();
  CHECK(box.seen_by(county, [](const auto& now) { return now.alarms.size() == 1 && now.total(Lane::alarm).prefix == 1; }, 10s));
}

TEST_CASE("a restart goes on where it stood, in the same epoch") {
  Broker broker;
  County county{county_of(broker)};
  Box box{broker.uri()};
  box.uplink->start();
  box.read(100);
  REQUIRE(box.drained());
  box.close();
  box.open();
  box.uplink->start();
  box.read(100);
  REQUIRE(box.drained());
  REQUIRE(box.seen_by(county, [](const auto& now) { return now.total(Lane::tele).prefix == 200; }, 10s));
  const auto books = county.snapshot();
  CHECK(books.epochs.size() == 1);
  CHECK(books.total(Lane::tele).duplicates == 0);
}

TEST_CASE("a box whose journal is a copy sees it by what the broker remembers, also on a slow link, and no number means two things") {
  Broker broker;
  Proxy proxy{broker.port()};
  County county{county_of(broker)};
  Box box{proxy.uri()};
  const auto work = [&](std::size_t readings) {
    box.uplink->start();
    box.read(readings);
    REQUIRE(box.drained());
    box.close();
  };
  const auto copy = [](const std::filesystem::path& from, const std::filesystem::path& to) {
    std::filesystem::remove_all(to);
    std::filesystem::copy(from, to, std::filesystem::copy_options::recursive);
  };
  hamlet::support::TempDir kept;
  work(50);
  copy(box.folder.path(), kept.path());
  box.open();
  work(50);
  copy(kept.path(), box.folder.path());
  SUBCASE("at once") {}
  SUBCASE("slow") { proxy.delay(700ms); }
  box.open();
  box.journal->on_epoch([&] { box.uplink->epochs_changed(); });
  work(10);
  REQUIRE(box.seen_by(county, [](const auto& now) { return now.epochs.size() == 2 && now.readings == 110; }, 20s));
  CHECK(county.snapshot().total(Lane::tele).conflicts == 0);
  CHECK(county.snapshot().total(Lane::tele).duplicates == 0);
}

TEST_CASE("a stop in the middle of a drain doubles what was in flight") {
  Broker broker;
  Proxy proxy{broker.port()};
  County county{county_of(broker)};
  Box box{proxy.uri()};
  box.read(3'000);
  REQUIRE(box.run_until([&] { return box.journal->committed(Lane::tele) == 3'000; }));
  proxy.rate(4'000'000);
  box.uplink->start();
  for (const std::uint64_t left : {2'000U, 1'000U}) {
    REQUIRE(box.run_until([&] { return box.pending() < left; }));
    box.close();
    box.open();
    box.uplink->start();
  }
  REQUIRE(box.drained());
  REQUIRE(box.seen_by(county, [](const auto& now) { return now.total(Lane::tele).prefix == 3'000; }, 20s));
  CHECK(county.snapshot().total(Lane::tele).duplicates <= 2 * 20);
  CHECK(county.snapshot().epochs.size() == 1);
}

// Positions used to be stored only with records, and newest first only once a minute: a box with little to record sent all of it again.
TEST_CASE("a power cut or kill -9 in the middle of a drain doubles the last of it") {
  hamlet::support::PowerCutVfs disk{2};
  Broker broker;
  Proxy proxy{broker.port()};
  County county{county_of(broker)};
  Box box{proxy.uri(), [](auto& options) {
            SUBCASE("oldest first") {}
            SUBCASE("newest first") { options.newest_first = true; }
          }};
  constexpr std::uint64_t kRecords = 12'000;
  box.read(kRecords);
  REQUIRE(box.run_until([&] { return box.journal->committed(Lane::tele) == kRecords; }));
  proxy.rate(8'000'000);  // 3,000 a second, 150 in a commit window
  box.uplink->start();
  REQUIRE(box.run_until([&] { return box.pending() < 2'000; }));
  disk.cut_now();
  box.close();
  disk.power_on();
  box.open();
  proxy.rate(0);
  box.uplink->start();
  REQUIRE(box.drained());
  REQUIRE(box.seen_by(county, [](const auto& now) { return now.total(Lane::tele).prefix == kRecords; }, 20s));
  CHECK(county.snapshot().total(Lane::tele).duplicates <= 2'500);
  CHECK(county.snapshot().epochs.size() == 1);
}

TEST_CASE("a power cut doubles nothing that was sent more than a minute before, though nothing was recorded since") {
  hamlet::support::PowerCutVfs disk{3};
  Broker broker;
  County county{county_of(broker)};
  Box box{broker.uri()};
  box.uplink->start();
  box.read(100);
  REQUIRE(box.drained());
  box.clock.advance(61s);
  const auto syncs = disk.counts().syncs;
  box.journal->tend();
  REQUIRE(box.run_until([&] { return disk.counts().syncs > syncs; }));
  disk.cut_now();
  box.close();
  disk.power_on();
  box.open();
  box.uplink->start();
  box.happen();
  REQUIRE(box.drained());
  REQUIRE(box.seen_by(county, [](const auto& now) { return now.total(Lane::event).prefix == 1; }, 10s));
  CHECK(county.snapshot().total(Lane::tele).received == 100);
}

TEST_CASE("commands are judged before they are handed on, and answered where the county asks") {
  Broker broker;
  County county{county_of(broker)};
  county.publish("cmd/ping", R"({"id":"old"})", true);
  Box box{broker.uri()};
  box.uplink->start();
  REQUIRE(box.online());
  county.publish("cmd/ping", "no JSON");
  county.publish("cmd/ping", R"({"id":"c1","say":"hi"})");
  county.request("cmd/ping", R"({"id":"c2","say":"ho"})", "answer/ping", "corr-2");
  REQUIRE(box.run_until([&] { return box.commands.size() == 2; }));
  REQUIRE(box.run_until([&] {
    const auto now = county.snapshot();
    return now.replies.contains("ping") && now.replies.at("ping").size() == 2;
  }));
  CHECK(box.commands[0].id == "c1");
  CHECK(box.commands[1].id == "c2");
  const auto replies = county.snapshot().replies.at("ping");
  CHECK(replies[0]["id"] == "c1");
  CHECK(replies[0]["said"] == "hi");
  CHECK(replies[0]["gw"] == "gw-0017");
  CHECK(replies[1]["id"] == "c2");
  CHECK(county.correlations() == std::vector<std::string>{"corr-2"});
}

TEST_CASE("a command for a box that is away waits for it where the session may outlive the link") {
  const auto expiry = [] {
    SUBCASE("kept") { return Millis{3'600'000}; }
    SUBCASE("by default it is not") { return Millis{0}; }
    return Millis{0};
  }();
  Broker broker;
  Proxy proxy{broker.port()};
  County county{county_of(broker)};
  Box box{proxy.uri(), [&](auto& options) { options.session_expiry = expiry; }};
  box.uplink->start();
  REQUIRE(box.online());
  proxy.cut();
  REQUIRE(box.run_until([&] { return box.state() != "online"; }));
  county.publish("cmd/ping", R"({"id":"away"})");
  proxy.open();
  REQUIRE(box.online());
  REQUIRE(box.run_until([&] {  // commands come in order
    if (box.commands.empty() || box.commands.back().id == "away") county.publish("cmd/ping", R"({"id":"here"})");
    return !box.commands.empty() && box.commands.back().id == "here";
  }));
  CHECK((box.commands.front().id == "away") == (expiry > Millis{0}));
}

TEST_CASE("what the county asks for again comes from the journal, with its identity, through a lost link") {
  Broker broker;
  Proxy proxy{broker.port()};
  Box box{proxy.uri()};
  box.uplink->start();
  REQUIRE(box.online());
  box.read(1'000);
  box.photograph("jpeg");
  box.raise();
  REQUIRE(box.drained());
  County county{county_of(broker)};  // it has missed all of that
  const auto before = box.uplink->status()["lanes"];

  const auto refused = [&](json args) { return !box.uplink->replay(std::move(args)); };
  CHECK(refused({{"lane", "health"}, {"from", 1}, {"to", 2}}));
  CHECK(refused({{"lane", "tele"}, {"from", 0}, {"to", 2}}));
  CHECK(refused({{"lane", "tele"}, {"from", 1'001}, {"to", 1'002}}));
  CHECK(refused({{"lane", "tele"}, {"from", 1}, {"to", 2}, {"epoch", "0000000000000000"}}));
  const auto asked = box.uplink->replay({{"lane", "tele"}, {"from", 101}, {"to", 5'000}});
  REQUIRE(asked);
  CHECK((*asked)["to"] == 1'000);
  REQUIRE(box.seen_by(county, [](const auto& now) { return now.alarms.size() == 1 && now.total(Lane::tele).received >= 1; }, 10s));
  const auto snapshot = county.snapshot().alarms.at("level-high");
  REQUIRE(box.uplink->replay({{"lane", "media"}, {"from", 1}, {"to", 1}}));
  REQUIRE(box.uplink->replay({{"lane", "alarm"}, {"from", 1}, {"to", 1}}));
  REQUIRE(box.seen_by(county, [](const auto& now) { return now.total(Lane::tele).received >= 50; }, 10s));
  CHECK(county.snapshot().alarms.at("level-high") == snapshot);  // not published again: its time is the same
  proxy.cut();
  REQUIRE(box.run_until([&] { return box.state() != "online"; }));
  proxy.open();
  REQUIRE(box.seen_by(county, [](const auto& now) {
    return now.total(Lane::tele).received - now.total(Lane::tele).duplicates == 900 && now.total(Lane::media).prefix == 1 &&
           now.total(Lane::alarm).prefix == 1;
  }, 20s));
  CHECK(county.snapshot().total(Lane::tele).missing == 100);
  CHECK(box.run_until([&] { return !box.uplink->status().contains("replays"); }));
  CHECK(box.uplink->status()["lanes"] == before);
}

TEST_CASE("the county's ack is clamped to what was sent, and another epoch's is nobody's") {
  Broker broker;
  County county{county_of(broker)};
  Box box{broker.uri(), [](auto& options) { options.county_ack = true; }};
  box.uplink->start();
  REQUIRE(box.online());
  box.read(10);
  REQUIRE(box.drained());
  county.publish("ack", json{{"0000000000000000", {{"tele", 5}}}}.dump(), true);
  county.publish("ack", json{{box.journal->epoch(), {{"tele", 4}}}}.dump(), true);
  REQUIRE(box.run_until([&] { return box.uplink->status()["county"]["tele"] == 4; }));
  county.publish("ack", json{{box.journal->epoch(), {{"tele", 10}}}}.dump(), true);
  REQUIRE(box.run_until([&] { return box.uplink->status()["county"]["tele"] == 10; }));
}

TEST_CASE("acks of numbers that were never given cost one epoch, and what was not acknowledged comes once more") {
  Broker broker;
  County county{county_of(broker)};
  Box box{broker.uri(), [](auto& options) { options.county_ack = true; }};
  box.journal->on_epoch([&] { box.uplink->epochs_changed(); });
  box.journal->set_uplinks({"county"});
  box.uplink->start();
  REQUIRE(box.online());
  box.read(10);
  REQUIRE(box.drained());
  const auto first = box.journal->epoch();
  const auto ack = [&](std::uint64_t tele) { county.publish("ack", json{{box.journal->epoch(), {{"tele", tele}}}}.dump(), true); };
  ack(4);
  REQUIRE(box.run_until([&] { return box.uplink->status()["county"]["tele"] == 4; }));
  ack(1'000'000'000);
  REQUIRE(box.run_until([&] { return box.journal->settled() && box.journal->epoch() != first; }));
  const auto second = box.journal->epoch();
  for (int i = 0; i < 3; ++i) ack(2'000'000'000);
  box.read(10);
  REQUIRE(box.drained());
  REQUIRE(box.seen_by(county, [&](const auto& now) { return now.epochs.contains(second) && now.total(Lane::tele).received == 26; }, 20s));
  CHECK(box.journal->epoch() == second);
  CHECK(box.run_until([&] { return box.uplink->status()["county"]["tele"] == 16; }));
  CHECK(county.snapshot().readings == 10 + 6 + 10);
}

// It used to be clamped for good: what was acknowledged before the broker's answer to a repetition was sent again each day.
TEST_CASE("the county's ack may come before the broker's") {
  Broker broker;
  County county{county_of(broker)};
  Box box{broker.uri(), [](auto& options) { options.county_ack = true; }};
  box.read(10);
  REQUIRE(box.run_until([&] { return box.journal->committed(Lane::tele) == 10; }));
  county.publish("ack", json{{box.journal->epoch(), {{"tele", 10}}}}.dump(), true);
  REQUIRE(box.run_until([&] { return !county.snapshot().ack.is_null(); }));
  CHECK(box.uplink->status()["county"]["tele"] == 0);
  box.uplink->start();
  CHECK(box.run_until([&] { return box.uplink->status()["county"]["tele"] == 10; }));
}

TEST_CASE("a broker that refuses a lane is told of in words, and nothing counts as sent") {
  hamlet::support::TempDir folder;
  const auto acl = folder.path() / "acl";
  std::ofstream{acl} << "topic readwrite " << topics().base() << "/state\ntopic readwrite " << topics().base()
                     << "/meta\ntopic read " << topics().base() << "/cmd/#\n";
  Broker broker{"acl_file " + acl.string()};
  Box box{broker.uri(), [](auto& options) { options.protocol = hamlet::wire::MqttProtocol::v5; }};
  box.read(3, Urgency::now);
  box.uplink->start();
  REQUIRE(box.run_until([&] { return box.uplink->status().contains("last_error"); }));
  CHECK(box.uplink->status()["last_error"].get<std::string>().find("refuses tele: 0x87") != std::string::npos);
  CHECK(box.uplink->status()["lanes"]["tele"]["pending"] == 3);
}

TEST_CASE("a broker that restarts without its memory gets a birth again") {
  Broker broker;
  Box box{broker.uri()};
  box.uplink->start();
  REQUIRE(box.online());
  broker.kill();
  REQUIRE(box.run_until([&] { return box.state() != "online"; }));
  box.read(50);
  broker.start();
  County county{county_of(broker)};
  REQUIRE(box.online());
  REQUIRE(box.drained());
  CHECK(box.seen_by(county, [](const auto& now) { return now.state.is_object() && now.meta.is_object(); }, 10s));
}

TEST_CASE("stop is bounded, whatever the link does") {
  Broker broker;
  Proxy proxy{broker.port()};
  Box box{proxy.uri()};
  box.uplink->start();
  SUBCASE("at once") {}
  SUBCASE("online") {
    REQUIRE(box.online());
  }
  SUBCASE("half-open, with messages in flight") {
    REQUIRE(box.online());
    proxy.half_open();
    box.read(100, Urgency::now);
    REQUIRE(box.run_until([&] { return box.uplink->status()["inflight"] == 18; }));
  }
  SUBCASE("while it waits to try again") {
    proxy.cut();
    REQUIRE(box.run_until([&] { return box.state() == "offline"; }));
  }
  const auto began = std::chrono::steady_clock::now();
  box.uplink->stop();
  CHECK(std::chrono::steady_clock::now() - began < 2'500ms);
  CHECK(box.state() == "off");
  box.uplink->stop();
}
