#include "drivers/hj212/hj212.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <deque>
#include <map>
#include <set>
#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "drivers/stations/framed_session.hpp"
#include "drivers/stations/seen.hpp"
#include "drivers/texts.hpp"
#include "firmware/core/log.hpp"
#include "firmware/wire/hj212.hpp"

namespace hamlet::drivers::hj212 {
namespace {

namespace wire = hamlet::wire::hj212;
using hamlet::wire::parse_china_digits;
using nlohmann::json;
using stations::Line;
using namespace std::chrono_literals;
using namespace std::string_view_literals;

constexpr Millis kClockOff{5min};
constexpr Millis kSettle{2s};      // from the first packet of a connection to the first request
constexpr Millis kUploads{60s};    // between two uploads of a history, and to its end
constexpr std::size_t kMaxPending = 64;

/// What data comes in, by the command that brings it.
struct DataKind {
  std::string_view name;  // in the config
  std::string_view cn;
  Millis period;  // of what can be asked for again; 0: cannot
};
constexpr std::array kData{
    DataKind{"realtime", "2011", 0min}, DataKind{"minute", "2051", 1min}, DataKind{"hour", "2061", 60min},
    DataKind{"day", "2031", 24h},       DataKind{"state", "2021", 0min},  DataKind{"runtime", "2041", 0min},
};
constexpr std::array kDataNames{kData[0].name, kData[1].name, kData[2].name, kData[3].name, kData[4].name, kData[5].name};
constexpr std::array kVersions{"2017"sv, "2005"sv, "2025"sv};

const DataKind* find_kind(std::string_view cn) {
  const auto* found = std::find_if(kData.begin(), kData.end(), [&](const DataKind& kind) { return kind.cn == cn; });
  return found == kData.end() ? nullptr : found;
}

struct PointSettings {
  std::string name;
  std::string factor;
  std::string value;
  std::string_view cn;
};

struct Settings {
  stations::PortTerms port;
  std::string mn;
  std::string pw;
  unsigned version = 1;  // of Flag
  wire::Options options;
  std::string marks = "N";
  bool set_clock = false;
  Millis silence{10min};
  Millis timeout{10s};
  unsigned retries = 3;
  std::vector<std::string_view> history;  // CN of what is asked for again
  Millis history_max{7 * 24h};
  std::vector<PointSettings> points;
};

// The same for the same content, on every machine: FNV-1a. Where the content is not dated, its QN tells it from the next.
std::uint64_t digest(const wire::Packet& packet, bool dated) {
  std::uint64_t out = 0xCBF29CE484222325U;
  const auto mix = [&out](std::string_view text) {
    for (const char c : text) out = (out ^ static_cast<unsigned char>(c)) * 0x100000001B3U;
    out = (out ^ 0xFFU) * 0x100000001B3U;
  };
  if (!dated) mix(packet.qn);
  for (const auto& item : packet.cp) {
    for (const auto& pair : item) {
      mix(pair.name);
      mix(pair.value);
    }
  }
  return out;
}

/// One monitor: takes its data, stores each packet once, answers what is durable, asks for the history it missed.
///
/// Io thread only. What survives power loss is in Memory, under the device's id: the packets it has had lately and how far
/// its minute, hour and day data have come.
class Monitor final : public Device, public stations::Member, public std::enable_shared_from_this<Monitor> {
 public:
  Monitor(const std::string& id, const Settings& settings, Surroundings around)
      : id_{id},
        settings_{settings},
        clock_{around.clock},
        report_{around.report},
        memory_{around.memory},
        recorder_{std::move(around.recorder)},
        port_{around.commons.get<stations::Port>("hj212 " + settings.port.settings.describe(),
                                                 [&] { return open_port(around.io, settings); })},
        silence_{around.io},
        request_timer_{around.io} {}

  ~Monitor() override { stop(); }

  void start() override {
    recall();
    joined_ = port_->join(settings_.mn, *this);
    if (!joined_) tell_taken();
    watch();
  }

  void stop() override {
    stopped_ = true;
    silence_.cancel();
    request_timer_.cancel();
    if (std::exchange(joined_, false)) port_->leave(settings_.mn);
  }

  void port_failed(const std::string& why, const std::string& message) override { report_.failed(why, message); }
  void port_happened(std::string kind, json detail) override { report_.happened(std::move(kind), std::move(detail)); }
  [[nodiscard]] const stations::Admission& allow() const override { return settings_.port.allow; }
  [[nodiscard]] Recorder* recorder() const override { return recorder_.get(); }

  /// A packet with this monitor's MN and a right CRC. False where it may not speak for it.
  [[nodiscard]] bool take(const wire::Packet& packet, Line& line);

 private:
  static std::shared_ptr<stations::Port> open_port(boost::asio::io_context& io, const Settings& settings);

  void take_data(const wire::Packet& packet, const DataKind& kind, Line& line);
  void deliver(const wire::Packet& packet, const DataKind& kind);
  void on_durable(const std::string& key, const Status& status);
  void answer_data(const wire::Packet& packet, Line& line) const;
  void check_clock(const wire::Packet& packet, Line& line);
  [[nodiscard]] Reading reading_of(const PointSettings& point, const wire::Value& value, std::optional<WallTime> time) const;

  // What is asked of the monitor, one thing at a time.
  void on_connected();
  void finish_request(bool all);
  void next_request();
  void send_request();
  void arm_request(Millis after) {
    request_timer_.expires_after(after);
    request_timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
      const auto self = weak.lock();
      if (!error && self && !self->stopped_) self->on_request_timer();
    });
  }
  void on_request_timer();
  void on_answer(const wire::Packet& packet);
  [[nodiscard]] wire::Packet request(std::string cn, std::vector<wire::Item> cp) const;

  void recall();
  void remember() const;
  // Not from inside start().
  void tell_taken() {
    boost::asio::post(silence_.get_executor(), [weak = weak_from_this()] {
      const auto self = weak.lock();
      if (!self || self->stopped_) return;
      self->report_.failed("taken", fmt::format("another device has MN {} at {}; one of the two has to go from the config",
                                                self->settings_.mn, self->port_->settings().describe()));
    });
  }

  void watch() {
    silence_.expires_after(settings_.silence);
    silence_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
      const auto self = weak.lock();
      if (error || !self || self->stopped_) return;
      self->quiet_ = true;
      self->report_.failed("timeout", fmt::format("monitor {} has sent nothing for {}; check its power, network and that it reports to {}",
                                                  self->settings_.mn, hamlet::to_string(self->settings_.silence),
                                                  self->port_->settings().describe()));
      self->watch();
    });
  }

  struct Pending {
    wire::Packet packet;
    std::weak_ptr<Line> line;
  };
  struct Request {
    std::string cn;
    WallTime from{};
    WallTime to{};
  };

  const std::string id_;
  const Settings settings_;
  Clock& clock_;
  Report& report_;
  const Memory& memory_;
  const std::shared_ptr<Recorder> recorder_;
  const std::shared_ptr<stations::Port> port_;
  boost::asio::steady_timer silence_;
  boost::asio::steady_timer request_timer_;
  bool joined_ = false;
  bool stopped_ = false;
  bool quiet_ = true;  // nothing heard since the start or since it went silent
  stations::Seen seen_;
  std::map<std::string, WallTime, std::less<>> newest_;  // DataTime, by CN
  std::map<std::string, Pending> pending_;
  std::weak_ptr<Line> line_;  // where it spoke last
  std::string system_ = "31";  // ST of its data
  bool clock_off_ = false;

  std::deque<Request> wanted_;
  std::set<std::string, std::less<>> behind_;  // CN of which history is still to come
  std::optional<wire::Packet> asked_;          // under way
  WallTime asked_to_{};
  unsigned tries_ = 0;
  bool agreed_ = false;  // 9011 said yes; now uploads and 9012
};

/// Packets out of a line's bytes, each to its monitor.
class Session final : public stations::FramedSession<wire::Decoder> {
 public:
  Session(stations::Port& port, Line& line, const wire::Options& options) : FramedSession{port, line, wire::Decoder{options}} {}
  [[nodiscard]] bool waiting() const override { return decoder_.pending() > 1; }

 private:
  [[nodiscard]] bool take(const Frame& frame) override {
    const auto& packet = frame.packet;
    auto* const member = port_.find(packet.mn);
    if (member == nullptr) port_.stranger(packet.mn.substr(0, 32), line_.peer(), "unknown-station");
    return member != nullptr && static_cast<Monitor*>(member)->take(packet, line_);
  }
};

std::shared_ptr<stations::Port> Monitor::open_port(boost::asio::io_context& io, const Settings& settings) {
  return std::make_shared<stations::Port>(io, settings.port.settings,
                                          [options = settings.options](stations::Port& port, Line& line) {
                                            return std::make_unique<Session>(port, line, options);
                                          });
}

bool Monitor::take(const wire::Packet& packet, Line& line) {
  if (stopped_) return false;
  if (!line.admitted_by(settings_.port.allow)) {
    port_->stranger(settings_.mn, line.peer(), "not-admitted");
    return false;
  }
  if (!settings_.pw.empty() && packet.pw != settings_.pw) {
    port_->stranger(settings_.mn, line.peer(), "wrong-password");
    if (packet.wants_answer()) line.send(wire::encode(wire::answer(packet, "9011", {{{"QnRtn", "3"}}})));
    return false;
  }
  line.identify();
  watch();
  const auto before = line_.lock();
  line_ = line.weak();
  if (before.get() != &line || std::exchange(quiet_, false)) on_connected();
  quiet_ = false;

  if (const auto* kind = find_kind(packet.cn)) {
    system_ = packet.st;
    take_data(packet, *kind, line);
  } else if (packet.cn == "9011" || packet.cn == "9012") {
    report_.answered({});
    on_answer(packet);
  } else {
    report_.answered({});
    if (packet.cn == "1013" || packet.cn == "9015") {
      line.send(wire::encode(wire::answer(packet, "9013")));
    } else if (!packet.cn.starts_with('9')) {
      answer_data(packet, line);
    }
  }
  check_clock(packet, line);
  return true;
}

void Monitor::answer_data(const wire::Packet& packet, Line& line) const {
  if (packet.wants_answer()) line.send(wire::encode(wire::answer(packet, "9014")));
}

void Monitor::take_data(const wire::Packet& packet, const DataKind& kind, Line& line) {
  if (asked_ && agreed_ && asked_->cn == packet.cn) arm_request(kUploads);
  const auto time = wire::data_of(packet).time;
  const auto key = fmt::format("{}:{:016x}", packet.cn, digest(packet, time.has_value()));
  const auto waiting = pending_.find(key);
  if (waiting != pending_.end()) {  // repeated before we could answer
    waiting->second = {packet, line.weak()};
    return;
  }
  if (seen_.contains(key)) {
    report_.answered({});
    return answer_data(packet, line);
  }
  if (pending_.size() >= kMaxPending) return;  // the journal does not keep up: the monitor repeats
  pending_[key] = {packet, line.weak()};
  seen_.add(key);
  if (time && kind.period > 0min && !behind_.contains(packet.cn) && *time <= clock_.wall() + kClockOff) {
    auto& newest = newest_[packet.cn];
    newest = std::max(newest, *time);
  }
  deliver(packet, kind);
  remember();
  report_.when_durable([weak = weak_from_this(), key](const Status& status) {
    const auto self = weak.lock();
    if (self && !self->stopped_) self->on_durable(key, status);
  });
}

void Monitor::on_durable(const std::string& key, const Status& status) {
  auto found = pending_.extract(key);
  if (found.empty()) return;
  if (!status) {
    seen_.forget(key);
    return remember();
  }
  const auto line = found.mapped().line.lock();
  if (line && !line->closed()) answer_data(found.mapped().packet, *line);
}

void Monitor::deliver(const wire::Packet& packet, const DataKind& kind) {
  const auto data = wire::data_of(packet);
  std::vector<Reading> readings;
  for (const auto& point : settings_.points) {
    if (point.cn != kind.cn) continue;
    for (const auto& value : data.values) {
      if (value.code == point.factor && value.suffix == point.value) readings.push_back(reading_of(point, value, data.time));
    }
  }
  std::stable_sort(readings.begin(), readings.end(), [](const Reading& a, const Reading& b) { return a.at < b.at; });
  report_.answered(std::move(readings));
}

Reading Monitor::reading_of(const PointSettings& point, const wire::Value& value, std::optional<WallTime> time) const {
  auto out = stations::dated(point.name, value.sampled ? value.sampled : time, clock_);
  if (!value.number) {
    out.quality = Quality::missing;
    out.why = value.text.empty() ? "invalid-raw" : "not-a-number";
    return out;
  }
  out.value = *value.number;
  if (value.mark.empty() || settings_.marks.find(value.mark) != std::string::npos) return out;
  out.quality = Quality::bad;  // the instrument says so itself
  const auto letter = value.mark.size() == 1 ? value.mark[0] : '?';
  constexpr auto kKnown = "FMSDCTB"sv;
  out.why = kKnown.find(letter) == std::string_view::npos
                ? "mark"
                : fmt::format("mark-{}", static_cast<char>(letter - 'A' + 'a'));
  return out;
}

void Monitor::check_clock(const wire::Packet& packet, Line& line) {
  const auto sent = parse_china_digits(packet.qn);
  if (!clock_.synced() || packet.cn.starts_with("90")) return;
  const auto now = clock_.wall();
  const bool off = !sent || std::chrono::abs(*sent - now) > kClockOff;
  const bool changed = std::exchange(clock_off_, off) != off;
  if (changed) {
    log::info(off ? "the monitor's clock is off" : "the monitor's clock is right again", {{"device", id_}, {"qn", packet.qn}});
    report_.happened("clock", {{"off", off}, {"sent", packet.qn.substr(0, 32)}});
  }
  const bool asks = packet.cn == "1013";
  if (settings_.set_clock && ((changed && off) || asks)) {
    line.send(wire::encode(request("1012", {{{"SystemTime", hamlet::wire::china_digits(now).substr(0, 14)}}})));
  }
}

// ---- history -------------------------------------------------------------------------------------------------------

wire::Packet Monitor::request(std::string cn, std::vector<wire::Item> cp) const {
  return {.qn = wire::qn_of(clock_.wall()),
          .st = system_,
          .cn = std::move(cn),
          .pw = settings_.pw.empty() ? "123456" : settings_.pw,
          .mn = settings_.mn,
          .flag = (settings_.version << 2U) | 1U,
          .cp = std::move(cp)};
}

// A new connection, or the first word after a silence: what came meanwhile is asked for. Until it has come, live data does
// not move the mark from which we ask: a connection that breaks again costs nothing.
void Monitor::on_connected() {
  asked_.reset();
  wanted_.clear();
  behind_.clear();
  if (!clock_.synced()) return;
  const auto now = clock_.wall();
  for (const auto cn : settings_.history) {
    const auto newest = newest_.find(cn);
    const auto period = find_kind(cn)->period;
    if (newest == newest_.end()) continue;  // nothing to go on from
    const auto from = std::max(newest->second + period, now - settings_.history_max);
    if (now - from <= 2 * period) continue;
    wanted_.push_back({std::string{cn}, from, now});
    behind_.insert(std::string{cn});
  }
  if (!wanted_.empty()) arm_request(kSettle);
}

// `all`: what was asked for has come, or never will.
void Monitor::finish_request(bool all) {
  if (asked_ && all) {
    behind_.erase(asked_->cn);
    auto& newest = newest_[asked_->cn];
    newest = std::max(newest, asked_to_ - find_kind(asked_->cn)->period);
    remember();
  }
  next_request();
}

void Monitor::next_request() {
  asked_.reset();
  if (wanted_.empty()) return;
  const auto next = std::move(wanted_.front());
  wanted_.pop_front();
  const auto digits = [](WallTime time) { return hamlet::wire::china_digits(time).substr(0, 14); };
  asked_to_ = next.to;
  asked_ = request(next.cn, {{{"BeginTime", digits(next.from)}}, {{"EndTime", digits(next.to)}}});
  tries_ = 0;
  agreed_ = false;
  log::info("asks for the history that was missed", {{"device", id_}, {"cn", next.cn}, {"from", to_china_time(next.from)}});
  send_request();
}

void Monitor::send_request() {
  const auto line = line_.lock();
  if (!line || line->closed() || tries_ > settings_.retries) return finish_request(false);
  ++tries_;
  line->send(wire::encode(*asked_));
  arm_request(settings_.timeout);
}

void Monitor::on_request_timer() {
  if (!asked_) return next_request();            // the connection has settled
  if (agreed_) return finish_request(false);  // the uploads have ended without a 9012
  send_request();
}

void Monitor::on_answer(const wire::Packet& packet) {
  if (!asked_ || packet.qn != asked_->qn) return;
  if (packet.cn == "9012") return finish_request(true);
  if (packet.find("QnRtn") != "1") {
    log::warning("the monitor refuses to give its history",
                 {{"device", id_}, {"cn", asked_->cn}, {"QnRtn", packet.find("QnRtn")}});
    return finish_request(true);
  }
  agreed_ = true;
  arm_request(kUploads);
}

// "2051=20260101080000 2061=… | keys"
void Monitor::recall() {
  if (!memory_.recall) return;
  const auto text = memory_.recall(id_).value_or("");
  const auto bar = text.find('|');
  if (bar == std::string::npos) return;
  seen_ = stations::Seen{std::string_view{text}.substr(bar + 1)};
  for (const auto& kind : kData) {
    const auto at = text.find(fmt::format("{}=", kind.cn));
    if (at == std::string::npos || at > bar) continue;
    if (const auto time = parse_china_digits(std::string_view{text}.substr(at + 5, 14))) newest_[std::string{kind.cn}] = *time;
  }
}

void Monitor::remember() const {
  if (!memory_.remember) return;
  std::string text;
  for (const auto& [cn, time] : newest_) text += fmt::format("{}={} ", cn, hamlet::wire::china_digits(time).substr(0, 14));
  memory_.remember(id_, text + "|" + seen_.text());
}

// ---- config --------------------------------------------------------------------------------------------------------

PointSettings read_point(const config::Table& table) {
  PointSettings point;
  point.factor = table.text("factor");
  point.value = table.text_or("value", "Rtd");
  point.cn = kData.at(table.choice_or("data", 0, kDataNames)).cn;
  return point;
}

}  // namespace

Blueprint read(const config::Table& device, const std::string& id) {
  Settings settings;
  settings.port = stations::read_port(device);
  settings.mn = device.text("mn");
  settings.pw = device.secret_or("password").reveal();
  constexpr std::array kFlags{1U, 0U, 2U};
  settings.version = kFlags.at(device.choice_or("version", 0, kVersions));
  settings.options.max_segment = static_cast<std::size_t>(device.integer_or("max_segment", 4096, {1024, 9999}));
  settings.options.modbus_crc = device.flag_or("accept_modbus_crc", false);
  settings.marks = device.text_or("good_marks", "N");
  settings.set_clock = device.flag_or("set_clock", false);
  settings.silence = device.duration_or("silence", settings.silence, {10s, 30 * 24h});
  settings.timeout = device.duration_or("timeout", settings.timeout, {1s, 99s});
  settings.retries = static_cast<unsigned>(device.integer_or("retries", settings.retries, {0, 10}));
  settings.history_max = device.duration_or("history_max", settings.history_max, {1h, 365 * 24h});
  for (const auto& word : device.texts_or("history")) {
    const auto* found = std::find_if(kData.begin(), kData.end(), [&](const DataKind& kind) { return kind.name == word && kind.period > 0min; });
    if (found == kData.end()) {
      device.error("history", texts::no_history_of(word));
    } else {
      settings.history.push_back(found->cn);
    }
  }
  auto infos = read_points(device, id, [&](const config::Table& table) {
    settings.points.push_back(read_point(table));
    return ValueType::number;
  });
  for (std::size_t i = 0; i < infos.size(); ++i) settings.points[i].name = infos[i].point;
  return {.points = std::move(infos), .build = [id, settings = std::move(settings)](Surroundings around) {
            return std::make_shared<Monitor>(id, settings, std::move(around));
          }};
}

}  // namespace hamlet::drivers::hj212
