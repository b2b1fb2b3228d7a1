#include "firmware/wire/hj212.hpp"

#include <random>

#include <doctest/doctest.h>
#include <fmt/format.h>

namespace hamlet::wire::hj212 {
namespace {

const std::string kSetInterval =
    "##0101QN=20160801085857223;ST=32;CN=1062;PW=100000;MN=010000A8900016F000169DC0;Flag=5;CP=&&RtdInterval=30&&1C80\r\n";
const std::string kRealTime =
    "##0200QN=20260101080000000;ST=22;CN=2011;PW=123456;MN=010000A8900016F000169DC0;Flag=5;CP=&&DataTime=20260101080000;"
    "a34004-Rtd=35.2,a34004-Flag=N;a34002-Rtd=61.0,a34002-Flag=N;a01001-Rtd=-5.3,a01001-Flag=N&&B2C1\r\n";
const std::string kDataAnswer =
    "##0087QN=20260101080000000;ST=91;CN=9014;PW=123456;MN=010000A8900016F000169DC0;Flag=4;CP=&&&&0F00\r\n";
const std::string kRequestAnswer =
    "##0094QN=20260101080000000;ST=91;CN=9011;PW=123456;MN=010000A8900016F000169DC0;Flag=4;CP=&&QnRtn=1&&48C0\r\n";
const std::string k2025 =
    "##0087QN=20240601085857223;ST=32;CN=1011;PW=123456;MN=010000A8900016F000169DC0;Flag=9;CP=&&&&2200\r\n";

Parsed parsed(const std::string& raw, const Options& options = {}) {
  auto out = parse_frame(raw, options);
  if (!out) FAIL(out.error().message.en);
  CHECK(out->size == raw.size());
  return std::move(*out);
}

std::string with_crc(const std::string& segment) {
  return fmt::format("##{:04}{}{:04X}\r\n", segment.size(), segment, crc(segment));
}

}  // namespace

TEST_CASE("HJ 212 CRC is not that of Modbus") {
  CHECK(crc("123456789") == 0x2F80);
  CHECK(crc("A") == 0x7080);
  CHECK(crc16("A") != 0x7080);
}

TEST_CASE("the vectors survive the way in and out") {
  for (const auto& raw : {kSetInterval, kRealTime, kDataAnswer, kRequestAnswer, k2025}) {
    const auto out = parsed(raw);
    CHECK(out.faults.empty());
    CHECK(encode(out.packet) == raw);
  }
  CHECK(parsed(k2025).packet.version() == Version::v2025);
  CHECK(parsed(kSetInterval).packet.find("RtdInterval") == "30");
}

TEST_CASE("real-time data, and how it is answered") {
  const auto packet = parsed(kRealTime).packet;
  CHECK(packet.wants_answer());
  CHECK(!packet.is_split());
  CHECK(packet.version() == Version::v2017);
  const auto data = data_of(packet);
  CHECK(data.time == parse_china_digits("20260101080000"));
  REQUIRE(data.values.size() == 3);
  CHECK(data.values[0].code == "a34004");
  CHECK(data.values[0].number == 35.2);
  CHECK(data.values[2].number == -5.3);
  CHECK(data.values[2].mark == "N");
  CHECK(encode(answer(packet, "9014")) == kDataAnswer);
  CHECK(encode(answer(packet, "9011", {{{"QnRtn", "1"}}})) == kRequestAnswer);
}

TEST_CASE("what devices do wrong is read as far as it goes, and noted") {
  const auto read = [](const std::string& segment) { return parsed(with_crc(segment)); };
  SUBCASE("a comma behind QN, spaces, another order") {
    const auto out = read("QN=20260101080000000,CN=2011; ST=22;MN=A1;PW=123456;Flag=5;CP=&& DataTime=20260101080000; w01018-Rtd=12 &&");
    CHECK(out.faults.empty());
    CHECK(out.packet.cn == "2011");
    CHECK(data_of(out.packet).values.at(0).number == 12);
  }
  SUBCASE("no terminator") {
    const auto out = read("QN=1;ST=22;CN=2011;PW=1;MN=A;Flag=4;CP=&&a01001-Rtd=1.5");
    CHECK(out.faults.size() == 1);
    CHECK(data_of(out.packet).values.at(0).number == 1.5);
  }
  SUBCASE("no CP, no MN") {
    const auto out = read("QN=1;ST=22;CN=2011;PW=1;Flag=4");
    CHECK(out.faults.size() == 2);
  }
  SUBCASE("items that are none, values that are no numbers, control characters") {
    const auto out = read("QN=1;ST=22;CN=2011;PW=1;MN=A;Flag=4;CP=&&junk;a01001-Rtd=;a01002-Rtd=abc;a01006-Rtd=1\x02;=5;a01007-Rtd=2&&");
    CHECK(out.faults.size() == 5);
    const auto data = data_of(out.packet);
    REQUIRE(data.values.size() == 3);
    CHECK(!data.values[0].number);
    CHECK(!data.values[1].number);
    CHECK(data.values[2].number == 2);
  }
  SUBCASE("an unknown suffix, and more behind the end") {
    const auto out = read("QN=1;ST=22;CN=2011;PW=1;MN=A;Flag=4;CP=&&a01001-Foo=1,a01001-Flag=N;i12001-Info=ok&&,x");
    REQUIRE(out.faults.size() == 2);
    CHECK(out.packet.find("a01001-Foo") == "1");
  }
  SUBCASE("split, and no packet numbers") {
    const auto out = read("QN=1;ST=22;CN=2011;PW=1;MN=A;Flag=7;CP=&&&&");
    CHECK(out.packet.is_split());
    CHECK(out.faults.size() == 1);
    CHECK(read("QN=1;ST=22;CN=2011;PW=1;MN=A;Flag=7;PNUM=2;PNO=3;CP=&&&&").faults.size() == 1);
    CHECK(read("QN=1;ST=22;CN=2011;PW=1;MN=A;Flag=7;PNUM=2;PNO=2;CP=&&&&").faults.empty());
  }
  SUBCASE("2025: encrypted") {
    const auto out = read("QN=1;ST=22;CN=2011;PW=1;MN=A;Flag=9;RF=1;CP=&&{0x01,0x02;0x03}&&");
    CHECK(out.packet.find("encrypted") == "{0x01,0x02;0x03}");
    CHECK(out.packet.extra.at(0).name == "RF");
    CHECK(encode(out.packet) == with_crc("QN=1;ST=22;CN=2011;PW=1;MN=A;Flag=9;RF=1;CP=&&{0x01,0x02;0x03}&&"));
  }
}

TEST_CASE("what is wrong with a packet is told with field and offset") {
  const auto fault = [](const std::string& raw, const Options& options = {}) {
    const auto out = parse_frame(raw, options);
    REQUIRE(!out.has_value());
    return out.error();
  };
  auto raw = kSetInterval;
  SUBCASE("CRC") {
    raw[raw.size() - 3] = '1';
    CHECK(fault(raw).kind == FrameFault::Kind::crc);
    CHECK(fault(raw).offset == 107);
    CHECK(fault(raw).message.en.find("1C80") != std::string::npos);
  }
  SUBCASE("the CRC of Modbus") {
    raw.replace(raw.size() - 6, 4, "0759");
    CHECK(fault(raw).message.en.find("Modbus") != std::string::npos);
    CHECK(parsed(raw, {.modbus_crc = true}).faults.size() == 1);
  }
  SUBCASE("lower case is as good") {
    raw.replace(raw.size() - 6, 4, "1c80");
    CHECK(parsed(raw).faults.empty());
  }
  SUBCASE("length") {
    raw.replace(2, 4, "0099");
    CHECK(fault(raw).field == "length");
    CHECK(fault(raw).message.en.find("101") != std::string::npos);
    raw.replace(2, 4, "01x1");
    CHECK(fault(raw).offset == 4);
    raw.replace(2, 4, "9999");
    CHECK(fault(raw).kind == FrameFault::Kind::header);
    CHECK(fault(raw, {.max_segment = 9999}).kind == FrameFault::Kind::truncated);
  }
  SUBCASE("cut anywhere") {
    for (std::size_t size = 0; size + 2 < raw.size(); ++size) {
      CHECK(fault(raw.substr(0, size)).kind == FrameFault::Kind::truncated);
    }
  }
}

TEST_CASE("a stream is decoded however it is cut, through noise and any end of line") {
  const auto bare = kDataAnswer.substr(0, kDataAnswer.size() - 2);
  const std::string stream = "#\r\n###x" + kRealTime + bare + bare + "\n" + kRealTime.substr(0, 40) + kSetInterval + "#";
  for (const std::size_t step : {1U, 3U, 64U, 5000U}) {
    CAPTURE(step);
    Decoder decoder;
    std::vector<std::string> seen;
    const auto drain = [&] {
      while (auto next = decoder.next()) {
        if (*next) seen.push_back((*next)->packet.cn);
      }
    };
    for (std::size_t at = 0; at < stream.size(); at += step) {
      decoder.feed(std::string_view{stream}.substr(at, step));
      drain();
    }
    while (decoder.pending() > 0) {
      decoder.give_up();
      drain();
    }
    CHECK(seen == std::vector<std::string>{"2011", "9014", "9014", "1062"});
  }
}

TEST_CASE("a long packet is cut between its items, each packet whole by itself") {
  auto packet = parsed(kRealTime).packet;
  for (int i = 0; i < 100; ++i) packet.cp.push_back({{fmt::format("x{:05}-Rtd", i), "1.25"}, {fmt::format("x{:05}-Flag", i), "N"}});
  const auto parts = split(packet, 1024);
  REQUIRE(parts.size() > 2);
  std::size_t values = 0;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const auto again = parsed(encode(parts[i]));
    CHECK(again.faults.empty());
    CHECK(again.segment_size <= 1024);
    CHECK(again.packet.pno == i + 1);
    CHECK(again.packet.is_split());
    CHECK(data_of(again.packet).time == data_of(packet).time);
    values += data_of(again.packet).values.size();
  }
  CHECK(values == data_of(packet).values.size());
  CHECK(parts[1].qn == "20260101080000001");
  CHECK(split(parsed(kRealTime).packet, 1024).size() == 1);
}

TEST_CASE("what is encoded is decoded as it was") {
  std::mt19937 random{20'260'101};
  const auto below = [&](unsigned bound) { return std::uniform_int_distribution<unsigned>{0, bound - 1}(random); };
  for (int round = 0; round < 2000; ++round) {
    Packet packet{.qn = qn_of(wall_from_ms(1'700'000'000'000 + static_cast<std::int64_t>(below(1U << 30U)))), .st = "32",
                  .cn = fmt::to_string(1000 + below(9000)), .pw = "123456", .mn = fmt::format("{:X}", below(1U << 30U))};
    if (below(4) != 0) packet.flag = below(12) & ~2U;
    for (unsigned i = below(20); i > 0; --i) {
      Item item;
      for (unsigned j = 1 + below(3); j > 0; --j) item.push_back({fmt::format("a{:05}-Avg", below(99999)), fmt::format("{}.{}", below(999), below(99))});
      packet.cp.push_back(item);
    }
    const auto again = parsed(encode(packet));
    CHECK(again.packet == packet);
    CHECK(again.faults.empty());
  }
}

}  // namespace hamlet::wire::hj212
