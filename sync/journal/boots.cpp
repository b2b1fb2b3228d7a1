#include "sync/journal/boots.hpp"

#include <algorithm>
#include <cassert>
#include <tuple>

namespace hamlet::journal {
namespace {

Millis offset_of(const ClockReading& now) {
  return now.wall.time_since_epoch() - now.mono.time_since_epoch();
}

bool agree(Millis a, Millis b) {
  return (a > b ? a - b : b - a) <= Boots::kTolerance;
}

// Monotonic time of a free-running crystal drifts by up to 100 ppm.
Millis drift(Millis length) {
  return std::max(Millis{0}, length) / 10'000;
}

}  // namespace

Boots::Boots(std::vector<Stretch> stored) : stretches_{std::move(stored)} {
  std::sort(stretches_.begin(), stretches_.end(),
            [](const Stretch& a, const Stretch& b) { return std::tie(a.boot, a.from) < std::tie(b.boot, b.from); });
}

void Boots::begin(std::string_view boot_id, const ClockReading& now, Moment newest) {
  // Monotonic time that runs backwards is not the same boot, whatever its id says (a machine restored from a snapshot).
  if (!stretches_.empty() && stretches_.back().boot_id == boot_id && stretches_.back().from <= now.mono) {
    current_ = stretches_.back().boot;
    seen_offset_ = stretches_.back().offset;
    return;
  }
  if (!stretches_.empty()) {
    auto& before = stretches_.back();
    before.until = newest.boot == before.boot ? std::max(newest.mono, before.from) : before.from;
    changed_.push_back(before);
  }
  current_ = std::max(stretches_.empty() ? 0 : stretches_.back().boot, newest.boot) + 1;
  seen_offset_ = offset_of(now);
  add({.boot = current_,
       .from = MonoTime{},
       .boot_id = std::string{boot_id},
       .offset = seen_offset_,
       .quality = now.synced ? TimeQuality::synced : TimeQuality::unsynced,
       .error = now.synced ? std::optional{kTolerance} : std::nullopt});
  if (now.synced) bound_earlier();
}

std::optional<nlohmann::json> Boots::observe(const ClockReading& now) {
  assert(current_ != 0);
  const auto offset = offset_of(now);
  const auto before = stretches_.back();
  const bool stepped = !agree(offset, seen_offset_);
  const bool was_synced = before.quality == TimeQuality::synced;
  const bool was_unsynced = before.quality == TimeQuality::unsynced;

  Stretch next{
      .boot = current_, .from = now.mono, .boot_id = before.boot_id, .offset = offset, .quality = {}, .error = {}};
  std::string change;
  if (now.synced) {
    if (was_synced && agree(offset, before.offset)) return {};
    change = was_synced ? "jump" : "synced";
    next.quality = TimeQuality::synced;
    next.error = kTolerance;
    if (was_unsynced) repair(offset, now.mono);
    add(next);
    if (was_unsynced) bound_earlier();
  } else if (was_unsynced) {
    if (!stepped) return {};
    change = "jump";
    next.quality = TimeQuality::unsynced;
    add(next);
  } else {  // free-running: the offset stays, whatever the wall clock says now
    if (!was_synced && !stepped) return {};
    change = was_synced ? "holdover" : "jump";
    next.quality = TimeQuality::holdover;
    next.offset = before.offset;
    if (was_synced) add(next);
  }
  const auto moved = offset - (stepped ? seen_offset_ : before.offset);
  seen_offset_ = offset;
  return nlohmann::json{{"change", change},
                        {"boot", current_},
                        {"mono", to_ms(now.mono)},
                        {"offset", next.offset.count()},
                        {"tq", to_string(next.quality)},
                        {"moved_ms", moved.count()}};
}

contract::Dated Boots::date(Moment moment) const {
  // The last stretch that begins at or before the moment.
  const auto after = std::upper_bound(
      stretches_.begin(), stretches_.end(), moment,
      [](const Moment& m, const Stretch& s) { return std::tie(m.boot, m.mono) < std::tie(s.boot, s.from); });
  auto stretch = after;
  if (after != stretches_.begin() && (after - 1)->boot == moment.boot) --stretch;
  if (stretch == stretches_.end() || stretch->boot != moment.boot) return {};
  return {WallTime{moment.mono.time_since_epoch() + stretch->offset}, stretch->quality};
}

std::vector<Stretch> Boots::take_changed() {
  return std::exchange(changed_, {});
}

// A stretch that begins where the last one did takes its place.
void Boots::add(Stretch stretch) {
  const bool same =
      !stretches_.empty() && stretches_.back().boot == stretch.boot && stretches_.back().from == stretch.from;
  if (same) stretches_.pop_back();
  changed_.push_back(stretch);
  stretches_.push_back(std::move(stretch));
}

// Dates what this boot recorded before its clock was set.
void Boots::repair(Millis offset, MonoTime until) {
  for (auto& stretch : stretches_) {
    if (stretch.boot != current_ || stretch.quality != TimeQuality::unsynced) continue;
    stretch.quality = TimeQuality::repaired;
    stretch.offset = offset;
    stretch.error = kTolerance + drift(until - stretch.from);
    changed_.push_back(stretch);
  }
}

// The boots before this one, as far back as their clocks were never set, lie in order between the end of the last one
// that is dated and the start of this one. Where there is none before them they stay unsynced, dated as late as can be.
void Boots::bound_earlier() {
  struct Boot {
    std::uint32_t number = 0;
    Millis length{};
  };
  std::vector<Boot> undated;  // newest first
  std::optional<WallTime> after;
  const auto this_one = std::find_if(stretches_.begin(), stretches_.end(),
                                     [this](const Stretch& stretch) { return stretch.boot == current_; });
  const WallTime before{this_one->offset};
  Millis total{};
  for (auto it = std::make_reverse_iterator(this_one); it != stretches_.rend() && !after; ++it) {
    if (it->quality != TimeQuality::unsynced) {
      after = WallTime{it->until.value_or(it->from).time_since_epoch() + it->offset};
    } else if (undated.empty() || undated.back().number != it->boot) {
      undated.push_back({it->boot, it->until.value_or(it->from).time_since_epoch()});
      total += undated.back().length;
    }
  }
  // What is free between them may lie anywhere; a clock that contradicts its neighbours leaves nothing to go by.
  if (after && before - *after < total) after.reset();
  auto latest = before;
  for (const auto& boot : undated) {
    latest -= boot.length;  // the latest that it can have started
    const auto slack = after ? (before - *after - total) : Millis{0};
    for (auto& stretch : stretches_) {
      if (stretch.boot != boot.number) continue;
      stretch.offset = latest.time_since_epoch() - slack / 2;
      if (after) {
        stretch.quality = TimeQuality::repaired;
        stretch.error = slack / 2 + kTolerance + drift(total);
      }
      changed_.push_back(stretch);
    }
  }
}

}  // namespace hamlet::journal
