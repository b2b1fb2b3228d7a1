#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "tests/support/pty.hpp"

namespace hamlet::support {

/// A GSM modem at the other end of a pty, with faults. It answers as 3GPP TS 27.005 and 27.007 have it, echoes until it
/// is told not to, says things unasked, and takes short messages in PDU and in text mode.
class SimulatedModem {
 public:
  enum class Fault {
    none,
    silent,      ///< says nothing at all
    error,       ///< ERROR to every message
    cms_error,   ///< +CMS ERROR: 38 to every message
    no_network,  ///< searches for ever
    sim_pin,     ///< the card wants its PIN
    slow,        ///< takes a second for each answer, three for a message
    no_prompt,   ///< does not ask for the text
    busy_once,   ///< +CMS ERROR: 42 to the first message
  };

  SimulatedModem();
  ~SimulatedModem();
  SimulatedModem(const SimulatedModem&) = delete;
  SimulatedModem& operator=(const SimulatedModem&) = delete;

  [[nodiscard]] const std::string& path() const { return pty_.path(); }
  void set_fault(Fault fault) { fault_ = fault; }

  /// A message as a phone would show it, each part apart.
  struct Message {
    std::string number;  ///< "+8613800000000"
    std::string text;    ///< UTF-8
    int part = 1;
    int parts = 1;
  };
  [[nodiscard]] std::vector<Message> messages() const;
  [[nodiscard]] std::vector<std::string> commands() const;

 private:
  void run();
  void take(std::string_view line);
  void take_message(const std::string& body);
  void say(std::string_view line) const;
  [[nodiscard]] bool pause(int ms) const;

  Pty pty_;
  std::atomic<Fault> fault_{Fault::none};
  std::atomic<bool> stop_{false};
  mutable std::mutex mutex_;
  std::vector<Message> messages_;      // guarded
  std::vector<std::string> commands_;  // guarded
  // of the thread
  bool echo_ = true;
  bool text_mode_ = false;
  bool ucs2_ = false;
  bool wide_text_ = false;
  bool was_busy_ = false;
  std::string waiting_for_text_;  // the argument of AT+CMGS
  std::thread thread_;
};

/// What a PDU of AT+CMGS says; `length`: the octets that were announced. Throws std::runtime_error where it is wrong.
[[nodiscard]] SimulatedModem::Message decode_submit(std::string_view hex, std::size_t length);

}  // namespace hamlet::support
