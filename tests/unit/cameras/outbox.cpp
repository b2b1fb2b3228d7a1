#include "cameras/outbox.hpp"

#include <atomic>
#include <future>
#include <thread>

#include <doctest/doctest.h>

using namespace hamlet;
using namespace hamlet::cameras;

namespace {

Message seen(Phase phase, std::string event) {
  return {Observation{.camera = "c", .zone = "z", .phase = phase, .event = std::move(event)}};
}
Message state(std::uint64_t frames) {
  return {CameraState{.camera = "c", .frames = frames}};
}

std::string event_of(const std::optional<Message>& message) {
  return std::get<Observation>(message.value().body).event;
}

}  // namespace

TEST_CASE("a full outbox gives up updates, the oldest first, and nothing else") {
  Outbox outbox{3, [] {}};
  outbox.put(seen(Phase::start, "a"));
  outbox.put(seen(Phase::update, "a1"));
  outbox.put(seen(Phase::update, "a2"));
  outbox.put(seen(Phase::end, "a"));
  CHECK(outbox.dropped() == 1);
  outbox.put(seen(Phase::start, "b"));
  CHECK(outbox.dropped() == 2);
  outbox.put(seen(Phase::update, "b1"));
  CHECK(outbox.dropped() == 3);
  CHECK(event_of(outbox.take()) == "a");
  CHECK(event_of(outbox.take()) == "a");
  CHECK(event_of(outbox.take()) == "b");
  CHECK_FALSE(outbox.take());
}

TEST_CASE("a camera's newer state takes the place of the one that waits") {
  Outbox outbox{2, [] {}};
  outbox.put(state(1));
  outbox.put(seen(Phase::start, "a"));
  outbox.put(state(2));
  CHECK(std::get<CameraState>(outbox.take().value().body).frames == 2);
  CHECK(event_of(outbox.take()) == "a");
  CHECK_FALSE(outbox.take());
}

TEST_CASE("a start waits for room rather than be lost") {
  std::atomic<int> woken{0};
  Outbox outbox{1, [&] { ++woken; }};
  outbox.put(seen(Phase::start, "a"));
  std::thread camera{[&] { outbox.put(seen(Phase::end, "a")); }};
  std::vector<Phase> got;
  while (got.size() < 2) {
    if (const auto message = outbox.take()) got.push_back(std::get<Observation>(message->body).phase);
  }
  camera.join();
  CHECK(got == std::vector{Phase::start, Phase::end});
  CHECK(woken == 2);
}

TEST_CASE("closing an outbox frees whoever waits for room") {
  Outbox outbox{1, [] {}};
  outbox.put(seen(Phase::start, "a"));
  auto waiting = std::async(std::launch::async, [&] { outbox.put(seen(Phase::end, "a")); });
  outbox.close();
  waiting.get();
  CHECK(outbox.take());
  CHECK_FALSE(outbox.take());
}
