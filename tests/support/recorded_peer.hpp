#pragma once

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "drivers/recorder.hpp"
#include "tests/support/pty.hpp"

namespace hamlet::support {

/// The far end of a recording (`record = "FILE"` of a device), on a pty, on a thread of its own: hears what was sent and
/// says what was received then, as long after it as then. A recording that comes with a bug report is a test with this.
/// Begin it with something that was sent: what is said before the port is open is lost.
class RecordedPeer {
 public:
  explicit RecordedPeer(std::vector<drivers::Recorded> recording);
  ~RecordedPeer();
  RecordedPeer(const RecordedPeer&) = delete;
  RecordedPeer& operator=(const RecordedPeer&) = delete;

  [[nodiscard]] const std::string& path() const { return cable_.path(); }
  /// Whether all of it has been played. It stops before that where something else is sent to it than was then.
  [[nodiscard]] bool played() const { return next_ == recording_.size(); }
  /// The line of the recording that it is at, from 0.
  [[nodiscard]] std::size_t at() const { return next_; }

 private:
  void run();
  [[nodiscard]] bool hear(const std::string& expected);
  [[nodiscard]] bool wait(std::chrono::milliseconds time);  // false: it ends

  const std::vector<drivers::Recorded> recording_;
  Pty cable_;
  int stop_;
  std::atomic<std::size_t> next_ = 0;
  std::string heard_;
  std::thread thread_;
};

}  // namespace hamlet::support
