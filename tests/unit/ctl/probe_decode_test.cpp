#include <algorithm>
#include <sstream>
#include <tuple>

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "firmware/core/text.hpp"
#include "firmware/ctl/exit.hpp"
#include "firmware/ctl/probe.hpp"
#include "firmware/wire/hj212.hpp"
#include "firmware/wire/sl651.hpp"

using namespace hamlet;
using namespace hamlet::ctl;
using nlohmann::json;
namespace sl = hamlet::wire::sl651;

namespace {

struct Decoded {
  int code = 0;
  std::string out{};
  std::string err{};
  std::vector<json> lines{};
};

Decoded decode(const std::string& protocol, const std::string& input, bool as_json = true, Lang lang = Lang::en) {
  Invocation asked;
  asked.json = as_json;
  asked.lang = lang;
  asked.probe.kind = "decode";
  asked.probe.protocol = protocol;
  std::istringstream in{input};
  std::ostringstream out;
  std::ostringstream err;
  Decoded result{.code = probe_decode(asked, {in, out, err})};
  result.out = out.str();
  result.err = err.str();
  std::istringstream all{result.out};
  for (std::string line; as_json && std::getline(all, line);) result.lines.push_back(json::parse(line));
  return result;
}

std::string from_hex(std::string_view hex) {
  std::string out;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) out += static_cast<char>(std::stoi(std::string{hex.substr(i, 2)}, nullptr, 16));
  return out;
}

const std::string kAlive = "7E7E01001234567812342F0008020003591011155111036BCA";
const std::string kTimed =
    "7E7E05001122334403E832002B020034170718110016F1F1001122334448F0F01707181100201900004026190000403923000104903812"
    "109903A421";
const std::string kAscii =
    "05001122334403E832004E<02>0034170718110016ST 0011223344 H TT 1707181100 PJ 4.0 PT 4.0 Z 10.490 VT 10.99 <03>F6DF";
const std::string kData =
    "##0200QN=20260101080000000;ST=22;CN=2011;PW=123456;MN=010000A8900016F000169DC0;Flag=5;CP=&&DataTime=20260101080000;"
    "a34004-Rtd=35.2,a34004-Flag=N;a34002-Rtd=61.0,a34002-Flag=N;a01001-Rtd=-5.3,a01001-Flag=N&&B2C1";

std::string with_crc(const std::string& segment) {
  return fmt::format("##{:04}{}{:04X}", segment.size(), segment, wire::hj212::crc(segment));
}

// The fields with this name.
std::vector<json> fields(const json& line, std::string_view name) {
  std::vector<json> out;
  for (const auto& field : line["fields"]) {
    if (field["field"] == name) out.push_back(field);
  }
  return out;
}

}  // namespace

TEST_CASE("a frame is told field by field, each with its offset and bytes") {
  const auto told = decode("sl651", kTimed + "\n");
  CHECK(told.code == kOk);
  REQUIRE(told.lines.size() == 1);
  const auto& line = told.lines[0];
  CHECK(line["ok"] == true);
  CHECK(line["station_address"] == "11223344");
  CHECK(line["function_code"] == "32");
  CHECK(line["function"]["zh"] == "遥测站定时报");
  CHECK(line["serial_number"] == 52);
  CHECK(line["send_time"] == "2017-07-18T11:00:16+08:00");
  const auto elements = fields(line, "element");
  REQUIRE(elements.size() == 4);
  CHECK(elements[2]["symbol"] == "Z");
  CHECK(elements[2]["value"] == 10.49);
  CHECK(elements[2]["unit"] == "m");
  CHECK(elements[2]["raw"] == "392300010490");
  CHECK(elements[2]["offset"] == 47);
  REQUIRE(line["readings"].size() == 4);
  CHECK(line["readings"][2]["time"] == "2017-07-18T11:00:00+08:00");
  // The fields lie end to end and cover the frame.
  std::string all;
  for (const auto& field : line["fields"]) {
    CHECK(field["offset"].get<std::size_t>() == all.size() / 2);
    CHECK(!field["name"]["zh"].get<std::string>().empty());
    all += field["raw"].get<std::string>();
  }
  CHECK(all == kTimed);
}

TEST_CASE("however a frame is written, it is read") {
  std::string spaced;
  std::string prefixed;
  for (std::size_t i = 0; i < kAlive.size(); i += 2) {
    spaced += kAlive.substr(i, 2) + " ";
    prefixed += "0x" + kAlive.substr(i, 2) + ", ";
  }
  auto lower = kAlive;
  for (auto& c : lower) c = static_cast<char>(std::tolower(c));
  for (const auto& text : {kAlive, spaced, prefixed, lower, kAlive + "\r", "  " + kAlive, from_hex(kAlive),
                           "2026-01-01 12:00:00 RX: " + spaced, kAlive + kAlive}) {
    CAPTURE(text);
    const auto told = decode("sl651", "# a comment\n\n" + text + "\n");
    CHECK(told.code == kOk);
    REQUIRE(!told.lines.empty());
    CHECK(told.lines[0]["station_address"] == "12345678");
    CHECK(told.lines[0]["line"] == 3);
  }
  for (const auto& text : {"<01>" + kAscii, "<SOH>" + kAscii, "\\x01" + kAscii, "\x01" "05001122334403E832004E" "\x02" + kAscii.substr(26, 78) + "\x03" "F6DF"}) {
    CAPTURE(text);
    const auto told = decode("sl651", text);
    CHECK(told.code == kOk);
    REQUIRE(told.lines.size() == 1);
    CHECK(told.lines[0]["encoding"] == "ASCII");
    CHECK(told.lines[0]["readings"][2]["value"] == 10.49);
  }
}

TEST_CASE("one bad line never stops the rest, and each says why") {
  const auto wrong_crc = kAlive.substr(0, kAlive.size() - 1) + "B";
  const auto told = decode("sl651", kAlive + "\n" + wrong_crc + "\nhello\n" + kAlive.substr(0, 30) + "\n7E7E0\n" + kTimed);
  CHECK(told.code == kFailed);
  REQUIRE(told.lines.size() == 6);
  CHECK(told.lines[0]["ok"] == true);
  CHECK(told.lines[1]["error"]["kind"] == "crc");
  CHECK(told.lines[1]["error"]["offset"] == 23);
  CHECK(told.lines[2]["error"]["field"] == "line");
  CHECK(told.lines[3]["error"]["kind"] == "truncated");
  CHECK(told.lines[4]["error"]["en"].get<std::string>().find("odd") != std::string::npos);
  CHECK(told.lines[5]["ok"] == true);
  CHECK(told.err.find("frames: 6, refused: 4") != std::string::npos);
}

TEST_CASE("several frames of a line are told each, and what lies before them is none") {
  const auto wrong_crc = kAlive.substr(0, kAlive.size() - 1) + "B";
  for (const auto& [text, good, bad] : {std::tuple{kAlive + wrong_crc, 1, 1}, {wrong_crc + kAlive, 1, 1}, {wrong_crc + wrong_crc, 0, 2},
                                        {"DEADBEEF7E" + kAlive, 1, 0}, {"01FF017E7E" + kAlive, 1, 0}, {"7E7E" + kAlive.substr(0, 20), 0, 1}}) {
    CAPTURE(text);
    const auto told = decode("sl651", text);
    CHECK(std::count_if(told.lines.begin(), told.lines.end(), [](const json& line) { return line["ok"] == true; }) == good);
    CHECK(told.lines.size() == static_cast<std::size_t>(good + bad));
    CHECK(told.code == (bad == 0 ? kOk : kFailed));
  }
  auto wrong = kData;
  wrong.back() = '2';
  const auto told = decode("hj212", "####" + wrong + kData + wrong);
  REQUIRE(told.lines.size() == 3);
  CHECK(told.lines[0]["error"]["kind"] == "crc");  // and not the length, though there is more "&&" behind
  CHECK(told.lines[1]["ok"] == true);
  CHECK(told.lines[2]["error"]["kind"] == "crc");
}

TEST_CASE("text of older devices is GBK") {
  const auto told = decode("hj212", with_crc("QN=1;ST=22;CN=3020;PW=1;MN=A;Flag=4;CP=&&i12001-Info=\xD5\xFD\xB3\xA3;i22001-Info=\xCB\xAE\xCE\xBB;"
                                             "i33101-Info=25.0;i22003-Info=\xFF\x41&&"));
  REQUIRE(told.lines.size() == 1);
  const auto items = fields(told.lines[0], "cp");
  REQUIRE(items.size() == 4);
  CHECK(items[0]["value"] == "正常");
  CHECK(items[1]["value"] == "水位");  // which is UTF-8 by chance
  CHECK(items[2]["unit"] == "°C");
  CHECK(items[3]["value"] == "\uFFFDA");
}

TEST_CASE("units are of what has one") {
  const auto told = decode("hj212", with_crc("QN=1;ST=32;CN=2061;PW=1;MN=A;Flag=4;CP=&&DataTime=20261015070000;w01018-Avg=35.0,w01018-Cou=1.5,"
                                             "w01018-EFlag=A1,w01018-Flag=N;SB1-RS=4;SB1-RT=1.5;OverTime=5&&"));
  const auto items = fields(told.lines.at(0), "cp");
  REQUIRE(items.size() == 8);
  CHECK(items[1]["unit"] == "mg/L");
  CHECK(!items[2].contains("unit"));
  CHECK(!items[3].contains("unit"));
  CHECK(items[5]["meaning"]["en"] == "alarm");
  CHECK(items[6]["unit"] == "h");
  CHECK(items[7]["meaning"]["en"] == "timeout");
  CHECK(told.lines[0]["readings"].size() == 4);
}

TEST_CASE("what has no identifier is told item by item") {
  const auto told = [](const std::string& body, std::uint8_t function, bool down = false) {
    sl::Frame frame{.down = down, .centre = 1, .station = *sl::Address::parse("12345678"), .function = function};
    frame.body = from_hex("0001261015080000" + body);
    frame.end = down ? sl::kEnq : sl::kEtx;
    return decode("sl651", sl::encode(frame)).lines.at(0);
  };
  const std::string kAddress = "F1F10012345678";
  const auto gates = told(kAddress + "0A" "0102" "01500200", 0x4E);
  CHECK(fields(gates, "bitmap").at(0)["on"] == json({1, 10}));
  CHECK(fields(gates, "openings_cm").at(0)["value"] == json({150, 200}));
  CHECK(fields(told("FF", 0x4F, true), "fixed_volume_control").at(0)["meaning"]["en"] == "on");
  CHECK(fields(told(kAddress + "00010002", 0x50), "event_counters").at(0)["counters"][1]["value"] == 2);
  CHECK(fields(told("20082823", 0x43, true), "identifier").at(0)["meaning"]["en"] == "interval of the timed report, h");
  CHECK(fields(told("9700", 0x47, true), "identifier").at(0)["meaning"]["en"] == "erase stored data");
  const auto own = told(kAddress + "48F0F02610150800" "38121099", 0xE1);  // a function of the user's own, with a class code
  CHECK(fields(own, "station_group").at(0)["class_code"] == "H");
  CHECK(own["readings"][0]["value"] == 10.99);
}

TEST_CASE("a raw frame may hold a line feed") {
  auto frame = from_hex("7E7E05001122334403E8330020020038260101063000F1F1001122334450F0F026010106300219FF005338121240035405");
  CHECK(decode("sl651", frame + "\n" + from_hex(kAlive) + "\n").code == kOk);
  // Serial 000A: a line feed within.
  const std::string with_feed = from_hex("7E7E01001234567812342F000802000A59101115511103") ;
  const auto told = decode("sl651", with_feed + "\n" + kAlive + "\n");
  REQUIRE(told.lines.size() == 2);
  CHECK(told.lines[0]["ok"] == false);  // two bytes of CRC are missing, and the next line is not eaten for them
  CHECK(told.lines[1]["ok"] == true);

  // Wherever the feed lies: in a second frame, before what looks like a start, as the last byte of all.
  sl::Frame next{.centre = 1, .station = *sl::Address::parse("12345678"), .function = sl::kKeepAlive};
  std::string all;
  std::size_t count = 0;
  bool ends_so = false;
  for (unsigned serial = 0; serial < 65536 && !(ends_so && count > 40); ++serial) {
    const std::string body{static_cast<char>(serial >> 8U), static_cast<char>(serial)};
    next.body = body + std::string("\x26\x0A\x01\x0A~~", 6);
    const auto bytes = sl::encode(next);
    ends_so = bytes.ends_with('\n');
    if (count >= 40 && !ends_so) continue;
    all += bytes;
    ++count;
  }
  REQUIRE(ends_so);
  const auto stream = decode("sl651", all);
  CHECK(stream.code == kOk);
  CHECK(stream.lines.size() == count);
}

TEST_CASE("packets on lines of their own make one message") {
  const auto told = decode("sl651",
                           "7E7E05001122334403E836002516002001003B260101073000F1F1001122334448F0F02601010730F3F3FFD8FFE000104A4649175000\n"
                           "7E7E05001122334403E83600091600200246000101FFD903416B\n");
  CHECK(told.code == kOk);
  REQUIRE(told.lines.size() == 3);
  CHECK(told.lines[2]["message"] == true);
  CHECK(told.lines[2]["line"] == 2);
  CHECK(fields(told.lines[2], "picture").at(0)["bytes"] == 15);
}

TEST_CASE("a packet of HJ 212 is told in the standard's terms") {
  const auto told = decode("hj212", kData + "\r\n");
  CHECK(told.code == kOk);
  REQUIRE(told.lines.size() == 1);
  const auto& line = told.lines[0];
  CHECK(line["CN"] == "2011");
  CHECK(line["Flag"] == 5);
  CHECK(line["answer_wanted"] == true);
  CHECK(line["version"] == "2017");
  REQUIRE(line["readings"].size() == 3);
  CHECK(line["readings"][0]["code"] == "a34004");
  CHECK(line["readings"][0]["value"] == 35.2);
  CHECK(line["readings"][0]["flag"] == "N");
  CHECK(line["readings"][0]["time"] == "2026-01-01T08:00:00+08:00");
  for (const auto& field : line["fields"]) {
    const auto raw = from_hex(field["raw"].get<std::string>());
    CHECK(kData.substr(field["offset"].get<std::size_t>(), raw.size()) == raw);
  }
  std::string hex;
  for (const char c : kData) hex += fmt::format("{:02x}", static_cast<unsigned char>(c));
  CHECK(decode("hj212", hex).lines.at(0)["MN"] == "010000A8900016F000169DC0");
  auto wrong = kData;
  wrong.replace(2, 4, "0199");
  CHECK(decode("hj212", wrong + "\n" + kData).lines.at(0)["error"]["field"] == "length");
  CHECK(decode("hj212", wrong + "\n" + kData).lines.at(1)["ok"] == true);
}

TEST_CASE("people get a table, in their language") {
  const auto zh = decode("sl651", kTimed, false, Lang::zh);
  CHECK(zh.out.find("遥测站定时报") != std::string::npos);
  CHECK(zh.out.find("10.490 m") != std::string::npos);  // as many decimals as were sent
  const auto en = decode("sl651", kAlive.substr(0, 20), false);
  CHECK(en.out.find("line 1: refused") != std::string::npos);
}
