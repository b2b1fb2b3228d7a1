#include "sync/journal/figures.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "sync/journal/block.hpp"
#include "sync/journal/media.hpp"
#include "sync/journal/reader.hpp"
#include "sync/journal/store.hpp"
#include "sync/journal/tending.hpp"

namespace hamlet::journal {
namespace {

using nlohmann::json;

constexpr std::size_t kBlocks = 256;  // at a time
constexpr std::size_t kSliceBytes = 1U << 20;
constexpr std::size_t kMostListed = 100;
constexpr auto kDay = std::chrono::duration_cast<Millis>(std::chrono::days{1});

std::string name_of(Lane lane) { return std::string{contract::to_string(lane)}; }

// A day's bytes where they can be told: a full day as it was, else from an hour on by the rule of three.
std::optional<std::uint64_t> per_day(const Stat::Written& written) {
  if (!written.metered || written.uptime < std::chrono::hours{1}) return {};
  if (written.uptime >= kDay) return written.last_day;
  return static_cast<std::uint64_t>(static_cast<double>(written.since_start) / static_cast<double>(written.uptime.count()) *
                                    static_cast<double>(kDay.count()));
}

json files_aside_json(const std::filesystem::path& folder) {
  auto out = json::array();
  for (const auto& name : files_aside(folder)) {
    std::error_code gone;
    const auto size = std::filesystem::file_size(folder / name, gone);
    out.push_back({{"file", name}, {"bytes", gone ? 0 : size}});
  }
  return out;
}

const EpochRow* find_epoch(const std::vector<EpochRow>& epochs, std::uint32_t generation) {
  const auto row = std::find_if(epochs.begin(), epochs.end(), [&](const auto& each) { return each.generation == generation; });
  return row == epochs.end() ? nullptr : &*row;
}

// How many bytes a reading takes, by the newest blocks: those are what the box does now.
Result<std::optional<double>> bytes_a_reading(Reader& reader, const std::vector<EpochRow>& epochs) {
  constexpr Key kNewest = 5'000;  // batches
  auto& store = reader.store();
  const auto names = store.names();
  if (!names) return fail(names.error());
  const auto ends = store.ends(Lane::tele);
  if (!ends) return fail(ends.error());
  if (ends->second == 0) return std::nullopt;
  std::uint64_t bytes = 0;
  std::uint64_t readings = 0;
  Blocks unpacker;
  for (auto from = ends->second > kNewest ? ends->second - kNewest : 0; from <= ends->second;) {
    const auto blocks = store.blocks(Lane::tele, from, kBlocks, kSliceBytes);
    if (!blocks) return fail(blocks.error());
    if (blocks->empty()) break;
    for (const auto& block : *blocks) {
      from = block.key + 1;
      const auto* epoch = find_epoch(epochs, generation_of(block.key));
      if (epoch == nullptr) continue;
      const auto records = unpacker.unpack(block, Lane::tele, epoch->id);
      if (!records) continue;
      bytes += block.data.size() + kRowBytes;
      for (const auto& record : *records) {
        const auto decoded = contract::decode_readings(record.body, record.at.mono, &*names);
        if (decoded) readings += decoded->size();
      }
    }
  }
  if (readings == 0) return std::nullopt;
  return static_cast<double>(bytes) / static_cast<double>(readings);
}

// Everything that is wrong, as it is found.
class Check {
 public:
  Check(Reader& reader, const std::filesystem::path& folder, const Progress& progress)
      : store_{reader.store()}, pictures_{folder / kMediaFolder}, progress_{progress} {}

  Result<json> run(const std::filesystem::path& folder) {
    total_ = file_bytes(folder);
    auto epochs = store_.epochs();
    if (!epochs) {
      damaged_file_.push_back(epochs.error().message);
    } else {
      epochs_ = std::move(*epochs);
    }
    if (auto names = store_.names()) {
      names_ = std::move(*names);
    } else {
      damaged_file_.push_back(names.error().message);
    }
    if (auto positions = store_.positions(); !positions) damaged_file_.push_back(positions.error().message);
    if (auto states = store_.states(""); !states) damaged_file_.push_back(states.error().message);
    if (auto boots = store_.boots(); !boots) damaged_file_.push_back(boots.error().message);
    for (const auto lane : contract::kLanes) {
      if (auto status = check(lane); !status) return fail(std::move(status).error());
    }
    const auto found = store_.integrity();
    if (!found) {
      if (found.error().code != Errc::corrupt) return fail(found.error());
      damaged_file_.push_back(found.error().message);
    } else {
      damaged_file_.insert(damaged_file_.end(), found->begin(), found->end());
    }
    return json{{"ok", damaged_.empty() && damaged_file_.empty() && missing_.empty()},
                {"records", records_},
                {"blocks", blocks_},
                {"bytes", bytes_},
                {"pictures", seen_pictures_},
                {"damaged", damaged_},
                {"damaged_records", lost_},
                {"damaged_file", damaged_file_},
                {"pictures_missing", missing_},
                {"aside", files_aside_json(folder)}};
  }

 private:
  void add_damage(Lane lane, Key from, Key to, std::string_view why) {
    const auto* epoch = find_epoch(epochs_, generation_of(to));
    lost_ += to - from + 1;
    if (damaged_.size() >= kMostListed) return;
    damaged_.push_back({{"epoch", epoch == nullptr ? "" : epoch->id},
                        {"lane", name_of(lane)},
                        {"from", seq_of(from)},
                        {"to", seq_of(to)},
                        {"count", to - from + 1},
                        {"why", why}});
  }

  void check_block(Lane lane, const Block& block) {
    ++blocks_;
    bytes_ += block.data.size() + kRowBytes;
    const bool sane = block.count > 0 && block.count <= std::min<std::uint64_t>(seq_of(block.key), Block::kMaxRecords);
    const auto first = sane ? block.first() : block.key;
    const auto* epoch = find_epoch(epochs_, generation_of(block.key));
    if (epoch == nullptr) return add_damage(lane, first, block.key, "epoch");
    const auto records = unpacker_.unpack(block, lane, epoch->id);
    if (!records) return add_damage(lane, first, block.key, "checksum");
    records_ += records->size();
    for (const auto& record : *records) {
      const auto key = key_of(record.generation, record.seq);
      if (lane == Lane::tele && !contract::decode_readings(record.body, record.at.mono, &names_)) {
        add_damage(lane, key, key, "readings");
      }
      if (lane == Lane::media) check_picture(key, record.body.bytes);
    }
  }

  void check_picture(Key key, const std::string& name) {
    ++seen_pictures_;
    std::error_code gone;
    if (std::filesystem::file_size(pictures_ / name, gone) > 0 && !gone) return;
    const auto still = store_.block_from(Lane::media, key);  // not one that a daemon has given up meanwhile
    if (still && *still && (*still)->first() <= key && missing_.size() < kMostListed) missing_.push_back(name);
  }

  // Error: of something else than damage.
  Status check(Lane lane) {
    for (Key next = 0;;) {
      auto blocks = store_.blocks(lane, next, kBlocks, kSliceBytes);
      if (!blocks && blocks.error().code == Errc::corrupt) blocks = store_.blocks(lane, next, 1, kSliceBytes);
      if (!blocks) {
        if (blocks.error().code != Errc::corrupt) return fail(std::move(blocks).error());
        // A page is gone: SQLite's check names it; what is behind it is reached block by block where it can be.
        damaged_file_.push_back(fmt::format("{} from {}: {}", name_of(lane), seq_of(next), blocks.error().message));
        const auto behind = skip(lane, next);
        if (!behind) return {};
        add_damage(lane, next, *behind - 1, "unreadable");
        next = *behind;
        continue;
      }
      if (blocks->empty()) return {};
      for (const auto& block : *blocks) check_block(lane, block);
      next = blocks->back().key + 1;
      if (progress_) progress_(std::min(bytes_, total_), total_);
    }
  }

  // The first block that can be read behind a damaged page.
  std::optional<Key> skip(Lane lane, Key from) {
    constexpr Key kFarthest = 1U << 20;
    for (Key step = 1; step <= kFarthest; step *= 2) {
      const auto block = store_.block_from(lane, from + step);
      if (block && *block && store_.blocks(lane, (*block)->key, 1, kSliceBytes)) return (*block)->first();
    }
    return {};
  }

  Store& store_;
  std::filesystem::path pictures_;
  const Progress& progress_;
  std::vector<EpochRow> epochs_;
  contract::Names names_;
  Blocks unpacker_;
  std::uint64_t total_ = 0;
  std::uint64_t records_ = 0;
  std::uint64_t blocks_ = 0;
  std::uint64_t bytes_ = 0;
  std::uint64_t seen_pictures_ = 0;
  std::uint64_t lost_ = 0;
  std::vector<json> damaged_;
  std::vector<std::string> damaged_file_;
  std::vector<std::string> missing_;
};

}  // namespace

json to_json(const Stat& stat) {
  json lanes = json::object();
  std::uint64_t waiting = 0;
  for (const auto lane : contract::kLanes) {
    const auto& of = stat.lanes.at(contract::index(lane));
    waiting += of.waiting;
    lanes[name_of(lane)] = {{"first", of.first}, {"last", of.last}, {"waiting", of.waiting}, {"unsent", of.unsent}};
  }
  json out{{"epoch", stat.epoch},
           {"boot", stat.boot},
           {"window_ms", stat.window.count()},
           {"file_bytes", stat.file_bytes},
           {"media_bytes", stat.media_bytes},
           {"aside_bytes", stat.aside_bytes},
           {"older_unsent", stat.older_unsent},
           {"power_cut", {{"records", waiting}}},
           {"lanes", std::move(lanes)}};
  if (stat.oldest_waiting) out["power_cut"]["oldest_ms"] = stat.oldest_waiting->count();
  if (stat.quota_bytes > 0) {
    out["quota_bytes"] = stat.quota_bytes;
    out["min_free_bytes"] = stat.min_free_bytes;
    out["free_bytes"] = stat.free_bytes;
  }
  if (stat.written.metered) {
    out["written"] = {{"last_day", stat.written.last_day},
                      {"since_start", stat.written.since_start},
                      {"uptime_ms", stat.written.uptime.count()}};
    if (const auto day = per_day(stat.written)) out["written"]["per_day"] = *day;
  }
  if (!stat.last_failure.empty()) out["failure"] = stat.last_failure;
  return out;
}

Result<json> lane_figures(Reader& reader, const std::filesystem::path& folder) {
  auto& store = reader.store();
  const auto epochs = store.epochs();
  if (!epochs) return fail(epochs.error());
  json out{{"epochs", json::array()},
           {"file_bytes", file_bytes(folder)},
           {"media_bytes", picture_bytes(folder / kMediaFolder)},
           {"aside", files_aside_json(folder)}};
  for (const auto lane : contract::kLanes) {
    const auto totals = store.totals(lane);
    if (!totals) return fail(totals.error());
    const auto numbers = epochs->empty() ? Result<contract::Range>{} : store.numbers(lane, epochs->back().generation);
    if (!numbers) return fail(numbers.error());
    json row{{"first", numbers->from},
             {"last", numbers->to},
             {"records", totals->records},
             {"blocks", totals->blocks},
             {"bytes", totals->bytes}};
    const auto oldest = store.block_from(lane, 0);
    if (!oldest) return fail(oldest.error());
    if (*oldest) {
      const auto dated = reader.date((*oldest)->at);
      row["oldest_ts"] = to_ms(dated.wall);
      row["oldest_tq"] = to_string(dated.quality);
    }
    out["lanes"][name_of(lane)] = std::move(row);
  }
  for (const auto& epoch : *epochs) {
    json row{{"epoch", epoch.id}, {"reason", epoch.reason}};
    for (const auto lane : contract::kLanes) {
      const auto numbers = store.numbers(lane, epoch.generation);
      if (!numbers) return fail(numbers.error());
      row["lanes"][name_of(lane)] = {{"first", numbers->from}, {"last", numbers->to}};
    }
    out["epochs"].push_back(std::move(row));
  }
  const auto each = bytes_a_reading(reader, *epochs);
  if (!each) return fail(each.error());
  if (*each) out["bytes_a_reading"] = **each;
  return out;
}

Result<json> check_everything(Reader& reader, const std::filesystem::path& folder, const Progress& progress) {
  return Check{reader, folder, progress}.run(folder);
}

}  // namespace hamlet::journal
