#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <filesystem>
#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <fmt/format.h>

#include "firmware/core/command_line.hpp"
#include "firmware/core/log.hpp"
#include "firmware/daemon/box.hpp"
#include "firmware/daemon/settings.hpp"

namespace hamlet::daemon {
namespace {

namespace asio = boost::asio;

// A clean stop takes at most so long; then the kernel ends us. What was committed stays committed.
constexpr unsigned kStopSeconds = 5;

void print(const std::vector<config::Diagnostic>& diagnostics) {
  for (const auto& each : diagnostics) fmt::print(stderr, "{}\n", each.to_string());
}

// hamlet-eyes lies beside us in a build folder, in libexec once installed.
std::filesystem::path find_eyes() {
  const auto beside = std::filesystem::read_symlink("/proc/self/exe").parent_path() / "hamlet-eyes";
  return std::filesystem::exists(beside) ? beside : std::filesystem::path{HAMLET_LIBEXECDIR} / "hamlet-eyes";
}

// Signals, the watchdog and what systemd is told; the box does the rest.
class Daemon {
 public:
  Daemon(std::filesystem::path config_file, Settings settings)
      : signals_{io_, SIGTERM, SIGINT, SIGHUP},
        watchdog_{io_},
        box_{io_, std::move(config_file), std::move(settings), {.eyes = find_eyes()}} {}

  int run() {
    if (auto started = box_.start(); !started) {
      log::error("hamletd cannot start", {{"why", started.error().message}});
      return 1;
    }
    wait_for_signal();
    start_watchdog();
    sd_notify(0, "READY=1\nSTATUS=collecting");
    log::info("hamletd is running", {{"version", HAMLET_VERSION}});
    io_.run();
    return 0;
  }

 private:
  void wait_for_signal() {
    signals_.async_wait([this](const boost::system::error_code& error, int number) {
      if (!error) take_signal(number);
    });
  }

  void take_signal(int number) {
    if (number == SIGHUP) {
      // systemd waits for READY and holds it against MONOTONIC_USEC with Type=notify-reload; with notify both do no harm.
      sd_notify(0, "RELOADING=1");
      const auto done = box_.reload();
      sd_notifyf(0, "READY=1\nSTATUS=%s", done ? "collecting" : "collecting; the new config has mistakes");
      wait_for_signal();
      return;
    }
    sd_notify(0, "STOPPING=1\nSTATUS=committing");
    log::info("hamletd stops");
    alarm(kStopSeconds);
    watchdog_.cancel();
    box_.shut_down([this] { io_.stop(); });
  }

  void start_watchdog() {
    std::uint64_t usec = 0;
    if (sd_watchdog_enabled(0, &usec) <= 0) return;
    beat_ = std::chrono::microseconds{usec} / 3;
    feed_watchdog();
  }

  // Fed only when a heartbeat has gone through the io thread and the journal's writer.
  void feed_watchdog() {
    box_.heartbeat([] { sd_notify(0, "WATCHDOG=1"); });
    watchdog_.expires_after(beat_);
    watchdog_.async_wait([this](const boost::system::error_code& error) {
      if (!error) feed_watchdog();
    });
  }

  asio::io_context io_{1};
  asio::signal_set signals_;
  asio::steady_timer watchdog_;
  std::chrono::microseconds beat_{};
  Box box_;
};

int run(int argc, char** argv) {
  CommandLine line{"hamletd: the daemon of a Hamlet village gateway", HAMLET_VERSION};
  std::filesystem::path file = HAMLET_SYSCONFDIR "/hamlet.toml";
  bool check = false;
  line.path("--config", file, "the config file");
  line.flag("--check", check, "check the config and end: 0 where it is right, 1 where not");
  if (const auto ends = line.parse(argc, argv)) return *ends;
  auto settings = read_settings(file);
  if (!settings) {
    print(settings.error());
    fmt::print(stderr, "{}: {} mistake(s); {}\n", file.string(), settings.error().size(),
               check ? "see hamlet.toml(5)" : "hamletd does not start on a config with mistakes");
    return 1;
  }
  if (check) {
    fmt::print("{}: ok\n", file.string());
    return 0;
  }
  umask(0027);
  std::signal(SIGPIPE, SIG_IGN);
  return Daemon{file, std::move(*settings)}.run();
}

}  // namespace
}  // namespace hamlet::daemon

int main(int argc, char** argv) {
  try {
    return hamlet::daemon::run(argc, argv);
  } catch (const std::exception& error) {
    hamlet::log::error("hamletd ends", {{"why", error.what()}});
    return 1;
  }
}
