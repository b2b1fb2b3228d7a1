#include "drivers/program/program.hpp"

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <map>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "drivers/texts.hpp"
#include "firmware/core/text.hpp"

namespace hamlet::drivers::program {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kKept = 1024;  // of what it prints

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_{fd} {}
  ~Descriptor() { close(); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int get() const { return fd_; }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }

 private:
  int fd_;
};

std::string describe(int error) {
  return std::generic_category().message(error);
}

// What it reads, in memory: writing it cannot block.
Result<int> input_of(const std::string& text) {
  const int fd = ::memfd_create("input", MFD_CLOEXEC);
  if (fd < 0) return fail(Errc::failed, describe(errno));
  if (::write(fd, text.data(), text.size()) != static_cast<ssize_t>(text.size()) || ::lseek(fd, 0, SEEK_SET) != 0) {
    const int error = errno;
    ::close(fd);
    return fail(Errc::failed, describe(error));
  }
  return fd;
}

Result<pid_t> spawn(const std::vector<std::string>& words, int in, int out) {
  posix_spawn_file_actions_t files{};
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_adddup2(&files, in, 0);
  posix_spawn_file_actions_adddup2(&files, out, 1);
  posix_spawn_file_actions_adddup2(&files, out, 2);
  posix_spawn_file_actions_addclosefrom_np(&files, 3);
  posix_spawnattr_t how{};
  posix_spawnattr_init(&how);
  sigset_t none{};
  sigemptyset(&none);
  sigset_t all{};
  sigfillset(&all);
  posix_spawnattr_setsigmask(&how, &none);
  posix_spawnattr_setsigdefault(&how, &all);
  posix_spawnattr_setpgroup(&how, 0);  // all that it starts can be ended with it
  posix_spawnattr_setflags(&how, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  std::vector<std::string> copies = words;
  std::vector<char*> argv;
  for (auto& word : copies) argv.push_back(word.data());
  argv.push_back(nullptr);
  std::string path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  std::string lang = "LANG=C.UTF-8";
  std::array<char*, 3> environment{path.data(), lang.data(), nullptr};
  pid_t pid = 0;
  const int error = posix_spawn(&pid, argv[0], &files, &how, argv.data(), environment.data());
  posix_spawnattr_destroy(&how);
  posix_spawn_file_actions_destroy(&files);
  if (error == 0) return pid;
  return fail(error == ENOENT ? Errc::not_found : Errc::denied,
              fmt::format("{} cannot be run: {}; check its path and that hamletd's user may run it", words[0],
                          describe(error)));
}

// Takes what is there; keeps the end of it.
void drain(int fd, std::string& printed) {
  std::array<char, 4096> some{};
  for (;;) {
    const auto got = ::read(fd, some.data(), some.size());
    if (got <= 0) return;
    printed.append(some.data(), static_cast<std::size_t>(got));
    if (printed.size() > kKept) printed.erase(0, printed.size() - kKept);
  }
}

std::string last_line(std::string printed) {
  while (!printed.empty() && (printed.back() == '\n' || printed.back() == '\r' || printed.back() == ' '))
    printed.pop_back();
  if (const auto at = printed.rfind('\n'); at != std::string::npos) printed.erase(0, at + 1);
  for (auto& c : printed) c = static_cast<unsigned char>(c) < ' ' ? ' ' : c;
  return is_utf8(printed) ? printed : std::string{};
}

Status outcome(const std::string& name, int status, const std::string& printed) {
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  auto what = WIFEXITED(status) ? fmt::format("ended with {}", WEXITSTATUS(status))
                                : fmt::format("was ended by signal {}", WTERMSIG(status));
  const auto line = last_line(printed);
  return fail(Errc::failed, fmt::format("{} {}{}{}", name, what, line.empty() ? "" : ": ", line));
}

}  // namespace

Status run(const Command& command, const Job& job) {
  auto input = input_of(command.input);
  if (!input) return fail(std::move(input).error().in(command.words[0]));
  const Descriptor in{*input};
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return fail(Errc::failed, describe(errno));
  const Descriptor from{ends[0]};
  Descriptor to{ends[1]};
  (void)::fcntl(from.get(), F_SETFL, O_NONBLOCK);
  const auto pid = spawn(command.words, in.get(), to.get());
  if (!pid) return fail(pid.error());
  to.close();
  const Descriptor child{static_cast<int>(::syscall(SYS_pidfd_open, *pid, 0))};  // its header is not C++ in glibc 2.36

  std::string printed;
  const auto until = std::chrono::steady_clock::now() + command.deadline;
  bool ended = false;
  bool open = true;
  while (!ended && !job.halted()) {
    const auto left = std::chrono::ceil<Millis>(until - std::chrono::steady_clock::now());
    if (left <= 0ms) break;
    std::array<pollfd, 3> fds{
        {{child.get(), POLLIN, 0}, {job.descriptor(), POLLIN, 0}, {open ? from.get() : -1, POLLIN, 0}}};
    if (::poll(fds.data(), fds.size(), static_cast<int>(left.count())) < 0 && errno != EINTR) break;
    if (fds[2].revents != 0) drain(from.get(), printed);
    open = open && (fds[2].revents & POLLHUP) == 0;
    ended = fds[0].revents != 0;
  }
  ::kill(-*pid, SIGKILL);  // what it left behind, too
  int status = 0;
  while (::waitpid(*pid, &status, 0) < 0 && errno == EINTR) {
  }
  drain(from.get(), printed);
  if (ended) return outcome(command.words[0], status, printed);
  if (job.halted()) return fail(Errc::cancelled, fmt::format("{} was stopped", command.words[0]));
  return fail(Errc::timeout,
              fmt::format("{} did not end within {} and was killed", command.words[0],
                                         hamlet::to_string(command.deadline)));
}

Blueprint read(const config::Table& device, const std::string& id) {
  const auto deadline = device.duration_or("deadline", 30s, {100ms, 10min});
  std::map<std::string, Actor::Does> acts;
  auto infos = read_outputs(device, id, [&](const config::Table& table, OutputInfo& info) {
    const auto words_of = [&](std::string_view key) {
      auto words = table.texts_or(key);
      if (table.has(key) && (words.empty() || !words.front().starts_with('/'))) table.error(key, texts::want_command());
      return words;
    };
    info.repeatable = false;
    const bool tells = table.has("text");
    auto text = words_of("text");
    auto on = words_of("on");
    auto off = words_of("off");
    if (tells == table.has("on") || (tells && table.has("off"))) table.error("", texts::on_or_text());
    if (tells) {
      info.type = ValueType::text;
      on = std::move(text);
    }
    acts[table.id("id")] = {
        [on = std::move(on), off = std::move(off), deadline](const Value& value, Job& job) -> Status {
          const auto& words = value == Value{false} ? off : on;
          if (words.empty()) return {};
          const auto* said = std::get_if<std::string>(&value);
          return run({words, said != nullptr ? *said + '\n' : std::string{}, deadline}, job);
        }};
  });
  if (infos.empty()) device.error("", texts::no_output());
  return {.points = {},
          .outputs = std::move(infos),
          .build = [id, acts = std::move(acts)](const Surroundings& around) -> std::shared_ptr<Device> {
            return std::make_shared<Actor>("run-" + id, acts, around);
          }};
}

}  // namespace hamlet::drivers::program
