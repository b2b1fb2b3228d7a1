#include "firmware/ctl/backtest.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <deque>
#include <fstream>
#include <iostream>
#include <map>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "drivers/drivers.hpp"
#include "firmware/config/config.hpp"
#include "firmware/ctl/exit.hpp"
#include "firmware/ctl/format.hpp"
#include "firmware/ctl/series_csv.hpp"
#include "firmware/ctl/table.hpp"
#include "firmware/ctl/texts.hpp"
#include "firmware/detect/engine.hpp"

namespace hamlet::ctl {
namespace {

using detect::Flag;
using detect::Test;
using Json = nlohmann::ordered_json;

constexpr std::size_t kMostHeld = 1'000;       // rows that wait for the sample after one
constexpr std::uint64_t kMostComplaints = 20;  // bad lines that are told one by one

// A sample, and all that was said of it.
struct Row {
  WallTime at{};
  Reading reading;
  detect::Flags tests;
  double score = 0;
  bool late = false;
  bool learning = false;
  bool anomalous = false;
  std::vector<Alarm> transitions;
  std::optional<Reading> correction;
};

struct Counts {
  std::uint64_t rows = 0;
  std::uint64_t bad_lines = 0;
  std::uint64_t late = 0;
  std::uint64_t anomalies = 0;
  std::uint64_t corrected = 0;
  std::optional<WallTime> first;
  std::optional<WallTime> last;
  std::map<Quality, std::uint64_t> quality;
  std::array<std::map<Flag, std::uint64_t>, detect::kTests> tests;
  std::map<std::string, std::uint64_t> raised;
};

int number_of(Flag flag) {
  return static_cast<int>(flag);
}
WallTime wall_of(MonoTime at) {
  return WallTime{at.time_since_epoch()};
}

std::string show_number(const Value& value) {
  return std::holds_alternative<std::monostate>(value) ? "-" : to_string(value);
}

Json flags_json(const detect::Flags& flags) {
  Json out = Json::object();
  for (std::size_t i = 0; i < detect::kTests; ++i) {
    const auto flag = flags.all()[i];
    if (flag != Flag::none) out[std::string{to_string(static_cast<Test>(i))}] = number_of(flag);
  }
  if (!out.empty()) out["aggregate"] = number_of(detect::aggregate(flags.all()));
  return out;
}

Json row_json(const Row& row) {
  Json out{{"t", to_ms(row.at)}, {"v", Json(to_json(row.reading.value))}, {"q", to_string(row.reading.quality)}};
  if (!row.reading.why.empty()) out["why"] = row.reading.why;
  out["tests"] = flags_json(row.tests);
  out["score"] = row.score;
  if (row.late) out["late"] = true;
  if (row.learning) out["learning"] = true;
  if (row.anomalous) out["anomaly"] = true;
  auto alarms = Json::array();
  for (const auto& alarm : row.transitions) {
    alarms.push_back({{"t", to_ms(wall_of(alarm.since.mono))},
                      {"alarm", alarm.id},
                      {"state", to_string(alarm.state)},
                      {"occurrence", alarm.occurrence},
                      {"severity", to_string(alarm.severity)}});
  }
  out["alarms"] = std::move(alarms);
  if (row.correction) {
    out["corrected"] = {{"q", to_string(row.correction->quality)}, {"why", row.correction->why}};
  }
  return out;
}

Json summary_json(const Counts& counts, const std::string& point, const detect::PointState& state) {
  Json out{{"point", point}, {"rows", counts.rows}, {"bad_lines", counts.bad_lines}, {"late", counts.late}};
  out["first"] = counts.first ? Json(to_ms(*counts.first)) : Json();
  out["last"] = counts.last ? Json(to_ms(*counts.last)) : Json();
  for (const auto quality : {Quality::good, Quality::suspect, Quality::bad, Quality::missing}) {
    const auto found = counts.quality.find(quality);
    out["quality"][std::string{to_string(quality)}] = found == counts.quality.end() ? 0 : found->second;
  }
  out["tests"] = Json::object();
  for (std::size_t i = 0; i < detect::kTests; ++i) {
    for (const auto& [flag, count] : counts.tests.at(i)) {
      out["tests"][std::string{to_string(static_cast<Test>(i))}][fmt::to_string(number_of(flag))] = count;
    }
  }
  out["corrected"] = counts.corrected;
  out["anomalies"] = counts.anomalies;
  out["detector"] = {{"samples", state.detector->samples}, {"learned_ms", state.detector->time.count()}};
  out["alarms"] = Json::object();
  for (const auto& [id, count] : counts.raised) out["alarms"][id] = count;
  return out;
}

class Backtest {
 public:
  Backtest(const Invocation& asked, std::ostream& out, std::ostream& err) : asked_{asked}, out_{out}, err_{err} {}

  int carry_out() {
    if (const auto code = read_config(); code != kOk) return code;
    std::ifstream file;
    if (asked_.csv != "-") {
      file.open(asked_.csv, std::ios::binary);
      if (!file || std::filesystem::is_directory(asked_.csv)) return no_file(asked_.csv);
    }
    run(asked_.csv == "-" ? std::cin : file);
    if (counts_.rows + counts_.bad_lines == 0) return give_up("invalid", kFailed, Say::backtest_empty, asked_.csv.string());
    return counts_.bad_lines == 0 && counts_.rows > 0 ? kOk : kFailed;
  }

 private:
  template <class... Args>
  void complain(Say id, const Args&... args) const {
    err_ << say(asked_.lang, Say::error_line, say(asked_.lang, id, args...)) << '\n';
  }

  // What ends it is told to a program, too.
  template <class... Args>
  int give_up(std::string_view code, int exit_code, Say id, const Args&... args) const {
    complain(id, args...);
    if (asked_.json) {
      out_ << Json{{"error", {{"code", code}, {"zh", say(Lang::zh, id, args...)}, {"en", say(Lang::en, id, args...)}}}}.dump(
                  -1, ' ', false, Json::error_handler_t::replace)
           << '\n';
    }
    return exit_code;
  }

  int no_file(const std::filesystem::path& file) const {
    const bool denied = access(file.c_str(), R_OK) != 0 && errno == EACCES;
    return denied ? give_up("denied", kDenied, Say::no_permission_file, file.string())
                  : give_up("not-found", kFailed, Say::no_file, file.string());
  }

  // What it says of this point, and nothing else.
  int read_config() {
    if (access(asked_.config.c_str(), R_OK) != 0) return no_file(asked_.config);
    auto document = config::Document::load(asked_.config);
    const auto root = document.root();
    for (const auto& key : root.keys()) static_cast<void>(root.has(key));  // other rooms' tables are not looked at
    const auto devices = drivers::Drivers::read_config(root);
    std::vector<std::string> known;
    detect::Names names;
    for (const auto& device : devices) {
      for (const auto& point : device.info.points) {
        known.push_back(point.point);
        const auto kind = point.type == drivers::ValueType::boolean ? detect::Kind::boolean
                          : point.type == drivers::ValueType::text  ? detect::Kind::text
                                                                    : detect::Kind::number;
        names.points.push_back({.name = point.point, .kind = kind, .unit = point.unit});
        if (point.point == asked_.point) boolean_ = point.type == drivers::ValueType::boolean;
      }
    }
    if (known.empty()) {  // rules alone, without devices
      known = root.table("quality").keys();
      known.push_back(asked_.point);
      for (const auto& point : known) names.points.push_back({.name = point});
    }
    auto rules = detect::read_rules(root, names);
    document.finish();
    for (const auto& wrong : document.diagnostics()) err_ << wrong.to_string(asked_.lang) << '\n';
    if (!document.ok()) {
      return give_up("invalid", kFailed, Say::config_bad, asked_.config.string(), document.diagnostics().size());
    }
    if (std::find(known.begin(), known.end(), asked_.point) == known.end()) {
      const auto near = config::nearest(asked_.point, known);
      if (near) return give_up("not-found", kFailed, Say::backtest_no_point_but, asked_.point, *near);
      return give_up("not-found", kFailed, Say::backtest_no_point, asked_.point);
    }
    detect::Rules mine;
    for (auto& rule : rules.quality) {
      if (rule.point == asked_.point) mine.quality.push_back(std::move(rule));
    }
    if (mine.quality.empty()) mine.quality.push_back({.point = asked_.point});
    auto& rule = mine.quality.front();
    if (!rule.anomaly) rule.anomaly.emplace();  // what it would say is told in any case
    looks_ahead_ = rule.spike.has_value();
    for (auto& alarm : rules.alarms) {
      auto sources = alarm.sources();
      if (std::find(sources.begin(), sources.end(), asked_.point) == sources.end()) continue;
      counts_.raised.try_emplace(alarm.id);  // that it would never have been is an answer
      if (alarm.suppressed_when) {
        for (auto& source : alarm.suppressed_when->sources()) {
          if (std::find(sources.begin(), sources.end(), source) == sources.end()) sources.push_back(std::move(source));
        }
      }
      std::string others;
      for (const auto& source : sources) {
        if (source != asked_.point) others += (others.empty() ? "" : ", ") + source;
      }
      if (!others.empty()) err_ << say(asked_.lang, Say::backtest_unknown_terms, alarm.id, others) << '\n';
      mine.alarms.push_back(std::move(alarm));
    }
    engine_.emplace(std::move(mine), 1);
    return kOk;
  }

  void run(std::istream& in) {
    SeriesCsv series{in, asked_.zone};
    for (auto next = series.next(); next.row || next.bad; next = series.next()) {
      if (next.bad) {
        note_bad(*next.bad);
      } else {
        take(*next.row);
      }
      if (!out_) return;  // nobody reads any more
    }
    while (!held_.empty()) release();
    if (counts_.bad_lines > kMostComplaints)
      complain(Say::backtest_more_bad_lines, counts_.bad_lines - kMostComplaints);
    if (asked_.summary) print_summary();
    out_ << std::flush;
  }

  void note_bad(const SeriesCsv::BadLine& bad) {
    if (++counts_.bad_lines > kMostComplaints) return;
    complain(Say::backtest_bad_line, asked_.csv.string(), bad.line,
             printable(say(asked_.lang, bad.wrong.what, bad.wrong.about)));
  }

  [[nodiscard]] Value value_of(const SeriesCsv::Row& row) const {
    if (row.missing()) return {};
    if (!row.text.empty()) return row.text == "true";
    if (boolean_ && (*row.number == 0 || *row.number == 1)) return *row.number == 1;
    return *row.number;
  }

  void take(const SeriesCsv::Row& from) {
    Reading reading{.point = asked_.point, .at = MonoTime{from.at.time_since_epoch()}, .value = value_of(from)};
    const bool late = counts_.last && from.at < *counts_.last;
    auto outcome = engine_->evaluate(std::move(reading), from.at);
    if (outcome.spike_before && open_) {
      auto& before = held_.at(*open_);
      before.tests[Test::spike] = *outcome.spike_before;
      before.correction = std::move(outcome.correction);
    }
    const bool learning = !late && !outcome.score && outcome.reading.quality == Quality::good;
    held_.push_back({.at = from.at,
                     .reading = std::move(outcome.reading),
                     .tests = outcome.tests,
                     .score = outcome.score.value_or(0),
                     .late = late,
                     .learning = learning,
                     .anomalous = outcome.anomalous,
                     .transitions = std::move(outcome.transitions),
                     .correction = {}});
    if (late && ++counts_.late == 1) complain(Say::backtest_not_in_order, asked_.csv.string(), from.line);
    if (!counts_.first) counts_.first = from.at;
    if (!late) {
      if (!open_ || outcome.spike_before) open_ = held_.size() - 1;
      counts_.last = from.at;
    }
    while (!held_.empty() && (!looks_ahead_ || open_ != std::size_t{0} || held_.size() > kMostHeld)) release();
  }

  // The oldest row has all that will be known of it.
  void release() {
    const auto& row = held_.front();
    ++counts_.rows;
    ++counts_.quality[row.reading.quality];
    for (std::size_t i = 0; i < detect::kTests; ++i) {
      if (row.tests.all()[i] != Flag::none) ++counts_.tests.at(i)[row.tests.all()[i]];
    }
    if (row.anomalous) ++counts_.anomalies;
    if (row.correction) ++counts_.corrected;
    for (const auto& alarm : row.transitions) counts_.raised[alarm.id] = alarm.occurrence;  // also what a flood hid
    if (!asked_.summary) {
      out_ << (asked_.json ? row_json(row).dump() : words(row)) << '\n';
    }
    held_.pop_front();
    if (open_) open_ = *open_ == 0 ? std::nullopt : std::optional{*open_ - 1};
  }

  [[nodiscard]] std::string words(const Row& row) const {
    const auto lang = asked_.lang;
    std::string notes;
    const auto note = [&](const std::string& more) { notes += (notes.empty() ? "" : "; ") + more; };
    if (row.late) note(say(lang, Say::backtest_late_row));
    if (!row.reading.why.empty()) note(word(lang, Kind::why, row.reading.why));
    for (std::size_t i = 0; i < detect::kTests; ++i) {
      const auto flag = row.tests.all()[i];
      if (flag == Flag::suspect || flag == Flag::fail)
        note(fmt::format("{}={}", to_string(static_cast<Test>(i)), number_of(flag)));
    }
    if (row.correction)
      note(say(lang, Say::backtest_corrected, word(lang, Kind::quality, to_string(row.correction->quality))));
    if (row.anomalous) note(say(lang, Say::backtest_anomaly));
    for (const auto& alarm : row.transitions) {
      note(fmt::format("{} {} #{}", alarm.id, word(lang, Kind::alarm_state, to_string(alarm.state)), alarm.occurrence));
    }
    return fmt::format("{}  {}  {}  {}  {}", to_china_time(row.at), pad(show_number(row.reading.value), 12),
                       pad(word(lang, Kind::quality, to_string(row.reading.quality)), 8),
                       row.learning || row.late ? "  - " : fmt::format("{:.2f}", row.score), printable(notes));
  }

  void print_summary() const {
    const auto state = engine_->point_state(asked_.point).value();
    if (asked_.json) {
      out_ << summary_json(counts_, asked_.point, state).dump() << '\n';
      return;
    }
    const auto lang = asked_.lang;
    auto table = Table::labels();
    const auto add = [&](Say label, std::string text) { table.add({phrase_of(label), std::move(text)}); };
    add(Say::point, asked_.point);
    if (counts_.first && counts_.last) {
      add(Say::time, to_china_time(*counts_.first) + " - " + to_china_time(*counts_.last));
    }
    add(Say::backtest_rows, fmt::to_string(counts_.rows));
    for (const auto& [quality, count] : counts_.quality) {
      table.add({"  " + word(lang, Kind::quality, to_string(quality)), fmt::to_string(count)});
    }
    for (std::size_t i = 0; i < detect::kTests; ++i) {
      std::string text;
      for (const auto& [flag, count] : counts_.tests.at(i)) {
        text += fmt::format("{}{}: {}", text.empty() ? "" : "  ", number_of(flag), count);
      }
      if (!text.empty()) table.add({"  " + std::string{to_string(static_cast<Test>(i))}, text});
    }
    add(Say::backtest_late, fmt::to_string(counts_.late));
    add(Say::backtest_bad_lines, fmt::to_string(counts_.bad_lines));
    add(Say::backtest_anomalies, fmt::to_string(counts_.anomalies));
    add(Say::backtest_learned, span(lang, state.detector->time));
    for (const auto& [id, count] : counts_.raised) table.add({id, say(lang, Say::backtest_raised, count)});
    out_ << table.render(false);
  }
  [[nodiscard]] std::string phrase_of(Say id) const { return std::string{phrase(asked_.lang, id)}; }

  const Invocation& asked_;
  std::ostream& out_;
  std::ostream& err_;
  bool boolean_ = false;
  bool looks_ahead_ = false;
  std::optional<detect::Engine> engine_;
  Counts counts_;
  std::deque<Row> held_;             // in the file's order
  std::optional<std::size_t> open_;  // of held_: the newest sample, of which the next one tells
};

}  // namespace

int backtest(const Invocation& asked, std::ostream& out, std::ostream& err) {
  return Backtest{asked, out, err}.carry_out();
}

}  // namespace hamlet::ctl
