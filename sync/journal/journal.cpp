#include "sync/journal/journal.hpp"

#include <algorithm>
#include <charconv>

#include "firmware/core/log.hpp"
#include "sync/journal/journal_impl.hpp"
#include "sync/journal/media.hpp"

namespace hamlet::journal {
namespace {

constexpr std::size_t kMaxRecordBytes = 1U << 20;
constexpr std::size_t kMaxPictureBytes = 4U << 20;
constexpr std::size_t kMaxStateBytes = 64U << 10;

}  // namespace

Journal::Journal(std::shared_ptr<Impl> impl) : impl_{std::move(impl)} {}

Journal::~Journal() {
  stop();
}

namespace {

// All that a start reads of a file, besides its epochs.
struct Start {
  Numbers numbers{};   // newest of the epoch that goes on
  Numbers oldest{};    // stored of it; 0: none
  Numbers rows_end{};  // newest that a row has; 0: none
  std::array<bool, kLaneCount> never_stored{};  // records waited on a full disk when the power went
  Boots boots;
  Positions positions;
  contract::Names names;
  KeyValues metered;
  KeyValues holes;
  KeyValues waited;
  bool salvaging = false;
  std::unique_ptr<Reader> reader;
};

Result<Start> begin(Opened& opened, const Options& options, const Clock& clock) {
  auto& store = *opened.store;
  Start start;
  Moment last{};
  const auto generation = opened.epochs.back().generation;
  for (const auto lane : contract::kLanes) {
    const auto i = index(lane);
    const auto ends = store.ends(lane);
    if (!ends) return fail(ends.error());
    if (const auto block = store.block_from(lane, ends->second); ends->second != 0 && block && *block)
      last = std::max(last, (*block)->at);
    if (generation_of(ends->second) == generation) start.rows_end.at(i) = seq_of(ends->second);
    const auto found = store.numbers(lane, generation);
    if (!found) return fail(found.error());
    start.numbers.at(i) = found->to;
    start.oldest.at(i) = found->from;
    for (auto& row : opened.epochs) {
      const auto of_row = store.numbers(lane, row.generation);
      if (!of_row) return fail(of_row.error());
      row.used.at(i) = std::max(row.used.at(i), of_row->to);
    }
  }
  auto stretches = store.boots();
  if (!stretches) return fail(std::move(stretches).error());
  start.boots = Boots{std::move(*stretches)};
  start.boots.begin(options.boot_id, {clock.wall(), clock.mono(), clock.synced()}, last);
  Changes begun;
  begun.boots = start.boots.take_changed();
  if (!begun.empty()) {
    if (auto status = store.commit(begun); !status && status.error().code != Errc::full) return fail(std::move(status).error());
  }
  auto positions = store.positions();
  if (!positions) return fail(std::move(positions).error());
  start.positions = std::move(*positions);
  auto names = store.names();
  if (!names) return fail(std::move(names).error());
  start.names = std::move(*names);
  start.metered = store.metas("written/").value_or(KeyValues{});
  start.holes = store.metas("hole/").value_or(KeyValues{});
  start.waited = store.metas("waiting/").value_or(KeyValues{});
  const auto salvage = store.meta("salvage");
  start.salvaging = salvage && salvage->has_value();
  auto reader = Reader::open(options.directory);
  if (!reader) return fail(std::move(reader).error());
  start.reader = std::move(*reader);
  return start;
}

}  // namespace

Result<std::unique_ptr<Journal>> Journal::open(asio::io_context& io, Clock& clock, Options options) {
  const auto context = fmt::format("open journal in {}", options.directory.string());
  auto opened = open_for_writing(options, clock.wall());
  if (!opened) return fail(std::move(opened).error().in(context));
  auto start = begin(*opened, options, clock);
  if (!start && start.error().code == Errc::corrupt) {
    // Damage that shows only when it is written to, or behind what was looked at first.
    opened->store.reset();
    auto replaced = replace_damaged(options, start.error().message, clock.wall(), nullptr);
    if (!replaced) return fail(std::move(replaced).error().in(context));
    opened->store = std::move(replaced->store);
    opened->epochs = std::move(replaced->epochs);
    opened->set_aside = std::move(replaced->set_aside);
    start = begin(*opened, options, clock);
  }
  if (!start) return fail(std::move(start).error().in(context));

  auto impl = std::make_shared<Impl>(io, clock, std::move(options), std::move(*opened));
  impl->boots = std::move(start->boots);
  impl->positions = std::move(start->positions);
  impl->names = std::move(start->names);
  impl->names_handed = impl->names.last();
  impl->reader = std::move(start->reader);
  impl->media_bytes = picture_bytes(impl->options.directory / kMediaFolder);
  impl->salvaging = start->salvaging;
  impl->opened_epoch = impl->newest().id;
  impl->enter_newest(start->numbers);
  impl->first = start->oldest;
  impl->show_epochs();
  impl->started = clock.mono();
  impl->positions_stored = clock.mono();
  for (const auto& [key, value] : start->metered) {
    std::int64_t hour = 0;
    std::uint64_t bytes = 0;
    std::from_chars(key.data() + 8, key.data() + key.size(), hour);
    std::from_chars(value.data(), value.data() + value.size(), bytes);
    impl->written_by_hour[hour] = bytes;
  }
  for (const auto& [key, value] : start->holes) {
    int lane = 0;
    Key to = 0;
    const auto [slash, error] = std::from_chars(key.data() + 5, key.data() + key.size(), lane);
    if (error != std::errc{} || slash == key.data() + key.size() || lane < 0 || lane >= static_cast<int>(kLaneCount)) continue;
    Key from = 0;
    std::from_chars(slash + 1, key.data() + key.size(), to);
    std::from_chars(value.data(), value.data() + value.size(), from);
    impl->damage_told.insert({{static_cast<Lane>(lane), to}, from});
  }
  impl->tend_meter();
  impl->save_mark();
  // Numbers that were used on a full disk, and whose records were never durable: behind the last row, or from where they are
  // said to have waited, where no row is left.
  for (const auto& [key, value] : start->waited) {
    Key from = 0;
    std::from_chars(value.data(), value.data() + value.size(), from);
    impl->waiting.meta[key] = std::nullopt;
    for (const auto lane : contract::kLanes) {
      auto& end = start->rows_end.at(index(lane));
      const bool of_it = key == fmt::format("waiting/{}", index(lane)) && generation_of(from) == impl->newest().generation;
      if (of_it && end == 0 && seq_of(from) > 0) end = seq_of(from) - 1;
      if (of_it) start->never_stored.at(index(lane)) = true;
    }
  }
  for (const auto lane : contract::kLanes) {
    const auto i = index(lane);
    const auto end = start->rows_end.at(i);
    const auto used = start->numbers.at(i);
    if ((end == 0 && !start->never_stored.at(i)) || end >= used) continue;
    const auto hole = key_of(impl->newest().generation, used);
    if (!impl->damage_told.insert({{lane, hole}, key_of(impl->newest().generation, end + 1)}).second) continue;
    impl->waiting.meta[fmt::format("hole/{}/{}", i, hole)] = std::to_string(key_of(impl->newest().generation, end + 1));
    impl->declare({impl->newest().id, std::string{contract::to_string(lane)}, end + 1, used, "power-cut"});
  }
  return std::unique_ptr<Journal>{new Journal{std::move(impl)}};
}

void Journal::stop() {
  impl_->stop();
}

const std::string& Journal::epoch() const {
  return impl_->newest().id;
}
const std::vector<Epoch>& Journal::epochs() const {
  return impl_->epochs;
}
void Journal::on_epoch(std::function<void()> callback) {
  impl_->epoch_callbacks.push_back(std::move(callback));
}
bool Journal::settled() const {
  return !impl_->must_renumber && !impl_->renumbering && !impl_->must_heal;
}
void Journal::tend() {
  impl_->tend();
}
contract::Names& Journal::names() {
  return impl_->names;
}

void Journal::seen_elsewhere(std::string_view epoch, const std::array<std::uint64_t, kLaneCount>& last) {
  if (epoch != impl_->newest().id || epoch != impl_->opened_epoch || !settled()) return;
  bool ahead = false;
  for (std::size_t i = 0; i < kLaneCount; ++i) ahead = ahead || last.at(i) >= impl_->next.at(i);
  if (!ahead) return;
  log::error("the county knows records of this epoch that are not here: the journal is a copy, a new epoch begins",
             {{"epoch", epoch}});
  impl_->must_renumber = true;
  impl_->go_on();
}
std::uint32_t Journal::boot() const {
  return impl_->boots.current();
}
const std::string& Journal::set_aside() const {
  return impl_->set_aside;
}
void Journal::set_revision(std::uint64_t rev) {
  impl_->revision = rev;
}

Result<Identity> Journal::append(Lane lane, MonoTime at, contract::Body body, Urgency urgency) {
  if (lane == Lane::media) return fail(Errc::invalid, "journal: pictures go through append_media");
  if (lane == Lane::tele && body.topic != "tele")
    return fail(Errc::invalid, "journal: the lane tele has one topic, 'tele'");
  if (body.bytes.size() > kMaxRecordBytes)
    return fail(Errc::invalid, "journal: a record of more than 1 MiB is refused");
  const auto seq = impl_->next.at(index(lane));
  return impl_->append({lane, impl_->newest().generation, seq, {boot(), at}, impl_->revision, std::move(body)}, {}, urgency);
}

Result<Identity> Journal::append_media(MonoTime at, std::string jpeg) {
  if (jpeg.empty()) return fail(Errc::invalid, "journal: an empty picture is refused");
  if (jpeg.size() > kMaxPictureBytes) return fail(Errc::invalid, "journal: a picture of more than 4 MiB is refused");
  const auto seq = impl_->next.at(index(Lane::media));
  const auto name = contract::media_name(epoch(), seq);
  return impl_->append({Lane::media, impl_->newest().generation, seq, {boot(), at}, impl_->revision,
                        {"media/" + name, name + ".jpg"}},
                       std::move(jpeg), Urgency::window);
}

void Journal::put_state(std::string key, std::optional<std::string> value, Urgency urgency) {
  assert(!value || value->size() <= kMaxStateBytes);
  impl_->waiting.states.insert_or_assign(std::move(key), std::move(value));
  impl_->request(urgency);
}

Result<std::vector<std::pair<std::string, std::string>>> Journal::load_state(std::string_view prefix) const {
  const auto store = Store::open_reading(impl_->options.directory / kFileName);
  if (!store) return fail(store.error());
  return (*store)->states(prefix);
}

void Journal::sync(std::function<void(Status)> then, Durable what) {
  impl_->waiting_syncs.push_back({std::move(then), what});
  impl_->request(Urgency::now);
}

void Journal::on_committed(std::function<void()> callback) {
  impl_->committed_callbacks.push_back(std::move(callback));
}

void Journal::on_health(std::function<void(Status)> callback) {
  impl_->health_callbacks.push_back(std::move(callback));
}

std::uint64_t Journal::committed(Lane lane) const {
  return impl_->epochs.back().last.at(index(lane));
}

void Journal::read(Lane lane, std::uint64_t from, std::size_t max_records, std::size_t max_bytes,
                   std::function<void(Result<std::vector<Record>>)> then, std::uint32_t generation) {
  if (generation == kCurrent) generation = impl_->newest().generation;
  impl_->on_reader<Records>(
      [=](Reader& reader) { return reader.records(lane, generation, from, max_records, max_bytes); },
      [impl = impl_.get(), lane, then = std::move(then)](Result<Records> found) {
        if (!found) {
          impl->found_damage(found.error());
          return then(fail(std::move(found).error()));
        }
        if (found->damaged) impl->found_damaged_block({lane, found->damaged->first, found->damaged->second});
        if (found->records.empty() && found->damaged) {
          return then(fail(Errc::corrupt,
                           fmt::format("journal: records {} to {} of the lane {} fail their checksum",
                                       seq_of(found->damaged->first), seq_of(found->damaged->second),
                                       contract::to_string(lane))));
        }
        then(std::move(found->records));
      });
}

void Journal::query(std::function<void(Reader&)> run, std::function<void(Status)> then) {
  impl_->on_reader<void>(
      [run = std::move(run)](Reader& reader) -> Status {
        run(reader);
        return {};
      },
      std::move(then));
}

Position Journal::position(std::string_view uplink, Lane lane, std::uint32_t generation) const {
  if (generation == kCurrent) generation = impl_->newest().generation;
  const auto found = impl_->positions.find({std::string{uplink}, generation, lane});
  return found == impl_->positions.end() ? Position{} : found->second;
}

void Journal::set_position(std::string_view uplink, Lane lane, Position position, std::uint32_t generation) {
  if (generation == kCurrent) generation = impl_->newest().generation;
  const auto of_it = [generation](const auto& each) { return each.generation == generation; };
  const auto row = std::find_if(impl_->rows.begin(), impl_->rows.end(), of_it);
  const bool shown = std::any_of(impl_->epochs.begin(), impl_->epochs.end(), of_it);
  if (row == impl_->rows.end() || !shown) return;
  const bool newest = generation == impl_->newest().generation;
  const auto last = newest ? impl_->next.at(index(lane)) - 1 : row->used.at(index(lane));
  position.prefix = std::min(position.prefix, last);
  position.stored = std::min(position.stored, last);
  std::erase_if(position.beyond, [last](const auto& span) { return span.to > last; });
  const std::tuple key{std::string{uplink}, generation, lane};
  auto& now = impl_->positions[key];
  impl_->moved_by += position.count() - std::min(now.count(), position.count());
  now = std::move(position);
  impl_->positions_moved.insert(key);
  if (impl_->moved_by >= kPositionEvery) impl_->request(Urgency::window);
}

void Journal::set_uplinks(std::vector<std::string> uplinks) {
  std::set<std::string> gone;
  for (const auto& [key, position] : impl_->positions) {
    if (std::find(uplinks.begin(), uplinks.end(), std::get<0>(key)) == uplinks.end()) gone.insert(std::get<0>(key));
  }
  std::erase_if(impl_->positions, [&](const auto& each) { return gone.contains(std::get<0>(each.first)); });
  std::erase_if(impl_->positions_moved, [&](const auto& key) { return gone.contains(std::get<0>(key)); });
  impl_->uplinks = std::move(uplinks);
  if (gone.empty()) return;
  impl_->waiting.dropped_uplinks.assign(gone.begin(), gone.end());
  impl_->request(Urgency::window);
}

contract::Dated Journal::date(Moment moment) const {
  return impl_->boots.date(moment);
}

std::optional<nlohmann::json> Journal::check_clock() {
  auto change = impl_->boots.observe({impl_->clock.wall(), impl_->clock.mono(), impl_->clock.synced()});
  auto changed = impl_->boots.take_changed();
  if (!changed.empty()) {
    std::move(changed.begin(), changed.end(), std::back_inserter(impl_->waiting.boots));
    impl_->request(Urgency::window);
  }
  return change;
}

void Journal::read_media(std::string file_name, std::function<void(Result<std::string>)> then) {
  impl_->on_reader<std::string>([folder = impl_->options.directory / kMediaFolder,
                                 name = std::move(file_name)](Reader&) { return read_picture(folder, name); },
                                std::move(then));
}

void Journal::ping(std::function<void()> alive) {
  if (impl_->stopped || impl_->pulses >= kMaxPulses) return;  // a write hangs: no pulse
  ++impl_->pulses;
  const bool taken = impl_->writing.post([impl = impl_.get(), work = busy(impl_->io), alive = std::move(alive)]() mutable {
    impl->answer(
        [impl, alive = std::move(alive)](std::monostate) {
          --impl->pulses;
          alive();
        },
        std::monostate{});
  });
  if (!taken) --impl_->pulses;
}

Stat::LaneStat Journal::lane_stat(Lane lane) const {
  const auto i = index(lane);
  const auto& newest = impl_->epochs.back();
  const auto last = newest.last.at(i);
  const auto first = impl_->first.at(i) > last ? 0 : impl_->first.at(i);
  return {.first = first,
          .last = last,
          .waiting = impl_->next.at(i) - 1 - std::min(last, impl_->next.at(i) - 1),
          .unsent = count_unsent(impl_->positions, newest.generation, lane, {first, last})};
}

Stat Journal::stat() const {
  Stat stat;
  stat.epoch = epoch();
  stat.boot = boot();
  for (const auto& each : impl_->epochs) {
    const bool newest = &each == &impl_->epochs.back();
    for (const auto lane : contract::kLanes) {
      const auto i = index(lane);
      const auto last = each.last.at(i);
      if (newest) {
        stat.lanes.at(i) = lane_stat(lane);
      } else {
        stat.older_unsent += count_unsent(impl_->positions, each.generation, lane, {std::min<std::uint64_t>(1, last), last});
      }
    }
  }
  stat.file_bytes = file_bytes(impl_->options.directory);
  stat.media_bytes = impl_->media_bytes;
  stat.aside_bytes = impl_->aside_bytes;
  stat.quota_bytes = impl_->options.quota_bytes;
  stat.free_bytes = impl_->free_bytes;
  stat.min_free_bytes = impl_->options.min_free_bytes;
  stat.window = impl_->options.window;
  const auto now = impl_->clock.mono();
  if (const auto oldest = impl_->oldest_handed ? impl_->oldest_handed : impl_->oldest_waiting) stat.oldest_waiting = now - *oldest;
  stat.written.metered = impl_->written_at_start.has_value();
  stat.written.uptime = now - impl_->started;
  if (const auto written = bytes_written(); written && impl_->written_at_start) {
    stat.written.since_start = *written - *impl_->written_at_start;
    stat.written.last_day = *written - impl_->written_metered;
    for (const auto& [hour, bytes] : impl_->written_by_hour) stat.written.last_day += bytes;
  }
  stat.last_failure = impl_->failure;
  return stat;
}

}  // namespace hamlet::journal
