// What a bad link does, and what must hold through all of it: nothing lost, nothing twice once duplicates are dropped, alarms first. Where
// times are scaled the physics is not: what is in flight on 30 kbit/s with 800 ms is the same number of bytes at ten times the rate and a
// tenth of the delay.
#include <condition_variable>
#include <fstream>
#include <mutex>
#include <random>

#include <malloc.h>
#include <unistd.h>

#include "firmware/core/sanitized.hpp"
#include "tests/integration/uplink/box.hpp"
#include "tests/support/proxy.hpp"

using namespace hamlet::uplink_tests;
using hamlet::Millis;
using hamlet::Reading;
using hamlet::support::Proxy;
using namespace std::chrono_literals;

namespace {

/// What came, in order.
struct Arrivals {
  struct One {
    Lane lane;
    std::uint64_t seq;
    std::size_t bytes;
  };
  std::vector<One> all() const {
    const std::lock_guard lock{mutex};
    return list;
  }
  std::size_t count() const {
    const std::lock_guard lock{mutex};
    return list.size();
  }
  void take(const County::Arrival& arrival) {
    const auto bytes = arrival.lane == Lane::media ? 20'000 : arrival.payload.dump().size();
    const std::lock_guard lock{mutex};
    list.push_back({arrival.lane, arrival.seq, bytes});
  }
  mutable std::mutex mutex;
  std::vector<One> list;
};

/// Box, bad link, broker, county.
struct Road {
  Broker broker;
  Proxy proxy{broker.port()};
  Arrivals arrivals;
  County county{{.broker = broker.uri(), .base = topics().base(), .on_arrival = [this](const auto& each) { arrivals.take(each); }}};
  Box box;
  explicit Road(std::function<void(hamlet::uplink::Options&)> change = {}) : box{proxy.uri(), std::move(change)} {}

  [[nodiscard]] std::uint64_t sent(const char* lane = "tele") const {
    const auto now = box.uplink->status()["lanes"][lane];
    return now["last"].get<std::uint64_t>() - now["pending"].get<std::uint64_t>();
  }
  /// Everything is committed, and the broker has it.
  [[nodiscard]] bool settled() const {
    const auto stat = box.journal->stat();
    return std::all_of(stat.lanes.begin(), stat.lanes.end(), [](const auto& lane) { return lane.waiting == 0; }) && box.pending() == 0;
  }
  /// All that the journal has is there, and nothing of it twice but what was in flight when one of `breaks` came.
  void check_complete(std::uint64_t breaks) {
    REQUIRE(box.run_until([&] { return settled(); }, 60s));
    for (const auto lane : hamlet::contract::kLanes) {
      const auto last = box.journal->committed(lane);
      CHECK(box.seen_by(county, [&](const auto& now) { return now.total(lane).prefix == last; }, 20s));
      const auto now = county.snapshot().total(lane);
      CHECK(now.missing == 0);
      CHECK(now.conflicts == 0);
      CHECK(now.duplicates <= breaks * 20);
    }
    CHECK(county.snapshot().epochs.size() == 1);
    CHECK(county.snapshot().invalid.empty());
  }
};

/// What this process needs now.
struct Memory {
  std::size_t heap = 0, resident = 0;  // bytes
  static Memory now() {
    malloc_trim(0);
    const auto info = mallinfo2();
    std::size_t all = 0, resident = 0;
    std::ifstream{"/proc/self/statm"} >> all >> resident;
    return {info.uordblks + info.hblkhd, resident * static_cast<std::size_t>(sysconf(_SC_PAGESIZE))};
  }
};

}  // namespace

TEST_CASE("2G: an alarm waits for what the link holds and a message or two, not for pictures and batches in a row") {
  Road road{[](auto& options) { options.keepalive = 10s; }};
  auto& box = road.box;
  std::vector<Reading> batch;
  for (int i = 0; i < 20; ++i) batch.push_back({.point = "river.level", .at = box.clock.mono(), .value = double(i)});
  const auto body = hamlet::contract::encode_readings(batch, box.clock.mono());
  constexpr std::uint64_t kBatches = 250, kPictures = 3;  // of 1.3 kB and 20 kB
  for (std::uint64_t i = 0; i < kBatches; ++i) REQUIRE(box.journal->append(Lane::tele, box.clock.mono(), body, Urgency::window));
  for (std::uint64_t i = 0; i < kPictures; ++i) box.photograph(std::string(20'000, 'j'));
  REQUIRE(box.run_until([&] { return box.journal->committed(Lane::tele) == kBatches && box.journal->committed(Lane::media) == kPictures; }));
  road.proxy.rate(300'000);
  road.proxy.delay(80ms);
  box.uplink->start();
  // Behind batches, and behind the pictures that follow them.
  std::vector<std::size_t> before;
  for (const std::uint64_t at : {60U, 120U, 180U, 240U}) {
    REQUIRE(box.run_until([&] { return road.sent() >= at; }));
    const auto raised = box.journal->committed(Lane::alarm) + 1;
    box.raise();
    REQUIRE(box.run_until([&] { return box.journal->committed(Lane::alarm) == raised; }));
    before.push_back(road.arrivals.count());
  }
  road.proxy.rate(0);
  road.proxy.delay(0ms);
  road.check_complete(0);
  const auto came = road.arrivals.all();
  std::size_t alarms = 0;
  for (std::size_t i = 0; i < came.size(); ++i) {
    if (came[i].lane != Lane::alarm) continue;
    std::size_t bytes = 0, pictures = 0;
    for (auto k = before.at(alarms); k < i; ++k) {
      const bool picture = came[k].lane == Lane::media;
      pictures += picture ? 1 : 0;
      if (!picture) bytes += came[k].bytes;
    }
    ++alarms;
    CHECK(pictures <= 1);
    // A round trip of 160 ms at 37.5 bytes/ms holds 6 kB; what had reached the county's side of the proxy counts in.
    CHECK(bytes <= 2 * 6'000 + 2 * 1'400);
  }
  CHECK(alarms == 4);
}

TEST_CASE("a link that flaps, one that stalls, one that is cut at random bytes: all of it arrives") {
  Road road{[](auto& options) { options.keepalive = 2s; }};
  auto& box = road.box;
  std::uint64_t breaks = 0;
  const auto produce = [&] {
    box.read(100);
    if (breaks % 5 == 0) box.raise();
    box.happen();
  };
  box.uplink->start();
  SUBCASE("flapping") {
    REQUIRE(road.proxy.run("every 700ms for 250ms cut"));
    road.proxy.rate(2'000'000);
    for (; breaks < 10; ++breaks) {
      produce();
      (void)box.run_until([] { return false; }, 500ms);
    }
  }
  SUBCASE("stalls") {
    REQUIRE(road.proxy.run("every 1s for 600ms stall"));
    road.proxy.rate(2'000'000);
    for (int i = 0; i < 8; ++i) {
      produce();
      (void)box.run_until([] { return false; }, 500ms);
    }
  }
  // A link that broke between login and subscription used to count as refused, and the box stayed away for minutes.
  SUBCASE("cuts") {
    std::mt19937_64 random{20'261'124};
    road.proxy.rate(4'000'000);
    for (; breaks < 12; ++breaks) {
      produce();
      const auto cut_at = road.proxy.counts().bytes_up + random() % 20'000;
      REQUIRE(box.run_until([&] { return road.proxy.counts().bytes_up >= cut_at || road.settled(); }));
      road.proxy.cut();
      road.proxy.open();
    }
  }
  REQUIRE(road.proxy.run("open"));
  road.proxy.rate(0);
  road.check_complete(std::max<std::uint64_t>(2 * breaks, 2));
}

TEST_CASE("memory stays flat, however often the link breaks") {
  Broker broker;
  Proxy proxy{broker.port()};
  County county{county_of(broker)};
  Box box{proxy.uri()};
  std::mt19937_64 random{20'261'128};
  const auto break_link = [&](int times) {
    for (int i = 0; i < times; ++i) {
      box.read(10);
      box.raise();
      box.photograph(std::string(2'000, 'j'));
      REQUIRE(box.online());
      const auto cut_at = proxy.counts().bytes_up + random() % 4'000;
      REQUIRE(box.run_until([&] { return proxy.counts().bytes_up >= cut_at || box.pending() == 0; }));
      proxy.cut();
      REQUIRE(box.run_until([&] { return box.state() != "online"; }));
      proxy.open();
    }
    REQUIRE(box.drained());
    REQUIRE(box.online());
    return Memory::now();
  };
  box.uplink->start();
  const auto before = break_link(20);
  const auto after = break_link(60);
  CHECK(box.uplink->status()["reconnects"] >= 60);
  // The county's books of 720 messages are in it, and what SQLite keeps of the pages they fill.
  CHECK(after.heap < before.heap + 512 * 1'024);
  if (!hamlet::kSanitized) CHECK(after.resident < before.resident + 2 * 1'024 * 1'024);
}

TEST_CASE("a black hole that takes connections and answers nothing is left again") {
  Road road{[](auto& options) { options.connect_deadline = 1s; }};
  road.proxy.half_open();
  road.box.read(200, Urgency::now);
  road.box.uplink->start();
  REQUIRE(road.box.run_until([&] { return road.box.uplink->status().value("fault", "") == "no-answer"; }));
  CHECK(road.box.state() != "online");
  road.proxy.open();
  REQUIRE(road.box.online());
  road.check_complete(0);
}

TEST_CASE("a broker that forgets what it has confirmed: the county's ack brings it back, alarms too") {
  Broker broker;
  Box box{broker.uri(), [](auto& each) { each.county_ack = true; }};
  const auto acks = [&](County& county, std::uint64_t tele, std::uint64_t alarm) {
    county.publish("ack", json{{box.journal->epoch(), {{"tele", tele}, {"alarm", alarm}}}}.dump(), true);
    return box.run_until([&] { return box.uplink->status()["county"]["tele"] == tele && box.uplink->status()["county"]["alarm"] == alarm; });
  };
  box.uplink->start();
  REQUIRE(box.online());
  {
    County before{county_of(broker)};
    box.read(100);
    REQUIRE(box.seen_by(before, [](const auto& now) { return now.total(Lane::tele).prefix == 100; }, 20s));
    REQUIRE(acks(before, 100, 0));
  }
  // What it confirms now nobody gets.
  box.read(500);
  box.raise();
  REQUIRE(box.run_until([&] { return box.journal->committed(Lane::tele) == 600 && box.pending() == 0; }));
  broker.kill();
  REQUIRE(box.run_until([&] { return box.state() != "online"; }));
  broker.start();
  County county{county_of(broker)};
  REQUIRE(box.online());
  box.read(10);
  REQUIRE(box.seen_by(county, [](const auto& now) { return now.total(Lane::tele).last == 610; }, 20s));
  CHECK(county.snapshot().total(Lane::tele).received == 10);
  REQUIRE(box.drained());
  CHECK(box.uplink->status()["county"]["tele"] == 100);

  // A day counts from when the box first saw that something is not stored.
  const auto all_there = [&] {
    const auto now = county.snapshot();
    return now.total(Lane::tele).missing == 100 && now.total(Lane::alarm).prefix == 1;
  };
  int hours = 0;
  for (; hours < 200 && !all_there(); ++hours) {
    box.clock.advance(1h);
    (void)box.run_until(all_there, 250ms);
  }
  REQUIRE(all_there());
  CHECK(hours >= 24);
  CHECK(county.snapshot().total(Lane::tele).conflicts == 0);
  CHECK(acks(county, 610, 1));
}

// One clock for all lanes used to be set back by each ack of readings.
TEST_CASE("an alarm that the county has not stored within a day is sent again, however well its readings are acknowledged") {
  Broker broker;
  County county{county_of(broker)};
  Box box{broker.uri(), [](auto& each) { each.county_ack = true; }};
  box.uplink->start();
  box.raise();
  REQUIRE(box.seen_by(county, [](const auto& now) { return now.total(Lane::alarm).prefix == 1; }, 10s));
  const auto alarms = [&] { return county.snapshot().total(Lane::alarm).received; };
  std::uint64_t hour = 0;
  while (alarms() == 1 && hour < 100) {
    ++hour;
    box.read(1, Urgency::now);
    REQUIRE(box.seen_by(county, [&](const auto& now) { return now.total(Lane::tele).prefix == hour; }, 10s));
    county.publish("ack", json{{box.journal->epoch(), {{"tele", hour}}}}.dump(), true);
    REQUIRE(box.run_until([&] { return box.uplink->status()["county"]["tele"] == hour; }));
    box.clock.advance(1h);
  }
  CHECK(alarms() == 2);
  CHECK(hour >= 24);
  CHECK(county.snapshot().total(Lane::tele).duplicates == 0);
  CHECK(county.snapshot().total(Lane::alarm).conflicts == 0);
}

TEST_CASE("a name look-up that hangs is told of, and the next broker takes over meanwhile") {
  struct Hang {
    std::mutex mutex;
    std::condition_variable over;
    bool done = false;
  };
  const auto hang = std::make_shared<Hang>();
  Broker broker;
  Box box{"mqtt://county.example", [&](auto& options) {
            options.connect_deadline = 1s;
            options.fallback_brokers = {broker.uri()};
            options.look_up = [hang](const std::string&) -> hamlet::Result<std::vector<std::string>> {
              std::unique_lock lock{hang->mutex};
              hang->over.wait(lock, [&] { return hang->done; });
              return hamlet::fail(hamlet::Errc::unavailable, "too late");
            };
          }};
  box.read(50, Urgency::now);
  box.uplink->start();
  std::string fault;
  REQUIRE(box.run_until([&] {
    const auto now = box.uplink->status();
    if (now.contains("fault")) fault = now["fault"];
    return now["state"] == "online";
  }));
  CHECK(fault == "name-hangs");
  CHECK(box.uplink->status()["broker"] == broker.uri());
  REQUIRE(box.drained());
  box.close();
  {
    const std::lock_guard lock{hang->mutex};
    hang->done = true;
  }
  hang->over.notify_all();
}

TEST_CASE("72 hours offline: the alarm and the reading of now come first, then all of it, each once") {
  Road road;
  auto& box = road.box;
  // A batch of the reference village's 27 readings each ten seconds, an event every 25 s, an alarm each 72 min, a picture each 6 h.
  constexpr int kBatches = 72 * 360;
  for (int i = 0; i < kBatches; ++i) {
    std::vector<Reading> readings;
    for (int k = 0; k < 27; ++k) readings.push_back({.point = "river.level", .at = box.clock.mono(), .value = double(i + k)});
    REQUIRE(box.journal->append(Lane::tele, box.clock.mono(), hamlet::contract::encode_readings(readings, box.clock.mono()), Urgency::window));
    if (i % 5 == 0) {
      const hamlet::Event event{.source = "cam", .kind = "motion", .id = "0123456789abcdef", .at = box.clock.mono()};
      REQUIRE(box.journal->append(Lane::event, box.clock.mono(), hamlet::contract::encode_event(event, box.clock.mono()), Urgency::window));
    }
    if (i % 432 == 0) box.raise();
    if (i % 2'160 == 0) box.photograph(std::string(20'000, 'j'));
    box.clock.advance(10s);
    if (i % 200 == 0) {
      const auto last = box.journal->stat().lanes[2].last + box.journal->stat().lanes[2].waiting;
      box.journal->sync([](const auto&) {});
      REQUIRE(box.run_until([&] { return box.journal->committed(Lane::tele) == last; }));
    }
  }
  REQUIRE(box.run_until([&] { return box.journal->committed(Lane::tele) == kBatches; }));
  road.proxy.rate(8'000'000);
  box.uplink->start();
  REQUIRE(box.online());
  box.raise();
  REQUIRE(box.run_until([&] { return road.sent() >= 2'000; }));
  road.proxy.rate(0);
  road.check_complete(0);
  const auto came = road.arrivals.all();
  const auto position = [&](Lane lane, std::uint64_t seq) {
    const auto found = std::find_if(came.begin(), came.end(), [&](const auto& each) { return each.lane == lane && each.seq == seq; });
    return found - came.begin();
  };
  CHECK(position(Lane::tele, kBatches) < 50);                          // the newest reading
  CHECK(position(Lane::alarm, box.journal->committed(Lane::alarm)) < 2'000);  // the alarm of now
  CHECK(position(Lane::alarm, box.journal->committed(Lane::alarm) - 1) < 25);  // and the last of before
  CHECK(road.county.snapshot().readings == kBatches * 27);
}
