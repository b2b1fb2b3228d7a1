#include "firmware/config/config.hpp"
#include "sync/journal/journal.hpp"

namespace hamlet::journal {

Options read_options(const config::Table& table, std::filesystem::path state_dir) {
  Options options;
  options.directory = std::move(state_dir);
  options.window = table.duration_or("window", options.window, {Millis{0}, Millis{300'000}});
  constexpr std::int64_t kMaxDays = 3'650;
  const auto megabytes = [&table](const char* key, std::uint64_t present, std::int64_t least, std::int64_t most) {
    return static_cast<std::uint64_t>(table.integer_or(key, static_cast<std::int64_t>(present >> 20), {least, most})) << 20;
  };
  options.quota_bytes = megabytes("quota_mb", options.quota_bytes, 32, 1'000'000);
  options.min_free_bytes = megabytes("min_free_mb", options.min_free_bytes, 0, 1'000'000);
  options.keep = std::chrono::days{table.integer_or("keep_days", options.keep.count(), {1, kMaxDays})};
  options.keep_alarms = std::chrono::days{table.integer_or("keep_alarm_days", options.keep_alarms.count(), {1, kMaxDays})};
  return options;
}

}  // namespace hamlet::journal
