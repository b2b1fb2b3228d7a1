#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "firmware/core/result.hpp"
#include "firmware/core/time.hpp"

namespace hamlet::support {

/// A TCP proxy on a free port of 127.0.0.1 with the faults of a bad link. It runs in a thread of its own; every member
/// may be called from any thread.
class Proxy {
 public:
  explicit Proxy(std::uint16_t target_port);
  ~Proxy();
  Proxy(const Proxy&) = delete;
  Proxy& operator=(const Proxy&) = delete;

  [[nodiscard]] std::uint16_t port() const;
  [[nodiscard]] std::string uri() const;  ///< "mqtt://127.0.0.1:port"

  void open();       ///< forwards again; rate and delay stay as they are
  void cut();        ///< resets every connection and refuses new ones
  void stall();      ///< holds back everything, both ways, until open(); connections stay
  void half_open();  ///< swallows everything silently, in new connections too; those that were open when it began never
                     ///< recover
  void rate(std::uint64_t bits_per_second);  ///< each way, all connections together; 0: no limit
  void delay(Millis one_way);

  /// Faults by a script: words separated by `;`, each optionally `at TIME`, counted from now:
  /// `rate 30kbit; delay 800ms; at 2s cut; at 5s open; at 9s stall; at 20s halfopen; at 30s rate 0`.
  /// `every 20s for 5s cut` repeats until the next run(). Error invalid: which word.
  [[nodiscard]] Status run(std::string_view script);

  struct Counts {
    std::uint64_t connections = 0;  ///< accepted so far
    std::uint64_t open = 0;         ///< now
    std::uint64_t bytes_up = 0;     ///< forwarded to the target
    std::uint64_t bytes_down = 0;
    std::uint64_t swallowed = 0;  ///< bytes lost by half_open()
  };
  [[nodiscard]] Counts counts() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace hamlet::support
