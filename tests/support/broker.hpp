#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "tests/support/process.hpp"

namespace hamlet::support {

/// A real mosquitto on a free port of 127.0.0.1, in a temporary folder. Throws std::runtime_error where it does not
/// come up. Dies with the thread that started it.
class Broker {
 public:
  enum class Persistence { no, yes };

  /// `config`: further lines of mosquitto.conf.
  explicit Broker(std::string config = {}, Persistence persistence = Persistence::no);
  ~Broker();
  Broker(const Broker&) = delete;
  Broker& operator=(const Broker&) = delete;

  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] std::string uri() const;  ///< "mqtt://127.0.0.1:port"
  [[nodiscard]] const std::filesystem::path& directory() const { return directory_.path(); }
  [[nodiscard]] bool running() const { return process_ && process_->running(); }
  [[nodiscard]] pid_t pid() const { return process_ ? process_->pid() : 0; }
  [[nodiscard]] std::string log() const;  ///< what it has written so far

  /// Again, on the same port; waits until it accepts, at most 10 s.
  void start();
  void stop();  ///< SIGTERM: says goodbye, saves what it persists
  void kill();  ///< SIGKILL

 private:
  void write_config() const;
  void spawn();
  [[nodiscard]] bool wait_until_it_accepts();

  std::string config_;
  Persistence persistence_;
  TempDir directory_;
  std::uint16_t port_ = 0;
  std::unique_ptr<Process> process_;
};

/// A port of 127.0.0.1 that was free just now.
[[nodiscard]] std::uint16_t free_port();

}  // namespace hamlet::support
