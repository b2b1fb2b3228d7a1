// What must hold for any series of readings; the series come from seeded generators.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "firmware/detect/engine.hpp"

namespace property_test {

using namespace hamlet;
using namespace hamlet::detect;
using std::chrono::seconds;

namespace {

constexpr std::uint32_t kBoot = 3;
constexpr MonoTime kClockSet = mono_from_ms(100'000);

// The clock is set after a while.
std::optional<WallTime> wall(MonoTime at) {
  if (at < kClockSet) return {};
  return WallTime{at.time_since_epoch() + std::chrono::hours{15} + std::chrono::minutes{55}};  // 23:55 in Beijing
}

Rules some_rules() {
  Rules rules;
  rules.quality.push_back({.point = "river.level",
                           .range = Span{0, 10},
                           .suspect = Span{0.5, 9},
                           .climatology = {{.first_hour = 1, .last_hour = 23, .suspect = Span{0.7, 8.5}}},
                           .spike = SpikeRule{.suspect = 0.9, .fail = 1.1},
                           .rate_of_change = 0.4,
                           .flat_line = FlatLineRule{.tolerance = 0.2, .suspect = seconds{40}, .fail = seconds{70}},
                           .attenuated = AttenuatedRule{.suspect = 0.07, .window = seconds{60}, .min_samples = 5},
                           .gap = seconds{25},
                           .anomaly = AnomalyRule{.threshold = 0.4}});
  rules.quality.push_back(
      {.point = "rain.hour",
       .range = Span{0, 9.5},
       .gap = seconds{60},
       .neighbour = NeighbourRule{.point = "river.level", .difference = 5.0, .within = seconds{9}}});
  const auto alarm = [&](std::string id, std::string point, Condition condition, Value limit, double deadband, int on,
                         int off) {
    rules.alarms.push_back({.id = std::move(id),
                            .point = std::move(point),
                            .condition = condition,
                            .limit = std::move(limit),
                            .within = seconds{30},
                            .deadband = deadband,
                            .on_delay = seconds{on},
                            .off_delay = seconds{off},
                            .severity = Severity::critical});
  };
  alarm("high", "river.level", Condition::above, 6.0, 0.5, 12, 8);
  alarm("high-now", "river.level", Condition::above, 7.0, 0, 0, 0);
  alarm("low", "river.level", Condition::below, 2.0, 0.3, 5, 20);
  alarm("rising", "river.level", Condition::rise, 2.0, 0.5, 0, 10);
  alarm("falling", "rain.hour", Condition::fall, 3.0, 0, 7, 0);
  alarm("pump", "pump.on", Condition::equals, true, 0, 9, 9);
  alarm("by-hour", "river.level", Condition::above, 6.0, 0.4, 3, 0);
  rules.alarms.back().seasons = {{.first_hour = 0, .last_hour = 3, .limit = 5.0}, {.first_hour = 23, .limit = 7.5}};
  const Names names{.points = {{"river.level", Kind::number}, {"rain.hour", Kind::number}, {"pump.on", Kind::boolean}}};
  const auto rule = [&](std::string id, std::string_view when, int on) {
    AlarmRule out;
    out.id = std::move(id);
    out.condition = Condition::when;
    out.when = Expression::parse(when, names).value();
    out.point = out.when->terms().front().label();
    out.on_delay = seconds{on};
    rules.alarms.push_back(std::move(out));
  };
  rule("storm", "sum(rain.hour, 40s) > 40 and river.level > 4 or rise(river.level, 30s) > 2.5", 0);
  rule("steps", "sequence(pump.on, river.level > 5, rain.hour > 5, 2min) or count(pump.on, 1min) >= 3", 4);
  rule("tips", "increase(rain.hour, 60s) > 12 and min(river.level, 30s) > 3 or fall(rain.hour, 20s) > 6", 0);
  rule("some", "at_least(2, river.level > 6, rain.hour > 6, pump.on) and any(river.level rising in 30s, rain.hour > 7)", 2);
  rule("nobody", "time in 00:00-00:20 and count(pump.on == true, since 00:00) < 2", 5);
  rule("calm", "held(not pump.on, 20s) and not within(river.level > 6, 50s) and avg(rain.hour, since 00:00) < 6", 0);
  rules.alarms.back().suppressed_when = Expression::parse("rain.hour falling in 20s", names).value();
  rule("lost", "not known(river.level) and rain.hour > 3 or held(not known(pump.on), 8s)", 3);
  return rules;
}

// Readings in order of time: walks with spikes, stuck stretches, missing values, silences and repetitions. Each point
// speaks at the start: the silence of one that never did counts from the last start, which a restart moves.
std::vector<Reading> some_readings(std::uint32_t seed) {
  std::mt19937 random{seed};
  const auto chance = [&](unsigned one_in) { return random() % one_in == 0; };
  const auto step = [&](double size) { return std::uniform_real_distribution{-size, size}(random); };
  std::vector<Reading> out;
  double level = 4;
  double rain = 5;
  bool stuck = false;
  std::int64_t ms = 1'000;
  for (const char* point : {"river.level", "rain.hour"}) {
    out.push_back({.point = point, .at = mono_from_ms(ms), .value = level});
  }
  for (int i = 0; i < 800; ++i) {
    ms += static_cast<std::int64_t>(random() % 4) * 1'000;
    if (chance(40)) ms += static_cast<std::int64_t>(random() % 90) * 1'000;
    if (chance(30)) stuck = !stuck;
    if (!stuck) level = std::clamp(level + step(1.2), -0.5, 10.5);
    rain = std::clamp(rain + step(2), 0.0, 10.0);
    const auto at = mono_from_ms(ms);
    switch (random() % 4) {
      case 0:
        out.push_back({.point = "rain.hour", .at = at, .value = rain});
        break;
      case 1:
        out.push_back({.point = "pump.on", .at = at, .value = chance(2)});
        break;
      default:
        out.push_back({.point = "river.level", .at = at, .value = chance(30) ? 50.0 : level});
        break;
    }
    if (chance(15)) out.back() = {.point = out.back().point, .at = at, .quality = Quality::missing, .why = "timeout"};
    if (chance(25)) out.push_back(out.back());
  }
  return out;
}

std::string describe(const Reading& reading) {
  return fmt::format("{} {} {} {} {}", reading.point, to_ms(reading.at), to_string(reading.value),
                     to_string(reading.quality), reading.why);
}
std::string describe(const Alarm& alarm) {
  return fmt::format("{} {} #{} at {}:{} {}/{}", alarm.id, to_string(alarm.state), alarm.occurrence, alarm.since.boot,
                     to_ms(alarm.since.mono), to_string(alarm.value), to_string(alarm.limit));
}

// All that came out of a run, readings by point and transitions by alarm, in order.
struct Log {
  std::map<std::string, std::vector<std::string>> readings;
  std::map<std::string, std::vector<std::string>> transitions;
  std::vector<Reading> judged;
  std::vector<Reading> all;  // and what operators did in between: of no point, what in `why`
  std::vector<Reading> corrections;
  int scores = 0;

  void add(const Reading& reading) {
    readings[reading.point].push_back(describe(reading));
    judged.push_back(reading);
    all.push_back(reading);
  }
  void act(MonoTime at, std::string what) { all.push_back({.point = {}, .at = at, .why = std::move(what)}); }
  void add(const std::vector<Alarm>& alarms) {
    for (const auto& alarm : alarms) transitions[alarm.id].push_back(describe(alarm));
  }
  void add(const Due& due) {
    for (const auto& reading : due.readings) add(reading);
    add(due.transitions);
  }
  void add(const Outcome& outcome) {
    add(outcome.transitions);
    add(outcome.reading);
    auto& line = readings[outcome.reading.point].back();
    for (const auto flag : outcome.tests.all()) line += fmt::format(" {}", static_cast<int>(flag));
    if (outcome.score) line += fmt::format(" score {}{}", *outcome.score, outcome.anomalous ? "!" : "");
    if (outcome.correction) line += " corrected " + describe(*outcome.correction);
    if (outcome.correction) corrections.push_back(*outcome.correction);
    scores += outcome.score && *outcome.score > 0 ? 1 : 0;
  }
};

// The timer, as a daemon would set it, up to `now`.
void run_timer(Engine& engine, MonoTime now, Log& log) {
  for (auto due = engine.next_due(); due && *due <= now; due = engine.next_due()) log.add(engine.tick(*due, wall(*due)));
}

// What operators do now and then, at the same readings in every run; what has come due by then comes first.
void operate(Engine& engine, std::size_t i, MonoTime now, Log& log) {
  if (i % 17 != 0) return;
  log.add(engine.tick(now, wall(now)));
  const auto alarms = engine.alarms();
  const auto& some = alarms[i / 17 * 5 % alarms.size()].id;
  const PutAside how{.length = seconds{60 + i % 60}, .by = "li", .reason = "test"};
  const auto until = to_ms(now + how.length) / 1'000;
  const auto did = [&](std::string what, const Asked<std::vector<Alarm>>& result) {
    if (!result) return;
    log.add(*result);
    log.act(now, std::move(what));
  };
  switch (i / 17 % 8) {
    case 1:
      return did(fmt::format("shelve {} {}", some, until), engine.shelve(some, how, now));
    case 2:
      for (const auto& alarm : alarms) did(fmt::format("unshelve {}", alarm.id), engine.unshelve(alarm.id, now));
      return;
    case 3:
      return did(fmt::format("out {}", some), engine.take_out_of_service(some, how, now));
    case 4:
      for (const auto& alarm : alarms) did(fmt::format("in {}", alarm.id), engine.put_in_service(alarm.id, now));
      return;
    case 5: {
      const auto* device = i % 2 == 0 ? "river" : "pump";
      return did(fmt::format("maintain {} {}", device, until), engine.begin_maintenance(device, how, now));
    }
    case 6:
      return did(fmt::format("maintain river {}", to_ms(now) / 1'000), engine.end_maintenance("river", now));
    default:
      for (const auto& alarm : alarms) {
        if (const auto acked = engine.acknowledge(alarm.id, alarm.occurrence, now)) log.add(std::vector{*acked});
      }
  }
}

// What a daemon would prime an engine with: of each point the two newest readings before the engine's history, with the
// gap that followed it, and all since.
std::vector<Reading> past_of_use(const std::vector<Reading>& judged, MonoTime now, Millis history) {
  std::map<std::string, std::vector<Reading>> newest;
  std::vector<Reading> since;
  for (const auto& reading : judged) {
    if (reading.at >= now - history) {
      since.push_back(reading);
    } else {
      auto& kept = newest[reading.point];
      const auto values = std::count_if(kept.begin(), kept.end(), [](const auto& each) { return each.why != "gap"; });
      if (reading.why != "gap" && values >= 2) {
        kept.erase(kept.begin());
        while (kept.front().why == "gap") kept.erase(kept.begin());
      }
      kept.push_back(reading);
    }
  }
  std::vector<Reading> out;
  for (const auto& [point, readings] : newest) out.insert(out.end(), readings.begin(), readings.end());
  out.insert(out.end(), since.begin(), since.end());
  return out;
}

template <class Between>
Log run(const std::vector<Reading>& readings, Between between) {
  Engine engine{some_rules(), kBoot};
  Log log;
  log.add(engine.tick(mono_from_ms(0)));
  for (std::size_t i = 0; i < readings.size(); ++i) {
    run_timer(engine, readings[i].at, log);
    log.add(engine.evaluate(readings[i], wall(readings[i].at)));
    operate(engine, i, readings[i].at, log);
    between(engine, i, log);
  }
  const auto end = readings.back().at + std::chrono::hours{1};
  run_timer(engine, end, log);
  log.add(engine.tick(end, wall(end)));
  return log;
}
Log run(const std::vector<Reading>& readings) {
  return run(readings, [](Engine&, std::size_t, const Log&) {});
}

}  // namespace

TEST_CASE("the generators make every alarm and every verdict happen") {
  Log all;
  for (std::uint32_t seed = 1; seed <= 20; ++seed) {
    const auto log = run(some_readings(seed));
    for (const auto& [id, transitions] : log.transitions) all.transitions[id].push_back(id);
    for (const auto& reading : log.judged) all.readings[reading.why].push_back("");
    for (const auto& reading : log.corrections) all.readings[reading.why].push_back("");
    all.scores += log.scores;
  }
  CHECK(all.scores > 20);
  CHECK(all.transitions.size() == 14);
  for (const std::string why : {"", "gross-range", "rate-of-change", "flat-line", "gap", "timeout", "climatology",
                                "spike", "attenuated-signal", "neighbour"}) {
    CAPTURE(why);
    CHECK(all.readings.contains(why));
  }
}

TEST_CASE("a restart at any reading gives the same outcome") {
  for (std::uint32_t seed = 1; seed <= 12; ++seed) {
    const auto readings = some_readings(seed);
    const auto expected = run(readings);
    std::mt19937 random{seed};
    const auto every = seed <= 2 ? 1U : 2 + random() % 20;
    std::map<std::string, std::string> stored;
    const auto got = run(readings, [&](Engine& engine, std::size_t i, const Log& log) {
      for (auto& [key, value] : engine.save_changed()) stored.insert_or_assign(key, value);
      if (i % every != 0) return;
      if (random() % 2 == 0) {  // else only what was saved earlier is there, and the readings since
        for (auto& [key, value] : engine.save_detectors()) stored.insert_or_assign(key, value);
      }
      Engine again{some_rules(), kBoot};
      for (const auto& [key, value] : stored) REQUIRE(again.restore(key, value));
      for (const auto& reading : past_of_use(log.judged, readings[i].at, again.history()))
        again.prime(reading, wall(reading.at));
      const auto due = again.tick(readings[i].at, wall(readings[i].at));
      REQUIRE(due.readings.empty());
      CHECK(due.transitions.empty());
      engine = std::move(again);
    });
    CAPTURE(seed);
    for (const auto& [id, transitions] : expected.transitions) {
      CAPTURE(id);
      const auto found = got.transitions.find(id);
      REQUIRE(found != got.transitions.end());
      CHECK(fmt::format("{}", fmt::join(found->second, "\n")) == fmt::format("{}", fmt::join(transitions, "\n")));
    }
    CHECK(got.transitions.size() == expected.transitions.size());
    CHECK(got.readings.at("river.level") == expected.readings.at("river.level"));
    CHECK(got.readings.at("rain.hour") == expected.readings.at("rain.hour"));
  }
}

TEST_CASE("alarms do not depend on when the timer runs") {
  for (std::uint32_t seed = 1; seed <= 50; ++seed) {
    const auto readings = some_readings(seed);
    Engine engine{some_rules(), kBoot};
    Log log;
    log.add(engine.tick(mono_from_ms(0)));
    std::mt19937 random{seed};
    for (std::size_t i = 0; i < readings.size(); ++i) {
      const auto now = wall(readings[i].at);
      if (now && !wall(readings[i == 0 ? 0 : i - 1].at)) run_timer(engine, kClockSet - Millis{1}, log);
      if (random() % 5 == 0) log.add(engine.tick(readings[i].at, now));
      log.add(engine.evaluate(readings[i], wall(readings[i].at)));
      operate(engine, i, readings[i].at, log);
      while (random() % 3 == 0) log.add(engine.tick(readings[i].at, now));
    }
    const auto end = readings.back().at + std::chrono::hours{1};
    log.add(engine.tick(end, wall(end)));
    CAPTURE(seed);
    CHECK(log.transitions == run(readings).transitions);
  }
}

TEST_CASE("late and repeated readings leave no trace") {
  for (std::uint32_t seed = 1; seed <= 50; ++seed) {
    const auto readings = some_readings(seed);
    const auto expected = run(readings);
    std::mt19937 random{seed};
    const auto disturbed = run(readings, [&](Engine& engine, std::size_t i, const Log&) {
      auto late = readings[random() % (i + 1)];
      if (late.at == readings[i].at) late.at -= seconds{1};
      const auto newest = std::find_if(readings.rend() - static_cast<std::ptrdiff_t>(i) - 1, readings.rend(),
                                       [&](const auto& reading) { return reading.point == late.point; });
      if (newest == readings.rend() || late.at >= newest->at) return;
      CHECK(engine.evaluate(late, wall(late.at)).transitions.empty());
    });
    CAPTURE(seed);
    CHECK(disturbed.transitions == expected.transitions);
    CHECK(disturbed.readings == expected.readings);
  }
}

namespace {

// A second opinion on one alarm: counts seconds, one at a time, and looks at all that was read so far. What is shown
// raised, and since when, is all that it says.
class Opinion {
 public:
  explicit Opinion(const AlarmRule& rule) : rule_{rule} {}

  void second(std::int64_t now) {
    now_ = now;
    if (shelved_until_ <= now) shelved_until_ = 0;
    if (leaving_ && known_ && --left_ == 0) turn();
    if (maintained_until_ != 0 && maintained_until_ <= now) put([&] { maintained_until_ = 0; });
  }
  void read(const Reading& reading) {
    if (reading.point.empty()) return act(reading.why);
    if (reading.point != rule_.point) return;
    const bool counts = reading.quality == Quality::good || reading.quality == Quality::suspect;
    if (counts) seen_.emplace_back(now_, as_number(reading.value).value_or(0));
    stands_ = counts ? stands(reading, raised_ ? rule_.deadband : 0) : std::nullopt;
    bare_ = counts ? stands(reading, 0) : std::nullopt;
    judge();
  }
  void note() {
    const bool shown = raised_ && shelved_until_ == 0 && !unjudged();
    if (shown != shown_) changes.push_back(fmt::format("{} {}", shown ? "raised" : "back", now_));
    shown_ = shown;
  }
  std::vector<std::string> changes{};

 private:
  [[nodiscard]] bool unjudged() const { return out_ || maintained_until_ != 0; }
  void act(const std::string& what) {
    const auto verb = what.substr(0, what.find(' '));
    const auto about = what.substr(verb.size() + 1, what.find(' ', verb.size() + 1) - verb.size() - 1);
    const auto until = std::atoll(what.substr(what.rfind(' ') + 1).c_str());
    if (verb == "maintain") {
      if (rule_.point.starts_with(about + ".")) put([&] { maintained_until_ = until > now_ ? until : 0; });
    } else if (about == rule_.id) {
      if (verb == "shelve") shelved_until_ = until;
      if (verb == "unshelve") shelved_until_ = 0;
      if (verb == "out") put([&] { out_ = true; });
      if (verb == "in") put([&] { out_ = false; });
    }
  }
  template <class Set>
  void put(Set set) {
    const bool before = unjudged();
    set();
    if (!before && unjudged()) {
      const bool windowed = rule_.condition == Condition::rise || rule_.condition == Condition::fall;
      stands_ = raised_ && stands_ == true && windowed && rule_.deadband > 0 ? std::nullopt : bare_;
      raised_ = leaving_ = chatters_ = false;
    }
    if (before && !unjudged()) judge();
  }
  void judge() {
    known_ = stands_.has_value();
    if (!known_ || unjudged()) return;
    if (*stands_ == raised_) {
      leaving_ = false;
      return;
    }
    const auto off = chatters_ ? std::max<std::int64_t>(300, rule_.off_delay / seconds{1}) : rule_.off_delay / seconds{1};
    if (!leaving_) left_ = raised_ ? off : rule_.on_delay / seconds{1};
    leaving_ = true;
    if (left_ == 0) turn();
  }
  void turn() {
    raised_ = !raised_;
    leaving_ = false;
    if (raised_) at_.push_back(now_);
    chatters_ = raised_ && at_.size() > 2 && now_ - at_[at_.size() - 3] <= 60;
  }
  [[nodiscard]] std::optional<bool> stands(const Reading& reading, double back) const {
    if (rule_.condition == Condition::equals) return reading.value == rule_.limit;
    const double x = seen_.back().second;
    std::vector<double> limits{std::get<double>(rule_.limit)};
    if (!rule_.seasons.empty()) {
      limits = {6.0, 5.0, 7.5};
      if (const auto now = wall(reading.at)) {
        const auto hour = local_time(*now).hour;
        limits = {hour == 23 ? 7.5 : hour <= 3 ? 5.0 : 6.0};
      }
    }
    std::vector<bool> each;
    for (const double limit : limits) {
      double furthest = 0;
      for (const auto& [at, before] : seen_) {
        if (at < now_ - 30) continue;
        furthest = std::max(furthest, rule_.condition == Condition::rise ? x - before : before - x);
      }
      each.push_back(rule_.condition == Condition::above   ? x > limit - back
                     : rule_.condition == Condition::below ? x < limit + back
                                                           : furthest > limit - back);
    }
    if (std::count(each.begin(), each.end(), each[0]) == std::ssize(each)) return each[0];
    return {};
  }

  const AlarmRule& rule_;
  std::int64_t now_ = 0;
  std::vector<std::pair<std::int64_t, double>> seen_{};
  std::optional<bool> stands_{};
  std::optional<bool> bare_{};  // without the deadband
  bool raised_ = false;
  bool leaving_ = false;  // on the way to the other side
  bool known_ = false;
  bool chatters_ = false;
  bool shown_ = false;
  bool out_ = false;
  std::int64_t left_ = 0;
  std::int64_t shelved_until_ = 0;
  std::int64_t maintained_until_ = 0;
  std::vector<std::int64_t> at_{};
};

}  // namespace

TEST_CASE("no alarm without a cause, and none lost") {
  const auto rules = some_rules();
  std::size_t changes = 0;
  for (std::uint32_t seed = 1; seed <= 60; ++seed) {
    const auto log = run(some_readings(seed));
    std::map<std::int64_t, std::vector<Reading>> by_second;
    for (const auto& reading : log.all) by_second[to_ms(reading.at) / 1'000].push_back(reading);
    const auto last = by_second.rbegin()->first;
    for (const auto& rule : rules.alarms) {
      if (rule.when) continue;
      Opinion opinion{rule};
      for (std::int64_t second = 0; second <= last; ++second) {
        opinion.second(second);
        if (const auto found = by_second.find(second); found != by_second.end()) {
          for (const auto& reading : found->second) opinion.read(reading);
        }
        opinion.note();
      }
      std::map<std::int64_t, bool> shown;  // at the end of each second in which it changed
      if (const auto found = log.transitions.find(rule.id); found != log.transitions.end()) {
        for (const auto& line : found->second) {
          const auto second = (std::stoll(line.substr(line.find(':') + 1)) + 500) / 1'000;  // a gap is told 1 ms late
          if (second <= last) shown[second] = line.starts_with(rule.id + " unacked") || line.starts_with(rule.id + " acked");
        }
      }
      std::vector<std::string> got;
      for (bool before = false; const auto& [second, raised] : shown) {
        if (std::exchange(before, raised) != raised) got.push_back(fmt::format("{} {}", raised ? "raised" : "back", second));
      }
      CAPTURE(seed);
      CAPTURE(rule.id);
      CHECK(fmt::format("{}", fmt::join(got, ", ")) == fmt::format("{}", fmt::join(opinion.changes, ", ")));
      changes += got.size();
    }
  }
  CHECK(changes > 1'000);
}

namespace {

const std::vector<double> kOddNumbers{
    std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(),
    -std::numeric_limits<double>::infinity(), std::numeric_limits<double>::max(),
    std::numeric_limits<double>::lowest(),    std::numeric_limits<double>::denorm_min(),
    -0.0};
constexpr Millis kTenYears = std::chrono::hours{24 * 3653};

// Each kind of alarm there is, one at a time.
std::vector<AlarmRule> each_kind() {
  std::vector<AlarmRule> out;
  const auto add = [&](Condition condition, Value limit) -> AlarmRule& {
    out.push_back({.id = std::string{to_string(condition)}, .point = "river.level", .condition = condition, .limit = std::move(limit)});
    return out.back();
  };
  add(Condition::above, 6.0).deadband = 1;
  add(Condition::below, 2.0).on_delay = seconds{5};
  add(Condition::equals, std::string{"open"});
  add(Condition::rise, 2.0).within = seconds{30};
  add(Condition::fall, 2.0).within = std::chrono::hours{24 * 31};
  auto& season = add(Condition::above, 6.0);
  season.id = "season";
  season.seasons = {{.first_month = 11, .last_month = 2, .limit = 3.0}};
  for (const std::string_view when :
       {"sum(river.level, 31d) > 30", "avg(river.level, 1min) > 5", "min(river.level, 1min) < 2", "max(river.level, 1min) > 8",
        "rise(river.level, 1min) > 2", "fall(river.level, 1min) > 2", "increase(river.level, 1min) > 5", "river.level rising",
        "river.level falling in 1min", "count(river.level > 5, 1h) >= 3", "count(river.level > 5, since 05:00) < 1",
        "sum(river.level, since 05:00) > 50", "within(river.level > 6, 31d)", "held(river.level > 3, 10s)",
        "sequence(river.level > 3, river.level < 2, 1h)", "at_least(2, river.level > 3, river.level / rain.hour > 1, rain.hour == 0)",
        "time in 22:00-06:00 and river.level > 3", "month in 11-2 and river.level > 3",
        "river.level * river.level - rain.hour * rain.hour > 20", "-river.level / (rain.hour - rain.hour) < 1"}) {
    auto& rule = out.emplace_back();
    rule.id = fmt::format("when-{}", out.size());
    rule.condition = Condition::when;
    rule.when = Expression::parse(when, {.points = {{"river.level", Kind::number}, {"rain.hour", Kind::number}}}).value();
    rule.point = "river.level";
  }
  for (auto& rule : out) rule.severity = Severity::critical;  // which no flood hides
  return out;
}

QualityRule every_test() {
  auto rule = some_rules().quality.front();
  rule.neighbour = NeighbourRule{.point = "rain.hour", .difference = 5.0, .ratio = 3.0, .within = seconds{9}};
  return rule;
}

}  // namespace

TEST_CASE("no value, no time and no clock breaks a test, the detector or an alarm") {
  for (std::uint32_t seed = 1; seed <= 12; ++seed) {
    std::mt19937 random{seed};
    const auto below = [&](unsigned n) { return static_cast<unsigned>(random()) % n; };
    Rules rules{.quality = {every_test()}, .alarms = each_kind()};
    if (below(2) == 0) rules.quality[0].attenuated = AttenuatedRule{.check = AttenuatedRule::Check::range, .suspect = 1, .min_samples = 1};
    if (below(2) == 0) rules.quality[0].flat_line->every = seconds{1};
    if (below(2) == 0) rules.quality[0].spike->method = SpikeRule::Method::differential;
    Engine engine{rules, kBoot};
    std::map<std::string, std::string> stored;
    MonoTime now{};
    std::optional<Millis> clock;
    std::map<std::string, Alarm> last;
    const auto check = [&](const std::vector<Alarm>& transitions) {
      for (const auto& alarm : transitions) {
        const auto* value = std::get_if<double>(&alarm.value);
        const auto* limit = std::get_if<double>(&alarm.limit);
        CHECK((value == nullptr || std::isfinite(*value)));
        CHECK((limit == nullptr || std::isfinite(*limit)));
        CHECK(alarm.since.mono <= now);
        const auto before = last.find(alarm.id);
        if (before != last.end()) {
          CHECK(alarm.state != before->second.state);
          CHECK(alarm.since >= before->second.since);
          CHECK(alarm.occurrence - before->second.occurrence == (alarm.state == AlarmState::unacked ? 1 : 0));
        }
        last.insert_or_assign(alarm.id, alarm);
      }
    };
    for (int i = 0; i < 400; ++i) {
      CAPTURE(seed);
      CAPTURE(i);
      now += seconds{below(3)};
      if (below(60) == 0) clock = std::array{Millis{0}, 5 * kTenYears, -kTenYears / 10, 700 * kTenYears}.at(below(4));
      if (below(60) == 0) clock.reset();
      if (clock && below(100) == 0) now += kTenYears;  // rules by the clock look each hour, and each minute while it is unset
      const auto wall = clock ? std::optional{WallTime{now.time_since_epoch() + *clock}} : std::nullopt;
      Reading reading{.point = below(4) == 0 ? "rain.hour" : "river.level", .at = now, .value = below(100) / 10.0};
      const auto what = below(12);
      if (what < 2) reading.value = kOddNumbers.at(below(7));
      if (what == 2) reading.value = below(2) == 0 ? Value{std::string{"open"}} : Value{true};
      if (what == 3) reading = {.point = reading.point, .at = now, .quality = Quality::missing, .why = "timeout"};
      if (what == 4) reading.at = MonoTime{now.time_since_epoch() / (1 + below(3))};
      const auto outcome = engine.evaluate(reading, wall);
      const auto* x = std::get_if<double>(&outcome.reading.value);
      CHECK((x == nullptr || std::isfinite(*x)));
      CHECK((!outcome.score || (*outcome.score >= 0 && *outcome.score < 1)));
      CHECK((std::holds_alternative<std::monostate>(outcome.reading.value)) == (outcome.reading.quality == Quality::missing));
      check(outcome.transitions);
      if (below(3) == 0) check(engine.tick(now, wall).transitions);
      if (const auto due = engine.next_due(); due && below(3) == 0) {
        check(engine.tick(now, wall).transitions);
        CHECK((!engine.next_due() || *engine.next_due() > now));
      }
      for (auto& [key, value] : engine.save_changed()) stored.insert_or_assign(key, value);
      for (auto& [key, value] : engine.save_detectors()) stored.insert_or_assign(key, value);
      if (below(50) != 0) continue;
      const auto before = engine.alarms();
      engine = Engine{rules, kBoot};
      for (const auto& [key, value] : stored) REQUIRE(engine.restore(key, value));
      for (std::size_t j = 0; j < before.size(); ++j) CHECK(describe(engine.alarms()[j]) == describe(before[j]));
    }
    // And then all is well again: what stands above its limit is raised, what does not returns.
    rules.quality.clear();
    const auto set = [&](double value) {
      now += seconds{1};
      check(engine.evaluate({.point = "river.level", .at = now, .value = value}, {}).transitions);
    };
    engine.reload(rules);
    check(engine.tick(now).transitions);
    set(1);
    for (int i = 0; i < 400; ++i) set(1);
    CHECK_FALSE(last["above"].state == AlarmState::unacked);
    set(7);
    CHECK(last["above"].state == AlarmState::unacked);
    CHECK(last["rise"].state == AlarmState::unacked);
  }
}

TEST_CASE("a number that is none is missing to every test, and ten years later each begins anew") {
  auto rule = every_test();
  rule.anomaly.reset();
  Engine engine{{.quality = {rule}, .alarms = {}}, kBoot};
  const WallTime noon{std::chrono::hours{24 * 20'000 + 4}};
  MonoTime now{};
  const auto say = [&](Value value, Millis later) {
    now += later;
    static_cast<void>(engine.evaluate({.point = "rain.hour", .at = now, .value = 4.0}, noon));
    const auto outcome = engine.evaluate({.point = "river.level", .at = now, .value = std::move(value)}, noon);
    std::string out;
    for (const auto flag : outcome.tests.all()) out += fmt::to_string(static_cast<int>(flag));
    return out + " " + std::string{to_string(outcome.reading.quality)};
  };
  // gross range, climatology, spike (of the sample before, later), rate of change, flat line, attenuated, gap, neighbour
  CHECK(say(4.0, seconds{0}) == "11211221 good");
  for (int i = 0; i < 20; ++i) static_cast<void>(say(4.0 + i % 2 * 0.3, seconds{1}));
  CHECK(say(4.0, seconds{1}) == "11211111 good");
  for (const double odd : kOddNumbers) {
    const auto flags = say(odd, seconds{1});
    CAPTURE(odd);
    CHECK(flags.ends_with(std::isfinite(odd) ? std::abs(odd) > 1 ? "bad" : "suspect" : "missing"));
    if (!std::isfinite(odd)) CHECK(flags == "99999919 missing");
    CHECK(say(4.0, seconds{1}).substr(0, 2) == "11");
  }
  CHECK(say(4.0, kTenYears) == "11211241 good");
  CHECK(say(4.1, seconds{1}) == "11211211 good");
}

TEST_CASE("what is no value neither raises nor returns any kind of alarm") {
  for (const auto& rule : each_kind()) {
    for (const bool raised : {false, true}) {
      Engine engine{{.quality = {}, .alarms = {rule}}, kBoot};
      MonoTime now{};
      const WallTime night{std::chrono::hours{24 * 20'000 + 15}};
      Millis step = seconds{1};
      const auto feed = [&](Reading reading) {
        now += step;
        reading.at = now;
        return engine.evaluate(std::move(reading), WallTime{night + now.time_since_epoch()}).transitions.size();
      };
      for (int i = 0; i < 120 && (!raised || engine.alarms()[0].state != AlarmState::unacked); ++i) {
        const double wave = raised ? std::array{0.5, 9.0, 4.0, 1.0, 9.5}.at(static_cast<std::size_t>(i / 3 % 5)) : 3.0;
        feed({.point = "rain.hour", .value = raised ? 1.0 : 3.0});
        if (rule.condition == Condition::equals) {
          feed({.point = "river.level", .value = raised ? "open" : "shut"});
        } else {
          feed({.point = "river.level", .value = wave});
        }
      }
      const auto before = engine.alarms()[0].state;
      CAPTURE(rule.id);
      CAPTURE(raised);
      std::size_t transitions = 0;
      step = Millis{0};  // no time goes by: else what was seen before may leave a window
      for (std::size_t i = 0; i < 3; ++i) {
        transitions += feed({.point = "river.level", .value = kOddNumbers.at(i)});
        transitions += feed({.point = "river.level", .quality = Quality::missing, .why = "timeout"});
      }
      CHECK(transitions == 0);
      CHECK(engine.alarms()[0].state == before);
    }
  }
}

TEST_CASE("a clock that is unset, and then set by years, moves what goes by it and nothing else") {
  auto season = each_kind().at(5);
  AlarmRule rise{.id = "rise", .point = "river.level", .condition = Condition::rise, .limit = 2.0, .within = seconds{30}};
  AlarmRule by_hour{.id = "hours", .point = "river.level", .condition = Condition::when, .limit = {}};
  by_hour.when = Expression::parse("time in 22:00-06:00 and river.level > 3", {.points = {{"river.level", Kind::number}}}).value();
  AlarmRule sum = by_hour;
  sum.id = "sum";
  sum.when = Expression::parse("sum(river.level, 10s) > 42", {.points = {{"river.level", Kind::number}}}).value();
  Engine engine{{.quality = {}, .alarms = {season, rise, by_hour, sum}}, kBoot};
  MonoTime now{};
  const auto feed = [&](double x, std::optional<WallTime> wall) {
    now += seconds{1};
    std::string out;
    for (const auto& alarm : engine.evaluate({.point = "river.level", .at = now, .value = x}, wall).transitions) {
      out += fmt::format("{} {} ", alarm.id, to_string(alarm.state));
    }
    return out;
  };
  using namespace std::chrono;
  const WallTime unset{sys_days{1970y / January / 1} + 16h};      // midnight, if it were
  const WallTime july{sys_days{2026y / July / 1} + 4h};           // noon
  const WallTime winter{sys_days{2036y / January / 1} + 15h};     // 23:00
  for (int i = 0; i < 20; ++i) CHECK(feed(4.0, {}) == "");
  CHECK(feed(4.0, july) == "");
  for (int i = 0; i < 20; ++i) CHECK(feed(4.0, july + seconds{i}) == "");
  CHECK(feed(4.0, winter) == "season unacked hours unacked ");
  CHECK(feed(4.0, unset) == "");
  CHECK(feed(4.0, july) == "season returned hours returned ");
  CHECK(feed(4.0, {}) == "");
}

}  // namespace property_test
