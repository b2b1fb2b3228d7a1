// Encoding and rendering, the hot path between a driver and the link.

#include "sync/contract/contract.hpp"

#include <fmt/format.h>

#include "tests/bench/bench.hpp"

namespace hamlet::bench::contract_suite {
namespace {

std::vector<Reading> readings() {
  std::vector<Reading> out;
  for (int i = 0; i < 50; ++i) {
    out.push_back({.point = fmt::format("plc-{}.level-{}", i / 10, i % 10),
                   .at = mono_from_ms(1'000 + i),
                   .value = (200 + i) / 100.0});
  }
  return out;
}

void encode(benchmark::State& state) {
  const auto batch = readings();
  for (auto _ : state) benchmark::DoNotOptimize(contract::encode_readings(batch, mono_from_ms(2'000)));
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(batch.size()));
}

void render(benchmark::State& state) {
  const auto batch = readings();
  const auto body = contract::encode_readings(batch, mono_from_ms(2'000));
  const contract::DateFunction date = [](Moment moment) {
    return contract::Dated{wall_from_ms(1'795'411'860'000 + to_ms(moment.mono)), TimeQuality::synced};
  };
  for (auto _ : state) {
    benchmark::DoNotOptimize(contract::render(
        body, {.gw = "gw-0017", .epoch = "9f2c41d07be1a655", .seq = 1841, .at = {1, mono_from_ms(2'000)}, .rev = 7},
        date));
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(batch.size()));
}

}  // namespace

void register_figures() {
  add({.name = "contract.encode", .unit = "readings/s", .ours = encode});
  add({.name = "contract.render", .unit = "readings/s", .ours = render});
}

}  // namespace hamlet::bench::contract_suite
