// The real `hamlet` against a real socket, a journal at rest, and users with and without permission.

#include <csignal>
#include <fstream>
#include <sstream>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <grp.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "firmware/control/peer.hpp"
#include "firmware/core/fake_clock.hpp"
#include "sync/journal/journal.hpp"
#include "tests/integration/control/daemon_in_test.hpp"
#include "tests/support/process.hpp"

namespace fs = std::filesystem;
using hamlet::Millis;
using hamlet::control::Access;
using hamlet::control::Caller;
using hamlet::control::Reply;
using hamlet::support::DaemonInTest;
using hamlet::support::TempDir;
using nlohmann::json;

namespace {

struct Ran {
  int code = -1;
  std::string out;
  std::string err;
};

// Somebody else than root: nobody, with these groups.
struct User {
  std::vector<gid_t> groups;
};
constexpr uid_t kNobody = 65534;

std::string slurp(const fs::path& file) {
  std::ostringstream text;
  text << std::ifstream{file}.rdbuf();
  return text.str();
}

bool has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

// A folder that other users reach too, with a copy of the program: the build may lie where only its owner looks.
struct Fixture {
  TempDir dir;
  fs::path socket = dir.path() / "control.sock";
  fs::path config = dir.path() / "hamlet.toml";
  fs::path state = dir.path() / "state";
  fs::path program = dir.path() / "hamlet";

  Fixture() {
    chmod(dir.path().c_str(), 0755);
    fs::copy_file(hamlet::support::program("hamlet"), program);
    std::ofstream{config} << "[gateway]\nid = \"gw-0017\"\ndivision = \"430124104203\"\nstate_dir = \""
                          << state.string() << "\"\n";
  }

  Ran run(std::vector<std::string> args, const std::optional<User>& user = {}) const {
    args.insert(args.begin(), program.string());
    args.insert(args.end(), {"--socket", socket.string(), "--config", config.string()});
    const auto out = dir.path() / "out";
    const auto err = dir.path() / "err";
    const int out_file = open(out.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    const int err_file = open(err.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    std::vector<char*> argv;
    for (auto& arg : args) argv.push_back(arg.data());
    argv.push_back(nullptr);
    std::string lang = "LANG=C.UTF-8";
    char* const environment[] = {lang.data(), nullptr};

    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {  // other threads are gone: nothing here may allocate
      dup2(out_file, STDOUT_FILENO);
      dup2(err_file, STDERR_FILENO);
      const bool ready = !user || (setgroups(user->groups.size(), user->groups.data()) == 0 && setgid(kNobody) == 0 &&
                                   setuid(kNobody) == 0);
      if (ready) execve(argv[0], argv.data(), environment);
      _exit(127);
    }
    close(out_file);
    close(err_file);
    int status = 0;
    waitpid(child, &status, 0);
    REQUIRE(WIFEXITED(status));
    return {WEXITSTATUS(status), slurp(out), slurp(err)};
  }
};

void add_fixed(DaemonInTest& daemon, std::string name, Access access, json result) {
  daemon.table().add({std::move(name), access, false, "",
                      [result = std::move(result)](const json&, const Caller&, const Reply& reply) { reply(result); }});
}

// A journal as a daemon leaves it behind: a reading, an event and an alarm.
void leave_journal(const fs::path& directory, hamlet::WallTime now) {
  boost::asio::io_context io;
  hamlet::FakeClock clock{now};
  auto journal = hamlet::journal::Journal::open(
      io, clock, {.directory = directory, .machine_id = std::string(32, 'a'), .boot_id = std::string(32, 'b')});
  REQUIRE(journal.has_value());
  const auto at = clock.mono();
  using hamlet::contract::Lane;
  using hamlet::journal::Urgency;
  const std::vector<hamlet::Reading> readings{{.point = "river.level", .at = at, .value = 2.31}};
  REQUIRE(
      (*journal)->append(Lane::tele, at, hamlet::contract::encode_readings(readings, at), Urgency::now).has_value());
  const hamlet::Event event{.source = "river",
                            .kind = "down",
                            .phase = hamlet::Phase::start,
                            .id = "00112233aabbccdd",
                            .at = at,
                            .detail = {{"why", "timeout"}}};
  REQUIRE((*journal)->append(Lane::event, at, hamlet::contract::encode_event(event, at), Urgency::now).has_value());
  const json alarm{{"alarm", "river-level-high"},
                   {"occurrence", 2},
                   {"state", "unacked"},
                   {"severity", "critical"},
                   {"since", {{"boot", (*journal)->boot()}, {"mono", hamlet::to_ms(at)}}},
                   {"value", 4.7},
                   {"limit", 4.5},
                   {"text", {{"zh", "水位过高"}, {"en", "Level high"}}},
                   {"sources", {"river.level"}}};
  (*journal)->put_state("alarm/river-level-high", alarm.dump(), Urgency::now);
  (*journal)->stop();
}

}  // namespace

TEST_CASE("hamlet shows what the daemon answers") {
  const Fixture f;
  DaemonInTest daemon;
  const json points{{"points",
                     {{{"point", "river.level"},
                       {"name", {{"zh", "河道水位"}, {"en", "River level"}}},
                       {"value", 2.31},
                       {"unit", "m"},
                       {"q", "good"},
                       {"ts", 1'795'411'860'000},
                       {"tq", "synced"}}}}};
  add_fixed(daemon, "points", Access::read, points);
  add_fixed(daemon, "status", Access::read, {{"gw", "gw-0017"}, {"health", "degraded"}});
  REQUIRE(daemon.start(f.socket).has_value());

  SUBCASE("as a table, in either language") {
    const auto zh = f.run({"points", "--lang", "zh"});
    CHECK(zh.code == 0);
    CHECK(has(zh.out, "测点         名称        值  单位"));
    CHECK(has(zh.out, "river.level  河道水位  2.31  m"));
    CHECK(zh.err.empty());
    CHECK(has(f.run({"points"}).out, "River level"));
    CHECK(!has(f.run({"points"}).out, "\033["));  // no terminal, no colour
  }
  SUBCASE("as JSON, unchanged") {
    const auto ran = f.run({"points", "--json", "--lang", "zh"});
    CHECK(ran.code == 0);
    CHECK(ran.out == points.dump() + "\n");
  }
  SUBCASE("degraded is an exit code") {
    CHECK(f.run({"status"}).code == 4);
    CHECK(f.run({"status", "--json"}).code == 4);
  }
  SUBCASE("a verb that this daemon does not have") {
    const auto ran = f.run({"uplink", "--json"});
    CHECK(ran.code == 1);
    CHECK(json::parse(ran.out)["error"]["code"] == "not-found");
  }
}

TEST_CASE("without a daemon, exit code 3 and what to do") {
  const Fixture f;
  const auto ran = f.run({"status"});
  CHECK(ran.code == 3);
  CHECK(ran.out.empty());
  CHECK(has(ran.err, "systemctl status hamletd"));
  const auto as_json = f.run({"cameras", "--json"});
  CHECK(as_json.code == 3);
  CHECK(json::parse(as_json.out)["error"]["code"] == "unreachable");
  CHECK(f.run({"statsu"}).code == 2);
}

TEST_CASE("without a daemon, journaled data is still shown") {
  const Fixture f;
  // Readings and events are asked for by age, so the records are of now.
  const auto now = hamlet::SystemClock{}.wall();
  leave_journal(f.state, now);

  const auto readings = f.run({"readings", "river.level", "--json"});
  CHECK(readings.code == 0);
  CHECK(has(readings.err, "last commit"));
  const auto data = json::parse(readings.out);
  CHECK(data["point"] == "river.level");
  REQUIRE(data["readings"].size() == 1);
  CHECK(data["readings"][0]["v"] == 2.31);
  CHECK(data["readings"][0]["t"] == hamlet::to_ms(now));

  const auto events = f.run({"events", "--lang", "zh"});
  CHECK(events.code == 0);
  CHECK(has(events.out, "river  掉线"));
  CHECK(has(events.out, "原因=超时没有应答"));
  CHECK(has(events.err, "最后一次提交"));

  const auto alarms = f.run({"alarms"});
  CHECK(alarms.code == 0);
  CHECK(has(alarms.out, "critical  river-level-high  not acknowledged"));

  const auto journal = f.run({"journal", "--json"});
  CHECK(journal.code == 0);
  CHECK(json::parse(journal.out)["lanes"]["tele"]["last"] == 1);

  CHECK(f.run({"points"}).code == 3);
  CHECK(f.run({"alarms", "ack", "river-level-high"}).code == 3);
}

TEST_CASE("journal stat, check and export work without a daemon and beside one") {
  const Fixture f;
  leave_journal(f.state, hamlet::SystemClock{}.wall());
  const auto stick = f.dir.path() / "stick";
  fs::create_directory(stick);

  // A daemon that writes: it holds the lock, and its log is open.
  boost::asio::io_context io;
  hamlet::SystemClock clock;
  std::unique_ptr<hamlet::journal::Journal> writer;
  SUBCASE("without") {}
  SUBCASE("beside") {
    auto journal = hamlet::journal::Journal::open(
        io, clock, {.directory = f.state, .machine_id = std::string(32, 'a'), .boot_id = std::string(32, 'c')});
    REQUIRE(journal.has_value());
    writer = std::move(*journal);
  }

  const auto stat = f.run({"journal", "stat"});
  CHECK(stat.code == 0);
  CHECK(has(stat.out, "Lane   First  Last  Records"));
  const auto figures = json::parse(f.run({"journal", "stat", "--json"}).out);
  CHECK(figures["lanes"]["tele"]["records"] == 1);

  const auto check = f.run({"journal", "check"});
  CHECK(check.code == 0);
  CHECK(has(check.err, "Nothing is damaged"));

  const auto exported = f.run({"journal", "export", "--to", stick.string(), "--json"});
  CHECK(exported.code == 0);
  const auto manifest = json::parse(exported.out);
  CHECK(manifest["records"] == 2);
  const fs::path folder{manifest["folder"].get<std::string>()};
  CHECK(folder.parent_path() == stick);
  const auto verify = "cd '" + folder.string() + "' && sha256sum --quiet -c SHA256SUMS && zstd -dcq tele.ndjson.zst > tele.ndjson";
  CHECK(std::system(verify.c_str()) == 0);
  const auto line = json::parse(slurp(folder / "tele.ndjson"));
  CHECK(line["topic"] == "hamlet/v1/430124/104/203/gw-0017/tele");
  CHECK(line["payload"]["readings"][0]["v"] == 2.31);

  const auto absent = f.run({"journal", "export", "--to", (stick / "absent").string(), "--lang", "zh"});
  CHECK(absent.code == 1);
  CHECK(has(absent.err, "没有文件夹"));
}

TEST_CASE("a journal that is damaged is exit code 1, and what is damaged is named") {
  const Fixture f;
  leave_journal(f.state, hamlet::SystemClock{}.wall());
  // Of a file as small as this any page is needed.
  std::fstream file{f.state / "journal.db", std::ios::in | std::ios::out | std::ios::binary};
  file.seekp(1'024);
  file.write(std::string(1'024, '\xff').data(), 1'024);
  file.close();
  const auto check = f.run({"journal", "check", "--json"});
  CHECK(check.code == 1);
  const auto found = json::parse(check.out);
  CHECK(found["ok"] == false);
  CHECK(!found["damaged_file"].empty());
}

TEST_CASE("config check finds what is wrong, and where") {
  const Fixture f;
  CHECK(f.run({"config", "check"}).code == 0);
  const auto wrong = f.dir.path() / "wrong.toml";
  std::ofstream{wrong} << "[gateway]\nid = \"gw-0017\"\ndivision = \"430124104203\"\n\n[journal]\nwindwo = \"10s\"\n";
  const auto ran = f.run({"config", "check", wrong.string()});
  CHECK(ran.code == 1);
  CHECK(has(ran.out, "wrong.toml:6:"));
  CHECK(has(ran.out, "window"));
  const auto as_json = f.run({"config", "check", wrong.string(), "--json"});
  CHECK(as_json.code == 1);
  CHECK(json::parse(as_json.out)["diagnostics"][0]["line"] == 6);
}

TEST_CASE("who may read and who may change is told by group") {
  if (geteuid() != 0) {
    MESSAGE("skipped: needs root to become somebody else");
    return;
  }
  // Two groups that every Debian has stand for hamlet and hamlet-admin.
  const auto read = hamlet::control::find_group("users");
  const auto change = hamlet::control::find_group("staff");
  REQUIRE(read.has_value());
  REQUIRE(change.has_value());
  const Fixture f;
  std::string acked_by;
  DaemonInTest daemon;
  add_fixed(daemon, "status", Access::read, {{"health", "ok"}});
  daemon.table().add(
      {"alarm.ack", Access::change, false, "", [&acked_by](const json& args, const Caller& caller, const Reply& reply) {
         acked_by = caller.name;
         reply(json{{"alarm", {{"alarm", args["alarm"]}, {"occurrence", 1}}}});
       }});
  REQUIRE(daemon.start(f.socket, {.read_group = "users", .change_group = "staff"}).has_value());
  struct stat info {};
  REQUIRE(stat(f.socket.c_str(), &info) == 0);
  CHECK(info.st_gid == *read);

  const std::vector<std::string> look{"status"};
  const std::vector<std::string> ack{"alarms", "ack", "river-level-high"};
  SUBCASE("a stranger does not get in") {
    const auto ran = f.run(look, User{{}});
    CHECK(ran.code == 5);
    CHECK(has(ran.err, "group hamlet"));
    CHECK(json::parse(f.run({"status", "--json"}, User{{}}).out)["error"]["code"] == "denied");
  }
  SUBCASE("a reader reads and does not change") {
    CHECK(f.run(look, User{{*read}}).code == 0);
    const auto ran = f.run(ack, User{{*read}});
    CHECK(ran.code == 5);
    CHECK(has(ran.err, "hamlet-admin"));
    CHECK(acked_by.empty());
  }
  SUBCASE("a technician reads and changes, and is known by name") {
    CHECK(f.run(look, User{{*read, *change}}).code == 0);
    CHECK(f.run(ack, User{{*read, *change}}).code == 0);
    CHECK(acked_by == "nobody (uid 65534)");
  }
  SUBCASE("root does everything") {
    CHECK(f.run(look).code == 0);
    CHECK(f.run(ack).code == 0);
    CHECK(acked_by == "root (uid 0)");
  }
  SUBCASE("a file mode that lets everybody in does not let everybody read") {
    chmod(f.socket.c_str(), 0666);
    CHECK(f.run(look, User{{}}).code == 5);
    CHECK(f.run(look, User{{*change}}).code == 0);
  }
}

TEST_CASE("a journal that this user may not read is exit code 5") {
  if (geteuid() != 0) {
    MESSAGE("skipped: needs root to become somebody else");
    return;
  }
  const Fixture f;
  leave_journal(f.state, hamlet::SystemClock{}.wall());
  chmod(f.state.c_str(), 0700);
  const auto ran = f.run({"events"}, User{{}});
  CHECK(ran.code == 5);
  CHECK(has(ran.err, "group hamlet"));
}
