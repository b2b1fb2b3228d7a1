#include "firmware/ctl/exit.hpp"
#include "firmware/ctl/probe.hpp"

namespace hamlet::ctl {

int probe_decode(const Invocation& /*asked*/, ProbeStreams streams) {
  streams.err << "hamlet: decode comes with the frames of SL 651 and HJ 212\n";
  return kFailed;
}

}  // namespace hamlet::ctl
