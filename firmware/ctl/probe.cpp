#include "firmware/ctl/probe.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include "firmware/ctl/exit.hpp"

namespace hamlet::ctl {
namespace {

struct Kind {
  std::string_view name;
  int (*run)(const Invocation& asked, ProbeStreams streams);
};

constexpr std::array kKinds{
    Kind{"decode", &probe_decode},
    Kind{"hj212", &probe_listen},
    Kind{"modbus-rtu", &probe_modbus},
    Kind{"modbus-tcp", &probe_modbus},
    Kind{"sl651", &probe_listen},
};

}  // namespace

int probe(const Invocation& asked, ProbeStreams streams) {
  const auto kind = std::find_if(kKinds.begin(), kKinds.end(),
                                 [&](const Kind& known) { return known.name == asked.probe.kind; });
  return kind == kKinds.end() ? kUsage : kind->run(asked, streams);
}

}  // namespace hamlet::ctl
