#include "tests/support/power_cut_run.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <fmt/format.h>
#include <sqlite3.h>

#include "firmware/core/fake_clock.hpp"
#include "sync/journal/journal.hpp"
#include "tests/support/journal_model.hpp"
#include "tests/support/power_cut_vfs.hpp"
#include "tests/support/process.hpp"

namespace hamlet::support {
namespace {

namespace fs = std::filesystem;
using contract::index;
using journal::Journal;
using journal::kLaneCount;
using journal::Lane;
using journal::Position;
using journal::Record;
using journal::Urgency;

constexpr std::chrono::seconds kDeadline{20};  // of anything that the journal owes an answer to
constexpr const char* kUplink = "county";
constexpr const char* kMark = "journal.mark";

std::optional<std::string> read_file(const fs::path& path) {
  std::ifstream in{path, std::ios::binary};
  if (!in) return {};
  return std::string{std::istreambuf_iterator<char>{in}, {}};
}

std::set<std::string> names_in(const fs::path& folder) {
  std::set<std::string> names;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator{folder, error}) names.insert(entry.path().filename().string());
  return names;
}

/// What is beside SQLite's files, as of the cut.
struct Beside {
  std::optional<std::string> mark;
  std::set<std::string> pictures;

  static Beside of(const fs::path& folder) { return {read_file(folder / kMark), names_in(folder / "media")}; }
  void restore(const fs::path& folder) const {
    if (mark) {
      std::ofstream{folder / kMark, std::ios::binary} << *mark;
    } else {
      fs::remove(folder / kMark);
    }
    for (const auto& name : names_in(folder / "media"))
      if (!pictures.contains(name)) fs::remove(folder / "media" / name);
  }
};

class Run {
 public:
  explicit Run(const PowerCutSettings& settings) : settings_{settings}, random_{settings.seed}, disk_{settings.seed} {
    disk_.set_lying_syncs(settings.lying_syncs);
    disk_.on_cut([this] { beside_ = Beside::of(folder_.path()); });
    large_ = dice(8) == 0;
    // The log alone takes 4 MiB.
    if (dice(3) == 0) quota_ = (4U << 20) + (1U << 19) + (large_ ? dice(4U << 20) : dice(200'000));
    if (dice(3) == 0) keep_ = std::chrono::days{1};
    if (!settings_.schema_v1.empty() && dice(4) == 0) make_version_1();
  }
  ~Run() { close(); }
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  PowerCutReport run() {
    try {
      while (report_.cuts < settings_.cuts) live();
    } catch (const Violation& violation) {
      report_.violation = fmt::format("after {} cuts: {}", report_.cuts, violation.what());
    }
    report_.records = model_.records();
    report_.gaps = model_.gaps();
    report_.epochs = model_.epochs();
    return report_;
  }

 private:
  std::uint64_t dice(std::uint64_t sides) { return random_() % sides; }
  // Small numbers often, large ones sometimes.
  std::uint64_t some(std::uint64_t log2) { return 1 + dice(std::uint64_t{1} << (1 + dice(log2))); }

  void make_version_1();
  void live();
  bool open();
  void work();
  void end();
  void cycle_power();
  void close();

  void turn();
  void append(Lane lane, Urgency urgency);
  void append_picture();
  void alarm();
  void state();
  void position();
  void read_something();
  void tend();
  void elsewhere();
  void take_own();
  std::string bytes(std::size_t length);

  /// Lets the journal do all that it has to; then its writer rests.
  void settle();
  template <class Done>
  bool run_until(Done done, const char* what);
  void take_reports();
  Result<std::vector<Record>> read(Lane lane, std::uint64_t from, std::size_t records,
                                   std::uint32_t generation = journal::kCurrent);
  std::optional<JournalModel::Content> content();

  const PowerCutSettings settings_;
  std::mt19937_64 random_;
  TempDir folder_{TempDir::On::memory};
  PowerCutVfs disk_;
  Beside beside_;
  FakeClock clock_;
  JournalModel model_;
  PowerCutReport report_;
  bool large_ = false;
  bool migrating_ = false;
  std::uint64_t boot_ = 1;
  std::uint64_t revision_ = 0;
  std::map<std::string, std::string> pictures_;  // by name
  std::uint64_t quota_ = 2'048U << 20;
  std::chrono::days keep_{30};
  int machine_ = 1;

  // One life.
  std::unique_ptr<boost::asio::io_context> io_;
  std::unique_ptr<Journal> journal_;
  bool held_ = false;
  std::uint64_t commits_ = 0;
  std::uint64_t own_read_ = 0;
  journal::Stat first_;  // as it was opened
  std::optional<JournalModel> unmoved_;  // the power went while records got other numbers: or it is as before
};

// ---- lives ---------------------------------------------------------------------------------------------------------

void Run::live() {
  const bool early = migrating_ || dice(3) == 0;
  if (!migrating_ && dice(12) == 0) {
    ++machine_;  // the disk was put into another one
    model_.may_renew();
    if (unmoved_) unmoved_->may_renew();
  }
  if (early) disk_.cut_at(some(migrating_ ? 7 : 5));
  if (!open()) return cycle_power();
  if (!early && dice(4) != 0)
    disk_.cut_at(some(large_ ? 12 : 10), large_ && dice(2) == 0 ? PowerCutVfs::On::database : PowerCutVfs::On::any);
  work();
  end();
}

// False where the power went.
bool Run::open() {
  io_ = std::make_unique<boost::asio::io_context>();
  held_ = false;
  const Millis window{dice(2) == 0 ? 0 : 300'000};  // in the latter, only what is urgent makes a commit
  auto opened = Journal::open(*io_, clock_,
                              {.directory = folder_.path(),
                               .window = window,
                               .machine_id = "machine-" + (machine_ == 1 ? "a" : std::to_string(machine_)),
                               .boot_id = fmt::format("{:032x}", boot_),
                               .quota_bytes = quota_,
                               .min_free_bytes = 0,
                               .reserve_bytes = 0,
                               .keep = keep_});
  if (!opened) {
    if (disk_.powered()) throw Violation{"it does not open: " + opened.error().message};
    ++report_.cuts_while_opening;
    if (migrating_) ++report_.migrations_cut;
    return false;
  }
  journal_ = std::move(*opened);
  if (!journal_->set_aside().empty() && journal_->set_aside().find("another machine") == std::string::npos)
    throw Violation{"a power cut passes for damage: " + journal_->set_aside()};
  journal_->on_committed([this] {
    ++commits_;
    take_reports();
  });
  revision_ = 1 + dice(50);
  journal_->set_revision(revision_);

  const auto found = content();
  if (!found) return false;
  if (unmoved_) {
    const bool is_moved = std::any_of(found->epochs.begin(), found->epochs.end(),
                                      [this](const auto& each) { return each.id == model_.epoch(); });
    if (!is_moved) model_ = *unmoved_;
    unmoved_.reset();
  }
  first_ = journal_->stat();
  report_.turns_lost += model_.compare(*found);
  ++report_.comparisons;
  migrating_ = false;
  for (const auto lane : contract::kLanes)
    if (lane == Lane::event ? journal_->committed(lane) < model_.last(lane) : journal_->committed(lane) != model_.last(lane))
      throw Violation{fmt::format("{} is called the last committed of {}, and {} is", journal_->committed(lane),
                                  contract::to_string(lane), model_.last(lane))};
  own_read_ = journal_->committed(Lane::event);
  journal_->set_uplinks({kUplink});
  return true;
}

void Run::work() {
  const auto turns = 1 + dice(large_ ? 40 : 25);
  for (std::uint64_t i = 0; i < turns && disk_.powered(); ++i) turn();
}

void Run::end() {
  if (disk_.powered() && dice(2) == 0) {
    if (dice(2) == 0) disk_.cut_at(some(6));
    disk_.release();
    journal_.reset();  // commits what waits
    if (disk_.powered()) {
      model_.reported_turn(model_.turns());
      ++report_.clean_stops;
      if (dice(2) == 0) return disk_.never_cut();  // started again, in the same boot
    }
  }
  cycle_power();
}

void Run::cycle_power() {
  disk_.cut_now();
  close();
  disk_.power_on();
  beside_.restore(folder_.path());
  ++report_.cuts;
  ++boot_;
  clock_.set_mono(mono_from_ms(static_cast<std::int64_t>(1'000 + dice(10'000))));
  clock_.set_wall(wall_from_ms(to_ms(clock_.wall()) + static_cast<std::int64_t>(dice(100'000))));
}

void Run::close() {
  disk_.release();
  journal_.reset();
  io_.reset();
}

void Run::make_version_1() {
  sqlite3* db = nullptr;
  const auto file = folder_.path() / "journal.db";
  if (sqlite3_open(file.c_str(), &db) != SQLITE_OK ||
      sqlite3_exec(db, settings_.schema_v1.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK)
    throw Violation{std::string{"the fixture of version 1: "} + sqlite3_errmsg(db)};
  sqlite3_close(db);
  {  // what is in it, as it stands there
    JournalModel::Content content;
    sqlite3_open(file.c_str(), &db);
    const auto rows = [&](const std::string& sql, auto take) {
      sqlite3_stmt* statement = nullptr;
      if (sqlite3_prepare_v2(db, sql.c_str(), -1, &statement, nullptr) != SQLITE_OK)
        throw Violation{std::string{"the fixture of version 1: "} + sqlite3_errmsg(db)};
      while (sqlite3_step(statement) == SQLITE_ROW) take(statement);
      sqlite3_finalize(statement);
    };
    const auto text = [](sqlite3_stmt* row, int column) {
      const auto* bytes = static_cast<const char*>(sqlite3_column_blob(row, column));
      return std::string{bytes == nullptr ? "" : bytes, static_cast<std::size_t>(sqlite3_column_bytes(row, column))};
    };
    auto& epoch = content.epochs.emplace_back();
    rows("SELECT value FROM meta WHERE key = 'epoch'", [&](auto* row) { epoch.id = text(row, 0); });
    for (const auto lane : contract::kLanes)
      rows(fmt::format("SELECT seq, boot, mono, rev, ifnull(topic, 'tele'), body FROM {} ORDER BY seq",
                       contract::to_string(lane)),
           [&](auto* row) {
             epoch.lanes.at(index(lane))
                 .push_back({lane,
                             0,
                             static_cast<std::uint64_t>(sqlite3_column_int64(row, 0)),
                             {static_cast<std::uint32_t>(sqlite3_column_int64(row, 1)),
                              mono_from_ms(sqlite3_column_int64(row, 2))},
                             static_cast<std::uint64_t>(sqlite3_column_int64(row, 3)),
                             {text(row, 4), text(row, 5)}});
           });
    rows("SELECT key, value FROM state", [&](auto* row) { content.states[text(row, 0)] = text(row, 1); });
    rows("SELECT uplink, lane, prefix FROM position", [&](auto* row) {
      content.positions[{text(row, 0), static_cast<Lane>(sqlite3_column_int(row, 1))}] = {
          .prefix = static_cast<std::uint64_t>(sqlite3_column_int64(row, 2)), .beyond = {}};
    });
    sqlite3_close(db);
    model_.adopt(std::move(content));
  }
  migrating_ = true;
}

// ---- the workload --------------------------------------------------------------------------------------------------

void Run::turn() {
  clock_.advance(Millis{static_cast<std::int64_t>(1 + dice(5'000))});
  std::optional<bool> synced;
  for (auto things = 1 + dice(4); things > 0; --things) {
    switch (dice(10)) {
      case 0:
        alarm();
        break;
      case 1:
        append(Lane::event, Urgency::now);
        break;
      case 2:
        append_picture();
        append(Lane::event, Urgency::now);
        break;
      case 3:
        state();
        break;
      case 4:
        position();
        break;
      case 5:
        clock_.set_synced(dice(4) != 0);
        if (dice(4) == 0) clock_.set_wall(wall_from_ms(static_cast<std::int64_t>(dice(2'000'000'000'000))));
        (void)journal_->check_clock();
        break;
      case 6:
        append(Lane::event, Urgency::window);
        break;
      default:
        append(Lane::tele, Urgency::window);
    }
  }
  const auto number = model_.end_turn();
  ++report_.turns;
  if (dice(6) == 0) {
    journal_->sync([this, number](const Status& status) {
      if (status) model_.reported_turn(number);
    });
  }

  if (!held_ && dice(5) == 0) tend();
  if (!held_ && dice(25) == 0) elsewhere();

  // Held, the next turns come while a commit is under way.
  if (!held_ && dice(3) == 0) {
    held_ = true;
    disk_.hold();
  }
  if (!held_) return settle();
  io_->restart();
  io_->poll();
  if (dice(3) == 0) {
    settle();
    if (disk_.powered() && dice(3) == 0) read_something();
  }
}

// What the daemon does every ten seconds, and what it brings about. Hours go by.
void Run::tend() {
  settle();
  if (!disk_.powered()) return;
  clock_.advance(Millis{static_cast<std::int64_t>(dice(4 * 3'600'000))});
  journal_->tend();
  bool read_through = false;
  journal_->query([](journal::Reader&) {}, [&read_through](const Status&) { read_through = true; });
  if (!run_until([&read_through] { return read_through; }, "query()")) return;
  settle();
}

// The county knows more of this epoch than we do: it is a copy, and what this life has appended and the county has not stored
// gets other numbers. Once a life: the epoch that begins then is nobody else's.
void Run::elsewhere() {
  settle();
  if (!disk_.powered() || quota_ < (1U << 30)) return;
  bool durable = false;
  journal_->sync([&durable](const Status&) { durable = true; });
  if (!run_until([&durable] { return durable; }, "sync()") || !disk_.powered()) return;
  settle();
  const auto found = content();
  if (!found) return;
  report_.turns_lost += model_.compare(*found);
  std::array<std::uint64_t, kLaneCount> kept{};
  std::array<std::uint64_t, kLaneCount> ahead{};
  for (const auto lane : contract::kLanes) {
    kept.at(index(lane)) = std::max(first_.lanes.at(index(lane)).last, journal_->position(kUplink, lane).stored);
    ahead.at(index(lane)) = journal_->committed(lane) + 1 + dice(100);
  }
  const auto before = journal_->epoch();
  if (before != first_.epoch) {
    journal_->seen_elsewhere(before, ahead);
    if (journal_->epoch() != before || !journal_->settled()) throw Violation{"an epoch of this life is taken for a copy"};
    return;
  }
  if (dice(2) == 0) disk_.cut_at(some(6));
  journal_->seen_elsewhere(before, ahead);
  if (journal_->epoch() == before) throw Violation{"a copy goes on with its epoch"};
  auto unmoved = model_;
  model_.moved(journal_->epoch(), kept);
  for (const auto& [name, bytes] : std::map{pictures_}) {
    const auto dash = name.find('-');
    const auto seq = std::stoull(name.substr(dash + 1));
    const auto behind = kept.at(index(Lane::media));
    if (name.substr(0, dash) == before && seq > behind)
      pictures_[contract::media_name(journal_->epoch(), seq - behind) + ".jpg"] = bytes;
  }
  const bool settled = run_until([this] { return journal_->settled() || !disk_.powered(); }, "seen_elsewhere()");
  if (!settled || !disk_.powered()) {
    unmoved_ = std::move(unmoved);
    return;
  }
  first_ = {};  // nothing of the new epoch is older than this life
  own_read_ = 0;
  ++report_.renumbered;
  settle();
  if (!disk_.powered()) unmoved_ = std::move(unmoved);
}

// What the journal declares is taken in before it may go, too.
void Run::take_own() {
  while (disk_.powered() && own_read_ < journal_->committed(Lane::event)) {
    const auto records = read(Lane::event, own_read_ + 1, 1'000);
    if (!records || records->empty()) return;
    for (const auto& record : *records) model_.seen(journal_->epoch(), record);
    own_read_ = records->back().seq;
  }
}

void Run::append(Lane lane, Urgency urgency) {
  const auto length = large_ ? 50'000 + dice(400'000) : dice(16) == 0 ? dice(20'000) : dice(400);
  contract::Body body;
  if (lane == Lane::tele) {
    std::vector<Reading> readings;
    for (auto i = 1 + dice(6); i > 0; --i) {
      Reading reading{.point = fmt::format("dev-{}.level", dice(10)),
                      .at = clock_.mono() - Millis{static_cast<std::int64_t>(dice(900))},
                      .value = static_cast<double>(dice(100'000)) / 100};
      if (readings.empty() && dice(8) == 0) reading.value = bytes(length);
      if (dice(8) == 0) reading.quality = Quality::suspect;
      readings.push_back(std::move(reading));
    }
    body = contract::encode_readings(readings, clock_.mono());
  } else {
    body = contract::encode_event({.source = "cam-ford",
                                   .kind = "motion",
                                   .phase = Phase::once,
                                   .id = fmt::format("{:016x}", random_()),
                                   .at = clock_.mono(),
                                   .detail = {{"note", bytes(length)}}},
                                  clock_.mono());
  }
  const auto given = journal_->append(lane, clock_.mono(), body, urgency);
  if (!given) {
    if (disk_.powered()) throw Violation{"append() refuses: " + given.error().message};
    return;
  }
  model_.append(given->epoch, {lane, 0, given->seq, {journal_->boot(), clock_.mono()}, revision_, std::move(body)});
}

void Run::append_picture() {
  auto jpeg = bytes(1 + dice(large_ ? 100'000 : 500));
  const auto given = journal_->append_media(clock_.mono(), jpeg);
  if (!given) throw Violation{"append_media() refuses: " + given.error().message};
  const auto name = contract::media_name(given->epoch, given->seq);
  model_.append(
      given->epoch,
      {Lane::media, 0, given->seq, {journal_->boot(), clock_.mono()}, revision_, {"media/" + name, name + ".jpg"}});
  pictures_[name + ".jpg"] = std::move(jpeg);
}

// The record and the state of the alarm: both or neither.
void Run::alarm() {
  const auto id = fmt::format("level-{}", dice(4));
  const Moment now{journal_->boot(), clock_.mono()};
  auto body = contract::encode_alarm({.id = id,
                                      .occurrence = 1 + dice(1'000),
                                      .state = AlarmState::unacked,
                                      .severity = Severity::major,
                                      .since = now,
                                      .value = static_cast<double>(dice(1'000)),
                                      .limit = 3.0,
                                      .text = {.zh = "水位高", .en = "level high"},
                                      .sources = {"dev-1.level"}},
                                     now);
  const auto given = journal_->append(Lane::alarm, clock_.mono(), body, Urgency::now);
  if (!given) throw Violation{"append() refuses an alarm: " + given.error().message};
  auto value = fmt::format(R"({{"seq":{}}})", given->seq);
  model_.append(given->epoch, {Lane::alarm, 0, given->seq, now, revision_, std::move(body)});
  model_.put_state("alarm/" + id, value);
  journal_->put_state("alarm/" + id, std::move(value), Urgency::now);
}

void Run::state() {
  const auto key = fmt::format("{}/{}", dice(2) == 0 ? "detect" : "command", dice(8));
  std::optional<std::string> value;
  if (dice(5) != 0) value = bytes(dice(dice(8) == 0 ? 60'000 : 200));
  model_.put_state(key, value);
  journal_->put_state(key, std::move(value), dice(2) == 0 ? Urgency::now : Urgency::window);
}

void Run::position() {
  const auto lane = contract::kLanes.at(dice(kLaneCount));
  const auto committed = journal_->committed(lane);
  auto position = journal_->position(kUplink, lane);
  if (committed == 0) return;
  if (dice(2) == 0) {
    const auto further = position.prefix + dice(committed - std::min(committed, position.prefix) + 1);
    while (position.prefix < further) position.add(position.prefix + 1);
  } else {
    position.add(1 + dice(committed));
  }
  if (dice(3) == 0) position.stored = std::max(position.stored, dice(position.prefix + 1));
  if (position == Position{}) return;
  model_.set_position({kUplink, lane}, position);
  journal_->set_position(kUplink, lane, std::move(position));
}

void Run::read_something() {
  const auto lane = contract::kLanes.at(dice(kLaneCount));
  const auto committed = journal_->committed(lane);
  if (committed == 0) return;
  const auto records = read(lane, 1 + dice(committed), 1 + dice(20));
  if (!records) {
    if (disk_.powered()) throw Violation{"read() fails: " + records.error().message};
    return;
  }
  for (const auto& record : *records) model_.seen(journal_->epoch(), record);
}

std::string Run::bytes(std::size_t length) {
  std::string out(length, '\0');
  for (auto& byte : out) byte = static_cast<char>('a' + random_() % 26);
  return out;
}

// ---- the io thread -------------------------------------------------------------------------------------------------

template <class Done>
bool Run::run_until(Done done, const char* what) {
  const auto deadline = std::chrono::steady_clock::now() + kDeadline;
  io_->restart();
  while (!done()) {
    if (io_->stopped()) io_->restart();
    if (std::chrono::steady_clock::now() > deadline) {
      if (!disk_.powered()) return false;
      throw Violation{std::string{"no answer to "} + what};
    }
    io_->run_one_for(kDeadline);
  }
  return true;
}

// The turn ends in poll(), which hands the batch over; a pulse goes through the writer behind it. What the batch's end
// brings about may be work again.
void Run::settle() {
  held_ = false;
  disk_.release();
  io_->restart();
  io_->poll();
  for (std::uint64_t before = commits_ + 1; before != commits_ && disk_.powered();) {
    before = commits_;
    bool alive = false;
    journal_->ping([&alive] { alive = true; });
    if (!run_until([&alive] { return alive; }, "ping()")) return;
  }
  take_own();
}

void Run::take_reports() {
  for (const auto lane : contract::kLanes) model_.reported(lane, journal_->committed(lane));
}

Result<std::vector<Record>> Run::read(Lane lane, std::uint64_t from, std::size_t records, std::uint32_t generation) {
  Result<std::vector<Record>> out;
  bool answered = false;
  journal_->read(
      lane, from, records, 4U << 20,
      [&](auto result) {
        out = std::move(result);
        answered = true;
      },
      generation);
  run_until([&answered] { return answered; }, "read()");
  if (!answered) return fail(Errc::timeout, "no answer");
  return out;
}

// Nothing where the power went.
std::optional<JournalModel::Content> Run::content() {
  JournalModel::Content out;
  for (const auto& epoch : journal_->epochs()) {
    auto& of = out.epochs.emplace_back(JournalModel::Epoch{.id = epoch.id, .last = epoch.last});
    for (const auto lane : contract::kLanes) {
      auto& all = of.lanes.at(index(lane));
      for (;;) {
        auto records = read(lane, all.empty() ? 1 : all.back().seq + 1, 1'000, epoch.generation);
        if (!records) {
          if (!disk_.powered()) return {};
          throw Violation{"what was stored cannot be read: " + records.error().message};
        }
        if (records->empty()) break;
        std::move(records->begin(), records->end(), std::back_inserter(all));
      }
    }
    for (const auto& picture : of.lanes.at(index(Lane::media))) {
      const auto known = pictures_.find(picture.body.bytes);
      if (known == pictures_.end()) continue;  // of the fixture
      if (read_file(folder_.path() / "media" / picture.body.bytes) != known->second)
        throw Violation{"the picture " + picture.body.bytes + " is not what was given"};
    }
  }
  for (const auto lane : contract::kLanes) {
    if (auto position = journal_->position(kUplink, lane); !(position == Position{}))
      out.positions[{kUplink, lane}] = std::move(position);
  }
  auto states = journal_->load_state("");
  if (!states) {
    if (!disk_.powered()) return {};
    throw Violation{"the state cannot be read: " + states.error().message};
  }
  out.states.insert(states->begin(), states->end());
  return out;
}

}  // namespace

PowerCutReport& PowerCutReport::operator+=(const PowerCutReport& other) {
  cuts += other.cuts;
  cuts_while_opening += other.cuts_while_opening;
  clean_stops += other.clean_stops;
  comparisons += other.comparisons;
  migrations_cut += other.migrations_cut;
  turns += other.turns;
  turns_lost += other.turns_lost;
  records += other.records;
  gaps += other.gaps;
  epochs += other.epochs;
  renumbered += other.renumbered;
  if (violation.empty()) violation = other.violation;
  return *this;
}

PowerCutReport run_power_cuts(const PowerCutSettings& settings) {
  return Run{settings}.run();
}

}  // namespace hamlet::support
