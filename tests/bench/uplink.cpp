#include "sync/uplink/uplink.hpp"

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <mqtt/async_client.h>

#include "tests/bench/bench.hpp"
#include "tests/support/broker.hpp"
#include "tests/support/process.hpp"

namespace hamlet::bench {

namespace {

using Clock = std::chrono::steady_clock;
using contract::Lane;

constexpr std::uint64_t kMessages = 20'000;
constexpr std::size_t kWindow = 20;
constexpr std::chrono::seconds kPatience{120};

std::string paho_uri(const support::Broker& broker) {
  return "tcp://127.0.0.1:" + std::to_string(broker.port());
}

/// Counts what arrives below `tele`, and when the first and the last came. Bare Paho: it must not be the bottleneck.
class Subscriber {
 public:
  Subscriber(const support::Broker& broker, const std::string& topic)
      : client_{paho_uri(broker), "subscriber", static_cast<mqtt::iclient_persistence*>(nullptr)} {
    client_.set_message_callback([this](const mqtt::const_message_ptr&) {
      const std::lock_guard lock{mutex_};
      if (count_ == 0) first_ = Clock::now();
      if (++count_ < kMessages) return;
      last_ = Clock::now();
      complete_.notify_all();
    });
    client_.connect()->wait();
    client_.subscribe(topic, 1)->wait();
  }
  ~Subscriber() { client_.disconnect()->wait(); }

  void begin() {
    const std::lock_guard lock{mutex_};
    count_ = 0;
  }
  [[nodiscard]] bool complete() {
    const std::lock_guard lock{mutex_};
    return count_ >= kMessages;
  }
  [[nodiscard]] bool wait() {
    std::unique_lock lock{mutex_};
    return complete_.wait_for(lock, kPatience, [this] { return count_ >= kMessages; });
  }
  [[nodiscard]] double messages_per_second() {
    const std::lock_guard lock{mutex_};
    return static_cast<double>(kMessages - 1) / std::chrono::duration<double>(last_ - first_).count();
  }

 private:
  mqtt::async_client client_;
  std::mutex mutex_;
  std::condition_variable complete_;
  std::uint64_t count_ = 0;
  Clock::time_point first_;
  Clock::time_point last_;
};

/// A journal with a backlog, a broker with its defaults, a subscriber: made once for all runs of both sides.
struct Setting {
  Setting() {
    journal = journal::Journal::open(io, clock,
                                     {.directory = folder.path(),
                                      .window = Millis{1'000},
                                      .machine_id = std::string(32, 'a'),
                                      .boot_id = std::string(32, 'b')})
                  .value();
    const contract::DateFunction date = [this](Moment moment) { return journal->date(moment); };
    for (std::uint64_t i = 0; i < kMessages; ++i) {
      const Reading reading{
          .point = "river.level", .at = clock.mono(), .value = 2.0 + static_cast<double>(i % 100) / 100};
      const auto body = contract::encode_readings(std::span{&reading, 1}, clock.mono());
      const auto identity = journal->append(Lane::tele, clock.mono(), body, journal::Urgency::window).value();
      payloads.push_back(contract::render(body,
                                          {.gw = topics.gw(),
                                           .epoch = identity.epoch,
                                           .lane = Lane::tele,
                                           .seq = identity.seq,
                                           .at = {journal->boot(), clock.mono()},
                                           .hist = false,
                                           .rev = 1},
                                          date)
                             .value());
    }
    bool durable = false;
    journal->sync([&](const Status& status) { durable = status.has_value(); });
    while (!durable) {
      io.restart();
      io.run_one_for(Millis{10});
    }
  }

  support::TempDir folder;
  boost::asio::io_context io;
  SystemClock clock{true};
  const contract::Topics topics = contract::Topics::from_division("430124104203", "gw-0017").value();
  std::unique_ptr<journal::Journal> journal;
  std::vector<std::string> payloads;
  support::Broker broker;
  Subscriber subscriber{broker, topics.at("tele")};
};

Setting& setting() {
  static Setting it;
  return it;
}

/// Journal to subscriber: read, rendered, published, its position kept.
void drain(benchmark::State& state) {
  auto& here = setting();
  for (auto _ : state) {
    here.subscriber.begin();
    here.journal->set_position("county", Lane::tele, {});
    uplink::Options options;
    options.enabled = true;
    options.broker = here.broker.uri();
    uplink::Uplink uplink{here.io,
                          here.clock,
                          options,
                          here.topics,
                          *here.journal,
                          {.meta =
                               [] {
                                 return uplink::Hooks::Meta{1, nlohmann::json::object()};
                               },
                           .alarms = [] { return std::vector<Alarm>{}; },
                           .health = [] { return nlohmann::json::object(); },
                           .command = [](contract::Command, const auto&) {}}};
    uplink.start();
    const auto until = Clock::now() + kPatience;
    while (!here.subscriber.complete()) {
      if (Clock::now() > until) return state.SkipWithError("the backlog does not drain");
      here.io.restart();
      here.io.run_one_for(Millis{10});
    }
    uplink.stop();
  }
  state.counters["value"] = here.subscriber.messages_per_second();
}

/// The same payloads from memory through Paho C++ alone, with the same window.
class BarePublisher : public mqtt::callback {
 public:
  explicit BarePublisher(const support::Broker& broker)
      : client_{paho_uri(broker), "bare", mqtt::create_options{MQTTVERSION_5},
                static_cast<mqtt::iclient_persistence*>(nullptr)} {
    client_.set_callback(*this);
    mqtt::connect_options options;
    options.set_mqtt_version(MQTTVERSION_5);
    options.set_clean_start(true);
    client_.connect(options)->wait();
  }
  ~BarePublisher() override { client_.disconnect()->wait(); }

  void publish(const std::string& topic, const std::string& payload) {
    {
      std::unique_lock lock{mutex_};
      room_.wait(lock, [this] { return in_flight_ < kWindow; });
      ++in_flight_;
    }
    client_.publish(topic, payload.data(), payload.size(), 1, false);
  }

 private:
  void delivery_complete(mqtt::delivery_token_ptr) override {
    const std::lock_guard lock{mutex_};
    --in_flight_;
    room_.notify_one();
  }
  mqtt::async_client client_;
  std::mutex mutex_;
  std::condition_variable room_;
  std::size_t in_flight_ = 0;
};

void bare_paho(benchmark::State& state) {
  auto& here = setting();
  for (auto _ : state) {
    here.subscriber.begin();
    BarePublisher publisher{here.broker};
    const std::string topic = here.topics.at("tele");
    for (const auto& payload : here.payloads) publisher.publish(topic, payload);
    if (!here.subscriber.wait()) return state.SkipWithError("the subscriber does not get everything");
  }
  state.counters["value"] = here.subscriber.messages_per_second();
}

}  // namespace

void register_uplink_figures() {
  add({.name = "uplink.drain",
       .unit = "messages/s",
       .ours = &drain,
       .versus = "bare Paho C++, window 20, from memory",
       .theirs = &bare_paho,
       .iterations = 1});
}

}  // namespace hamlet::bench
