#include "sync/journal/store.hpp"

#include <cerrno>
#include <charconv>
#include <cstring>
#include <limits>
#include <system_error>

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sync/journal/crc.hpp"
#include "sync/journal/sql.hpp"

namespace hamlet::journal {

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

namespace {

constexpr int kBusyMs = 1'000;

// Without a copy: the text outlives the statement's run.
void bind_text(SQLite::Statement& statement, int index, const std::string& text) {
  statement.bindNoCopy(index, text);
}

std::int32_t crc_of_row(const EpochRow& row) {
  return crc_of(row.generation, row.id, row.reason, row.used[0], row.used[1], row.used[2], row.used[3]);
}
std::int32_t crc_of_row(const std::string& uplink, std::uint32_t generation, Lane lane, std::uint64_t prefix,
                        const std::string& beyond, std::uint64_t stored) {
  return crc_of(uplink, generation, lane, prefix, beyond, stored);
}
std::int32_t crc_of_row(const Stretch& row) {
  return crc_of(row.boot, to_ms(row.from), row.boot_id, row.offset.count(), static_cast<int>(row.quality),
                row.error ? row.error->count() : -1, row.until ? to_ms(*row.until) : -1);
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

bool Changes::empty() const {
  return epochs.empty() && records.empty() && trims.empty() && states.empty() && positions.empty() &&
         dropped_uplinks.empty() && boots.empty() && names.empty() && meta.empty() && pictures.empty();
}

void Changes::merge(Changes later) {
  const auto append = [](auto& to, auto& from) {
    to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
  };
  const auto overwrite = [](auto& to, auto& from) {
    from.merge(to);  // what both have stays as `from` has it
    to = std::move(from);
  };
  append(epochs, later.epochs);
  append(records, later.records);
  append(trims, later.trims);
  overwrite(states, later.states);
  overwrite(positions, later.positions);
  append(dropped_uplinks, later.dropped_uplinks);
  append(boots, later.boots);
  append(names, later.names);
  overwrite(meta, later.meta);
  append(pictures, later.pictures);
}

struct Store::Impl {
  Impl(const std::filesystem::path& path, int flags) : db{path.string(), flags, kBusyMs} {
    // -wal and -shm stay when the last connection closes: who may only read could not make them.
    int persist = 1;
    sqlite3_file_control(db.getHandle(), "main", SQLITE_FCNTL_PERSIST_WAL, &persist);
    db.exec("PRAGMA cache_size = -1024");
  }

  // Prepared once, by its text.
  SQLite::Statement& prepare(const std::string& sql) {
    auto found = statements.find(sql);
    if (found == statements.end()) found = statements.emplace(sql, SQLite::Statement{db, sql}).first;
    found->second.tryReset();  // says how the last run went, which was dealt with then
    return found->second;
  }

  void insert(Lane lane, std::vector<const Record*> records);
  void put(const EpochRow& row);
  void put(const std::pair<const std::string, std::optional<std::string>>& pair, const char* table);
  void put(const Positions::value_type& position);
  void put(const Stretch& stretch);
  void put(const std::pair<contract::Names::Id, std::string>& name);
  void trim(const Trim& trim);
  void allocate_wal();
  std::vector<EpochRow> read_epochs();
  // Empty where the epoch is not known: no checksum of its records holds.
  const std::string& epoch_id(std::uint32_t generation);
  Block block_of(SQLite::Statement& row);

  SQLite::Database db;
  std::map<std::string, SQLite::Statement> statements;
  std::map<std::uint32_t, std::string> epoch_ids;
  Blocks blocks;
  int wal_pages = 0;
  std::uint64_t passed_over = 0;
};

void insert_block(SQLite::Statement& insert, const Block& block) {
  insert.tryReset();
  insert.bind(1, as_signed(block.key));
  insert.bind(2, block.count);
  insert.bind(3, block.at.boot);
  insert.bind(4, static_cast<std::int64_t>(to_ms(block.at.mono)));
  insert.bind(5, static_cast<int>(block.packing));
  insert.bindNoCopy(6, static_cast<const void*>(block.data.data()), static_cast<int>(block.data.size()));
  insert.bind(7, block.crc);
  insert.exec();
}

void Store::Impl::insert(Lane lane, std::vector<const Record*> records) {
  auto& statement = prepare(fmt::format("INSERT INTO {} VALUES (?,?,?,?,?,?,?)", contract::to_string(lane)));
  for (std::span<const Record* const> left{records}; !left.empty();) {
    const auto count = Blocks::fitting(left);
    insert_block(statement, blocks.pack(left.first(count), epoch_id(left.front()->generation)));
    left = left.subspan(count);
  }
}

void Store::Impl::put(const EpochRow& row) {
  auto& statement = prepare("INSERT OR REPLACE INTO epoch VALUES (?,?,?,?,?,?,?,?)");
  statement.bind(1, row.generation);
  bind_text(statement, 2, row.id);
  bind_text(statement, 3, row.reason);
  for (int i = 0; i < static_cast<int>(kLaneCount); ++i)
    statement.bind(4 + i, as_signed(row.used.at(static_cast<std::size_t>(i))));
  statement.bind(8, crc_of_row(row));
  statement.exec();
  epoch_ids[row.generation] = row.id;
}

void Store::Impl::put(const std::pair<const std::string, std::optional<std::string>>& pair, const char* table) {
  const auto& [key, value] = pair;
  const bool checked = std::string_view{table} == "state";
  auto& statement =
      value ? prepare(fmt::format("INSERT OR REPLACE INTO {} VALUES (?,?{})", table, checked ? ",?" : ""))
            : prepare(fmt::format("DELETE FROM {} WHERE key = ?", table));
  bind_text(statement, 1, key);
  if (value) bind_text(statement, 2, *value);
  if (value && checked) statement.bind(3, crc_of(key, *value));
  statement.exec();
}

void Store::Impl::put(const Positions::value_type& position) {
  const auto& [uplink, generation, lane] = position.first;
  auto& statement = prepare("INSERT OR REPLACE INTO position VALUES (?,?,?,?,?,?,?)");
  const auto ranges = write_ranges(position.second.beyond);
  bind_text(statement, 1, uplink);
  statement.bind(2, generation);
  statement.bind(3, static_cast<int>(lane));
  statement.bind(4, as_signed(position.second.prefix));
  bind_text(statement, 5, ranges);
  statement.bind(6, as_signed(position.second.stored));
  statement.bind(7, crc_of_row(uplink, generation, lane, position.second.prefix, ranges, position.second.stored));
  statement.exec();
}

void Store::Impl::put(const Stretch& stretch) {
  auto& statement = prepare("INSERT OR REPLACE INTO boots VALUES (?,?,?,?,?,?,?,?)");
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
  if (stretch.until) {
    statement.bind(7, static_cast<std::int64_t>(to_ms(*stretch.until)));
  } else {
    statement.bind(7);
  }
  statement.bind(8, crc_of_row(stretch));
  statement.exec();
}

void Store::Impl::put(const std::pair<contract::Names::Id, std::string>& name) {
  auto& statement = prepare("INSERT OR REPLACE INTO name VALUES (?,?,?)");
  statement.bind(1, name.first);
  bind_text(statement, 2, name.second);
  statement.bind(3, crc_of(name.first, name.second));
  statement.exec();
}

void Store::Impl::trim(const Trim& trim) {
  auto& statement = prepare(fmt::format("DELETE FROM {} WHERE key BETWEEN ? AND ?", contract::to_string(trim.lane)));
  statement.bind(1, as_signed(trim.from));
  statement.bind(2, as_signed(trim.to));
  statement.exec();
  if (!trim.used) return;
  const auto generation = generation_of(trim.to);
  for (auto& row : read_epochs()) {
    auto& used = row.used.at(index(trim.lane));
    if (row.generation != generation || used >= seq_of(trim.to)) continue;
    used = seq_of(trim.to);
    put(row);
  }
}

std::vector<EpochRow> Store::Impl::read_epochs() {
  std::vector<EpochRow> out;
  Running rows{prepare("SELECT generation, id, reason, alarm, event, tele, media, crc FROM epoch ORDER BY generation")};
  while (rows->executeStep()) {
    EpochRow row{static_cast<std::uint32_t>(rows->getColumn(0).getInt64()), std::string{text_of(rows->getColumn(1))},
                 std::string{text_of(rows->getColumn(2))}, {}};
    for (int i = 0; i < static_cast<int>(kLaneCount); ++i)
      row.used.at(static_cast<std::size_t>(i)) = as_unsigned(rows->getColumn(3 + i).getInt64());
    if (rows->getColumn(7).getInt() == crc_of_row(row) && row.generation <= kMaxGeneration) {
      out.push_back(std::move(row));
    } else {
      ++passed_over;
    }
  }
  return out;
}

// A reader finds epochs that began after it was opened.
const std::string& Store::Impl::epoch_id(std::uint32_t generation) {
  static const std::string kNone;
  const auto known = epoch_ids.find(generation);
  if (known != epoch_ids.end()) return known->second;
  for (auto& row : read_epochs()) epoch_ids[row.generation] = std::move(row.id);
  const auto found = epoch_ids.find(generation);
  return found == epoch_ids.end() ? kNone : found->second;
}

// Of kSelectBlocks.
Block Store::Impl::block_of(SQLite::Statement& row) {
  const auto count = row.getColumn(1).getInt64();
  return {.key = as_unsigned(row.getColumn(7).getInt64()),
          .count = count < 0 || count > 0xffff ? 0 : static_cast<std::uint32_t>(count),
          .at = {static_cast<std::uint32_t>(row.getColumn(2).getInt64()), mono_from_ms(row.getColumn(3).getInt64())},
          .packing = static_cast<Packing>(row.getColumn(4).getInt()),
          .data = std::string{text_of(row.getColumn(5))},
          .crc = row.getColumn(6).getInt()};
}

// Zeros behind the log's end end it as well as nothing does. Page by page: the kernel keeps what came in large pieces in large
// pieces, and accounts for all of one where a commit touches a few bytes of it. Durable when it returns.
void Store::Impl::allocate_wal() {
  sqlite3_file* wal = nullptr;
  sqlite3_file_control(db.getHandle(), "main", SQLITE_FCNTL_JOURNAL_POINTER, &wal);
  sqlite3_int64 size = 0;
  if (wal == nullptr || wal->pMethods == nullptr || wal->pMethods->xFileSize(wal, &size) != SQLITE_OK) return;
  const std::string zeros(4U << 10, '\0');
  while (size < kWalKeptBytes) {
    const auto count = std::min<sqlite3_int64>(static_cast<sqlite3_int64>(zeros.size()), kWalKeptBytes - size);
    if (wal->pMethods->xWrite(wal, zeros.data(), static_cast<int>(count), size) != SQLITE_OK) return;
    size += count;
  }
  wal->pMethods->xSync(wal, SQLITE_SYNC_NORMAL);
}

Store::Store(std::unique_ptr<Impl> impl) : impl_{std::move(impl)} {}
Store::~Store() = default;

Result<std::unique_ptr<Store>> Store::open_writing(const std::filesystem::path& file) {
  if (auto status = create_file(file); !status) return fail(std::move(status).error());
  return guarded([&] {
    auto impl = std::make_unique<Impl>(file, SQLite::OPEN_READWRITE);
    auto& db = impl->db;
    db.exec(fmt::format("PRAGMA page_size = {}", kPageBytes));
    db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0");
    db.exec(fmt::format("PRAGMA journal_size_limit = {}", kWalKeptBytes));
    (void)db.execAndGet("SELECT count(*) FROM sqlite_schema");  // opens the log: a new file has none until it is read
    impl->allocate_wal();
    // The log begins anew: what a cut left behind its end must not look like transactions that were committed and lost.
    (void)sqlite3_wal_checkpoint_v2(db.getHandle(), "main", SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
    migrate(db);
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
    if (version != schema_version()) {
      throw SQLite::Exception(fmt::format("schema {} is not this program's {}", version, schema_version()),
                              SQLITE_NOTADB);
    }
    return std::unique_ptr<Store>{new Store{std::move(impl)}};
  });
  if (!store) return fail(std::move(store).error().in(file.string()));
  return store;
}


Result<std::unique_ptr<Store>> Store::open_beside(const std::filesystem::path& file) {
  return guarded([&] {
    auto impl = std::make_unique<Impl>(file, SQLite::OPEN_READWRITE);
    impl->db.exec("PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -64");
    return std::unique_ptr<Store>{new Store{std::move(impl)}};
  });
}

Result<std::unique_ptr<Store>> Store::open_aside(const std::filesystem::path& file) {
  return guarded([&] {
    auto impl = std::make_unique<Impl>(file, SQLite::OPEN_READWRITE);
    impl->db.exec("PRAGMA synchronous = OFF; PRAGMA wal_autocheckpoint = 0");
    return std::unique_ptr<Store>{new Store{std::move(impl)}};
  });
}

Status Store::commit(const Changes& changes) {
  return guarded([&] {
    SQLite::Transaction transaction{impl_->db, SQLite::TransactionBehavior::IMMEDIATE};
    for (const auto& row : changes.epochs) impl_->put(row);
    for (const auto& name : changes.names) impl_->put(name);
    std::array<std::vector<const Record*>, kLaneCount> lanes;
    for (const auto& change : changes.records) lanes.at(index(change.record.lane)).push_back(&change.record);
    for (const auto lane : contract::kLanes) impl_->insert(lane, std::move(lanes.at(index(lane))));
    for (const auto& trim : changes.trims) impl_->trim(trim);
    for (const auto& state : changes.states) impl_->put(state, "state");
    for (const auto& uplink : changes.dropped_uplinks) {
      auto& statement = impl_->prepare("DELETE FROM position WHERE uplink = ?");
      bind_text(statement, 1, uplink);
      statement.exec();
    }
    for (const auto& position : changes.positions) impl_->put(position);
    for (const auto& stretch : changes.boots) impl_->put(stretch);
    for (const auto& fact : changes.meta) impl_->put(fact, "meta");
    transaction.commit();
  });
}

Status Store::checkpoint() {
  const int code =
      sqlite3_wal_checkpoint_v2(impl_->db.getHandle(), "main", SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
  if (code != SQLITE_OK && code != SQLITE_BUSY) return fail(errc_of(code), sqlite3_errmsg(impl_->db.getHandle()));
  return {};
}

int Store::wal_pages() const {
  return impl_->wal_pages;
}

namespace {
// By position: where one word of the file's own schema is damaged, salvage still reads all rows.
constexpr const char* kSelectBlocks = "SELECT *, rowid FROM {} WHERE rowid >= ? ORDER BY rowid";
}

Result<Records> Store::records(Lane lane, Key from, Key to, std::size_t max_records, std::size_t max_bytes) {
  return guarded([&] {
    Records out;
    std::size_t bytes = 0;
    Running rows{impl_->prepare(fmt::format(fmt::runtime(kSelectBlocks), contract::to_string(lane)))};
    rows->bind(1, as_signed(from));
    while (out.records.size() < max_records && (out.records.empty() || bytes < max_bytes) && rows->executeStep()) {
      const auto block = impl_->block_of(*rows);
      if (block.count > 0 && block.first() > to) break;
      auto unpacked = impl_->blocks.unpack(block, lane, impl_->epoch_id(generation_of(block.key)));
      if (!unpacked) {
        out.damaged = {block.count > 0 && block.count <= seq_of(block.key) ? block.first() : block.key, block.key};
        break;
      }
      for (auto& record : *unpacked) {
        const auto key = key_of(record.generation, record.seq);
        if (key < from || key > to) continue;
        if (out.records.size() == max_records || (!out.records.empty() && bytes >= max_bytes)) break;
        bytes += record.body.bytes.size();
        out.records.push_back(std::move(record));
      }
    }
    return out;
  });
}

Result<std::optional<BlockInfo>> Store::block_from(Lane lane, Key from) {
  return guarded([&]() -> std::optional<BlockInfo> {
    Running rows{impl_->prepare(
        fmt::format("SELECT key, count, boot, mono, length(data) FROM {} WHERE key >= ? ORDER BY key LIMIT 1",
                    contract::to_string(lane)))};
    rows->bind(1, as_signed(from));
    if (!rows->executeStep()) return {};
    const auto count = rows->getColumn(1).getInt64();
    BlockInfo info{as_unsigned(rows->getColumn(0).getInt64()),
                   1,
                   {static_cast<std::uint32_t>(rows->getColumn(2).getInt64()), mono_from_ms(rows->getColumn(3).getInt64())},
                   as_unsigned(rows->getColumn(4).getInt64()) + kRowBytes};
    if (count > 1 && as_unsigned(count) <= std::min<std::uint64_t>(seq_of(info.key), Block::kMaxRecords))
      info.count = static_cast<std::uint32_t>(count);
    return info;
  });
}

Result<LaneTotals> Store::totals(Lane lane) {
  return guarded([&] {
    Running row{impl_->prepare(fmt::format("SELECT count(*), total(count), total(length(data)) FROM {}",
                                           contract::to_string(lane)))};
    row->executeStep();
    const auto blocks = as_unsigned(row->getColumn(0).getInt64());
    return LaneTotals{blocks, as_unsigned(row->getColumn(1).getInt64()),
                      as_unsigned(row->getColumn(2).getInt64()) + blocks * kRowBytes};
  });
}

Result<std::vector<Block>> Store::blocks(Lane lane, Key from, std::size_t max_blocks, std::size_t max_bytes) {
  return guarded([&] {
    std::vector<Block> out;
    std::size_t bytes = 0;
    Running rows{impl_->prepare(fmt::format(fmt::runtime(kSelectBlocks), contract::to_string(lane)))};
    rows->bind(1, as_signed(from));
    while (out.size() < max_blocks && (out.empty() || bytes < max_bytes) && rows->executeStep()) {
      out.push_back(impl_->block_of(*rows));
      bytes += out.back().data.size();
    }
    return out;
  });
}

Status Store::take_over(Lane lane, const std::vector<Block>& blocks) {
  return guarded([&] {
    SQLite::Transaction transaction{impl_->db, SQLite::TransactionBehavior::IMMEDIATE};
    auto& insert =
        impl_->prepare(fmt::format("INSERT OR IGNORE INTO {} VALUES (?,?,?,?,?,?,?)", contract::to_string(lane)));
    for (const auto& block : blocks) insert_block(insert, block);
    transaction.commit();
  });
}

Result<std::vector<EpochRow>> Store::epochs() {
  return guarded([&] { return impl_->read_epochs(); });
}

Result<contract::Range> Store::numbers(Lane lane, std::uint32_t generation) {
  const auto rows = epochs();
  if (!rows) return fail(rows.error());
  const auto uplinks = positions();
  if (!uplinks) return fail(uplinks.error());
  auto stored = guarded([&] {
    contract::Range range;
    const auto name = contract::to_string(lane);
    Running least{impl_->prepare(fmt::format("SELECT key, count FROM {} WHERE key >= ? ORDER BY key LIMIT 1", name))};
    least->bind(1, as_signed(key_of(generation, 0)));
    if (!least->executeStep() || generation_of(as_unsigned(least->getColumn(0).getInt64())) != generation) return range;
    const auto count = least->getColumn(1).getInt64();
    range.from = seq_of(as_unsigned(least->getColumn(0).getInt64()));
    if (count > 1 && as_unsigned(count) <= range.from) range.from -= as_unsigned(count) - 1;
    Running most{impl_->prepare(fmt::format("SELECT key FROM {} WHERE key <= ? ORDER BY key DESC LIMIT 1", name))};
    most->bind(1, as_signed(key_of(generation, kMaxSeq)));
    if (most->executeStep()) range.to = seq_of(as_unsigned(most->getColumn(0).getInt64()));
    return range;
  });
  if (!stored) return stored;
  for (const auto& row : *rows) {
    if (row.generation == generation) stored->to = std::max(stored->to, row.used.at(index(lane)));
  }
  for (const auto& [key, position] : *uplinks) {
    if (std::get<1>(key) != generation || std::get<2>(key) != lane) continue;
    stored->to = std::max({stored->to, position.prefix, position.stored});
    if (!position.beyond.empty()) stored->to = std::max(stored->to, position.beyond.back().to);
  }
  return stored;
}

Result<Key> Store::last_to(Lane lane, Key to) {
  const auto holding = block_from(lane, to);
  if (!holding) return fail(holding.error());
  if (*holding && (*holding)->first() <= to) return to;
  return guarded([&]() -> Key {
    Running rows{impl_->prepare(
        fmt::format("SELECT key FROM {} WHERE key <= ? ORDER BY key DESC LIMIT 1", contract::to_string(lane)))};
    rows->bind(1, as_signed(to));
    return rows->executeStep() ? as_unsigned(rows->getColumn(0).getInt64()) : 0;
  });
}

Result<std::pair<Key, Key>> Store::ends(Lane lane) {
  auto first = block_from(lane, 0);
  if (!first) return fail(first.error());
  if (!*first) return std::pair<Key, Key>{};
  return guarded([&] {
    Running most{impl_->prepare(fmt::format("SELECT max(key) FROM {}", contract::to_string(lane)))};
    most->executeStep();
    return std::pair{(*first)->first(), as_unsigned(most->getColumn(0).getInt64())};
  });
}

Result<std::optional<std::string>> Store::meta(std::string_view key) {
  return guarded([&]() -> std::optional<std::string> {
    Running rows{impl_->prepare("SELECT value FROM meta WHERE key = ?")};
    rows->bind(1, std::string{key});
    if (!rows->executeStep()) return {};
    return std::string{text_of(rows->getColumn(0))};
  });
}

Result<KeyValues> Store::metas(std::string_view prefix) {
  return guarded([&] {
    KeyValues out;
    Running rows{impl_->prepare("SELECT key, value FROM meta WHERE key >= ? ORDER BY key")};
    rows->bind(1, std::string{prefix});
    while (rows->executeStep() && text_of(rows->getColumn(0)).starts_with(prefix))
      out.emplace_back(text_of(rows->getColumn(0)), text_of(rows->getColumn(1)));
    return out;
  });
}

// A damaged row is passed over, here and below: what it belonged to starts afresh.
Result<KeyValues> Store::states(std::string_view prefix) {
  return guarded([&] {
    KeyValues out;
    Running rows{impl_->prepare("SELECT key, value, crc FROM state WHERE key >= ? ORDER BY key")};
    rows->bind(1, std::string{prefix});
    while (rows->executeStep()) {
      const auto key = text_of(rows->getColumn(0));
      if (!key.starts_with(prefix)) break;
      const auto value = text_of(rows->getColumn(1));
      if (rows->getColumn(2).getInt() == crc_of(key, value)) {
        out.emplace_back(key, value);
      } else {
        ++impl_->passed_over;
      }
    }
    return out;
  });
}

Result<Positions> Store::positions() {
  return guarded([&] {
    Positions out;
    Running rows{impl_->prepare("SELECT uplink, generation, lane, prefix, beyond, stored, crc FROM position")};
    while (rows->executeStep()) {
      const std::string uplink{text_of(rows->getColumn(0))};
      const auto generation = static_cast<std::uint32_t>(rows->getColumn(1).getInt64());
      const auto lane = rows->getColumn(2).getInt();
      if (lane < 0 || static_cast<std::size_t>(lane) >= kLaneCount) continue;
      const auto which = static_cast<Lane>(lane);
      const std::string beyond{text_of(rows->getColumn(4))};
      Position position{.prefix = as_unsigned(rows->getColumn(3).getInt64()),
                        .stored = as_unsigned(rows->getColumn(5).getInt64())};
      if (rows->getColumn(6).getInt() !=
          crc_of_row(uplink, generation, which, position.prefix, beyond, position.stored)) {
        ++impl_->passed_over;
        continue;
      }
      position.beyond = read_ranges(beyond, position.prefix);
      out[{uplink, generation, which}] = std::move(position);
    }
    return out;
  });
}

Result<std::vector<Stretch>> Store::boots() {
  return guarded([&] {
    std::vector<Stretch> out;
    Running rows{impl_->prepare("SELECT boot, from_mono, boot_id, offset, quality, error, until, crc FROM boots")};
    while (rows->executeStep()) {
      const auto quality = rows->getColumn(4).getInt();
      Stretch stretch;
      stretch.boot = static_cast<std::uint32_t>(rows->getColumn(0).getInt64());
      stretch.from = mono_from_ms(rows->getColumn(1).getInt64());
      stretch.boot_id = text_of(rows->getColumn(2));
      stretch.offset = Millis{rows->getColumn(3).getInt64()};
      stretch.quality = quality >= 0 && quality <= 3 ? static_cast<TimeQuality>(quality) : TimeQuality::unsynced;
      if (!rows->getColumn(5).isNull()) stretch.error = Millis{rows->getColumn(5).getInt64()};
      if (!rows->getColumn(6).isNull()) stretch.until = mono_from_ms(rows->getColumn(6).getInt64());
      if (rows->getColumn(7).getInt() == crc_of_row(stretch)) {
        out.push_back(std::move(stretch));
      } else {
        ++impl_->passed_over;
      }
    }
    return out;
  });
}

Result<contract::Names> Store::names() {
  return guarded([&] {
    contract::Names out;
    Running rows{impl_->prepare("SELECT id, name, crc FROM name ORDER BY id")};
    while (rows->executeStep()) {
      const auto id = static_cast<contract::Names::Id>(rows->getColumn(0).getInt64());
      std::string name{text_of(rows->getColumn(1))};
      if (rows->getColumn(2).getInt() != crc_of(id, name)) {
        name.clear();  // the number stays taken
        ++impl_->passed_over;
      }
      out.restore(id, std::move(name));
    }
    return out;
  });
}

std::uint64_t Store::passed_over() const {
  return impl_->passed_over;
}

Result<Usage> Store::usage() {
  return guarded([&] {
    const auto pages = as_unsigned(impl_->db.execAndGet("PRAGMA page_count").getInt64());
    const auto unused = as_unsigned(impl_->db.execAndGet("PRAGMA freelist_count").getInt64());
    const auto size = as_unsigned(impl_->db.execAndGet("PRAGMA page_size").getInt64());
    return Usage{(pages - std::min(unused, pages)) * size, unused * size};
  });
}

Result<std::vector<std::string>> Store::integrity() {
  return guarded([&] {
    std::vector<std::string> out;
    Running rows{impl_->prepare("PRAGMA integrity_check(20)")};
    while (rows->executeStep()) {
      std::string found{text_of(rows->getColumn(0))};
      if (found != "ok") out.push_back(std::move(found));
    }
    return out;
  });
}

void Store::interrupt() {
  sqlite3_interrupt(impl_->db.getHandle());
}

std::uint64_t count_unsent(const Positions& positions, std::uint32_t generation, Lane lane, contract::Range numbers) {
  if (numbers.from == 0) return 0;
  std::uint64_t most = 0;
  bool known = false;
  for (const auto& [key, position] : positions) {
    if (std::get<1>(key) != generation || std::get<2>(key) != lane) continue;
    known = true;
    std::uint64_t count = 0;
    for (const auto& [from, to] : position.pending(numbers.to)) {
      if (to >= numbers.from) count += to - std::max(from, numbers.from) + 1;
    }
    most = std::max(most, count);
  }
  return known ? most : numbers.to - numbers.from + 1;
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
