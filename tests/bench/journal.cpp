// The journal against what it is made of: bare SQLite with the same bytes, and the disk itself.

#include "sync/journal/journal.hpp"

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <fcntl.h>
#include <fmt/format.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <unistd.h>

#include "firmware/core/clock.hpp"
#include "sync/contract/contract.hpp"
#include "tests/bench/bench.hpp"

namespace hamlet::bench {
namespace {

using contract::Lane;
using journal::Journal;
using journal::Urgency;

constexpr std::size_t kBatch = 50;         // readings a record
constexpr std::size_t kCommit = 100;       // records a commit
constexpr std::size_t kBacklog = 2'000;    // records to drain
constexpr std::size_t kReadRecords = 100;  // a read, as the uplink does it
constexpr std::size_t kReadBytes = 1U << 20;

/// On a real disk, beside the build: /tmp may be memory.
class Folder {
 public:
  Folder() {
    auto pattern = (std::filesystem::current_path() / "hamlet-bench-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

std::vector<Reading> readings() {
  std::vector<Reading> out;
  for (std::size_t i = 0; i < kBatch; ++i) {
    out.push_back({.point = fmt::format("plc-{}.level-{}", i / 10, i % 10),
                   .at = mono_from_ms(1'000 + static_cast<std::int64_t>(i)),
                   .value = static_cast<double>(200 + i) / 100});
  }
  return out;
}

/// The journal with its io thread: the caller's.
struct Desk {
  Folder folder;
  boost::asio::io_context io;
  SystemClock clock{true};
  std::unique_ptr<Journal> journal;

  Desk() {
    journal =
        Journal::open(io, clock, {.directory = folder.path(), .window = Millis{0}, .machine_id = "m", .boot_id = "b"})
            .value();
  }
  ~Desk() { journal.reset(); }
  void commit() {
    journal->sync([](const Status&) {});
    io.restart();
    io.run();
  }
  void append(Lane lane, contract::Body body) {
    (void)journal->append(lane, mono_from_ms(2'000), std::move(body), Urgency::window);
  }
};

void run_sql(sqlite3* db, const char* sql) {
  if (sqlite3_exec(db, sql, nullptr, nullptr, nullptr) != SQLITE_OK) std::abort();
}

/// SQLite with nothing around it: one table like a lane's, WAL, synchronous=FULL.
struct Bare {
  Folder folder;
  sqlite3* db = nullptr;
  sqlite3_stmt* insert = nullptr;
  std::int64_t seq = 0;

  Bare() {
    if (sqlite3_open((folder.path() / "bare.db").c_str(), &db) != SQLITE_OK) std::abort();
    run_sql(db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 2000");
    run_sql(db,
            "CREATE TABLE t (seq INTEGER PRIMARY KEY, boot INTEGER, mono INTEGER, rev INTEGER, topic TEXT, body TEXT, "
            "crc INTEGER)");
    sqlite3_prepare_v2(db, "INSERT INTO t VALUES (?,1,2000,1,NULL,?,123456789)", -1, &insert, nullptr);
  }
  ~Bare() {
    sqlite3_finalize(insert);
    sqlite3_close(db);
  }
  Bare(const Bare&) = delete;
  Bare& operator=(const Bare&) = delete;
  void append(const std::string& body) {
    sqlite3_reset(insert);
    sqlite3_bind_int64(insert, 1, ++seq);
    sqlite3_bind_text(insert, 2, body.data(), static_cast<int>(body.size()), SQLITE_STATIC);
    if (sqlite3_step(insert) != SQLITE_DONE) std::abort();
  }
};

// ---- journal.append ------------------------------------------------------------------------------------------------

// From readings to durable: encoded, appended, committed.
void append_ours(benchmark::State& state) {
  Desk desk;
  const auto batch = readings();
  for (auto _ : state) {
    for (std::size_t i = 0; i < kCommit; ++i)
      desk.append(Lane::tele, contract::encode_readings(batch, mono_from_ms(2'000)));
    desk.commit();
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kCommit * kBatch));
}

// The same bytes, made beforehand.
void append_bare(benchmark::State& state) {
  Bare bare;
  const auto body = contract::encode_readings(readings(), mono_from_ms(2'000)).bytes;
  for (auto _ : state) {
    run_sql(bare.db, "BEGIN IMMEDIATE");
    for (std::size_t i = 0; i < kCommit; ++i) bare.append(body);
    run_sql(bare.db, "COMMIT");
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kCommit * kBatch));
}

// ---- journal.commit_1 ----------------------------------------------------------------------------------------------

void commit_ours(benchmark::State& state) {
  Desk desk;
  for (auto _ : state) {
    desk.append(Lane::alarm, {"alarmlog/high", R"({"alarm":"high"})"});
    desk.commit();
  }
  state.SetItemsProcessed(state.iterations());
}

void commit_raw(benchmark::State& state) {
  constexpr std::size_t kBlock = 8'192;
  constexpr off_t kFile = 16 << 20;
  const Folder folder;
  const int fd = ::open((folder.path() / "raw").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  const std::string zeros(1U << 20, '\0');
  for (off_t at = 0; at < kFile; at += static_cast<off_t>(zeros.size())) {
    if (::pwrite(fd, zeros.data(), zeros.size(), at) < 0) return state.SkipWithError("the disk is full");
  }
  ::fsync(fd);
  std::string block(kBlock, 'x');
  off_t at = 0;
  for (auto _ : state) {
    block.front() = static_cast<char>(at >> 13);
    if (::pwrite(fd, block.data(), block.size(), at) < 0 || ::fdatasync(fd) != 0)
      return state.SkipWithError("write failed");
    at = (at + static_cast<off_t>(kBlock)) % kFile;
  }
  ::close(fd);
  state.SetItemsProcessed(state.iterations());
}

// ---- journal.drain -------------------------------------------------------------------------------------------------

// Reads the backlog as an uplink does, and renders each message.
void drain_ours(benchmark::State& state) {
  Desk desk;
  const auto body = contract::encode_readings(readings(), mono_from_ms(2'000));
  for (std::size_t i = 0; i < kBacklog; ++i) desk.append(Lane::tele, body);
  desk.commit();
  auto& journal = *desk.journal;
  const contract::DateFunction date = [&journal](Moment moment) { return journal.date(moment); };
  std::uint64_t from = 1;
  std::size_t bytes = 0;
  std::function<void()> next = [&] {
    journal.read(Lane::tele, from, kReadRecords, kReadBytes, [&](const auto& records) {
      if (!records || records->empty()) return;
      for (const auto& record : *records) {
        bytes += contract::render(record.body,
                                  {.gw = "gw-0017",
                                   .epoch = journal.epoch(),
                                   .lane = record.lane,
                                   .seq = record.seq,
                                   .at = record.at,
                                   .hist = true,
                                   .rev = record.rev},
                                  date)
                     ->size();
      }
      from = records->back().seq + 1;
      next();
    });
  };
  for (auto _ : state) {
    from = 1;
    next();
    desk.io.restart();
    desk.io.run();
    if (from != kBacklog + 1) return state.SkipWithError("the backlog was not drained");
  }
  benchmark::DoNotOptimize(bytes);
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kBacklog));
}

void drain_bare(benchmark::State& state) {
  Bare bare;
  const auto body = contract::encode_readings(readings(), mono_from_ms(2'000)).bytes;
  run_sql(bare.db, "BEGIN");
  for (std::size_t i = 0; i < kBacklog; ++i) bare.append(body);
  run_sql(bare.db, "COMMIT");
  sqlite3_stmt* select = nullptr;
  sqlite3_prepare_v2(bare.db,
                     "SELECT seq, boot, mono, rev, topic, body, crc FROM t WHERE seq >= ? ORDER BY seq LIMIT ?", -1,
                     &select, nullptr);
  std::size_t bytes = 0;
  for (auto _ : state) {
    for (std::size_t from = 1; from <= kBacklog; from += kReadRecords) {
      sqlite3_reset(select);
      sqlite3_bind_int64(select, 1, static_cast<std::int64_t>(from));
      sqlite3_bind_int64(select, 2, static_cast<std::int64_t>(kReadRecords));
      while (sqlite3_step(select) == SQLITE_ROW) {
        const std::string copy{static_cast<const char*>(sqlite3_column_blob(select, 5)),
                               static_cast<std::size_t>(sqlite3_column_bytes(select, 5))};
        bytes += copy.size();
      }
    }
  }
  benchmark::DoNotOptimize(bytes);
  sqlite3_finalize(select);
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kBacklog));
}

}  // namespace

void register_journal_figures() {
  add({.name = "journal.append",
       .unit = "readings/s",
       .ours = append_ours,
       .versus = "bare SQLite, same bytes",
       .theirs = append_bare});
  add({.name = "journal.commit_1",
       .unit = "commits/s",
       .ours = commit_ours,
       .versus = "fdatasync of 8 KiB",
       .theirs = commit_raw});
  add({.name = "journal.drain",
       .unit = "records/s",
       .ours = drain_ours,
       .versus = "bare SELECT",
       .theirs = drain_bare});
}

}  // namespace hamlet::bench
