#pragma once

#include <string>
#include <string_view>

namespace hamlet::support {

/// A serial cable: `path()` is the end that a device under test opens, the other end is the test's. No baud rate; see
/// SerialBus for that. Throws std::system_error where there are no ptys.
class Pty {
 public:
  Pty();
  ~Pty();
  Pty(const Pty&) = delete;
  Pty& operator=(const Pty&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] int descriptor() const { return master_; }  ///< does not block
  void say(std::string_view bytes) const;
  [[nodiscard]] std::string heard() const;  ///< what came since; empty: nothing

 private:
  int master_;
  int slave_ = -1;  // held open, so that the cable outlasts who opens it
  std::string path_;
};

}  // namespace hamlet::support
