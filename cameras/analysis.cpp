#include "cameras/analysis.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include <opencv2/imgproc.hpp>

#include "cameras/evidence.hpp"
#include "firmware/core/id.hpp"
#include "firmware/core/log.hpp"

namespace hamlet::cameras {
namespace {

constexpr Millis kFirstUpdate{5'000};
constexpr Millis kSlowestUpdate{300'000};
// Below this it is noise, in pixels of the detector's size.
constexpr int kSmallestThing = 12;

cv::Rect scaled(cv::Rect box, cv::Size from, cv::Size to) {
  const double x = static_cast<double>(to.width) / from.width;
  const double y = static_cast<double>(to.height) / from.height;
  return {static_cast<int>(box.x * x), static_cast<int>(box.y * y), static_cast<int>(std::ceil(box.width * x)),
          static_cast<int>(std::ceil(box.height * y))};
}

// A fifth larger on each side: what the detector saw of a thing is seldom all of it.
cv::Rect widened(cv::Rect box, cv::Size within) {
  const int x = box.width / 5 + 1;
  const int y = box.height / 5 + 1;
  return cv::Rect{box.x - x, box.y - y, box.width + 2 * x, box.height + 2 * y} & cv::Rect{{0, 0}, within};
}

double rounded(double value) {
  return std::round(value * 1000) / 1000;
}

}  // namespace

// ---- Occupancy -----------------------------------------------------------------------------------------------------

std::optional<Phase> Occupancy::see(bool moving, Millis time) {
  if (moving) {
    if (!pending_ && !occupied_) {
      pending_ = true;
      first_ = time;
    }
    last_ = time;
  }
  if (pending_) {
    if (!moving) pending_ = false;
    if (!moving || time - first_ < on_delay_) return std::nullopt;
    pending_ = false;
    occupied_ = true;
    update_every_ = kFirstUpdate;
    next_update_ = time + update_every_;
    return Phase::start;
  }
  if (!occupied_) return std::nullopt;
  if (!moving && time - last_ >= hold_) {
    occupied_ = false;
    return Phase::end;
  }
  if (!moving || time < next_update_) return std::nullopt;
  update_every_ = std::min(2 * update_every_, kSlowestUpdate);
  next_update_ = time + update_every_;
  return Phase::update;
}

// ---- Analysis ------------------------------------------------------------------------------------------------------

Analysis::Analysis(const CameraConfig& camera, cv::Size source, cv::Size picture)
    : camera_{camera}, source_{source}, foreground_{picture} {
  for (const auto& config : camera_.zones) {
    zones_.push_back(make_zone(config));
    if (zones_.back().pixels == 0) blind_zones_.push_back(config.id);
  }
}

Analysis::Zone Analysis::make_zone(const ZoneConfig& config) const {
  constexpr int kShift = 4;  // fillPoly's fixed point
  const auto drawn_on = camera_.drawn_on.value_or(std::pair<double, double>{source_.width, source_.height});
  const double x_scale = foreground_.size().width / drawn_on.first * (1 << kShift);
  const double y_scale = foreground_.size().height / drawn_on.second * (1 << kShift);
  std::vector<cv::Point> corners;
  for (const auto& [x, y] : config.polygon) {
    corners.emplace_back(static_cast<int>(std::lround(x * x_scale)), static_cast<int>(std::lround(y * y_scale)));
  }
  Zone zone{.config = config,
            .mask = cv::Mat::zeros(foreground_.size(), CV_8UC1),
            .occupancy = Occupancy{config.on_delay, config.hold}};
  cv::fillPoly(zone.mask, std::vector{corners}, {255}, cv::LINE_8, kShift);
  zone.pixels = cv::countNonZero(zone.mask);
  return zone;
}

std::vector<Message> Analysis::process(const Picture& picture, MonoTime at) {
  std::vector<Message> messages;
  const cv::Mat& moving = foreground_.look(picture);
  cv::Mat labels, stats, centers;
  const int count = cv::connectedComponentsWithStats(moving, labels, stats, centers, 8, CV_16U);
  things_.clear();
  for (int i = 1; i < count; ++i) {
    if (stats.at<int>(i, cv::CC_STAT_AREA) < kSmallestThing) continue;
    things_.emplace_back(stats.at<int>(i, 0), stats.at<int>(i, 1), stats.at<int>(i, 2), stats.at<int>(i, 3));
  }
  for (auto& zone : zones_) {
    if (zone.pixels == 0) continue;
    const Sight sight = look_at(zone, moving, picture, at);
    const bool moves = sight.area >= zone.config.min_area;
    const auto phase = zone.occupancy.see(moves, picture.media);
    if (moves) note(zone, sight, picture);
    if (phase) messages.push_back(tell(zone, *phase, {}));
    if (!zone.occupancy.pending() && !zone.occupancy.occupied() && zone.moving_frames > 0) {
      zone = Zone{zone.config, zone.mask, zone.pixels, zone.occupancy};  // over: the next one begins empty
    }
  }
  return messages;
}

std::vector<Message> Analysis::finish(std::string_view why) {
  std::vector<Message> messages;
  for (auto& zone : zones_) {
    if (zone.occupancy.occupied()) messages.push_back(tell(zone, Phase::end, why));
    zone = Zone{zone.config, zone.mask, zone.pixels, Occupancy{zone.config.on_delay, zone.config.hold}};
  }
  return messages;
}

Analysis::Sight Analysis::look_at(const Zone& zone, const cv::Mat& moving, const Picture& picture, MonoTime at) const {
  Sight sight{at, picture.media, picture.number};
  cv::Mat inside;
  cv::bitwise_and(moving, zone.mask, inside);
  sight.area = static_cast<double>(cv::countNonZero(inside)) / zone.pixels;
  int largest = 0;
  for (const auto& thing : things_) {
    const int pixels = cv::countNonZero(inside(thing));
    if (pixels <= largest) continue;
    largest = pixels;
    sight.box = scaled(thing, foreground_.size(), source_);
  }
  return sight;
}

void Analysis::note(Zone& zone, const Sight& sight, const Picture& picture) {
  if (zone.moving_frames++ == 0) {
    zone.first = sight;
    zone.moved = cv::Mat::zeros(foreground_.size(), CV_8UC1);
  }
  zone.last = sight;
  for (const auto& thing : things_) {
    cv::rectangle(zone.moved, widened(thing, foreground_.size()), {255}, cv::FILLED);
  }
  if (sight.area > zone.peak.area) zone.peak = sight;
  if (camera_.evidence == Evidence::none) return;
  if (!zone.best_picture.yuv.empty() && sight.area <= zone.best_area) return;
  zone.best_area = sight.area;
  zone.best_picture = picture;  // shared, and not written to by anybody
  zone.best_moved = zone.moved.clone();
}

Message Analysis::tell(Zone& zone, Phase phase, std::string_view why) {
  if (phase == Phase::start) zone.event = random_hex64();
  const Sight& now = phase == Phase::start ? zone.first : zone.last;
  const Sight& shown = phase == Phase::end ? zone.peak : now;
  Observation seen{.camera = camera_.id, .zone = zone.config.id, .phase = phase, .event = zone.event, .at = now.at};
  seen.detail = {{"frame", now.frame},
                 {"media_ms", now.media.count()},
                 {"area", rounded(shown.area)},
                 {"box", {shown.box.x, shown.box.y, shown.box.width, shown.box.height}}};
  if (phase != Phase::start) {
    seen.detail["duration_ms"] = (zone.last.media - zone.first.media).count();
    seen.detail["frames"] = zone.moving_frames;
  }
  if (!why.empty()) seen.detail["why"] = why;
  Message message{std::move(seen)};
  if (phase == Phase::end || (phase == Phase::update && !zone.updated)) message.binary = evidence(zone);
  zone.updated = zone.updated || phase == Phase::update;
  return message;
}

std::string Analysis::evidence(Zone& zone) const {
  if (zone.best_picture.yuv.empty()) return {};
  cv::Mat shown = zone.best_picture.bgr();
  if (camera_.evidence == Evidence::masked) {
    cv::Mat inside;
    cv::Mat moved;
    cv::resize(zone.mask, inside, shown.size(), 0, 0, cv::INTER_NEAREST);
    cv::resize(zone.best_moved, moved, shown.size(), 0, 0, cv::INTER_NEAREST);
    shown = masked(shown, inside, moved);
  }
  zone.best_picture = {};  // the next picture is the best from here on
  auto jpeg = encode_jpeg(shown, kMaxJpegBytes);
  if (jpeg) return *std::move(jpeg);
  log::warning("no picture of an event",
               {{"camera", camera_.id}, {"zone", zone.config.id}, {"why", jpeg.error().message}});
  return {};
}

}  // namespace hamlet::cameras
