#include "firmware/wire/sl651.hpp"

#include <cmath>
#include <random>

#include <doctest/doctest.h>

namespace hamlet::wire::sl651 {
namespace {

using Kind = Group::Kind;

std::string bytes(std::string_view hex) {
  const auto out = from_hex(hex);
  REQUIRE(out.has_value());
  return *out;
}

Frame frame_of(std::string_view raw) {
  const auto parsed = parse_frame(raw);
  if (!parsed) FAIL(parsed.error().message.en);
  CHECK(parsed->size == raw.size());
  return parsed->frame;
}

Body body_of(const Frame& frame) {
  auto body = parse_body(frame);
  REQUIRE(body.has_value());
  if (body->damage) FAIL_CHECK(body->damage->message.en);
  return std::move(*body);
}

FrameFault fault_of(std::string_view raw) {
  const auto parsed = parse_frame(raw);
  REQUIRE(!parsed.has_value());
  return parsed.error();
}

// Every vector survives the way in and out.
Body both_ways(std::string_view raw) {
  const auto frame = frame_of(raw);
  CHECK(to_hex(encode(frame)) == to_hex(raw));
  auto body = body_of(frame);
  CHECK(to_hex(encode_body(body, frame.encoding)) == to_hex(frame.body));
  return body;
}

std::vector<double> numbers(const Group& group) {
  std::vector<double> out;
  for (const auto& sample : group.samples) out.push_back(sample.state == Sample::State::good ? sample.value : -99);
  return out;
}

const std::string kV1 = "7E7E01001234567812342F0008020003591011155111036BCA";
const std::string kV2 =
    "7E7E05001122334403E832002B020034170718110016F1F1001122334448F0F01707181100201900004026190000403923000104903812"
    "109903A421";
const std::string kV3 =
    "7E7E05001122334403E8340063020036260101090005F1F1001122334448F0F02601010805F4600000050C0000000000FF0003F0F026010109"
    "002619000432F0F02601010805F5C004190419041A041C041F04220424FFFF0425042404230422F0F0260101090039230001058038121265031F2"
    "A";
const std::string kV4 =
    "7E7E05001122334403E831002A020037260101120001F1F1001122334448F0F026010110000418000100392300010490FFFFFFFF0001052003F8"
    "47";
const std::string kV8a =
    "7E7E05001122334403E836002516002001003B260101073000F1F1001122334448F0F02601010730F3F3FFD8FFE000104A4649175000";
const std::string kV8b = "7E7E05001122334403E83600091600200246000101FFD903416B";
const std::string kV13 =
    "\x01" "05001122334403E832004E" "\x02" "0034170718110016ST 0011223344 H TT 1707181100 PJ 4.0 PT 4.0 Z 10.490 VT 10.99 " "\x03" "F6DF";

}  // namespace

TEST_CASE("SL 651 CRC gives the check value") { CHECK(crc16("123456789") == 0x4B37); }

TEST_CASE("V1, the keep-alive of the standard") {
  const auto frame = frame_of(bytes(kV1));
  CHECK(frame.centre == 1);
  CHECK(frame.station.text() == "12345678");
  CHECK(frame.password == 0x1234);
  CHECK(frame.function == kKeepAlive);
  CHECK(frame.end == kEtx);
  const auto body = both_ways(bytes(kV1));
  CHECK(body.serial == 3);
  CHECK(body.sent.digits == "591011155111");
}

TEST_CASE("V2, a timed report, and its two answers") {
  const auto frame = frame_of(bytes(kV2));
  const auto body = both_ways(bytes(kV2));
  CHECK(body.serial == 52);
  CHECK(body.sent.time() == parse_china_digits("20170718110016"));
  REQUIRE(body.groups.size() == 6);
  CHECK(body.groups[0].class_code == 'H');
  const auto seen = observations(body, frame.station);
  REQUIRE(seen.size() == 4);
  CHECK(seen[0].symbol == "PJ");
  CHECK(seen[0].sample.value == 4.0);
  CHECK(seen[2].symbol == "Z");
  CHECK(seen[2].sample.value == 10.49);
  CHECK(seen[2].at == parse_china_digits("20170718110000"));
  CHECK(seen[3].sample.value == 10.99);
  const auto now = *parse_china_digits("20170718110020");
  CHECK(to_hex(encode(confirmation(frame, body.serial, now, kEot))) == "7E7E00112233440503E8328008020034170718110020048D82");
  CHECK(to_hex(encode(confirmation(frame, body.serial, now, kEsc))) == "7E7E00112233440503E83280080200341707181100201B45C3");
  both_ways(bytes("7E7E00112233440503E8328008020034170718110020048D82"));
}

TEST_CASE("V3, an hourly report with blocks of rain and level") {
  const auto body = both_ways(bytes(kV3));
  std::vector<const Group*> series;
  for (const auto& group : body.groups) {
    if (group.kind == Kind::series) series.push_back(&group);
  }
  REQUIRE(series.size() == 2);
  CHECK(numbers(*series[0]) == std::vector<double>{0, 0, 0.5, 1.2, 0, 0, 0, 0, 0, -99, 0, 0.3});
  CHECK(numbers(*series[1])[0] == 10.49);
  CHECK(series[1]->samples[7].state == Sample::State::missing);
  const auto seen = observations(body, {});
  CHECK(seen[0].at == parse_china_digits("20260101080500"));
  CHECK(seen[11].at == parse_china_digits("20260101090000"));
  CHECK(seen.back().sample.value == 12.65);
}

TEST_CASE("V4, a uniform report with a value that is missing") {
  const auto body = both_ways(bytes(kV4));
  const auto& series = body.groups.back();
  CHECK(series.kind == Kind::series);
  CHECK(numbers(series) == std::vector<double>{10.49, -99, 10.52});
  const auto seen = observations(body, {});
  CHECK(*seen[2].at - *seen[0].at == std::chrono::hours{2});
}

TEST_CASE("V5 to V7: below zero, status bits, a version") {
  const auto cold = both_ways(bytes(
      "7E7E05001122334403E8330020020038260101063000F1F1001122334450F0F026010106300219FF005338121240035405"));
  CHECK(cold.groups[2].samples[0].value == -5.3);
  const auto status = both_ways(bytes("7E7E05001122334403E8460015020039260101070000F1F10011223344452000000085039003"));
  CHECK(status.groups.back().samples[0].value == 0x85);
  const auto version =
      both_ways(bytes("7E7E05001122334403E845001B02003A260101070100F1F100112233440B5647572D5254552D312E3003FF77"));
  CHECK(version.groups.back().symbol == "version");
  CHECK(version.groups.back().bytes == "VGW-RTU-1.0");
}

TEST_CASE("V8, a picture in two packets, its confirmation and its NAK") {
  // As the fact sheet prints packet 1 it lacks its last bytes or not: the decoder decides by the length.
  Decoder decoder;
  decoder.feed(bytes(kV8a));
  decoder.feed(bytes(kV8b));
  std::vector<Frame> frames;
  while (const auto next = decoder.next()) {
    REQUIRE(next->has_value());
    frames.push_back(**next);
  }
  REQUIRE(frames.size() == 2);
  Assembly assembly;
  SUBCASE("in order") {
    CHECK(assembly.add(frames[0]));
    CHECK(assembly.first_missing() == 2);
    CHECK(assembly.add(frames[1]));
  }
  SUBCASE("the other way round, and one twice") {
    CHECK(assembly.add(frames[1]));
    CHECK(assembly.first_missing() == 1);
    CHECK(assembly.add(frames[1]));
    CHECK(assembly.add(frames[0]));
  }
  REQUIRE(assembly.complete());
  const auto body = body_of(assembly.whole());
  CHECK(body.serial == 0x3B);
  CHECK(body.groups.back().kind == Kind::picture);
  CHECK(to_hex(body.groups.back().bytes) == "FFD8FFE000104A46494600" "0101FFD9");
  const auto now = *parse_china_digits("20260101073010");
  CHECK(to_hex(encode(confirmation(frames[1], 0x3B, now, kEot))) == "7E7E00112233440503E836800B16002002003B26010107301004B937");
  CHECK(to_hex(encode(confirmation(frames[1], 0x3B, now, kNak, 1))) == "7E7E00112233440503E836800B16002001003B26010107301015BA07");
  CHECK(split(assembly.whole(), frames[0].body.size()) == frames);
}

TEST_CASE("V9 to V12: queries and the clock") {
  both_ways(bytes("7E7E00112233440503E837800802000026010108000005546E"));
  const auto elements = both_ways(bytes("7E7E00112233440503E83A800C020000260101080000392338120547DB"));
  REQUIRE(elements.groups.size() == 2);
  CHECK(elements.groups[0].kind == Kind::identifier);
  CHECK(elements.groups[0].symbol == "Z");
  const auto interval = both_ways(bytes("7E7E00112233440503E83880170200002601010800002601010026010108041800000522190546C1"));
  REQUIRE(interval.groups.size() == 4);
  CHECK(interval.groups[2].step == std::chrono::minutes{5});
  CHECK(interval.groups[3].symbol == "PN05");
  both_ways(bytes("7E7E00112233440503E84A80080200002601010800000529C2"));
  both_ways(bytes("7E7E05001122334403E84A000F020035260101080001F1F1001122334403F9AB"));
}

TEST_CASE("V13, the ASCII form, and its answer") {
  const auto body = both_ways(kV13);
  const auto seen = observations(body, {});
  REQUIRE(seen.size() == 4);
  CHECK(seen[2].id == 0x39);
  CHECK(seen[2].sample.value == 10.49);
  const auto answer = confirmation(frame_of(kV13), 0x34, *parse_china_digits("20170718110020"), kEot);
  CHECK(encode(answer) == "\x01" "00112233440503E8328010" "\x02" "0034170718110020" "\x04" "859C");
}

TEST_CASE("ASCII uniform reports share their values out, and hour blocks are hex or numbers") {
  Frame frame{.encoding = Encoding::ascii, .function = kUniform};
  frame.body = "0001260101120001ST 0011223344 H TT 2601011000 DRH01 Z Q 10.1 5.2 10.2 M 10.3 5.4 ";
  auto body = body_of(frame);
  REQUIRE(body.groups.size() == 5);
  CHECK(numbers(body.groups[3]) == std::vector<double>{10.1, 10.2, 10.3});
  CHECK(numbers(body.groups[4]) == std::vector<double>{5.2, -99, 5.4});
  CHECK(encode_body(body, Encoding::ascii) == frame.body);
  frame.function = kHourly;
  frame.body = "0001260101120001ST 0011223344 H TT 2601011005 DRP 0000050C0000000000FF0003 Z 1.5 ";
  body = body_of(frame);
  CHECK(numbers(body.groups[2]) == std::vector<double>{0, 0, 0.5, 1.2, 0, 0, 0, 0, 0, -99, 0, 0.3});
  CHECK(body.groups[3].samples[0].value == 1.5);
  frame.body = "0001260101120001ST 0011223344 H TT 2601011005 DRP 0.1 0.2 M Z -1.5 XYZ 3 ";
  body = body_of(frame);
  CHECK(numbers(body.groups[2]) == std::vector<double>{0.1, 0.2, -99});
  CHECK(body.groups[3].samples[0].value == -1.5);
  CHECK(body.groups[4].kind == Kind::unknown);
}

TEST_CASE("ASCII: a query's times with a space behind or none, a version with its length or not") {
  Frame frame{.encoding = Encoding::ascii, .down = true, .station = *Address::parse("12345678"), .function = kInterval};
  for (const auto* text : {"000026101523000026010100 26010108 DRN05 PN05 ", "00002610152300002601010026010108DRN05 PN05 "}) {
    frame.body = text;
    const auto body = parse_body(frame);
    REQUIRE(body.has_value());
    REQUIRE(body->groups.size() == 4);
    CHECK(body->groups[0].bytes == "26010100");
    CHECK(body->groups[1].bytes == "26010108");
    CHECK(body->groups[2].step == Millis{std::chrono::minutes{5}});
  }
  frame.down = false;
  frame.function = 0x45;
  for (const auto* text : {"0001261015230000ST 0012345678 0B VGW-RTU 1.0 ", "0001261015230000ST 0012345678 VGW-RTU 1.0"}) {
    frame.body = text;
    const auto body = parse_body(frame);
    REQUIRE(body.has_value());
    CHECK(!body->damage);
    CHECK(body->groups.back().symbol == "version");
    CHECK(body->groups.back().bytes == "VGW-RTU 1.0");
  }
}

TEST_CASE("addresses are written as people do") {
  CHECK(Address::parse("12345678")->bytes == std::array<std::uint8_t, 5>{0, 0x12, 0x34, 0x56, 0x78});
  CHECK(Address::parse("33010601234")->text() == "33010601234");
  CHECK(to_hex({reinterpret_cast<const char*>(Address::parse("33010601234")->bytes.data()), 5}) == "33010604D2");
  CHECK(Address::parse("33010604D2") == Address::parse("33010601234"));
  CHECK(!Address::parse("1234"));
  CHECK(!Address::parse("33010699999"));
}

TEST_CASE("signs, sentinels and nibbles that are no digits") {
  const auto value = [](std::string_view group) {
    const Frame frame{.function = kTimed, .body = bytes("0001260101120001" + std::string{group})};
    const auto body = parse_body(frame);
    REQUIRE(body.has_value());
    REQUIRE(body->groups.size() == 1);
    return body->groups[0].samples[0];
  };
  CHECK(value("3923FFFFFFFF").state == Sample::State::missing);
  CHECK(value("392BFF00001234").value == -1.234);
  CHECK(value("39230001A490").state == Sample::State::invalid);
  CHECK(value("0219FF0053").value == -5.3);
  CHECK(value("FF0112" "1234").value == 12.34);
  CHECK(value("8019000040").value == 4.0);  // in no table: skipped by its definition byte
}

TEST_CASE("what is wrong with a frame is told with field and offset") {
  auto raw = bytes(kV1);
  SUBCASE("CRC") {
    raw.back() = '\xCB';
    CHECK(fault_of(raw).kind == FrameFault::Kind::crc);
    CHECK(fault_of(raw).offset == 23);
    CHECK(fault_of(raw).message.en.find("6BCA") != std::string::npos);
  }
  SUBCASE("too short a length") {
    raw[12] = 7;
    CHECK(fault_of(raw).kind == FrameFault::Kind::end);
    CHECK(fault_of(raw).offset == 21);
  }
  SUBCASE("too long a length") {
    raw[12] = 9;
    CHECK(fault_of(raw).kind == FrameFault::Kind::truncated);
  }
  SUBCASE("no length at all") {
    raw[12] = 0;
    CHECK(fault_of(raw).field == "length");
  }
  SUBCASE("direction") {
    raw[11] = 0x40;
    CHECK(fault_of(raw).field == "direction");
  }
  SUBCASE("start of body") {
    raw[13] = 0x07;
    CHECK(fault_of(raw).field == "body_start");
  }
  SUBCASE("packet 3 of 2") {
    const auto frame = frame_of(bytes(kV8b));
    auto wrong = frame;
    wrong.packets = Packets{2, 3};
    CHECK(fault_of(encode(wrong)).field == "packets");
    wrong.packets = Packets{0, 0};
    CHECK(fault_of(encode(wrong)).field == "packets");
  }
  SUBCASE("cut anywhere") {
    for (std::size_t size = 0; size < raw.size(); ++size) {
      CHECK(fault_of(std::string_view{raw}.substr(0, size)).kind == FrameFault::Kind::truncated);
    }
  }
}

TEST_CASE("a damaged body keeps the groups before the damage") {
  const auto read = [](std::string_view groups) {
    const Frame frame{.function = kTimed, .body = bytes("0001260101120001" + std::string{groups})};
    const auto body = parse_body(frame);
    REQUIRE(body.has_value());
    return *body;
  };
  for (const auto* tail : {"39230001", "3900", "39", "F1F10011", "F0F026"}) {
    CAPTURE(tail);
    const auto body = read("20190000403812" "1099" + std::string{tail});
    CHECK(body.groups.size() == 2);
    REQUIRE(body.damage.has_value());
    CHECK(body.damage->offset == 8 + 5 + 4);
  }
  CHECK(!parse_body({.function = kTimed, .body = "1234567"}).has_value());
}

TEST_CASE("a stream is decoded however it is cut, and through noise") {
  const std::string stream = "AT+CSQ\r\n" + bytes(kV1) + bytes("7E7E7E") + bytes(kV2) + "\x01 zz" + kV13 +
                             bytes(kV1).substr(0, 20) + bytes(kV2) + std::string(3, '\x7E');
  for (const std::size_t step : {1U, 2U, 3U, 7U, 50U, 1000U}) {
    CAPTURE(step);
    Decoder decoder;
    std::vector<std::string> seen;
    for (std::size_t at = 0; at < stream.size(); at += step) {
      decoder.feed(std::string_view{stream}.substr(at, step));
      while (const auto next = decoder.next()) {
        if (*next) seen.push_back(to_hex(encode(**next)));
      }
    }
    CHECK(seen == std::vector<std::string>{kV1, kV2, to_hex(kV13), kV2});
  }
}

TEST_CASE("what never gets whole is given up byte by byte, and what follows is found") {
  Decoder decoder;
  decoder.feed(bytes("7E7E05001122334403E832002B02") + bytes(kV1));  // promises 43 bytes, and V1 hides among them
  CHECK(!decoder.next());
  CHECK(decoder.pending() > 0);
  decoder.give_up();
  const auto next = decoder.next();
  REQUIRE((next && *next));
  CHECK(encode(**next) == bytes(kV1));
  for (int i = 0; i < 2000; ++i) {  // a flood of beginnings does not pile up
    decoder.feed(std::string(1024, '\x7E'));
    while (decoder.next()) {
    }
    REQUIRE(decoder.pending() <= kMaxFrame);
  }
}

TEST_CASE("an assembly has bounds") {
  Assembly assembly;
  Frame frame{.function = kPicture, .packets = Packets{513, 1}};
  CHECK(!assembly.add(frame));
  bool full = false;
  for (std::uint16_t i = 1; i <= 512 && !full; ++i) {
    frame.packets = Packets{512, i};
    frame.body = std::string(4090, 'x');
    full = !assembly.add(frame);
  }
  CHECK(!full);  // 512 packets of 4090 bytes fit in 2 MiB
  frame.packets = Packets{2, 1};
  CHECK(assembly.add(frame));
  CHECK(assembly.first_missing() == 2);
}

TEST_CASE("what is encoded is decoded as it was, whatever it is") {
  std::mt19937 random{20'260'101};
  const auto below = [&](unsigned bound) { return std::uniform_int_distribution<unsigned>{0, bound - 1}(random); };
  for (int round = 0; round < 3000; ++round) {
    CAPTURE(round);
    const auto encoding = round % 2 == 0 ? Encoding::hex : Encoding::ascii;
    Body body{.serial = static_cast<std::uint16_t>(below(65536)), .sent = {"260101120001"}};
    Group station{.kind = Kind::station, .id = 0xF1, .symbol = "ST", .class_code = 'H'};
    for (auto& byte : station.station.bytes) byte = static_cast<std::uint8_t>(below(10));
    body.groups.push_back(station);
    body.groups.push_back({.kind = Kind::observed, .id = 0xF0, .symbol = "TT", .time = {"2601011200"}});
    for (unsigned i = below(6); i > 0; --i) {
      const auto* info = find_element(static_cast<std::uint16_t>(1 + below(0x75)));
      if (info == nullptr || info->id == 0x04 || info->id == 0x45 || info->bytes == 0) continue;
      Group group{.kind = Kind::number, .id = info->id, .symbol = info->symbol,
                  .length = static_cast<std::uint8_t>(info->bytes + 1), .decimals = info->decimals};
      Sample sample;
      sample.state = below(8) == 0 ? Sample::State::missing : Sample::State::good;
      // as many digits as the element has, and none left for the sign to need
      const auto scale = std::pow(10.0, info->decimals);
      if (sample.state == Sample::State::good) {
        sample.value = static_cast<double>(below(info->bytes == 1 ? 99 : 9999)) / scale * (below(2) == 0 ? -1 : 1) + 0.0;
      }
      group.samples.push_back(sample);
      body.groups.push_back(group);
    }
    if (below(2) == 0) {
      Group block{.kind = Kind::series, .id = 0xF4, .symbol = "DRP", .length = 12};
      for (int i = 0; i < 12; ++i) block.samples.push_back({.value = below(255) / 10.0});
      body.groups.push_back(block);
    }
    Frame frame{.encoding = encoding, .centre = static_cast<std::uint8_t>(below(256)), .station = station.station,
                .password = static_cast<std::uint16_t>(below(65536)), .function = kTimed};
    frame.body = encode_body(body, encoding);
    const auto raw = encode(frame);
    const auto parsed = parse_frame(raw);
    REQUIRE(parsed.has_value());
    CHECK(parsed->frame == frame);
    const auto again = body_of(parsed->frame);
    CHECK(again.serial == body.serial);
    REQUIRE(again.groups.size() == body.groups.size());
    for (std::size_t i = 0; i < body.groups.size(); ++i) {
      CAPTURE(i);
      CAPTURE(to_hex(again.groups[i].raw));
      CHECK(again.groups[i].id == body.groups[i].id);
      CHECK(again.groups[i].samples == body.groups[i].samples);
    }
  }
}

TEST_CASE("a value behind a time that is no date is invalid") {
  Frame frame{.function = kTimed};
  frame.body = bytes("0034170718110016F1F1001122334448F0F01713181100392300010490");  // month 13
  const auto body = parse_body(frame);
  REQUIRE(body.has_value());
  const auto seen = observations(*body, {});
  REQUIRE(seen.size() == 1);
  CHECK(seen[0].sample.state == Sample::State::invalid);
  CHECK(!seen[0].at);
}

TEST_CASE("what is missing of a message is asked for under its own serial number") {
  Frame whole{.function = kPicture, .body = bytes("003B260101073000F3F3FFD8FFD9")};
  const auto packets = split(whole, 10);
  REQUIRE(packets.size() == 2);
  Assembly assembly;
  CHECK(assembly.serial() == 0);
  REQUIRE(assembly.add(packets[0]));
  CHECK(assembly.serial() == 0x3B);
  CHECK(assembly.first_missing() == 2);
}

}  // namespace hamlet::wire::sl651
