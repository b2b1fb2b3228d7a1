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
constexpr int kWarmUpPictures = 15;
// Below this it is noise, in pixels of the detector's size.
constexpr int kSmallestThing = 12;
constexpr double kShadow = 127;  // MOG2's mark
constexpr double kMoving = 255;

cv::Size fit(cv::Size picture, cv::Size most) {
  const double scale = std::min(
      {1.0, static_cast<double>(most.width) / picture.width, static_cast<double>(most.height) / picture.height});
  return {std::max(1, static_cast<int>(std::lround(picture.width * scale))),
          std::max(1, static_cast<int>(std::lround(picture.height * scale)))};
}

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

// ---- MotionDetector ------------------------------------------------------------------------------------------------

MotionDetector::MotionDetector(cv::Size picture)
    : size_{fit(picture, {kColumns, kRows})},
      background_{cv::createBackgroundSubtractorMOG2()},
      open_kernel_{cv::getStructuringElement(cv::MORPH_ELLIPSE, {3, 3})},
      close_kernel_{cv::getStructuringElement(cv::MORPH_ELLIPSE, {7, 7})} {}

void MotionDetector::learn_anew(Millis time) {
  learned_ = 0;
  settled_at_ = time + kWarmUp;
}

const cv::Mat& MotionDetector::look(const cv::Mat& bgr, Millis time) {
  cv::resize(bgr, small_, size_, 0, 0, cv::INTER_AREA);
  cv::blur(small_, small_, {3, 3});
  if (!last_) learn_anew(time);
  const double by_time =
      last_ ? static_cast<double>((time - *last_).count()) / static_cast<double>(kMemory.count()) : 1;
  last_ = time;
  ++learned_;
  background_->apply(small_, moving_, std::clamp(std::max(by_time, 1.0 / (2 * learned_)), 0.0, 1.0));
  cv::threshold(moving_, moving_, kShadow, kMoving, cv::THRESH_BINARY);

  const bool settled = time >= settled_at_ && learned_ > kWarmUpPictures;
  if (settled && cv::countNonZero(moving_) > kSceneChange * static_cast<double>(size_.area())) {
    learn_anew(time);
    background_->apply(small_, moving_, 1.0);  // forgets everything before
  }
  things_.clear();
  if (learned_ == 0 || !settled) {
    moving_.setTo(0);
  } else {
    remove_specks();
  }
  return moving_;
}

void MotionDetector::remove_specks() {
  cv::morphologyEx(moving_, moving_, cv::MORPH_OPEN, open_kernel_);
  cv::morphologyEx(moving_, moving_, cv::MORPH_CLOSE, close_kernel_);
  std::vector<std::vector<cv::Point>> outlines;
  cv::findContours(moving_, outlines, cv::RETR_EXTERNAL, cv::CHAIN_APPROX_SIMPLE);
  std::erase_if(outlines, [](const auto& outline) { return cv::contourArea(outline) < kSmallestThing; });
  moving_.setTo(0);
  cv::drawContours(moving_, outlines, -1, {kMoving}, cv::FILLED);
  for (const auto& outline : outlines) things_.push_back(cv::boundingRect(outline));
}

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
    : camera_{camera}, source_{source}, picture_{picture}, detector_{picture} {
  for (const auto& config : camera_.zones) {
    zones_.push_back(make_zone(config));
    if (zones_.back().pixels == 0) blind_zones_.push_back(config.id);
  }
}

Analysis::Zone Analysis::make_zone(const ZoneConfig& config) const {
  constexpr int kShift = 4;  // fillPoly's fixed point
  const auto drawn_on = camera_.drawn_on.value_or(std::pair<double, double>{source_.width, source_.height});
  const double x_scale = detector_.size().width / drawn_on.first * (1 << kShift);
  const double y_scale = detector_.size().height / drawn_on.second * (1 << kShift);
  std::vector<cv::Point> corners;
  for (const auto& [x, y] : config.polygon) {
    corners.emplace_back(static_cast<int>(std::lround(x * x_scale)), static_cast<int>(std::lround(y * y_scale)));
  }
  Zone zone{.config = config,
            .mask = cv::Mat::zeros(detector_.size(), CV_8UC1),
            .occupancy = Occupancy{config.on_delay, config.hold}};
  cv::fillPoly(zone.mask, std::vector{corners}, {255}, cv::LINE_8, kShift);
  zone.pixels = cv::countNonZero(zone.mask);
  return zone;
}

std::vector<Message> Analysis::process(const Picture& picture, MonoTime at) {
  std::vector<Message> messages;
  const cv::Mat& moving = detector_.look(picture.bgr, picture.media);
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
  for (const auto& thing : detector_.things()) {
    const int pixels = cv::countNonZero(inside(thing));
    if (pixels <= largest) continue;
    largest = pixels;
    sight.box = scaled(thing, detector_.size(), source_);
  }
  return sight;
}

void Analysis::note(Zone& zone, const Sight& sight, const Picture& picture) {
  if (zone.moving_frames++ == 0) {
    zone.first = sight;
    zone.moved = cv::Mat::zeros(detector_.size(), CV_8UC1);
  }
  zone.last = sight;
  for (const auto& thing : detector_.things()) {
    cv::rectangle(zone.moved, widened(thing, detector_.size()), {255}, cv::FILLED);
  }
  if (sight.area > zone.peak.area) zone.peak = sight;
  if (camera_.evidence == Evidence::none) return;
  if (!zone.best_picture.empty() && sight.area <= zone.best_area) return;
  zone.best_area = sight.area;
  zone.best_picture = picture.bgr;  // shared, and not written to by anybody
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
  if (zone.best_picture.empty()) return {};
  cv::Mat shown = zone.best_picture;
  if (camera_.evidence == Evidence::masked) {
    cv::Mat inside;
    cv::Mat moved;
    cv::resize(zone.mask, inside, picture_, 0, 0, cv::INTER_NEAREST);
    cv::resize(zone.best_moved, moved, picture_, 0, 0, cv::INTER_NEAREST);
    shown = masked(zone.best_picture, inside, moved);
  }
  zone.best_picture.release();  // the next picture is the best from here on
  auto jpeg = encode_jpeg(shown, kMaxJpegBytes);
  if (jpeg) return *std::move(jpeg);
  log::warning("no picture of an event",
               {{"camera", camera_.id}, {"zone", zone.config.id}, {"why", jpeg.error().message}});
  return {};
}

}  // namespace hamlet::cameras
