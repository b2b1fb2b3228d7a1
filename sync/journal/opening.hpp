#pragma once

#include <memory>
#include <string>

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
  std::string epoch;
  std::string set_aside;  ///< what was wrong with the file of before and where it is now; empty where all was well
};

/// Opens or creates journal.db and decides about the epoch: a new one where there is no journal, where it is damaged,
/// where a newer firmware wrote it, or where another machine did. The old file is then set aside under a dated name,
/// never deleted; another machine's alarms and boots are carried over, as they are this village's. Error unavailable:
/// another process writes here.
[[nodiscard]] Result<Opened> open_for_writing(const Options& options, WallTime now);

}  // namespace hamlet::journal
