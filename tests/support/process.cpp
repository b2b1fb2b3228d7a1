#include "tests/support/process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace hamlet::support {

Process::Process(std::vector<std::string> command, std::filesystem::path log) : log_{std::move(log)} {
  std::vector<char*> argv;
  for (auto& word : command) argv.push_back(word.data());
  argv.push_back(nullptr);
  const int out = open(log_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (out < 0) throw std::runtime_error("cannot write " + log_.string());
  const pid_t parent = getpid();
  pid_ = fork();
  if (pid_ == 0) {
    setpgid(0, 0);  // Ctrl-C is ours to handle
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(127);
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
    execv(argv[0], argv.data());
    _exit(127);
  }
  close(out);
  if (pid_ < 0) throw std::runtime_error("cannot fork");
}

Process::~Process() { kill(); }

void Process::signal(int number) {
  if (running()) ::kill(pid_, number);
}

std::optional<int> Process::wait(std::chrono::milliseconds deadline) {
  if (status_) return status_;
  const int fd = static_cast<int>(syscall(SYS_pidfd_open, pid_, 0));
  if (fd >= 0) {
    pollfd ended{.fd = fd, .events = POLLIN, .revents = 0};
    poll(&ended, 1, static_cast<int>(deadline.count()));
    close(fd);
  }
  int status = 0;
  if (waitpid(pid_, &status, WNOHANG) == pid_) {
    status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  return status_;
}

void Process::kill() {
  if (status_ || pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  wait(std::chrono::seconds{10});
}

bool Process::running() { return !wait(std::chrono::milliseconds{0}); }

std::string Process::log() const {
  std::ifstream file{log_};
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

TempDir::TempDir(On on) {
  const char* base = std::getenv("TMPDIR");
  if (base == nullptr) base = "/tmp";
  if (on == On::memory && access("/dev/shm", W_OK) == 0) base = "/dev/shm";
  std::string pattern = std::string{base} + "/hamlet-XXXXXX";
  if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("cannot make " + pattern);
  path_ = pattern;
}

TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string program(const std::string& name) {
  const char* bin = std::getenv("HAMLET_BIN");
  return std::string{bin != nullptr ? bin : "."} + "/" + name;
}

}  // namespace hamlet::support
