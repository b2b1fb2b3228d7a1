#include "tests/support/demo/interrupt.hpp"

#include <csignal>
#include <stdexcept>

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace hamlet::demo {
namespace {

// A signal handler knows nothing but globals.
volatile int event_fd = -1;

extern "C" void note_signal(int /*signal*/) {
  constexpr eventfd_t kOne = 1;
  [[maybe_unused]] const auto written = write(event_fd, &kOne, sizeof kOne);
}

constexpr int kSignals[] = {SIGINT, SIGTERM, SIGHUP};

}  // namespace

Interrupt::Interrupt() {
  event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (event_fd < 0) throw std::runtime_error{"eventfd failed"};
  struct sigaction action {};
  action.sa_handler = note_signal;
  action.sa_flags = SA_RESTART;
  for (const int signal : kSignals) sigaction(signal, &action, nullptr);
}

Interrupt::~Interrupt() {
  for (const int signal : kSignals) std::signal(signal, SIG_DFL);
  close(event_fd);
}

bool Interrupt::wait(Millis time) const {
  pollfd event{.fd = event_fd, .events = POLLIN, .revents = 0};
  return poll(&event, 1, static_cast<int>(time.count())) > 0;
}

void Interrupt::forget() const {
  eventfd_t count = 0;
  [[maybe_unused]] const auto got = read(event_fd, &count, sizeof count);
}

}  // namespace hamlet::demo
