#pragma once

#include <cstddef>
#include <istream>
#include <memory>
#include <ostream>
#include <string>

#include "firmware/ctl/invocation.hpp"

namespace hamlet::ctl {

/// What a probe reads and writes: data to `out`, words to `err`.
struct ProbeStreams {
  std::istream& in;
  std::ostream& out;
  std::ostream& err;
};

/// `hamlet probe KIND …`: talks to a device, or reads its frames, without the daemon and its config. Returns the exit
/// code. A new kind is one line in probe.cpp, a function of this form in probe_KIND.cpp and its command line in
/// invocation.cpp.
[[nodiscard]] int probe(const Invocation& asked, ProbeStreams streams);

/// decode: frames from `in`, one a line, as hex or as they are; every field to `out`, or why a frame is refused. kFailed
/// where one was.
[[nodiscard]] int probe_decode(const Invocation& asked, ProbeStreams streams);

/// Tells frames as `decode` does, out of streams of bytes; of each station that is new the config lines to paste.
class FrameTeller {
 public:
  FrameTeller(const Invocation& asked, ProbeStreams streams);
  ~FrameTeller();
  FrameTeller(const FrameTeller&) = delete;
  FrameTeller& operator=(const FrameTeller&) = delete;
  /// Tells the frames at the start of `bytes`, which came from the address `peer`, and takes them away.
  void take(std::string& bytes, const std::string& peer);
  [[nodiscard]] std::size_t frames() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// sl651 and hj212: waits at a port and tells what stations send there, without an answer to them.
[[nodiscard]] int probe_listen(const Invocation& asked, ProbeStreams streams);

/// modbus-rtu and modbus-tcp: lists profiles, looks for devices (--scan), or reads one once; shows every frame and prints
/// the config lines. kFailed where nothing was found or a device did not answer.
[[nodiscard]] int probe_modbus(const Invocation& asked, ProbeStreams streams);

}  // namespace hamlet::ctl
