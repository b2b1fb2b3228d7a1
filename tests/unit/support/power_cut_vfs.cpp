// The simulated disk, with SQLite straight on it: what SQLite promises holds on it, and what it does not promise
// breaks.

#include "tests/support/power_cut_vfs.hpp"

#include <array>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <thread>

#include <doctest/doctest.h>
#include <sqlite3.h>

#include "tests/support/process.hpp"

using hamlet::support::PowerCutVfs;
using hamlet::support::TempDir;

namespace {

/// A connection. Failures are values: after a cut they are what is expected.
class Db {
 public:
  explicit Db(const std::filesystem::path& file, int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE) {
    ok = sqlite3_open_v2(file.c_str(), &db_, flags, nullptr) == SQLITE_OK;
  }
  ~Db() { sqlite3_close(db_); }
  Db(const Db&) = delete;
  Db& operator=(const Db&) = delete;

  int run(const std::string& sql) { return sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr); }
  /// The first column of the first row; empty where it fails.
  std::string ask(const std::string& sql) {
    std::string out;
    const auto take = [](void* to, int, char** columns, char**) {
      if (columns[0] != nullptr) static_cast<std::string*>(to)->assign(columns[0]);
      return 0;
    };
    return sqlite3_exec(db_, sql.c_str(), take, &out, nullptr) == SQLITE_OK ? out : std::string{};
  }

  bool ok = false;

 private:
  sqlite3* db_ = nullptr;
};

constexpr int kTransactions = 12;

// One number a transaction, with a checkpoint in between. Returns how many were committed, by what SQLite said.
int insert_numbers(const std::filesystem::path& file, const std::string& pragmas) {
  Db db{file};
  if (!db.ok || db.run(pragmas) != SQLITE_OK) return 0;
  if (db.run("CREATE TABLE t (n INTEGER PRIMARY KEY, fill TEXT)") != SQLITE_OK) return 0;
  for (int n = 1; n <= kTransactions; ++n) {
    if (db.run("INSERT INTO t VALUES (" + std::to_string(n) + ", hex(zeroblob(3000)))") != SQLITE_OK) return n - 1;
    if (n % 5 == 0) db.run("PRAGMA wal_checkpoint");
  }
  return kTransactions;
}

// Cuts the power at every operation in turn. Returns how many cuts lost or broke something.
int count_losses(const std::string& pragmas, bool lying) {
  TempDir folder{TempDir::On::memory};
  int losses = 0;
  bool finished = false;
  for (std::uint64_t nth = 1; !finished; ++nth) {
    CAPTURE(nth);
    const auto file = folder.path() / std::to_string(nth);
    PowerCutVfs disk{nth};
    disk.set_lying_syncs(lying);
    disk.cut_at(nth);
    const int committed = insert_numbers(file, pragmas);
    finished = disk.powered();
    disk.cut_now();
    REQUIRE(disk.open_handles() == 0);
    disk.power_on();

    Db db{file};
    const bool sound = db.ok && db.ask("PRAGMA integrity_check") == "ok";
    const bool whole =
        committed == 0 || (db.ask("SELECT count(*) >= " + std::to_string(committed) + " FROM t") == "1" &&
                           db.ask("SELECT max(n) = count(*) FROM t") == "1");
    if (!sound || !whole) ++losses;
  }
  return losses;
}

}  // namespace

TEST_CASE("what SQLite has committed survives a power cut at every operation") {
  SUBCASE("write-ahead log") {
    CHECK(count_losses("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL", false) == 0);
  }
  SUBCASE("rollback journal") {
    CHECK(count_losses("PRAGMA journal_mode=DELETE; PRAGMA synchronous=EXTRA", false) == 0);
  }
}

TEST_CASE("what SQLite does not promise is lost, so a test on this disk can fail") {
  SUBCASE("no syncs asked for") {
    CHECK(count_losses("PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF", false) > 3);
    CHECK(count_losses("PRAGMA journal_mode=DELETE; PRAGMA synchronous=OFF", false) > 3);
  }
  SUBCASE("commits not synced") {
    CHECK(count_losses("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL", false) > 3);
  }
  SUBCASE("the deletion of a journal not synced") {
    CHECK(count_losses("PRAGMA journal_mode=DELETE; PRAGMA synchronous=FULL", false) > 0);
  }
  SUBCASE("a disk whose syncs do nothing") {
    CHECK(count_losses("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL", true) > 3);
  }
}

TEST_CASE("sectors of one write survive each on its own, and synced ones always") {
  TempDir folder{TempDir::On::memory};
  std::set<std::string> survivors;
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    PowerCutVfs disk{seed};
    const auto path = (folder.path() / std::to_string(seed)).string() + std::string(2, '\0');  // as SQLite passes names
    std::ofstream{path.c_str()}.flush();
    auto* vfs = sqlite3_vfs_find(nullptr);
    std::string memory(static_cast<std::size_t>(vfs->szOsFile), '\0');
    auto* file = reinterpret_cast<sqlite3_file*>(memory.data());
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_MAIN_DB;
    REQUIRE(vfs->xOpen(vfs, path.c_str(), file, flags, &flags) == SQLITE_OK);
    const std::string old(1024, 'o');
    const std::string fresh(1024, 'n');
    REQUIRE(file->pMethods->xWrite(file, old.data(), 1024, 0) == SQLITE_OK);
    REQUIRE(file->pMethods->xSync(file, SQLITE_SYNC_NORMAL) == SQLITE_OK);
    REQUIRE(file->pMethods->xWrite(file, fresh.data(), 1024, 512) == SQLITE_OK);
    disk.cut_now();
    CHECK(file->pMethods->xWrite(file, fresh.data(), 1, 0) != SQLITE_OK);
    CHECK(file->pMethods->xRead(file, memory.data(), 0, 0) != SQLITE_OK);
    file->pMethods->xClose(file);
    disk.power_on();
    std::string seen;
    std::ifstream in{path.c_str(), std::ios::binary};
    for (std::array<char, 512> sector{}; in.read(sector.data(), sector.size());)
      seen += sector[0] == 'o' || sector[0] == 'n' ? sector[0] : sector[0] == '\0' ? '0' : '?';
    survivors.insert(seen);
  }
  for (const auto& seen : survivors) CHECK(seen[0] == 'o');
  for (const std::string must : {"oo", "on", "onn", "oon", "oo0", "on0"}) CHECK_MESSAGE(survivors.contains(must), must);
}

TEST_CASE("a full disk refuses what grows, keeps what is there, and works again") {
  TempDir folder{TempDir::On::memory};
  PowerCutVfs disk{1};
  Db db{folder.path() / "db"};
  REQUIRE(db.run("PRAGMA journal_mode=WAL; CREATE TABLE t (n INTEGER PRIMARY KEY, b); INSERT INTO t VALUES (1, 1)") ==
          SQLITE_OK);
  disk.set_space(5'000);
  CHECK(db.run("INSERT INTO t VALUES (2, zeroblob(20000))") == SQLITE_FULL);
  CHECK(disk.counts().refused > 0);
  CHECK(db.ask("SELECT count(*) FROM t") == "1");
  disk.set_space(std::nullopt);
  CHECK(db.run("INSERT INTO t VALUES (2, zeroblob(20000))") == SQLITE_OK);
  CHECK(db.ask("PRAGMA integrity_check") == "ok");
}

TEST_CASE("a disk that became read-only refuses writes and goes on to be read") {
  TempDir folder{TempDir::On::memory};
  PowerCutVfs disk{1};
  {
    Db db{folder.path() / "db"};
    REQUIRE(db.run("PRAGMA journal_mode=WAL; CREATE TABLE t (n); INSERT INTO t VALUES (1)") == SQLITE_OK);
    disk.set_read_only(true);
    CHECK(db.run("INSERT INTO t VALUES (2)") != SQLITE_OK);
    CHECK(db.ask("SELECT count(*) FROM t") == "1");
    disk.set_read_only(false);
    CHECK(db.run("INSERT INTO t VALUES (2)") == SQLITE_OK);
  }
}

TEST_CASE("a held thread stands at its next operation until it is let go") {
  TempDir folder{TempDir::On::memory};
  PowerCutVfs disk{1};
  Db db{folder.path() / "db"};
  REQUIRE(db.run("PRAGMA journal_mode=WAL; CREATE TABLE t (n)") == SQLITE_OK);
  disk.hold();
  const auto before = disk.counts().operations;
  int code = -1;
  std::thread writer{[&] { code = db.run("INSERT INTO t VALUES (1)"); }};
  CHECK(disk.counts().operations == before);
  SUBCASE("by release") {
    disk.release();
  }
  SUBCASE("by a cut") {
    disk.cut_now();
  }
  const bool powered = disk.powered();
  writer.join();
  CHECK((code == SQLITE_OK) == powered);
  CHECK((disk.counts().operations > before) == powered);
}
