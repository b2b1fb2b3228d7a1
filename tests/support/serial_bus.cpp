#include "tests/support/serial_bus.hpp"

#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <termios.h>
#include <unistd.h>

namespace hamlet::support {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr std::uint8_t kIllegalFunction = 1;
constexpr std::uint8_t kIllegalAddress = 2;

// Bit by bit, as the standard's appendix has it, so that the driver is not measured against itself.
std::uint16_t crc_of(const std::vector<std::uint8_t>& bytes) {
  std::uint16_t crc = 0xFFFF;
  for (const auto byte : bytes) {
    crc = static_cast<std::uint16_t>(crc ^ byte);
    for (int i = 0; i < 8; ++i) {
      const bool carry = (crc & 1) == 1;
      crc = static_cast<std::uint16_t>(crc / 2);
      if (carry) crc = static_cast<std::uint16_t>(crc ^ 0xA001);
    }
  }
  return crc;
}

std::vector<std::uint8_t> framed(std::uint8_t unit, const std::vector<std::uint8_t>& pdu) {
  std::vector<std::uint8_t> frame{unit};
  frame.insert(frame.end(), pdu.begin(), pdu.end());
  const auto crc = crc_of(frame);
  frame.push_back(static_cast<std::uint8_t>(crc & 0xFF));
  frame.push_back(static_cast<std::uint8_t>(crc >> 8));
  return frame;
}

std::size_t request_size(const std::vector<std::uint8_t>& heard) {
  if (heard.size() < 8) return 8;
  return heard[1] == 0x10 || heard[1] == 0x0F ? 9U + heard[6] : 8;
}

}  // namespace

SerialBus::SerialBus(unsigned baud, unsigned bits_per_byte)
    : baud_{baud}, bits_per_byte_{bits_per_byte}, stop_{eventfd(0, EFD_CLOEXEC)} {
  plug_in();
  thread_ = std::thread{&SerialBus::run, this};
}

SerialBus::~SerialBus() {
  eventfd_write(stop_, 1);
  thread_.join();
  unplug();
  ::close(stop_);
}

std::string SerialBus::path() const {
  return (folder_.path() / "usb-serial").string();
}

void SerialBus::plug_in() {
  const int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
  std::array<char, 64> name{};
  if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0 || ptsname_r(master, name.data(), name.size()) != 0) {
    throw std::system_error(errno, std::generic_category(), "pty");
  }
  const int slave = open(name.data(), O_RDWR | O_NOCTTY | O_CLOEXEC);
  termios mode{};
  tcgetattr(slave, &mode);
  cfmakeraw(&mode);
  tcsetattr(slave, TCSANOW, &mode);
  const std::lock_guard lock{mutex_};
  master_ = master;
  slave_ = slave;
  std::filesystem::create_symlink(name.data(), path());
}

void SerialBus::unplug() {
  const std::lock_guard lock{mutex_};
  if (master_ < 0) return;
  std::filesystem::remove(path());
  ::close(master_);
  ::close(slave_);
  master_ = slave_ = -1;
}

void SerialBus::add(std::uint8_t unit, milliseconds turnaround) {
  const std::lock_guard lock{mutex_};
  slaves_[unit].turnaround = turnaround;
}

void SerialBus::set(std::uint8_t unit, std::uint16_t address, std::vector<std::uint16_t> values) {
  const std::lock_guard lock{mutex_};
  for (const auto value : values) slaves_[unit].registers[address++] = value;
}

std::optional<std::uint16_t> SerialBus::get(std::uint8_t unit, std::uint16_t address) const {
  const std::lock_guard lock{mutex_};
  const auto& registers = slaves_.at(unit).registers;
  const auto it = registers.find(address);
  return it == registers.end() ? std::nullopt : std::optional{it->second};
}

void SerialBus::set_fault(std::uint8_t unit, Fault fault, milliseconds delay) {
  const std::lock_guard lock{mutex_};
  slaves_[unit].fault = fault;
  slaves_[unit].delay = delay;
}

std::size_t SerialBus::requests(std::uint8_t unit) const {
  const std::lock_guard lock{mutex_};
  const auto it = slaves_.find(unit);
  return it == slaves_.end() ? 0 : it->second.requests;
}

std::size_t SerialBus::requests() const {
  const std::lock_guard lock{mutex_};
  std::size_t all = 0;
  for (const auto& [unit, slave] : slaves_) all += slave.requests;
  return all;
}

void SerialBus::forget_requests() {
  const std::lock_guard lock{mutex_};
  for (auto& [unit, slave] : slaves_) slave.requests = 0;
}

std::size_t SerialBus::hasty() const {
  const std::lock_guard lock{mutex_};
  return hasty_;
}

microseconds SerialBus::time_of(std::size_t bytes) const {
  return microseconds{bytes * bits_per_byte_ * 1'000'000 / baud_};
}

// False where the simulator ends meanwhile.
bool SerialBus::sleep_until(Time time) {
  const auto left = time - steady_clock::now();
  if (left <= microseconds{0}) return true;
  const auto nanos = std::chrono::duration_cast<std::chrono::nanoseconds>(left).count();
  const timespec wait{static_cast<time_t>(nanos / 1'000'000'000), static_cast<long>(nanos % 1'000'000'000)};
  pollfd waiting{stop_, POLLIN, 0};
  return ppoll(&waiting, 1, &wait, nullptr) == 0;
}

void SerialBus::run() {
  const sched_param least{.sched_priority = 1};  // a wire does not wait for the processor, where that can be had
  (void)pthread_setschedparam(pthread_self(), SCHED_RR, &least);
  Bytes heard;
  for (;;) {
    int master = -1;
    {
      const std::lock_guard lock{mutex_};
      master = master_;
    }
    std::array<pollfd, 2> waiting{{{stop_, POLLIN, 0}, {master, POLLIN, 0}}};
    poll(waiting.data(), waiting.size(), 20);  // looks again for what was plugged in meanwhile
    if (waiting[0].revents != 0) return;
    if ((waiting[1].revents & POLLIN) == 0) continue;
    const auto begin = steady_clock::now();
    std::array<std::uint8_t, 256> bytes{};
    const auto got = read(master, bytes.data(), bytes.size());
    if (got <= 0) continue;
    if (heard.empty() && silent_since_ != Time{} && begin < silent_since_ + time_of(7) / 2) {
      const std::lock_guard lock{mutex_};
      ++hasty_;
    }
    heard.insert(heard.end(), bytes.begin(), bytes.begin() + got);
    if (heard.size() < request_size(heard)) continue;
    if (!sleep_until(begin + time_of(heard.size()))) return;
    serve(heard, begin + time_of(heard.size()));
    heard.clear();
    silent_since_ = steady_clock::now();
  }
}

// Times count from when the request had been on the wire, not from when this thread was woken: it is not the driver's lateness.
void SerialBus::serve(Bytes& heard, Time ended) {
  const auto size = request_size(heard);
  if (heard.size() != size) return;
  if (crc_of(heard) != 0) return;  // of a frame with its CRC: 0
  Slave slave;
  Bytes pdu;
  {
    const std::lock_guard lock{mutex_};
    const auto it = slaves_.find(heard[0]);
    if (it == slaves_.end()) return;
    ++it->second.requests;
    if (it->second.fault == Fault::silent) return;
    pdu = answer_pdu(it->second, heard);
    slave = it->second;
  }
  misbehave(heard[0], slave, heard, std::move(pdu), ended + slave.turnaround);
}

SerialBus::Bytes SerialBus::answer_pdu(Slave& slave, const Bytes& request) {
  const auto word = [&](std::size_t at) { return static_cast<std::uint16_t>(request[at] << 8 | request[at + 1]); };
  const auto function = request[1];
  const auto refuse = [&](std::uint8_t code) { return Bytes{static_cast<std::uint8_t>(function | 0x80), code}; };
  const auto address = word(2);
  if (function == 0x06) {
    slave.registers[address] = word(4);
    return {request.begin() + 1, request.begin() + 6};
  }
  if (function == 0x10) {
    for (std::uint16_t i = 0; i < word(4); ++i) {
      slave.registers[static_cast<std::uint16_t>(address + i)] = word(7U + 2U * i);
    }
    return {request.begin() + 1, request.begin() + 6};
  }
  if (function != 0x03 && function != 0x04) return refuse(kIllegalFunction);
  Bytes pdu{function, static_cast<std::uint8_t>(word(4) * 2)};
  for (std::uint32_t at = address; at < std::uint32_t{address} + word(4); ++at) {
    const auto it = slave.registers.find(static_cast<std::uint16_t>(at));
    if (it == slave.registers.end()) return refuse(kIllegalAddress);
    pdu.push_back(static_cast<std::uint8_t>(it->second >> 8));
    pdu.push_back(static_cast<std::uint8_t>(it->second & 0xFF));
  }
  return pdu;
}

void SerialBus::send(const Bytes& frame, Time begin, milliseconds between) {
  int master = -1;
  {
    const std::lock_guard lock{mutex_};
    master = master_;
  }
  for (std::size_t i = 0; i < frame.size(); ++i) {
    if (!sleep_until(begin + time_of(i + 1) + between * static_cast<int>(i))) return;
    if (write(master, &frame[i], 1) != 1) return;
  }
}

void SerialBus::misbehave(std::uint8_t unit, const Slave& slave, const Bytes& request, Bytes pdu, Time begin) {
  auto frame = framed(unit, pdu);
  auto between = milliseconds{0};
  switch (slave.fault) {
    case Fault::none:
    case Fault::silent:
      break;
    case Fault::late:
      begin += slave.delay;
      break;
    case Fault::wrong_crc:
      frame.back() ^= 0x55;
      break;
    case Fault::wrong_unit:
      frame = framed(static_cast<std::uint8_t>(unit + 1), pdu);
      break;
    case Fault::half:
      frame.resize(frame.size() / 2);
      break;
    case Fault::noise:
      frame.insert(frame.begin(), {0x00, 0xFF, unit});
      break;
    case Fault::echo:
      frame.insert(frame.begin(), request.begin(), request.end());
      break;
    case Fault::dribble:
      between = slave.delay;
      break;
    case Fault::flood:
      frame.assign(3000, 0xAA);
      break;
  }
  send(frame, begin, between);
}

}  // namespace hamlet::support
