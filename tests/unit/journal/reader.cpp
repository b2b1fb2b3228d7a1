#include <csignal>
#include <cstdio>
#include <fstream>

#include <grp.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sync/journal/store.hpp"
#include "tests/unit/journal/fixture.hpp"

using namespace hamlet;
using namespace hamlet::journal;
using namespace hamlet::journal::test;
using contract::Lane;
using nlohmann::json;

namespace {

constexpr int kOk = 0;
constexpr uid_t kNobody = 65'534;

// Runs `work` in a process of its own and returns what it returned.
template <class Work>
int in_child(Work work) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(work());
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + status;
}

// As a user who is only in the file's group: 0 where the journal opens and has `events` events.
int read_as_nobody(const TempFolder& folder, gid_t group, std::size_t events) {
  return in_child([&] {
    if (::setgroups(0, nullptr) != 0 || ::setgid(group) != 0 || ::setuid(kNobody) != 0) return 1;
    if (std::ofstream{folder.path() / "journal.db", std::ios::app}.is_open()) return 2;
    const auto reader = Reader::open(folder.path());
    if (!reader) {
      ::fprintf(stderr, "%s\n", reader.error().message.c_str());
      return reader.error().code == Errc::denied ? 3 : 4;
    }
    const auto records = (*reader)->records(Lane::event, 0, 1, 1'000, 1U << 20);
    return records && records->records.size() == events ? kOk : 5;
  });
}

void give_to_group(const TempFolder& folder, gid_t group) {
  REQUIRE(::chown(folder.path().c_str(), 0, group) == 0);
  REQUIRE(::chmod(folder.path().c_str(), 0750) == 0);
  for (const auto& entry : std::filesystem::recursive_directory_iterator{folder.path()}) {
    REQUIRE(::chown(entry.path().c_str(), 0, group) == 0);
  }
}

Reading reading(const FakeClock& clock, std::string point, double value) {
  return {.point = std::move(point), .at = clock.mono(), .value = value};
}

void append_readings(Desk& desk, double value) {
  const std::vector<Reading> batch{reading(desk.clock, "river.level", value), reading(desk.clock, "rain.hour", 0.5)};
  REQUIRE(desk.journal->append(Lane::tele, desk.clock.mono(),
                               contract::encode_readings(batch, desk.clock.mono(), &desk.journal->names()), Urgency::now));
}

std::vector<double> values(const Result<json>& rows) {
  REQUIRE(rows);
  std::vector<double> out;
  for (const auto& row : *rows) out.push_back(row.at("v").get<double>());
  return out;
}

}  // namespace

TEST_CASE("a user who may only read opens the journal while it is written, after a clean stop and after a crash") {
  if (::geteuid() != 0) {
    MESSAGE("skipped: only root can become another user");
    return;
  }
  constexpr gid_t kGroup = 65'533;
  const TempFolder folder;
  SUBCASE("while it is written") {
    Desk desk{folder};
    desk.append(Lane::event, "{}");
    REQUIRE(desk.sync());
    give_to_group(folder, kGroup);
    CHECK(read_as_nobody(folder, kGroup, 1) == kOk);
    desk.append(Lane::event, "{}");
    REQUIRE(desk.sync());  // the writer is not disturbed
    CHECK(read_as_nobody(folder, kGroup, 2) == kOk);
  }
  SUBCASE("after a clean stop") {
    {
      Desk desk{folder};
      desk.append(Lane::event, "{}");
      REQUIRE(desk.sync());
    }
    give_to_group(folder, kGroup);
    CHECK(read_as_nobody(folder, kGroup, 1) == kOk);
  }
  SUBCASE("after kill -9") {
    CHECK(in_child([&] {
            Desk desk{folder};
            desk.append(Lane::event, "{}");
            desk.append(Lane::event, "{}");
            if (!desk.sync()) return 1;
            ::kill(::getpid(), SIGKILL);
            return 2;
          }) == 100 + SIGKILL);
    give_to_group(folder, kGroup);
    CHECK(read_as_nobody(folder, kGroup, 2) == kOk);
  }
  SUBCASE("and one who may not is told which group may") {
    { const Desk desk{folder}; }
    give_to_group(folder, kGroup);
    CHECK(read_as_nobody(folder, kGroup + 1, 0) == 3);
  }
}

TEST_CASE("where there is no journal, a reader says so") {
  const TempFolder folder;
  const auto reader = Reader::open(folder.path());
  REQUIRE_FALSE(reader);
  CHECK(reader.error().code == Errc::not_found);
}

TEST_CASE("readings of one point come oldest first, since a time, at most the newest so many") {
  const TempFolder folder;
  Desk desk{folder};
  const auto start = desk.clock.wall();
  for (int i = 0; i < 500; ++i) {
    append_readings(desk, i);
    desk.clock.advance(Millis{10'000});
  }
  REQUIRE(desk.sync());
  const auto reader = Reader::open(folder.path());
  REQUIRE(reader);

  const auto all = (*reader)->readings("river.level", start, 1'000);
  CHECK(values(all).size() == 500);
  CHECK(all->front() == json{{"t", to_ms(start)}, {"tq", "synced"}, {"v", 0.0}, {"q", "good"}});
  CHECK(values((*reader)->readings("river.level", start + Millis{4'980'000}, 1'000)) == std::vector<double>{498, 499});
  CHECK(values((*reader)->readings("river.level", start, 3)) == std::vector<double>{497, 498, 499});
  CHECK(values((*reader)->readings("rain.hour", start, 2)) == std::vector<double>{0.5, 0.5});
  CHECK(values((*reader)->readings("river.lev", start, 10)).empty());
  CHECK(values((*reader)->readings("river.level", start, 0)).empty());
}

TEST_CASE("a wall clock that jumped hides no reading") {
  const TempFolder folder;
  Desk desk{folder};
  const auto start = desk.clock.wall();
  const auto take = [&](double value) {
    append_readings(desk, value);
    desk.clock.advance(Millis{3'600'000});
  };
  for (int i = 0; i < 3; ++i) take(i);
  const auto good = desk.clock.wall();
  desk.clock.set_wall(wall_from_ms(2'085'978'496'000));  // 2036
  REQUIRE(desk.journal->check_clock());
  for (int i = 10; i < 13; ++i) take(i);
  desk.clock.set_wall(good + Millis{3 * 3'600'000});
  REQUIRE(desk.journal->check_clock());
  for (int i = 20; i < 23; ++i) take(i);
  desk.clock.set_wall(wall_from_ms(0));  // 1970
  REQUIRE(desk.journal->check_clock());
  for (int i = 30; i < 33; ++i) take(i);
  REQUIRE(desk.sync());

  const auto reader = Reader::open(folder.path());
  REQUIRE(reader);
  CHECK(values((*reader)->readings("river.level", wall_from_ms(0), 100)) ==
        std::vector<double>{0, 1, 2, 10, 11, 12, 20, 21, 22, 30, 31, 32});
  CHECK(values((*reader)->readings("river.level", start + Millis{3'600'000}, 100)) ==
        std::vector<double>{1, 2, 10, 11, 12, 20, 21, 22});
  CHECK(values((*reader)->readings("river.level", good, 100)) == std::vector<double>{10, 11, 12, 20, 21, 22});
}

TEST_CASE("readings pass over a damaged record") {
  const TempFolder folder;
  Desk desk{folder};
  for (int i = 0; i < 5; ++i) {
    append_readings(desk, i);
    REQUIRE(desk.sync());
  }
  tamper(folder, "UPDATE tele SET data = x'00' WHERE key IN (1, 3)");
  const auto reader = Reader::open(folder.path());
  REQUIRE(reader);
  CHECK(values((*reader)->readings("river.level", wall_from_ms(0), 10)) == std::vector<double>{1, 3, 4});
}

TEST_CASE("events come by source, alarms from the durable state") {
  const TempFolder folder;
  Desk desk{folder};
  for (const auto* source : {"cam-ford", "gateway", "cam-ford"}) {
    const Event event{.source = source, .kind = "motion", .phase = Phase::start, .id = "e1", .at = desk.clock.mono()};
    REQUIRE(desk.journal->append(Lane::event, desk.clock.mono(), contract::encode_event(event, desk.clock.mono()),
                                 Urgency::now));
  }
  desk.journal->put_state(
      "alarm/high", R"({"alarm":"high","occurrence":2,"state":"unacked","since":{"boot":1,"mono":100000},"_on":1})",
      Urgency::now);
  REQUIRE(desk.sync());
  const auto reader = Reader::open(folder.path());
  REQUIRE(reader);

  const auto events = (*reader)->events("cam-ford", wall_from_ms(0), 10);
  REQUIRE(events);
  REQUIRE(events->size() == 2);
  CHECK(events->at(1) == json{{"epoch", desk.journal->epoch()},
                              {"seq", 3},
                              {"ts", to_ms(desk.clock.wall())},
                              {"tq", "synced"},
                              {"source", "cam-ford"},
                              {"kind", "motion"},
                              {"phase", "start"},
                              {"event", "e1"},
                              {"detail", json::object()},
                              {"media", json::array()}});
  CHECK((*reader)->events("", wall_from_ms(0), 10)->size() == 3);
  CHECK((*reader)->events("cam", wall_from_ms(0), 10)->empty());
  CHECK((*reader)->events("", desk.clock.wall() + Millis{1}, 10)->empty());

  const auto alarms = (*reader)->alarms();
  REQUIRE(alarms);
  CHECK(*alarms == json::array({{{"alarm", "high"},
                                 {"occurrence", 2},
                                 {"state", "unacked"},
                                 {"since", to_ms(desk.clock.wall())},
                                 {"tq", "synced"}}}));

  const auto stat = (*reader)->stat();
  REQUIRE(stat);
  CHECK(stat->epoch == desk.journal->epoch());
  CHECK(stat->lanes[index(Lane::event)].last == 3);
  CHECK(stat->lanes[index(Lane::event)].unsent == 3);
  CHECK(stat->file_bytes > 0);
}
