#pragma once

#include <map>
#include <vector>

#include <opencv2/core/types.hpp>

#include "cameras/tracker.hpp"

namespace hamlet::cameras {

/// Counts things whose foot crosses a line, each way. Standing on the line counts once at most, and so do the parts of one thing.
class LineCounter {
 public:
  /// Who looks from `from` to `to` has the left on their left hand.
  enum class Way : std::uint8_t { to_left, to_right };
  struct Crossing {
    int track = 0;
    Way way = Way::to_left;
    Millis at{};  ///< when the foot was on the line
    cv::Rect2f box;
    ThingClass kind = ThingClass::other;
  };

  LineCounter(cv::Point2f from, cv::Point2f to) : from_{from}, to_{to} {}

  /// Those that have become certain with these tracks. `last`: no more will come, and the side where each is seen now counts.
  [[nodiscard]] std::vector<Crossing> see(const std::vector<Track>& tracks, Millis time, bool last = false);

 private:
  struct Side {
    int side = 0;            // 1: left, -1: right
    cv::Point2f last{};      // the last place clearly on that side
    Millis left_at{};        // when it was last on that side, clearly or not
    Millis seen{};
  };
  [[nodiscard]] bool told_already(const Crossing& crossing) const;
  [[nodiscard]] double distance(cv::Point2f point) const;
  [[nodiscard]] bool through(cv::Point2f a, cv::Point2f b) const;

  cv::Point2f from_;
  cv::Point2f to_;
  std::map<int, Side> sides_;     // by track
  std::vector<Crossing> recent_;  // that were told
};

}  // namespace hamlet::cameras
