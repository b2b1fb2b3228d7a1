#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "firmware/core/result.hpp"
#include "firmware/core/time.hpp"
#include "sync/journal/journal.hpp"
#include "sync/journal/store.hpp"

namespace hamlet::journal {

/// Held while a daemon writes the journal; the kernel lets go of it however the process ends.
class WriterLock {
 public:
  WriterLock() = default;
  explicit WriterLock(int fd) : fd_{fd} {}
  ~WriterLock();
  WriterLock(WriterLock&& other) noexcept : fd_{std::exchange(other.fd_, -1)} {}
  WriterLock& operator=(WriterLock&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }

 private:
  int fd_ = -1;
};

/// A journal that is ready to be written.
struct Opened {
  WriterLock lock;
  std::unique_ptr<Store> store;
  std::vector<EpochRow> epochs;  ///< the last one goes on
  std::string set_aside;         ///< what was wrong and what became of it, for an event; empty where all was well
};

/// Opens or creates journal.db and decides about the epoch. A new one begins where there is no journal, where another
/// machine wrote it, where it is behind its mark (a copy, or a disk that lied), where its log is damaged; records of
/// before keep theirs. A file that is no journal any more, or that a newer firmware wrote, is set aside under a dated
/// name, never deleted; what is small is carried over at once, and records follow (Salvage). Error unavailable: another
/// process writes here.
[[nodiscard]] Result<Opened> open_for_writing(const Options& options, WallTime now);

/// Sets the file aside, for Opened: also while the daemon runs. `store` must be closed.
struct Replaced {
  std::unique_ptr<Store> store;
  std::vector<EpochRow> epochs;
  std::string set_aside;
};
/// `names`: as the daemon has them; null: as the damaged file has them.
[[nodiscard]] Result<Replaced> replace_damaged(const Options& options, std::string_view reason, WallTime now,
                                               const contract::Names* names);

/// Moves records from a journal that was set aside into the one that goes on, a slice a call. Its work list is in
/// `meta`, so that it goes on after a restart.
class Salvage {
 public:
  /// Null where there is nothing to do.
  [[nodiscard]] static std::unique_ptr<Salvage> resume(const std::filesystem::path& folder, Store& into);

  /// True where more is left. Error: of the journal that goes on; what cannot be read of the other is passed over.
  [[nodiscard]] Result<bool> step(Store& into);

  /// The salvaged epochs with the newest numbers that were found, when step() gave false.
  [[nodiscard]] const std::vector<EpochRow>& epochs() const { return epochs_; }
  /// For an event, when step() gave false: {"file","records","lost":[{"epoch","lane","from","to"},…]}.
  [[nodiscard]] nlohmann::json summary() const;

 private:
  struct LaneWork {
    Lane lane = Lane::alarm;
    Key next = 0;
    Key end = 0;  // of what may be there
  };
  Salvage(std::filesystem::path file, std::unique_ptr<Store> from);
  void pass_over(LaneWork& work, Key to);

  std::filesystem::path file_;
  std::unique_ptr<Store> from_;
  std::vector<EpochRow> epochs_;
  bool names_known_ = false;
  std::vector<LaneWork> work_;  // the next one last
  std::uint64_t records_ = 0;
  std::vector<std::pair<Lane, std::pair<Key, Key>>> lost_;
};

}  // namespace hamlet::journal
