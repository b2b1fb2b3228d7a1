#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <sqlite3.h>
#include <stdlib.h>

#include "firmware/core/fake_clock.hpp"
#include "sync/journal/journal.hpp"
#include "sync/journal/reader.hpp"

namespace hamlet::journal::test {

/// A folder of its own that goes away with it.
class TempFolder {
 public:
  TempFolder() {
    auto pattern = (std::filesystem::temp_directory_path() / "hamlet-journal-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~TempFolder() { std::filesystem::remove_all(path_); }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

inline Options options_in(const TempFolder& folder, std::string boot_id = "boot-a") {
  Options options{.directory = folder.path(), .window = Millis{0}, .machine_id = "machine-a", .boot_id = std::move(boot_id)};
  options.min_free_bytes = 0;  // of a machine that tests share with others
  return options;
}

/// A journal with its io thread: this one. run() returns when nothing is under way.
struct Desk {
  explicit Desk(Options options) {
    auto opened = Journal::open(io, clock, std::move(options));
    REQUIRE_MESSAGE(opened, opened.error().message);
    journal = std::move(*opened);
  }
  explicit Desk(const TempFolder& folder) : Desk{options_in(folder)} {}
  ~Desk() { journal.reset(); }

  void run() {
    io.restart();
    io.run();
  }
  Identity append(Lane lane, std::string bytes, Urgency urgency = Urgency::now) {
    auto identity = journal->append(lane, clock.mono(),
                                    {lane == Lane::tele ? "tele" : "event/dev/kind", std::move(bytes)}, urgency);
    REQUIRE_MESSAGE(identity, identity.error().message);
    return *identity;
  }
  Status sync() {
    Status out = fail(Errc::failed, "sync() was not answered");
    journal->sync([&out](Status status) { out = std::move(status); });
    run();
    return out;
  }
  Result<std::vector<Record>> read(Lane lane, std::uint64_t from = 1, std::size_t max_records = 1'000,
                                   std::uint32_t generation = kCurrent) {
    Result<std::vector<Record>> out = fail(Errc::failed, "read() was not answered");
    journal->read(lane, from, max_records, 1U << 20, [&out](auto records) { out = std::move(records); }, generation);
    run();
    return out;
  }

  boost::asio::io_context io;
  FakeClock clock;
  std::unique_ptr<Journal> journal;
};

/// Does to the file what nobody should.
inline void tamper(const TempFolder& folder, const std::string& sql) {
  sqlite3* db = nullptr;
  REQUIRE(sqlite3_open((folder.path() / "journal.db").c_str(), &db) == SQLITE_OK);
  char* why = nullptr;
  const int code = sqlite3_exec(db, sql.c_str(), nullptr, nullptr, &why);
  CHECK_MESSAGE(code == SQLITE_OK, (why == nullptr ? "" : why));
  sqlite3_free(why);
  sqlite3_close(db);
}

}  // namespace hamlet::journal::test
