#include "sync/journal/reader.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "sync/journal/boots.hpp"
#include "sync/journal/media.hpp"
#include "sync/journal/store.hpp"

namespace hamlet::journal {
namespace {

using nlohmann::json;

// A record's time may be a little before its neighbour's: searching starts that much earlier.
constexpr Millis kDisorder{60'000};
constexpr std::uint64_t kChunk = 64;
constexpr std::size_t kChunkBytes = 1U << 20;

}  // namespace

struct Reader::Impl {
  std::filesystem::path directory;
  std::unique_ptr<Store> store;
  std::vector<EpochRow> epochs;
  contract::Names names;
  Boots boots;

  Status refresh();
  Result<Key> lower_bound(Lane lane, std::pair<Key, Key> ends, Moment moment);
  Result<std::vector<std::pair<Key, Key>>> since(Lane lane, WallTime since);
  template <class Take>
  Result<json> newest(Lane lane, WallTime since, std::size_t limit, Take take);
  Result<json> render(const Record& record) const;
};

// What a writer may have added since.
Status Reader::Impl::refresh() {
  auto stored = store->boots();
  if (!stored) return fail(std::move(stored).error());
  boots = Boots{std::move(*stored)};
  auto rows = store->epochs();
  if (!rows) return fail(std::move(rows).error());
  epochs = std::move(*rows);
  return {};
}

// The first key whose block ends at or behind the moment; one behind the last where there is none.
Result<Key> Reader::Impl::lower_bound(Lane lane, std::pair<Key, Key> ends, Moment moment) {
  auto from = ends.first;
  auto to = ends.second + 1;
  while (from < to) {
    const auto middle = from + (to - from) / 2;
    const auto found = store->block_from(lane, middle);
    if (!found) return fail(found.error());
    if (!*found || (*found)->at >= moment) {
      to = *found ? std::min(middle, std::max(from, (*found)->first())) : middle;
    } else {
      from = (*found)->key + 1;
    }
  }
  return from;
}

// The keys of the records that may be dated at or behind `since`, oldest first: at most one range for each stretch of
// each boot, so that a wall clock that jumped hides nothing.
Result<std::vector<std::pair<Key, Key>>> Reader::Impl::since(Lane lane, WallTime since) {
  std::vector<std::pair<Key, Key>> ranges;
  const auto ends = store->ends(lane);
  if (!ends) return fail(ends.error());
  if (ends->second == 0) return ranges;

  const auto& stretches = boots.stretches();
  for (std::size_t i = 0; i < stretches.size(); ++i) {
    const auto& stretch = stretches[i];
    const bool opens_boot = i == 0 || stretches[i - 1].boot != stretch.boot;
    const bool closes_boot = i + 1 == stretches.size() || stretches[i + 1].boot != stretch.boot;
    const auto wanted = MonoTime{since.time_since_epoch() - stretch.offset} - kDisorder;
    if (!closes_boot && wanted > stretches[i + 1].from) continue;
    const auto begin = opens_boot ? wanted : std::max(stretch.from, wanted);
    const auto end =
        closes_boot ? Moment{stretch.boot + 1, MonoTime::min()} : Moment{stretch.boot, stretches[i + 1].from};
    const auto from = lower_bound(lane, *ends, {stretch.boot, begin});
    if (!from) return fail(from.error());
    const auto past = lower_bound(lane, *ends, end);
    if (!past) return fail(past.error());
    // A block that spans the end belongs to both sides.
    const auto beyond = store->block_from(lane, *past);
    if (!beyond) return fail(beyond.error());
    const auto last = *beyond && (*beyond)->at.boot == stretch.boot ? (*beyond)->key : *past - 1;
    const auto first = ranges.empty() ? *from : std::max(*from, ranges.back().second + 1);
    if (first <= last && first < ends->second + 1) ranges.push_back({first, last});
  }
  return ranges;
}

// Goes from the newest record back to `since`, chunk by chunk, until `take` (a record's rows, oldest first) has given
// `limit`.
template <class Take>
Result<json> Reader::Impl::newest(Lane lane, WallTime from_time, std::size_t limit, Take take) {
  const auto ranges = since(lane, from_time);
  if (!ranges) return fail(ranges.error());
  std::vector<json> chunks;  // newest first, each oldest first
  std::size_t count = 0;
  for (auto range = ranges->rbegin(); range != ranges->rend() && count < limit; ++range) {
    for (auto to = range->second; to >= range->first && count < limit;) {
      const auto newest = store->last_to(lane, to);  // epochs leave wide gaps between their keys
      if (!newest) return fail(newest.error());
      if (*newest < range->first) break;
      to = *newest;
      const auto chunk_from = to - range->first < kChunk ? range->first : to - kChunk + 1;
      json rows = json::array();
      for (auto at = chunk_from; at <= to;) {
        const auto found = store->records(lane, at, to, kChunk, kChunkBytes);
        if (!found) return fail(found.error());
        for (const auto& record : found->records) take(record, rows);
        if (found->records.empty() && !found->damaged) break;
        at = found->damaged ? found->damaged->second + 1  // passed over
                            : key_of(found->records.back().generation, found->records.back().seq) + 1;
      }
      count += rows.size();
      chunks.push_back(std::move(rows));
      to = chunk_from - 1;
    }
  }
  json out = json::array();
  auto surplus = count > limit ? count - limit : 0;
  for (auto chunk = chunks.rbegin(); chunk != chunks.rend(); ++chunk) {
    for (auto& row : *chunk) {
      if (surplus > 0) {
        --surplus;
      } else {
        out.push_back(std::move(row));
      }
    }
  }
  return out;
}

Result<json> Reader::Impl::render(const Record& record) const {
  const auto row = std::find_if(epochs.begin(), epochs.end(),
                                [&](const auto& each) { return each.generation == record.generation; });
  const contract::Envelope envelope{.gw = {},
                                    .epoch = row == epochs.end() ? std::string_view{} : std::string_view{row->id},
                                    .lane = record.lane,
                                    .seq = record.seq,
                                    .at = record.at,
                                    .hist = false,
                                    .rev = record.rev};
  auto text = contract::render(record.body, envelope, [this](Moment moment) { return boots.date(moment); }, &names);
  if (!text) return fail(std::move(text).error());
  auto message = json::parse(*text, nullptr, /*allow_exceptions=*/false);
  if (message.is_discarded()) return fail(Errc::corrupt, fmt::format("record {} is no JSON", record.seq));
  return message;
}

Reader::Reader(std::unique_ptr<Impl> impl) : impl_{std::move(impl)} {}
Reader::~Reader() = default;

Result<std::unique_ptr<Reader>> Reader::open(const std::filesystem::path& directory) {
  auto store = Store::open_reading(directory / kFileName);
  if (!store) return fail(std::move(store).error().in("open journal"));
  auto impl = std::make_unique<Impl>();
  impl->directory = directory;
  impl->store = std::move(*store);
  if (auto status = impl->refresh(); !status) return fail(std::move(status).error().in("open journal"));
  return std::unique_ptr<Reader>{new Reader{std::move(impl)}};
}

Result<Records> Reader::records(Lane lane, std::uint32_t generation, std::uint64_t from, std::size_t max_records,
                                std::size_t max_bytes) {
  return impl_->store->records(lane, key_of(generation, std::min(from, kMaxSeq)), key_of(generation, kMaxSeq), max_records,
                               max_bytes);
}

Result<std::vector<std::pair<Key, Key>>> Reader::since(Lane lane, WallTime since) {
  return impl_->since(lane, since);
}

Result<json> Reader::readings(std::string_view point, WallTime since, std::size_t limit) {
  auto names = impl_->store->names();
  if (!names) return fail(std::move(names).error());
  impl_->names = std::move(*names);
  return impl_->newest(Lane::tele, since, limit, [&](const Record& record, json& rows) {
    const auto readings = contract::decode_readings(record.body, record.at.mono, &impl_->names);
    if (!readings) return;
    for (const auto& reading : *readings) {
      if (!point.empty() && reading.point != point) continue;
      const auto dated = impl_->boots.date({record.at.boot, reading.at});
      if (dated.wall < since) continue;
      json row{{"t", to_ms(dated.wall)},
               {"tq", to_string(dated.quality)},
               {"v", hamlet::to_json(reading.value)},
               {"q", to_string(reading.quality)}};
      if (!reading.why.empty()) row["why"] = reading.why;
      if (point.empty()) row["s"] = reading.point;
      rows.push_back(std::move(row));
    }
  });
}

Result<json> Reader::events(std::string_view source, WallTime since, std::size_t limit) {
  const auto topic = source.empty() ? std::string{"event/"} : fmt::format("event/{}/", source);
  return impl_->newest(Lane::event, since, limit, [&](const Record& record, json& rows) {
    if (!record.body.topic.starts_with(topic)) return;
    auto message = impl_->render(record);
    if (!message || message->value("ts", std::int64_t{0}) < to_ms(since)) return;
    for (const auto* envelope : {"gw", "lane", "hist", "rev"}) message->erase(envelope);
    rows.push_back(std::move(*message));
  });
}

// What is private to whoever wrote the state begins with '_'.
Result<json> Reader::alarms() {
  const auto stored = state("alarm/");
  if (!stored) return fail(stored.error());
  json rows = json::array();
  for (const auto& [key, value] : *stored) {
    auto row = json::parse(value, nullptr, /*allow_exceptions=*/false);
    const auto since = row.is_object() ? row.value("since", json{}) : json{};
    if (!since.is_object() || !since.value("boot", json{}).is_number_unsigned() ||
        !since.value("mono", json{}).is_number_integer()) {
      return fail(Errc::corrupt, fmt::format("the state {} is no alarm", key));
    }
    for (auto field = row.begin(); field != row.end();)
      field = field.key().starts_with('_') ? row.erase(field) : std::next(field);
    const auto dated = date({since["boot"].get<std::uint32_t>(), mono_from_ms(since["mono"].get<std::int64_t>())});
    row["since"] = to_ms(dated.wall);
    row["tq"] = to_string(dated.quality);
    rows.push_back(std::move(row));
  }
  return rows;
}

Result<Stat> Reader::stat() {
  Stat stat;
  if (auto status = impl_->refresh(); !status) return fail(std::move(status).error());
  const auto& stretches = impl_->boots.stretches();
  stat.boot = stretches.empty() ? 0 : stretches.back().boot;
  const auto positions = impl_->store->positions();
  if (!positions) return fail(positions.error());
  for (const auto& row : impl_->epochs) {
    const bool newest = &row == &impl_->epochs.back();
    if (newest) stat.epoch = row.id;
    for (const auto lane : contract::kLanes) {
      const auto numbers = impl_->store->numbers(lane, row.generation);
      if (!numbers) return fail(numbers.error());
      const auto unsent = count_unsent(*positions, row.generation, lane, *numbers);
      if (newest) {
        stat.lanes.at(index(lane)) = {.first = numbers->from, .last = numbers->to, .waiting = 0, .unsent = unsent};
      } else {
        stat.older_unsent += unsent;
      }
    }
  }
  stat.file_bytes = file_bytes(impl_->directory);
  stat.media_bytes = picture_bytes(impl_->directory / kMediaFolder);
  return stat;
}

Result<std::vector<std::pair<std::string, std::string>>> Reader::state(std::string_view prefix) {
  return impl_->store->states(prefix);
}

contract::Dated Reader::date(Moment moment) {
  return impl_->boots.date(moment);
}

Store& Reader::store() {
  return *impl_->store;
}

const Boots& Reader::boots() const {
  return impl_->boots;
}

Status Reader::refresh() {
  return impl_->refresh();
}

void Reader::interrupt() {
  impl_->store->interrupt();
}

}  // namespace hamlet::journal
