#include "sync/journal/journal.hpp"

#include <algorithm>
#include <cassert>
#include <deque>
#include <random>
#include <utility>

#include <boost/asio/execution/outstanding_work.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/require.hpp>
#include <boost/asio/steady_timer.hpp>
#include <fmt/format.h>

#include "firmware/core/log.hpp"
#include "firmware/core/worker.hpp"
#include "sync/journal/boots.hpp"
#include "sync/journal/media.hpp"
#include "sync/journal/opening.hpp"
#include "sync/journal/reader.hpp"
#include "sync/journal/store.hpp"

namespace hamlet::journal {
namespace {

namespace asio = boost::asio;

constexpr std::size_t kMaxRecordBytes = 1U << 20;
constexpr std::size_t kMaxPictureBytes = 4U << 20;
constexpr std::size_t kMaxStateBytes = 64U << 10;
constexpr std::size_t kMaxReads = 16;
constexpr std::size_t kMaxPulses = 2;  // waiting; a batch and the last one at stop() always find room beside them
constexpr std::size_t kMaxWrites = kMaxPulses + 2;
constexpr Millis kFirstRetry{100};
constexpr Millis kLastRetry{10'000};

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

// Brings batches to disk, in order: lives on the `journal-write` Worker. A batch that fails stays first in line.
class Writer {
 public:
  Writer(std::unique_ptr<Store> store, std::filesystem::path pictures, std::string epoch)
      : store_{std::move(store)}, pictures_{std::move(pictures)}, epoch_{std::move(epoch)} {}

  void add(Changes changes) {
    if (!changes.empty()) unwritten_.push_back(std::move(changes));
  }

  // Everything that was added, or nothing of what is behind the first failure.
  Status write() {
    while (!unwritten_.empty()) {
      if (auto status = write(unwritten_.front()); !status) return status;
      unwritten_.pop_front();
    }
    return {};
  }

  void checkpoint() {
    auto status = store_->checkpoint_if_due();
    if (checkpoint_ok_ && !status) log::warning("journal checkpoint failed", {{"why", status.error().message}});
    checkpoint_ok_ = status.has_value();
  }

  [[nodiscard]] std::size_t unwritten_records() const {
    std::size_t count = 0;
    for (const auto& changes : unwritten_) count += changes.records.size();
    return count;
  }

 private:
  Status write(Changes& changes) {
    for (auto& [record, jpeg] : changes.records) {
      if (jpeg.empty()) continue;
      if (auto status = write_picture(pictures_, record.body.bytes, jpeg); !status) return status;
      jpeg.clear();  // durable: not again in the next attempt
    }
    return store_->commit(changes, epoch_);
  }

  std::unique_ptr<Store> store_;
  std::filesystem::path pictures_;
  std::string epoch_;
  std::deque<Changes> unwritten_;
  bool checkpoint_ok_ = true;
};

// What the io thread must know of the batch that the Writer has.
struct InFlight {
  std::array<std::uint64_t, kLaneCount> last{};  // newest number of each lane; 0: none
  std::array<std::uint64_t, kLaneCount> count{};
  std::size_t bytes = 0;
  std::uint64_t picture_bytes = 0;
  std::vector<std::function<void(Status)>> synced;
};

}  // namespace

// All members belong to the io thread, but `writer` is the Worker `writing`'s and `reader` the Worker `reading`'s while
// these run. Handlers posted back hold a weak pointer: after the journal they do nothing.
struct Journal::Impl : std::enable_shared_from_this<Impl> {
  Impl(asio::io_context& io_context, Clock& the_clock, Options the_options, Opened opened)
      : io{io_context},
        clock{the_clock},
        options{std::move(the_options)},
        lock{std::move(opened.lock)},
        epoch{std::move(opened.epoch)},
        set_aside{std::move(opened.set_aside)},
        window_timer{io},
        retry_timer{io},
        writer{std::in_place, std::move(opened.store), options.directory / kMediaFolder, epoch} {}

  // Appending.
  [[nodiscard]] Result<Identity> append(Record record, std::string jpeg, Urgency urgency);
  [[nodiscard]] bool admits(Lane lane, std::size_t bytes) const;
  void request(Urgency urgency);

  // Committing: window_ended or turn_ended -> flush -> (Worker) -> written -> flush …
  void arm_window();
  void flush();
  InFlight describe_waiting();
  void hand_over(Changes changes);
  void written(const Status& status);
  void succeeded();
  void failed(const Error& error);
  void retry_later();

  // Reading.
  template <class Value>
  void on_reader(std::function<Result<Value>(Reader&)> run, std::function<void(Result<Value>)> then);
  template <class Then, class Value>
  void answer(Then then, Value value);

  void stop();

  asio::io_context& io;
  Clock& clock;
  const Options options;
  WriterLock lock;
  const std::string epoch;
  const std::string set_aside;

  Boots boots;
  Positions positions;
  std::uint64_t revision = 0;
  std::array<std::uint64_t, kLaneCount> next{};       // the number that the next record gets
  std::array<std::uint64_t, kLaneCount> first{};      // oldest stored; 0: none
  std::array<std::uint64_t, kLaneCount> committed{};  // newest committed
  std::uint64_t media_bytes = 0;

  Changes waiting;  // appended since the last flush
  std::size_t waiting_bytes = 0;
  std::vector<std::function<void(Status)>> waiting_syncs;
  std::optional<InFlight> in_flight;
  bool flush_again = false;  // asked for while a commit ran
  bool turn_end_posted = false;
  bool window_armed = false;
  asio::steady_timer window_timer;
  asio::steady_timer retry_timer;
  Millis retry_after = kFirstRetry;
  std::string failure;
  std::vector<std::function<void()>> committed_callbacks;
  std::vector<std::function<void(Status)>> health_callbacks;
  bool stopped = false;

  std::optional<Writer> writer;
  std::unique_ptr<Reader> reader;
  // Last, so that their threads end before what they use.
  Worker writing{"journal-write", kMaxWrites};
  Worker reading{"journal-read", kMaxReads};
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
  Identity identity{epoch, lane, change.record.seq};
  ++next.at(index(lane));
  waiting.records.push_back(std::move(change));
  waiting_bytes += bytes;
  request(urgency);
  return identity;
}

bool Journal::Impl::admits(Lane lane, std::size_t bytes) const {
  std::size_t records = waiting.records.size();
  std::size_t total = waiting_bytes + bytes;
  if (in_flight) {
    for (const auto count : in_flight->count) records += count;
    total += in_flight->bytes;
  }
  const auto factor = reserve(lane);
  return static_cast<double>(records) < static_cast<double>(kMaxWaiting) * factor &&
         static_cast<double>(total) <= static_cast<double>(kMaxWaitingBytes) * factor;
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
  if (in_flight) {
    flush_again = true;
    return;
  }
  if (waiting.empty() && waiting_syncs.empty()) return;
  window_timer.cancel();
  window_armed = false;
  in_flight = describe_waiting();
  hand_over(std::exchange(waiting, {}));
}

InFlight Journal::Impl::describe_waiting() {
  InFlight batch;
  for (const auto& change : waiting.records) {
    const auto lane = index(change.record.lane);
    batch.last.at(lane) = change.record.seq;
    ++batch.count.at(lane);
    batch.picture_bytes += change.jpeg.size();
  }
  batch.bytes = std::exchange(waiting_bytes, 0);
  batch.synced = std::exchange(waiting_syncs, {});
  return batch;
}

void Journal::Impl::hand_over(Changes changes) {
  // One batch is on its way at a time, so the Worker has room.
  const bool taken =
      writing.post([this, weak = weak_from_this(), work = busy(io), changes = std::move(changes)]() mutable {
        writer->add(std::move(changes));
        auto status = writer->write();
        asio::post(io, [weak, status = std::move(status)] {
          if (const auto self = weak.lock(); self && !self->stopped) self->written(status);
        });
        writer->checkpoint();
      });
  assert(taken);
  (void)taken;
}

void Journal::Impl::written(const Status& status) {
  if (status) {
    succeeded();
  } else {
    failed(status.error());
  }
}

void Journal::Impl::succeeded() {
  const auto batch = *std::exchange(in_flight, std::nullopt);
  for (const auto lane : contract::kLanes) {
    const auto i = index(lane);
    if (batch.count.at(i) == 0) continue;
    if (first.at(i) == 0) first.at(i) = batch.last.at(i) - batch.count.at(i) + 1;
    committed.at(i) = batch.last.at(i);
  }
  media_bytes += batch.picture_bytes;
  retry_after = kFirstRetry;
  const bool recovered = !std::exchange(failure, {}).empty();
  if (std::exchange(flush_again, false)) flush();

  // Last: what they call may append, or stop us.
  const auto self = shared_from_this();
  if (recovered) {
    for (const auto& callback : health_callbacks) callback(Status{});
  }
  for (const auto& then : batch.synced) then(Status{});
  for (const auto& callback : committed_callbacks) callback();
}

void Journal::Impl::failed(const Error& error) {
  const bool fresh = failure.empty();
  failure = error.message;
  retry_later();

  const auto self = shared_from_this();
  auto synced = std::exchange(in_flight->synced, {});
  for (auto& then : std::exchange(waiting_syncs, {})) synced.push_back(std::move(then));
  if (fresh) {
    for (const auto& callback : health_callbacks) callback(fail(error));
  }
  for (const auto& then : synced) then(fail(error));
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
    if (error == asio::error::operation_aborted || !self || self->stopped) return;
    self->hand_over({});
  });
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
  const bool taken = reading.post([this, work = busy(io), run = std::move(run), held] {
    auto fresh = reader->refresh();
    answer(std::move(*held), fresh ? run(*reader) : Result<Value>{fail(std::move(fresh).error())});
  });
  if (!taken) answer(std::move(*held), Result<Value>{fail(Errc::full, "journal: too many reads wait")});
}

// ---- the end -------------------------------------------------------------------------------------------------------

void Journal::Impl::stop() {
  if (std::exchange(stopped, true)) return;
  window_timer.cancel();
  retry_timer.cancel();
  reader->interrupt();
  reading.stop(Worker::Drain::no);
  const bool taken = writing.post([this, changes = std::exchange(waiting, {})]() mutable {
    writer->add(std::move(changes));
    if (auto status = writer->write(); !status) {
      log::error("journal closes with records that could not be committed",
                 {{"records", writer->unwritten_records()}, {"why", status.error().message}});
    }
  });
  assert(taken);
  (void)taken;
  writing.stop(Worker::Drain::yes);
  reader.reset();
  writer.reset();  // closes the file
  lock = {};
}

// ---- the face ------------------------------------------------------------------------------------------------------

Journal::Journal(std::shared_ptr<Impl> impl) : impl_{std::move(impl)} {}

Journal::~Journal() {
  stop();
}

Result<std::unique_ptr<Journal>> Journal::open(asio::io_context& io, Clock& clock, Options options) {
  const auto context = fmt::format("open journal in {}", options.directory.string());
  auto opened = open_for_writing(options, clock.wall());
  if (!opened) return fail(std::move(opened).error().in(context));
  auto& store = *opened->store;

  auto stretches = store.boots();
  if (!stretches) return fail(std::move(stretches).error().in(context));
  Boots boots{std::move(*stretches)};
  boots.begin(options.boot_id, {clock.wall(), clock.mono(), clock.synced()});
  Changes begun;
  begun.boots = boots.take_changed();
  if (auto status = store.commit(begun, opened->epoch); !status) return fail(std::move(status).error().in(context));

  auto positions = store.positions();
  if (!positions) return fail(std::move(positions).error().in(context));
  std::array<LaneNumbers, kLaneCount> numbers;
  for (const auto lane : contract::kLanes) {
    auto found = store.numbers(lane);
    if (!found) return fail(std::move(found).error().in(context));
    numbers.at(index(lane)) = *found;
  }
  auto reader = Reader::open(options.directory);
  if (!reader) return fail(std::move(reader).error().in(context));

  auto impl = std::make_shared<Impl>(io, clock, std::move(options), std::move(*opened));
  impl->boots = std::move(boots);
  impl->positions = std::move(*positions);
  impl->reader = std::move(*reader);
  impl->media_bytes = picture_bytes(impl->options.directory / kMediaFolder);
  for (std::size_t i = 0; i < kLaneCount; ++i) {
    impl->first.at(i) = numbers.at(i).first;
    impl->committed.at(i) = numbers.at(i).last;
    impl->next.at(i) = numbers.at(i).last + 1;
  }
  return std::unique_ptr<Journal>{new Journal{std::move(impl)}};
}

void Journal::stop() {
  impl_->stop();
}

const std::string& Journal::epoch() const {
  return impl_->epoch;
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
  return impl_->append({lane, seq, {boot(), at}, impl_->revision, std::move(body)}, {}, urgency);
}

Result<Identity> Journal::append_media(MonoTime at, std::string jpeg) {
  if (jpeg.empty()) return fail(Errc::invalid, "journal: an empty picture is refused");
  if (jpeg.size() > kMaxPictureBytes) return fail(Errc::invalid, "journal: a picture of more than 4 MiB is refused");
  const auto seq = impl_->next.at(index(Lane::media));
  const auto name = contract::media_name(epoch(), seq);
  return impl_->append({Lane::media, seq, {boot(), at}, impl_->revision, {"media/" + name, name + ".jpg"}},
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

void Journal::sync(std::function<void(Status)> then) {
  impl_->waiting_syncs.push_back(std::move(then));
  impl_->request(Urgency::now);
}

void Journal::on_committed(std::function<void()> callback) {
  impl_->committed_callbacks.push_back(std::move(callback));
}

void Journal::on_health(std::function<void(Status)> callback) {
  impl_->health_callbacks.push_back(std::move(callback));
}

std::uint64_t Journal::committed(Lane lane) const {
  return impl_->committed.at(index(lane));
}

void Journal::read(Lane lane, std::uint64_t from, std::size_t max_records, std::size_t max_bytes,
                   std::function<void(Result<std::vector<Record>>)> then) {
  impl_->on_reader<std::vector<Record>>(
      [=](Reader& reader) { return reader.records(lane, from, max_records, max_bytes); }, std::move(then));
}

void Journal::query(std::function<void(Reader&)> run, std::function<void(Status)> then) {
  impl_->on_reader<void>(
      [run = std::move(run)](Reader& reader) -> Status {
        run(reader);
        return {};
      },
      std::move(then));
}

Position Journal::position(std::string_view uplink, Lane lane) const {
  const auto found = impl_->positions.find({std::string{uplink}, lane});
  return found == impl_->positions.end() ? Position{} : found->second;
}

void Journal::set_position(std::string_view uplink, Lane lane, Position position) {
  const std::pair key{std::string{uplink}, lane};
  impl_->positions[key] = position;
  impl_->waiting.positions[key] = std::move(position);
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
  if (impl_->stopped || impl_->writing.waiting() >= kMaxPulses) return;  // a write hangs: no pulse
  (void)impl_->writing.post([impl = impl_.get(), work = busy(impl_->io), alive = std::move(alive)]() mutable {
    impl->answer([alive = std::move(alive)](std::monostate) { alive(); }, std::monostate{});
  });
}

Stat Journal::stat() const {
  Stat stat;
  stat.epoch = impl_->epoch;
  stat.boot = boot();
  for (const auto lane : contract::kLanes) {
    const auto i = index(lane);
    const LaneNumbers numbers{impl_->first.at(i), impl_->committed.at(i)};
    stat.lanes.at(i) = {.first = numbers.first,
                        .last = numbers.last,
                        .waiting = impl_->next.at(i) - 1 - numbers.last,
                        .unsent = count_unsent(impl_->positions, lane, numbers)};
  }
  stat.file_bytes = file_bytes(impl_->options.directory);
  stat.media_bytes = impl_->media_bytes;
  stat.window = impl_->options.window;
  stat.last_failure = impl_->failure;
  return stat;
}

}  // namespace hamlet::journal
