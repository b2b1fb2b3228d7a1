#include "sync/journal/store.hpp"

#include <cerrno>
#include <charconv>
#include <cstring>
#include <limits>
#include <system_error>

#include <SQLiteCpp/Database.h>
#include <SQLiteCpp/Exception.h>
#include <SQLiteCpp/Statement.h>
#include <SQLiteCpp/Transaction.h>
#include <boost/crc.hpp>
#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sync/journal/schema_sql.hpp"

namespace hamlet::journal {
namespace {

// Step n brings a file from schema n to n + 1, in one transaction with its user_version. Steps are never changed once
// released.
constexpr std::array<const char*, 1> kMigrations{kSchemaSql};
constexpr int kSchemaVersion = static_cast<int>(kMigrations.size());

// Appending rewrites a lane's last page at every commit, so a checkpoint that comes seldom saves flash, and one that
// never comes costs disk and start-up time: 8 MB, twice that kept preallocated.
constexpr int kPageBytes = 4'096;
constexpr int kCheckpointPages = 2'000;
constexpr int kWalKeptBytes = 2 * kCheckpointPages * kPageBytes;
constexpr int kBusyMs = 1'000;

Errc errc_of(int sqlite_code) {
  switch (sqlite_code & 0xFF) {
    case SQLITE_FULL:
      return Errc::full;
    case SQLITE_ERROR:  // our SQL is fixed: where it does not fit, the file is not what it says
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return Errc::corrupt;
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_AUTH:
      return Errc::denied;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return Errc::unavailable;
    case SQLITE_INTERRUPT:
      return Errc::cancelled;
    default:
      return Errc::failed;
  }
}

Error error_of(const SQLite::Exception& e) {
  return {errc_of(e.getErrorCode()), e.what()};
}

// Runs `work` and turns what SQLiteCpp throws into an Error.
template <class Work>
auto guarded(Work work) -> Result<decltype(work())> {
  try {
    if constexpr (std::is_void_v<decltype(work())>) {
      work();
      return {};
    } else {
      return work();
    }
  } catch (const SQLite::Exception& e) {
    return fail(error_of(e));
  }
}

std::string_view text_of(const SQLite::Column& column) {
  const auto* bytes = static_cast<const char*>(column.getBlob());
  return bytes == nullptr ? std::string_view{} : std::string_view{bytes, static_cast<std::size_t>(column.getBytes())};
}

// Without a copy: the text outlives the statement's run.
void bind_text(SQLite::Statement& statement, int index, const std::string& text) {
  statement.bindNoCopy(index, text);
}

std::int64_t as_signed(std::uint64_t number) {
  return static_cast<std::int64_t>(number);
}
std::uint64_t as_unsigned(std::int64_t number) {
  return number < 0 ? 0 : static_cast<std::uint64_t>(number);
}

// Texts go with their lengths, so that no two records have the same bytes. Little-endian, as all our machines are.
std::int32_t checksum(const Record& record, std::string_view epoch) {
  boost::crc_32_type crc;
  const auto add = [&crc](const auto& number) { crc.process_bytes(&number, sizeof number); };
  const auto add_text = [&](std::string_view text) {
    add(static_cast<std::uint64_t>(text.size()));
    crc.process_bytes(text.data(), text.size());
  };
  add_text(epoch);
  add(record.lane);
  add(record.seq);
  add(record.at.boot);
  add(to_ms(record.at.mono));
  add(record.rev);
  add_text(record.body.topic);
  add_text(record.body.bytes);
  return static_cast<std::int32_t>(crc.checksum());
}

std::string write_ranges(const std::vector<Position::Span>& ranges) {
  std::string text;
  for (const auto& [from, to] : ranges) text += fmt::format("{}{}-{}", text.empty() ? "" : ",", from, to);
  return text;
}

// Ranges that are not in order are left out: the uplink then sends again, with the same identity.
std::vector<Position::Span> read_ranges(std::string_view text, std::uint64_t prefix) {
  std::vector<Position::Span> ranges;
  const char* at = text.data();
  const char* const end = text.data() + text.size();
  while (at < end && ranges.size() < Position::kMaxRanges) {
    Position::Span span;
    const auto [dash, bad_from] = std::from_chars(at, end, span.from);
    if (bad_from != std::errc{} || dash == end || *dash != '-') break;
    const auto [comma, bad_to] = std::from_chars(dash + 1, end, span.to);
    const auto before = ranges.empty() ? prefix : ranges.back().to;
    if (bad_to != std::errc{} || span.from <= before + 1 || span.to < span.from) break;
    ranges.push_back(span);
    at = comma == end ? end : comma + 1;
  }
  return ranges;
}

// The file exists with its mode before SQLite opens it; -wal and -shm take theirs from it.
Status create_file(const std::filesystem::path& file) {
  const int fd = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
  if (fd < 0) {
    const auto why = errno == EACCES || errno == EROFS || errno == EPERM ? Errc::denied
                     : errno == ENOSPC                                   ? Errc::full
                                                                         : Errc::failed;
    return fail(why, fmt::format("{}: {}", file.string(), std::generic_category().message(errno)));
  }
  struct stat info {};
  const bool is_ours = ::fstat(fd, &info) == 0 && info.st_uid == ::geteuid();
  if (is_ours && (info.st_mode & 0777) != 0640) (void)::fchmod(fd, 0640);
  ::close(fd);
  return {};
}

std::string group_of(const std::filesystem::path& file) {
  struct stat info {};
  if (::stat(file.c_str(), &info) != 0) return "hamlet";
  const auto* group = ::getgrgid(info.st_gid);  // NOLINT(concurrency-mt-unsafe): one thread opens
  return group == nullptr ? fmt::format("{}", info.st_gid) : group->gr_name;
}

}  // namespace

struct Store::Impl {
  Impl(const std::filesystem::path& path, int flags) : db{path.string(), flags, kBusyMs} {
    // -wal and -shm stay when the last connection closes: who may only read could not make them.
    int persist = 1;
    sqlite3_file_control(db.getHandle(), "main", SQLITE_FCNTL_PERSIST_WAL, &persist);
  }

  // Prepared once, by its text.
  SQLite::Statement& prepare(const std::string& sql) {
    auto found = statements.find(sql);
    if (found == statements.end()) found = statements.emplace(sql, SQLite::Statement{db, sql}).first;
    found->second.tryReset();  // says how the last run went, which was dealt with then
    return found->second;
  }

  void migrate();
  void insert(const Record& record, std::string_view epoch);
  void put(const std::pair<const std::string, std::optional<std::string>>& state);
  void put(const std::pair<const std::pair<std::string, Lane>, Position>& position);
  void put(const Stretch& stretch);

  SQLite::Database db;
  std::map<std::string, SQLite::Statement> statements;
  int wal_pages = 0;
};

// Ends a statement's run at the end of a scope: an open read would hold its snapshot, and the WAL with it.
class Running {
 public:
  explicit Running(SQLite::Statement& statement) : statement_{statement} {}
  ~Running() { statement_.tryReset(); }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;
  SQLite::Statement* operator->() { return &statement_; }
  SQLite::Statement& operator*() { return statement_; }

 private:
  SQLite::Statement& statement_;
};

void Store::Impl::migrate() {
  const int version = db.execAndGet("PRAGMA user_version").getInt();
  if (version > kSchemaVersion) {
    throw SQLite::Exception(fmt::format("schema {} is newer than this program's {}", version, kSchemaVersion),
                            SQLITE_NOTADB);
  }
  for (int step = version; step < kSchemaVersion; ++step) {
    SQLite::Transaction transaction{db, SQLite::TransactionBehavior::IMMEDIATE};
    db.exec(kMigrations.at(static_cast<std::size_t>(step)));
    db.exec(fmt::format("PRAGMA user_version = {}", step + 1));
    transaction.commit();
  }
}

void Store::Impl::insert(const Record& record, std::string_view epoch) {
  auto& statement =
      prepare(fmt::format("INSERT INTO {} (seq, boot, mono, rev, topic, body, crc) VALUES (?,?,?,?,?,?,?)",
                          contract::to_string(record.lane)));
  statement.bind(1, as_signed(record.seq));
  statement.bind(2, record.at.boot);
  statement.bind(3, static_cast<std::int64_t>(to_ms(record.at.mono)));
  statement.bind(4, as_signed(record.rev));
  if (record.lane == Lane::tele) {
    statement.bind(5);
  } else {
    bind_text(statement, 5, record.body.topic);
  }
  bind_text(statement, 6, record.body.bytes);
  statement.bind(7, checksum(record, epoch));
  statement.exec();
}

void Store::Impl::put(const std::pair<const std::string, std::optional<std::string>>& state) {
  const auto& [key, value] = state;
  auto& statement = value ? prepare("INSERT OR REPLACE INTO state (key, value) VALUES (?,?)")
                          : prepare("DELETE FROM state WHERE key = ?");
  bind_text(statement, 1, key);
  if (value) bind_text(statement, 2, *value);
  statement.exec();
}

void Store::Impl::put(const std::pair<const std::pair<std::string, Lane>, Position>& position) {
  auto& statement = prepare("INSERT OR REPLACE INTO position (uplink, lane, prefix, beyond) VALUES (?,?,?,?)");
  const auto ranges = write_ranges(position.second.beyond);
  bind_text(statement, 1, position.first.first);
  statement.bind(2, static_cast<int>(position.first.second));
  statement.bind(3, as_signed(position.second.prefix));
  bind_text(statement, 4, ranges);
  statement.exec();
}

void Store::Impl::put(const Stretch& stretch) {
  auto& statement =
      prepare("INSERT OR REPLACE INTO boots (boot, from_mono, boot_id, offset, quality, error) VALUES (?,?,?,?,?,?)");
  statement.bind(1, stretch.boot);
  statement.bind(2, static_cast<std::int64_t>(to_ms(stretch.from)));
  bind_text(statement, 3, stretch.boot_id);
  statement.bind(4, static_cast<std::int64_t>(stretch.offset.count()));
  statement.bind(5, static_cast<int>(stretch.quality));
  if (stretch.error) {
    statement.bind(6, static_cast<std::int64_t>(stretch.error->count()));
  } else {
    statement.bind(6);
  }
  statement.exec();
}

Store::Store(std::unique_ptr<Impl> impl) : impl_{std::move(impl)} {}
Store::~Store() = default;

Result<std::unique_ptr<Store>> Store::open_writing(const std::filesystem::path& file) {
  if (auto status = create_file(file); !status) return fail(std::move(status).error());
  return guarded([&] {
    auto impl = std::make_unique<Impl>(file, SQLite::OPEN_READWRITE);
    auto& db = impl->db;
    db.exec(fmt::format("PRAGMA page_size = {}", kPageBytes));
    db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL");
    db.exec(fmt::format("PRAGMA journal_size_limit = {}", kWalKeptBytes));
    db.exec("PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -1024");
    impl->migrate();
    // Counts the pages in the WAL, for checkpoint_if_due().
    sqlite3_wal_hook(
        db.getHandle(),
        [](void* pages, sqlite3*, const char*, int count) {
          *static_cast<int*>(pages) = count;
          return SQLITE_OK;
        },
        &impl->wal_pages);
    return std::unique_ptr<Store>{new Store{std::move(impl)}};
  });
}

Result<std::unique_ptr<Store>> Store::open_reading(const std::filesystem::path& file) {
  std::error_code error;
  if (!std::filesystem::exists(file, error)) {
    if (error == std::errc::permission_denied) {
      return fail(Errc::denied, fmt::format("{}: not permitted; members of the group '{}' may read it", file.string(),
                                            group_of(file.parent_path())));
    }
    return fail(Errc::not_found, fmt::format("{}: there is no journal", file.string()));
  }
  if (::access(file.c_str(), R_OK) != 0) {
    return fail(Errc::denied,
                fmt::format("{}: not permitted; members of the group '{}' may read it", file.string(), group_of(file)));
  }
  auto store = guarded([&] {
    auto impl = std::make_unique<Impl>(file, SQLite::OPEN_READONLY);
    const int version = impl->db.execAndGet("PRAGMA user_version").getInt();
    if (version != kSchemaVersion) {
      throw SQLite::Exception(fmt::format("schema {} is not this program's {}", version, kSchemaVersion),
                              SQLITE_NOTADB);
    }
    return std::unique_ptr<Store>{new Store{std::move(impl)}};
  });
  if (!store) return fail(std::move(store).error().in(file.string()));
  return store;
}

Status Store::commit(const Changes& changes, std::string_view epoch) {
  return guarded([&] {
    SQLite::Transaction transaction{impl_->db, SQLite::TransactionBehavior::IMMEDIATE};
    for (const auto& change : changes.records) impl_->insert(change.record, epoch);
    for (const auto& state : changes.states) impl_->put(state);
    for (const auto& position : changes.positions) impl_->put(position);
    for (const auto& stretch : changes.boots) impl_->put(stretch);
    transaction.commit();
  });
}

Status Store::checkpoint_if_due() {
  if (impl_->wal_pages < kCheckpointPages) return {};
  const int code =
      sqlite3_wal_checkpoint_v2(impl_->db.getHandle(), "main", SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
  if (code != SQLITE_OK && code != SQLITE_BUSY) return fail(errc_of(code), sqlite3_errmsg(impl_->db.getHandle()));
  impl_->wal_pages = 0;  // the next commit counts again
  return {};
}

Result<std::vector<Record>> Store::records(Lane lane, std::uint64_t from, std::uint64_t to, std::size_t max_records,
                                           std::size_t max_bytes, std::string_view epoch) {
  std::vector<Record> out;
  std::size_t bytes = 0;
  std::uint64_t damaged = 0;
  auto status = guarded([&] {
    Running rows{impl_->prepare(
        fmt::format("SELECT seq, boot, mono, rev, topic, body, crc FROM {} WHERE seq BETWEEN ? AND ? ORDER BY seq",
                    contract::to_string(lane)))};
    constexpr auto kLargest = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    rows->bind(1, as_signed(std::min(from, kLargest)));
    rows->bind(2, as_signed(std::min(to, kLargest)));
    while (out.size() < max_records && (out.empty() || bytes < max_bytes) && rows->executeStep()) {
      Record record;
      record.lane = lane;
      record.seq = as_unsigned(rows->getColumn(0).getInt64());
      record.at = {static_cast<std::uint32_t>(rows->getColumn(1).getInt64()),
                   mono_from_ms(rows->getColumn(2).getInt64())};
      record.rev = as_unsigned(rows->getColumn(3).getInt64());
      record.body.topic = lane == Lane::tele ? "tele" : text_of(rows->getColumn(4));
      record.body.bytes = text_of(rows->getColumn(5));
      if (rows->getColumn(6).getInt() != checksum(record, epoch)) {
        damaged = record.seq;
        return;
      }
      bytes += record.body.bytes.size();
      out.push_back(std::move(record));
    }
  });
  if (!status) return fail(std::move(status).error());
  if (out.empty() && damaged != 0) {
    return fail(Errc::corrupt, fmt::format("journal: record {} of the lane {} fails its checksum", damaged,
                                           contract::to_string(lane)));
  }
  return out;
}

Result<std::optional<std::pair<std::uint64_t, Moment>>> Store::first_from(Lane lane, std::uint64_t from) {
  return guarded([&]() -> std::optional<std::pair<std::uint64_t, Moment>> {
    Running rows{impl_->prepare(
        fmt::format("SELECT seq, boot, mono FROM {} WHERE seq >= ? ORDER BY seq LIMIT 1", contract::to_string(lane)))};
    rows->bind(1, as_signed(from));
    if (!rows->executeStep()) return {};
    return std::pair{
        as_unsigned(rows->getColumn(0).getInt64()),
        Moment{static_cast<std::uint32_t>(rows->getColumn(1).getInt64()), mono_from_ms(rows->getColumn(2).getInt64())}};
  });
}

Result<LaneNumbers> Store::numbers(Lane lane) {
  const auto name = contract::to_string(lane);
  const auto high = meta(fmt::format("high/{}", name));
  if (!high) return fail(high.error());
  const auto uplinks = positions();
  if (!uplinks) return fail(uplinks.error());
  auto stored = guarded([&] {
    Running rows{impl_->prepare(fmt::format("SELECT (SELECT min(seq) FROM {0}), (SELECT max(seq) FROM {0})", name))};
    rows->executeStep();
    return LaneNumbers{as_unsigned(rows->getColumn(0).getInt64()), as_unsigned(rows->getColumn(1).getInt64())};
  });
  if (!stored) return stored;

  const auto raise = [&stored](std::uint64_t used) { stored->last = std::max(stored->last, used); };
  if (const auto& mark = *high) {
    std::uint64_t used = 0;
    std::from_chars(mark->data(), mark->data() + mark->size(), used);
    raise(used);
  }
  for (const auto& [key, position] : *uplinks) {
    if (key.second != lane) continue;
    raise(position.prefix);
    if (!position.beyond.empty()) raise(position.beyond.back().to);
  }
  return stored;
}

Result<std::optional<std::string>> Store::meta(std::string_view key) {
  return guarded([&]() -> std::optional<std::string> {
    Running rows{impl_->prepare("SELECT value FROM meta WHERE key = ?")};
    rows->bind(1, std::string{key});
    if (!rows->executeStep()) return {};
    return std::string{text_of(rows->getColumn(0))};
  });
}

Status Store::put_meta(std::string_view key, std::string_view value) {
  return guarded([&] {
    auto& statement = impl_->prepare("INSERT OR REPLACE INTO meta (key, value) VALUES (?,?)");
    statement.bind(1, std::string{key});
    statement.bind(2, std::string{value});
    statement.exec();
  });
}

Result<KeyValues> Store::states(std::string_view prefix) {
  return guarded([&] {
    KeyValues out;
    Running rows{impl_->prepare("SELECT key, value FROM state WHERE key >= ? ORDER BY key")};
    rows->bind(1, std::string{prefix});
    while (rows->executeStep()) {
      const auto key = text_of(rows->getColumn(0));
      if (!key.starts_with(prefix)) break;
      out.emplace_back(key, text_of(rows->getColumn(1)));
    }
    return out;
  });
}

Result<Positions> Store::positions() {
  return guarded([&] {
    Positions out;
    Running rows{impl_->prepare("SELECT uplink, lane, prefix, beyond FROM position")};
    while (rows->executeStep()) {
      const auto lane = rows->getColumn(1).getInt();
      if (lane < 0 || static_cast<std::size_t>(lane) >= kLaneCount) continue;
      Position position{.prefix = as_unsigned(rows->getColumn(2).getInt64()), .beyond = {}};
      position.beyond = read_ranges(text_of(rows->getColumn(3)), position.prefix);
      out[{std::string{text_of(rows->getColumn(0))}, static_cast<Lane>(lane)}] = std::move(position);
    }
    return out;
  });
}

Result<std::vector<Stretch>> Store::boots() {
  return guarded([&] {
    std::vector<Stretch> out;
    Running rows{impl_->prepare("SELECT boot, from_mono, boot_id, offset, quality, error FROM boots")};
    while (rows->executeStep()) {
      const auto quality = rows->getColumn(4).getInt();
      Stretch stretch;
      stretch.boot = static_cast<std::uint32_t>(rows->getColumn(0).getInt64());
      stretch.from = mono_from_ms(rows->getColumn(1).getInt64());
      stretch.boot_id = text_of(rows->getColumn(2));
      stretch.offset = Millis{rows->getColumn(3).getInt64()};
      stretch.quality = quality >= 0 && quality <= 3 ? static_cast<TimeQuality>(quality) : TimeQuality::unsynced;
      if (!rows->getColumn(5).isNull()) stretch.error = Millis{rows->getColumn(5).getInt64()};
      out.push_back(std::move(stretch));
    }
    return out;
  });
}

void Store::interrupt() {
  sqlite3_interrupt(impl_->db.getHandle());
}

std::uint64_t count_unsent(const Positions& positions, Lane lane, LaneNumbers numbers) {
  if (numbers.first == 0) return 0;
  std::uint64_t most = 0;
  bool known = false;
  for (const auto& [key, position] : positions) {
    if (key.second != lane) continue;
    known = true;
    std::uint64_t count = 0;
    for (const auto& [from, to] : position.pending(numbers.last)) {
      if (to >= numbers.first) count += to - std::max(from, numbers.first) + 1;
    }
    most = std::max(most, count);
  }
  return known ? most : numbers.last - numbers.first + 1;
}

std::uint64_t file_bytes(const std::filesystem::path& directory) {
  std::uint64_t bytes = 0;
  for (const auto* suffix : {"", "-wal"}) {
    std::error_code error;
    const auto size = std::filesystem::file_size((directory / kFileName).concat(suffix), error);
    if (!error) bytes += size;
  }
  return bytes;
}

}  // namespace hamlet::journal
