#pragma once

// What the journal gives up, and when: pure planning over a Store and the numbers that must stay. Runs on the
// `journal-read` Worker.

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "sync/journal/boots.hpp"
#include "sync/journal/store.hpp"

namespace hamlet::journal {

/// Bytes on the disk.
struct Room {
  Usage file;
  std::uint64_t wal_bytes = 0;
  std::uint64_t media_bytes = 0;
  std::uint64_t aside_bytes = 0;
  std::uint64_t reserve_bytes = 0;
  std::uint64_t free_bytes = 0;  ///< on the disk, for us
  /// What counts against the quota. The file never shrinks, but its free pages are used again before it grows.
  [[nodiscard]] std::uint64_t total() const {
    return file.used_bytes + file.free_bytes + wal_bytes + media_bytes + aside_bytes + reserve_bytes;
  }
};
/// Free on the disk for us; nothing where the system does not tell. Any thread.
[[nodiscard]] std::optional<std::uint64_t> free_on_disk(const std::filesystem::path& folder);
[[nodiscard]] Result<Room> look_at_room(Store& store, const std::filesystem::path& folder, std::uint64_t media_bytes);

/// What a `gap` event says: these numbers, both included, will not come.
struct Gap {
  std::string epoch;
  std::string lane;
  std::uint64_t from = 0;
  std::uint64_t to = 0;
  std::string reason;
};
/// In order of epoch, lane and number; those that meet become one, with the reason of the last.
[[nodiscard]] std::vector<Gap> joined(std::vector<Gap> gaps);

/// Blocks to be given up, from the front of one lane.
struct GivenUp {
  Lane lane = Lane::tele;
  Key from = 0;  ///< first record
  Key to = 0;    ///< last record
  std::uint64_t bytes = 0;
  std::vector<std::string> pictures{};                ///< files
  std::vector<std::pair<std::uint64_t, Gap>> gaps{};  ///< what events among them declare, by their numbers
};
struct Plan {
  std::vector<GivenUp> lanes;      ///< each within one epoch, in the order of giving up
  std::vector<std::string> aside;  ///< files that were set aside
  std::string reason;              ///< "quota" or "disk"
  [[nodiscard]] bool empty() const { return lanes.empty() && aside.empty(); }
};

/// What must go so that the quota and the disk's free space hold: nothing where they do with a margin. Files set aside
/// first, then pictures, readings, events, alarms, the oldest of each first. Bounded: call it again once that is done.
[[nodiscard]] Result<Plan> plan_for_room(Store& store, const Options& options, const Room& room, bool salvaging);

/// What is old enough and stored: at most a day's records of each lane. `stored`: by generation, lane.
using StoredFunction = std::function<std::uint64_t(std::uint32_t, Lane)>;
[[nodiscard]] Result<Plan> plan_by_age(Store& store, const Options& options, const Boots& boots, WallTime now,
                                       const StoredFunction& stored);

/// Pictures that no record names: a crash left them. At most 1,000.
[[nodiscard]] std::vector<std::string> orphan_pictures(Store& store, const std::filesystem::path& folder,
                                                       const std::vector<Epoch>& epochs);

/// Names of damaged journals that were set aside, and of what belongs to them, the oldest first.
[[nodiscard]] std::vector<std::string> files_aside(const std::filesystem::path& folder);

/// Where a check of all records has come to.
struct CheckCursor {
  std::size_t lane = 0;
  Key next = 0;
  std::uint64_t blocks = 0;
};
struct Damage {
  Lane lane = Lane::tele;
  Key from = 0;
  Key to = 0;
};
/// Checks about `max_bytes` further; starts again from the front when it is through. Error corrupt: the file itself.
[[nodiscard]] Result<std::vector<Damage>> check_slice(Store& store, CheckCursor& cursor, std::size_t max_bytes);

/// Bytes that this process has written to disk, by the kernel's accounting; nothing where it has none.
[[nodiscard]] std::optional<std::uint64_t> bytes_written();

}  // namespace hamlet::journal
