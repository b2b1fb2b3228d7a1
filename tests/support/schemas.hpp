#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

namespace hamlet::support {

/// The contract's JSON Schemas, of HAMLET_SOURCE/sync/contract/schema. Throws std::runtime_error where they cannot be read.
class Schemas {
 public:
  Schemas();
  ~Schemas();
  /// What is wrong with it; empty: nothing. `schema`: "tele", "event", …
  [[nodiscard]] std::string wrong(std::string_view schema, const nlohmann::json& message) const;
  /// The same by topic below the base; an empty alarm snapshot and a picture have no schema and are right.
  [[nodiscard]] std::string wrong_on(std::string_view topic, std::string_view payload) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace hamlet::support
