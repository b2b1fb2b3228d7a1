#include "cameras/camera.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "firmware/core/log.hpp"

namespace hamlet::cameras {
namespace {

constexpr Millis kFirstRetry{1'000};
constexpr Millis kSlowestRetry{30'000};
// One that has given pictures for so long is tried again at once; one that comes and goes is not told of each second.
constexpr Millis kProven{60'000};
// Cameras shut out whoever tries a wrong password about five times within half an hour.
constexpr Millis kRefusedRetry{600'000};
constexpr Millis kFiguresEvery{5'000};
constexpr Millis kRestsAfter{10'000};
// Between the rounds of a file that loops.
constexpr Millis kRoundGap{40};
// Beyond open_timeout and read_timeout: looking up a host's name has no deadline of its own.
constexpr Millis kHangs{20'000};

// What was drawn on a larger picture than this one is not where it was meant to be: why, and words.
std::pair<std::string, std::string> misfit(const CameraConfig& config, cv::Size source) {
  const std::pair<double, double> size{source.width, source.height};
  const auto fits = [&](const Polygon& polygon) { return config.drawn_on || is_fractions(polygon) || lies_in(polygon, size); };
  const auto words = [&](std::string_view what) { return fmt::format("the picture is {} x {}, and {} goes beyond it", source.width, source.height, what); };
  for (const auto& mask : config.masks) {
    if (!fits(mask)) return {"mask-outside", words("a mask")};
  }
  for (const auto& zone : config.zones) {
    if (!fits(zone.polygon)) return {"zone-outside", words("zone " + zone.id)};
  }
  return {};
}

}  // namespace

Camera::Camera(CameraConfig config, Clock& clock, Outbox& outbox)
    : config_{std::move(config)},
      clock_{clock},
      outbox_{outbox},
      ticked_at_{to_ms(clock.mono())},
      random_{static_cast<std::minstd_rand::result_type>(std::hash<std::string>{}(config_.id))},
      worker_{("cam-" + config_.id).substr(0, 15), 1} {
  state_.camera = config_.id;
  if (!worker_.post([this] { run(); })) finished_ = true;
}

Camera::~Camera() {
  request_stop();
}

void Camera::request_stop() {
  std::lock_guard lock{mutex_};
  cancel_ = true;
  wake_.notify_all();
}

bool Camera::hung() const {
  return !finished_ &&
         to_ms(clock_.mono()) - ticked_at_ > (config_.open_timeout + config_.read_timeout + kHangs).count();
}

void Camera::run() {
  report(CameraCondition::starting, {}, {});
  Millis retry = kFirstRetry;
  while (!cancel_) {
    CaptureError over = watch();
    const bool ended = over.why == "ended";
    if (ended && config_.loop) {
      media_before_ = media_last_ + kRoundGap;
      continue;
    }
    finish_events(cancel_ ? "stopped" : ended ? "ended" : "camera-lost");
    if (cancel_) break;
    if (began_ && clock_.mono() - *began_ >= kProven) retry = kFirstRetry;
    report(CameraCondition::down, over.why, std::move(over.message));
    if (ended) {
      wait_until(MonoTime::max());
      break;
    }
    wait_until(clock_.mono() + (over.why == "refused" ? kRefusedRetry : with_jitter(retry)));
    retry = std::min(2 * retry, kSlowestRetry);
  }
  finished_ = true;
}

Millis Camera::with_jitter(Millis wait) {
  std::uniform_real_distribution<double> part{0.5, 1.0};
  return Millis{std::llround(static_cast<double>(wait.count()) * part(random_))};
}

// One opening of the source, from the first picture to the last.
CaptureError Camera::watch() try {
  began_.reset();
  auto capture = Capture::open(config_, cancel_);
  return capture ? play(*capture) : std::move(capture).error();
} catch (const std::exception& error) {  // OpenCV, or out of memory
  return {"failed", error.what()};
}

CaptureError Camera::play(Capture& capture) {
  while (true) {
    ticked_at_ = to_ms(clock_.mono());
    auto picture = capture.read();
    state_.frames = frames_before_ + capture.frames();
    if (!picture || !*picture) {
      frames_before_ = state_.frames;
      if (!picture) return std::move(picture).error();
      if (capture.frames() == 0) return {"no-video", "not one frame could be decoded"};
      return {"ended", "the file was played to its end"};
    }
    handle(**std::move(picture));
    if (config_.rest) capture.rest(resting());
  }
}

void Camera::handle(Picture picture) {
  if (!began_) began_ = clock_.mono();
  const MonoTime at = time_of(picture);
  if (config_.is_file()) {
    if (config_.speed > 0 && !wait_until(at)) return;
    picture.media += media_before_;
  } else {
    picture.media = at - *began_;
  }
  media_last_ = picture.media;
  const bool another = !analysis_ || analysed_size_ != picture.source;
  if (another) {
    finish_events("camera-lost");
    analysis_.emplace(config_, picture.source, picture.size());
    analysed_size_ = picture.source;
  }
  if (another || state_.condition != CameraCondition::up) {
    auto [why, message] = misfit(config_, picture.source);
    report(CameraCondition::up, std::move(why), std::move(message));
  }
  put(analysis_->process(picture, at, minute_of_day()));
  show(picture, at);
  report_figures();
}

void Camera::look(std::uint64_t request) {
  std::lock_guard lock{mutex_};
  if (looks_.size() < kMaxLooks) looks_.push_back(request);
}

void Camera::show(const Picture& picture, MonoTime at) {
  std::vector<std::uint64_t> looks;
  {
    std::lock_guard lock{mutex_};
    looks.swap(looks_);
  }
  for (const auto request : looks) outbox_.put(analysis_->snapshot(picture, request, at));
}

MonoTime Camera::time_of(const Picture& picture) const {
  if (!config_.is_file() || config_.speed <= 0) return clock_.mono();
  return *began_ + Millis{std::llround(static_cast<double>(picture.media.count()) / config_.speed)};
}

// Nothing has moved for a while.
bool Camera::resting() {
  if (!analysis_ || !analysis_->quiet()) {
    busy_at_ = media_last_;
    return false;
  }
  return media_last_ - busy_at_ >= kRestsAfter;
}

// Of local time, which is eight hours ahead of UTC here; nothing while the clock is unset.
std::optional<int> Camera::minute_of_day() const {
  constexpr std::chrono::hours kLocal{8};
  constexpr WallTime kSet{std::chrono::sys_days{std::chrono::year{2024} / 1 / 1}};
  const WallTime now = clock_.wall();
  if (now < kSet) return std::nullopt;
  const auto minutes = std::chrono::floor<std::chrono::minutes>(now + kLocal);
  return static_cast<int>((minutes - std::chrono::floor<std::chrono::days>(minutes)).count());
}

// What was learned of the background goes with the events: pictures after a pause begin anew.
void Camera::finish_events(std::string_view why) {
  if (analysis_) put(analysis_->finish(why));
  analysis_.reset();
}

void Camera::put(std::vector<Message> messages) {
  for (auto& message : messages) outbox_.put(std::move(message));
}

void Camera::report(CameraCondition condition, std::string why, std::string message) {
  const bool changed = condition != state_.condition || why != state_.why;
  state_.condition = condition;
  state_.why = std::move(why);
  state_.message = std::move(message);
  if (condition != CameraCondition::up) state_.fps = 0;
  figures_at_ = clock_.mono();
  figures_frames_ = state_.frames;
  outbox_.put({state_});
  if (!changed) return;
  const auto level = condition == CameraCondition::down ? log::Level::warning : log::Level::info;
  log::write(level, "camera is " + std::string{to_string(condition)},
             {{"camera", config_.id}, {"why", state_.why}, {"message", state_.message}});
}

void Camera::report_figures() {
  const Millis since = clock_.mono() - figures_at_;
  if (since < kFiguresEvery) return;
  state_.fps = static_cast<double>(state_.frames - figures_frames_) * 1000 / static_cast<double>(since.count());
  figures_at_ += since;
  figures_frames_ = state_.frames;
  outbox_.put({state_});
}

bool Camera::wait_until(MonoTime until) {
  std::unique_lock lock{mutex_};
  ticked_at_ = to_ms(std::max(until, clock_.mono()));  // a file that is played late is no hang
  while (!cancel_) {
    // In parts: a condition variable cannot wait for ever by a duration, and the clock counts suspend.
    const Millis left = std::min(until - clock_.mono(), Millis{60'000});
    if (left <= Millis{0}) return true;
    wake_.wait_for(lock, left);
  }
  return false;
}

}  // namespace hamlet::cameras
