#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include <doctest/doctest.h>

#include "firmware/core/text.hpp"
#include "sync/contract/contract.hpp"
#include "sync/contract/packed.hpp"
#include "sync/contract/shapes.hpp"

using namespace hamlet;
using contract::Body;
using contract::Dated;
using contract::Lane;
using nlohmann::json;

namespace {

constexpr std::int64_t kNow = 1'795'411'860'000;

// Boot 3 was synced from its start; boot 2 never was.
Dated date(Moment moment) {
  if (moment.boot == 3) return {wall_from_ms(kNow + to_ms(moment.mono)), TimeQuality::synced};
  return {wall_from_ms(to_ms(moment.mono)), TimeQuality::unsynced};
}

std::string render(const Body& body, Lane lane, std::int64_t mono, std::uint32_t boot = 3) {
  const auto message = contract::render(body,
                                        {.gw = "gw-0017",
                                         .epoch = "9f2c41d07be1a655",
                                         .lane = lane,
                                         .seq = 1841,
                                         .at = {boot, mono_from_ms(mono)},
                                         .hist = false,
                                         .rev = 7},
                                        date);
  REQUIRE_MESSAGE(message, message.error().message);
  return *message;
}

json round_trip(Value value) {
  const std::vector<Reading> batch{{.point = "a.b", .at = mono_from_ms(0), .value = std::move(value)}};
  return json::parse(render(contract::encode_readings(batch, mono_from_ms(0)), Lane::tele, 0))["readings"][0]["v"];
}

}  // namespace

TEST_CASE("numbers travel in their shortest form and come back the same") {
  const auto written = [](double number) {
    const std::vector<Reading> batch{{.point = "a.b", .at = mono_from_ms(0), .value = number}};
    const auto bytes = render(contract::encode_readings(batch, mono_from_ms(0)), Lane::tele, 0);
    const auto from = bytes.find("\"v\":") + 4;
    return bytes.substr(from, bytes.find(',', from) - from);
  };
  CHECK(written(2.31) == "2.31");
  CHECK(written(0.1 + 0.2) == "0.30000000000000004");
  CHECK(written(21.0) == "21");
  CHECK(written(-0.5) == "-0.5");
  CHECK(written(std::nan("")) == "null");
  CHECK(written(std::numeric_limits<double>::infinity()) == "null");

  std::mt19937_64 random{1};
  for (int i = 0; i < 5'000; ++i) {
    const auto bits = random();
    double number = 0;
    std::memcpy(&number, &bits, sizeof number);
    if (!std::isfinite(number)) continue;
    REQUIRE(round_trip(number).get<double>() == number);
  }
}

TEST_CASE("any value comes back; what is no UTF-8 is replaced and breaks nothing") {
  CHECK(round_trip(true) == true);
  CHECK(round_trip({}) == nullptr);
  CHECK(round_trip("open").get<std::string>() == "open");
  CHECK(round_trip("\"\\\n\x01\x02\x7f").get<std::string>() == "\"\\\n\x01\x02\x7f");
  CHECK(round_trip("\xE9\x97\xB8\xE9\x97\xA8").get<std::string>() == "\xE9\x97\xB8\xE9\x97\xA8");
  CHECK(round_trip("a\xFF\xC0z").get<std::string>() == "a\xEF\xBF\xBD\xEF\xBF\xBDz");

  std::mt19937 random{2};
  for (int i = 0; i < 2'000; ++i) {
    std::string bytes(random() % 12, '\0');
    for (auto& byte : bytes) byte = static_cast<char>(random());
    const auto back = round_trip(bytes).get<std::string>();
    REQUIRE(is_utf8(back));
    if (is_utf8(bytes)) REQUIRE(back == bytes);
  }
}

TEST_CASE("marks become wall time, of this boot and of another") {
  const std::vector<Reading> batch{{.point = "a.b", .at = mono_from_ms(900), .value = 1.0},
                                   {.point = "a.c", .at = mono_from_ms(1'000), .value = 2.0}};
  const auto body = contract::encode_readings(batch, mono_from_ms(1'000));
  const auto message = json::parse(render(body, Lane::tele, 1'000));
  CHECK(message["ts"] == kNow + 1'000);
  CHECK(message["readings"][0]["t"] == kNow + 900);
  CHECK(message["readings"][1]["t"] == kNow + 1'000);

  Alarm alarm;
  alarm.id = "high";
  alarm.since = {3, mono_from_ms(500)};
  const Moment at{3, mono_from_ms(2'000)};
  CHECK(json::parse(render(contract::encode_alarm(alarm, at), Lane::alarm, 2'000))["since"] == kNow + 500);
  alarm.since = {2, mono_from_ms(77)};
  CHECK(json::parse(render(contract::encode_alarm(alarm, at), Lane::alarm, 2'000))["since"] == 77);
}

TEST_CASE("while the clock is unset a message carries boot and monotonic time") {
  const auto body = contract::encode_readings({}, mono_from_ms(5));
  const auto unsynced = json::parse(render(body, Lane::tele, 5, 2));
  CHECK(unsynced["tq"] == "unsynced");
  CHECK(unsynced["boot"] == 2);
  CHECK(unsynced["mono"] == 5);
  CHECK_FALSE(json::parse(render(body, Lane::tele, 5, 3)).contains("boot"));
}

TEST_CASE("an event's own time is there where it is not the record's") {
  const Event event{.source = "cam", .kind = "motion", .id = "e", .at = mono_from_ms(700)};
  CHECK_FALSE(json::parse(render(contract::encode_event(event, mono_from_ms(700)), Lane::event, 700)).contains("t"));
  CHECK(json::parse(render(contract::encode_event(event, mono_from_ms(900)), Lane::event, 900))["t"] == kNow + 700);
}

TEST_CASE("an event's detail may hold anything JSON has, and nothing it has not") {
  Event event{.source = "gateway", .kind = "command", .id = "e"};
  event.detail = {{"nan", std::nan("")}, {"text", "\xFF"}, {"deep", {{"a", {1, 2, 3}}}}};
  const auto message = json::parse(render(contract::encode_event(event, event.at), Lane::event, 0));
  CHECK(message["detail"]["nan"] == nullptr);
  CHECK(message["detail"]["text"] == "\xEF\xBF\xBD");
  CHECK(message["detail"]["deep"]["a"][2] == 3);
  event.detail = json::array({1});
  CHECK(json::parse(render(contract::encode_event(event, event.at), Lane::event, 0))["detail"] == json::object());
}

TEST_CASE("a body that is damaged is told, not sent") {
  const auto fails = [](std::string bytes) {
    const auto message = contract::render({"tele", std::move(bytes)}, {.gw = "g", .epoch = "e"}, date);
    return !message && message.error().code == Errc::corrupt;
  };
  CHECK(fails(""));
  CHECK(fails("{"));
  CHECK(fails("[]"));
  CHECK(fails("{\"t\":\x01}"));
  CHECK(fails("{\"t\":\x01\x02}"));
  CHECK(
      fails("{\"t\":\x01"
            "12x\x02}"));
  CHECK(
      fails("{\"t\":\x01"
            "-1:5\x02}"));
  CHECK(
      fails("{\"t\":\x01"
            "99999999999:5\x02}"));
  CHECK(
      fails("{\"t\":\x01"
            "99999999999999999999\x02}"));
  CHECK(render({"tele", "{}"}, Lane::tele, 0).ends_with("\"rev\":7}"));
}

TEST_CASE("a batch comes back as it was, in few bytes where a poll repeats itself") {
  contract::Names names;
  std::mt19937_64 random{3};
  std::vector<Reading> batch;
  for (int poll = 0; poll < 8; ++poll) {
    const auto at = mono_from_ms(100'000 + poll * 5'000);
    for (const auto* point : {"plc.level", "plc.flow", "plc.rain", "plc.on"})
      batch.push_back({.point = point, .at = at, .value = 20 + static_cast<double>(random() % 10) / 10});
  }
  const auto at = mono_from_ms(140'000);
  const auto comes_back = [&](contract::Names* known) {
    const auto again = contract::unpack(contract::pack(batch, at, known), at, known);
    REQUIRE(again);
    REQUIRE(again->size() == batch.size());
    for (std::size_t i = 0; i < batch.size(); ++i) {
      CHECK((*again)[i].point == batch[i].point);
      CHECK((*again)[i].at == batch[i].at);
      CHECK((*again)[i].value == batch[i].value);
    }
  };
  comes_back(&names);
  comes_back(nullptr);
  CHECK(contract::pack(batch, at, &names).size() < 3 * batch.size());
  // Whatever order, times, and kinds of value.
  std::shuffle(batch.begin(), batch.end(), random);
  for (std::size_t i = 0; i < batch.size(); ++i) {
    if (i % 5 == 0) batch[i].value = std::string{"open"};
    if (i % 7 == 0) batch[i].at = mono_from_ms(static_cast<std::int64_t>(random() % 1'000'000));
    if (i % 9 == 0) batch[i].point = std::string(200, 'p');  // too long for a number
  }
  comes_back(&names);
  comes_back(nullptr);
  CHECK(contract::unpack(contract::pack({}, at, &names), at, &names)->empty());
}

TEST_CASE("a message of any shape comes back to the last byte") {
  const auto size = [](const std::string& topic, const std::string& body) {
    std::string bytes;
    contract::put_message(bytes, topic, body);
    contract::ByteReader in{bytes};
    std::string topic_again;
    std::string body_again;
    REQUIRE(contract::take_message(in, topic_again, body_again));
    CHECK(in.done());
    CHECK(topic_again == topic);
    CHECK(body_again == body);
    return bytes.size();
  };
  const std::string seen =
      "{\"source\":\"cam-1\",\"kind\":\"motion\",\"phase\":\"end\",\"event\":\"5b1f0c9a77e24d10\",\"t\":\x01-140\x02,"
      "\"detail\":{\"area\":0.0534,\"box\":[130,210,40,80],\"duration_ms\":2000,\"frame\":1010,\"frames\":20,"
      "\"media_ms\":102000,\"zone\":\"ford\"},\"media\":[\"9f2c41d07be1a655-9\"]}";
  CHECK(size("event/cam-1/motion", seen) < 70);
  CHECK(size("event/cam-2/motion", seen) > seen.size());  // another topic than the body says
  CHECK(size("alarmlog/high", R"({"alarm":"high","occurrence":1})") < 40);
  for (const auto* topic : {"", "event", "event/a/b", "event//", "alarmlog/"})
    for (const auto* body : {"", "{}", R"({"source":"a","kind":"b"})", R"({"source":"a)", R"({"source":"","kind":""})", R"({"alarm":"")"})
      (void)size(topic, body);
  // As nobody writes a number: leading zeros, exponents, minus nothing; and any byte another one.
  for (const auto* number : {"00", "-0", "-0.0", "0.", ".5", "1e3", "+1", "", "-", "123456789012345678901", "0.05340", "-0.5", "5"}) {
    for (const auto* hole : {"0.0534", "130", "-140", "102000"}) {
      auto other = seen;
      (void)size("event/cam-1/motion", other.replace(other.find(hole), std::strlen(hole), number));
    }
  }
  for (std::size_t i = 0; i < seen.size(); ++i) {
    for (const char byte : {'"', '0', '}', '\x07', '\xff'}) {
      auto other = seen;
      other[i] = byte;
      (void)size("event/cam-1/motion", other);
    }
  }
}
