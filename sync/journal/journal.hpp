#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <nlohmann/json.hpp>

#include "firmware/core/clock.hpp"
#include "firmware/core/result.hpp"
#include "sync/contract/contract.hpp"

namespace hamlet::config {
class Table;
}

namespace hamlet::journal {

using contract::kLaneCount;
using contract::Lane;

/// The config's table [journal], and what the daemon knows.
struct Options {
  std::filesystem::path directory;  ///< state_dir: journal.db and media/ live here; made with mode 0750 where absent
  Millis window{10'000};            ///< `window`, 0 to 300 s: what is not urgent is committed within this time
  std::string machine_id;           ///< of this machine; another one than the journal's makes a new epoch
  std::string boot_id;              ///< of this boot of the kernel
  std::uint64_t quota_bytes = 2'048ULL << 20;    ///< `quota_mb`, 32 MB to 1 TB: never more, pictures and all
  std::uint64_t min_free_bytes = 128ULL << 20;   ///< `min_free_mb`: what is left free on the disk for others
  std::uint64_t reserve_bytes = 4ULL << 20;      ///< set aside for alarms and events on a disk that others have filled
  std::chrono::days keep{30};                    ///< `keep_days`, 1 to 3650: readings, events and pictures
  std::chrono::days keep_alarms{400};            ///< `keep_alarm_days`, 1 to 3650
};
/// Reads the table [journal].
[[nodiscard]] Options read_options(const config::Table& table, std::filesystem::path state_dir);

/// What a record is known by, for ever, everywhere.
struct Identity {
  std::string epoch;
  Lane lane = Lane::tele;
  std::uint64_t seq = 0;
};

enum class Urgency { now, window };      ///< commit at once, or with the rest within the window
enum class Durable { everything, urgent };  ///< what sync() waits for

/// Stands for the epoch that goes on.
inline constexpr std::uint32_t kCurrent = 0xffff'ffff;

/// One stored record, read back.
struct Record {
  Lane lane = Lane::tele;
  std::uint32_t generation = 0;  ///< of its epoch: Journal::epochs()
  std::uint64_t seq = 0;
  Moment at{};
  std::uint64_t rev = 0;  ///< of `meta`, when it was appended
  contract::Body body{};
};

/// How far an uplink has come in one lane: everything up to `prefix`, and at most 64 ranges beyond it.
struct Position {
  static constexpr std::size_t kMaxRanges = 64;
  using Span = contract::Range;
  std::uint64_t prefix = 0;
  std::vector<Span> beyond{};   ///< sorted, apart from each other and from the prefix
  std::uint64_t stored = 0;     ///< the county has stored everything up to here: it may be forgotten

  /// Notes one number as done. False where it would need a 65th range: the caller must not have sent it.
  bool add(std::uint64_t seq);
  [[nodiscard]] bool contains(std::uint64_t seq) const;
  /// How many numbers are done.
  [[nodiscard]] std::uint64_t count() const;
  /// What is missing up to `last`: at most 65 spans.
  [[nodiscard]] std::vector<Span> pending(std::uint64_t last) const;
  friend bool operator==(const Position&, const Position&) = default;
};

/// An epoch whose records are still stored, or the one that goes on.
struct Epoch {
  std::uint32_t generation = 0;  ///< in order of time; from 0
  std::string id;                ///< 16 hex digits
  std::array<std::uint64_t, kLaneCount> last{};  ///< newest committed number
};

/// The journal in figures.
struct Stat {
  std::string epoch;
  std::uint32_t boot = 0;
  struct LaneStat {
    std::uint64_t first = 0;    ///< oldest number still stored; 0 where the lane is empty
    std::uint64_t last = 0;     ///< newest committed number
    std::uint64_t waiting = 0;  ///< appended and not yet committed
    std::uint64_t unsent = 0;   ///< committed and not yet acknowledged by the broker
  };
  std::array<LaneStat, kLaneCount> lanes{};  ///< of the epoch that goes on
  std::uint64_t older_unsent = 0;            ///< of earlier epochs
  std::uint64_t file_bytes = 0;              ///< journal.db and its -wal
  std::uint64_t media_bytes = 0;
  std::uint64_t aside_bytes = 0;             ///< damaged journals that were set aside
  std::uint64_t quota_bytes = 0;
  std::uint64_t free_bytes = 0;              ///< on the disk, for us
  std::uint64_t min_free_bytes = 0;
  Millis window{};
  std::optional<Millis> oldest_waiting{};    ///< age of the oldest record that a power cut would cost now
  struct Written {
    bool metered = false;           ///< false where the kernel does not account for it
    std::uint64_t last_day = 0;     ///< bytes this program wrote to disk in the last 24 h, as far as it ran
    std::uint64_t since_start = 0;
    Millis uptime{};
  };
  Written written{};
  std::string last_failure;  ///< of a commit, while it lasts; else empty
};

/// The store-and-forward journal and the small state that must be as durable as it.
///
/// Owned by the composition root; every member is called from the io thread. Two Workers: `journal-write` commits, and
/// `journal-read` serves read(). append() gives a record its number at once; the record is ours once its batch is
/// committed, which committed() tells, and only then may it be sent. kill -9 and power cuts lose what was not committed
/// and nothing else; a number whose commit was seen by read() or on_committed is never given again.
///
/// A commit that fails is tried again with backoff, in order, while append() goes on. On a full disk readings and
/// pictures wait in memory while alarms and events are committed, at need from a reserve. Readings and pictures are
/// refused (Error full, and no number is used up) once kMaxWaiting records or kMaxWaitingBytes wait; events a quarter
/// beyond that, alarms half as much again.
///
/// It stays below its quota and leaves the disk its free space: as they near, the oldest pictures go first, then the
/// oldest readings, events, alarms. What goes although the county has not stored it is declared by an event
/// gateway/gap in the same transaction. What the county has stored goes by age.
///
/// A file that is found damaged, at start or later, is set aside under a dated name; a new one with a new epoch goes on at
/// once, and what can be salvaged moves into it, in slices, with the identity it had.
class Journal {
 public:
  static constexpr std::size_t kMaxWaiting = 100'000;
  static constexpr std::size_t kMaxWaitingBytes = 64U << 20;

  /// Opens or creates. Blocks (start-up only).
  [[nodiscard]] static Result<std::unique_ptr<Journal>> open(boost::asio::io_context& io, Clock& clock,
                                                             Options options);
  ~Journal();  ///< stop()
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  /// Commits what waits (one attempt) and closes; blocks for that long, milliseconds on a disk that answers. Nothing is
  /// called back any more. Idempotent.
  void stop();

  [[nodiscard]] const std::string& epoch() const;
  /// Oldest first; the last one goes on. Earlier ones are there while they have records.
  [[nodiscard]] const std::vector<Epoch>& epochs() const;
  /// Called on the io thread when a new epoch has begun. All are called, in order.
  void on_epoch(std::function<void()> callback);
  /// The county knows these numbers of an epoch. Where it is ours and they are ahead of us we are a copy: a new epoch
  /// begins, and what this run has appended and no county has stored moves into it. Of an epoch that this run began it is not
  /// believed: nobody else can have gone on with that.
  void seen_elsewhere(std::string_view epoch, const std::array<std::uint64_t, kLaneCount>& last);
  [[nodiscard]] std::uint32_t boot() const;  ///< this boot's number

  /// What open() found wrong and set aside under a dated name, for an event; empty where all was well.
  [[nodiscard]] const std::string& set_aside() const;

  /// The revision of `meta` that records speak of from now on. Kept with each record; 0 before the first call.
  void set_revision(std::uint64_t rev);

  /// Takes a record of the lanes alarm, event or tele and gives it its number. Error full: see above.
  [[nodiscard]] Result<Identity> append(Lane lane, MonoTime at, contract::Body body, Urgency urgency);
  /// A picture: the bytes go to media/ under the record's identity, durable before the record is.
  [[nodiscard]] Result<Identity> append_media(MonoTime at, std::string jpeg);

  /// Puts or (nullopt) removes a piece of durable state, in the same transaction as everything appended in the same
  /// turn of the io thread, in order. Keys: "alarm/…", "detect/…", "command/…". Values up to 64 KiB.
  void put_state(std::string key, std::optional<std::string> value, Urgency urgency);
  /// Everything under a prefix that is committed, sorted by key: for start-up. Blocks.
  [[nodiscard]] Result<std::vector<std::pair<std::string, std::string>>> load_state(std::string_view prefix) const;

  /// `then` runs on the io thread once everything appended so far is durable, or with the reason why not. `urgent`: all
  /// but readings and pictures, which wait on a full disk while the rest goes on.
  void sync(std::function<void(Status)> then, Durable what = Durable::everything);

  /// Called on the io thread after each commit. May be set more than once: all are called, in order.
  void on_committed(std::function<void()> callback);
  /// Called on the io thread when commits start to fail and when they work again. All are called, in order.
  void on_health(std::function<void(Status)> callback);
  /// Newest committed number of the epoch that goes on; 0 for none.
  [[nodiscard]] std::uint64_t committed(Lane lane) const;

  /// Reads committed records of a lane and epoch from `from` on, in order, on the reading Worker: at most `max_records`
  /// and about `max_bytes`, at least one where there is one. `then` runs on the io thread. Error full: more than 16 reads
  /// wait. Error corrupt: records there are damaged; they are being given up (an event says so): read again later.
  void read(Lane lane, std::uint64_t from, std::size_t max_records, std::size_t max_bytes,
            std::function<void(Result<std::vector<Record>>)> then, std::uint32_t generation = kCurrent);
  /// Runs any query on the reading Worker with its read-only connection (for the verbs `readings`, `events`, …).
  void query(std::function<void(class Reader&)> run, std::function<void(Status)> then);

  /// Where an uplink stands; kept in memory, stored with a commit once a minute, or within the window after kPositionEvery
  /// records: a crash makes it send again what was sent since, with the same identity. stop() stores it.
  static constexpr std::uint64_t kPositionEvery = 1'000;
  /// What lies beyond the last number that was given is not taken, nor is an epoch that is not shown.
  [[nodiscard]] Position position(std::string_view uplink, Lane lane, std::uint32_t generation = kCurrent) const;
  void set_position(std::string_view uplink, Lane lane, Position position, std::uint32_t generation = kCurrent);
  /// Those whose county must have stored a record before it is forgotten. Positions of others are dropped. None: records
  /// go by age alone.
  void set_uplinks(std::vector<std::string> uplinks);

  /// Numbers for the names of points, stored with the records that use them.
  [[nodiscard]] contract::Names& names();

  /// Wall time of a moment, by the table of boots as of now. Any moment of this boot, or of a boot in the table.
  [[nodiscard]] contract::Dated date(Moment moment) const;
  /// Looks at the clock: notes that it was set, jumped or lost its discipline. Call it every few seconds. Returns the
  /// event's detail where something changed that the county should know (event/gateway/time).
  [[nodiscard]] std::optional<nlohmann::json> check_clock();

  /// A JPEG's bytes by its media record's file name, for sending. Reading Worker.
  void read_media(std::string file_name, std::function<void(Result<std::string>)> then);

  /// What has to be done every ten seconds or so: call it. Positions, quota, retention, the meter of what is written,
  /// a slice of checking and of salvage. Returns at once.
  void tend();
  /// False while a new epoch is being begun: nothing of the lanes may be sent then.
  [[nodiscard]] bool settled() const;

  /// `alive` runs on the io thread once the writing Worker has come by: a pulse for the watchdog. Never while a write
  /// hangs.
  void ping(std::function<void()> alive);

  /// Asks the file system, too. lane_stat() is cheap: the epoch that goes on, from memory.
  [[nodiscard]] Stat stat() const;
  [[nodiscard]] Stat::LaneStat lane_stat(Lane lane) const;

 private:
  struct Impl;
  explicit Journal(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;  // shared with handlers that may outlive us, which then do nothing
};

}  // namespace hamlet::journal
