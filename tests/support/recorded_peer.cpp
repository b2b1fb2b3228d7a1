#include "tests/support/recorded_peer.hpp"

#include <algorithm>
#include <array>

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace hamlet::support {

RecordedPeer::RecordedPeer(std::vector<drivers::Recorded> recording)
    : recording_{std::move(recording)}, stop_{eventfd(0, EFD_CLOEXEC)}, thread_{&RecordedPeer::run, this} {}

RecordedPeer::~RecordedPeer() {
  eventfd_write(stop_, 1);
  thread_.join();
  close(stop_);
}

void RecordedPeer::run() {
  for (; next_ < recording_.size(); ++next_) {
    const auto& line = recording_[next_];
    if (line.sent) {
      if (!hear(line.bytes)) return;
      continue;
    }
    const auto before = next_ == 0 ? Millis{} : recording_[next_ - 1].at;
    if (!wait(line.at - before)) return;
    cable_.say(line.bytes);
  }
}

// Waits for these bytes; false where others come, or it ends.
bool RecordedPeer::hear(const std::string& expected) {
  while (heard_.size() < expected.size()) {
    std::array<pollfd, 2> waiting{{{stop_, POLLIN, 0}, {cable_.descriptor(), POLLIN, 0}}};
    poll(waiting.data(), waiting.size(), -1);
    if (waiting[0].revents != 0) return false;
    heard_ += cable_.heard();
  }
  if (!heard_.starts_with(expected)) return false;
  heard_.erase(0, expected.size());
  return true;
}

bool RecordedPeer::wait(std::chrono::milliseconds time) {
  pollfd waiting{stop_, POLLIN, 0};
  return poll(&waiting, 1, static_cast<int>(std::max<Millis::rep>(time.count(), 0))) == 0;
}

}  // namespace hamlet::support
