#pragma once

#include <array>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include "firmware/core/fake_clock.hpp"
#include "sync/journal/journal.hpp"

namespace hamlet::journal::test {

/// How a forked child ended: what `work` returned (empty: all was well), or that a signal ended it.
struct Ending {
  int signal = 0;
  std::string says;
};

/// Runs `work` in a child of this process, so that a crash, or mounting, is the child's alone. SIGALRM after 60 s.
inline Ending in_child(const std::function<std::string()>& work) {
  std::array<int, 2> pipe{};
  REQUIRE(::pipe(pipe.data()) == 0);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    ::alarm(60);
    const auto says = work();
    const bool told = ::write(pipe[1], says.data(), says.size()) == static_cast<ssize_t>(says.size());
    ::_exit(told ? 0 : 1);
  }
  ::close(pipe[1]);
  Ending ending;
  std::array<char, 4096> part{};
  for (ssize_t n = 0; (n = ::read(pipe[0], part.data(), part.size())) > 0;)
    ending.says.append(part.data(), static_cast<std::size_t>(n));
  ::close(pipe[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  if (WIFSIGNALED(status)) ending.signal = WTERMSIG(status);
  return ending;
}

/// A journal and its io thread, for code that may not fail a doctest assertion.
class Desk {
 public:
  explicit Desk(const std::filesystem::path& folder, std::uint64_t reserve = 0)
      : opened_{Journal::open(io_, clock_,
                              {.directory = folder,
                               .window = Millis{0},
                               .machine_id = "m",
                               .boot_id = "b",
                               .min_free_bytes = 0,
                               .reserve_bytes = reserve})} {}

  [[nodiscard]] bool ok() const { return opened_.has_value(); }
  [[nodiscard]] const Error& error() const { return opened_.error(); }
  Journal& operator*() { return **opened_; }
  Journal* operator->() { return opened_->get(); }

  Result<Identity> append(Lane lane, std::string bytes, Urgency urgency = Urgency::now) {
    if (lane == Lane::media) return (*opened_)->append_media(clock_.mono(), std::move(bytes));
    return (*opened_)->append(lane, clock_.mono(), {lane == Lane::tele ? "tele" : "event/dev/kind", std::move(bytes)},
                              urgency);
  }
  Status sync() {
    return ask<void>([this](auto then) { (*opened_)->sync(std::move(then)); });
  }
  Result<std::vector<Record>> read(Lane lane, std::uint64_t from, std::uint32_t generation = kCurrent) {
    return ask<std::vector<Record>>(
        [&](auto then) { (*opened_)->read(lane, from, 1'000, 4U << 20, std::move(then), generation); });
  }
  /// Tends, and lets the journal do all that this brings about. False where it has no end.
  bool tend() {
    (*opened_)->tend();
    bool read_through = false;
    (*opened_)->query([](Reader&) {}, [&](const Status&) { read_through = true; });
    return run_until([&] { return read_through; }) && sync().has_value();
  }
  /// Lets the io thread work until `done`; false after 20 s.
  bool run_until(const std::function<bool()>& done) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds{20};
    while (!done()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      if (io_.stopped()) io_.restart();
      io_.run_one_for(std::chrono::seconds{1});
    }
    return true;
  }

  FakeClock& clock() { return clock_; }

 private:
  template <class T, class Start>
  Result<T> ask(Start start) {
    std::optional<Result<T>> answer;
    start([&answer](Result<T> result) { answer = std::move(result); });
    if (!run_until([&answer] { return answer.has_value(); })) return fail(Errc::timeout, "no answer in 20 s");
    return std::move(*answer);
  }

  boost::asio::io_context io_;
  FakeClock clock_;
  Result<std::unique_ptr<Journal>> opened_;
};

}  // namespace hamlet::journal::test
