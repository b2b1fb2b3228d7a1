#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include <opencv2/core/mat.hpp>

#include "cameras/camera_config.hpp"
#include "firmware/core/time.hpp"

namespace hamlet::cameras {

/// One thing, followed from picture to picture. All in pixels of Foreground::size(), as the scene lies.
struct Track {
  int id = 0;  ///< never given twice
  cv::Rect2f box;
  cv::Size2f usual;        ///< of the box, over some time
  cv::Point2f velocity{};  ///< a second
  double area = 0;         ///< pixels of the mask, smoothed
  Millis born{};
  Millis seen{};           ///< last found in the mask
  int sights = 0;          ///< pictures it was found in
  cv::Rect2f birthplace{};
  bool sudden = false;     ///< it came up in the midst of the picture
  bool doubtful = false;   ///< it came up as the light changed, with many others, or where such things keep coming: nothing, until it goes its own way
  double strayed = 0;      ///< the farthest that both its sides were from its birthplace
  Millis moved{};          ///< when it last left the place it stood at
  cv::Point2f stood_at{};
  double softness = 0;     ///< how wide its outline is, as a fraction of its size

  /// Where it touches the ground.
  [[nodiscard]] cv::Point2f foot() const { return {box.x + box.width / 2, box.y + box.height}; }
  [[nodiscard]] cv::Point2f middle() const { return {box.x + box.width / 2, box.y + box.height / 2}; }
  /// It is faster than anything on the ground, or out of focus: an insect, a flake or a drop close to the lens.
  [[nodiscard]] bool before_the_lens() const;
  /// It has been there for long enough, and has gone far enough, to be neither a flicker nor a leaf.
  [[nodiscard]] bool confirmed() const;
  [[nodiscard]] ThingClass kind() const;

  std::array<double, kThingClassWords.size()> votes{};  // by class
  cv::Mat looks;                                        // luma in its box, when it was last alone
  double misfit = 0;                                    // of its looks, since it was last alone
  Millis clear{};                                       // when something of it was last not behind others
  int alone = 0;                                        // pictures in a row in which nothing else touched it
};

/// Follows what the foreground shows. Things that touch become one blob; people side by side are told apart by their
/// outline, others by how they looked before.
/// One thread.
class Tracker {
 public:
  explicit Tracker(cv::Size size);

  /// `mask` and `luma` of one picture; `doubtful`: what comes up now in the midst of it is; `known`: the scene is, or what comes up says
  /// nothing about a place; `shift`: how far the picture lies beside the scene; `scene`: as it is without
  /// things, where it is known. Tracks that ended are gone after the call.
  const std::vector<Track>& follow(const cv::Mat& mask, const cv::Mat& luma, Millis time, bool doubtful = false,
                                   bool known = true, cv::Point shift = {}, const cv::Mat& scene = {});
  [[nodiscard]] const std::vector<Track>& tracks() const { return tracks_; }
  /// Bounds of all that the last mask showed, specks left out.
  [[nodiscard]] const std::vector<cv::Rect>& blobs() const { return boxes_; }

 private:
  struct Blob {
    int label = 0;
    cv::Rect box;
    int area = 0;
    std::vector<std::size_t> tracks{};
  };

  [[nodiscard]] cv::Rect cells_of(cv::Rect box) const;
  [[nodiscard]] bool at_edge(cv::Rect box) const;
  void find_blobs(const cv::Mat& mask);
  void split(Blob blob);
  [[nodiscard]] cv::Rect2f predicted(const Track& track, Millis time) const;
  void assign(Millis time);
  void part();
  void leave_out_parts(Blob& blob, Millis time);
  void update_alone(Blob& blob, const cv::Mat& luma, const cv::Mat& scene, Millis time);
  void update_merged(Blob& blob, const cv::Mat& luma, Millis time);
  void place(Track& track, cv::Rect2f box, double area, Millis time, float trust = 1);
  void begin(const Blob& blob, const cv::Mat& luma, Millis time, bool doubtful, bool known);
  void gather_parts(Blob& blob, const Track& track, cv::Rect2f expected);
  [[nodiscard]] cv::Rect2f find_by_looks(Track& track, const cv::Mat& luma, const Blob& blob, Millis time) const;
  void drop_lost(Millis time);

  cv::Size size_;
  cv::Rect visible_;  // of the scene, in the last picture
  cv::Mat labels_;
  int last_label_ = 0;
  std::vector<Blob> blobs_;
  std::vector<cv::Rect> boxes_;
  std::vector<Track> tracks_;
  int next_id_ = 1;
  cv::Mat restless_;   // by cells: how often something came up there lately
  double births_ = 0;  // in the midst of the picture, over the last seconds
  std::optional<Millis> last_;
};

}  // namespace hamlet::cameras
