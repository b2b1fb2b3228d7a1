#include <doctest/doctest.h>
#include <fmt/format.h>

#include "sync/contract/contract.hpp"

using namespace hamlet;
using namespace hamlet::contract;
using nlohmann::json;

namespace {

json tele() {
  return json::parse(R"({"gw":"gw-0017","epoch":"9f2c41d07be1a655","lane":"tele","seq":1841,"ts":1795411860123,
    "tq":"synced","hist":false,"rev":7,"readings":[{"s":"river.level","t":1795411860000,"v":2.31,"q":"good"}]})");
}

// What is wrong with the message after one change.
std::string wrong(const char* pointer, json value) {
  auto message = tele();
  message[json::json_pointer{pointer}] = std::move(value);
  const auto parsed = parse_message(message.dump());
  return parsed ? "" : parsed.error().message;
}

}  // namespace

TEST_CASE("a message is taken apart") {
  json whole;
  const auto message = parse_message(tele().dump(), &whole);
  REQUIRE(message);
  CHECK(message->gw == "gw-0017");
  CHECK(message->epoch == "9f2c41d07be1a655");
  CHECK(message->lane == Lane::tele);
  CHECK(message->seq == 1841);
  CHECK(to_ms(message->time.wall) == 1'795'411'860'123);
  CHECK(message->time.quality == TimeQuality::synced);
  CHECK_FALSE(message->hist);
  CHECK(message->rev == 7);
  CHECK(whole["readings"].size() == 1);
}

TEST_CASE("what is wrong with a message is said, with where") {
  CHECK(wrong("/gw", "GW 1").find("gw: expected an id") != std::string::npos);
  CHECK(wrong("/epoch", "9F2C41D07BE1A655").find("epoch: expected 16 hex digits") != std::string::npos);
  CHECK(wrong("/lane", "media").find("lane: expected") != std::string::npos);
  CHECK(wrong("/seq", 0).find("seq: expected a number from 1") != std::string::npos);
  CHECK(wrong("/seq", -1).find("seq:") != std::string::npos);
  CHECK(wrong("/ts", 1.5).find("ts: expected a whole number") != std::string::npos);
  CHECK(wrong("/ts", std::uint64_t{1} << 63).find("ts:") != std::string::npos);
  CHECK(wrong("/tq", "good").find("tq:") != std::string::npos);
  CHECK(wrong("/tq", "unsynced").find("boot:") != std::string::npos);
  CHECK(wrong("/hist", 0).find("hist: expected true or false") != std::string::npos);
  CHECK(wrong("/readings", nullptr).find("readings: expected an array") != std::string::npos);
  CHECK(wrong("/readings/0/s", "level").find("readings[0].s: expected a point") != std::string::npos);
  CHECK(wrong("/readings/0/v", json::array()).find("readings[0].v:") != std::string::npos);
  CHECK(wrong("/readings/0/q", "fine").find("readings[0].q:") != std::string::npos);
  CHECK(wrong("/readings/0", 1).find("readings[0]: expected an object") != std::string::npos);
  CHECK(wrong("/more", "additions are free").empty());
}

TEST_CASE("bytes from outside are bounded") {
  CHECK_FALSE(parse_message(""));
  CHECK_FALSE(parse_message("null"));
  CHECK_FALSE(parse_message("{\"gw\":\"\xFF\"}"));
  CHECK_FALSE(parse_message("{\"a\":1e999}"));
  CHECK(parse_message(std::string((1U << 20) + 1, ' ')).error().message.find("1 MiB") != std::string::npos);
  const auto deep = R"({"a":)" + std::string(100'000, '[') + std::string(100'000, ']') + "}";
  CHECK(parse_message(deep).error().message.find("32 levels") != std::string::npos);
  auto message = tele();
  message["text"] = std::string(100, '[') + "\\\"" + std::string(100, '{');  // inside a string it is no depth
  CHECK(parse_message(message.dump()));
}

TEST_CASE("an acknowledgement names prefixes by epoch") {
  const auto acks = parse_ack(R"({"9f2c41d07be1a655":{"alarm":3,"tele":1841,"later":9},"00000000000000ff":{}})");
  REQUIRE(acks);
  REQUIRE(acks->size() == 2);
  CHECK(acks->at(1).epoch == "9f2c41d07be1a655");
  CHECK(acks->at(1).stored == std::array<std::uint64_t, 4>{3, 0, 1841, 0});
  CHECK(parse_ack("")->empty());  // the retained message was cleared
  CHECK(parse_ack("{}")->empty());
  CHECK_FALSE(parse_ack(R"({"epoch":{}})"));
  CHECK_FALSE(parse_ack(R"({"9f2c41d07be1a655":5})"));
  CHECK_FALSE(parse_ack(R"({"9f2c41d07be1a655":{"tele":-5}})"));
  CHECK_FALSE(parse_ack(R"({"9f2c41d07be1a655":{"tele":"5"}})"));
  json many;
  for (int i = 0; i < 65; ++i) many[fmt::format("{:016x}", i)] = json::object();
  CHECK_FALSE(parse_ack(many.dump()));
}

TEST_CASE("a command has an id, and may expire") {
  const auto command = parse_command("alarm.ack", R"({"id":"c-1","exp":1795411860000,"alarm":"high"})");
  REQUIRE(command);
  CHECK(command->verb == "alarm.ack");
  CHECK(command->id == "c-1");
  CHECK(command->expires == wall_from_ms(1'795'411'860'000));
  CHECK(command->args["alarm"] == "high");
  CHECK_FALSE(parse_command("ping", R"({"id":"1"})")->expires);
  CHECK_FALSE(parse_command("ping", "{}"));
  CHECK_FALSE(parse_command("ping", R"({"id":""})"));
  CHECK_FALSE(parse_command("ping", R"({"id":"a b"})"));
  CHECK_FALSE(parse_command("ping", R"({"id":1})"));
  CHECK_FALSE(parse_command("ping", R"({"id":"1","exp":"soon"})"));
  CHECK_FALSE(parse_command("", R"({"id":"1"})"));
  CHECK_FALSE(parse_command("a/b", R"({"id":"1"})"));
  CHECK_FALSE(parse_command("ping", ""));
}
