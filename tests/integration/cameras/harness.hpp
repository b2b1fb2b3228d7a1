#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <nlohmann/json.hpp>
#include <sys/types.h>

#include "cameras/camera_config.hpp"
#include "firmware/core/clock.hpp"
#include "firmware/daemon/eyes_link.hpp"
#include "tests/support/process.hpp"

namespace hamlet::tests {

struct Seen {
  cameras::Observation what;
  std::string jpeg;
  std::string thumbnail;
};

/// An EyesLink on an io thread that is the test's own, and all that it has said.
class Harness {
 public:
  /// With the real hamlet-eyes as its child, or alone, to be connected to.
  enum class With { eyes, nobody };
  explicit Harness(With with, Millis silence = Millis{20'000});

  /// Runs the io thread until `done`; false at the deadline.
  [[nodiscard]] bool until(const std::function<bool()>& done, std::chrono::seconds deadline = std::chrono::seconds{30});

  [[nodiscard]] nlohmann::json camera(const std::string& id) const;
  /// "up", "down ended", …; "" where there is none.
  [[nodiscard]] std::string state_of(const std::string& id) const;
  [[nodiscard]] std::string eyes_state() const { return link.status().at("eyes").at("state"); }
  [[nodiscard]] std::vector<Seen> seen_in(const std::string& zone, Phase phase) const;
  [[nodiscard]] std::vector<Event> events_of(const std::string& source, const std::string& kind, Phase phase) const;
  /// Every start has its end.
  [[nodiscard]] bool nothing_open() const;

  support::TempDir folder;
  std::filesystem::path socket = folder.path() / "eyes.sock";
  boost::asio::io_context io;
  SystemClock clock;
  std::vector<Seen> seen;
  std::vector<Event> events;
  daemon::EyesLink link;
};

/// Our child hamlet-eyes; 0 where there is none.
[[nodiscard]] pid_t eyes_child();

/// A camera of a file, played as fast as it goes, with one zone over the whole of `size`.
[[nodiscard]] cameras::CameraConfig file_camera(const std::string& id, const std::filesystem::path& file, int width,
                                                int height);

}  // namespace hamlet::tests
