#include "tests/support/demo/feed.hpp"

#include <fmt/format.h>

#include "tests/support/demo/village.hpp"

namespace hamlet::demo {
namespace {

using nlohmann::json;

std::string time_of_day(const json& payload) {
  return to_china_time(wall_from_ms(payload.value("ts", std::int64_t{0}))).substr(11);
}

std::string describe_alarm(const json& alarm) {
  const auto text = alarm.value("text", json::object());
  return fmt::format("{}  alarm  {} · {}: {}{}", time_of_day(alarm), text.value("zh", ""), text.value("en", ""),
                     alarm.value("state", ""), alarm.value("hist", false) ? "  (late)" : "");
}

std::string describe_event(const json& event) {
  auto line = fmt::format("{}  event  {}: {} {}", time_of_day(event), event.value("source", ""),
                          event.value("kind", ""), event.value("phase", ""));
  const auto detail = event.value("detail", json::object());
  if (const auto zone = detail.find("zone"); zone != detail.end() && zone->is_string()) {
    line += fmt::format(" in {}", zone->get<std::string>());
  }
  if (!event.value("media", json::array()).empty()) line += ", with a picture";
  if (event.value("hist", false)) line += "  (late)";
  return line;
}

}  // namespace

void Feed::take(const support::County::Arrival& arrival) {
  const std::lock_guard lock{mutex_};
  switch (arrival.lane) {
    case contract::Lane::alarm:
      return tell(describe_alarm(arrival.payload));
    case contract::Lane::event:
      if (arrival.payload.value("source", "") == kCamera) ++contents_.sightings;
      // The start and the end of something say enough.
      if (arrival.payload.value("phase", "") != "update") tell(describe_event(arrival.payload));
      return;
    case contract::Lane::tele:
      return take_readings(arrival.payload);
    case contract::Lane::media:
      return;
  }
}

void Feed::take_readings(const json& payload) {
  for (const auto& reading : payload.value("readings", json::array())) {
    auto& point = contents_.points[reading.value("s", "")];
    const auto taken = reading.value("t", std::int64_t{0});
    // What was kept during an outage may come after what is newer.
    if (taken < point.taken_ms) continue;
    point = {.value = reading.value("v", json{}), .quality = reading.value("q", ""), .taken_ms = taken};
  }
}

void Feed::tell(std::string line) {
  contents_.news.push_back(std::move(line));
  if (contents_.news.size() > kMaxNews) contents_.news.pop_front();
  ++contents_.told;
}

Feed::Contents Feed::contents() const {
  const std::lock_guard lock{mutex_};
  return contents_;
}

}  // namespace hamlet::demo
