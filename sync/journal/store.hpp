#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "firmware/core/result.hpp"
#include "sync/journal/boots.hpp"
#include "sync/journal/journal.hpp"

namespace hamlet::journal {

inline constexpr const char* kFileName = "journal.db";

/// A record on its way to the file. `jpeg` is only for the media lane: body.bytes names it.
struct NewRecord {
  Record record;
  std::string jpeg;
};

/// Positions by uplink and lane.
using Positions = std::map<std::pair<std::string, Lane>, Position>;
using KeyValues = std::vector<std::pair<std::string, std::string>>;

/// What one transaction brings.
struct Changes {
  std::vector<NewRecord> records;                            ///< in order
  std::map<std::string, std::optional<std::string>> states;  ///< nullopt removes
  Positions positions;
  std::vector<Stretch> boots;  ///< in order

  [[nodiscard]] bool empty() const { return records.empty() && states.empty() && positions.empty() && boots.empty(); }
};

/// Numbers of one lane: the oldest stored (0: none) and the newest that was ever used.
struct LaneNumbers {
  std::uint64_t first = 0;
  std::uint64_t last = 0;
};

/// SQL on one connection to journal.db. One thread at a time; interrupt() from any. Every SQLite failure comes back as
/// an Error: full, corrupt, denied, unavailable, not_found or failed.
class Store {
 public:
  /// Creates the file (mode 0640) or brings it to the present schema, in WAL mode with synchronous=FULL. Error corrupt:
  /// it is no journal, or of a newer schema than this program knows; the caller decides what becomes of it.
  [[nodiscard]] static Result<std::unique_ptr<Store>> open_writing(const std::filesystem::path& file);
  /// Read-only, of a live journal or one at rest.
  [[nodiscard]] static Result<std::unique_ptr<Store>> open_reading(const std::filesystem::path& file);
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  /// All or nothing, and durable when it returns. `epoch` goes into each record's checksum. Pictures are not its
  /// business.
  [[nodiscard]] Status commit(const Changes& changes, std::string_view epoch);
  /// Copies what the WAL holds into the file once it has grown enough. After commit(), so that nobody waits for it.
  [[nodiscard]] Status checkpoint_if_due();

  /// From `from` to `to` in order, at most `max_records` and about `max_bytes`, at least one where there is one. A
  /// record whose checksum fails ends the batch before it; where it comes first: Error corrupt.
  [[nodiscard]] Result<std::vector<Record>> records(Lane lane, std::uint64_t from, std::uint64_t to,
                                                    std::size_t max_records, std::size_t max_bytes,
                                                    std::string_view epoch);
  /// Number and moment of the first record from `from` on.
  [[nodiscard]] Result<std::optional<std::pair<std::uint64_t, Moment>>> first_from(Lane lane, std::uint64_t from);
  /// The newest number takes the marks in `meta` and the positions into account: a trimmed lane goes on where it was.
  [[nodiscard]] Result<LaneNumbers> numbers(Lane lane);

  [[nodiscard]] Result<std::optional<std::string>> meta(std::string_view key);
  [[nodiscard]] Status put_meta(std::string_view key, std::string_view value);
  [[nodiscard]] Result<KeyValues> states(std::string_view prefix);
  [[nodiscard]] Result<Positions> positions();
  [[nodiscard]] Result<std::vector<Stretch>> boots();

  /// Makes a query that runs fail soon. Any thread.
  void interrupt();

 private:
  struct Impl;
  explicit Store(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// Stored and not yet acknowledged by the broker, for the uplink that is furthest behind; all of it where there is
/// none.
[[nodiscard]] std::uint64_t count_unsent(const Positions& positions, Lane lane, LaneNumbers numbers);

/// Bytes of journal.db and its -wal.
[[nodiscard]] std::uint64_t file_bytes(const std::filesystem::path& directory);

}  // namespace hamlet::journal
