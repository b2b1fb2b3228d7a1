#include "firmware/core/clock.hpp"

#include <sys/timex.h>

#include <ctime>
#include <fstream>

#include "firmware/core/id.hpp"

namespace hamlet {
namespace {

Millis read_clock(clockid_t id) {
  timespec ts{};
  clock_gettime(id, &ts);
  return Millis{static_cast<std::int64_t>(ts.tv_sec) * 1'000 + ts.tv_nsec / 1'000'000};
}

std::string first_line(const char* path) {
  std::ifstream file{path};
  std::string line;
  std::getline(file, line);
  std::erase(line, '-');
  return line;
}

}  // namespace

WallTime SystemClock::wall() const { return WallTime{read_clock(CLOCK_REALTIME)}; }

MonoTime SystemClock::mono() const { return MonoTime{read_clock(CLOCK_BOOTTIME)}; }

bool SystemClock::synced() const {
  if (trust_) return true;
  timex status{};
  const int state = adjtimex(&status);
  return state != -1 && state != TIME_ERROR && (status.status & STA_UNSYNC) == 0;
}

std::string read_boot_id() {
  auto id = first_line("/proc/sys/kernel/random/boot_id");
  return id.size() == 32 ? id : random_hex64() + random_hex64();
}

std::string read_machine_id() { return first_line("/etc/machine-id"); }

}  // namespace hamlet
