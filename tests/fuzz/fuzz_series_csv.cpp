// The CSV reader of `hamlet backtest`, and the tests and the detector on whatever it reads.

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <sstream>
#include <string>

#include "firmware/ctl/series_csv.hpp"
#include "firmware/detect/engine.hpp"

namespace hamlet::fuzz_series_csv {
using namespace hamlet;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::istringstream in{std::string(reinterpret_cast<const char*>(data), size)};
  ctl::SeriesCsv series{in, "+08:00"};
  detect::Engine engine{
      {.quality = {{.point = "a.b",
                    .range = detect::Span{0, 100},
                    .climatology = {{.first_hour = 22, .last_hour = 4, .suspect = detect::Span{1, 9}}},
                    .spike = detect::SpikeRule{.suspect = 1, .fail = 2},
                    .rate_of_change = 1.0,
                    .flat_line = detect::FlatLineRule{.tolerance = 0.1, .suspect = Millis{60'000}},
                    .attenuated = detect::AttenuatedRule{.suspect = 0.1, .window = Millis{60'000}},
                    .gap = Millis{60'000},
                    .anomaly = detect::AnomalyRule{}}},
       .alarms = {}},
      1};
  std::uint64_t line = 0;
  for (auto next = series.next(); next.row || next.bad; next = series.next()) {
    const auto here = next.row ? next.row->line : next.bad->line;
    if (here <= line) std::abort();  // lines are told once, in order
    line = here;
    if (!next.row || !next.row->text.empty()) continue;
    if (next.row->number && std::isnan(*next.row->number)) std::abort();
    Reading reading{.point = "a.b", .at = MonoTime{next.row->at.time_since_epoch()}, .value = {}};
    if (next.row->number) reading.value = *next.row->number;
    const auto outcome = engine.evaluate(std::move(reading), next.row->at);
    if (outcome.score && !(*outcome.score >= 0 && *outcome.score < 1)) std::abort();
  }
  return 0;
}

}  // namespace hamlet::fuzz_series_csv
