#include "tests/support/broker.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <system_error>
#include <thread>

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

[[nodiscard]] bool accepts(std::uint16_t port) { return Loopback{}.connect(port); }

}  // namespace

std::uint16_t free_port() {
  const Loopback socket;
  if (!socket.bind(0)) throw std::system_error(errno, std::generic_category(), "bind 127.0.0.1");
  return socket.port();
}

Broker::Broker(std::string config, Persistence persistence) : config_{std::move(config)}, persistence_{persistence} {
  std::string name = (std::filesystem::temp_directory_path() / "hamlet-broker-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) throw std::system_error(errno, std::generic_category(), "mkdtemp " + name);
  directory_ = name;
  for (int attempt = 0; attempt < 10; ++attempt) {  // somebody else may take a port that was free just now
    port_ = free_port();
    spawn();
    if (wait_until_it_accepts()) return;
    end(SIGKILL);
  }
  const std::string words = log();
  std::filesystem::remove_all(directory_);
  throw std::runtime_error("mosquitto does not start: " + words);
}

Broker::~Broker() {
  end(SIGKILL);
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

std::string Broker::uri() const { return "mqtt://127.0.0.1:" + std::to_string(port_); }

std::string Broker::log() const {
  std::ifstream file{directory_ / "mosquitto.log"};
  return {std::istreambuf_iterator<char>{file}, {}};
}

void Broker::start() {
  if (running()) return;
  spawn();
  if (!wait_until_it_accepts()) throw std::runtime_error("mosquitto does not start again: " + log());
}

void Broker::stop() { end(SIGTERM); }
void Broker::kill() { end(SIGKILL); }

void Broker::spawn() {
  const auto path = directory_ / "mosquitto.conf";
  {
    std::ofstream file{path};
    file << "listener " << port_ << " 127.0.0.1\n"
         << "log_dest stderr\n";
    if (::geteuid() == 0) file << "user root\n";  // else it gives root up, and cannot read the directory
    if (config_.find("allow_anonymous") == std::string::npos) file << "allow_anonymous true\n";
    if (persistence_ == Persistence::yes) {
      file << "persistence true\npersistence_location " << directory_.string() << "/\n";
    }
    file << config_ << "\n";
  }
  const std::string log = (directory_ / "mosquitto.log").string();
  const std::string conf = path.string();
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child < 0) throw std::system_error(errno, std::generic_category(), "fork");
  if (child > 0) {
    pid_ = child;
    return;
  }
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(127);
  const int out = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  ::dup2(out, STDOUT_FILENO);
  ::dup2(out, STDERR_FILENO);
  ::execlp("/usr/sbin/mosquitto", "mosquitto", "-c", conf.c_str(), static_cast<char*>(nullptr));
  ::_exit(127);
}

bool Broker::wait_until_it_accepts() {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (std::chrono::steady_clock::now() < deadline) {
    if (::waitpid(pid_, nullptr, WNOHANG) == pid_) {
      pid_ = 0;
      return false;
    }
    if (accepts(port_)) return true;
    std::this_thread::sleep_for(kPoll);
  }
  return false;
}

void Broker::end(int signal) {
  if (pid_ <= 0) return;
  ::kill(pid_, signal);
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (::waitpid(pid_, nullptr, WNOHANG) == 0) {
    if (std::chrono::steady_clock::now() > deadline) ::kill(pid_, SIGKILL);
    std::this_thread::sleep_for(kPoll);
  }
  pid_ = 0;
}

}  // namespace hamlet::support
