// The sample consumers of the contract, as whoever copies them runs them.

#include "tests/scenario/village.hpp"
#include "tests/support/sample_consumer.hpp"

using namespace hamlet;
using namespace hamlet::scenario;
using namespace std::chrono_literals;

namespace {

const std::string kEpoch = "9f2c41d07be1a655";

/// One of the two, with its store in `folder`; nothing where it cannot be run here.
std::vector<std::string> consumer(const std::string& which, std::uint16_t broker, const std::filesystem::path& folder) {
  return support::sample_consumer(which, "127.0.0.1:" + std::to_string(broker), folder / which);
}

bool says(const support::Process& program, const std::string& words) { return program.log().find(words) != std::string::npos; }

/// Waits for a line of the consumer's; a `pause` is a look at the county's books.
bool says_within(support::Process& program, const County& county, const std::string& words) {
  return county.wait_until([&](const auto&) { return says(program, words) || !program.running(); }, kPatience) && says(program, words);
}

std::string tele(std::uint64_t seq) {
  return json{{"gw", "gw-played"}, {"epoch", kEpoch}, {"lane", "tele"}, {"seq", seq}, {"ts", 1}, {"tq", "synced"}, {"hist", false}, {"rev", 1},
              {"readings", {{{"s", "river.level"}, {"t", 1}, {"v", seq}, {"q", "good"}}}}}.dump();
}

}  // namespace

TEST_CASE("a sample consumer stores each message once, sees gaps, and acknowledges, also across its own crash") {
  std::string which;
  SUBCASE("Python") { which = "python"; }
  SUBCASE("Node") { which = "node"; }
  support::TempDir folder;
  support::Broker broker;
  County box{{.broker = broker.uri(), .base = "hamlet/v1/430124/104/203/gw-played"}};  // plays a box, and reads what comes down
  const auto command = consumer(which, broker.port(), folder.path());
  if (command.empty()) return;
  const auto acks = [&](std::uint64_t tele, std::uint64_t event) {
    return box.wait_until([&](const auto& now) {
      const auto ack = now.ack.is_object() ? now.ack.value(kEpoch, json::object()) : json::object();
      return ack.value("tele", 0U) == tele && ack.value("event", 0U) == event;
    }, kPatience);
  };
  const auto state = [&](const char* word, std::uint64_t last, json pending) {
    box.publish("state", json{{"gw", "gw-played"}, {"epoch", kEpoch}, {"state", word}, {"boot", 1}, {"firmware", "0"}, {"contract", 1}, {"ts", 1},
                              {"tq", "synced"}, {"lanes", {{"tele", {{"last", last}, {"pending", std::move(pending)}}}}}}.dump(), true);
  };

  auto program = std::make_unique<support::Process>(command, folder.path() / "log");
  state("online", 9, json::array({json::array({8, 9})}));
  REQUIRE_MESSAGE(says_within(*program, box, "state gw-played online"), program->log());
  for (const std::uint64_t seq : {1U, 2U, 3U, 6U, 7U}) box.publish("tele", tele(seq));
  box.publish("tele", tele(2));
  CHECK(says_within(*program, box, "duplicate gw-played tele 2"));
  CHECK(says(*program, "live gw-played river.level 3"));
  CHECK(acks(3, 0));

  // 4 and 5 have not come and are not pending; 8 and 9 are.
  REQUIRE(box.wait_until([](const auto& now) { return !now.commands.empty(); }, kPatience));
  const auto [verb, asked] = box.snapshot().commands.front();
  CHECK(verb == "replay");
  CHECK(asked["lane"] == "tele");
  CHECK(asked["from"] == 4);
  CHECK(asked["to"] == 5);
  CHECK(asked["epoch"] == kEpoch);
  // One comes; the other was given up, and the box says so.
  box.publish("tele", tele(4));
  CHECK(acks(4, 0));
  box.publish("event/gateway/gap", json{{"gw", "gw-played"}, {"epoch", kEpoch}, {"lane", "event"}, {"seq", 1}, {"ts", 1}, {"tq", "synced"},
                                        {"hist", true}, {"rev", 1}, {"source", "gateway"}, {"kind", "gap"}, {"phase", "once"}, {"event", "e1"},
                                        {"detail", {{"epoch", kEpoch}, {"lane", "tele"}, {"from", 5}, {"to", 5}, {"count", 1}, {"reason", "quota"}}},
                                        {"media", json::array()}}.dump());
  CHECK(says_within(*program, box, "gap gw-played tele 5 5 quota"));
  CHECK(acks(7, 1));

  program->kill();
  box.publish("tele", tele(8));
  program = std::make_unique<support::Process>(command, folder.path() / "log2");
  CHECK(acks(8, 1));
  CHECK(!says(*program, "duplicate gw-played tele 8"));
  box.publish("tele", tele(7));
  CHECK(says_within(*program, box, "duplicate gw-played tele 7"));
  box.publish("tele", tele(9) + "\n" + tele(10));
  CHECK(acks(10, 1));
}

TEST_CASE("a sample consumer that comes late gets from the real box what it has missed, and its ack arrives") {
  std::string which;
  SUBCASE("Python") { which = "python"; }
  SUBCASE("Node") { which = "node"; }
  Village village{"[county]\nverbs = [\"replay\"]\n", "county_ack = true\ncompress = true\nhealth_every = \"1s\""};
  const auto command = consumer(which, village.broker.port(), village.dir.path());
  if (command.empty()) return;
  village.set_level(4.0F);
  village.start();
  REQUIRE_MESSAGE(village.county.wait_until([](const auto& now) { return now.total(Lane::tele).prefix >= 10 && now.total(Lane::alarm).prefix >= 1; }, kPatience),
                  village.hamletd->log());
  support::Process program{command, village.dir.path() / "consumer.log"};
  CHECK_MESSAGE(says_within(program, village.county, "hole gw-test tele 1"), program.log());
  CHECK(says_within(program, village.county, "alarm gw-test river-level-high unacked critical 水位过高"));
  CHECK(says_within(program, village.county, "live gw-test river.level"));
  CHECK(village.ask_until("uplink", [](const json& now) {
    return now["county"]["tele"] >= 10 && now["county"]["alarm"] >= 1 && now["county"]["event"] >= 1;
  }));
  CHECK(!says(program, "LOST"));
  CHECK(village.county.snapshot().compressed > 0);
  CHECK(village.county.snapshot().invalid.empty());
  for (const auto& what : village.county.snapshot().invalid) MESSAGE(what);
}
