#include "tests/bench/bench.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>
#include <optional>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "firmware/core/command_line.hpp"
#include "firmware/core/result.hpp"
#include "firmware/core/text.hpp"

namespace hamlet::bench {
namespace {

std::vector<Figure>& figures() {
  static std::vector<Figure> all;
  return all;
}

/// Google Benchmark's own output is left out; this keeps the one run it makes.
class Capture final : public benchmark::BenchmarkReporter {
 public:
  bool ReportContext(const Context& /*context*/) override { return true; }
  void ReportRuns(const std::vector<Run>& runs) override {
    if (!runs.empty()) run = runs.front();
  }
  std::optional<Run> run;
};

std::optional<double> iterations_in_unit(std::string_view unit, double seconds) {
  static const std::map<std::string_view, double> kPerSecond{{"ns", 1e9}, {"us", 1e6}, {"ms", 1e3}, {"s", 1}};
  const auto found = kPerSecond.find(unit);
  if (found == kPerSecond.end()) return std::nullopt;
  return seconds * found->second;
}

Result<double> value_of(const Capture::Run& run, const Figure& figure) {
  if (run.error_occurred) return fail(Errc::failed, run.error_message);
  if (const auto value = run.counters.find("value"); value != run.counters.end()) return value->second.value;
  if (const auto rate = run.counters.find("items_per_second"); rate != run.counters.end()) return rate->second.value;
  const auto time = iterations_in_unit(figure.unit, run.real_accumulated_time / static_cast<double>(run.iterations));
  if (!time)
    return fail(Errc::invalid, fmt::format("unit '{}' needs a counter \"value\" or items processed", figure.unit));
  return *time;
}

/// Measures once. `benchmark_name` was registered.
Result<double> measure(const Figure& figure, const std::string& benchmark_name) {
  Capture capture;
  benchmark::RunSpecifiedBenchmarks(&capture, "^" + benchmark_name + "$");
  if (!capture.run) return fail(Errc::failed, "the benchmark did not run");
  return value_of(*capture.run, figure);
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

struct Row {
  double value = 0;
  std::optional<double> versus_value;
};

void register_side(const std::string& name, const Figure& figure, const std::function<void(benchmark::State&)>& side) {
  auto* const registered = benchmark::RegisterBenchmark(name.c_str(), side)->UseRealTime();
  if (figure.iterations > 0) registered->Iterations(figure.iterations);
}

/// The name Google Benchmark gives the run of a side registered as `name`.
std::string run_name(const std::string& name, const Figure& figure) {
  return figure.iterations > 0 ? fmt::format("{}/iterations:{}/real_time", name, figure.iterations)
                               : name + "/real_time";
}

/// Both sides in turn, so that whatever else the machine does hits both alike.
Result<Row> run_figure(const Figure& figure, int rounds) {
  const std::string ours = figure.name + ":ours";
  const std::string theirs = figure.name + ":theirs";
  register_side(ours, figure, figure.ours);
  if (figure.theirs) register_side(theirs, figure, figure.theirs);
  std::vector<double> our_values;
  std::vector<double> their_values;
  for (int round = 0; round < rounds; ++round) {
    auto value = measure(figure, run_name(ours, figure));
    if (!value) return fail(std::move(value).error().in(figure.name));
    our_values.push_back(*value);
    if (!figure.theirs) continue;
    value = measure(figure, run_name(theirs, figure));
    if (!value) return fail(std::move(value).error().in(figure.versus).in(figure.name));
    their_values.push_back(*value);
  }
  Row row{.value = median(std::move(our_values)), .versus_value = std::nullopt};
  if (figure.theirs) row.versus_value = median(std::move(their_values));
  return row;
}

std::string to_ndjson(const Figure& figure, const Row& row) {
  nlohmann::ordered_json line{{"name", figure.name}, {"value", row.value}, {"unit", figure.unit}};
  line["versus"] = nullptr;
  line["versus_value"] = nullptr;
  line["ratio"] = nullptr;
  if (row.versus_value) {
    line["versus"] = figure.versus;
    line["versus_value"] = *row.versus_value;
    if (*row.versus_value != 0) line["ratio"] = row.value / *row.versus_value;
  }
  return line.dump();
}

/// Three significant digits at least, no exponent: "0.0421", "12.3", "496540".
std::string readable(double value) {
  if (value >= 100) return fmt::format("{:.0f}", value);
  return fmt::format("{:.3g}", value);
}

std::string to_line(const Figure& figure, const Row& row) {
  auto line = fmt::format("{:<32} {:>12} {:<16}", figure.name, readable(row.value), figure.unit);
  if (row.versus_value) {
    line += fmt::format(" {} {}", figure.versus, readable(*row.versus_value));
    if (*row.versus_value != 0) line += fmt::format(", ratio {:.2f}", row.value / *row.versus_value);
  }
  return line;
}

bool wanted(const Figure& figure, const std::vector<std::string>& suites) {
  return suites.empty() || std::any_of(suites.begin(), suites.end(),
                                       [&figure](const std::string& suite) { return figure.name.starts_with(suite); });
}

/// The harness measuring itself: what a test of the harness runs. Left out unless asked for by name.
void register_harness_figures() {
  add({.name = "bench.clock",
       .unit = "ns",
       .ours =
           [](benchmark::State& state) {
             for (auto _ : state) benchmark::DoNotOptimize(std::chrono::steady_clock::now());
           },
       .versus = "system_clock",
       .theirs =
           [](benchmark::State& state) {
             for (auto _ : state) benchmark::DoNotOptimize(std::chrono::system_clock::now());
           },
       .iterations = 1000});
}

struct Arguments {
  bool json = false;
  bool list = false;
  int rounds = 5;
  std::vector<std::string> suites;
};

int run(const Arguments& arguments) {
  acting_suite::register_figures();
  cameras_suite::register_figures();
  contract_suite::register_figures();
  detect_suite::register_figures();
  drivers_suite::register_figures();
  journal_suite::register_figures();
  stations_suite::register_figures();
  uplink_suite::register_figures();
  if (std::find(arguments.suites.begin(), arguments.suites.end(), "bench") != arguments.suites.end()) {
    register_harness_figures();
  }
  std::size_t matched = 0;
  int exit_code = 0;
  for (const Figure& figure : figures()) {
    if (!wanted(figure, arguments.suites)) continue;
    ++matched;
    if (arguments.list) {
      fmt::print("{}\n", figure.name);
      continue;
    }
    const bool on_terminal = isatty(STDERR_FILENO) == 1;
    if (on_terminal) fmt::print(stderr, "\r\033[K{} …", figure.name);
    const auto row = run_figure(figure, arguments.rounds);
    if (on_terminal) fmt::print(stderr, "\r\033[K");
    if (!row) {
      fmt::print(stderr, "{}\n", row.error().message);
      exit_code = 1;
      continue;
    }
    fmt::print("{}\n", arguments.json ? to_ndjson(figure, *row) : to_line(figure, *row));
    std::fflush(stdout);
  }
  if (matched == 0) {
    fmt::print(stderr, "no figure begins with what was asked for; --list shows their names\n");
    return 2;
  }
  return exit_code;
}

}  // namespace

void add(Figure figure) {
  figures().push_back(std::move(figure));
}

}  // namespace hamlet::bench

int main(int argc, char** argv) {
  hamlet::bench::Arguments arguments;
  hamlet::CommandLine line{"Measures Hamlet: a row a figure, both sides interleaved, medians"};
  line.flag("--json", arguments.json, "NDJSON: name, value, unit, versus, versus_value, ratio = value / versus_value");
  line.flag("--list", arguments.list, "Print the figures' names and measure nothing");
  line.number("--rounds", arguments.rounds, "Runs of each side; the median counts", 1, 99);
  line.texts("suites", arguments.suites, "Only figures whose names begin so: journal, uplink.drain");
  if (const auto ends = line.parse(argc, argv)) return *ends;
  return hamlet::bench::run(arguments);
}
