// Figures, check and export: what the technician's commands do with a journal's files.

#include "sync/journal/export.hpp"

#include <array>
#include <cstdio>
#include <fstream>
#include <sstream>

#include <sys/mount.h>
#include <unistd.h>

#include "sync/journal/store.hpp"
#include "tests/support/zstd_lines.hpp"
#include "tests/unit/journal/fixture.hpp"

using namespace hamlet;
using namespace hamlet::journal;
using namespace hamlet::journal::test;
using contract::Lane;
using nlohmann::json;
namespace fs = std::filesystem;

namespace {

std::string slurp(const fs::path& file) {
  std::ostringstream text;
  text << std::ifstream{file, std::ios::binary}.rdbuf();
  return text.str();
}

// What sha256sum says of the folder.
bool sums_hold(const fs::path& folder) {
  return std::system(("cd '" + folder.string() + "' && sha256sum --quiet -c SHA256SUMS").c_str()) == 0;
}

std::size_t entries(const fs::path& folder) {
  return static_cast<std::size_t>(std::distance(fs::directory_iterator{folder}, fs::directory_iterator{}));
}

contract::Topics topics() { return *contract::Topics::from_division("430124104203", "gw-0017"); }

// A journal with something in each lane, three of each.
struct Village {
  TempFolder folder;
  TempFolder stick;
  std::unique_ptr<Desk> desk = std::make_unique<Desk>(folder);
  std::string epoch = desk->journal->epoch();

  Village() {
    desk->clock.set_synced(true);
    desk->run();
    for (int i = 0; i < 3; ++i) append(i);
    REQUIRE(desk->sync());
  }

  void append(int i) {
    auto& journal = *desk->journal;
    const auto at = desk->clock.mono();
    const std::vector<Reading> readings{{.point = "river.level", .at = at, .value = 2.31 + i}};
    REQUIRE(journal.append(Lane::tele, at, contract::encode_readings(readings, at, &journal.names()), Urgency::window));
    const Event event{.source = "river", .kind = "down", .phase = Phase::start, .id = "00112233aabbccdd", .at = at};
    REQUIRE(journal.append(Lane::event, at, contract::encode_event(event, at), Urgency::window));
    const Moment now{journal.boot(), at};
    const Alarm alarm{.id = "high", .occurrence = 1, .state = AlarmState::unacked, .since = now, .value = 4.7, .limit = 4.5, .text = {}, .sources = {}};
    REQUIRE(journal.append(Lane::alarm, at, contract::encode_alarm(alarm, now), Urgency::window));
    REQUIRE(journal.append_media(at, "\xff\xd8 picture " + std::to_string(i)));
    desk->clock.advance(Millis{60'000});
  }

  // As an uplink sends it.
  std::vector<std::string> messages(Lane lane) {
    std::vector<std::string> out;
    auto records = desk->read(lane);
    for (const auto& record : records.value()) {
      const auto payload = contract::render(
          record.body, {"gw-0017", epoch, lane, record.seq, record.at, /*hist=*/true, record.rev},
          [this](Moment moment) { return desk->journal->date(moment); }, &desk->journal->names());
      out.push_back(R"({"topic":")" + topics().at(record.body.topic) + R"(","payload":)" + payload.value() + "}");
    }
    return out;
  }

  Result<json> write(std::optional<std::pair<WallTime, WallTime>> range = {}, const fs::path& to = {}) {
    const auto reader = Reader::open(folder.path());
    REQUIRE_MESSAGE(reader, reader.error().message);
    return export_records(**reader, folder.path(),
                          {.to = to.empty() ? stick.path() : to,
                           .topics = topics(),
                           .made_by = "hamlet test",
                           .now = desk->clock.wall(),
                           .range = range});
  }

  json check() {
    const auto reader = Reader::open(folder.path());
    REQUIRE_MESSAGE(reader, reader.error().message);
    return check_everything(**reader, folder.path(), {}).value();
  }
};

}  // namespace

TEST_CASE("an export has every message exactly as the county would have got it") {
  Village village;
  const auto manifest = village.write();
  REQUIRE_MESSAGE(manifest, manifest.error().message);
  const fs::path folder{(*manifest)["folder"].get<std::string>()};
  CHECK(folder.filename().string().starts_with("hamlet-gw-0017-"));
  for (const auto lane : {Lane::alarm, Lane::event, Lane::tele}) {
    const auto lines = support::zstd_lines(folder / (std::string{contract::to_string(lane)} + ".ndjson.zst"));
    CHECK(lines == village.messages(lane));
    for (std::size_t i = 0; i < lines.size(); ++i) {
      const auto message = contract::parse_message(json::parse(lines[i])["payload"].dump());
      REQUIRE_MESSAGE(message, message.error().message);
      CHECK(message->epoch == village.epoch);
      CHECK(message->seq == i + 1);
    }
  }
  const auto pictures = support::zstd_lines(folder / "media.ndjson.zst");
  REQUIRE(pictures.size() == 3);
  for (std::size_t i = 0; i < pictures.size(); ++i) {
    const auto line = json::parse(pictures[i]);
    CHECK(line["topic"] == topics().at("media/" + contract::media_name(village.epoch, i + 1)));
    CHECK(slurp(folder / line["file"].get<std::string>()) == "\xff\xd8 picture " + std::to_string(i));
  }

  CHECK(sums_hold(folder));
  const auto written = json::parse(slurp(folder / "manifest.json"));
  CHECK(written["gw"] == "gw-0017");
  CHECK(written["contract"] == 1);
  CHECK(written["records"] == 12);
  CHECK(written["pictures"] == 3);
  CHECK(written["epochs"][0]["epoch"] == village.epoch);
  CHECK(written["epochs"][0]["lanes"]["tele"]["ranges"] == json{{1, 3}});
  CHECK(written["files"].size() == 4);
  CHECK(written["times"]["last"].get<std::int64_t>() - written["times"]["first"].get<std::int64_t>() == 120'000);

  // Never over what is there; nothing is left of the attempt.
  const auto again = village.write();
  REQUIRE(!again);
  CHECK(again.error().code == Errc::invalid);
  CHECK(entries(village.stick.path()) == 1);
}

TEST_CASE("what a broker has acknowledged is not exported") {
  Village village;
  Position sent{.prefix = 1};
  REQUIRE(sent.add(3));
  village.desk->journal->set_position("county", Lane::tele, sent);
  village.desk->journal->set_position("county", Lane::event, {.prefix = 3});
  village.desk->journal->stop();
  const auto manifest = village.write();
  REQUIRE(manifest);
  const auto& lanes = (*manifest)["epochs"][0]["lanes"];
  CHECK(lanes["tele"]["ranges"] == json{{2, 2}});
  CHECK(!lanes.contains("event"));
  CHECK(lanes["alarm"]["records"] == 3);
  const fs::path folder{(*manifest)["folder"].get<std::string>()};
  CHECK(!fs::exists(folder / "event.ndjson.zst"));
  CHECK(sums_hold(folder));
}

TEST_CASE("an export of a time range has what lies in it, sent or not") {
  Village village;
  village.desk->journal->set_position("county", Lane::tele, {.prefix = 3});
  const auto end = village.desk->clock.wall();  // a minute after the third
  const auto manifest = village.write(std::pair{end - Millis{120'000}, end - Millis{60'000}});
  REQUIRE(manifest);
  for (const auto* lane : {"alarm", "event", "tele", "media"}) {
    CAPTURE(lane);
    CHECK((*manifest)["epochs"][0]["lanes"][lane]["ranges"] == json{{2, 2}});
  }
  CHECK((*manifest)["selection"]["what"] == "range");
}

TEST_CASE("an export without anything is a manifest") {
  Village village;
  const auto manifest = village.write(std::pair{WallTime{}, WallTime{Millis{1}}});
  REQUIRE(manifest);
  CHECK((*manifest)["records"] == 0);
  CHECK(sums_hold((*manifest)["folder"].get<std::string>()));
}

TEST_CASE("an export that cannot be written says why and leaves nothing") {
  Village village;
  const auto absent = village.write({}, village.stick.path() / "absent");
  REQUIRE(!absent);
  CHECK(absent.error().code == Errc::not_found);

  if (::geteuid() != 0) return;
  if (::mount("none", village.stick.path().c_str(), "tmpfs", 0, "size=64k") != 0) {
    MESSAGE("the full stick is skipped: mount() is not permitted here");
    return;
  }
  for (int i = 0; i < 3; ++i) REQUIRE(village.desk->journal->append_media(village.desk->clock.mono(), std::string(30'000, '\xff')));
  REQUIRE(village.desk->sync());
  const auto full = village.write();
  CHECK(entries(village.stick.path()) == 0);
  ::umount(village.stick.path().c_str());
  REQUIRE(!full);
  CHECK(full.error().code == Errc::full);
}

TEST_CASE("a check of a good journal, beside its writer, finds nothing") {
  Village village;
  const auto found = village.check();
  CAPTURE(found.dump());
  CHECK(found["ok"] == true);
  CHECK(found["records"] == 12);
  CHECK(found["pictures"] == 3);
}

TEST_CASE("a check names what is damaged") {
  Village village;
  village.desk->journal->stop();
  SUBCASE("a row whose checksum fails") {
    tamper(village.folder, "UPDATE tele SET data = x'00'");
    const auto found = village.check();
    CHECK(found["ok"] == false);
    REQUIRE(found["damaged"].size() == 1);
    CHECK(found["damaged"][0] ==
          json{{"epoch", village.epoch}, {"lane", "tele"}, {"from", 1}, {"to", 3}, {"count", 3}, {"why", "checksum"}});
    CHECK(found["records"] == 9);
    // The export goes round it and says so.
    const auto manifest = village.write();
    REQUIRE(manifest);
    CHECK((*manifest)["records"] == 9);
    CHECK((*manifest)["damaged"][0]["to"] == 3);
  }
  SUBCASE("a picture that is gone") {
    const auto name = contract::media_name(village.epoch, 2) + ".jpg";
    fs::remove(village.folder.path() / "media" / name);
    const auto found = village.check();
    CHECK(found["ok"] == false);
    CHECK(found["pictures_missing"] == json{name});
    const auto manifest = village.write();
    REQUIRE(manifest);
    CHECK((*manifest)["pictures_missing"] == json{name});
    CHECK((*manifest)["pictures"] == 2);
  }
  SUBCASE("points whose names are lost") {
    tamper(village.folder, "DELETE FROM name");
    CHECK(village.check()["damaged"][0]["why"] == "readings");
  }
  SUBCASE("a page of the file") {
    for (int i = 0; i < 200; ++i) tamper(village.folder, "INSERT INTO state VALUES ('k" + std::to_string(i) + "', hex(randomblob(200)), 0)");
    std::fstream file{village.folder.path() / "journal.db", std::ios::in | std::ios::out | std::ios::binary};
    file.seekp(-3 * 1'024, std::ios::end);
    file.write(std::string(1'024, '\xff').data(), 1'024);
    file.close();
    const auto found = village.check();
    CHECK(found["ok"] == false);
    CHECK(!found["damaged_file"].empty());
  }
}

TEST_CASE("the figures tell how much there is, lane by lane") {
  Village village;
  std::ofstream{village.folder.path() / "journal-20260501T083000Z-damaged.db"} << "123";
  const auto reader = Reader::open(village.folder.path());
  REQUIRE(reader);
  const auto figures = lane_figures(**reader, village.folder.path()).value();
  CHECK(figures["lanes"]["tele"]["records"] == 3);
  CHECK(figures["lanes"]["tele"]["last"] == 3);
  CHECK(figures["lanes"]["alarm"]["bytes"] > 0);
  CHECK(figures["bytes_a_reading"].get<double>() > 1);
  CHECK(figures["epochs"].size() == 1);
  CHECK(figures["aside"][0] == json{{"file", "journal-20260501T083000Z-damaged.db"}, {"bytes", 3}});
}

TEST_CASE("bytes written a day are told once an hour has gone by") {
  Stat stat;
  stat.written = {.metered = true, .last_day = 9, .since_start = 1'000, .uptime = Millis{1'800'000}};
  CHECK(!to_json(stat)["written"].contains("per_day"));
  stat.written.uptime = Millis{7'200'000};
  CHECK(to_json(stat)["written"]["per_day"] == 12'000);
  stat.written.uptime = Millis{90'000'000};
  CHECK(to_json(stat)["written"]["per_day"] == 9);
  stat.written.metered = false;
  CHECK(!to_json(stat).contains("written"));
}
