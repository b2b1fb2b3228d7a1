#include "tests/support/station.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <stdexcept>
#include <utility>

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

namespace hamlet::support {
namespace {

namespace sl = wire::sl651;
namespace hj = wire::hj212;

void check(bool ok, const char* what) {
  if (!ok) throw std::runtime_error(fmt::format("{}: errno {}", what, errno));
}

sockaddr_in local(std::uint16_t port, const std::string& address = "127.0.0.1") {
  sockaddr_in out{};
  out.sin_family = AF_INET;
  out.sin_port = htons(port);
  inet_pton(AF_INET, address.c_str(), &out.sin_addr);
  return out;
}

const sockaddr* as_sockaddr(const sockaddr_in& address) {
  return reinterpret_cast<const sockaddr*>(&address);  // NOLINT: how the calls want it
}

int connected(int type, std::uint16_t port, const std::string& from) {
  const int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
  check(fd >= 0, "socket");
  const auto source = local(0, from);
  check(bind(fd, as_sockaddr(source), sizeof source) == 0, "bind");
  const auto target = local(port);
  check(connect(fd, as_sockaddr(target), sizeof target) == 0, "connect");
  check(fcntl(fd, F_SETFL, O_NONBLOCK) == 0, "fcntl");
  return fd;
}

/// What a fault makes of a frame: what goes out now, what is left for later, and whether the wire is cut.
struct Spoilt {
  std::string now;
  std::string later;
  bool hang_up = false;
};

Spoilt spoil(StationFault fault, const std::string& frame) {
  auto wrong = frame;
  wrong[wrong.size() / 2] = static_cast<char>(wrong[wrong.size() / 2] ^ 0x04);
  switch (fault) {
    case StationFault::none:
      return {frame, ""};
    case StationFault::silent:
      return {};
    case StationFault::half:
      return {frame.substr(0, frame.size() / 2), ""};
    case StationFault::noise:
      return {"AT+NOISE\r\n\x7E#\x01\xFF" + frame, ""};
    case StationFault::wrong_crc:
      return {wrong, ""};
    case StationFault::dribble:
      return {"", frame};
    case StationFault::flood: {
      std::string out;
      while (out.size() < (64U << 10U)) out += wrong;
      return {out + frame, ""};
    }
    case StationFault::disconnect:
      return {frame.substr(0, frame.size() / 2), "", true};
  }
  return {};
}

}  // namespace

StationWire StationWire::tcp(std::uint16_t port, const std::string& from) {
  return StationWire{connected(SOCK_STREAM, port, from)};
}

StationWire StationWire::udp(std::uint16_t port) { return StationWire{connected(SOCK_DGRAM, port, "127.0.0.1")}; }

StationWire StationWire::serial() {
  StationWire out{posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC)};
  check(out.fd_ >= 0 && grantpt(out.fd_) == 0 && unlockpt(out.fd_) == 0, "pty");
  std::array<char, 64> name{};
  check(ptsname_r(out.fd_, name.data(), name.size()) == 0, "ptsname");
  out.path_ = name.data();
  termios raw{};
  tcgetattr(out.fd_, &raw);
  cfmakeraw(&raw);
  tcsetattr(out.fd_, TCSANOW, &raw);
  return out;
}

StationWire::StationWire(StationWire&& other) noexcept { *this = std::move(other); }

StationWire& StationWire::operator=(StationWire&& other) noexcept {
  if (this == &other) return *this;
  hang_up();
  fd_ = std::exchange(other.fd_, -1);
  path_ = std::move(other.path_);
  closed_ = other.closed_;
  return *this;
}

StationWire::~StationWire() { hang_up(); }

void StationWire::hang_up() {
  if (fd_ >= 0) close(std::exchange(fd_, -1));
}

void StationWire::send(std::string_view bytes) {
  while (!bytes.empty() && fd_ >= 0) {
    const auto written = path_.empty() ? ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL)
                                       : write(fd_, bytes.data(), bytes.size());
    if (written < 0 && errno != EAGAIN) {
      closed_ = true;
      return;
    }
    if (written > 0) bytes.remove_prefix(static_cast<std::size_t>(written));
    if (written < 0) return;  // the gateway does not take more now; what is left is lost, as on a real line
  }
}

std::string StationWire::take() {
  std::string out;
  std::array<char, 4096> chunk{};
  while (fd_ >= 0) {
    const auto size = read(fd_, chunk.data(), chunk.size());
    if (size > 0) {
      out.append(chunk.data(), static_cast<std::size_t>(size));
      continue;
    }
    if (size == 0 || (errno != EAGAIN && path_.empty())) closed_ = true;
    break;
  }
  return out;
}

// ---- SL 651 --------------------------------------------------------------------------------------------------------

std::vector<sl::Group> report_groups(const sl::Address& station, char class_code, WallTime observed) {
  return {{.kind = sl::Group::Kind::station, .id = 0xF1, .symbol = "ST", .station = station, .class_code = class_code},
          {.kind = sl::Group::Kind::observed, .id = 0xF0, .symbol = "TT", .time = sl::Stamp::minutes(observed)}};
}

sl::Group element(std::string_view symbol, double value) {
  const auto* info = sl::find_element(symbol);
  check(info != nullptr, "no such element");
  return {.kind = symbol == "ZT" ? sl::Group::Kind::status : sl::Group::Kind::number,
          .id = info->id,
          .symbol = info->symbol,
          .length = info->bytes,
          .decimals = info->decimals,
          .samples = {{.value = value}}};
}

void Rtu::report(std::uint8_t function, std::vector<sl::Group> groups, WallTime now, std::uint8_t end) {
  auto frame = like_;
  frame.function = function;
  frame.end = end;
  frame.body = sl::encode_body({.serial = ++serial_, .sent = sl::Stamp::seconds(now), .groups = std::move(groups)},
                               frame.encoding);
  last_ = {frame};
  send(sl::encode(frame));
}

void Rtu::report_in_packets(std::uint8_t function, std::vector<sl::Group> groups, WallTime now, std::size_t slice,
                            std::uint16_t lost) {
  auto frame = like_;
  frame.function = function;
  frame.body = sl::encode_body({.serial = ++serial_, .sent = sl::Stamp::seconds(now), .groups = std::move(groups)},
                               frame.encoding);
  last_ = sl::split(frame, slice);
  std::string bytes;
  for (const auto& packet : last_) {
    if (packet.packets->number != lost) bytes += sl::encode(packet);
  }
  send(bytes);
}

void Rtu::repeat() {
  std::string bytes;
  for (const auto& frame : last_) bytes += sl::encode(frame);
  send(bytes);
}

void Rtu::keep_alive(WallTime now) {
  auto frame = like_;
  frame.function = sl::kKeepAlive;
  frame.body = sl::encode_body({.serial = serial_, .sent = sl::Stamp::seconds(now)}, frame.encoding);
  send(sl::encode(frame));
}

void Rtu::send(const std::string& bytes) {
  auto spoilt = spoil(fault_, bytes);
  wire_.send(spoilt.now);
  dribble_ += spoilt.later;
  if (spoilt.hang_up) wire_.hang_up();
}

void Rtu::step() {
  if (!dribble_.empty()) {
    wire_.send(dribble_.substr(0, 1));
    dribble_.erase(0, 1);
  }
  decoder_.feed(wire_.take());
  while (const auto next = decoder_.next()) {
    if (!*next) continue;
    answers_.push_back(**next);
    if ((*next)->end != sl::kNak || !(*next)->packets) continue;
    const auto wanted = (*next)->packets->number;
    if (wanted == 0 || wanted > last_.size()) continue;
    auto again = last_[wanted - 1U];
    again.end = sl::kEtx;
    wire_.send(sl::encode(again));
  }
}

std::size_t Rtu::confirmed() const {
  return static_cast<std::size_t>(std::count_if(answers_.begin(), answers_.end(), [](const sl::Frame& frame) {
    return frame.end == sl::kEot || frame.end == sl::kEsc || frame.end == sl::kAck;
  }));
}

// ---- HJ 212 --------------------------------------------------------------------------------------------------------

void Logger::upload(std::string cn, std::vector<hj::Item> cp, WallTime now) {
  auto packet = like_;
  packet.qn = hj::qn_of(now);
  packet.cn = std::move(cn);
  packet.cp = std::move(cp);
  last_.clear();
  for (const auto& part : hj::split(packet, 1024)) last_ += hj::encode(part);
  send(last_);
}

void Logger::repeat() { send(last_); }

void Logger::serve_history(std::string item, unsigned count, Millis period) {
  history_item_ = std::move(item);
  history_count_ = count;
  history_period_ = period;
}

void Logger::send(const std::string& bytes) {
  auto spoilt = spoil(fault_, bytes);
  wire_.send(spoilt.now);
  dribble_ += spoilt.later;
  if (spoilt.hang_up) wire_.hang_up();
}

void Logger::serve(const hj::Packet& request) {
  auto reply = hj::answer(request, "9011", {{{"QnRtn", "1"}}});
  wire_.send(hj::encode(reply));
  const auto begin = wire::parse_china_digits(request.find("BeginTime"));
  for (unsigned i = 0; begin && i < history_count_; ++i) {
    auto packet = like_;
    const auto time = *begin + history_period_ * static_cast<std::int64_t>(i);
    packet.qn = hj::qn_of(time);
    packet.cn = request.cn;
    packet.cp = {{{"DataTime", wire::china_digits(time).substr(0, 14)}}, {{history_item_, fmt::format("{}", i)}}};
    wire_.send(hj::encode(packet));
  }
  reply = hj::answer(request, "9012", {{{"ExeRtn", history_count_ == 0 ? "100" : "1"}}});
  wire_.send(hj::encode(reply));
}

void Logger::step() {
  if (!dribble_.empty()) {
    wire_.send(dribble_.substr(0, 1));
    dribble_.erase(0, 1);
  }
  decoder_.feed(wire_.take());
  while (const auto next = decoder_.next()) {
    if (!*next) continue;
    const auto& packet = (*next)->packet;
    answers_.push_back(packet);
    if (!history_item_.empty() && !packet.find("BeginTime").empty()) serve(packet);
  }
}

std::size_t Logger::count(std::string_view cn) const {
  return static_cast<std::size_t>(
      std::count_if(answers_.begin(), answers_.end(), [&](const hj::Packet& packet) { return packet.cn == cn; }));
}

}  // namespace hamlet::support
