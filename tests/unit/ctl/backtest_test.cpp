#include "firmware/ctl/backtest.hpp"

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "firmware/ctl/exit.hpp"
#include "firmware/ctl/series_csv.hpp"

using namespace hamlet;
using namespace hamlet::ctl;
using nlohmann::json;

namespace {

constexpr const char* kConfig = R"(
[quality."river.level"]
range = [0, 100]
spike = { suspect = 20, fail = 40 }
gap = "10min"
[[alarm]]
id = "high"
point = "river.level"
above = 60
on_delay = "1min"
)";

struct Ran {
  int code = 0;
  std::vector<json> rows;
  std::string out;
  std::string err;
};
Invocation ask(bool as_json, bool summary = false, Lang lang = Lang::en) {
  Invocation asked;
  asked.json = as_json;
  asked.summary = summary;
  asked.lang = lang;
  return asked;
}
Ran run(const std::string& csv, Invocation asked, const std::string& config = kConfig) {
  const auto folder = std::filesystem::temp_directory_path() / ("hamlet-backtest-" + std::to_string(getpid()));
  std::filesystem::create_directories(folder);
  asked.verb = Verb::backtest;
  asked.config = folder / "c.toml";
  asked.csv = folder / "s.csv";
  if (asked.point.empty()) asked.point = "river.level";
  std::ofstream{asked.config} << config;
  std::ofstream{asked.csv} << csv;
  std::ostringstream out;
  std::ostringstream err;
  Ran ran{.code = backtest(asked, out, err), .rows = {}, .out = out.str(), .err = err.str()};
  std::filesystem::remove_all(folder);
  if (!asked.json) return ran;
  std::istringstream lines{ran.out};
  for (std::string line; std::getline(lines, line);) ran.rows.push_back(json::parse(line));
  return ran;
}
Ran run_json(const std::string& csv, const std::string& config = kConfig) {
  return run(csv, ask(true), config);
}

SeriesCsv::Next first(const std::string& text, const std::string& zone = "Z") {
  std::istringstream in{text};
  return SeriesCsv{in, zone}.next();
}

}  // namespace

TEST_CASE("a backtest prints a row a sample, with what each test says of it") {
  const auto ran = run_json(
      "timestamp,value\n"
      "2014-04-01 00:00:00,50\n"
      "2014-04-01 00:05:00,150\n"
      "2014-04-01 00:10:00,50\n"
      "2014-04-01 00:30:00,\n"
      "2014-04-01 00:31:00,61\n"
      "2014-04-01 00:32:00,61\n");
  CHECK(ran.code == kOk);
  CHECK(ran.err == "");
  REQUIRE(ran.rows.size() == 6);
  CHECK(ran.rows[0] == json::parse(R"({"t":1396310400000,"v":50.0,"q":"good","score":0.0,"learning":true,"alarms":[],
      "tests":{"gross-range":1,"spike":2,"time-gap":2,"aggregate":1}})"));
  CHECK(ran.rows[1]["q"] == "bad");
  CHECK(ran.rows[1]["why"] == "gross-range");
  CHECK(ran.rows[1]["tests"] == json::parse(R"({"gross-range":4,"spike":4,"time-gap":1,"aggregate":4})"));
  CHECK(ran.rows[2]["tests"]["spike"] == 2);  // beside a missing one
  CHECK(ran.rows[3]["v"].is_null());
  CHECK(ran.rows[3]["q"] == "missing");
  CHECK(ran.rows[3]["tests"] == json::parse(R"({"gross-range":9,"spike":9,"time-gap":4,"aggregate":4})"));
  CHECK(ran.rows[5]["alarms"] ==
        json::parse(R"([{"t":1396312320000,"alarm":"high","state":"unacked","occurrence":1,"severity":"warning"}])"));
}

TEST_CASE("a spike is corrected in its own row") {
  const auto ran = run_json("2014-04-01 00:00:00,50\n2014-04-01 00:05:00,95\n2014-04-01 00:10:00,50\n");
  REQUIRE(ran.rows.size() == 3);
  CHECK(ran.rows[1]["q"] == "good");
  CHECK(ran.rows[1]["tests"]["spike"] == 4);
  CHECK(ran.rows[1]["corrected"] == json{{"q", "bad"}, {"why", "spike"}});
  CHECK(!ran.rows[0].contains("corrected"));
}

TEST_CASE("time that goes back, values that are none, and a gap of ten years") {
  const auto ran = run_json(
      "2014-04-01 00:00:00,50\n2014-03-01 00:00:00,150\n2014-04-01 00:01:00,nan\n2014-04-01 00:02:00,inf\n"
      "2014-04-01 00:03:00,-Infinity\n2024-04-01 00:00:00,51\n0001-01-01 00:00:00,1\n9999-12-31 23:59:59,52\n");
  CHECK(ran.code == kOk);
  REQUIRE(ran.rows.size() == 8);
  CHECK(ran.rows[1]["why"] == "gross-range");
  for (std::size_t i = 0; i < 8; ++i) CHECK(ran.rows[i].value("late", false) == (i == 1 || i == 6));
  CHECK(ran.rows[2]["why"] == "no-value");
  CHECK(ran.rows[3]["why"] == "not-finite");
  CHECK(ran.rows[4]["why"] == "not-finite");
  CHECK(ran.rows[5]["tests"]["time-gap"] == 4);
  CHECK(ran.rows[7]["t"] == 253402300799000);
  CHECK(ran.err.find("s.csv:2: the time is before that of a line above") != std::string::npos);
  CHECK(ran.err.find("s.csv:7") == std::string::npos);  // once
}

TEST_CASE("a line that cannot be read is told with its number and passed over") {
  const auto ran =
      run_json("timestamp,value\n2014-04-01 00:00:00,50\nnoise\n2014-04-01 00:05:00,x\n\n2014-04-01 00:10:00,51\n");
  CHECK(ran.code == kFailed);
  CHECK(ran.rows.size() == 2);
  CHECK(ran.err.find("s.csv:3: ") != std::string::npos);
  CHECK(ran.err.find("s.csv:4: the line is passed over: 'x' is no number") != std::string::npos);
  CHECK(run_json("").code == kFailed);
  CHECK(run_json("a,b\n1,2\n").code == kFailed);
}

TEST_CASE("a date that does not begin with its year is told in both languages, with its line and what to write") {
  const auto ran = run("timestamp,value\n01/04/2014 00:05,50\n", ask(true));
  CHECK(ran.code == kFailed);
  CHECK(ran.err.find("s.csv:2: the line is passed over: the date '01/04/2014 00:05' does not begin with its year, in four "
                     "digits: which is the month, which the day? Write dates as 2014-04-01") != std::string::npos);
  const auto zh = run("timestamp,value\n01/04/2014 00:05,50\n", ask(true, false, Lang::zh)).err;
  CHECK(zh.find("第 2 行读不懂，已跳过：日期“01/04/2014 00:05”没有以四位数的年份开头") != std::string::npos);
}

TEST_CASE("columns in quotes, others beside them, and zones as loggers write them") {
  const auto ran = run_json(
      "\xEF\xBB\xBFid,note,\"Timestamp\",\"Value\"\r\n"
      "1,\"rain, \"\"heavy\"\"\",\"2014-04-01T08:00:00+0800\",\"50.5\"\r\n"
      "2,,2014-04-01 08:05:00.250+08,5e1\r\n"
      "3,\",\",2014-04-01t00:10:00z,\"\"\r\n");
  CHECK(ran.err == "");
  REQUIRE(ran.rows.size() == 3);
  CHECK(ran.rows[0]["t"] == 1396310400000);
  CHECK(ran.rows[0]["v"] == 50.5);
  CHECK(ran.rows[1]["t"] == 1396310700250);
  CHECK(ran.rows[1]["v"] == 50);
  CHECK(ran.rows[2]["why"] == "no-value");
  CHECK(run_json("timestamp,value\n\"2014-04-01 00:00:00,50\n").code == kFailed);  // the quote does not end
}

TEST_CASE("a config with mistakes is refused, where they are in what a backtest reads") {
  CHECK(run_json("2014-04-01,1\n", "[quality.\"river.level\"]\nrnage = [0, 1]\n").err.find("did you mean 'range'") !=
        std::string::npos);
  CHECK(run("2014-04-01 00:00:00,1\n", ask(true), "[gateway]\nid = 5\n").code == kOk);  // other rooms' business
}

// --json: nothing went to standard output.
TEST_CASE("what ends a backtest is told to a program as well") {
  const auto code = [](const Ran& ran) {
    REQUIRE(ran.rows.size() == 1);
    CHECK(ran.rows[0]["error"]["zh"] != ran.rows[0]["error"]["en"]);
    CHECK(ran.err.find(ran.rows[0]["error"]["en"].get<std::string>()) != std::string::npos);
    CHECK(ran.code == kFailed);
    return ran.rows[0]["error"]["code"].get<std::string>();
  };
  CHECK(code(run_json("")) == "invalid");
  CHECK(code(run_json("timestamp,value\n")) == "invalid");
  CHECK(code(run_json("2014-04-01,1\n", "[quality.\"river.level\"]\nrnage = [0, 1]\n")) == "invalid");
  auto asked = ask(true);
  asked.point = "river.levle";
  const std::string device = "[[device]]\nid = \"river\"\ndriver = \"replay\"\n[[device.point]]\nid = \"level\"\nfile = \"/level.csv\"\n";
  const auto other = run("2014-04-01,1\n", asked, device);
  CHECK(code(other) == "not-found");
  CHECK(other.err.find("did you mean 'river.level'?") != std::string::npos);
}

TEST_CASE("what a rule needs beside the series is told, also what would suppress it") {  // that was not
  const auto ran = run_json("2014-04-01 00:00:00,70\n2014-04-01 00:01:00,70\n",
                            std::string{kConfig} + "suppressed_when = 'pump.on == false'\n[quality.\"pump.on\"]\ngap = \"1h\"\n");
  CHECK(ran.err == "alarm high: pump.on is not in this series and taken as unknown\n");
  CHECK(ran.rows.at(1)["alarms"].size() == 1);
}

TEST_CASE("a summary counts what a flood of alarms hides, too") {  // it did not
  std::string config;
  for (int i = 0; i < 12; ++i) config += "[[alarm]]\nid = \"a" + std::to_string(i) + "\"\npoint = \"river.level\"\nabove = 1\n";
  const auto ran = run("2014-04-01 00:00:00,2\n2014-04-01 00:05:00,0\n", ask(true, true), config);
  for (const auto& [id, count] : ran.rows.at(0)["alarms"].items()) CHECK_MESSAGE(count == 1, id);
  CHECK(ran.rows[0]["alarms"].size() == 12);
}

TEST_CASE("a summary counts") {
  const auto ran = run("2014-04-01 00:00:00,50\n2014-04-01 00:05:00,150\n2014-04-01 00:05:00,\n", ask(true, true));
  REQUIRE(ran.rows.size() == 1);
  const auto& summary = ran.rows[0];
  CHECK(summary["rows"] == 3);
  CHECK(summary["quality"] == json{{"good", 1}, {"suspect", 0}, {"bad", 1}, {"missing", 1}});
  CHECK(summary["tests"]["gross-range"] == json{{"1", 1}, {"4", 1}, {"9", 1}});
  CHECK(summary["alarms"] == json{{"high", 0}});  // that it would never have been raised was not told
  const auto words = run("2014-04-01 00:00:00,50\n", ask(false, true, Lang::zh));
  CHECK(words.out.find("触发 0 次") != std::string::npos);
  CHECK(words.out.find("数据条数") != std::string::npos);
  CHECK(run("2014-04-01 00:00:00,50\n", ask(false)).out.find("2014-04-01 08:00:00  50 ") == 0);
}

TEST_CASE("a series as a file") {
  CHECK(first("2014-04-01 00:05:00,1.5").row->number == 1.5);
  CHECK(first("\xEF\xBB\xBFid,Value,\"Timestamp\"\r\n7,\"+2\",2014-04-01T00:05:00Z\r\n").row->number == 2);
  CHECK(first("2014-04-01 08:05:00,1", "+08:00").row->at == first("2014-04-01 00:05:00,1").row->at);
  CHECK(first("2014-04-01 00:05:00Z,1", "+08:00").row->at == first("2014-04-01 00:05:00,1").row->at);
  CHECK(first("2014/4/1 8:05,1", "+08:00").row->at == first("2014-04-01 00:05:00,1").row->at);
  CHECK(first("1396310700,1", "+08:00").row->at == first("2014-04-01 00:05:00,1").row->at);
  CHECK(first("2014-04-02,1", "+08:00").row->at == first("2014-04-01 16:00:00,1").row->at);
  CHECK(first("Timestamp;Value\n2014-04-01 00:05:00;1,5\n").row->number == 1.5);
  CHECK(first("2014-04-01 00:05:00\t-2").row->number == -2);
  CHECK(first("2014-04-01 00:05:00,1;5").bad->wrong.what == Say::csv_no_number);
  CHECK(first("2014-04-01 00:05:00,+-1").bad->wrong.what == Say::csv_no_number);  // it was -1
  CHECK(first("2014-04-01 00:05:00,true").row->text == "true");
  CHECK(first("2014-04-01 00:05:00,NULL").row->missing());
  CHECK(first("2014-13-01 00:05:00,1").bad->line == 1);
  CHECK(first("2014-04-01 00:05:00").bad->wrong.what == Say::csv_row);
  CHECK(first("x,y").bad->wrong.what == Say::csv_columns);
  CHECK(first("2014-04-01 00:05:00," + std::string(10'000, '1')).bad->wrong.about == "4096");
  for (const std::string stamp : {"01/04/2014 00:05", "1/4/2014", "01-04-14 00:05:00", "1.4.2014 00:05"}) {
    CHECK(first(stamp + ",1").bad->wrong.what == Say::csv_year_not_first);
  }
  for (const std::string stamp : {"2014-13-01", "20140401 00:05", "1", "1/", "1/x/2014", "12-", "00:05:00"}) {
    CHECK(first(stamp + ",1").bad->wrong.what == Say::csv_no_time);
  }
  for (const std::string mark : {"\xFF\xFE", "\xFE\xFF"}) {  // as spreadsheets save "Unicode text": each line was complained of
    std::istringstream in{mark + "t\n2\n"};
    SeriesCsv series{in, "Z"};
    CHECK(series.next().bad->wrong.what == Say::csv_utf16);
    const auto rest = series.next();
    CHECK((!rest.row && !rest.bad));
  }
  const auto end = first("\n\n");
  CHECK((!end.row && !end.bad));
}
