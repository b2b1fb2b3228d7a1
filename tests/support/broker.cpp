#include "tests/support/broker.hpp"

#include <cerrno>
#include <chrono>
#include <fstream>
#include <stdexcept>
#include <system_error>
#include <thread>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

namespace hamlet::support {

namespace {

constexpr std::chrono::seconds kPatience{10};
constexpr std::chrono::milliseconds kPoll{5};

/// A TCP socket of 127.0.0.1; closed when it goes.
class Loopback {
 public:
  Loopback() : fd_{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)} {
    if (fd_ < 0) throw std::system_error(errno, std::generic_category(), "socket");
  }
  ~Loopback() { ::close(fd_); }
  Loopback(const Loopback&) = delete;
  Loopback& operator=(const Loopback&) = delete;

  [[nodiscard]] bool bind(std::uint16_t port) const {
    const sockaddr_in address = of(port);
    return ::bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }
  [[nodiscard]] bool connect(std::uint16_t port) const {
    const sockaddr_in address = of(port);
    return ::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }
  [[nodiscard]] std::uint16_t port() const {
    sockaddr_in address{};
    socklen_t size = sizeof address;
    ::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
    return ntohs(address.sin_port);
  }

 private:
  [[nodiscard]] static sockaddr_in of(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
  }
  int fd_;
};

[[nodiscard]] bool accepts(std::uint16_t port) {
  return Loopback{}.connect(port);
}

}  // namespace

std::uint16_t free_port() {
  const Loopback socket;
  if (!socket.bind(0)) throw std::system_error(errno, std::generic_category(), "bind 127.0.0.1");
  return socket.port();
}

Broker::Broker(std::string config, Persistence persistence) : config_{std::move(config)}, persistence_{persistence} {
  for (int attempt = 0; attempt < 10; ++attempt) {  // somebody else may take a port that was free just now
    port_ = free_port();
    spawn();
    if (wait_until_it_accepts()) return;
  }
  throw std::runtime_error("mosquitto does not start: " + log());
}

Broker::~Broker() = default;

std::string Broker::uri() const {
  return "mqtt://127.0.0.1:" + std::to_string(port_);
}
std::string Broker::log() const {
  return process_ ? process_->log() : std::string{};
}

void Broker::start() {
  if (running()) return;
  spawn();
  if (!wait_until_it_accepts()) throw std::runtime_error("mosquitto does not start again: " + log());
}

void Broker::stop() {
  if (!process_) return;
  process_->signal(SIGTERM);
  if (!process_->wait(kPatience)) process_->kill();
}

void Broker::kill() {
  if (process_) process_->kill();
}

void Broker::write_config() const {
  std::ofstream file{directory() / "mosquitto.conf"};
  file << "listener " << port_ << " 127.0.0.1\n"
       << "log_dest stderr\n";
  if (::geteuid() == 0) file << "user root\n";  // else it gives root up, and cannot read the folder
  if (config_.find("allow_anonymous") == std::string::npos) file << "allow_anonymous true\n";
  if (persistence_ == Persistence::yes)
    file << "persistence true\npersistence_location " << directory().string() << "/\n";
  file << config_ << "\n";
}

void Broker::spawn() {
  write_config();
  process_ = std::make_unique<Process>(
      std::vector<std::string>{"/usr/sbin/mosquitto", "-c", (directory() / "mosquitto.conf").string()},
      directory() / "mosquitto.log");
}

bool Broker::wait_until_it_accepts() {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (std::chrono::steady_clock::now() < deadline) {
    if (!process_->running()) return false;
    if (accepts(port_)) return true;
    std::this_thread::sleep_for(kPoll);
  }
  return false;
}

}  // namespace hamlet::support
