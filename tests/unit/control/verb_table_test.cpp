#include "firmware/control/verb_table.hpp"

#include <doctest/doctest.h>

using namespace hamlet::control;
using hamlet::Errc;
using hamlet::Millis;
using nlohmann::json;

namespace {

const Caller kReader{Caller::Origin::local, "reader", true, false};
const Caller kTechnician{Caller::Origin::local, "technician", true, true};
const Caller kStranger{};

// A table whose handlers note that they ran, and all the answers that came.
struct Fixture {
  boost::asio::io_context io;
  VerbTable table{io};
  int runs = 0;
  std::vector<Answer> answers;

  Fixture() {
    add("status", Access::read, true);
    add("alarm.ack", Access::change, true);
    add("config.show", Access::read, false);
  }
  void add(std::string name, Access access, bool county) {
    table.add({std::move(name), access, county, "", [this](const json& args, const Caller&, const Reply& reply) {
                 ++runs;
                 reply(args);
               }});
  }
  Answer run(const Caller& caller, std::string_view verb, const json& args = json::object()) {
    const auto before = answers.size();
    table.run(caller, verb, args, [this](Answer answer) { answers.push_back(std::move(answer)); });
    io.run();
    io.restart();
    REQUIRE(answers.size() == before + 1);
    return answers.back();
  }
};

}  // namespace

TEST_CASE("the table holds who may give which verb") {
  Fixture f;
  struct Row {
    const char* who;
    Caller caller;
    const char* verb;
    bool runs;
    Errc code;
  };
  const std::vector<Row> rows{
      {"a reader reads", kReader, "status", true, {}},
      {"a reader does not change", kReader, "alarm.ack", false, Errc::denied},
      {"a technician changes", kTechnician, "alarm.ack", true, {}},
      {"a technician reads", kTechnician, "status", true, {}},
      {"a stranger gets nothing", kStranger, "status", false, Errc::denied},
      {"a stranger does not learn which verbs there are", kStranger, "nothing", false, Errc::denied},
      {"the county reads", Caller::county(), "status", true, {}},
      {"the county changes", Caller::county(), "alarm.ack", true, {}},
      {"the county is kept from local verbs", Caller::county(), "config.show", false, Errc::denied},
      {"an unknown verb", kTechnician, "reboot", false, Errc::not_found},
  };
  for (const auto& row : rows) {
    CAPTURE(row.who);
    const int before = f.runs;
    const auto answer = f.run(row.caller, row.verb);
    CHECK(f.runs - before == (row.runs ? 1 : 0));
    CHECK(answer.has_value() == row.runs);
    if (!answer) CHECK(answer.error().code == row.code);
  }
}

TEST_CASE("a misspelt verb is answered with the nearest one") {
  Fixture f;
  const auto answer = f.run(kReader, "statsu");
  REQUIRE(!answer.has_value());
  CHECK(answer.error().text.en.find("'status'") != std::string::npos);
  CHECK(answer.error().text.zh.find("status") != std::string::npos);
  CHECK(f.table.all().size() == 3);
}

TEST_CASE("a handler that never replies is answered for, within its own deadline or the table's, and its late reply is dropped") {
  Fixture f;
  Millis tables{0};
  std::optional<Millis> own;
  SUBCASE("the table's") {}
  SUBCASE("its own") {
    tables = Millis{3'600'000};
    own = Millis{0};
  }
  VerbTable table{f.io, tables};
  Reply late;
  table.add({"slow", Access::read, false, "", [&late](const json&, const Caller&, Reply reply) { late = std::move(reply); }, own});
  table.run(kReader, "slow", json::object(), [&f](Answer answer) { f.answers.push_back(std::move(answer)); });
  CHECK(f.answers.empty());
  f.io.run();
  REQUIRE(f.answers.size() == 1);
  REQUIRE(!f.answers[0].has_value());
  CHECK(f.answers[0].error().code == Errc::timeout);
  late(json{{"too", "late"}});
  CHECK(f.answers.size() == 1);
}

TEST_CASE("a handler that replies twice is heard once") {
  Fixture f;
  f.table.add({"twice", Access::read, false, "", [](const json&, const Caller&, const Reply& reply) {
                 reply(json{{"n", 1}});
                 reply(json{{"n", 2}});
               }});
  const auto answer = f.run(kReader, "twice");
  REQUIRE(answer.has_value());
  CHECK((*answer)["n"] == 1);
}

TEST_CASE("a handler that trips over its args is answered as invalid") {
  Fixture f;
  f.table.add({"strict", Access::read, false, "", [](const json& args, const Caller&, const Reply& reply) {
                 reply(json{{"n", args.at("missing")}});
               }});
  const auto answer = f.run(kReader, "strict");
  REQUIRE(!answer.has_value());
  CHECK(answer.error().code == Errc::invalid);
}

TEST_CASE("a reply outlives the table it came from") {
  boost::asio::io_context io;
  Reply kept;
  std::vector<Answer> answers;
  {
    VerbTable table{io};
    table.add({"slow", Access::read, false, "",
               [&kept](const json&, const Caller&, Reply reply) { kept = std::move(reply); }});
    table.run(kReader, "slow", json::object(), [&answers](Answer answer) { answers.push_back(std::move(answer)); });
  }
  kept(json::object());
  CHECK(answers.size() == 1);
}
