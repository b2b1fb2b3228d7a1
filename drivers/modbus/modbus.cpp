#include "drivers/modbus/modbus.hpp"

#include <algorithm>
#include <chrono>
#include <map>
#include <utility>

#include <arpa/inet.h>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <fmt/format.h>
#include <netinet/in.h>

#include "drivers/actor.hpp"
#include "drivers/counter.hpp"
#include "drivers/modbus/bus.hpp"
#include "drivers/modbus/profile.hpp"
#include "drivers/texts.hpp"

namespace hamlet::drivers::modbus {
namespace {

using namespace std::chrono_literals;

/// A [[device]] with driver = "modbus".
struct Settings {
  PortSettings port;
  std::string bus;  ///< its id; empty: none of its own, by TCP
  MemberSettings member;
  std::map<std::string, PointSettings> counters;  ///< by full name
  std::vector<OutputSettings> outputs;

  /// The same for devices that share a wire.
  [[nodiscard]] std::string key() const { return "modbus " + (bus.empty() ? port.describe() : bus); }
};

bool is_ip_address(const std::string& text) {
  in6_addr any{};
  return inet_pton(AF_INET, text.c_str(), &any) == 1 || inet_pton(AF_INET6, text.c_str(), &any) == 1;
}

void read_ip(const config::Table& table, PortSettings& port, std::int64_t usual_port) {
  port.address = table.text("address");
  if (!is_ip_address(port.address) && table.has("address")) {
    table.error("address", texts::want_ip_address());
  }
  port.port = static_cast<std::uint16_t>(table.integer_or("port", usual_port, {1, 65535}));
}

// The [[bus]] that the device names.
void find_bus(const config::Table& device, Settings& settings) {
  settings.bus = device.id("bus");
  for (const auto key : {"address", "port"}) {
    if (device.has(key)) device.error(key, texts::bus_has_that());
  }
  std::vector<std::string> known;
  for (const auto& bus : device.root().tables("bus")) {
    const auto port = read_bus(bus);
    if (known.emplace_back(bus.id("id")) != settings.bus) continue;
    settings.port = port;
    return;
  }
  const auto near = config::nearest(settings.bus, known);
  const auto message = texts::no_bus(settings.bus);
  device.error("bus", near ? texts::perhaps(message, *near) : message);
}

std::optional<Profile> find_profile(const config::Table& device) {
  if (!device.has("profile")) return {};
  auto profile = load_profile(device.text("profile"));
  if (profile) return std::move(*profile);
  device.error("profile", std::move(profile).error());
  return Profile{};
}

Settings read_settings(const config::Table& device, const std::optional<Profile>& profile) {
  Settings settings;
  auto& member = settings.member;
  if (device.has("bus")) {
    find_bus(device, settings);
  } else {
    read_ip(device, settings.port, 502);
  }
  const bool serial = settings.port.framing == Framing::rtu;
  member.unit = static_cast<std::uint8_t>(
      device.integer_or("unit_id", profile ? profile->unit : member.unit, {serial ? 1 : 0, 255}));
  member.period = device.duration_or("period", profile && profile->period ? *profile->period : 5s, {100ms, 24h});
  const Millis timeout = serial ? 500ms : 1s;
  member.timeout = device.duration_or("timeout", profile && profile->timeout ? *profile->timeout : timeout, {50ms, 30s});
  member.retries = static_cast<unsigned>(device.integer_or("retries", member.retries, {0, 10}));
  member.backoff_max = device.duration_or("backoff_max", std::max<Millis>(member.period, 1s), {1s, 24h});
  member.max_gap = static_cast<std::uint32_t>(
      device.integer_or("max_gap", profile ? profile->max_gap : member.max_gap, {0, 124}));
  return settings;
}

// What the profile knows, without what the device leaves out of it.
std::vector<PointInfo> profile_infos(const config::Table& device, const std::string& id, const Profile& profile) {
  const auto without = device.texts_or("without");
  for (const auto& each : without) {
    if (!profile.points.contains(each) && !profile.points.empty()) {
      device.error("without", texts::not_in_profile(each));
    }
  }
  std::vector<PointInfo> infos;
  for (auto info : profile.infos) {
    if (std::find(without.begin(), without.end(), info.point) != without.end()) continue;
    info.point = fmt::format("{}.{}", id, info.point);
    infos.push_back(std::move(info));
  }
  return infos;
}

std::vector<PointInfo> read_all_points(const config::Table& device, const std::string& id,
                                       const std::optional<Profile>& profile, Settings& settings) {
  const auto base = device.integer_or("base", 0, {0, 1});
  auto points = profile ? profile->points : std::map<std::string, PointSettings>{};
  const auto own = [&](const config::Table& table) {
    const auto name = table.id("id");
    const auto known = points.find(name);
    points[name] = read_point(table, base, known == points.end() ? nullptr : &known->second);
    return value_type(points[name].point.decoding);
  };
  const bool needs_points = !profile || device.has("point");
  auto infos = profile ? profile_infos(device, id, *profile) : std::vector<PointInfo>{};
  if (needs_points) infos = read_points(device, id, own, std::move(infos));
  if (infos.empty() && device.has("output") && !device.has("point")) device.error("", texts::relay_no_point());
  for (const auto& info : infos) {
    auto& each = points[info.point.substr(id.size() + 1)];
    each.point.name = info.point;
    settings.member.points.push_back(each.point);
    if (!each.counter) continue;
    settings.counters[info.point] = each;
    auto& decoding = settings.member.points.back().decoding;  // the device counts on what is read as it is
    decoding.scale = 1;
    decoding.offset = 0;
  }
  return infos;
}

std::vector<OutputInfo> read_all_outputs(const config::Table& device, const std::string& id, Settings& settings) {
  const auto base = device.integer_or("base", 0, {0, 1});
  return read_outputs(device, id, [&](const config::Table& table, OutputInfo& info) {
    auto output = read_output(table, base);
    info.type = output.coil ? ValueType::boolean : ValueType::number;
    settings.outputs.push_back(std::move(output));
  });
}

Status to_status(const tl::expected<void, Fault>& done) {
  if (done) return {};
  const auto code = done.error().exception ? Errc::failed : done.error().why == "full" ? Errc::full : Errc::unavailable;
  return fail(code, done.error().message);
}

/// A member of its bus, and what becomes of its polls on the io thread.
class ModbusDevice final : public Device, public std::enable_shared_from_this<ModbusDevice> {
 public:
  ModbusDevice(Settings settings, const Surroundings& around)
      : settings_{std::move(settings)},
        io_{around.io},
        clock_{around.clock},
        report_{around.report},
        memory_{around.memory},
        recorder_{around.recorder},
        host_{around.commons.get<BusHost>(settings_.key(), [&] {
          return std::make_shared<BusHost>(around.io, settings_.port, settings_.key());
        })} {
    for (const auto& [name, point] : settings_.counters) {
      const auto modulus = std::uint64_t{1} << (point.point.decoding.type == Type::uint16 ? 16 : 32);
      auto& counter = counters_.emplace(name, Counter{modulus, point.counter_most}).first->second;
      if (memory_.recall) {
        if (const auto saved = memory_.recall(name)) (void)counter.restore(*saved);
      }
    }
    for (const auto& each : settings_.outputs) outputs_.emplace(each.id, std::make_unique<Pin>(*this, each));
  }

  ~ModbusDevice() override { stop(); }

  void start() override {
    member_ = std::make_shared<Member>(settings_.member, clock_, recorder_,
                                       [&io = io_, weak = weak_from_this()](Polled polled) {
                                         boost::asio::post(io, [weak, polled = std::move(polled)]() mutable {
                                           if (const auto self = weak.lock()) self->on_polled(std::move(polled));
                                         });
                                       });
    host_->call([member = member_](Bus& bus) { bus.add(member); });
  }

  void stop() override {
    if (std::exchange(stopped_, true)) return;
    if (member_) host_->call([member = member_](Bus& bus) { bus.remove(member); });
    host_.reset();
  }

  Output* output(std::string_view id) override {
    const auto it = outputs_.find(id);
    return it == outputs_.end() ? nullptr : it->second.get();
  }

 private:
  class Pin final : public Output {
   public:
    Pin(ModbusDevice& device, const OutputSettings& settings) : device_{device}, settings_{settings} {}

    void set(const Value& value, std::function<void(Status)> done) override {
      auto words = encode_value(value, settings_.decoding);
      if (!words || !device_.member_ || device_.stopped_) {
        auto status = words ? fail(Errc::cancelled, "the device is not at work")
                            : fail(Errc::invalid, fmt::format("{} is no value for the output {}", hamlet::to_string(value),
                                                              settings_.id));
        return boost::asio::post(device_.io_, [status = Status{std::move(status)}, done = std::move(done)] { done(status); });
      }
      device_.write({settings_.coil, settings_.address, std::move(*words)}, std::move(done));
    }

   private:
    ModbusDevice& device_;
    const OutputSettings settings_;
  };

  void write(Write write, std::function<void(Status)> done) {
    auto told = [&io = io_, weak = weak_from_this(), done = std::move(done)](const tl::expected<void, Fault>& confirmed) {
      boost::asio::post(io, [weak, done, status = to_status(confirmed)] {
        if (const auto self = weak.lock(); self && !self->stopped_) done(status);
      });
    };
    host_->call([member = member_, write = std::move(write), told = std::move(told)](Bus& bus) {
      bus.write(member, write, told);
    });
  }

  void on_polled(Polled polled) {
    if (stopped_) return;
    if (!polled) return report_.failed(std::move(polled.error().why), std::move(polled.error().message));
    for (auto& reading : *polled) count_on(reading);
    report_.answered(std::move(*polled));
  }

  void count_on(Reading& reading) {
    const auto it = counters_.find(reading.point);
    const auto* raw = std::get_if<double>(&reading.value);
    if (it == counters_.end() || raw == nullptr) return;
    const auto before = it->second.save();
    const auto total = static_cast<double>(it->second.advance(static_cast<std::uint64_t>(*raw)));
    const auto& decoding = settings_.counters.at(reading.point).point.decoding;
    reading.value = decode_number(total, decoding);
    if (auto saved = it->second.save(); memory_.remember && saved != before) {
      memory_.remember(reading.point, std::move(saved));
    }
  }

  const Settings settings_;
  boost::asio::io_context& io_;
  Clock& clock_;
  Report& report_;
  const Memory& memory_;
  const std::shared_ptr<Recorder> recorder_;
  std::shared_ptr<BusHost> host_;
  std::shared_ptr<Member> member_;
  std::map<std::string, Counter> counters_;  // by point
  std::map<std::string, std::unique_ptr<Pin>, std::less<>> outputs_;
  bool stopped_ = false;
};

}  // namespace

PortSettings read_bus(const config::Table& bus) {
  PortSettings port{.framing = Framing::rtu};
  if (bus.has("address")) {
    read_ip(bus, port, 4001);
  } else {
    port.serial = serial::read_settings(bus);
  }
  port.gap = bus.duration_or("gap", 10ms, {0ms, 5s});
  port.echo = bus.flag_or("echo", false);
  return port;
}

Blueprint read(const config::Table& device, const std::string& id) {
  const auto profile = find_profile(device);
  auto settings = read_settings(device, profile);
  auto infos = read_all_points(device, id, profile, settings);
  auto outputs = read_all_outputs(device, id, settings);
  return {.points = std::move(infos),
          .outputs = std::move(outputs),
          .build = [settings = std::move(settings)](const Surroundings& around) {
            return std::make_shared<ModbusDevice>(settings, around);
          }};
}

}  // namespace hamlet::drivers::modbus
