#include "sync/uplink/pacer.hpp"

#include <deque>
#include <optional>
#include <random>

#include <doctest/doctest.h>

#include "sync/uplink/gzip.hpp"
#include "tests/support/gunzip.hpp"

using hamlet::Millis;
using hamlet::mono_from_ms;
using hamlet::MonoTime;
using hamlet::uplink::Gzip;
using hamlet::uplink::Pacer;
using hamlet::uplink::Share;
using namespace std::chrono_literals;

namespace {

/// A link: so many bytes a millisecond, one after the other; so long there and back. A sender that always has more.
struct Link {
  double rate;
  Millis round_trip;
  double blur = 0;  // ms that an acknowledgement may come late
  std::mt19937 random{1};
  Pacer pacer{};
  double free_at = 0;  // when what is queued has gone through
  MonoTime now = mono_from_ms(1'000);
  struct Flying {
    double acked_at;
    Pacer::Sent sent;
  };
  std::deque<Flying> flying{};
  std::uint64_t through = 0;
  double longest_queue = 0;  // ms that an alarm would have waited, of late

  void hand_over(std::size_t bytes) {
    const auto at = static_cast<double>(to_ms(now));
    free_at = std::max(free_at, at) + static_cast<double>(bytes) / rate;
    auto acked_at = free_at + static_cast<double>(round_trip.count()) + std::uniform_real_distribution{0.0, blur}(random);
    if (!flying.empty()) acked_at = std::max(acked_at, flying.back().acked_at);
    flying.push_back({acked_at, pacer.sent(bytes, now)});
  }

  void run(Millis time, std::size_t bytes, std::size_t window = 20) {
    through = 0;
    longest_queue = 0;
    for (const auto until = now + time; now < until; now += 1ms) {
      while (!flying.empty() && flying.front().acked_at <= static_cast<double>(to_ms(now))) {
        through += flying.front().sent.bytes;
        pacer.acked(flying.front().sent, now);
        flying.pop_front();
      }
      while (flying.size() < window && pacer.may_send(now)) hand_over(bytes);
      longest_queue = std::max(longest_queue, free_at - static_cast<double>(to_ms(now)));
    }
  }
  [[nodiscard]] double used(Millis time) const { return static_cast<double>(through) / (rate * static_cast<double>(time.count())); }
};

}  // namespace

TEST_CASE("what is in flight fills the link and is no more than that and a message or two") {
  // 30 kbit/s with 800 ms each way; 1 Mbit/s with 100 ms; a local network.
  for (const auto& [rate, round_trip, bytes, blur] : {std::tuple{3.75, 1'600ms, 600U, 0.0}, {3.75, 1'600ms, 1'500U, 200.0}, {3.75, 1'600ms, 12'000U, 0.0},
                                                      {125.0, 100ms, 1'500U, 10.0}, {125.0, 100ms, 12'000U, 10.0}}) {
    CAPTURE(rate);
    CAPTURE(bytes);
    Link link{.rate = rate, .round_trip = round_trip, .blur = blur};
    link.run(60s, bytes);
    link.run(120s, bytes);
    CHECK(link.used(120s) > 0.85);
    const double message = static_cast<double>(bytes) / rate;
    CHECK(link.longest_queue <= static_cast<double>(round_trip.count()) / 2 + 2 * message + 100);
  }
}

TEST_CASE("a local network is used with the whole window") {
  Link link{.rate = 100'000, .round_trip = 1ms};
  link.run(1s, 1'000);
  CHECK(link.pacer.limit() > 20 * 1'000);
}

TEST_CASE("a link that becomes slower is filled no more than it carries now") {
  Link link{.rate = 125, .round_trip = 100ms};
  link.run(30s, 1'000);
  link.rate = 3.75;
  link.round_trip = 1'600ms;
  link.run(120s, 1'000);  // the old round trip is believed for a minute
  link.run(60s, 1'000);
  CHECK(link.used(60s) > 0.7);
  CHECK(link.longest_queue <= 800 + 2 * 1'000 / 3.75 + 100);
}

TEST_CASE("a link with little to do keeps what it has shown") {
  Link link{.rate = 125, .round_trip = 100ms};
  link.run(10s, 1'000);
  const auto before = link.pacer.limit();
  for (int i = 0; i < 100; ++i) {
    link.now += 10s;
    link.run(1s, 1'000, 1);
  }
  CHECK(link.pacer.limit() > before / 2);
}

TEST_CASE("one message always goes, however large, and nothing on top of it where nothing is known") {
  Pacer pacer;
  const auto now = mono_from_ms(5);
  CHECK(pacer.may_send(now));
  const auto picture = pacer.sent(20'000, now);
  CHECK_FALSE(pacer.may_send(now));
  pacer.acked(picture, now + 5'000ms);
  CHECK(pacer.in_flight() == 0);
  CHECK(pacer.may_send(now + 5'000ms));
}

TEST_CASE("the cap holds, and what was not used before is lost") {
  Pacer pacer{64};  // 8 bytes a millisecond
  auto now = mono_from_ms(1'000'000);
  std::uint64_t sent = 0;
  for (const auto until = now + 60s; now < until; now += 1ms) {
    while (pacer.may_send(now)) {
      pacer.acked(pacer.sent(500, now), now);
      sent += 500;
    }
    if (!pacer.may_send(now)) CHECK(pacer.wait(now) > 0ms);
  }
  CHECK(sent >= 60'000 * 8 * 99 / 100);
  CHECK(sent <= (60'000 + 600) * 8);
}

TEST_CASE("live and history share by bytes while both wait, and neither saves up") {
  const auto shared = [](double live, std::size_t live_bytes, std::size_t rest_bytes) {
    Share share{live};
    double of_live = 0, all = 0;
    for (int i = 0; i < 10'000; ++i) {
      const bool next = share.live_is_next();
      const auto bytes = next ? live_bytes : rest_bytes;
      share.sent(next, bytes);
      all += static_cast<double>(bytes);
      if (next) of_live += static_cast<double>(bytes);
    }
    return of_live / all;
  };
  CHECK(shared(0.5, 100, 100) == doctest::Approx(0.5).epsilon(0.01));
  CHECK(shared(0.5, 100, 5'000) == doctest::Approx(0.5).epsilon(0.01));
  CHECK(shared(0.8, 300, 100) == doctest::Approx(0.8).epsilon(0.01));
  CHECK(shared(1, 100, 100) == 1);
  CHECK(shared(0, 100, 100) < 0.001);
  Share share{0.5};
  for (int i = 0; i < 100; ++i) share.alone();
  CHECK(share.live_is_next());
  share.sent(true, 100);
  CHECK_FALSE(share.live_is_next());
  share.alone();
  CHECK(share.live_is_next());
}

TEST_CASE("a payload is compressed where it gains by it, and comes back as it was") {
  Gzip gzip;
  CHECK_FALSE(gzip.shrink(R"({"short":true})"));
  std::mt19937 random{1};
  std::string noise(5'000, ' ');
  for (auto& each : noise) each = static_cast<char>(random());
  CHECK_FALSE(gzip.shrink(noise));
  for (int round = 0; round < 3; ++round) {
    std::string text;
    for (int i = 0; i < 200; ++i) text += R"({"s":"river.level","t":17954118)" + std::to_string(random() % 1'000'000) + "},";
    const auto small = gzip.shrink(text);
    REQUIRE(small);
    CHECK(small->size() < text.size() / 4);
    CHECK(hamlet::support::gunzip(*small) == text);
  }
}
