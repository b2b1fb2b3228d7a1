#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>

#include <nlohmann/json_fwd.hpp>

#include "firmware/core/result.hpp"
#include "sync/journal/journal.hpp"

namespace hamlet::journal {

class Reader;

/// Told as work goes on; `total` is 0 where it is not known.
using Progress = std::function<void(std::uint64_t done, std::uint64_t total)>;

/// As `hamlet --json journal` and `health` have it; stable.
[[nodiscard]] nlohmann::json to_json(const Stat& stat);

/// What is stored, lane by lane, as `hamlet --json journal stat` has it; stable. Blocks: it goes through each lane, seconds on
/// a large journal.
[[nodiscard]] Result<nlohmann::json> lane_figures(Reader& reader, const std::filesystem::path& folder);

/// Reads everything there is: each block with its checksum and what is in it, SQLite's own check, pictures. {"ok",…}
/// as `hamlet --json journal check` has it; stable. Minutes on a large journal. Only reads; a daemon may be writing beside it.
[[nodiscard]] Result<nlohmann::json> check_everything(Reader& reader, const std::filesystem::path& folder,
                                                      const Progress& progress);

}  // namespace hamlet::journal
