#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "firmware/core/result.hpp"

namespace hamlet::journal {

/// The folder media/ with its pictures. Blocking; the journal's Workers call it.
inline constexpr const char* kMediaFolder = "media";

/// Under its name or not at all, and durable when it returns. `name` is ours: "{epoch}-{seq}.jpg".
[[nodiscard]] Status write_picture(const std::filesystem::path& folder, const std::string& name,
                                   std::string_view bytes);
/// Error not_found; invalid where the name is none of ours.
[[nodiscard]] Result<std::string> read_picture(const std::filesystem::path& folder, const std::string& name);
/// Of all pictures.
[[nodiscard]] std::uint64_t picture_bytes(const std::filesystem::path& folder);

}  // namespace hamlet::journal
