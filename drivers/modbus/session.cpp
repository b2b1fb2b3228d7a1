#include "drivers/modbus/session.hpp"

#include <algorithm>
#include <deque>

namespace hamlet::drivers::modbus {
namespace {

constexpr std::uint8_t kIllegalAddress = 0x02;
constexpr std::uint8_t kIllegalValue = 0x03;  // some devices say so where the quantity is what they do not like
constexpr std::uint8_t kGatewayPath = 0x0A;
constexpr std::uint8_t kGatewayTarget = 0x0B;

// The gateway answered, the device behind it did not.
bool is_silence(const Fault& fault) {
  return !fault.exception || *fault.exception == kGatewayPath || *fault.exception == kGatewayTarget;
}

bool is_too_much(const Fault& fault) {
  return fault.exception == kIllegalAddress || fault.exception == kIllegalValue;
}

}  // namespace

Session::Session(const Settings& settings, const Clock& clock)
    : points_{settings.points},
      retries_{settings.retries},
      clock_{clock},
      link_{settings.address, settings.port, settings.unit, settings.timeout} {
  for (const auto& point : points_) needs_.push_back(point.need);
  requests_ = plan(needs_, settings.max_gap);
}

tl::expected<std::vector<Reading>, Fault> Session::poll() {
  std::vector<Reading> readings;
  std::vector<Request> done;
  std::deque<Request> todo(requests_.begin(), requests_.end());
  while (!todo.empty()) {
    auto request = std::move(todo.front());
    todo.pop_front();
    const auto answer = ask(request);
    if (answer) {
      take(request, *answer, readings);
    } else if (is_silence(answer.error())) {
      return tl::unexpected(answer.error());
    } else if (const auto parts = split(request, needs_); is_too_much(answer.error()) && !parts.empty()) {
      todo.insert(todo.begin(), parts.begin(), parts.end());
      continue;
    } else {
      refuse(request, answer.error().why, readings);
    }
    done.push_back(std::move(request));
  }
  requests_ = std::move(done);
  return readings;
}

Session::Answer Session::ask(const Request& request) {
  auto answer = link_.read(request);
  for (unsigned retry = 0; retry < retries_ && !answer && is_silence(answer.error()); ++retry) {
    if (link_.cancelled()) break;
    answer = link_.read(request);
  }
  return answer;
}

void Session::take(const Request& request, const std::vector<std::uint16_t>& words,
                   std::vector<Reading>& readings) const {
  const auto now = clock_.mono();
  for (const auto index : request.needs) {
    const auto& point = points_[index];
    const auto first = static_cast<std::size_t>(point.need.address - request.address);
    auto value = decode(std::span{words}.subspan(first, point.need.count), point.decoding);
    if (value) {
      readings.push_back({.point = point.name, .at = now, .value = std::move(*value)});
    } else {
      readings.push_back(
          {.point = point.name, .at = now, .quality = Quality::missing, .why = std::string{value.error()}});
    }
  }
}

void Session::refuse(const Request& request, const std::string& why, std::vector<Reading>& readings) const {
  for (const auto index : request.needs) {
    readings.push_back({.point = points_[index].name, .at = clock_.mono(), .quality = Quality::missing, .why = why});
  }
}

Millis retry_delay(Millis period, Millis longest, unsigned failures, double chance) {
  constexpr unsigned kMostDoublings = 16;
  const auto ceiling = std::max(period, longest);
  const auto delay = std::min(ceiling, period * (Millis::rep{1} << std::min(failures - 1, kMostDoublings)));
  return Millis{static_cast<Millis::rep>(static_cast<double>(delay.count()) * (0.75 + 0.5 * chance))};
}

}  // namespace hamlet::drivers::modbus
