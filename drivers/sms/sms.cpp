#include "drivers/sms/sms.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <chrono>
#include <map>
#include <memory>
#include <utility>

#include <fmt/format.h>

#include "drivers/sms/at.hpp"
#include "drivers/sms/pdu.hpp"
#include "drivers/texts.hpp"
#include "firmware/core/log.hpp"

namespace hamlet::drivers::sms {
namespace {

using namespace std::chrono_literals;
using namespace std::string_view_literals;

constexpr Millis kAnswer = 3s;     // to a command that needs no network
constexpr Millis kRegister = 20s;  // for the network
constexpr Millis kAwake = 2s;
constexpr int kWakeUps = 3;        // a modem that has slept, or measures its speed, misses the first
constexpr std::size_t kMostNumbers = 20;
constexpr std::size_t kTextParts = 4;

constexpr std::array kModes{"pdu"sv, "text"sv};
constexpr std::array kWhats{"signal"sv, "registered"sv};

struct Settings {
  serial::Settings serial;
  bool text_mode = false;
  Millis timeout{};
  Millis check{};
  std::string signal{};  // names of points; empty: not wanted
  std::string registered{};
};

// The number between the colon and the comma: "+CSQ: 17,99", "+CREG: 0,1" (`field` 1).
std::optional<int> number_in(const std::vector<std::string>& lines, std::string_view prefix, int field) {
  for (const std::string_view line : lines) {
    if (!line.starts_with(prefix)) continue;
    auto rest = line.substr(prefix.size());
    for (int i = 0; i < field; ++i) {
      const auto comma = rest.find(',');
      if (comma == std::string_view::npos) return {};
      rest.remove_prefix(comma + 1);
    }
    while (rest.starts_with(' ')) rest.remove_prefix(1);
    int number = 0;
    const auto parsed = std::from_chars(rest.data(), rest.data() + rest.size(), number);
    return parsed.ec == std::errc{} ? std::optional{number} : std::nullopt;
  }
  return {};
}

// Somebody may have to be told which one it was, nobody needs all of it.
std::string masked(std::string number) {
  for (std::size_t i = 3; i + 4 < number.size(); ++i) number[i] = '*';
  return number;
}

// Awake, without echo, with errors as numbers, with a card.
Status prepare(Modem& modem) {
  Result<std::vector<std::string>> awake = fail(Errc::timeout, "");
  for (int i = 0; i < kWakeUps && !awake; ++i) {
    awake = modem.ask("AT", kAwake);
    if (!awake && awake.error().code == Errc::cancelled) break;
  }
  if (!awake) return fail(std::move(awake).error());
  if (auto quiet = modem.ask("ATE0", kAnswer); !quiet) return fail(std::move(quiet).error());
  (void)modem.ask("AT+CMEE=1", kAnswer);
  const auto card = modem.ask("AT+CPIN?", kAnswer);
  if (!card) return fail(card.error());
  for (const auto& line : *card) {
    if (line.starts_with("+CPIN:") && line.find("READY") == std::string::npos) {
      return fail(Errc::denied, fmt::format("the SIM card says \"{}\"; take its PIN off in a phone", line));
    }
  }
  return {};
}

bool is_registered(Modem& modem) {
  for (const auto* network : {"CREG", "CEREG", "CGREG"}) {
    const auto answer = modem.ask(fmt::format("AT+{}?", network), kAnswer);
    if (!answer) continue;
    const auto state = number_in(*answer, fmt::format("+{}:", network), 1);
    if (state == 1 || state == 5) return true;
  }
  return false;
}

Status await_network(Modem& modem, Millis longest, const Job& job) {
  for (Millis waited{0}; !is_registered(modem); waited += 1s) {
    if (waited >= longest) {
      return fail(Errc::unavailable, "the modem finds no network; check the antenna, and whether the card is barred");
    }
    if (!job.rest(1s)) return fail(Errc::cancelled, "stopped");
  }
  return {};
}

Status send_pdus(Modem& modem, const Settings& settings, const std::string& to, const std::string& text,
                 std::uint8_t reference) {
  if (auto mode = modem.ask("AT+CMGF=0", kAnswer); !mode) return fail(std::move(mode).error());
  for (const auto& pdu : make_pdus(to, text, reference)) {
    const auto sent = modem.send(fmt::format("AT+CMGS={}", pdu.length), pdu.hex, settings.timeout);
    if (!sent) return fail(sent.error());
  }
  return {};
}

Status send_texts(Modem& modem, const Settings& settings, const std::string& to, const std::string& text) {
  const bool plain = is_plain(text);
  const std::array commands{std::string{"AT+CMGF=1"}, std::string{plain ? "AT+CSCS=\"GSM\"" : "AT+CSCS=\"UCS2\""},
                            fmt::format("AT+CSMP=17,167,0,{}", plain ? 0 : 8)};
  for (const auto& command : commands) {
    if (auto set = modem.ask(command, kAnswer); !set) return fail(std::move(set).error());
  }
  for (const auto& part : cut(text, 160, 70, kTextParts)) {
    const auto number = plain ? to : to_ucs2_hex(to);
    const auto sent =
        modem.send(fmt::format("AT+CMGS=\"{}\"", number), plain ? part : to_ucs2_hex(part), settings.timeout);
    if (!sent) return fail(sent.error());
  }
  return {};
}

// One that takes it is enough: a second try of all would tell those twice who know.
Status send_to_all(const Settings& settings, const std::vector<std::string>& to, const std::string& text,
                   std::uint8_t reference, const Job& job, FrameLog* frames, std::vector<std::string>& missed) {
  auto modem = Modem::open(settings.serial, job, frames);
  if (!modem) return fail(std::move(modem).error());
  if (auto ready = prepare(*modem); !ready) return ready;
  if (auto network = await_network(*modem, std::min(kRegister, settings.timeout), job); !network) return network;
  Status last;
  for (const auto& number : to) {
    auto sent = settings.text_mode ? send_texts(*modem, settings, number, text)
                                   : send_pdus(*modem, settings, number, text, reference);
    if (sent) continue;
    if (sent.error().code == Errc::cancelled) return sent;
    missed.push_back(fmt::format("{}: {}", masked(number), sent.error().message));
    last = std::move(sent);
  }
  return missed.size() == to.size() ? last : Status{};
}

Result<std::vector<Reading>> look(const Settings& settings, const Clock& clock, const Job& job, FrameLog* frames) {
  auto modem = Modem::open(settings.serial, job, frames);
  if (!modem) return fail(std::move(modem).error());
  if (auto ready = prepare(*modem); !ready) return fail(std::move(ready).error());
  const bool registered = is_registered(*modem);
  std::vector<Reading> out;
  if (!settings.registered.empty())
    out.push_back({.point = settings.registered, .at = clock.mono(), .value = registered});
  if (!settings.signal.empty()) {
    const auto answer = modem->ask("AT+CSQ", kAnswer);
    const auto strength = answer ? number_in(*answer, "+CSQ:", 0) : std::nullopt;
    Reading reading{.point = settings.signal, .at = clock.mono()};
    if (strength && *strength >= 0 && *strength <= 31) {
      reading.value = -113.0 + 2.0 * *strength;
    } else {
      reading.quality = Quality::missing;
      reading.why = "no-signal";
    }
    out.push_back(std::move(reading));
  }
  if (!registered && settings.registered.empty()) {
    return fail(Errc::unavailable, "the modem finds no network; check the antenna, and whether the card is barred");
  }
  return out;
}

std::vector<std::string> read_numbers(const config::Table& table) {
  auto numbers = table.texts_or("to");
  if (numbers.empty() || numbers.size() > kMostNumbers) table.error("to", texts::want_numbers(kMostNumbers));
  for (const auto& number : numbers) {
    if (!is_number(number)) table.error("to", texts::no_number(number));
  }
  return numbers;
}

// Of two packs each brings its own.
void check_modem(const config::Table& device, const std::string& path) {
  for (const auto& other : device.root().tables("device")) {
    if (other.path() == device.path()) return;
    if (other.text_or("driver", "") == "sms" && other.text_or("path", "") == path) {
      return device.error("path", texts::modem_twice(path));
    }
  }
}

}  // namespace

Blueprint read(const config::Table& device, const std::string& id) {
  Settings settings{.serial = serial::read_settings(device)};
  if (!settings.serial.path.empty()) check_modem(device, settings.serial.path);
  if (!device.has("baud")) settings.serial.baud = 115'200;
  settings.text_mode = device.choice_or("mode", 0, kModes) == 1;
  settings.timeout = device.duration_or("timeout", 60s, {1s, 5min});
  settings.check = device.duration_or("check", 10min, {10s, 24h});
  std::vector<PointInfo> points;
  if (device.has("point")) {
    points = read_points(device, id, [&](const config::Table& table) {
      const bool signal = table.choice("what", kWhats) == 0;
      (signal ? settings.signal : settings.registered) = fmt::format("{}.{}", id, table.id("id"));
      return signal ? ValueType::number : ValueType::boolean;
    });
  }
  std::map<std::string, std::vector<std::string>> numbers;
  auto outputs = read_outputs(device, id, [&](const config::Table& table, OutputInfo& info) {
    info.type = ValueType::text;
    info.repeatable = false;
    numbers[table.id("id")] = read_numbers(table);
  });
  if (outputs.empty()) device.error("", texts::no_output());
  return {.points = std::move(points),
          .outputs = std::move(outputs),
          .build = [id, settings = std::make_shared<const Settings>(std::move(settings)),
                    numbers = std::move(numbers)](const Surroundings& around) -> std::shared_ptr<Device> {
            const auto references = std::make_shared<std::atomic<std::uint8_t>>();
            std::map<std::string, Actor::Does> acts;
            for (const auto& [output, to] : numbers) {
              acts[output] = {[settings, to = to, references, id, recorder = around.recorder](const Value& value, Job& job) -> Status {
                const auto* text = std::get_if<std::string>(&value);
                if (text == nullptr) return {};
                std::vector<std::string> missed;
                auto sent = send_to_all(*settings, to, *text, ++*references, job, recorder.get(), missed);
                for (const auto& each : missed)
                  log::warning("a message was not taken", {{"device", id}, {"number", each}});
                return sent;
              }};
            }
            return std::make_shared<Actor>(
                "sms-" + id, std::move(acts), around,
                [settings, &clock = around.clock, recorder = around.recorder](Job& job) {
                  return look(*settings, clock, job, recorder.get());
                },
                settings->check);
          }};
}

}  // namespace hamlet::drivers::sms
