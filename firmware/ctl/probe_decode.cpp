#include <algorithm>
#include <cctype>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include <nlohmann/json.hpp>

#include "firmware/ctl/exit.hpp"
#include "firmware/ctl/probe.hpp"
#include "firmware/ctl/table.hpp"
#include "firmware/ctl/texts.hpp"
#include "firmware/wire/hj212.hpp"
#include "firmware/wire/sl651.hpp"

namespace hamlet::ctl {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;
using wire::FrameFault;
using wire::to_hex;

constexpr std::size_t kMaxLine = 1U << 20U;
constexpr std::size_t kRawShown = 32;  // hex digits of a field in the table for people

json both(const Text& text) { return {{"zh", text.zh}, {"en", text.en}}; }

// "2017-07-18T11:00:16+08:00"; null where the digits are no time.
json china_time(std::optional<WallTime> time) {
  if (!time) return nullptr;
  const auto d = wire::china_digits(*time);
  return fmt::format("{}-{}-{}T{}:{}:{}+08:00", d.substr(0, 4), d.substr(4, 2), d.substr(6, 2), d.substr(8, 2),
                     d.substr(10, 2), d.substr(12, 2));
}

json safe_text(std::string_view bytes) { return wire::device_text(bytes); }

/// One field of a frame, for both kinds of output.
struct Field {
  std::string id{};  // in the standard's terms: a word of Kind::frame_field
  std::size_t offset = 0;
  std::string raw{};
  json value{};
  std::string unit{};
  Text meaning{};        // of a code
  json more = json::object();  // what else there is to say of it

  [[nodiscard]] ordered_json to_json() const {
    ordered_json out{{"field", id},
                     {"name", both({word(Lang::zh, Kind::frame_field, id), word(Lang::en, Kind::frame_field, id)})},
                     {"offset", offset},
                     {"raw", to_hex(raw)},
                     {"value", value}};
    if (!unit.empty()) out["unit"] = unit;
    if (!meaning.en.empty()) out["meaning"] = both(meaning);
    out.update(more);
    return out;
  }
};

/// What is told of one frame.
struct Told {
  ordered_json head = ordered_json::object();
  std::vector<Field> fields{};
  json readings = json::array();
  json warnings = json::array();
  std::optional<FrameFault> fault{};
  Text title{};
};

json to_json(const FrameFault& fault) {
  return {{"kind", to_string(fault.kind)}, {"field", fault.field}, {"offset", fault.offset},
          {"zh", fault.message.zh},        {"en", fault.message.en}};
}

// ---- SL 651 --------------------------------------------------------------------------------------------------------

namespace sl = wire::sl651;

struct AlarmBit {
  Text name, zero, one;
};

// Table of function 46, from bit 0.
const std::vector<AlarmBit>& alarm_bits() {
  static const Text kNormal{"正常", "normal"};
  static const Text kAlarm{"报警", "alarm"};
  static const Text kFault{"故障", "fault"};
  static const std::vector<AlarmBit> kBits{
      {{"交流电充电状态", "mains charging"}, kNormal, {"停电", "power failure"}},
      {{"蓄电池电压状态", "battery voltage"}, kNormal, {"电压低", "low"}},
      {{"水位超限报警状态", "level limit"}, kNormal, kAlarm},
      {{"流量超限报警状态", "flow limit"}, kNormal, kAlarm},
      {{"水质超限报警状态", "water quality limit"}, kNormal, kAlarm},
      {{"流量仪表状态", "flow meter"}, kNormal, kFault},
      {{"水位仪表状态", "level meter"}, kNormal, kFault},
      {{"终端箱门状态", "cabinet door"}, {"开启", "open"}, {"关闭", "closed"}},
      {{"存储器状态", "memory"}, kNormal, {"异常", "abnormal"}},
      {{"IC卡功能有效", "IC card"}, {"关闭", "off"}, {"有效", "active"}},
      {{"水泵工作状态", "pump"}, {"工作", "running"}, {"停机", "stopped"}},
      {{"剩余水量报警", "remaining water"}, {"未超限", "not exceeded"}, {"超限", "exceeded"}},
  };
  return kBits;
}

// Event counters of function 50, from 1 on; those behind are spare.
const std::vector<Text>& counter_names() {
  static const std::vector<Text> kNames{
      {"历史数据初始化记录", "history erased"},
      {"参数变更记录", "parameter changed"},
      {"状态量变位记录", "state changed"},
      {"传感器及仪表故障记录", "sensor fault"},
      {"密码修改记录", "password changed"},
      {"终端故障记录", "terminal fault"},
      {"交流失电记录", "mains lost"},
      {"蓄电池电压低告警记录", "battery low"},
      {"终端箱非法打开记录", "box opened illegally"},
      {"水泵故障记录", "pump fault"},
      {"剩余水量越限告警记录", "remaining water exceeded"},
      {"水位超限告警记录", "level exceeded"},
      {"水压超限告警记录", "pressure exceeded"},
      {"水质参数超限告警记录", "water quality exceeded"},
      {"数据出错记录", "data error"},
      {"发报文记录", "sent"},
      {"收报文记录", "received"},
      {"发报文出错记录", "send error"},
  };
  return kNames;
}

json describe_bits(double value) {
  json out = json::array();
  const auto bits = static_cast<std::uint32_t>(value);
  for (std::size_t i = 0; i < alarm_bits().size(); ++i) {
    const auto& bit = alarm_bits()[i];
    const bool set = ((bits >> i) & 1U) != 0;
    out.push_back({{"bit", i}, {"set", set}, {"name", both(bit.name)}, {"state", both(set ? bit.one : bit.zero)}});
  }
  return out;
}

json sample_value(const sl::Sample& sample) {
  return sample.state == sl::Sample::State::good ? json(sample.value) : json();
}

std::string_view state_name(sl::Sample::State state) {
  switch (state) {
    case sl::Sample::State::good:
      return "good";
    case sl::Sample::State::missing:
      return "missing";
    case sl::Sample::State::invalid:
      return "invalid";
  }
  return "invalid";
}

std::string id_text(std::uint16_t id) { return id == 0 ? "" : fmt::format("{:02X}", id); }

/// Tells an SL 651 frame field by field.
class SlTeller {
 public:
  SlTeller(const sl::Frame& frame, std::string_view bytes) : frame_{frame}, bytes_{bytes} {}

  Told tell() {
    const auto& f = frame_;
    const auto name = sl::function_name(f.function);
    const auto at = sl::layout(f.encoding, f.down);
    const bool hex = f.encoding == sl::Encoding::hex;
    out_.title = {fmt::format("SL 651 {} {}，功能码 {:02X} {}，遥测站 {}", hex ? "HEX/BCD" : "ASCII", f.down ? "下行" : "上行",
                              f.function, name.zh, f.station.text()),
                  fmt::format("SL 651 {} {}, function {:02X} {}, station {}", hex ? "HEX/BCD" : "ASCII",
                              f.down ? "down" : "up", f.function, name.en, f.station.text())};
    out_.head = {{"encoding", hex ? "HEX/BCD" : "ASCII"},
                 {"direction", f.down ? "down" : "up"},
                 {"size", bytes_.size()},
                 {"centre_address", f.centre},
                 {"station_address", f.station.text()},
                 {"password", fmt::format("{:04X}", f.password)},
                 {"function_code", fmt::format("{:02X}", f.function)},
                 {"function", both(name)}};
    add("start", 0, hex ? 2 : 1, hex ? "7E7E" : "SOH");
    if (f.down) station(at);
    add("centre_address", at.centre, at.centre_size, f.centre);
    if (!f.down) station(at);
    add("password", at.password, at.password_size, fmt::format("{:04X}", f.password));
    add("function_code", at.function, at.function_size, fmt::format("{:02X}", f.function)).meaning = name;
    const auto length = f.body.size() + (f.packets ? (hex ? 3U : 6U) : 0U);
    auto& field = add("direction_length", at.length, at.length_size, length);
    field.more = {{"direction", f.down ? "down" : "up"}, {"length", length}};
    field.unit = "byte";
    add("body_start", at.start, 1, f.packets ? "SYN" : "STX");
    std::size_t body_at = at.body;
    if (f.packets) {
      const std::size_t half = hex ? 3 : 6;
      auto& packets = add("packets", body_at, half, fmt::format("{}/{}", f.packets->number, f.packets->count));
      packets.more = {{"packet_count", f.packets->count}, {"packet_number", f.packets->number}};
      out_.head["packet_count"] = f.packets->count;
      out_.head["packet_number"] = f.packets->number;
      body_at += half;
    }
    if (f.packets && f.packets->number > 1 && !f.down) {
      add("packet_body", body_at, f.body.size(), nullptr);
    } else {
      body(body_at);
    }
    const auto end_at = body_at + f.body.size();
    add("end", end_at, 1, sl::control_name(f.end));
    add("crc", end_at + 1, hex ? 2 : 4, fmt::format("{:04X}", wire::crc16(bytes_.substr(0, end_at + 1))));
    out_.head["end"] = sl::control_name(f.end);
    return std::move(out_);
  }

  /// The whole of a message that came in packets; its offsets are within the joined body.
  Told tell_message(std::size_t packets) {
    const auto name = sl::function_name(frame_.function);
    out_.title = {fmt::format("{} 包合成的报文，功能码 {:02X} {}，遥测站 {}", packets, frame_.function, name.zh, frame_.station.text()),
                  fmt::format("message of {} packets, function {:02X} {}, station {}", packets, frame_.function, name.en,
                              frame_.station.text())};
    out_.head = {{"message", true},
                 {"packet_count", packets},
                 {"station_address", frame_.station.text()},
                 {"function_code", fmt::format("{:02X}", frame_.function)},
                 {"function", both(name)}};
    bytes_ = frame_.body;
    body(0);
    return std::move(out_);
  }

 private:
  Field& add(std::string id, std::size_t offset, std::size_t size, json value) {
    out_.fields.push_back({std::move(id), offset, std::string{bytes_.substr(offset, size)}, std::move(value)});
    return out_.fields.back();
  }

  void station(const sl::Layout& at) {
    add("station_address", at.station, at.station_size, frame_.station.text()).meaning =
        frame_.station.bytes[0] == 0 ? Text{"水文测站", "hydrological station"} : Text{"行政区划码 + 站号", "division and number"};
  }

  void body(std::size_t at) {
    auto parsed = sl::parse_body(frame_, at);
    if (!parsed) {
      out_.fault = std::move(parsed.error());
      if (!frame_.body.empty()) add("body", at, frame_.body.size(), nullptr);
      return;
    }
    const bool hex = frame_.encoding == sl::Encoding::hex;
    add("serial_number", at, hex ? 2 : 4, parsed->serial);
    add("send_time", at + (hex ? 2 : 4), hex ? 6 : 12, china_time(parsed->sent.time())).more = {
        {"digits", parsed->sent.digits}};
    out_.head["serial_number"] = parsed->serial;
    out_.head["send_time"] = china_time(parsed->sent.time());
    for (const auto& each : parsed->groups) group(each);
    for (const auto& each : sl::observations(*parsed, frame_.station)) reading(each);
    const bool part = frame_.packets && frame_.packets->count > 1;
    if (parsed->damage && !part) out_.fault = std::move(parsed->damage);
  }

  // The name of an element or of a parameter, where the function speaks of those.
  [[nodiscard]] Text element_name(const sl::Group& group) const {
    const auto f = frame_.function;
    const bool configures = (f >= 0x40 && f <= 0x43) || (f >= 0x47 && f <= 0x49);
    if (group.kind == sl::Group::Kind::parameter || configures) return sl::parameter_name(group.id);
    if (group.id >= 0xFF00) return {"用户扩展要素", "user extension"};
    const auto* info = sl::find_element(group.id);
    if (info == nullptr) return {"未知要素", "unknown element"};
    return info->name;
  }

  static std::string unit_of(std::uint16_t id) {
    const auto* info = sl::find_element(id);
    return info == nullptr ? "" : info->unit;
  }

  void group(const sl::Group& group) {
    using Kind = sl::Group::Kind;
    Field field{.offset = group.offset, .raw = group.raw};
    const auto named = [&](std::string id) {
      field.id = std::move(id);
      field.meaning = element_name(group);
      if (group.id != 0) field.more["identifier"] = id_text(group.id);
      if (!group.symbol.empty()) field.more["symbol"] = safe_text(group.symbol);
      if (frame_.encoding == sl::Encoding::hex && group.length > 0) field.more["length"] = group.length;
      field.more["decimals"] = group.decimals;
    };
    switch (group.kind) {
      case Kind::station:
        field.id = "station_group";
        field.value = group.station.text();
        if (group.class_code != 0) {
          field.more["class_code"] = safe_text({&group.class_code, 1});
          field.more["class"] = both(sl::class_name(group.class_code));
        }
        break;
      case Kind::observed:
        field.id = "observation_time";
        field.value = china_time(group.time.time());
        field.more["digits"] = safe_text(group.time.digits);
        break;
      case Kind::step:
        named("time_step");
        field.value = std::chrono::duration_cast<std::chrono::minutes>(group.step).count();
        field.unit = "min";
        break;
      case Kind::status:
      case Kind::number:
      case Kind::unknown:
      case Kind::parameter:
        named(group.kind == Kind::parameter ? "parameter" : "element");
        if (group.kind != Kind::parameter) field.unit = unit_of(group.id);
        if (group.samples.empty()) {
          field.value = to_hex(group.bytes);
        } else {
          const auto& sample = group.samples.front();
          field.value = sample_value(sample);
          field.more["digits"] = safe_text(sample.digits);
          field.more["state"] = state_name(sample.state);
          if (group.kind == Kind::status && sample.state == sl::Sample::State::good) {
            field.value = static_cast<std::uint32_t>(sample.value);
            field.more["bits"] = describe_bits(sample.value);
          }
        }
        break;
      case Kind::series:
        named("series");
        field.unit = unit_of(group.id);
        field.value = json::array();
        field.more["digits"] = json::array();
        if (group.id >= 0xF4 && group.id <= 0xFC) field.more["decimals"] = group.id == 0xF4 ? 1 : 2;  // of the unit, whatever is sent
        for (const auto& sample : group.samples) {
          field.value.push_back(sample_value(sample));
          field.more["digits"].push_back(safe_text(sample.digits));
        }
        if (group.id >= 0xF5 && group.id <= 0xFC) field.more["relative"] = true;  // to the gauge's base
        break;
      case Kind::text:
      case Kind::data:
      case Kind::picture:
        field.id = group.kind == Kind::text ? "manual_text" : group.kind == Kind::picture ? "picture" : "batch_data";
        field.value = group.kind == Kind::text ? safe_text(group.bytes) : json(nullptr);
        field.more["bytes"] = group.bytes.size();
        break;
      case Kind::identifier:
        named("identifier");
        field.value = group.symbol.empty() ? id_text(group.id) : group.symbol;
        break;
      case Kind::field:
        bare(field, group.symbol, frame_.encoding == sl::Encoding::hex ? to_hex(group.bytes) : group.bytes);
        break;
    }
    out_.fields.push_back(std::move(field));
  }

  // What has no identifier, by its digits.
  void bare(Field& field, const std::string& name, const std::string& digits) {
    field.id = name;
    field.value = safe_text(digits);
    if (name == "version" && frame_.encoding == sl::Encoding::hex) {
      field.value = safe_text(wire::from_hex(digits).value_or(""));
    } else if (name == "count" || name == "version_length") {
      units_ = wire::parse_hex(digits).value_or(0);
      field.value = units_;
    } else if (name == "bitmap") {
      field.more["on"] = units_on(digits);
    } else if (name == "openings_cm") {
      field.value = numbers(digits, &wire::parse_decimal);
      field.unit = "cm";
    } else if (name == "event_counters") {
      counters(field, digits);
    } else if (name == "fixed_volume_control") {
      field.meaning = digits == "FF" ? Text{"投入", "on"} : digits == "00" ? Text{"退出", "off"} : Text{"未知", "unknown"};
    } else if (name == "start_time" || name == "end_time") {
      field.value = china_time(wire::parse_china_digits(digits));
      field.more["digits"] = safe_text(digits);
    }
  }

  // Which pumps, valves or gates are on or open, from 1.
  [[nodiscard]] json units_on(const std::string& digits) const {
    json on = json::array();
    for (std::size_t unit = 0; unit < units_ && unit / 8 * 2 < digits.size(); ++unit) {
      const auto byte = wire::parse_hex(digits.substr(unit / 8 * 2, 2)).value_or(0);
      if (((byte >> (unit % 8)) & 1U) != 0) on.push_back(unit + 1);
    }
    return on;
  }

  // Of four digits each; null where they are none.
  static json numbers(const std::string& digits, std::optional<std::uint32_t> (*parse)(std::string_view)) {
    json all = json::array();
    for (std::size_t at = 0; at + 4 <= digits.size(); at += 4) {
      const auto number = parse(std::string_view{digits}.substr(at, 4));
      all.push_back(number ? json(*number) : json());
    }
    return all;
  }

  static void counters(Field& field, const std::string& digits) {
    field.value = numbers(digits, &wire::parse_hex);
    field.more["counters"] = json::array();
    for (std::size_t i = 0; i < std::min(field.value.size(), counter_names().size()); ++i) {
      field.more["counters"].push_back({{"name", both(counter_names()[i])}, {"value", field.value[i]}});
    }
  }

  void reading(const sl::Observation& seen) {
    json out{{"station_address", seen.station.text()},
             {"element", id_text(seen.id)},
             {"symbol", safe_text(seen.symbol)},
             {"unit", unit_of(seen.id)},
             {"value", sample_value(seen.sample)},
             {"state", state_name(seen.sample.state)},
             {"time", china_time(seen.at)}};
    if (const auto* info = sl::find_element(seen.id)) out["name"] = both(info->name);
    if (seen.class_code != 0) out["class_code"] = safe_text({&seen.class_code, 1});
    out_.readings.push_back(std::move(out));
  }

  const sl::Frame& frame_;
  std::string_view bytes_;
  std::uint32_t units_ = 0;  // that the bitmap behind speaks of
  Told out_;
};

// ---- HJ 212 --------------------------------------------------------------------------------------------------------

namespace hj = wire::hj212;

/// Tells an HJ 212 packet field by field.
class HjTeller {
 public:
  HjTeller(const hj::Parsed& parsed, std::string_view bytes) : parsed_{parsed}, bytes_{bytes} {}

  Told tell() {
    const auto& p = parsed_.packet;
    const auto name = hj::command_name(p.cn);
    out_.title = {fmt::format("HJ 212-{} CN={} {}，ST={} {}，MN={}", version(), p.cn, name.zh, p.st, hj::system_name(p.st).zh, p.mn),
                  fmt::format("HJ 212-{} CN={} {}, ST={} {}, MN={}", version(), p.cn, name.en, p.st,
                              hj::system_name(p.st).en, p.mn)};
    out_.head = {{"version", version()},
                 {"size", bytes_.size()},
                 {"QN", safe_text(p.qn)},
                 {"ST", safe_text(p.st)},
                 {"CN", safe_text(p.cn)},
                 {"PW", safe_text(p.pw)},
                 {"MN", safe_text(p.mn)},
                 {"Flag", p.flag ? json(*p.flag) : json()},
                 {"answer_wanted", p.wants_answer()},
                 {"command", both(name)},
                 {"system", both(hj::system_name(p.st))}};
    if (p.pnum) out_.head["PNUM"] = *p.pnum;
    if (p.pno) out_.head["PNO"] = *p.pno;
    add("start", 0, 2, "##");
    add("length", 2, 4, parsed_.segment_size).unit = "byte";
    text("QN", p.qn).more = {{"time", china_time(wire::parse_china_digits(p.qn))}};
    text("ST", p.st).meaning = hj::system_name(p.st);
    text("CN", p.cn).meaning = name;
    text("PW", p.pw);
    text("MN", p.mn);
    if (p.flag) {
      text("Flag", fmt::to_string(*p.flag)).more = {
          {"version", version()}, {"answer_wanted", p.wants_answer()}, {"split", p.is_split()}};
      out_.fields.back().value = *p.flag;
    }
    if (p.pnum) text("PNUM", fmt::to_string(*p.pnum)).value = *p.pnum;
    if (p.pno) text("PNO", fmt::to_string(*p.pno)).value = *p.pno;
    for (const auto& extra : p.extra) pair(extra);
    for (const auto& item : p.cp) {
      for (const auto& each : item) pair(each);
    }
    add("crc", 6 + parsed_.segment_size, 4, fmt::format("{:04X}", parsed_.crc));
    readings();
    for (const auto& fault : parsed_.faults) out_.warnings.push_back(to_json(fault));
    return std::move(out_);
  }

 private:
  [[nodiscard]] std::string version() const {
    switch (parsed_.packet.version()) {
      case hj::Version::v2005:
        return "2005";
      case hj::Version::v2017:
        return "2017";
      case hj::Version::v2025:
        return "2025";
      case hj::Version::later:
        break;
    }
    return "?";
  }

  Field& add(std::string id, std::size_t offset, std::size_t size, json value) {
    out_.fields.push_back({std::move(id), offset, std::string{bytes_.substr(offset, size)}, std::move(value)});
    return out_.fields.back();
  }

  // A field of the header, found again where it was written.
  Field& text(const std::string& name, const std::string& value) {
    const auto written = name + "=";
    const auto at = bytes_.find(written, 6);
    auto& field = add(name, at == std::string_view::npos ? 0 : at, 0, safe_text(value));
    field.raw = written + value;
    return field;
  }

  void pair(const hj::Pair& pair) {
    const auto dash = pair.name.find('-');
    const auto code = pair.name.substr(0, dash);
    const auto suffix = dash == std::string::npos ? std::string{} : pair.name.substr(dash + 1);
    Field field{.id = "cp", .offset = pair.offset, .raw = pair.name + "=" + pair.value, .value = safe_text(pair.value)};
    field.more["key"] = safe_text(pair.name);
    if (!suffix.empty()) {
      field.more["code"] = safe_text(code);
      field.more["suffix"] = safe_text(suffix);
      field.more["suffix_name"] = both(hj::suffix_name(suffix));
    }
    if (suffix.empty()) std::tie(field.meaning, field.unit) = hj::field_name(pair.name);
    if (suffix == "Flag") field.meaning = hj::mark_name(pair.value);
    if (suffix == "RS") field.meaning = hj::facility_state_name(pair.value);
    if (pair.name == "QnRtn") field.meaning = hj::qn_return_name(wire::parse_decimal(pair.value).value_or(0));
    if (pair.name == "ExeRtn") field.meaning = hj::exe_return_name(wire::parse_decimal(pair.value).value_or(0));
    if (const auto time = wire::parse_china_digits(pair.value); time && pair.value.size() >= 14) {
      field.more["time"] = china_time(time);
    }
    if (const auto factor = hj::find_factor(code); factor && suffix != "Flag" && !suffix.empty()) field.meaning = factor->name;
    if (!suffix.empty()) field.unit = hj::unit_of(code, suffix);
    out_.fields.push_back(std::move(field));
  }

  void readings() {
    const auto data = hj::data_of(parsed_.packet);
    for (const auto& value : data.values) {
      if (value.suffix == "EFlag" || value.suffix == "SN") continue;  // of the instrument, no reading
      json out{{"code", safe_text(value.code)},
               {"suffix", safe_text(value.suffix)},
               {"value", value.number ? json(*value.number) : json()},
               {"text", safe_text(value.text)},
               {"flag", value.mark.empty() ? json() : safe_text(value.mark)},
               {"time", china_time(value.sampled ? value.sampled : data.time)}};
      if (const auto factor = hj::find_factor(value.code)) out["name"] = both(factor->name);
      if (const auto unit = hj::unit_of(value.code, value.suffix); !unit.empty()) out["unit"] = unit;
      if (!value.mark.empty()) out["flag_name"] = both(hj::mark_name(value.mark));
      out_.readings.push_back(std::move(out));
    }
  }

  const hj::Parsed& parsed_;
  std::string_view bytes_;
  Told out_;
};

// ---- lines of input ------------------------------------------------------------------------------------------------

bool is_hex_digit(char c) { return std::isxdigit(static_cast<unsigned char>(c)) != 0; }

// Hex as people and tools write it: spaces, commas, colons, 0x, quotes.
std::optional<std::string> read_hex(std::string_view line) {
  std::string digits;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const bool prefix = line[i] == '0' && i + 1 < line.size() && (line[i + 1] == 'x' || line[i + 1] == 'X');
    if (prefix) {
      ++i;
    } else if (is_hex_digit(line[i])) {
      digits += line[i];
    } else if (std::string_view{" \t,:;-_\"'[]{}"}.find(line[i]) == std::string_view::npos) {
      return {};
    }
  }
  if (digits.empty()) return {};
  return wire::from_hex(digits);
}

// "<01>", "<STX>" and "\x01" for characters that cannot be typed.
std::string unescape(std::string_view line) {
  static const std::map<std::string, char, std::less<>> kNames{
      {"SOH", '\x01'}, {"STX", '\x02'}, {"ETX", '\x03'}, {"EOT", '\x04'}, {"ENQ", '\x05'}, {"ACK", '\x06'},
      {"NAK", '\x15'}, {"SYN", '\x16'}, {"ETB", '\x17'}, {"ESC", '\x1B'}, {"CR", '\r'},    {"LF", '\n'}};
  std::string out;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const auto close = line[i] == '<' ? line.find('>', i) : std::string_view::npos;
    const auto inner = close == std::string_view::npos ? std::string_view{} : line.substr(i + 1, close - i - 1);
    const auto byte = inner.size() == 2 ? wire::from_hex(inner) : std::nullopt;
    const auto named = kNames.find(inner);
    const bool escaped = line.substr(i, 2) == "\\x" && i + 3 < line.size();
    const auto escape = escaped ? wire::from_hex(line.substr(i + 2, 2)) : std::nullopt;
    if (byte || named != kNames.end()) {
      out += byte ? byte->front() : named->second;
      i = close;
    } else if (escape) {
      out += escape->front();
      i += 3;
    } else {
      out += line[i];
    }
  }
  return out;
}

/// Carries out one `probe decode`.
class Decode {
 public:
  Decode(const Invocation& asked, ProbeStreams streams)
      : asked_{asked}, streams_{streams}, sl651_{protocol() == "sl651"} {}

  /// Of a stream: the frames that are whole; a bound for what is none.
  void stream(std::string& bytes, const std::string& peer) {
    constexpr std::size_t kMost = 64U << 10U;
    peer_ = peer;
    const std::string_view all{bytes};
    std::size_t at = 0;
    while (at < all.size()) {
      const auto start = find_start(all.substr(at));
      if (start == std::string_view::npos) {
        at = all.size() - (all.back() == '#' ? 1 : 0);
        break;
      }
      at += start;
      const auto fault = decode_at(all.substr(at), line_ + 1, 0);
      if (fault && fault->kind == FrameFault::Kind::truncated) break;
      if (!fault || fault->kind != FrameFault::Kind::header) ++line_;
      if (fault && fault->kind != FrameFault::Kind::header) refuse(line_, *fault, all.substr(at, 256));
      at += fault ? 1 : taken_;
    }
    bytes.erase(0, bytes.size() - at > kMost ? bytes.size() : at);
    streams_.out.flush();
  }
  [[nodiscard]] std::size_t frames() const { return line_; }

  int run() {
    std::string line;
    while (std::getline(streams_.in, line)) {
      ++line_;
      if (!join(line)) take(line, line_);
    }
    if (!waiting_.empty()) {
      if (sl::parse_frame(waiting_ + '\n')) waiting_ += '\n';  // its last byte, and no end of line
      decode(std::exchange(waiting_, {}), waiting_line_);
    }
    streams_.err << say(asked_.lang, Say::probe_summary, frames_, refused_) << '\n';
    return refused_ == 0 ? kOk : kFailed;
  }

 private:
  [[nodiscard]] bool is_raw_start(std::string_view line) const {
    return sl651_ ? line.starts_with("~~") || line.starts_with('\x01') : line.starts_with("##");
  }

  // A raw frame may hold a line feed: what is cut short takes the next line along, unless that begins a frame itself.
  bool join(const std::string& line) {
    if (!sl651_) return false;
    if (!waiting_.empty()) {
      const auto hex = read_hex(line);
      const bool begins = begins_frame(line) || (hex && is_raw_start(*hex));
      auto joined = waiting_ + '\n' + line;
      if (!begins || sl::parse_frame(joined)) {
        waiting_ = std::move(joined);
        decode_whole();
        return true;
      }
      decode(std::exchange(waiting_, {}), waiting_line_);
    }
    if (!is_raw_start(line) || cut_at(line) == std::string_view::npos) return false;
    waiting_ = line;
    waiting_line_ = line_;
    decode_whole();
    return true;
  }

  // Not by a start mark alone, which a frame may hold.
  [[nodiscard]] bool begins_frame(std::string_view line) const {
    const auto at = sl::layout(sl::Encoding::hex, false).body;
    if (!is_raw_start(line) || line.size() < at) return false;
    const auto parsed = sl::parse_frame(line);
    return parsed || parsed.error().kind != FrameFault::Kind::header;
  }

  // Of what waits all but a last frame that is not whole.
  void decode_whole() {
    const auto at = std::min(cut_at(waiting_), waiting_.size());
    auto rest = waiting_.substr(at);
    waiting_.resize(at);
    if (!waiting_.empty()) decode(waiting_, waiting_line_);
    waiting_ = std::move(rest);
    if (at > 0) waiting_line_ = line_;
  }

  // Where a frame begins that is not whole; npos: nowhere.
  static std::size_t cut_at(std::string_view bytes) {
    std::size_t at = 0;
    while (at < bytes.size()) {
      const auto parsed = sl::parse_frame(bytes.substr(at));
      if (!parsed) return parsed.error().kind == FrameFault::Kind::truncated ? at : std::string_view::npos;
      at += parsed->size;
      const auto start = sl::find_start(bytes.substr(at));
      if (start == std::string_view::npos) break;
      at += start;
    }
    return std::string_view::npos;
  }

  void take(std::string line, std::size_t number) {
    if (line.ends_with('\r') && !is_raw_start(line)) line.pop_back();
    const std::string_view text{line};
    const auto first = text.find_first_not_of(" \t");
    if (first == std::string_view::npos) return;                          // blank
    if (text[first] == '#' && text.substr(first, 2) != "##") return;  // a comment
    if (line.size() > kMaxLine) {
      return refuse(number, {FrameFault::Kind::header, "line", 0, {"这一行太长", "the line is too long"}}, line.substr(0, 64));
    }
    if (is_raw_start(line)) return decode(line, number);
    if (const auto hex = read_hex(text)) return decode(*hex, number);
    const auto plain = unescape(text);
    if (find_start(plain) != std::string::npos) return decode(plain, number);
    if (const auto hex = hex_within(text)) return decode(*hex, number);
    const bool odd = std::all_of(text.begin(), text.end(), [](char c) { return is_hex_digit(c) || c == ' '; });
    refuse(number,
           {FrameFault::Kind::header, "line", 0,
            odd ? Text{"十六进制数字的个数是奇数", "an odd number of hex digits"}
                : Text{"既不是十六进制，也找不到报文起始符", "is no hex, and has no start of a frame"}},
           line.substr(0, 256));
  }

  // Hex behind a log's prefix.
  [[nodiscard]] std::optional<std::string> hex_within(std::string_view line) const {
    for (std::size_t i = 0; i < line.size(); ++i) {
      const auto hex = read_hex(line.substr(i, 5));
      const auto start = hex ? hex : read_hex(line.substr(i, 4));
      if (!start || !start->starts_with(sl651_ ? "~~" : "##")) continue;
      if (auto bytes = read_hex(line.substr(i))) return bytes;
    }
    return {};
  }

  [[nodiscard]] std::size_t find_start(std::string_view bytes) const {
    return sl651_ ? sl::find_start(bytes) : bytes.find("##");
  }

  // Every frame of a line, and what is wrong with each. Starts within a damaged frame are its echo, and a start that
  // nothing like a header follows is noise before a frame: told only where there is nothing else.
  void decode(const std::string& line, std::size_t number) {
    const std::string_view bytes{line};
    FrameFault doubt{FrameFault::Kind::header, "start", 0, {"找不到报文起始符", "has no start of a frame"}};
    std::size_t doubt_at = std::string_view::npos;
    std::size_t at = 0;
    std::size_t told_to = 0;
    while (at < bytes.size()) {
      const auto start = find_start(bytes.substr(at));
      if (start == std::string_view::npos) break;
      at += start;
      auto fault = decode_at(bytes.substr(at), number, at);
      if (!fault) {
        at += taken_;
        told_to = at;
        continue;
      }
      if (fault->kind == FrameFault::Kind::header && !has_header(bytes.substr(at))) {
        if (doubt_at == std::string_view::npos) std::tie(doubt, doubt_at) = std::pair{*std::move(fault), at};
      } else if (at >= told_to) {
        refuse(number, *fault, bytes.substr(at));
        told_to = at + std::max<std::size_t>(fault->offset, 1);
      }
      ++at;
    }
    if (told_to == 0) refuse(number, doubt, bytes.substr(doubt_at == std::string_view::npos ? 0 : doubt_at));
  }

  // Whether what follows a start may be a header that is wrong: no third start character, and hex digits in ASCII.
  [[nodiscard]] static bool has_header(std::string_view bytes) {
    if (bytes.starts_with('\x01')) return bytes.size() > 2 && is_hex_digit(bytes[1]) && is_hex_digit(bytes[2]);
    return bytes.size() > 2 && bytes[2] != bytes[0];
  }

  std::optional<FrameFault> decode_at(std::string_view bytes, std::size_t number, std::size_t skipped) {
    if (!sl651_) {
      auto parsed = hj::parse_frame(bytes, {.max_segment = 9999});
      if (!parsed) return std::move(parsed.error());
      taken_ = parsed->size;
      show(HjTeller{*parsed, bytes.substr(0, parsed->size)}.tell(), number, skipped, bytes.substr(0, parsed->size));
      return {};
    }
    auto parsed = sl::parse_frame(bytes);
    if (!parsed) return std::move(parsed.error());
    taken_ = parsed->size;
    show(SlTeller{parsed->frame, bytes.substr(0, parsed->size)}.tell(), number, skipped, bytes.substr(0, parsed->size));
    if (parsed->frame.packets && !parsed->frame.down) assemble(parsed->frame, number);
    return {};
  }

  // Packets on lines of their own make one message.
  void assemble(const sl::Frame& packet, std::size_t number) {
    constexpr std::size_t kMostMessages = 1000;
    if (messages_.size() > kMostMessages) messages_.clear();
    const auto key = std::pair{packet.station, packet.function};
    auto& assembly = messages_[key];
    if (!assembly.add(packet) || !assembly.complete()) return;
    const auto whole = assembly.whole();
    messages_.erase(key);
    show(SlTeller{whole, {}}.tell_message(packet.packets->count), number, 0, whole.body);
  }

  [[nodiscard]] ordered_json line_head(std::size_t number, bool ok) const {
    return {{"line", number}, {"ok", ok}, {"protocol", protocol()}};
  }

  void print(const ordered_json& value) {
    streams_.out << value.dump(-1, ' ', false, json::error_handler_t::replace) << '\n';
  }

  void show(const Told& told, std::size_t number, std::size_t skipped, std::string_view raw) {
    ++frames_;
    if (told.fault) ++refused_;
    if (asked_.json) {
      auto out = line_head(number, !told.fault);
      out.update(told.head);
      if (skipped > 0) out["skipped_before"] = skipped;
      if (told.fault) out["error"] = to_json(*told.fault);
      if (!told.warnings.empty()) out["warnings"] = told.warnings;
      out["readings"] = told.readings;
      out["fields"] = ordered_json::array();
      for (const auto& field : told.fields) out["fields"].push_back(field.to_json());
      out["raw"] = to_hex(raw);
      if (const auto lines = config_lines(told); !lines.empty()) out["config"] = lines;
      return print(out);
    }
    streams_.out << say(asked_.lang, Say::probe_frame, number, printable(told.title.in(asked_.lang))) << '\n'
                 << table(told.fields);
    for (const auto& warning : told.warnings) {
      streams_.out << say(asked_.lang, Say::probe_warning, warning["offset"].get<std::size_t>(),
                          printable(warning[asked_.lang == Lang::zh ? "zh" : "en"].get<std::string>()))
                   << '\n';
    }
    if (told.fault) tell_fault(number, *told.fault);
    if (const auto lines = config_lines(told); !lines.empty()) {
      streams_.out << '\n' << say(asked_.lang, Say::probe_paste) << '\n' << lines;
    }
    streams_.out << '\n';
  }

  // For a station that has told its first values: what to put into the config.
  [[nodiscard]] std::string config_lines(const Told& told) {
    constexpr std::size_t kMostNames = 1000;
    const auto& way = asked_.probe;
    const bool from_stream = !way.listen.empty() || !way.udp.empty() || !way.device.empty();
    if (!from_stream || told.readings.empty() || names_.size() > kMostNames) return {};
    const auto name = told.head.at(sl651_ ? "station_address" : "MN").get<std::string>();
    if (!names_.insert(name).second) return {};
    auto out = fmt::format("[[device]]\nid = \"{}\"\ndriver = \"{}\"\n{} = {}\n", as_id(protocol() + "-" + name),
                           protocol(), sl651_ ? "station" : "mn", json(name).dump());
    if (!way.device.empty()) {
      out += fmt::format("serial = {{ path = {}, baud = {}, format = {} }}\n", json(way.device).dump(), way.speed,
                         json(way.format).dump());
    } else {
      const bool udp = !way.udp.empty();
      out += fmt::format("{} = {}\nallow = [\"{}\"]\n", udp ? "udp" : "tcp",
                         json(listen_address(udp ? way.udp : way.listen)).dump(), peer_);
    }
    std::set<std::string> points;
    for (const auto& reading : told.readings) {
      const auto what = reading.value(sl651_ ? "symbol" : "code", "");
      const auto suffix = reading.value("suffix", "Rtd");
      const auto id = as_id(suffix == "Rtd" ? what : what + "-" + suffix);
      if (id.empty() || !points.insert(id).second) continue;
      out += fmt::format("  [[device.point]]\n  id = \"{}\"\n  {} = {}\n", id, sl651_ ? "element" : "factor", json(what).dump());
      if (suffix != "Rtd") out += fmt::format("  value = \"{}\"\n", suffix);
      if (const auto data = data_of(told.head.value("CN", "")); !data.empty()) out += fmt::format("  data = \"{}\"\n", data);
      if (const auto unit = reading.value("unit", ""); !unit.empty()) out += fmt::format("  unit = {}\n", json(unit).dump());
    }
    return out;
  }

  static std::string_view data_of(std::string_view cn) {
    if (cn == "2051") return "minute";
    if (cn == "2061") return "hour";
    if (cn == "2031") return "day";
    return "";
  }

  // "sl651-12345678": what an id may hold.
  static std::string as_id(std::string_view text) {
    constexpr std::size_t kMost = 32;
    std::string out;
    for (const char c : text.substr(0, kMost)) {
      const auto lower = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      out += (lower >= 'a' && lower <= 'z') || (lower >= '0' && lower <= '9') ? lower : '-';
    }
    return out;
  }

  [[nodiscard]] const std::string& protocol() const {
    return asked_.probe.protocol.empty() ? asked_.probe.kind : asked_.probe.protocol;
  }

  void tell_fault(std::size_t number, const FrameFault& fault) {
    streams_.out << say(asked_.lang, Say::probe_refused, number, fault.offset,
                        printable(word(asked_.lang, Kind::frame_field, fault.field)),
                        printable(fault.message.in(asked_.lang)))
                 << '\n';
  }

  void refuse(std::size_t number, const FrameFault& fault, std::string_view raw) {
    ++frames_;
    ++refused_;
    if (!asked_.json) {
      tell_fault(number, fault);
      streams_.out << '\n';
      return;
    }
    auto out = line_head(number, false);
    out["error"] = to_json(fault);
    out["raw"] = to_hex(raw);
    print(out);
  }

  [[nodiscard]] std::string table(const std::vector<Field>& fields) const {
    Table table{{{say(asked_.lang, Say::probe_offset), Align::right},
                 {say(asked_.lang, Say::probe_raw)},
                 {say(asked_.lang, Say::probe_field)},
                 {say(asked_.lang, Say::value)},
                 {say(asked_.lang, Say::text)}}};
    for (const auto& field : fields) {
      auto raw = to_hex(field.raw);
      if (raw.size() > kRawShown) raw = raw.substr(0, kRawShown) + "…";
      auto value = as_written(field.value, field.more.value("decimals", -1));
      if (!field.unit.empty()) value += " " + field.unit;
      auto name = word(asked_.lang, Kind::frame_field, field.id);
      if (field.more.contains("symbol")) name += " " + field.more["symbol"].get<std::string>();
      if (field.more.contains("key")) name += " " + field.more["key"].get<std::string>();
      auto meaning = field.meaning.in(asked_.lang);
      const auto& language = asked_.lang == Lang::zh ? "zh" : "en";
      if (field.more.contains("class")) meaning = field.more["class"][language].get<std::string>();
      if (field.more.contains("bits")) meaning += bits(field.more["bits"], language);
      if (field.more.contains("on")) meaning += say(asked_.lang, Say::probe_units_on, field.more["on"].dump());
      table.add({fmt::to_string(field.offset), raw, name, value, meaning});
    }
    return table.render(false);
  }

  // Numbers with the decimals they were sent with; below 0: as short as they are.
  static std::string as_written(const json& value, int decimals) {
    if (value.is_null()) return "-";
    if (value.is_string()) return value.get<std::string>();
    if (value.is_number_float() && decimals >= 0) return fmt::format("{:.{}f}", value.get<double>(), decimals);
    if (!value.is_array()) return value.dump();
    std::string out;
    for (const auto& each : value) out += (out.empty() ? "" : ", ") + as_written(each, decimals);
    return out;
  }

  static std::string bits(const json& all, const char* language) {
    std::string out;
    for (const auto& bit : all) {
      out += fmt::format("; {} {}", bit["name"][language].get<std::string>(), bit["state"][language].get<std::string>());
    }
    return out;
  }

  const Invocation& asked_;
  ProbeStreams streams_;
  bool sl651_;
  std::size_t line_ = 0;
  std::size_t frames_ = 0;
  std::size_t refused_ = 0;
  std::size_t taken_ = 0;  // bytes of the frame that was shown last
  std::string waiting_;    // a raw frame that is not whole yet
  std::size_t waiting_line_ = 0;
  std::map<std::pair<sl::Address, std::uint8_t>, sl::Assembly> messages_;
  std::string peer_;             // of a stream
  std::set<std::string> names_;  // of stations whose config lines were told
};

}  // namespace

int probe_decode(const Invocation& asked, ProbeStreams streams) { return Decode{asked, streams}.run(); }

struct FrameTeller::Impl {
  Decode decode;
};
FrameTeller::FrameTeller(const Invocation& asked, ProbeStreams streams) : impl_{new Impl{Decode{asked, streams}}} {}
FrameTeller::~FrameTeller() = default;
void FrameTeller::take(std::string& bytes, const std::string& peer) { impl_->decode.stream(bytes, peer); }
std::size_t FrameTeller::frames() const { return impl_->decode.frames(); }

}  // namespace hamlet::ctl
