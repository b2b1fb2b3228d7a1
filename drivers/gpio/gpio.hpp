#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "drivers/driver.hpp"

namespace hamlet::drivers::gpio {

/// Reads a [[device]] with driver = "gpio": inputs, pulses and outputs on the box's own pins. Keys: drivers/gpio/README.md.
[[nodiscard]] Blueprint read(const config::Table& device, const std::string& id);

// ---- below here: for tests, which have no pins

enum class Bias { as_is, pull_up, pull_down, off };
enum class Push { push_pull, open_drain, open_source };

struct PinSettings {
  std::string chip;  ///< "gpiochip0"
  unsigned line = 0;
  bool active_low = false;
  Bias bias = Bias::as_is;
};

/// A change of a pin; `at` on the kernel's monotonic clock.
struct Edge {
  bool active = false;
  std::chrono::nanoseconds at{};
};

/// An input that tells its changes. The seam where a machine has no gpiochip.
class Pin {
 public:
  virtual ~Pin() = default;
  [[nodiscard]] virtual int descriptor() const = 0;  ///< readable when there are edges
  [[nodiscard]] virtual Result<bool> level() = 0;
  [[nodiscard]] virtual Result<std::vector<Edge>> edges() = 0;  ///< those that wait; does not block
};
using OpenPin = std::function<Result<std::unique_ptr<Pin>>(const PinSettings&)>;

/// By libgpiod.
[[nodiscard]] Result<std::unique_ptr<Pin>> open_pin(const PinSettings& settings);

/// A pin that is driven; let go when it is destroyed. The same seam.
class DrivenPin {
 public:
  virtual ~DrivenPin() = default;
  [[nodiscard]] virtual Status set(bool on) = 0;
};
struct DrivenSettings {
  PinSettings pin;
  Push push = Push::push_pull;
};
/// Takes the pin with a first value, so that it is never anything else.
using DrivePin = std::function<Result<std::unique_ptr<DrivenPin>>(const DrivenSettings&, bool on)>;

/// By libgpiod.
[[nodiscard]] Result<std::unique_ptr<DrivenPin>> drive_pin(const DrivenSettings& settings, bool on);

/// Takes the edges of a contact that bounces: a pulse begins with an edge to active that comes at least `debounce` after
/// the last edge of any kind.
class PulseFilter {
 public:
  explicit PulseFilter(Millis debounce) : debounce_{debounce} {}
  [[nodiscard]] bool is_pulse(const Edge& edge);

 private:
  std::chrono::nanoseconds debounce_;
  std::optional<std::chrono::nanoseconds> last_;
};

struct Settings {
  struct Point {
    std::string name;
    PinSettings pin;
    bool counts = false;
    Millis debounce{};
    double scale = 1;  ///< of one pulse
  };
  Millis period{};    ///< how often a value is told that did not change
  Millis interval{};  ///< between two readings of a count, at least
  std::vector<Point> points;
  std::map<std::string, DrivenSettings> outputs{};
};
[[nodiscard]] std::shared_ptr<Device> make_device(Settings settings, OpenPin open, DrivePin drive, const Surroundings& around);

}  // namespace hamlet::drivers::gpio
