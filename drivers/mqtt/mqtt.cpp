#include "drivers/mqtt/mqtt.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <deque>
#include <random>
#include <set>
#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <fmt/format.h>

#include "drivers/mqtt/payload.hpp"
#include "drivers/recorder.hpp"
#include "drivers/texts.hpp"
#include "firmware/core/id.hpp"
#include "firmware/wire/mqtt_client.hpp"

namespace hamlet::drivers::mqtt {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using namespace std::string_view_literals;
using nlohmann::json;

constexpr std::array kKinds{"json"sv, "chirpstack"sv, "zigbee2mqtt"sv, "tasmota"sv};
enum class Kind { plain, chirpstack, zigbee2mqtt, tasmota };  // as kKinds
constexpr std::array kTypes{"number"sv, "boolean"sv, "text"sv};  // as ValueType

constexpr std::size_t kRemembered = 32;  // ids of messages, against those that come twice

struct Point {
  std::string name;
  std::string topic;  ///< filter of the messages that it is in
  Rule rule;
};

struct Settings {
  wire::MqttOptions broker;
  Kind kind = Kind::plain;
  std::string device;  ///< DevEUI in lower case; of chirpstack
  std::vector<std::string> availability;  ///< topics; the device is there when all that spoke say so
  Millis silence{};                       ///< without a message; 0: may be silent for ever
  bool take_retained = false;
  std::vector<Point> points;

  [[nodiscard]] std::string describe() const { return fmt::format("{}:{}", broker.broker.host, broker.broker.port); }
};

/// One connection to a broker, for all devices behind it. Io thread only.
class Connection {
 public:
  class Listener {
   public:
    virtual ~Listener() = default;
    virtual void on_link(const Error* why) = 0;  ///< null: connected and subscribed
    virtual void on_message(const wire::MqttMessage& message) = 0;
  };

  Connection(asio::io_context& io, wire::MqttOptions options)
      : pause_{io}, client_{io, std::move(options), handlers()} {}
  ~Connection() { client_.stop(); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void add(Listener& listener, const std::set<std::string>& filters) {
    listeners_.push_back(&listener);
    std::vector<std::string> fresh;
    for (const auto& each : filters) {
      if (filters_.insert(each).second) fresh.push_back(each);
    }
    if (!std::exchange(begun_, true)) return client_.connect();
    if (!connected_) return;
    if (!fresh.empty()) client_.subscribe(std::move(fresh));
    listener.on_link(nullptr);
  }
  void remove(Listener& listener) { std::erase(listeners_, &listener); }

 private:
  wire::MqttHandlers handlers() {
    return {.connected = [this](const wire::MqttSession&) { on_connected(); },
            .disconnected = [this](const Error& why) { on_disconnected(why); },
            .acked = [](std::span<const wire::MqttAck>) {},
            .message = [this](const wire::MqttMessage& message) {
              for (auto* each : std::vector(listeners_)) each->on_message(message);
            }};
  }

  void on_connected() {
    connected_ = true;
    failures_ = 0;
    client_.subscribe({filters_.begin(), filters_.end()});
    for (auto* each : std::vector(listeners_)) each->on_link(nullptr);
  }

  void on_disconnected(const Error& why) {
    connected_ = false;
    for (auto* each : std::vector(listeners_)) each->on_link(&why);
    const auto doubled = Millis{1000} * (1 << std::min(failures_++, 5U));
    const auto chance = std::uniform_real_distribution{0.75, 1.0}(random_);
    pause_.expires_after(std::chrono::duration_cast<Millis>(std::min<Millis>(doubled, 30s) * chance));
    pause_.async_wait([weak = std::weak_ptr{alive_}](const boost::system::error_code& error) {
      if (const auto self = weak.lock(); self && !error) (*self)->client_.connect();
    });
  }

  asio::steady_timer pause_;
  std::vector<Listener*> listeners_;
  std::set<std::string> filters_;
  bool begun_ = false;
  bool connected_ = false;
  unsigned failures_ = 0;
  std::minstd_rand random_{std::random_device{}()};
  const std::shared_ptr<Connection*> alive_ = std::make_shared<Connection*>(this);
  wire::MqttClient client_;  // last: its handlers use the rest
};

class MqttDevice final : public Device, public Connection::Listener, public std::enable_shared_from_this<MqttDevice> {
 public:
  MqttDevice(Settings settings, const Surroundings& around)
      : settings_{std::move(settings)},
        clock_{around.clock},
        report_{around.report},
        recorder_{around.recorder},
        begin_{around.io},
        silence_{around.io},
        connection_{around.commons.get<Connection>(
            fmt::format("mqtt {} {}", settings_.describe(), settings_.broker.user),
            [&] { return std::make_shared<Connection>(around.io, settings_.broker); })} {}
  ~MqttDevice() override { stop(); }

  void start() override {
    begin_.expires_after(0s);
    begin_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
      const auto self = weak.lock();
      if (!error && self && !self->stopped_) self->begin();
    });
  }

  void stop() override {
    if (std::exchange(stopped_, true)) return;
    begin_.cancel();
    silence_.cancel();
    connection_->remove(*this);
    connection_.reset();
  }

  void on_link(const Error* why) override {
    if (why == nullptr) return await_message();
    silence_.cancel();
    offline_.clear();
    report_.failed("no-broker", fmt::format("broker {}: {}", settings_.describe(), why->message));
  }

  void on_message(const wire::MqttMessage& message) override {
    const auto& topics = settings_.availability;
    if (std::find(topics.begin(), topics.end(), message.topic) != topics.end()) return take_availability(message);
    if (message.retained && !settings_.take_retained) return;  // old: it neither is a reading nor says that the device lives
    if (is_ours(message.topic)) take_payload(message);
  }

 private:
  void begin() {
    std::set<std::string> filters(settings_.availability.begin(), settings_.availability.end());
    for (const auto& point : settings_.points) filters.insert(point.topic);
    connection_->add(*this, filters);
  }

  // ChirpStack's topics have the device in the fourth level, in either case.
  [[nodiscard]] bool is_ours(const std::string& topic) const {
    if (settings_.kind == Kind::chirpstack) {
      const auto at = topic.find("/device/");
      auto device = at == std::string::npos ? "" : topic.substr(at + 8, topic.find('/', at + 8) - at - 8);
      std::transform(device.begin(), device.end(), device.begin(), [](char c) { return c >= 'A' && c <= 'F' ? static_cast<char>(c + 32) : c; });
      if (device != settings_.device) return false;
    }
    return std::any_of(settings_.points.begin(), settings_.points.end(),
                       [&](const auto& point) { return matches(point.topic, topic); });
  }

  void take_availability(const wire::MqttMessage& message) {
    const auto there = parse_availability(message.payload);
    if (!there) return;
    if (*there) {
      offline_.erase(message.topic);
      return;
    }
    offline_.insert(message.topic);
    report_.failed("offline", fmt::format("{} says that it is offline; check its power and radio", message.topic));
  }

  void take_payload(const wire::MqttMessage& message) {
    if (recorder_) {
      const auto line = message.topic + ' ' + message.payload;
      recorder_->received({reinterpret_cast<const std::uint8_t*>(line.data()), line.size()});
    }
    const auto payload = parse_payload(message.payload);
    if (!payload) {
      return report_.failed("bad-answer", fmt::format("{}: {}", message.topic, payload.error().message));
    }
    if (is_repeated(*payload)) return;
    const auto stamp = device_time(*payload);
    const auto now = clock_.mono();
    std::vector<Reading> readings;
    for (const auto& point : settings_.points) {
      if (!matches(point.topic, message.topic)) continue;
      auto rule = point.rule;
      rule.fahrenheit = is_fahrenheit(*payload, point.rule);
      auto value = value_at(*payload, rule);
      if (!value) continue;
      Reading reading{.point = point.name, .at = now, .value = std::move(*value), .device_time = stamp};
      if (std::holds_alternative<std::monostate>(reading.value)) {
        reading.quality = Quality::missing;
        reading.why = "no-value";
      }
      readings.push_back(std::move(reading));
    }
    await_message();
    report_.answered(std::move(readings));
  }

  // A server with several radios, or QoS 1, may give a message twice.
  bool is_repeated(const json& payload) {
    const auto* key = settings_.kind == Kind::chirpstack ? "deduplicationId" : "";
    if (!payload.is_object() || !payload.contains(key) || !payload.at(key).is_string()) return false;
    const auto& id = payload.at(key).get_ref<const std::string&>();
    if (std::find(seen_.begin(), seen_.end(), id) != seen_.end()) return true;
    seen_.push_back(id);
    if (seen_.size() > kRemembered) seen_.pop_front();
    return false;
  }

  // Tasmota's own Time is local time without an offset: it says nothing.
  [[nodiscard]] std::optional<WallTime> device_time(const json& payload) const {
    const auto* key = settings_.kind == Kind::chirpstack ? "time" : settings_.kind == Kind::zigbee2mqtt ? "last_seen" : "";
    if (!payload.is_object() || !payload.contains(key)) return {};
    const auto& value = payload.at(key);
    if (value.is_string()) return parse_rfc3339(value.get_ref<const std::string&>());
    constexpr std::int64_t kYear2100 = 4'102'444'800'000;
    if (value.is_number_unsigned() && value <= kYear2100) return wall_from_ms(value.get<std::int64_t>());
    return {};
  }

  [[nodiscard]] bool is_fahrenheit(const json& payload, const Rule& rule) const {
    if (settings_.kind != Kind::tasmota || !payload.is_object() || payload.value("TempUnit", json{}) != "F") return false;
    const auto path = rule.pointer.to_string();
    return path.ends_with("/Temperature") || path.ends_with("/DewPoint");
  }

  void await_message() {
    if (settings_.silence == 0s) return;
    silence_.expires_after(settings_.silence);
    silence_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
      const auto self = weak.lock();
      if (!error && self && !self->stopped_) self->on_silence();
    });
  }

  void on_silence() {
    report_.failed("silence", fmt::format("no message for {}; check the device's battery and radio", hamlet::to_string(settings_.silence)));
    await_message();
  }

  const Settings settings_;
  Clock& clock_;
  Report& report_;
  const std::shared_ptr<Recorder> recorder_;
  asio::steady_timer begin_;
  asio::steady_timer silence_;
  std::set<std::string> offline_;
  std::deque<std::string> seen_;
  bool stopped_ = false;
  std::shared_ptr<Connection> connection_;
};

wire::MqttOptions read_broker(const config::Table& device) {
  wire::MqttOptions options;
  const auto broker = wire::parse_broker(device.text_or("broker", "mqtt://127.0.0.1:1883"));
  if (!broker) {
    device.error("broker", texts::want_broker());
  } else {
    options.broker = *broker;
  }
  options.client_id = "hamlet-" + random_hex64();
  options.user = device.text_or("user", "");
  options.password = device.secret_or("password");
  return options;
}

// A word that becomes a level of a topic.
std::string read_level(const config::Table& table, std::string_view key, std::string_view fallback) {
  auto text = fallback.empty() ? table.text(key) : table.text_or(key, std::string{fallback});
  if (text.empty() || text.find_first_of("+#") != std::string::npos || text.size() > 256) {
    if (text != "+") table.error(key, texts::want_topic());
  }
  return text;
}

/// The topics of a kind of device: of its messages, by their name, and of its availability.
struct Topics {
  std::string usual;                                   ///< name of the message that a point is in unless it says so
  std::function<std::string(const std::string&)> of;  ///< filter of a message by its name
};

Topics read_topics(const config::Table& device, Settings& settings) {
  switch (settings.kind) {
    case Kind::plain: {
      const auto topic = read_level(device, "topic", "");
      if (device.has("availability")) settings.availability.push_back(read_level(device, "availability", ""));
      return {.usual = topic, .of = [](const std::string& name) { return name; }};
    }
    case Kind::chirpstack: {
      settings.device = device.text("dev_eui");
      std::transform(settings.device.begin(), settings.device.end(), settings.device.begin(), [](char c) { return c >= 'A' && c <= 'F' ? static_cast<char>(c + 32) : c; });
      if (settings.device.size() != 16 || settings.device.find_first_not_of("0123456789abcdef") != std::string::npos) {
        device.error("dev_eui", texts::want_dev_eui());
      }
      const auto application = read_level(device, "application", "+");
      return {.usual = "up", .of = [application](const std::string& name) {
                return fmt::format("application/{}/device/+/event/{}", application, name);
              }};
    }
    case Kind::zigbee2mqtt: {
      const auto base = read_level(device, "base", "zigbee2mqtt");
      const auto topic = fmt::format("{}/{}", base, read_level(device, "friendly_name", ""));
      settings.availability = {topic + "/availability", base + "/bridge/state"};
      return {.usual = "", .of = [topic](const std::string& name) { return name.empty() ? topic : topic + '/' + name; }};
    }
    case Kind::tasmota: {
      auto pattern = device.text_or("full_topic", "%prefix%/%topic%/");
      const auto name = read_level(device, "topic", "");
      const auto fill = [&pattern](std::string_view what, const std::string& with) {
        if (const auto at = pattern.find(what); at != std::string::npos) pattern.replace(at, what.size(), with);
      };
      if (pattern.find("%prefix%") == std::string::npos || !pattern.ends_with('/')) {
        device.error("full_topic", texts::want_full_topic());
      }
      fill("%topic%", name);
      fill("%prefix%", "tele");
      settings.availability = {pattern + "LWT"};
      return {.usual = "SENSOR", .of = [pattern](const std::string& message) { return pattern + message; }};
    }
  }
  return {};
}

Rule read_rule(const config::Table& table) {
  Rule rule;
  const auto pointer = table.text("pointer");
  try {
    rule.pointer = json::json_pointer{pointer};
  } catch (const json::exception&) {
    table.error("pointer", texts::want_pointer());
  }
  rule.type = static_cast<ValueType>(table.choice_or("type", 0, kTypes));
  rule.none = table.texts_or("none");
  if (rule.type == ValueType::number) {
    rule.scale = table.number_or("scale", 1);
    if (rule.scale == 0) table.error("scale", texts::scale_zero());
    rule.offset = table.number_or("offset", 0);
    rule.absent = table.number_if("absent");
  }
  return rule;
}

}  // namespace

Blueprint read(const config::Table& device, const std::string& id) {
  Settings settings;
  settings.broker = read_broker(device);
  settings.kind = static_cast<Kind>(device.choice_or("kind", 0, kKinds));
  settings.silence = device.duration_or("silence", 0s, {0s, 24h * 30});
  settings.take_retained = device.flag_or("take_retained", false);
  const auto topics = read_topics(device, settings);
  auto infos = read_points(device, id, [&](const config::Table& table) {
    const auto* key = settings.kind == Kind::plain ? "topic" : "message";
    Point point{.name = {}, .topic = topics.of(table.text_or(key, topics.usual)), .rule = read_rule(table)};
    settings.points.push_back(std::move(point));
    return settings.points.back().rule.type;
  });
  for (std::size_t i = 0; i < infos.size(); ++i) settings.points[i].name = infos[i].point;
  return {.points = std::move(infos), .build = [settings = std::move(settings)](const Surroundings& around) {
            return std::make_shared<MqttDevice>(settings, around);
          }};
}

}  // namespace hamlet::drivers::mqtt
