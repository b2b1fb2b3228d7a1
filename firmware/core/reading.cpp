#include "firmware/core/reading.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "firmware/core/alarm.hpp"
#include "firmware/core/event.hpp"

namespace hamlet {

nlohmann::json to_json(const Value& value) {
  if (const auto* flag = std::get_if<bool>(&value)) return *flag;
  if (const auto* number = std::get_if<double>(&value)) return *number;
  if (const auto* text = std::get_if<std::string>(&value)) return *text;
  return nullptr;
}

std::string to_string(const Value& value) {
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  if (const auto* number = std::get_if<double>(&value)) return fmt::format("{}", *number);
  if (const auto* text = std::get_if<std::string>(&value)) return *text;
  return "-";
}

std::optional<double> as_number(const Value& value) {
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? 1.0 : 0.0;
  if (const auto* number = std::get_if<double>(&value)) return *number;
  return {};
}

std::string_view to_string(Quality quality) {
  switch (quality) {
    case Quality::good: return "good";
    case Quality::suspect: return "suspect";
    case Quality::bad: return "bad";
    case Quality::missing: return "missing";
  }
  return "bad";
}

std::string_view to_string(Phase phase) {
  switch (phase) {
    case Phase::start: return "start";
    case Phase::update: return "update";
    case Phase::end: return "end";
    case Phase::once: return "once";
  }
  return "once";
}

std::string_view to_string(AlarmState state) {
  switch (state) {
    case AlarmState::normal: return "normal";
    case AlarmState::unacked: return "unacked";
    case AlarmState::acked: return "acked";
    case AlarmState::returned: return "returned";
    case AlarmState::shelved: return "shelved";
    case AlarmState::suppressed: return "suppressed";
    case AlarmState::out_of_service: return "out-of-service";
  }
  return "normal";
}

std::string_view to_string(Severity severity) {
  switch (severity) {
    case Severity::critical: return "critical";
    case Severity::major: return "major";
    case Severity::minor: return "minor";
    case Severity::warning: return "warning";
  }
  return "warning";
}

}  // namespace hamlet
