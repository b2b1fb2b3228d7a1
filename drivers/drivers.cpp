#include "drivers/drivers.hpp"

#include <algorithm>
#include <chrono>
#include <map>
#include <set>
#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <nlohmann/json.hpp>

#include "drivers/recorder.hpp"
#include "drivers/registry.hpp"
#include "drivers/texts.hpp"
#include "firmware/core/id.hpp"
#include "firmware/core/log.hpp"

namespace hamlet::drivers {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view kDeviceDown = "device-down";

const Driver* find_driver(const config::Table& device, const std::string& name) {
  std::vector<std::string> known;
  for (const auto& driver : registry()) {
    if (driver.name == name) return &driver;
    known.emplace_back(driver.name);
  }
  for (const auto& key : device.keys()) (void)device.has(key);  // nobody can say which of them are wrong
  if (!device.has("driver")) return nullptr;                    // already noted as missing
  const auto near = config::nearest(name, known);
  const auto message = texts::no_driver(name);
  device.error("driver", near ? texts::perhaps(message, *near)
                              : texts::known(message, fmt::format("{}", fmt::join(known, ", "))));
  return nullptr;
}

}  // namespace

std::string_view to_string(ValueType type) {
  switch (type) {
    case ValueType::number:
      return "number";
    case ValueType::boolean:
      return "boolean";
    case ValueType::text:
      return "text";
  }
  return "number";
}

std::vector<PointInfo> read_points(const config::Table& device, const std::string& id,
                                   const std::function<ValueType(const config::Table& point)>& own,
                                   std::vector<PointInfo> known) {
  auto points = std::move(known);
  std::set<std::string> seen;
  for (const auto& table : device.tables("point")) {
    const auto name = table.id("id");
    if (table.has("id") && !seen.insert(name).second) {
      table.error("id", texts::point_twice(name));
    }
    const auto full = fmt::format("{}.{}", id, name);
    auto present = std::find_if(points.begin(), points.end(), [&](const auto& each) { return each.point == full; });
    if (present == points.end()) {
      present = points.insert(present, PointInfo{.point = full, .name = {.zh = name, .en = name}});
    }
    auto& info = *present;
    info.unit = table.text_or("unit", info.unit);
    info.name = table.both_or("name", info.name);
    if (const auto span = table.numbers_or("span"); span.size() == 2 && span[0] < span[1]) {
      info.min = span[0];
      info.max = span[1];
    } else if (table.has("span")) {
      table.error("span", texts::want_span());
    }
    info.type = own(table);
  }
  const auto keys = device.keys();
  const bool acts = std::find(keys.begin(), keys.end(), "output") != keys.end();
  if (points.empty() && !device.has("point") && !acts) device.error("", texts::no_point());
  return points;
}

Drivers::Config Drivers::read_config(const config::Table& root) {
  Config config;
  std::set<std::string> seen;
  (void)root.has("bus");  // read by the drivers whose devices are on one
  for (const auto& table : root.tables("device")) {
    const auto id = table.id("id");
    if (table.has("id") && !seen.insert(id).second) {
      table.error("id", texts::device_twice(id));
    }
    const auto driver_name = table.text("driver");
    Planned planned{.info = {.id = id, .driver = driver_name, .name = table.both_or("name", {.zh = id, .en = id})}};
    planned.missing_every = table.duration_or("missing_every", 1min, {1s, 24h});
    planned.record = table.text_or("record", "");
    planned.record_max = static_cast<std::size_t>(table.integer_or("record_max", 1 << 20, {1 << 10, 1 << 30}));
    if (const auto* driver = find_driver(table, driver_name)) {
      if (!driver->has_frames && table.has("record")) table.error("record", texts::no_frames(driver_name));
      auto blueprint = driver->read(table, id);
      planned.info.points = std::move(blueprint.points);
      planned.info.outputs = std::move(blueprint.outputs);
      planned.build = std::move(blueprint.build);
    }
    config.push_back(std::move(planned));
  }
  return config;
}

/// One device and what is known of it: turns polls into state, events and readings.
class Drivers::Supervised final : public Report, public std::enable_shared_from_this<Supervised> {
 public:
  Supervised(boost::asio::io_context& io, Clock& clock, const Planned& planned, const DeviceInfo& info,
             const Sink& sink, Commons& commons)
      : io_{io},
        clock_{clock},
        info_{info},
        sink_{sink},
        missing_every_{planned.missing_every},
        since_{clock.mono()},
        tick_{io},
        device_{planned.build({io, clock, *this, commons, sink.memory, recorder_of(planned)})} {}

  void start() { device_->start(); }

  void stop() {
    stopped_ = true;
    tick_.cancel();
    device_->stop();
  }

  void answered(std::vector<Reading> readings) override {
    if (stopped_) return;
    ++polls_;
    if (state_ != State::up) enter_up();
    std::erase_if(readings, [this](const Reading& reading) { return repeats(reading); });
    if (!readings.empty()) sink_.readings(std::move(readings));
  }

  void failed(std::string why, std::string message) override {
    if (stopped_) return;
    ++polls_;
    ++failures_;
    why_ = std::move(why);
    message_ = std::move(message);
    if (state_ != State::down) enter_down();
  }

  void happened(std::string kind, nlohmann::json detail) override {
    if (stopped_) return;
    sink_.event({.source = info_.id,
                 .kind = std::move(kind),
                 .id = random_hex64(),
                 .at = clock_.mono(),
                 .detail = std::move(detail)});
  }

  void pictured(std::string kind, nlohmann::json detail, std::string jpeg) override {
    if (stopped_) return;
    Event event{.source = info_.id,
                .kind = std::move(kind),
                .id = random_hex64(),
                .at = clock_.mono(),
                .detail = std::move(detail)};
    if (sink_.picture) return sink_.picture(std::move(event), std::move(jpeg));
    sink_.event(std::move(event));
  }

  void when_durable(std::function<void(Status)> then) override {
    auto guarded = [weak = weak_from_this(), then = std::move(then)](const Status& status) {
      const auto self = weak.lock();
      if (self && !self->stopped_) then(status);
    };
    if (sink_.when_durable) return sink_.when_durable(std::move(guarded));
    boost::asio::post(io_, [guarded = std::move(guarded)] { guarded({}); });
  }

  [[nodiscard]] Output* output(std::string_view id) { return stopped_ ? nullptr : device_->output(id); }

  [[nodiscard]] nlohmann::json status() const {
    const auto since = clock_.wall() - (clock_.mono() - since_);
    nlohmann::json out{{"id", info_.id},        {"driver", info_.driver}, {"state", name(state_)},
                       {"since", to_ms(since)}, {"polls", polls_},        {"failures", failures_}};
    if (state_ == State::down) {
      out["why"] = why_;
      out["message"] = message_;
    }
    return out;
  }

 private:
  enum class State { starting, up, down };

  static std::shared_ptr<Recorder> recorder_of(const Planned& planned) {
    if (planned.record.empty()) return nullptr;
    return std::make_shared<Recorder>(planned.info.id, planned.record, planned.record_max);
  }

  static std::string_view name(State state) {
    switch (state) {
      case State::starting:
        return "starting";
      case State::up:
        return "up";
      case State::down:
        return "down";
    }
    return "starting";
  }

  void enter(State state) {
    state_ = state;
    since_ = clock_.mono();
  }

  void enter_up() {
    log::info("device answers", {{"device", info_.id}, {"was", name(state_)}});
    if (state_ == State::down) {
      tick_.cancel();
      tell(Phase::end);
    }
    enter(State::up);
  }

  void enter_down() {
    log::warning("device does not answer", {{"device", info_.id}, {"why", why_}, {"message", message_}});
    enter(State::down);
    event_id_ = random_hex64();
    tell(Phase::start);
    give_missing();
  }

  void tell(Phase phase) {
    sink_.event({.source = info_.id,
                 .kind = "down",
                 .phase = phase,
                 .id = event_id_,
                 .at = clock_.mono(),
                 .detail = {{"why", why_}, {"message", message_}}});
  }

  // Silence would look like a gateway that forgot the point: says once in a while that there is no value.
  void give_missing() {
    std::vector<Reading> readings;
    for (const auto& info : info_.points) {
      readings.push_back(
          {.point = info.point, .at = clock_.mono(), .quality = Quality::missing, .why = std::string{kDeviceDown}});
      last_missing_[info.point] = {std::string{kDeviceDown}, clock_.mono()};
    }
    sink_.readings(std::move(readings));
    tick_.expires_after(missing_every_);
    tick_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
      if (error) return;
      if (const auto self = weak.lock()) self->on_tick();
    });
  }

  void on_tick() {
    if (!stopped_ && state_ == State::down) give_missing();
  }

  // Whether it says no more than what was said less than missing_every ago: no value, for the same reason.
  bool repeats(const Reading& reading) {
    if (reading.quality != Quality::missing) {
      last_missing_.erase(reading.point);
      return false;
    }
    auto& last = last_missing_[reading.point];
    if (last.why == reading.why && reading.at - last.at < missing_every_) return true;
    last = {reading.why, reading.at};
    return false;
  }

  boost::asio::io_context& io_;
  Clock& clock_;
  const DeviceInfo& info_;
  const Sink& sink_;
  const Millis missing_every_;
  State state_ = State::starting;
  MonoTime since_;
  std::uint64_t polls_ = 0;
  std::uint64_t failures_ = 0;
  std::string why_;      // of the last failure
  std::string message_;  // of the last failure
  std::string event_id_;
  struct Missing {
    std::string why;
    MonoTime at{};
  };
  std::map<std::string, Missing> last_missing_;  // by point, those without a value now
  boost::asio::steady_timer tick_;
  bool stopped_ = false;
  std::shared_ptr<Device> device_;
};

Drivers::Drivers(boost::asio::io_context& io, Clock& clock, Config config, Sink sink) : sink_{std::move(sink)} {
  for (const auto& planned : config) infos_.push_back(planned.info);
  for (std::size_t i = 0; i < config.size(); ++i) {
    supervised_.push_back(std::make_shared<Supervised>(io, clock, config[i], infos_[i], sink_, commons_));
  }
}

Drivers::~Drivers() {
  stop();
}

void Drivers::start() {
  for (const auto& each : supervised_) each->start();
}

void Drivers::stop() {
  for (const auto& each : supervised_) each->stop();
}

Output* Drivers::output(std::string_view name) const {
  const auto dot = name.find('.');
  if (dot == std::string_view::npos) return nullptr;
  for (std::size_t i = 0; i < infos_.size(); ++i) {
    if (infos_[i].id == name.substr(0, dot)) return supervised_[i]->output(name.substr(dot + 1));
  }
  return nullptr;
}

nlohmann::json Drivers::status() const {
  auto out = nlohmann::json::array();
  for (const auto& each : supervised_) out.push_back(each->status());
  return out;
}

}  // namespace hamlet::drivers
