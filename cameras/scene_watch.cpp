#include "cameras/scene_watch.hpp"

#include <algorithm>
#include <cmath>

#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

namespace hamlet::cameras {
namespace {

// Brightness; most cameras' black is 16 and their white 235.
constexpr double kDark = 32;
constexpr double kBright = 225;
constexpr double kFlat = 10;      // spread of what is dark or bright and shows nothing
constexpr double kLittleDetail = 0.4;   // of what is usual: covered or blurred
constexpr double kLittleFineness = 0.25;  // of what is usual: blurred, though its edges add up to as much as before
constexpr double kLessFineness = 0.6;     // of what is usual: blurred, where there is little detail as well
constexpr Millis kLooksAtOnce{100};
constexpr double kSameMost = 10;        // shades: the same picture, coded again and again; a live one has noise, and something that moves
constexpr double kSameMean = 0.16;
constexpr double kOtherView = 0.35;     // correlation of where the detail is
constexpr double kMostHidden = 0.3;     // of the view, by things that stand before it
constexpr Millis kLearns{3'000};  // before that there is nothing usual

double correlation(const cv::Mat& a, const cv::Mat& b) {
  cv::Mat x = a - cv::mean(a)[0];
  cv::Mat y = b - cv::mean(b)[0];
  const double size = std::sqrt(x.dot(x) * y.dot(y));
  return size < 1e-6 ? 0 : x.dot(y) / size;
}

}  // namespace

double SceneWatch::View::all_detail() const {
  return cv::mean(detail)[0];
}

SceneWatch::View SceneWatch::view_of(const cv::Mat& luma) {
  View view;
  cv::Mat smooth;
  cv::Mat across;
  cv::Mat down;
  cv::blur(luma, smooth, {3, 3});  // what noise adds to detail is no detail
  cv::Sobel(smooth, across, CV_16S, 1, 0);
  cv::Sobel(smooth, down, CV_16S, 0, 1);
  cv::Mat detail = cv::abs(across) + cv::abs(down);
  detail.convertTo(detail, CV_32F);
  cv::resize(detail, view.detail, {kColumns, kRows}, 0, 0, cv::INTER_AREA);
  cv::Scalar mean;
  cv::Scalar deviation;
  cv::meanStdDev(luma, mean, deviation);
  view.mean = mean[0];
  view.spread = deviation[0];
  const auto band = [real = cv::Mat_<float>(luma)](int from, int to) {
    cv::Mat sharper;
    cv::Mat softer;
    cv::blur(real, sharper, {from, from});
    cv::blur(real, softer, {to, to});
    return cv::norm(sharper, softer, cv::NORM_L2SQR);
  };
  view.fineness = band(3, 5) / std::max(1.0, band(9, 25));
  return view;
}

// Another view than usual, also where no thing stands before it: before a bare wall somebody has most of the detail.
bool SceneWatch::is_another(const View& now, const Things& things, cv::Size size) const {
  cv::Mat then;
  cv::Mat here;
  cv::sqrt(usual_->detail, then);  // one strong edge is not all of the view
  cv::sqrt(now.detail, here);
  if (correlation(then, here) >= kOtherView) return false;
  cv::Mat hidden = cv::Mat::zeros(then.size(), CV_8UC1);
  for (const auto& box : things()) {
    const cv::Point first{box.x * kColumns / size.width, box.y * kRows / size.height};
    const cv::Point last{(box.br().x - 1) * kColumns / size.width, (box.br().y - 1) * kRows / size.height};
    cv::rectangle(hidden, first, last, {255}, cv::FILLED);
  }
  if (cv::countNonZero(hidden) > kMostHidden * static_cast<double>(hidden.total())) return true;
  then.copyTo(here, hidden);
  return correlation(then, here) < kOtherView;
}

std::optional<SceneFault> SceneWatch::judge(const View& now, const Things& things, cv::Size size) const {
  if (now.mean < kDark && now.spread < kFlat) return SceneFault::dark;
  if (now.mean > kBright && now.spread < kFlat) return SceneFault::bright;
  if (!usual_ || last_ - usual_since_ < kLearns) return std::nullopt;
  if (now.all_detail() < kLittleDetail * usual_->all_detail()) {
    if (now.spread < 0.2 * usual_->spread || now.all_detail() < 0.12 * usual_->all_detail()) return SceneFault::covered;
    if (now.fineness < kLessFineness * usual_->fineness) return SceneFault::blurred;  // not by night: it is as fine, and darker
  }
  if (is_another(now, things, size)) return SceneFault::turned;
  if (now.fineness < kLittleFineness * usual_->fineness && now.all_detail() < usual_->all_detail()) return SceneFault::blurred;  // a blur adds none
  return std::nullopt;
}

void SceneWatch::remember(const View& now, Millis time) {
  if (!usual_) {
    usual_ = now;
    usual_since_ = time;
    return;
  }
  const bool young = time - usual_since_ < kLearns;
  const double weight = young ? 0.3 : std::min(1.0, static_cast<double>(kLooksEvery.count()) / static_cast<double>(kRemembers.count() / 4));
  usual_->detail = usual_->detail * (1 - weight) + now.detail * weight;
  usual_->spread += (now.spread - usual_->spread) * weight;
  usual_->fineness += (now.fineness - usual_->fineness) * weight;
}

std::vector<SceneWatch::Change> SceneWatch::see(const cv::Mat& luma, Millis time, bool at_once, const Things& things) {
  std::vector<Change> changes;
  if (looked_ && time - *looked_ < (at_once ? kLooksAtOnce : kLooksEvery)) return changes;
  looked_ = time;
  last_ = time;
  const View now = view_of(luma);
  const auto fault = judge(now, things, luma.size());
  const bool same = !before_.empty() && cv::norm(luma, before_, cv::NORM_INF) <= kSameMost && cv::norm(luma, before_, cv::NORM_L1) <= kSameMean * static_cast<double>(luma.total());
  if (!same || fault) {  // a lens that is covered shows nothing that could change
    changed_ = time;
    luma.copyTo(before_);
  }
  for (std::size_t i = 0; i < faults_.size(); ++i) {
    const auto one = static_cast<SceneFault>(i);
    if (one == SceneFault::frozen) {
      note(one, time - changed_ >= kFrozenAfter, time, changes);
    } else {
      note(one, fault == one, time, changes);
    }
  }
  // A view that lasts is the view, whatever was before.
  if (!fault) remember(now, time);
  for (const auto one : {SceneFault::turned, SceneFault::blurred}) {
    const auto& occupancy = faults_[static_cast<std::size_t>(one)];
    if (occupancy.occupied() && time - occupancy.first() > kRemembers) usual_.reset();
  }
  return changes;
}

void SceneWatch::note(SceneFault fault, bool there, Millis time, std::vector<Change>& changes) {
  auto& occupancy = faults_[static_cast<std::size_t>(fault)];
  const auto phase = occupancy.see(there, time);
  if (!phase || *phase == Phase::update) return;
  const Millis began = fault == SceneFault::frozen ? changed_ : occupancy.first();
  changes.push_back({fault, *phase, *phase == Phase::start ? began : occupancy.last()});
}

// For a moment a camera that shakes, or a lorry, makes it seem turned.
bool SceneWatch::in_doubt() const {
  for (std::size_t i = 0; i < faults_.size(); ++i) {
    const auto fault = static_cast<SceneFault>(i);
    const auto& one = faults_[i];
    if (fault == SceneFault::frozen) continue;
    if (one.pending() && one.last() == last_ && fault != SceneFault::turned) return true;
    if (one.occupied() && one.last() < last_) return true;
  }
  return false;
}

bool SceneWatch::faulty() const {
  return std::any_of(faults_.begin(), faults_.end(), [](const auto& one) { return one.occupied(); });
}

}  // namespace hamlet::cameras
