#include "tests/support/power_cut_vfs.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <condition_variable>
#include <cstring>
#include <fstream>
#include <map>
#include <mutex>
#include <new>
#include <random>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

namespace hamlet::support {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kSector = 512;
constexpr const char* kName = "power-cut";
using Sector = std::array<char, kSector>;

void must(bool ok, const char* what) {
  if (!ok) throw std::system_error{errno, std::generic_category(), what};
}

std::string read_all(int fd) {
  struct stat info {};
  must(::fstat(fd, &info) == 0, "fstat");
  std::string bytes(static_cast<std::size_t>(info.st_size), '\0');
  must(::pread(fd, bytes.data(), bytes.size(), 0) == info.st_size, "pread");
  return bytes;
}

void write_all(int fd, const std::string& bytes) {
  must(::ftruncate(fd, 0) == 0, "ftruncate");
  must(::pwrite(fd, bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()), "pwrite");
}

/// A write, or (where `bytes` is empty) a new size.
struct Change {
  std::uint64_t offset = 0;
  std::string bytes;
  [[nodiscard]] bool resizes() const { return bytes.empty(); }
};

void apply(const Change& change, std::string& content) {
  if (change.resizes()) return content.resize(change.offset);
  const auto end = change.offset + change.bytes.size();
  if (content.size() < end) content.resize(end);
  std::memcpy(content.data() + change.offset, change.bytes.data(), change.bytes.size());
}

/// How much of what was not synced survives a cut. Drawn once for each cut.
enum class Fate { everything, nothing, prefix, writes, sectors };

/// One file, by inode: what is durable of it, and what is not yet. Its descriptor is closed with it, and only then, as
/// closing any descriptor drops the process's locks on the file.
struct Shadow {
  Shadow(std::string the_path, int the_fd) : path{std::move(the_path)}, fd{the_fd}, durable{read_all(fd)} {}
  ~Shadow() { ::close(fd); }
  Shadow(const Shadow&) = delete;
  Shadow& operator=(const Shadow&) = delete;

  void settle() {
    for (const auto& change : pending) apply(change, durable);
    pending.clear();
  }
  std::string surviving(Fate fate, std::mt19937_64& random) const;

  std::string path;
  int fd;
  std::size_t handles = 0;
  std::string durable;
  std::vector<Change> pending;
};

std::string Shadow::surviving(Fate fate, std::mt19937_64& random) const {
  if (pending.empty() || fate == Fate::nothing) return durable;
  const auto dice = [&random](std::size_t below) { return static_cast<std::size_t>(random() % below); };
  const auto count = pending.size();
  std::size_t whole = count;  // changes before this one survive, this one is torn, later ones are lost
  if (fate == Fate::prefix) whole = dice(count);
  std::vector<bool> kept(count, true);
  if (fate == Fate::writes)
    for (auto&& keep : kept) keep = dice(2) == 0;
  std::size_t sized = count;  // the size is that after so many changes
  if (fate == Fate::prefix) sized = whole + dice(2);
  if (fate == Fate::writes || fate == Fate::sectors) sized = dice(count + 1);

  // Each sector's versions; one holds what earlier writes put beside it, as the page cache did. A cut of the size ends
  // what is behind it: where it survives, so much is gone for good; where not, nothing later is there.
  struct Versions {
    bool fresh = false;  // no durable content
    bool closed = false;
    std::vector<std::pair<std::size_t, Sector>> all;
  };
  std::map<std::uint64_t, Versions> sectors;
  std::string content = durable;
  auto size = content.size();
  for (std::size_t i = 0; i < count; ++i) {
    const auto& change = pending[i];
    const auto before = content.size();
    apply(change, content);
    if (i + 1 == sized) size = content.size();
    if (change.resizes()) {
      for (auto at = (change.offset + kSector - 1) / kSector; at * kSector < before; ++at) {
        auto& versions = sectors[at];
        if (i < sized) {
          versions = {.fresh = true, .closed = false, .all = {}};
        } else {
          versions.closed = true;
        }
      }
      continue;
    }
    for (auto at = change.offset / kSector; at * kSector < change.offset + change.bytes.size(); ++at) {
      auto& versions = sectors[at];
      if (versions.closed) continue;
      auto& [number, bytes] = versions.all.emplace_back(i, Sector{});
      std::memcpy(bytes.data(), content.data() + at * kSector, std::min(kSector, content.size() - at * kSector));
    }
  }

  std::string out = durable;
  const bool garbage = dice(2) == 0;
  for (const auto& [sector, versions] : sectors) {
    std::optional<Sector> survivor;
    if (fate == Fate::sectors) {
      if (const auto pick = dice(versions.all.size() + 1); pick > 0) survivor = versions.all[pick - 1].second;
    } else {
      for (const auto& [i, bytes] : versions.all)
        if (i < whole ? kept[i] : i == whole && dice(2) == 0) survivor = bytes;
    }
    const auto at = sector * kSector;
    if (!survivor) {
      if (at < durable.size() && !versions.fresh) continue;
      survivor = Sector{};
      if (garbage)
        for (auto& byte : *survivor) byte = static_cast<char>(random());
    }
    if (out.size() < at + kSector) out.resize(at + kSector);
    std::memcpy(out.data() + at, survivor->data(), kSector);
  }
  out.resize(size);
  return out;
}

struct Handle {
  sqlite3_file base;
  PowerCutVfs::Impl* disk;
  Shadow* shadow;
  sqlite3_file* real;
  bool database;
  bool syncs_folder;
};

std::string folder_of(const std::string& path) {
  return fs::path{path}.parent_path().string();
}

}  // namespace

struct PowerCutVfs::Impl {
  explicit Impl(std::uint64_t seed) : random{seed} {}

  // Each operation asks here first: SQLITE_OK to go on. Takes part in the counting, the holding and the cutting.
  // `sync`: the file that is being synced, which a cut may find done.
  enum class Step { go, fail };
  Step begin(std::unique_lock<std::mutex>& lock, bool database, Shadow* sync = nullptr);
  void cut();
  void sync_folder(const std::string& folder);
  void name_changed(const std::string& path, std::shared_ptr<Shadow> before, std::shared_ptr<Shadow> after);
  std::shared_ptr<Shadow> find(const std::string& path);
  std::shared_ptr<Shadow> track(const std::string& path);
  void forget_settled();
  /// How much of a growth to `end` fits.
  std::uint64_t room_for(std::uint64_t size, std::uint64_t end);

  sqlite3_vfs vfs{};
  sqlite3_vfs* parent = nullptr;

  mutable std::mutex mutex;
  std::condition_variable released;
  std::mt19937_64 random;
  bool powered = true;
  bool held = false;
  std::uint64_t cut_in = 0;  // operations; 0: never
  On cut_on = On::any;
  std::function<void()> cut_callback;
  std::optional<std::uint64_t> space;
  bool read_only = false;
  bool lying = false;
  Counts counts;
  std::size_t handles = 0;
  std::vector<std::shared_ptr<Shadow>> shadows;
  /// Which file each name led to since the last sync of its folder, the durable one first. nullptr: none.
  std::map<std::string, std::vector<std::shared_ptr<Shadow>>> names;
  std::map<std::string, int> shm_regions;
};

PowerCutVfs::Impl::Step PowerCutVfs::Impl::begin(std::unique_lock<std::mutex>& lock, bool database, Shadow* sync) {
  released.wait(lock, [this] { return !held || !powered; });
  if (!powered) return Step::fail;
  ++counts.operations;
  if (database) ++counts.database_operations;
  if (cut_in == 0 || (cut_on == On::database && !database)) return Step::go;
  if (--cut_in > 0) return Step::go;
  if (sync != nullptr && !lying && random() % 2 == 0) sync->settle();
  cut();
  return Step::fail;
}

void PowerCutVfs::Impl::cut() {
  powered = false;
  cut_in = 0;
  if (cut_callback) cut_callback();
  released.notify_all();
}

void PowerCutVfs::Impl::sync_folder(const std::string& folder) {
  ++counts.folder_syncs;
  std::erase_if(names, [&](const auto& name) { return folder_of(name.first) == folder; });
  forget_settled();
}

void PowerCutVfs::Impl::name_changed(const std::string& path, std::shared_ptr<Shadow> before,
                                     std::shared_ptr<Shadow> after) {
  auto& states = names[path];
  if (states.empty()) states.push_back(std::move(before));
  states.push_back(std::move(after));
}

std::shared_ptr<Shadow> PowerCutVfs::Impl::find(const std::string& path) {
  struct stat wanted {};
  if (::stat(path.c_str(), &wanted) != 0) return nullptr;
  for (const auto& shadow : shadows) {
    struct stat info {};
    if (::fstat(shadow->fd, &info) == 0 && info.st_dev == wanted.st_dev && info.st_ino == wanted.st_ino) return shadow;
  }
  return nullptr;
}

std::shared_ptr<Shadow> PowerCutVfs::Impl::track(const std::string& path) {
  if (auto known = find(path)) return known;
  const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return nullptr;
  return shadows.emplace_back(std::make_shared<Shadow>(path, fd));
}

// Closed, and durable, and so is its name: what others do to it now is seen when it is opened again.
void PowerCutVfs::Impl::forget_settled() {
  std::erase_if(shadows, [](const auto& shadow) {
    return shadow.use_count() == 1 && shadow->handles == 0 && shadow->pending.empty();
  });
}

std::uint64_t PowerCutVfs::Impl::room_for(std::uint64_t size, std::uint64_t end) {
  if (!space || end <= size) return end;
  const auto grown = std::min(end - size, *space);
  *space -= grown;
  return size + grown;
}

namespace {

using Impl = PowerCutVfs::Impl;

Handle& of(sqlite3_file* file) {
  return *reinterpret_cast<Handle*>(file);
}
Impl& of(sqlite3_vfs* vfs) {
  return *static_cast<Impl*>(vfs->pAppData);
}

bool alive(Impl& disk) {
  const std::lock_guard lock{disk.mutex};
  return disk.powered;
}

std::uint64_t size_of(Handle& file) {
  sqlite3_int64 size = 0;
  file.real->pMethods->xFileSize(file.real, &size);
  return static_cast<std::uint64_t>(size);
}

int close_file(sqlite3_file* base) {
  auto& file = of(base);
  const std::lock_guard lock{file.disk->mutex};
  const int code = file.real->pMethods->xClose(file.real);
  --file.shadow->handles;
  --file.disk->handles;
  file.disk->forget_settled();
  return code;
}

int read_file(sqlite3_file* base, void* to, int amount, sqlite3_int64 offset) {
  auto& file = of(base);
  if (!alive(*file.disk)) return SQLITE_IOERR_READ;
  return file.real->pMethods->xRead(file.real, to, amount, offset);
}

int write_file(sqlite3_file* base, const void* from, int amount, sqlite3_int64 at) {
  auto& file = of(base);
  auto& disk = *file.disk;
  std::unique_lock lock{disk.mutex};
  if (disk.begin(lock, file.database) == Impl::Step::fail) return SQLITE_IOERR_WRITE;
  if (disk.read_only) {
    ++disk.counts.refused;
    return SQLITE_IOERR_WRITE;
  }
  const auto offset = static_cast<std::uint64_t>(at);
  const auto end = offset + static_cast<std::uint64_t>(amount);
  const auto fits = disk.room_for(size_of(file), end);
  if (fits > offset) {
    const auto length = static_cast<std::size_t>(fits - offset);
    const int code = file.real->pMethods->xWrite(file.real, from, static_cast<int>(length), at);
    if (code != SQLITE_OK) return code;
    file.shadow->pending.push_back({offset, std::string{static_cast<const char*>(from), length}});
    disk.counts.bytes += length;
  }
  if (fits == end) return SQLITE_OK;
  ++disk.counts.refused;
  return SQLITE_FULL;
}

int resize_file(sqlite3_file* base, sqlite3_int64 size) {
  auto& file = of(base);
  auto& disk = *file.disk;
  std::unique_lock lock{disk.mutex};
  if (disk.begin(lock, file.database) == Impl::Step::fail) return SQLITE_IOERR_TRUNCATE;
  if (disk.read_only) {
    ++disk.counts.refused;
    return SQLITE_IOERR_TRUNCATE;
  }
  const auto before = size_of(file);
  const int code = file.real->pMethods->xTruncate(file.real, size);
  if (code != SQLITE_OK) return code;
  const auto now = size_of(file);
  file.shadow->pending.push_back({now, {}});
  if (disk.space && now < before) *disk.space += before - now;
  return SQLITE_OK;
}

// The real files need no sync: their machine does not fail.
int sync_file(sqlite3_file* base, int) {
  auto& file = of(base);
  auto& disk = *file.disk;
  std::unique_lock lock{disk.mutex};
  if (disk.begin(lock, file.database, file.shadow) == Impl::Step::fail) return SQLITE_IOERR_FSYNC;
  ++disk.counts.syncs;
  if (disk.lying) return SQLITE_OK;
  file.shadow->settle();
  if (std::exchange(file.syncs_folder, false)) disk.sync_folder(folder_of(file.shadow->path));
  return SQLITE_OK;
}

int file_size(sqlite3_file* base, sqlite3_int64* size) {
  auto& file = of(base);
  if (!alive(*file.disk)) return SQLITE_IOERR_FSTAT;
  return file.real->pMethods->xFileSize(file.real, size);
}

int lock_file(sqlite3_file* base, int level) {
  auto& file = of(base);
  if (!alive(*file.disk)) return SQLITE_IOERR_LOCK;
  return file.real->pMethods->xLock(file.real, level);
}

int unlock_file(sqlite3_file* base, int level) {
  auto& file = of(base);
  return file.real->pMethods->xUnlock(file.real, level);
}

int check_reserved(sqlite3_file* base, int* out) {
  auto& file = of(base);
  if (!alive(*file.disk)) return SQLITE_IOERR_CHECKRESERVEDLOCK;
  return file.real->pMethods->xCheckReservedLock(file.real, out);
}

int control_file(sqlite3_file* base, int what, void* argument) {
  auto& file = of(base);
  if (what != SQLITE_FCNTL_SIZE_HINT) return file.real->pMethods->xFileControl(file.real, what, argument);
  auto& disk = *file.disk;
  std::unique_lock lock{disk.mutex};
  if (disk.begin(lock, file.database) == Impl::Step::fail) return SQLITE_IOERR_WRITE;
  if (disk.read_only) return SQLITE_IOERR_WRITE;
  const auto before = size_of(file);
  const int code = file.real->pMethods->xFileControl(file.real, what, argument);
  const auto now = size_of(file);
  if (now != before) file.shadow->pending.push_back({now, {}});
  return disk.room_for(before, now) == now ? code : SQLITE_FULL;
}

int sector_size(sqlite3_file* base) {
  auto& file = of(base);
  return file.real->pMethods->xSectorSize(file.real);
}

int characteristics(sqlite3_file* base) {
  auto& file = of(base);
  return file.real->pMethods->xDeviceCharacteristics(file.real) & SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

int shm_map(sqlite3_file* base, int region, int bytes, int extend, void volatile** out) {
  auto& file = of(base);
  auto& disk = *file.disk;
  {
    const std::lock_guard lock{disk.mutex};
    if (!disk.powered) return SQLITE_IOERR_SHMMAP;
    auto& regions = disk.shm_regions[file.shadow->path];
    if (extend != 0 && region >= regions) {
      if (disk.read_only) return SQLITE_READONLY;
      if (disk.space && *disk.space < static_cast<std::uint64_t>(bytes)) {
        ++disk.counts.refused;
        return SQLITE_IOERR_SHMSIZE;
      }
      if (disk.space) *disk.space -= static_cast<std::uint64_t>(bytes);
      regions = region + 1;
    }
  }
  return file.real->pMethods->xShmMap(file.real, region, bytes, extend, out);
}

int shm_lock(sqlite3_file* base, int offset, int count, int flags) {
  auto& file = of(base);
  if ((flags & SQLITE_SHM_UNLOCK) == 0 && !alive(*file.disk)) return SQLITE_IOERR_SHMLOCK;
  return file.real->pMethods->xShmLock(file.real, offset, count, flags);
}

void shm_barrier(sqlite3_file* base) {
  auto& file = of(base);
  file.real->pMethods->xShmBarrier(file.real);
}

int shm_unmap(sqlite3_file* base, int remove) {
  auto& file = of(base);
  return file.real->pMethods->xShmUnmap(file.real, alive(*file.disk) ? remove : 0);
}

constexpr sqlite3_io_methods kMethods{.iVersion = 2,
                                      .xClose = close_file,
                                      .xRead = read_file,
                                      .xWrite = write_file,
                                      .xTruncate = resize_file,
                                      .xSync = sync_file,
                                      .xFileSize = file_size,
                                      .xLock = lock_file,
                                      .xUnlock = unlock_file,
                                      .xCheckReservedLock = check_reserved,
                                      .xFileControl = control_file,
                                      .xSectorSize = sector_size,
                                      .xDeviceCharacteristics = characteristics,
                                      .xShmMap = shm_map,
                                      .xShmLock = shm_lock,
                                      .xShmBarrier = shm_barrier,
                                      .xShmUnmap = shm_unmap,
                                      .xFetch = nullptr,
                                      .xUnfetch = nullptr};

constexpr int kTracked = SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_SUPER_JOURNAL | SQLITE_OPEN_WAL;
constexpr int kJournals = SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_SUPER_JOURNAL | SQLITE_OPEN_WAL;

int open_file(sqlite3_vfs* vfs, const char* name, sqlite3_file* base, int flags, int* out_flags) {
  auto& disk = of(vfs);
  base->pMethods = nullptr;
  if (name == nullptr || (flags & kTracked) == 0) return disk.parent->xOpen(disk.parent, name, base, flags, out_flags);

  std::unique_lock lock{disk.mutex};
  if (!disk.powered) return SQLITE_CANTOPEN;
  const bool database = (flags & SQLITE_OPEN_MAIN_DB) != 0;
  struct stat info {};
  const bool makes = (flags & SQLITE_OPEN_CREATE) != 0 && ::stat(name, &info) != 0;
  if (makes) {
    if (disk.begin(lock, database) == Impl::Step::fail) return SQLITE_CANTOPEN;
    if (disk.read_only) return SQLITE_CANTOPEN;
  }
  if (disk.read_only && (flags & SQLITE_OPEN_READWRITE) != 0) {
    flags &= ~(SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
    flags |= SQLITE_OPEN_READONLY;
  }
  auto* file = new (base) Handle{};
  file->real = reinterpret_cast<sqlite3_file*>(file + 1);
  const int code = disk.parent->xOpen(disk.parent, name, file->real, flags, out_flags);
  if (code != SQLITE_OK) {
    if (file->real->pMethods != nullptr) file->real->pMethods->xClose(file->real);
    return code;
  }
  const auto shadow = disk.track(name);
  if (!shadow) {
    file->real->pMethods->xClose(file->real);
    return SQLITE_CANTOPEN;
  }
  if (makes) disk.name_changed(name, nullptr, shadow);
  ++shadow->handles;
  ++disk.handles;
  file->disk = &disk;
  file->shadow = shadow.get();
  file->database = database;
  file->syncs_folder = (flags & SQLITE_OPEN_CREATE) != 0 && (flags & kJournals) != 0;
  file->base.pMethods = &kMethods;
  return SQLITE_OK;
}

int delete_file(sqlite3_vfs* vfs, const char* name, int sync_folder) {
  auto& disk = of(vfs);
  std::unique_lock lock{disk.mutex};
  if (disk.begin(lock, false) == Impl::Step::fail) return SQLITE_IOERR_DELETE;
  if (disk.read_only) return SQLITE_IOERR_DELETE;
  struct stat info {};
  if (::stat(name, &info) != 0) return SQLITE_IOERR_DELETE_NOENT;
  disk.name_changed(name, disk.track(name), nullptr);
  const int code = disk.parent->xDelete(disk.parent, name, 0);
  if (code != SQLITE_OK) return code;
  if (disk.space) *disk.space += static_cast<std::uint64_t>(info.st_size);
  if (sync_folder != 0 && !disk.lying) disk.sync_folder(folder_of(name));
  return SQLITE_OK;
}

int access_file(sqlite3_vfs* vfs, const char* name, int flags, int* out) {
  auto& disk = of(vfs);
  bool read_only = false;
  {
    const std::lock_guard lock{disk.mutex};
    if (!disk.powered) return SQLITE_IOERR_ACCESS;
    read_only = disk.read_only;
  }
  const int code = disk.parent->xAccess(disk.parent, name, flags, out);
  if (flags == SQLITE_ACCESS_READWRITE && read_only) *out = 0;
  return code;
}

}  // namespace

PowerCutVfs::PowerCutVfs(std::uint64_t seed) : impl_{std::make_unique<Impl>(seed)} {
  if (sqlite3_vfs_find(kName) != nullptr) throw std::logic_error{"one PowerCutVfs at a time"};
  impl_->parent = sqlite3_vfs_find(nullptr);
  if (impl_->parent == nullptr) throw std::logic_error{"SQLite has no VFS"};
  impl_->vfs = *impl_->parent;
  auto& vfs = impl_->vfs;
  vfs.szOsFile = static_cast<int>(sizeof(Handle)) + impl_->parent->szOsFile;
  vfs.pNext = nullptr;
  vfs.zName = kName;
  vfs.pAppData = impl_.get();
  vfs.xOpen = open_file;
  vfs.xDelete = delete_file;
  vfs.xAccess = access_file;
  sqlite3_vfs_register(&vfs, /*makeDflt=*/1);
}

PowerCutVfs::~PowerCutVfs() {
  assert(impl_->handles == 0);
  sqlite3_vfs_unregister(&impl_->vfs);
  sqlite3_vfs_register(impl_->parent, /*makeDflt=*/1);
}

void PowerCutVfs::cut_at(std::uint64_t nth, On on) {
  const std::lock_guard lock{impl_->mutex};
  impl_->cut_in = nth;
  impl_->cut_on = on;
}

void PowerCutVfs::cut_now() {
  const std::lock_guard lock{impl_->mutex};
  if (impl_->powered) impl_->cut();
}

void PowerCutVfs::never_cut() {
  cut_at(0);
}

bool PowerCutVfs::powered() const {
  return alive(*impl_);
}

void PowerCutVfs::on_cut(std::function<void()> callback) {
  const std::lock_guard lock{impl_->mutex};
  impl_->cut_callback = std::move(callback);
}

void PowerCutVfs::power_on() {
  const std::lock_guard lock{impl_->mutex};
  if (impl_->handles != 0) throw std::logic_error{"power_on() while files are open"};
  if (impl_->powered) return;
  auto& random = impl_->random;
  const auto fate = static_cast<Fate>(random() % 5);
  for (const auto& shadow : impl_->shadows) {
    if (!shadow->pending.empty()) write_all(shadow->fd, shadow->surviving(fate, random));
    shadow->pending.clear();
  }
  for (const auto& [path, states] : impl_->names) {
    const auto pick = fate == Fate::everything ? states.size() - 1
                      : fate == Fate::nothing  ? 0
                                               : static_cast<std::size_t>(random() % states.size());
    const auto& survivor = states[pick];
    if (survivor == states.back()) continue;
    ::unlink(path.c_str());
    if (!survivor) continue;
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    must(fd >= 0, path.c_str());
    write_all(fd, read_all(survivor->fd));
    ::close(fd);
  }
  for (const auto& shadow : impl_->shadows)
    if (random() % 2 == 0) ::unlink((shadow->path + "-shm").c_str());
  impl_->names.clear();
  impl_->shadows.clear();
  impl_->shm_regions.clear();
  impl_->held = false;
  impl_->cut_in = 0;
  impl_->powered = true;
}

void PowerCutVfs::hold() {
  const std::lock_guard lock{impl_->mutex};
  impl_->held = true;
}

void PowerCutVfs::release() {
  const std::lock_guard lock{impl_->mutex};
  impl_->held = false;
  impl_->released.notify_all();
}

void PowerCutVfs::set_space(std::optional<std::uint64_t> bytes) {
  const std::lock_guard lock{impl_->mutex};
  impl_->space = bytes;
}

void PowerCutVfs::set_read_only(bool read_only) {
  const std::lock_guard lock{impl_->mutex};
  impl_->read_only = read_only;
}

void PowerCutVfs::set_lying_syncs(bool lying) {
  const std::lock_guard lock{impl_->mutex};
  impl_->lying = lying;
}

PowerCutVfs::Counts PowerCutVfs::counts() const {
  const std::lock_guard lock{impl_->mutex};
  return impl_->counts;
}

std::size_t PowerCutVfs::open_handles() const {
  const std::lock_guard lock{impl_->mutex};
  return impl_->handles;
}

void flip_bit(const std::filesystem::path& file, std::uint64_t offset, unsigned bit) {
  const int fd = ::open(file.c_str(), O_RDWR | O_CLOEXEC);
  must(fd >= 0, file.c_str());
  char byte = 0;
  must(::pread(fd, &byte, 1, static_cast<off_t>(offset)) == 1, "pread");
  byte = static_cast<char>(byte ^ (1 << (bit % 8)));
  must(::pwrite(fd, &byte, 1, static_cast<off_t>(offset)) == 1, "pwrite");
  ::close(fd);
}

}  // namespace hamlet::support
