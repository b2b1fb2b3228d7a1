#pragma once

// What store.cpp and migration.cpp share of SQLiteCpp. Not part of the room's face.

#include <string>
#include <string_view>
#include <type_traits>

#include <SQLiteCpp/Database.h>
#include <SQLiteCpp/Exception.h>
#include <SQLiteCpp/Statement.h>
#include <SQLiteCpp/Transaction.h>
#include <sqlite3.h>

#include "firmware/core/result.hpp"

namespace hamlet::journal {

[[nodiscard]] Errc errc_of(int sqlite_code);

/// Runs `work` and turns what SQLiteCpp throws into an Error.
template <class Work>
auto guarded(Work work) -> Result<decltype(work())> {
  try {
    if constexpr (std::is_void_v<decltype(work())>) {
      work();
      return {};
    } else {
      return work();
    }
  } catch (const SQLite::Exception& e) {
    return fail(errc_of(e.getErrorCode()), e.what());
  }
}

inline std::string_view text_of(const SQLite::Column& column) {
  const auto* bytes = static_cast<const char*>(column.getBlob());
  return bytes == nullptr ? std::string_view{} : std::string_view{bytes, static_cast<std::size_t>(column.getBytes())};
}

inline std::int64_t as_signed(std::uint64_t number) { return static_cast<std::int64_t>(number); }
inline std::uint64_t as_unsigned(std::int64_t number) { return number < 0 ? 0 : static_cast<std::uint64_t>(number); }

/// Ends a statement's run at the end of a scope: an open read would hold its snapshot, and the WAL with it.
class Running {
 public:
  explicit Running(SQLite::Statement& statement) : statement_{statement} {}
  ~Running() { statement_.tryReset(); }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;
  SQLite::Statement* operator->() { return &statement_; }
  SQLite::Statement& operator*() { return statement_; }

 private:
  SQLite::Statement& statement_;
};

/// Brings a file of any released version to the present one, in transactions each of which leaves a file that the next
/// run goes on with. Throws SQLite::Exception; SQLITE_NOTADB where the file is of a newer version, or none of ours.
void migrate(SQLite::Database& db);
/// The version that migrate() brings a file to.
[[nodiscard]] int schema_version();

/// Adds a block; `insert` is "INSERT INTO lane VALUES (?,?,?,?,?,?,?)" (or with OR IGNORE).
void insert_block(SQLite::Statement& insert, const struct Block& block);

}  // namespace hamlet::journal
