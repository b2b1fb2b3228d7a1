#include "cameras/tracker.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include <opencv2/imgproc.hpp>

#include "cameras/picture.hpp"

namespace hamlet::cameras {
namespace {

constexpr int kSmallestBlob = 12;
constexpr Millis kLostAfter{1'000};
constexpr Millis kSlowestPictures{2'000};  // what comes later than that after the one before is no next picture
constexpr Millis kHiddenFor{700};
constexpr int kSearch = 3;  // pixels around where a thing is expected
constexpr float kFollow = 0.5F;
constexpr double kSteady = 0.4;  // s over which speed is taken
constexpr float kTrustInLooks = 0.7F;
constexpr double kValley = 0.55;
constexpr Millis kYoung{500};
constexpr double kGrowsTogether = 1.5;
constexpr double kOutgrown = 2.5;
constexpr double kBoxy = 0.76;
constexpr std::size_t kMaxTracks = 64;
constexpr double kBirthsOver = 2'000;  // ms
constexpr double kManyBirths = 4;
constexpr double kRestlessFor = 30'000;  // ms
constexpr double kOftenBorn = 1.5;
constexpr int kCell = 8;  // pixels
constexpr double kFlies = 5;      // of its own sizes a second
constexpr double kFliesPast = 10;  // what came in from beside the picture: a car that passes close by is as fast as half of that
constexpr Millis kFlight{1'000};
constexpr double kOutOfFocus = 0.4;
constexpr Millis kSwings{1'000};

template <class T>
double overlap_of(const cv::Rect_<T>& a, const cv::Rect_<T>& b) {
  const double common = (a & b).area();
  return common <= 0 ? 0 : common / std::min(a.area(), b.area());
}

cv::Rect2f as_float(cv::Rect box) {
  return {static_cast<float>(box.x), static_cast<float>(box.y), static_cast<float>(box.width), static_cast<float>(box.height)};
}
cv::Rect as_pixels(cv::Rect2f box) {
  return {cvRound(box.x), cvRound(box.y), std::max(1, cvRound(box.width)), std::max(1, cvRound(box.height))};
}

bool upright(cv::Rect box) {
  return box.height * 4 >= box.width * 5;
}

double length(cv::Point2f vector) {
  return std::hypot(vector.x, vector.y);
}

// How far both sides of a box have gone: what only grows, or comes into view in pieces, goes nowhere. A side that lies at the
// picture's edge says nothing, and the box's middle goes half as far as the other.
double strayed(const cv::Rect2f& from, const cv::Rect2f& to, cv::Rect picture) {
  const auto both = [](float low, float to_low, float high, float to_high, int begin, int end) {
    const float by_low = to_low - low;
    const float by_high = to_high - high;
    if (std::max(low, to_low) <= static_cast<float>(begin + 1)) return std::abs(by_high) / 2;
    if (std::min(high, to_high) >= static_cast<float>(end - 1)) return std::abs(by_low) / 2;
    return by_low * by_high <= 0 ? 0.0F : std::min(std::abs(by_low), std::abs(by_high));
  };
  return length({both(from.x, to.x, from.br().x, to.br().x, picture.x, picture.br().x), both(from.y, to.y, from.br().y, to.br().y, picture.y, picture.br().y)});
}

double middle_of(std::vector<float>& values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return double{*middle};
}

// How wide the outline of what is 255 in `its` is, where luma goes over from the scene's to its own, as a fraction of its size. It is a
// few pixels for what the camera is sharp for, however small; a fly on the lens is all outline.
double softness_of(const cv::Mat& its, const cv::Mat& luma, const cv::Mat& scene) {
  const auto steepness = [](const cv::Mat& of) {
    cv::Mat across;
    cv::Mat down;
    cv::Mat out;
    cv::Sobel(of, across, CV_32F, 1, 0, 3, 0.125);
    cv::Sobel(of, down, CV_32F, 0, 1, 3, 0.125);
    cv::magnitude(across, down, out);
    return out;
  };
  static const cv::Mat five = cv::Mat::ones(5, 5, CV_8UC1);
  static const cv::Mat nine = cv::Mat::ones(9, 9, CV_8UC1);
  cv::Mat steep = steepness(luma) - steepness(scene);  // an edge of its own
  cv::dilate(steep, steep, five);
  cv::Mat now;
  cv::Mat off;
  cv::blur(luma, now, {3, 3});
  cv::blur(scene, off, {3, 3});
  cv::absdiff(now, off, off);
  cv::dilate(off, off, nine);
  cv::Mat inner;
  cv::erode(its, inner, cv::Mat());
  std::vector<float> slopes;
  std::vector<float> heights;
  for (int row = 0; row < its.rows; ++row) {
    for (int column = 0; column < its.cols; ++column) {
      if (its.at<std::uint8_t>(row, column) == inner.at<std::uint8_t>(row, column)) continue;
      slopes.push_back(steep.at<float>(row, column));
      heights.push_back(static_cast<float>(off.at<std::uint8_t>(row, column)));
    }
  }
  if (slopes.empty()) return 0;
  return std::min(1.0, middle_of(heights) / std::max(0.25, middle_of(slopes)) / std::sqrt(cv::countNonZero(its)));
}

}  // namespace

bool Track::before_the_lens() const {
  const bool flies = length(velocity) > (sudden || doubtful ? kFlies : kFliesPast) * double{std::max(box.width, box.height)} && seen - born < kFlight;
  return flies || softness > kOutOfFocus;
}

bool Track::confirmed() const {
  const double size = std::min(std::max(box.width, box.height), std::max(birthplace.width, birthplace.height));  // what comes near grows
  const double far = doubtful ? size : (sudden ? 0.5 : 0.2) * double{std::min(box.width, box.height)};
  return sights >= 3 && strayed >= std::max(1.5, far) && !before_the_lens();
}

ThingClass Track::kind() const {
  const auto best = std::max_element(votes.begin(), votes.end());
  return *best <= 0 ? ThingClass::other : static_cast<ThingClass>(best - votes.begin());
}

Tracker::Tracker(cv::Size size)
    : size_{size}, restless_{cv::Mat::zeros(cells_of({{}, size}).size(), CV_32F)} {}

const std::vector<Track>& Tracker::follow(const cv::Mat& mask, const cv::Mat& luma, Millis time, bool doubtful, bool known, cv::Point shift, const cv::Mat& scene) {
  visible_ = (cv::Rect{{}, size_} - shift) & cv::Rect{{}, size_};
  find_blobs(mask);
  assign(time);
  part();
  for (auto& blob : blobs_) {
    leave_out_parts(blob, time);
    if (blob.tracks.size() == 1) update_alone(blob, luma, scene, time);
  }
  for (auto& blob : blobs_) {
    if (blob.tracks.size() > 1) update_merged(blob, luma, time);
  }
  const auto since = static_cast<double>((time - last_.value_or(time)).count());
  births_ *= std::exp(-since / kBirthsOver);
  restless_ *= std::exp(-since / kRestlessFor);
  for (const auto& blob : blobs_) {
    if (blob.tracks.empty() && blob.area >= kSmallestBlob) begin(blob, luma, time, doubtful, known);
  }
  const bool flurry = births_ > kManyBirths;  // leaves, water, snow: whatever comes up among them, it has to go its own way
  for (auto& track : tracks_) {
    const auto age = time - track.born;
    if ((flurry && age < kYoung) || (!track.confirmed() && age > (track.sudden ? 1 : 2) * kSwings)) track.doubtful = true;
  }
  drop_lost(time);
  last_ = time;
  return tracks_;
}

bool Tracker::at_edge(cv::Rect box) const {
  return box.x <= visible_.x + 1 || box.y <= visible_.y + 1 || box.br().x >= visible_.br().x - 1 || box.br().y >= visible_.br().y - 1;
}

cv::Rect Tracker::cells_of(cv::Rect box) const {
  return {cv::Point{box.x / kCell, box.y / kCell}, cv::Point{(box.br().x - 1) / kCell + 1, (box.br().y - 1) / kCell + 1}};
}

void Tracker::find_blobs(const cv::Mat& mask) {
  blobs_.clear();
  boxes_.clear();
  const cv::Rect where = cv::boundingRect(mask);
  if (where.empty()) return;
  labels_.create(size_, CV_32S);
  labels_.setTo(0);
  cv::Mat stats;
  cv::Mat centers;
  const int count = cv::connectedComponentsWithStats(mask(where), labels_(where), stats, centers, 8, CV_32S);
  last_label_ = count - 1;
  for (int label = 1; label < count; ++label) {
    const auto* of = stats.ptr<int>(label);
    const cv::Rect box{of[cv::CC_STAT_LEFT], of[cv::CC_STAT_TOP], of[cv::CC_STAT_WIDTH], of[cv::CC_STAT_HEIGHT]};
    const Blob blob{label, box + where.tl(), of[cv::CC_STAT_AREA]};
    if (blob.area < kSmallestBlob) continue;
    boxes_.push_back(blob.box);
    split(blob);
  }
}

// People side by side are one blob with a body under each head: it is cut where it is thin between two that are upright.
void Tracker::split(Blob blob) {
  // Of some columns: the most pixels that one has, the first row of all and the one after the last.
  struct Columns {
    int thick = 0;
    int top = std::numeric_limits<int>::max();
    int bottom = 0;
    void add(const Columns& other) {
      thick = std::max(thick, other.thick);
      top = std::min(top, other.top);
      bottom = std::max(bottom, other.bottom);
    }
  };
  const auto width = static_cast<std::size_t>(blob.box.width);
  std::vector<Columns> each(width);
  for (int row = 0; row < blob.box.height; ++row) {
    const auto* labels = labels_.ptr<int>(blob.box.y + row) + blob.box.x;
    for (std::size_t x = 0; x < width; ++x) {
      if (labels[x] == blob.label) each[x].add({each[x].thick + 1, row, row + 1});
    }
  }
  std::vector<Columns> before(width + 1);  // [x]: the columns left of x
  std::vector<Columns> from(width + 1);    // [x]: x and all right of it
  for (std::size_t x = 0; x < width; ++x) (before[x + 1] = before[x]).add(each[x]);
  for (std::size_t x = width; x-- > 0;) (from[x] = from[x + 1]).add(each[x]);

  // A blob is in one piece, and so has pixels in each of its columns.
  const auto part = [&](const Columns& of, int first, int end) {
    return cv::Rect{blob.box.x + first, blob.box.y + of.top, end - first, of.bottom - of.top};
  };
  int cut = 0;
  double least = kValley;
  const int widest = blob.box.height * 4 / 5;
  for (int x = std::max(2, blob.box.width - widest); x < std::min(blob.box.width - 2, widest + 1); ++x) {
    const auto at = static_cast<std::size_t>(x);
    const double share = static_cast<double>(each[at].thick) / std::min(before[at].thick, from[at + 1].thick);
    if (share >= least) continue;
    const cv::Rect left = part(before[at], 0, x);
    const cv::Rect right = part(from[at], x, blob.box.width);
    const auto [small, large] = std::minmax(left.height, right.height);
    if (!upright(left) || !upright(right) || std::min(left.area(), right.area()) < 3 * kSmallestBlob || 2 * small < large) continue;
    least = share;
    cut = x;
  }
  if (cut == 0) {
    blobs_.push_back(blob);
    return;
  }
  Blob right{++last_label_, part(from[static_cast<std::size_t>(cut)], cut, blob.box.width), 0};
  const cv::Mat its = labels_(right.box) == blob.label;
  right.area = cv::countNonZero(its);
  labels_(right.box).setTo(right.label, its);
  blob.area -= right.area;
  blob.box = part(before[static_cast<std::size_t>(cut)], 0, cut);
  split(blob);
  split(right);
}

cv::Rect2f Tracker::predicted(const Track& track, Millis time) const {
  const auto seconds = static_cast<float>((time - last_.value_or(time)).count()) / 1000;
  return track.box + track.velocity * seconds;
}

// Each track to the blob that has most of the place where it should be.
void Tracker::assign(Millis time) {
  for (std::size_t i = 0; i < tracks_.size(); ++i) {
    const cv::Rect place = as_pixels(predicted(tracks_[i], time)) & cv::Rect{{}, size_};
    if (place.empty()) continue;
    Blob* best = nullptr;
    int most = 0;
    for (auto& blob : blobs_) {
      if ((blob.box & place).empty()) continue;
      const int pixels = cv::countNonZero(labels_(place) == blob.label);
      if (pixels <= most || (pixels * 8 < place.area() && pixels * 3 < blob.area)) continue;
      most = pixels;
      best = &blob;
    }
    if (best != nullptr) best->tracks.push_back(i);
  }
}

// What comes into view in pieces grows together: to one slim figure or, at the picture's edge, to more than they were. What has just been
// seen for the first time was a part of it, and all were that are far less than what they are in by now.
void Tracker::leave_out_parts(Blob& blob, Millis time) {
  if (blob.tracks.size() < 2) return;
  const auto main = *std::min_element(blob.tracks.begin(), blob.tracks.end(), [this](auto a, auto b) {
    return std::pair{tracks_[a].born, -tracks_[a].area} < std::pair{tracks_[b].born, -tracks_[b].area};
  });
  const double pieces = std::accumulate(blob.tracks.begin(), blob.tracks.end(), 0.0, [this](double sum, auto i) { return sum + tracks_[i].area; });
  const bool comes_in = at_edge(blob.box) && time - tracks_[main].born < kYoung && blob.area > kGrowsTogether * pieces;
  const bool outgrown = blob.area > kOutgrown * pieces;
  if (blob.box.height < 2 * blob.box.width && !comes_in && !outgrown) return;
  std::erase_if(blob.tracks, [&](auto i) {
    const bool part = i != main && (outgrown || time - tracks_[i].born < kYoung);
    if (part) tracks_[i].seen = time - 2 * kLostAfter;
    return part;
  });
  if (outgrown || time - tracks_[main].born < kYoung) tracks_[main].alone = 0;  // it may grow at once
}

void Tracker::update_alone(Blob& blob, const cv::Mat& luma, const cv::Mat& scene, Millis time) {
  Track& track = tracks_[blob.tracks.front()];
  const cv::Rect2f expected = predicted(track, time);
  gather_parts(blob, track, expected);
  // Something that was never seen alone has come close: the track stays with what it knows.
  const bool swallowed = track.alone >= 5 && blob.area > 1.7 * track.area &&
                         (static_cast<float>(blob.box.width) > 1.5F * track.box.width || static_cast<float>(blob.box.height) > 1.5F * track.box.height);
  if (swallowed && !at_edge(blob.box)) {
    track.alone = 5 + (track.alone - 5) * 4 / 5;  // not for ever: it may have grown
    if (track.alone == 5) track.alone = 0;
    place(track, find_by_looks(track, luma, blob, time), track.area, time, kTrustInLooks);
    return;
  }
  place(track, as_float(blob.box), blob.area, time);
  ++track.alone;
  track.misfit = 0;
  track.clear = time;
  if (!scene.empty()) {
    constexpr int kBeside = 5;  // pixels, that an outline needs
    const cv::Rect around = grown(blob.box, kBeside, size_);
    track.softness += (softness_of(labels_(around) == blob.label, luma(around), scene(around)) - track.softness) / std::min(track.sights - 1, 10);
  }
  const cv::Rect inside = as_pixels(track.box) & cv::Rect{{}, size_};
  if (!inside.empty()) luma(inside).copyTo(track.looks);
}

// A thing is often seen in pieces: what lies where it is expected, and is not larger with them than it was, is all of it.
void Tracker::gather_parts(Blob& blob, const Track& track, cv::Rect2f expected) {
  const cv::Rect around = as_pixels({expected.x - 1, expected.y - 1, expected.width + 2, expected.height + 2});
  for (auto& other : blobs_) {
    if (&other == &blob || !other.tracks.empty() || other.area == 0) continue;
    if (overlap_of(other.box, around) < 0.5) continue;
    const cv::Rect both = blob.box | other.box;
    if (static_cast<float>(both.width) > 1.15F * track.usual.width + 1 || static_cast<float>(both.height) > 1.15F * track.usual.height + 1) continue;
    blob.box = both;
    blob.area += other.area;
    other.area = 0;  // taken
  }
}

// Where things part, more than one track may have gone with one of them: the nearest of those goes to a blob that has none.
void Tracker::part() {
  for (auto& blob : blobs_) {
    if (!blob.tracks.empty() || blob.area == 0) continue;
    Blob* from = nullptr;
    std::size_t which = 0;
    double nearest = 1e9;
    for (auto& other : blobs_) {
      if (other.tracks.size() < 2) continue;
      for (std::size_t i = 0; i < other.tracks.size(); ++i) {
        const Track& track = tracks_[other.tracks[i]];
        if (blob.area < 0.4 * track.area || blob.area > 2 * track.area) continue;
        const cv::Point2f foot{static_cast<float>(blob.box.x) + static_cast<float>(blob.box.width) / 2, static_cast<float>(blob.box.br().y)};
        const double away = length(foot - track.foot());
        if (away > static_cast<double>(track.box.height) || away >= nearest) continue;
        nearest = away;
        from = &other;
        which = i;
      }
    }
    if (from == nullptr) continue;
    blob.tracks.push_back(from->tracks[which]);
    from->tracks.erase(from->tracks.begin() + static_cast<std::ptrdiff_t>(which));
  }
}

void Tracker::update_merged(Blob& blob, const cv::Mat& luma, Millis time) {
  for (const auto i : blob.tracks) {
    Track& track = tracks_[i];
    track.alone = 0;
    place(track, find_by_looks(track, luma, blob, time), track.area, time, kTrustInLooks);
  }
  // Who looks least like what is there gives way, where the others say all that there is.
  std::sort(blob.tracks.begin(), blob.tracks.end(), [this](auto a, auto b) { return tracks_[a].misfit < tracks_[b].misfit; });
  cv::Mat said = cv::Mat::zeros(size_, CV_8UC1);
  for (const auto i : blob.tracks) {
    Track& track = tracks_[i];
    const cv::Rect box = as_pixels(track.box) & cv::Rect{{}, size_};
    if (box.empty()) continue;
    const int mine = cv::countNonZero(labels_(box) == blob.label);
    const int others = cv::countNonZero((labels_(box) == blob.label) & said(box));
    const bool hidden = mine - others < 0.4 * track.area;
    if (!hidden) track.clear = time;
    if (time - track.clear > kHiddenFor) track.seen = time - 2 * kLostAfter;
    said(box).setTo(255);
  }
}

// Where, near the place it is expected at, the picture looks like the thing did.
cv::Rect2f Tracker::find_by_looks(Track& track, const cv::Mat& luma, const Blob& blob, Millis time) const {
  const cv::Rect2f expected = predicted(track, time);
  const cv::Size size = track.looks.size();
  const cv::Rect all_of_it{{}, size_};
  const cv::Rect around = (cv::Rect{as_pixels(expected).tl(), size} + cv::Size{2 * kSearch + 2, 2 * kSearch + 2} - cv::Point{kSearch + 1, kSearch + 1}) & all_of_it;
  if (size.empty() || around.empty()) return expected;
  cv::Mat inside;  // [y][x]: pixels of the blob in `around`, above and left of there
  cv::integral((labels_(around) == blob.label) / 255, inside, CV_32S);
  const auto pixels = [&](cv::Rect at) {
    at -= around.tl();
    return inside.at<int>(at.br()) - inside.at<int>(at.y, at.br().x) - inside.at<int>(at.br().y, at.x) + inside.at<int>(at.tl());
  };
  cv::Rect2f best = expected;
  double least = 1e18;
  for (int dy = -kSearch; dy <= kSearch; ++dy) {
    for (int dx = -kSearch; dx <= kSearch; ++dx) {
      const cv::Rect2f here = expected + cv::Point2f(static_cast<float>(dx), static_cast<float>(dy));
      const cv::Rect at{as_pixels(here).tl(), size};
      if ((at & all_of_it) != at) continue;
      // Slightly for where it is expected, and against what is not in the blob at all.
      const double outside = 1 - static_cast<double>(pixels(at)) / size.area();
      const double unlikely = 0.4 * std::hypot(dx, dy) + 12 * outside;
      if (unlikely >= least) continue;
      const double cost = cv::norm(luma(at), track.looks, cv::NORM_L1) / size.area() + unlikely;
      if (cost >= least) continue;
      least = cost;
      best = here;
    }
  }
  if (least < 1e18) track.misfit += (least - track.misfit) * 0.3;
  return best;
}

// `trust`: how far the place is `box`, and how far where the track was expected.
void Tracker::place(Track& track, cv::Rect2f box, double area, Millis time, float trust) {
  const auto seconds = static_cast<float>((time - last_.value_or(time)).count()) / 1000;
  if (seconds > 0) {
    // By the foot and the middle: a box that loses a part of its thing does not jump by half of that.
    const cv::Point2f step = (box.tl() + box.br() - track.box.tl() - track.box.br()) * 0.5F;
    const auto weight = static_cast<float>(std::max(1 - std::exp(-static_cast<double>(seconds) / kSteady), 1.0 / (track.sights + 1)));
    track.velocity += (step / seconds - track.velocity) * weight;
  }
  const cv::Point2f expected = track.foot() + track.velocity * seconds;
  const float follow = track.sights < 2 ? 1 : kFollow;
  track.box.width += (box.width - track.box.width) * follow;
  track.box.height += (box.height - track.box.height) * follow;
  const float slowly = std::max(0.06F, 1.0F / static_cast<float>(track.sights + 1));
  track.usual.width += (box.width - track.usual.width) * slowly;
  track.usual.height += (box.height - track.usual.height) * slowly;
  const cv::Point2f foot = expected + (cv::Point2f{box.x + box.width / 2, box.y + box.height} - expected) * trust;
  track.box.x = foot.x - track.box.width / 2;
  track.box.y = foot.y - track.box.height;
  track.area += (area - track.area) * static_cast<double>(follow);
  track.seen = time;
  ++track.sights;
  track.strayed = std::max(track.strayed, strayed(track.birthplace, track.box, visible_));
  const double size = std::max(track.box.width, track.box.height);
  if (length(track.middle() - track.stood_at) > std::max(2.0, 0.3 * size)) {
    track.stood_at = track.middle();
    track.moved = time;
  }
  // By shape, by how much of its box it fills (who has arms and legs fills less), and by how many of its own heights it goes a second.
  const double shape = static_cast<double>(track.box.height) / static_cast<double>(track.box.width);
  const bool boxy = shape < 1.8 && track.area >= kBoxy * static_cast<double>(track.box.area());
  const double speed = length(track.velocity) / static_cast<double>(track.box.height);
  const auto vote = track.area < 30                            ? ThingClass::small
                    : shape >= 1.25 && speed < 3 && !boxy      ? ThingClass::person
                    : shape <= 0.95 || speed >= 1.5 || boxy    ? ThingClass::vehicle
                                                               : ThingClass::other;
  track.votes.at(static_cast<std::size_t>(vote)) += track.area;
}

void Tracker::begin(const Blob& blob, const cv::Mat& luma, Millis time, bool doubtful, bool known) {
  if (tracks_.size() >= kMaxTracks) return;
  Track track;
  track.id = next_id_++;
  track.box = as_float(blob.box);
  track.usual = track.box.size();
  track.area = blob.area;
  track.born = track.seen = track.moved = track.clear = time;
  track.sights = 1;
  const cv::Rect cells = cells_of(blob.box);
  double most = 0;
  cv::minMaxLoc(restless_(cells), nullptr, &most);
  track.sudden = !at_edge(blob.box);
  track.doubtful = track.sudden && (doubtful || most > kOftenBorn);
  if (track.sudden && known) {
    ++births_;
    if (!doubtful) restless_(cells) += 1;
  }
  track.birthplace = track.box;
  track.stood_at = track.middle();
  luma(blob.box).copyTo(track.looks);
  tracks_.push_back(std::move(track));
}

void Tracker::drop_lost(Millis time) {
  const auto since_last = time - last_.value_or(time);
  const auto seconds = static_cast<float>(since_last.count()) / 1000;
  const auto one_missed = 2 * std::min(since_last, kSlowestPictures);
  std::erase_if(tracks_, [&](const Track& track) {
    const Millis patience = std::max(one_missed, track.sights < 5 ? Millis{200} : kLostAfter);
    return time - track.seen > patience || (as_pixels(track.box) & cv::Rect{{}, size_}).empty();
  });
  for (auto& track : tracks_) {
    if (track.seen != time) track.box += track.velocity * seconds;  // hidden: it goes on
  }
}

}  // namespace hamlet::cameras
