#include "sync/journal/journal_impl.hpp"

#include <algorithm>

#include "firmware/core/id.hpp"
#include "firmware/core/log.hpp"
#include "sync/journal/mark.hpp"
#include "sync/journal/media.hpp"

namespace hamlet::journal {
namespace {

constexpr Millis kHour{3'600'000};
constexpr std::size_t kCheckBytes = 256U << 10;  // a slice, each time tend() is called

}  // namespace

// ---- damage --------------------------------------------------------------------------------------------------------

// The file itself is damaged.
void Journal::Impl::found_damage(const Error& error) {
  if (error.code != Errc::corrupt || std::exchange(must_heal, true)) return;
  if (!under_way) heal(error.message);
}

// Records are damaged, the file is not: they are declared, once, and go.
void Journal::Impl::found_damage(const std::vector<Damage>& found) {
  for (const auto& [lane, from, to] : found) {
    const auto [told, fresh] = damage_told.try_emplace({lane, to}, from);
    if (!fresh && told->second <= from) continue;
    const auto untold = fresh ? to : std::exchange(told->second, from) - 1;
    log::error("records of the journal are damaged",
               {{"lane", contract::to_string(lane)}, {"from", seq_of(from)}, {"to", seq_of(untold)}});
    waiting.meta[fmt::format("hole/{}/{}", static_cast<int>(lane), to)] = std::to_string(from);
    if (const auto gap = give_up(lane, from, untold, "damaged", /*all_of_it=*/true)) declare(*gap);
  }
}

// One that is still there after it was given up stands where no search finds it: the file's order is damaged.
void Journal::Impl::found_damaged_block(const Damage& damage) {
  if (damage_told.contains({damage.lane, damage.to}) && !trimming() && !under_way)
    return found_damage(Error{Errc::corrupt, "a record stands out of order"});
  found_damage(std::vector{damage});
}

// ---- tending -------------------------------------------------------------------------------------------------------

void Journal::Impl::tend() {
  if (stopped) return;
  const auto now = clock.mono();
  if (positions_due()) request(Urgency::window);
  tend_meter();
  if (!hourly_at || now - *hourly_at >= kHour) {
    hourly_at = now;
    age_due = true;
    tend_hourly();
  }
  if (age_due) tend_age();
  tend_room();
  check_on();
  if (salvaging) salvage_on();
}

void Journal::Impl::tend_hourly() {
  save_mark();
  if (!std::exchange(orphans_removed, true)) {
    on_reader<std::uint64_t>(
        [this, shown = epochs](Reader& from) -> Result<std::uint64_t> {
          const auto orphans = orphan_pictures(from.store(), options.directory / kMediaFolder, shown);
          for (const auto& name : orphans) remove_picture(options.directory / kMediaFolder, name);
          return picture_bytes(options.directory / kMediaFolder);
        },
        [this](const Result<std::uint64_t>& bytes) {
          if (bytes) media_bytes = *bytes;
        });
  }
}

void Journal::Impl::tend_room() {
  committed_bytes = 0;
  if (planning || trimming()) return;
  planning = true;
  using Found = std::pair<Room, Plan>;
  on_reader<Found>(
      [this, media = media_bytes, busy_salvaging = salvaging](Reader& from) -> Result<Found> {
        auto room = look_at_room(from.store(), options.directory, media);
        if (!room) return fail(std::move(room).error());
        auto plan = plan_for_room(from.store(), options, *room, busy_salvaging);
        if (!plan) return fail(std::move(plan).error());
        return Found{*room, std::move(*plan)};
      },
      [this](Result<Found> found) {
        planning = false;
        if (!found) return found_damage(found.error());
        aside_bytes = found->first.aside_bytes;
        free_bytes = found->first.free_bytes;
        if (!found->second.empty()) give_up(std::move(found->second));
      });
}

void Journal::Impl::tend_age() {
  const auto now = boots.date({boots.current(), clock.mono()});
  if (now.quality != TimeQuality::synced || planning || trimming()) return;
  planning = true;
  age_due = false;
  std::map<std::pair<std::uint32_t, Lane>, std::uint64_t> stored;
  for (const auto& row : rows) {
    for (const auto lane : contract::kLanes) stored[{row.generation, lane}] = stored_by_all(row.generation, lane);
  }
  on_reader<Plan>(
      [this, now, stored = std::move(stored)](Reader& from) {
        return plan_by_age(from.store(), options, from.boots(), now.wall, [&stored](std::uint32_t generation, Lane lane) {
          const auto found = stored.find({generation, lane});
          return found == stored.end() ? 0 : found->second;
        });
      },
      [this](Result<Plan> plan) {
        planning = false;
        if (!plan) return found_damage(plan.error());
        give_up(std::move(*plan));
      });
}

void Journal::Impl::give_up(Plan plan) {
  for (const auto& name : plan.aside) {
    log::warning("a damaged journal that was set aside is removed", {{"file", name}, {"reason", plan.reason}});
    std::error_code absent;
    aside_bytes -= std::min<std::uint64_t>(aside_bytes, std::filesystem::file_size(options.directory / name, absent));
    std::filesystem::remove(options.directory / name, absent);
  }
  if (!plan.aside.empty()) append_event("journal", {{"removed", plan.aside}, {"reason", plan.reason}});
  std::vector<Gap> gaps;
  for (auto& given : plan.lanes) {
    if (given.lane == Lane::media) media_bytes -= std::min(media_bytes, given.bytes);
    std::move(given.pictures.begin(), given.pictures.end(), std::back_inserter(waiting.pictures));
    if (auto gap = give_up(given.lane, given.from, given.to, plan.reason, /*all_of_it=*/false)) gaps.push_back(std::move(*gap));
    // A declaration that goes before every county has it is made again.
    const auto stored = stored_by_all(generation_of(given.to), given.lane);
    for (auto& [seq, gap] : given.gaps)
      if (seq > stored) gaps.push_back(std::move(gap));
  }
  for (const auto& gap : joined(std::move(gaps))) declare(gap);
}

// The records go with the next transaction. What every county may not have is to be declared in the same one.
std::optional<Gap> Journal::Impl::give_up(Lane lane, Key from, Key to, std::string_view reason, bool all_of_it) {
  const auto generation = generation_of(to);
  const auto row = std::find_if(rows.begin(), rows.end(), [&](const auto& each) { return each.generation == generation; });
  if (row == rows.end()) {  // a key that cannot be: the numbers that are missing show as a hole
    waiting.trims.push_back({lane, from, to, false});
    request(Urgency::now);
    return {};
  }
  // Up to what is used all was trimmed, or is declared: a hole further back is none of it.
  const bool at_front = !all_of_it;
  const bool at_end = generation == newest().generation && seq_of(to) >= epochs.back().last.at(index(lane));
  waiting.trims.push_back({lane, from, to, at_front || at_end});
  if (at_front || at_end) row->used.at(index(lane)) = std::max(row->used.at(index(lane)), seq_of(to));
  if (at_front && generation == newest().generation) first.at(index(lane)) = seq_of(to) + 1;
  const auto stored = all_of_it && uplinks.empty() ? 0 : stored_by_all(generation, lane);
  const auto lost_from = std::max(seq_of(from), stored == UINT64_MAX ? UINT64_MAX : stored + 1);
  request(Urgency::now);
  if (lost_from > seq_of(to)) return {};
  log::warning("the journal gives records up",
               {{"lane", contract::to_string(lane)}, {"from", lost_from}, {"to", seq_of(to)}, {"reason", reason}});
  return Gap{row->id, std::string{contract::to_string(lane)}, lost_from, seq_of(to), std::string{reason}};
}

void Journal::Impl::declare(const Gap& gap) {
  append_event("gap", {{"epoch", gap.epoch},
                       {"lane", gap.lane},
                       {"from", gap.from},
                       {"to", gap.to},
                       {"count", gap.to - gap.from + 1},
                       {"reason", gap.reason}});
}

// Up to here every county that we send to has stored it; all of it where there is none.
std::uint64_t Journal::Impl::stored_by_all(std::uint32_t generation, Lane lane) const {
  std::uint64_t least = UINT64_MAX;
  for (const auto& uplink : uplinks) {
    const auto found = positions.find({uplink, generation, lane});
    least = std::min(least, found == positions.end() ? 0 : found->second.stored);
  }
  return least;
}

void Journal::Impl::tend_meter() {
  const auto written = bytes_written();
  if (!written) return;
  if (!written_at_start) written_at_start = written_metered = *written;
  const auto hour = to_ms(boots.date({boots.current(), clock.mono()}).wall) / kHour.count();
  auto& sum = written_by_hour[hour];
  sum += *written - std::exchange(written_metered, *written);
  // Once an hour is over it is kept, with the next commit.
  for (auto it = written_by_hour.begin(); it != written_by_hour.end() && it->first < hour - 24;) {
    waiting.meta[fmt::format("written/{}", it->first)] = std::nullopt;
    it = written_by_hour.erase(it);
  }
  if (written_by_hour.size() > 1) {
    const auto before = std::prev(written_by_hour.end(), 2);
    const auto key = fmt::format("written/{}", before->first);
    if (hour_kept != before->first) {
      waiting.meta[key] = std::to_string(before->second);
      hour_kept = before->first;
    }
  }
}

void Journal::Impl::check_on() {
  on_reader<std::vector<Damage>>([this](Reader& from) { return check_slice(from.store(), checking, kCheckBytes); },
                                 [this](const Result<std::vector<Damage>>& found) {
                                   if (!found) return found_damage(found.error());
                                   found_damage(*found);
                                 });
}

void Journal::Impl::salvage_on() {
  if (under_way) {
    salvage_asked = true;
    return;
  }
  on_writer<Writer::Salvaged>(
      [](Writer& to) { return to.salvage(); },
      [this](Writer::Salvaged step) {
        if (step.more) {
          asio::post(io, [weak = weak_from_this()] {
            if (const auto self = weak.lock(); self && !self->stopped) self->salvage_on();
          });
          return;
        }
        salvaging = false;
        if (!step.summary) return;
        log::info("the damaged journal was salvaged", {{"summary", step.summary->dump()}});
        waiting.meta["salvage"] = std::nullopt;
        for (auto& found : step.epochs) {
          for (auto& row : rows) {
            if (row.generation != found.generation) continue;
            for (std::size_t i = 0; i < kLaneCount; ++i) row.used.at(i) = std::max(row.used.at(i), found.used.at(i));
            waiting.epochs.push_back(row);
          }
        }
        for (const auto& range : step.summary->at("ranges")) {
          declare({range.at("epoch"), range.at("lane"), range.at("from"), range.at("to"), "damaged"});
        }
        step.summary->erase("ranges");
        append_event("journal", {{"salvaged", *step.summary}});
        show_epochs();
        tell_epoch();
      });
}

// ---- epochs --------------------------------------------------------------------------------------------------------

// Numbers go on behind `last`.
void Journal::Impl::enter_newest(const Numbers& last) {
  opened_at = last;
  first = {};
  for (std::size_t i = 0; i < kLaneCount; ++i) next.at(i) = last.at(i) + 1;
}

// Earlier ones are shown once all that is left of them is here.
void Journal::Impl::show_epochs() {
  std::vector<Epoch> shown;
  for (const auto& row : rows) {
    if (&row != &rows.back() && salvaging) continue;
    shown.push_back({row.generation, row.id, row.used});
  }
  if (!epochs.empty() && epochs.back().generation == shown.back().generation) shown.back().last = epochs.back().last;
  epochs = std::move(shown);
}

void Journal::Impl::tell_epoch() {
  for (const auto& callback : epoch_callbacks) callback();
}

void Journal::Impl::heal(const std::string& reason) {
  log::error("the journal is damaged; it is set aside and a new one goes on", {{"why", reason}});
  must_heal = true;
  on_writer<Result<Replaced>>(
      [reason, now = clock.wall(), known = std::make_shared<contract::Names>(names.clone())](Writer& broken) {
        return broken.heal(reason, now, *known);
      },
      [this](Result<Replaced> healed) {
        if (!healed) {
          log::error("the journal cannot be replaced; it keeps trying", {{"why", healed.error().message}});
          failure = healed.error().message;
          return retry_later();
        }
        must_heal = false;
        (void)reading.post([this] {
          change_reader(nullptr);
          beside.reset();
        });
        // The machine's store has no pages to write any more but its own: everything it must know is in `rows`.
        rows = std::move(healed->epochs);
        // Records that were numbered and not yet committed keep their numbers in the epoch that they were given.
        for (auto& row : rows) {
          if (row.generation + 1 != newest().generation) continue;
          for (std::size_t i = 0; i < kLaneCount; ++i) row.used.at(i) = std::max(row.used.at(i), next.at(i) - 1);
        }
        enter_newest({});
        salvaging = true;
        epochs.clear();
        show_epochs();
        waiting.boots = boots.stretches();
        set_aside = healed->set_aside;
        append_event("journal", {{"set_aside", healed->set_aside}});
        save_mark();
        tell_epoch();
        take_along();
        hand_over(std::exchange(waiting, {}));
        salvage_asked = true;
      });
}

// We are a copy of a journal that has gone on elsewhere: what this run has appended and the county has not stored gets other
// numbers, in the file and in what waits. Nothing is under way.
void Journal::Impl::renumber() {
  must_renumber = false;
  const auto old = newest();
  auto kept = opened_at;
  for (const auto lane : contract::kLanes) {
    const auto i = index(lane);
    if (!uplinks.empty()) kept.at(i) = std::max(kept.at(i), std::min(stored_by_all(old.generation, lane), epochs.back().last.at(i)));
  }
  rows.back().used = kept;
  rows.push_back({old.generation + 1, random_hex64(), "behind", {}});
  Positions ended;  // nothing of the old epoch is sent any more
  for (auto& [key, position] : positions) {
    const auto& [uplink, generation, lane] = key;
    const auto last = kept.at(index(lane));
    if (generation != old.generation || (position.beyond.empty() && position.prefix <= last)) continue;
    position.prefix = std::min(position.prefix, last);
    std::erase_if(position.beyond, [last](const auto& span) { return span.to > last; });
    positions_moved.erase(key);
    ended.emplace(key, position);
  }
  auto moved = epochs.back().last;  // committed
  for (std::size_t i = 0; i < kLaneCount; ++i) {
    moved.at(i) -= std::min(moved.at(i), kept.at(i));
    next.at(i) -= kept.at(i);
  }
  const Renumbering renumbering_of{old, newest(), kept};
  for (auto& change : waiting.records) {
    if (renumbering_of.moves(change.record)) renumbering_of.apply(change.record);
  }
  opened_at = {};
  first = {};
  renumbering = true;
  moving = {old, newest(), kept, std::move(ended)};
  move_records(moved);
}

// Until it is done nothing else is committed: the new epoch is not in the file.
void Journal::Impl::move_records(const Numbers& moved) {
  flush_again = true;
  on_writer<Status>([what = moving](Writer& into) { return into.renumber(what.from, what.to, what.kept, what.positions); },
                    [this, moved](const Status& status) {
                      if (!status && status.error().code != Errc::corrupt) {
                        failure = status.error().message;
                        again = [this, moved] { move_records(moved); };
                        return retry_later();
                      }
                      renumbering = false;
                      failure.clear();
                      if (!status) {
                        // Set aside and salvaged it gets a new epoch, too.
                        return heal(status.error().message);
                      }
                      show_epochs();
                      epochs.back().last = moved;
                      for (std::size_t i = 0; i < kLaneCount; ++i) {
                        if (moved.at(i) > 0) first.at(i) = 1;
                      }
                      append_event("journal", {{"epoch", newest().id}, {"reason", "behind"}});
                      save_mark();
                      tell_epoch();
                    });
}

void Journal::Impl::save_mark() {
  Mark mark{newest().id, newest().generation, epochs.back().last};
  (void)writing.post([folder = options.directory, mark]() mutable {
    std::error_code absent;
    const auto log = std::filesystem::file_size((folder / kFileName).concat("-wal"), absent);
    mark.in_use = !absent && log >= kWalKeptBytes;
    if (auto status = write_mark(folder, mark); !status)
      log::warning("the journal's mark cannot be written", {{"why", status.error().message}});
  });
}

}  // namespace hamlet::journal
