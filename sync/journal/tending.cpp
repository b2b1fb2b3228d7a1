#include "sync/journal/tending.hpp"

#include <algorithm>
#include <fstream>
#include <tuple>

#include <sys/statvfs.h>

#include <nlohmann/json.hpp>

#include "sync/journal/media.hpp"

namespace hamlet::journal {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxBlocks = 4'096;          // in one plan and lane
constexpr std::uint64_t kFreePages = 512U << 10;   // bytes kept free inside the file once it may not grow
constexpr std::array kOrder{Lane::media, Lane::tele, Lane::event, Lane::alarm};

std::uint64_t size_of(const fs::path& file) {
  std::error_code error;
  const auto size = fs::file_size(file, error);
  return error ? 0 : size;
}

bool is_aside(const std::string& name) { return name.starts_with("journal-") && name.find(".db") != std::string::npos; }

std::optional<Gap> gap_of(const Record& record) {
  if (record.body.topic != "event/gateway/gap") return {};
  const auto event = nlohmann::json::parse(record.body.bytes, nullptr, /*allow_exceptions=*/false);
  const auto detail = event.is_object() ? event.value("detail", nlohmann::json::object()) : nlohmann::json{};
  if (!detail.contains("from")) return {};  // of records that never got a number
  return Gap{detail.value("epoch", ""), detail.value("lane", ""), detail.value("from", std::uint64_t{0}),
             detail.value("to", std::uint64_t{0}), detail.value("reason", "")};
}

Result<std::vector<std::pair<std::uint64_t, Gap>>> gaps_in(Store& store, const BlockInfo& block) {
  std::vector<std::pair<std::uint64_t, Gap>> out;
  for (auto from = block.first(); from <= block.key;) {
    const auto found = store.records(Lane::event, from, block.key, Block::kMaxRecords, 1U << 20);
    if (!found) return fail(found.error());
    for (const auto& record : found->records)
      if (auto gap = gap_of(record)) out.emplace_back(record.seq, std::move(*gap));
    if (found->records.empty() || found->damaged) break;
    from = key_of(found->records.back().generation, found->records.back().seq) + 1;
  }
  return out;
}

/// Goes through a lane from the front, block by block, while `wanted` says so.
template <class Wanted>
Status collect(Store& store, Lane lane, const fs::path& pictures, Plan& plan, Wanted wanted) {
  Key next = 0;
  for (std::size_t count = 0; count < kMaxBlocks; ++count) {
    auto block = store.block_from(lane, next);
    if (!block) return fail(std::move(block).error());
    if (!*block) return {};
    std::vector<std::string> files;
    auto bytes = (*block)->bytes;
    if (lane == Lane::media) {
      auto records = store.records(lane, (*block)->first(), (*block)->key, Block::kMaxRecords, 1U << 20);
      if (!records) return fail(std::move(records).error());
      for (auto& record : records->records) {
        bytes += size_of(pictures / record.body.bytes);
        files.push_back(std::move(record.body.bytes));
      }
    }
    if (!wanted(**block, bytes)) return {};
    auto* last = plan.lanes.empty() ? nullptr : &plan.lanes.back();
    if (last == nullptr || last->lane != lane || generation_of(last->to) != generation_of((*block)->key)) {
      plan.lanes.push_back({lane, (*block)->first(), 0, 0});
      last = &plan.lanes.back();
    }
    last->to = (*block)->key;
    last->bytes += bytes;
    std::move(files.begin(), files.end(), std::back_inserter(last->pictures));
    if (lane == Lane::event) {
      auto gaps = gaps_in(store, **block);
      if (!gaps) return fail(std::move(gaps).error());
      std::move(gaps->begin(), gaps->end(), std::back_inserter(last->gaps));
    }
    next = (*block)->key + 1;
  }
  return {};
}

// Where a block is the first of its epoch: the last key that was trimmed before it. Asked after the block was read, since
// trims go on meanwhile.
Result<Key> trimmed_before(Store& store, Lane lane, Key block) {
  const auto generation = generation_of(block);
  const auto oldest = store.block_from(lane, key_of(generation, 1));
  if (!oldest) return fail(oldest.error());
  if (*oldest && (*oldest)->key < block) return 0;
  const auto epochs = store.epochs();
  if (!epochs) return fail(epochs.error());
  for (const auto& row : *epochs)
    if (row.generation == generation) return key_of(generation, row.used.at(index(lane)));
  return 0;
}

}  // namespace

std::vector<Gap> joined(std::vector<Gap> gaps) {
  std::sort(gaps.begin(), gaps.end(), [](const Gap& a, const Gap& b) {
    return std::tie(a.epoch, a.lane, a.from, a.to) < std::tie(b.epoch, b.lane, b.from, b.to);
  });
  std::vector<Gap> out;
  for (auto& gap : gaps) {
    const bool meets = !out.empty() && out.back().epoch == gap.epoch && out.back().lane == gap.lane &&
                       gap.from <= out.back().to + 1;
    if (!meets) {
      out.push_back(std::move(gap));
    } else if (gap.to > out.back().to) {
      out.back().to = gap.to;
      out.back().reason = std::move(gap.reason);
    }
  }
  return out;
}

std::vector<std::string> files_aside(const fs::path& folder) {
  std::vector<std::string> out;
  std::error_code error;
  for (auto entry = fs::directory_iterator{folder, error}; !error && entry != fs::directory_iterator{};
       entry.increment(error)) {
    auto name = entry->path().filename().string();
    if (is_aside(name)) out.push_back(std::move(name));
  }
  std::sort(out.begin(), out.end());  // dated: the oldest first
  return out;
}

std::optional<std::uint64_t> free_on_disk(const fs::path& folder) {
  struct statvfs disk {};
  if (::statvfs(folder.c_str(), &disk) != 0) return {};
  return static_cast<std::uint64_t>(disk.f_bavail) * disk.f_frsize;
}

Result<Room> look_at_room(Store& store, const fs::path& folder, std::uint64_t media_bytes) {
  auto usage = store.usage();
  if (!usage) return fail(std::move(usage).error());
  Room room{.file = *usage};
  room.wal_bytes = size_of((folder / kFileName).concat("-wal"));
  room.media_bytes = media_bytes;
  for (const auto& name : files_aside(folder)) room.aside_bytes += size_of(folder / name);
  room.reserve_bytes = size_of(folder / "journal.reserve");
  room.free_bytes = free_on_disk(folder).value_or(0);
  return room;
}

Result<Plan> plan_for_room(Store& store, const Options& options, const Room& room, bool salvaging) {
  Plan plan;
  const auto limit = options.quota_bytes - options.quota_bytes / 16;
  const bool over = room.total() > limit;
  const bool crowded = options.min_free_bytes > 0 && room.free_bytes < options.min_free_bytes;
  if (!over && !crowded) return plan;
  plan.reason = over ? "quota" : "disk";
  // Removing files gives room to the disk. The file of the journal never shrinks: it must not grow any more, and goes on
  // within itself when there are free pages for what comes next.
  const auto in_file = kFreePages - std::min(kFreePages, room.file.free_bytes);
  auto needed = std::max(over ? room.total() - limit : 0, crowded ? options.min_free_bytes - room.free_bytes : 0) + in_file;
  const auto freed = [&needed](std::uint64_t bytes) { needed -= std::min(needed, bytes); };
  if (!salvaging) {
    for (auto& name : files_aside(options.directory)) {
      if (needed == 0) return plan;
      freed(size_of(options.directory / name));
      plan.aside.push_back(std::move(name));
    }
  }
  for (const auto lane : kOrder) {
    // The place for thinning: here, before readings go, a plan that puts aggregates in the place of the oldest batches.
    // They keep the key of the last, so that no number is used twice, and the gap event says what they stand for.
    if (lane == Lane::tele) needed = std::min(needed, in_file);
    const auto status = collect(store, lane, options.directory / kMediaFolder, plan,
                                [&](const BlockInfo&, std::uint64_t bytes) {
                                  if (needed == 0) return false;
                                  freed(bytes);
                                  return true;
                                });
    if (!status) return fail(status.error());
    if (needed == 0) break;
    // What is worth more goes only when nothing of this lane is left.
    const bool some = !plan.lanes.empty() && plan.lanes.back().lane == lane;
    const auto left = store.block_from(lane, some ? plan.lanes.back().to + 1 : 0);
    if (!left) return fail(left.error());
    if (*left) break;
  }
  return plan;
}

Result<Plan> plan_by_age(Store& store, const Options& options, const Boots& boots, WallTime now,
                         const StoredFunction& stored) {
  Plan plan{.lanes = {}, .aside = {}, .reason = "age"};
  for (const auto lane : kOrder) {
    const auto cutoff = now - (lane == Lane::alarm ? options.keep_alarms : options.keep);
    std::optional<WallTime> oldest;
    const auto status = collect(store, lane, options.directory / kMediaFolder, plan,
                                [&](const BlockInfo& block, std::uint64_t) {
                                  const auto dated = boots.date(block.at);
                                  if (dated.quality == TimeQuality::unsynced) return false;
                                  if (!oldest) oldest = dated.wall;
                                  return dated.wall < cutoff && dated.wall < *oldest + std::chrono::hours{24} &&
                                         seq_of(block.key) <= stored(generation_of(block.key), lane);
                                });
    if (!status) return fail(status.error());
  }
  return plan;
}

std::vector<std::string> orphan_pictures(Store& store, const fs::path& folder, const std::vector<Epoch>& epochs) {
  constexpr std::size_t kMost = 1'000;
  std::vector<std::string> out;
  std::error_code error;
  for (auto entry = fs::directory_iterator{folder, error};
       !error && entry != fs::directory_iterator{} && out.size() < kMost; entry.increment(error)) {
    auto name = entry->path().filename().string();
    const auto parsed = parse_picture_name(name);
    if (!parsed) continue;
    const auto epoch =
        std::find_if(epochs.begin(), epochs.end(), [&](const auto& each) { return each.id == parsed->first; });
    // One that is being written has a number beyond the last: it stays.
    if (epoch == epochs.end() || parsed->second > epoch->last.at(index(Lane::media))) continue;
    const auto key = key_of(epoch->generation, parsed->second);
    const auto found = store.records(Lane::media, key, key, 1, 1U << 20);
    if (found && found->records.empty() && !found->damaged) out.push_back(std::move(name));
  }
  return out;
}

Result<std::vector<Damage>> check_slice(Store& store, CheckCursor& cursor, std::size_t max_bytes) {
  std::vector<Damage> out;
  const auto epochs = store.epochs();
  if (!epochs) return fail(epochs.error());
  const auto lane = contract::kLanes.at(cursor.lane % kLaneCount);
  const auto blocks = store.blocks(lane, cursor.next, 1'000, max_bytes);
  if (!blocks) return fail(blocks.error());
  const auto begun_at = cursor.next;
  for (const auto& block : *blocks) {
    ++cursor.blocks;
    const auto row = std::find_if(epochs->begin(), epochs->end(),
                                  [&](const auto& each) { return each.generation == generation_of(block.key); });
    if (row == epochs->end() || !Blocks::intact(block, lane, row->id)) {
      // Its key may be what is damaged: it says nothing about where to go on.
      const bool sane = block.count > 0 && block.count <= std::min<std::uint64_t>(seq_of(block.key), Block::kMaxRecords);
      out.push_back({lane, sane ? block.first() : block.key, block.key});
      continue;
    }
    // A row that is not where its neighbours say it is: a page of the file was damaged so that nobody else notices.
    const bool goes_on = cursor.next != 0 && generation_of(cursor.next) == generation_of(block.key);
    auto expected = goes_on ? cursor.next : key_of(row->generation, 1);
    if (block.first() > expected) {
      const auto trimmed = trimmed_before(store, lane, block.key);
      if (!trimmed) return fail(trimmed.error());
      expected = std::max(expected, *trimmed + 1);
    }
    if (block.first() > expected) out.push_back({lane, expected, block.first() - 1});
    cursor.next = block.key + 1;
  }
  if (!blocks->empty() && cursor.next == begun_at) cursor.next = blocks->back().key + 1;
  if (blocks->empty()) cursor = {.lane = (cursor.lane + 1) % kLaneCount, .next = 0, .blocks = cursor.blocks};
  return out;
}

std::optional<std::uint64_t> bytes_written() {
  std::ifstream file{"/proc/self/io"};
  for (std::string name; file >> name;) {
    std::uint64_t value = 0;
    if (!(file >> value)) break;
    if (name == "write_bytes:") return value;
  }
  return {};
}

}  // namespace hamlet::journal
