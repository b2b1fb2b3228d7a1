#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "sync/journal/journal.hpp"

namespace hamlet::journal {

class Boots;
class Store;
struct Records;

/// A read-only view of a journal file: of the daemon's own for its read verbs, or of a journal at rest for `hamlet`
/// while the daemon is down (after a clean stop and after a crash alike). One thread. Never writes, never blocks the
/// writer.
class Reader {
 public:
  /// Error not_found, denied (says which group may read), corrupt.
  [[nodiscard]] static Result<std::unique_ptr<Reader>> open(const std::filesystem::path& directory);
  ~Reader();

  /// Committed records of a lane and generation from `from` on, in order, and what is damaged behind them.
  [[nodiscard]] Result<Records> records(Lane lane, std::uint32_t generation, std::uint64_t from, std::size_t max_records,
                                        std::size_t max_bytes);

  /// Keys of the records that may be dated at or behind `since`, oldest first: a few ranges, each within one boot.
  [[nodiscard]] Result<std::vector<std::pair<std::uint64_t, std::uint64_t>>> since(Lane lane, WallTime since);

  /// The rows below are JSON as `hamlet --json` prints them (stable), times as `ts` in UTC ms with `tq`.
  /// Readings of one point since a wall time, oldest first, at most `limit` newest: {"t","tq","v","q","why"?}.
  /// An empty point means all: each row then also has "s".
  [[nodiscard]] Result<nlohmann::json> readings(std::string_view point, WallTime since, std::size_t limit);
  /// Events, oldest first, at most `limit` newest; an empty source means all:
  /// {"epoch","seq","ts","tq","source","kind",…}.
  [[nodiscard]] Result<nlohmann::json> events(std::string_view source, WallTime since, std::size_t limit);
  /// The alarms as the durable state has them.
  [[nodiscard]] Result<nlohmann::json> alarms();
  [[nodiscard]] Result<Stat> stat();
  [[nodiscard]] Result<std::vector<std::pair<std::string, std::string>>> state(std::string_view prefix);
  [[nodiscard]] contract::Dated date(Moment moment);

  [[nodiscard]] Store& store();
  [[nodiscard]] const Boots& boots() const;

  /// Reads the table of boots again: a reader that is kept sees what was dated meanwhile.
  [[nodiscard]] Status refresh();
  /// Makes what runs fail soon with Error cancelled. Any thread.
  void interrupt();

 private:
  struct Impl;
  explicit Reader(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace hamlet::journal
