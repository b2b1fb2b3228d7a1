#include "cameras/camera.hpp"

#include <condition_variable>
#include <mutex>

#include <doctest/doctest.h>

#include "firmware/core/fake_clock.hpp"
#include "tests/support/clip.hpp"
#include "tests/support/process.hpp"

using namespace hamlet;
using namespace hamlet::cameras;

TEST_CASE("a file that is played late is no decoder that hangs") {
  support::TempDir folder;
  CameraConfig config;
  config.id = "cam";
  const auto clip = folder.path() / "clip.mjpeg";
  support::write_clip(clip, 300, [](int frame) { return support::scene({320, 240}, frame); });
  config.source = "file:" + clip.string();
  config.open_timeout = config.read_timeout = Millis{500};

  std::mutex mutex;
  std::condition_variable put;
  FakeClock clock;
  Outbox outbox{64, [&] {
                  std::lock_guard lock{mutex};
                  put.notify_all();
                }};
  Camera camera{config, clock, outbox};
  const auto next_state = [&] {
    std::unique_lock lock{mutex};
    while (true) {
      if (const auto message = outbox.take()) {
        if (const auto* state = std::get_if<CameraState>(&message->body)) return *state;
      } else if (put.wait_for(lock, std::chrono::seconds{30}) == std::cv_status::timeout) {
        return CameraState{};
      }
    }
  };
  while (next_state().condition != CameraCondition::up) {
  }
  for (const auto late : {Millis{60'000}, Millis{5'000}}) {
    clock.advance(late);
    CHECK(next_state().frames > 0);  // it has noticed
  }
  bool hung = false;
  while (!camera.finished()) {
    hung = hung || camera.hung();
    if (const auto message = outbox.take()) {
      const auto* state = std::get_if<CameraState>(&message->body);
      if (state != nullptr && state->why == "ended") break;
    }
  }
  CHECK_FALSE(hung);
}
