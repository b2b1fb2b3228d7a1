#include "drivers/sms/at.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <utility>

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

namespace hamlet::drivers::sms {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kMostLine = 512;
constexpr std::size_t kMostLines = 64;
constexpr Millis kPrompt = 5s;

struct Meaning {
  int number;
  std::string_view text;
};
// 3GPP TS 27.005 clause 3.2.5 and 27.007 clause 9.2: those that a technician meets.
constexpr std::array kCms{Meaning{10, "call barred: the card may not send"},
                          Meaning{21, "the network rejected it: credit, or the number"},
                          Meaning{27, "the number's phone is off"},
                          Meaning{28, "the number is not known"},
                          Meaning{38, "the network is out of order"},
                          Meaning{41, "temporary failure of the network"},
                          Meaning{42, "the network is busy"},
                          Meaning{50, "the card's contract has no SMS"},
                          Meaning{304, "the modem does not take the PDU"},
                          Meaning{310, "no SIM card"},
                          Meaning{311, "the SIM card wants its PIN"},
                          Meaning{313, "the SIM card fails"},
                          Meaning{330, "the card knows no service centre"},
                          Meaning{331, "no network"},
                          Meaning{332, "the network does not answer"}};
constexpr std::array kCme{Meaning{3, "not allowed"},
                          Meaning{10, "no SIM card"},
                          Meaning{11, "the SIM card wants its PIN"},
                          Meaning{12, "the SIM card wants its PUK"},
                          Meaning{13, "the SIM card fails"},
                          Meaning{30, "no network"},
                          Meaning{31, "the network does not answer"},
                          Meaning{32, "only emergency calls"}};

}  // namespace

void AtLines::feed(std::string_view bytes) {
  for (const char c : bytes) {
    if (c == '\r' || c == '\n') {
      if (!partial_.empty()) lines_.push_back(std::exchange(partial_, {}));
      if (lines_.size() > kMostLines) lines_.erase(lines_.begin());
    } else if (partial_.size() < kMostLine && c != '\0') {
      partial_ += c;
    }
  }
}

std::optional<std::string> AtLines::next() {
  if (lines_.empty()) return {};
  auto line = std::move(lines_.front());
  lines_.erase(lines_.begin());
  return line;
}

void AtLines::forget() {
  partial_.clear();
  lines_.clear();
}

std::string_view meaning_of(std::string_view kind, int number) {
  const auto in = [&](const auto& table) {
    const auto found =
        std::find_if(table.begin(), table.end(), [&](const auto& each) { return each.number == number; });
    return found == table.end() ? std::string_view{} : found->text;
  };
  return kind == "+CMS ERROR" ? in(kCms) : in(kCme);
}

std::optional<Final> final_of(std::string_view line) {
  if (line == "OK") return Final{.ok = true};
  if (line == "ERROR" || line == "NO CARRIER" || line == "COMMAND NOT SUPPORT")
    return Final{.error = std::string{line}};
  for (const std::string_view kind : {"+CMS ERROR", "+CME ERROR"}) {
    if (!line.starts_with(kind)) continue;
    auto rest = line.substr(kind.size());
    while (!rest.empty() && (rest.front() == ':' || rest.front() == ' ')) rest.remove_prefix(1);
    int number = -1;
    const auto parsed = std::from_chars(rest.data(), rest.data() + rest.size(), number);
    const auto meaning = parsed.ec == std::errc{} ? meaning_of(kind, number) : std::string_view{};
    return Final{.error = meaning.empty() ? std::string{line} : fmt::format("{} ({})", line, meaning)};
  }
  return {};
}

Result<Modem> Modem::open(const serial::Settings& settings, const Job& job, FrameLog* frames) {
  auto fd = serial::open_port(settings);
  if (!fd) return fail(std::move(fd).error());
  return Modem{*fd, settings, job, frames};
}

Modem::~Modem() {
  if (fd_ >= 0) serial::close_port(fd_);
}

Modem::Modem(Modem&& other) noexcept
    : fd_{std::exchange(other.fd_, -1)},
      settings_{other.settings_},
      job_{other.job_},
      frames_{other.frames_},
      lines_{std::move(other.lines_)} {}

Status Modem::write(std::string_view bytes) {
  if (frames_ != nullptr) frames_->sent(as_bytes(bytes));
  while (!bytes.empty()) {
    const auto written = ::write(fd_, bytes.data(), bytes.size());
    if (written > 0) {
      bytes.remove_prefix(static_cast<std::size_t>(written));
    } else if (written < 0 && errno != EAGAIN && errno != EINTR) {
      return fail(Errc::unavailable, fmt::format("{} has gone; check the modem's power and plug", settings_.path));
    } else if (!job_.await(fd_, POLLOUT, 2s)) {
      return fail(job_.halted() ? Errc::cancelled : Errc::timeout, fmt::format("{} takes no bytes", settings_.path));
    }
  }
  return {};
}

Status Modem::read_some(Millis time) {
  if (!job_.await(fd_, POLLIN, time)) {
    if (job_.halted()) return fail(Errc::cancelled, "stopped");
    return fail(Errc::timeout, "no answer");
  }
  std::array<char, 256> some{};
  const auto got = ::read(fd_, some.data(), some.size());
  if (got > 0) {
    const std::string_view bytes{some.data(), static_cast<std::size_t>(got)};
    if (frames_ != nullptr) frames_->received(as_bytes(bytes));
    lines_.feed(bytes);
  }
  if (got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR))) return {};
  return fail(Errc::unavailable, fmt::format("{} has gone; check the modem's power and plug", settings_.path));
}

Result<std::vector<std::string>> Modem::answer(std::string_view command, Millis deadline) {
  const auto until = std::chrono::steady_clock::now() + deadline;
  std::vector<std::string> out;
  for (;;) {
    while (auto line = lines_.next()) {
      const auto end = final_of(*line);
      if (end && end->ok) return out;
      if (end) return fail(Errc::failed, fmt::format("the modem answers {} with {}", command, end->error));
      if (out.size() < kMostLines) out.push_back(std::move(*line));
    }
    const auto left = std::chrono::ceil<Millis>(until - std::chrono::steady_clock::now());
    if (left <= 0ms) {
      return fail(Errc::timeout, fmt::format("the modem on {} does not answer {}; check its power, and that no other "
                                             "port of it is the one for AT commands",
                                             settings_.path, command));
    }
    if (auto read = read_some(left); !read && read.error().code != Errc::timeout) return fail(std::move(read).error());
  }
}

Result<std::vector<std::string>> Modem::ask(std::string_view command, Millis deadline) {
  lines_.forget();
  if (auto written = write(fmt::format("{}\r", command)); !written) return fail(std::move(written).error());
  return answer(command, deadline);
}

Result<std::vector<std::string>> Modem::send(std::string_view command, std::string_view text, Millis deadline) {
  lines_.forget();
  if (auto written = write(fmt::format("{}\r", command)); !written) return fail(std::move(written).error());
  const auto until = std::chrono::steady_clock::now() + std::min(kPrompt, deadline);
  while (!lines_.prompted()) {
    while (auto line = lines_.next()) {
      const auto end = final_of(*line);
      if (end && !end->ok) return fail(Errc::failed, fmt::format("the modem answers {} with {}", command, end->error));
    }
    const auto left = std::chrono::ceil<Millis>(until - std::chrono::steady_clock::now());
    auto read = left > 0ms ? read_some(left) : fail(Errc::timeout, "");
    if (read) continue;
    if (read.error().code == Errc::timeout) {
      (void)write("\x1B");  // it may wait for a text all the same: give that up
      return fail(Errc::timeout,
                  fmt::format("the modem on {} does not ask for the text of {}", settings_.path, command));
    }
    return fail(std::move(read).error());
  }
  lines_.forget();
  if (auto written = write(fmt::format("{}\x1A", text)); !written) return fail(std::move(written).error());
  return answer(command, deadline);
}

}  // namespace hamlet::drivers::sms
