#pragma once

#include <functional>
#include <string>

#include <benchmark/benchmark.h>

namespace hamlet::bench {

/// One row of `tests/bench/run`: a thing we do, measured, and where there is one a thing to measure it against.
///
/// `ours` and `theirs` are Google Benchmark functions: `for (auto _ : state) …`. A run's value is the counter "value"
/// where the function sets one, else the items a second where it calls SetItemsProcessed(), else the time of one
/// iteration, and then `unit` has to be ns, us, ms or s. Times are wall times. A function that cannot run calls
/// SkipWithError(): the row fails.
struct Figure {
  std::string name;  ///< dotted, room first: "journal.append"
  std::string unit;  ///< "readings/s", "ms", …
  std::function<void(benchmark::State&)> ours;
  std::string versus{};  ///< what `theirs` is; empty: nothing to compare with
  std::function<void(benchmark::State&)> theirs{};
  std::int64_t iterations = 0;  ///< of each run; 0: as many as fill half a second
};

/// Called by the functions below.
void add(Figure figure);

// A file NAME.cpp beside this header each: it calls add() for its figures. Their names are their own: they are compiled as one.
namespace acting_suite { void register_figures(); }
namespace cameras_suite { void register_figures(); }
namespace contract_suite { void register_figures(); }
namespace detect_suite { void register_figures(); }
namespace drivers_suite { void register_figures(); }
namespace journal_suite { void register_figures(); }
namespace stations_suite { void register_figures(); }
namespace uplink_suite { void register_figures(); }

}  // namespace hamlet::bench
