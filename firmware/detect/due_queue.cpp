#include "firmware/detect/due_queue.hpp"

namespace hamlet::detect {

void DueQueue::reset(std::size_t timers) {
  armed_.assign(timers, kNever);
  queue_ = {};
}

void DueQueue::arm(std::size_t number, MonoTime at) {
  auto& armed = armed_[number];
  if (armed <= at) return;
  armed = at;
  queue_.push({at, number});
  drop_stale();
}

std::optional<MonoTime> DueQueue::next() const {
  if (queue_.empty()) return {};
  return queue_.top().at;
}

std::optional<DueQueue::Timer> DueQueue::pop(MonoTime now) {
  if (queue_.empty() || queue_.top().at > now) return {};
  const auto timer = queue_.top();
  queue_.pop();
  armed_[timer.number] = kNever;
  drop_stale();
  return timer;
}

void DueQueue::drop_stale() {
  while (!queue_.empty() && armed_[queue_.top().number] != queue_.top().at) queue_.pop();
}

}  // namespace hamlet::detect
