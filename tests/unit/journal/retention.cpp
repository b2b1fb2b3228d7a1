// What the journal gives up, when, and what it says of it.

#include <algorithm>
#include <fstream>
#include <random>

#include <nlohmann/json.hpp>

#include "sync/journal/media.hpp"
#include "sync/journal/store.hpp"
#include "sync/journal/tending.hpp"
#include "tests/unit/journal/fixture.hpp"

using namespace hamlet;
using namespace hamlet::journal;
using namespace hamlet::journal::test;
using contract::Lane;

namespace {

constexpr std::uint64_t kMb = 1U << 20;

// What no packing makes smaller.
std::string noise(std::size_t size) {
  static std::minstd_rand random{7};
  std::string out(size, '\0');
  for (auto& byte : out) byte = static_cast<char>(random());
  return out;
}

// The log takes 4 MiB of it.
Options with_quota(const TempFolder& folder, std::uint64_t bytes) {
  auto options = options_in(folder);
  options.reserve_bytes = 0;
  options.quota_bytes = bytes;
  return options;
}

void tend(Desk& desk) {
  desk.journal->tend();
  desk.run();
  REQUIRE(desk.sync());
}

void picture(Desk& desk, std::size_t size) {
  REQUIRE(desk.journal->append_media(desk.clock.mono(), std::string(size, 'J')));
}

// Details of the gaps that the journal has declared, in order.
std::vector<nlohmann::json> gaps(Desk& desk) {
  std::vector<nlohmann::json> out;
  for (std::uint64_t from = 1;;) {
    const auto records = desk.read(Lane::event, from);
    REQUIRE(records);
    if (records->empty()) return out;
    for (const auto& record : *records)
      if (record.body.topic == "event/gateway/gap") out.push_back(nlohmann::json::parse(record.body.bytes)["detail"]);
    from = records->back().seq + 1;
  }
}

// Of each lane all up to `declared` is; this gap goes on from there, or tells of it again.
void take(const nlohmann::json& gap, std::array<std::uint64_t, kLaneCount>& declared) {
  auto& end = declared.at(index(*contract::parse_lane(gap["lane"].get<std::string>())));
  const auto from = gap["from"].get<std::uint64_t>();
  const auto to = gap["to"].get<std::uint64_t>();
  CHECK(from <= end + 1);
  CHECK(gap["count"] == to - from + 1);
  end = std::max(end, to);
}

std::uint64_t first(Desk& desk, Lane lane) {
  const auto records = desk.read(lane, 1, 1);
  REQUIRE(records);
  return records->empty() ? 0 : records->front().seq;
}

std::uint64_t free_pages(const TempFolder& folder) {
  return Store::open_reading(folder.path() / "journal.db").value()->usage()->free_bytes;
}

}  // namespace

TEST_CASE("near the quota pictures go first, then readings, events and at last alarms, each declared as it goes") {
  const TempFolder folder;
  const auto options = with_quota(folder, 9 * kMb);
  Desk desk{options};
  desk.journal->set_uplinks({"county"});
  const std::array order{Lane::media, Lane::tele, Lane::event, Lane::alarm};
  desk.append(Lane::alarm, noise(500));
  desk.append(Lane::event, noise(500));
  for (int i = 0; i < 20; ++i) picture(desk, 100'000);
  for (int i = 0; i < 600; ++i) {
    desk.append(Lane::tele, noise(10'000));
    if (i % 10 == 0) tend(desk);
    const auto stat = desk.journal->stat();
    CHECK(stat.file_bytes + stat.media_bytes <= options.quota_bytes);
    // Nothing of more worth goes while something of less is there.
    bool some = false;
    for (const auto lane : order) {
      if (some) CHECK_MESSAGE(first(desk, lane) <= 1, contract::to_string(lane));
      some = some || first(desk, lane) != 0;
    }
  }
  CHECK(first(desk, Lane::media) == 0);
  CHECK(first(desk, Lane::tele) > 1);
  CHECK(first(desk, Lane::event) == 1);
  CHECK(first(desk, Lane::alarm) == 1);
  CHECK(std::distance(std::filesystem::directory_iterator{folder.path() / "media"}, {}) == 0);

  // Every number that is gone was declared, and none twice.
  std::array<std::uint64_t, kLaneCount> declared{};
  for (const auto& gap : gaps(desk)) {
    CHECK(gap["epoch"] == desk.journal->epoch());
    CHECK(gap["reason"] == "quota");
    for (const auto lane : contract::kLanes) {
      if (gap["lane"] != std::string{contract::to_string(lane)}) continue;
      CHECK(gap["from"] == declared.at(index(lane)) + 1);
      CHECK(gap["count"] == gap["to"].get<std::uint64_t>() - declared.at(index(lane)));
      declared.at(index(lane)) = gap["to"];
    }
  }
  CHECK(declared.at(index(Lane::media)) == 20);
  CHECK(declared.at(index(Lane::tele)) == first(desk, Lane::tele) - 1);
}

TEST_CASE("when nothing of less worth is left events go, and alarms at last; each step is declared") {
  const TempFolder folder;
  const auto options = with_quota(folder, 8 * kMb);
  Desk desk{options};
  desk.journal->set_uplinks({"county"});
  std::array<std::uint64_t, kLaneCount> declared{};  // each lane from its first number on, without a hole
  std::uint64_t read = 0;
  const auto take_declared = [&] {
    for (;;) {
      const auto records = desk.read(Lane::event, read + 1);
      REQUIRE(records);
      if (records->empty()) return;
      CHECK(records->front().seq == read + 1);  // a declaration is there to be read before it may go, too
      for (const auto& record : *records) {
        if (record.body.topic != "event/gateway/gap") continue;
        take(nlohmann::json::parse(record.body.bytes)["detail"], declared);
      }
      read = records->back().seq;
    }
  };
  const auto stored = [&](Lane lane) {
    const auto given = lane == Lane::event ? read : desk.journal->committed(lane);
    return given - declared.at(index(lane));
  };
  const auto flood = [&](Lane lane, int records) {
    for (int i = 0; i < records; ++i) {
      desk.append(lane, noise(10'000));
      if (i % 8 != 0) continue;
      tend(desk);
      take_declared();
      const auto stat = desk.journal->stat();
      CHECK(stat.file_bytes + stat.media_bytes <= options.quota_bytes);
      // Nothing of more worth goes while something of less is there; what the journal itself says counts as nothing.
      if (declared.at(index(Lane::tele)) > 0) CHECK(stored(Lane::media) == 0);
      if (declared.at(index(Lane::event)) > 0) CHECK(stored(Lane::tele) == 0);
      if (declared.at(index(Lane::alarm)) > 0) CHECK(stored(Lane::event) < 20);
    }
  };
  for (int i = 0; i < 10; ++i) picture(desk, 100'000);
  flood(Lane::tele, 100);
  flood(Lane::event, 500);
  CHECK(stored(Lane::tele) == 0);
  CHECK(declared.at(index(Lane::event)) > 0);
  CHECK(declared.at(index(Lane::alarm)) == 0);
  flood(Lane::alarm, 700);
  CHECK(declared.at(index(Lane::media)) == 10);
  CHECK(declared.at(index(Lane::tele)) == 100);
  CHECK(declared.at(index(Lane::event)) >= 500);
  CHECK(declared.at(index(Lane::alarm)) > 100);
  for (const auto lane : {Lane::event, Lane::alarm}) CHECK(first(desk, lane) == declared.at(index(lane)) + 1);

  // Declarations are given up, too. Who comes only now learns all of it from those that are left.
  std::array<std::uint64_t, kLaneCount> left{};
  for (const auto& gap : gaps(desk)) take(gap, left);
  CHECK(left == declared);
}

TEST_CASE("a declaration that every county has stored is not made again") {
  const TempFolder folder;
  const auto options = with_quota(folder, 7 * kMb);
  Desk desk{options};
  desk.journal->set_uplinks({"county"});
  const auto flood = [&](Lane lane) {
    for (int i = 0; i < 400; ++i) {
      desk.append(lane, noise(10'000));
      if (i % 8 == 0) tend(desk);
    }
  };
  flood(Lane::tele);
  REQUIRE(!gaps(desk).empty());
  const auto stored = desk.journal->committed(Lane::event);
  desk.journal->set_position("county", Lane::event, {.prefix = stored, .beyond = {}, .stored = stored});
  flood(Lane::event);
  REQUIRE(first(desk, Lane::event) > stored);
  std::uint64_t from = 0;  // of the readings that were given up since
  for (const auto& gap : gaps(desk))
    if (gap["lane"] == "tele") from = gap["from"];
  CHECK(from > 1);
}

TEST_CASE("gaps that meet become one") {
  const auto all = joined({{"a", "tele", 41, 50, "disk"},
                           {"a", "tele", 1, 40, "quota"},
                           {"a", "event", 3, 4, "quota"},
                           {"b", "tele", 51, 60, "quota"},
                           {"a", "tele", 52, 52, "quota"},
                           {"a", "tele", 2, 9, "damaged"}});
  std::vector<std::string> shown;
  for (const auto& gap : all) shown.push_back(fmt::format("{} {} {}-{} {}", gap.epoch, gap.lane, gap.from, gap.to, gap.reason));
  CHECK(shown == std::vector<std::string>{"a event 3-4 quota", "a tele 1-50 disk", "a tele 52-52 quota", "b tele 51-60 quota"});
}

TEST_CASE("records go and are declared in one transaction") {
  const TempFolder folder;
  const auto options = with_quota(folder, 5 * kMb);
  Desk desk{options};
  desk.journal->set_uplinks({"county"});
  for (int i = 0; i < 80; ++i) {
    desk.append(Lane::tele, noise(10'000));
    REQUIRE(desk.sync());
  }
  // In every state that another connection may see: what is not there is declared.
  auto store = Store::open_reading(folder.path() / "journal.db").value();
  int seen = 0;
  desk.journal->on_committed([&] {
    const auto ends = store->ends(Lane::tele).value();
    const auto events = store->records(Lane::event, 0, key_of(0, kMaxSeq), 1'000, kMb).value();
    std::uint64_t declared = 0;
    for (const auto& record : events.records) {
      const auto body = nlohmann::json::parse(record.body.bytes);
      if (body["kind"] == "gap") declared = body["detail"]["to"];
    }
    if (ends.first == 0) return;
    CHECK(seq_of(ends.first) == declared + 1);
    if (declared > 0) ++seen;
  });
  for (int i = 0; i < 60; ++i) {
    desk.append(Lane::tele, noise(10'000));
    tend(desk);
  }
  CHECK(seen > 0);
}

TEST_CASE("a disk that others fill makes the journal go on within its file") {
  const TempFolder folder;
  auto options = options_in(folder);
  options.reserve_bytes = 0;
  options.min_free_bytes = 1'000'000ULL << 20;  // more than there is
  Desk desk{options};
  desk.journal->set_uplinks({"county"});
  desk.append(Lane::alarm, noise(500));
  desk.append(Lane::event, noise(500));
  picture(desk, 100'000);
  for (int i = 0; i < 200; ++i) desk.append(Lane::tele, noise(10'000));
  REQUIRE(desk.sync());
  std::uint64_t largest = 0;
  for (int i = 0; i < 400; ++i) {
    desk.append(Lane::tele, noise(10'000));
    if (i % 10 != 0) continue;
    tend(desk);
    if (i == 50) largest = std::filesystem::file_size(folder.path() / "journal.db");
    if (i > 50) CHECK(std::filesystem::file_size(folder.path() / "journal.db") <= std::max<std::uint64_t>(largest, 3 * kMb));
  }
  CHECK(free_pages(folder) > 0);
  CHECK(first(desk, Lane::media) == 0);
  CHECK(first(desk, Lane::tele) > 1);
  CHECK(desk.journal->committed(Lane::tele) == 600);
  CHECK(first(desk, Lane::alarm) == 1);
  CHECK(first(desk, Lane::event) == 1);
  CHECK(gaps(desk).back()["reason"] == "disk");
}

TEST_CASE("what is old goes once every county has stored it, a day's records an hour, while the clock is good") {
  const TempFolder folder;
  auto options = options_in(folder);
  options.keep = std::chrono::days{2};
  options.keep_alarms = std::chrono::days{100};
  Desk desk{options};
  desk.journal->set_uplinks({"county", "prefecture"});
  for (int day = 0; day < 10; ++day) {
    for (int i = 0; i < 4; ++i) {
      desk.append(Lane::tele, "{}");
      desk.append(Lane::alarm, "{}");
      REQUIRE(desk.sync());
      desk.clock.advance(std::chrono::hours{6});
    }
  }
  const auto hour = [&] {
    desk.clock.advance(std::chrono::hours{1});
    tend(desk);
  };
  SUBCASE("not stored, nothing goes") {
    for (int i = 0; i < 30; ++i) hour();
    CHECK(first(desk, Lane::tele) == 1);
  }
  SUBCASE("stored by one of two, nothing goes") {
    desk.journal->set_position("county", Lane::tele, {.prefix = 40, .beyond = {}, .stored = 40});
    for (int i = 0; i < 30; ++i) hour();
    CHECK(first(desk, Lane::tele) == 1);
  }
  SUBCASE("stored by both") {
    desk.journal->set_position("county", Lane::tele, {.prefix = 40, .beyond = {}, .stored = 40});
    desk.journal->set_position("prefecture", Lane::tele, {.prefix = 40, .beyond = {}, .stored = 22});
    SUBCASE("a day's records an hour, and no further than it is stored") {
      hour();
      CHECK(first(desk, Lane::tele) == 5);
      tend(desk);
      CHECK(first(desk, Lane::tele) == 5);
      hour();
      CHECK(first(desk, Lane::tele) == 9);
      for (int i = 0; i < 10; ++i) hour();
      CHECK(first(desk, Lane::tele) == 23);
      CHECK(first(desk, Lane::alarm) == 1);
      CHECK(gaps(desk).empty());  // the county has it
    }
    SUBCASE("an unsynced clock says nothing of age") {
      desk.clock.set_synced(false);
      (void)desk.journal->check_clock();
      for (int i = 0; i < 30; ++i) hour();
      CHECK(first(desk, Lane::tele) == 1);
    }
  }
  SUBCASE("with no county all goes by age alone") {
    desk.journal->set_uplinks({});
    for (int i = 0; i < 30; ++i) hour();
    CHECK(first(desk, Lane::tele) > 30);
    CHECK(first(desk, Lane::alarm) == 1);
  }
}

TEST_CASE("a wall clock in 2036 or 1970 neither reorders nor removes") {
  const TempFolder folder;
  Desk desk{folder};
  for (int i = 0; i < 10; ++i) desk.append(Lane::tele, std::to_string(i));
  REQUIRE(desk.sync());
  SUBCASE("2036") { desk.clock.set_wall(wall_from_ms(2'085'978'496'000)); }
  SUBCASE("1970") { desk.clock.set_wall(wall_from_ms(1'000)); }
  desk.clock.set_synced(false);
  (void)desk.journal->check_clock();
  for (int i = 10; i < 20; ++i) desk.append(Lane::tele, std::to_string(i));
  for (int i = 0; i < 5; ++i) {
    desk.clock.advance(std::chrono::hours{1});
    tend(desk);
  }
  const auto records = desk.read(Lane::tele);
  REQUIRE(records);
  REQUIRE(records->size() == 20);
  for (int i = 0; i < 20; ++i) CHECK(records->at(static_cast<std::size_t>(i)).body.bytes == std::to_string(i));
}

TEST_CASE("an acknowledgement of what was never committed, or of a foreign epoch, has no effect") {
  const TempFolder folder;
  std::string epoch;
  {
    auto options = options_in(folder);
    options.keep = std::chrono::days{1};
    Desk desk{options};
    epoch = desk.journal->epoch();
    desk.journal->set_uplinks({"county"});
    desk.append(Lane::tele, "{}");
    REQUIRE(desk.sync());
    desk.journal->set_position("county", Lane::tele,
                               {.prefix = 1'000, .beyond = {{2'000, 3'000}}, .stored = 1'000'000});
    desk.journal->set_position("county", Lane::tele, {.prefix = 1, .beyond = {}, .stored = 1}, 7);
    CHECK(desk.journal->position("county", Lane::tele).stored == 1);
    CHECK(desk.journal->position("county", Lane::tele).beyond.empty());
    CHECK(desk.journal->position("county", Lane::tele, 7) == Position{});
    desk.append(Lane::tele, "{}");
    REQUIRE(desk.sync());
    for (int i = 0; i < 60; ++i) {
      desk.clock.advance(std::chrono::hours{1});
      tend(desk);
    }
    CHECK(first(desk, Lane::tele) == 2);  // the one that was stored is gone, the other is not
  }
  Desk desk{folder};
  CHECK(desk.journal->epoch() == epoch);
  CHECK(desk.append(Lane::tele, "{}").seq == 3);
}

TEST_CASE("a row that has gone without a trace shows as a hole, also the first one; what was trimmed does not") {
  const TempFolder folder;
  {
    Desk desk{folder};
    for (int i = 0; i < 30; ++i) {
      desk.append(Lane::tele, noise(200));
      REQUIRE(desk.sync());
    }
  }
  tamper(folder, "DELETE FROM tele WHERE key IN (1, 2, 10, 11)");
  Desk desk{folder};
  desk.journal->set_uplinks({"county"});
  for (int i = 0; i < 20; ++i) tend(desk);
  std::vector<std::pair<int, int>> told;
  for (const auto& gap : gaps(desk)) told.emplace_back(gap["from"], gap["to"]);
  CHECK(told == std::vector<std::pair<int, int>>{{1, 2}, {10, 11}});
  // Trimmed while the check is on its way.
  auto store = Store::open_writing(folder.path() / "other.db").value();
  Changes changes;
  changes.epochs.push_back({0, "0123456789abcdef", "new", {}});
  REQUIRE(store->commit(changes));
  for (std::uint64_t seq = 1; seq <= 20; ++seq) {
    Changes one;
    one.records.push_back({{Lane::tele, 0, seq, {1, mono_from_ms(1'000)}, 1, {"tele", noise(200)}}});
    REQUIRE(store->commit(one));
  }
  CheckCursor cursor{.lane = index(Lane::tele), .next = 0, .blocks = 0};
  CHECK(check_slice(*store, cursor, 1'000).value().empty());
  CHECK(cursor.next < 10);
  Changes trim;
  trim.trims.push_back({Lane::tele, 0, key_of(0, 12)});
  REQUIRE(store->commit(trim));
  for (int i = 0; i < 10; ++i) CHECK(check_slice(*store, cursor, 1'000).value().empty());
}

TEST_CASE("pictures that no record names go, others stay") {
  const TempFolder folder;
  std::string epoch;
  {
    Desk desk{folder};
    epoch = desk.journal->epoch();
    picture(desk, 100);
    REQUIRE(desk.sync());
    picture(desk, 100);
  }
  tamper(folder, "DELETE FROM media WHERE key = 1");
  const auto media = folder.path() / "media";
  const auto being_written = contract::media_name(epoch, 3) + ".jpg";
  for (const auto& name : {being_written, std::string{"holiday.jpg"}}) std::ofstream{media / name} << "x";
  Desk desk{folder};
  tend(desk);
  CHECK_FALSE(std::filesystem::exists(media / (contract::media_name(epoch, 1) + ".jpg")));
  CHECK(std::filesystem::exists(media / (contract::media_name(epoch, 2) + ".jpg")));
  CHECK(std::filesystem::exists(media / being_written));
  CHECK(std::filesystem::exists(media / "holiday.jpg"));
}

TEST_CASE("the reserve is allocated, and counts as used") {
  const TempFolder folder;
  Desk desk{folder};
  REQUIRE(desk.sync());
  CHECK(std::filesystem::file_size(folder.path() / "journal.reserve") == 4 * kMb);
  const auto store = Store::open_reading(folder.path() / "journal.db").value();
  CHECK(look_at_room(*store, folder.path(), 0)->total() > 8 * kMb);
}

TEST_CASE("a boot that was never dated lies between its neighbours") {
  const TempFolder folder;
  WallTime before;
  {
    Desk desk{options_in(folder, "boot-a")};
    desk.append(Lane::event, "{}");
    REQUIRE(desk.sync());
    before = desk.clock.wall();
  }
  Boots boots{Store::open_reading(folder.path() / "journal.db").value()->boots().value()};
  const auto begin = [&](const char* id, WallTime wall, Millis up, bool synced, Moment newest) {
    boots.begin(id, {wall, mono_from_ms(up.count()), synced}, newest);
    return boots.current();
  };
  const auto lost = begin("boot-b", wall_from_ms(0), Millis{5'000}, false, {1, mono_from_ms(100'000)});
  const auto now = before + std::chrono::hours{2};
  begin("boot-c", now, Millis{10'000}, true, {lost, mono_from_ms(600'000)});
  const auto dated = boots.date({lost, mono_from_ms(300'000)});
  CHECK(dated.quality == TimeQuality::repaired);
  CHECK(dated.wall > before);
  CHECK(dated.wall < now);
}
