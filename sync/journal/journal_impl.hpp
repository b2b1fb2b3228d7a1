#pragma once

// What runs where. The io thread numbers records, gathers them and hands batches to the Worker `journal-write` (Writer),
// one at a time; what comes back moves `committed`. The Worker `journal-read` (Reader) answers questions, plans what is to
// be given up, checks, and does the long part of a checkpoint. All decisions are the io thread's:
//
//   append -> waiting -> flush -> Writer::write -> written -> committed                                    committing.cpp
//   tend   -> plan (reader) -> give_up: trims and the gap event into waiting -> flush …                    upkeep.cpp
//   corrupt (writer or reader) -> heal: Writer::heal -> another file, a new epoch -> salvage, slice by slice

#include <cassert>
#include <deque>
#include <mutex>
#include <set>
#include <utility>

#include <boost/asio/execution/outstanding_work.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/require.hpp>
#include <boost/asio/steady_timer.hpp>
#include <fmt/format.h>

#include "firmware/core/worker.hpp"
#include "sync/journal/boots.hpp"
#include "sync/journal/journal.hpp"
#include "sync/journal/reader.hpp"
#include "sync/journal/tending.hpp"
#include "sync/journal/writer.hpp"

namespace hamlet::journal {

namespace asio = boost::asio;

inline constexpr std::size_t kMaxReads = 16;
inline constexpr std::size_t kMaxPulses = 2;  // waiting; a batch and the last one at stop() always find room beside them
inline constexpr std::size_t kMaxWrites = kMaxPulses + 8;
inline constexpr Millis kFirstRetry{100};
inline constexpr Millis kPositionsAfter{60'000};

// While somebody holds it, io.run() does not return for want of work.
inline auto busy(asio::io_context& io) {
  return asio::require(io.get_executor(), asio::execution::outstanding_work.tracked);
}

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
  [[nodiscard]] bool positions_due() const;
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
  std::optional<Gap> give_up(Lane lane, Key from, Key to, std::string_view reason, bool all_of_it);
  void declare(const Gap& gap);
  [[nodiscard]] std::uint64_t stored_by_all(std::uint32_t generation, Lane lane) const;
  void check_on();
  void salvage_on();

  // Epochs.
  [[nodiscard]] const EpochRow& newest() const { return rows.back(); }
  void enter_newest(const Numbers& last);
  void show_epochs();
  void heal(const std::string& reason);
  void renumber();
  void move_records(const Numbers& moved);
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
  std::string opened_epoch;     // the newest then: one that this run made is nobody else's

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
  struct {
    EpochRow from;
    EpochRow to;
    Numbers kept{};
    Positions positions{};
  } moving;  // while renumbering
  std::function<void()> again;
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

}  // namespace hamlet::journal
