// The detector on a folder of series with labelled windows, beside two plain ones. See tests/bench/nab.

#include <algorithm>
#include <array>
#include <cmath>
#include <deque>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "drivers/replay/series.hpp"
#include "firmware/core/command_line.hpp"
#include "firmware/detect/detector.hpp"

using namespace hamlet;
using nlohmann::json;

namespace {

struct Series {
  std::vector<WallTime> at;
  std::vector<double> x;
  std::vector<std::pair<std::size_t, std::size_t>> windows;  // first and last row
  [[nodiscard]] std::size_t probation() const {
    return std::min<std::size_t>(static_cast<std::size_t>(0.15 * static_cast<double>(x.size())), 750);
  }
};
using Scores = std::vector<double>;

struct Profile {
  const char* name;
  double missed;  // costs
  double false_alarm;
};
constexpr std::array<Profile, 3> kProfiles{
    {{"standard", 1, 0.11}, {"reward_low_FP_rate", 1, 0.22}, {"reward_low_FN_rate", 2, 0.11}}};

double value_at(double position) {
  return position > 3 ? -1 : 2 / (1 + std::exp(5 * position)) - 1;
}

Series read_series(const std::filesystem::path& file, const json& windows) {
  Series out;
  std::ifstream in{file};
  if (!in) throw std::runtime_error(fmt::format("{}: cannot be opened", file.string()));
  std::map<WallTime, std::size_t> row_of;
  std::string line;
  std::getline(in, line);
  while (std::getline(in, line)) {
    const auto row = drivers::replay::parse_row(line, drivers::replay::CellType::number);
    if (!row)
      throw std::runtime_error(fmt::format("{}, row {}: {}", file.string(), out.x.size() + 1, row.error().message));
    row_of.emplace(row->at, out.x.size());
    out.at.push_back(row->at);
    out.x.push_back(std::get<double>(row->value));
  }
  for (const auto& window : windows) {
    const auto row = [&](const json& stamp) {
      return row_of.at(drivers::replay::parse_stamp(stamp.get<std::string>()).value());
    };
    out.windows.emplace_back(row(window.at(0)), row(window.at(1)));
  }
  std::sort(out.windows.begin(), out.windows.end());
  return out;
}

// What one series earns above a detector that never speaks, by NAB's rules; and the most it could.
struct Worth {
  double earned = 0;
  double perfect = 0;
};
Worth worth_of(const Series& series, const Scores& scores, double threshold, const Profile& profile) {
  Worth out;
  const auto probation = series.probation();
  for (const auto& [first, last] : series.windows) {
    out.perfect += 1;
    if (last < probation) continue;
    out.perfect += profile.missed;
    for (auto i = std::max(first, probation); i <= last; ++i) {
      if (scores[i] < threshold) continue;
      out.earned += profile.missed +
                    value_at(-static_cast<double>(last - i + 1) / static_cast<double>(last - first + 1)) / value_at(-1);
      break;
    }
  }
  const std::pair<std::size_t, std::size_t>* behind = nullptr;
  auto next = series.windows.begin();
  for (std::size_t i = 0; i < scores.size(); ++i) {
    while (next != series.windows.end() && next->second < i) behind = &*next++;
    const bool inside = next != series.windows.end() && i >= next->first;
    if (i < probation || inside || scores[i] < threshold) continue;
    const bool full = behind == nullptr || behind->first == behind->second;
    out.earned += profile.false_alarm * (full ? -1
                                              : value_at(static_cast<double>(i - behind->second) /
                                                         static_cast<double>(behind->second - behind->first)));
  }
  return out;
}

Scores ours(const Series& series) {
  detect::Detector detector;
  Scores out;
  for (std::size_t i = 0; i < series.x.size(); ++i) {
    out.push_back(detector.score(series.x[i], MonoTime{series.at[i].time_since_epoch()}, detect::local_time(series.at[i])).value_or(0));
  }
  return out;
}

// NAB's windowed Gaussian: the tail probability under mean and deviation of the last 6,400, renewed every 100 samples.
Scores gaussian(const Series& series) {
  constexpr std::size_t kWindow = 6400;
  constexpr std::size_t kStep = 100;
  std::deque<double> window;
  std::vector<double> step;
  double mean = 0;
  double deviation = 1;
  const auto renew = [&] {
    double sum = 0;
    double squares = 0;
    for (const double x : window) sum += x;
    mean = sum / static_cast<double>(window.size());
    for (const double x : window) squares += (x - mean) * (x - mean);
    deviation = std::max(std::sqrt(squares / static_cast<double>(window.size())), 0.000001);
  };
  Scores out;
  for (const double x : series.x) {
    out.push_back(window.empty() ? 0
                                 : std::max(0.0, 1 - std::erfc(std::abs(x - mean) / deviation / std::sqrt(2.0)) / 2));
    if (window.size() < kWindow) {
      window.push_back(x);
      renew();
    } else {
      step.push_back(x);
      if (step.size() == kStep) {
        window.erase(window.begin(), window.begin() + kStep);
        window.insert(window.end(), step.begin(), step.end());
        step.clear();
        renew();
      }
    }
  }
  return out;
}

// A limit above and below, from the probation: the distance from its middle in half its range.
Scores plain_threshold(const Series& series) {
  const auto begin = series.x.begin();
  const auto [low, high] = std::minmax_element(begin, begin + static_cast<std::ptrdiff_t>(series.probation()));
  const double half = std::max((*high - *low) / 2, 1e-12);
  const double middle = *low + half;
  Scores out;
  for (const double x : series.x) {
    const double off = std::abs(x - middle) / half;
    out.push_back(off / (off + 1));
  }
  return out;
}

struct Judged {
  double threshold = 0;
  std::array<double, kProfiles.size()> score{};
};

// The best single threshold for the standard profile over all series, or the one given; and every profile's score.
Judged judge(const std::vector<Series>& all, const std::function<Scores(const Series&)>& detector, double threshold) {
  std::vector<Scores> scores;
  for (const auto& series : all) scores.push_back(detector(series));
  const auto total = [&](double at, const Profile& profile) {
    Worth sum;
    for (std::size_t i = 0; i < all.size(); ++i) {
      const auto worth = worth_of(all[i], scores[i], at, profile);
      sum.earned += worth.earned;
      sum.perfect += worth.perfect;
    }
    return 100 * sum.earned / sum.perfect;
  };
  Judged out{.threshold = threshold};
  if (threshold <= 0) {
    double best = -1e9;
    for (int i = 0; i <= 400; ++i) {  // finer and finer towards 1
      const double at = i <= 200 ? 0.2 + 0.0035 * i : 1 - 0.1 * std::pow(10, -(i - 200) / 25.0);
      const double score = total(at, kProfiles[0]);
      if (score > best) {
        best = score;
        out.threshold = at;
      }
    }
  }
  for (std::size_t i = 0; i < kProfiles.size(); ++i) out.score.at(i) = total(out.threshold, kProfiles.at(i));
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  std::filesystem::path folder;
  double threshold = 0.5;
  bool as_json = false;
  hamlet::CommandLine arguments{"Scores the detector on series with labelled windows by NAB's rules"};
  arguments.path("FOLDER", folder, "category/file.csv and windows.json", hamlet::CommandLine::Given::always);
  arguments.number("--threshold", threshold, "of our detector; 0: the best for these series");
  arguments.flag("--json", as_json, "A line a detector: {detector, threshold, standard, …}");
  if (const auto ends = arguments.parse(argc, argv)) return *ends;
  try {
    std::ifstream file{folder / "windows.json"};
    const auto windows = json::parse(file);
    std::vector<Series> all;
    for (const auto& [name, spans] : windows.items()) all.push_back(read_series(folder / name, spans));
    if (!as_json) fmt::print("{} series\n{:20} {:>10}", all.size(), "detector", "threshold");
    for (const auto& profile : kProfiles) {
      if (!as_json) fmt::print(" {:>19}", profile.name);
    }
    if (!as_json) fmt::print("\n");
    const auto show = [&](const char* name, const Judged& result) {
      json line{{"detector", name}, {"threshold", result.threshold}};
      if (!as_json) fmt::print("{:20} {:10.6f}", name, result.threshold);
      for (std::size_t i = 0; i < kProfiles.size(); ++i) {
        line[kProfiles.at(i).name] = result.score.at(i);
        if (!as_json) fmt::print(" {:19.2f}", result.score.at(i));
      }
      fmt::print("{}\n", as_json ? line.dump() : "");
    };
    show("hamlet", judge(all, ours, threshold));
    show("windowed gaussian", judge(all, gaussian, 0));
    show("plain threshold", judge(all, plain_threshold, 0));
  } catch (const std::exception& error) {
    std::cerr << "nab: " << error.what() << '\n';
    return 2;
  }
  return 0;
}
