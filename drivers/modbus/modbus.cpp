#include "drivers/modbus/modbus.hpp"

#include <array>
#include <chrono>
#include <random>
#include <utility>

#include <arpa/inet.h>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <netinet/in.h>

#include "drivers/modbus/session.hpp"
#include "drivers/texts.hpp"
#include "firmware/core/worker.hpp"

namespace hamlet::drivers::modbus {
namespace {

using namespace std::chrono_literals;
using namespace std::string_view_literals;

constexpr std::array kFunctions{"coil"sv, "discrete"sv, "holding"sv, "input"sv};  // 1 to 4
constexpr std::array kTypes{"bit"sv,    "int16"sv,   "uint16"sv, "int32"sv,
                            "uint32"sv, "float32"sv, "float64"sv};     // from Type::bit
constexpr std::array kOrders{"ABCD"sv, "CDAB"sv, "BADC"sv, "DCBA"sv};  // as Order

bool is_ip_address(const std::string& text) {
  in6_addr any{};
  return inet_pton(AF_INET, text.c_str(), &any) == 1 || inet_pton(AF_INET6, text.c_str(), &any) == 1;
}

void refuse_keys(const config::Table& point, std::initializer_list<std::string_view> keys, const Text& reason) {
  for (const auto key : keys) {
    if (point.has(key)) point.error(key, reason);
  }
}

void read_register_type(const config::Table& point, Decoding& decoding) {
  decoding.type = static_cast<Type>(point.choice("type", kTypes) + static_cast<std::size_t>(Type::bit));
  decoding.order = static_cast<Order>(point.choice_or("order", 0, kOrders));
  decoding.invalid = point.numbers_or("invalid");
  if (width(decoding.type) == 1 && (decoding.order == Order::cdab)) {
    point.error("order", texts::no_order());
  }
  if (decoding.type == Type::bit) {
    decoding.bit = static_cast<unsigned>(point.integer("bit", {0, 15}));
    refuse_keys(point, {"scale", "offset"}, texts::not_for_a_bit());
    return;
  }
  refuse_keys(point, {"bit"}, texts::only_for_a_bit());
  decoding.scale = point.number_or("scale", 1);
  if (decoding.scale == 0) point.error("scale", texts::scale_zero());
  decoding.offset = point.number_or("offset", 0);
}

Point read_point(const config::Table& table, std::int64_t base) {
  Point point;
  point.need.function = static_cast<Function>(table.choice("function", kFunctions) + 1);
  if (is_bits(point.need.function)) {
    point.decoding.type = Type::flag;
    refuse_keys(table, {"type", "order", "bit", "scale", "offset", "invalid"},
                texts::not_for_a_flag());
  } else {
    read_register_type(table, point.decoding);
  }
  point.need.count = width(point.decoding.type);
  const auto address = table.integer("address", {base, base + 65535}) - base;
  if (address + point.need.count > 65536) {
    table.error("address", texts::beyond_last_register(point.need.count));
  }
  point.need.address = static_cast<std::uint16_t>(address);
  return point;
}

Settings read_settings(const config::Table& device) {
  Settings settings;
  settings.address = device.text("address");
  if (!is_ip_address(settings.address) && device.has("address")) {
    device.error("address", texts::want_ip_address());
  }
  settings.port = static_cast<std::uint16_t>(device.integer_or("port", settings.port, {1, 65535}));
  settings.unit = static_cast<std::uint8_t>(device.integer_or("unit_id", settings.unit, {0, 255}));
  settings.period = device.duration_or("period", settings.period, {100ms, 24h});
  settings.timeout = device.duration_or("timeout", settings.timeout, {50ms, 30s});
  settings.retries = static_cast<unsigned>(device.integer_or("retries", settings.retries, {0, 10}));
  settings.backoff_max = device.duration_or("backoff_max", settings.backoff_max, {1s, 1h});
  settings.max_gap = static_cast<std::uint32_t>(device.integer_or("max_gap", settings.max_gap, {0, 124}));
  return settings;
}

/// Polls on a Worker of its own, so that it delays nobody. A period that the device cannot hold is skipped, not caught
/// up.
class ModbusDevice final : public Device, public std::enable_shared_from_this<ModbusDevice> {
 public:
  ModbusDevice(const std::string& id, const Settings& settings, Surroundings around)
      : period_{settings.period},
        backoff_max_{settings.backoff_max},
        io_{around.io},
        report_{around.report},
        session_{settings, around.clock},
        timer_{around.io},
        random_{std::random_device{}()},
        worker_{"modbus-" + id, 1} {}

  ~ModbusDevice() override { stop(); }

  void start() override {
    due_ = std::chrono::steady_clock::now();
    poll();
  }

  void stop() override {
    stopped_ = true;
    timer_.cancel();
    session_.cancel();
    worker_.stop(Worker::Drain::no);
  }

 private:
  using Polled = tl::expected<std::vector<Reading>, Fault>;

  // One poll is under way at a time: the next is asked for when its answer is here.
  void poll() {
    const bool taken = worker_.post([this, weak = weak_from_this()] {
      boost::asio::post(io_, [weak, polled = session_.poll()]() mutable {
        if (const auto self = weak.lock()) self->on_polled(std::move(polled));
      });
    });
    if (!taken) stopped_ = true;  // only after stop()
  }

  void on_polled(Polled polled) {
    if (stopped_) return;
    if (polled) {
      failures_ = 0;
      report_.answered(std::move(*polled));
      const auto now = std::chrono::steady_clock::now();
      do {
        due_ += period_;
      } while (due_ <= now);
    } else {
      ++failures_;
      report_.failed(std::move(polled.error().why), std::move(polled.error().message));
      const auto chance = std::uniform_real_distribution{}(random_);
      due_ = std::chrono::steady_clock::now() + retry_delay(period_, backoff_max_, failures_, chance);
    }
    timer_.expires_at(due_);
    timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
      if (error) return;
      if (const auto self = weak.lock()) self->on_due();
    });
  }

  void on_due() {
    if (!stopped_) poll();
  }

  const Millis period_;
  const Millis backoff_max_;
  boost::asio::io_context& io_;
  Report& report_;
  Session session_;  // used on worker_, but for cancel()
  boost::asio::steady_timer timer_;
  std::chrono::steady_clock::time_point due_{};
  unsigned failures_ = 0;  // polls in a row
  std::minstd_rand random_;
  bool stopped_ = false;
  Worker worker_;  // last: it ends before what it uses
};

}  // namespace

Blueprint read(const config::Table& device, const std::string& id) {
  auto settings = read_settings(device);
  const auto base = device.integer_or("base", 0, {0, 1});
  auto infos = read_points(device, id, [&](const config::Table& table) {
    settings.points.push_back(read_point(table, base));
    const auto type = settings.points.back().decoding.type;
    return type == Type::flag || type == Type::bit ? ValueType::boolean : ValueType::number;
  });
  for (std::size_t i = 0; i < infos.size(); ++i) settings.points[i].name = infos[i].point;
  return {.points = std::move(infos), .build = [id, settings = std::move(settings)](Surroundings around) {
            return std::make_shared<ModbusDevice>(id, settings, around);
          }};
}

}  // namespace hamlet::drivers::modbus
