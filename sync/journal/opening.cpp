#include "sync/journal/opening.hpp"

#include <algorithm>
#include <cerrno>
#include <system_error>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include "firmware/core/id.hpp"
#include "sync/journal/mark.hpp"
#include "sync/journal/media.hpp"

namespace hamlet::journal {
namespace {

namespace fs = std::filesystem;

Status make_folder(const fs::path& folder) {
  std::error_code error;
  const bool made = fs::create_directories(folder, error);
  if (!error && made) fs::permissions(folder, static_cast<fs::perms>(0750), error);
  if (!error) return {};
  const auto code =
      error == std::errc::permission_denied || error == std::errc::read_only_file_system ? Errc::denied : Errc::failed;
  return fail(code, fmt::format("make the folder {}: {}", folder.string(), error.message()));
}

Result<WriterLock> lock_folder(const fs::path& folder) {
  const auto path = folder / "journal.lock";
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
  if (fd < 0) {
    const int why = errno;
    return fail(why == EACCES || why == EROFS ? Errc::denied : Errc::failed,
                fmt::format("{}: {}", path.string(), std::generic_category().message(why)));
  }
  WriterLock lock{fd};
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    return fail(Errc::unavailable,
                fmt::format("{}: another hamletd uses this journal; stop it first", folder.string()));
  }
  return lock;
}

// "20260501T083000Z"
std::string stamp(WallTime now) {
  auto text = to_iso_utc(now).substr(0, 19);
  std::erase_if(text, [](char c) { return c == '-' || c == ':'; });
  return text + "Z";
}

// Renames the file and its -wal; the -shm is made anew from them. Returns the new name.
Result<std::string> rename_aside(const fs::path& file, std::string_view why, WallTime now) {
  std::string name;
  std::error_code error;
  for (int n = 0; name.empty() || fs::exists(file.parent_path() / name, error); ++n) {
    name = fmt::format("journal-{}-{}{}.db", stamp(now), why, n == 0 ? "" : fmt::format("-{}", n));
  }
  const auto aside = file.parent_path() / name;
  fs::rename(file, aside, error);
  if (error) return fail(Errc::failed, fmt::format("set {} aside: {}", file.string(), error.message()));
  for (const auto* suffix : {"-wal", "-shm"}) {
    std::error_code absent;  // after a clean stop there may be none
    fs::rename(fs::path{file}.concat(suffix), fs::path{aside}.concat(suffix), absent);
  }
  return name;
}

// Touches what a start needs, so that damage there is found now.
Status check(Store& store) {
  const auto epochs = store.epochs();
  if (!epochs) return fail(epochs.error());
  for (const auto lane : contract::kLanes) {
    const auto ends = store.ends(lane);
    if (!ends) return fail(ends.error());
    const auto newest = generation_of(ends->second);
    const bool known = std::any_of(epochs->begin(), epochs->end(), [&](const auto& row) { return row.generation == newest; });
    if (ends->second != 0 && !known) return fail(Errc::corrupt, "records of an epoch that is not known");
  }
  if (auto positions = store.positions(); !positions) return fail(std::move(positions).error());
  if (auto boots = store.boots(); !boots) return fail(std::move(boots).error());
  if (auto names = store.names(); !names) return fail(std::move(names).error());
  if (auto states = store.states(""); !states) return fail(std::move(states).error());
  return {};
}

Result<std::unique_ptr<Store>> open_checked(const fs::path& file) {
  auto store = Store::open_writing(file);
  if (!store) return store;
  if (auto status = check(**store); !status) return fail(std::move(status).error());
  return store;
}

EpochRow next_epoch(const std::vector<EpochRow>& before, const std::optional<Mark>& mark, std::string reason) {
  EpochRow row{.generation = 0, .id = random_hex64(), .reason = std::move(reason)};
  if (!before.empty()) row.generation = before.back().generation + 1;
  if (mark) row.generation = std::max(row.generation, mark->generation + 1);
  return row;
}

// What of a damaged journal is small and can be read. The newest epoch is in the mark, too.
Changes carried_over(const fs::path& aside, const std::optional<Mark>& mark, const contract::Names* names) {
  Changes changes;
  bool names_known = names != nullptr;
  if (auto store = Store::open_aside(aside)) {
    changes.epochs = (*store)->epochs().value_or(std::vector<EpochRow>{});
    changes.boots = (*store)->boots().value_or(std::vector<Stretch>{});
    changes.positions = (*store)->positions().value_or(Positions{});
    for (auto& [key, value] : (*store)->states("").value_or(KeyValues{})) changes.states.emplace(std::move(key), std::move(value));
    for (auto& row : changes.epochs) {
      for (const auto lane : contract::kLanes) {
        auto& used = row.used.at(index(lane));
        if (const auto numbers = (*store)->numbers(lane, row.generation)) used = std::max(used, numbers->to);
      }
    }
    auto stored = (*store)->names();
    names_known = names_known || stored.has_value();
    const contract::Names none;
    const auto& known = names != nullptr ? *names : stored ? *stored : none;
    for (contract::Names::Id id = 1; id <= known.last(); ++id)
      changes.names.emplace_back(id, std::string{known.at(id).value_or("")});
  }
  // An epoch that only the mark knows: its records are named by it.
  const bool in_mark = mark && std::none_of(changes.epochs.begin(), changes.epochs.end(),
                                            [&](const auto& row) { return row.generation >= mark->generation; });
  if (in_mark) changes.epochs.push_back({mark->generation, mark->epoch, "new", mark->last});
  for (auto& row : changes.epochs) {
    if (!mark || row.generation != mark->generation) continue;
    for (std::size_t i = 0; i < kLaneCount; ++i) row.used.at(i) = std::max(row.used.at(i), mark->last.at(i));
  }
  changes.meta["salvage"] = nlohmann::json{{"file", aside.filename().string()}, {"names", names_known}}.dump();
  return changes;
}

}  // namespace

WriterLock::~WriterLock() {
  if (fd_ >= 0) ::close(fd_);
}

namespace {

// A new file that goes on behind the one that was set aside.
Result<Replaced> begin_behind(const Options& options, const std::string& aside, std::string_view reason,
                              const contract::Names* names) {
  const auto mark = read_mark(options.directory);
  auto changes = carried_over(options.directory / aside, mark, names);
  changes.epochs.push_back(next_epoch(changes.epochs, mark, "salvaged"));
  if (!options.machine_id.empty()) changes.meta["machine_id"] = options.machine_id;
  auto store = Store::open_writing(options.directory / kFileName);
  if (!store) return fail(std::move(store).error());
  if (auto status = (*store)->commit(changes); !status) return fail(std::move(status).error());
  return Replaced{std::move(*store), std::move(changes.epochs), fmt::format("{}; kept as {}", reason, aside)};
}

// The file that was set aside last, where it is the mark's: then the power went before another one took its place.
std::optional<std::string> left_aside(const fs::path& folder, const Mark& mark) {
  std::string newest;
  std::error_code error;
  for (auto entry = fs::directory_iterator{folder, error}; !error && entry != fs::directory_iterator{};
       entry.increment(error)) {
    const auto name = entry->path().filename().string();
    if (name.starts_with("journal-") && name.ends_with(".db")) newest = std::max(newest, name);
  }
  if (newest.empty()) return {};
  auto store = Store::open_aside(folder / newest);
  if (!store) return {};
  const auto epochs = (*store)->epochs();
  const bool its = epochs && std::any_of(epochs->begin(), epochs->end(), [&](const auto& row) { return row.id == mark.epoch; });
  return its ? std::optional{newest} : std::nullopt;
}

}  // namespace

Result<Replaced> replace_damaged(const Options& options, std::string_view reason, WallTime now,
                                 const contract::Names* names) {
  const auto aside = rename_aside(options.directory / kFileName, "damaged", now);
  if (!aside) return fail(aside.error());
  return begin_behind(options, *aside, reason, names);
}

namespace {

// Why a journal that can be read must not go on with its epoch; empty where it may.
std::string why_renew(Store& store, const std::vector<EpochRow>& epochs, const std::optional<Mark>& mark,
                      const std::string& machine_id, bool damaged_log) {
  if (epochs.empty()) return "new";
  const auto written_by = store.meta("machine_id");
  const auto machine = written_by ? written_by->value_or("") : "";
  if (!machine.empty() && !machine_id.empty() && machine != machine_id) return "moved";
  if (damaged_log) return "damaged-log";
  if (!mark) return {};
  const auto& newest = epochs.back();
  if (mark->generation < newest.generation) return {};
  if (mark->epoch != newest.id) return "restored";
  for (const auto lane : contract::kLanes) {
    const auto numbers = store.numbers(lane, newest.generation);
    if (!numbers || numbers->to < mark->last.at(index(lane))) return "restored";
  }
  return {};
}

std::string describe(const std::string& reason) {
  if (reason == "moved") return "another machine wrote the journal: a new epoch begins";
  if (reason == "restored") return "the journal is older than it was: a copy, or writes were lost; a new epoch begins";
  if (reason == "damaged-log") return "the journal's log is damaged, the last commits may be lost: a new epoch begins";
  return {};
}

}  // namespace

Result<Opened> open_for_writing(const Options& options, WallTime now) {
  const auto& folder = options.directory;
  for (const auto& needed : {folder, folder / kMediaFolder}) {
    if (auto status = make_folder(needed); !status) return fail(std::move(status).error());
  }
  auto lock = lock_folder(folder);
  if (!lock) return fail(std::move(lock).error());
  const auto file = folder / kFileName;
  const auto mark = read_mark(folder);
  std::error_code absent;
  const bool damaged_log = mark && mark->in_use && fs::exists(file, absent) && wal_is_damaged(file);

  const auto went_on = [&lock](Result<Replaced> replaced) -> Result<Opened> {
    if (!replaced) return fail(std::move(replaced).error());
    return Opened{std::move(*lock), std::move(replaced->store), std::move(replaced->epochs), std::move(replaced->set_aside)};
  };
  auto store = open_checked(file);
  if (!store) {
    if (store.error().code != Errc::corrupt) return fail(std::move(store).error());
    return went_on(replace_damaged(options, store.error().message, now, nullptr));
  }
  const auto decide = [&]() -> Result<Opened> {
    const auto passed_over = (*store)->passed_over();
    auto epochs = (*store)->epochs();
    if (!epochs) return fail(std::move(epochs).error());
    if (mark && epochs->empty()) {
      if (const auto aside = left_aside(folder, *mark)) {
        store->reset();
        return went_on(begin_behind(options, *aside, "a damaged journal was being replaced", nullptr));
      }
    }
    const bool gone = mark && epochs->empty();
    const auto reason = why_renew(**store, *epochs, mark, options.machine_id, damaged_log);
    Changes changes;
    if (!reason.empty()) {
      for (auto& row : *epochs) {
        for (const auto lane : contract::kLanes) {
          const auto numbers = (*store)->numbers(lane, row.generation);
          if (!numbers) return fail(numbers.error());
          row.used.at(index(lane)) = numbers->to;
          if (mark && mark->epoch == row.id) row.used.at(index(lane)) = std::max(numbers->to, mark->last.at(index(lane)));
        }
      }
      if (!epochs->empty()) changes.epochs = *epochs;
      changes.epochs.push_back(next_epoch(*epochs, mark, reason));
      epochs->push_back(changes.epochs.back());
    }
    const auto written_by = (*store)->meta("machine_id");
    if (!options.machine_id.empty() && (!written_by || *written_by != options.machine_id))
      changes.meta["machine_id"] = options.machine_id;
    if (!changes.empty()) {
      if (auto status = (*store)->commit(changes); !status) return fail(std::move(status).error());
    }
    auto wrong = damaged_log ? describe("damaged-log") : gone ? "the journal was gone: a new one begins" : describe(reason);
    if (passed_over > 0) {
      wrong += fmt::format("{}{} rows of the durable state, of positions or of the clock are damaged: what they belong to starts afresh",
                           wrong.empty() ? "" : "; ", passed_over);
    }
    return Opened{std::move(*lock), std::move(*store), std::move(*epochs), std::move(wrong)};
  };
  auto opened = decide();
  if (opened || opened.error().code != Errc::corrupt || !*store) return opened;
  // Damage that shows only when it is written to, or behind what was looked at first.
  store->reset();
  return went_on(replace_damaged(options, opened.error().message, now, nullptr));
}

// ---- salvage -------------------------------------------------------------------------------------------------------

Salvage::Salvage(fs::path file, std::unique_ptr<Store> from) : file_{std::move(file)}, from_{std::move(from)} {}

std::unique_ptr<Salvage> Salvage::resume(const fs::path& folder, Store& into) {
  const auto task = into.meta("salvage");
  if (!task || !*task) return {};
  const auto json = nlohmann::json::parse(**task, nullptr, /*allow_exceptions=*/false);
  const auto name = json.is_object() ? json.value("file", std::string{}) : std::string{};
  if (name.empty() || name.find('/') != std::string::npos) return {};
  auto from = Store::open_aside(folder / name);
  std::unique_ptr<Salvage> salvage{new Salvage{folder / name, from ? std::move(*from) : nullptr}};
  salvage->names_known_ = json.value("names", false);
  salvage->epochs_ = into.epochs().value_or(std::vector<EpochRow>{});
  if (!salvage->epochs_.empty()) salvage->epochs_.pop_back();  // the one that goes on has nothing there
  for (const auto lane : {Lane::media, Lane::tele, Lane::event, Lane::alarm}) {  // alarms are the last: they go first
    LaneWork work{.lane = lane};
    for (const auto& row : salvage->epochs_) {
      work.end = key_of(row.generation, kMaxSeq);  // what is known to be used may be less than what is there
    }
    if (work.end != 0) salvage->work_.push_back(work);
  }
  return salvage;
}

void Salvage::pass_over(LaneWork& work, Key to) {
  // Of each epoch the part that was in use.
  for (const auto& row : epochs_) {
    const auto from = std::max(work.next, key_of(row.generation, 1));
    const auto last = std::min(to, key_of(row.generation, row.used.at(index(work.lane))));
    if (from > last || generation_of(last) != row.generation) continue;
    const bool goes_on = !lost_.empty() && lost_.back().first == work.lane && lost_.back().second.second + 1 == from;
    if (goes_on) {
      lost_.back().second.second = last;
    } else {
      lost_.push_back({work.lane, {from, last}});
    }
  }
  work.next = to + 1;
}

Result<bool> Salvage::step(Store& into) {
  constexpr std::size_t kStepBlocks = 256;
  constexpr std::size_t kStepBytes = 256U << 10;
  if (work_.empty()) return false;
  auto& work = work_.back();
  const auto finish = [&] {
    if (work.next <= work.end) pass_over(work, work.end);
    work_.pop_back();
    return !work_.empty();
  };
  const bool readable = from_ != nullptr && (work.lane != Lane::tele || names_known_);
  if (!readable) return finish();
  auto found = from_->blocks(work.lane, work.next, kStepBlocks, kStepBytes);
  if (!found) found = from_->blocks(work.lane, work.next, 1, kStepBytes);
  if (!found) {
    // A page is gone: the nearest key behind it that can be reached. Doubling, then halving.
    Key bad = work.next;
    Key step = 1;
    Key good = 0;
    for (; bad + step <= work.end; step *= 2) {
      if (from_->block_from(work.lane, bad + step)) {
        good = bad + step;
        break;
      }
      bad += step;
    }
    if (good == 0) return finish();
    while (good - bad > 1) {
      const auto middle = bad + (good - bad) / 2;
      (from_->block_from(work.lane, middle) ? good : bad) = middle;
    }
    const auto next = from_->block_from(work.lane, good);
    if (!next || !*next) return finish();
    // What can be found and yet not be read goes as a whole.
    pass_over(work, (*next)->first() > work.next ? (*next)->first() - 1 : (*next)->key);
    return true;
  }
  if (found->empty()) return finish();
  std::vector<Block> intact;
  const auto begun_at = work.next;
  for (auto& block : *found) {
    const auto row = std::find_if(epochs_.begin(), epochs_.end(),
                                  [&](const auto& each) { return each.generation == generation_of(block.key); });
    const bool begins = work.next == 0 || generation_of(work.next) != generation_of(block.key);  // may have been trimmed
    if (row == epochs_.end() || block.key < work.next || !Blocks::intact(block, work.lane, row->id)) {
      if (block.key >= work.next) pass_over(work, std::min(block.key, work.end));
      continue;
    }
    if (!begins && block.first() > work.next) pass_over(work, block.first() - 1);
    work.next = block.key + 1;
    auto& used = row->used.at(index(work.lane));
    used = std::max(used, seq_of(block.key));
    records_ += block.count;
    intact.push_back(std::move(block));
  }
  if (auto status = into.take_over(work.lane, intact); !status) return fail(std::move(status).error());
  return work.next > begun_at ? true : finish();  // rows that say other keys than they stand at
}

nlohmann::json Salvage::summary() const {
  constexpr std::size_t kMaxRanges = 10'000;  // each becomes an event
  auto ranges = nlohmann::json::array();
  std::uint64_t lost = 0;
  for (const auto& [lane, range] : lost_) {
    lost += range.second - range.first + 1;
    const auto row = std::find_if(epochs_.begin(), epochs_.end(), [generation = generation_of(range.first)](const auto& each) {
      return each.generation == generation;
    });
    if (ranges.size() < kMaxRanges && row != epochs_.end()) {
      ranges.push_back({{"epoch", row->id},
                        {"lane", contract::to_string(lane)},
                        {"from", seq_of(range.first)},
                        {"to", seq_of(range.second)}});
    }
  }
  return {{"file", file_.filename().string()}, {"records", records_}, {"lost", lost}, {"ranges", std::move(ranges)}};
}

}  // namespace hamlet::journal
