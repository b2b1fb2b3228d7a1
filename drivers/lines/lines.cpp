#include "drivers/lines/lines.hpp"

#include <array>
#include <chrono>
#include <map>
#include <random>
#include <utility>

#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <fmt/format.h>
#include <unistd.h>

#include "drivers/lines/nmea.hpp"
#include "drivers/recorder.hpp"
#include "drivers/serial/serial.hpp"
#include "drivers/texts.hpp"
#include "firmware/core/worker.hpp"

namespace hamlet::drivers::lines {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;

constexpr Millis kConnect = 5s;
constexpr Millis kLongestPause = 30s;

struct Settings {
  std::optional<serial::Settings> serial;  ///< else by TCP
  asio::ip::tcp::endpoint endpoint;
  Millis timeout{};   ///< without a line that means something
  Millis interval{};  ///< between two readings of a point, at least
  std::string send;   ///< what asks for a line; empty: it comes by itself
  Millis every{};
  std::vector<std::string> points;
  std::shared_ptr<const Meaning> meaning;

  [[nodiscard]] std::string describe() const {
    return serial ? serial->path : fmt::format("{} port {}", endpoint.address().to_string(), endpoint.port());
  }
};

/// Listens for lines. A serial port is opened on a Worker, since that can block; all else happens on the io thread.
class LineDevice final : public Device, public std::enable_shared_from_this<LineDevice> {
 public:
  LineDevice(const std::string& id, Settings settings, const Surroundings& around)
      : settings_{std::move(settings)},
        io_{around.io},
        clock_{around.clock},
        report_{around.report},
        recorder_{around.recorder},
        stream_{around.io},
        silence_{around.io},
        pause_{around.io},
        ask_{around.io},
        last_(settings_.points.size()),
        worker_{settings_.serial ? std::make_unique<Worker>("lines-" + id, 2) : nullptr} {}

  ~LineDevice() override { stop(); }

  void start() override { open(); }

  void stop() override {
    if (std::exchange(stopped_, true)) return;
    hang_up();
    pause_.cancel();
    if (worker_) worker_->stop(Worker::Drain::no);
  }

 private:
  using ErrorCode = boost::system::error_code;

  // What runs on an event, unless the device has gone or stopped meanwhile, or the event is of an earlier connection.
  template <class Member>
  auto handler(Member member) {
    return [weak = weak_from_this(), turn = turn_, member](const ErrorCode& error, auto... more) {
      const auto self = weak.lock();
      if (self && !self->stopped_ && self->turn_ == turn) (self.get()->*member)(error, more...);
    };
  }

  void open() {
    if (!settings_.serial) return connect();
    const bool taken = worker_->post([&io = io_, weak = weak_from_this(), serial = *settings_.serial] {
      asio::post(io, [weak, fd = serial::open_port(serial)] {
        const auto self = weak.lock();
        if (self && !self->stopped_) return self->on_opened(fd);
        if (fd) serial::close_port(*fd);
      });
    });
    if (!taken) finish("no-port", "the port is still being opened");
  }

  void on_opened(const Result<int>& fd) {
    if (!fd) return finish(fd.error().code == Errc::unavailable ? "port-busy" : "no-port", fd.error().message);
    stream_.assign(*fd);
    listen();
  }

  void connect() {
    asio::ip::tcp::socket socket{io_, settings_.endpoint.protocol()};
    socket.non_blocking(true);
    socket.native_non_blocking(true);
    const int begun = ::connect(socket.native_handle(), settings_.endpoint.data(),
                                static_cast<socklen_t>(settings_.endpoint.size()));
    const int error = errno;
    stream_.assign(socket.release());
    if (begun != 0 && error != EINPROGRESS) return finish("unreachable", std::generic_category().message(error));
    silence_.expires_after(kConnect);
    silence_.async_wait(handler(&LineDevice::on_no_connection));
    stream_.async_wait(asio::posix::stream_descriptor::wait_write, handler(&LineDevice::on_connected));
  }

  void on_no_connection(const ErrorCode& error) {
    if (!error) finish("unreachable", "no connection within 5s; check power, network cable and address");
  }

  void on_connected(const ErrorCode& failed) {
    int error = failed ? failed.value() : 0;
    socklen_t size = sizeof error;
    if (!failed && getsockopt(stream_.native_handle(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
    if (error == 0) return listen();
    finish(error == ECONNREFUSED ? "refused" : "unreachable", std::generic_category().message(error));
  }

  void listen() {
    splitter_ = Splitter{};
    unmatched_.clear();
    await_line();
    ask();
    read();
  }

  void await_line() {
    silence_.expires_after(settings_.timeout);
    silence_.async_wait(handler(&LineDevice::on_silence));
  }

  void on_silence(const ErrorCode& error) {
    if (error) return;
    if (unmatched_.empty()) {
      return finish("silence", fmt::format("no line within {}; check power, wiring, baud rate", hamlet::to_string(settings_.timeout)));
    }
    finish("bad-answer", fmt::format("no line that means anything within {}; the last: {}", hamlet::to_string(settings_.timeout),
                                     unmatched_));
  }

  void ask() {
    if (settings_.send.empty()) return;
    const auto written = ::write(stream_.native_handle(), settings_.send.data(), settings_.send.size());
    if (written != static_cast<ssize_t>(settings_.send.size())) return finish("closed", "what asks for a line cannot be sent");
    if (recorder_) recorder_->sent({reinterpret_cast<const std::uint8_t*>(settings_.send.data()), settings_.send.size()});
    ask_.expires_after(settings_.every);
    ask_.async_wait(handler(&LineDevice::on_ask));
  }

  void on_ask(const ErrorCode& error) {
    if (!error) ask();
  }

  void read() { stream_.async_read_some(asio::buffer(chunk_), handler(&LineDevice::on_read)); }

  void on_read(const ErrorCode& error, std::size_t size) {
    if (error) {
      const auto* why = settings_.serial ? "no-port" : "closed";
      return finish(why, fmt::format("the connection is gone ({})", error.message()));
    }
    if (recorder_) recorder_->received({reinterpret_cast<const std::uint8_t*>(chunk_.data()), size});
    splitter_.feed({chunk_.data(), size}, [this](std::string_view line) { take(line); });
    if (!stopped_) read();
  }

  void take(std::string_view line) {
    std::string_view why;
    const auto found = settings_.meaning->read(line, why);
    if (found.empty()) {
      unmatched_ = fmt::format("\"{}\" ({})", printable(line), why);
      return;
    }
    await_line();
    failures_ = 0;
    std::vector<Reading> readings;
    const auto now = clock_.mono();
    for (const auto& each : found) {
      if (last_[each.point] && now - *last_[each.point] < settings_.interval) continue;  // a flood is thinned
      last_[each.point] = now;
      Reading reading{.point = settings_.points[each.point], .at = now, .value = each.value};
      if (std::holds_alternative<std::monostate>(reading.value)) {
        reading.quality = Quality::missing;
        reading.why = "no-value";
      }
      readings.push_back(std::move(reading));
    }
    if (!readings.empty()) report_.answered(std::move(readings));
  }

  static std::string printable(std::string_view line) {
    std::string out;
    for (const char c : line.substr(0, 80)) out.push_back(c >= ' ' && c <= '~' ? c : '?');
    return out;
  }

  void finish(std::string why, const std::string& what) {
    hang_up();
    report_.failed(std::move(why), fmt::format("{}: {}", settings_.describe(), what));
    const auto doubled = Millis{1000} * (1 << std::min(failures_++, 5U));
    const auto chance = std::uniform_real_distribution{0.75, 1.0}(random_);
    pause_.expires_after(std::chrono::duration_cast<Millis>(std::min(doubled, kLongestPause) * chance));
    pause_.async_wait(handler(&LineDevice::on_rested));
  }

  void on_rested(const ErrorCode& error) {
    if (!error) open();
  }

  void hang_up() {
    ++turn_;
    silence_.cancel();
    ask_.cancel();
    if (!stream_.is_open()) return;
    if (settings_.serial) {
      serial::close_port(stream_.release());
    } else {
      ErrorCode ignored;
      stream_.close(ignored);
    }
  }

  const Settings settings_;
  asio::io_context& io_;
  Clock& clock_;
  Report& report_;
  const std::shared_ptr<Recorder> recorder_;
  asio::posix::stream_descriptor stream_;
  asio::steady_timer silence_;
  asio::steady_timer pause_;
  asio::steady_timer ask_;
  std::array<char, 1024> chunk_{};
  Splitter splitter_;
  std::string unmatched_;                      // the last line that meant nothing
  std::vector<std::optional<MonoTime>> last_;  // by point
  unsigned failures_ = 0;
  std::uint64_t turn_ = 0;  // of the connection
  std::minstd_rand random_{std::random_device{}()};
  bool stopped_ = false;
  std::unique_ptr<Worker> worker_;  // last: it ends before what it uses
};

}  // namespace

Blueprint read(const config::Table& device, const std::string& id) {
  Settings settings;
  if (device.has("path")) {
    settings.serial = serial::read_settings(device);
  } else {
    boost::system::error_code error;
    const auto address = asio::ip::make_address(device.text("address"), error);
    if (error && device.has("address")) device.error("address", texts::want_ip_or_path());
    settings.endpoint = {address, static_cast<std::uint16_t>(device.integer("port", {1, 65535}))};
  }
  settings.timeout = device.duration_or("timeout", 30s, {1s, 24h});
  settings.interval = device.duration_or("interval", 1s, {0ms, 24h});
  settings.send = device.text_or("send", "");
  if (settings.send.size() > 256) device.error("send", texts::send_too_long());
  settings.every = device.duration_or("every", 10s, {100ms, 24h});
  std::vector<PointInfo> infos;
  settings.meaning = read_meaning(device, id, infos);
  for (const auto& info : infos) settings.points.push_back(info.point);
  return {.points = std::move(infos), .build = [id, settings = std::move(settings)](const Surroundings& around) {
            return std::make_shared<LineDevice>(id, settings, around);
          }};
}

}  // namespace hamlet::drivers::lines
