#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

namespace hamlet {

/// One named thread for one blocking thing, with a bounded queue in front.
///
/// post() may be called from any thread; jobs run in order, one at a time, on the worker's thread. When the queue is full a
/// job is refused and the caller decides what to give up. A job must not throw.
class Worker {
 public:
  using Job = std::function<void()>;

  /// `name`: shown by ps and top, at most 15 bytes. `capacity`: jobs waiting, at least 1.
  Worker(std::string name, std::size_t capacity);
  ~Worker();  ///< stop(Drain::no)
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// False where the queue is full or the worker was stopped: the job was not taken.
  [[nodiscard]] bool post(Job job);

  enum class Drain { yes, no };
  /// Ends the thread: after the jobs that wait (yes) or after the one that runs (no; the rest are destroyed). Idempotent. Not
  /// from the worker's own thread.
  void stop(Drain drain);

  [[nodiscard]] std::size_t waiting() const;

 private:
  void run();

  const std::string name_;
  const std::size_t capacity_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Job> jobs_;     // guarded by mutex_
  bool stopping_ = false;    // guarded by mutex_
  std::thread thread_;
};

}  // namespace hamlet
