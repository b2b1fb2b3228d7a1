#include "firmware/ctl/check_config.hpp"

#include "firmware/config/gateway.hpp"

namespace hamlet::ctl {

std::vector<config::Diagnostic> check_config(const std::filesystem::path& file) {
  auto document = config::Document::load(file);
  const auto root = document.root();
  static_cast<void>(config::read_gateway(root));
  document.finish();
  return {document.diagnostics().begin(), document.diagnostics().end()};
}

}  // namespace hamlet::ctl
