#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "drivers/actor.hpp"
#include "drivers/recorder.hpp"
#include "drivers/serial/serial.hpp"

namespace hamlet::drivers::sms {

/// What a modem says, cut into lines. Bounded: a line of more than 512 bytes is cut, of more than 64 lines the oldest
/// are lost.
class AtLines {
 public:
  void feed(std::string_view bytes);
  [[nodiscard]] std::optional<std::string> next();
  /// Whether it waits for a text: "> " without a line's end.
  [[nodiscard]] bool prompted() const { return partial_.starts_with('>'); }
  void forget();

 private:
  std::string partial_;
  std::vector<std::string> lines_;
};

/// Whether a line ends an answer, and how.
struct Final {
  bool ok = false;
  std::string error{};  ///< "ERROR", "+CMS ERROR: 38 (no network service)"
};
[[nodiscard]] std::optional<Final> final_of(std::string_view line);
/// What a number of +CMS ERROR or +CME ERROR means; empty: not known.
[[nodiscard]] std::string_view meaning_of(std::string_view kind, int number);

/// A modem on an open serial port; blocks, on its thread. What it says unasked is passed over.
class Modem {
 public:
  /// `frames` hears what goes out and comes in. Errors: of serial::open_port().
  [[nodiscard]] static Result<Modem> open(const serial::Settings& settings, const Job& job, FrameLog* frames);
  ~Modem();
  Modem(Modem&& other) noexcept;
  Modem& operator=(Modem&&) = delete;

  /// Lines of the answer before OK. Errors: timeout (it says nothing), failed (it says ERROR), unavailable (the port
  /// has gone), cancelled.
  [[nodiscard]] Result<std::vector<std::string>> ask(std::string_view command, Millis deadline);
  /// A command that asks for a text, and the text.
  [[nodiscard]] Result<std::vector<std::string>> send(std::string_view command, std::string_view text, Millis deadline);

 private:
  Modem(int fd, const serial::Settings& settings, const Job& job, FrameLog* frames)
      : fd_{fd}, settings_{settings}, job_{job}, frames_{frames} {}
  [[nodiscard]] Status write(std::string_view bytes);
  [[nodiscard]] Status read_some(Millis time);
  [[nodiscard]] Result<std::vector<std::string>> answer(std::string_view command, Millis deadline);

  int fd_;
  const serial::Settings& settings_;
  const Job& job_;
  FrameLog* frames_;  // null: nobody wants to hear
  AtLines lines_;
};

}  // namespace hamlet::drivers::sms
