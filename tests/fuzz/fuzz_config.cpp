#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "firmware/config/config.hpp"

namespace hamlet::fuzz_config {
namespace {

using hamlet::config::Table;

/// Asks each key for each type it could have, as rooms do, and goes down into what is a table.
void read_all(const Table& table, int depth) {
  static constexpr std::array<std::string_view, 3> kWords{"auto", "modbus", "replay"};
  for (const auto& key : table.keys()) {
    (void)table.text_or(key, "");
    (void)table.id(key);
    (void)table.point(key);
    (void)table.value_if(key);
    (void)table.both_or(key, {});
    (void)table.flag_or(key, false);
    (void)table.integer_or(key, 0, {.min = -5, .max = 100'000});
    (void)table.number_or(key, 0);
    (void)table.duration_or(key, hamlet::Millis{0});
    (void)table.choice_or(key, 0, kWords);
    (void)table.numbers_or(key);
    (void)table.texts_or(key);
    (void)table.pairs_or(key);
    if (depth == 0) continue;
    read_all(table.table(key), depth - 1);
    for (const auto& element : table.tables(key)) read_all(element, depth - 1);
  }
}

}  // namespace

// Whatever is in a config file: errors with their place, or values in range; never a crash.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text{data, data + size};
  auto document = hamlet::config::Document::parse(text, "fuzz.toml");
  read_all(document.root(), 3);
  document.finish();
  for (const auto& diagnostic : document.diagnostics()) {
    if (diagnostic.message.zh.empty() || diagnostic.message.en.empty()) __builtin_trap();
  }
  return 0;
}

}  // namespace hamlet::fuzz_config
