#include "firmware/ctl/probe.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include "firmware/ctl/exit.hpp"

namespace hamlet::ctl {
namespace {

struct ProbeVerb {
  std::string_view name;
  int (*run)(const Invocation& asked, ProbeStreams streams);
};

constexpr std::array kKinds{
    ProbeVerb{"decode", &probe_decode},
    ProbeVerb{"hj212", &probe_listen},
    ProbeVerb{"modbus-rtu", &probe_modbus},
    ProbeVerb{"modbus-tcp", &probe_modbus},
    ProbeVerb{"sl651", &probe_listen},
};

}  // namespace

int probe(const Invocation& asked, ProbeStreams streams) {
  const auto kind = std::find_if(kKinds.begin(), kKinds.end(),
                                 [&](const ProbeVerb& known) { return known.name == asked.probe.kind; });
  return kind == kKinds.end() ? kUsage : kind->run(asked, streams);
}

}  // namespace hamlet::ctl
