#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>

#include "cameras/messages.hpp"

namespace hamlet::cameras {

/// What waits to be sent to the daemon, bounded. Any thread puts, one takes.
///
/// When it is full, updates of events are dropped first, the oldest before the others; a camera's state replaces the
/// one that still waits. A start or an end is never dropped: where nothing else is left, put() waits, and the camera
/// misses frames instead.
class Outbox {
 public:
  /// `wake` is called after each put(), from the thread that put. `capacity`: messages, at least 1.
  Outbox(std::size_t capacity, std::function<void()> wake) : capacity_{capacity}, wake_{std::move(wake)} {}

  void put(Message message);
  /// The oldest, or nothing.
  [[nodiscard]] std::optional<Message> take();
  /// Nothing is put any more, and nobody waits. For the end.
  void close();
  /// Updates given up so far.
  [[nodiscard]] std::uint64_t dropped() const;

 private:
  [[nodiscard]] bool replace_state(const Message& message);
  [[nodiscard]] bool drop_update();

  const std::size_t capacity_;
  const std::function<void()> wake_;
  mutable std::mutex mutex_;
  std::condition_variable room_;
  std::deque<Message> waiting_;  // guarded by mutex_
  std::uint64_t dropped_ = 0;    // guarded by mutex_
  bool closed_ = false;          // guarded by mutex_
};

}  // namespace hamlet::cameras
