#include "firmware/config/config.hpp"
#include "sync/journal/journal.hpp"

namespace hamlet::journal {

Options read_options(const config::Table& table, std::filesystem::path state_dir) {
  Options options;
  options.directory = std::move(state_dir);
  options.window = table.duration_or("window", options.window, {Millis{0}, Millis{300'000}});
  return options;
}

}  // namespace hamlet::journal
