#include <csignal>
#include <cstdio>
#include <string>

#include <CLI/CLI.hpp>
#include <opencv2/core/utility.hpp>

#include "cameras/confine.hpp"
#include "cameras/eyes.hpp"
#include "firmware/core/clock.hpp"
#include "firmware/core/log.hpp"

int main(int argc, char** argv) {
  CLI::App app{"Watches the cameras for hamletd, which starts it."};
  std::string socket;
  app.add_option("--socket", socket, "the daemon's socket for its eyes")->required();
  app.set_version_flag("--version", HAMLET_VERSION);
  CLI11_PARSE(app, argc, argv);

  std::signal(SIGPIPE, SIG_IGN);
  cv::setNumThreads(1);

  hamlet::SystemClock clock;
  hamlet::cameras::Eyes eyes{clock};
  auto done = eyes.connect(socket).and_then(hamlet::cameras::confine).and_then([&] { return eyes.run(); });
  if (done) return 0;
  hamlet::log::error("hamlet-eyes ends", {{"why", done.error().message}});
  return 1;
}
