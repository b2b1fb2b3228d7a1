#include <csignal>
#include <cstdlib>
#include <string>

#include <opencv2/core/utility.hpp>

#include "cameras/confine.hpp"
#include "cameras/eyes.hpp"
#include "cameras/messages.hpp"
#include "firmware/core/clock.hpp"
#include "firmware/core/command_line.hpp"
#include "firmware/core/log.hpp"

int main(int argc, char** argv) {
  hamlet::CommandLine line{"Watches the cameras for hamletd, which starts it.", HAMLET_VERSION};
  std::string socket;
  line.text("--socket", socket, "the daemon's socket for its eyes", hamlet::CommandLine::Given::always);
  if (const auto ends = line.parse(argc, argv)) return *ends;

  std::signal(SIGPIPE, SIG_IGN);
  cv::setNumThreads(1);

  hamlet::SystemClock clock;
  hamlet::cameras::Eyes eyes{clock};
  auto done = eyes.connect(socket).and_then(hamlet::cameras::confine).and_then([&] { return eyes.run(); });
  if (done) return 0;
  hamlet::log::error("hamlet-eyes ends", {{"why", done.error().message}});
  // At once: the daemon learns why by this code, and not before by a socket that was closed.
  std::_Exit(done.error().code == hamlet::Errc::full ? hamlet::cameras::kOutOfMemory : 1);
}
