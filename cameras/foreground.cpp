#include "cameras/foreground.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>
#include <utility>

#include <opencv2/core/hal/intrin.hpp>
#include <opencv2/imgproc.hpp>

namespace hamlet::cameras {
namespace {

using cv::v_uint16x8;
using cv::v_uint8x16;

// Distances are in pixels of size(). Counts are of pictures at 25 a second: what a place looks like is learned as fast at fewer
// (Model::weight). How restless it is is not: that is how pictures differ from one to the next, however long that takes.
constexpr int kLanes = 16;   // pixels that are worked on at once
constexpr int kPlanes = 5;   // of a sample: Y, U, V, and two bytes of texture
constexpr int kSampleBytes = kPlanes * kLanes;
constexpr int kBlockBytes = Foreground::kSamples * kSampleBytes;
constexpr int kPad = 16;     // columns and rows around each plane: shifts and neighbours look there
constexpr int kNoiseOne = 16;
constexpr int kNoiseMost = 40;
constexpr int kGreyNear = 10;        // sixteenths: without colours a thing differs by its brightness alone
constexpr double kNoColour = 2;      // shades, in U and V together
constexpr Millis kGreyAfter{10'000};  // the scene has been learned without its colours by then
constexpr int kQuietLook = 4;        // of so many pictures in which nothing changes, one is looked at
constexpr int kQuietAfter = 32;      // pictures
constexpr double kQuietRaw = 0.001;  // of the picture
constexpr int kCellRows = 4;         // of kLanes columns: what is asked whether it has changed
constexpr Millis kCountedStep{40};
constexpr int kMostWeight = 3;       // what is longer ago than 8 pictures was another moment
constexpr int kEdge = 24;            // shades
constexpr int kFewPixels = 12;
constexpr double kOutlined = 0.3;    // of an outline, and of what it encloses: less has what the light makes
constexpr int kBrighter = 8;         // or darker, shades: a mere colour is not the light
constexpr int kBrighterBy = 4;       // or by a quarter
constexpr double kSameLight = 0.9;   // of the picture as it was
constexpr double kMostLit = 0.7;     // of the picture as it was, or more: it is no light that changes all of it
constexpr double kColoured = 8;      // shades, in U and V together
constexpr int kStrangePictures = 50;
constexpr int kStill = 652;          // a mean change below this: two and a half shades
constexpr std::array<int, kMostWeight + 1> kUnsteady{6500, 10500, 16000, 24000};  // of 65280, had each picture been a turn; who passes is in fewer pictures of fewer
constexpr std::array<int, kMostWeight + 1> kGhostMean{51900, 35700, 21400, 11300};  // of a mean that has been full for 50, 25, 12 and 6 pictures
constexpr int kNearAThing = 3;       // pixels: so near to a thing its own outline comes and goes

// Neighbours that the texture looks at.
struct Offset {
  int x;
  int y;
};
constexpr std::array<Offset, 16> kTexture{{{-1, -1}, {0, -1}, {1, -1}, {-1, 0}, {1, 0}, {-1, 1}, {0, 1}, {1, 1},
                                              {-2, -2}, {2, -2}, {-2, 2}, {2, 2}, {0, -2}, {-2, 0}, {2, 0}, {0, 2}}};

v_uint8x16 all(int value) {
  return cv::v_setall_u8(static_cast<std::uint8_t>(value));
}
v_uint16x8 all16(int value) {
  return cv::v_setall_u16(static_cast<std::uint16_t>(value));
}
v_uint8x16 load(const std::uint8_t* from) {
  return cv::v_load(from);
}
v_uint16x8 load(const std::uint16_t* from) {
  return cv::v_load(from);
}

// Numbers that look random, the same in each run. Fast.
class Dice {
 public:
  std::uint32_t roll() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 17;
    state_ ^= state_ << 5;
    return state_;
  }
  // Sixteen bytes.
  const std::uint8_t* lanes() { return &bytes_[roll() % (bytes_.size() - kLanes)]; }

  Dice() {
    for (auto& byte : bytes_) byte = static_cast<std::uint8_t>(roll() >> 11);
  }

 private:
  std::uint32_t state_ = 0x9e3779b9;
  std::array<std::uint8_t, 8192> bytes_{};
};

// A plane with kPad pixels around it.
struct Plane {
  cv::Mat with_pad;
  cv::Point origin{kPad, kPad};

  explicit Plane(cv::Size size, int fill = 0)
      : with_pad(size + cv::Size{2 * kPad, 2 * kPad}, CV_8UC1, cv::Scalar(fill)) {}
  [[nodiscard]] std::uint8_t* row(int y) { return with_pad.ptr(y + origin.y) + origin.x; }
  [[nodiscard]] const std::uint8_t* row(int y) const { return with_pad.ptr(y + origin.y) + origin.x; }
  [[nodiscard]] cv::Mat inside() const {
    return with_pad({origin, with_pad.size() - cv::Size{2 * kPad, 2 * kPad}});
  }
  void set(const cv::Mat& plane) {
    origin = {kPad, kPad};
    cv::copyMakeBorder(plane, with_pad, kPad, kPad, kPad, kPad, cv::BORDER_REPLICATE);
  }
};

// y = gain * x + offset
struct Line {
  double gain = 1;
  double offset = 0;
  [[nodiscard]] double at(double x) const { return gain * x + offset; }
};

template <class Pairs>
std::optional<Line> least_squares(const Pairs& pairs) {
  double n = 0, sx = 0, sy = 0, sxx = 0, sxy = 0;
  for (const auto& [x, y] : pairs) {
    ++n;
    sx += x;
    sy += y;
    sxx += x * x;
    sxy += x * y;
  }
  const double spread = n * sxx - sx * sx;
  if (n < 2 || spread < 1) return std::nullopt;
  const double gain = (n * sxy - sx * sy) / spread;
  return Line{gain, (sy - gain * sx) / n};
}

using Pairs = std::vector<std::pair<double, double>>;

double fraction_near(const Pairs& pairs, Line line) {
  const auto near = std::count_if(pairs.begin(), pairs.end(), [line](const auto& pair) {
    return std::abs(line.at(pair.first) - pair.second) <= 10;
  });
  return static_cast<double>(near) / static_cast<double>(pairs.size());
}

// How the scene's brightness became the picture's, where one line says it for most of it and no line did before: for `before` of it.
std::optional<Line> relight_line(const Pairs& pairs, double before) {
  std::vector<double> xs;
  std::vector<double> ys;
  for (const auto& [x, y] : pairs) {
    xs.push_back(x);
    ys.push_back(y);
  }
  std::sort(xs.begin(), xs.end());
  std::sort(ys.begin(), ys.end());
  Pairs deciles;
  for (std::size_t decile = 1; decile <= 9; ++decile) {
    deciles.emplace_back(xs[decile * xs.size() / 10], ys[decile * ys.size() / 10]);
  }
  auto line = least_squares(deciles);
  for (int pass = 0; line && pass < 3; ++pass) {
    Pairs close;
    std::copy_if(pairs.begin(), pairs.end(), std::back_inserter(close), [&](const auto& pair) {
      return pair.second > 2 && pair.second < 253 && std::abs(line->at(pair.first) - pair.second) < 20;
    });
    line = least_squares(close);
  }
  if (!line || line->gain < 0.3 || line->gain > 3) return std::nullopt;
  const double after = fraction_near(pairs, *line);
  if (after < before + 0.2 || after < 0.55) return std::nullopt;
  return line;
}

std::array<std::uint8_t, 256> table_of(Line line) {
  std::array<std::uint8_t, 256> table{};
  for (std::size_t i = 0; i < table.size(); ++i) table[i] = cv::saturate_cast<std::uint8_t>(line.at(static_cast<double>(i)));
  return table;
}

// Fills what the outlines of `mask` enclose.
void fill_holes(cv::Mat& mask) {
  cv::Mat outside;
  cv::copyMakeBorder(mask, outside, 1, 1, 1, 1, cv::BORDER_CONSTANT, {0});
  cv::floodFill(outside, {0, 0}, {255});
  cv::bitwise_not(outside, outside);
  cv::bitwise_or(mask, outside({{1, 1}, mask.size()}), mask);
}

// How strong the strongest edge is within two pixels of each: an outline that was found is seldom quite where it is.
cv::Mat strongest_edges(const cv::Mat& luma) {
  static const cv::Mat three = cv::Mat::ones(3, 3, CV_8UC1);
  static const cv::Mat five = cv::Mat::ones(5, 5, CV_8UC1);
  cv::Mat edges;
  cv::morphologyEx(luma, edges, cv::MORPH_GRADIENT, three);
  cv::dilate(edges, edges, five);
  return edges;
}

// Of so many pixels across, and down.
cv::Mat mean_around(const cv::Mat& of, int width) {
  cv::Mat out;
  cv::blur(of, out, {width, width}, {-1, -1}, cv::BORDER_REPLICATE);
  return out;
}

// Where the picture has an edge that the scene has not, or lacks one that it has: 255, looked for where `where` is not 0. What light
// does to a scene is smooth, and keeps its edges in proportion; what a thing does is not. `noise`: shades by which two pictures of the
// same differ.
cv::Mat changed_edges(const cv::Mat& luma, const cv::Mat& scene, const cv::Mat& where, double noise) {
  constexpr int kAround = 9;
  constexpr int kWhite = 225;  // what is as bright has lost its edges
  constexpr float kDark = 4;   // shades, for below them a ratio says little
  const cv::Mat fine = mean_around(luma, 3);
  const cv::Mat coarse = mean_around(luma, kAround);
  const cv::Mat scene_fine = mean_around(scene, 3);
  const cv::Mat scene_coarse = mean_around(scene, kAround);
  cv::Mat out = cv::Mat::zeros(luma.size(), CV_8UC1);
  const auto least = static_cast<float>(3 + noise);
  for (int row = 0; row < luma.rows; ++row) {
    for (int column = 0; column < luma.cols; ++column) {
      if (where.at<std::uint8_t>(row, column) == 0 || fine.at<std::uint8_t>(row, column) >= kWhite) continue;
      const auto all = static_cast<float>(coarse.at<std::uint8_t>(row, column));
      const auto scene_all = static_cast<float>(scene_coarse.at<std::uint8_t>(row, column));
      const float edge = static_cast<float>(fine.at<std::uint8_t>(row, column)) - all;
      const float before = (static_cast<float>(scene_fine.at<std::uint8_t>(row, column)) - scene_all) * (all + kDark) / (scene_all + kDark);
      if (std::abs(edge - before) > least + 0.35F * std::max(std::abs(edge), std::abs(before))) out.at<std::uint8_t>(row, column) = 255;
    }
  }
  return out;
}

// One of 8 pixels' worth of what each place has learned of itself; see Model::learn().
struct Verdict {
  v_uint16x8 near;      // how near a match has to be, in brightness and colour
  v_uint16x8 texture;   // and in texture
  v_uint16x8 ghost;     // all ones or nothing
  v_uint16x8 restless;
  v_uint16x8 locked;
  v_uint16x8 unsteady;  // what matches and what does not keep taking turns
};

}  // namespace

struct Foreground::Model {
  explicit Model(cv::Size picture)
      : size{picture / 2},
        blocks{static_cast<std::size_t>(size.area() / kLanes)},
        y(size),
        u(size),
        v(size),
        texture_a(size),
        texture_b(size),
        raw(size, 255) {
    CV_Assert(size.width % kLanes == 0 && size.width > 2 * kMaxShift && size.height > 2 * kMaxShift);
    samples.resize(blocks * kBlockBytes + kLanes);
    for (auto* plane : {&raw_before, &blink_before, &nearness, &near, &texture_near, &last_y, &ghost_flag, &uncovered, &scene_y,
                        &mask, &placed_mask, &light, &around, &solid, &unsteady}) {
      plane->create(size, CV_8UC1);
    }
    const auto pixels = static_cast<std::size_t>(size.area());
    for (auto* mean : {&strangeness, &raw_share, &mask_share, &change, &raw_long, &taken_turns, &pace, &reach, &still}) {
      mean->resize(pixels);
    }
    scene_sum.resize(pixels);
    cells.resize(static_cast<std::size_t>(size.width / kLanes * ((size.height + kCellRows - 1) / kCellRows)));
  }

  cv::Size size;
  std::size_t blocks;
  bool empty = true;
  int frames = 0;
  int looks = 0;
  int weight = 0;  // this picture stands for 2^weight of those at 25 a second
  Millis began{};
  Millis last{};
  Millis still_ticked{};
  bool warm_up = true;

  // The picture.
  cv::Mat half;
  Plane y, u, v;
  Plane texture_a, texture_b;
  cv::Point shift{};

  // What has been learned. `samples`: a block of 16 pixels, its samples, their planes, 16 bytes each.
  std::vector<std::uint8_t> samples;
  std::vector<std::uint16_t> strangeness, raw_share, mask_share, change, raw_long, taken_turns;  // means: see learn()
  std::vector<std::uint16_t> pace, reach;                                           // v and R of the paper
  std::vector<std::uint16_t> still;  // seconds in the mask
  std::vector<std::int16_t> scene_sum;
  cv::Mat scene_y;
  cv::Mat near, texture_near;
  cv::Mat last_y;
  cv::Mat ghost_flag;
  cv::Mat uncovered;  // 255 where a thing has gone, for as long as nothing comes
  struct Cell {
    int now = 0;    // how far it is from last_y, summed up
    int usual = 0;  // and has been, times 8
  };
  std::vector<Cell> cells;
  int passed_over = 0;  // pictures, since one was looked at

  // What was found.
  double usual_noise = 0;  // that the samples have; of the sensor, or of the compression
  bool other_noise = false;  // as the light is another, and the sensor's gain with it
  int far_for = 0;         // pictures at 25 a second that the noise has been beyond any gain
  int noise_gain = kNoiseOne;  // the present noise as a multiple of it
  Plane raw;  // 255: no two samples match
  cv::Mat unsteady;     // 255 where what matches and what does not keep taking turns
  cv::Mat raw_before, blink_before, nearness;
  cv::Mat solid;        // 255 at and beside what has an outline of its own
  cv::Mat around;       // the mask of the picture before, and what is near to it
  cv::Mat light;        // 255 where only the light has changed
  cv::Mat placed_mask;  // as the samples lie; `mask` as the picture lies
  cv::Mat mask;
  Millis last_coloured{};  // when the picture last was
  double unlike = 0;
  int unlike_pictures = 0;
  bool relit = false;
  Dice dice;

  void begin();
  void take(const Picture& picture);
  [[nodiscard]] bool changed();
  void relight();
  bool relight_field(const cv::Mat& now, const cv::Mat& then, double by_line);
  void relight_colours();
  void find_shift();
  [[nodiscard]] std::uint64_t misfit(cv::Point by, const cv::Mat& leave_out) const;
  void describe();
  void weigh_noise();
  void match();
  void match_block(std::size_t block, int row, int column);
  void clean();
  void leave_out_light();
  void find_ghosts();
  void learn(bool trusted);
  [[nodiscard]] Verdict judge(std::size_t at, v_uint16x8 nearness8, v_uint16x8 raw8, v_uint16x8 mask8, v_uint16x8 blink8, v_uint16x8 flipped8,
                              v_uint16x8 change8, v_uint16x8 flag8, v_uint16x8 solid8);
  void replace(std::uint8_t* sample, v_uint8x16 lanes, int row, int column) const;
  void learn_scene();
  void age();
  void place_mask();
  void draw_samples();
};

void Foreground::Model::begin() {
  empty = false;
  frames = looks = passed_over = 0;
  began = last;
  still_ticked = last;
  unlike_pictures = 0;
  shift = {};
  for (auto* plane : {&raw_before, &blink_before, &nearness, &uncovered, &placed_mask, &mask, &around, &solid, &unsteady}) plane->setTo(0);
  ghost_flag.setTo(255);
  near.setTo(30);
  texture_near.setTo(5);
  y.inside().copyTo(last_y);
  y.inside().copyTo(scene_y);
  for (auto* mean : {&strangeness, &raw_share, &mask_share, &change, &raw_long, &taken_turns, &still}) {
    std::fill(mean->begin(), mean->end(), std::uint16_t{0});
  }
  std::fill(cells.begin(), cells.end(), Cell{});
  std::fill(pace.begin(), pace.end(), std::uint16_t{40});
  std::fill(reach.begin(), reach.end(), std::uint16_t{4096});
  for (int row = 0; row < size.height; ++row) {
    for (int column = 0; column < size.width; ++column) {
      scene_sum[static_cast<std::size_t>(row * size.width + column)] = static_cast<std::int16_t>(scene_y.at<std::uint8_t>(row, column) * 128);
    }
  }
  describe();
  draw_samples();
}

// From the neighbourhood of each pixel of the first picture.
void Foreground::Model::draw_samples() {
  const std::array<const Plane*, kPlanes> planes{&y, &u, &v, &texture_a, &texture_b};
  auto* out = samples.data();
  for (int row = 0; row < size.height; ++row) {
    for (int column = 0; column < size.width; column += kLanes) {
      for (int sample = 0; sample < kSamples; ++sample, out += kSampleBytes) {
        for (int lane = 0; lane < kLanes; ++lane) {
          const auto roll = dice.roll() >> 8;
          const int from_row = std::clamp(row + static_cast<int>(roll % 5) - 2, 0, size.height - 1);
          const int from_column = std::clamp(column + lane + static_cast<int>(roll / 8 % 5) - 2, 0, size.width - 1);
          for (std::size_t plane = 0; plane < kPlanes; ++plane) {
            out[plane * kLanes + static_cast<std::size_t>(lane)] = planes[plane]->row(from_row)[from_column];
          }
        }
      }
    }
  }
}

void Foreground::Model::take(const Picture& picture) {
  const auto steps = static_cast<double>((picture.media - last).count()) / static_cast<double>(kCountedStep.count());
  weight = empty ? 0 : std::clamp(static_cast<int>(std::lround(std::log2(std::max(1.0, steps)))), 0, kMostWeight);
  last = picture.media;
  cv::resize(picture.y(), half, size, 0, 0, cv::INTER_AREA);
  y.set(half);
  u.set(picture.u());
  v.set(picture.v());
  unsigned colours = 0;
  for (int row = 0; row < size.height; ++row) {
    for (int column = 0; column < size.width; column += kLanes) {
      for (const auto* plane : {&u, &v}) colours += cv::v_reduce_sad(load(plane->row(row) + column), all(128));
    }
  }
  if (empty || colours >= kNoColour * size.area()) last_coloured = last;
}

// Whether the picture has to be looked at. Not where nothing was found in the one looked at last, and no part of it has become
// more unlike that one than it usually is.
bool Foreground::Model::changed() {
  const auto none = all(0);
  bool any = false;
  auto cell = cells.begin();
  for (int top = 0; top < size.height; top += kCellRows) {
    for (int column = 0; column < size.width; column += kLanes, ++cell) {
      unsigned sum = 0;
      for (int row = top; row < std::min(top + kCellRows, size.height); ++row) {
        sum += cv::v_reduce_sad(cv::v_absdiff(load(y.row(row) + column), load(last_y.ptr(row) + column)), none);
      }
      cell->now = static_cast<int>(sum);
      any = any || cell->now * 16 > cell->usual * 3 + kCellRows * kLanes * 16;  // half more than usual, and a shade
    }
  }
  const bool quiet = frames >= kQuietAfter && unlike < kQuietRaw && shift == cv::Point{} && noise_gain == kNoiseOne && !relit &&
                     cv::countNonZero(placed_mask) == 0;
  if (quiet && !any && ++passed_over < kQuietLook) return false;
  passed_over = 0;
  for (auto& one : cells) one.usual += std::min(one.now, one.usual / 4 + kCellRows * kLanes) - one.usual / 8;
  return true;
}

// ---- the light -----------------------------------------------------------------------------------------------------

void Foreground::Model::relight() {
  relit = false;
  cv::Mat now;
  cv::Mat then;
  cv::resize(y.inside(), now, size / 4, 0, 0, cv::INTER_AREA);
  cv::resize(scene_y, then, size / 4, 0, 0, cv::INTER_AREA);
  Pairs pairs;
  pairs.reserve(static_cast<std::size_t>(now.total()));
  for (int row = 0; row < now.rows; ++row) {
    for (int column = 0; column < now.cols; ++column) {
      pairs.emplace_back(then.at<std::uint8_t>(row, column), now.at<std::uint8_t>(row, column));
    }
  }
  const double before = fraction_near(pairs, {});
  if (before > kSameLight) return;
  const auto line = relight_line(pairs, before);
  const double by_line = line ? fraction_near(pairs, *line) : before;
  if (by_line < kMostLit && relight_field(now, then, by_line)) {
    relit = other_noise = true;
    return;
  }
  if (line) {
    relit = true;
    const auto table = table_of(*line);
    for (std::size_t at = 0; at < blocks * kSamples; ++at) {
      auto* sample = samples.data() + at * kSampleBytes;
      for (int lane = 0; lane < kLanes; ++lane) sample[lane] = table[sample[lane]];
    }
    cv::LUT(last_y, cv::Mat(1, 256, CV_8UC1, const_cast<std::uint8_t*>(table.data())), last_y);
    cv::LUT(scene_y, cv::Mat(1, 256, CV_8UC1, const_cast<std::uint8_t*>(table.data())), scene_y);
    for (auto& sum : scene_sum) {
      sum = static_cast<std::int16_t>(std::clamp(line->at(sum / 128.0) * 128, 0.0, 255.0 * 128));
    }
  }
}

// A lamp, or infra-red, lights the middle more than the corners: a gain that changes slowly over the picture, and leaves the scene
// its edges.
bool Foreground::Model::relight_field(const cv::Mat& now, const cv::Mat& then, double by_line) {
  constexpr int kAround = 9;
  cv::Mat a;
  cv::Mat b;
  cv::boxFilter(now, a, CV_32F, {kAround, kAround}, {-1, -1}, true, cv::BORDER_REPLICATE);
  cv::boxFilter(then, b, CV_32F, {kAround, kAround}, {-1, -1}, true, cv::BORDER_REPLICATE);
  cv::Mat field = (a + 4) / (b + 4);
  Pairs pairs;
  for (int row = 0; row < now.rows; ++row) {
    for (int column = 0; column < now.cols; ++column) {
      pairs.emplace_back(static_cast<double>(then.at<std::uint8_t>(row, column)) * static_cast<double>(field.at<float>(row, column)), now.at<std::uint8_t>(row, column));
    }
  }
  const double after = fraction_near(pairs, {});
  if (after < 0.95 || after < by_line + 0.05) return false;
  const cv::Mat edges = strongest_edges(scene_y) > kEdge;
  if (cv::countNonZero(changed_edges(y.inside(), scene_y, edges, usual_noise * 2)) > 0.1 * cv::countNonZero(edges)) return false;
  cv::resize(field, field, size, 0, 0, cv::INTER_LINEAR);
  for (int row = 0; row < size.height; ++row) {
    for (int column = 0; column < size.width; ++column) {
      const float gain = field.at<float>(row, column);
      const auto at = static_cast<std::size_t>(row * size.width + column);
      auto* sample = samples.data() + at / kLanes * kBlockBytes + column % kLanes;
      for (int i = 0; i < kSamples; ++i, sample += kSampleBytes) *sample = cv::saturate_cast<std::uint8_t>(static_cast<float>(*sample) * gain);
      for (auto* plane : {&last_y, &scene_y}) {
        auto& value = plane->at<std::uint8_t>(row, column);
        value = cv::saturate_cast<std::uint8_t>(static_cast<float>(value) * gain);
      }
      scene_sum[at] = static_cast<std::int16_t>(std::min(255.0F * 128, static_cast<float>(scene_sum[at]) * gain));
    }
  }
  return true;
}

// Colours fade together (dusk) or go all at once (infra-red). What does not fit a common factor but has changed nearly
// everywhere is learned anew. By the means of kLanes pixels, or a sensor's noise would be a change.
void Foreground::Model::relight_colours() {
  const auto colour = [](const std::uint8_t* from) { return cv::v_reduce_sum(load(from)) / double{kLanes} - 128; };
  double far = 0, before = 0, product = 0, square = 0, coloured = 0, were_coloured = 0;
  Pairs pairs;
  for (int row = 0; row < size.height; row += 4) {
    for (int column = 0; column < size.width; column += kLanes) {
      const auto* sample = samples.data() + static_cast<std::size_t>((row * size.width + column) / kLanes) * kBlockBytes;
      const double du = colour(u.row(row) + column);
      const double dv = colour(v.row(row) + column);
      const double su = colour(sample + kLanes);
      const double sv = colour(sample + 2 * kLanes);
      const double off = std::abs(du - su) + std::abs(dv - sv);
      far += off > kColoured;
      coloured += std::abs(du) + std::abs(dv) > kColoured;
      were_coloured += std::abs(su) + std::abs(sv) > kColoured;
      before += off;
      product += du * su + dv * sv;
      square += su * su + sv * sv;
      pairs.emplace_back(su, du);
      pairs.emplace_back(sv, dv);
    }
  }
  const double n = static_cast<double>(pairs.size()) / 2;
  const auto [fewer, more] = std::minmax(coloured, were_coloured);
  const bool turned = relit && more > 0.05 * n && fewer < 0.2 * more;  // all colour goes, or comes back
  const bool infrared = far >= 0.4 * n || turned;
  if (!infrared && !relit) return;
  const double factor = square < 1 ? 1 : std::clamp(product / square, 0.0, 3.0);
  double after = 0;
  for (const auto& [then, now] : pairs) after += std::abs(factor * then - now);
  const bool fades = after < 0.9 * before;
  const bool replaced = infrared && after > 0.6 * before;
  if (!fades && !replaced) return;
  relit = relit || infrared;
  other_noise = other_noise || turned;
  const auto table = table_of({factor, 128 - 128 * factor});
  for (int row = 0; row < size.height; ++row) {
    for (int column = 0; column < size.width; column += kLanes) {
      auto* block = samples.data() + static_cast<std::size_t>((row * size.width + column) / kLanes) * kBlockBytes;
      for (int sample = 0; sample < kSamples; ++sample, block += kSampleBytes) {
        if (replaced) {
          std::memcpy(block + kLanes, u.row(row) + column, kLanes);
          std::memcpy(block + 2 * kLanes, v.row(row) + column, kLanes);
        } else {
          for (int at = kLanes; at < 3 * kLanes; ++at) block[at] = table[block[at]];
        }
      }
    }
  }
}

// ---- the shift -----------------------------------------------------------------------------------------------------

std::uint64_t Foreground::Model::misfit(cv::Point by, const cv::Mat& leave_out) const {
  const v_uint8x16 most = all(64);
  const v_uint8x16 zero = all(0);
  std::uint64_t sum = 0;
  const int margin = size.height / 6;
  for (int row = margin; row < size.height - margin; row += 3) {
    const auto* now = y.row(row + by.y) + by.x;
    const auto* then = scene_y.ptr(row);
    const auto* out = leave_out.ptr(row);
    for (int column = kLanes; column < size.width - kLanes; column += kLanes) {
      const auto off = cv::v_min(cv::v_absdiff(load(now + column), load(then + column)), most);
      sum += cv::v_reduce_sad(off & ~load(out + column), zero);
    }
  }
  return sum;
}

void Foreground::Model::find_shift() {
  cv::Mat leave_out;
  cv::dilate(placed_mask, leave_out, cv::Mat(), {-1, -1}, 4);
  const auto in_place = misfit({}, leave_out);
  auto least = in_place;
  cv::Point best{};
  const auto attempt = [&](cv::Point by) {
    if (by == cv::Point{} || std::abs(by.x) > kMaxShift || std::abs(by.y) > kMaxShift) return;
    const auto cost = misfit(by, leave_out);
    if (cost >= least) return;
    least = cost;
    best = by;
  };
  for (int dy = -4; dy <= 4; dy += 2) {
    for (int dx = -4; dx <= 4; dx += 2) attempt({dx, dy});
  }
  const cv::Point coarse = best;
  for (int dy = -1; dy <= 1; ++dy) {
    for (int dx = -1; dx <= 1; ++dx) attempt(coarse + cv::Point{dx, dy});
  }
  shift = static_cast<double>(least) < 0.97 * static_cast<double>(in_place) ? best : cv::Point{};
  for (auto* plane : {&y, &u, &v}) plane->origin = cv::Point{kPad, kPad} + shift;
}

// ---- what belongs to the scene -------------------------------------------------------------------------------------

void Foreground::Model::describe() {
  for (int row = 0; row < size.height; ++row) {
    for (int column = 0; column < size.width; column += kLanes) {
      const auto* here = y.row(row) + column;
      const auto middle = load(here);
      v_uint16x8 low;
      v_uint16x8 high;
      cv::v_expand(middle, low, high);
      const v_uint16x8 times = all16(85);
      const auto threshold = cv::v_pack(cv::v_shr<8>(cv::v_mul_wrap(low, times)) , cv::v_shr<8>(cv::v_mul_wrap(high, times))) + all(3);
      std::array<v_uint8x16, 2> bits{all(0), all(0)};
      for (std::size_t i = 0; i < kTexture.size(); ++i) {
        const auto other = load(y.row(row + kTexture[i].y) + column + kTexture[i].x);
        bits[i / 8] = bits[i / 8] | ((cv::v_absdiff(other, middle) > threshold) & all(1 << (i % 8)));
      }
      cv::v_store(texture_a.row(row) + column, bits[0]);
      cv::v_store(texture_b.row(row) + column, bits[1]);
    }
  }
}

// A sensor that turns up its gain, or a coarser picture of the encoder, makes more noise from one picture to the next, and
// everywhere: a match need then not be as near. Measured where the picture changed least, so that things do not count.
void Foreground::Model::weigh_noise() {
  std::array<int, 256> changes{};
  int all_of_them = 0;
  for (int row = 1; row < size.height; row += 3) {
    const auto* now = y.row(row);
    const auto* before = last_y.ptr(row);
    for (int column = 0; column < size.width; ++column) ++changes[static_cast<std::size_t>(std::abs(now[column] - before[column]))];
    all_of_them += size.width;
  }
  int left = all_of_them * 2 / 3;
  double sum = 0;
  for (std::size_t step = 0; left > 0; ++step) {
    const int some = std::min(left, changes[step]);
    sum += static_cast<double>(step) * some;
    left -= some;
  }
  const double noise = std::max(0.2, sum / (all_of_them * 2.0 / 3));
  if (frames < 2 || relit) {
    noise_gain = kNoiseOne;  // nothing to compare with
    return;
  }
  if (frames == 2 || std::exchange(other_noise, false)) usual_noise = noise;
  // More noise is usual only when the places have learned of it, after a minute. What no gain can make up for is a picture in doubt.
  const bool far = noise * kNoiseOne > usual_noise * kNoiseMost;
  far_for = far ? far_for + (1 << weight) : 0;  // what passes close by is no noise
  relit = relit || far_for > 25;
  const double share = std::max((1 << weight) / (far ? 128.0 : 1500.0), 1.0 / (frames - 1));
  noise_gain = noise < 1.3 * usual_noise ? kNoiseOne : std::min(cvRound(kNoiseOne * noise / usual_noise), kNoiseMost);
  usual_noise += (noise - usual_noise) * share;
}

void Foreground::Model::match() {
  std::size_t block = 0;
  for (int row = 0; row < size.height; ++row) {
    for (int column = 0; column < size.width; column += kLanes) match_block(block++, row, column);
  }
  // What the shift brought in from outside is nobody's.
  if (shift.x > 0) raw.inside().colRange(size.width - shift.x, size.width).setTo(0);
  if (shift.x < 0) raw.inside().colRange(0, -shift.x).setTo(0);
  if (shift.y > 0) raw.inside().rowRange(size.height - shift.y, size.height).setTo(0);
  if (shift.y < 0) raw.inside().rowRange(0, -shift.y).setTo(0);
  unlike = cv::countNonZero(raw.inside()) / static_cast<double>(size.area());
}

void Foreground::Model::match_block(std::size_t block, int row, int column) {
  const auto now_y = load(y.row(row) + column);
  const auto now_u = load(u.row(row) + column);
  const auto now_v = load(v.row(row) + column);
  const auto now_a = load(texture_a.row(row) + column);
  const auto now_b = load(texture_b.row(row) + column);
  auto near_enough = load(near.ptr(row) + column);
  auto texture_enough = load(texture_near.ptr(row) + column);
  const int gain = last - last_coloured < kGreyAfter ? noise_gain : noise_gain * kGreyNear / kNoiseOne;
  if (gain != kNoiseOne) {
    near_enough = cv::v_pack(cv::v_shr<4>(cv::v_mul_wrap(cv::v_expand_low(near_enough), all16(gain))),
                             cv::v_shr<4>(cv::v_mul_wrap(cv::v_expand_high(near_enough), all16(gain))));
    texture_enough = texture_enough + all((noise_gain - kNoiseOne) / 3);
  }
  const auto one = all(1);
  auto matches = all(0);
  auto least = all(255);
  auto least_texture = all(255);
  const auto* sample = samples.data() + block * kBlockBytes;
  for (int i = 0; i < kSamples; ++i, sample += kSampleBytes) {
    const auto colour = cv::v_absdiff(now_u, load(sample + kLanes)) + cv::v_absdiff(now_v, load(sample + 2 * kLanes));
    const auto off = cv::v_absdiff(now_y, load(sample)) + colour + colour + colour;  // saturates
    const auto texture = cv::v_popcount(now_a ^ load(sample + 3 * kLanes)) + cv::v_popcount(now_b ^ load(sample + 4 * kLanes));
    matches = matches + ((off <= near_enough) & (texture <= texture_enough) & one);
    least = cv::v_min(least, off);
    least_texture = cv::v_min(least_texture, texture);
    if (i % 2 == 1 && cv::v_check_all(matches > one)) break;
  }
  const auto is_raw = matches <= one;
  const auto half_least = cv::v_pack(cv::v_shr<1>(cv::v_expand_low(least)), cv::v_shr<1>(cv::v_expand_high(least)));
  const auto twice = least_texture + least_texture;
  const auto eight = twice + twice + twice + twice;
  const auto strange = is_raw & cv::v_select(matches == all(0), all(255), all(127));
  cv::v_store(raw.row(row) + column, is_raw);
  cv::v_store(nearness.ptr(row) + column, half_least + eight + strange);
}

// From single pixels to things.
void Foreground::Model::clean() {
  placed_mask.setTo(0);
  const cv::Rect some = cv::boundingRect(raw.inside());
  if (some.empty()) return;
  constexpr int kReach = 8;  // no pixel has a say any farther
  const cv::Rect where = grown(some, kReach, size);
  const cv::Mat found = raw.inside()(where).clone();
  static const cv::Mat five = cv::Mat::ones(5, 5, CV_8UC1);
  cv::Mat closed;
  cv::morphologyEx(found & ~unsteady(where), closed, cv::MORPH_CLOSE, five);
  cv::Mat holes = closed.clone();
  fill_holes(holes);
  holes -= closed;
  cv::Mat core;
  cv::erode(closed, core, cv::Mat(), {-1, -1}, 3);
  core = core | holes | found;
  cv::blur(core, core, {5, 5}, {-1, -1}, cv::BORDER_REPLICATE);  // the median, of what is all or nothing
  cv::threshold(core, placed_mask(where), 127, 255, cv::THRESH_BINARY);
}

// What is there because of the light that falls on the scene, or no longer does, is no thing: it has no outline of its own. What
// has one within it is. What has been a thing in the picture before is looked at again now and then.
void Foreground::Model::leave_out_light() {
  light.setTo(0);
  if (looks % 8 != 0 && cv::countNonZero(placed_mask & ~around) < kFewPixels) return;
  const cv::Rect some = cv::boundingRect(placed_mask);
  if (some.empty()) return;
  constexpr int kBeside = 6;  // pixels, that outlines and the means around them need
  const cv::Rect where = grown(some, kBeside, size);
  cv::Mat things = placed_mask(where);
  cv::Mat labels;
  const int count = cv::connectedComponents(things, labels, 8, CV_32S);
  cv::Mat beside;
  cv::dilate(things, beside, cv::Mat());
  cv::Mat edges = changed_edges(y.inside()(where), scene_y(where), beside, usual_noise * noise_gain / kNoiseOne);
  cv::dilate(edges, edges, cv::Mat());
  cv::Mat inner;
  cv::erode(things, inner, cv::Mat());
  struct Piece {
    int outline = 0;
    int outlined = 0;  // of that, where an edge has changed
    int pixels = 0;
    int edged = 0;     // of them, where an edge has changed
    int off = 0;       // shades, in all
    int shades = 0;    // of the scene, in all
    [[nodiscard]] bool is_light() const {
      return outlined <= kOutlined * outline && edged <= kOutlined * pixels && (off >= kBrighter * pixels || off * kBrighterBy >= shades);
    }
  };
  std::vector<Piece> pieces(static_cast<std::size_t>(count));
  const cv::Mat now = y.inside()(where);
  const cv::Mat then = scene_y(where);
  for (int row = 0; row < where.height; ++row) {
    for (int column = 0; column < where.width; ++column) {
      if (things.at<std::uint8_t>(row, column) == 0) continue;
      auto& piece = pieces[static_cast<std::size_t>(labels.at<int>(row, column))];
      ++piece.pixels;
      piece.edged += edges.at<std::uint8_t>(row, column) != 0;
      piece.off += std::abs(now.at<std::uint8_t>(row, column) - then.at<std::uint8_t>(row, column));
      piece.shades += then.at<std::uint8_t>(row, column);
      if (inner.at<std::uint8_t>(row, column) != 0) continue;
      ++piece.outline;
      piece.outlined += edges.at<std::uint8_t>(row, column) != 0;
    }
  }
  cv::Mat lit = light(where);
  for (int label = 1; label < count; ++label) {
    if (pieces[static_cast<std::size_t>(label)].is_light()) lit.setTo(255, labels == label);
  }
  if (cv::countNonZero(lit) == 0) return;
  cv::Mat parts = edges & lit;
  static const cv::Mat five = cv::Mat::ones(5, 5, CV_8UC1);
  cv::morphologyEx(parts, parts, cv::MORPH_CLOSE, five);
  fill_holes(parts);
  cv::morphologyEx(parts, parts, cv::MORPH_OPEN, five);
  lit -= parts;
  things -= lit;
}

// ---- learning ------------------------------------------------------------------------------------------------------

// Where a thing has gone, the scene as remembered has a contrast across the outline that the picture has not. The scene soon forgets it:
// what was uncovered stays so while it is still. What stands there has one of its own, more than the scene's in more light: it is `solid`,
// and not worn away from its outline, which is of it and of the scene in turns. Beside what has not gone nothing is a ghost.
void Foreground::Model::find_ghosts() {
  cv::Mat labels;
  const int count = cv::connectedComponents(placed_mask, labels, 8, CV_32S);
  ghost_flag.setTo(255);
  solid.setTo(0);
  if (count <= 1) {
    uncovered.setTo(0);
    return;
  }
  struct Piece {
    int contrast = 0;        // across its outline, in the picture
    int scene_contrast = 0;  // and in the scene
    double shades = 0;       // of the picture, in all
    double scene_shades = 0;
    int pixels = 0;
    int as_before = 0;       // of them: uncovered, and still
    [[nodiscard]] bool gone() const { return scene_contrast * 5 > contrast * 6 || 2 * as_before > pixels; }
    [[nodiscard]] bool solid() const { return contrast * 3.0 > scene_contrast * 5.0 * std::max(1.0, shades / std::max(1.0, scene_shades)); }
  };
  std::vector<Piece> pieces(static_cast<std::size_t>(count));
  cv::Mat inner;
  cv::erode(placed_mask, inner, cv::Mat());
  const cv::Mat slope = mean_around(placed_mask, 5);
  const cv::Mat now = mean_around(y.inside(), 3);
  const cv::Mat then = mean_around(scene_y, 3);
  const auto slope_at = [&slope](int row, int column) { return static_cast<double>(slope.at<std::uint8_t>(row, column)); };
  constexpr int kApart = 3;  // pixels inwards, and outwards
  const cv::Rect not_at_edge{kApart, kApart, size.width - 2 * kApart, size.height - 2 * kApart};
  for (int row = 0; row < size.height; ++row) {
    for (int column = 0; column < size.width; ++column) {
      const cv::Point here{column, row};
      if (placed_mask.at<std::uint8_t>(here) == 0) continue;
      auto& piece = pieces[static_cast<std::size_t>(labels.at<int>(here))];
      ++piece.pixels;
      piece.as_before += uncovered.at<std::uint8_t>(here) != 0 && change[static_cast<std::size_t>(row * size.width + column)] < kStill;
      piece.shades += now.at<std::uint8_t>(here);
      piece.scene_shades += then.at<std::uint8_t>(here);
      if (inner.at<std::uint8_t>(here) != 0 || !not_at_edge.contains(here)) continue;
      const cv::Point2d inwards{slope_at(row, column + 2) - slope_at(row, column - 2), slope_at(row + 2, column) - slope_at(row - 2, column)};
      const double length = cv::norm(inwards);
      if (length < 1) continue;
      const cv::Point step{inwards * (kApart / length)};
      const auto across = [&](const cv::Mat& of) { return std::abs(of.at<std::uint8_t>(here + step) - of.at<std::uint8_t>(here - step)); };
      piece.contrast += across(now);
      piece.scene_contrast += across(then);
    }
  }
  for (int row = 0; row < size.height; ++row) {
    for (int column = 0; column < size.width; ++column) {
      const auto label = static_cast<std::size_t>(labels.at<int>(row, column));
      uncovered.at<std::uint8_t>(row, column) = label != 0 && pieces[label].gone() ? 255 : 0;
      if (label == 0) continue;
      ghost_flag.at<std::uint8_t>(row, column) = uncovered.at<std::uint8_t>(row, column);
      solid.at<std::uint8_t>(row, column) = pieces[label].solid() ? 255 : 0;
    }
  }
  cv::dilate(solid, solid, cv::Mat(), {-1, -1}, kNearAThing);
  cv::erode(ghost_flag, ghost_flag, cv::Mat(), {-1, -1}, kNearAThing);
}

// Means over some 32 pictures: how far each place was from what it had learned (`strangeness`), how often it did not match
// (`raw_share`), was part of a thing (`mask_share`), and how much it changed from frame to frame (`change`). From them,
// how near a match has to be (`reach`) and how fast that is adapted (`pace`).
Verdict Foreground::Model::judge(std::size_t at, v_uint16x8 nearness8, v_uint16x8 raw8, v_uint16x8 mask8, v_uint16x8 blink8, v_uint16x8 flipped8,
                                 v_uint16x8 change8, v_uint16x8 flag8, v_uint16x8 solid8) {
  const auto follow = [at](std::vector<std::uint16_t>& mean, const v_uint16x8& value) {
    auto* place = mean.data() + at;
    const auto old = load(place);
    const auto now = old - cv::v_shr<5>(old) + cv::v_shl<3>(value);
    cv::v_store(place, now);
    return now;
  };
  const auto strange = follow(strangeness, nearness8);
  const auto raws = follow(raw_share, raw8);
  const auto masks = follow(mask_share, mask8);
  const auto changes = follow(change, change8);
  const auto slowly = [&](std::vector<std::uint16_t>& mean, const v_uint16x8& value) {
    const auto old = load(mean.data() + at);
    const auto now = old - (old >> (8 - weight)) + (value << weight);
    cv::v_store(mean.data() + at, now);
    return now;
  };
  const auto raws_long = slowly(raw_long, raw8);
  const auto turns = slowly(taken_turns, flipped8);

  const auto none = all16(0);
  const auto in_mask = mask8 > none;
  const auto before = load(reach.data() + at);
  const auto unstable = (before > all16(8192)) | ((raws - masks) > all16(6528));  // saturates at 0

  const auto flickers = (strange > all16(3264)) & (blink8 > none);
  const auto old_pace = load(pace.data() + at);
  const auto slower = cv::v_select(in_mask, all16(1), cv::v_select(unstable, all16(2), all16(4)));
  const auto new_pace =
      cv::v_min(cv::v_max(cv::v_select(flickers, old_pace + all16(60), old_pace - slower), all16(4)), all16(10200));
  cv::v_store(pace.data() + at, new_pace);

  const auto s = cv::v_shr<8>(strange);
  const auto target = all16(4096) + cv::v_shl<6>(s) + cv::v_shr<2>(cv::v_mul_wrap(s, s));
  auto down = cv::v_select(new_pace < all16(320), all16(10), all16(3));
  down = cv::v_select(new_pace < all16(80), all16(32), down);
  down = cv::v_select(new_pace < all16(24), all16(100), down);
  down = cv::v_select(new_pace < all16(8), all16(410), down);
  const auto r = cv::v_min(
      cv::v_max(cv::v_select(before < target, before + (new_pace - all16(4)), before - down), all16(4096)), all16(32768));
  cv::v_store(reach.data() + at, r);

  Verdict verdict;
  verdict.near = cv::v_mul_hi(r, all16(480)) - (~unstable & all16(6));
  auto texture = cv::v_select(r < all16(14336), all16(8), all16(16));
  texture = cv::v_select(r < all16(10240), all16(4), texture);
  texture = cv::v_select(r < all16(6144), all16(2), texture);
  verdict.texture = texture + all16(3) + (unstable & all16(3));
  verdict.ghost = (raws > all16(kGhostMean.at(static_cast<std::size_t>(weight)))) & (changes < all16(kStill)) & (flag8 > none);
  verdict.restless = (raws_long > all16(20000)) & (changes > all16(1024));
  verdict.unsteady = turns > all16(kUnsteady.at(static_cast<std::size_t>(weight)));
  verdict.locked = (in_mask | (solid8 > none)) & (changes <= all16(1024)) & ~verdict.ghost;
  return verdict;
}

void Foreground::Model::learn(bool trusted) {
  cv::dilate(placed_mask, around, cv::Mat(), {-1, -1}, kNearAThing);
  const auto own_chance = all(31 << weight);
  const auto any_chance = all(16 << weight);
  const auto ghost_chance = all(std::min(128 << weight, 255));
  std::size_t block = 0;
  for (int row = 0; row < size.height; ++row) {
    for (int column = 0; column < size.width; column += kLanes, ++block) {
      const auto now_y = load(y.row(row) + column);
      const auto is_raw = load(raw.row(row) + column);
      const auto in_mask = load(placed_mask.ptr(row) + column);
      const auto flipped = is_raw ^ load(raw_before.ptr(row) + column);
      const auto blink = (flipped | load(blink_before.ptr(row) + column)) & ~load(around.ptr(row) + column);
      cv::v_store(blink_before.ptr(row) + column, flipped);
      cv::v_store(raw_before.ptr(row) + column, is_raw);
      const auto changed = cv::v_absdiff(now_y, load(last_y.ptr(row) + column));
      cv::v_store(last_y.ptr(row) + column, now_y);
      if (!trusted) continue;
      const auto is_solid = load(solid.ptr(row) + column);
      const auto flag = load(ghost_flag.ptr(row) + column);
      const auto strange = load(nearness.ptr(row) + column);

      const auto at = block * kLanes;
      const auto a = judge(at, cv::v_expand_low(strange), cv::v_expand_low(is_raw), cv::v_expand_low(in_mask),
                           cv::v_expand_low(blink), cv::v_expand_low(flipped), cv::v_expand_low(changed), cv::v_expand_low(flag), cv::v_expand_low(is_solid));
      const auto b = judge(at + kLanes / 2, cv::v_expand_high(strange), cv::v_expand_high(is_raw),
                           cv::v_expand_high(in_mask), cv::v_expand_high(blink), cv::v_expand_high(flipped), cv::v_expand_high(changed),
                           cv::v_expand_high(flag), cv::v_expand_high(is_solid));
      cv::v_store(near.ptr(row) + column, cv::v_pack(a.near, b.near));
      cv::v_store(texture_near.ptr(row) + column, cv::v_pack(a.texture, b.texture));
      cv::v_store(unsteady.ptr(row) + column, cv::v_pack(a.unsteady, b.unsteady));
      const auto ghost = cv::v_pack(a.ghost, b.ghost);
      const auto restless = cv::v_pack(a.restless, b.restless);
      const auto locked = warm_up ? all(0) : cv::v_pack(a.locked, b.locked);

      // Itself.
      const auto rolls = load(dice.lanes());
      const auto whatever = warm_up ? all(255) : restless | (ghost & load(uncovered.ptr(row) + column)) | load(light.ptr(row) + column);
      auto* here = samples.data() + block * kBlockBytes;
      const auto roll = dice.roll();
      const auto own = (~(is_raw | (locked & is_solid)) & (rolls < own_chance)) | (whatever & (rolls < any_chance));
      replace(here + (roll >> 8) % kSamples * kSampleBytes, own, row, column);
      // From a neighbour.
      const int dx = static_cast<int>((roll >> 12) % 3) - 1;
      const int dy = static_cast<int>((roll >> 16) % 3) - 1;
      if (row + dy < 0 || row + dy >= size.height) continue;
      const auto neighbour_raw = load(raw.row(row + dy) + column + dx);
      const auto chance = cv::v_select(ghost, ghost_chance, own_chance);
      const auto given = ~neighbour_raw & (load(dice.lanes()) < chance) & ~locked;
      replace(here + (roll >> 20) % kSamples * kSampleBytes, given, row + dy, column + dx);
    }
  }
}

void Foreground::Model::replace(std::uint8_t* sample, v_uint8x16 lanes, int row, int column) const {
  if (!cv::v_check_any(lanes)) return;
  for (const auto* plane : {&y, &u, &v, &texture_a, &texture_b}) {
    cv::v_store(sample, cv::v_select(lanes, load(plane->row(row) + column), load(sample)));
    sample += kLanes;
  }
}

// The scene as a picture: what shift, light and ghosts are measured against.
void Foreground::Model::learn_scene() {
  const auto seven = [](const v_uint16x8& value) { return cv::v_reinterpret_as_s16(cv::v_shl<7>(value)); };
  const int slow = std::max((last - began < Millis{1'200} ? 4 : 5) - weight, 1);
  std::size_t at = 0;
  for (int row = 0; row < size.height; ++row) {
    const auto* ghosts = ghost_flag.ptr(row);
    for (int column = 0; column < size.width; column += kLanes, at += kLanes) {
      const auto now = load(y.row(row) + column);
      const auto keep = warm_up ? all(0) : load(placed_mask.ptr(row) + column) & ~load(ghosts + column);
      const auto step = [&](std::size_t place, const v_uint16x8& now8, const v_uint16x8& keep8) {
        auto* sum = scene_sum.data() + place;
        const auto old = cv::v_load(sum);
        const auto off = seven(now8) - old;
        const auto moved = old + (off >> slow);
        const auto stays = cv::v_reinterpret_as_s16(keep8 > all16(0));
        const auto next = cv::v_select(stays, old, moved);
        cv::v_store(sum, next);
        return cv::v_shr<7>(cv::v_reinterpret_as_u16(next));
      };
      const auto low = step(at, cv::v_expand_low(now), cv::v_expand_low(keep));
      const auto high = step(at + kLanes / 2, cv::v_expand_high(now), cv::v_expand_high(keep));
      cv::v_store(scene_y.ptr(row) + column, cv::v_pack(low, high));
    }
  }
}

// What has stood still for long becomes part of the scene: its examples are replaced by how it looks now.
void Foreground::Model::age() {
  if (last - still_ticked < Millis{1000}) return;
  const auto seconds = static_cast<int>((last - still_ticked).count() / 1000);
  still_ticked += Millis{seconds * 1000};
  constexpr auto kOld = std::chrono::duration_cast<std::chrono::seconds>(kStillBecomesScene).count();
  for (int row = 0; row < size.height; ++row) {
    for (int column = 0; column < size.width; ++column) {
      auto& time = still[static_cast<std::size_t>(row * size.width + column)];
      if (placed_mask.at<std::uint8_t>(row, column) == 0) {
        time = 0;
        continue;
      }
      time = static_cast<std::uint16_t>(std::min<long>(time + seconds, 60'000));
      if (time < kOld) continue;
      time = 0;
      const int lane = column % kLanes;
      auto* sample = samples.data() + static_cast<std::size_t>((row * size.width + column) / kLanes) * kBlockBytes + lane;
      for (int i = 0; i < kSamples / 2; ++i, sample += kSampleBytes) {
        const std::array<const Plane*, kPlanes> planes{&y, &u, &v, &texture_a, &texture_b};
        for (std::size_t plane = 0; plane < kPlanes; ++plane) sample[plane * kLanes] = planes[plane]->row(row)[column];
      }
    }
  }
}

// Back to where the picture lies.
void Foreground::Model::place_mask() {
  if (shift == cv::Point{}) {
    placed_mask.copyTo(mask);
    return;
  }
  const cv::Rect all_of_it{{}, size};
  const cv::Rect to = (all_of_it + shift) & all_of_it;
  mask.setTo(0);
  placed_mask(to - shift).copyTo(mask(to));
}

// --------------------------------------------------------------------------------------------------------------------

Foreground::Foreground(cv::Size picture) : model_{std::make_unique<Model>(picture)} {}
Foreground::~Foreground() = default;

const cv::Mat& Foreground::look(const Picture& picture, bool trusted) {
  auto& model = *model_;
  model.take(picture);
  if (model.empty) model.begin();
  model.warm_up = model.last - model.began < kWarmUp || model.frames < 60;
  if (!model.changed()) {
    ++model.frames;
    return model.mask;
  }
  if (model.frames > 0) model.relight();
  model.find_shift();
  if (model.frames > 0) model.relight_colours();  // as the picture lies
  model.describe();
  model.weigh_noise();
  model.match();
  model.clean();
  model.leave_out_light();
  if (model.looks++ % (8 >> model.weight) == 0) model.find_ghosts();
  model.learn(trusted);
  if (trusted) model.learn_scene();
  if (trusted) model.age();
  model.place_mask();
  ++model.frames;
  model.unlike_pictures = model.unlike > 0.6 && trusted ? model.unlike_pictures + (1 << model.weight) : 0;
  if (model.unlike_pictures >= kStrangePictures) model.empty = true;  // another scene: the camera was turned
  return model.mask;
}

void Foreground::learn_anew() {
  model_->empty = true;
}
cv::Size Foreground::size() const {
  return model_->size;
}
const cv::Mat& Foreground::mask() const {
  return model_->mask;
}
cv::Mat Foreground::luma() const {
  return model_->y.inside();
}
const cv::Mat& Foreground::scene() const {
  return model_->scene_y;
}
cv::Point Foreground::shift() const {
  return model_->shift;
}
double Foreground::unlike() const {
  return model_->unlike;
}
double Foreground::lit() const {
  return cv::countNonZero(model_->light) / static_cast<double>(model_->light.total());
}
bool Foreground::relit() const {
  return model_->relit;
}
const cv::Mat& Foreground::placed_mask() const {
  return model_->placed_mask;
}
Millis Foreground::learned_for() const {
  return model_->empty ? Millis{0} : model_->last - model_->began;
}

}  // namespace hamlet::cameras
