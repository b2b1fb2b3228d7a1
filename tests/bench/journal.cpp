// The journal against what it is made of: bare SQLite with the same bytes, and the disk itself; and what a reference village costs
// in bytes at rest and on the flash.
//
// Environment: HAMLET_BENCH_HOURS (24) of the village; HAMLET_BENCH_RECORDS (1000000) of the large journal in .rss and .growth_*:
// 10000000 for the figure proper, minutes; HAMLET_BENCH_GB (0.25) of the journal in .start: 10 for the figure proper.

#include "sync/journal/journal.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <fcntl.h>
#include <fmt/format.h>
#include <malloc.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "firmware/core/clock.hpp"
#include "firmware/core/fake_clock.hpp"
#include "sync/contract/contract.hpp"
#include "sync/journal/figures.hpp"
#include "sync/journal/reader.hpp"
#include "sync/journal/tending.hpp"
#include "tests/bench/bench.hpp"

namespace hamlet::bench::journal_suite {
namespace {

using contract::Lane;
using journal::Journal;
using journal::Urgency;

constexpr std::size_t kBatch = 50;         // readings a record
constexpr std::size_t kCommit = 100;       // records a commit
constexpr std::size_t kBacklog = 2'000;    // records to drain
constexpr std::size_t kReadRecords = 100;  // a read, as the uplink does it
constexpr std::size_t kReadBytes = 1U << 20;

/// On a real disk, beside the build: /tmp may be memory.
class Folder {
 public:
  Folder() {
    auto pattern = (std::filesystem::current_path() / "hamlet-bench-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

double setting(const char* name, double otherwise) {
  const char* text = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): one thread
  return text == nullptr ? otherwise : std::strtod(text, nullptr);
}

// Fifty points whose values walk, each with its own number of decimals; as many batches as are asked for.
std::vector<std::vector<Reading>> walks(std::size_t batches) {
  std::mt19937_64 random{1};  // NOLINT(cert-msc51-cpp): the same each time
  std::normal_distribution<double> step{0, 3};
  std::vector<double> at(kBatch, 2'000);
  std::vector<std::vector<Reading>> out(batches);
  for (auto& batch : out) {
    for (std::size_t i = 0; i < kBatch; ++i) {
      const double scale = std::pow(10, 1 + i % 3);
      at[i] += std::round(step(random));
      batch.push_back({.point = fmt::format("plc-{}.level-{}", i / 10, i % 10),
                       .at = mono_from_ms(1'000 + static_cast<std::int64_t>(i)),
                       .value = at[i] / scale});
    }
  }
  return out;
}

/// The journal with its io thread: the caller's.
struct Desk {
  Folder folder;
  boost::asio::io_context io;
  SystemClock clock{true};
  std::unique_ptr<Journal> journal;

  Desk() {
    journal =
        Journal::open(io, clock, {.directory = folder.path(), .window = Millis{0}, .machine_id = "m", .boot_id = "b"})
            .value();
  }
  ~Desk() { journal.reset(); }
  void commit() {
    journal->sync([](const Status&) {});
    io.restart();
    io.run();
  }
  void append(Lane lane, contract::Body body) {
    (void)journal->append(lane, mono_from_ms(2'000), std::move(body), Urgency::window);
  }
};

void run_sql(sqlite3* db, const char* sql) {
  if (sqlite3_exec(db, sql, nullptr, nullptr, nullptr) != SQLITE_OK) std::abort();
}

/// SQLite with nothing around it: one table like a lane's, WAL, synchronous=FULL.
struct Bare {
  Folder folder;
  sqlite3* db = nullptr;
  sqlite3_stmt* insert = nullptr;
  std::int64_t seq = 0;

  Bare() {
    if (sqlite3_open((folder.path() / "bare.db").c_str(), &db) != SQLITE_OK) std::abort();
    run_sql(db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 2000");
    run_sql(db,
            "CREATE TABLE t (seq INTEGER PRIMARY KEY, boot INTEGER, mono INTEGER, rev INTEGER, topic TEXT, body TEXT, "
            "crc INTEGER)");
    sqlite3_prepare_v2(db, "INSERT INTO t VALUES (?,1,2000,1,NULL,?,123456789)", -1, &insert, nullptr);
  }
  ~Bare() {
    sqlite3_finalize(insert);
    sqlite3_close(db);
  }
  Bare(const Bare&) = delete;
  Bare& operator=(const Bare&) = delete;
  void append(const std::string& body) {
    sqlite3_reset(insert);
    sqlite3_bind_int64(insert, 1, ++seq);
    sqlite3_bind_text(insert, 2, body.data(), static_cast<int>(body.size()), SQLITE_STATIC);
    if (sqlite3_step(insert) != SQLITE_DONE) std::abort();
  }
};

// ---- journal.append ------------------------------------------------------------------------------------------------

// From readings to durable: encoded, appended, committed.
void append_ours(benchmark::State& state) {
  Desk desk;
  const auto batches = walks(kCommit);
  for (auto _ : state) {
    for (const auto& batch : batches)
      desk.append(Lane::tele, contract::encode_readings(batch, mono_from_ms(2'000), &desk.journal->names()));
    desk.commit();
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kCommit * kBatch));
}

// The same bytes, made beforehand.
void append_bare(benchmark::State& state) {
  Bare bare;
  contract::Names names;
  std::vector<std::string> bodies;
  for (const auto& batch : walks(kCommit))
    bodies.push_back(contract::encode_readings(batch, mono_from_ms(2'000), &names).bytes);
  for (auto _ : state) {
    run_sql(bare.db, "BEGIN IMMEDIATE");
    for (const auto& body : bodies) bare.append(body);
    run_sql(bare.db, "COMMIT");
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kCommit * kBatch));
}

// ---- journal.commit_1, .commit_100 ----------------------------------------------------------------------------------------------

void commit_ours(benchmark::State& state, std::size_t records) {
  Desk desk;
  for (auto _ : state) {
    for (std::size_t i = 0; i < records; ++i) desk.append(Lane::alarm, {"alarmlog/high", R"({"alarm":"high"})"});
    desk.commit();
  }
  state.SetItemsProcessed(state.iterations());
}

void commit_raw(benchmark::State& state) {
  constexpr std::size_t kBlock = 8'192;
  constexpr off_t kFile = 16 << 20;
  const Folder folder;
  const int fd = ::open((folder.path() / "raw").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  const std::string zeros(1U << 20, '\0');
  for (off_t at = 0; at < kFile; at += static_cast<off_t>(zeros.size())) {
    if (::pwrite(fd, zeros.data(), zeros.size(), at) < 0) return state.SkipWithError("the disk is full");
  }
  ::fsync(fd);
  std::string block(kBlock, 'x');
  off_t at = 0;
  for (auto _ : state) {
    block.front() = static_cast<char>(at >> 13);
    if (::pwrite(fd, block.data(), block.size(), at) < 0 || ::fdatasync(fd) != 0)
      return state.SkipWithError("write failed");
    at = (at + static_cast<off_t>(kBlock)) % kFile;
  }
  ::close(fd);
  state.SetItemsProcessed(state.iterations());
}

// ---- journal.drain -------------------------------------------------------------------------------------------------

// Reads the backlog as an uplink does, and renders each message.
void drain_ours(benchmark::State& state) {
  Desk desk;
  const auto body = contract::encode_readings(walks(1).front(), mono_from_ms(2'000));
  for (std::size_t i = 0; i < kBacklog; ++i) desk.append(Lane::tele, body);
  desk.commit();
  auto& journal = *desk.journal;
  const contract::DateFunction date = [&journal](Moment moment) { return journal.date(moment); };
  std::uint64_t from = 1;
  std::size_t bytes = 0;
  std::function<void()> next = [&] {
    journal.read(Lane::tele, from, kReadRecords, kReadBytes, [&](const auto& records) {
      if (!records || records->empty()) return;
      for (const auto& record : *records) {
        bytes += contract::render(record.body,
                                  {.gw = "gw-0017",
                                   .epoch = journal.epoch(),
                                   .lane = record.lane,
                                   .seq = record.seq,
                                   .at = record.at,
                                   .hist = true,
                                   .rev = record.rev},
                                  date)
                     ->size();
      }
      from = records->back().seq + 1;
      next();
    });
  };
  for (auto _ : state) {
    from = 1;
    next();
    desk.io.restart();
    desk.io.run();
    if (from != kBacklog + 1) return state.SkipWithError("the backlog was not drained");
  }
  benchmark::DoNotOptimize(bytes);
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kBacklog));
}

void drain_bare(benchmark::State& state) {
  Bare bare;
  const auto body = contract::encode_readings(walks(1).front(), mono_from_ms(2'000)).bytes;
  run_sql(bare.db, "BEGIN");
  for (std::size_t i = 0; i < kBacklog; ++i) bare.append(body);
  run_sql(bare.db, "COMMIT");
  sqlite3_stmt* select = nullptr;
  sqlite3_prepare_v2(bare.db,
                     "SELECT seq, boot, mono, rev, topic, body, crc FROM t WHERE seq >= ? ORDER BY seq LIMIT ?", -1,
                     &select, nullptr);
  std::size_t bytes = 0;
  for (auto _ : state) {
    for (std::size_t from = 1; from <= kBacklog; from += kReadRecords) {
      sqlite3_reset(select);
      sqlite3_bind_int64(select, 1, static_cast<std::int64_t>(from));
      sqlite3_bind_int64(select, 2, static_cast<std::int64_t>(kReadRecords));
      while (sqlite3_step(select) == SQLITE_ROW) {
        const std::string copy{static_cast<const char*>(sqlite3_column_blob(select, 5)),
                               static_cast<std::size_t>(sqlite3_column_bytes(select, 5))};
        bytes += copy.size();
      }
    }
  }
  benchmark::DoNotOptimize(bytes);
  sqlite3_finalize(select);
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kBacklog));
}

// ---- the reference village -------------------------------------------------------------------------------------------

struct VillageCost {
  std::uint64_t readings = 0;
  double bytes_a_reading = 0;
  double event_share = 0;  // of the bytes, events and alarms
  double megabytes_a_day = 0;
  bool metered = false;
};

/// 10 devices with 50 points, 19 cameras, 20 alarms a day and a county that acknowledges, second by second on a clock of ours,
/// batched as the daemon does (firmware/daemon/box.cpp). Cameras without pictures: those are files of their own size.
class Village {
 public:
  explicit Village(Millis window) : window_{window} {
    journal_ = Journal::open(io_, clock_,
                             {.directory = folder_.path(),
                              .window = Millis{300'000},  // its timer is of another clock: we commit when it would
                              .machine_id = "m",
                              .boot_id = "b"})
                   .value();
    journal_->set_uplinks({"county"});
    journal_->on_committed([this] { acknowledge(); });
    for (std::size_t i = 0; i < kPoints; ++i) {
      const double scale = std::pow(10, 1 + i % 3);
      points_.push_back({fmt::format("station-{}.{}-{}", i / 5, kNames.at(i % kNames.size()), i), 2'000, scale});
    }
  }

  VillageCost run() {
    const auto seconds = static_cast<std::int64_t>(setting("HAMLET_BENCH_HOURS", 24) * 3'600);
    schedule(seconds);
    const auto before = journal::bytes_written();
    for (std::int64_t second = 0; second < seconds; ++second) step(second);
    flush();
    commit();
    const auto after = journal::bytes_written();
    journal_->stop();
    VillageCost cost{.readings = readings_};
    const auto figures = journal::lane_figures(**journal::Reader::open(folder_.path()), folder_.path()).value();
    const auto size = std::filesystem::file_size(folder_.path() / "journal.db");  // its log went with the clean stop
    cost.bytes_a_reading = static_cast<double>(size) / static_cast<double>(readings_);
    const auto bytes = [&figures](const char* lane) { return figures["lanes"][lane]["bytes"].get<double>(); };
    cost.event_share = (bytes("event") + bytes("alarm")) / static_cast<double>(size);
    cost.metered = before && after && *after > *before;
    if (cost.metered) {
      cost.megabytes_a_day = static_cast<double>(*after - *before) / 1e6 * 86'400 / static_cast<double>(seconds);
    }
    std::fprintf(stderr,
                 "village, window %lld s: %llu readings in %.2f MB, events and alarms %.0f %% of it, a reading at rest in its "
                 "lane %.2f bytes, %llu commits\n",
                 static_cast<long long>(window_.count() / 1'000), static_cast<unsigned long long>(readings_),
                 static_cast<double>(size) / 1e6, cost.event_share * 100, figures["bytes_a_reading"].get<double>(),
                 static_cast<unsigned long long>(commits_));
    return cost;
  }

 private:
  static constexpr std::size_t kPoints = 50;
  static constexpr std::size_t kFast = 10;       // of them, each 5 s; the rest each 60 s
  static constexpr std::size_t kMaxBatch = 200;  // as the daemon has it
  static constexpr std::array kNames{"level", "flow", "rain", "temperature", "pressure"};
  struct Point {
    std::string name;
    double value;
    double scale;
  };
  struct Due {
    std::size_t camera = 0;
    Phase phase = Phase::start;
    std::string id;
    std::int64_t since = 0;  // s after its start
  };

  // When every event and alarm of the time comes.
  void schedule(std::int64_t seconds) {
    constexpr std::size_t kCameras = 19;
    const auto share = static_cast<double>(seconds) / 86'400;
    std::uniform_int_distribution<std::int64_t> when{0, std::max<std::int64_t>(0, seconds - 61)};
    std::uniform_int_distribution<std::int64_t> pause{4, 14};
    for (std::size_t camera = 0; camera < kCameras; ++camera) {
      for (int i = 0; i < static_cast<int>(200 * share); ++i) {
        const auto id = fmt::format("{:016x}", random_());
        const auto start = when(random_);
        auto at = start;
        for (const auto phase : {Phase::start, Phase::update, Phase::update, Phase::update, Phase::end}) {
          due_.emplace(at, Due{camera, phase, id, at - start});
          at += pause(random_);
        }
      }
    }
    for (int i = 0; i < static_cast<int>(20 * share); ++i) alarms_.emplace(when(random_), i);
  }

  void step(std::int64_t second) {
    const auto cycle = second % 60;
    for (std::size_t i = 0; i < kPoints; ++i) {
      // Devices are not asked all at once.
      const bool now = i < kFast ? second % 5 == static_cast<std::int64_t>(i / 5) : cycle == static_cast<std::int64_t>(i / 5 * 5 + 3);
      if (i % 5 == 0) polled_ = clock_.mono() - Millis{static_cast<int>(random_() % 400)};  // one answer has one time
      if (now) read(points_[i]);
    }
    for (auto [each, end] = due_.equal_range(second); each != end; ++each) see(each->second);
    for (auto [each, end] = alarms_.equal_range(second); each != end; ++each) raise(each->second);
    const auto at = clock_.mono();
    if (!batch_.empty() && at - batch_since_ >= window_) flush();
    if (waiting_since_ && at - *waiting_since_ >= window_) commit();
    if (second % 5 == 0) {  // as the daemon does
      (void)journal_->check_clock();
      journal_->tend();
    }
    if (urgent_) commit();
    clock_.advance(Millis{1'000});
  }

  void read(Point& point) {
    point.value += std::round(walk_(random_));
    if (batch_.empty()) batch_since_ = clock_.mono();
    batch_.push_back({.point = point.name, .at = polled_, .value = point.value / point.scale});
    ++readings_;
    if (batch_.size() >= kMaxBatch) flush();
  }

  void flush() {
    if (batch_.empty()) return;
    append(Lane::tele, contract::encode_readings(batch_, clock_.mono(), &journal_->names()), true);
    batch_.clear();
  }

  // The details of cameras/analysis.cpp.
  void see(const Due& due) {
    std::uniform_int_distribution<int> pixel{0, 639};
    Event event{.source = fmt::format("cam-{}", due.camera),
                .kind = "motion",
                .phase = due.phase,
                .id = due.id,
                .at = clock_.mono() - Millis{static_cast<int>(random_() % 900)}};
    event.detail = {{"frame", 15 * (to_ms(clock_.mono()) / 1'000) + pixel(random_) % 15},
                    {"media_ms", to_ms(clock_.mono()) + pixel(random_)},
                    {"area", static_cast<double>(pixel(random_)) / 10'000},
                    {"box", {pixel(random_), pixel(random_) / 2, pixel(random_) / 4 + 8, pixel(random_) / 4 + 8}},
                    {"zone", "ford"}};
    if (due.phase != Phase::start) {
      event.detail["duration_ms"] = due.since * 1'000 + pixel(random_);
      event.detail["frames"] = due.since * 15 + pixel(random_) % 15;
    }
    append(Lane::event, contract::encode_event(event, clock_.mono()), due.phase == Phase::start);
    if (due.phase == Phase::start) flush();
  }

  void raise(int number) {
    const auto at = Moment{journal_->boot(), clock_.mono()};
    const Alarm alarm{.id = "river-level-high",
                      .occurrence = static_cast<std::uint64_t>(number) / 2,
                      .state = number % 2 == 0 ? AlarmState::unacked : AlarmState::normal,
                      .severity = Severity::critical,
                      .since = at,
                      .value = 4.7,
                      .limit = 4.5,
                      .text = {"水位过高", "Level high"},
                      .sources = {"river.level"}};
    auto body = contract::encode_alarm(alarm, at);
    journal_->put_state("alarm/river-level-high", body.bytes, Urgency::window);
    append(Lane::alarm, std::move(body), true);
    flush();
  }

  void append(Lane lane, contract::Body body, bool now) {
    (void)journal_->append(lane, clock_.mono(), std::move(body), Urgency::window).value();
    urgent_ = urgent_ || now;
    if (!now && !waiting_since_) waiting_since_ = clock_.mono();
  }

  void commit() {
    journal_->sync([](const Status&) {});
    io_.restart();
    io_.run();
    urgent_ = false;
    waiting_since_.reset();
    ++commits_;
  }

  void acknowledge() {
    for (const auto lane : contract::kLanes) {
      const auto last = journal_->committed(lane);
      if (last > 0) journal_->set_position("county", lane, {.prefix = last, .stored = last});
    }
  }

  const Millis window_;
  Folder folder_;
  boost::asio::io_context io_;
  FakeClock clock_;
  std::unique_ptr<Journal> journal_;
  std::mt19937_64 random_{7};  // NOLINT(cert-msc51-cpp): the same each time
  std::normal_distribution<double> walk_{0, 3};
  std::vector<Point> points_;
  std::multimap<std::int64_t, Due> due_;
  std::multimap<std::int64_t, int> alarms_;
  std::vector<Reading> batch_;
  MonoTime batch_since_{};
  MonoTime polled_{};
  std::optional<MonoTime> waiting_since_;
  bool urgent_ = false;
  std::uint64_t readings_ = 0;
  std::uint64_t commits_ = 0;
};

// A day takes a minute: each window is lived through once, whoever asks.
const VillageCost& village(Millis window) {
  static std::map<Millis, VillageCost> known;
  auto found = known.find(window);
  if (found == known.end()) found = known.emplace(window, Village{window}.run()).first;
  return found->second;
}

void at_rest(benchmark::State& state, Millis window) {
  const auto& cost = village(window);
  for (auto _ : state) benchmark::DoNotOptimize(cost.readings);
  state.counters["value"] = cost.bytes_a_reading;
}

void flash(benchmark::State& state, Millis window) {
  const auto& cost = village(window);
  if (!cost.metered) return state.SkipWithError("the kernel does not account for what is written here: not a disk?");
  for (auto _ : state) benchmark::DoNotOptimize(cost.readings);
  state.counters["value"] = cost.megabytes_a_day;
}

// ---- journal.alarm_p99 -----------------------------------------------------------------------------------------------

constexpr std::size_t kAlarms = 500;

double p99_ms(std::vector<double> ms) {
  std::sort(ms.begin(), ms.end());
  return ms.at(ms.size() * 99 / 100);
}

double ms_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

/// Thirty days of readings in a journal, then alarms, one after the other, beside readings and a query that never ends.
class Busy {
 public:
  Busy() {
    journal_ = Journal::open(io_, clock_, {.directory = folder_.path(), .window = Millis{10'000}, .machine_id = "m", .boot_id = "b"})
                   .value();
    batches_ = walks(64);
    constexpr int kBatches = 30 * 24 * 60;  // fifty points each minute
    for (int i = 0; i < kBatches; ++i) {
      append(Urgency::window);
      clock_.advance(Millis{60'000});
      if (i % 500 == 499) commit();
    }
    commit();
  }

  double run() {
    took_.clear();
    io_.restart();
    query();
    readings();
    alarm();
    io_.run();
    return p99_ms(std::exchange(took_, {}));
  }

 private:
  [[nodiscard]] bool done() const { return took_.size() >= kAlarms; }
  void append(Urgency urgency) {
    auto batch = batches_[next_++ % batches_.size()];
    for (auto& reading : batch) reading.at = clock_.mono();
    (void)journal_->append(Lane::tele, clock_.mono(), contract::encode_readings(batch, clock_.mono(), &journal_->names()), urgency);
  }
  void commit() {
    journal_->sync([](const Status&) {});
    io_.restart();
    io_.run();
  }
  void query() {
    if (done()) return;
    journal_->query([now = clock_.wall()](journal::Reader& reader) {
      (void)reader.readings("plc-0.level-0", now - std::chrono::days{30}, 100'000);
    }, [this](const Status&) { query(); });
  }
  // 5,000 a second: a batch of 50 each 10 ms, four of them a commit as at 200 readings.
  void readings() {
    if (done()) return;
    append(++ticks_ % 4 == 0 ? Urgency::now : Urgency::window);
    pace_.expires_at(pace_.expiry() + std::chrono::milliseconds{10});
    if (pace_.expiry() < std::chrono::steady_clock::now()) pace_.expires_after(std::chrono::milliseconds{10});
    pace_.async_wait([this](const boost::system::error_code&) { readings(); });
  }
  void alarm() {
    if (done()) return;
    const auto start = std::chrono::steady_clock::now();
    (void)journal_->append(Lane::alarm, clock_.mono(), {"alarmlog/high", R"({"alarm":"high"})"}, Urgency::now);
    journal_->sync([this, start](const Status&) {
      took_.push_back(ms_since(start));
      gap_.expires_after(std::chrono::milliseconds{7});
      gap_.async_wait([this](const boost::system::error_code&) { alarm(); });
    });
  }

  Folder folder_;
  boost::asio::io_context io_;
  FakeClock clock_;
  std::unique_ptr<Journal> journal_;
  boost::asio::steady_timer pace_{io_};
  boost::asio::steady_timer gap_{io_};
  std::vector<std::vector<Reading>> batches_;
  std::size_t next_ = 0;
  std::size_t ticks_ = 0;
  std::vector<double> took_;
};

void alarm_ours(benchmark::State& state) {
  static Busy busy;
  double value = 0;
  for (auto _ : state) value = busy.run();
  state.counters["value"] = value;
}

void alarm_bare(benchmark::State& state) {
  const Folder folder;
  const int fd = ::open((folder.path() / "raw").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  const std::string block(4'096, 'x');
  std::vector<double> took;
  for (auto _ : state) {
    for (std::size_t i = 0; i < kAlarms; ++i) {
      const auto start = std::chrono::steady_clock::now();
      if (::write(fd, block.data(), block.size()) < 0 || ::fdatasync(fd) != 0) return state.SkipWithError("write failed");
      took.push_back(ms_since(start));
      ::usleep(7'000);
    }
  }
  ::close(fd);
  state.counters["value"] = p99_ms(std::move(took));
}

// ---- journal.rss, .growth_*, .start ------------------------------------------------------------------------------------

constexpr std::uint64_t kSmall = 10'000;
std::uint64_t large() { return static_cast<std::uint64_t>(setting("HAMLET_BENCH_RECORDS", 1'000'000)); }

/// A journal that is at rest, made once for all who ask.
class Stored {
 public:
  /// So many batches, of five readings each.
  explicit Stored(std::uint64_t records) {
    Work work{folder_.path()};
    for (std::uint64_t i = 0; i < records; ++i) {
      work.append();
      if (i % 10'000 == 9'999) work.commit();
    }
    work.commit();
  }
  [[nodiscard]] const std::filesystem::path& path() const { return folder_.path(); }

  static const Stored& of(std::uint64_t records) {
    static std::map<std::uint64_t, std::unique_ptr<Stored>> all;
    auto& stored = all[records];
    if (!stored) stored = std::make_unique<Stored>(records);
    return *stored;
  }

  /// A journal being worked with.
  struct Work {
    boost::asio::io_context io;
    FakeClock clock;
    std::unique_ptr<Journal> journal;
    std::vector<std::vector<Reading>> batches = walks(32);
    std::size_t next = 0;

    explicit Work(const std::filesystem::path& path) {
      journal = Journal::open(io, clock, {.directory = path, .window = Millis{300'000}, .machine_id = "m", .boot_id = "b", .quota_bytes = 1ULL << 40}).value();
      for (auto& batch : batches) batch.resize(5);
    }
    void append() {
      auto& batch = batches[next++ % batches.size()];
      for (auto& reading : batch) reading.at = clock.mono();
      clock.advance(Millis{1'000});
      (void)journal->append(Lane::tele, clock.mono(), contract::encode_readings(batch, clock.mono(), &journal->names()), Urgency::window)
          .value();
    }
    void commit() {
      journal->sync([](const Status&) {});
      journal->tend();
      io.restart();
      io.run();
    }
    // The oldest of what is stored, as an uplink that comes back.
    std::size_t drain(std::size_t records) {
      std::size_t got = 0;
      std::uint64_t from = 1;
      std::function<void()> more = [&] {
        journal->read(Lane::tele, from, kReadRecords, kReadBytes, [&](const auto& found) {
          if (!found || found->empty()) return;
          got += found->size();
          from = found->back().seq + 1;
          if (got < records) more();
        });
      };
      more();
      io.restart();
      io.run();
      return got;
    }
  };

 private:
  Folder folder_;
};

void growth_append(benchmark::State& state, std::uint64_t records) {
  Stored::Work work{Stored::of(records).path()};
  for (auto _ : state) {
    for (int i = 0; i < 1'000; ++i) work.append();
    work.commit();
  }
  state.SetItemsProcessed(state.iterations() * 1'000);
}

void growth_drain(benchmark::State& state, std::uint64_t records) {
  Stored::Work work{Stored::of(records).path()};
  for (auto _ : state) {
    if (work.drain(kSmall) < kSmall) return state.SkipWithError("the backlog was not drained");
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kSmall));
}

void growth_start(benchmark::State& state, std::uint64_t records) {
  const auto& path = Stored::of(records).path();
  double took = 0;
  for (auto _ : state) {
    const auto start = std::chrono::steady_clock::now();
    Stored::Work work{path};
    took += ms_since(start);
  }
  state.counters["value"] = took / static_cast<double>(state.iterations());
}

// Bytes of this process, and at most since the last call of reset_peak().
std::uint64_t resident(const char* field) {
  std::ifstream file{"/proc/self/status"};
  for (std::string word; file >> word;) {
    if (word != field) continue;
    std::uint64_t kilobytes = 0;
    file >> kilobytes;
    return kilobytes << 10;
  }
  return 0;
}

// In a process of its own that has given back what it could: its peak while it opens, fills, reads, queries and tends.
double rss_megabytes(const std::filesystem::path& path) {
  std::array<int, 2> pipe{};
  if (::pipe(pipe.data()) != 0) return NAN;
  const pid_t child = ::fork();
  if (child == 0) {
    ::malloc_trim(0);
    std::ofstream{"/proc/self/clear_refs"} << "5";
    const auto before = resident("VmRSS:");
    {
      Stored::Work work{path};
      for (int round = 0; round < 20; ++round) {
        for (int i = 0; i < 200; ++i) work.append();
        work.commit();
        (void)work.drain(2'000);
        work.journal->query([&work](journal::Reader& reader) {
          (void)reader.readings("plc-0.level-0", work.clock.wall() - std::chrono::hours{1}, 100);
        }, [](const Status&) {});
        work.io.restart();
        work.io.run();
      }
    }
    const double grown = static_cast<double>(resident("VmHWM:") - std::min(before, resident("VmHWM:"))) / 1e6;
    const auto wrote = ::write(pipe[1], &grown, sizeof grown);
    ::_exit(wrote == sizeof grown ? 0 : 1);
  }
  ::close(pipe[1]);
  double grown = NAN;
  if (::read(pipe[0], &grown, sizeof grown) != sizeof grown) grown = NAN;
  ::close(pipe[0]);
  ::waitpid(child, nullptr, 0);
  return grown;
}

void rss(benchmark::State& state, std::uint64_t records) {
  double value = NAN;
  const auto& path = Stored::of(records).path();
  for (auto _ : state) value = rss_megabytes(path);
  if (std::isnan(value)) return state.SkipWithError("the child failed");
  state.counters["value"] = value;
}

// From nothing to a journal that takes records, of a file of many gigabytes: pages of events that do not pack.
void start_large(benchmark::State& state) {
  static std::unique_ptr<Folder> folder;
  if (!folder) {
    folder = std::make_unique<Folder>();
    std::mt19937_64 random{3};  // NOLINT(cert-msc51-cpp): the same each time
    Stored::Work work{folder->path()};
    const auto wanted = static_cast<std::uint64_t>(setting("HAMLET_BENCH_GB", 0.25) * 1e9);
    constexpr std::size_t kEvent = 60'000;
    std::string noise(kEvent, '\0');
    for (std::uint64_t bytes = 0; bytes < wanted; bytes += kEvent) {
      for (std::size_t i = 0; i < kEvent; i += 8) std::memcpy(&noise[i], std::array{random()}.data(), 8);
      (void)work.journal->append(Lane::event, work.clock.mono(), {"event/a/b", noise}, Urgency::window).value();
      if (bytes / kEvent % 100 == 99) work.commit();
    }
    work.commit();
  }
  double value = 0;
  for (auto _ : state) {
    const auto start = std::chrono::steady_clock::now();
    Stored::Work work{folder->path()};
    value = ms_since(start) / 1'000;
  }
  state.counters["value"] = value;
}

}  // namespace

void register_figures() {
  add({.name = "journal.append",
       .unit = "readings/s",
       .ours = append_ours,
       .versus = "bare SQLite, same bytes",
       .theirs = append_bare});
  add({.name = "journal.commit_1",
       .unit = "commits/s",
       .ours = [](benchmark::State& state) { commit_ours(state, 1); },
       .versus = "fdatasync of 8 KiB",
       .theirs = commit_raw});
  add({.name = "journal.commit_100",
       .unit = "commits/s",
       .ours = [](benchmark::State& state) { commit_ours(state, 100); },
       .versus = "fdatasync of 8 KiB",
       .theirs = commit_raw});
  add({.name = "journal.drain",
       .unit = "records/s",
       .ours = drain_ours,
       .versus = "bare SELECT",
       .theirs = drain_bare});
  for (const auto window : {10, 60}) {
    const Millis ms{window * 1'000};
    add({.name = fmt::format("journal.at_rest_{}s", window),
         .unit = "bytes a reading",
         .ours = [ms](benchmark::State& state) { at_rest(state, ms); },
         .iterations = 1});
    add({.name = fmt::format("journal.flash_{}s", window),
         .unit = "MB a day",
         .ours = [ms](benchmark::State& state) { flash(state, ms); },
         .iterations = 1});
  }
  add({.name = "journal.alarm_p99",
       .unit = "ms",
       .ours = alarm_ours,
       .versus = "4 KiB append + fdatasync",
       .theirs = alarm_bare,
       .iterations = 1});
  const auto compared = [](const char* name, const char* unit, void (*run)(benchmark::State&, std::uint64_t), std::int64_t iterations) {
    add({.name = name,
         .unit = unit,
         .ours = [run](benchmark::State& state) { run(state, large()); },
         .versus = "with 10^4 records",
         .theirs = [run](benchmark::State& state) { run(state, kSmall); },
         .iterations = iterations});
  };
  compared("journal.rss", "MB", rss, 1);
  compared("journal.growth_append", "records/s", growth_append, 0);
  compared("journal.growth_drain", "records/s", growth_drain, 0);
  compared("journal.growth_start", "ms", growth_start, 5);
  add({.name = "journal.start", .unit = "s", .ours = start_large, .iterations = 1});
}

}  // namespace hamlet::bench::journal_suite
