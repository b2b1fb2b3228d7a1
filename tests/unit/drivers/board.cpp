#include <filesystem>
#include <fstream>

#include <doctest/doctest.h>

#include "drivers/board/sysfs.hpp"
#include "drivers/gpio/gpio.hpp"
#include "tests/support/process.hpp"

using namespace hamlet;
using namespace hamlet::drivers;
using namespace hamlet::drivers::board;

namespace {

class Sys {
 public:
  void write(const std::string& file, const std::string& text) {
    std::filesystem::create_directories((folder_.path() / file).parent_path());
    std::ofstream{folder_.path() / file} << text;
  }
  [[nodiscard]] std::string read(Source source, std::string sensor, std::string channel = "") const {
    const auto value = read_place(folder_.path(), {source, std::move(sensor), std::move(channel)});
    return value ? to_string(*value) : std::string{value.error()};
  }

 private:
  support::TempDir folder_;
};

}  // namespace

TEST_CASE("the kernel's sensors are found by name and read in people's units") {
  Sys sys;
  sys.write("class/thermal/thermal_zone0/type", "cpu-thermal\n");
  sys.write("class/thermal/thermal_zone0/temp", "51234\n");
  CHECK(sys.read(Source::thermal, "cpu-thermal") == "51.234");
  CHECK(sys.read(Source::thermal, "thermal_zone0") == "51.234");
  CHECK(sys.read(Source::thermal, "gpu") == "no-sensor");
  sys.write("class/hwmon/hwmon3/name", "ina219\n");
  sys.write("class/hwmon/hwmon3/in1_input", "12034\n");
  sys.write("class/hwmon/hwmon3/power1_input", "2500000\n");
  sys.write("class/hwmon/hwmon3/fan1_input", "1200\n");
  sys.write("class/hwmon/hwmon3/temp1_input", "broken\n");
  CHECK(sys.read(Source::hwmon, "ina219", "in1") == "12.034");
  CHECK(sys.read(Source::hwmon, "ina219", "power1") == "2.5");
  CHECK(sys.read(Source::hwmon, "ina219", "fan1") == "1200");
  CHECK(sys.read(Source::hwmon, "ina219", "temp1") == "not-a-number");
  CHECK(sys.read(Source::hwmon, "ina219", "temp2") == "no-channel");
  sys.write("bus/iio/devices/iio:device0/name", "bme280\n");
  sys.write("bus/iio/devices/iio:device0/in_temp_input", "21500\n");
  sys.write("bus/iio/devices/iio:device0/in_pressure_input", "101.325\n");
  sys.write("bus/iio/devices/iio:device0/in_voltage0_raw", "2048\n");
  sys.write("bus/iio/devices/iio:device0/in_voltage0_scale", "0.5\n");
  CHECK(sys.read(Source::iio, "bme280", "in_temp") == "21.5");
  CHECK(sys.read(Source::iio, "bme280", "in_pressure") == "101.325");
  CHECK(sys.read(Source::iio, "bme280", "in_voltage0") == "1.024");
}

TEST_CASE("a 1-Wire thermometer is read by its file, and its checksum counts") {
  Sys sys;
  const auto file = "bus/w1/devices/28-0316a2794aff/w1_slave";
  sys.write(file, "72 01 4b 46 7f ff 0e 10 57 : crc=57 YES\n72 01 4b 46 7f ff 0e 10 57 t=23125\n");
  CHECK(sys.read(Source::w1, "28-0316a2794aff") == "23.125");
  sys.write(file, "ff ff ff ff ff ff ff ff ff : crc=c9 NO\nff ff ff ff ff ff ff ff ff t=-62\n");
  CHECK(sys.read(Source::w1, "28-0316a2794aff") == "bad-crc");
  sys.write(file, "50 05 4b 46 7f ff 0c 10 1c : crc=1c YES\n50 05 4b 46 7f ff 0c 10 1c t=85000\n");
  CHECK(sys.read(Source::w1, "28-0316a2794aff") == "power-on-value");
  CHECK(sys.read(Source::w1, "28-none") == "no-sensor");
}

TEST_CASE("battery, mains and disk") {
  Sys sys;
  sys.write("class/power_supply/BAT0/capacity", "87\n");
  sys.write("class/power_supply/BAT0/status", "Discharging\n");
  sys.write("class/power_supply/BAT0/voltage_now", "12350000\n");
  sys.write("class/power_supply/AC/online", "0\n");
  CHECK(sys.read(Source::power, "BAT0", "capacity") == "87");
  CHECK(sys.read(Source::power, "BAT0", "status") == "Discharging");
  CHECK(sys.read(Source::power, "BAT0", "voltage_now") == "12.35");
  CHECK(sys.read(Source::power, "AC", "online") == "false");
  sys.write("block/mmcblk0/device/life_time", "0x01 0x03\n");
  CHECK(sys.read(Source::mmc, "mmcblk0", "life_time") == "30");
  sys.write("fs/ext4/mmcblk0p2/errors_count", "2\n");
  CHECK(sys.read(Source::ext4, "mmcblk0p2", "errors_count") == "2");
}

TEST_CASE("a contact that bounces gives one pulse") {
  using namespace std::chrono_literals;
  gpio::PulseFilter filter{20ms};
  int pulses = 0;
  const auto edge = [&](bool active, std::chrono::nanoseconds at) { pulses += filter.is_pulse({active, at}) ? 1 : 0; };
  edge(true, 1000ms);
  edge(false, 1001ms);
  edge(true, 1002ms);
  edge(false, 1100ms);
  edge(true, 1101ms);  // it bounces when it opens, too
  edge(false, 1102ms);
  CHECK(pulses == 1);
  edge(true, 1500ms);
  CHECK(pulses == 2);
}
