#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <fmt/format.h>

#include "tests/integration/drivers/rig.hpp"

using namespace hamlet;
using namespace hamlet::drivers;

namespace {

/// A folder that goes with the test.
class Folder {
 public:
  Folder() {
    auto name = (std::filesystem::temp_directory_path() / "hamlet-replay-XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  void write(const std::string& name, const std::string& text) const { std::ofstream{path_ / name} << text; }
  [[nodiscard]] std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

std::string device(const std::string& folder, std::string_view more) {
  return fmt::format("[[device]]\nid = \"history\"\ndriver = \"replay\"\nfolder = \"{}\"\n{}\n", folder, more);
}

std::string point(std::string_view id, std::string_view file, std::string_view more = "") {
  return fmt::format("[[device.point]]\nid = \"{}\"\nfile = \"{}\"\n{}\n", id, file, more);
}

constexpr std::string_view kMinuteByMinute =
    "timestamp,value\n2014-04-01 00:00:00,1\n2014-04-01 00:01:00,2\n2014-04-01 00:03:00,3\n";

}  // namespace

TEST_CASE("a folder of series plays at its speed, stamped at present, and then is down") {
  Folder folder;
  folder.write("a.csv", std::string{kMinuteByMinute});
  folder.write("door.csv", "2020-01-01T00:00:30Z,0\n2020-01-01T00:01:30Z,1\n");
  const SystemClock clock;
  const auto before = clock.mono();
  Rig rig{device(folder.path(), "speed = 600\nloop = false") + point("a", "a.csv") +
          point("door", "door.csv", "type = \"boolean\"")};
  REQUIRE(rig.run_until([&] { return rig.state() == "down"; }));
  const auto numbers = rig.of("history.a");
  REQUIRE(numbers.size() == 4);  // three values and that there is none any more
  CHECK(to_string(numbers[0].value) == "1");
  CHECK(to_string(numbers[2].value) == "3");
  CHECK(numbers[0].at >= before);
  CHECK(numbers[1].at - numbers[0].at == Millis{100});
  CHECK(numbers[2].at - numbers[0].at == Millis{300});
  CHECK(numbers[2].at <= clock.mono());
  CHECK(numbers[3].quality == Quality::missing);
  const auto flags = rig.of("history.door");
  REQUIRE(flags.size() == 4);
  CHECK(std::get<bool>(flags[1].value));
  CHECK(flags[2].why == "end-of-data");  // while the other still plays
  CHECK(flags[3].why == "device-down");
  CHECK(flags[0].at == numbers[0].at);
  CHECK(rig.drivers->status()[0]["why"] == "end-of-data");
}

TEST_CASE("a loop goes on for ever, and stops when it is told to") {
  Folder folder;
  folder.write("a.csv", std::string{kMinuteByMinute});
  Rig rig{device(folder.path(), "speed = 100000") + point("a", "a.csv")};
  REQUIRE(rig.run_until([&] { return rig.count("history.a") >= 500; }));
  const auto values = rig.of("history.a");
  CHECK(to_string(values[3].value) == "1");
  CHECK(rig.state() == "up");
  rig.drivers->stop();
  const auto said = rig.readings.size();
  while (rig.io.poll() > 0) {
  }
  CHECK(rig.readings.size() == said);
}

TEST_CASE("a file that is not there is told, the others play on") {
  Folder folder;
  folder.write("a.csv", std::string{kMinuteByMinute});
  SUBCASE("one of two") {
    Rig rig{device(folder.path(), "speed = 6000") + point("a", "a.csv") + point("b", "b.csv")};
    REQUIRE(rig.run_until([&] { return rig.count("history.a") >= 10 && rig.count("history.b") >= 1; }));
    CHECK(rig.of("history.b")[0].quality == Quality::missing);
    CHECK(rig.of("history.b")[0].why == "no-file");
    CHECK(rig.count("history.b") == 1);
    CHECK(rig.state() == "up");
  }
  SUBCASE("the only one") {
    Rig rig{device(folder.path(), "") + point("b", "b.csv")};
    REQUIRE(rig.run_until([&] { return rig.state() == "down"; }));
    CHECK(rig.drivers->status()[0]["why"] == "no-file");
    CHECK(rig.events.at(0).detail["message"] == folder.path() + "/b.csv: there is no such file");
  }
}

TEST_CASE("a real series plays through") {
  const char* data = std::getenv("HAMLET_TEST_DATA");
  const auto folder = std::filesystem::path{data == nullptr ? "" : data} / "series" / "nab" / "realKnownCause";
  if (!std::filesystem::is_directory(folder)) {
    std::puts("skipped: real series are not here; set HAMLET_TEST_DATA to a folder with series/nab");
    return;
  }
  Rig rig{device(folder.string(), "speed = 100000\nloop = false") +
          point("temperature", "ambient_temperature_system_failure.csv")};
  REQUIRE(rig.run_until([&] { return rig.count("history.temperature") >= 20; }));
  const auto readings = rig.of("history.temperature");
  CHECK(readings[1].at - readings[0].at == Millis{36});  // an hour
  CHECK(std::get<double>(readings[0].value) == doctest::Approx(69.88083514));
}
