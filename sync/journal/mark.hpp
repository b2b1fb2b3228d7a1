#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "firmware/core/result.hpp"
#include "sync/journal/store.hpp"

namespace hamlet::journal {

/// What the side file journal.mark remembers of a journal beside it: enough to see that the journal is gone, or older
/// than it was. Written when an epoch begins, once an hour and at a clean stop.
struct Mark {
  std::string epoch;
  std::uint32_t generation = 0;
  Numbers last{};
  bool in_use = false;  ///< the journal was open and its log allocated: what is missing of the log then is lost
};
/// Nothing where there is none, or it does not parse.
[[nodiscard]] std::optional<Mark> read_mark(const std::filesystem::path& folder);
/// Durable when it returns.
[[nodiscard]] Status write_mark(const std::filesystem::path& folder, const Mark& mark);

/// Whether the log beside `file`, in use when the program ended, is shorter than it was, has lost its header, or has
/// frames that cannot be read although they were committed: by the index beside it (-shm), or because others were written
/// behind them. False for a log that simply ends, as after kill -9.
///
/// What cannot be told: after a power cut the index may be older than the log by what the kernel had not yet written (half a
/// minute). The log's last transaction, damaged, then looks like one that was never synced: of that any mixture of old and
/// new sectors may be there. Only a second sync of each commit would tell. To be asked before SQLite opens the file.
[[nodiscard]] bool wal_is_damaged(const std::filesystem::path& file);

}  // namespace hamlet::journal
