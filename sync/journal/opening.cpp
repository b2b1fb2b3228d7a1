#include "sync/journal/opening.hpp"

#include <cerrno>
#include <system_error>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include "firmware/core/id.hpp"
#include "sync/journal/media.hpp"

namespace hamlet::journal {
namespace {

namespace fs = std::filesystem;

Status make_folder(const fs::path& folder) {
  std::error_code error;
  const bool made = fs::create_directories(folder, error);
  if (!error && made) fs::permissions(folder, static_cast<fs::perms>(0750), error);
  if (!error) return {};
  const auto code =
      error == std::errc::permission_denied || error == std::errc::read_only_file_system ? Errc::denied : Errc::failed;
  return fail(code, fmt::format("make the folder {}: {}", folder.string(), error.message()));
}

Result<WriterLock> lock_folder(const fs::path& folder) {
  const auto path = folder / "journal.lock";
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
  if (fd < 0) {
    const int why = errno;
    return fail(why == EACCES || why == EROFS ? Errc::denied : Errc::failed,
                fmt::format("{}: {}", path.string(), std::generic_category().message(why)));
  }
  WriterLock lock{fd};
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    return fail(Errc::unavailable,
                fmt::format("{}: another hamletd uses this journal; stop it first", folder.string()));
  }
  return lock;
}

// "20260501T083000Z"
std::string stamp(WallTime now) {
  auto text = to_iso_utc(now).substr(0, 19);
  std::erase_if(text, [](char c) { return c == '-' || c == ':'; });
  return text + "Z";
}

// Renames the file and its -wal; the -shm is made anew from them. Returns the new name.
Result<std::string> rename_aside(const fs::path& file, std::string_view why, WallTime now) {
  std::string name;
  std::error_code error;
  for (int n = 0; name.empty() || fs::exists(file.parent_path() / name, error); ++n) {
    name = fmt::format("journal-{}-{}{}.db", stamp(now), why, n == 0 ? "" : fmt::format("-{}", n));
  }
  const auto aside = file.parent_path() / name;
  fs::rename(file, aside, error);
  if (error) return fail(Errc::failed, fmt::format("set {} aside: {}", file.string(), error.message()));
  for (const auto* suffix : {"-wal", "-shm"}) {
    std::error_code absent;  // after a clean stop there may be none
    fs::rename(fs::path{file}.concat(suffix), fs::path{aside}.concat(suffix), absent);
  }
  return name;
}

// Touches what a start needs, so that damage there is found now.
Status check(Store& store) {
  for (const auto lane : contract::kLanes) {
    if (auto numbers = store.numbers(lane); !numbers) return fail(std::move(numbers).error());
  }
  if (auto positions = store.positions(); !positions) return fail(std::move(positions).error());
  if (auto boots = store.boots(); !boots) return fail(std::move(boots).error());
  if (auto states = store.states(""); !states) return fail(std::move(states).error());
  return {};
}

Result<std::unique_ptr<Store>> open_checked(const fs::path& file) {
  auto store = Store::open_writing(file);
  if (!store) return store;
  if (auto status = check(**store); !status) return fail(std::move(status).error());
  return store;
}

// What belongs to the village and not to the machine.
Result<Changes> carried_over(Store& store) {
  Changes changes;
  auto boots = store.boots();
  if (!boots) return fail(std::move(boots).error());
  auto states = store.states("");
  if (!states) return fail(std::move(states).error());
  changes.boots = std::move(*boots);
  for (auto& [key, value] : *states) changes.states.emplace(std::move(key), std::move(value));
  return changes;
}

struct Attempt {
  std::unique_ptr<Store> store;
  Changes carry;
  std::string set_aside;
};

Result<Attempt> replace(const fs::path& file, std::string_view why, std::string_view reason, Changes carry,
                        WallTime now) {
  const auto name = rename_aside(file, why, now);
  if (!name) return fail(name.error());
  auto store = open_checked(file);
  if (!store) return fail(std::move(store).error());
  return Attempt{std::move(*store), std::move(carry), fmt::format("{}; kept as {}", reason, *name)};
}

Result<Attempt> open_or_replace(const fs::path& file, const std::string& machine_id, WallTime now) {
  auto store = open_checked(file);
  if (!store) {
    if (store.error().code != Errc::corrupt) return fail(std::move(store).error());
    return replace(file, "damaged", store.error().message, {}, now);
  }
  const auto written_by = (*store)->meta("machine_id");
  if (!written_by) return fail(written_by.error());
  const bool moved = *written_by && !(*written_by)->empty() && !machine_id.empty() && **written_by != machine_id;
  if (!moved) return Attempt{std::move(*store), {}, {}};
  auto carry = carried_over(**store);
  if (!carry) return fail(std::move(carry).error());
  store->reset();
  return replace(file, "moved", "another machine wrote it", std::move(*carry), now);
}

}  // namespace

WriterLock::~WriterLock() {
  if (fd_ >= 0) ::close(fd_);
}

Result<Opened> open_for_writing(const Options& options, WallTime now) {
  const auto& folder = options.directory;
  for (const auto& needed : {folder, folder / kMediaFolder}) {
    if (auto status = make_folder(needed); !status) return fail(std::move(status).error());
  }
  auto lock = lock_folder(folder);
  if (!lock) return fail(std::move(lock).error());
  auto attempt = open_or_replace(folder / kFileName, options.machine_id, now);
  if (!attempt) return fail(std::move(attempt).error());

  auto& store = *attempt->store;
  const auto stored = store.meta("epoch");
  if (!stored) return fail(stored.error());
  const auto epoch = stored->value_or(random_hex64());
  auto status = store.commit(attempt->carry, epoch);
  if (status && !options.machine_id.empty()) status = store.put_meta("machine_id", options.machine_id);
  if (status && !*stored) status = store.put_meta("epoch", epoch);
  if (!status) return fail(std::move(status).error());
  return Opened{std::move(*lock), std::move(attempt->store), epoch, std::move(attempt->set_aside)};
}

}  // namespace hamlet::journal
