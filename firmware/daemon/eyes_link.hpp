#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <nlohmann/json_fwd.hpp>
#include <sys/types.h>

#include "cameras/camera_config.hpp"
#include "cameras/messages.hpp"
#include "firmware/core/clock.hpp"
#include "firmware/core/event.hpp"
#include "firmware/core/result.hpp"

namespace hamlet::daemon {

/// The daemon's end of the socket to `hamlet-eyes`: starts that process where systemd does not, hands it the cameras'
/// config, and turns what comes back into observations and events.
///
/// Nothing that eyes says is believed unchecked: only configured cameras and zones, one open event a zone, times not
/// ahead of the clock, pictures of at most cameras::kMaxJpegBytes. What was started is ended: where eyes dies, the
/// observations that are open are ended here ("why": "eyes-lost").
///
/// Everything on the io thread, callbacks included; a callback must not destroy the link. The process that it starts
/// dies with the thread that called start(). Nothing here survives a restart.
class EyesLink {
 public:
  struct Options {
    std::filesystem::path socket;  ///< is made, mode 0600; at most 107 bytes long
    /// The program to start and restart as a child. Absent: systemd does that, and eyes comes by itself.
    std::optional<std::filesystem::path> program{};
    std::optional<uid_t> peer_uid{};      ///< who may connect beside ourselves
    std::optional<gid_t> socket_group{};  ///< then the socket's mode is 0660
    Millis comes_within{10'000};          ///< after it was started
    /// Eyes that says nothing for this long has hung: killed, and started anew. Doubles with each time, up to comes_within, so
    /// that a box too busy to let it speak is not kept busy by restarts.
    Millis silence{900};
    Millis restart_first{50};             ///< wait before the first restart; doubles, with jitter,
    Millis restart_most{30'000};          ///< up to this
  };

  /// A picture as it may leave the box, JPEG, and the same small enough for any link. Both or neither.
  struct Jpegs {
    std::string full;
    std::string thumbnail;
  };
  struct Shot {
    MonoTime at{};
    Jpegs jpegs;
  };

  struct Sink {
    /// Motion in a zone, from start to end. There may be no picture.
    std::function<void(cameras::Observation observation, Jpegs jpegs)> observation;
    /// Source "gateway", kind "eyes": start when eyes is lost, end when it is back, the same id. Source a camera, kind
    /// "down": start when it goes down ("why" in detail, see cameras::CameraState), end when it is up again.
    std::function<void(Event event)> event;
  };

  EyesLink(boost::asio::io_context& io, Clock& clock, Options options, Sink sink);
  ~EyesLink();  ///< stop(), without telling the sink
  EyesLink(const EyesLink&) = delete;
  EyesLink& operator=(const EyesLink&) = delete;

  /// Listens, and starts the program. With no enabled camera the program is not started until there is one. Fails where
  /// the socket cannot be made. Idempotent.
  [[nodiscard]] Status start(std::vector<cameras::CameraConfig> cameras);

  /// Other cameras. Those that did not change go on undisturbed.
  void reload(std::vector<cameras::CameraConfig> cameras);

  /// A picture of a camera as it is now, within kShotWithin. Error: not_found (no such camera), unavailable (it gives no picture;
  /// the message is the why of its state), full (too many are asked for at once), denied (its evidence is "none"),
  /// timeout. `then` may be called before this returns.
  void snapshot(const std::string& camera, std::function<void(Result<Shot>)> then);
  static constexpr Millis kShotWithin{8'000};

  /// Ends eyes, and everything that is open (detail "why": "stopped"; calls the sink). Idempotent. Blocks for at most 2
  /// s, while the child ends.
  void stop();

  /// {"cameras":[{"id","name","state","why"?,"fps","frames","zones","last_event_ts"?}],"eyes":{"state","restarts"}}:
  /// the verb `cameras`. A camera that is switched off is down, why "disabled". eyes.state: "off" (nothing to watch),
  /// "starting", "up", "lost".
  [[nodiscard]] nlohmann::json status() const;

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;  // its handlers may outlive the link
};

}  // namespace hamlet::daemon
