#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "firmware/core/result.hpp"
#include "sync/journal/block.hpp"
#include "sync/journal/boots.hpp"
#include "sync/journal/journal.hpp"

namespace hamlet::journal {

inline constexpr const char* kFileName = "journal.db";
inline constexpr int kPageBytes = 1'024;
/// The log is written over and over in place: kept allocated, a commit flushes data alone and no file system metadata.
inline constexpr int kWalKeptBytes = 4 << 20;

/// A record on its way to the file. `jpeg` is only for the media lane: body.bytes names it.
struct NewRecord {
  Record record;
  std::string jpeg{};
};

/// Positions by uplink, generation and lane.
using Positions = std::map<std::tuple<std::string, std::uint32_t, Lane>, Position>;
using KeyValues = std::vector<std::pair<std::string, std::string>>;
using Numbers = std::array<std::uint64_t, kLaneCount>;

/// A row of the table epoch.
struct EpochRow {
  std::uint32_t generation = 0;
  std::string id;
  std::string reason;
  Numbers used{};  ///< numbers that are used up, whether a row has them or not
};

/// Whole blocks that go: those whose last record lies in the range.
struct Trim {
  Lane lane = Lane::tele;
  Key from = 0;
  Key to = 0;
  bool used = true;  ///< their numbers stay used up
};

/// What one transaction brings.
struct Changes {
  std::vector<EpochRow> epochs;                              ///< new ones, or with other numbers used
  std::vector<NewRecord> records;                            ///< in order
  std::vector<Trim> trims;
  std::map<std::string, std::optional<std::string>> states;  ///< nullopt removes
  Positions positions;
  std::vector<std::string> dropped_uplinks;                  ///< their positions go
  std::vector<Stretch> boots;                                ///< in order
  std::vector<std::pair<contract::Names::Id, std::string>> names;
  std::map<std::string, std::optional<std::string>> meta;    ///< nullopt removes
  std::vector<std::string> pictures;                         ///< files of trimmed records: removed once that is durable

  [[nodiscard]] bool empty() const;
  /// Puts `later` behind this.
  void merge(Changes later);
};

/// Records in order, and what was found damaged behind them (or before the first).
struct Records {
  std::vector<Record> records;
  std::optional<std::pair<Key, Key>> damaged;  ///< first and last of the block
};

/// What a block is, without its data.
struct BlockInfo {
  Key key = 0;
  std::uint32_t count = 0;
  Moment at{};
  std::uint64_t bytes = 0;  ///< it takes in the file, about
  [[nodiscard]] Key first() const { return key - count + 1; }
};

/// A block's bytes in the file beside its data, about.
inline constexpr std::uint64_t kRowBytes = 28;

/// Sums over all blocks of a lane.
struct LaneTotals {
  std::uint64_t blocks = 0;
  std::uint64_t records = 0;
  std::uint64_t bytes = 0;  ///< in the file, about
};

/// Pages of journal.db.
struct Usage {
  std::uint64_t used_bytes = 0;  ///< without the free pages
  std::uint64_t free_bytes = 0;  ///< in pages that will be used again
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
  /// Beside the one that writes: for checkpoint() alone, from another thread.
  [[nodiscard]] static Result<std::unique_ptr<Store>> open_beside(const std::filesystem::path& file);
  /// A damaged journal that was set aside: whatever of it can be read, without a migration.
  [[nodiscard]] static Result<std::unique_ptr<Store>> open_aside(const std::filesystem::path& file);
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  /// All or nothing, and durable when it returns. Pictures are not its business.
  [[nodiscard]] Status commit(const Changes& changes);
  /// Copies what the WAL holds into the file, as far as nobody reads what is older, without waiting for anybody.
  [[nodiscard]] Status checkpoint();
  /// Pages in the WAL after the last commit.
  [[nodiscard]] int wal_pages() const;

  /// Keys from `from` to `to` in order, at most `max_records` and about `max_bytes`, at least one where there is one. A
  /// damaged block ends the batch.
  [[nodiscard]] Result<Records> records(Lane lane, Key from, Key to, std::size_t max_records, std::size_t max_bytes);
  /// The first block that holds or is behind `from`.
  [[nodiscard]] Result<std::optional<BlockInfo>> block_from(Lane lane, Key from);
  /// Blocks as they are stored, from `from` on: for checking and salvage.
  [[nodiscard]] Result<std::vector<Block>> blocks(Lane lane, Key from, std::size_t max_blocks, std::size_t max_bytes);
  /// Goes through the whole lane.
  [[nodiscard]] Result<LaneTotals> totals(Lane lane);
  /// Blocks of another journal as they are. Those whose keys are there already are left as they are.
  [[nodiscard]] Status take_over(Lane lane, const std::vector<Block>& blocks);

  [[nodiscard]] Result<std::vector<EpochRow>> epochs();
  /// Oldest stored and newest ever used number of a lane and generation; the latter by rows, epoch and positions. 0: none.
  [[nodiscard]] Result<contract::Range> numbers(Lane lane, std::uint32_t generation);
  /// Key of the last record of the last block that ends at or before `to`, or holds it; 0 where there is none.
  [[nodiscard]] Result<Key> last_to(Lane lane, Key to);
  /// Keys of the first and last record of a lane, 0 where there is none.
  [[nodiscard]] Result<std::pair<Key, Key>> ends(Lane lane);

  [[nodiscard]] Result<std::optional<std::string>> meta(std::string_view key);
  [[nodiscard]] Result<KeyValues> metas(std::string_view prefix);
  [[nodiscard]] Result<KeyValues> states(std::string_view prefix);
  [[nodiscard]] Result<Positions> positions();
  [[nodiscard]] Result<std::vector<Stretch>> boots();
  [[nodiscard]] Result<contract::Names> names();
  /// Rows that the members above have passed over, each time they met them, because their checksum fails.
  [[nodiscard]] std::uint64_t passed_over() const;
  [[nodiscard]] Result<Usage> usage();
  /// SQLite's own check of the whole file: minutes on a large one. Empty where all is well.
  [[nodiscard]] Result<std::vector<std::string>> integrity();

  /// Makes a query that runs fail soon. Any thread.
  void interrupt();

 private:
  struct Impl;
  explicit Store(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// Stored and not yet acknowledged by the broker, for the uplink that is furthest behind; all of it where there is
/// none. `numbers`: oldest stored, newest.
[[nodiscard]] std::uint64_t count_unsent(const Positions& positions, std::uint32_t generation, Lane lane,
                                         contract::Range numbers);

/// Bytes of journal.db and its -wal.
[[nodiscard]] std::uint64_t file_bytes(const std::filesystem::path& directory);

}  // namespace hamlet::journal
