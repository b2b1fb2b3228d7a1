#pragma once

#include <istream>
#include <ostream>

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

/// modbus-rtu and modbus-tcp: lists profiles, looks for devices (--scan), or reads one once; shows every frame and prints
/// the config lines. kFailed where nothing was found or a device did not answer.
[[nodiscard]] int probe_modbus(const Invocation& asked, ProbeStreams streams);

}  // namespace hamlet::ctl
