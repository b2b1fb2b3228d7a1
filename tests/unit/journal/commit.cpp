#include <csignal>
#include <fstream>
#include <future>
#include <random>

#include <sys/resource.h>

#include "tests/unit/journal/fixture.hpp"

using namespace hamlet;
using namespace hamlet::journal;
using namespace hamlet::journal::test;
using contract::Lane;

TEST_CASE("lanes have numbers of their own, from 1, and records come back as they were") {
  const TempFolder folder;
  Desk desk{folder};
  desk.journal->set_revision(7);
  CHECK(desk.append(Lane::event, R"({"a":1})").seq == 1);
  CHECK(desk.append(Lane::event, R"({"b":2})").seq == 2);
  CHECK(desk.append(Lane::alarm, R"({"c":3})").seq == 1);
  CHECK(desk.journal->committed(Lane::event) == 0);
  REQUIRE(desk.sync());
  CHECK(desk.journal->committed(Lane::event) == 2);
  CHECK(desk.journal->committed(Lane::alarm) == 1);

  const auto events = desk.read(Lane::event);
  REQUIRE(events);
  REQUIRE(events->size() == 2);
  const auto& second = events->back();
  CHECK(second.seq == 2);
  CHECK(second.rev == 7);
  CHECK(second.at == Moment{1, desk.clock.mono()});
  CHECK(second.body.topic == "event/dev/kind");
  CHECK(second.body.bytes == R"({"b":2})");
  CHECK(desk.read(Lane::event, 3).value().empty());
  CHECK(desk.read(Lane::event, 1, 1).value().size() == 1);
  CHECK(desk.read(Lane::tele).value().empty());
}

TEST_CASE("what belongs to one turn is one transaction, and urgent turns share the next one") {
  const TempFolder folder;
  auto options = options_in(folder);
  options.window = Millis{300'000};
  Desk desk{std::move(options)};
  int commits = 0;
  desk.journal->on_committed([&] { ++commits; });

  desk.append(Lane::tele, "{}", Urgency::window);
  desk.append(Lane::alarm, "{}", Urgency::now);  // takes the rest along
  desk.journal->put_state("alarm/x", "{}", Urgency::now);
  desk.run();
  CHECK(commits == 1);
  CHECK(desk.journal->committed(Lane::tele) == 1);
  CHECK(desk.journal->committed(Lane::alarm) == 1);
  CHECK(desk.journal->load_state("alarm/")->size() == 1);

  for (int i = 0; i < 50; ++i) desk.append(Lane::alarm, "{}", Urgency::now);
  desk.run();
  CHECK(commits == 2);
}

TEST_CASE("what is not urgent waits for its window, and a stop commits it") {
  const TempFolder folder;
  auto options = options_in(folder);
  options.window = Millis{300'000};
  {
    Desk desk{options};
    desk.append(Lane::tele, R"({"n":1})", Urgency::window);
    desk.io.poll();
    CHECK(desk.journal->committed(Lane::tele) == 0);
    CHECK(desk.journal->stat().lanes[index(Lane::tele)].waiting == 1);
    desk.journal->stop();
    CHECK(desk.journal->append(Lane::tele, desk.clock.mono(), {"tele", "{}"}, Urgency::now).error().code ==
          Errc::cancelled);
  }
  Desk desk{options};
  CHECK(desk.journal->committed(Lane::tele) == 1);
  CHECK(desk.read(Lane::tele).value().size() == 1);
}

TEST_CASE("a window that ends commits by itself") {
  const TempFolder folder;
  auto options = options_in(folder);
  options.window = Millis{5};
  Desk desk{std::move(options)};
  desk.append(Lane::tele, "{}", Urgency::window);
  desk.run();
  CHECK(desk.journal->committed(Lane::tele) == 1);
}

TEST_CASE("a commit that fails is tried again, in order and without a hole") {
  const TempFolder folder;
  Desk desk{folder};
  REQUIRE(desk.sync());
  std::vector<bool> health;
  desk.journal->on_health([&](const Status& status) {
    health.push_back(status.has_value());
    if (status) return;
    // The disk is full. What comes meanwhile gets its numbers and waits; then there is room again.
    CHECK(desk.journal->committed(Lane::event) == 0);
    CHECK_FALSE(desk.journal->stat().last_failure.empty());
    for (int i = 0; i < 3; ++i) desk.append(Lane::event, R"({"later":true})", Urgency::now);
    std::filesystem::remove(folder.path() / "media");
    std::filesystem::create_directory(folder.path() / "media");
  });

  // The picture cannot be written, so nothing of its transaction is.
  std::filesystem::remove_all(folder.path() / "media");
  std::ofstream{folder.path() / "media"} << "no folder";
  REQUIRE(desk.journal->append_media(desk.clock.mono(), "JPEG"));
  desk.append(Lane::event, R"({"first":true})", Urgency::now);
  Status told;
  desk.journal->sync([&](Status status) { told = std::move(status); });
  desk.run();

  CHECK_FALSE(told.has_value());
  CHECK(health == std::vector<bool>{false, true});
  CHECK(desk.journal->stat().last_failure.empty());
  const auto events = desk.read(Lane::event);
  REQUIRE(events);
  REQUIRE(events->size() == 4);
  CHECK(events->front().body.bytes == R"({"first":true})");
  for (std::size_t i = 0; i < 4; ++i) CHECK((*events)[i].seq == i + 1);
}

TEST_CASE("a WAL that cannot grow fails the commit, and the journal goes on when it can") {
  const TempFolder folder;
  Desk desk{folder};
  REQUIRE(desk.sync());
  bool failed = false;
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  desk.journal->on_health([&](const Status& status) {
    if (status) return;
    failed = true;
    setrlimit(RLIMIT_FSIZE, &before);
  });
  // No file may grow beyond 64 KiB: the WAL cannot take the batch.
  const auto ignored = signal(SIGXFSZ, SIG_IGN);
  rlimit small = before;
  small.rlim_cur = 64U << 10;
  setrlimit(RLIMIT_FSIZE, &small);
  std::minstd_rand random{7};
  for (int i = 0; i < 100; ++i) {
    std::string noise(4'000, ' ');  // that no packing makes smaller
    for (auto& c : noise) c = static_cast<char>(random() >> 8);
    desk.append(Lane::tele, std::move(noise));
  }
  desk.run();
  setrlimit(RLIMIT_FSIZE, &before);
  signal(SIGXFSZ, ignored);
  CHECK(failed);
  CHECK(desk.journal->committed(Lane::tele) == 100);
  CHECK(desk.read(Lane::tele).value().back().seq == 100);
}

TEST_CASE("a journal that cannot commit refuses readings first, and uses up no number for them") {
  const TempFolder folder;
  auto options = options_in(folder);
  options.window = Millis{300'000};
  Desk desk{std::move(options)};
  const auto put = [&](Lane lane) {
    return desk.journal->append(lane, desk.clock.mono(), {lane == Lane::tele ? "tele" : "t", "{}"}, Urgency::window);
  };
  for (std::size_t i = 0; i < Journal::kMaxWaiting; ++i) REQUIRE(put(Lane::tele));
  const auto refused = put(Lane::tele);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Errc::full);
  CHECK(put(Lane::event));
  CHECK(put(Lane::alarm));
  while (put(Lane::event)) {
  }
  CHECK(put(Lane::alarm));
  REQUIRE(desk.sync());
  CHECK(put(Lane::tele)->seq == Journal::kMaxWaiting + 1);
}

TEST_CASE("a record that is too large or in the wrong place is refused") {
  const TempFolder folder;
  Desk desk{folder};
  CHECK(desk.journal->append(Lane::event, {}, {"t", std::string((1U << 20) + 1, ' ')}, Urgency::now).error().code ==
        Errc::invalid);
  CHECK(desk.journal->append(Lane::media, {}, {"t", "{}"}, Urgency::now).error().code == Errc::invalid);
  CHECK(desk.journal->append_media({}, std::string((4U << 20) + 1, 'x')).error().code == Errc::invalid);
  CHECK(desk.journal->append(Lane::tele, {}, {"t", "{}"}, Urgency::now).error().code == Errc::invalid);
  CHECK(desk.journal->append_media({}, "").error().code == Errc::invalid);
}

TEST_CASE("a picture is on disk under its record's name") {
  const TempFolder folder;
  Desk desk{folder};
  const auto identity = desk.journal->append_media(desk.clock.mono(), "JPEG");
  REQUIRE(identity);
  REQUIRE(desk.sync());
  const auto name = contract::media_name(desk.journal->epoch(), 1);
  const auto records = desk.read(Lane::media);
  REQUIRE(records);
  CHECK(records->front().body.topic == "media/" + name);
  CHECK(records->front().body.bytes == name + ".jpg");
  CHECK(desk.journal->stat().media_bytes == 4);

  std::vector<Result<std::string>> read;
  for (const auto& wanted : {name + ".jpg", std::string{"0000000000000000-1.jpg"}, std::string{"../journal.db"}}) {
    desk.journal->read_media(wanted, [&](auto bytes) { read.push_back(std::move(bytes)); });
  }
  desk.run();
  REQUIRE(read.size() == 3);
  CHECK(read[0] == "JPEG");
  CHECK(read[1].error().code == Errc::not_found);
  CHECK(read[2].error().code == Errc::invalid);
}

TEST_CASE("positions and state survive a restart; removed state does not") {
  const TempFolder folder;
  Position position{.prefix = 3, .beyond = {{5, 7}, {9, 9}}};
  {
    Desk desk{folder};
    for (int i = 0; i < 12; ++i) desk.append(Lane::tele, "{}");
    desk.journal->set_position("county", Lane::tele, position);
    CHECK(desk.journal->position("county", Lane::tele) == position);
    desk.journal->put_state("alarm/a", "1", Urgency::now);
    desk.journal->put_state("alarm/b", "1", Urgency::now);
    desk.journal->put_state("alarm/b", "2", Urgency::now);
    desk.journal->put_state("alarm/c", "", Urgency::now);  // nothing is a value, too
    desk.journal->put_state("alarn", "other", Urgency::now);
    REQUIRE(desk.sync());
    desk.journal->put_state("alarm/a", std::nullopt, Urgency::now);
    REQUIRE(desk.sync());
    CHECK(desk.journal->stat().lanes[index(Lane::tele)].unsent == 5);
  }
  Desk desk{folder};
  CHECK(desk.journal->position("county", Lane::tele) == position);
  CHECK(desk.journal->position("county", Lane::alarm) == Position{});
  CHECK(desk.journal->load_state("alarm/") == std::vector<std::pair<std::string, std::string>>{{"alarm/b", "2"}, {"alarm/c", ""}});
  CHECK(desk.journal->stat().lanes[index(Lane::tele)].unsent == 5);
}

TEST_CASE("a pulse passes through the writing thread") {
  const TempFolder folder;
  Desk desk{folder};
  int pulses = 0;
  desk.journal->ping([&] { ++pulses; });
  desk.run();
  CHECK(pulses == 1);
  desk.journal->stop();
  desk.journal->ping([&] { ++pulses; });
  desk.run();
  CHECK(pulses == 1);
}

TEST_CASE("more reads than the bound are refused, the others answered in order") {
  const TempFolder folder;
  Desk desk{folder};
  desk.append(Lane::event, "{}");
  REQUIRE(desk.sync());
  // The first query holds the reading thread until all have been asked for.
  std::promise<void> go;
  auto gone = go.get_future().share();
  int answered = 0;
  int refused = 0;
  desk.journal->query([gone](Reader&) { gone.wait(); }, [&](const Status& status) { CHECK(status); });
  for (int i = 0; i < 40; ++i) {
    desk.journal->read(Lane::event, 1, 1, 1, [&](const auto& records) {
      if (records) ++answered;
      if (!records && records.error().code == Errc::full) ++refused;
    });
  }
  go.set_value();
  desk.run();
  CHECK(answered >= 15);
  CHECK(answered <= 17);
  CHECK(refused == 40 - answered);
}

TEST_CASE("nothing is called back after the journal is gone") {
  const TempFolder folder;
  bool called = false;
  Desk desk{folder};
  desk.append(Lane::event, "{}");
  desk.journal->sync([&](const Status&) { called = true; });
  desk.journal->read(Lane::event, 1, 1, 1, [&](const auto&) { called = true; });
  desk.io.poll_one();
  desk.journal.reset();
  desk.run();
  CHECK_FALSE(called);
}
