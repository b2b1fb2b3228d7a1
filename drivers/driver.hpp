#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "drivers/shared.hpp"
#include "firmware/config/config.hpp"
#include "firmware/core/clock.hpp"
#include "firmware/core/reading.hpp"
#include "firmware/core/result.hpp"
#include "firmware/core/text.hpp"

namespace boost::asio {
class io_context;
}

namespace hamlet::drivers {

class Recorder;

/// What kind of Value a point has, when it has one.
enum class ValueType { number, boolean, text };
[[nodiscard]] std::string_view to_string(ValueType type);

/// A point as the config declares it: all that a page needs to draw it.
struct PointInfo {
  std::string point;   ///< "device.point"
  std::string unit{};  ///< as people write it: "m", "°C"; empty where there is none
  ValueType type = ValueType::number;
  Text name{};
  std::optional<double>
      min{};  ///< the instrument's measuring span: a scale to draw. It tests nothing: that is detect's
  std::optional<double> max{};
};

/// Something that a device can be told to do, as the config declares it.
struct OutputInfo {
  std::string output;  ///< "device.output"
  ValueType type = ValueType::boolean;  ///< text: it sends messages
  Text name{};
  bool repeatable = true;  ///< setting it to what it is does no harm, and mends it where the device has forgotten
};

/// One output of a device at work: a coil, a register, a pin, a siren, a message. Io thread only. It does what it is told; when and whether is
/// not its business.
class Output {
 public:
  virtual ~Output() = default;
  /// Begins to set it; returns at once. `done` is called once, from the io thread and not from inside: when the device has
  /// confirmed, or with why it did not, the device's own timeout and retries included. Not after stop(). An output keeps
  /// no order of its own: what is set last is what counts.
  virtual void set(const Value& value, std::function<void(Status)> done) = 0;
};

/// Where a running device tells what it found. Io thread only. Owned by Drivers, outlives the device.
///
/// It decides what the county hears: up and down events on change only, a missing reading at the change and then once
/// in a while, log lines on change of state. A driver reports every poll and need not think of that.
class Report {
 public:
  virtual ~Report() = default;

  /// The device answered. `readings` may be of some of its points; where the device said that it has no value, quality
  /// is missing and `why` an id such as "not-a-number".
  virtual void answered(std::vector<Reading> readings) = 0;

  /// The device did not answer, retries included. `why`: an id ("timeout"). `message`: what happened,
  /// where, and what to do.
  virtual void failed(std::string why, std::string message) = 0;

  /// Something happened that is no reading: becomes the event `kind` of this device. Rare.
  virtual void happened(std::string kind, nlohmann::json detail) = 0;

  /// The same with a picture that the device took: the event names it.
  virtual void pictured(std::string kind, nlohmann::json detail, std::string jpeg) = 0;

  /// For a device that waits to be acknowledged. `then` runs on the io thread, not from inside and not after stop(), once
  /// all that was reported and remembered so far is durable, within a second on a disk that answers; or with the reason
  /// why it is not, and then the device must hear no acknowledgement.
  virtual void when_durable(std::function<void(Status)> then) = 0;
};

/// A device at work. Io thread only. Shared so that a handler under way can hold a weak_ptr; Drivers alone owns it.
class Device {
 public:
  virtual ~Device() = default;
  /// Begins; returns at once. Called once. The report hears nothing from inside it.
  virtual void start() = 0;
  /// Ends within a second, whatever the device does; the report hears nothing after it. Idempotent.
  virtual void stop() = 0;
  /// An output by its own id, of those that the blueprint names; null: there is none. It lives as long as the device.
  [[nodiscard]] virtual Output* output(std::string_view /*id*/) { return nullptr; }
};

/// What a device is built with. The references outlive it.
struct Surroundings {
  boost::asio::io_context& io;
  Clock& clock;
  Report& report;
  Commons& commons;
  const Memory& memory;
  std::shared_ptr<Recorder> recorder;  ///< null where the config does not ask for the device's frames to be recorded
};

/// One [[device]] table, read and found valid: everything that is known before the device is touched.
struct Blueprint {
  std::vector<PointInfo> points;
  std::vector<OutputInfo> outputs{};
  std::function<std::shared_ptr<Device>(Surroundings)> build{};
};

/// A protocol: its name in the config and how it reads its table.
struct Driver {
  std::string_view name;
  /// `device`: the [[device]] table; its keys id, driver, name, missing_every, record and record_max have been read already.
  /// Touches no device. What is wrong is noted in the table; the blueprint is then never built.
  Blueprint (*read)(const config::Table& device, const std::string& id);
  bool has_frames = true;  ///< that `record` can keep
};

/// Reads the keys that the points of every driver have: id, name, unit, span. `own` reads the driver's own and returns
/// the type of the value. A device without points and a point id that is there already are noted as errors.
/// `known`: points that the device has anyhow, from a profile. A table with the id of one of them takes from it what it
/// leaves out; it stands in its place, others come after them.
[[nodiscard]] std::vector<PointInfo> read_points(const config::Table& device, const std::string& id,
                                                 const std::function<ValueType(const config::Table& point)>& own,
                                                 std::vector<PointInfo> known = {});

}  // namespace hamlet::drivers
