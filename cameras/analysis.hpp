#pragma once

#include <optional>
#include <string>
#include <vector>

#include <opencv2/core/mat.hpp>
#include <opencv2/video/background_segm.hpp>

#include "cameras/camera_config.hpp"
#include "cameras/capture.hpp"
#include "cameras/messages.hpp"
#include "firmware/core/time.hpp"

namespace hamlet::cameras {

/// Tells what moves in a series of pictures of one size: a mixture of Gaussians a pixel (MOG2), shadows left out,
/// specks removed.
///
/// Says nothing while it learns: for kWarmUp after the first picture, and again after more than kSceneChange of the
/// picture has changed at once (lights switched, day to infra-red, camera turned or covered). A thing that stands still
/// becomes background after about a tenth of kMemory.
class MotionDetector {
 public:
  static constexpr Millis kWarmUp{2000};
  static constexpr Millis kMemory{120'000};
  static constexpr double kSceneChange = 0.5;
  static constexpr int kColumns = 320;  ///< pictures are looked at in this size at most
  static constexpr int kRows = 240;

  explicit MotionDetector(cv::Size picture);

  /// 255 where something moves, in size(). `time` grows from call to call. Valid until the next call.
  [[nodiscard]] const cv::Mat& look(const cv::Mat& bgr, Millis time);
  /// Each moving thing of the last look, bounds in size().
  [[nodiscard]] const std::vector<cv::Rect>& things() const { return things_; }
  [[nodiscard]] cv::Size size() const { return size_; }

 private:
  void learn_anew(Millis time);
  void remove_specks();

  cv::Size size_;
  cv::Ptr<cv::BackgroundSubtractorMOG2> background_;
  cv::Mat open_kernel_;
  cv::Mat close_kernel_;
  cv::Mat small_;
  cv::Mat moving_;
  std::vector<cv::Rect> things_;
  std::optional<Millis> last_;
  Millis settled_at_{};
  int learned_ = 0;  // pictures since learning began
};

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
    cv::Mat mask;  // in the detector's size
    int pixels = 0;
    Occupancy occupancy;
    std::string event{};
    Sight first{};
    Sight last{};
    Sight peak{};
    std::uint64_t moving_frames = 0;
    bool updated = false;
    cv::Mat moved{};  // everything that moved since the start, in the detector's size
    double best_area = 0;
    cv::Mat best_picture{};  // as taken, until it is sent
    cv::Mat best_moved{};    // `moved` at that moment
  };

  [[nodiscard]] Zone make_zone(const ZoneConfig& config) const;
  [[nodiscard]] Sight look_at(const Zone& zone, const cv::Mat& moving, const Picture& picture, MonoTime at) const;
  void note(Zone& zone, const Sight& sight, const Picture& picture);
  [[nodiscard]] Message tell(Zone& zone, Phase phase, std::string_view why);
  [[nodiscard]] std::string evidence(Zone& zone) const;

  const CameraConfig camera_;
  const cv::Size source_;
  const cv::Size picture_;
  MotionDetector detector_;
  std::vector<Zone> zones_;
  std::vector<std::string> blind_zones_;
};

}  // namespace hamlet::cameras
