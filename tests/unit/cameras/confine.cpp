#include "cameras/confine.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <string>
#include <thread>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "firmware/core/sanitized.hpp"
#include "tests/support/process.hpp"

using namespace hamlet;

namespace {

constexpr bool kFiltered = !kSanitized;

constexpr int kDone = 0;

// errno of a call; kDone where it was let through.
int outcome(long result) { return result < 0 ? errno : kDone; }

// What `try_it` returns in a process that has given up its rights.
int confined(const std::function<int()>& try_it) {
  const pid_t child = fork();
  if (child == 0) _exit(cameras::confine() ? try_it() : 255);
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

}  // namespace

TEST_CASE("whoever takes a decoder over can start no program, look into no process and write no file") {
  if (!kFiltered) return;
  const support::TempDir dir;
  const auto file = (dir.path() / "file").string();
  CHECK(close(open(file.c_str(), O_CREAT | O_WRONLY, 0600)) == 0);
  CHECK(confined([] {
          std::string program = "/bin/true";
          std::array<char*, 2> args{program.data(), nullptr};
          return outcome(execve(program.c_str(), args.data(), nullptr));
        }) == EPERM);
  CHECK(confined([] { return outcome(syscall(SYS_execveat, AT_FDCWD, "/bin/true", nullptr, nullptr, 0)); }) == EPERM);
  CHECK(confined([] { return outcome(fork()); }) == EPERM);
  CHECK(confined([] { return outcome(ptrace(PTRACE_ATTACH, getppid(), nullptr, nullptr)); }) == EPERM);
  CHECK(confined([] { return outcome(syscall(SYS_process_vm_readv, getppid(), nullptr, 0, nullptr, 0, 0)); }) == EPERM);
  CHECK(confined([] { return outcome(kill(getppid(), SIGKILL)); }) == EPERM);
  CHECK(confined([&] { return outcome(open(file.c_str(), O_WRONLY)); }) == EPERM);
  CHECK(confined([&] { return outcome(open(file.c_str(), O_RDWR)); }) == EPERM);
  CHECK(confined([&] { return outcome(open(file.c_str(), O_RDONLY | O_CREAT | O_TRUNC, 0600)); }) == EPERM);
  CHECK(confined([&] { return outcome(unlink(file.c_str())); }) == EPERM);
  CHECK(confined([&] { return outcome(rename(file.c_str(), (file + "2").c_str())); }) == EPERM);
  CHECK(confined([] { return outcome(socket(AF_PACKET, SOCK_RAW, 0)); }) == EPERM);
  CHECK(confined([] { return outcome(listen(0, 1)); }) == EPERM);
  CHECK(confined([] {
          void* page = mmap(nullptr, 4096, PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
          return page == MAP_FAILED ? errno : kDone;
        }) == EPERM);
  CHECK(confined([] {
          void* page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
          return outcome(mprotect(page, 4096, PROT_READ | PROT_EXEC));
        }) == EPERM);
}

TEST_CASE("what watching needs is left") {
  CHECK(confined([] { return outcome(open("/proc/self/maps", O_RDONLY | O_CLOEXEC)); }) == kDone);
  CHECK(confined([] { return outcome(socket(AF_INET, SOCK_STREAM, 0)); }) == kDone);
  CHECK(confined([] {
          int in_thread = 1;
          std::thread{[&] { in_thread = 0; }}.join();
          return in_thread;
        }) == kDone);
  if (kFiltered) CHECK(confined([]() -> int {
                     signal(SIGABRT, SIG_DFL);  // doctest's is another
                     abort();
                   }) == 1000 + SIGABRT);
}
