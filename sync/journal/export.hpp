#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>

#include <nlohmann/json_fwd.hpp>

#include "firmware/core/result.hpp"
#include "sync/contract/contract.hpp"
#include "sync/journal/figures.hpp"

namespace hamlet::journal {

class Reader;

struct ExportRequest {
  std::filesystem::path to;                              ///< a folder that is there, on a USB stick: a new one is made in it
  contract::Topics topics;                               ///< of this box
  std::string made_by;                                   ///< program and version
  WallTime now{};
  std::optional<std::pair<WallTime, WallTime>> range{};  ///< from, up to but without; nothing: what no broker has acknowledged
  Progress progress{};                                   ///< records; no total
};

/// Writes records as the county would have got them by MQTT, for whoever carries them there by hand. A new folder
/// hamlet-GW-TIME, which has its name only once all of it is on the stick:
///
///   LANE.ndjson.zst   one message a line: {"topic":"…","payload":{…}}; media: {"topic":"…","file":"media/….jpg"}
///   media/            pictures
///   manifest.json     what it is: gateway, contract, epochs, lanes, ranges, counts, times, sizes, what was damaged
///   SHA256SUMS        of all of it, for sha256sum -c
///
/// Returns the manifest with "folder". Blocks. Nothing is overwritten, and what was begun is removed where it fails: full
/// (the stick), denied, not_found (`to`), or what reading the journal gave. `journal_folder`: where its pictures are.
[[nodiscard]] Result<nlohmann::json> export_records(Reader& reader, const std::filesystem::path& journal_folder,
                                                    const ExportRequest& request);

}  // namespace hamlet::journal
