#include "tests/support/modbus_simulator.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <system_error>

#include <modbus/modbus.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

namespace hamlet::support {
namespace {

constexpr std::size_t kHeader = 7;  // MBAP
constexpr std::uint8_t kIllegalValue = 3;

[[noreturn]] void raise(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

ModbusSimulator::Request parse(const std::vector<std::uint8_t>& frame) {
  const auto word = [&](std::size_t at) { return static_cast<std::uint16_t>(frame[at] << 8 | frame[at + 1]); };
  return {frame[kHeader - 1], static_cast<ModbusSimulator::Kind>(frame[kHeader]), word(kHeader + 1), word(kHeader + 3)};
}

}  // namespace

struct ModbusSimulator::Server {
  explicit Server(std::uint16_t port)
      : context{modbus_new_tcp("127.0.0.1", port)}, mapping{modbus_mapping_new(kSize, kSize, kSize, kSize)} {
    if (context == nullptr || mapping == nullptr) raise("libmodbus");
    listener = modbus_tcp_listen(context, 16);
    if (listener < 0) raise("listen for Modbus");
    modbus_set_indication_timeout(context, 1, 0);  // of a request that does not come whole
  }
  ~Server() {
    ::close(listener);
    modbus_mapping_free(mapping);
    modbus_free(context);
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  modbus_t* context;
  modbus_mapping_t* mapping;
  int listener = -1;
};

ModbusSimulator::ModbusSimulator(std::uint16_t port)
    : server_{std::make_unique<Server>(port)}, stop_{eventfd(0, EFD_CLOEXEC)} {
  if (stop_ < 0) raise("eventfd");
  sockaddr_in bound{};
  socklen_t size = sizeof bound;
  if (getsockname(server_->listener, reinterpret_cast<sockaddr*>(&bound), &size) < 0) raise("getsockname");
  port_ = ntohs(bound.sin_port);
  thread_ = std::thread{&ModbusSimulator::run, this};
}

ModbusSimulator::~ModbusSimulator() {
  eventfd_write(stop_, 1);
  thread_.join();
  for (const int client : clients_) ::close(client);
  ::close(stop_);
}

void ModbusSimulator::set_register(Kind kind, std::uint16_t address, std::uint16_t value) {
  const std::lock_guard lock{mutex_};
  (kind == Kind::input ? server_->mapping->tab_input_registers : server_->mapping->tab_registers)[address] = value;
}

void ModbusSimulator::set_registers(Kind kind, std::uint16_t address, const std::vector<std::uint16_t>& values) {
  for (const auto value : values) set_register(kind, address++, value);
}

void ModbusSimulator::set_float(Kind kind, std::uint16_t address, float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::lock_guard lock{mutex_};
  auto* registers = kind == Kind::input ? server_->mapping->tab_input_registers : server_->mapping->tab_registers;
  registers[address] = static_cast<std::uint16_t>(bits >> 16);
  registers[address + 1] = static_cast<std::uint16_t>(bits & 0xFFFF);
}

void ModbusSimulator::set_bit(Kind kind, std::uint16_t address, bool value) {
  const std::lock_guard lock{mutex_};
  (kind == Kind::discrete ? server_->mapping->tab_input_bits : server_->mapping->tab_bits)[address] = value ? 1 : 0;
}

void ModbusSimulator::set_fault(Fault fault, std::chrono::milliseconds delay, std::uint8_t code) {
  const std::lock_guard lock{mutex_};
  fault_ = fault;
  delay_ = delay;
  code_ = code;
}

void ModbusSimulator::forbid(Kind kind, std::uint16_t address) {
  const std::lock_guard lock{mutex_};
  forbidden_.emplace(kind, address);
}

void ModbusSimulator::forbid_function(std::uint8_t function, bool silently) {
  const std::lock_guard lock{mutex_};
  forbidden_functions_[function] = silently;
}

void ModbusSimulator::limit_count(std::uint16_t count) {
  const std::lock_guard lock{mutex_};
  most_ = count;
}

std::vector<ModbusSimulator::Request> ModbusSimulator::requests() const {
  const std::lock_guard lock{mutex_};
  return requests_;
}

void ModbusSimulator::forget_requests() {
  const std::lock_guard lock{mutex_};
  requests_.clear();
}

bool ModbusSimulator::coil(std::uint16_t address) const {
  const std::lock_guard lock{mutex_};
  return server_->mapping->tab_bits[address] != 0;
}

void ModbusSimulator::log_answers() {
  const std::lock_guard lock{mutex_};
  answers_.emplace();
}

std::vector<ModbusSimulator::Answer> ModbusSimulator::answers() const {
  const std::lock_guard lock{mutex_};
  return answers_.value_or(std::vector<Answer>{});
}

std::size_t ModbusSimulator::connections() const {
  const std::lock_guard lock{mutex_};
  return connections_;
}

void ModbusSimulator::run() {
  for (;;) {
    std::vector<pollfd> waiting{{stop_, POLLIN, 0}, {server_->listener, POLLIN, 0}};
    for (const int client : clients_) waiting.push_back({client, POLLIN, 0});
    if (poll(waiting.data(), waiting.size(), -1) < 0 && errno != EINTR) return;
    if (waiting[0].revents != 0) return;
    for (std::size_t i = 2; i < waiting.size(); ++i) {
      if (waiting[i].revents == 0 || serve(waiting[i].fd)) continue;
      ::close(waiting[i].fd);
      std::erase(clients_, waiting[i].fd);
    }
    if (waiting[1].revents != 0) accept_client();
  }
}

void ModbusSimulator::accept_client() {
  const int client = accept4(server_->listener, nullptr, nullptr, SOCK_CLOEXEC);
  if (client < 0) return;
  clients_.push_back(client);
  const std::lock_guard lock{mutex_};
  ++connections_;
}

// One request of a client; false where its connection is to be closed.
bool ModbusSimulator::serve(int client) {
  modbus_set_socket(server_->context, client);
  std::vector<std::uint8_t> frame(MODBUS_TCP_MAX_ADU_LENGTH);
  const int received = modbus_receive(server_->context, frame.data());
  if (received < static_cast<int>(kHeader + 5)) return false;
  frame.resize(static_cast<std::size_t>(received));
  auto fault = Fault::none;
  {
    const std::lock_guard lock{mutex_};
    requests_.push_back(parse(frame));
    fault = fault_;
  }
  if (!misbehave(fault, client, frame)) return fault != Fault::close;
  answer(frame);
  return true;
}

// Does what the fault says; true where an answer to `frame`, perhaps changed, is still due.
bool ModbusSimulator::misbehave(Fault fault, int client, std::vector<std::uint8_t>& frame) {
  constexpr std::array<std::uint8_t, 3> kProtocolAndLength{0, 0, 0};
  std::vector<std::uint8_t> begun{frame[0], frame[1]};
  begun.insert(begun.end(), kProtocolAndLength.begin(), kProtocolAndLength.end());
  switch (fault) {
    case Fault::none:
    case Fault::exception:
      return true;
    case Fault::silent:
    case Fault::close:
      return false;
    case Fault::slow:
      return pause(delay());
    case Fault::wrong_transaction:
      frame[1] ^= 0x55;
      return true;
    case Fault::wrong_unit:
      frame[kHeader - 1] ^= 0x55;
      return true;
    case Fault::truncated:
      send(client, begun.data(), begun.size(), MSG_NOSIGNAL);
      return false;
    case Fault::trickle:
      for (const auto byte : begun) {
        if (send(client, &byte, 1, MSG_NOSIGNAL) != 1 || !pause(delay())) break;
      }
      return false;
  }
  return true;
}

void ModbusSimulator::answer(const std::vector<std::uint8_t>& frame) {
  const std::lock_guard lock{mutex_};
  const auto request = parse(frame);
  const auto function = frame[kHeader];
  if (const auto forbidden = forbidden_functions_.find(function); forbidden != forbidden_functions_.end()) {
    if (!forbidden->second) {
      modbus_reply_exception(server_->context, frame.data(), MODBUS_EXCEPTION_ILLEGAL_FUNCTION);
    }
  } else if (fault_ == Fault::exception) {
    modbus_reply_exception(server_->context, frame.data(), code_);
  } else if (function <= MODBUS_FC_READ_INPUT_REGISTERS && request.count > most_) {
    modbus_reply_exception(server_->context, frame.data(), kIllegalValue);
  } else if (refuses(request)) {
    modbus_reply_exception(server_->context, frame.data(), MODBUS_EXCEPTION_ILLEGAL_DATA_ADDRESS);
  } else {
    modbus_reply(server_->context, frame.data(), static_cast<int>(frame.size()), server_->mapping);
    if (!answers_) return;
    const auto now = std::chrono::steady_clock::now();
    if (function == MODBUS_FC_WRITE_SINGLE_COIL) {
      answers_->push_back({request, frame[kHeader + 3] != 0, now});
    } else if (function == MODBUS_FC_WRITE_MULTIPLE_COILS) {
      for (std::uint16_t i = 0; i < request.count; ++i) {
        const auto address = static_cast<std::uint16_t>(request.address + i);
        answers_->push_back({{request.unit, request.kind, address, 1}, server_->mapping->tab_bits[address] != 0, now});
      }
    } else {
      answers_->push_back({request, std::nullopt, now});
    }
  }
}

bool ModbusSimulator::refuses(const Request& request) const {
  return std::any_of(forbidden_.begin(), forbidden_.end(), [&](const auto& forbidden) {
    return forbidden.first == request.kind && forbidden.second >= request.address &&
           forbidden.second < request.address + request.count;
  });
}

std::chrono::milliseconds ModbusSimulator::delay() const {
  const std::lock_guard lock{mutex_};
  return delay_;
}

// False where the simulator ends meanwhile.
bool ModbusSimulator::pause(std::chrono::milliseconds time) const {
  pollfd waiting{stop_, POLLIN, 0};
  return poll(&waiting, 1, static_cast<int>(time.count())) == 0;
}

}  // namespace hamlet::support
