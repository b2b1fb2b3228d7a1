// Golden messages freeze the contract: what is published here must stay readable for whoever built on it. After a
// wanted change, HAMLET_UPDATE_GOLDEN=1 writes them anew; read the difference before committing it.

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <set>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "sync/contract/contract.hpp"
#include "tests/support/schemas.hpp"

using namespace hamlet;
using namespace hamlet::contract;
using nlohmann::json;

namespace {

const std::filesystem::path kFolder{HAMLET_CONTRACT};
constexpr std::int64_t kNow = 1'795'411'860'000;
constexpr const char* kGw = "gw-0017";
constexpr const char* kEpoch = "9f2c41d07be1a655";

std::string slurp(const std::filesystem::path& path) {
  std::ifstream file{path, std::ios::binary};
  REQUIRE_MESSAGE(file, path.string());
  return {std::istreambuf_iterator<char>{file}, {}};
}

Dated date(Moment moment) {
  if (moment.boot == 3) return {wall_from_ms(kNow + to_ms(moment.mono)), TimeQuality::synced};
  return {wall_from_ms(to_ms(moment.mono)), TimeQuality::unsynced};
}

std::string in_lane(const Body& body, Lane lane, std::uint64_t seq, Moment at, bool hist = false) {
  return render(body, {.gw = kGw, .epoch = kEpoch, .lane = lane, .seq = seq, .at = at, .hist = hist, .rev = 7}, date)
      .value();
}

Alarm river_high() {
  return {.id = "river-level-high",
          .occurrence = 12,
          .state = AlarmState::unacked,
          .severity = Severity::critical,
          .since = {3, mono_from_ms(100)},
          .value = 3.07,
          .limit = 3.0,
          .text = {.zh = "河水位过高", .en = "River level high"},
          .sources = {"river.level"}};
}

std::string tele() {
  const std::vector<Reading> batch{
      {.point = "river.level", .at = mono_from_ms(0), .value = 2.31},
      {.point = "pump.on", .at = mono_from_ms(0), .value = true},
      {.point = "gate.mode",
       .at = mono_from_ms(50),
       .value = std::string{"自动"},
       .device_time = wall_from_ms(kNow - 8)},
      {.point = "rain.hour", .at = mono_from_ms(60), .value = 480.5, .quality = Quality::suspect, .why = "range"},
      {.point = "soil.moisture", .at = mono_from_ms(70), .quality = Quality::missing, .why = "timeout"}};
  return in_lane(encode_readings(batch, mono_from_ms(123)), Lane::tele, 1841, {3, mono_from_ms(123)});
}

std::string tele_unsynced() {
  const std::vector<Reading> batch{{.point = "river.level", .at = mono_from_ms(59'000), .value = -0.5}};
  return in_lane(encode_readings(batch, mono_from_ms(60'000)), Lane::tele, 1842, {2, mono_from_ms(60'000)}, true);
}

std::string event() {
  const Event motion{.source = "cam-ford",
                     .kind = "motion",
                     .phase = Phase::start,
                     .id = "5b1f0c9a77e24d10",
                     .at = mono_from_ms(40),
                     .detail = {{"zone", "ford"}, {"area", 0.031}},
                     .media = {media_name(kEpoch, 9)}};
  return in_lane(encode_event(motion, mono_from_ms(123)), Lane::event, 77, {3, mono_from_ms(123)});
}

std::string event_time() {
  const Event time{
      .source = "gateway",
      .kind = "time",
      .phase = Phase::once,
      .id = "aa00000000000001",
      .at = mono_from_ms(123),
      .detail = {
          {"change", "synced"}, {"boot", 3}, {"mono", 123}, {"offset", kNow}, {"tq", "synced"}, {"moved_ms", kNow}}};
  return in_lane(encode_event(time, mono_from_ms(123)), Lane::event, 78, {3, mono_from_ms(123)});
}

std::string event_gap() {
  const Event gap{.source = "gateway",
                  .kind = "gap",
                  .phase = Phase::once,
                  .id = "aa00000000000002",
                  .at = mono_from_ms(123),
                  .detail = {{"epoch", kEpoch}, {"lane", "tele"}, {"from", 1}, {"to", 999}, {"count", 999}, {"reason", "quota"}}};
  return in_lane(encode_event(gap, mono_from_ms(123)), Lane::event, 79, {3, mono_from_ms(123)});
}

std::string event_output() {
  const Event output{.source = "gateway",
                     .kind = "output",
                     .phase = Phase::once,
                     .id = "aa00000000000003",
                     .at = mono_from_ms(123),
                     .detail = {{"output", "siren"}, {"on", true}, {"value", true}, {"why", "alarm"}, {"alarm", "river-level-high"}, {"occurrence", 12}}};
  return in_lane(encode_event(output, mono_from_ms(123)), Lane::event, 80, {3, mono_from_ms(123)});
}

Presence presence() {
  Presence out{.gw = kGw, .epoch = kEpoch, .boot = 3, .firmware = "0.1.0"};
  out.lanes[index(Lane::alarm)] = {.last = 12, .pending = {}};
  out.lanes[index(Lane::event)] = {.last = 78, .pending = {{78, 78}}};
  out.lanes[index(Lane::tele)] = {.last = 1842, .pending = {{1000, 1700}, {1841, 1842}}};
  return out;
}

// What our own code renders: golden file, schema, how.
struct Ours {
  const char* schema;
  std::function<std::string()> render;
};
const std::map<std::string, Ours> kOurs{
    {"tele", {"tele", tele}},
    {"tele-unsynced", {"tele", tele_unsynced}},
    {"event-motion", {"event", event}},
    {"event-time", {"event", event_time}},
    {"event-gap", {"event", event_gap}},
    {"event-output", {"event", event_output}},
    {"alarmlog",
     {"alarmlog",
      [] {
        return in_lane(encode_alarm(river_high(), {3, mono_from_ms(123)}), Lane::alarm, 12, {3, mono_from_ms(123)});
      }}},
    {"alarm",
     {"alarm",
      [] {
        return render_snapshot(river_high(), kGw, kEpoch, {3, mono_from_ms(5'000)}, 7, date).value();
      }}},
    {"state-online",
     {"state",
      [] {
        return render_online(presence(), date({3, mono_from_ms(200)}));
      }}},
    {"state-older",
     {"state",
      [] {
        auto here = presence();
        here.older["3c00aa19d2f04e71"][index(Lane::tele)] = {.last = 5211, .pending = {{5211, 5211}}};
        return render_online(here, date({3, mono_from_ms(200)}));
      }}},
    {"state-offline", {"state", [] { return render_offline(presence(), std::nullopt); }}},
};
// What the county or other rooms write: golden file, schema.
const std::map<std::string, const char*> kTheirs{{"meta", "meta"},      {"health", "health"},       {"cmd", "cmd"},
                                                 {"reply-ok", "reply"}, {"reply-refused", "reply"}, {"ack", "ack"},
                                                 {"cmd-replay", "cmd"}, {"reply-replay", "reply"}};

void check_valid(const char* schema, const json& message) {
  CHECK(support::Schemas{}.wrong(schema, message) == "");
}

std::filesystem::path golden(const std::string& name) {
  return kFolder / "golden" / (name + ".json");
}

}  // namespace

TEST_CASE("messages are byte for byte what was published") {
  const bool update = std::getenv("HAMLET_UPDATE_GOLDEN") != nullptr;  // NOLINT(concurrency-mt-unsafe)
  for (const auto& [name, ours] : kOurs) {
    CAPTURE(name);
    const auto rendered = ours.render() + "\n";
    if (update) std::ofstream{golden(name), std::ios::binary} << rendered;
    CHECK(rendered == slurp(golden(name)));
    check_valid(ours.schema, json::parse(rendered));
  }
}

TEST_CASE("messages of a lane parse as what they are") {
  for (const auto& [name, lane] : std::map<std::string, Lane>{{"tele", Lane::tele},
                                                              {"tele-unsynced", Lane::tele},
                                                              {"event-motion", Lane::event},
                                                              {"event-gap", Lane::event},
                                                              {"alarmlog", Lane::alarm}}) {
    CAPTURE(name);
    const auto message = parse_message(slurp(golden(name)));
    REQUIRE_MESSAGE(message, message.error().message);
    CHECK(message->lane == lane);
  }
}

TEST_CASE("what the county and other rooms write is valid, and is understood") {
  for (const auto& [name, schema] : kTheirs) {
    CAPTURE(name);
    check_valid(schema, json::parse(slurp(golden(name))));
  }
  CHECK(parse_ack(slurp(golden("ack"))));
  CHECK(parse_command("alarm.ack", slurp(golden("cmd"))));
}

TEST_CASE("every golden message and every schema is in use") {
  std::set<std::string> messages;
  std::set<std::string> schemas;
  for (const auto& [name, ours] : kOurs) messages.insert(name), schemas.insert(ours.schema);
  for (const auto& [name, schema] : kTheirs) messages.insert(name), schemas.insert(schema);
  for (const auto& entry : std::filesystem::directory_iterator{kFolder / "golden"}) {
    CHECK_MESSAGE(messages.contains(entry.path().stem().string()), entry.path().string());
  }
  for (const auto& entry : std::filesystem::directory_iterator{kFolder / "schema"}) {
    CHECK_MESSAGE(schemas.contains(entry.path().stem().stem().string()), entry.path().string());
  }
}

TEST_CASE("the schemas refuse what is wrong") {
  const support::Schemas schemas;
  auto message = json::parse(tele());
  const auto refuses = [&](const char* pointer, json value) {
    auto changed = message;
    changed[json::json_pointer{pointer}] = std::move(value);
    return !schemas.wrong("tele", changed).empty();
  };
  CHECK(refuses("/epoch", "short"));
  CHECK(refuses("/seq", 0));
  CHECK(refuses("/ts", "now"));
  CHECK(refuses("/tq", "unsynced"));  // without boot and mono
  CHECK(refuses("/lane", "event"));
  CHECK(refuses("/readings/0/q", "fine"));
  CHECK(refuses("/readings/0/v", json::object()));
  CHECK(refuses("/readings/0/s", "level"));
  CHECK_FALSE(refuses("/more", 1));
  auto state = json::parse(slurp(golden("state-online")));
  state.erase("lanes");
  CHECK(!schemas.wrong("state", state).empty());
}
