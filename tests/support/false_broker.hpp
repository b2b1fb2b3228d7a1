#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>

namespace hamlet::support {

/// A broker that does not do as it should, one connection at a time, in a thread of its own, on a free port of 127.0.0.1. It knows just enough of MQTT 5 to let
/// a client log in and publish.
class FalseBroker {
 public:
  struct Manners {
    bool answers_connect = true;
    std::uint8_t connack = 0;                                                    ///< reason
    std::function<int(std::uint64_t publish)> puback = [](auto) { return 0; };  ///< reason for the nth QoS 1 publish; kSilent, kDrop, kLeave
    std::string says{};  ///< instead of MQTT: this, to whatever comes, and closes
    std::string once_asked{};  ///< it says so only when this has come, and waits for it for ever; empty: to the first byte
  };
  static constexpr int kSilent = -1;  ///< no PUBACK
  static constexpr int kDrop = -2;    ///< closes the connection
  static constexpr int kLeave = 0x100;  ///< and a reason: DISCONNECT with it

  explicit FalseBroker(Manners manners);
  ~FalseBroker();
  FalseBroker(const FalseBroker&) = delete;
  FalseBroker& operator=(const FalseBroker&) = delete;

  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] std::string uri() const { return "mqtt://127.0.0.1:" + std::to_string(port_); }
  [[nodiscard]] std::uint64_t logins() const { return logins_; }
  [[nodiscard]] std::uint64_t publishes() const { return publishes_; }

 private:
  void run();
  void serve(int fd);
  bool answer(int fd, std::uint8_t type, const std::string& body);

  const Manners manners_;
  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::atomic<bool> stopping_ = false;
  std::atomic<std::uint64_t> logins_ = 0;
  std::atomic<std::uint64_t> publishes_ = 0;
  std::thread thread_;
};

}  // namespace hamlet::support
