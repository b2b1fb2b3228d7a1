#include "firmware/core/worker.hpp"

#include <pthread.h>

#include <cassert>
#include <utility>

namespace hamlet {

Worker::Worker(std::string name, std::size_t capacity) : name_{std::move(name)}, capacity_{capacity} {
  assert(capacity_ >= 1);
  thread_ = std::thread{&Worker::run, this};
}

Worker::~Worker() { stop(Drain::no); }

bool Worker::post(Job job) {
  {
    const std::lock_guard lock{mutex_};
    if (stopping_ || jobs_.size() >= capacity_) return false;
    jobs_.push_back(std::move(job));
  }
  wake_.notify_one();
  return true;
}

void Worker::stop(Drain drain) {
  std::deque<Job> dropped;  // destroyed outside the lock: a job may own something that posts
  {
    const std::lock_guard lock{mutex_};
    stopping_ = true;
    if (drain == Drain::no) dropped.swap(jobs_);
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

std::size_t Worker::waiting() const {
  const std::lock_guard lock{mutex_};
  return jobs_.size();
}

void Worker::run() {
  pthread_setname_np(pthread_self(), name_.substr(0, 15).c_str());
  for (;;) {
    Job job;
    {
      std::unique_lock lock{mutex_};
      wake_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
      if (jobs_.empty()) return;
      job = std::move(jobs_.front());
      jobs_.pop_front();
    }
    job();
  }
}

}  // namespace hamlet
