#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "cameras/analysis.hpp"
#include "cameras/camera_config.hpp"
#include "cameras/capture.hpp"
#include "cameras/outbox.hpp"
#include "firmware/core/clock.hpp"
#include "firmware/core/worker.hpp"

namespace hamlet::cameras {

/// One camera and its thread: opens the source, looks at its pictures, puts what it sees and how it does into the
/// outbox. Opens it again after a failure, waiting longer each time (1 s to 30 s, with jitter; 10 min where it was
/// refused). A file that does not loop ends once, and stays down ("ended").
///
/// Times: a live source's pictures are of when they arrived; a file played in real time follows its own time stamps
/// from when it was opened.
class Camera {
 public:
  static constexpr std::size_t kMaxLooks = 4;

  /// Starts at once. `clock` and `outbox` must outlive it.
  Camera(CameraConfig config, Clock& clock, Outbox& outbox);
  /// Waits for the thread: ask first.
  ~Camera();
  Camera(const Camera&) = delete;
  Camera& operator=(const Camera&) = delete;

  /// Asks the thread to end, after it has ended what is open ("stopped"). Does not wait.
  void request_stop();
  /// The next picture is put into the outbox, as a Snapshot. At most kMaxLooks wait; one more is forgotten.
  void look(std::uint64_t request);
  [[nodiscard]] bool finished() const { return finished_; }
  /// The thread has made no progress for longer than any of its deadlines allows: the decoder hangs.
  [[nodiscard]] bool hung() const;
  [[nodiscard]] const CameraConfig& config() const { return config_; }

 private:
  void run();
  [[nodiscard]] CaptureError watch();
  [[nodiscard]] Millis with_jitter(Millis wait);
  // Plays until there is nothing more to play, and says why.
  [[nodiscard]] CaptureError play(Capture& capture);
  void handle(Picture picture);
  [[nodiscard]] MonoTime time_of(const Picture& picture) const;
  void show(const Picture& picture, MonoTime at);
  [[nodiscard]] bool resting();
  [[nodiscard]] std::optional<int> minute_of_day() const;
  void finish_events(std::string_view why);
  void report(CameraCondition condition, std::string why, std::string message);
  void report_figures();
  void put(std::vector<Message> messages);
  // False where the camera was asked to stop before `until`.
  bool wait_until(MonoTime until);

  const CameraConfig config_;
  Clock& clock_;
  Outbox& outbox_;

  std::atomic<bool> cancel_{false};
  std::atomic<bool> finished_{false};
  std::atomic<std::int64_t> ticked_at_;
  std::mutex mutex_;
  std::condition_variable wake_;  // cancel_ was set
  std::vector<std::uint64_t> looks_;  // guarded by mutex_

  // The thread's own.
  std::optional<Analysis> analysis_;
  cv::Size analysed_size_;         // of the source
  std::optional<MonoTime> began_;  // when the first picture of this opening came
  Millis media_before_{};          // the rounds before this one, where a file loops
  Millis media_last_{};
  Millis busy_at_{};  // when something last moved
  CameraState state_;
  std::uint64_t frames_before_ = 0;  // of the captures before this one
  MonoTime figures_at_{};
  std::uint64_t figures_frames_ = 0;
  std::minstd_rand random_;

  Worker worker_;  // last: its thread uses all of the above
};

}  // namespace hamlet::cameras
