#include "drivers/serial/serial.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <system_error>

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/serial.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "drivers/texts.hpp"

namespace hamlet::drivers::serial {
namespace {

using namespace std::string_view_literals;

constexpr std::array kRts{"none"sv, "high"sv, "low"sv, "kernel"sv};  // as Rts

struct Speed {
  unsigned baud;
  speed_t code;
};
constexpr std::array kSpeeds{Speed{1200, B1200},     Speed{2400, B2400},     Speed{4800, B4800},
                             Speed{9600, B9600},     Speed{19200, B19200},   Speed{38400, B38400},
                             Speed{57600, B57600},   Speed{115200, B115200}, Speed{230400, B230400},
                             Speed{460800, B460800}, Speed{921600, B921600}};

std::optional<speed_t> speed_of(unsigned baud) {
  for (const auto& each : kSpeeds) {
    if (each.baud == baud) return each.code;
  }
  return {};
}

std::string describe(int error) {
  return std::generic_category().message(error);
}

tcflag_t data_bits_flag(unsigned bits) {
  return bits == 7 ? CS7 : CS8;
}

// Error text, or nothing.
Status configure(int fd, const Settings& settings) {
  termios mode{};
  if (tcgetattr(fd, &mode) != 0) return fail(Errc::invalid, fmt::format("{} is no serial port", settings.path));
  cfmakeraw(&mode);
  mode.c_cflag &= ~(tcflag_t{CSIZE} | CSTOPB | PARENB | PARODD | CRTSCTS);
  mode.c_cflag |= tcflag_t{CLOCAL} | CREAD | data_bits_flag(settings.data_bits);
  if (settings.stop_bits == 2) mode.c_cflag |= CSTOPB;
  if (settings.parity != 'N') mode.c_cflag |= PARENB;
  if (settings.parity == 'O') mode.c_cflag |= PARODD;
  mode.c_cc[VMIN] = 1;  // with 0 a read of nothing would look like the end of the line
  mode.c_cc[VTIME] = 0;
  const auto speed = speed_of(settings.baud);
  if (!speed || cfsetispeed(&mode, *speed) != 0 || cfsetospeed(&mode, *speed) != 0 ||
      tcsetattr(fd, TCSANOW, &mode) != 0) {
    return fail(Errc::invalid, fmt::format("{} cannot do {}", settings.path, settings.describe()));
  }
  return {};
}

Status set_rts(int fd, bool on) {
  int line = TIOCM_RTS;
  if (ioctl(fd, on ? TIOCMBIS : TIOCMBIC, &line) == 0) return {};
  return fail(Errc::invalid, fmt::format("the port has no RTS line ({}); use rts = \"none\"", describe(errno)));
}

Status prepare_direction(int fd, const Settings& settings) {
  switch (settings.rts) {
    case Rts::none:
      return {};
    case Rts::high:
    case Rts::low:
      return set_rts(fd, settings.rts == Rts::low);
    case Rts::kernel: {
      serial_rs485 mode{};
      mode.flags = SER_RS485_ENABLED | SER_RS485_RTS_ON_SEND;
      if (ioctl(fd, TIOCSRS485, &mode) == 0) return {};
      return fail(Errc::invalid, fmt::format("{}: its driver has no RS-485 mode ({}); use rts = \"high\" or \"none\"",
                                             settings.path, describe(errno)));
    }
  }
  return {};
}

// USB adapters collect bytes for 16 ms unless asked not to. Where a driver does not know the flag nothing is lost.
void ask_low_latency(int fd) {
  serial_struct info{};
  if (ioctl(fd, TIOCGSERIAL, &info) != 0) return;
  info.flags = static_cast<int>(static_cast<unsigned>(info.flags) | ASYNC_LOW_LATENCY);
  (void)ioctl(fd, TIOCSSERIAL, &info);
}

Result<int> open_exclusively(const Settings& settings) {
  const int fd = ::open(settings.path.c_str(), O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
  if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0) return fd;
  const int error = errno;
  if (fd >= 0) ::close(fd);
  if (error == EBUSY || error == EWOULDBLOCK) {
    return fail(Errc::unavailable,
                fmt::format("another program uses {}; only one can (stop hamletd before `hamlet probe`)", settings.path));
  }
  if (error == EACCES || error == EPERM) {
    return fail(Errc::denied, fmt::format("no permission for {}; its user must be in the group dialout", settings.path));
  }
  return fail(Errc::not_found, fmt::format("{}: {}; check that the adapter is plugged in (ls -l /dev/serial/by-id)",
                                           settings.path, describe(error)));
}

}  // namespace

std::string Settings::describe() const {
  return fmt::format("{} {}{}{}", baud, data_bits, parity, stop_bits);
}

std::chrono::microseconds Settings::time_of(std::size_t bytes) const {
  return std::chrono::microseconds{bytes * bits_per_byte() * 1'000'000 / baud};
}

void read_line_format(const config::Table& table, Settings& settings) {
  const auto baud = table.integer_or("baud", settings.baud, {1, 4'000'000});
  if (!speed_of(static_cast<unsigned>(baud))) {
    table.error("baud", texts::want_baud());
  } else {
    settings.baud = static_cast<unsigned>(baud);
  }
  const auto format =
      table.text_or("format", fmt::format("{}{}{}", settings.data_bits, settings.parity, settings.stop_bits));
  if (format.size() != 3 || "78"sv.find(format[0]) == std::string_view::npos ||
      "NEO"sv.find(format[1]) == std::string_view::npos || "12"sv.find(format[2]) == std::string_view::npos) {
    table.error("format", texts::want_format());
    return;
  }
  settings.data_bits = static_cast<unsigned>(format[0] - '0');
  settings.parity = format[1];
  settings.stop_bits = static_cast<unsigned>(format[2] - '0');
}

Settings read_settings(const config::Table& table) {
  Settings settings;
  settings.path = table.text("path");
  if (table.has("path") && !settings.path.starts_with('/')) {
    table.error("path", texts::want_path());
  }
  read_line_format(table, settings);
  settings.rts = static_cast<Rts>(table.choice_or("rts", 0, kRts));
  return settings;
}

Result<int> open_port(const Settings& settings) {
  auto fd = open_exclusively(settings);
  if (!fd) return fd;
  auto ready = configure(*fd, settings);
  if (ready) ready = prepare_direction(*fd, settings);
  if (!ready) {
    close_port(*fd);
    return fail(std::move(ready).error());
  }
  (void)ioctl(*fd, TIOCEXCL);
  ask_low_latency(*fd);
  tcflush(*fd, TCIOFLUSH);
  return fd;
}

void close_port(int fd) {
  tcflush(fd, TCIOFLUSH);
  (void)ioctl(fd, TIOCNXCL);
  ::close(fd);
}

Status send_frame(int fd, const Settings& settings, const void* bytes, std::size_t size) {
  const bool switched = settings.rts == Rts::high || settings.rts == Rts::low;
  if (switched) {
    if (auto set = set_rts(fd, settings.rts == Rts::high); !set) return set;
  }
  const auto written = ::write(fd, bytes, size);
  const int error = errno;
  if (switched) {
    tcdrain(fd);
    if (auto set = set_rts(fd, settings.rts == Rts::low); !set) return set;
  }
  if (written == static_cast<ssize_t>(size)) return {};
  return fail(Errc::unavailable, written < 0 ? describe(error) : "the port takes no bytes");
}

}  // namespace hamlet::drivers::serial
