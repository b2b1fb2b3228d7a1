#include "drivers/gpio/gpio.hpp"

#include <algorithm>
#include <array>
#include <span>
#include <cerrno>
#include <charconv>
#include <system_error>
#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <fmt/format.h>
#include <gpiod.h>

#include "drivers/actor.hpp"
#include "drivers/modbus/decode.hpp"
#include "drivers/texts.hpp"

namespace hamlet::drivers::gpio {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using namespace std::string_view_literals;

constexpr std::array kModes{"input"sv, "count"sv};
constexpr std::array kBiases{"as-is"sv, "pull-up"sv, "pull-down"sv, "off"sv};  // as Bias
constexpr std::array kPushes{"push-pull"sv, "open-drain"sv, "open-source"sv};        // as Push
constexpr Millis kAgain = 5s;  // until a pin that could not be had is tried again

// An event is one of our own; nothing else of the pin's is read from the descriptor.
class GpiodPin final : public Pin {
 public:
  GpiodPin(gpiod_chip* chip, gpiod_line* line) : chip_{chip}, line_{line} {}
  ~GpiodPin() override { gpiod_chip_close(chip_); }  // releases the line, too
  GpiodPin(const GpiodPin&) = delete;
  GpiodPin& operator=(const GpiodPin&) = delete;

  [[nodiscard]] int descriptor() const override { return gpiod_line_event_get_fd(line_); }

  Result<bool> level() override {
    const int value = gpiod_line_get_value(line_);
    if (value < 0) return fail(Errc::unavailable, std::generic_category().message(errno));
    return value != 0;
  }

  Result<std::vector<Edge>> edges() override {
    std::array<gpiod_line_event, 16> events{};
    const int count = gpiod_line_event_read_multiple(line_, events.data(), events.size());
    if (count < 0) return fail(Errc::unavailable, std::generic_category().message(errno));
    std::vector<Edge> out;
    for (const auto& event : std::span{events}.first(static_cast<std::size_t>(count))) {
      out.push_back({event.event_type == GPIOD_LINE_EVENT_RISING_EDGE,
                     std::chrono::seconds{event.ts.tv_sec} + std::chrono::nanoseconds{event.ts.tv_nsec}});
    }
    return out;
  }

 private:
  gpiod_chip* chip_;
  gpiod_line* line_;
};

int flags_of(const PinSettings& settings) {
  unsigned flags = settings.active_low ? unsigned{GPIOD_LINE_REQUEST_FLAG_ACTIVE_LOW} : 0U;
  switch (settings.bias) {
    case Bias::as_is:
      break;
    case Bias::pull_up:
      flags |= GPIOD_LINE_REQUEST_FLAG_BIAS_PULL_UP;
      break;
    case Bias::pull_down:
      flags |= GPIOD_LINE_REQUEST_FLAG_BIAS_PULL_DOWN;
      break;
    case Bias::off:
      flags |= GPIOD_LINE_REQUEST_FLAG_BIAS_DISABLE;
      break;
  }
  return static_cast<int>(flags);
}

class GpiodDrivenPin final : public DrivenPin {
 public:
  GpiodDrivenPin(gpiod_chip* chip, gpiod_line* line) : chip_{chip}, line_{line} {}
  ~GpiodDrivenPin() override { gpiod_chip_close(chip_); }  // releases the line, too
  GpiodDrivenPin(const GpiodDrivenPin&) = delete;
  GpiodDrivenPin& operator=(const GpiodDrivenPin&) = delete;

  Status set(bool on) override {
    if (gpiod_line_set_value(line_, on ? 1 : 0) == 0) return {};
    return fail(Errc::unavailable, std::generic_category().message(errno));
  }

 private:
  gpiod_chip* chip_;
  gpiod_line* line_;
};

int flags_of(const DrivenSettings& settings) {
  auto flags = static_cast<unsigned>(flags_of(settings.pin));
  if (settings.push == Push::open_drain) flags |= GPIOD_LINE_REQUEST_FLAG_OPEN_DRAIN;
  if (settings.push == Push::open_source) flags |= GPIOD_LINE_REQUEST_FLAG_OPEN_SOURCE;
  return static_cast<int>(flags);
}

/// One point at work.
class Input {
 public:
  Input(const Settings::Point& settings, const Settings& device, const Surroundings& around,
        std::function<void(std::string)> lost)
      : settings_{settings},
        device_{device},
        clock_{around.clock},
        report_{around.report},
        memory_{around.memory},
        lost_{std::move(lost)},
        filter_{settings.debounce},
        stream_{around.io},
        settle_{around.io},
        tell_{around.io} {
    if (settings_.counts && memory_.recall) {
      const auto saved = memory_.recall(settings_.name).value_or("0");
      std::from_chars(saved.data(), saved.data() + saved.size(), count_);
    }
  }
  ~Input() { close(); }
  Input(const Input&) = delete;
  Input& operator=(const Input&) = delete;

  Status open(const OpenPin& open) {
    auto pin = open(settings_.pin);
    if (!pin) return fail(std::move(pin).error());
    pin_ = std::move(*pin);
    auto level = pin_->level();
    if (!level) return fail(std::move(level).error());
    level_ = *level;
    stream_.assign(pin_->descriptor());
    tell();
    await_edge();
    return {};
  }

  void close() {
    settle_.cancel();
    tell_.cancel();
    if (stream_.is_open()) stream_.release();  // the pin closes it
    pin_.reset();
  }

 private:
  using ErrorCode = boost::system::error_code;

  // What runs on an event, unless this has gone meanwhile.
  template <class Member>
  auto handler(Member member) {
    return [weak = std::weak_ptr{alive_}, member](const ErrorCode& error) {
      if (const auto self = weak.lock(); self && !error) ((*self)->*member)();
    };
  }

  void await_edge() {
    stream_.async_wait(asio::posix::stream_descriptor::wait_read, handler(&Input::on_edges));
  }

  void on_edges() {
    const auto edges = pin_->edges();
    if (!edges) return lost_(edges.error().message);
    std::uint64_t pulses = 0;
    for (const auto& edge : *edges) pulses += filter_.is_pulse(edge) ? 1U : 0U;
    if (!settings_.counts && !edges->empty()) {
      settle_.expires_after(settings_.debounce);
      settle_.async_wait(handler(&Input::on_settled));
    }
    if (settings_.counts && pulses > 0) take_pulses(pulses);
    await_edge();
  }

  void on_settled() {
    const auto level = pin_->level();
    if (!level) return lost_(level.error().message);
    if (std::exchange(level_, *level) != *level) tell();
  }

  void take_pulses(std::uint64_t pulses) {
    count_ += pulses;
    if (memory_.remember) memory_.remember(settings_.name, fmt::to_string(count_));
    const auto now = clock_.mono();
    if (now - told_ >= device_.interval) return tell();
    tell_within(device_.interval - (now - told_));
  }

  void tell_within(Millis time) {
    if (tell_.expiry() <= std::chrono::steady_clock::now() + time && !tell_is_far_) return;
    tell_is_far_ = false;
    arm(time);
  }

  void arm(Millis time) {
    tell_.expires_after(time);
    tell_.async_wait(handler(&Input::tell));
  }

  void tell() {
    told_ = clock_.mono();
    Reading reading{.point = settings_.name, .at = told_, .value = level_};
    if (settings_.counts) {
      reading.value = modbus::decode_number(static_cast<double>(count_), {.scale = settings_.scale});
    }
    std::vector<Reading> readings;
    readings.push_back(std::move(reading));
    report_.answered(std::move(readings));
    tell_is_far_ = true;
    arm(device_.period);
  }

  const Settings::Point& settings_;
  const Settings& device_;
  Clock& clock_;
  Report& report_;
  const Memory& memory_;
  const std::function<void(std::string)> lost_;
  PulseFilter filter_;
  std::unique_ptr<Pin> pin_;
  asio::posix::stream_descriptor stream_;
  asio::steady_timer settle_;
  asio::steady_timer tell_;
  bool tell_is_far_ = false;  // tell_ waits for the period, no change does
  MonoTime told_{};
  bool level_ = false;
  std::uint64_t count_ = 0;
  const std::shared_ptr<Input*> alive_ = std::make_shared<Input*>(this);
};

class GpioDevice final : public Device, public std::enable_shared_from_this<GpioDevice> {
 public:
  GpioDevice(Settings settings, OpenPin open, DrivePin drive, const Surroundings& around)
      : settings_{std::move(settings)}, open_{std::move(open)}, drive_{std::move(drive)}, around_{around}, again_{around.io} {
    for (const auto& [id, driven] : settings_.outputs) outputs_.try_emplace(id, *this, driven);
  }
  ~GpioDevice() override { stop(); }

  void start() override {
    again_.expires_after(0s);
    await_again();
  }

  void stop() override {
    stopped_ = true;
    again_.cancel();
    inputs_.clear();
    outputs_.clear();
  }

  Output* output(std::string_view id) override {
    const auto found = outputs_.find(id);
    return found == outputs_.end() ? nullptr : &found->second;
  }

 private:
  /// Takes its pin when it is first set, with that value; anew where it has failed.
  class Driven final : public Output {
   public:
    Driven(GpioDevice& device, const DrivenSettings& settings) : device_{device}, settings_{settings} {}

    void set(const Value& value, std::function<void(Status)> done) override {
      auto status = set_now(value == Value{true});
      if (!status) pin_.reset();
      device_.on_set(std::move(status), std::move(done));
    }

   private:
    Status set_now(bool on) {
      if (pin_) return pin_->set(on);
      auto pin = device_.drive_(settings_, on);
      if (!pin) return fail(std::move(pin).error());
      pin_ = std::move(*pin);
      return {};
    }

    GpioDevice& device_;
    const DrivenSettings& settings_;  // the device's
    std::unique_ptr<DrivenPin> pin_;
  };

  // A device that has inputs is up or down as these are.
  void on_set(Status status, std::function<void(Status)> done) {
    asio::post(around_.io, [weak = weak_from_this(), status = std::move(status), done = std::move(done)] {
      const auto self = weak.lock();
      if (!self || self->stopped_) return;
      if (self->settings_.points.empty()) {
        if (status) {
          self->around_.report.answered({});
        } else {
          self->around_.report.failed("no-pin", status.error().message);
        }
      }
      done(status);
    });
  }

  void await_again() {
    again_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
      if (error) return;
      if (const auto self = weak.lock()) self->open_all();
    });
  }

  void open_all() {
    inputs_.clear();
    if (stopped_) return;
    for (const auto& point : settings_.points) {
      inputs_.push_back(std::make_unique<Input>(point, settings_, around_, [this](const std::string& why) { lose(why); }));
      if (const auto opened = inputs_.back()->open(open_); !opened) {
        inputs_.clear();
        return lose(opened.error().message);
      }
    }
  }

  // Not at once: it is called from inside an input.
  void lose(const std::string& why) {
    around_.report.failed("no-pin", why);
    again_.expires_after(kAgain);
    await_again();
  }

  const Settings settings_;
  const OpenPin open_;
  const DrivePin drive_;
  const Surroundings around_;
  asio::steady_timer again_;
  std::map<std::string, Driven, std::less<>> outputs_;
  std::vector<std::unique_ptr<Input>> inputs_;
  bool stopped_ = false;
};

}  // namespace

bool PulseFilter::is_pulse(const Edge& edge) {
  const bool quiet = !last_ || edge.at - *last_ >= debounce_;
  last_ = edge.at;
  return edge.active && quiet;
}

Result<std::unique_ptr<Pin>> open_pin(const PinSettings& settings) {
  const auto where = fmt::format("line {} of {}", settings.line, settings.chip);
  gpiod_chip* const chip = gpiod_chip_open_by_name(settings.chip.c_str());
  if (chip == nullptr) {
    return fail(Errc::not_found, fmt::format("{}: {}; `gpiodetect` lists the chips, and hamletd must be in the group gpio",
                                             settings.chip, std::generic_category().message(errno)));
  }
  auto* const line = gpiod_chip_get_line(chip, settings.line);
  if (line == nullptr || gpiod_line_request_both_edges_events_flags(line, "hamletd", flags_of(settings)) != 0) {
    auto message = fmt::format("{}: {}; `gpioinfo` tells who uses it", where, std::generic_category().message(errno));
    gpiod_chip_close(chip);
    return fail(Errc::unavailable, std::move(message));
  }
  return std::make_unique<GpiodPin>(chip, line);
}

Result<std::unique_ptr<DrivenPin>> drive_pin(const DrivenSettings& settings, bool on) {
  gpiod_chip* const chip = gpiod_chip_open_by_name(settings.pin.chip.c_str());
  if (chip == nullptr) {
    return fail(Errc::not_found, fmt::format("{}: {}; `gpiodetect` lists the chips, and hamletd must be in the group gpio",
                                             settings.pin.chip, std::generic_category().message(errno)));
  }
  auto* const line = gpiod_chip_get_line(chip, settings.pin.line);
  if (line == nullptr || gpiod_line_request_output_flags(line, "hamletd", flags_of(settings), on ? 1 : 0) != 0) {
    auto message = fmt::format("line {} of {}: {}; `gpioinfo` tells who uses it", settings.pin.line, settings.pin.chip,
                               std::generic_category().message(errno));
    gpiod_chip_close(chip);
    return fail(Errc::unavailable, std::move(message));
  }
  return std::make_unique<GpiodDrivenPin>(chip, line);
}

std::shared_ptr<Device> make_device(Settings settings, OpenPin open, DrivePin drive, const Surroundings& around) {
  return std::make_shared<GpioDevice>(std::move(settings), std::move(open), std::move(drive), around);
}

Blueprint read(const config::Table& device, const std::string& id) {
  Settings settings;
  const auto chip = device.text_or("chip", "gpiochip0");
  settings.period = device.duration_or("period", 1min, {1s, 24h});
  settings.interval = device.duration_or("interval", 1s, {0ms, 24h});
  auto infos = read_points(device, id, [&](const config::Table& table) {
    Settings::Point point;
    point.pin.chip = chip;
    point.pin.line = static_cast<unsigned>(table.integer("line", {0, 1023}));
    point.pin.active_low = table.flag_or("active_low", false);
    point.pin.bias = static_cast<Bias>(table.choice_or("bias", 0, kBiases));
    point.counts = table.choice_or("mode", 0, kModes) == 1;
    point.debounce = table.duration_or("debounce", 20ms, {0ms, 10s});
    if (point.counts) {
      point.scale = table.number_or("scale", 1);
      if (point.scale == 0) table.error("scale", texts::scale_zero());
    }
    settings.points.push_back(std::move(point));
    return settings.points.back().counts ? ValueType::number : ValueType::boolean;
  });
  for (std::size_t i = 0; i < infos.size(); ++i) settings.points[i].name = infos[i].point;
  auto outputs = read_outputs(device, id, [&](const config::Table& table, OutputInfo&) {
    auto& driven = settings.outputs[table.id("id")];
    driven.pin.chip = chip;
    driven.pin.line = static_cast<unsigned>(table.integer("line", {0, 1023}));
    driven.pin.active_low = table.flag_or("active_low", false);
    driven.push = static_cast<Push>(table.choice_or("push", 0, kPushes));
  });
  return {.points = std::move(infos), .outputs = std::move(outputs), .build = [settings = std::move(settings)](const Surroundings& around) {
            return make_device(settings, open_pin, drive_pin, around);
          }};
}

}  // namespace hamlet::drivers::gpio
