#include "sync/uplink/backlog.hpp"

#include <algorithm>
#include <filesystem>

#include <boost/asio/io_context.hpp>
#include <doctest/doctest.h>

#include "firmware/core/fake_clock.hpp"
#include "tests/support/process.hpp"

using hamlet::Millis;
using hamlet::Moment;
using hamlet::mono_from_ms;
using hamlet::contract::Lane;
using hamlet::journal::Journal;
using hamlet::journal::Urgency;
using hamlet::uplink::Backlog;
using hamlet::uplink::is_history;
using namespace std::chrono_literals;

namespace {

/// A real journal on a temporary folder.
struct Store {
  Store() { open(); }
  void open() {
    journal.reset();
    journal = Journal::open(io, clock,
                            {.directory = folder.path(),
                             .window = 0ms,
                             .machine_id = std::string(32, 'a'),
                             .boot_id = std::string(32, 'b')})
                  .value();
  }
  void append(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      const hamlet::Reading reading{.point = "river.level", .at = clock.mono(), .value = double(i)};
      REQUIRE(journal->append(Lane::tele, clock.mono(),
                              hamlet::contract::encode_readings(std::span{&reading, 1}, clock.mono()), Urgency::now));
    }
    bool durable = false;
    journal->sync([&](const auto& status) { durable = status.has_value(); });
    run_until([&] { return durable; });
  }
  template <class Done>
  void run_until(Done done) {
    const auto until = std::chrono::steady_clock::now() + 20s;
    while (!done()) {
      REQUIRE(std::chrono::steady_clock::now() < until);
      io.restart();
      io.run_one_for(10ms);
    }
  }
  /// Takes what is ready of a part, as fast as it comes, until `last` has come.
  std::vector<std::uint64_t> take(Backlog& backlog, Backlog::Part part, std::uint64_t last) {
    std::vector<std::uint64_t> seqs;
    backlog.read_ahead();
    run_until([&] {
      while (const auto* record = backlog.front(part)) {
        seqs.push_back(record->seq);
        backlog.pop(part);
      }
      return !seqs.empty() && seqs.back() == last;
    });
    return seqs;
  }
  /// Both parts, where there is nothing live: the rest, then what was committed since.
  std::vector<std::uint64_t> take_up_to(Backlog& backlog, std::uint64_t last) {
    std::vector<std::uint64_t> seqs;
    backlog.read_ahead();
    run_until([&] {
      for (const auto part : {Backlog::Part::rest, Backlog::Part::live}) {
        while (const auto* record = backlog.front(part)) {
          seqs.push_back(record->seq);
          backlog.pop(part);
        }
      }
      return !seqs.empty() && seqs.back() == last;
    });
    return seqs;
  }
  Backlog of(Lane lane, Backlog::Plan plan = {}) { return Backlog{*journal, journal->epochs().back(), lane, plan, [] {}}; }

  hamlet::support::TempDir folder;
  boost::asio::io_context io;
  hamlet::FakeClock clock;
  std::unique_ptr<Journal> journal;
};

}  // namespace

TEST_CASE("history is what is older than a minute and two commit windows, or of an earlier boot") {
  const auto at = mono_from_ms(1'000'000);
  CHECK_FALSE(is_history({3, at}, 3, at, 10s));
  CHECK_FALSE(is_history({3, at}, 3, at + 60s, 10s));
  CHECK(is_history({3, at}, 3, at + 60s + 1ms, 10s));
  CHECK_FALSE(is_history({3, at}, 3, at + 120s, 60s));
  CHECK(is_history({3, at}, 3, at + 120s + 1ms, 60s));
  CHECK(is_history({2, at}, 3, at, 10s));
}

TEST_CASE("a backlog hands out every record once, in order, whatever its length") {
  Store store;
  store.append(3 * Backlog::kBatch + 7);
  auto backlog = store.of(Lane::tele);
  const auto seqs = store.take_up_to(backlog, 3 * Backlog::kBatch + 7);
  REQUIRE(seqs.size() == 3 * Backlog::kBatch + 7);
  for (std::size_t i = 0; i < seqs.size(); ++i) REQUIRE(seqs[i] == i + 1);
  store.append(2);
  CHECK(store.take_up_to(backlog, seqs.size() + 2).size() == 2);
}

TEST_CASE("a new session begins with what was not acknowledged, and with nothing else") {
  Store store;
  store.append(10);
  auto backlog = store.of(Lane::tele);
  (void)store.take_up_to(backlog, 10);
  for (const std::uint64_t seq : {1U, 2U, 3U, 5U, 7U}) backlog.done(seq);
  backlog.store();
  SUBCASE("the same process") {
    backlog.rewind();
  }
  SUBCASE("a rewind while a read is under way") {
    backlog.rewind();
    backlog.read_ahead();
    backlog.rewind();
  }
  CHECK(store.take_up_to(backlog, 10) == std::vector<std::uint64_t>{4, 6, 8, 9, 10});
  CHECK(backlog.position().prefix == 3);
  CHECK(backlog.highest_done() == 7);
}

TEST_CASE("a position outlives the process") {
  Store store;
  store.append(10);
  {
    auto backlog = store.of(Lane::tele);
    (void)store.take_up_to(backlog, 10);
    for (const std::uint64_t seq : {1U, 2U, 4U}) backlog.done(seq);
    backlog.store();
  }
  store.journal->stop();
  store.open();
  auto backlog = store.of(Lane::tele);
  backlog.rewind();
  CHECK(store.take_up_to(backlog, 10) == std::vector<std::uint64_t>{3, 5, 6, 7, 8, 9, 10});
}

TEST_CASE("a picture comes with its bytes, and one that is gone holds nobody up") {
  Store store;
  const auto first = store.journal->append_media(store.clock.mono(), "first");
  const auto second = store.journal->append_media(store.clock.mono(), "second");
  REQUIRE(first);
  REQUIRE(second);
  store.append(0);
  SUBCASE("both there") {
    auto backlog = store.of(Lane::media);
    backlog.read_ahead();
    store.run_until([&] { return backlog.front(Backlog::Part::rest) != nullptr; });
    CHECK(backlog.front(Backlog::Part::rest)->seq == 1);
    CHECK(backlog.take_picture(Backlog::Part::rest) == "first");
    backlog.pop(Backlog::Part::rest);
    CHECK(backlog.front(Backlog::Part::rest) == nullptr);
    store.run_until([&] { return backlog.front(Backlog::Part::rest) != nullptr; });
    CHECK(backlog.take_picture(Backlog::Part::rest) == "second");
  }
  SUBCASE("the first is gone") {
    const auto name = hamlet::contract::media_name(first->epoch, 1);
    std::size_t removed = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator{store.folder.path()}) {
      if (entry.path().filename().string().starts_with(name)) removed += std::filesystem::remove(entry.path());
    }
    REQUIRE(removed == 1);
    auto backlog = store.of(Lane::media);
    backlog.read_ahead();
    store.run_until([&] { return backlog.front(Backlog::Part::rest) != nullptr; });
    CHECK(backlog.front(Backlog::Part::rest)->seq == 2);
    CHECK(backlog.take_picture(Backlog::Part::rest) == "second");
    CHECK(backlog.position().prefix == 1);
  }
}

TEST_CASE("the newest and what comes are live, the rest comes beside them, each number once") {
  using Part = Backlog::Part;
  Store store;
  store.append(1'000);
  std::vector<std::uint64_t> rest;
  SUBCASE("oldest first") {
    auto backlog = store.of(Lane::tele, {.live = 2});
    CHECK(store.take(backlog, Part::live, 1'000) == std::vector<std::uint64_t>{999, 1'000});
    store.append(3);
    CHECK(store.take(backlog, Part::live, 1'003) == std::vector<std::uint64_t>{1'001, 1'002, 1'003});
    for (std::uint64_t seq = 999; seq <= 1'003; ++seq) backlog.done(seq);
    rest = store.take(backlog, Part::rest, 998);
    CHECK(std::is_sorted(rest.begin(), rest.end()));
    for (const auto seq : rest) backlog.done(seq);
    CHECK(backlog.position() == hamlet::journal::Position{.prefix = 1'003});
  }
  SUBCASE("newest first") {
    auto backlog = store.of(Lane::tele, {.live = 2, .order = Backlog::Order::newest});
    std::size_t most = 0;
    backlog.read_ahead();
    store.run_until([&] {
      while (const auto* record = backlog.front(Part::rest)) {
        rest.push_back(record->seq);
        backlog.pop(Part::rest);
        backlog.done(rest.back());
        most = std::max(most, backlog.position().beyond.size());
      }
      return rest.size() == 998;
    });
    CHECK(rest.front() == 998 - Backlog::kBatch + 1);
    CHECK(rest[Backlog::kBatch] == 998 - 2 * Backlog::kBatch + 1);
    CHECK(most <= 3);
    CHECK(backlog.position().prefix == 998);
  }
  std::sort(rest.begin(), rest.end());
  REQUIRE(rest.size() == 998);
  for (std::size_t i = 0; i < rest.size(); ++i) REQUIRE(rest[i] == i + 1);
}

TEST_CASE("what stays live for too long joins the rest, but for the newest, and is sent once") {
  using Part = Backlog::Part;
  Store store;
  auto order = Backlog::Order::oldest;
  SUBCASE("oldest first") {}
  SUBCASE("newest first") { order = Backlog::Order::newest; }
  auto backlog = store.of(Lane::tele, {.live = 1, .order = order, .commit_window = 1s});
  store.append(5);
  CHECK(store.take(backlog, Part::live, 5).size() == 5);
  for (const std::uint64_t seq : {1U, 2U, 3U}) backlog.done(seq);  // 4 and 5 are still on their way
  store.append(100);
  backlog.read_ahead();
  store.run_until([&] { return backlog.front(Part::live) != nullptr; });
  store.clock.advance(30s);
  backlog.age(store.clock.mono());
  CHECK(backlog.front(Part::live)->seq == 6);
  store.clock.advance(31s);
  backlog.age(store.clock.mono());
  CHECK(store.take(backlog, Part::live, 105) == std::vector<std::uint64_t>{105});
  const auto rest = store.take(backlog, Part::rest, 104);
  CHECK(rest.size() == 99);
  CHECK(rest.front() == 6);
}
