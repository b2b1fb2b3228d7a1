#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

namespace hamlet::support {

/// A program under test. Its stdout and stderr are appended to a file. It dies with the thread that started it. Throws
/// std::runtime_error where it cannot be started.
class Process {
 public:
  Process(std::vector<std::string> command, std::filesystem::path log);
  ~Process();  ///< SIGKILL, where it still runs
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  void signal(int number);
  /// Waits for its end: exit code, or 128 + signal; nothing at the deadline.
  std::optional<int> wait(std::chrono::milliseconds deadline);
  /// SIGKILL, and waits.
  void kill();
  [[nodiscard]] bool running();
  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] std::string log() const;

 private:
  pid_t pid_ = 0;
  std::filesystem::path log_;
  std::optional<int> status_;
};

/// A fresh folder for a test, removed with the object.
class TempDir {
 public:
  enum class On { disk, memory };  ///< memory: /dev/shm, where it may be written; else as disk
  explicit TempDir(On on = On::disk);
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// A program of this build: HAMLET_BIN/name.
[[nodiscard]] std::string program(const std::string& name);

}  // namespace hamlet::support
