#include "tests/support/county.hpp"

#include <charconv>
#include <condition_variable>
#include <csignal>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>
#include <mqtt/async_client.h>
#include <pthread.h>

#include "firmware/core/id.hpp"
#include "tests/support/gunzip.hpp"
#include "tests/support/schemas.hpp"

namespace hamlet::support {

namespace {

constexpr std::chrono::seconds kPatience{10};
constexpr std::chrono::milliseconds kAckEvery{100};
constexpr std::chrono::milliseconds kLook{10};
constexpr std::chrono::milliseconds kTick{20};
constexpr std::size_t kMaxInvalid = 100;

/// The numbers that have come of one lane of one epoch, and what each said.
struct Book {
  County::Lane figures;
  std::unordered_map<std::uint64_t, std::size_t>
      contents;                    // number -> hash of what does not change when it is sent again
  std::set<std::uint64_t> beyond;  // numbers after the first hole

  /// True: it had not come before.
  bool enter(std::uint64_t seq, std::size_t content) {
    ++figures.received;
    const auto [known, fresh] = contents.emplace(seq, content);
    if (!fresh) {
      ++(known->second == content ? figures.duplicates : figures.conflicts);
      return false;
    }
    figures.last = std::max(figures.last, seq);
    beyond.insert(seq);
    while (!beyond.empty() && *beyond.begin() == figures.prefix + 1) {
      ++figures.prefix;
      beyond.erase(beyond.begin());
    }
    figures.missing = figures.last - figures.prefix - beyond.size();
    return true;
  }
};

/// A message without what may differ when it is sent again: when it was dated, and whether it is history by now.
std::size_t content_of(nlohmann::json message) {
  for (const char* key : {"hist", "ts", "tq", "boot", "mono"}) message.erase(key);
  for (const char* list : {"readings"}) {
    if (!message.contains(list)) continue;
    for (auto& reading : message[list]) reading.erase("t");
  }
  message.erase("since");
  return std::hash<std::string>{}(message.dump());
}

/// "{epoch}-{seq}"
std::optional<std::pair<std::string, std::uint64_t>> parse_media_name(std::string_view name) {
  const auto dash = name.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  std::uint64_t seq = 0;
  const auto digits = name.substr(dash + 1);
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), seq);
  if (error != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
  return std::pair{std::string{name.substr(0, dash)}, seq};
}

std::string paho_uri(const std::string& broker) {
  constexpr std::string_view kScheme = "mqtt://";
  return "tcp://" + (broker.starts_with(kScheme) ? broker.substr(kScheme.size()) : broker);
}

/// Whether a message says that it is compressed.
bool says_gzip(const mqtt::message& message) {
  const auto& properties = message.get_properties();
  for (std::size_t i = 0; i < properties.count(mqtt::property::USER_PROPERTY); ++i) {
    const auto pair = mqtt::get<mqtt::string_pair>(properties, mqtt::property::USER_PROPERTY, i);
    if (std::get<0>(pair) == "content-encoding" && std::get<1>(pair) == "gzip") return true;
  }
  return false;
}

/// Where HAMLET_RECORD names a file all that validating counties of this program see goes there, for another validator to read.
std::ofstream* record() {
  static const char* const file = std::getenv("HAMLET_RECORD");  // NOLINT(concurrency-mt-unsafe)
  if (file == nullptr) return nullptr;
  static std::ofstream recorded{file, std::ios::trunc};
  return &recorded;
}

}  // namespace

struct County::Impl {
  explicit Impl(Options the_options)
      : options{std::move(the_options)},
        recorded{options.validate ? record() : nullptr},
        client{paho_uri(options.broker), "county-" + random_hex64(), mqtt::create_options{MQTTVERSION_5},
               static_cast<mqtt::iclient_persistence*>(nullptr)} {
    if (options.validate) schemas = std::make_unique<Schemas>();
    client.set_message_callback([this](const mqtt::const_message_ptr& message) { arrived(*message); });
    client.set_connection_lost_handler([this](const std::string&) {
      const std::lock_guard lock{mutex};
      books.connected = false;
      changed.notify_all();
    });
    session = std::thread{[this] { keep_connected(); }};
  }

  ~Impl() {
    {
      const std::lock_guard lock{mutex};
      stopping = true;
    }
    changed.notify_all();
    session.join();
  }

  // ---- the session, in a thread of its own: Paho's callbacks must not wait for Paho ----

  void keep_connected() {
    sigset_t pipe;  // Paho's threads inherit it
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
    std::unique_lock lock{mutex};
    while (!stopping) {
      if (!books.connected) {
        lock.unlock();
        const bool connected = connect();
        lock.lock();
        if (!connected) changed.wait_for(lock, std::chrono::milliseconds{50}, [this] { return stopping; });
        continue;
      }
      changed.wait_for(lock, kTick, [this] { return stopping || !books.connected; });
      if (stopping || !books.connected) continue;
      const auto now = std::chrono::steady_clock::now();
      if (ack_due && now - acked_at >= kAckEvery) {
        acked_at = now;
        publish_ack(lock);
      }
      tick(lock);
    }
    lock.unlock();
    try {
      if (client.is_connected()) client.disconnect()->wait_for(std::chrono::seconds{1});
    } catch (const mqtt::exception&) {
    }
  }

  bool connect() {
    try {
      mqtt::connect_options connect;
      connect.set_mqtt_version(MQTTVERSION_5);
      connect.set_clean_start(false);  // what comes while we are away is kept for us
      connect.set_properties({{mqtt::property::SESSION_EXPIRY_INTERVAL, 3'600}});
      connect.set_keep_alive_interval(10);
      connect.set_connect_timeout(5);
      if (!client.connect(connect)->wait_for(kPatience)) return false;
      mqtt::subscribe_options as_published;
      as_published.set_retain_as_published(true);
      client.subscribe(options.base + "/#", 1, as_published)->wait_for(kPatience);
      client.subscribe(ticks, 0);
      const std::lock_guard lock{mutex};
      books.connected = true;
      return true;
    } catch (const mqtt::exception&) {
      return false;
    }
  }

  /// A word to ourselves. Paho has one thread for all clients of a process and looks at a new socket only when an old one wakes it, or once a
  /// second: without this every connect of the client under test would take two.
  void tick(std::unique_lock<std::mutex>& lock) {
    lock.unlock();
    try {
      client.publish(ticks, "", 0, 0, false);
    } catch (const mqtt::exception&) {
    }
    lock.lock();
  }

  void publish_ack(std::unique_lock<std::mutex>& lock) {
    ack_due = false;
    nlohmann::json ack = nlohmann::json::object();
    for (const auto& [epoch, lanes] : lane_books) {
      for (const auto lane : contract::kLanes) {
        ack[epoch][contract::to_string(lane)] = lanes[contract::index(lane)].figures.prefix;
      }
    }
    lock.unlock();
    try {
      client.publish(options.base + "/ack", ack.dump(), 1, true);
    } catch (const mqtt::exception&) {  // the next one says the same and more
    }
    lock.lock();
  }

  // ---- what comes ----

  void arrived(const mqtt::message& message) {
    const std::string& topic = message.get_topic();
    if (!topic.starts_with(options.base + "/")) return;
    const std::string below = topic.substr(options.base.size() + 1);
    const bool zipped = says_gzip(message);
    const std::string payload = zipped ? gunzip(message.to_string()) : message.to_string();
    const std::lock_guard lock{mutex};
    if (zipped) ++books.compressed;
    if (zipped != message.to_string().starts_with("\x1f\x8b")) complain(below, "its property and its first bytes tell two things");
    if (below != "tele") return understand(below, payload, message.get_properties());
    std::size_t from = 0;
    for (std::size_t end = 0; end != std::string::npos; from = end + 1) {  // a line, a message
      end = payload.find('\n', from);
      if (end != std::string::npos && !zipped) complain(below, "several messages, and not compressed");
      understand(below, payload.substr(from, end - from), message.get_properties());
    }
  }

  void understand(const std::string& below, const std::string& payload, const mqtt::properties& properties) {
    if (recorded) *recorded << nlohmann::json{{"topic", options.base + "/" + below}, {"payload", below.starts_with("media/") ? "" : payload}}.dump() << "\n" << std::flush;
    if (schemas) {
      if (const auto wrong = schemas->wrong_on(below, payload); !wrong.empty()) complain(below, wrong);
    }
    if (below == "state" || below == "meta" || below == "health") {
      retained_or_health(below, payload);
    } else if (below.starts_with("alarm/")) {
      alarm_snapshot(below.substr(6), payload);
    } else if (below.starts_with("reply/") || below.starts_with("answer/")) {
      books.replies[below.substr(below.find('/') + 1)].push_back(nlohmann::json::parse(payload, nullptr, false));
      if (properties.contains(mqtt::property::CORRELATION_DATA)) {
        answered.push_back(mqtt::get<std::string>(properties, mqtt::property::CORRELATION_DATA));
      }
    } else if (below.starts_with("media/")) {
      picture(below, payload);
    } else if (below == "tele" || below.starts_with("event/") || below.starts_with("alarmlog/")) {
      lane_message(below, payload);
    } else if (below == "ack") {
      books.ack = nlohmann::json::parse(payload, nullptr, false);
    } else if (below.starts_with("cmd/")) {
      books.commands.emplace_back(below.substr(4), nlohmann::json::parse(payload, nullptr, false));
    } else {
      complain(below, "a topic that the contract does not have");
    }
  }

  void retained_or_health(const std::string& below, const std::string& payload) {
    auto json = nlohmann::json::parse(payload, nullptr, false);
    if (!json.is_object()) return complain(below, "not a JSON object");
    if (below == "state") ++books.states;
    (below == "state" ? books.state : below == "meta" ? books.meta : books.health) = std::move(json);
  }

  void alarm_snapshot(const std::string& id, const std::string& payload) {
    if (payload.empty()) {
      books.alarms.erase(id);
      return;
    }
    auto json = nlohmann::json::parse(payload, nullptr, false);
    if (!json.is_object() || json.value("alarm", "") != id) return complain("alarm/" + id, "not its snapshot");
    books.alarms[id] = std::move(json);
  }

  void lane_message(const std::string& below, const std::string& payload) {
    nlohmann::json json;
    const auto message = contract::parse_message(payload, &json);
    if (!message) return complain(below, message.error().message);
    const auto expected = below == "tele"                  ? contract::Lane::tele
                          : below.starts_with("alarmlog/") ? contract::Lane::alarm
                                                           : contract::Lane::event;
    if (message->lane != expected) return complain(below, "of another lane than its topic says");
    auto& book = lane_books[message->epoch][contract::index(message->lane)];
    const bool fresh = book.enter(message->seq, content_of(json));
    if (fresh && json.contains("readings")) books.readings += json["readings"].size();
    enter(below, message->epoch, message->lane, message->seq, message->hist, std::move(json));
  }

  void picture(const std::string& below, const std::string& payload) {
    const auto name = parse_media_name(below.substr(6));
    if (!name) return complain(below, "expected media/EPOCH-NUMBER");
    auto& book = lane_books[name->first][contract::index(contract::Lane::media)];
    if (book.enter(name->second, std::hash<std::string>{}(payload))) books.media_bytes += payload.size();
    enter(below, name->first, contract::Lane::media, name->second, false, nullptr);
  }

  void enter(const std::string& below, const std::string& epoch, contract::Lane lane, std::uint64_t seq, bool hist,
             nlohmann::json json) {
    ack_due = options.acknowledge;
    if (!options.keep_messages && !options.on_arrival) return;
    Arrival arrival{epoch, lane, seq, below, hist, std::chrono::steady_clock::now(), std::move(json)};
    if (options.on_arrival) options.on_arrival(arrival);
    if (options.keep_messages) books.messages.push_back(std::move(arrival));
  }

  void complain(const std::string& below, std::string_view what) {
    if (books.invalid.size() < kMaxInvalid) books.invalid.push_back(fmt::format("{}: {}", below, what));
  }

  /// Under the lock.
  [[nodiscard]] Snapshot snapshot() const {
    Snapshot copy = books;
    for (const auto& [epoch, lanes] : lane_books) {
      auto& figures = copy.epochs[epoch];
      for (std::size_t lane = 0; lane < lanes.size(); ++lane) figures.at(lane) = lanes.at(lane).figures;
    }
    return copy;
  }

  const Options options;
  std::unique_ptr<Schemas> schemas;
  std::ofstream* const recorded;
  mutable std::mutex mutex;
  std::condition_variable changed;                                           // connected or stopping
  Snapshot books;                                                            // guarded by mutex, as what follows
  std::map<std::string, std::array<Book, contract::kLaneCount>> lane_books;  // by epoch
  std::vector<std::string> answered;
  bool ack_due = false;
  std::chrono::steady_clock::time_point acked_at{};  // the session's thread alone
  bool stopping = false;
  mqtt::async_client client;
  const std::string ticks = "tick/" + client.get_client_id();
  std::thread session;
};

County::County(Options options) : impl_{std::make_unique<Impl>(std::move(options))} {
  if (!wait_until([](const Snapshot& now) { return now.connected; }, kPatience)) {
    throw std::runtime_error("the county cannot connect to " + impl_->options.broker);
  }
}

County::~County() = default;

County::Snapshot County::snapshot() const {
  const std::lock_guard lock{impl_->mutex};
  return impl_->snapshot();
}

bool County::wait_until(const std::function<bool(const Snapshot&)>& done, std::chrono::milliseconds deadline) const {
  const auto until = std::chrono::steady_clock::now() + deadline;
  while (!done(snapshot())) {
    if (std::chrono::steady_clock::now() >= until) return false;
    std::this_thread::sleep_for(kLook);
  }
  return true;
}

void County::publish(const std::string& topic, const std::string& payload, bool retained) {
  auto token = impl_->client.publish(impl_->options.base + "/" + topic, payload.data(), payload.size(), 1, retained);
  if (!token->wait_for(std::chrono::seconds{5})) throw std::runtime_error("no PUBACK for " + topic);
}

void County::request(const std::string& topic, const std::string& payload, const std::string& response_topic,
                     const std::string& correlation) {
  const mqtt::properties properties{{mqtt::property::RESPONSE_TOPIC, impl_->options.base + "/" + response_topic},
                                    {mqtt::property::CORRELATION_DATA, correlation}};
  auto token = impl_->client.publish(
      mqtt::message::create(impl_->options.base + "/" + topic, payload.data(), payload.size(), 1, false, properties));
  if (!token->wait_for(std::chrono::seconds{5})) throw std::runtime_error("no PUBACK for " + topic);
}

std::vector<std::string> County::correlations() const {
  const std::lock_guard lock{impl_->mutex};
  return impl_->answered;
}

County::Lane County::Snapshot::total(contract::Lane lane) const {
  Lane sum;
  for (const auto& [epoch, lanes] : epochs) {
    const Lane& one = lanes[contract::index(lane)];
    sum.received += one.received;
    sum.duplicates += one.duplicates;
    sum.conflicts += one.conflicts;
    sum.prefix += one.prefix;
    sum.last += one.last;
    sum.missing += one.missing;
  }
  return sum;
}

std::string County::Snapshot::to_string() const {
  std::string text = fmt::format("{:<8}{:>12}{:>12}{:>12}{:>12}\n", "lane", "up to", "received", "twice", "missing");
  for (const auto lane : contract::kLanes) {
    const Lane sum = total(lane);
    text += fmt::format("{:<8}{:>12}{:>12}{:>12}{:>12}\n", contract::to_string(lane), sum.last, sum.received,
                        sum.duplicates, sum.missing);
  }
  return text;
}

}  // namespace hamlet::support
