#include "firmware/detect/watch.hpp"

#include <algorithm>
#include <cmath>

#include <nlohmann/json.hpp>

#include "firmware/detect/detector.hpp"

namespace hamlet::detect {
namespace {

using Op = Expression::Op;
using Node = Expression::Node;
using Json = nlohmann::json;

constexpr double kUnbounded = std::numeric_limits<double>::infinity();
constexpr std::int64_t kWindowBuckets = 128;
constexpr std::int64_t kHoles = 10;           // a hole of more than such a part of a window counts
constexpr std::int64_t kHourMs = 3'600'000;
constexpr std::int64_t kDayMs = 24 * kHourMs;
constexpr std::int64_t kMinuteMs = 60'000;
constexpr std::int64_t kSettleMs = 60'000;    // after a start: until then no event says nothing
constexpr std::size_t kMostOpen = 32;

Truth truth_of(bool yes) {
  return yes ? Truth::yes : Truth::no;
}
Truth negated(Truth truth) {
  return truth == Truth::unknown ? Truth::unknown : truth_of(truth == Truth::no);
}

// Where an operation makes no sense, nothing is known.
Interval interval(double low, double high) {
  if (std::isnan(low) || std::isnan(high)) return {};
  return {low, high};
}
Interval times(Interval a, Interval b) {
  const double products[] = {a.low * b.low, a.low * b.high, a.high * b.low, a.high * b.high};
  if (std::any_of(std::begin(products), std::end(products), [](double x) { return std::isnan(x); })) return {};
  const auto [low, high] = std::minmax_element(std::begin(products), std::end(products));
  return {*low, *high};
}
Interval divided(Interval a, Interval b) {
  if (b.low <= 0 && b.high >= 0) return {};
  return times(a, interval(1 / b.high, 1 / b.low));
}
Truth less(Interval a, Interval b) {
  if (a.high < b.low) return Truth::yes;
  return a.low >= b.high ? Truth::no : Truth::unknown;
}
Truth equal(Interval a, Interval b) {
  if (a.low == a.high && b.low == b.high) return truth_of(a.low == b.low);
  return a.high < b.low || b.high < a.low ? Truth::no : Truth::unknown;
}

// Milliseconds of the local day.
std::int64_t time_of_day(std::int64_t wall_ms) {
  const auto local = (wall_ms + 8 * kHourMs) % kDayMs;
  return local < 0 ? local + kDayMs : local;
}

}  // namespace

Watch::Watch(std::shared_ptr<const Expression> expression)
    : expression_{std::move(expression)},
      terms_(expression_->terms().size()),
      windows_(expression_->windows()),
      memories_(expression_->memories()),
      results_(expression_->nodes().size()) {
  for (const auto& node : expression_->nodes()) {
    const bool remembers =
        node.op == Op::count || node.op == Op::within || node.op == Op::held || node.op == Op::sequence;
    if (!remembers) continue;
    memories_[node.memory].past.resize(node.args.size());
    if (node.op == Op::sequence) memories_[node.memory].begun_ms.resize(node.args.size());
  }
}

// ---- what comes in --------------------------------------------------------------------------------------------------

void Watch::feed(std::size_t term, MonoTime at, std::optional<WallTime> wall, const Value& value, bool known,
                 bool dated) {
  auto& state = terms_[term];
  const auto* x = std::get_if<double>(&value);
  state.value = value;
  state.known = known;
  state.heard = true;
  now_ms_ = std::max(now_ms_, to_ms(at));
  offset_ = wall ? std::optional{wall->time_since_epoch() - at.time_since_epoch()} : std::nullopt;
  for (const auto& node : expression_->nodes()) {
    const bool windowed =
        (node.op >= Op::sum && node.op <= Op::increase) || node.op == Op::rising || node.op == Op::falling;
    if (!windowed || node.term != term || !dated) continue;
    auto& window = windows_[node.memory];
    auto& buckets = window.buckets;
    const auto length = node.window.length.count();
    const auto at_ms = buckets.empty() ? to_ms(at) : std::max(to_ms(at), buckets.back().last_ms);
    if (!known || x == nullptr) {
      if (!window.unknown_since_ms) window.unknown_since_ms = at_ms;
      continue;
    }
    const bool hole = window.unknown_since_ms && at_ms - *window.unknown_since_ms > length / kHoles;
    if (!window.covered_from_ms || hole) window.covered_from_ms = at_ms;
    window.unknown_since_ms.reset();
    double add = *x;
    if (node.op == Op::increase) {
      // Of what came in a hole longer than the window nobody knows how much belongs to it.
      const bool anew = buckets.empty() || (hole && at_ms - buckets.back().last_ms > length);
      add = anew ? 0 : *x >= window.newest ? *x - window.newest : *x;
    }
    window.newest = *x;
    const auto begin = begin_of(node.window, now_ms_);
    if (!buckets.empty() && at_ms - buckets.back().first_ms < std::max<std::int64_t>(1, length / kWindowBuckets) &&
        buckets.back().first_ms > begin) {
      auto& last = buckets.back();
      last = {last.first_ms, at_ms, last.sum + add, std::min(last.low, *x), std::max(last.high, *x), last.samples + 1};
    } else {
      buckets.push_back({at_ms, at_ms, add, *x, *x, 1});
    }
    const auto stays =
        std::find_if(buckets.begin(), buckets.end() - 1, [&](const auto& each) { return each.last_ms >= begin; });
    buckets.erase(buckets.begin(), stays);
  }
}

bool Watch::feed(std::size_t term, const Event& event) {
  auto& state = terms_[term];
  const auto& wanted = expression_->terms()[term];
  now_ms_ = std::max(now_ms_, to_ms(event.at));
  const bool ours = event.kind == wanted.kind &&
                    (wanted.zone.empty() || event.detail.value("zone", Json{}) == wanted.zone);
  if (ours) {
    state.heard = true;
    const auto found = std::find(state.open.begin(), state.open.end(), event.id);
    switch (event.phase) {
      case Phase::once:
        state.pulse = true;
        return true;
      case Phase::start:
      case Phase::update:
        if (found == state.open.end() && state.open.size() < kMostOpen) state.open.push_back(event.id);
        break;
      case Phase::end:
        if (found != state.open.end()) state.open.erase(found);
        break;
    }
  } else if (event.kind == "down") {
    state.down = event.phase == Phase::start;
    if (state.down) state.open.clear();
  }
  return false;
}

void Watch::end_pulse() {
  for (auto& term : terms_) term.pulse = false;
}

// ---- what it says ---------------------------------------------------------------------------------------------------

void Watch::consider(std::int64_t due_ms) {
  if (due_ms <= now_ms_) return;
  if (const auto due = mono_from_ms(due_ms); !due_ || due < *due_) due_ = due;
}

// What is at or before it is outside. Before all where the clock is unset.
std::int64_t Watch::begin_of(const Expression::Window& window, std::int64_t at_ms) {
  if (!window.since_minute) return at_ms - window.length.count();
  if (!offset_) return at_ms - kDayMs;
  auto ago = time_of_day(at_ms + offset_->count()) - *window.since_minute * kMinuteMs;
  if (ago < 0) ago += kDayMs;
  return at_ms - ago - 1;
}

// When it begins anew, and within the hour in any case: the clock may be set. While it is unset, soon.
void Watch::consider_new_day(const Expression::Window& window) {
  consider(offset_ ? std::min(begin_of(window, now_ms_) + 1 + kDayMs, now_ms_ + kHourMs) : now_ms_ + kSettleMs);
}

Watch::Verdict Watch::judge(MonoTime at, std::optional<WallTime> wall) {
  now_ms_ = std::max(now_ms_, to_ms(at));
  if (!started_ms_) started_ms_ = now_ms_;
  offset_ = wall ? std::optional{wall->time_since_epoch() - at.time_since_epoch()} : std::nullopt;
  due_.reset();
  const auto& nodes = expression_->nodes();
  const Node* compared = nullptr;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    results_[i] = evaluate(nodes[i]);
    const bool compares = nodes[i].op == Op::less || nodes[i].op == Op::less_equal || nodes[i].op == Op::equal;
    if (compares && compared == nullptr) compared = &nodes[i];
  }
  Verdict out{.truth = results_.back().truth};
  if (compared == nullptr) {
    if (out.truth != Truth::unknown) out.value = out.truth == Truth::yes;
    return out;
  }
  const bool turned = compared->number != 0;  // ">" is "<" with its sides changed
  const auto show = [&](std::size_t node) {
    const auto& number = results_[node].number;
    return std::isfinite(number.low) ? Value{number.low} : Value{};
  };
  out.value = show(turned ? compared->args.back() : compared->args.front());
  out.limit = show(turned ? compared->args.front() : compared->args.back());
  return out;
}

Watch::Result Watch::evaluate(const Node& node) {
  const auto number = [&](std::size_t i) { return results_[node.args[i]].number; };
  const auto truth = [&](std::size_t i) { return results_[node.args[i]].truth; };
  const auto as_number = [](Interval x) { return Result{x, Truth::unknown}; };
  const auto as_truth = [](Truth x) { return Result{{}, x}; };
  switch (node.op) {
    case Op::number:
      return as_number(Interval::exactly(node.number));
    case Op::point: {
      const auto& state = terms_[node.term];
      const auto* x = std::get_if<double>(&state.value);
      return as_number(state.known && x != nullptr ? Interval::exactly(*x) : Interval{});
    }
    case Op::negate:
      return as_number({-number(0).high, -number(0).low});
    case Op::add:
      return as_number(interval(number(0).low + number(1).low, number(0).high + number(1).high));
    case Op::subtract:
      return as_number(interval(number(0).low - number(1).high, number(0).high - number(1).low));
    case Op::multiply:
      return as_number(times(number(0), number(1)));
    case Op::divide:
      return as_number(divided(number(0), number(1)));
    case Op::sum:
    case Op::average:
    case Op::lowest:
    case Op::highest:
    case Op::rise:
    case Op::fall:
    case Op::increase:
      return as_number(over_window(node));
    case Op::constant:
      return as_truth(truth_of(node.number != 0));
    case Op::is_true: {
      const auto& state = terms_[node.term];
      const auto* x = std::get_if<bool>(&state.value);
      return as_truth(state.known && x != nullptr ? truth_of(*x) : Truth::unknown);
    }
    case Op::is_text: {
      const auto& state = terms_[node.term];
      const auto* x = std::get_if<std::string>(&state.value);
      return as_truth(state.known && x != nullptr ? truth_of(*x == node.text) : Truth::unknown);
    }
    case Op::known: {
      const auto& state = terms_[node.term];
      return as_truth(state.heard ? truth_of(state.known) : Truth::unknown);
    }
    case Op::less:
      return as_truth(less(number(0), number(1)));
    case Op::less_equal:
      return as_truth(negated(less(number(1), number(0))));
    case Op::equal:
      return as_truth(equal(number(0), number(1)));
    case Op::same:
      if (truth(0) == Truth::unknown || truth(1) == Truth::unknown) return as_truth(Truth::unknown);
      return as_truth(truth_of(truth(0) == truth(1)));
    case Op::negation:
      return as_truth(negated(truth(0)));
    case Op::all:
    case Op::any:
    case Op::at_least: {
      std::size_t yes = 0;
      std::size_t perhaps = 0;
      for (std::size_t i = 0; i < node.args.size(); ++i) {
        yes += truth(i) == Truth::yes ? 1U : 0U;
        perhaps += truth(i) != Truth::no ? 1U : 0U;
      }
      const auto wanted = node.op == Op::all   ? node.args.size()
                          : node.op == Op::any ? 1
                                               : static_cast<std::size_t>(node.number);
      return as_truth(yes >= wanted ? Truth::yes : perhaps < wanted ? Truth::no : Truth::unknown);
    }
    case Op::rising:
    case Op::falling:
      return as_truth(trend(node));
    case Op::event:
      return as_truth(of_event(node.term));
    case Op::count:
    case Op::within:
    case Op::held:
    case Op::sequence:
      return remember(node);
    case Op::time_in:
    case Op::month_in:
      return as_truth(by_calendar(node));
  }
  return {};
}

// That a camera has said nothing yet means nothing until it had time to.
Truth Watch::of_event(std::size_t term) {
  const auto& state = terms_[term];
  if (state.pulse || !state.open.empty()) return Truth::yes;
  if (state.down) return Truth::unknown;
  if (!state.heard && now_ms_ - *started_ms_ < kSettleMs) {
    consider(*started_ms_ + kSettleMs);
    return Truth::unknown;
  }
  return Truth::no;
}

Truth Watch::by_calendar(const Node& node) {
  if (!offset_) {
    consider(now_ms_ + kSettleMs);
    return Truth::unknown;
  }
  consider(now_ms_ + kHourMs);  // at the latest: the clock may be set anew
  const auto wall_ms = now_ms_ + offset_->count();
  const auto between = [&](std::int64_t x) {
    const auto first = static_cast<std::int64_t>(node.number);
    const auto last = static_cast<std::int64_t>(node.last);
    if (node.op == Op::month_in) return first <= last ? x >= first && x <= last : x >= first || x <= last;
    return first <= last ? x >= first * kMinuteMs && x < last * kMinuteMs
                         : x >= first * kMinuteMs || x < last * kMinuteMs;
  };
  if (node.op == Op::month_in) {
    consider(now_ms_ + kHourMs - time_of_day(wall_ms) % kHourMs);
    return truth_of(between(local_time(wall_from_ms(wall_ms)).month));
  }
  const auto now = time_of_day(wall_ms);
  for (const double edge : {node.number, node.last}) {
    auto until = static_cast<std::int64_t>(edge) * kMinuteMs - now;
    if (until <= 0) until += kDayMs;
    consider(now_ms_ + until);
  }
  return truth_of(between(now));
}

// ---- the past of points ---------------------------------------------------------------------------------------------

// Whether all of the window is known, but for short holes.
bool Watch::covered(Window& window, const Node& node, std::int64_t begin_ms) {
  const auto hole = node.window.length.count() / kHoles;
  if (!window.covered_from_ms) return false;
  if (node.window.since_minute && !offset_) return false;
  if (window.unknown_since_ms) {
    if (now_ms_ - *window.unknown_since_ms > hole) return false;
    consider(*window.unknown_since_ms + hole + 1);
  }
  if (*window.covered_from_ms <= begin_ms + 1) return true;
  if (!node.window.since_minute) consider(*window.covered_from_ms + node.window.length.count());
  return false;
}

Interval Watch::over_window(const Node& node) {
  auto& window = windows_[node.memory];
  if (node.window.since_minute) consider_new_day(node.window);
  if (node.window.since_minute && !offset_) return {};
  const auto begin = begin_of(node.window, now_ms_);
  const bool exact = covered(window, node, begin);
  const bool adds = node.op == Op::sum || node.op == Op::increase;
  double sum = 0;
  double low = kUnbounded;
  double high = -kUnbounded;
  double samples = 0;
  bool seen = false;
  // What adds up leaves when it is as old as the window; what is compared with, when it is older. Where readings are far
  // apart what is to leave waits a moment for what takes its place: else steady rain would end, and begin, with each.
  const auto grace = adds && !node.window.since_minute ? node.window.length.count() / kWindowBuckets : 0;
  for (const auto& bucket : window.buckets) {
    const bool gone = adds ? bucket.last_ms <= begin : bucket.last_ms < begin;
    const bool waits = gone && bucket.last_ms > begin - grace &&
                       window.buckets.back().last_ms <= bucket.last_ms + node.window.length.count() - grace;
    if (gone && !waits) continue;
    if (!seen && !node.window.since_minute) {
      consider(bucket.last_ms + node.window.length.count() + (waits ? grace : adds ? 0 : 1));
    }
    seen = true;
    samples += bucket.samples;
    sum += bucket.sum;
    low = std::min(low, bucket.low);
    high = std::max(high, bucket.high);
  }
  if (adds) {
    if (exact) return interval(sum, sum);
    return low < 0 && node.op == Op::sum ? Interval{} : interval(sum, kUnbounded);
  }
  if (!seen) {
    if (!exact) return {};
    low = high = sum = window.newest;  // silent for so long: it stays what it was
    samples = 1;
  }
  if (node.op == Op::average) return exact ? interval(sum / samples, sum / samples) : Interval{};
  if (node.op == Op::lowest) return {exact ? low : -kUnbounded, low};
  if (node.op == Op::highest) return {high, exact ? high : kUnbounded};
  if (window.unknown_since_ms) return {};
  const double moved = node.op == Op::rise ? window.newest - low : high - window.newest;
  return interval(moved, exact ? moved : kUnbounded);
}

// All values of the later half of the window against all of the half before.
Truth Watch::trend(const Node& node) {
  auto& window = windows_[node.memory];
  const auto begin = begin_of(node.window, now_ms_);
  if (!covered(window, node, begin) || window.unknown_since_ms) return Truth::unknown;
  const auto half = node.window.length.count() / 2;
  double before[] = {kUnbounded, -kUnbounded};
  double after[] = {kUnbounded, -kUnbounded};
  for (const auto& bucket : window.buckets) {
    if (bucket.last_ms < begin) continue;
    const bool late = bucket.last_ms > now_ms_ - half;
    consider(bucket.last_ms + (late ? half : node.window.length.count() + 1));
    auto& span = late ? after : before;
    span[0] = std::min(span[0], bucket.low);
    span[1] = std::max(span[1], bucket.high);
  }
  if (before[1] == -kUnbounded || after[1] == -kUnbounded) return Truth::no;
  return truth_of(node.op == Op::rising ? after[0] > before[1] : after[1] < before[0]);
}

// ---- the past of conditions -----------------------------------------------------------------------------------------

// True: it has turned. What is unknown for less than the tolerance is taken as it was.
bool Watch::step(Past& past, Truth truth, Millis tolerance) {
  if (truth == Truth::unknown && past.now != Truth::unknown) {
    if (!past.unknown_since_ms) {
      past.unknown_since_ms = now_ms_;
      changed_ = true;
    }
    if (now_ms_ - *past.unknown_since_ms <= tolerance.count()) {
      consider(*past.unknown_since_ms + tolerance.count() + 1);
      return false;
    }
  }
  if (past.unknown_since_ms) {
    past.unknown_since_ms.reset();
    changed_ = true;
  }
  if (truth == past.now) return false;
  past.now = truth;
  past.since_ms = now_ms_;
  changed_ = true;
  return true;
}

Watch::Result Watch::remember(const Node& node) {
  auto& memory = memories_[node.memory];
  if (node.op == Op::sequence) return {{}, sequence(node, memory)};
  auto& past = memory.past.front();
  const auto before = past.now;
  const bool turned = step(past, results_[node.args[0]].truth, node.window.length / kHoles);
  if (node.op == Op::within) return {{}, within(node, memory, turned, before)};
  if (node.op == Op::held) return {{}, held(node, memory, turned, before)};
  return {count(node, memory, turned, before), Truth::unknown};
}

// From before the start.
void Watch::know_nothing_before(Memory& memory) {
  if (memory.last_unknown_ms) return;
  memory.last_unknown_ms = now_ms_;
  changed_ = true;
}

Truth Watch::within(const Node& node, Memory& memory, bool turned, Truth before) {
  const auto now = memory.past.front().now;
  const auto length = node.window.length.count();
  know_nothing_before(memory);
  if (turned && before == Truth::yes) memory.last_true_ms = now_ms_;
  if (turned && before == Truth::unknown) memory.last_unknown_ms = now_ms_;
  if (now == Truth::yes) return Truth::yes;
  const auto fresh = [&](const std::optional<std::int64_t>& last) {
    if (!last || now_ms_ - *last > length) return false;
    consider(*last + length + 1);
    return true;
  };
  if (fresh(memory.last_true_ms)) return Truth::yes;
  return now == Truth::unknown || fresh(memory.last_unknown_ms) ? Truth::unknown : Truth::no;
}

Truth Watch::held(const Node& node, Memory& memory, bool turned, Truth before) {
  const auto& past = memory.past.front();
  if (turned) memory.doubtful = before == Truth::unknown;
  if (past.now != Truth::yes) return past.now;
  if (now_ms_ - past.since_ms >= node.window.length.count()) return Truth::yes;
  consider(past.since_ms + node.window.length.count());
  return memory.doubtful ? Truth::unknown : Truth::no;
}

Interval Watch::count(const Node& node, Memory& memory, bool turned, Truth before) {
  const auto now = memory.past.front().now;
  know_nothing_before(memory);
  if (turned && before == Truth::unknown) memory.last_unknown_ms = now_ms_;
  auto& flips = memory.flips;
  if (turned && now == Truth::yes && before == Truth::no) {
    const auto granule = node.window.length.count() / kWindowBuckets;
    if (!flips.empty() && now_ms_ - flips.back().at_ms < granule) {
      ++flips.back().times;
    } else {
      flips.push_back({now_ms_, 1});
    }
  }
  const auto begin = begin_of(node.window, now_ms_);
  const auto left = std::find_if(flips.begin(), flips.end(), [&](const auto& flip) { return flip.at_ms > begin; });
  flips.erase(flips.begin(), left);
  double times = 0;
  for (const auto& flip : flips) times += flip.times;
  if (node.window.since_minute) {
    consider_new_day(node.window);
    if (!offset_) return {0, kUnbounded};
  } else if (!flips.empty()) {
    consider(flips.front().at_ms + node.window.length.count());
  }
  const bool covered = now != Truth::unknown && *memory.last_unknown_ms <= begin + 1;
  if (!covered && !node.window.since_minute) consider(*memory.last_unknown_ms + node.window.length.count());
  return {times, covered ? times : kUnbounded};
}

// From the last step to the first: what comes true at the same time is no sequence.
Truth Watch::sequence(const Node& node, Memory& memory) {
  auto& begun = memory.begun_ms;
  const auto last = node.args.size() - 1;
  for (auto i = last + 1; i-- > 0;) {
    auto& past = memory.past[i];
    const auto before = past.now;
    const bool turned = step(past, results_[node.args[i]].truth, node.window.length / kHoles);
    if (turned && past.now == Truth::no && i == last) begun[i].reset();
    if (!turned || past.now != Truth::yes || before != Truth::no) continue;
    if (i == 0) {
      begun[i] = now_ms_;
    } else if (begun[i - 1] && now_ms_ - *begun[i - 1] <= node.window.length.count()) {
      begun[i] = begun[i - 1];
    }
  }
  return begun[last] ? memory.past[last].now : Truth::no;
}

// ---- what is kept ---------------------------------------------------------------------------------------------------

namespace {

Json time_json(const std::optional<std::int64_t>& ms) {
  return ms ? Json(*ms) : Json();
}
std::optional<std::int64_t> time_from(const Json& json) {
  if (!json.is_number_integer()) return {};
  const auto ms = json.get<std::int64_t>();
  constexpr auto kFarthest = std::numeric_limits<std::int64_t>::max() / 4;
  return ms >= -kFarthest && ms <= kFarthest ? std::optional{ms} : std::nullopt;
}

}  // namespace

// [[[now, since, unknown since], …], last true, last unknown, doubtful, [flip, times, …], [begun, …]], one for each.
Json Watch::save() const {
  auto out = Json::array();
  for (const auto& memory : memories_) {
    auto past = Json::array();
    for (const auto& each : memory.past) {
      past.push_back({static_cast<int>(each.now), each.since_ms, time_json(each.unknown_since_ms)});
    }
    auto flips = Json::array();
    for (const auto& flip : memory.flips) {
      flips.push_back(flip.at_ms);
      flips.push_back(flip.times);
    }
    auto begun = Json::array();
    for (const auto& each : memory.begun_ms) begun.push_back(time_json(each));
    out.push_back({std::move(past), time_json(memory.last_true_ms), time_json(memory.last_unknown_ms), memory.doubtful,
                   std::move(flips), std::move(begun)});
  }
  return out;
}

void Watch::restore(const Json& stored) {
  if (!stored.is_array() || stored.size() != memories_.size()) return;
  auto memories = memories_;
  for (std::size_t i = 0; i < memories.size(); ++i) {
    const auto& from = stored[i];
    auto& memory = memories[i];
    if (!from.is_array() || from.size() != 6 || !from[0].is_array() || from[0].size() != memory.past.size()) return;
    if (!from[3].is_boolean() || !from[4].is_array() || !from[5].is_array()) return;
    for (std::size_t j = 0; j < memory.past.size(); ++j) {
      const auto& past = from[0][j];
      if (!past.is_array() || past.size() != 3) return;
      const auto truth = time_from(past[0]);
      if (!truth || *truth < 0 || *truth > 2) return;
      memory.past[j] = {static_cast<Truth>(*truth), time_from(past[1]).value_or(0), time_from(past[2])};
    }
    memory.last_true_ms = time_from(from[1]);
    memory.last_unknown_ms = time_from(from[2]);
    memory.doubtful = from[3].get<bool>();
    memory.flips.clear();
    for (std::size_t j = 0; j + 1 < from[4].size() && memory.flips.size() <= kWindowBuckets; j += 2) {
      const auto at = time_from(from[4][j]);
      const auto times = time_from(from[4][j + 1]);
      if (!at || !times || *times < 1 || *times > 1'000'000) return;
      memory.flips.push_back({*at, static_cast<std::uint32_t>(*times)});
    }
    for (std::size_t j = 0; j < memory.begun_ms.size() && j < from[5].size(); ++j) memory.begun_ms[j] = time_from(from[5][j]);
  }
  memories_ = std::move(memories);
}

}  // namespace hamlet::detect
