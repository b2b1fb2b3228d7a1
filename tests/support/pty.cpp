#include "tests/support/pty.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <system_error>

#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

namespace hamlet::support {

Pty::Pty() : master_{posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK)} {
  std::array<char, 64> name{};
  if (master_ < 0 || grantpt(master_) != 0 || unlockpt(master_) != 0 || ptsname_r(master_, name.data(), name.size()) != 0) {
    throw std::system_error(errno, std::generic_category(), "pty");
  }
  path_ = name.data();
  slave_ = open(path_.c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC);
  termios mode{};
  tcgetattr(slave_, &mode);
  cfmakeraw(&mode);
  tcsetattr(slave_, TCSANOW, &mode);
}

Pty::~Pty() {
  close(master_);
  close(slave_);
}

void Pty::say(std::string_view bytes) const {
  if (write(master_, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) {
    throw std::system_error(errno, std::generic_category(), "pty");
  }
}

std::string Pty::heard() const {
  std::array<char, 4096> bytes{};
  const auto got = read(master_, bytes.data(), bytes.size());
  return {bytes.data(), static_cast<std::size_t>(std::max<ssize_t>(got, 0))};
}

}  // namespace hamlet::support
