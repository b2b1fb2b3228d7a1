#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "firmware/config/config.hpp"

namespace hamlet::config {

/// All diagnostics of a document as they are shown.
inline std::vector<std::string> errors_of(const Document& document) {
  std::vector<std::string> out;
  for (const auto& each : document.diagnostics()) out.push_back(each.to_string());
  return out;
}

/// What is said of `text` after `read` has read it and all keys are asked for.
template <class Read>
std::vector<std::string> errors_in(std::string_view text, Read read) {
  auto document = Document::parse(text, "t.toml");
  read(document.root());
  document.finish();
  return errors_of(document);
}

using Errors = std::vector<std::string>;

}  // namespace hamlet::config
