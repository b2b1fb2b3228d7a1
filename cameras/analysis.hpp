#pragma once

#include <array>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <opencv2/core/mat.hpp>

#include "cameras/camera_config.hpp"
#include "cameras/foreground.hpp"
#include "cameras/lines.hpp"
#include "cameras/messages.hpp"
#include "cameras/occupancy.hpp"
#include "cameras/picture.hpp"
#include "cameras/scene_watch.hpp"
#include "cameras/tracker.hpp"
#include "firmware/core/time.hpp"

namespace hamlet::cameras {

/// What a camera's pictures say: masks blank what is nobody's business, the foreground is told from the scene, its things
/// are followed, the zones' rules make events of them, and the picture itself is watched for faults. One thread; the
/// same pictures give the same observations, event ids apart. Event pictures come with an update (one; not in the first
/// seconds), with the end and with a crossing, each the best since the one before: the moment when most of the zone was taken.
///
/// While the picture as a whole is in doubt (the light changes, the camera is covered, all of it moves) nothing begins and nothing
/// ends; whoever has crossed a line meanwhile is told of when it is over, if still followed then.
///
/// Another analyser of pictures (a gauge, smoke) goes beside SceneWatch: it is shown each picture in process(), and what
/// it finds becomes an Observation there.
class Analysis {
 public:
  static constexpr Millis kSettles{2'000};  ///< nothing is told before the scene has been looked at for this long; where much moves in it, Foreground::kWarmUp

  /// `source`: size of the source's frames, `picture`: of what process() is given.
  Analysis(const CameraConfig& camera, cv::Size source, cv::Size picture);

  /// `at`: when the picture was taken. `picture.media` drives the rules. `minute`: of the day, where it is known.
  [[nodiscard]] std::vector<Message> process(Picture picture, MonoTime at, std::optional<int> minute = std::nullopt);

  /// The last picture that process() was given, as it may leave the box. All of it is pixelated while the scene is so new
  /// that what moves in it cannot be told yet.
  [[nodiscard]] Message snapshot(Picture picture, std::uint64_t request, MonoTime at) const;

  /// Ends what is open, and counts who has stepped over a line; `why` as in Observation.
  [[nodiscard]] std::vector<Message> finish(std::string_view why);

  /// What the last picture showed.
  [[nodiscard]] const Foreground& foreground() const { return foreground_; }
  [[nodiscard]] const std::vector<Track>& tracks() const { return tracker_.tracks(); }
  /// Nothing moves: the last picture had no foreground, and nothing is open.
  [[nodiscard]] bool quiet() const;

 private:
  // A thing: as one picture shows it, or the largest that any has.
  struct Thing {
    double size = 0;  // pixels
    cv::Rect box{};   // in pixels of the source
    ThingClass kind = ThingClass::other;
    double seen = 0;  // its sizes in all pictures, added up
  };
  // What is in a zone at one moment.
  struct Sight {
    MonoTime at{};
    Millis media{};
    std::uint64_t frame = 0;
    bool there = false;
    double area = 0;  // fraction of the zone that moves
    int track = 0;    // of the largest thing; 0: there is none
    Thing thing{};
  };
  struct Zone {
    ZoneConfig config;
    cv::Mat mask;  // in the foreground's size
    int pixels = 0;
    Occupancy occupancy;
    std::optional<LineCounter> line{};
    bool watched = false;                    // by its hours
    std::array<std::uint64_t, 2> crossed{};  // to the left, to the right
    std::map<int, Sight> inside{};           // tracks, since when

    // Of the event that is open or may become one.
    std::string event{};
    Sight first{};
    Sight last{};
    Sight told{};  // what the last message said
    double most = 0;  // of Sight::area
    std::map<int, Thing> things{};  // by track: the largest of each picture. Who is gone is forgotten, but for the one seen most
    std::uint64_t frames = 0;
    bool pictured = false;  // an update has had a picture
    cv::Mat moved{};  // everything that moved since the start, in the foreground's size
    double best_area = 0;
    Picture best_picture{};  // as taken, until it is sent
    cv::Mat best_moved{};    // `moved` at that moment
    void begin_anew();
  };
  [[nodiscard]] cv::Mat drawn(const Polygon& polygon, cv::Size size) const;
  [[nodiscard]] std::vector<cv::Point2f> points(const Polygon& polygon, cv::Size size) const;
  [[nodiscard]] Zone make_zone(const ZoneConfig& config) const;
  void blank(Picture& picture) const;
  [[nodiscard]] bool is_followed(int track) const;
  [[nodiscard]] cv::Rect place_of(const Track& track) const;
  [[nodiscard]] std::vector<cv::Rect> known_things() const;
  void watch_scene(const Picture& picture, MonoTime at, std::vector<Message>& messages);
  void watch_zone(Zone& zone, const Picture& picture, MonoTime at, std::vector<Message>& messages);
  void watch_line(Zone& zone, const Picture& picture, MonoTime at, std::vector<Message>& messages, bool last = false);
  [[nodiscard]] Sight look_at(Zone& zone, const Picture& picture, MonoTime at) const;
  [[nodiscard]] bool is_in(const Zone& zone, const Track& track) const;
  [[nodiscard]] bool counts(const Zone& zone, float height, ThingClass kind) const;
  const Sight& first_sight(Zone& zone, const Track& track, const Sight& now) const;
  [[nodiscard]] bool judge(Zone& zone, const Track& track, const Sight& now) const;
  [[nodiscard]] static bool watched(const ZoneConfig& config, std::optional<int> minute);
  [[nodiscard]] static bool differs(const Sight& a, const Sight& b);
  void note(Zone& zone, const Sight& sight, const Picture& picture);
  void remember(Zone& zone, const Sight& sight) const;
  [[nodiscard]] static std::map<int, Thing>::const_iterator most_seen(const std::map<int, Thing>& things);
  [[nodiscard]] Message tell(Zone& zone, Phase phase, std::string_view why);
  void add_evidence(Message& message, Zone& zone) const;
  [[nodiscard]] cv::Mat things_now(cv::Size size) const;  // 255 where something moves, or stands that has come
  void add_picture(Message& message, const Picture& picture, const cv::Mat& inside, const cv::Mat& moved) const;

  const CameraConfig camera_;
  const cv::Size source_;
  Foreground foreground_;
  Tracker tracker_;
  SceneWatch scene_;
  cv::Mat blanked_;  // in the picture's size; empty: nothing is
  std::vector<Zone> zones_;
  std::array<std::string, kSceneFaultWords.size()> faults_{};  // ids of those that are told
  Picture last_{};  // without its pixels
  MonoTime last_at_{};
  Millis doubtful_until_{};
  bool restless_ = false;  // much moved while the scene was new: leaves, water; it is looked at for longer
  bool upset_ = false;  // the picture as a whole has changed: nothing new is told
};

}  // namespace hamlet::cameras
