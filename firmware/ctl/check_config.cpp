#include "firmware/ctl/check_config.hpp"

#include "cameras/camera_config.hpp"
#include "firmware/config/gateway.hpp"
#include "sync/journal/journal.hpp"

namespace hamlet::ctl {

std::vector<config::Diagnostic> check_config(const std::filesystem::path& file) {
  auto document = config::Document::load(file);
  const auto root = document.root();
  const auto gateway = config::read_gateway(root);
  static_cast<void>(journal::read_options(root.table("journal"), gateway.state_dir));
  static_cast<void>(cameras::read_cameras(root));
  document.finish();
  return {document.diagnostics().begin(), document.diagnostics().end()};
}

}  // namespace hamlet::ctl
