#include "drivers/board/sysfs.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <fstream>
#include <optional>
#include <system_error>

#include <fmt/format.h>

namespace hamlet::drivers::board {
namespace {

namespace fs = std::filesystem;

using Outcome = tl::expected<Value, std::string_view>;

tl::unexpected<std::string_view> no(std::string_view why) {
  return tl::unexpected(why);
}

// The first 4 KiB, without what ends it.
std::optional<std::string> read_text(const fs::path& file) {
  std::ifstream in{file};
  std::string text(4096, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (in.bad() || in.gcount() <= 0) return {};
  text.resize(static_cast<std::size_t>(in.gcount()));
  text.resize(text.find_last_not_of(" \n\0") + 1);
  return text;
}

std::optional<double> to_number(std::string_view text) {
  double number = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  if (parsed.ec != std::errc{} || parsed.ptr != text.data() + text.size() || !std::isfinite(number)) return {};
  return number;
}

Outcome read_number(const fs::path& file, double divisor) {
  const auto text = read_text(file);
  if (!text) return no("unreadable");
  const auto number = to_number(*text);
  if (!number) return no("not-a-number");
  return *number / divisor;
}

// The folder below `parent` whose file `key` says `value`, or whose own name is that.
std::optional<fs::path> find_folder(const fs::path& parent, std::string_view key, const std::string& value) {
  std::error_code error;
  std::vector<fs::path> folders;
  for (fs::directory_iterator it{parent, error}, end; !error && it != end; it.increment(error)) folders.push_back(it->path());
  std::sort(folders.begin(), folders.end());
  for (const auto& folder : folders) {
    if (folder.filename() == value || read_text(folder / key) == value) return folder;
  }
  return {};
}

// Documentation/hwmon/sysfs-interface: millidegrees, millivolts, milliamperes, microwatts, 0.001 %, rpm.
double hwmon_divisor(std::string_view channel) {
  return channel.starts_with("fan") || channel.starts_with("pwm") ? 1 : channel.starts_with("power") ? 1e6 : 1e3;
}

Outcome read_hwmon(const fs::path& root, const Place& place) {
  const auto folder = find_folder(root / "class/hwmon", "name", place.sensor);
  if (!folder) return no("no-sensor");
  const auto file = *folder / (place.channel + "_input");
  if (!fs::exists(file)) return no("no-channel");
  return read_number(file, hwmon_divisor(place.channel));
}

// Documentation/ABI/testing/sysfs-bus-iio: (raw + offset) * scale; temperatures and humidity in thousandths.
Outcome read_iio(const fs::path& root, const Place& place) {
  const auto folder = find_folder(root / "bus/iio/devices", "name", place.sensor);
  if (!folder) return no("no-sensor");
  const bool thousandths = !place.channel.starts_with("in_illuminance") && !place.channel.starts_with("in_pressure");
  const double divisor = thousandths ? 1e3 : 1;
  if (fs::exists(*folder / (place.channel + "_input"))) return read_number(*folder / (place.channel + "_input"), divisor);
  const auto raw = read_number(*folder / (place.channel + "_raw"), 1);
  if (!raw) return no("no-channel");
  const auto extra = [&](const char* name, double usual) {
    const auto read = read_number(*folder / (place.channel + name), 1);
    return read ? std::get<double>(*read) : usual;
  };
  return (std::get<double>(*raw) + extra("_offset", 0)) * extra("_scale", 1) / divisor;
}

Outcome read_w1(const fs::path& root, const Place& place) {
  const auto folder = root / "bus/w1/devices" / place.sensor;
  if (!fs::exists(folder)) return no("no-sensor");
  const auto text = read_text(folder / "w1_slave");
  if (!text) return no("unreadable");
  const auto celsius = parse_w1_slave(*text);
  if (!celsius) return no(celsius.error());
  return *celsius;
}

Outcome read_power(const fs::path& root, const Place& place) {
  const auto folder = root / "class/power_supply" / place.sensor;
  if (!fs::exists(folder)) return no("no-sensor");
  const auto file = folder / place.channel;
  if (!fs::exists(file)) return no("no-channel");
  if (type_of(place) == ValueType::text) {
    const auto text = read_text(file);
    if (!text) return no("unreadable");
    return *text;
  }
  const bool micro = place.channel.starts_with("voltage") || place.channel.starts_with("current") ||
                     place.channel.starts_with("power") || place.channel.starts_with("energy") ||
                     place.channel.starts_with("charge_");
  auto number = read_number(file, micro ? 1e6 : place.channel == "temp" ? 10 : 1);
  if (number && type_of(place) == ValueType::boolean) return std::get<double>(*number) != 0;
  return number;
}

// "0x01 0x02": tenths of its life that the two kinds of memory have used (JEDEC 84-B51); the worse counts, in %.
Outcome read_mmc(const fs::path& root, const Place& place) {
  const auto folder = root / "block" / place.sensor / "device";
  if (!fs::exists(folder)) return no("no-sensor");
  const auto text = read_text(folder / place.channel);
  if (!text) return no("no-channel");
  double worst = 0;
  std::string_view rest = *text;
  while (!rest.empty()) {
    const auto word = rest.substr(0, rest.find(' '));
    rest.remove_prefix(std::min(rest.size(), word.size() + 1));
    unsigned number = 0;
    const auto digits = word.substr(word.starts_with("0x") ? 2 : 0);
    const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), number, 16);
    if (parsed.ec != std::errc{} || parsed.ptr != digits.data() + digits.size()) return no("not-a-number");
    worst = std::max(worst, static_cast<double>(number));
  }
  return place.channel == "life_time" ? worst * 10 : worst;
}

}  // namespace

ValueType type_of(const Place& place) {
  if (place.source != Source::power) return ValueType::number;
  static constexpr std::array kTexts{"status", "health", "capacity_level", "technology", "type"};
  if (place.channel == "online" || place.channel == "present") return ValueType::boolean;
  return std::find(kTexts.begin(), kTexts.end(), place.channel) != kTexts.end() ? ValueType::text : ValueType::number;
}

tl::expected<double, std::string_view> parse_w1_slave(std::string_view text) {
  constexpr double kPowerOn = 85;  // what it shows before it has measured
  const auto crc = text.find("crc=");
  const auto at = text.rfind("t=");
  if (crc == std::string_view::npos || at == std::string_view::npos) return no("not-a-number");
  if (text.substr(crc, text.find('\n', crc) - crc).find("YES") == std::string_view::npos) return no("bad-crc");
  const auto digits = text.substr(at + 2, text.find_first_of("\n ", at) - at - 2);
  const auto number = to_number(digits);
  if (!number) return no("not-a-number");
  if (*number / 1000 == kPowerOn) return no("power-on-value");
  return *number / 1000;
}

Outcome read_place(const fs::path& root, const Place& place) {
  switch (place.source) {
    case Source::hwmon:
      return read_hwmon(root, place);
    case Source::iio:
      return read_iio(root, place);
    case Source::w1:
      return read_w1(root, place);
    case Source::thermal: {
      const auto folder = find_folder(root / "class/thermal", "type", place.sensor);
      if (!folder) return no("no-sensor");
      return read_number(*folder / "temp", 1e3);
    }
    case Source::power:
      return read_power(root, place);
    case Source::mmc:
      return read_mmc(root, place);
    case Source::ext4: {
      const auto folder = root / "fs/ext4" / place.sensor;
      if (!fs::exists(folder)) return no("no-sensor");
      return read_number(folder / place.channel, 1);
    }
  }
  return no("no-sensor");
}

}  // namespace hamlet::drivers::board
