#include "firmware/wire/hj212.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <charconv>
#include <cmath>
#include <iterator>
#include <map>
#include <utility>

#include <fmt/format.h>

namespace hamlet::wire::hj212 {
namespace {

using Kind = FrameFault::Kind;
using std::string_view_literals::operator""sv;

constexpr std::string_view kStart = "##";
constexpr std::string_view kFence = "&&";
constexpr std::size_t kHead = 6;  // "##" and the length
constexpr std::size_t kCrc = 4;
constexpr unsigned kMaxPackets = 64;

template <class... Args>
Text words(const char* zh, const char* en, const Args&... args) {
  return {fmt::format(fmt::runtime(zh), args...), fmt::format(fmt::runtime(en), args...)};
}

tl::unexpected<FrameFault> refuse(Kind kind, std::string field, std::size_t offset, Text message) {
  return tl::unexpected(FrameFault{kind, std::move(field), offset, std::move(message)});
}

// A piece of the frame that knows where it lies.
struct Piece {
  std::string_view text;
  std::size_t offset = 0;
};

Piece trim(Piece piece) {
  while (!piece.text.empty() && piece.text.front() == ' ') {
    piece.text.remove_prefix(1);
    ++piece.offset;
  }
  while (!piece.text.empty() && piece.text.back() == ' ') piece.text.remove_suffix(1);
  return piece;
}

std::vector<Piece> split_at(Piece piece, std::string_view separators) {
  std::vector<Piece> out;
  std::size_t from = 0;
  while (from <= piece.text.size()) {
    const auto to = std::min(piece.text.find_first_of(separators, from), piece.text.size());
    out.push_back(trim({piece.text.substr(from, to - from), piece.offset + from}));
    from = to + 1;
  }
  return out;
}

std::optional<double> parse_number(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  double value = 0;
  const auto* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, value, std::chars_format::fixed);
  if (parsed.ec != std::errc{} || parsed.ptr != end || !std::isfinite(value)) return {};
  return value;
}

bool is_numeric_suffix(std::string_view suffix) {
  constexpr std::array kNumeric{"Rtd"sv, "Min"sv, "Avg"sv, "Max"sv, "Cou"sv, "Data"sv, "DayData"sv, "NightData"sv, "RT"sv};
  return suffix.starts_with("Zs") || std::find(kNumeric.begin(), kNumeric.end(), suffix) != kNumeric.end();
}

bool is_known_suffix(std::string_view suffix) { return suffix_name(suffix).en != "unknown"; }

/// Reads the segment into a packet, and notes what is not as it should be.
class SegmentReader {
 public:
  explicit SegmentReader(Parsed& out) : out_{out}, packet_{out.packet} {}

  void read(Piece segment) {
    const auto cp = segment.text.find("CP=");
    const auto head = segment.text.substr(0, cp);
    for (const auto& piece : split_at({head, segment.offset}, ";,")) {
      if (!piece.text.empty()) head_field(piece);
    }
    for (const auto& [name, value] : {std::pair{"QN"sv, &packet_.qn}, {"ST"sv, &packet_.st}, {"CN"sv, &packet_.cn},
                                      {"PW"sv, &packet_.pw}, {"MN"sv, &packet_.mn}}) {
      if (value->empty()) note(std::string{name}, segment.offset, words("缺少 {}", "{} is absent", name));
    }
    check_packets(segment.offset);
    if (cp == std::string_view::npos) {
      return note("CP", segment.offset + segment.text.size(), words("缺少 CP=&&…&&", "CP=&&…&& is absent"));
    }
    read_cp({segment.text.substr(cp + 3), segment.offset + cp + 3});
  }

 private:
  void note(std::string field, std::size_t offset, Text message) {
    constexpr std::size_t kMost = 32;
    if (out_.faults.size() < kMost) out_.faults.push_back({Kind::body, std::move(field), offset, std::move(message)});
  }

  // Nothing where the piece has no '=' or holds control characters.
  std::optional<Pair> pair(const Piece& piece) {
    const auto equals = piece.text.find('=');
    const bool control = std::any_of(piece.text.begin(), piece.text.end(), [](char c) {
      return static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) == 0x7F;
    });
    if (equals == std::string_view::npos || equals == 0 || control) {
      note("item", piece.offset, control ? words("数据项含控制字符，已舍弃", "holds control characters; left out")
                                         : words("“{}”不是 名称=值，已舍弃", "'{}' is not name=value; left out", piece.text));
      return {};
    }
    const auto name = trim({piece.text.substr(0, equals), 0}).text;
    const auto value = trim({piece.text.substr(equals + 1), 0}).text;
    return Pair{std::string{name}, std::string{value}, piece.offset};
  }

  std::optional<unsigned> number(const Pair& field, unsigned most) {
    const auto value = parse_decimal(field.value);
    if (value && *value <= most) return *value;
    if (!field.value.empty()) {
      note(field.name, field.offset, words("“{}”不是 0 到 {} 的整数", "'{}' is not a whole number from 0 to {}", field.value, most));
    }
    return {};
  }

  void head_field(const Piece& piece) {
    auto field = pair(piece);
    if (!field) return;
    const std::array<std::pair<std::string_view, std::string*>, 5> texts{
        {{"QN", &packet_.qn}, {"ST", &packet_.st}, {"CN", &packet_.cn}, {"PW", &packet_.pw}, {"MN", &packet_.mn}}};
    const auto text = std::find_if(texts.begin(), texts.end(), [&](const auto& each) { return each.first == field->name; });
    if (text != texts.end()) {
      *text->second = std::move(field->value);
    } else if (field->name == "Flag") {
      packet_.flag = number(*field, 255);
    } else if (field->name == "PNUM") {
      packet_.pnum = number(*field, 9999);
    } else if (field->name == "PNO") {
      packet_.pno = number(*field, 9999);
    } else {
      packet_.extra.push_back(std::move(*field));
    }
  }

  void check_packets(std::size_t offset) {
    if (!packet_.is_split()) return;
    const auto count = packet_.pnum.value_or(0);
    const auto number = packet_.pno.value_or(0);
    if (count == 0 || number == 0 || number > count || count > kMaxPackets) {
      note("PNUM", offset, words("分包标志已置位，但 PNUM={}、PNO={} 不对；按单包处理",
                                 "Flag says split, and PNUM={} PNO={} is wrong; taken as a packet of its own", count, number));
    }
  }

  // A value that is no number where the suffix promises one, and a suffix that no version knows.
  void check_value(const Pair& one) {
    const auto dash = one.name.find('-');
    if (dash == std::string::npos) return;
    const auto suffix = std::string_view{one.name}.substr(dash + 1);
    if (!is_known_suffix(suffix)) {
      note(one.name, one.offset, words("不认识后缀“{}”；按原样保留", "does not know the suffix '{}'; kept as it is", suffix));
    } else if (one.value.empty()) {
      note(one.name, one.offset, words("没有数据", "has no value"));
    } else if (is_numeric_suffix(suffix) && !parse_number(one.value)) {
      note(one.name, one.offset, words("“{}”不是数字", "'{}' is no number", one.value));
    }
  }

  void read_cp(Piece cp) {
    const auto from = cp.text.find(kFence);
    if (from == std::string_view::npos) return note("CP", cp.offset, words("CP 后缺少 &&", "there is no && behind CP="));
    auto to = cp.text.rfind(kFence);
    if (to < from + kFence.size()) {
      note("CP", cp.offset + cp.text.size(), words("CP 结尾缺少 &&", "CP has no && at its end"));
      to = cp.text.size();
    } else if (!trim({cp.text.substr(to + kFence.size()), 0}).text.empty()) {
      note("CP", cp.offset + to + kFence.size(), words("结尾的 && 之后还有内容，已舍弃", "there is more behind the closing &&; left out"));
    }
    const Piece content{cp.text.substr(from + 2, to - from - 2), cp.offset + from + 2};
    if (trim(content).text.starts_with('{')) {  // 2025: encrypted
      packet_.cp.push_back({{"encrypted", std::string{content.text}, content.offset}});
      return;
    }
    for (const auto& item : split_at(content, ";")) {
      Item pairs;
      for (const auto& piece : split_at(item, ",")) {
        if (piece.text.empty()) continue;
        auto one = pair(piece);
        if (!one) continue;
        check_value(*one);
        pairs.push_back(std::move(*one));
      }
      if (!pairs.empty()) packet_.cp.push_back(std::move(pairs));
    }
  }

  Parsed& out_;
  Packet& packet_;
};

std::string segment_of(const Packet& packet) {
  auto out = fmt::format("QN={};ST={};CN={};PW={};MN={}", packet.qn, packet.st, packet.cn, packet.pw, packet.mn);
  if (packet.flag) out += fmt::format(";Flag={}", *packet.flag);
  if (packet.pnum) out += fmt::format(";PNUM={}", *packet.pnum);
  if (packet.pno) out += fmt::format(";PNO={}", *packet.pno);
  for (const auto& field : packet.extra) out += fmt::format(";{}={}", field.name, field.value);
  out += ";CP=&&";
  bool first = true;
  for (const auto& item : packet.cp) {
    if (!std::exchange(first, false)) out += ';';
    for (std::size_t i = 0; i < item.size(); ++i) {
      if (item[i].name == "encrypted") {
        out += item[i].value;
      } else {
        out += fmt::format("{}{}={}", i == 0 ? "" : ",", item[i].name, item[i].value);
      }
    }
  }
  return out + "&&";
}

// Where a segment really ends, for whoever has to mend a length: behind the last "&&" before the next packet.
std::optional<std::size_t> real_length(std::string_view bytes) {
  const auto line = bytes.substr(0, std::min(bytes.find('\n'), bytes.find(kStart, kHead)));
  const auto fence = line.rfind(kFence);
  if (fence == std::string_view::npos || fence + 2 <= kHead) return {};
  return fence + 2 - kHead;
}

}  // namespace

std::uint16_t crc(std::string_view bytes) {
  std::uint16_t crc = 0xFFFF;
  for (const char byte : bytes) {
    crc = static_cast<std::uint16_t>((crc >> 8U) ^ static_cast<unsigned char>(byte));
    for (int bit = 0; bit < 8; ++bit) {
      const bool low = (crc & 1U) != 0;
      crc = static_cast<std::uint16_t>(crc >> 1U);
      if (low) crc = static_cast<std::uint16_t>(crc ^ 0xA001U);
    }
  }
  return crc;
}

Version Packet::version() const {
  const auto bits = flag.value_or(0) >> 2U;
  return bits > 2 ? Version::later : static_cast<Version>(bits);
}

std::string_view Packet::find(std::string_view name) const {
  for (const auto& item : cp) {
    for (const auto& pair : item) {
      if (pair.name == name) return pair.value;
    }
  }
  return {};
}

std::string encode(const Packet& packet) {
  const auto segment = segment_of(packet);
  assert(segment.size() <= 9999);
  return fmt::format("##{:04}{}{:04X}\r\n", segment.size(), segment, crc(segment));
}

tl::expected<Parsed, FrameFault> parse_frame(std::string_view bytes, const Options& options) {
  const auto truncated = [&](std::string field, std::size_t need) {
    return refuse(Kind::truncated, std::move(field), bytes.size(),
                  words("报文不完整：还缺 {} 字节；检查长度字段和通信是否中断",
                        "cut short: {} more bytes are due; check the length field, and whether the link broke",
                        need - bytes.size()));
  };
  if (bytes.substr(0, 2) != kStart.substr(0, std::min<std::size_t>(2, bytes.size()))) {
    return refuse(Kind::header, "start", 0, words("包头应为 ##", "must begin with ##"));
  }
  for (std::size_t i = 2; i < std::min(kHead, bytes.size()); ++i) {
    if (bytes[i] < '0' || bytes[i] > '9') {
      return refuse(Kind::header, "length", i, words("数据段长度应为 4 位数字", "the length must be 4 decimal digits"));
    }
  }
  if (bytes.size() < kHead) return truncated("length", kHead);
  const std::size_t length = parse_decimal(bytes.substr(2, 4)).value_or(0);
  if (length == 0 || length > options.max_segment) {
    return refuse(Kind::header, "length", 2,
                  words("数据段长度 {} 不在 1 到 {} 之内", "a length of {} is not from 1 to {}", length, options.max_segment));
  }
  const auto size = kHead + length + kCrc;
  if (bytes.size() < size) return truncated("segment", size);

  const auto segment = bytes.substr(kHead, length);
  const auto crc_text = bytes.substr(kHead + length, kCrc);
  const auto sent = parse_hex(crc_text);
  const auto right = crc(segment);
  const bool modbus = sent && *sent == crc16(segment) && *sent != right;
  if (!sent || (*sent != right && !(modbus && options.modbus_crc))) {
    const auto real = real_length(bytes);
    const bool misplaced = real && *real != length;
    if (misplaced) {
      return refuse(Kind::end, "length", 2,
                    words("长度字段为 {}，实际到 && 为 {} 字节", "the length says {}, and up to && there are {} bytes", length, *real));
    }
    auto message = words("CRC 应为 {:04X}，实际为 {}", "the CRC must be {:04X}, and is {}", right, crc_text);
    if (modbus) {
      message.zh += "，这是 Modbus 的 CRC；请改正设备的算法";
      message.en += ", which is Modbus' CRC; the device computes it wrong";
    }
    return refuse(Kind::crc, "crc", kHead + length, std::move(message));
  }
  Parsed out{.size = size, .segment_size = length, .crc = static_cast<std::uint16_t>(*sent)};
  if (modbus) {
    out.faults.push_back({Kind::crc, "crc", kHead + length,
                          words("使用了 Modbus 的 CRC；按配置接受", "has the CRC of Modbus; taken, as configured")});
  }
  SegmentReader{out}.read({segment, kHead});
  if (bytes.substr(out.size, 1) == "\r") ++out.size;
  if (bytes.substr(out.size, 1) == "\n") ++out.size;
  return out;
}

void Decoder::skip(std::size_t count) {
  const auto begin = buffer_.begin() + static_cast<std::ptrdiff_t>(at_);
  const auto lines = std::count_if(begin, begin + static_cast<std::ptrdiff_t>(count), [](char c) { return c == '\r' || c == '\n'; });
  at_ += count;
  skipped_ += count - static_cast<std::size_t>(lines);
}

std::optional<tl::expected<Parsed, FrameFault>> Decoder::next() {
  std::optional<tl::expected<Parsed, FrameFault>> out;
  while (!out && pending() > 0) {
    const auto rest = std::string_view{buffer_}.substr(at_);
    const auto start = rest.find(kStart);
    if (start == std::string_view::npos) {
      skip(rest.size() - (rest.back() == '#' ? 1 : 0));
      break;
    }
    skip(start);
    auto parsed = parse_frame(rest.substr(start), options_);
    if (parsed) {
      at_ += parsed->size;
      out = std::move(*parsed);
    } else if (parsed.error().kind == Kind::truncated) {
      break;
    } else {
      skip(1);
      if (parsed.error().kind != Kind::header) out = tl::unexpected(std::move(parsed.error()));
    }
  }
  if (at_ == buffer_.size() || at_ > options_.max_segment) {
    buffer_.erase(0, at_);
    at_ = 0;
  }
  return out;
}

void Decoder::give_up() {
  if (pending() > 0) skip(1);
}

Data data_of(const Packet& packet) {
  Data out{.time = parse_china_digits(packet.find("DataTime"))};
  std::map<std::string, std::string, std::less<>> marks;
  std::map<std::string, WallTime, std::less<>> sampled;
  for (const auto& item : packet.cp) {
    for (const auto& pair : item) {
      const auto dash = pair.name.find('-');
      if (dash == std::string::npos) continue;
      const auto code = pair.name.substr(0, dash);
      const auto suffix = pair.name.substr(dash + 1);
      if (suffix == "Flag") {
        marks[code] = pair.value;
      } else if (suffix == "SampleTime") {
        if (const auto time = parse_china_digits(pair.value)) sampled[code] = *time;
      } else {
        out.values.push_back({.code = code, .suffix = suffix, .text = pair.value, .number = parse_number(pair.value)});
      }
    }
  }
  for (auto& value : out.values) {
    if (const auto mark = marks.find(value.code); mark != marks.end()) value.mark = mark->second;
    if (const auto time = sampled.find(value.code); time != sampled.end()) value.sampled = time->second;
  }
  return out;
}

Packet answer(const Packet& to, std::string cn, std::vector<Item> cp) {
  return {.qn = to.qn,
          .st = "91",
          .cn = std::move(cn),
          .pw = to.pw,
          .mn = to.mn,
          .flag = to.flag.value_or(0) & ~3U,
          .cp = std::move(cp)};
}

std::string qn_of(WallTime time) { return china_digits(time); }

std::vector<Packet> split(const Packet& whole, std::size_t max_segment) {
  if (segment_of(whole).size() <= max_segment) return {whole};
  std::vector<Packet> out;
  auto empty = whole;
  empty.cp.clear();
  empty.flag = whole.flag.value_or(0) | 2U;
  empty.pnum = kMaxPackets;  // as wide as it gets; set right below
  empty.pno = kMaxPackets;
  std::vector<Item> rest;
  for (const auto& item : whole.cp) {
    const bool time = item.size() == 1 && item.front().name == "DataTime";
    (time ? empty.cp : rest).push_back(item);
  }
  for (auto& item : rest) {
    if (!out.empty()) {
      auto with = out.back();
      with.cp.push_back(item);
      if (segment_of(with).size() <= max_segment) {
        out.back() = std::move(with);
        continue;
      }
    }
    out.push_back(empty);
    out.back().cp.push_back(std::move(item));
  }
  const auto first = parse_china_digits(whole.qn);
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i].pnum = static_cast<unsigned>(out.size());
    out[i].pno = static_cast<unsigned>(i + 1);
    if (first) out[i].qn = qn_of(*first + Millis{static_cast<std::int64_t>(i)});
  }
  return out;
}

// ---- tables --------------------------------------------------------------------------------------------------------

namespace {

struct Named {
  std::string_view code;
  const char* zh;
  const char* en;
};

template <std::size_t N>
Text find_name(const std::array<Named, N>& table, std::string_view code) {
  const auto found = std::find_if(table.begin(), table.end(), [&](const Named& row) { return row.code == code; });
  return found == table.end() ? Text{"未知", "unknown"} : Text{found->zh, found->en};
}

struct FactorRow {
  std::string_view code;
  std::string_view unit;
  const char* zh;
  const char* en;
};

constexpr auto kFactors = std::to_array<FactorRow>({
    {"a01001", "°C", "温度", "air temperature"},
    {"a01002", "%", "湿度", "humidity"},
    {"a01006", "kPa", "气压", "air pressure"},
    {"a01007", "m/s", "风速", "wind speed"},
    {"a01008", "°", "风向", "wind direction"},
    {"a01011", "m/s", "烟气流速", "flue gas velocity"},
    {"a01012", "°C", "烟气温度", "flue gas temperature"},
    {"a01013", "kPa", "烟气压力", "flue gas pressure"},
    {"a01014", "%", "烟气湿度", "flue gas humidity"},
    {"a00000", "m3/s", "废气流量", "flue gas flow"},
    {"a05024", "mg/m3", "臭氧", "ozone"},
    {"a19001", "%", "氧含量", "oxygen"},
    {"a21001", "ug/m3", "氨", "ammonia"},
    {"a21002", "mg/m3", "氮氧化物", "nitrogen oxides"},
    {"a21003", "mg/m3", "一氧化氮", "nitric oxide"},
    {"a21004", "mg/m3", "二氧化氮", "nitrogen dioxide"},
    {"a21005", "mg/m3", "一氧化碳", "carbon monoxide"},
    {"a21026", "mg/m3", "二氧化硫", "sulphur dioxide"},
    {"a21028", "mg/m3", "硫化氢", "hydrogen sulphide"},
    {"a24088", "mg/m3", "非甲烷总烃", "non-methane hydrocarbons"},
    {"a34001", "ug/m3", "总悬浮颗粒物 TSP", "TSP"},
    {"a34002", "ug/m3", "可吸入颗粒物 PM10", "PM10"},
    {"a34004", "ug/m3", "细微颗粒物 PM2.5", "PM2.5"},
    {"a34005", "ug/m3", "亚微米颗粒物 PM1.0", "PM1.0"},
    {"a34013", "mg/m3", "烟尘", "smoke dust"},
    {"w00000", "L/s", "污水流量", "sewage flow"},
    {"w01001", "", "pH 值", "pH"},
    {"w01003", "NTU", "浊度", "turbidity"},
    {"w01009", "mg/L", "溶解氧", "dissolved oxygen"},
    {"w01010", "°C", "水温", "water temperature"},
    {"w01012", "mg/L", "悬浮物", "suspended solids"},
    {"w01014", "uS/cm", "电导率", "conductivity"},
    {"w01017", "mg/L", "五日生化需氧量", "BOD5"},
    {"w01018", "mg/L", "化学需氧量", "COD"},
    {"w01019", "mg/L", "高锰酸盐指数", "permanganate index"},
    {"w01020", "mg/L", "总有机碳", "TOC"},
    {"w21001", "mg/L", "总氮", "total nitrogen"},
    {"w21003", "mg/L", "氨氮", "ammonia nitrogen"},
    {"w21011", "mg/L", "总磷", "total phosphorus"},
    {"LA", "dB", "A 声级", "A-weighted level"},
    {"Leq", "dB", "等效声级", "equivalent level"},
    {"Ldn", "dB", "昼夜等效声级", "day-night level"},
    {"Ld", "dB", "昼间等效声级", "day level"},
    {"Ln", "dB", "夜间等效声级", "night level"},
    {"L5", "dB", "累计百分声级 L5", "level L5"},
    {"L10", "dB", "累计百分声级 L10", "level L10"},
    {"L50", "dB", "累计百分声级 L50", "level L50"},
    {"L90", "dB", "累计百分声级 L90", "level L90"},
    {"L95", "dB", "累计百分声级 L95", "level L95"},
    {"LMx", "dB", "最大声级", "greatest level"},
    {"LMn", "dB", "最小声级", "least level"},
    {"011", "mg/L", "化学需氧量（2005）", "COD (2005)"},
    {"060", "mg/L", "氨氮（2005）", "ammonia nitrogen (2005)"},
    {"i12001", "", "在线监控（监测）仪器仪表工作状态", "instrument state"},
    {"i12002", "", "在线监控（监测）仪器仪表通信状态", "link to the instrument"},
    {"i22001", "", "数采仪工作状态", "state of the logger"},
    {"i22003", "", "数采仪通信状态", "link of the logger"},
    {"i33101", "°C", "站房温度", "temperature of the station room"},
    {"i33102", "%", "站房湿度", "humidity of the station room"},
    {"i33103", "V", "站房供电电压", "supply voltage of the station room"},
    {"B01", "L/s", "污水流量（2005）", "sewage flow (2005)"},
});

// Fields of CP, and of the header where 2017 does not know them.
constexpr auto kFields = std::to_array<FactorRow>({
    {"SystemTime", "", "系统时间", "time of the system"},
    {"DataTime", "", "数据时间", "time of the data"},
    {"BeginTime", "", "开始时间", "from"},
    {"EndTime", "", "截止时间", "to"},
    {"RestartTime", "", "数采仪开机时间", "start of the logger"},
    {"QN", "", "请求编码", "request id"},
    {"PolId", "", "污染因子编码", "factor"},
    {"InfoId", "", "现场端信息编码", "field information"},
    {"RtdInterval", "s", "实时数据上报间隔", "real-time interval"},
    {"MinInterval", "min", "分钟数据上报间隔", "minute interval"},
    {"OverTime", "s", "超时时间", "timeout"},
    {"ReCount", "", "重发次数", "times to send again"},
    {"NewPW", "", "新密码", "new password"},
    {"RF", "", "补传标志（2025）", "sent late (2025)"},
    {"encrypted", "", "加密内容（2025）", "encrypted (2025)"},
});

constexpr auto kFacilityStates = std::to_array<Named>({
    {"0", "关闭", "off"},
    {"1", "运行", "running"},
    {"2", "校准", "calibrating"},
    {"3", "维护", "maintenance"},
    {"4", "报警", "alarm"},
    {"5", "反吹", "blowing back"},
});

constexpr auto kCommands = std::to_array<Named>({
    {"1000", "设置超时时间及重发次数", "set timeout and retries"},
    {"1011", "提取/上传现场机时间", "get the clock"},
    {"1012", "设置现场机时间", "set the clock"},
    {"1013", "现场机时间校准请求", "device asks for the time"},
    {"1061", "提取/上传实时数据间隔", "get the real-time interval"},
    {"1062", "设置实时数据间隔", "set the real-time interval"},
    {"1063", "提取/上传分钟数据间隔", "get the minute interval"},
    {"1064", "设置分钟数据间隔", "set the minute interval"},
    {"1072", "设置现场机密码", "set the password"},
    {"2011", "取/上传污染物实时数据", "real-time data"},
    {"2012", "停止察看实时数据", "stop real-time data"},
    {"2021", "取/上传设备运行状态数据", "facility state"},
    {"2022", "停止察看设备运行状态", "stop facility state"},
    {"2031", "取/上传污染物日历史数据", "daily data"},
    {"2041", "取/上传设备运行时间日历史数据", "facility run hours"},
    {"2051", "取/上传污染物分钟数据", "minute data"},
    {"2061", "取/上传污染物小时数据", "hourly data"},
    {"2081", "上传数采仪开机时间", "start time of the logger"},
    {"3011", "零点校准量程校准", "zero and span calibration"},
    {"3012", "即时采样", "instant sample"},
    {"3013", "启动清洗/反吹", "clean or blow back"},
    {"3014", "比对采样", "comparison sample"},
    {"3015", "超标留样", "sample kept on exceedance"},
    {"3016", "设置采样时间周期", "set the sampling period"},
    {"3017", "提取采样时间周期", "get the sampling period"},
    {"3018", "提取出样时间", "get the sample-to-result time"},
    {"3019", "提取设备唯一标识", "get the instrument id"},
    {"3020", "提取/上传现场端信息", "field information"},
    {"3021", "设置现场端参数", "set field parameters"},
    {"9011", "请求应答", "answer to a request"},
    {"9012", "执行结果", "result of execution"},
    {"9013", "通知应答", "answer to a notice"},
    {"9014", "数据应答", "answer to data"},
    {"9015", "心跳（2025）", "heartbeat (2025)"},
});

constexpr auto kSystems = std::to_array<Named>({
    {"21", "地表水质量监测", "surface water"},
    {"22", "空气质量监测", "air quality"},
    {"23", "声环境质量监测", "noise"},
    {"24", "地下水质量监测", "groundwater"},
    {"25", "土壤质量监测", "soil"},
    {"26", "海水质量监测", "sea water"},
    {"27", "挥发性有机物监测", "VOC"},
    {"31", "大气环境污染源", "air pollution source"},
    {"32", "地表水体环境污染源", "surface water pollution source"},
    {"33", "地下水体环境污染源", "groundwater pollution source"},
    {"34", "海洋环境污染源", "sea pollution source"},
    {"35", "土壤环境污染源", "soil pollution source"},
    {"36", "声环境污染源", "noise source"},
    {"37", "振动环境污染源", "vibration source"},
    {"38", "放射性环境污染源", "radioactivity source"},
    {"39", "工地扬尘污染源", "construction dust"},
    {"41", "电磁环境污染源", "electromagnetic source"},
    {"44", "用电监控（2025）", "electricity use (2025)"},
    {"45", "关键工况（2025）", "key process conditions (2025)"},
    {"51", "烟气排放过程监控", "flue gas process"},
    {"52", "污水排放过程监控", "sewage process"},
    {"91", "系统交互", "system interaction"},
});

constexpr auto kMarks = std::to_array<Named>({
    {"N", "正常", "normal"},
    {"F", "在线监控（监测）仪器仪表停运", "stopped"},
    {"M", "处于维护期间产生的数据", "maintenance"},
    {"S", "手工输入的设定值", "set by hand"},
    {"D", "在线监控（监测）仪器仪表故障", "instrument fault"},
    {"C", "处于校准状态", "calibrating"},
    {"T", "超过测量上限", "over the upper limit"},
    {"B", "与仪器通讯异常", "no communication with the instrument"},
});

constexpr auto kSuffixes = std::to_array<Named>({
    {"Rtd", "实时采样数据", "real-time value"},
    {"Min", "时段内最小值", "least of the period"},
    {"Avg", "时段内平均值", "mean of the period"},
    {"Max", "时段内最大值", "greatest of the period"},
    {"Cou", "时段内累计值", "amount of the period"},
    {"ZsRtd", "实时采样折算数据", "real-time value, converted"},
    {"ZsMin", "时段内最小折算值", "least of the period, converted"},
    {"ZsAvg", "时段内平均折算值", "mean of the period, converted"},
    {"ZsMax", "时段内最大折算值", "greatest of the period, converted"},
    {"Flag", "数据标记", "data mark"},
    {"EFlag", "设备标志", "device mark"},
    {"SampleTime", "采样时间", "sampling time"},
    {"Data", "时段噪声值", "noise of the period"},
    {"DayData", "昼间噪声值", "noise of the day"},
    {"NightData", "夜间噪声值", "noise of the night"},
    {"Info", "现场端信息", "field information"},
    {"SN", "设备唯一标识", "instrument id"},
    {"RS", "设备运行状态", "facility state"},
    {"RT", "设备运行时间", "facility run hours"},
});

constexpr auto kQnReturns = std::to_array<Named>({
    {"1", "准备执行请求", "will be executed"},
    {"2", "请求被拒绝", "refused"},
    {"3", "PW 错误", "PW wrong"},
    {"4", "MN 错误", "MN wrong"},
    {"5", "ST 错误", "ST wrong"},
    {"6", "Flag 错误", "Flag wrong"},
    {"7", "QN 错误", "QN wrong"},
    {"8", "CN 错误", "CN wrong"},
    {"9", "CRC 校验错误", "CRC wrong"},
    {"100", "未知错误", "unknown error"},
});

constexpr auto kExeReturns = std::to_array<Named>({
    {"1", "执行成功", "done"},
    {"2", "执行失败，原因未知", "failed, reason unknown"},
    {"3", "命令请求条件错误", "condition wrong"},
    {"4", "通讯超时", "communication timeout"},
    {"5", "系统繁忙", "busy"},
    {"6", "系统故障", "system fault"},
    {"100", "没有数据", "no data"},
});

}  // namespace

std::optional<FactorInfo> find_factor(std::string_view code) {
  const auto* found = std::find_if(kFactors.begin(), kFactors.end(), [&](const auto& row) { return row.code == code; });
  if (found == kFactors.end()) return {};
  return FactorInfo{found->code, found->unit, {found->zh, found->en}};
}

std::string_view unit_of(std::string_view code, std::string_view suffix) {
  if (suffix == "RT") return "h";
  if (!is_numeric_suffix(suffix) && suffix != "Info") return "";
  const auto factor = find_factor(code);
  return factor && suffix != "Cou" ? factor->unit : "";
}

std::pair<Text, std::string_view> field_name(std::string_view name) {
  const auto* found = std::find_if(kFields.begin(), kFields.end(), [&](const auto& row) { return row.code == name; });
  if (found == kFields.end()) return {};
  return {{found->zh, found->en}, found->unit};
}

Text facility_state_name(std::string_view code) { return find_name(kFacilityStates, code); }
Text command_name(std::string_view cn) { return find_name(kCommands, cn); }
Text system_name(std::string_view st) { return find_name(kSystems, st); }
Text mark_name(std::string_view mark) { return find_name(kMarks, mark); }
Text suffix_name(std::string_view suffix) { return find_name(kSuffixes, suffix); }
Text qn_return_name(unsigned code) { return find_name(kQnReturns, fmt::to_string(code)); }
Text exe_return_name(unsigned code) { return find_name(kExeReturns, fmt::to_string(code)); }

}  // namespace hamlet::wire::hj212
