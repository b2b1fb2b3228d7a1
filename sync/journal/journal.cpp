#include "sync/journal/journal.hpp"

#include <algorithm>
#include <charconv>
#include <cassert>
#include <deque>
#include <mutex>
#include <random>
#include <set>
#include <utility>

#include <boost/asio/execution/outstanding_work.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/require.hpp>
#include <boost/asio/steady_timer.hpp>
#include <fmt/format.h>

#include "firmware/core/event.hpp"
#include "firmware/core/id.hpp"
#include "firmware/core/log.hpp"
#include "firmware/core/worker.hpp"
#include "sync/journal/boots.hpp"
#include "sync/journal/mark.hpp"
#include "sync/journal/media.hpp"
#include "sync/journal/reader.hpp"
#include "sync/journal/tending.hpp"
#include "sync/journal/writer.hpp"

// What runs where. The io thread numbers records, gathers them and hands batches to the Worker `journal-write` (Writer),
// one at a time; what comes back moves `committed`. The Worker `journal-read` (Reader) answers questions, plans what is to
// be given up, checks, and does the long part of a checkpoint. All decisions are the io thread's:
//
//   append -> waiting -> flush -> Writer::write -> written -> committed
//   tend   -> plan (reader) -> give_up: trims and the gap event into waiting -> flush …
//   corrupt (writer or reader) -> heal: Writer::heal -> another file, a new epoch -> salvage, slice by slice

namespace hamlet::journal {
namespace {

namespace asio = boost::asio;

constexpr std::size_t kMaxRecordBytes = 1U << 20;
constexpr std::size_t kMaxPictureBytes = 4U << 20;
constexpr std::size_t kMaxStateBytes = 64U << 10;
constexpr std::size_t kMaxReads = 16;
constexpr std::size_t kMaxPulses = 2;  // waiting; a batch and the last one at stop() always find room beside them
constexpr std::size_t kMaxWrites = kMaxPulses + 8;
constexpr Millis kFirstRetry{100};
constexpr Millis kLastRetry{10'000};
constexpr Millis kPositionsAfter{60'000};
constexpr Millis kHour{3'600'000};
constexpr std::size_t kCheckBytes = 256U << 10;         // a slice, each time tend() is called
constexpr std::uint64_t kTendAfterBytes = 256U << 10;   // committed
constexpr int kCheckpointPages = kWalKeptBytes / 2 / kPageBytes;
constexpr int kMustCheckpointPages = 3 * kCheckpointPages;

// How far beyond the bound for readings and pictures a lane may go: what is worth more is refused later.
constexpr double reserve(Lane lane) {
  switch (lane) {
    case Lane::alarm:
      return 1.5;
    case Lane::event:
      return 1.25;
    case Lane::tele:
    case Lane::media:
      return 1.0;
  }
  return 1.0;
}

std::size_t bytes_of(const NewRecord& change) {
  return change.record.body.topic.size() + change.record.body.bytes.size() + change.jpeg.size();
}

// While somebody holds it, io.run() does not return for want of work.
auto busy(asio::io_context& io) {
  return asio::require(io.get_executor(), asio::execution::outstanding_work.tracked);
}

}  // namespace

// All members belong to the io thread, but `writer` is the Worker `writing`'s and `reader`, `beside` and `checking` the
// Worker `reading`'s while these run. Handlers posted back hold a weak pointer: after the journal they do nothing.
struct Journal::Impl : std::enable_shared_from_this<Impl> {
  Impl(asio::io_context& io_context, Clock& the_clock, Options the_options, Opened opened)
      : io{io_context},
        clock{the_clock},
        options{std::move(the_options)},
        lock{std::move(opened.lock)},
        set_aside{std::move(opened.set_aside)},
        rows{std::move(opened.epochs)},
        window_timer{io},
        retry_timer{io},
        writer{std::in_place, std::move(opened.store), options} {}

  // Appending.
  [[nodiscard]] Result<Identity> append(Record record, std::string jpeg, Urgency urgency);
  void take(NewRecord change, Urgency urgency);
  [[nodiscard]] bool admits(Lane lane, std::size_t bytes) const;
  void append_event(std::string kind, nlohmann::json detail);
  void request(Urgency urgency);

  // Committing: window_ended or turn_ended -> flush -> (Worker) -> written -> flush …
  void arm_window();
  void flush();
  void take_along();
  void hand_over(Changes changes);
  void written(const Outcome& outcome);
  void succeeded();
  void failed(const Error& error, bool urgent_durable);
  void retry_later();
  void go_on();
  void checkpoint();

  // Reading.
  template <class Value>
  void on_reader(std::function<Result<Value>(Reader&)> run, std::function<void(Result<Value>)> then);
  template <class Then, class Value>
  void answer(Then then, Value value);
  void change_reader(std::unique_ptr<Reader> with) {
    const std::lock_guard guard{reader_mutex};
    reader = std::move(with);
  }
  template <class Value, class Run, class Then>
  void on_writer(Run run, Then then);
  void found_damage(const Error& error);
  void found_damage(const std::vector<Damage>& found);
  void found_damaged_block(const Damage& damage);

  // Tending.
  void tend();
  void tend_hourly();
  void tend_room();
  // What was planned once is not planned again before it is gone.
  [[nodiscard]] bool trimming() const { return trims_handed || !waiting.trims.empty(); }
  void tend_age();
  void tend_meter();
  void give_up(Plan plan);
  void give_up(Lane lane, Key from, Key to, std::string_view reason, bool all_of_it);
  [[nodiscard]] std::uint64_t stored_by_all(std::uint32_t generation, Lane lane) const;
  void check_on();
  void salvage_on();

  // Epochs.
  [[nodiscard]] const EpochRow& newest() const { return rows.back(); }
  void enter_newest(const Numbers& last);
  void show_epochs();
  void heal(const std::string& reason);
  void renumber();
  void tell_epoch();
  void save_mark();

  void stop();

  asio::io_context& io;
  Clock& clock;
  const Options options;
  WriterLock lock;
  std::string set_aside;
  std::vector<EpochRow> rows;   // all, oldest first
  std::vector<Epoch> epochs;    // those that are shown
  Numbers opened_at{};          // of the newest epoch, when this run began

  Boots boots;
  contract::Names names;
  contract::Names::Id names_handed = 0;  // up to here they are in a batch, or stored
  Positions positions;
  std::set<std::tuple<std::string, std::uint32_t, Lane>> positions_moved;
  std::uint64_t moved_by = 0;  // records, since positions were stored
  MonoTime positions_stored{};
  std::vector<std::string> uplinks;
  std::uint64_t revision = 0;
  Numbers next{};       // the number that the next record gets
  Numbers first{};      // oldest stored of the newest epoch; 0: none
  std::uint64_t media_bytes = 0;
  std::uint64_t aside_bytes = 0;
  std::uint64_t free_bytes = 0;

  Changes waiting;  // appended since the last flush
  std::uint64_t uncommitted = 0;        // records: waiting, and handed over
  std::size_t uncommitted_bytes = 0;
  std::optional<MonoTime> oldest_waiting;   // of `waiting`
  std::optional<MonoTime> oldest_handed;    // of what was handed over and is not committed
  struct Sync {
    std::function<void(Status)> then;
    Durable what = Durable::everything;
  };
  std::vector<Sync> waiting_syncs;
  std::vector<Sync> handed_syncs;
  std::size_t pulses = 0;    // on their way
  bool under_way = false;    // the Writer has a batch, or does something else that must not meet one
  bool flush_again = false;  // asked for while it had
  bool turn_end_posted = false;
  bool window_armed = false;
  asio::steady_timer window_timer;
  asio::steady_timer retry_timer;
  Millis retry_after = kFirstRetry;
  std::string failure;
  bool must_heal = false;
  bool must_renumber = false;
  bool checkpointing = false;
  bool finish_checkpoint = false;
  bool salvaging = true;  // until the Writer says that there is nothing
  bool salvage_asked = false;
  bool planning = false;     // what is to be given up
  bool trims_handed = false;  // and not yet committed
  bool renumbering = false;
  std::int64_t hour_kept = 0;  // of the meter
  bool orphans_removed = false;
  bool age_due = false;
  std::map<std::pair<Lane, Key>, Key> damage_told;  // by lane and last key: from where
  std::uint64_t committed_bytes = 0;  // since the room was looked at
  CheckCursor checking;
  std::optional<MonoTime> hourly_at;
  std::optional<std::uint64_t> written_at_start;
  std::uint64_t written_metered = 0;
  MonoTime started{};
  std::map<std::int64_t, std::uint64_t> written_by_hour;  // hours since 1970
  std::vector<std::function<void()>> committed_callbacks;
  std::vector<std::function<void(Status)>> health_callbacks;
  std::vector<std::function<void()>> epoch_callbacks;
  bool stopped = false;

  std::optional<Writer> writer;
  std::unique_ptr<Reader> reader;
  std::mutex reader_mutex;  // the Worker changes `reader` while stop() may interrupt it
  std::unique_ptr<Store> beside;
  // Last, so that their threads end before what they use.
  Worker writing{"journal-write", kMaxWrites};
  Worker reading{"journal-read", kMaxReads + 4};
};

// ---- appending -----------------------------------------------------------------------------------------------------

Result<Identity> Journal::Impl::append(Record record, std::string jpeg, Urgency urgency) {
  const auto lane = record.lane;
  if (stopped) return fail(Errc::cancelled, "the journal is closed");
  NewRecord change{std::move(record), std::move(jpeg)};
  const auto bytes = bytes_of(change);
  if (!admits(lane, bytes)) {
    return fail(Errc::full,
                fmt::format("journal: too much waits to be committed, a record of the lane {} is refused ({})",
                            contract::to_string(lane), failure.empty() ? "the disk is slow" : failure));
  }
  Identity identity{newest().id, lane, change.record.seq};
  take(std::move(change), urgency);
  return identity;
}

void Journal::Impl::take(NewRecord change, Urgency urgency) {
  ++next.at(index(change.record.lane));
  if (!oldest_waiting) oldest_waiting = clock.mono();
  ++uncommitted;
  uncommitted_bytes += bytes_of(change);
  waiting.records.push_back(std::move(change));
  request(urgency);
}

bool Journal::Impl::admits(Lane lane, std::size_t bytes) const {
  const auto factor = reserve(lane);
  return static_cast<double>(uncommitted) < static_cast<double>(kMaxWaiting) * factor &&
         static_cast<double>(uncommitted_bytes + bytes) <= static_cast<double>(kMaxWaitingBytes) * factor;
}

// What the journal itself has to say, however much waits: nothing goes without being declared.
void Journal::Impl::append_event(std::string kind, nlohmann::json detail) {
  const auto now = clock.mono();
  auto body = contract::encode_event(Event{.source = "gateway",
                                           .kind = std::move(kind),
                                           .phase = Phase::once,
                                           .id = random_hex64(),
                                           .at = now,
                                           .detail = std::move(detail)},
                                     now);
  const auto seq = next.at(index(Lane::event));
  take({{Lane::event, newest().generation, seq, {boots.current(), now}, revision, std::move(body)}, {}}, Urgency::now);
}

// Urgent: at the end of this turn of the io thread, so that all of the turn goes into one transaction.
void Journal::Impl::request(Urgency urgency) {
  if (stopped) return;
  if (urgency == Urgency::window && options.window > Millis{0}) return arm_window();
  if (turn_end_posted) return;
  turn_end_posted = true;
  asio::post(io, [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self) return;
    self->turn_end_posted = false;
    self->flush();
  });
}

void Journal::Impl::arm_window() {
  if (window_armed) return;
  window_armed = true;
  window_timer.expires_after(options.window);
  window_timer.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
    const auto self = weak.lock();
    if (error == asio::error::operation_aborted || !self) return;
    self->window_armed = false;
    self->flush();
  });
}

// ---- committing ----------------------------------------------------------------------------------------------------

void Journal::Impl::flush() {
  if (stopped) return;
  if (under_way) {
    flush_again = true;
    return;
  }
  if (waiting.empty() && waiting_syncs.empty()) return;
  window_timer.cancel();
  window_armed = false;
  take_along();
  hand_over(std::exchange(waiting, {}));
}

// What rides with a commit that comes anyway: names that its readings use, positions that are due.
void Journal::Impl::take_along() {
  for (; names_handed < names.last(); ++names_handed)
    waiting.names.emplace_back(names_handed + 1, std::string{names.at(names_handed + 1).value_or("")});
  const auto now = clock.mono();
  if (positions_moved.empty() || (!stopped && moved_by < kPositionEvery && now - positions_stored < kPositionsAfter)) return;
  for (const auto& key : std::exchange(positions_moved, {})) waiting.positions[key] = positions[key];
  moved_by = 0;
  positions_stored = now;
}

void Journal::Impl::hand_over(Changes changes) {
  under_way = true;
  trims_handed = trims_handed || !changes.trims.empty();
  if (!oldest_handed) oldest_handed = std::exchange(oldest_waiting, {});
  oldest_waiting.reset();
  for (auto& each : std::exchange(waiting_syncs, {})) handed_syncs.push_back(std::move(each));
  // One batch is on its way at a time, so the Worker has room.
  const bool taken = writing.post([this, weak = weak_from_this(), work = busy(io), changes = std::move(changes),
                                   finish = std::exchange(finish_checkpoint, false)]() mutable {
    auto outcome = writer->write(std::move(changes));
    const int pages = outcome.wal_pages;
    asio::post(io, [weak, outcome = std::move(outcome)] {
      if (const auto self = weak.lock(); self && !self->stopped) self->written(outcome);
    });
    // The short rest of a checkpoint, or all of it where nobody else came to it.
    if (finish || pages >= kMustCheckpointPages) {
      if (auto status = writer->store().checkpoint(); !status)
        log::warning("journal checkpoint failed", {{"why", status.error().message}});
    }
  });
  assert(taken);
  (void)taken;
}

void Journal::Impl::written(const Outcome& outcome) {
  under_way = false;
  const auto generation = newest().generation;
  for (const auto lane : contract::kLanes) {
    const auto i = index(lane);
    const auto last = outcome.last.at(i);
    if (last == 0) continue;
    for (auto& epoch : epochs) {
      if (epoch.generation == generation_of(last)) epoch.last.at(i) = seq_of(last);
    }
    for (auto& row : rows) {
      if (row.generation == generation_of(last)) row.used.at(i) = std::max(row.used.at(i), seq_of(last));
    }
    if (generation_of(last) == generation && first.at(i) == 0) first.at(i) = opened_at.at(i) + 1;
  }
  if (outcome.urgent) trims_handed = false;
  uncommitted -= std::min<std::uint64_t>(uncommitted, outcome.records);
  uncommitted_bytes -= std::min(uncommitted_bytes, outcome.bytes);
  media_bytes += outcome.picture_bytes;
  committed_bytes += outcome.bytes;
  if (outcome.status) oldest_handed.reset();
  if (outcome.wal_pages >= kCheckpointPages) checkpoint();

  const auto self = shared_from_this();
  if (outcome.status) {
    succeeded();
  } else {
    failed(outcome.status.error(), outcome.urgent);
  }
  if (outcome.records > 0 || outcome.status) {
    for (const auto& callback : committed_callbacks) callback();
  }
  if (stopped) return;
  if (committed_bytes >= kTendAfterBytes) tend_room();
  go_on();
}

// What waited for the Writer, the most urgent first.
void Journal::Impl::go_on() {
  if (under_way) return;
  if (must_heal && failure.empty()) return heal("damage was found while it was read");
  if (must_renumber && uncommitted == waiting.records.size()) return renumber();
  if (std::exchange(flush_again, false) || must_renumber) flush();
  if (!under_way && std::exchange(salvage_asked, false)) salvage_on();
}

void Journal::Impl::succeeded() {
  retry_after = kFirstRetry;
  const bool recovered = !std::exchange(failure, {}).empty();
  retry_timer.cancel();
  auto synced = std::exchange(handed_syncs, {});
  if (recovered) {
    for (const auto& callback : health_callbacks) callback(Status{});
  }
  for (const auto& each : synced) each.then(Status{});
}

// Where only readings and pictures stay behind, what is urgent goes on as if nothing had happened.
void Journal::Impl::failed(const Error& error, bool urgent_durable) {
  const bool fresh = failure.empty();
  failure = error.message;
  auto synced = std::exchange(handed_syncs, {});
  if (error.code == Errc::corrupt) {
    must_heal = true;
    handed_syncs = std::move(synced);  // they are answered when it has been healed
    return heal(error.message);
  }
  retry_later();
  if (fresh) {
    for (const auto& callback : health_callbacks) callback(fail(error));
  }
  for (const auto& [then, what] : synced)
    then(urgent_durable && what == Durable::urgent ? Status{} : Status{fail(error)});
}

// With full jitter's upper half, so that a retry never comes at once.
void Journal::Impl::retry_later() {
  std::minstd_rand random{std::random_device{}()};
  const auto after =
      Millis{std::uniform_int_distribution<std::int64_t>{retry_after.count() / 2, retry_after.count()}(random)};
  retry_after = std::min(retry_after * 2, kLastRetry);
  retry_timer.expires_after(after);
  retry_timer.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
    const auto self = weak.lock();
    if (error == asio::error::operation_aborted || !self || self->stopped || self->under_way) return;
    if (self->must_heal) return self->heal(self->failure);
    self->take_along();
    self->hand_over(std::exchange(self->waiting, {}));
  });
}

// The long part beside the Writer, which goes on meanwhile; the Writer then does the short rest.
void Journal::Impl::checkpoint() {
  if (std::exchange(checkpointing, true)) return;
  const bool taken = reading.post([this, weak = weak_from_this(), work = busy(io)] {
    if (!beside) {
      if (auto opened = Store::open_beside(options.directory / kFileName)) beside = std::move(*opened);
    }
    const auto status = beside ? beside->checkpoint() : Status{};
    if (!status) log::warning("journal checkpoint failed", {{"why", status.error().message}});
    asio::post(io, [weak] {
      if (const auto self = weak.lock()) {
        self->checkpointing = false;
        self->finish_checkpoint = true;
      }
    });
  });
  if (!taken) checkpointing = false;
}

// ---- reading -------------------------------------------------------------------------------------------------------

// Posts `value` to `then` on the io thread.
template <class Then, class Value>
void Journal::Impl::answer(Then then, Value value) {
  asio::post(io, [weak = weak_from_this(), then = std::move(then), value = std::move(value)]() mutable {
    if (const auto self = weak.lock(); self && !self->stopped) then(std::move(value));
  });
}

template <class Value>
void Journal::Impl::on_reader(std::function<Result<Value>(Reader&)> run, std::function<void(Result<Value>)> then) {
  // What `then` holds is let go of on the io thread, never on the Worker's.
  auto held = std::make_shared<std::function<void(Result<Value>)>>(std::move(then));
  const bool taken = reading.waiting() < kMaxReads && reading.post([this, work = busy(io), run = std::move(run), held] {
    if (!reader) {  // another file took the old one's place
      if (auto opened = Reader::open(options.directory)) change_reader(std::move(*opened));
    }
    auto fresh = reader ? reader->refresh() : Status{fail(Errc::unavailable, "the journal is being replaced")};
    answer(std::move(*held), fresh ? run(*reader) : Result<Value>{fail(std::move(fresh).error())});
  });
  if (!taken) answer(std::move(*held), Result<Value>{fail(Errc::full, "journal: too many reads wait")});
}

// Runs something on the Writer's thread while no batch is there.
template <class Value, class Run, class Then>
void Journal::Impl::on_writer(Run run, Then then) {
  under_way = true;
  const bool taken =
      writing.post([this, weak = weak_from_this(), work = busy(io), run = std::move(run), then = std::move(then)]() mutable {
        Value value = run(*writer);
        asio::post(io, [weak, then = std::move(then), value = std::move(value)]() mutable {
          const auto self = weak.lock();
          if (!self || self->stopped) return;
          self->under_way = false;
          then(std::move(value));
          if (!self->stopped) self->go_on();
        });
      });
  assert(taken);
  (void)taken;
}

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
    give_up(lane, from, untold, "damaged", /*all_of_it=*/true);
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
  if (!positions_moved.empty() && now - positions_stored >= kPositionsAfter) request(Urgency::window);
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
  for (auto& given : plan.lanes) {
    if (given.lane == Lane::media) media_bytes -= std::min(media_bytes, given.bytes);
    std::move(given.pictures.begin(), given.pictures.end(), std::back_inserter(waiting.pictures));
    give_up(given.lane, given.from, given.to, plan.reason, /*all_of_it=*/false);
  }
}

// In one transaction: the records go, and where the county may not have them an event says so.
void Journal::Impl::give_up(Lane lane, Key from, Key to, std::string_view reason, bool all_of_it) {
  const auto generation = generation_of(to);
  const auto row = std::find_if(rows.begin(), rows.end(), [&](const auto& each) { return each.generation == generation; });
  if (row == rows.end()) {  // a key that cannot be: the numbers that are missing show as a hole
    waiting.trims.push_back({lane, from, to, false});
    return request(Urgency::now);
  }
  // Up to what is used all was trimmed, or is declared: a hole further back is none of it.
  const bool at_front = !all_of_it;
  const bool at_end = generation == newest().generation && seq_of(to) >= epochs.back().last.at(index(lane));
  waiting.trims.push_back({lane, from, to, at_front || at_end});
  if (at_front || at_end) row->used.at(index(lane)) = std::max(row->used.at(index(lane)), seq_of(to));
  if (at_front && generation == newest().generation) first.at(index(lane)) = seq_of(to) + 1;
  const auto stored = all_of_it && uplinks.empty() ? 0 : stored_by_all(generation, lane);
  const auto lost_from = std::max(seq_of(from), stored == UINT64_MAX ? UINT64_MAX : stored + 1);
  if (lost_from <= seq_of(to)) {
    log::warning("the journal gives records up", {{"lane", contract::to_string(lane)},
                                                  {"from", lost_from},
                                                  {"to", seq_of(to)},
                                                  {"reason", reason}});
    append_event("gap", {{"epoch", row->id},
                         {"lane", contract::to_string(lane)},
                         {"from", lost_from},
                         {"to", seq_of(to)},
                         {"count", seq_of(to) - lost_from + 1},
                         {"reason", reason}});
  }
  request(Urgency::now);
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
          auto detail = range;
          detail["reason"] = "damaged";
          append_event("gap", std::move(detail));
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

// We are a copy of a journal that has gone on elsewhere: what this run has appended gets other numbers, in the file and in
// what waits. Nothing of it has been sent, and nothing is under way.
void Journal::Impl::renumber() {
  must_renumber = false;
  const auto old = newest();
  const auto kept = opened_at;
  rows.back().used = kept;
  rows.push_back({old.generation + 1, random_hex64(), "behind", {}});
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
  flush_again = true;
  on_writer<Status>([kept, old, to = newest()](Writer& into) { return into.renumber(old, to, kept); },
                    [this, moved](const Status& status) {
                      renumbering = false;
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

// ---- the end -------------------------------------------------------------------------------------------------------

void Journal::Impl::stop() {
  if (std::exchange(stopped, true)) return;
  window_timer.cancel();
  retry_timer.cancel();
  {
    const std::lock_guard guard{reader_mutex};
    if (reader) reader->interrupt();
  }
  reading.stop(Worker::Drain::no);
  take_along();
  auto last = epochs.back().last;
  const bool taken = writing.post([this, changes = std::exchange(waiting, {}), last]() mutable {
    auto outcome = writer->write(std::move(changes));
    if (!outcome.status) {
      log::error("journal closes with records that could not be committed",
                 {{"records", writer->unwritten_records()}, {"why", outcome.status.error().message}});
    }
    for (std::size_t i = 0; i < kLaneCount; ++i) {
      const auto key = outcome.last.at(i);
      if (key != 0 && generation_of(key) == rows.back().generation) last.at(i) = seq_of(key);
    }
    (void)write_mark(options.directory, {rows.back().id, rows.back().generation, last});
  });
  assert(taken);
  (void)taken;
  writing.stop(Worker::Drain::yes);
  reader.reset();
  beside.reset();
  writer.reset();  // closes the file
  lock = {};
}

// ---- the face ------------------------------------------------------------------------------------------------------

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
    impl->append_event("gap", {{"epoch", impl->newest().id},
                               {"lane", contract::to_string(lane)},
                               {"from", end + 1},
                               {"to", used},
                               {"count", used - end},
                               {"reason", "power-cut"}});
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
  if (epoch != impl_->newest().id || !settled()) return;
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
  const auto epoch = std::find_if(impl_->epochs.begin(), impl_->epochs.end(),
                                  [generation](const auto& each) { return each.generation == generation; });
  if (epoch == impl_->epochs.end()) return;
  const bool newest = generation == impl_->newest().generation;
  const auto last = newest ? impl_->next.at(index(lane)) - 1 : epoch->last.at(index(lane));
  position.prefix = std::min(position.prefix, last);
  position.stored = std::min(position.stored, last);
  std::erase_if(position.beyond, [last](const auto& span) { return span.to > last; });
  const std::tuple key{std::string{uplink}, generation, lane};
  auto& now = impl_->positions[key];
  impl_->moved_by += position.prefix - std::min(now.prefix, position.prefix);
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

Stat Journal::stat() const {
  Stat stat;
  stat.epoch = epoch();
  stat.boot = boot();
  for (const auto& each : impl_->epochs) {
    const bool newest = &each == &impl_->epochs.back();
    for (const auto lane : contract::kLanes) {
      const auto i = index(lane);
      const auto last = each.last.at(i);
      const auto from = newest ? impl_->first.at(i) : std::min<std::uint64_t>(1, last);
      const auto unsent = count_unsent(impl_->positions, each.generation, lane, {from > last ? 0 : from, last});
      if (newest) {
        stat.lanes.at(i) = {.first = from > last ? 0 : from,
                            .last = last,
                            .waiting = impl_->next.at(i) - 1 - std::min(last, impl_->next.at(i) - 1),
                            .unsent = unsent};
      } else {
        stat.older_unsent += unsent;
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
