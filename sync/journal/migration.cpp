#include <charconv>
#include <map>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "firmware/core/log.hpp"
#include "sync/journal/crc.hpp"
#include "sync/journal/schema_sql.hpp"
#include "sync/journal/sql.hpp"
#include "sync/journal/store.hpp"

// Versions of the file (PRAGMA user_version): 0 nothing yet, 1 a row a record with JSON bodies, 2 the present one.

namespace hamlet::journal {
namespace {

constexpr int kVersion = 2;

void set_version(SQLite::Database& db, int version) { db.exec(fmt::format("PRAGMA user_version = {}", version)); }

std::string text_at(SQLite::Statement& row, int column) { return std::string{text_of(row.getColumn(column))}; }

// ---- 1 to 2 --------------------------------------------------------------------------------------------------------
// The tables of version 1 get the names v1_*, those of version 2 are made and take over all that is small: one
// transaction. Then the records move, some hundred a transaction; when a v1_* table is empty it goes.

std::int32_t crc_of_v1(std::string_view epoch, const Record& record) {
  return crc_of(epoch, record.lane, record.seq, record.at.boot, to_ms(record.at.mono), record.rev,
                record.body.topic, record.body.bytes);
}

struct SmallThings {
  KeyValues states;
  std::vector<Stretch> boots;
  EpochRow epoch;
  Positions positions;
  std::string machine_id;
};

std::uint64_t number_of(const std::string& text) {
  std::uint64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

void begin_from_1(SQLite::Database& db) {
  SQLite::Transaction transaction{db, SQLite::TransactionBehavior::IMMEDIATE};
  for (const auto* table : {"alarm", "event", "tele", "media", "position", "state", "boots", "meta"})
    db.exec(fmt::format("ALTER TABLE {0} RENAME TO v1_{0}", table));
  db.exec(kSchemaSql);
  std::map<std::string, std::string> facts;
  for (SQLite::Statement row{db, "SELECT key, value FROM v1_meta"}; row.executeStep();)
    facts[text_at(row, 0)] = text_at(row, 1);
  EpochRow epoch{.generation = 0, .id = facts["epoch"], .reason = "new"};
  for (const auto lane : contract::kLanes)
    epoch.used.at(index(lane)) = number_of(facts[fmt::format("high/{}", contract::to_string(lane))]);
  SQLite::Statement put_epoch{db, "INSERT INTO epoch VALUES (0,?,?,?,?,?,?,?)"};
  put_epoch.bind(1, epoch.id);
  put_epoch.bind(2, epoch.reason);
  for (int i = 0; i < 4; ++i) put_epoch.bind(3 + i, as_signed(epoch.used.at(static_cast<std::size_t>(i))));
  put_epoch.bind(7, crc_of(epoch.generation, epoch.id, epoch.reason, epoch.used[0], epoch.used[1], epoch.used[2],
                           epoch.used[3]));
  put_epoch.exec();
  if (!facts["machine_id"].empty()) {
    SQLite::Statement put{db, "INSERT INTO meta VALUES ('machine_id', ?)"};
    put.bind(1, facts["machine_id"]);
    put.exec();
  }
  SQLite::Statement put_state{db, "INSERT INTO state VALUES (?,?,?)"};
  for (SQLite::Statement row{db, "SELECT key, value FROM v1_state"}; row.executeStep();) {
    const auto key = text_at(row, 0);
    const auto value = text_at(row, 1);
    put_state.reset();
    put_state.bind(1, key);
    put_state.bind(2, value);
    put_state.bind(3, crc_of(key, value));
    put_state.exec();
  }
  SQLite::Statement put_position{db, "INSERT INTO position VALUES (?,0,?,?,?,0,?)"};
  for (SQLite::Statement row{db, "SELECT uplink, lane, prefix, beyond FROM v1_position"}; row.executeStep();) {
    const auto uplink = text_at(row, 0);
    const auto beyond = text_at(row, 3);
    const auto lane = row.getColumn(1).getInt();
    const auto prefix = as_unsigned(row.getColumn(2).getInt64());
    put_position.reset();
    put_position.bind(1, uplink);
    put_position.bind(2, lane);
    put_position.bind(3, as_signed(prefix));
    put_position.bind(4, beyond);
    put_position.bind(5, crc_of(uplink, std::uint32_t{0}, static_cast<Lane>(lane), prefix, beyond, std::uint64_t{0}));
    put_position.exec();
  }
  SQLite::Statement put_boot{db, "INSERT INTO boots VALUES (?,?,?,?,?,?,NULL,?)"};
  for (SQLite::Statement row{db, "SELECT boot, from_mono, boot_id, offset, quality, error FROM v1_boots"};
       row.executeStep();) {
    const auto boot = static_cast<std::uint32_t>(row.getColumn(0).getInt64());
    const std::int64_t from = row.getColumn(1).getInt64();
    const auto id = text_at(row, 2);
    const std::int64_t offset = row.getColumn(3).getInt64();
    const int quality = row.getColumn(4).getInt();
    const std::int64_t error = row.getColumn(5).isNull() ? -1 : row.getColumn(5).getInt64();
    put_boot.reset();
    put_boot.bind(1, boot);
    put_boot.bind(2, from);
    put_boot.bind(3, id);
    put_boot.bind(4, offset);
    put_boot.bind(5, quality);
    if (error >= 0) {
      put_boot.bind(6, error);
    } else {
      put_boot.bind(6);
    }
    put_boot.bind(7, crc_of(boot, from, id, offset, quality, error, std::int64_t{-1}));
    put_boot.exec();
  }
  for (const auto* table : {"position", "state", "boots", "meta"}) db.exec(fmt::format("DROP TABLE v1_{}", table));
  set_version(db, 2);
  transaction.commit();
}

// A batch of version 1 is JSON; packed it is a tenth of that. What does not parse stays as it is.
void repack(Record& record) {
  const auto date = [&record](Moment moment) {
    return contract::Dated{wall_from_ms(moment.boot == record.at.boot ? to_ms(moment.mono) : 0), TimeQuality::synced};
  };
  const auto text = contract::render(record.body, {.gw = {}, .epoch = {}, .lane = record.lane, .seq = record.seq, .at = record.at}, date);
  const auto message = text ? nlohmann::json::parse(*text, nullptr, false) : nlohmann::json{};
  if (!message.is_object() || !message.contains("readings") || !message["readings"].is_array()) return;
  std::vector<Reading> readings;
  for (const auto& row : message["readings"]) {
    if (!row.is_object() || !row.value("t", nlohmann::json{}).is_number_integer() || !row.value("s", nlohmann::json{}).is_string())
      return;
    Reading reading{.point = row["s"], .at = mono_from_ms(row["t"].get<std::int64_t>())};
    const auto& value = row.value("v", nlohmann::json{});
    if (value.is_number()) reading.value = value.get<double>();
    if (value.is_boolean()) reading.value = value.get<bool>();
    if (value.is_string()) reading.value = value.get<std::string>();
    const auto quality = row.value("q", "");
    for (const auto each : {Quality::suspect, Quality::bad, Quality::missing})
      if (quality == to_string(each)) reading.quality = each;
    reading.why = row.value("why", "");
    if (row.contains("dt") && row["dt"].is_number_integer()) reading.device_time = wall_from_ms(row["dt"].get<std::int64_t>());
    readings.push_back(std::move(reading));
  }
  record.body = contract::encode_readings(readings, record.at.mono);
}

// One slice of one lane; false where nothing is left.
bool move_records(SQLite::Database& db, Blocks& blocks, const std::string& epoch, Lane lane) {
  constexpr int kSlice = 512;
  const auto name = contract::to_string(lane);
  SQLite::Transaction transaction{db, SQLite::TransactionBehavior::IMMEDIATE};
  std::vector<Record> records;
  std::uint64_t last = 0;
  SQLite::Statement row{db, fmt::format("SELECT seq, boot, mono, rev, topic, body, crc FROM v1_{} ORDER BY seq LIMIT {}",
                                        name, kSlice)};
  while (row.executeStep()) {
    last = as_unsigned(row.getColumn(0).getInt64());
    Record record{.lane = lane, .seq = last};
    record.at = {static_cast<std::uint32_t>(row.getColumn(1).getInt64()), mono_from_ms(row.getColumn(2).getInt64())};
    record.rev = as_unsigned(row.getColumn(3).getInt64());
    record.body.topic = lane == Lane::tele ? "tele" : text_at(row, 4);
    record.body.bytes = text_at(row, 5);
    if (row.getColumn(6).getInt() != crc_of_v1(epoch, record)) continue;  // damaged: its number stays a hole
    if (lane == Lane::tele) repack(record);
    records.push_back(std::move(record));
  }
  if (last == 0) {
    db.exec(fmt::format("DROP TABLE v1_{}", name));
    transaction.commit();
    return false;
  }
  SQLite::Statement insert{db, fmt::format("INSERT INTO {} VALUES (?,?,?,?,?,?,?)", name)};
  for (std::size_t from = 0; from < records.size();) {
    std::vector<const Record*> run{&records[from]};  // numbered without a hole
    while (from + run.size() < records.size() && records[from + run.size()].seq == run.back()->seq + 1)
      run.push_back(&records[from + run.size()]);
    run.resize(Blocks::fitting(run));
    insert_block(insert, blocks.pack(run, epoch));
    from += run.size();
  }
  SQLite::Statement remove{db, fmt::format("DELETE FROM v1_{} WHERE seq <= ?", name)};
  remove.bind(1, as_signed(last));
  remove.exec();
  transaction.commit();
  return true;
}

void finish_from_1(SQLite::Database& db) {
  std::string epoch;
  if (SQLite::Statement row{db, "SELECT id FROM epoch WHERE generation = 0"}; row.executeStep()) epoch = text_at(row, 0);
  Blocks blocks;
  for (const auto lane : contract::kLanes) {
    if (!db.tableExists(fmt::format("v1_{}", contract::to_string(lane)))) continue;
    while (move_records(db, blocks, epoch, lane)) {
    }
  }
}

// Tables, columns and what makes a key of them.
std::string shape_of(SQLite::Database& db) {
  return db
      .execAndGet(
          "SELECT group_concat(t.name || t.wr || c.cid || c.name || c.type || c.\"notnull\" || c.pk) FROM "
          "(SELECT * FROM pragma_table_list WHERE schema = 'main' AND name NOT LIKE 'sqlite%' ORDER BY name) t, pragma_table_info(t.name) c")
      .getString();
}

}  // namespace

int schema_version() { return kVersion; }

void migrate(SQLite::Database& db) {
  const int version = db.execAndGet("PRAGMA user_version").getInt();
  if (version > kVersion) {
    throw SQLite::Exception(fmt::format("schema {} is newer than this program's {}", version, kVersion), SQLITE_NOTADB);
  }
  if (version == 0) {
    SQLite::Transaction transaction{db, SQLite::TransactionBehavior::IMMEDIATE};
    db.exec(kSchemaSql);
    set_version(db, kVersion);
    transaction.commit();
    return;
  }
  if (version == 1) {
    log::info("the journal is brought to a new version", {{"from", 1}, {"to", kVersion}});
    begin_from_1(db);
  }
  finish_from_1(db);
  // A damaged word in the schema may hide rows without any error.
  SQLite::Database sound{":memory:", SQLite::OPEN_READWRITE};
  sound.exec(kSchemaSql);
  if (shape_of(db) != shape_of(sound)) throw SQLite::Exception("the file's own schema is damaged", SQLITE_CORRUPT);
}

}  // namespace hamlet::journal
