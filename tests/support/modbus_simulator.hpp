#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <utility>
#include <vector>

namespace hamlet::support {

/// A Modbus TCP device on 127.0.0.1 that speaks the real protocol through libmodbus' server side, to several clients,
/// on a thread of its own. 1000 addresses (0 to 999) of each kind; others bring exception 02. All functions may be
/// called from any thread; a change counts from the next request on.
class ModbusSimulator {
 public:
  enum class Kind : std::uint8_t { coil = 1, discrete = 2, holding = 3, input = 4 };
  static constexpr int kSize = 1000;

  /// `port` 0: a free one.
  explicit ModbusSimulator(std::uint16_t port = 0);
  ~ModbusSimulator();
  ModbusSimulator(const ModbusSimulator&) = delete;
  ModbusSimulator& operator=(const ModbusSimulator&) = delete;

  [[nodiscard]] std::uint16_t port() const { return port_; }

  // ---- what it measures
  void set_register(Kind kind, std::uint16_t address, std::uint16_t value);
  void set_registers(Kind kind, std::uint16_t address, const std::vector<std::uint16_t>& values);
  /// Two registers, ABCD.
  void set_float(Kind kind, std::uint16_t address, float value);
  void set_bit(Kind kind, std::uint16_t address, bool value);

  // ---- what is wrong with it
  enum class Fault {
    none,
    silent,             ///< takes requests and never answers
    slow,               ///< answers after `delay`
    close,              ///< closes the connection instead of answering
    exception,          ///< answers with exception `code`
    wrong_transaction,  ///< answers with the transaction id of another request
    wrong_unit,         ///< answers as another unit
    truncated,          ///< sends the first five bytes of an answer, then nothing
    trickle,            ///< sends the first bytes of an answer one by one, every `delay`
  };
  void set_fault(Fault fault, std::chrono::milliseconds delay = {}, std::uint8_t code = 4);
  /// Reading this address brings exception 02, alone or with others.
  void forbid(Kind kind, std::uint16_t address);
  /// A function that it does not know brings exception 01, or where it is that kind of device, no answer.
  void forbid_function(std::uint8_t function, bool silently = false);
  /// Reading more than `count` at once brings exception 03.
  void limit_count(std::uint16_t count);

  // ---- what it saw
  struct Request {
    std::uint8_t unit = 0;
    Kind kind = Kind::holding;
    std::uint16_t address = 0;
    std::uint16_t count = 0;
    friend bool operator==(const Request&, const Request&) = default;
  };
  [[nodiscard]] std::vector<Request> requests() const;
  void forget_requests();
  [[nodiscard]] bool coil(std::uint16_t address) const;
  /// An answer that was given, or a coil that was written (each of several), and when: since log_answers().
  struct Answer {
    Request request;
    std::optional<bool> written{};  ///< of a coil
    std::chrono::steady_clock::time_point at{};
  };
  void log_answers();
  [[nodiscard]] std::vector<Answer> answers() const;
  [[nodiscard]] std::size_t connections() const;  ///< accepted since the start

 private:
  struct Server;

  void run();
  void accept_client();
  [[nodiscard]] bool serve(int client);
  [[nodiscard]] bool misbehave(Fault fault, int client, std::vector<std::uint8_t>& frame);
  void answer(const std::vector<std::uint8_t>& frame);
  [[nodiscard]] std::chrono::milliseconds delay() const;
  [[nodiscard]] bool pause(std::chrono::milliseconds time) const;
  [[nodiscard]] bool refuses(const Request& request) const;

  std::unique_ptr<Server> server_;  // libmodbus' things
  std::uint16_t port_ = 0;
  int stop_;  // an eventfd: readable when it ends

  mutable std::mutex mutex_;  // guards what follows, and the server's registers
  Fault fault_ = Fault::none;
  std::chrono::milliseconds delay_{};
  std::uint8_t code_ = 4;
  std::uint16_t most_ = 2000;
  std::set<std::pair<Kind, std::uint16_t>> forbidden_;
  std::map<std::uint8_t, bool> forbidden_functions_;  // whether silently
  std::vector<Request> requests_;
  std::size_t connections_ = 0;
  std::optional<std::vector<Answer>> answers_;

  std::vector<int> clients_;  // of the thread
  std::thread thread_;
};

}  // namespace hamlet::support
