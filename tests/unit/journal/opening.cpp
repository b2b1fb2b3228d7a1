#include <fstream>

#include <sys/stat.h>

#include "tests/unit/journal/fixture.hpp"

using namespace hamlet;
using namespace hamlet::journal;
using namespace hamlet::journal::test;
using contract::Lane;

namespace {

unsigned mode_of(const std::filesystem::path& path) {
  struct stat info {};
  REQUIRE(::stat(path.c_str(), &info) == 0);
  return info.st_mode & 0777U;
}

std::string kept_file(const TempFolder& folder, std::string_view why) {
  for (const auto& entry : std::filesystem::directory_iterator{folder.path()}) {
    const auto name = entry.path().filename().string();
    if (name.starts_with("journal-") && name.find(why) != std::string::npos && name.ends_with(".db")) return name;
  }
  return {};
}

// A journal with one event and one state; returns its epoch.
std::string fill(const TempFolder& folder) {
  Desk desk{folder};
  desk.append(Lane::event, "{}");
  desk.journal->put_state("alarm/a", "{}", Urgency::now);
  REQUIRE(desk.sync());
  return desk.journal->epoch();
}

}  // namespace

TEST_CASE("a new journal has a new epoch and modes for its group") {
  const TempFolder folder;
  const TempFolder other;
  const Desk desk{
      Options{.directory = folder.path() / "state", .window = Millis{0}, .machine_id = "m", .boot_id = "b"}};
  const Desk second{other};
  CHECK(desk.journal->epoch().size() == 16);
  CHECK(desk.journal->epoch() != second.journal->epoch());
  CHECK(desk.journal->set_aside().empty());
  CHECK(mode_of(folder.path() / "state") == 0750);
  CHECK(mode_of(folder.path() / "state/media") == 0750);
  for (const auto* name : {"journal.db", "journal.db-wal", "journal.db-shm"}) {
    CHECK(mode_of(folder.path() / "state" / name) == 0640);
  }
}

TEST_CASE("a restart keeps epoch and numbers; a new boot gets the next number") {
  const TempFolder folder;
  const auto epoch = fill(folder);
  {
    Desk desk{folder};
    CHECK(desk.journal->epoch() == epoch);
    CHECK(desk.journal->boot() == 1);
    CHECK(desk.append(Lane::event, "{}").seq == 2);
  }
  const Desk desk{options_in(folder, "boot-b")};
  CHECK(desk.journal->boot() == 2);
}

TEST_CASE("one writer at a time") {
  const TempFolder folder;
  Desk desk{folder};
  boost::asio::io_context io;
  const auto second = Journal::open(io, desk.clock, options_in(folder));
  REQUIRE_FALSE(second);
  CHECK(second.error().code == Errc::unavailable);
  CHECK(second.error().message.find("another hamletd") != std::string::npos);
}

TEST_CASE("a journal of another machine makes a new epoch, and keeps the village's alarms") {
  const TempFolder folder;
  const auto epoch = fill(folder);
  auto options = options_in(folder, "boot-b");
  options.machine_id = "machine-b";
  Desk desk{options};
  CHECK(desk.journal->epoch() != epoch);
  CHECK(desk.journal->set_aside().find("another machine") != std::string::npos);
  CHECK(desk.journal->committed(Lane::event) == 0);
  CHECK(desk.journal->load_state("alarm/")->size() == 1);
  CHECK(desk.journal->boot() == 2);
  CHECK_FALSE(kept_file(folder, "moved").empty());
  desk.journal->stop();

  const Desk again{options};
  CHECK(again.journal->set_aside().empty());
}

TEST_CASE("a machine without an id keeps the epoch") {
  const TempFolder folder;
  const auto epoch = fill(folder);
  auto options = options_in(folder);
  options.machine_id.clear();
  const Desk desk{options};
  CHECK(desk.journal->epoch() == epoch);
}

TEST_CASE("a damaged file is set aside, and the journal starts") {
  const TempFolder folder;
  const auto epoch = fill(folder);
  const auto file = folder.path() / "journal.db";
  SUBCASE("no database at all") {
    std::ofstream{file, std::ios::trunc} << std::string(8'192, 'x');
  }
  SUBCASE("null bytes, as power cuts leave them") {
    std::ofstream{file, std::ios::trunc} << std::string(16'384, '\0');
  }
  SUBCASE("cut off") {
    std::filesystem::resize_file(file, 5'000);
  }
  SUBCASE("without its tables") {
    tamper(folder, "DROP TABLE tele");
  }
  SUBCASE("written by a newer firmware") {
    tamper(folder, "PRAGMA user_version = 99");
  }
  Desk desk{folder};
  CHECK(desk.journal->epoch() != epoch);
  const auto kept = kept_file(folder, "damaged");
  REQUIRE_FALSE(kept.empty());
  CHECK(desk.journal->set_aside().find(kept) != std::string::npos);
  CHECK(desk.append(Lane::event, "{}").seq == 1);
  CHECK(desk.sync());
}

TEST_CASE("an empty file is a new journal") {
  const TempFolder folder;
  std::ofstream{folder.path() / "journal.db"};
  const Desk desk{folder};
  CHECK(desk.journal->set_aside().empty());
  CHECK(desk.journal->epoch().size() == 16);
}

TEST_CASE("a trimmed lane goes on where it was") {
  const TempFolder folder;
  {
    Desk desk{folder};
    for (int i = 0; i < 5; ++i) desk.append(Lane::tele, "{}");
    for (int i = 0; i < 5; ++i) desk.append(Lane::event, "{}");
    for (int i = 0; i < 5; ++i) desk.append(Lane::alarm, "{}");
    desk.journal->set_position("county", Lane::event, {.prefix = 2, .beyond = {{4, 5}}});
    REQUIRE(desk.sync());
  }
  tamper(folder,
         "DELETE FROM tele; INSERT INTO meta VALUES ('high/tele', '5'); DELETE FROM event; DELETE FROM alarm WHERE seq "
         "< 3");
  Desk desk{folder};
  CHECK(desk.append(Lane::tele, "{}").seq == 6);
  CHECK(desk.append(Lane::event, "{}").seq == 6);
  CHECK(desk.append(Lane::alarm, "{}").seq == 6);
  REQUIRE(desk.sync());
  CHECK(desk.read(Lane::tele).value().front().seq == 6);
  CHECK(desk.journal->stat().lanes[index(Lane::alarm)].first == 3);
  CHECK(desk.journal->stat().lanes[index(Lane::tele)].first == 6);
}

TEST_CASE("a damaged record is named, and the rest can be read") {
  const TempFolder folder;
  {
    Desk desk{folder};
    for (int i = 0; i < 5; ++i) desk.append(Lane::event, R"({"n":1})");
    REQUIRE(desk.sync());
  }
  SUBCASE("in its body") {
    tamper(folder, R"(UPDATE event SET body = '{"n":2}' WHERE seq = 3)");
  }
  SUBCASE("in its time") {
    tamper(folder, "UPDATE event SET mono = mono + 1 WHERE seq = 3");
  }
  SUBCASE("in its topic") {
    tamper(folder, "UPDATE event SET topic = 'event/x/y' WHERE seq = 3");
  }
  SUBCASE("it is another lane's") {
    tamper(folder,
           "DELETE FROM event WHERE seq = 3; INSERT INTO event SELECT 3, boot, mono, rev, topic, body, crc FROM event "
           "WHERE seq = 2");
  }
  Desk desk{folder};
  CHECK(desk.read(Lane::event).value().size() == 2);
  const auto bad = desk.read(Lane::event, 3);
  REQUIRE_FALSE(bad);
  CHECK(bad.error().code == Errc::corrupt);
  CHECK(bad.error().message.find("record 3 of the lane event") != std::string::npos);
  CHECK(desk.read(Lane::event, 4).value().size() == 2);
}

TEST_CASE("a clock that is set at last dates the backlog, and the file remembers") {
  const TempFolder folder;
  boost::asio::io_context io;
  FakeClock clock{wall_from_ms(1'000), mono_from_ms(100)};
  clock.set_synced(false);
  {
    auto desk = Journal::open(io, clock, options_in(folder));
    REQUIRE(desk);
    CHECK((*desk)->date({1, mono_from_ms(50)}).quality == TimeQuality::unsynced);
    CHECK_FALSE((*desk)->check_clock());
    clock.advance(Millis{9'900});
    clock.set_wall(wall_from_ms(1'795'411'860'000));
    clock.set_synced(true);
    const auto change = (*desk)->check_clock();
    REQUIRE(change);
    CHECK(change->at("change") == "synced");
    CHECK(to_ms((*desk)->date({1, mono_from_ms(50)}).wall) == 1'795'411'850'050);
  }
  const auto reader = Reader::open(folder.path());
  REQUIRE(reader);
  CHECK(to_ms((*reader)->date({1, mono_from_ms(50)}).wall) == 1'795'411'850'050);
  CHECK((*reader)->date({1, mono_from_ms(50)}).quality == TimeQuality::repaired);
  CHECK((*reader)->date({1, mono_from_ms(10'000)}).quality == TimeQuality::synced);
}
