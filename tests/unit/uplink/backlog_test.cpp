#include "sync/uplink/backlog.hpp"

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
  /// Takes everything that is ready, as fast as it comes, until `last` has come.
  std::vector<std::uint64_t> take_up_to(Backlog& backlog, std::uint64_t last) {
    std::vector<std::uint64_t> seqs;
    backlog.read_ahead();
    run_until([&] {
      while (const auto* record = backlog.front()) {
        seqs.push_back(record->seq);
        backlog.pop();
      }
      return !seqs.empty() && seqs.back() == last;
    });
    return seqs;
  }

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
  Backlog backlog{*store.journal, store.journal->epochs().back(), Lane::tele, [] {}};
  const auto seqs = store.take_up_to(backlog, 3 * Backlog::kBatch + 7);
  REQUIRE(seqs.size() == 3 * Backlog::kBatch + 7);
  for (std::size_t i = 0; i < seqs.size(); ++i) REQUIRE(seqs[i] == i + 1);
  store.append(2);
  CHECK(store.take_up_to(backlog, seqs.size() + 2).size() == 2);
}

TEST_CASE("a new session begins with what was not acknowledged, and with nothing else") {
  Store store;
  store.append(10);
  Backlog backlog{*store.journal, store.journal->epochs().back(), Lane::tele, [] {}};
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
    Backlog backlog{*store.journal, store.journal->epochs().back(), Lane::tele, [] {}};
    (void)store.take_up_to(backlog, 10);
    for (const std::uint64_t seq : {1U, 2U, 4U}) backlog.done(seq);
    backlog.store();
  }
  store.journal->stop();
  store.open();
  Backlog backlog{*store.journal, store.journal->epochs().back(), Lane::tele, [] {}};
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
    Backlog backlog{*store.journal, store.journal->epochs().back(), Lane::media, [] {}};
    backlog.read_ahead();
    store.run_until([&] { return backlog.front() != nullptr; });
    CHECK(backlog.front()->seq == 1);
    CHECK(backlog.take_picture() == "first");
    backlog.pop();
    CHECK(backlog.front() == nullptr);
    store.run_until([&] { return backlog.front() != nullptr; });
    CHECK(backlog.take_picture() == "second");
  }
  SUBCASE("the first is gone") {
    const auto name = hamlet::contract::media_name(first->epoch, 1);
    std::size_t removed = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator{store.folder.path()}) {
      if (entry.path().filename().string().starts_with(name)) removed += std::filesystem::remove(entry.path());
    }
    REQUIRE(removed == 1);
    Backlog backlog{*store.journal, store.journal->epochs().back(), Lane::media, [] {}};
    backlog.read_ahead();
    store.run_until([&] { return backlog.front() != nullptr; });
    CHECK(backlog.front()->seq == 2);
    CHECK(backlog.take_picture() == "second");
    CHECK(backlog.position().prefix == 1);
  }
}
