#include "cameras/analysis.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include <opencv2/imgproc.hpp>

#include "cameras/evidence.hpp"
#include "firmware/core/id.hpp"
#include "firmware/core/log.hpp"

namespace hamlet::cameras {
namespace {

// More than this of the picture at once is no thing.
constexpr double kSceneChange = 0.5;
// More than this of a new scene is leaves or water rather than things.
constexpr double kMuchMoves = 0.2;
// More than this is worth a look at the picture as a whole.
constexpr double kMuchChanged = 0.05;
// So much of the picture in another light leaves traces.
constexpr double kMuchLight = 0.01;
// So long before an event may what it is about have come up.
constexpr Millis kShowsFor{1'000};
// For so long after the light has changed, what comes up may be what is left of that.
constexpr Millis kAfterglow{2'000};
// For so long a picture in doubt keeps open what was last seen before it.
constexpr Millis kBelieved{10'000};
constexpr Millis kFirstPicture{5'000};
// More than this of what moves belongs to nothing that is followed: the view itself may be another.
constexpr double kUnexplained = 0.3;

cv::Rect scaled(cv::Rect2f box, cv::Size from, cv::Size to) {
  const double x = static_cast<double>(to.width) / from.width;
  const double y = static_cast<double>(to.height) / from.height;
  return cv::Rect{cvRound(static_cast<double>(box.x) * x), cvRound(static_cast<double>(box.y) * y),
                  static_cast<int>(std::ceil(static_cast<double>(box.width) * x)),
                  static_cast<int>(std::ceil(static_cast<double>(box.height) * y))} &
         cv::Rect{{}, to};
}

// A fifth larger on each side: what is seen of a thing is seldom all of it.
cv::Rect widened(cv::Rect box, cv::Size within) {
  const int x = box.width / 5 + 1;
  const int y = box.height / 5 + 1;
  return cv::Rect{box.x - x, box.y - y, box.width + 2 * x, box.height + 2 * y} & cv::Rect{{0, 0}, within};
}

double rounded(double value) {
  return std::round(value * 1000) / 1000;
}

}  // namespace

void Analysis::Zone::begin_anew() {
  event.clear();
  first = last = told = {};
  things.clear();
  most = 0;
  frames = 0;
  pictured = false;
  moved.release();
  best_area = 0;
  best_picture = {};
  best_moved.release();
}

Analysis::Analysis(const CameraConfig& camera, cv::Size source, cv::Size picture)
    : camera_{camera}, source_{source}, foreground_{picture}, tracker_{foreground_.size()} {
  for (const auto& config : camera_.zones) zones_.push_back(make_zone(config));
  for (const auto& polygon : camera_.masks) {
    if (blanked_.empty()) blanked_ = cv::Mat::zeros(picture, CV_8UC1);
    blanked_ |= drawn(polygon, picture);
  }
}

// ---- zones ---------------------------------------------------------------------------------------------------------

std::vector<cv::Point2f> Analysis::points(const Polygon& polygon, cv::Size size) const {
  const auto drawn_on =
      is_fractions(polygon) ? std::pair{1.0, 1.0} : camera_.drawn_on.value_or(std::pair<double, double>{source_.width, source_.height});
  std::vector<cv::Point2f> out;
  for (const auto& [x, y] : polygon) {
    out.emplace_back(static_cast<float>(x / drawn_on.first * size.width), static_cast<float>(y / drawn_on.second * size.height));
  }
  return out;
}

cv::Mat Analysis::drawn(const Polygon& polygon, cv::Size size) const {
  constexpr int kShift = 4;  // fillPoly's fixed point
  std::vector<cv::Point> corners;
  for (const auto& point : points(polygon, size)) corners.emplace_back(point * (1 << kShift));
  cv::Mat mask = cv::Mat::zeros(size, CV_8UC1);
  cv::fillPoly(mask, std::vector{corners}, {255}, cv::LINE_8, kShift);
  return mask;
}

Analysis::Zone Analysis::make_zone(const ZoneConfig& config) const {
  Zone zone{.config = config, .mask = drawn(config.polygon, foreground_.size()), .occupancy = Occupancy{config.on_delay, config.hold}};
  if (config.rule == ZoneRule::crossing) {
    const auto ends = points(config.polygon, foreground_.size());
    zone.line.emplace(ends.at(0), ends.at(1));
    cv::line(zone.mask, ends[0], ends[1], {255});
  }
  zone.pixels = cv::countNonZero(zone.mask);
  return zone;
}

bool Analysis::watched(const ZoneConfig& config, std::optional<int> minute) {
  if (config.hours.empty() || !minute) return true;
  return std::any_of(config.hours.begin(), config.hours.end(), [&](const Hours& span) {
    const auto [from, to] = span;
    return from <= to ? *minute >= from && *minute < to : *minute >= from || *minute < to;
  });
}

// ---- a picture -----------------------------------------------------------------------------------------------------

void Analysis::blank(Picture& picture) const {
  if (blanked_.empty()) return;
  picture.yuv = picture.yuv.clone();
  cv::Mat half;
  cv::resize(blanked_, half, blanked_.size() / 2, 0, 0, cv::INTER_AREA);
  picture.y().setTo(16, blanked_);
  picture.u().setTo(128, half);
  picture.v().setTo(128, half);
}

std::vector<Message> Analysis::process(Picture picture, MonoTime at, std::optional<int> minute) {
  std::vector<Message> messages;
  last_at_ = at;
  last_ = picture;
  last_.yuv.release();
  blank(picture);
  const cv::Mat& mask = foreground_.look(picture, !scene_.in_doubt());
  watch_scene(picture, at, messages);
  const bool known = foreground_.learned_for() >= Foreground::kWarmUp;
  const double moving = cv::countNonZero(mask) / static_cast<double>(mask.total());
  const bool new_scene = foreground_.learned_for() < kSettles;
  restless_ = !known && !new_scene && (restless_ || moving > kMuchMoves);
  upset_ = new_scene || restless_ || foreground_.relit() || scene_.in_doubt() || moving > kSceneChange;
  if (foreground_.relit() || foreground_.lit() > kMuchLight || scene_.in_doubt()) doubtful_until_ = picture.media + kAfterglow;
  tracker_.follow(foreground_.placed_mask(), foreground_.luma(), picture.media, picture.media < doubtful_until_, known,
                  foreground_.shift(), foreground_.scene());
  for (auto& zone : zones_) {
    if (zone.pixels == 0) continue;
    zone.watched = watched(zone.config, minute);
    if (!zone.watched) {
      if (zone.occupancy.occupied()) messages.push_back(tell(zone, Phase::end, "hours"));
      zone.occupancy = Occupancy{zone.config.on_delay, zone.config.hold};
      zone.begin_anew();
    } else if (zone.line) {
      watch_line(zone, picture, at, messages);
    } else {
      watch_zone(zone, picture, at, messages);
    }
  }
  return messages;
}

bool Analysis::quiet() const {
  return tracker_.blobs().empty() &&
         std::none_of(zones_.begin(), zones_.end(), [](const auto& zone) { return zone.occupancy.occupied(); });
}

bool Analysis::is_followed(int track) const {
  return std::any_of(tracker_.tracks().begin(), tracker_.tracks().end(), [&](const Track& each) { return each.id == track; });
}

// Where it is, with some room, as the scene lies.
cv::Rect Analysis::place_of(const Track& track) const {
  return widened(scaled(track.box, foreground_.size(), foreground_.size()), foreground_.size());
}

// Where things stand that have come, if they are all that differs from the scene: in another view much else does.
std::vector<cv::Rect> Analysis::known_things() const {
  std::vector<cv::Rect> things;
  cv::Mat rest = foreground_.placed_mask().clone();
  for (const auto& track : tracker_.tracks()) {
    if (!track.confirmed()) continue;
    things.push_back(place_of(track));
    rest(things.back()).setTo(0);
  }
  if (cv::countNonZero(rest) > kUnexplained * cv::countNonZero(foreground_.placed_mask())) return {};
  return things;
}

void Analysis::watch_scene(const Picture& picture, MonoTime at, std::vector<Message>& messages) {
  const bool at_once = foreground_.unlike() > kMuchChanged;
  for (const auto& change : scene_.see(foreground_.luma(), picture.media, at_once, [this] { return known_things(); })) {
    if (change.fault != SceneFault::frozen) foreground_.learn_anew();  // it is another picture now
    auto& id = faults_.at(static_cast<std::size_t>(change.fault));
    if (change.phase == Phase::start) id = random_hex64();
    Observation seen{.camera = camera_.id,
                     .zone = std::string{kWholePicture},
                     .kind = std::string{kSceneFaultWords.at(static_cast<std::size_t>(change.fault))},
                     .phase = change.phase,
                     .event = id,
                     .at = at - (picture.media - change.since)};
    seen.detail = {{"frame", picture.number}, {"media_ms", change.since.count()}};
    messages.push_back({std::move(seen)});
    if (change.phase == Phase::end) id.clear();
  }
}

void Analysis::watch_zone(Zone& zone, const Picture& picture, MonoTime at, std::vector<Message>& messages) {
  if (upset_) {
    const bool believed = zone.occupancy.occupied() && picture.media - zone.last.media < kBelieved;
    if (const auto phase = zone.occupancy.see(believed, picture.media, false)) messages.push_back(tell(zone, *phase, {}));
  } else {
    const Sight sight = look_at(zone, picture, at);
    if (sight.there) note(zone, sight, picture);
    const bool news = differs(sight, zone.told);
    if (const auto phase = zone.occupancy.see(sight.there, picture.media, news)) messages.push_back(tell(zone, *phase, {}));
  }
  if (!zone.occupancy.pending() && !zone.occupancy.occupied() && zone.frames > 0) zone.begin_anew();
}

void Analysis::watch_line(Zone& zone, const Picture& picture, MonoTime at, std::vector<Message>& messages, bool last) {
  if (upset_) return;
  for (const auto& crossing : zone.line->see(tracker_.tracks(), picture.media, last)) {
    if (!counts(zone, crossing.box.height, crossing.kind)) continue;
    const bool left = crossing.way == LineCounter::Way::to_left;
    if (zone.config.crossed == (left ? Crossed::right : Crossed::left)) continue;
    ++zone.crossed.at(left ? 0 : 1);
    const cv::Rect box = scaled(crossing.box, foreground_.size(), source_);
    Observation seen{.camera = camera_.id,
                     .zone = zone.config.id,
                     .kind = std::string{to_string(ZoneRule::crossing)},
                     .phase = Phase::once,
                     .event = random_hex64(),
                     .at = at - (picture.media - crossing.at)};
    seen.detail = {{"frame", picture.number},
                   {"media_ms", crossing.at.count()},
                   {"box", {box.x, box.y, box.width, box.height}},
                   {"class", to_string(crossing.kind)},
                   {"direction", left ? "left" : "right"},
                   {"left", zone.crossed[0]},
                   {"right", zone.crossed[1]}};
    Message message{std::move(seen)};
    if (camera_.evidence != Evidence::none && !picture.yuv.empty()) {
      const cv::Rect around = widened(scaled(crossing.box, foreground_.size(), picture.size()), picture.size());
      cv::Mat inside = cv::Mat::zeros(picture.size(), CV_8UC1);
      cv::Mat moved = things_now(picture.size());
      inside(widened(around, picture.size())).setTo(255);
      moved(around).setTo(255);
      add_picture(message, picture, inside, moved);
    }
    messages.push_back(std::move(message));
  }
}

// ---- what is in a zone ---------------------------------------------------------------------------------------------

bool Analysis::is_in(const Zone& zone, const Track& track) const {
  cv::Point foot{cvRound(track.foot().x), cvRound(track.foot().y) - 1};
  foot.x = std::clamp(foot.x, 0, zone.mask.cols - 1);
  foot.y = std::clamp(foot.y, 0, zone.mask.rows - 1);
  return zone.mask.at<std::uint8_t>(foot) != 0;
}

bool Analysis::counts(const Zone& zone, float height, ThingClass kind) const {
  if (static_cast<double>(height) < zone.config.min_size * foreground_.size().height) return false;
  const auto& classes = zone.config.classes;
  return classes.empty() || std::find(classes.begin(), classes.end(), kind) != classes.end();
}

// When this thing, which is in the zone now, was first seen in it.
const Analysis::Sight& Analysis::first_sight(Zone& zone, const Track& track, const Sight& now) const {
  const auto [found, fresh] = zone.inside.try_emplace(track.id, now);
  if (fresh) found->second.thing.box = scaled(track.box, foreground_.size(), source_);
  return found->second;
}

// Whether this thing is what the zone is watched for.
bool Analysis::judge(Zone& zone, const Track& track, const Sight& now) const {
  // Where a thing may be is not where it was seen.
  if (track.seen != now.media || !is_in(zone, track) || !counts(zone, track.box.height, track.kind())) return false;
  const Sight& since = first_sight(zone, track, now);
  switch (zone.config.rule) {
    case ZoneRule::motion:
    case ZoneRule::crossing:
      return false;
    case ZoneRule::intrusion:
      return track.confirmed();
    case ZoneRule::loitering:
      return track.confirmed() && now.media - since.media >= zone.config.after;
    case ZoneRule::left_behind: {
      const double size = static_cast<double>(std::max(track.box.width, track.box.height));
      return track.strayed < size && now.media - track.moved >= zone.config.after;
    }
  }
  return false;
}

// Worth an update: the thing is another, or has gone on, or there is far more or less of all.
bool Analysis::differs(const Sight& a, const Sight& b) {
  return a.thing.kind != b.thing.kind || 2 * (a.thing.box & b.thing.box).area() < (a.thing.box | b.thing.box).area() ||
         2 * std::abs(a.area - b.area) > std::max(a.area, b.area);
}

Analysis::Sight Analysis::look_at(Zone& zone, const Picture& picture, MonoTime at) const {
  Sight sight{at, picture.media, picture.number};
  cv::Mat inside;
  cv::bitwise_and(foreground_.mask(), zone.mask, inside);
  std::erase_if(zone.inside, [&](const auto& entry) { return !is_followed(entry.first); });
  if (zone.config.rule == ZoneRule::motion) {  // of what goes somewhere; an event once begun goes on with all
    const bool open = zone.occupancy.occupied();
    const bool enough = cv::countNonZero(inside) >= zone.config.min_area * zone.pixels;
    cv::Mat going = cv::Mat::zeros(inside.size(), CV_8UC1);
    for (const auto& track : tracker_.tracks()) {
      const cv::Rect box = cv::Rect{track.box} & cv::Rect{{}, zone.mask.size()};
      if (enough && !box.empty() && cv::countNonZero(inside(box)) > 0) first_sight(zone, track, sight);
      if (!open && !track.confirmed() && (track.sudden || track.doubtful || track.before_the_lens())) continue;
      cv::rectangle(going, place_of(track) + foreground_.shift(), {255}, cv::FILLED);
    }
    inside &= going;
  }
  sight.area = static_cast<double>(cv::countNonZero(inside)) / zone.pixels;
  if (zone.config.rule == ZoneRule::motion) sight.there = sight.area >= zone.config.min_area;
  for (const auto& track : tracker_.tracks()) {
    const cv::Rect box = cv::Rect{track.box} & cv::Rect{{}, zone.mask.size()};
    double weight = 0;
    if (zone.config.rule == ZoneRule::motion) {
      weight = box.empty() ? 0 : cv::countNonZero(inside(box));
    } else if (judge(zone, track, sight)) {
      weight = track.area;
      sight.there = true;
    }
    if (weight <= sight.thing.size) continue;
    sight.track = track.id;
    sight.thing = {weight, scaled(track.box, foreground_.size(), source_), track.kind()};
  }
  return sight;
}

void Analysis::note(Zone& zone, const Sight& sight, const Picture& picture) {
  if (zone.frames++ == 0) {
    zone.first = sight;
    // It has had to show that it is a thing; it was there before. Who stood there for longer comes as they go.
    const auto since = zone.inside.find(sight.track);
    const bool comes = zone.config.rule == ZoneRule::motion || zone.config.rule == ZoneRule::intrusion;
    if (comes && since != zone.inside.end() && sight.media - since->second.media <= kShowsFor) {
      zone.first.at = since->second.at;
      zone.first.media = since->second.media;
      zone.first.frame = since->second.frame;
      zone.first.thing.box = since->second.thing.box;
    }
    zone.moved = cv::Mat::zeros(foreground_.size(), CV_8UC1);
  }
  zone.last = sight;
  zone.most = std::max(zone.most, sight.area);
  remember(zone, sight);
  for (const auto& blob : tracker_.blobs()) {
    cv::rectangle(zone.moved, widened(blob, foreground_.size()), {255}, cv::FILLED);
  }
  if (camera_.evidence == Evidence::none) return;
  if (!zone.best_picture.yuv.empty() && sight.area <= zone.best_area) return;
  zone.best_area = sight.area;
  zone.best_picture = picture;  // shared, and not written to by anybody
  zone.best_moved = zone.moved.clone();
}

std::map<int, Analysis::Thing>::const_iterator Analysis::most_seen(const std::map<int, Thing>& things) {
  return std::max_element(things.begin(), things.end(), [](const auto& a, const auto& b) { return a.second.seen < b.second.seen; });
}

void Analysis::remember(Zone& zone, const Sight& sight) const {
  if (sight.track == 0) return;
  auto& thing = zone.things[sight.track];
  thing.kind = sight.thing.kind;  // the last is the best founded
  thing.seen += sight.thing.size;
  if (sight.thing.size > thing.size) {
    thing.size = sight.thing.size;
    thing.box = sight.thing.box;
  }
  const auto best = most_seen(zone.things);
  std::erase_if(zone.things, [&](const auto& entry) { return entry.first != best->first && !is_followed(entry.first); });
}

Message Analysis::tell(Zone& zone, Phase phase, std::string_view why) {
  if (phase == Phase::start) zone.event = random_hex64();
  const Sight& now = phase == Phase::start ? zone.first : zone.last;
  Thing shown = now.thing;
  const auto known = phase == Phase::end ? most_seen(zone.things) : zone.things.find(now.track);
  if (known != zone.things.end()) {
    shown.kind = known->second.kind;
    if (phase == Phase::end) shown.box = known->second.box;
  }
  zone.told = now;
  zone.told.thing = shown;
  Observation seen{.camera = camera_.id, .zone = zone.config.id, .kind = std::string{to_string(zone.config.rule)}, .phase = phase, .event = zone.event, .at = now.at};
  seen.detail = {{"frame", now.frame},
                 {"media_ms", now.media.count()},
                 {"area", rounded(phase == Phase::end ? zone.most : now.area)},
                 {"box", {shown.box.x, shown.box.y, shown.box.width, shown.box.height}},
                 {"class", to_string(shown.kind)}};
  if (phase != Phase::start) {
    seen.detail["duration_ms"] = (zone.last.media - zone.first.media).count();
    seen.detail["frames"] = zone.frames;
  }
  if (!why.empty()) seen.detail["why"] = why;
  Message message{std::move(seen)};
  const bool first_picture = phase == Phase::update && !zone.pictured && zone.last.media - zone.first.media >= kFirstPicture;
  if (phase == Phase::end || first_picture) add_evidence(message, zone);
  zone.pictured = zone.pictured || first_picture;
  return message;
}

std::vector<Message> Analysis::finish(std::string_view why) {
  std::vector<Message> messages;
  for (auto& zone : zones_) {
    if (zone.occupancy.occupied()) messages.push_back(tell(zone, Phase::end, why));
    if (zone.line && zone.watched) watch_line(zone, last_, last_at_, messages, true);
    zone.occupancy = Occupancy{zone.config.on_delay, zone.config.hold};
    zone.begin_anew();
  }
  for (std::size_t i = 0; i < faults_.size(); ++i) {
    if (faults_[i].empty()) continue;
    messages.push_back({Observation{.camera = camera_.id, .zone = std::string{kWholePicture}, .kind = std::string{kSceneFaultWords[i]}, .phase = Phase::end, .event = std::exchange(faults_[i], {}), .at = last_at_, .detail = {{"why", why}}}});
  }
  return messages;
}

// ---- evidence ------------------------------------------------------------------------------------------------------

void Analysis::add_evidence(Message& message, Zone& zone) const {
  if (zone.best_picture.yuv.empty()) return;
  const Picture picture = std::exchange(zone.best_picture, {});  // the next picture is the best from here on
  cv::Mat inside;
  cv::Mat moved;
  cv::resize(zone.mask, inside, picture.size(), 0, 0, cv::INTER_NEAREST);
  cv::resize(zone.best_moved, moved, picture.size(), 0, 0, cv::INTER_NEAREST);
  add_picture(message, picture, inside, moved);
}

void Analysis::add_picture(Message& message, const Picture& picture, const cv::Mat& inside, const cv::Mat& moved) const {
  cv::Mat shown = picture.bgr();
  if (camera_.evidence == Evidence::masked) shown = masked(shown, inside, moved);
  auto jpeg = encode_jpeg(shown, kMaxJpegBytes);
  auto thumbnail = encode_thumbnail(shown, kMaxThumbnailBytes);
  if (!jpeg || !thumbnail) {
    const auto& error = jpeg ? thumbnail.error() : jpeg.error();
    log::warning("no picture", {{"camera", camera_.id}, {"why", error.message}});
    return;
  }
  message.binary = *std::move(jpeg);
  message.thumbnail = *std::move(thumbnail);
}

cv::Mat Analysis::things_now(cv::Size size) const {
  cv::Mat things = cv::Mat::zeros(foreground_.size(), CV_8UC1);
  for (const auto& blob : tracker_.blobs()) cv::rectangle(things, widened(blob, things.size()), {255}, cv::FILLED);
  for (const auto& track : tracker_.tracks()) {
    cv::rectangle(things, place_of(track), {255}, cv::FILLED);
  }
  things.setTo(255, foreground_.mask());  // specks, and where the camera shakes
  cv::resize(things, things, size, 0, 0, cv::INTER_NEAREST);
  return things;
}

Message Analysis::snapshot(Picture picture, std::uint64_t request, MonoTime at) const {
  Message message{Snapshot{.camera = camera_.id, .request = request, .at = at}};
  auto& shot = std::get<Snapshot>(message.body);
  if (camera_.evidence == Evidence::none) {
    shot.why = "no-pictures";
    return message;
  }
  blank(picture);
  const bool known = foreground_.learned_for() >= Foreground::kWarmUp;
  const cv::Mat inside{picture.size(), CV_8UC1, cv::Scalar{known ? 255.0 : 0.0}};
  add_picture(message, picture, inside, things_now(picture.size()));
  if (message.binary.empty()) shot.why = "failed";
  return message;
}

}  // namespace hamlet::cameras
