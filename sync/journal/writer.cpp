#include "sync/journal/writer.hpp"

#include <algorithm>
#include <charconv>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "sync/journal/media.hpp"
#include "sync/journal/tending.hpp"

namespace hamlet::journal {
namespace {

constexpr const char* kReserveFile = "journal.reserve";

bool is_patient(const NewRecord& change) { return change.record.lane == Lane::tele || change.record.lane == Lane::media; }

std::string waiting_key(Lane lane) { return fmt::format("waiting/{}", static_cast<int>(lane)); }

}  // namespace

Renumbering::Renumbering(const EpochRow& from, const EpochRow& to, const Numbers& kept)
    : from_{from.generation}, to_{to.generation}, kept_{kept}, names_{'"' + from.id + '-', '"' + to.id + '-'}, id_{to.id} {}

bool Renumbering::moves(const Record& record) const {
  return record.generation == from_ && record.seq > kept_.at(index(record.lane));
}

void Renumbering::apply(Record& record) const {
  record.generation = to_;
  record.seq -= kept_.at(index(record.lane));
  if (record.lane == Lane::media) {
    const auto name = contract::media_name(id_, record.seq);
    record.body = {"media/" + name, name + ".jpg"};
  } else if (record.lane != Lane::tele) {
    rename_pictures(record.body.bytes);
  }
}

// "{epoch}-{seq}" of pictures that move, too.
void Renumbering::rename_pictures(std::string& text) const {
  const auto& [before, after] = names_;
  for (auto at = text.find(before); at != std::string::npos; at = text.find(before, at + after.size())) {
    const auto digits = at + before.size();
    std::uint64_t seq = 0;
    const auto [end, error] = std::from_chars(text.data() + digits, text.data() + text.size(), seq);
    if (error != std::errc{} || seq <= kept_.at(index(Lane::media))) continue;
    const auto count = static_cast<std::size_t>(end - text.data()) - at;
    text.replace(at, count, after + std::to_string(seq - kept_.at(index(Lane::media))));
  }
}

Writer::Writer(std::unique_ptr<Store> store, Options options)
    : store_{std::move(store)}, options_{std::move(options)}, pictures_{options_.directory / kMediaFolder} {
  full_ = !take_reserve();
}

Outcome Writer::write(Changes changes) {
  const bool failed_before = !unwritten_.empty();
  unwritten_.merge(std::move(changes));
  Outcome outcome;
  if (!store_) {  // heal() could not open one
    outcome.status = fail(Errc::failed, "the damaged journal could not be replaced yet");
    return outcome;
  }
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
    for (const auto lane : noted_) unwritten_.meta[waiting_key(lane)] = std::nullopt;
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
      noted_.clear();
      // What an attempt that failed left in the log must not look like lost commits: the log begins anew.
      if (failed_before) (void)store_->checkpoint();
    } else {
      for (const auto lane : noted_) unwritten_.meta.erase(waiting_key(lane));
      full_ = outcome.status.error().code == Errc::full;
      if (full_) give_reserve();
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
  std::set<Lane> waiting;
  for (const auto& [record, jpeg] : patient) {
    noted_.insert(record.lane);
    if (waiting.insert(record.lane).second)
      unwritten_.meta[waiting_key(record.lane)] = std::to_string(key_of(record.generation, record.seq));
  }
  for (auto& row : store_->epochs().value_or(std::vector<EpochRow>{})) {
    const auto before = row.used;
    for (const auto& [record, jpeg] : patient) {
      auto& used = row.used.at(index(record.lane));
      if (record.generation == row.generation) used = std::max(used, record.seq);
    }
    if (row.used != before) unwritten_.epochs.push_back(std::move(row));
  }
}

Status Writer::checkpoint() { return store_ ? store_->checkpoint() : Status{}; }

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

Status Writer::renumber(const EpochRow& from, const EpochRow& to, const Numbers& kept, const Positions& positions) {
  if (!store_) return fail(Errc::failed, "the damaged journal could not be replaced yet");
  const Renumbering renumbering{from, to, kept};
  Changes changes;
  changes.epochs.push_back(to);
  changes.positions = positions;
  std::vector<std::pair<std::string, std::string>> pictures;  // files, old and new
  for (const auto lane : contract::kLanes) {
    const auto begin = key_of(from.generation, kept.at(index(lane)) + 1);
    const auto end = key_of(from.generation, kMaxSeq);
    // Whole blocks go: of the first one, what stays is stored again.
    const auto holding = store_->block_from(lane, begin);
    if (!holding) return fail(holding.error());
    if (*holding && (*holding)->first() < begin) {
      auto found = store_->records(lane, (*holding)->first(), begin - 1, Block::kMaxRecords, SIZE_MAX);
      if (!found) return fail(std::move(found).error());
      if (found->damaged) return fail(Errc::corrupt, "records that are to be numbered anew are damaged");
      for (auto& record : found->records) changes.records.push_back({std::move(record)});
    }
    for (auto next = begin;;) {
      auto found = store_->records(lane, next, end, Block::kMaxRecords, 1U << 20);
      if (!found) return fail(std::move(found).error());
      if (found->damaged) return fail(Errc::corrupt, "records that are to be numbered anew are damaged");
      if (found->records.empty()) break;
      next = key_of(from.generation, found->records.back().seq + 1);
      for (auto& record : found->records) {
        const auto before = record.body.bytes;
        renumbering.apply(record);
        if (lane == Lane::media) pictures.emplace_back(before, record.body.bytes);
        changes.records.push_back({std::move(record)});
      }
    }
    changes.trims.push_back({lane, begin, end, false});
  }
  // First the pictures' new names, then the records that say them: a cut between leaves two names for one file.
  for (const auto& [before, after] : pictures) {
    std::error_code error;
    std::filesystem::create_hard_link(pictures_ / before, pictures_ / after, error);
    changes.pictures.push_back(before);
  }
  auto status = store_->commit(changes);
  if (status) {
    for (const auto& name : changes.pictures) remove_picture(pictures_, name);
  }
  return status;
}

Writer::Salvaged Writer::salvage() {
  if (!store_) return {};
  if (!std::exchange(salvage_looked_, true)) salvage_ = Salvage::resume(options_.directory, *store_);
  if (!salvage_) return {};
  const auto left = salvage_->step(*store_);
  if (!left || *left) return {.more = true};
  Salvaged done{.summary = salvage_->summary(), .epochs = salvage_->epochs()};
  salvage_.reset();
  return done;
}

}  // namespace hamlet::journal
