#include <cstdio>
#include <cstdlib>
#include <sstream>

#include <doctest/doctest.h>

#include "drivers/replay/series.hpp"

using namespace hamlet;
using namespace hamlet::drivers::replay;

namespace {

Series series(std::string text, bool loop = false, CellType type = CellType::number) {
  return Series{std::make_unique<std::istringstream>(std::move(text)), "test.csv", type, loop};
}

std::vector<double> numbers(const std::vector<Sample>& samples) {
  std::vector<double> out;
  for (const auto& sample : samples) out.push_back(std::get<double>(sample.value));
  return out;
}

std::vector<std::int64_t> seconds(const std::vector<Sample>& samples) {
  std::vector<std::int64_t> out;
  for (const auto& sample : samples) out.push_back(sample.elapsed.count() / 1000);
  return out;
}

}  // namespace

TEST_CASE("stamps are read in the forms that loggers write") {
  const auto at = parse_stamp("2014-04-01 00:05:00");
  REQUIRE(at);
  CHECK(to_iso_utc(*at) == "2014-04-01T00:05:00.000Z");
  CHECK(parse_stamp("2014-04-01T00:05:00Z").value() == *at);
  CHECK(parse_stamp("2014-04-01T00:05").value() == *at);
  CHECK(parse_stamp("2014-04-01 00:05:00.000000").value() == *at);
  CHECK(parse_stamp("2014-04-01T08:05:00+08:00").value() == *at);
  CHECK(parse_stamp("2014-03-31T18:35:00-05:30").value() == *at);
  CHECK(parse_stamp("2014-04-01T08:05:00+0800").value() == *at);
  CHECK(parse_stamp("2014-04-01 08:05:00+08").value() == *at);
  CHECK(parse_stamp("2014-04-01t00:05:00z").value() == *at);
  CHECK(*parse_stamp("2014-04-01 00:05:00.25") - *at == Millis{250});
  CHECK(parse_stamp("2014/4/1 0:05").value() == *at);
  CHECK(parse_stamp("2014/04/01 00:05:00").value() == *at);
  CHECK(parse_stamp("1396310700").value() == *at);
  CHECK(parse_stamp("1396310700000").value() == *at);
  CHECK(to_iso_utc(parse_stamp("2014-04-01").value()) == "2014-04-01T00:00:00.000Z");
  for (const auto* bad : {"", "2014", "2014-13-01 00:00:00", "2014-02-29 00:00:00", "2014-04/01", "01/04/2014 00:05", "4/1/2014 0:05", "20140401", "2014040100", "201404010005", "20140401000500", "1396310700x", "-396310700", "2014-04-01 24:00:00",
                          "2014-04-01 00:61:00", "2014-04-01 00:05:00x", "2014-04-01T00:05:00+8", "2014-04-01T00:05:00+08:", "2014-04-01T00:05:00+08:0", "2014-04-01T00:05:00+99:00",
                          "14-04-01 00:05:00",
                          "2014-04-01 00:05:00 ", "2014-04-01_00:05:00"}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_stamp(bad));
  }
}

TEST_CASE("a row has a stamp and a value, and what follows is not looked at") {
  const auto row = parse_row(" 2014-04-01 00:05:00 , -1.5e3 ,note,7\r", CellType::number);
  REQUIRE(row);
  CHECK(std::get<double>(row->value) == -1500);
  CHECK(std::get<bool>(parse_row("2014-04-01 00:05:00,true", CellType::boolean)->value));
  CHECK_FALSE(std::get<bool>(parse_row("2014-04-01 00:05:00,0", CellType::boolean)->value));
  for (const auto* bad :
       {"2014-04-01 00:05:00", "2014-04-01 00:05:00,", "2014-04-01 00:05:00,nan", "2014-04-01 00:05:00,inf",
        "2014-04-01 00:05:00,1e999", "2014-04-01 00:05:00,1,5x", "2014-04-01 00:05:00,12V", ",1"}) {
    CAPTURE(bad);
    CHECK(parse_row(bad, CellType::number).has_value() == (std::string_view{bad} == "2014-04-01 00:05:00,1,5x"));
  }
  CHECK_FALSE(parse_row("2014-04-01 00:05:00,yes", CellType::boolean));
}

TEST_CASE("a series is counted from its first line") {
  auto one = series("timestamp,value\n2014-04-01 00:00:00,20.5\n2014-04-01 00:05:00,21\n2014-04-01 00:05:00,22\n");
  const auto samples = one.read(100);
  CHECK(numbers(samples) == std::vector<double>{20.5, 21, 22});
  CHECK(seconds(samples) == std::vector<std::int64_t>{0, 300, 300});
  CHECK(one.ended());
  CHECK(one.bad_lines() == 0);
}

TEST_CASE("byte-order mark, carriage returns, blank lines and a missing last newline do no harm") {
  auto one = series(
      "\xEF\xBB\xBF"
      "2014-04-01 00:00:00,1\r\n\r\n2014-04-01 00:00:10,2");
  CHECK(numbers(one.read(100)) == std::vector<double>{1, 2});
  CHECK(one.bad_lines() == 0);
}

TEST_CASE("bad lines are counted and left out, the first is told with its place") {
  auto one = series(
      "timestamp,value\n"
      "2014-04-01 00:00:00,1\n"
      "2014-04-01 00:00:10,abc\n"
      "garbage\n"
      "2014-03-31 00:00:00,9\n"
      "2014-04-01 00:00:20,2\n");
  CHECK(numbers(one.read(100)) == std::vector<double>{1, 2});
  CHECK(one.bad_lines() == 3);
  CHECK(one.first_bad() == "test.csv:3: expected a finite number as the value");
}

TEST_CASE("a zero byte does not end a line unseen") {
  auto one = series(std::string("2014-04-01 00:00:00,1\0002\n2014-04-01 00:00:10,3\n", 46));
  CHECK(numbers(one.read(100)) == std::vector<double>{3});
  CHECK(one.bad_lines() == 1);
}

TEST_CASE("a line without end is left out") {
  auto one = series("2014-04-01 00:00:00,1\n" + std::string(10'000'000, '7') + "\n2014-04-01 00:00:10,2\n");
  CHECK(numbers(one.read(100)) == std::vector<double>{1, 2});
  CHECK(one.first_bad() == "test.csv:2: the line is longer than 4096 bytes");
}

TEST_CASE("a series is read in pieces") {
  auto one = series("2014-04-01 00:00:00,1\nbad\n2014-04-01 00:00:10,2\n2014-04-01 00:00:20,3\n");
  CHECK(numbers(one.read(2)) == std::vector<double>{1});
  CHECK_FALSE(one.ended());
  CHECK(numbers(one.read(2)) == std::vector<double>{2, 3});
  CHECK(one.read(2).empty());
  CHECK(one.ended());
}

TEST_CASE("a loop goes on one interval after the last sample") {
  auto one = series("t,v\n2014-04-01 00:00:00,1\n2014-04-01 00:00:10,2\n2014-04-01 00:00:40,3\n", true);
  const auto samples = one.read(12);
  CHECK(numbers(samples) == std::vector<double>{1, 2, 3, 1, 2, 3, 1});
  CHECK(seconds(samples) == std::vector<std::int64_t>{0, 10, 40, 70, 80, 110, 140});
  CHECK_FALSE(one.ended());
}

TEST_CASE("a loop over nothing ends") {
  for (const auto* text : {"", "timestamp,value\n", "bad\nworse\n", "\n\n\n"}) {
    auto one = series(text, true);
    CHECK(one.read(100).empty());
    CHECK(one.ended());
  }
}

TEST_CASE("a file that cannot be a series is refused with its name") {
  CHECK(Series::open("/nonexistent/a.csv", CellType::number, false).error().message ==
        "/nonexistent/a.csv: there is no such file");
  CHECK(Series::open("/dev/zero", CellType::number, false).error().message == "/dev/zero: not a file");
  CHECK(Series::open("/tmp", CellType::number, false).error().message == "/tmp: not a file");
}

TEST_CASE("real series are read without a bad line") {
  const char* data = std::getenv("HAMLET_TEST_DATA");
  const auto folder = std::filesystem::path{data == nullptr ? "" : data} / "series" / "nab";
  if (!std::filesystem::is_directory(folder)) {
    std::puts("skipped: real series are not here; set HAMLET_TEST_DATA to a folder with series/nab");
    return;
  }
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator{folder}) {
    if (entry.path().extension() != ".csv") continue;
    CAPTURE(entry.path().string());
    auto one = Series::open(entry.path(), CellType::number, false);
    REQUIRE(one);
    std::size_t samples = 0;
    while (!one->ended()) samples += one->read(1000).size();
    CHECK(one->first_bad().empty());
    CHECK(samples > 1000);
    ++files;
  }
  CHECK(files > 0);
}
