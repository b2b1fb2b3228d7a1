#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "firmware/core/result.hpp"

namespace hamlet::journal {

/// The folder media/ with its pictures. Blocking; the journal's Workers call it.
inline constexpr const char* kMediaFolder = "media";

/// A small file or a picture ("{epoch}-{seq}.jpg"): under its name or not at all, and durable when it returns. Errors:
/// full, denied, failed.
[[nodiscard]] Status write_durably(const std::filesystem::path& folder, const std::string& name,
                                   std::string_view bytes);
/// What was made, renamed or removed in the folder is durable when it returns. Errors: as above.
[[nodiscard]] Status sync_folder(const std::filesystem::path& folder);
/// Error not_found; invalid where the name is none of ours.
[[nodiscard]] Result<std::string> read_picture(const std::filesystem::path& folder, const std::string& name);
/// Gone or not there: both are well.
void remove_picture(const std::filesystem::path& folder, const std::string& name);
/// Epoch and number of a picture's name; nothing where it is none of ours.
[[nodiscard]] std::optional<std::pair<std::string, std::uint64_t>> parse_picture_name(std::string_view name);
/// Of all pictures.
[[nodiscard]] std::uint64_t picture_bytes(const std::filesystem::path& folder);

}  // namespace hamlet::journal
