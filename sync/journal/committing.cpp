#include "sync/journal/journal_impl.hpp"

#include <algorithm>
#include <random>

#include "firmware/core/event.hpp"
#include "firmware/core/id.hpp"
#include "firmware/core/log.hpp"
#include "sync/journal/mark.hpp"

namespace hamlet::journal {
namespace {

constexpr Millis kLastRetry{10'000};
constexpr std::uint64_t kTendAfterBytes = 256U << 10;  // committed
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

}  // namespace

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
  if (under_way || renumbering) {
    flush_again = true;
    return;
  }
  if (waiting.empty() && waiting_syncs.empty() && !positions_due()) return;
  window_timer.cancel();
  window_armed = false;
  take_along();
  hand_over(std::exchange(waiting, {}));
}

// What rides with a commit that comes anyway: names that its readings use, positions that are due.
void Journal::Impl::take_along() {
  for (; names_handed < names.last(); ++names_handed)
    waiting.names.emplace_back(names_handed + 1, std::string{names.at(names_handed + 1).value_or("")});
  if (!positions_due()) return;
  for (const auto& key : std::exchange(positions_moved, {})) waiting.positions[key] = positions[key];
  moved_by = 0;
  positions_stored = clock.mono();
}

bool Journal::Impl::positions_due() const {
  return !positions_moved.empty() && (stopped || moved_by >= kPositionEvery || clock.mono() - positions_stored >= kPositionsAfter);
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
      if (auto status = writer->checkpoint(); !status)
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
    if (self->renumbering) return self->again();
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
    if (renumbering && !writer->renumber(moving.from, moving.to, moving.kept, moving.positions)) {
      log::error("journal closes while its records get other numbers; what waits is not committed", {{"records", changes.records.size()}});
      return;
    }
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

}  // namespace hamlet::journal
