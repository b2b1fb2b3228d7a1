// The demo's program; firmware/demo sets up, builds and starts it.

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <stdexcept>
#include <system_error>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include "firmware/core/command_line.hpp"
#include "tests/support/demo/demo.hpp"
#include "tests/support/demo/interrupt.hpp"

namespace hamlet::demo {
namespace {

namespace fs = std::filesystem;

/// The folder the demo runs in: fresh, ours alone, and gone again unless keep() is called.
class Workplace {
 public:
  explicit Workplace(fs::path path) : path_{std::move(path)} {
    fs::create_directories(path_.parent_path());
    const auto lock_file = path_.string() + ".lock";
    lock_ = open(lock_file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (lock_ < 0 || flock(lock_, LOCK_EX | LOCK_NB) != 0) {
      throw std::runtime_error{"another demo is running in this checkout, or " + lock_file + " cannot be written"};
    }
    fs::remove_all(path_);
    fs::create_directories(path_ / "tmp");
    fs::current_path(path_);
    setenv("TMPDIR", (path_ / "tmp").c_str(), 1);
  }
  ~Workplace() {
    std::error_code ignored;
    fs::current_path(path_.parent_path(), ignored);
    if (!kept_) fs::remove_all(path_, ignored);
    close(lock_);
  }
  Workplace(const Workplace&) = delete;
  Workplace& operator=(const Workplace&) = delete;

  void keep() { kept_ = true; }

 private:
  fs::path path_;
  int lock_ = -1;
  bool kept_ = false;
};

int run(Options options) {
  const Interrupt interrupt;
  Workplace workplace{options.work};
  const auto work = options.work.string();
  try {
    if (Demo{std::move(options), interrupt}.run()) return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "\nhamlet-demo: {}\n", error.what());
  }
  workplace.keep();
  fmt::print(stderr, "hamlet-demo: journal, config and log are kept in {}\n", work);
  return 1;
}

}  // namespace
}  // namespace hamlet::demo

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  std::filesystem::path clip;
  std::filesystem::path programs;
  std::filesystem::path work;
  int seconds = 0;
  using Line = hamlet::CommandLine;
  Line line{"A village and its county on this machine; started by firmware/demo"};
  line.path("--clip", clip, "What the camera sees", Line::Given::always, Line::Names::file);
  line.path("--bin", programs, "Where hamletd, hamlet-eyes and hamlet are", Line::Given::always, Line::Names::folder);
  line.path("--work", work, "Folder to run in; removed at the end", Line::Given::always);
  line.number("--seconds", seconds, "End by itself after so long", 20, 999'999);
  if (const auto ends = line.parse(argc, argv)) return *ends;
  try {
    hamlet::demo::Options options{
        .clip = std::filesystem::canonical(clip),
        .programs = std::filesystem::canonical(programs),
        .work = std::filesystem::weakly_canonical(std::filesystem::absolute(work)),
        .hint = fmt::format("{}/hamlet --socket {}/run/control.sock status", programs.string(), work.string())};
    if (seconds > 0) options.total = hamlet::Millis{std::chrono::seconds{seconds}};
    return hamlet::demo::run(std::move(options));
  } catch (const std::exception& error) {
    fmt::print(stderr, "hamlet-demo: {}\n", error.what());
    return 1;
  }
}
