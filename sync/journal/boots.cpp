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

void Boots::begin(std::string_view boot_id, const ClockReading& now) {
  // Monotonic time that runs backwards is not the same boot, whatever its id says (a machine restored from a snapshot).
  if (!stretches_.empty() && stretches_.back().boot_id == boot_id && stretches_.back().from <= now.mono) {
    current_ = stretches_.back().boot;
    seen_offset_ = stretches_.back().offset;
    return;
  }
  current_ = stretches_.empty() ? 1 : stretches_.back().boot + 1;
  seen_offset_ = offset_of(now);
  add({.boot = current_,
       .from = MonoTime{},
       .boot_id = std::string{boot_id},
       .offset = seen_offset_,
       .quality = now.synced ? TimeQuality::synced : TimeQuality::unsynced,
       .error = now.synced ? std::optional{kTolerance} : std::nullopt});
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

}  // namespace hamlet::journal
