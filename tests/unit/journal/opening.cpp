#include <fstream>

#include <sys/stat.h>

#include "sync/journal/crc.hpp"
#include "sync/journal/store.hpp"
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

TEST_CASE("a journal of another machine goes on with a new epoch, and keeps what it has") {
  const TempFolder folder;
  const auto epoch = fill(folder);
  auto options = options_in(folder, "boot-b");
  options.machine_id = "machine-b";
  Desk desk{options};
  CHECK(desk.journal->epoch() != epoch);
  CHECK(desk.journal->set_aside().find("another machine") != std::string::npos);
  CHECK(desk.journal->committed(Lane::event) == 0);
  CHECK(desk.append(Lane::event, R"({"new":true})").seq == 1);
  REQUIRE(desk.sync());
  CHECK(desk.journal->load_state("alarm/")->size() == 1);
  CHECK(desk.journal->boot() == 2);
  REQUIRE(desk.journal->epochs().size() == 2);
  CHECK(desk.journal->epochs().front().id == epoch);
  CHECK(desk.journal->epochs().front().last[index(Lane::event)] == 1);
  CHECK(desk.read(Lane::event, 1, 10, 0).value().front().body.bytes == "{}");
  CHECK(desk.read(Lane::event).value().front().body.bytes == R"({"new":true})");
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
    for (const auto lane : {Lane::tele, Lane::event, Lane::alarm}) {
      for (int i = 0; i < 5; ++i) {
        desk.append(lane, "{}");
        REQUIRE(desk.sync());
      }
    }
    desk.journal->set_position("county", Lane::event, {.prefix = 2, .beyond = {{4, 5}}});
    REQUIRE(desk.sync());
  }
  // As Store::trim() leaves it: the numbers stay used.
  auto store = Store::open_writing(folder.path() / "journal.db");
  REQUIRE(store);
  Changes changes;
  changes.trims = {{Lane::tele, 1, 5}, {Lane::event, 1, 5}, {Lane::alarm, 1, 2}};
  REQUIRE((*store)->commit(changes));
  store->reset();

  Desk desk{folder};
  CHECK(desk.append(Lane::tele, "{}").seq == 6);
  CHECK(desk.append(Lane::event, "{}").seq == 6);
  CHECK(desk.append(Lane::alarm, "{}").seq == 6);
  REQUIRE(desk.sync());
  CHECK(desk.read(Lane::tele).value().front().seq == 6);
  CHECK(desk.journal->stat().lanes[index(Lane::alarm)].first == 3);
  CHECK(desk.journal->stat().lanes[index(Lane::tele)].first == 6);
}

TEST_CASE("a damaged block is declared and given up, and the rest can be read") {
  const TempFolder folder;
  {
    Desk desk{folder};
    for (int i = 0; i < 5; ++i) {
      desk.append(Lane::event, R"({"n":1})");
      REQUIRE(desk.sync());
    }
  }
  SUBCASE("in its data") {
    tamper(folder, "UPDATE event SET data = data || x'00' WHERE key = 3");
  }
  SUBCASE("in its time") {
    tamper(folder, "UPDATE event SET mono = mono + 1 WHERE key = 3");
  }
  SUBCASE("in its number of records") {
    tamper(folder, "UPDATE event SET count = 2 WHERE key = 3");
  }
  SUBCASE("it is another's") {
    tamper(
        folder,
        "DELETE FROM event WHERE key = 3; INSERT INTO event SELECT 3, count, boot, mono, packing, data, crc FROM event "
        "WHERE key = 2");
  }
  Desk desk{folder};
  CHECK(desk.read(Lane::event).value().size() == 2);  // as far as it can be read; that finds the damage
  REQUIRE(desk.sync());
  const auto rest = desk.read(Lane::event, 3);
  REQUIRE(rest);
  REQUIRE(rest->size() == 3);
  CHECK((*rest)[0].seq == 4);
  const auto& told = rest->back();
  CHECK(told.seq == 6);
  CHECK(told.body.topic == "event/gateway/gap");
  CHECK(told.body.bytes.find(R"("reason":"damaged")") != std::string::npos);
  CHECK(told.body.bytes.find(R"("to":3)") != std::string::npos);
}

TEST_CASE("damage that nobody has read is found by the check in the background") {
  const TempFolder folder;
  {
    Desk desk{folder};
    for (int i = 0; i < 3; ++i) {
      desk.append(Lane::alarm, R"({"n":1})");
      REQUIRE(desk.sync());
    }
  }
  tamper(folder, "UPDATE alarm SET boot = 7 WHERE key = 2");
  Desk desk{folder};
  desk.journal->tend();
  desk.run();
  REQUIRE(desk.sync());
  CHECK(desk.read(Lane::event).value().back().body.bytes.find(R"("lane":"alarm")") != std::string::npos);
  CHECK(desk.read(Lane::alarm).value().size() == 2);
}

TEST_CASE("a journal that is older than its mark is a copy: a new epoch begins") {
  const TempFolder folder;
  const auto epoch = fill(folder);
  const auto copy = folder.path() / "copy";
  std::filesystem::copy_file(folder.path() / "journal.db", copy);
  std::filesystem::copy_file(folder.path() / "journal.db-wal", folder.path() / "copy-wal");
  {
    Desk desk{folder};
    CHECK(desk.journal->epoch() == epoch);
    desk.append(Lane::event, "{}");
  }
  std::filesystem::rename(copy, folder.path() / "journal.db");
  std::filesystem::rename(folder.path() / "copy-wal", folder.path() / "journal.db-wal");
  std::filesystem::remove(folder.path() / "journal.db-shm");
  Desk desk{folder};
  CHECK(desk.journal->epoch() != epoch);
  CHECK(desk.append(Lane::event, "{}").seq == 1);
  CHECK(desk.journal->epochs().front().last[index(Lane::event)] == 2);  // used, here or elsewhere
}

TEST_CASE("a copy that learns from the county that it is one gives its new records new numbers") {
  const TempFolder folder;
  const auto epoch = fill(folder);
  Desk desk{folder};
  int told = 0;
  desk.journal->on_epoch([&] { ++told; });
  const auto picture = desk.journal->append_media(desk.clock.mono(), "JPEG");
  REQUIRE(picture);
  desk.append(Lane::event, R"({"media":[")" + contract::media_name(epoch, picture->seq) + R"("]})");
  REQUIRE(desk.sync());
  CHECK(desk.journal->committed(Lane::event) == 2);

  desk.journal->seen_elsewhere(epoch, {0, 2, 0, 0});  // not ahead
  desk.journal->seen_elsewhere("0123456789abcdef", {0, 100, 0, 0});
  CHECK(desk.journal->epoch() == epoch);
  desk.journal->seen_elsewhere(epoch, {0, 100, 0, 0});
  desk.run();
  REQUIRE(desk.sync());
  const auto now = desk.journal->epoch();
  CHECK(now != epoch);
  CHECK(told == 1);
  const auto moved = desk.read(Lane::event);
  REQUIRE(moved);
  REQUIRE(moved->size() == 2);  // and what the journal itself says of it
  CHECK(moved->front().body.bytes == R"({"media":[")" + contract::media_name(now, 1) + R"("]})");
  CHECK(desk.read(Lane::event, 1, 10, 0).value().size() == 1);
  CHECK(desk.read(Lane::media).value().front().body.bytes == contract::media_name(now, 1) + ".jpg");
  CHECK(std::filesystem::exists(folder.path() / "media" / (contract::media_name(now, 1) + ".jpg")));
  CHECK_FALSE(std::filesystem::exists(folder.path() / "media" / (contract::media_name(epoch, 1) + ".jpg")));
}

// Each one used to begin an epoch, and all of a run came to the county once more.
TEST_CASE(
    "an ack that nobody can have meant begins one epoch a run, and what the county has stored stays where it is") {
  const TempFolder folder;
  const auto epoch = fill(folder);
  Desk desk{folder};
  desk.journal->set_uplinks({"county"});
  for (int i = 2; i <= 6; ++i) desk.append(Lane::event, fmt::format(R"({{"n":{}}})", i), Urgency::window);  // one block
  REQUIRE(desk.sync());
  desk.journal->set_position("county", Lane::event, {.prefix = 5, .beyond = {}, .stored = 4});
  desk.journal->seen_elsewhere(epoch, {0, 100, 0, 0});
  desk.run();
  REQUIRE(desk.sync());
  const auto now = desk.journal->epoch();
  CHECK(now != epoch);
  desk.journal->seen_elsewhere(now, {~0ULL, ~0ULL, ~0ULL, ~0ULL});
  desk.run();
  CHECK(desk.journal->epoch() == now);
  CHECK(desk.journal->settled());
  const auto check = [](Desk& at) {
    CHECK(at.read(Lane::event, 1, 10, 0).value().size() == 4);
    CHECK(at.read(Lane::event, 4, 10, 0).value().front().body.bytes == R"({"n":4})");
    CHECK(at.journal->epochs().front().last[index(Lane::event)] == 4);
    CHECK(at.journal->position("county", Lane::event, 0) == Position{.prefix = 4, .beyond = {}, .stored = 4});
    const auto moved = at.read(Lane::event).value();
    REQUIRE(moved.size() == 3);  // and what the journal itself says of it
    CHECK(moved.at(0).body.bytes == R"({"n":5})");
    CHECK(moved.at(1).body.bytes == R"({"n":6})");
  };
  check(desk);
  desk.journal.reset();
  Desk again{folder};
  CHECK(again.journal->epoch() == now);
  check(again);
}

TEST_CASE("a copy gives new numbers at once, however much is being appended") {
  const TempFolder folder;
  const auto epoch = fill(folder);
  Desk desk{folder};
  std::uint64_t given = 0;
  const auto load = [&] {
    const auto picture = desk.journal->append_media(desk.clock.mono(), "JPEG");
    REQUIRE(picture);
    desk.append(Lane::event, fmt::format(R"({{"n":{},"media":["{}"]}})", ++given,
                                         contract::media_name(picture->epoch, picture->seq)));
  };
  load();
  REQUIRE(desk.sync());
  // Something is appended each time that something is committed, and more while that is under way.
  int rounds = 0;
  desk.journal->on_committed([&] {
    if (++rounds < 50) load();
  });
  load();
  desk.io.restart();
  desk.io.poll();
  desk.journal->seen_elsewhere(epoch, {0, 100, 0, 0});
  load();
  while (desk.journal->epoch() == epoch) {
    desk.io.restart();
    REQUIRE(desk.io.run_one() == 1);
  }
  CHECK(rounds < 50);
  desk.run();
  REQUIRE(desk.sync());
  const auto records = desk.read(Lane::event);
  REQUIRE(records);
  std::uint64_t found = 0;
  std::uint64_t seq = 0;
  for (const auto& record : *records) {
    CHECK(record.seq == ++seq);
    const auto message = nlohmann::json::parse(record.body.bytes);
    if (!message.contains("n")) continue;  // what the journal says of it
    CHECK(message["n"] == ++found);
    CHECK(message["media"][0] == contract::media_name(desk.journal->epoch(), found));
    CHECK(std::filesystem::exists(folder.path() / "media" / (message["media"][0].get<std::string>() + ".jpg")));
  }
  CHECK(found == given);
  CHECK(desk.read(Lane::media).value().size() == given);
}

TEST_CASE("what a damaged file still holds moves into the new one with the identity it had") {
  const TempFolder folder;
  std::string epoch;
  {
    Desk desk{folder};
    epoch = desk.journal->epoch();
    desk.journal->put_state("alarm/a", "{}", Urgency::now);
    for (int i = 0; i < 200; ++i) {
      desk.append(Lane::event, R"({"fill":")" + std::string(400, static_cast<char>('a' + i % 26)) +
                                   std::to_string(i * 7919) + R"("})");
      REQUIRE(desk.sync());
    }
  }
  tamper(folder, "PRAGMA wal_checkpoint(TRUNCATE); DROP TABLE tele; PRAGMA wal_checkpoint(TRUNCATE)");
  Desk desk{folder};
  CHECK(desk.journal->epoch() != epoch);
  CHECK_FALSE(kept_file(folder, "damaged").empty());
  CHECK(desk.journal->epochs().size() == 1);  // until the other is whole
  CHECK(desk.append(Lane::event, R"({"new":true})").seq == 1);
  desk.journal->tend();
  desk.run();
  REQUIRE(desk.sync());
  REQUIRE(desk.journal->epochs().size() == 2);
  CHECK(desk.journal->epochs().front().id == epoch);
  const auto saved = desk.read(Lane::event, 1, 1'000, 0);
  REQUIRE(saved);
  CHECK(saved->size() == 200);
  CHECK(desk.journal->load_state("alarm/")->size() == 1);
  CHECK(desk.read(Lane::event).value().back().body.bytes.find("salvaged") != std::string::npos);
}

TEST_CASE("a log that has lost commits, in its middle or at its end: numbers are not used again") {
  const TempFolder folder;
  std::string epoch;
  {
    Desk desk{folder};
    epoch = desk.journal->epoch();
    for (int i = 0; i < 20; ++i) {
      desk.append(Lane::event, R"({"n":)" + std::to_string(i) + "}");
      REQUIRE(desk.sync());
    }
    // As kill -9 leaves it.
    for (const auto* name : {"journal.db", "journal.db-wal", "journal.db-shm", "journal.mark"})
      std::filesystem::copy_file(folder.path() / name, folder.path() / (std::string{"kept-"} + name));
  }
  for (const auto* name : {"journal.db", "journal.db-wal", "journal.db-shm", "journal.mark"})
    std::filesystem::rename(folder.path() / (std::string{"kept-"} + name), folder.path() / name);
  const auto log = folder.path() / "journal.db-wal";
  const auto turn_over = [&log](std::streamoff place) {
    std::fstream wal{log, std::ios::in | std::ios::out | std::ios::binary};
    wal.seekg(place);
    const auto byte = wal.get();
    wal.seekp(place);
    wal.put(static_cast<char>(byte ^ 1));
  };
  const auto end = [&log] {
    std::ifstream wal{log, std::ios::binary};
    const std::string bytes{std::istreambuf_iterator<char>{wal}, {}};
    return static_cast<std::streamoff>(bytes.find_last_not_of('\0'));
  };
  const auto is_told = [&] {
    Desk desk{folder};
    CHECK(desk.journal->epoch() != epoch);
    CHECK(desk.journal->set_aside().find("log is damaged") != std::string::npos);
    CHECK(desk.append(Lane::event, "{}").seq == 1);
  };
  SUBCASE("as it is nothing is amiss") {
    const Desk desk{folder};
    CHECK(desk.journal->epoch() == epoch);
    CHECK(desk.journal->committed(Lane::event) == 20);
  }
  SUBCASE("its last transaction is damaged: the index beside it knows") {
    turn_over(end());
    is_told();
  }
  SUBCASE("the same after a power cut that took the index: it may never have been synced") {
    turn_over(end());
    std::filesystem::remove(folder.path() / "journal.db-shm");
    const Desk desk{folder};
    CHECK(desk.journal->epoch() == epoch);
    CHECK(desk.journal->committed(Lane::event) == 19);
  }
  SUBCASE("its middle is damaged, and there is no index") {
    std::filesystem::remove(folder.path() / "journal.db-shm");
    SUBCASE("in a frame") {
      turn_over(32 + 30 * (kPageBytes + 24) + 100);
    }
    SUBCASE("in its header") {
      turn_over(17);
    }
    SUBCASE("cut off") {
      std::filesystem::resize_file(log, 20);
    }
    is_told();
  }
}

TEST_CASE("a file of version 1 becomes one of this version, records and all, also when it is cut short") {
  const TempFolder folder;
  const auto sql = [] {
    std::ifstream file{std::filesystem::path{std::getenv("HAMLET_SOURCE")} / "tests/unit/journal/schema_v1.sql"};
    return std::string{std::istreambuf_iterator<char>{file}, {}};
  }();
  std::string empty;
  for (const auto* table : {"alarm", "event", "tele", "media", "position", "state", "boots", "meta"})
    empty += fmt::format("DELETE FROM {};", table);
  tamper(folder, sql + empty + "INSERT INTO meta VALUES ('epoch', '0123456789abcdef')");
  sqlite3* db = nullptr;
  REQUIRE(sqlite3_open((folder.path() / "journal.db").c_str(), &db) == SQLITE_OK);
  const auto put = [&](Lane lane, std::uint64_t seq, const char* topic, const std::string& body) {
    const auto crc = crc_of(std::string_view{"0123456789abcdef"}, lane, seq, std::uint32_t{1}, std::int64_t{1'000},
                            std::uint64_t{7}, std::string_view{topic}, body);
    const auto row = fmt::format("INSERT INTO {} VALUES ({},1,1000,7,{},'{}',{})", contract::to_string(lane), seq,
                                 lane == Lane::tele ? "NULL" : fmt::format("'{}'", topic), body, crc);
    REQUIRE(sqlite3_exec(db, row.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK);
  };
  sqlite3_exec(db, "BEGIN", nullptr, nullptr, nullptr);
  for (std::uint64_t seq = 1; seq <= 2'000; ++seq) {
    put(Lane::tele, seq, "tele",
        fmt::format("{{\"readings\":[{{\"s\":\"river.level\",\"t\":\x01-5\x02,\"v\":{}.5,\"q\":\"good\"}}]}}", seq));
  }
  put(Lane::event, 1, "event/gateway/start", R"({"source":"gateway"})");
  sqlite3_exec(db, "INSERT INTO state VALUES ('alarm/a', '{}'); INSERT INTO position VALUES ('county', 2, 10, '12-14')",
               nullptr, nullptr, nullptr);
  sqlite3_exec(db, "INSERT INTO boots VALUES (1, 0, 'boot-a', 1700000000000, 1, NULL); COMMIT", nullptr, nullptr,
               nullptr);
  sqlite3_close(db);

  Desk desk{folder};
  CHECK(desk.journal->epoch() == "0123456789abcdef");
  CHECK(desk.journal->committed(Lane::tele) == 2'000);
  CHECK(desk.journal->position("county", Lane::tele) == Position{.prefix = 10, .beyond = {{12, 14}}});
  CHECK(desk.journal->load_state("alarm/")->size() == 1);
  CHECK(desk.read(Lane::event).value().front().rev == 7);
  const auto records = desk.read(Lane::tele, 1'500, 1);
  REQUIRE(records);
  const auto readings = contract::decode_readings(records->front().body, records->front().at.mono, nullptr);
  REQUIRE(readings);
  CHECK(readings->front().at == mono_from_ms(995));
  CHECK(std::get<double>(readings->front().value) == 1'500.5);
  CHECK(desk.append(Lane::tele, "{}").seq == 2'001);
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
