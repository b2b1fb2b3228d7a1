#include "cameras/lines.hpp"

#include <algorithm>
#include <cmath>

namespace hamlet::cameras {
namespace {

constexpr Millis kSameMoment{500};

}  // namespace

// Left of the line is positive, as seen on the screen, where y grows downwards.
double LineCounter::distance(cv::Point2f point) const {
  const cv::Point2f along = to_ - from_;
  const double length = std::max(1e-6, std::hypot(static_cast<double>(along.x), static_cast<double>(along.y)));
  return -static_cast<double>(along.cross(point - from_)) / length;
}

// Whether the way from a to b meets the line between its ends.
bool LineCounter::through(cv::Point2f a, cv::Point2f b) const {
  const double before = distance(a);
  const double after = distance(b);
  const double part = before / (before - after);
  const cv::Point2f meets = a + (b - a) * static_cast<float>(part);
  const cv::Point2f along = to_ - from_;
  const double at = static_cast<double>((meets - from_).dot(along)) / std::max(1e-6, static_cast<double>(along.dot(along)));
  return at >= 0 && at <= 1;
}

std::vector<LineCounter::Crossing> LineCounter::see(const std::vector<Track>& tracks, Millis time, bool last) {
  std::vector<Crossing> out;
  for (const auto& track : tracks) {
    const cv::Point2f foot = track.foot();
    const double off = distance(foot);
    const double margin = last ? 0 : std::max(1.0, 0.06 * static_cast<double>(track.box.height));
    auto& known = sides_[track.id];
    known.seen = time;
    if (track.seen != time) continue;  // where it may be is not where it was seen
    if (known.side * off > 0 || known.side == 0) known.left_at = time;
    if (std::abs(off) < margin) continue;
    const int side = off > 0 ? 1 : -1;
    if (known.side == -side && !track.confirmed()) continue;  // it may be yet
    if (known.side == -side && through(known.last, foot)) {
      const Crossing crossing{track.id, side > 0 ? Way::to_left : Way::to_right, known.left_at, track.box, track.kind()};
      if (!told_already(crossing)) out.push_back(crossing);
    }
    known.side = side;
    known.last = foot;
  }
  std::erase_if(sides_, [time](const auto& entry) { return entry.second.seen != time; });
  std::erase_if(recent_, [time](const Crossing& crossing) { return time - crossing.at > 2 * kSameMoment; });
  recent_.insert(recent_.end(), out.begin(), out.end());
  return out;
}

// By another part of the same thing: it lies in it for the most. Two who walk beside each other cover each other by less.
bool LineCounter::told_already(const Crossing& crossing) const {
  return std::any_of(recent_.begin(), recent_.end(), [&](const Crossing& other) {
    const float common = (other.box & crossing.box).area();
    return other.way == crossing.way && other.track != crossing.track && std::chrono::abs(other.at - crossing.at) <= kSameMoment &&
           common > 0.5F * std::min(other.box.area(), crossing.box.area());
  });
}

}  // namespace hamlet::cameras
