#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>

namespace hamlet::support {

/// A SQLite VFS that simulates power cuts and failing disks. While an object lives, it is SQLite's default VFS; one at
/// a time. All members may be called from any thread.
///
/// What is modelled. Files are real files (give them a folder on tmpfs) and every call goes through to SQLite's unix
/// VFS, so that code which looks at the same files with std::filesystem sees what it expects. Beside that, each file
/// has a shadow: its durable content, and the writes and changes of size since its last xSync. At a cut
///   - each 512-byte sector survives in any one of the versions that it had since the last xSync of its file, whatever
///     became of its neighbours: writes are kept, dropped, torn at sector borders, in any order, within a file and
///     among files. Bytes beside a write in the same sector are not harmed (SQLite's "powersafe overwrite", true of
///     disks and flash cards that keep their word);
///   - the size is any one that the file had since; a sector that is inside and never arrived reads as zeros or as
///     garbage. Making a file shorter is one step, as on journaling file systems: where it survives, nothing of what
///     was there does, and where not, nothing of what was written there later;
///   - names that SQLite made or deleted survive in any state since the folder's last sync. A folder is synced where
///   the unix
///     VFS does so: by xDelete with syncDir, and by the first xSync of a handle on a rollback journal or a WAL. Files
///     that were there before SQLite opened them count as durable, name and content;
///   - the -shm is lost, or is left as it was: nobody may rely on it.
/// Which of all that happens is drawn from the seed: everything, nothing, a prefix, whole writes, or single sectors.
/// From the cut on, every operation of the handles of before fails (SQLITE_IOERR), as does opening. The process lives
/// on: close all handles, then power_on() puts what survived into the real files. A cut inside an xSync happens before
/// or after it.
///
/// What is not modelled: operations on files outside SQLite (rename, unlink, fsync by others) are durable at once;
/// a tracked file that somebody renames keeps its shadow. Only one process. Temporary files are passed through.
class PowerCutVfs {
 public:
  explicit PowerCutVfs(std::uint64_t seed);
  ~PowerCutVfs();  ///< the default VFS of before is the default again; no handle may be open
  PowerCutVfs(const PowerCutVfs&) = delete;
  PowerCutVfs& operator=(const PowerCutVfs&) = delete;

  // ---- power

  /// What counts as an operation: writes, changes of size, syncs, and making or deleting a file.
  enum class On { any, database };  ///< of any file, or only of main databases (checkpoints)
  /// The power fails at the nth operation from now (1: at the next).
  void cut_at(std::uint64_t nth, On on = On::any);
  void cut_now();
  void never_cut();  ///< forgets cut_at()
  [[nodiscard]] bool powered() const;
  /// Runs in the moment of the cut, on the thread that meets it; must not call this object or SQLite.
  void on_cut(std::function<void()> callback);
  /// What survived becomes the files' content. Every handle must be closed: else std::logic_error.
  void power_on();

  /// Holds every thread at its next operation, until release(): what the writer does while others go on is then the
  /// same in each run. A cut releases too.
  void hold();
  void release();

  // ---- faults

  /// Bytes by which files may still grow before SQLITE_FULL; nullopt: no bound. A write that does not fit writes what
  /// fits.
  void set_space(std::optional<std::uint64_t> bytes);
  /// As a kernel does after an error of the disk (errors=remount-ro): reads go on, all else fails.
  void set_read_only(bool read_only);
  /// xSync says yes and does nothing, as some flash cards do: for tests that must be able to fail.
  void set_lying_syncs(bool lying);

  struct Counts {
    std::uint64_t operations = 0;
    std::uint64_t database_operations = 0;
    std::uint64_t bytes = 0;  ///< written
    std::uint64_t syncs = 0;
    std::uint64_t folder_syncs = 0;
    std::uint64_t refused = 0;  ///< for want of space, or read-only
  };
  [[nodiscard]] Counts counts() const;
  [[nodiscard]] std::size_t open_handles() const;

  struct Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

/// Turns one bit over in a file at rest.
void flip_bit(const std::filesystem::path& file, std::uint64_t offset, unsigned bit);

}  // namespace hamlet::support
