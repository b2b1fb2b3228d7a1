#include "drivers/sl651/sl651.hpp"

#include <algorithm>
#include <array>
#include <chrono>
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
#include "firmware/wire/sl651.hpp"

namespace hamlet::drivers::sl651 {
namespace {

namespace wire = hamlet::wire::sl651;
using hamlet::wire::FrameFault;
using nlohmann::json;
using stations::Line;
using namespace std::chrono_literals;
using namespace std::string_view_literals;

constexpr Millis kClockOff{5min};        // more than this and we say so
constexpr Millis kAssemblyAge{10min};    // packets of one message
constexpr unsigned kMaxNaks = 2;         // rounds, section M3
constexpr unsigned kMaxAsks = 3;         // times a query is sent, section M4
constexpr Millis kSettle{1s};            // after a station's first word, before it is asked; and for another's turn
constexpr std::size_t kMaxPending = 64;  // reports on their way into the journal
constexpr std::size_t kMaxText = 2'000;  // of a manual report in an event

constexpr std::array kEncodings{"auto"sv, "hex"sv, "ascii"sv};
constexpr std::array kConfirms{"eot"sv, "esc"sv, "none"sv};

struct PointSettings {
  std::string name;             // "device.point"
  std::uint16_t element = 0;    // 0: by symbol
  std::string symbol;
  std::optional<unsigned> bit;  // of a status
  double base = 0;              // of a relative level
};

struct Settings {
  stations::PortTerms port;
  wire::Address station;
  std::optional<std::uint16_t> password;
  std::optional<std::uint8_t> centre;
  std::optional<wire::Encoding> encoding;
  std::size_t confirm = 0;  // of kConfirms
  bool confirm_damaged = true;
  bool set_clock = false;
  Millis silence{2h};
  Millis query{};  // mode M4: how often it is asked; 0: it reports by itself
  Millis timeout{10s};
  std::vector<PointSettings> points;
};

std::uint8_t end_of(std::size_t confirm) { return confirm == 1 ? wire::kEsc : wire::kEot; }

wire::Frame without_body(const wire::Frame& frame) {
  return {.encoding = frame.encoding,
          .centre = frame.centre,
          .station = frame.station,
          .password = frame.password,
          .function = frame.function,
          .packets = frame.packets};
}

/// Which station is being asked on a line that several share.
struct Turn {
  const void* holder = nullptr;
};

/// One station: takes its reports, asks for them where it does not send them by itself (M4), stores each once, confirms
/// what is durable.
///
/// Io thread only. What survives power loss is in Memory, under the device's id: the newest reports it has had.
class Station final : public Device, public stations::Member, public std::enable_shared_from_this<Station> {
 public:
  Station(const std::string& id, const Settings& settings, Surroundings around)
      : id_{id},
        settings_{settings},
        clock_{around.clock},
        report_{around.report},
        memory_{around.memory},
        recorder_{std::move(around.recorder)},
        port_{around.commons.get<stations::Port>("sl651 " + settings.port.settings.describe(),
                                                 [&] { return open_port(around.io, settings.port.settings); })},
        turn_{around.commons.get<Turn>("sl651 turn " + settings.port.settings.describe(), [] { return std::make_shared<Turn>(); })},
        silence_{around.io},
        packets_timer_{around.io},
        query_timer_{around.io} {}

  ~Station() override { stop(); }

  void start() override {
    if (memory_.recall) seen_ = stations::Seen{memory_.recall(id_).value_or("")};
    joined_ = port_->join(settings_.station.text(), *this);
    if (!joined_) return tell_taken();
    watch();
    if (settings_.query > 0ms) ask_after(kSettle);
  }

  void stop() override {
    stopped_ = true;
    silence_.cancel();
    packets_timer_.cancel();
    query_timer_.cancel();
    end_turn();
    if (std::exchange(joined_, false)) port_->leave(settings_.station.text());
  }

  void port_failed(const std::string& why, const std::string& message) override { report_.failed(why, message); }
  void port_happened(std::string kind, json detail) override { report_.happened(std::move(kind), std::move(detail)); }
  [[nodiscard]] const stations::Admission& allow() const override { return settings_.port.allow; }
  [[nodiscard]] Recorder* recorder() const override { return recorder_.get(); }

  /// A frame of this station with a right CRC, from a line that it may use.
  /// False where it is not to be trusted.
  [[nodiscard]] bool take(const wire::Frame& frame, Line& line);
  /// Values of this station in a report of another: a relay's.
  void take_observations(const std::vector<wire::Observation>& seen);

 private:
  static std::shared_ptr<stations::Port> open_port(boost::asio::io_context& io, const stations::PortSettings& settings);

  [[nodiscard]] bool is_trusted(const wire::Frame& frame, const Line& line);
  void take_packet(const wire::Frame& packet, Line& line);
  void ask_again_for_packets();
  void ask();
  void on_query_timer();
  [[nodiscard]] std::shared_ptr<Line> line_to_ask() const;
  void end_turn() {
    if (turn_->holder == this) turn_->holder = nullptr;
  }
  void take_message(const wire::Frame& message, const wire::Frame& last, Line& line);
  void deliver(const wire::Frame& message, const wire::Body& body);
  void confirm(const wire::Frame& frame, std::uint16_t serial, Line& line);
  void on_durable(const std::string& key, const Status& status);
  void check_clock(const wire::Body& body, const wire::Frame& frame);
  void say_once(const std::string& what, std::string_view kind, json detail);
  [[nodiscard]] Reading reading_of(const PointSettings& point, const wire::Observation& seen) const;

  // Not from inside start().
  void tell_taken() {
    boost::asio::post(silence_.get_executor(), [weak = weak_from_this()] {
      const auto self = weak.lock();
      if (!self || self->stopped_) return;
      self->report_.failed("taken", fmt::format("another device has station {} at {}; one of the two has to go from the config",
                                                self->settings_.station.text(), self->port_->settings().describe()));
    });
  }

  void ask_after(Millis time) { run_after(query_timer_, time, &Station::on_query_timer); }

  void run_after(boost::asio::steady_timer& timer, Millis time, void (Station::*then)()) {
    timer.expires_after(time);
    timer.async_wait([weak = weak_from_this(), then](const boost::system::error_code& error) {
      const auto self = weak.lock();
      if (!error && self && !self->stopped_) (self.get()->*then)();
    });
  }

  void watch() {
    silence_.expires_after(settings_.silence);
    silence_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
      const auto self = weak.lock();
      if (error || !self || self->stopped_) return;
      self->report_.failed("timeout", fmt::format("station {} has sent nothing for {}; check its power, antenna and SIM, and that it "
                                                  "reports to {}",
                                                  self->settings_.station.text(), hamlet::to_string(self->settings_.silence),
                                                  self->port_->settings().describe()));
      self->watch();
    });
  }

  // Who waits for a report to become durable.
  struct Pending {
    wire::Frame frame;
    std::uint16_t serial = 0;
    std::weak_ptr<Line> line;
    bool confirm = false;
  };

  const std::string id_;
  const Settings settings_;
  Clock& clock_;
  Report& report_;
  const Memory& memory_;
  const std::shared_ptr<Recorder> recorder_;
  const std::shared_ptr<stations::Port> port_;
  const std::shared_ptr<Turn> turn_;
  boost::asio::steady_timer silence_;
  boost::asio::steady_timer packets_timer_;
  boost::asio::steady_timer query_timer_;
  std::weak_ptr<Line> line_;                // where it spoke last
  std::optional<wire::Frame> heard_;        // its last frame, for what a query to it must look like
  unsigned asks_ = 0;                       // of the query under way; 0: there is none
  bool joined_ = false;
  bool stopped_ = false;
  stations::Seen seen_;
  std::map<std::string, Pending> pending_;  // by key; these are in seen_, too
  wire::Assembly assembly_;
  MonoTime assembly_since_{};
  std::optional<wire::Frame> packet_;  // the last that came of the message
  unsigned naks_ = 0;
  std::set<std::string> said_;
  bool clock_off_ = false;
  bool set_clock_due_ = false;
};

/// Frames out of a line's bytes, each to its station.
class Session final : public stations::FramedSession<wire::Decoder> {
 public:
  Session(stations::Port& port, Line& line) : FramedSession{port, line} {}
  [[nodiscard]] bool waiting() const override { return decoder_.pending() > 0; }

 private:
  [[nodiscard]] bool take(const wire::Frame& frame) override {
    if (frame.down) return true;  // an echo
    const auto name = frame.station.text();
    auto* const member = port_.find(name);
    if (member == nullptr) port_.stranger(name, line_.peer(), "unknown-station");
    return member != nullptr && static_cast<Station*>(member)->take(frame, line_);
  }
};

std::shared_ptr<stations::Port> Station::open_port(boost::asio::io_context& io, const stations::PortSettings& settings) {
  return std::make_shared<stations::Port>(
      io, settings, [](stations::Port& port, Line& line) { return std::make_unique<Session>(port, line); });
}

void Station::say_once(const std::string& what, std::string_view kind, json detail) {
  constexpr std::size_t kMost = 64;
  if (said_.size() >= kMost || !said_.insert(fmt::format("{} {}", kind, what)).second) return;
  log::warning(kind, {{"device", id_}, {"detail", detail.dump(-1, ' ', false, json::error_handler_t::replace)}});
  report_.happened(std::string{kind}, std::move(detail));
}

bool Station::is_trusted(const wire::Frame& frame, const Line& line) {
  const auto refuse = [&](std::string_view reason) {
    port_->stranger(settings_.station.text(), line.peer(), reason);
    return false;
  };
  if (!line.admitted_by(settings_.port.allow)) return refuse("not-admitted");
  if (settings_.password && frame.password != *settings_.password) return refuse("wrong-password");
  if (settings_.centre && frame.centre != *settings_.centre) return refuse("wrong-centre");
  if (settings_.encoding && frame.encoding != *settings_.encoding) return refuse("wrong-encoding");
  return true;
}

bool Station::take(const wire::Frame& frame, Line& line) {
  if (stopped_ || !is_trusted(frame, line)) return false;
  line.identify();
  watch();
  const bool elsewhere = std::exchange(line_, line.weak()).lock().get() != &line;
  heard_ = without_body(frame);
  if (asks_ > 0 && frame.function == wire::kRealTime) {
    if (frame.end == wire::kEtx) {  // else more of the answer follows
      asks_ = 0;
      end_turn();
      ask_after(settings_.query);
    }
  } else if (elsewhere && settings_.query > 0ms && asks_ == 0) {
    ask_after(kSettle);
  }
  if (frame.packets) {
    report_.answered({});
    take_packet(frame, line);
  } else {
    take_message(frame, frame, line);
  }
  return true;
}

// M3: packets come back to back; when the last is here, one answer names what is missing or confirms the whole.
void Station::take_packet(const wire::Frame& packet, Line& line) {
  if (!assembly_.empty() && clock_.mono() - assembly_since_ > kAssemblyAge) assembly_.clear();
  if (assembly_.empty()) {
    assembly_since_ = clock_.mono();
    naks_ = 0;
  }
  if (!assembly_.add(packet)) {
    return say_once("packets", "damaged", {{"why", "more packets than allowed"}, {"count", packet.packets->count}});
  }
  if (assembly_.complete()) {
    const auto whole = assembly_.whole();
    assembly_.clear();
    packets_timer_.cancel();
    return take_message(whole, packet, line);
  }
  packet_ = without_body(packet);
  if (packet.end == wire::kEtx) return ask_again_for_packets();
  run_after(packets_timer_, settings_.timeout, &Station::ask_again_for_packets);
}

// The last packet has come, or none for a while.
void Station::ask_again_for_packets() {
  const auto line = line_.lock();
  if (!line || line->closed() || assembly_.empty() || kConfirms.at(settings_.confirm) == "none" || naks_ >= kMaxNaks) return;
  ++naks_;
  line->send(wire::encode(wire::confirmation(*packet_, assembly_.serial(), clock_.wall(), wire::kNak, assembly_.first_missing())));
  run_after(packets_timer_, settings_.timeout, &Station::ask_again_for_packets);
}

// ---- M4: the centre asks -------------------------------------------------------------------------------------------

// A station that connects to us has to say something first; on a serial line it need not.
std::shared_ptr<Line> Station::line_to_ask() const {
  const auto line = line_.lock();
  return line && !line->closed() ? line : port_->serial_line();
}

void Station::on_query_timer() {
  if (asks_ < kMaxAsks) return ask();
  asks_ = 0;
  end_turn();
  report_.failed("timeout", fmt::format("station {} has not answered {} queries; check its power and link, its password and that it "
                                        "is in query mode",
                                        settings_.station.text(), kMaxAsks));
  ask_after(settings_.query);
}

// Sends a query for real-time data (37H), at first or again.
void Station::ask() {
  const auto line = line_to_ask();
  if (!line) {
    asks_ = 0;
    end_turn();
    return ask_after(settings_.query);
  }
  const bool shared = !line->address();
  if (shared && turn_->holder != nullptr && turn_->holder != this) return ask_after(kSettle);
  if (shared) turn_->holder = this;
  ++asks_;
  const auto like = heard_.value_or(wire::Frame{.encoding = settings_.encoding.value_or(wire::Encoding::hex),
                                                .centre = settings_.centre.value_or(1),
                                                .station = settings_.station,
                                                .password = settings_.password.value_or(0)});
  line->send(wire::encode(wire::command(like, wire::kRealTime, clock_.wall())));
  ask_after(settings_.timeout);
}

// `last`: the frame whose answer confirms the message.
void Station::take_message(const wire::Frame& message, const wire::Frame& last, Line& line) {
  auto body = wire::parse_body(message);
  if (!body) {
    report_.answered({});
    return say_once(body.error().field, "damaged", {{"why", body.error().message.en}, {"field", body.error().field}});
  }
  if (body->damage) {
    say_once(body->damage->field, "damaged",
             {{"why", body->damage->message.en}, {"field", body->damage->field}, {"offset", body->damage->offset}});
    if (!settings_.confirm_damaged) return report_.answered({});
  }
  if (message.function == wire::kKeepAlive || !(wire::is_report(message.function) || message.function >= wire::kRealTime)) {
    report_.answered({});
    return check_clock(*body, message);
  }
  const auto key = fmt::format("{:02X}:{:04X}:{}", message.function, body->serial, body->sent.digits);
  const auto waiting = pending_.find(key);
  if (waiting != pending_.end()) {  // repeated before we could confirm it: the answer goes where it spoke last
    waiting->second.frame = last;
    waiting->second.line = line.weak();
    return;
  }
  if (seen_.contains(key)) {
    report_.answered({});
    return confirm(last, body->serial, line);
  }
  if (pending_.size() >= kMaxPending) return;  // the journal does not keep up: the station repeats
  pending_[key] = {last, body->serial, line.weak(), true};
  seen_.add(key);
  check_clock(*body, message);
  deliver(message, *body);
  if (memory_.remember) memory_.remember(id_, seen_.text());
  report_.when_durable([weak = weak_from_this(), key](const Status& status) {
    const auto self = weak.lock();
    if (self && !self->stopped_) self->on_durable(key, status);
  });
}

void Station::on_durable(const std::string& key, const Status& status) {
  auto found = pending_.extract(key);
  if (found.empty()) return;
  if (!status) {
    seen_.forget(key);
    if (memory_.remember) memory_.remember(id_, seen_.text());
    return;
  }
  const auto line = found.mapped().line.lock();
  if (line && !line->closed()) confirm(found.mapped().frame, found.mapped().serial, *line);
}

void Station::confirm(const wire::Frame& frame, std::uint16_t serial, Line& line) {
  if (kConfirms.at(settings_.confirm) == "none") return;
  const auto now = clock_.wall();
  const bool more = !frame.packets && frame.end == wire::kEtb;
  const bool set_clock = !more && std::exchange(set_clock_due_, false);
  const auto end = more ? wire::kAck : set_clock ? wire::kEsc : end_of(settings_.confirm);  // it has to stay for what follows
  line.send(wire::encode(wire::confirmation(frame, serial, now, end)));
  if (set_clock) line.send(wire::encode(wire::command(frame, wire::kSetClock, now)));
}

void Station::deliver(const wire::Frame& message, const wire::Body& body) {
  if (message.function == wire::kTest) {  // apart from real data
    json values = json::object();
    for (const auto& seen : wire::observations(body, message.station)) {
      if (seen.sample.state == wire::Sample::State::good) values[seen.symbol] = seen.sample.value;
    }
    report_.happened("test", {{"values", std::move(values)}});
    return report_.answered({});
  }
  for (const auto& group : body.groups) {
    if (group.kind == wire::Group::Kind::text) {
      report_.happened("manual", {{"text", hamlet::wire::device_text(std::string_view{group.bytes}.substr(0, kMaxText))}});
    } else if (group.kind == wire::Group::Kind::picture) {
      json detail{{"bytes", group.bytes.size()}};
      for (const auto& other : body.groups) {
        if (other.kind == wire::Group::Kind::observed && other.time.time()) detail["at"] = to_ms(*other.time.time());
      }
      if (group.bytes.starts_with("\xFF\xD8")) {
        report_.pictured("picture", std::move(detail), group.bytes);
      } else {
        detail["why"] = "no JPEG";
        report_.happened("picture", std::move(detail));
      }
    }
  }
  std::map<wire::Address, std::vector<wire::Observation>> by_station;
  by_station[settings_.station];  // it has answered, whatever it says
  for (auto& seen : wire::observations(body, message.station)) by_station[seen.station].push_back(std::move(seen));
  for (const auto& [station, seen] : by_station) {
    auto* const member = station == settings_.station ? this : static_cast<Station*>(port_->find(station.text()));
    if (member == nullptr) {
      say_once(station.text(), "stranger", {{"name", station.text()}, {"reason", "unknown-station"}, {"relay", settings_.station.text()}});
    } else {
      member->take_observations(seen);
    }
  }
}

void Station::take_observations(const std::vector<wire::Observation>& seen) {
  std::vector<Reading> readings;
  for (const auto& one : seen) {
    for (const auto& point : settings_.points) {
      if (point.element != 0 ? point.element == one.id : point.symbol == one.symbol) {
        readings.push_back(reading_of(point, one));
      }
    }
  }
  std::stable_sort(readings.begin(), readings.end(), [](const Reading& a, const Reading& b) { return a.at < b.at; });
  watch();
  report_.answered(std::move(readings));
}

Reading Station::reading_of(const PointSettings& point, const wire::Observation& seen) const {
  auto out = stations::dated(point.name, seen.at, clock_);
  const auto& sample = seen.sample;
  if (sample.state != wire::Sample::State::good) {
    out.quality = Quality::missing;
    out.why = sample.state == wire::Sample::State::missing ? "invalid-raw" : "not-a-number";
  } else if (point.bit) {
    out.value = ((static_cast<std::uint32_t>(sample.value) >> *point.bit) & 1U) != 0;
  } else {
    out.value = sample.value + point.base;
  }
  return out;
}

void Station::check_clock(const wire::Body& body, const wire::Frame& frame) {
  const auto sent = body.sent.time();
  if (!clock_.synced()) return;
  const auto now = clock_.wall();
  const bool off = !sent || std::chrono::abs(*sent - now) > kClockOff;
  if (std::exchange(clock_off_, off) != off) {
    log::info(off ? "the station's clock is off" : "the station's clock is right again", {{"device", id_}, {"sent", body.sent.digits}});
    report_.happened("clock", {{"off", off}, {"sent", body.sent.digits}});
  }
  set_clock_due_ = off && settings_.set_clock && frame.function != wire::kSetClock;
}

// ---- config --------------------------------------------------------------------------------------------------------

PointSettings read_point(const config::Table& table) {
  PointSettings point;
  point.symbol = table.text("element");
  if (const auto* info = wire::find_element(point.symbol)) {
    point.element = info->id;
    point.symbol = info->symbol;
  } else if (const auto id = hamlet::wire::parse_hex(point.symbol); id && (point.symbol.size() == 2 || point.symbol.size() == 4)) {
    point.element = static_cast<std::uint16_t>(*id);
  } else if (table.has("element") && point.symbol.find(' ') != std::string::npos) {
    table.error("element", texts::want_element());
  }
  if (table.has("bit")) point.bit = static_cast<unsigned>(table.integer("bit", {0, 31}));
  point.base = table.number_or("base", 0);
  if (point.bit && point.base != 0) table.error("base", texts::not_for_a_bit());
  return point;
}

}  // namespace

Blueprint read(const config::Table& device, const std::string& id) {
  Settings settings;
  settings.port = stations::read_port(device);
  const auto station = wire::Address::parse(device.text("station"));
  if (station) settings.station = *station;
  if (!station && device.has("station")) {
    device.error("station", texts::want_station());
  }
  if (device.has("password")) {
    const auto password = device.secret_or("password");
    const auto number = hamlet::wire::parse_hex(password.reveal());
    if (!password.empty() && (!number || password.reveal().size() != 4)) {
      device.error("password", texts::want_hex_password());
    }
    settings.password = static_cast<std::uint16_t>(number.value_or(0));
  }
  if (device.has("centre")) settings.centre = static_cast<std::uint8_t>(device.integer("centre", {1, 255}));
  if (const auto encoding = device.choice_or("encoding", 0, kEncodings); encoding > 0) {
    settings.encoding = encoding == 1 ? wire::Encoding::hex : wire::Encoding::ascii;
  }
  settings.confirm = device.choice_or("confirm", 0, kConfirms);
  settings.confirm_damaged = device.flag_or("confirm_damaged", true);
  settings.set_clock = device.flag_or("set_clock", false);
  settings.silence = device.duration_or("silence", settings.silence, {10s, 30 * 24h});
  if (device.has("query")) settings.query = device.duration_or("query", 10min, {5s, 24h});
  settings.timeout = device.duration_or("timeout", settings.timeout, {1s, 5min});
  auto infos = read_points(device, id, [&](const config::Table& table) {
    settings.points.push_back(read_point(table));
    return settings.points.back().bit ? ValueType::boolean : ValueType::number;
  });
  for (std::size_t i = 0; i < infos.size(); ++i) settings.points[i].name = infos[i].point;
  return {.points = std::move(infos), .build = [id, settings = std::move(settings)](Surroundings around) {
            return std::make_shared<Station>(id, settings, std::move(around));
          }};
}

}  // namespace hamlet::drivers::sl651
