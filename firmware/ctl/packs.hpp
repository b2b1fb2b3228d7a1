#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "firmware/core/text.hpp"

namespace hamlet::ctl {

/// A ready-made config for one purpose: a fragment for conf.d, with comments.
struct Pack {
  std::string id;  ///< the file's name without .toml
  Text title;      ///< its first two lines: "# 中文" and "# English"
  std::string toml;
};

/// The packs of a folder, by name; those that cannot be read are left out.
[[nodiscard]] std::vector<Pack> find_packs(const std::filesystem::path& folder);

}  // namespace hamlet::ctl
