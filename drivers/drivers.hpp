#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "drivers/driver.hpp"
#include "firmware/core/event.hpp"

namespace hamlet::drivers {

/// A device as the config declares it: for `meta`.
struct DeviceInfo {
  std::string id;
  std::string driver;
  Text name;
  std::vector<PointInfo> points{};
  std::vector<OutputInfo> outputs{};
};

/// Where readings and events go. Both are called on the io thread, never from inside start() or stop().
struct Sink {
  std::function<void(std::vector<Reading>)> readings;
  /// source = device id, kind "down": start when the device stops answering, end with the same id when it is back.
  /// detail: {"why":id,"message":English}. Other kinds are a driver's own ("shutdown").
  std::function<void(Event)> event;
  /// What devices must know after a restart; see Memory. Durable together with the readings that follow it in the same
  /// turn of the io thread, never before them.
  Memory memory{};
  /// An event with a picture. Empty: the event goes without.
  std::function<void(Event, std::string jpeg)> picture{};
  /// Calls back, not from inside, once all that was given so far is durable, or with the reason why it is not. Empty:
  /// everything is.
  std::function<void(std::function<void(Status)> then)> when_durable{};
};

/// Every device of the gateway. Io thread only.
///
/// A device that is down gives a missing reading ("device-down") of each point at the change and then every
/// missing_every. Nothing survives power loss: a device starts as `starting`.
class Drivers {
 public:
  /// One [[device]], read and valid.
  struct Planned {
    DeviceInfo info;
    Millis missing_every{};
    std::filesystem::path record{};  ///< where its raw frames are recorded; empty: nowhere
    std::size_t record_max = 0;      ///< bytes
    std::function<std::shared_ptr<Device>(Surroundings)> build{};
  };
  using Config = std::vector<Planned>;

  /// Reads every [[device]]; touches no device. What is wrong is noted in the document, which must then not be used.
  [[nodiscard]] static Config read_config(const config::Table& root);

  Drivers(boost::asio::io_context& io, Clock& clock, Config config, Sink sink);
  ~Drivers();  ///< stop()
  Drivers(const Drivers&) = delete;
  Drivers& operator=(const Drivers&) = delete;

  /// Begins polling; returns at once.
  void start();
  /// Ends within a second, whatever a device does. The sink hears nothing after it. Idempotent.
  void stop();

  [[nodiscard]] const std::vector<DeviceInfo>& devices() const { return infos_; }

  /// An output by its full name, "device.output"; null: there is none. Valid until stop().
  [[nodiscard]] Output* output(std::string_view name) const;

  /// [{"id","driver","state":"up"|"down"|"starting","why"?,"message"?,"since","polls","failures"}]: `since` is UTC in
  /// milliseconds, `polls` counts answers and failures, `failures` those without an answer; `why` (an id) and `detail`
  /// (English) say what is wrong when down.
  [[nodiscard]] nlohmann::json status() const;

 private:
  class Supervised;

  std::vector<DeviceInfo> infos_;
  Sink sink_;
  Commons commons_;
  std::vector<std::shared_ptr<Supervised>> supervised_;
};

}  // namespace hamlet::drivers
