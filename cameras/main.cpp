#include <csignal>
#include <cstdio>
#include <string>

#include <opencv2/core/utility.hpp>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "cameras/eyes.hpp"
#include "firmware/core/clock.hpp"
#include "firmware/core/command_line.hpp"
#include "firmware/core/log.hpp"

namespace {

// Bytes from the network are decoded here: no new rights, and no picture in a core dump.
void confine() {
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  const rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);
}

}  // namespace

int main(int argc, char** argv) {
  hamlet::CommandLine line{"Watches the cameras for hamletd, which starts it.", HAMLET_VERSION};
  std::string socket;
  line.text("--socket", socket, "the daemon's socket for its eyes", hamlet::CommandLine::Given::always);
  if (const auto ends = line.parse(argc, argv)) return *ends;

  std::signal(SIGPIPE, SIG_IGN);
  confine();
  cv::setNumThreads(1);

  hamlet::SystemClock clock;
  hamlet::cameras::Eyes eyes{clock};
  auto done = eyes.connect(socket).and_then([&] { return eyes.run(); });
  if (done) return 0;
  hamlet::log::error("hamlet-eyes ends", {{"why", done.error().message}});
  return 1;
}
