#include "tests/support/schemas.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <stdexcept>

#include <nlohmann/json.hpp>
#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validation_results.hpp>
#include <valijson/validator.hpp>

namespace hamlet::support {

struct Schemas::Impl {
  std::map<std::string, valijson::Schema, std::less<>> schemas;
};

Schemas::Schemas() : impl_{std::make_unique<Impl>()} {
  const char* source = std::getenv("HAMLET_SOURCE");  // NOLINT(concurrency-mt-unsafe)
  if (source == nullptr) throw std::runtime_error("HAMLET_SOURCE is not set: run tests through ctest");
  for (const auto& entry : std::filesystem::directory_iterator{std::filesystem::path{source} / "sync/contract/schema"}) {
    const auto written = nlohmann::json::parse(std::ifstream{entry.path()});
    valijson::SchemaParser{valijson::SchemaParser::kDraft7}.populateSchema(
        valijson::adapters::NlohmannJsonAdapter{written}, impl_->schemas[entry.path().stem().stem().string()]);
  }
}

Schemas::~Schemas() = default;

std::string Schemas::wrong(std::string_view schema, const nlohmann::json& message) const {
  const auto found = impl_->schemas.find(schema);
  if (found == impl_->schemas.end()) return "there is no schema " + std::string{schema};
  valijson::ValidationResults results;
  if (valijson::Validator{}.validate(found->second, valijson::adapters::NlohmannJsonAdapter{message}, &results)) return {};
  std::string why = "against its schema:";
  for (valijson::ValidationResults::Error error; results.popError(error);) why += " " + error.description;
  return why;
}

std::string Schemas::wrong_on(std::string_view topic, std::string_view payload) const {
  const auto what = topic.substr(0, topic.find('/'));
  if (what == "media" || (what == "alarm" && payload.empty())) return {};
  const auto json = nlohmann::json::parse(payload, nullptr, false);
  return json.is_discarded() ? "not JSON" : wrong(what, json);
}

}  // namespace hamlet::support
