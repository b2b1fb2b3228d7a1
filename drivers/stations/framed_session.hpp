#pragma once

#include <string_view>
#include <type_traits>
#include <utility>

#include "drivers/stations/port.hpp"

namespace hamlet::drivers::stations {

/// A session of frames: takes them out of a line's bytes with wire's `Decoder` and bans the line that brings too many
/// which are not to be trusted. A frame that is wrong is met with silence: the station repeats it. On the io thread.
template <typename Decoder>
class FramedSession : public Session {
 public:
  void received(std::string_view bytes) final {
    decoder_.feed(bytes);
    drain();
  }
  void gave_up() final {
    decoder_.give_up();
    drain();
  }

 protected:
  using Frame = std::remove_cvref_t<decltype(**std::declval<Decoder&>().next())>;

  FramedSession(Port& port, Line& line, Decoder decoder = Decoder{})
      : port_{port}, line_{line}, decoder_{std::move(decoder)} {}

  /// Whether the frame was to be trusted.
  [[nodiscard]] virtual bool take(const Frame& frame) = 0;

  Port& port_;
  Line& line_;
  Decoder decoder_;

 private:
  void drain() {
    while (!line_.closed()) {
      const auto next = decoder_.next();
      if (!next) return;
      if (*next && !take(**next) && ++strange_ >= (line_.identified() ? kMostStrangeOfOurs : kMostStrange))
        port_.ban(line_);
    }
  }

  unsigned strange_ = 0;
};

}  // namespace hamlet::drivers::stations
