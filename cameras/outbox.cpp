#include "cameras/outbox.hpp"

#include <algorithm>
#include <utility>

namespace hamlet::cameras {
namespace {

bool is_update(const Message& message) {
  const auto* seen = std::get_if<Observation>(&message.body);
  return seen != nullptr && seen->phase == Phase::update;
}

}  // namespace

void Outbox::put(Message message) {
  {
    std::unique_lock lock{mutex_};
    if (closed_ || replace_state(message)) return;
    if (waiting_.size() >= capacity_ && !drop_update()) {
      if (is_update(message)) {
        ++dropped_;
        return;
      }
      room_.wait(lock, [this] { return closed_ || waiting_.size() < capacity_; });
      if (closed_) return;
    }
    waiting_.push_back(std::move(message));
  }
  wake_();
}

std::optional<Message> Outbox::take() {
  std::lock_guard lock{mutex_};
  if (waiting_.empty()) return std::nullopt;
  Message message = std::move(waiting_.front());
  waiting_.pop_front();
  room_.notify_one();
  return message;
}

void Outbox::close() {
  std::lock_guard lock{mutex_};
  closed_ = true;
  room_.notify_all();
}

std::uint64_t Outbox::dropped() const {
  std::lock_guard lock{mutex_};
  return dropped_;
}

// Puts a camera's state into the place of an older one.
bool Outbox::replace_state(const Message& message) {
  const auto* state = std::get_if<CameraState>(&message.body);
  if (state == nullptr) return false;
  const auto older = std::find_if(waiting_.begin(), waiting_.end(), [&](const Message& waiting) {
    const auto* other = std::get_if<CameraState>(&waiting.body);
    return other != nullptr && other->camera == state->camera;
  });
  if (older == waiting_.end()) return false;
  *older = message;
  return true;
}

bool Outbox::drop_update() {
  const auto oldest = std::find_if(waiting_.begin(), waiting_.end(), is_update);
  if (oldest == waiting_.end()) return false;
  waiting_.erase(oldest);
  ++dropped_;
  return true;
}

}  // namespace hamlet::cameras
