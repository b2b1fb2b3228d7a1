// From the journal to a subscriber: how fast, how soon, how many bytes, how much memory.
//
// Environment: HAMLET_BENCH_READINGS (200000) of the backlogs in .readings, .alarm_p99, .first_*: 1000000 for the figures proper;
// HAMLET_BENCH_BACKLOG (1000000) readings in .rss: 10000000 for the figure proper, minutes; HAMLET_BENCH_ALARMS (3) a run in .alarm_2g.

#include "sync/uplink/uplink.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <arpa/inet.h>
#include <fmt/format.h>
#include <mqtt/async_client.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/bench/bench.hpp"
#include "tests/support/broker.hpp"
#include "tests/support/gunzip.hpp"
#include "tests/support/movable_clock.hpp"
#include "tests/support/process.hpp"
#include "tests/support/proxy.hpp"

namespace hamlet::bench::uplink_suite {

namespace {

using Clock = std::chrono::steady_clock;
using contract::Lane;
using support::Broker;
using support::Proxy;

constexpr std::uint64_t kMessages = 20'000;
constexpr std::size_t kWindow = 20;
constexpr std::size_t kBatch = 200;  // readings in a message, as the daemon has it at most
constexpr std::chrono::seconds kPatience{300};
constexpr double kHeaders = 52;  // bytes of TCP/IP a packet. A message is one or more, its PUBACK another; the ack of that goes with the next message, or alone
constexpr double kSegment = 1'448;  // bytes in a packet

double setting(const char* name, double otherwise) {
  const char* text = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): before threads read it
  return text == nullptr ? otherwise : std::strtod(text, nullptr);
}

std::string paho_uri(const Broker& broker) {
  return "tcp://127.0.0.1:" + std::to_string(broker.port());
}

double seconds_between(Clock::time_point from, Clock::time_point to) { return std::chrono::duration<double>(to - from).count(); }

/// Counts what arrives, and notes when. As little MQTT 3.1.1 as that takes, on a socket and a thread of its own: another Paho client in this
/// process would share its one lock and its one second of polling with the one that is measured.
class Subscriber {
 public:
  Subscriber(const Broker& broker, const std::string& topic) : fd_{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)} {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(broker.port());
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int yes = 1;
    ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) throw std::runtime_error("the subscriber cannot connect");
    using namespace std::string_literals;
    const auto text = [](const std::string& it) { return std::string{static_cast<char>(it.size() >> 8), static_cast<char>(it.size())} + it; };
    const auto packet = [&](char type, const std::string& body) { send_all(std::string{type, static_cast<char>(body.size())} + body); };
    packet('\x10', text("MQTT") + "\x04\x02\x00\x00"s + text("subscriber"));
    packet('\x82', "\x00\x01"s + text(topic) + "\x01");
    std::string answers(4 + 5, '\0');  // CONNACK, SUBACK
    for (std::size_t got = 0; got < answers.size();) {
      const auto some = ::recv(fd_, answers.data() + got, answers.size() - got, 0);
      if (some <= 0) throw std::runtime_error("the broker does not answer the subscriber");
      got += static_cast<std::size_t>(some);
    }
    thread_ = std::thread{[this] { read(); }};
  }
  ~Subscriber() {
    ::shutdown(fd_, SHUT_RDWR);
    thread_.join();
    ::close(fd_);
  }
  Subscriber(const Subscriber&) = delete;
  Subscriber& operator=(const Subscriber&) = delete;

  void begin() {
    const std::lock_guard lock{mutex_};
    count_ = records_ = 0;
    alarms_.clear();
    first_tele_seq_.clear();
  }
  /// Messages of `tele`.
  [[nodiscard]] std::uint64_t count() {
    const std::lock_guard lock{mutex_};
    return count_;
  }
  /// Records in them: a line each.
  [[nodiscard]] std::uint64_t records() {
    const std::lock_guard lock{mutex_};
    return records_;
  }
  [[nodiscard]] bool wait(std::uint64_t count) {
    const auto until = Clock::now() + kPatience;
    while (this->count() < count) {
      if (Clock::now() > until) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds{2});
    }
    return true;
  }
  [[nodiscard]] double messages_per_second() {
    const std::lock_guard lock{mutex_};
    return static_cast<double>(count_ - 1) / seconds_between(first_, last_);
  }
  /// When each alarm came, in order.
  [[nodiscard]] std::vector<Clock::time_point> alarms() {
    const std::lock_guard lock{mutex_};
    return alarms_;
  }
  /// When the reading with this number came.
  [[nodiscard]] std::optional<Clock::time_point> came(std::uint64_t seq) {
    const std::lock_guard lock{mutex_};
    const auto found = first_tele_seq_.find(seq);
    return found == first_tele_seq_.end() ? std::nullopt : std::optional{found->second};
  }
  /// Notes the numbers of `tele` messages, which costs.
  void note_numbers() {
    const std::lock_guard lock{mutex_};
    numbers_ = true;
  }

 private:
  void send_all(const std::string& bytes) const { (void)!::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL); }

  void read() {
    std::string in;
    std::string chunk(64 * 1'024, '\0');
    for (;;) {
      const auto some = ::recv(fd_, chunk.data(), chunk.size(), 0);
      if (some <= 0) return;
      in.append(chunk, 0, static_cast<std::size_t>(some));
      std::size_t done = 0;
      std::string acks;
      while (const auto size = take(std::string_view{in}.substr(done), acks)) done += size;
      in.erase(0, done);
      if (!acks.empty()) send_all(acks);
    }
  }

  /// One packet from the front: its size, 0 where it is not whole yet.
  std::size_t take(std::string_view in, std::string& acks) {
    std::size_t length = 0, head = 1;
    for (unsigned shift = 0;; shift += 7, ++head) {
      if (in.size() <= head) return 0;
      length |= (static_cast<std::size_t>(in[head]) & 0x7f) << shift;
      if ((in[head] & 0x80) == 0) break;
    }
    const auto size = ++head + length;
    if (in.size() < size) return 0;
    const auto type = static_cast<std::uint8_t>(in[0]);
    if (type >> 4 == 3) {
      const auto body = in.substr(head, length);
      const auto topic = static_cast<std::size_t>(static_cast<std::uint8_t>(body[0]) << 8 | static_cast<std::uint8_t>(body[1]));
      const bool answered = (type & 6) != 0;
      if (answered) acks.append("\x40\x02").append(body.substr(2 + topic, 2));
      arrived(body.substr(2, topic), body.substr(2 + topic + (answered ? 2 : 0)));
    }
    return size;
  }

  void arrived(std::string_view topic, std::string_view payload) {
    const auto now = Clock::now();
    const std::lock_guard lock{mutex_};
    if (topic.ends_with("/tele")) {
      if (count_++ == 0) first_ = now;
      last_ = now;
      ++records_;
      if (payload.starts_with("\x1f\x8b")) records_ += static_cast<std::uint64_t>(std::ranges::count(support::gunzip(std::string{payload}), '\n'));
      if (!numbers_) return;
      const std::string front{payload.substr(0, 200)};
      first_tele_seq_.emplace(std::strtoull(front.c_str() + front.find("\"seq\":") + 6, nullptr, 10), now);
    } else if (topic.find("/alarmlog/") != std::string_view::npos) {
      alarms_.push_back(now);
    }
  }

  const int fd_;
  std::mutex mutex_;
  std::uint64_t count_ = 0;
  std::uint64_t records_ = 0;
  bool numbers_ = false;
  std::vector<Clock::time_point> alarms_;
  std::map<std::uint64_t, Clock::time_point> first_tele_seq_;
  Clock::time_point first_;
  Clock::time_point last_;
  std::thread thread_;
};

/// A journal, a broker that keeps all, a subscriber, a link with faults where it is asked for.
struct Scene {
  explicit Scene(const std::string& below = "#", const std::string& config = "") : broker{"max_queued_messages 0\n" + config}, subscriber{broker, topics.at(below)} {
    journal = journal::Journal::open(io, clock,
                                     {.directory = folder.path(),
                                      .window = Millis{1'000},
                                      .machine_id = std::string(32, 'a'),
                                      .boot_id = std::string(32, 'b'),
                                      .quota_bytes = 1ULL << 40})
                  .value();
    journal->on_committed([this] {
      if (uplink) uplink->committed();
    });
  }
  ~Scene() { stop(); }

  void append(std::span<const Reading> readings) {
    (void)journal->append(Lane::tele, clock.mono(), contract::encode_readings(readings, clock.mono(), &journal->names()), journal::Urgency::window).value();
  }
  void commit() {
    bool durable = false;
    journal->sync([&](const Status& status) { durable = status.has_value(); });
    run_until([&] { return durable; });
  }
  /// So many readings, in batches of kBatch; returns how many batches.
  std::uint64_t fill(std::uint64_t readings) {
    std::mt19937_64 random{1};  // NOLINT(cert-msc51-cpp): the same each time
    std::vector<Reading> batch;
    for (std::size_t i = 0; i < kBatch; ++i) batch.push_back({.point = fmt::format("station-{}.level-{}", i / 5 % 10, i % 5), .value = 2.0});
    for (std::uint64_t i = 0; i < readings / kBatch; ++i) {
      for (auto& reading : batch) {
        reading.at = clock.mono();
        reading.value = static_cast<double>(random() % 1'000) / 100;
      }
      append(batch);
      if (i % 100 == 99) commit();
    }
    commit();
    return journal->committed(Lane::tele);
  }
  void raise() {
    const Alarm alarm{.id = "level-high", .occurrence = 1, .state = AlarmState::unacked, .severity = Severity::major, .since = {journal->boot(), clock.mono()},
                      .value = 3.5, .limit = 3.0, .text = {"水位高", "level high"}, .sources = {"river.level"}};
    (void)journal->append(Lane::alarm, clock.mono(), contract::encode_alarm(alarm, {journal->boot(), clock.mono()}), journal::Urgency::now);
  }

  void start(const std::string& uri, std::function<void(uplink::Options&)> change = {}) {
    uplink::Options options;
    options.enabled = true;
    options.broker = uri;
    options.backoff_base = Millis{50};
    options.health_every = std::chrono::hours{1};
    if (change) change(options);
    uplink = std::make_unique<uplink::Uplink>(io, clock, options, topics, *journal,
                                              uplink::Hooks{.meta = [] { return uplink::Hooks::Meta{1, nlohmann::json::object()}; },
                                                            .alarms = [] { return std::vector<Alarm>{}; },
                                                            .health = [] { return nlohmann::json::object(); },
                                                            .command = [](contract::Command, const auto&) {}});
    uplink->start();
  }
  void stop() {
    if (uplink) uplink->stop();
    uplink.reset();
  }
  template <class Done>
  bool run_until(Done done, Millis patience = kPatience) {
    const auto until = Clock::now() + patience;
    while (!done()) {
      if (Clock::now() > until) return false;
      io.restart();
      io.run_one_for(Millis{5});
    }
    return true;
  }
  [[nodiscard]] std::uint64_t pending() const {
    std::uint64_t sum = 0;
    for (const auto lane : {Lane::alarm, Lane::tele}) {
      for (const auto& gap : journal->position("county", lane).pending(journal->committed(lane))) sum += gap.to - gap.from + 1;
    }
    return sum;
  }

  support::TempDir folder{support::TempDir::On::memory};
  boost::asio::io_context io;
  support::MovableClock clock;
  const contract::Topics topics = contract::Topics::from_division("430124104203", "gw-0017").value();
  std::unique_ptr<journal::Journal> journal;
  std::unique_ptr<uplink::Uplink> uplink;
  Broker broker;
  Subscriber subscriber;
};

// ---- .drain, .tls: messages of one reading, made once for all runs of both sides -----------------------------------------

struct Secrets {
  /// A second listener, by TLS, with a certificate of its own.
  std::string tls_config() {
    tls_port = support::free_port();
    const auto command = fmt::format("openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost "
                                     "-keyout {0}/tls.key -out {0}/tls.pem 2>/dev/null", secrets.path().string());
    if (std::system(command.c_str()) != 0) return "";  // NOLINT(concurrency-mt-unsafe)
    return fmt::format("listener {0} 127.0.0.1\ncertfile {1}/tls.pem\nkeyfile {1}/tls.key\n", tls_port, secrets.path().string());
  }
  std::uint16_t tls_port = 0;
  support::TempDir secrets;
};

struct Drain : Secrets, Scene {
  Drain() : Scene{"tele", tls_config()} {
    const contract::DateFunction date = [this](Moment moment) { return journal->date(moment); };
    for (std::uint64_t i = 0; i < kMessages; ++i) {
      const Reading reading{.point = "river.level", .at = clock.mono(), .value = 2.0 + static_cast<double>(i % 100) / 100};
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
    commit();
  }
  static Drain& it() {
    static Drain drain;
    return drain;
  }

  std::vector<std::string> payloads;
};

/// Journal to subscriber: read, rendered, published, its position kept.
void drain_to(benchmark::State& state, const std::string& uri) {
  auto& here = Drain::it();
  for (auto _ : state) {
    here.subscriber.begin();
    here.journal->set_position("county", Lane::tele, {});
    here.start(uri, [&](auto& options) { options.tls.ca = here.secrets.path() / "tls.pem"; });
    if (!here.run_until([&] { return here.subscriber.count() >= kMessages; })) return state.SkipWithError("the backlog does not drain");
    here.stop();
  }
  state.counters["value"] = here.subscriber.messages_per_second();
}
void drain(benchmark::State& state) { drain_to(state, Drain::it().broker.uri()); }
void drain_tls(benchmark::State& state) { drain_to(state, fmt::format("mqtts://localhost:{}", Drain::it().tls_port)); }

/// The same payloads from memory through Paho C++ alone, with the same window.
class BarePublisher : public mqtt::callback {
 public:
  explicit BarePublisher(const Broker& broker)
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
  auto& here = Drain::it();
  for (auto _ : state) {
    here.subscriber.begin();
    BarePublisher publisher{here.broker};
    const std::string topic = here.topics.at("tele");
    for (const auto& payload : here.payloads) publisher.publish(topic, payload);
    if (!here.subscriber.wait(kMessages)) return state.SkipWithError("the subscriber does not get everything");
  }
  state.counters["value"] = here.subscriber.messages_per_second();
}

// ---- .readings, .alarm_p99, .first_alarm, .first_live ---------------------------------------------------------------------

struct Large : Scene {
  Large() : batches{fill(static_cast<std::uint64_t>(setting("HAMLET_BENCH_READINGS", 200'000)))} {}
  void begin() {
    subscriber.begin();
    journal->set_position("county", Lane::tele, {});
    journal->set_position("county", Lane::alarm, {.prefix = journal->committed(Lane::alarm)});
  }
  static Large& it() {
    static Large large;
    return large;
  }
  std::uint64_t batches;
};

void readings(benchmark::State& state) {
  auto& here = Large::it();
  for (auto _ : state) {
    here.begin();
    here.start(here.broker.uri());
    if (!here.run_until([&] { return here.subscriber.count() >= here.batches; })) return state.SkipWithError("the backlog does not drain");
    here.stop();
  }
  state.counters["value"] = here.subscriber.messages_per_second() * kBatch;
}

/// An alarm each 10 ms while the backlog drains.
void alarm_p99(benchmark::State& state) {
  auto& here = Large::it();
  std::vector<double> took;
  for (auto _ : state) {
    here.begin();
    here.start(here.broker.uri());
    if (!here.run_until([&] { return here.subscriber.count() > 0; })) return state.SkipWithError("nothing comes");
    std::vector<Clock::time_point> raised;
    auto due = Clock::now();
    const bool drained = here.run_until([&] {
      if (Clock::now() >= due && here.subscriber.count() < here.batches) {
        here.raise();
        raised.push_back(Clock::now());
        due += std::chrono::milliseconds{10};
      }
      return here.subscriber.count() >= here.batches;
    });
    if (!drained || !here.run_until([&] { return here.subscriber.alarms().size() >= raised.size(); })) return state.SkipWithError("an alarm does not come");
    const auto came = here.subscriber.alarms();
    for (std::size_t i = 0; i < raised.size(); ++i) took.push_back(1'000 * seconds_between(raised[i], came[i]));
    here.stop();
  }
  std::sort(took.begin(), took.end());
  state.counters["value"] = took.empty() ? NAN : took[took.size() * 99 / 100];
}

/// From the attempt to connect on: what was raised, and read, last while the link was down.
void first(benchmark::State& state, bool alarm) {
  auto& here = Large::it();
  double value = NAN;
  for (auto _ : state) {
    here.begin();
    here.subscriber.note_numbers();
    here.raise();
    here.commit();
    const auto newest = here.journal->committed(Lane::tele);
    const auto began = Clock::now();
    here.start(here.broker.uri());
    std::optional<Clock::time_point> came;
    const bool seen = here.run_until([&] {
      const auto alarms = here.subscriber.alarms();
      came = alarm ? (alarms.empty() ? std::nullopt : std::optional{alarms.front()}) : here.subscriber.came(newest);
      return came.has_value();
    });
    here.stop();
    if (!seen) return state.SkipWithError("it does not come");
    value = seconds_between(began, *came);
  }
  state.counters["value"] = value;
}

// ---- .alarm_2g, .wire_*: the reference village's readings -------------------------------------------------------------------

/// 10 devices with 5 points each: those of two each 5 s, the others' each 60 s.
class Village {
 public:
  Village() {
    for (std::size_t i = 0; i < 50; ++i) {
      points_.push_back({fmt::format("station-{}.{}-{}", i / 5, kNames.at(i % 5), i), 2'000, std::pow(10, 1 + i % 3)});
    }
  }
  /// What comes in the next window.
  std::vector<Reading> window(Scene& scene, int seconds) {
    std::vector<Reading> out;
    for (const int until = second_ + seconds; second_ < until; ++second_) {
      for (std::size_t i = 0; i < points_.size(); ++i) {
        if (i % 5 == 0) polled_ = scene.clock.mono() - std::chrono::seconds{until - second_} - Millis{static_cast<int>(random_() % 400)};
        const bool now = i < 10 ? second_ % 5 == static_cast<int>(i / 5) : second_ % 60 == static_cast<int>(i / 5 * 5 + 3);
        if (!now) continue;
        auto& point = points_[i];
        point.value += std::round(walk_(random_));
        out.push_back({.point = point.name, .at = polled_, .value = point.value / point.scale});
      }
    }
    return out;
  }

 private:
  static constexpr std::array kNames{"level", "flow", "rain", "temperature", "pressure"};
  struct Point {
    std::string name;
    double value, scale;
  };
  std::vector<Point> points_;
  int second_ = 0;
  MonoTime polled_{};
  std::mt19937_64 random_{7};  // NOLINT(cert-msc51-cpp): the same each time
  std::normal_distribution<double> walk_{0, 3};
};

/// 30 kbit/s, 800 ms each way, a backlog of the village's batches of 10 s. The longest of a few alarms.
void alarm_2g(benchmark::State& state) {
  Scene here;
  Proxy link{here.broker.port()};
  Village village;
  for (int i = 0; i < 2'000; ++i) here.append(village.window(here, 10));
  here.commit();
  double longest = 0;
  for (auto _ : state) {
    link.rate(30'000);
    link.delay(Millis{800});
    here.start(link.uri());
    std::mt19937 random{static_cast<unsigned>(Clock::now().time_since_epoch().count())};
    (void)here.run_until([&] { return here.subscriber.count() >= 20; });
    for (int i = 0; i < static_cast<int>(setting("HAMLET_BENCH_ALARMS", 3)); ++i) {
      const auto wait = Clock::now() + std::chrono::milliseconds{3'000 + random() % 1'000};
      (void)here.run_until([&] { return Clock::now() > wait; });
      const auto before = here.subscriber.alarms().size();
      const auto raised = Clock::now();
      here.raise();
      if (!here.run_until([&] { return here.subscriber.alarms().size() > before; })) return state.SkipWithError("an alarm does not come");
      longest = std::max(longest, seconds_between(raised, here.subscriber.alarms().back()));
    }
    link.cut();
    here.stop();
  }
  state.counters["value"] = longest;
}

/// The bar: the round trip, and two of those messages at 30 kbit/s.
void round_trip_and_two(benchmark::State& state) {
  Scene here;
  Village village;
  (void)village.window(here, 60);
  for (auto _ : state) {
    const auto batch = village.window(here, 10);
    here.append(batch);
  }
  const auto batch = village.window(here, 10);
  const auto body = contract::encode_readings(batch, here.clock.mono());
  const auto payload = contract::render(body, {.gw = "gw-0017", .epoch = here.journal->epoch(), .seq = 1, .at = {here.journal->boot(), here.clock.mono()}},
                                        [&](Moment moment) { return here.journal->date(moment); }).value();
  state.counters["value"] = 1.6 + 2 * static_cast<double>(payload.size() + 100) * 8 / 30'000;
}

/// Bytes a reading, compressed: MQTT both ways as the proxy counts it, and the headers of TCP/IP.
void wire(benchmark::State& state, int window, bool live) {
  double value = NAN;
  for (auto _ : state) {
    Scene here;
    Proxy link{here.broker.port()};
    Village village;
    const auto compressed = [](auto& options) {
      options.compress = true;
      options.protocol = wire::MqttProtocol::v5;
    };
    std::uint64_t count = 0, records = 0;
    const auto append = [&] {
      const auto batch = village.window(here, window);
      count += batch.size();
      ++records;
      here.append(batch);
    };
    (void)village.window(here, 60);
    if (!live) {
      for (int i = 0; i < 3'600 / window; ++i) {
        here.clock.advance(std::chrono::seconds{window});
        append();
      }
      here.commit();
    }
    here.start(link.uri(), compressed);
    if (live && !here.run_until([&] { return here.uplink->status()["state"] == "online"; })) return state.SkipWithError("no link");
    const auto before = live ? link.counts() : Proxy::Counts{};
    for (int i = 0; live && i < 100; ++i) {
      append();
      here.commit();
      if (!here.run_until([&] { return here.subscriber.records() >= records; })) return state.SkipWithError("a message does not come");
    }
    if (!here.run_until([&] { return here.subscriber.records() >= records && here.pending() == 0; })) return state.SkipWithError("the backlog does not drain");
    const auto after = link.counts();
    const auto up = static_cast<double>(after.bytes_up - before.bytes_up), down = static_cast<double>(after.bytes_down - before.bytes_down);
    const auto messages = static_cast<double>(here.subscriber.count());
    const auto packets = messages * (std::ceil(up / messages / kSegment) + (live ? 2 : 1));
    const auto bytes = up + down + packets * kHeaders;
    value = bytes / static_cast<double>(count);
    here.stop();
  }
  state.counters["value"] = value;
}

// ---- .rss, .rss_vs_mosquitto ------------------------------------------------------------------------------------------------

double megabytes(pid_t pid, const char* field) {
  std::ifstream file{fmt::format("/proc/{}/status", pid)};
  for (std::string word; file >> word;) {
    if (word != field) continue;
    double kilobytes = 0;
    file >> kilobytes;
    return kilobytes * 1'024 / 1e6;
  }
  return NAN;
}

std::uint64_t backlog() { return static_cast<std::uint64_t>(setting("HAMLET_BENCH_BACKLOG", 1'000'000)); }

/// hamletd itself, with nothing but a backlog: its peak from the start until a tenth of it is sent.
void rss(benchmark::State& state) {
  const auto hamletd = std::filesystem::read_symlink("/proc/self/exe").parent_path().parent_path() / "bin/hamletd";
  double value = NAN;
  for (auto _ : state) {
    support::TempDir folder;
    std::uint64_t batches = 0;
    {
      Scene maker;
      batches = maker.fill(backlog());
      maker.journal->stop();
      std::filesystem::copy(maker.folder.path(), folder.path() / "state", std::filesystem::copy_options::recursive);
    }
    Broker broker{"max_queued_messages 0"};
    Subscriber subscriber{broker, "hamlet/v1/430124/104/203/gw-0017/tele"};
    std::ofstream{folder.path() / "hamlet.toml"} << fmt::format(
        "[gateway]\nid = \"gw-0017\"\ndivision = \"430124104203\"\nstate_dir = \"{0}/state\"\nrun_dir = \"{0}\"\nstart_eyes = false\n"
        "[journal]\nquota_mb = 100000\n[uplink]\nbroker = \"{1}\"\n", folder.path().string(), broker.uri());
    support::Process daemon{{hamletd.string(), "--config", (folder.path() / "hamlet.toml").string()}, folder.path() / "log"};
    if (!subscriber.wait(batches / 10)) return state.SkipWithError(daemon.log().c_str());
    value = megabytes(daemon.pid(), "VmHWM:");
  }
  state.counters["value"] = value;
}

/// A broker whose bridge is down, holding the same messages.
void mosquitto_bridge(benchmark::State& state) {
  double value = NAN;
  for (auto _ : state) {
    Scene maker{"nothing"};
    const auto batches = maker.fill(backlog());
    // A bridge to nobody; its queue has no bound. What it is given is what hamletd would have published.
    Broker bridge{fmt::format("connection county\naddress 127.0.0.1:1\ntopic # out 1\ncleansession false\nmax_queued_messages 0\n")};
    maker.start(bridge.uri());
    if (!maker.run_until([&] { return maker.journal->position("county", Lane::tele).prefix >= batches; })) return state.SkipWithError("mosquitto does not take it");
    value = megabytes(bridge.pid(), "VmHWM:");
    maker.stop();
  }
  state.counters["value"] = value;
}

void add_figure(const std::string& name, const std::string& unit, std::function<void(benchmark::State&)> ours, const std::string& versus = {},
                std::function<void(benchmark::State&)> theirs = {}) {
  add({.name = "uplink." + name, .unit = unit, .ours = std::move(ours), .versus = versus, .theirs = std::move(theirs), .iterations = 1});
}

}  // namespace

void register_figures() {
  add_figure("drain", "messages/s", &drain, "bare Paho C++, window 20, from memory", &bare_paho);
  add_figure("tls", "messages/s", &drain_tls, "without TLS", &drain);
  add_figure("readings", "readings/s", &readings);
  add_figure("alarm_p99", "ms", &alarm_p99);
  add_figure("first_alarm", "s", [](auto& state) { first(state, true); });
  add_figure("first_live", "s", [](auto& state) { first(state, false); });
  add_figure("alarm_2g", "s", &alarm_2g, "round trip + 2 messages", &round_trip_and_two);
  add_figure("wire_live", "bytes a reading", [](auto& state) { wire(state, 10, true); });
  add_figure("wire_backlog", "bytes a reading", [](auto& state) { wire(state, 10, false); });
  add_figure("wire_backlog_60s", "bytes a reading", [](auto& state) { wire(state, 60, false); });
  add_figure("rss", "MB", &rss, "mosquitto's bridge, the same messages", &mosquitto_bridge);
}

}  // namespace hamlet::bench::uplink_suite
