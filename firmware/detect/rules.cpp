#include "firmware/detect/rules.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <string_view>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "firmware/core/id.hpp"
#include "firmware/detect/texts.hpp"

namespace hamlet::detect {
namespace {

using config::Range;
using config::Table;
using std::chrono::days;
using std::chrono::hours;
using std::chrono::seconds;

constexpr Range<Millis> kDelay{Millis{0}, days{7}};
constexpr Range<Millis> kWindow{seconds{1}, days{31}};
constexpr Range<Millis> kGapRange{seconds{1}, days{366}};
constexpr std::size_t kMostMembers = 64;
constexpr std::array<std::string_view, 2> kMethods{"average", "differential"};
constexpr std::array<std::string_view, 2> kChecks{"std", "range"};
constexpr std::array<std::string_view, 6> kConditions{"above", "below", "equals", "rise", "fall", "when"};
constexpr std::array<std::string_view, 4> kSeverities{"critical", "major", "minor", "warning"};

// A number above 0; range checks of the reader include their ends.
std::optional<double> positive(const Table& table, std::string_view key) {
  const auto number = table.number_if(key);
  if (!number || *number > 0) return number;
  table.error(key, texts::must_be_positive(*number));
  return {};
}

std::optional<Span> read_span(const Table& table, std::string_view key) {
  if (!table.has(key)) return {};
  const auto ends = table.numbers_or(key);
  if (ends.size() == 2 && ends[0] < ends[1]) return Span{ends[0], ends[1]};
  table.error(key, texts::want_span());
  return {};
}

std::optional<double> read_rate(const Table& quality) {
  if (!quality.has("rate_of_change")) return {};
  const auto table = quality.table("rate_of_change");
  if (!table.exists()) return {};
  const auto change = positive(table, "change");
  if (!table.has("change")) table.error("change", texts::no_change());
  const auto per = table.duration("per", {seconds{1}, days{1}});
  if (!change) return {};
  return *change / std::chrono::duration<double>{per}.count();
}

std::optional<FlatLineRule> read_flat_line(const Table& quality) {
  if (!quality.has("flat_line")) return {};
  const auto table = quality.table("flat_line");
  if (!table.exists()) return {};
  const auto tolerance = positive(table, "tolerance");
  if (!table.has("tolerance")) table.error("tolerance", texts::no_tolerance());
  FlatLineRule rule{.tolerance = tolerance.value_or(0),
                    .suspect = table.duration("suspect", kWindow),
                    .fail = table.duration_if("fail", kWindow),
                    .every = table.duration_if("every", {Millis{1}, days{31}})};
  if (rule.fail && *rule.fail < rule.suspect) table.error("fail", texts::fail_before_suspect());
  if (rule.every && rule.suspect < 2 * *rule.every) {
    table.error("suspect", texts::suspect_too_short());
  }
  return rule;
}

// [first, last], whole numbers; may go round the turn.
std::pair<int, int> read_turn(const Table& table, std::string_view key, int lowest, int highest) {
  if (!table.has(key)) return {lowest, highest};
  const auto ends = table.numbers_or(key);
  const auto fits = [&](double x) { return x >= lowest && x <= highest && x == std::floor(x); };
  if (ends.size() == 2 && fits(ends[0]) && fits(ends[1])) return {static_cast<int>(ends[0]), static_cast<int>(ends[1])};
  table.error(key, texts::want_turn(lowest, highest));
  return {lowest, highest};
}

std::vector<ClimatologyMember> read_climatology(const Table& quality) {
  std::vector<ClimatologyMember> members;
  for (const auto& table : quality.tables("climatology")) {
    ClimatologyMember member;
    std::tie(member.first_month, member.last_month) = read_turn(table, "months", 1, 12);
    std::tie(member.first_hour, member.last_hour) = read_turn(table, "hours", 0, 23);
    const auto suspect = read_span(table, "suspect");
    if (!table.has("suspect")) table.error("", texts::no_usual());
    member.suspect = suspect.value_or(Span{});
    member.range = read_span(table, "range");
    members.push_back(member);
  }
  if (members.size() > kMostMembers) quality.error("climatology", texts::too_many_members(kMostMembers));
  return members;
}

std::optional<SpikeRule> read_spike(const Table& quality) {
  if (!quality.has("spike")) return {};
  const auto table = quality.table("spike");
  if (!table.exists()) return {};
  const auto suspect = positive(table, "suspect");
  const auto fail = positive(table, "fail");
  if (!table.has("suspect") && !table.has("fail"))
    table.error("", texts::no_limit());
  if (suspect && fail && *fail < *suspect) table.error("fail", texts::fail_below_suspect());
  return SpikeRule{.method = static_cast<SpikeRule::Method>(table.choice_or("method", 0, kMethods)),
                   .suspect = suspect.value_or(0),
                   .fail = fail.value_or(0)};
}

std::optional<AttenuatedRule> read_attenuated(const Table& quality) {
  if (!quality.has("attenuated")) return {};
  const auto table = quality.table("attenuated");
  if (!table.exists()) return {};
  const auto suspect = positive(table, "suspect");
  const auto fail = positive(table, "fail");
  if (!table.has("suspect") && !table.has("fail"))
    table.error("", texts::no_limit());
  if (suspect && fail && *fail > *suspect) table.error("fail", texts::fail_above_suspect());
  return AttenuatedRule{.check = static_cast<AttenuatedRule::Check>(table.choice_or("check", 0, kChecks)),
                        .suspect = suspect.value_or(0),
                        .fail = fail.value_or(0),
                        .window = table.duration_if("window", kWindow),
                        .min_samples = static_cast<int>(table.integer_or("min_samples", 2, {1, 1'000'000}))};
}

std::optional<NeighbourRule> read_neighbour(const Table& quality, const std::string& point) {
  if (!quality.has("neighbour")) return {};
  const auto table = quality.table("neighbour");
  if (!table.exists()) return {};
  NeighbourRule rule{.point = table.point("point"),
                     .difference = positive(table, "difference"),
                     .ratio = table.number_if("ratio", {1, std::numeric_limits<double>::max()}),
                     .within = table.duration("within", kWindow)};
  if (rule.point == point) table.error("point", texts::own_neighbour());
  if (!table.has("difference") && !table.has("ratio")) table.error("", texts::no_difference());
  return rule;
}

std::optional<AnomalyRule> read_anomaly(const Table& quality) {
  if (!quality.has("anomaly")) return {};
  const auto table = quality.table("anomaly");
  if (!table.exists()) return {};
  return AnomalyRule{.threshold = table.number_or("threshold", AnomalyRule{}.threshold, {0.01, 1})};
}

QualityRule read_quality(std::string point, const Table& table) {
  QualityRule rule{.point = std::move(point),
                   .range = read_span(table, "range"),
                   .suspect = read_span(table, "suspect"),
                   .climatology = read_climatology(table),
                   .spike = read_spike(table),
                   .rate_of_change = read_rate(table),
                   .flat_line = read_flat_line(table),
                   .attenuated = read_attenuated(table),
                   .gap = table.duration_if("gap", kGapRange),
                   .anomaly = read_anomaly(table)};
  rule.neighbour = read_neighbour(table, rule.point);
  if (rule.range && rule.suspect && (rule.suspect->low < rule.range->low || rule.suspect->high > rule.range->high)) {
    table.error("suspect", texts::suspect_beyond_range(rule.range->low, rule.range->high));
  }
  return rule;
}

// Switches and texts pass all tests but that for silence; the detector takes a switch, too.
void check_tests(const Table& table, std::string_view point, std::optional<Kind> kind) {
  if (!kind || *kind == Kind::number) return;
  for (const std::string_view key : {"range", "suspect", "climatology", "spike", "rate_of_change", "flat_line", "attenuated", "neighbour", "anomaly"}) {
    if (table.has(key) && (key != "anomaly" || *kind == Kind::text)) table.error(key, texts::test_needs_numbers(point, *kind));
  }
}

// The one condition of an alarm; its limit, where it is right.
struct ReadCondition {
  Condition condition = Condition::above;
  Value limit;
};
ReadCondition read_condition(const Table& table) {
  std::vector<std::size_t> found;
  for (std::size_t i = 0; i < kConditions.size(); ++i) {
    if (table.has(kConditions.at(i))) found.push_back(i);
  }
  if (found.size() != 1) {
    table.error(found.empty() ? std::string_view{} : kConditions.at(found[1]),
                texts::want_one_condition(fmt::format("{}", fmt::join(kConditions, ", "))));
    return {};
  }
  ReadCondition out{static_cast<Condition>(found[0]), {}};
  const auto key = kConditions.at(found[0]);
  switch (out.condition) {
    case Condition::above:
    case Condition::below:
      out.limit = table.number(key);
      break;
    case Condition::rise:
    case Condition::fall:
      out.limit = positive(table, key).value_or(1);
      break;
    case Condition::equals:
      out.limit = table.value_if(key).value_or(false);
      if (std::holds_alternative<double>(out.limit)) {
        table.error(key, texts::equals_no_number());
      }
      break;
    case Condition::when:
      break;
  }
  return out;
}

double read_deadband(const Table& table, const AlarmRule& rule) {
  const auto deadband = table.number_or("deadband", 0, {0, std::numeric_limits<double>::max()});
  if (rule.condition == Condition::equals && table.has("deadband")) {
    table.error("deadband", texts::equals_no_deadband());
  }
  if (rule.condition == Condition::when && table.has("deadband")) {
    table.error("deadband", texts::when_no_deadband());
  }
  const auto* limit = std::get_if<double>(&rule.limit);
  const bool windowed = rule.condition == Condition::rise || rule.condition == Condition::fall;
  if (windowed && limit != nullptr && deadband >= *limit) {
    table.error("deadband", texts::deadband_too_large(*limit));
  }
  return deadband;
}

Millis read_within(const Table& table, Condition condition) {
  if (condition == Condition::rise || condition == Condition::fall) return table.duration("within", kWindow);
  if (table.has("within")) table.error("within", texts::within_not_here());
  return {};
}

Text read_text(const Table& table, const AlarmRule& rule) {
  if (rule.severity == Severity::critical && !table.has("text")) {
    table.error("", texts::critical_no_text());
  }
  auto text = table.both_or("text", {rule.id, rule.id});
  if (text.zh.empty() || text.en.empty()) table.error("text", texts::text_empty());
  return text;
}

std::vector<SeasonLimit> read_seasons(const Table& table, const AlarmRule& rule) {
  std::vector<SeasonLimit> seasons;
  if (!table.has("seasons")) return seasons;
  const bool one_sided = rule.condition == Condition::above || rule.condition == Condition::below;
  if (!one_sided) table.error("seasons", texts::seasons_not_here());
  for (const auto& member : table.tables("seasons")) {
    SeasonLimit season;
    std::tie(season.first_month, season.last_month) = read_turn(member, "months", 1, 12);
    std::tie(season.first_hour, season.last_hour) = read_turn(member, "hours", 0, 23);
    season.limit = one_sided ? member.number(to_string(rule.condition)) : 0;
    seasons.push_back(season);
  }
  if (seasons.size() > kMostMembers) table.error("seasons", texts::too_many_members(kMostMembers));
  return seasons;
}

// What a step does not say for itself is said by the alarm around it.
std::shared_ptr<const Rationale> read_rationale(const Table& table, const std::shared_ptr<const Rationale>& around) {
  Rationale out = around ? *around : Rationale{};
  out.cause = table.both_or("cause", out.cause);
  out.consequence = table.both_or("consequence", out.consequence);
  out.action = table.both_or("action", out.action);
  if (const auto time = table.duration_if("time_to_act", {seconds{1}, days{31}})) out.time_to_act = time;
  if (out == Rationale{}) return {};
  return std::make_shared<const Rationale>(std::move(out));
}

Severity read_severity(const Table& table, Severity otherwise) {
  return static_cast<Severity>(table.choice_or("severity", static_cast<std::size_t>(otherwise), kSeverities));
}

AlarmRule read_alarm(const Table& table, const Names& names) {
  AlarmRule rule;
  rule.id = table.id("id");
  auto [condition, limit] = read_condition(table);
  rule.condition = condition;
  rule.limit = std::move(limit);
  if (condition != Condition::when) {
    rule.point = table.point("point");
  } else {
    if (table.has("point")) table.error("point", texts::when_no_point());
    rule.when = read_expression(table, "when", names);
    if (rule.when) rule.point = rule.when->terms().front().label();
  }
  rule.within = read_within(table, condition);
  rule.deadband = read_deadband(table, rule);
  rule.on_delay = table.duration_or("on_delay", {}, kDelay);
  rule.off_delay = table.duration_or("off_delay", {}, kDelay);
  rule.severity = read_severity(table, Severity::warning);
  rule.text = read_text(table, rule);
  rule.seasons = read_seasons(table, rule);
  rule.suppressed_when = read_expression(table, "suppressed_when", names);
  rule.rationale = read_rationale(table, {});
  return rule;
}

// Readings beyond the range are bad and count for nothing: a limit there would never raise the alarm, and a deadband
// that reaches there would never let it return. `around`: where the deadband stands.
void check_reach(const Table& table, const Table& around, const AlarmRule& rule,
                 const std::vector<QualityRule>& quality) {
  const auto* limit = std::get_if<double>(&rule.limit);
  const auto found = std::find_if(quality.begin(), quality.end(), [&](const auto& q) { return q.point == rule.point; });
  if (limit == nullptr || found == quality.end() || !found->range) return;
  const auto& range = *found->range;
  const bool windowed = rule.condition == Condition::rise || rule.condition == Condition::fall;
  const auto never = [&](double x) {
    if (windowed) return x >= range.high - range.low;
    return rule.condition == Condition::above ? x >= range.high : x <= range.low;
  };
  const auto room = [&](double x) { return rule.condition == Condition::above ? x - range.low : range.high - x; };
  if (never(*limit)) table.error(to_string(rule.condition), texts::never_raised(range.low, range.high));
  double least = windowed ? *limit : room(*limit);
  for (const auto& season : rule.seasons) {
    if (never(season.limit)) return table.error("seasons", texts::never_raised(range.low, range.high));
    least = std::min(least, room(season.limit));
  }
  if (!windowed && !never(*limit) && rule.deadband > least) around.error("deadband", texts::never_returns(least));
}

// A limit says nothing of a switch, nor `equals` of a value of another type: such an alarm would never be raised.
void check_type(const Table& table, std::string_view key, const AlarmRule& rule, std::optional<Kind> kind) {
  if (!kind || rule.condition == Condition::when) return;
  if (rule.condition != Condition::equals) {
    if (*kind != Kind::number) table.error(key, texts::limit_needs_numbers(rule.point, *kind));
  } else if (!std::holds_alternative<double>(rule.limit) &&
             *kind != (std::holds_alternative<bool>(rule.limit) ? Kind::boolean : Kind::text)) {
    table.error(key, texts::equals_other_type(rule.point, *kind));
  }
}

// One alarm a step: [[alarm.step]]. Beyond the first each must be further out.
std::vector<AlarmRule> read_steps(const Table& table, const Names& names, const std::vector<QualityRule>& quality) {
  AlarmRule common;
  common.id = table.id("id");
  common.point = table.point("point");
  common.deadband = table.number_or("deadband", 0, {0, std::numeric_limits<double>::max()});
  common.on_delay = table.duration_or("on_delay", {}, kDelay);
  common.off_delay = table.duration_or("off_delay", {}, kDelay);
  common.severity = read_severity(table, Severity::warning);
  common.suppressed_when = read_expression(table, "suppressed_when", names);
  common.rationale = read_rationale(table, {});
  for (const auto key : kConditions) {
    if (table.has(key)) table.error(key, texts::belongs_to_steps());
  }
  std::vector<AlarmRule> out;
  for (const auto& step : table.tables("step")) {
    auto rule = common;
    const auto name = step.id("id");
    rule.id = fmt::format("{}-{}", common.id, name);
    if (!is_id(rule.id)) step.error("id", texts::step_id_too_long(rule.id));
    const bool above = step.has("above");
    if (above == step.has("below")) {
      step.error(above ? "below" : "", texts::want_one_condition("above, below"));
      continue;
    }
    rule.condition = above ? Condition::above : Condition::below;
    rule.limit = step.number(to_string(rule.condition));
    rule.severity = read_severity(step, common.severity);
    rule.text = step.has("text") ? read_text(step, rule) : table.both_or("text", {rule.id, rule.id});
    if (rule.severity == Severity::critical && !step.has("text") && !table.has("text")) {
      step.error("", texts::critical_no_text());
    }
    rule.seasons = read_seasons(step, rule);
    rule.rationale = read_rationale(step, common.rationale);
    if (!out.empty()) {
      const auto& before = out.back();
      const auto [x, y] = std::pair{std::get<double>(before.limit), std::get<double>(rule.limit)};
      if (before.condition != rule.condition || (above ? y <= x : y >= x)) {
        step.error(to_string(rule.condition), texts::step_not_further());
      }
    }
    check_reach(step, table, rule, quality);
    out.push_back(std::move(rule));
  }
  if (out.size() > kMostMembers) table.error("step", texts::too_many_members(kMostMembers));
  return out;
}

}  // namespace

std::string_view to_string(Condition condition) {
  return kConditions.at(static_cast<std::size_t>(condition));
}

bool AlarmRule::goes_by_clock() const {
  return !seasons.empty() || (when && when->goes_by_clock()) || (suppressed_when && suppressed_when->goes_by_clock());
}

std::vector<std::string> AlarmRule::sources() const {
  return when ? when->sources() : std::vector{point};
}

bool operator==(const AlarmRule& a, const AlarmRule& b) {
  const auto same = [](const std::shared_ptr<const Expression>& x, const std::shared_ptr<const Expression>& y) {
    return x == y || (x && y && *x == *y);
  };
  const auto rest = [](const AlarmRule& rule) {
    return std::tie(rule.id, rule.point, rule.condition, rule.limit, rule.within, rule.deadband, rule.on_delay,
                    rule.off_delay, rule.severity, rule.text, rule.seasons);
  };
  return rest(a) == rest(b) && same(a.when, b.when) && same(a.suppressed_when, b.suppressed_when) &&
         (a.rationale == b.rationale || (a.rationale && b.rationale && *a.rationale == *b.rationale));
}

std::shared_ptr<const Expression> read_expression(const Table& table, std::string_view key, const Names& names) {
  if (!table.has(key)) return {};
  const auto text = table.text_or(key, "");
  if (text.empty()) {
    table.error(key, texts::want_operand());
    return {};
  }
  auto parsed = Expression::parse(text, names);
  if (parsed) return *parsed;
  const auto& mistake = parsed.error();
  table.error_at(key, mistake.character, texts::at_character(mistake.character + 1, mistake.what));
  return {};
}

Rules read_rules(const Table& root, std::span<const std::string> known_points) {
  Names names;
  for (const auto& point : known_points) names.points.push_back({.name = point});
  return read_rules(root, names);
}

Rules read_rules(const Table& root, const Names& names) {
  std::vector<std::string> known_points;
  for (const auto& point : names.points) known_points.push_back(point.name);
  std::map<std::string_view, std::optional<Kind>> known;
  for (const auto& point : names.points) known.emplace(point.name, point.kind);
  const auto unknown = [&](std::string_view point) {
    const auto near = config::nearest(point, known_points);
    const auto message = texts::no_such_point(point);
    return near ? texts::perhaps(message, *near) : message;
  };
  Rules rules;
  const auto quality = root.table("quality");
  for (auto& [point, table] : quality.each()) {
    if (!known.contains(point)) quality.error(point, unknown(point));
    rules.quality.push_back(read_quality(point, table));
    if (const auto found = known.find(point); found != known.end()) check_tests(table, point, found->second);
    const auto& neighbour = rules.quality.back().neighbour;
    if (neighbour && !known.contains(neighbour->point))
      table.table("neighbour").error("point", unknown(neighbour->point));
  }
  std::set<std::string> ids;
  for (const auto& table : root.tables("alarm")) {
    const bool steps = table.has("step");
    auto read = steps ? read_steps(table, names, rules.quality) : std::vector{read_alarm(table, names)};
    for (auto& rule : read) {
      if (!ids.insert(rule.id).second) table.error("id", texts::alarm_twice(rule.id));
      const auto point = known.find(rule.point);
      if (point != known.end()) {
        check_type(table, steps ? "point" : to_string(rule.condition), rule, point->second);
      } else if (rule.condition != Condition::when) {
        table.error("point", unknown(rule.point));
      }
      if (!steps) check_reach(table, table, rule, rules.quality);
      rules.alarms.push_back(std::move(rule));
    }
  }
  return rules;
}

}  // namespace hamlet::detect
