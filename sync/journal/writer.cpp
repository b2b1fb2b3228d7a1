#include "sync/journal/writer.hpp"

#include <algorithm>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "sync/journal/media.hpp"
#include "sync/journal/tending.hpp"

namespace hamlet::journal {
namespace {

constexpr const char* kReserveFile = "journal.reserve";

bool is_patient(const NewRecord& change) { return change.record.lane == Lane::tele || change.record.lane == Lane::media; }

void replace_all(std::string& text, std::string_view what, std::string_view with) {
  for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + with.size()))
    text.replace(at, what.size(), with);
}

}  // namespace

Writer::Writer(std::unique_ptr<Store> store, Options options)
    : store_{std::move(store)}, options_{std::move(options)}, pictures_{options_.directory / kMediaFolder} {
  full_ = !take_reserve();
}

Outcome Writer::write(Changes changes) {
  const bool failed_before = !unwritten_.empty();
  unwritten_.merge(std::move(changes));
  Outcome outcome;
  const auto committed = [&](const Changes& done) {
    for (const auto& [record, jpeg] : done.records) {
      outcome.last.at(index(record.lane)) = key_of(record.generation, record.seq);
      ++outcome.records;
      outcome.bytes += record.body.topic.size() + record.body.bytes.size();
    }
    for (const auto& name : done.pictures) remove_picture(pictures_, name);
    outcome.urgent = true;
  };
  if (!full_ || take_reserve()) {
    full_ = false;
    const auto bytes = [&] {
      std::uint64_t sum = 0;
      for (const auto& change : unwritten_.records) sum += change.jpeg.size();
      return sum;
    }();
    outcome.status = commit(unwritten_);
    if (outcome.status) {
      outcome.picture_bytes = bytes;
      outcome.bytes += static_cast<std::size_t>(bytes);
      committed(unwritten_);
      unwritten_ = {};
      // What an attempt that failed left in the log must not look like lost commits: the log begins anew.
      if (failed_before) (void)store_->checkpoint();
    } else if (outcome.status.error().code == Errc::full) {
      full_ = true;
      give_reserve();
    }
  } else {
    outcome.status = fail(Errc::full, "the disk is full");
  }
  if (full_) {
    // Readings and pictures stay behind; their numbers may be named by what goes, so they count as used.
    Changes patient;
    auto& records = unwritten_.records;
    const auto split = std::stable_partition(records.begin(), records.end(), [](const auto& each) { return !is_patient(each); });
    std::move(split, records.end(), std::back_inserter(patient.records));
    records.erase(split, records.end());
    if (!unwritten_.empty()) note_used(patient.records);
    if (unwritten_.empty()) {
      outcome.urgent = true;
    } else if (auto status = commit(unwritten_); status) {
      committed(unwritten_);
      unwritten_ = {};
    }
    records.insert(records.end(), std::make_move_iterator(patient.records.begin()),
                   std::make_move_iterator(patient.records.end()));
  }
  outcome.wal_pages = store_->wal_pages();
  return outcome;
}

void Writer::note_used(const std::vector<NewRecord>& patient) {
  for (auto& row : store_->epochs().value_or(std::vector<EpochRow>{})) {
    const auto before = row.used;
    for (const auto& [record, jpeg] : patient) {
      auto& used = row.used.at(index(record.lane));
      if (record.generation == row.generation) used = std::max(used, record.seq);
    }
    if (row.used != before) unwritten_.epochs.push_back(std::move(row));
  }
}

Status Writer::commit(Changes& changes) {
  for (auto& [record, jpeg] : changes.records) {
    if (jpeg.empty()) continue;
    if (auto status = write_durably(pictures_, record.body.bytes, jpeg); !status) return status;
    jpeg.clear();  // durable: not again in the next attempt
    jpeg.shrink_to_fit();
  }
  return store_->commit(changes);
}

// Allocated, not only sized: what is set aside must be there.
bool Writer::take_reserve() {
  if (options_.reserve_bytes == 0) return true;
  const auto path = options_.directory / kReserveFile;
  std::error_code error;
  if (std::filesystem::file_size(path, error) >= options_.reserve_bytes && !error) return true;
  const auto room = free_on_disk(options_.directory);
  if (!room) return true;
  // Not the last block: what just was full is not full again at once.
  if (*room < options_.reserve_bytes + (1U << 20)) return false;
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
  if (fd < 0) return true;
  const int code = ::posix_fallocate(fd, 0, static_cast<off_t>(options_.reserve_bytes));
  ::close(fd);
  if (code != 0) std::filesystem::remove(path, error);
  return code == 0;
}

void Writer::give_reserve() {
  std::error_code absent;
  std::filesystem::remove(options_.directory / kReserveFile, absent);
}

Result<Replaced> Writer::heal(const std::string& reason, WallTime now, const contract::Names& names) {
  store_.reset();
  salvage_.reset();
  salvage_looked_ = false;
  auto replaced = replace_damaged(options_, reason, now, &names);
  if (!replaced) {
    // Nothing may be lost by trying: whatever is there now is opened again.
    auto again = Store::open_writing(options_.directory / kFileName);
    if (!again) return fail(std::move(again).error());
    store_ = std::move(*again);
    return fail(std::move(replaced).error());
  }
  store_ = std::move(replaced->store);
  return replaced;
}

Status Writer::renumber(std::uint32_t generation, const Numbers& kept, const EpochRow& to) {
  Changes changes;
  changes.epochs.push_back(to);
  const auto rows = store_->epochs();
  if (!rows) return fail(rows.error());
  const auto old = std::find_if(rows->begin(), rows->end(), [&](const auto& row) { return row.generation == generation; });
  if (old == rows->end()) return fail(Errc::failed, "the epoch to be left is not known");
  std::vector<std::pair<std::string, std::string>> pictures;  // names, old and new
  std::vector<Trim> moved;
  for (const auto lane : {Lane::media, Lane::alarm, Lane::event, Lane::tele}) {
    auto next = key_of(generation, kept.at(index(lane)) + 1);
    const auto end = key_of(generation, kMaxSeq);
    std::uint64_t seq = 0;
    for (;;) {
      auto found = store_->records(lane, next, end, Block::kMaxRecords, 1U << 20);
      if (!found) return fail(std::move(found).error());
      if (found->records.empty()) break;
      next = key_of(generation, found->records.back().seq + 1);
      for (auto& record : found->records) {
        record.generation = to.generation;
        const auto before = contract::media_name(old->id, record.seq);
        record.seq = ++seq;
        if (lane == Lane::media) {
          const auto after = contract::media_name(to.id, record.seq);
          pictures.emplace_back(before, after);
          record.body = {"media/" + after, after + ".jpg"};
        } else if (lane != Lane::tele) {
          for (const auto& [from, into] : pictures) replace_all(record.body.bytes, '"' + from + '"', '"' + into + '"');
        }
        changes.records.push_back({std::move(record)});
      }
    }
    if (seq > 0) changes.trims.push_back({lane, key_of(generation, kept.at(index(lane)) + 1), end, false});
  }
  // First the pictures' new names, then the records that say them: a cut between leaves two names for one file.
  for (const auto& [from, into] : pictures) {
    std::error_code error;
    std::filesystem::create_hard_link(pictures_ / (from + ".jpg"), pictures_ / (into + ".jpg"), error);
    changes.pictures.push_back(from + ".jpg");
  }
  auto status = store_->commit(changes);
  if (status) {
    for (const auto& name : changes.pictures) remove_picture(pictures_, name);
  }
  return status;
}

Writer::Salvaged Writer::salvage() {
  if (!std::exchange(salvage_looked_, true)) salvage_ = Salvage::resume(options_.directory, *store_);
  if (!salvage_) return {};
  const auto left = salvage_->step(*store_);
  if (!left || *left) return {.more = true};
  Salvaged done{.summary = salvage_->summary(), .epochs = salvage_->epochs()};
  salvage_.reset();
  return done;
}

}  // namespace hamlet::journal
