#include "drivers/board/board.hpp"

#include <array>
#include <cerrno>
#include <chrono>
#include <optional>
#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <spawn.h>
#include <unistd.h>

#include "drivers/board/sysfs.hpp"
#include "drivers/texts.hpp"
#include "firmware/core/log.hpp"
#include "firmware/core/worker.hpp"

namespace hamlet::drivers::board {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using namespace std::string_view_literals;

constexpr std::array kSources{"hwmon"sv, "iio"sv, "w1"sv, "thermal"sv, "power"sv, "mmc"sv, "ext4"sv};  // as Source
constexpr Millis kGrace = 3s;  // from the event to the command: the event is committed and perhaps sent

/// When the box goes down by itself.
struct Shutdown {
  std::string battery;                ///< below class/power_supply
  std::string mains;                  ///< below class/power_supply; empty: the battery's status tells
  double below = 15;                  ///< %
  Millis after{};                     ///< for so long
  std::vector<std::string> command;  ///< program and arguments; no shell
};

struct Settings {
  std::filesystem::path root;
  Millis period{};
  std::vector<std::pair<std::string, Place>> points;  ///< by full name
  std::optional<Shutdown> shutdown;
};

/// What one look at the box found.
struct Look {
  std::vector<Reading> readings;
  bool any = false;               // something could be read
  bool on_battery = false;
  std::optional<double> charge;  // %
};

Look look_at(const Settings& settings, const Clock& clock) {
  Look look;
  const auto now = clock.mono();
  for (const auto& [name, place] : settings.points) {
    Reading reading{.point = name, .at = now};
    auto value = read_place(settings.root, place);
    if (value) {
      reading.value = std::move(*value);
      look.any = true;
    } else {
      reading.quality = Quality::missing;
      reading.why = value.error();
    }
    look.readings.push_back(std::move(reading));
  }
  if (!settings.shutdown) return look;
  const auto& rule = *settings.shutdown;
  const auto charge = read_place(settings.root, {Source::power, rule.battery, "capacity"});
  if (charge) look.charge = std::get<double>(*charge);
  if (rule.mains.empty()) {
    look.on_battery = read_place(settings.root, {Source::power, rule.battery, "status"}) == Value{std::string{"Discharging"}};
  } else {
    look.on_battery = read_place(settings.root, {Source::power, rule.mains, "online"}) == Value{false};
  }
  return look;
}

// Starts it and does not wait: it ends us. No shell, no environment of ours but PATH.
bool run(const std::vector<std::string>& command) {
  std::vector<char*> argv;
  for (const auto& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  std::string path = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
  std::array<char*, 2> environment{path.data(), nullptr};
  pid_t pid = 0;
  const int error = posix_spawn(&pid, argv[0], nullptr, nullptr, argv.data(), environment.data());
  if (error != 0) log::error("the shutdown command cannot be run", {{"command", command[0]}, {"why", std::generic_category().message(error)}});
  return error == 0;
}

class BoardDevice final : public Device, public std::enable_shared_from_this<BoardDevice> {
 public:
  BoardDevice(const std::string& id, Settings settings, const Surroundings& around)
      : settings_{std::move(settings)},
        io_{around.io},
        clock_{around.clock},
        report_{around.report},
        timer_{around.io},
        grace_{around.io},
        worker_{"board-" + id, 1} {}
  ~BoardDevice() override { stop(); }

  void start() override { look(); }

  void stop() override {
    stopped_ = true;
    timer_.cancel();
    grace_.cancel();
    worker_.stop(Worker::Drain::no);
  }

 private:
  void look() {
    const bool taken = worker_.post([this, weak = weak_from_this()] {
      asio::post(io_, [weak, look = look_at(settings_, clock_)]() mutable {
        if (const auto self = weak.lock()) self->on_look(std::move(look));
      });
    });
    if (!taken) stopped_ = true;  // only after stop()
  }

  void on_look(Look look) {
    if (stopped_) return;
    if (look.any || settings_.points.empty()) {
      report_.answered(std::move(look.readings));
    } else {
      report_.failed(look.readings.front().why, fmt::format("nothing of this device can be read below {}; check `sensor` and "
                                                            "`channel` of its points",
                                                            settings_.root.string()));
    }
    if (settings_.shutdown) watch_battery(look);
    timer_.expires_after(settings_.period);
    timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
      const auto self = weak.lock();
      if (!error && self && !self->stopped_) self->look();
    });
  }

  void watch_battery(const Look& look) {
    const auto& rule = *settings_.shutdown;
    if (!look.on_battery || !look.charge || *look.charge > rule.below) {
      low_since_.reset();
      if (!look.on_battery) going_down_ = false;
      return;
    }
    low_since_ = low_since_.value_or(clock_.mono());
    if (clock_.mono() - *low_since_ < rule.after || std::exchange(going_down_, true)) return;
    log::warning("the battery ends; the box shuts down", {{"charge", *look.charge}, {"below", rule.below}});
    report_.happened("shutdown", {{"why", "battery-low"}, {"charge", *look.charge}});
    grace_.expires_after(kGrace);
    grace_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
      const auto self = weak.lock();
      if (!error && self && !self->stopped_) self->going_down_ = run(self->settings_.shutdown->command);
    });
  }

  const Settings settings_;
  asio::io_context& io_;
  Clock& clock_;
  Report& report_;
  asio::steady_timer timer_;
  asio::steady_timer grace_;
  std::optional<MonoTime> low_since_;
  bool going_down_ = false;
  bool stopped_ = false;
  Worker worker_;  // last: it ends before what it uses
};

bool is_file_name(const std::string& text) {
  return !text.empty() && text.find('/') == std::string::npos && text != "." && text != "..";
}

Place read_place_keys(const config::Table& table) {
  Place place{.source = static_cast<Source>(table.choice("source", kSources)), .sensor = table.text("sensor"), .channel = {}};
  if (place.source != Source::thermal && place.source != Source::w1) place.channel = table.text("channel");
  for (const auto key : {"sensor"sv, "channel"sv}) {
    const auto& text = key == "sensor" ? place.sensor : place.channel;
    if (table.has(key) && !text.empty() && !is_file_name(text)) table.error(key, texts::want_name());
  }
  return place;
}

Shutdown read_shutdown(const config::Table& table) {
  Shutdown rule;
  rule.battery = table.text("battery");
  rule.mains = table.text_or("mains", "");
  rule.below = table.number_or("below", rule.below, {1, 99});
  rule.after = table.duration_or("after", 30s, {0s, 1h});
  rule.command = table.texts_or("command");
  if (rule.command.empty() || !rule.command.front().starts_with('/')) {
    table.error("command", texts::want_command());
  }
  return rule;
}

}  // namespace

Blueprint read(const config::Table& device, const std::string& id) {
  Settings settings;
  settings.root = device.text_or("root", "/sys");
  settings.period = device.duration_or("period", 30s, {100ms, 24h});
  if (device.has("shutdown")) settings.shutdown = read_shutdown(device.table("shutdown"));
  auto infos = read_points(device, id, [&](const config::Table& table) {
    settings.points.emplace_back("", read_place_keys(table));
    return type_of(settings.points.back().second);
  });
  for (std::size_t i = 0; i < infos.size(); ++i) settings.points[i].first = infos[i].point;
  return {.points = std::move(infos), .build = [id, settings = std::move(settings)](const Surroundings& around) {
            return std::make_shared<BoardDevice>(id, settings, around);
          }};
}

}  // namespace hamlet::drivers::board
