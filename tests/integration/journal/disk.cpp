// Disks that fill up and disks that become read-only under a journal that lives.

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include "firmware/core/log.hpp"
#include "tests/integration/journal/child.hpp"
#include "tests/support/power_cut_vfs.hpp"
#include "tests/support/process.hpp"

using namespace hamlet;
using namespace hamlet::journal;
using hamlet::journal::test::Desk;
using hamlet::journal::test::in_child;
using hamlet::support::PowerCutVfs;
using hamlet::support::TempDir;

namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kReserve = 4U << 20;

// What no packing makes smaller by much.
std::string text_of(Lane lane, std::uint64_t seq) {
  std::minstd_rand random{static_cast<unsigned>(seq)};
  std::string noise(lane == Lane::tele ? 20'000 : 500, '\0');
  for (auto& byte : noise) byte = static_cast<char>(' ' + 10 + random() % 80);
  return fmt::format("{} {} {}", contract::to_string(lane), seq, noise);
}

/// What is wrong with what is stored, by lane up to `last`; empty: all is there.
std::string missing(Desk& desk, const std::vector<std::pair<Lane, std::uint64_t>>& expected) {
  for (const auto& [lane, last] : expected) {
    std::uint64_t seq = 0;
    while (seq < last) {
      const auto records = desk.read(lane, seq + 1);
      if (!records) return records.error().message;
      if (records->empty()) return fmt::format("{} ends at {} and not {}", contract::to_string(lane), seq, last);
      for (const auto& record : *records)
        if (record.seq != ++seq || record.body.bytes != text_of(lane, seq))
          return fmt::format("{} {} is not what was given", contract::to_string(lane), seq);
    }
  }
  return {};
}

/// Appends readings until the disk is full, then goes through what must hold. `fill` takes the last of the space,
/// `free` gives some back. With a reserve alarms are committed on the full disk.
template <class Fill, class Free>
std::string on_a_full_disk(const fs::path& folder, std::uint64_t reserve, Fill fill, Free free) {
  std::uint64_t tele = 0;
  std::uint64_t alarms = 0;
  std::vector<bool> health;
  {
    Desk desk{folder, reserve};
    if (!desk.ok()) return desk.error().message;
    desk->on_health([&health](const Status& status) { health.push_back(status.has_value()); });
    const auto append = [&](Lane lane, std::uint64_t& seq) {
      const auto given = desk.append(lane, text_of(lane, seq + 1));
      if (!given || given->seq != seq + 1) return false;
      ++seq;
      return true;
    };
    if (!append(Lane::tele, tele) || !append(Lane::alarm, alarms) || !desk.sync()) return "the first commit failed";

    fill();
    Status status;
    for (int i = 0; i < 20'000 && status; ++i) {
      if (!append(Lane::tele, tele)) return "a reading is refused before anything waits";
      status = desk.sync();
    }
    if (status) return "the disk was never full";
    if (status.error().code != Errc::full) return "it is not called full: " + status.error().message;
    if (health.empty() || health.front()) return "on_health() said nothing";
    if (desk->stat().last_failure.empty()) return "stat() says nothing";

    // Nothing stops: numbers are given, alarms above all.
    for (int i = 0; i < 5; ++i)
      if (!append(Lane::tele, tele) || !append(Lane::alarm, alarms)) return "an append is refused on a full disk";
    if (reserve > 0 && !desk.run_until([&] { return desk->committed(Lane::alarm) == alarms; }))
      return "alarms do not commit from the reserve";

    free();
    if (!desk.run_until([&] { return desk->committed(Lane::tele) == tele && desk->committed(Lane::alarm) == alarms; }))
      return "it does not go on when there is space again";
    if (!health.back()) return "on_health() does not say that it is well again";
    if (auto wrong = missing(desk, {{Lane::tele, tele}, {Lane::alarm, alarms}}); !wrong.empty()) return wrong;
  }
  Desk again{folder, reserve};
  if (!again.ok()) return again.error().message;
  if (!again->set_aside().empty()) return "a full disk passes for damage: " + again->set_aside();
  return missing(again, {{Lane::tele, tele}, {Lane::alarm, alarms}});
}

/// Mounts a tmpfs of its own in a namespace of its own: for a child. False where that is not allowed.
bool mount_small_disk(const fs::path& folder, const char* options) {
  const auto user = ::geteuid();
  const auto group = ::getegid();
  if (::unshare(CLONE_NEWNS) != 0) {
    if (::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return false;
    std::ofstream{"/proc/self/setgroups"} << "deny";
    std::ofstream{"/proc/self/uid_map"} << "0 " << user << " 1";  // who is nobody here may create nothing
    std::ofstream{"/proc/self/gid_map"} << "0 " << group << " 1";
  }
  return ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         ::mount("tmpfs", folder.c_str(), "tmpfs", MS_NOSUID | MS_NODEV, options) == 0;
}

constexpr const char* kMayNot = "may not mount";

void expect_well(const test::Ending& ending) {
  if (ending.says == kMayNot) {
    MESSAGE("skipped: this user may not mount, nor make a namespace where it may");
    return;
  }
  CHECK(ending.signal == 0);
  CHECK(ending.says == "");
}

void fill_up(const fs::path& folder, std::uintmax_t leave) {
  const auto space = fs::space(folder).available;
  const int fd = ::open((folder / "others").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (space > leave) (void)::posix_fallocate(fd, 0, static_cast<off_t>(space - leave));
  ::close(fd);
}

}  // namespace

TEST_CASE("on a full disk nothing that was committed is lost, and what waits is committed when there is space") {
  log::set_level(log::Level{0});
  TempDir folder{TempDir::On::memory};
  SUBCASE("a small disk that others fill") {
    expect_well(in_child([&]() -> std::string {
      if (!mount_small_disk(folder.path(), "size=32m")) return kMayNot;
      return on_a_full_disk(
          folder.path(), kReserve, [&] { fill_up(folder.path(), 300'000); }, [&] { fs::remove(folder.path() / "others"); });
    }));
  }
  SUBCASE("SQLite is told that it is full, at any byte") {
    for (std::uint64_t space = 0; space < 100'000; space += 7'919) {
      CAPTURE(space);
      TempDir own{TempDir::On::memory};
      PowerCutVfs disk{space};
      CHECK(on_a_full_disk(
                own.path(), 0, [&] { disk.set_space(space); }, [&] { disk.set_space(std::nullopt); }) == "");
    }
  }
}

TEST_CASE("readings that waited on a full disk when the power went are declared, also where none was ever stored") {
  log::set_level(log::Level{0});
  constexpr std::uint64_t kWaiting = 400;  // more than the log has room for
  for (const bool some_stored : {false, true}) {
    CAPTURE(some_stored);
    TempDir own{TempDir::On::memory};
    expect_well(in_child([&]() -> std::string {
      if (!mount_small_disk(own.path(), "size=32m")) return kMayNot;
      std::string epoch;
      const std::uint64_t stored = some_stored ? 1 : 0;
      const auto ended = in_child([&]() -> std::string {
        static Desk desk{own.path(), kReserve};  // never closed
        if (!desk.ok()) return desk.error().message;
        if (some_stored && !desk.append(Lane::tele, text_of(Lane::tele, 1))) return "the first reading is refused";
        if (!desk.append(Lane::alarm, text_of(Lane::alarm, 1)) || !desk.sync()) return "the first commit failed";
        fill_up(own.path(), 0);
        for (std::uint64_t seq = stored + 1; seq <= stored + kWaiting; ++seq)
          if (!desk.append(Lane::tele, text_of(Lane::tele, seq))) return "a reading is refused";
        (void)desk.sync();
        if (!desk.append(Lane::alarm, text_of(Lane::alarm, 2))) return "an alarm is refused";
        if (!desk.run_until([&] { return desk->committed(Lane::alarm) == 2; })) return "alarms do not commit from the reserve";
        if (desk->committed(Lane::tele) != stored) return "the disk was not full";
        return {};
      });
      if (!ended.says.empty()) return ended.says;
      fs::remove(own.path() / "others");
      Desk desk{own.path(), kReserve};
      if (!desk.ok()) return desk.error().message;
      if (!desk.append(Lane::event, "{}") || !desk.sync()) return "it does not go on";
      const auto next = desk.append(Lane::tele, "{}");
      if (!next || next->seq != stored + kWaiting + 1) return "a number is given again";
      const auto events = desk.read(Lane::event, 1);
      if (!events) return events.error().message;
      for (const auto& event : *events) {
        if (event.body.topic != "event/gateway/gap") continue;
        const auto detail = nlohmann::json::parse(event.body.bytes)["detail"];
        const bool all = detail["lane"] == "tele" && detail["from"] == stored + 1 && detail["to"] == stored + kWaiting;
        return all ? "" : "it declares " + detail.dump();
      }
      return "nothing is declared";
    }));
  }
}

TEST_CASE("a disk that becomes read-only stops commits and nothing else") {
  log::set_level(log::Level{0});
  TempDir folder{TempDir::On::memory};
  SUBCASE("at start: it says so, and opens when it may be written again") {
    expect_well(in_child([&]() -> std::string {
      if (!mount_small_disk(folder.path(), "size=16m")) return kMayNot;
      {
        Desk desk{folder.path()};
        if (!desk.ok() || !desk.append(Lane::event, text_of(Lane::event, 1)) || !desk.sync()) return "no first life";
      }
      if (::mount("tmpfs", folder.path().c_str(), "tmpfs", MS_REMOUNT | MS_RDONLY, "size=16m") != 0)
        return "cannot remount: " + std::to_string(errno);
      {
        Desk desk{folder.path()};
        if (desk.ok()) return "it opens on a read-only disk";
        if (desk.error().code != Errc::denied) return "it is not called denied: " + desk.error().message;
      }
      if (::mount("tmpfs", folder.path().c_str(), "tmpfs", MS_REMOUNT, "size=16m") != 0) return "cannot remount";
      Desk desk{folder.path()};
      if (!desk.ok()) return desk.error().message;
      if (!desk->set_aside().empty()) return "a read-only disk passes for damage: " + desk->set_aside();
      return missing(desk, {{Lane::event, 1}});
    }));
  }
  SUBCASE("while it lives") {
    PowerCutVfs disk{1};
    {
      Desk desk{folder.path()};
      REQUIRE(desk.ok());
      std::vector<bool> health;
      desk->on_health([&health](const Status& status) { health.push_back(status.has_value()); });
      REQUIRE(desk.append(Lane::event, text_of(Lane::event, 1)));
      REQUIRE(desk.sync());
      disk.set_read_only(true);
      REQUIRE(desk.append(Lane::event, text_of(Lane::event, 2)));
      CHECK(!desk.sync());
      CHECK(health == std::vector{false});
      CHECK(desk.read(Lane::event, 1).value().size() == 1);
      REQUIRE(desk.append(Lane::alarm, text_of(Lane::alarm, 1)));
      disk.set_read_only(false);
      CHECK(desk.run_until([&] { return desk->committed(Lane::event) == 2 && desk->committed(Lane::alarm) == 1; }));
      CHECK(health == std::vector{false, true});
      CHECK(missing(desk, {{Lane::event, 2}, {Lane::alarm, 1}}) == "");
    }
  }
}
