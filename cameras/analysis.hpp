#pragma once

#include <optional>
#include <string>
#include <vector>

#include <opencv2/core/mat.hpp>

#include "cameras/camera_config.hpp"
#include "cameras/foreground.hpp"
#include "cameras/messages.hpp"
#include "cameras/picture.hpp"
#include "firmware/core/time.hpp"

namespace hamlet::cameras {

/// When motion becomes an event, and when that ends: pure timing.
class Occupancy {
 public:
  Occupancy(Millis on_delay, Millis hold) : on_delay_{on_delay}, hold_{hold} {}

  /// What follows from seeing motion or none at `time`: start (once), update (while there is motion: after 5 s, then
  /// after twice as long each time, up to 5 min), end.
  [[nodiscard]] std::optional<Phase> see(bool moving, Millis time);

  [[nodiscard]] bool occupied() const { return occupied_; }
  /// Motion began / was last seen at. Of the present event, or of what may become one.
  [[nodiscard]] Millis first() const { return first_; }
  [[nodiscard]] Millis last() const { return last_; }
  /// Motion has begun that has not lasted for on_delay yet.
  [[nodiscard]] bool pending() const { return pending_; }

 private:
  Millis on_delay_;
  Millis hold_;
  bool pending_ = false;
  bool occupied_ = false;
  Millis first_{};
  Millis last_{};
  Millis next_update_{};
  Millis update_every_{};
};

/// What a camera's pictures say: motion in its zones. One thread; the same pictures give the same observations, event
/// ids apart. Event pictures come with the first update and with the end, each the best since the one before: the
/// moment when most of the zone moved.
class Analysis {
 public:
  /// `source`: size of the source's frames, `picture`: of what process() is given.
  Analysis(const CameraConfig& camera, cv::Size source, cv::Size picture);

  /// `at`: when the picture was taken. `picture.media` drives the rules.
  [[nodiscard]] std::vector<Message> process(const Picture& picture, MonoTime at);

  /// Ends what is open; `why` as in Observation.
  [[nodiscard]] std::vector<Message> finish(std::string_view why);

  /// What the last picture showed.
  [[nodiscard]] const Foreground& foreground() const { return foreground_; }

  /// Ids of zones that have no pixel in the picture: nothing is ever seen there.
  [[nodiscard]] const std::vector<std::string>& blind_zones() const { return blind_zones_; }

 private:
  // Motion in a zone at one moment.
  struct Sight {
    MonoTime at{};
    Millis media{};
    std::uint64_t frame = 0;
    double area = 0;  // fraction of the zone
    cv::Rect box{};   // in pixels of the source
  };
  struct Zone {
    ZoneConfig config;
    cv::Mat mask;  // in the foreground's size
    int pixels = 0;
    Occupancy occupancy;
    std::string event{};
    Sight first{};
    Sight last{};
    Sight peak{};
    std::uint64_t moving_frames = 0;
    bool updated = false;
    cv::Mat moved{};  // everything that moved since the start, in the foreground's size
    double best_area = 0;
    Picture best_picture{};  // as taken, until it is sent
    cv::Mat best_moved{};    // `moved` at that moment
  };

  [[nodiscard]] Zone make_zone(const ZoneConfig& config) const;
  [[nodiscard]] Sight look_at(const Zone& zone, const cv::Mat& moving, const Picture& picture, MonoTime at) const;
  void note(Zone& zone, const Sight& sight, const Picture& picture);
  [[nodiscard]] Message tell(Zone& zone, Phase phase, std::string_view why);
  [[nodiscard]] std::string evidence(Zone& zone) const;

  const CameraConfig camera_;
  const cv::Size source_;
  Foreground foreground_;
  std::vector<cv::Rect> things_;  // in the foreground's size
  std::vector<Zone> zones_;
  std::vector<std::string> blind_zones_;
};

}  // namespace hamlet::cameras
