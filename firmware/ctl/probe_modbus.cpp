#include <algorithm>
#include <filesystem>
#include <optional>
#include <system_error>

#include <boost/asio/io_context.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "drivers/modbus/modbus.hpp"
#include "drivers/modbus/poll.hpp"
#include "drivers/modbus/port.hpp"
#include "drivers/modbus/profile.hpp"
#include "firmware/core/clock.hpp"
#include "firmware/ctl/exit.hpp"
#include "firmware/ctl/format.hpp"
#include "firmware/ctl/probe.hpp"
#include "firmware/ctl/table.hpp"
#include "firmware/ctl/texts.hpp"

namespace hamlet::ctl {
namespace {

namespace fs = std::filesystem;
namespace modbus = drivers::modbus;
using modbus::Bytes;
using modbus::BytesView;
using nlohmann::json;

constexpr int kLastUnit = 247;
constexpr Millis kScanTimeout{100};

std::string hex(BytesView bytes) {
  return fmt::format("{:02X}", fmt::join(bytes, " "));
}

// The name of the same port that stays when adapters are plugged elsewhere; the path itself where there is none.
std::string stable_path(const std::string& path) {
  std::error_code error;
  const auto target = fs::canonical(path, error);
  for (fs::directory_iterator it{"/dev/serial/by-id", error}, end; !error && it != end; it.increment(error)) {
    std::error_code ignored;
    if (fs::canonical(it->path(), ignored) == target) return it->path().string();
  }
  return path;
}

// Shows frames as they come and go, field by field.
class Shown final : public drivers::FrameLog {
 public:
  Shown(std::ostream& err, Lang lang, modbus::Framing framing) : err_{err}, lang_{lang}, framing_{framing} {}

  void sent(BytesView bytes) override {
    end_answer();
    const auto frame = body(bytes);
    words(frame[1] <= 4 ? say(lang_, Say::probe_request, hex(bytes), frame[0], frame[1], frame[2] << 8 | frame[3],
                              frame[4] << 8 | frame[5])
                        : say(lang_, Say::probe_write, hex(bytes), frame[0], frame[1]));
  }
  void received(BytesView bytes) override { answer_.insert(answer_.end(), bytes.begin(), bytes.end()); }

  void end_answer() {
    if (answer_.empty()) return;
    const auto frame = body(answer_);
    if (frame.size() >= 3 && (frame[1] & 0x80) != 0) {
      words(say(lang_, Say::probe_exception, hex(answer_), frame[0], frame[1] & 0x7F, frame[2]));
    } else if (frame.size() >= 3 && frame[1] <= 4 && frame.size() >= 3U + frame[2]) {
      words(say(lang_, Say::probe_answer, hex(answer_), frame[0], frame[1], frame[2], hex(frame.subspan(3, frame[2]))));
    } else {
      words(say(lang_, Say::probe_bytes, hex(answer_)));
    }
    answer_.clear();
  }

 private:
  // From the unit on.
  [[nodiscard]] BytesView body(BytesView frame) const {
    return framing_ == modbus::Framing::rtu || frame.size() < 6 ? frame : frame.subspan(6);
  }
  void words(const std::string& line) { err_ << line << '\n'; }

  std::ostream& err_;
  Lang lang_;
  modbus::Framing framing_;
  Bytes answer_;
};

class ModbusProbe {
 public:
  ModbusProbe(const Invocation& asked, ProbeStreams streams)
      : asked_{asked}, what_{asked.probe}, streams_{streams} {}

  int run() {
    if (what_.list_profiles) return list_profiles();
    if (what_.device.empty()) return complain(Say::probe_no_device, kUsage);
    if (!read_port()) return kUsage;
    port_ = std::make_shared<modbus::Port>(io_, settings_);
    if (what_.scan) return scan();
    if (what_.profile.empty()) return complain(Say::probe_no_profile, kUsage);
    return read_device();
  }

 private:
  template <class... Args>
  int complain(Say id, int code, const Args&... args) const {
    return complain(say(asked_.lang, id, args...), code);
  }
  int complain(const std::string& words, int code) const {
    streams_.err << say(asked_.lang, Say::error_line, printable(words)) << '\n';
    return code;
  }

  int list_profiles() const {
    Table table{{{"ID"}, {""}}};
    auto all = json::array();
    for (const auto& id : modbus::known_profiles()) {
      const auto profile = modbus::load_profile(id);
      const Text name = profile ? profile->name : profile.error();
      all.push_back({{"id", id}, {"zh", name.zh}, {"en", name.en}});
      table.add({id, name.in(asked_.lang)});
    }
    streams_.out << (asked_.json ? all.dump() + '\n' : table.render(false));
    return kOk;
  }

  // The config's own reader checks baud rate, format and address, and says what is wrong in its words.
  bool read_port() {
    const bool serial = what_.kind == "modbus-rtu";
    const auto toml = serial ? fmt::format("path = {}\nbaud = {}\nformat = {}\n", json(what_.device).dump(), what_.speed,
                                           json(what_.format).dump())
                             : fmt::format("address = {}\nport = {}\n", json(what_.device).dump(), what_.port);
    auto document = config::Document::parse(toml, what_.kind);
    settings_ = modbus::read_bus(document.root());
    if (!serial) settings_.framing = modbus::Framing::tcp;
    if (document.ok()) return true;
    complain(document.diagnostics().front().message.in(asked_.lang), kUsage);
    return false;
  }

  tl::expected<Bytes, modbus::Fault> exchange(std::uint8_t unit, const Bytes& pdu, Millis timeout,
                                              drivers::FrameLog* frames) {
    std::optional<tl::expected<Bytes, modbus::Fault>> result;
    port_->exchange(unit, pdu, timeout, frames, [&](auto answer) { result = std::move(answer); });
    io_.restart();
    while (!result && io_.run_one() > 0) {
    }
    return result ? std::move(*result) : tl::unexpected(modbus::Fault{.why = "failed", .message = "interrupted"});
  }

  // Whoever says anything at its address is found, be it an exception.
  int scan() {
    const auto request = modbus::encode(modbus::Request{modbus::Function::holding, 0, 1, {}});
    const auto line = settings_.is_serial() ? settings_.serial.describe() : settings_.describe();
    say_words(Say::probe_scanning, line, kLastUnit * (kScanTimeout.count() + 20) / 1000);
    auto found = json::array();
    for (int unit = 1; unit <= kLastUnit; ++unit) {
      const auto answer = exchange(static_cast<std::uint8_t>(unit), request, kScanTimeout, nullptr);
      if (!answer && !is_worth_going_on(answer.error())) return complain(answer.error().message, kFailed);
      if (!answer || is_gateway_silence(*answer)) continue;
      found.push_back({{"unit", unit}});
      if (!asked_.json) streams_.out << say(asked_.lang, Say::probe_found, unit) << std::endl;
    }
    if (asked_.json) streams_.out << json{{"found", found}}.dump() << '\n';
    if (found.empty()) return complain(Say::probe_nobody, kFailed);
    return kOk;
  }

  static bool is_worth_going_on(const modbus::Fault& fault) {
    return fault.why == "timeout" || fault.why == "bad-answer" || fault.why == "closed";
  }
  static bool is_gateway_silence(const Bytes& pdu) {
    return pdu.size() == 2 && (pdu[0] & 0x80) != 0 && (pdu[1] == 0x0A || pdu[1] == 0x0B);
  }

  int read_device() {
    const auto profile = modbus::load_profile(what_.profile);
    if (!profile) return complain(profile.error().in(asked_.lang), kFailed);
    unit_ = what_.unit == 0 ? profile->unit : static_cast<std::uint8_t>(what_.unit);
    std::vector<modbus::Point> points;
    for (const auto& info : profile->infos) {
      points.push_back(profile->points.at(info.point).point);
      points.back().name = info.point;
    }
    const SystemClock clock;
    modbus::Poll poll{std::move(points), profile->max_gap, clock};
    Shown shown{streams_.err, asked_.lang, settings_.framing};
    poll.begin(1);
    while (const auto* request = poll.asking()) {
      const auto pdu = exchange(unit_, modbus::encode(*request), parse_duration(what_.timeout).value_or(Millis{500}),
                                asked_.json ? nullptr : &shown);
      shown.end_answer();
      poll.take(pdu ? modbus::decode_answer(*request, *pdu) : tl::unexpected(pdu.error()));
    }
    const auto polled = poll.finish();
    if (!polled) return complain(polled.error().message, kFailed);
    show(*profile, *polled);
    return kOk;
  }

  void show(const modbus::Profile& profile, const std::vector<Reading>& readings) const {
    auto points = json::array();
    Table table{{{say(asked_.lang, Say::probe_points)}, {""}, {"", Align::right}, {""}}};
    for (const auto& info : profile.infos) {
      const auto it = std::find_if(readings.begin(), readings.end(), [&](const auto& each) { return each.point == info.point; });
      if (it == readings.end()) continue;
      points.push_back({{"point", info.point}, {"value", to_json(it->value)}, {"unit", info.unit}, {"why", it->why}});
      table.add({info.point, info.name.in(asked_.lang), it->why.empty() ? value(asked_.lang, to_json(it->value)) : it->why,
                 info.unit});
    }
    if (asked_.json) {
      streams_.out << json{{"profile", profile.id}, {"unit", unit_}, {"points", points}, {"config", config_lines(profile)}}.dump()
                   << '\n';
      return;
    }
    streams_.out << table.render(false) << std::flush;
    if (!profile.verified) say_words(Say::probe_not_verified, profile.source);
    say_words(Say::probe_paste);
    streams_.out << '\n' << config_lines(profile);
  }

  [[nodiscard]] std::string config_lines(const modbus::Profile& profile) const {
    std::string out;
    std::string where;
    if (settings_.is_serial()) {
      out = fmt::format("[[bus]]\nid = \"rs485\"\npath = \"{}\"\nbaud = {}\nformat = \"{}\"\n\n", stable_path(what_.device),
                        what_.speed, what_.format);
      where = "bus = \"rs485\"";
    } else {
      where = fmt::format("address = \"{}\"\nport = {}", what_.device, what_.port);
    }
    return out + fmt::format("[[device]]\nid = \"{0}-{1}\"\ndriver = \"modbus\"\nprofile = \"{0}\"\n{2}\nunit_id = {1}\n",
                             profile.id, unit_, where);
  }

  template <class... Args>
  void say_words(Say id, const Args&... args) const {
    if (!asked_.json) streams_.err << say(asked_.lang, id, args...) << std::endl;
  }

  const Invocation& asked_;
  const ProbeAsked& what_;
  ProbeStreams streams_;
  boost::asio::io_context io_;
  modbus::PortSettings settings_;
  std::shared_ptr<modbus::Port> port_;
  std::uint8_t unit_ = 1;
};

}  // namespace

int probe_modbus(const Invocation& asked, ProbeStreams streams) {
  return ModbusProbe{asked, streams}.run();
}

}  // namespace hamlet::ctl
