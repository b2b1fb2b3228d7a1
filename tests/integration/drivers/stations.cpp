// Stations of SL 651 and HJ 212 that report to us, with the faults they have, against the drivers.

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>

#include <unistd.h>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "drivers/stations/port.hpp"
#include "firmware/core/fake_clock.hpp"
#include "tests/integration/drivers/rig.hpp"
#include "tests/support/station.hpp"

using namespace hamlet;
using namespace hamlet::drivers;
using namespace hamlet::support;
namespace sl = hamlet::wire::sl651;
namespace hj = hamlet::wire::hj212;
using namespace std::chrono_literals;

namespace {

const auto kStation = *sl::Address::parse("12345678");

// The config of one hydrology station; `more` are further keys.
std::string hydro(const std::string& port, const std::string& more = "", const std::string& id = "hydro",
                  const std::string& station = "12345678") {
  return fmt::format(R"(
[[device]]
id = "{}"
driver = "sl651"
station = "{}"
allow = ["127.0.0.1", "127.0.0.2"]
{}
{}
[[device.point]]
id = "level"
element = "Z"
[[device.point]]
id = "rain"
element = "PJ"
[[device.point]]
id = "door"
element = "ZT"
bit = 7
)",
                     id, station, port, more);
}

std::string tcp_table(std::uint16_t port) { return fmt::format("tcp = \"127.0.0.1:{}\"", port); }

sl::Frame like(const sl::Address& station = kStation) { return {.centre = 1, .station = station, .password = 0x1234}; }

// What a station has to say of one moment.
std::vector<sl::Group> level(double metres, WallTime at, const sl::Address& station = kStation) {
  auto groups = report_groups(station, 'H', at);
  groups.push_back(element("Z", metres));
  return groups;
}

double number(const Reading& reading) { return std::get<double>(reading.value); }

std::size_t count_events(const Rig& rig, std::string_view kind) {
  return static_cast<std::size_t>(
      std::count_if(rig.events.begin(), rig.events.end(), [&](const Event& event) { return event.kind == kind; }));
}

const Event& event_of(const Rig& rig, std::string_view kind) {
  const auto found = std::find_if(rig.events.begin(), rig.events.end(), [&](const Event& event) { return event.kind == kind; });
  REQUIRE(found != rig.events.end());
  return *found;
}

// Connects once the port is open.
StationWire connect_to(Rig& rig, std::uint16_t port) {
  std::optional<StationWire> wire;
  REQUIRE(rig.run_until([&] {
    try {
      wire = StationWire::tcp(port);
    } catch (const std::exception&) {
      return false;
    }
    return true;
  }));
  return std::move(*wire);
}

// Steps the stations while the drivers run.
template <class Done, class... Stations>
bool run(Rig& rig, Done done, Stations&... stations) {
  return rig.run_until([&] {
    (stations.step(), ...);
    return done();
  });
}

}  // namespace

TEST_CASE("a report is confirmed after it is durable, and not before") {
  const auto port = free_port();
  Rig rig{hydro(tcp_table(port))};
  rig.hold = true;
  Rtu rtu{connect_to(rig, port), like()};
  const auto observed = std::chrono::floor<std::chrono::minutes>(rig.clock.wall()) - 3min;
  rtu.report(sl::kTimed, level(10.49, observed), rig.clock.wall());
  REQUIRE(run(rig, [&] { return rig.waiting.size() == 1; }, rtu));
  CHECK(rtu.answers().empty());
  CHECK(number(rig.of("hydro.level").at(0)) == 10.49);
  CHECK(rig.of("hydro.level").at(0).device_time == observed);
  CHECK(rig.of("hydro.level").at(0).at < rig.clock.mono() - 2min);
  SUBCASE("durable") {
    rig.settle({});
    REQUIRE(run(rig, [&] { return rtu.confirmed() == 1; }, rtu));
    const auto& answer = rtu.answers().at(0);
    CHECK(answer.end == sl::kEot);
    CHECK(answer.function == sl::kTimed);
    CHECK(answer.password == 0x1234);
    const auto body = sl::parse_body(answer);
    CHECK(body->serial == rtu.serial());
    CHECK(std::chrono::abs(*body->sent.time() - rig.clock.wall()) < 10s);
    CHECK(rig.state() == "up");
  }
  SUBCASE("not durable: silence, and the repeated report is taken anew") {
    rig.settle(fail(Errc::full, "disk full"));
    REQUIRE(run(rig, [&] { return rig.waiting.empty(); }, rtu));
    rtu.repeat();
    REQUIRE(run(rig, [&] { return rig.waiting.size() == 1; }, rtu));
    CHECK(rtu.answers().empty());
    CHECK(rig.count("hydro.level") == 2);
    rig.settle({});
    CHECK(run(rig, [&] { return rtu.confirmed() == 1; }, rtu));
  }
  SUBCASE("repeated while it waits, over another connection: once stored, confirmed there") {
    rtu.rewire(connect_to(rig, port));
    rtu.repeat();
    REQUIRE(run(rig, [&] { return rig.drivers->status()[0]["polls"].get<int>() >= 1; }, rtu));
    rtu.keep_alive(rig.clock.wall());
    REQUIRE(run(rig, [&] { return rig.drivers->status()[0]["polls"].get<int>() >= 2; }, rtu));
    rig.settle({});
    REQUIRE(run(rig, [&] { return rtu.confirmed() == 1; }, rtu));
    CHECK(rig.count("hydro.level") == 1);
  }
}

TEST_CASE("a repeated report is confirmed again and stored once, across a restart, too") {
  std::map<std::string, std::string> kept;
  const auto port = free_port();
  auto rig = std::make_unique<Rig>(hydro(tcp_table(port)), &kept);
  Rtu rtu{connect_to(*rig, port), like()};
  rtu.report(sl::kTimed, level(1, rig->clock.wall()), rig->clock.wall());
  REQUIRE(run(*rig, [&] { return rtu.confirmed() == 1; }, rtu));
  rtu.repeat();
  REQUIRE(run(*rig, [&] { return rtu.confirmed() == 2; }, rtu));
  CHECK(rig->count("hydro.level") == 1);
  rig = std::make_unique<Rig>(hydro(tcp_table(port)), &kept);
  rtu.rewire(connect_to(*rig, port));
  rtu.repeat();
  REQUIRE(run(*rig, [&] { return rtu.confirmed() == 3; }, rtu));
  CHECK(rig->count("hydro.level") == 0);
  rtu.report(sl::kTimed, level(2, rig->clock.wall()), rig->clock.wall());
  REQUIRE(run(*rig, [&] { return rtu.confirmed() == 4; }, rtu));
  CHECK(rig->count("hydro.level") == 1);
}

TEST_CASE("what a station brings of the time before this boot keeps its order") {
  FakeClock clock;
  clock.set_mono(mono_from_ms(90 * 60'000));
  const auto now = clock.wall();
  const auto at = [&](Millis age) { return stations::dated("hydro.level", now - age, clock); };
  CHECK(at(2h).at == MonoTime{});
  CHECK(at(2h).device_time == now - 2h);
  CHECK(at(1h).at == clock.mono() - 1h);
  CHECK(at(0h).at == clock.mono());
}

TEST_CASE("every kind of report, in both encodings") {
  const auto port = free_port();
  Rig rig{hydro(tcp_table(port))};
  auto frame = like();
  SUBCASE("HEX/BCD") { frame.encoding = sl::Encoding::hex; }
  SUBCASE("ASCII") { frame.encoding = sl::Encoding::ascii; }
  Rtu rtu{connect_to(rig, port), frame};
  const auto now = std::chrono::floor<std::chrono::minutes>(rig.clock.wall());

  rtu.keep_alive(now);
  REQUIRE(run(rig, [&] { return rig.state() == "up"; }, rtu));
  CHECK(rtu.answers().empty());

  rtu.report(sl::kTest, level(99, now), now);
  REQUIRE(run(rig, [&] { return rtu.confirmed() == 1; }, rtu));
  CHECK(rig.count("hydro.level") == 0);  // apart from real data
  CHECK(event_of(rig, "test").detail["values"]["Z"] == 99);

  auto groups = report_groups(kStation, 'H', now - 2h);
  groups.push_back({.kind = sl::Group::Kind::step, .id = 0x04, .length = 3, .step = 1h});
  auto series = element("Z", 1.5);
  series.kind = sl::Group::Kind::series;
  series.samples = {{.value = 1.5}, {.state = sl::Sample::State::missing}, {.value = 1.7}};
  groups.push_back(series);
  rtu.report(sl::kUniform, groups, now);
  REQUIRE(run(rig, [&] { return rtu.confirmed() == 2; }, rtu));
  auto levels = rig.of("hydro.level");
  REQUIRE(levels.size() == 3);
  CHECK(levels[1].quality == Quality::missing);
  CHECK(number(levels[2]) == 1.7);
  CHECK(levels[2].device_time == now);

  rtu.report(sl::kThreshold, level(-0.25, now), now);
  REQUIRE(run(rig, [&] { return rtu.confirmed() == 3; }, rtu));
  CHECK(number(rig.of("hydro.level").back()) == -0.25);

  groups = level(3, now);
  groups.push_back(element("ZT", 0x80));
  rtu.report(sl::kHourly, groups, now);
  REQUIRE(run(rig, [&] { return rtu.confirmed() == 4; }, rtu));
  CHECK(std::get<bool>(rig.of("hydro.door").at(0).value));

  rtu.report(sl::kManual, {{.kind = sl::Group::Kind::text, .id = 0xF2, .symbol = "RGZS", .bytes = "H 12345678 \xCB\xAE\xCE\xBB 1.23"}}, now);
  REQUIRE(run(rig, [&] { return rtu.confirmed() == 5; }, rtu));
  CHECK(event_of(rig, "manual").detail["text"] == "H 12345678 水位 1.23");  // which came as GBK

  rtu.report(sl::kTimed, level(4, now), now, sl::kEtb);
  REQUIRE(run(rig, [&] { return rtu.confirmed() == 6; }, rtu));
  CHECK(rtu.answers().back().end == sl::kAck);
}

TEST_CASE("a picture comes in packets; one that was lost is asked for") {
  const auto port = free_port();
  Rig rig{hydro(tcp_table(port), "timeout = \"1s\"")};
  Rtu rtu{connect_to(rig, port), like()};
  const auto now = rig.clock.wall();
  std::uint16_t lost = 0;
  SUBCASE("in the middle") { lost = 3; }
  SUBCASE("the last, so that no packet says that all are here") { lost = 6; }
  std::string jpeg = "\xFF\xD8";
  for (int i = 0; i < 5000; ++i) jpeg += static_cast<char>(i * 7);
  jpeg += "~~";  // the mark of a frame's start, inside
  auto groups = report_groups(kStation, 'H', now);
  groups.push_back({.kind = sl::Group::Kind::picture, .id = 0xF3, .symbol = "PIC", .bytes = jpeg});
  rtu.report_in_packets(sl::kPicture, groups, now, 900, lost);
  REQUIRE(run(rig, [&] { return rtu.confirmed() == 1; }, rtu));
  REQUIRE(rig.pictures.size() == 1);
  CHECK(rig.pictures[0] == jpeg);
  CHECK(event_of(rig, "picture").source == "hydro");
  CHECK(rtu.answers().front().end == sl::kNak);
  CHECK(rtu.answers().front().packets->number == lost);
  CHECK(rtu.answers().back().packets.has_value());
}

TEST_CASE("a station with faults gets no confirmation it has not earned, and comes back") {
  const auto port = free_port();
  Rig rig{hydro(tcp_table(port))};
  Rtu rtu{connect_to(rig, port), like()};
  const auto report = [&](StationFault fault) {
    rtu.set_fault(fault);
    rtu.report(sl::kTimed, level(5, rig.clock.wall()), rig.clock.wall());
  };
  SUBCASE("noise and a dribble do no harm") {
    report(StationFault::noise);
    CHECK(run(rig, [&] { return rtu.confirmed() == 1; }, rtu));
    report(StationFault::dribble);
    CHECK(run(rig, [&] { return rtu.confirmed() == 2; }, rtu));
  }
  SUBCASE("a wrong CRC is met with silence") { report(StationFault::wrong_crc); }
  SUBCASE("half a frame, and a new connection") {
    report(StationFault::half);
    rtu.rewire(connect_to(rig, port));
  }
  SUBCASE("hung up in the middle") {
    report(StationFault::disconnect);
    rtu.rewire(connect_to(rig, port));
  }
  SUBCASE("a flood first") {
    report(StationFault::flood);
    CHECK(run(rig, [&] { return rtu.confirmed() == 1; }, rtu));
  }
  const auto before = rtu.confirmed();
  report(StationFault::none);
  REQUIRE(run(rig, [&] { return rtu.confirmed() == before + 1; }, rtu));
  CHECK(number(rig.of("hydro.level").back()) == 5);
}

TEST_CASE("several stations share a port; a relay speaks for one of them") {
  const auto port = free_port();
  const auto other = *sl::Address::parse("87654321");
  Rig rig{hydro(tcp_table(port)) + hydro(tcp_table(port), "", "second", "87654321")};
  Rtu first{connect_to(rig, port), like()};
  Rtu second{connect_to(rig, port), like(other)};
  const auto now = rig.clock.wall();
  first.report(sl::kTimed, level(1, now), now);
  second.report(sl::kTimed, level(2, now, other), now);
  REQUIRE(run(rig, [&] { return first.confirmed() == 1 && second.confirmed() == 1; }, first, second));
  CHECK(number(rig.of("hydro.level").at(0)) == 1);
  CHECK(number(rig.of("second.level").at(0)) == 2);
  auto both = level(3, now);
  const auto more = level(4, now, other);
  both.insert(both.end(), more.begin(), more.end());
  first.report(sl::kTimed, both, now);
  REQUIRE(run(rig, [&] { return first.confirmed() == 2; }, first, second));
  CHECK(number(rig.of("hydro.level").at(1)) == 3);
  CHECK(number(rig.of("second.level").at(1)) == 4);
}

TEST_CASE("who may not speak is named once and never obeyed") {
  const auto port = free_port();
  const auto folder = std::filesystem::temp_directory_path() / fmt::format("hamlet-stations-{}", getpid());
  std::filesystem::create_directories(folder);
  {
    std::ofstream secret{folder / "password"};
    secret << "1234\n";
  }
  std::filesystem::permissions(folder / "password", std::filesystem::perms::owner_read);
  Rig rig{hydro(tcp_table(port), fmt::format("password = {{ file = \"{}\" }}", (folder / "password").string()))};
  std::filesystem::remove_all(folder);
  const auto now = rig.clock.wall();
  SUBCASE("a station that is in no config") {
    Rtu stranger{connect_to(rig, port), like(*sl::Address::parse("99999999"))};
    for (int i = 0; i < 4; ++i) stranger.report(sl::kThreshold, level(50, now), now);
    REQUIRE(run(rig, [&] { return stranger.wire().closed(); }, stranger));
    CHECK(stranger.answers().empty());
    CHECK(event_of(rig, "stranger").detail["reason"] == "unknown-station");
    Rtu again{connect_to(rig, port), like()};  // its address is not heard for a while, whatever it says
    REQUIRE(run(rig, [&] { return again.wire().closed(); }, again));
    CHECK(event_of(rig, "stranger").detail["name"] == "99999999");
  }
  SUBCASE("a wrong password") {
    auto frame = like();
    frame.password = 0x4321;
    Rtu stranger{connect_to(rig, port), frame};
    for (int i = 0; i < 4; ++i) stranger.report(sl::kThreshold, level(50, now), now);
    REQUIRE(run(rig, [&] { return stranger.wire().closed(); }, stranger));
    CHECK(event_of(rig, "stranger").detail["reason"] == "wrong-password");
    CHECK(stranger.answers().empty());
  }
  SUBCASE("an address that is not admitted") {
    (void)connect_to(rig, port);
    Rtu stranger{StationWire::tcp(port, "127.0.0.3"), like()};
    stranger.report(sl::kThreshold, level(50, now), now);
    REQUIRE(run(rig, [&] { return stranger.wire().closed(); }, stranger));
    CHECK(event_of(rig, "stranger").detail["reason"] == "not-admitted");
  }
  CHECK(rig.count("hydro.level") == 0);
  CHECK(count_events(rig, "stranger") == 1);
  Rtu rtu{StationWire::tcp(port, "127.0.0.2"), like()};
  rtu.report(sl::kTimed, level(1, now), now);
  CHECK(run(rig, [&] { return rtu.confirmed() == 1; }, rtu));
}

TEST_CASE("the confirmation is as the config says") {
  const auto port = free_port();
  std::string more;
  SUBCASE("a station of mode M1 takes none") { more = "confirm = \"none\""; }
  SUBCASE("a station that is to stay online") { more = "confirm = \"esc\""; }
  SUBCASE("a wrong centre is met with silence") { more = "centre = 2"; }
  SUBCASE("a wrong encoding is met with silence") { more = "encoding = \"ascii\""; }
  CAPTURE(more);
  Rig rig{hydro(tcp_table(port), more)};
  Rtu rtu{connect_to(rig, port), like()};
  rtu.report(sl::kTimed, level(1, rig.clock.wall()), rig.clock.wall());
  const bool refused = more.starts_with("centre") || more.starts_with("encoding");
  REQUIRE(run(rig, [&] { return refused ? count_events(rig, "stranger") == 1 : rig.count("hydro.level") == 1; }, rtu));
  if (more.ends_with("\"esc\"")) {
    REQUIRE(run(rig, [&] { return rtu.confirmed() == 1; }, rtu));
    CHECK(rtu.answers().at(0).end == sl::kEsc);
  } else {
    rig.settle({});
    REQUIRE(run(rig, [&] { return rig.waiting.empty(); }, rtu));
    CHECK(rtu.answers().empty());
  }
  CHECK(rig.count("hydro.level") == (refused ? 0 : 1));
}

TEST_CASE("a clock that is off is set, and a value from the future is bad") {
  const auto port = free_port();
  Rig rig{hydro(tcp_table(port), "set_clock = true")};
  Rtu rtu{connect_to(rig, port), like()};
  const auto wrong = rig.clock.wall() + 48h;
  rtu.report(sl::kTimed, level(1, wrong), wrong);
  REQUIRE(run(rig, [&] { return rtu.answers().size() == 2; }, rtu));
  CHECK(rtu.answers()[0].end == sl::kEsc);  // it has to stay for the command
  CHECK(rtu.answers()[1].function == sl::kSetClock);
  CHECK(rtu.answers()[1].end == sl::kEnq);
  CHECK(std::chrono::abs(*sl::parse_body(rtu.answers()[1])->sent.time() - rig.clock.wall()) < 10s);
  CHECK(event_of(rig, "clock").detail["off"] == true);
  const auto reading = rig.of("hydro.level").at(0);
  CHECK(reading.quality == Quality::bad);
  CHECK(reading.why == "device-clock");
  CHECK(!reading.device_time);

  // It answers with its new time, and is confirmed for good.
  std::vector<sl::Group> address{{.kind = sl::Group::Kind::station, .id = 0xF1, .symbol = "ST", .station = kStation}};
  rtu.report(sl::kSetClock, address, rig.clock.wall());
  REQUIRE(run(rig, [&] { return rtu.answers().size() == 3; }, rtu));
  CHECK(rtu.answers()[2].end == sl::kEot);
  CHECK(count_events(rig, "clock") == 2);
}

TEST_CASE("a station that reports only when it is asked is asked, and is down when it does not answer") {
  const auto port = free_port();
  Rig rig{hydro(tcp_table(port), "query = \"5s\"\ntimeout = \"1s\"")};
  Rtu rtu{connect_to(rig, port), like()};
  rtu.keep_alive(rig.clock.wall());
  REQUIRE(run(rig, [&] { return rtu.answers().size() == 1; }, rtu));
  const auto query = rtu.answers()[0];
  CHECK(query.function == sl::kRealTime);
  CHECK(query.end == sl::kEnq);
  CHECK(query.password == 0x1234);
  CHECK(sl::parse_body(query)->serial == 0);
  SUBCASE("its answer is stored and confirmed") {
    rtu.report(sl::kRealTime, level(7.25, rig.clock.wall()), rig.clock.wall());
    REQUIRE(run(rig, [&] { return rtu.confirmed() == 1; }, rtu));
    CHECK(rtu.answers().back().function == sl::kRealTime);
    CHECK(rtu.answers().back().end == sl::kEot);
    CHECK(number(rig.of("hydro.level").at(0)) == 7.25);
    REQUIRE(run(rig, [&] { return rtu.answers().size() == 3; }, rtu));  // and it is asked again
    CHECK(rtu.answers().back().end == sl::kEnq);
  }
  SUBCASE("three queries without an answer") {
    REQUIRE(run(rig, [&] { return rig.state() == "down"; }, rtu));
    CHECK(rtu.answers().size() == 3);
    REQUIRE(run(rig, [&] { return rtu.answers().size() == 4; }, rtu));
    rtu.report(sl::kRealTime, level(1, rig.clock.wall()), rig.clock.wall());
    CHECK(run(rig, [&] { return rig.state() == "up"; }, rtu));
  }
}

TEST_CASE("stations on one serial line are asked one at a time, before they have said anything") {
  auto wire = StationWire::serial();
  const auto serial = fmt::format("serial = {{ path = \"{}\", baud = 9600 }}\nquery = \"5s\"\ntimeout = \"3s\"", wire.path());
  Rig rig{hydro("", serial) + hydro("", serial, "second", "87654321")};
  Rtu line{std::move(wire), like()};
  REQUIRE(run(rig, [&] { return line.answers().size() == 1; }, line));
  const auto first = line.answers()[0].station;
  line.speak_as(first);
  line.report(sl::kRealTime, level(1, rig.clock.wall(), first), rig.clock.wall());
  REQUIRE(run(rig, [&] { return line.confirmed() == 1 && line.answers().size() == 3; }, line));
  CHECK(line.answers()[1].end == sl::kEot);
  CHECK(line.answers()[2].end == sl::kEnq);
  CHECK(line.answers()[2].station != first);
}

TEST_CASE("more connections than allowed are closed; those that are there go on") {
  const auto port = free_port();
  Rig rig{hydro(tcp_table(port), "max_connections = 1")};
  Rtu rtu{connect_to(rig, port), like()};
  rtu.keep_alive(rig.clock.wall());
  REQUIRE(run(rig, [&] { return rig.state() == "up"; }, rtu));
  Rtu second{connect_to(rig, port), like()};
  REQUIRE(run(rig, [&] { return second.wire().closed(); }, rtu, second));
  rtu.report(sl::kTimed, level(1, rig.clock.wall()), rig.clock.wall());
  CHECK(run(rig, [&] { return rtu.confirmed() == 1; }, rtu));
}

TEST_CASE("over UDP and over a serial line it is the same") {
  const auto report_until_confirmed = [](Rig& rig, Rtu& rtu) {
    rtu.report(sl::kTimed, level(1, rig.clock.wall()), rig.clock.wall());
    int turns = 0;
    REQUIRE(run(rig, [&] {
      if (++turns % 20 == 0) rtu.repeat();
      return rtu.confirmed() >= 1;
    }, rtu));
    CHECK(rig.count("hydro.level") == 1);
  };
  SUBCASE("UDP") {
    const auto port = free_port();
    Rig rig{hydro(fmt::format("udp = \"127.0.0.1:{}\"", port))};
    Rtu rtu{StationWire::udp(port), like()};
    // Datagrams are lost while nobody listens yet: the station repeats, as stations do.
    report_until_confirmed(rig, rtu);
  }
  SUBCASE("serial") {
    auto wire = StationWire::serial();
    const auto path = wire.path();
    Rig rig{hydro("", fmt::format("serial = {{ path = \"{}\", baud = 9600 }}", path))};
    Rtu rtu{std::move(wire), like()};
    report_until_confirmed(rig, rtu);
    rtu.set_fault(StationFault::noise);
    const auto before = rtu.confirmed();
    rtu.report(sl::kTimed, level(2, rig.clock.wall()), rig.clock.wall());
    CHECK(run(rig, [&] { return rtu.confirmed() > before; }, rtu));
  }
}

TEST_CASE("a port that is taken is told in words, and the device is down") {
  const auto port = free_port();
  Rig first{hydro(tcp_table(port))};
  (void)connect_to(first, port);
  Rig second{hydro(tcp_table(port))};
  REQUIRE(second.run_until([&] { return second.state() == "down"; }));
  CHECK(second.drivers->status()[0]["message"].get<std::string>().find("no other program listens there") != std::string::npos);
}

TEST_CASE("two devices cannot be the same station, and the second says so") {
  const auto port = free_port();
  Rig rig{hydro(tcp_table(port)) + hydro(tcp_table(port), "", "twin")};
  REQUIRE(rig.run_until([&] { return rig.drivers->status()[1]["state"] == "down"; }));
  CHECK(rig.drivers->status()[1]["why"] == "taken");
}

// ---- HJ 212 --------------------------------------------------------------------------------------------------------

namespace {

std::string monitor(std::uint16_t port, const std::string& more = "") {
  return fmt::format(R"(
[[device]]
id = "air"
driver = "hj212"
mn = "010000A8900016F000169DC0"
tcp = "127.0.0.1:{}"
allow = ["127.0.0.1"]
{}
[[device.point]]
id = "pm25"
factor = "a34004"
[[device.point]]
id = "pm25-minute"
factor = "a34004"
value = "Avg"
data = "minute"
)",
                     port, more);
}

hj::Packet like_packet(unsigned flag = 5) {
  return {.st = "22", .pw = "123456", .mn = "010000A8900016F000169DC0", .flag = flag};
}

std::vector<hj::Item> pm25(const std::string& value, WallTime at, const std::string& mark = "N") {
  return {{{"DataTime", hamlet::wire::china_digits(at).substr(0, 14)}}, {{"a34004-Rtd", value}, {"a34004-Flag", mark}}};
}

}  // namespace

TEST_CASE("environment data is stored once and answered once it is durable") {
  std::map<std::string, std::string> kept;
  const auto port = free_port();
  auto rig = std::make_unique<Rig>(monitor(port), &kept);
  rig->hold = true;
  Logger logger{connect_to(*rig, port), like_packet()};
  const auto now = std::chrono::floor<std::chrono::seconds>(rig->clock.wall());
  logger.upload("2011", pm25("35.2", now), now);
  REQUIRE(run(*rig, [&] { return rig->waiting.size() == 1; }, logger));
  CHECK(logger.answers().empty());
  rig->hold = false;
  rig->settle({});
  REQUIRE(run(*rig, [&] { return logger.count("9014") == 1; }, logger));
  CHECK(logger.answers()[0].qn == hj::qn_of(now));
  CHECK(number(rig->of("air.pm25").at(0)) == 35.2);
  CHECK(rig->of("air.pm25").at(0).device_time == now);
  logger.repeat();
  REQUIRE(run(*rig, [&] { return logger.count("9014") == 2; }, logger));
  CHECK(rig->count("air.pm25") == 1);

  rig = std::make_unique<Rig>(monitor(port), &kept);
  logger.rewire(connect_to(*rig, port));
  logger.repeat();
  REQUIRE(run(*rig, [&] { return logger.count("9014") == 3; }, logger));
  CHECK(rig->count("air.pm25") == 0);

  logger.upload("2011", pm25("500", now + 1s, "D"), now + 1s);
  REQUIRE(run(*rig, [&] { return logger.count("9014") == 4; }, logger));
  CHECK(rig->of("air.pm25").at(0).quality == Quality::bad);
  CHECK(rig->of("air.pm25").at(0).why == "mark-d");
}

TEST_CASE("a long upload comes in packets, each answered") {
  const auto port = free_port();
  Rig rig{monitor(port)};
  Logger logger{connect_to(rig, port), like_packet()};
  auto items = pm25("1", rig.clock.wall());
  for (int i = 0; i < 100; ++i) items.push_back({{fmt::format("x{:05}-Rtd", i), "1"}});
  logger.upload("2011", items, rig.clock.wall());
  REQUIRE(run(rig, [&] { return logger.count("9014") >= 2; }, logger));
  CHECK(rig.count("air.pm25") == 1);
}

TEST_CASE("history that was missed is asked for, and stored once") {
  std::map<std::string, std::string> kept;
  const auto port = free_port();
  auto rig = std::make_unique<Rig>(monitor(port, "history = [\"minute\"]"), &kept);
  Logger logger{connect_to(*rig, port), like_packet()};
  const auto now = std::chrono::floor<std::chrono::minutes>(rig->clock.wall());
  const auto minute = [](WallTime at) {
    return std::vector<hj::Item>{{{"DataTime", hamlet::wire::china_digits(at).substr(0, 14)}}, {{"a34004-Avg", "7"}}};
  };
  logger.upload("2051", minute(now - 30min), now);
  REQUIRE(run(*rig, [&] { return logger.count("9014") == 1; }, logger));

  // It was away for half an hour; live data is here before the history.
  rig = std::make_unique<Rig>(monitor(port, "history = [\"minute\"]"), &kept);
  logger.rewire(connect_to(*rig, port));
  logger.serve_history("a34004-Avg", 20, 1min);
  logger.upload("2051", minute(now - 1min), now);
  REQUIRE(run(*rig, [&] { return logger.count("2051") == 1 && rig->count("air.pm25-minute") == 21; }, logger));
  const auto request = std::find_if(logger.answers().begin(), logger.answers().end(), [](const auto& packet) { return packet.cn == "2051"; });
  CHECK(hamlet::wire::parse_china_digits(request->find("BeginTime")) == now - 29min);
  std::set<WallTime> times;
  for (const auto& reading : rig->of("air.pm25-minute")) times.insert(*reading.device_time);
  CHECK(times.size() == 21);
}

TEST_CASE("a monitor with faults is not answered for what did not arrive, and comes back") {
  const auto port = free_port();
  Rig rig{monitor(port)};
  Logger logger{connect_to(rig, port), like_packet()};
  int value = 0;
  const auto upload = [&](StationFault fault) {
    logger.set_fault(fault);
    logger.upload("2011", pm25(fmt::format("{}", ++value), rig.clock.wall()), rig.clock.wall());
  };
  SUBCASE("noise and a dribble do no harm") {
    upload(StationFault::noise);
    CHECK(run(rig, [&] { return logger.count("9014") == 1; }, logger));
    upload(StationFault::dribble);
    CHECK(run(rig, [&] { return logger.count("9014") == 2; }, logger));
  }
  SUBCASE("a wrong CRC") { upload(StationFault::wrong_crc); }
  SUBCASE("half a packet, and a new connection") {
    upload(StationFault::half);
    logger.rewire(connect_to(rig, port));
  }
  SUBCASE("a flood first") {
    upload(StationFault::flood);
    CHECK(run(rig, [&] { return logger.count("9014") == 1; }, logger));
  }
  const auto before = logger.count("9014");
  upload(StationFault::none);
  REQUIRE(run(rig, [&] { return logger.count("9014") == before + 1; }, logger));
  CHECK(number(rig.of("air.pm25").back()) == value);
}

TEST_CASE("a notice is answered, a stranger is not") {
  const auto port = free_port();
  Rig rig{monitor(port)};
  Logger logger{connect_to(rig, port), like_packet()};
  logger.upload("1013", {}, rig.clock.wall());
  REQUIRE(run(rig, [&] { return logger.count("9013") == 1; }, logger));
  auto packet = like_packet();
  packet.mn = "FFFF";
  Logger stranger{connect_to(rig, port), packet};
  for (int i = 0; i < 4; ++i) stranger.upload("2011", pm25("1", rig.clock.wall()), rig.clock.wall());
  REQUIRE(run(rig, [&] { return stranger.wire().closed(); }, stranger));
  CHECK(stranger.answers().empty());
  CHECK(event_of(rig, "stranger").detail["name"] == "FFFF");
  CHECK(rig.count("air.pm25") == 0);
}
