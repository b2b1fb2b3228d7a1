#include "firmware/ctl/views.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "firmware/ctl/format.hpp"
#include "firmware/ctl/table.hpp"
#include "firmware/ctl/texts.hpp"

namespace hamlet::ctl {
namespace {

using nlohmann::json;

constexpr std::uint64_t kMaxSpanMs = 100ULL * 365 * 86'400'000;

constexpr std::array kLanes{"alarm", "event", "tele", "media"};

std::vector<json> list_at(const json& object, const char* key) {
  const auto& found = member(object, key);
  return found.is_array() ? found.get<std::vector<json>>() : std::vector<json>{};
}

Style style_of_quality(std::string_view quality) {
  if (quality == "good") return Style::plain;
  return quality == "suspect" ? Style::attention : Style::bad;
}

Style style_of_severity(std::string_view severity) {
  if (severity == "critical" || severity == "major") return Style::bad;
  return severity == "minor" ? Style::attention : Style::plain;
}

Style style_of_link(std::string_view state) {
  if (state == "online" || state == "up" || state == "ok") return Style::good;
  if (state == "down" || state == "offline" || state == "lost") return Style::bad;
  return state == "off" ? Style::plain : Style::attention;
}

bool calls_for_somebody(const json& alarm) {
  const auto state = text_at(alarm, "state");
  return state == "unacked" || state == "acked" || state == "returned";
}

// Not acknowledged before acknowledged, urgent before less so.
int urgency(const json& alarm) {
  constexpr std::array kStates{"unacked", "returned", "acked"};
  constexpr std::array kSeverities{"critical", "major", "minor", "warning"};
  const auto rank = [](const auto& words, const std::string& word) {
    return static_cast<int>(std::find(words.begin(), words.end(), word) - words.begin());
  };
  return rank(kStates, text_at(alarm, "state")) * 10 + rank(kSeverities, text_at(alarm, "severity"));
}

// One result being drawn.
class View {
 public:
  View(const Invocation& asked, const json& result, WallTime now, bool colour)
      : asked_{asked}, lang_{asked.lang}, result_{result}, now_{now}, colour_{colour} {}

  Shown draw() {
    switch (asked_.verb) {
      case Verb::status:
        status();
        break;
      case Verb::points:
        points();
        break;
      case Verb::readings:
        readings();
        break;
      case Verb::events:
        events();
        break;
      case Verb::alarms:
        alarms();
        break;
      case Verb::alarm_ack:
        acknowledged();
        break;
      case Verb::alarm_shelve:
      case Verb::alarm_unshelve:
      case Verb::alarm_out:
      case Verb::alarm_in:
      case Verb::alarm_maintenance:
        put_aside();
        break;
      case Verb::alarm_explain:
        explained();
        break;
      case Verb::cameras:
        cameras();
        break;
      case Verb::snapshot:
      case Verb::media_show:
        picture();
        break;
      case Verb::media_list:
        pictures();
        break;
      case Verb::media_upload:
        hint(Say::upload_done, text_at(result_, "picture"), text_at(result_, "as"));
        break;
      case Verb::media_hold:
        hint(Say::hold_done, text_at(result_, "picture"));
        break;
      case Verb::media_release:
        hint(Say::release_done, text_at(result_, "picture"));
        break;
      case Verb::journal:
        journal();
        break;
      case Verb::journal_stat:
        journal_stat();
        break;
      case Verb::journal_check:
        journal_check();
        break;
      case Verb::journal_export:
        journal_export();
        break;
      case Verb::uplink:
        uplink();
        break;
      case Verb::uplink_test:
        uplink_test();
        break;
      case Verb::outputs:
        outputs();
        break;
      case Verb::output_set:
        output_set();
        break;
      case Verb::init:
        packs();
        break;
      case Verb::config_check:
        config_check();
        break;
      case Verb::backtest:  // show themselves
      case Verb::probe:
        break;
    }
    if (uncertain_) hint(Say::clock_note);
    return std::move(shown_);
  }

 private:
  template <class... Args>
  [[nodiscard]] std::string text(Say id, const Args&... args) const {
    return say(lang_, id, args...);
  }
  [[nodiscard]] std::string called(Kind kind, std::string_view code) const { return word(lang_, kind, code); }
  template <class... Args>
  void hint(Say id, const Args&... args) {
    shown_.words += text(id, args...) + '\n';
  }
  void put(const Table& table) { shown_.data += table.render(colour_); }
  [[nodiscard]] Column left(Say heading) const { return {text(heading), Align::left}; }
  [[nodiscard]] Column right(Say heading) const { return {text(heading), Align::right}; }
  [[nodiscard]] std::string figure(const json& object, const char* key) const {
    return fmt::to_string(count_at(object, key));
  }

  // Beijing time; with a ? where the box did not know the time.
  std::string time_of(const json& row, const char* key) {
    const auto when = time_at(row, key);
    if (!when) return text(Say::none);
    const bool certain = text_at(row, "tq") != "unsynced";
    uncertain_ = uncertain_ || !certain;
    return to_china_time(*when) + (certain ? "" : " ?");
  }
  [[nodiscard]] std::string age_of(const json& row, const char* key) const {
    const auto when = time_at(row, key);
    return when ? ago(lang_, *when, now_) : text(Say::none);
  }
  Cell quality_of(const json& row) const {
    const auto quality = text_at(row, "q");
    return {called(Kind::quality, quality), style_of_quality(quality)};
  }

  void status();
  void next_steps();
  void points();
  void readings();
  void events();
  [[nodiscard]] std::string detail_of(const json& event) const;
  void alarms();
  void acknowledged();
  void put_aside();
  [[nodiscard]] std::string time_in(const json& object, const char* key) const;
  [[nodiscard]] std::string condition_of(const json& rule) const;
  void explained();
  void outputs();
  void output_set();
  void packs();
  void cameras();
  void picture();
  void pictures();
  void journal();
  [[nodiscard]] std::string at_risk() const;
  [[nodiscard]] std::string written_a_day() const;
  void journal_stat();
  void journal_check();
  void journal_export();
  void uplink();
  void uplink_test();
  void config_check();

  const Invocation& asked_;
  Lang lang_;
  const json& result_;
  WallTime now_;
  bool colour_;
  bool uncertain_ = false;  // a time with a ? was shown
  Shown shown_;
};

void View::status() {
  const auto up_down = [this](const char* key) {
    const auto& both = member(result_, key);
    return Cell{text(Say::up_down, figure(both, "up"), figure(both, "down")),
                count_at(both, "down") > 0 ? Style::bad : Style::plain};
  };
  const auto health = text_at(result_, "health");
  const auto& alarms = member(result_, "alarms");
  const auto& uplink = member(result_, "uplink");
  const auto& journal = member(result_, "journal");
  const auto uplink_state = text_at(uplink, "state");
  const auto uptime = std::chrono::seconds{std::min<std::uint64_t>(count_at(result_, "uptime_s"), 10'000'000'000)};
  const auto tq = text_at(result_, "tq");

  auto table = Table::labels();
  table.add({text(Say::gateway), text_at(result_, "gw")});
  table.add({text(Say::state), Cell{called(Kind::health, health), health == "ok" ? Style::good : Style::bad}});
  table.add({text(Say::version), text_at(result_, "version")});
  table.add({text(Say::uptime), span(lang_, uptime)});
  table.add({text(Say::time), Cell{fmt::format("{} ({})", time_of(result_, "ts"), called(Kind::time_quality, tq)),
                                   tq == "unsynced" ? Style::attention : Style::plain}});
  table.add({text(Say::devices), up_down("devices")});
  table.add({text(Say::cameras), up_down("cameras")});
  table.add({text(Say::alarms), Cell{text(Say::alarm_counts, figure(alarms, "active"), figure(alarms, "unacked")),
                                     count_at(alarms, "unacked") > 0 ? Style::bad : Style::plain}});
  table.add(
      {text(Say::uplink), Cell{text(Say::uplink_at, called(Kind::uplink, uplink_state), text_at(uplink, "broker")),
                               style_of_link(uplink_state)}});
  table.add({text(Say::journal), text(Say::journal_counts, figure(journal, "unsent"), figure(journal, "waiting"),
                                      bytes(count_at(journal, "file_bytes")))});
  for (const auto& problem : list_at(result_, "problems")) {
    const auto words = both_at(lang_, problem, "text");
    table.add({text(Say::problems), Cell{words.empty() ? text_at(problem, "id") : words, Style::bad}});
  }
  put(table);
  next_steps();
}

void View::next_steps() {
  std::string steps;
  const auto step = [&](bool needed, Say id) {
    if (needed) steps += "  " + text(id) + '\n';
  };
  const auto state = text_at(member(result_, "uplink"), "state");
  step(count_at(member(result_, "devices"), "down") > 0, Say::next_points);
  step(count_at(member(result_, "cameras"), "down") > 0, Say::next_cameras);
  step(count_at(member(result_, "alarms"), "unacked") > 0, Say::next_alarms);
  step(state == "offline" || state == "connecting", Say::next_uplink);
  for (const auto& problem : list_at(result_, "problems")) {
    if (text_at(problem, "id").starts_with("journal")) {
      step(true, Say::next_journal);
      break;
    }
  }
  if (!steps.empty()) shown_.words += text(Say::next_steps) + '\n' + steps;
}

void View::points() {
  const auto points = list_at(result_, "points");
  if (points.empty()) return hint(Say::no_points, asked_.config.string());
  Table table{{left(Say::point), left(Say::name), right(Say::value), left(Say::unit), left(Say::quality),
               left(Say::reason), left(Say::time), right(Say::age)}};
  for (const auto& point : points) {
    table.add({text_at(point, "point"), both_at(lang_, point, "name"), value(lang_, member(point, "value")),
               text_at(point, "unit"), quality_of(point), called(Kind::why, text_at(point, "why")),
               time_of(point, "ts"), age_of(point, "ts")});
  }
  put(table);
  for (const auto& point : points) {
    if (text_at(point, "waits") == "clock") hint(Say::tests_wait, printable(text_at(point, "point")));
    const auto& detector = member(point, "detector");
    if (!detector.is_object() || member(detector, "ready") == true) continue;
    const Millis learned{std::min<std::uint64_t>(count_at(detector, "learned_ms"), 10'000'000'000'000)};
    hint(Say::detector_learns, printable(text_at(point, "point")), span(lang_, learned), figure(detector, "samples"));
  }
}

void View::readings() {
  const auto readings = list_at(result_, "readings");
  if (readings.empty()) return hint(Say::no_readings, asked_.point, span(lang_, asked_.since));
  const auto unit = text_at(result_, "unit");
  Table table{
      {left(Say::time), right(Say::age), right(Say::value), left(Say::unit), left(Say::quality), left(Say::reason)}};
  for (const auto& reading : readings) {
    table.add({time_of(reading, "t"), age_of(reading, "t"), value(lang_, member(reading, "v")), unit,
               quality_of(reading), called(Kind::why, text_at(reading, "why"))});
  }
  put(table);
  if (std::cmp_greater_equal(readings.size(), asked_.limit)) hint(Say::readings_cut, readings.size());
}

// The facts of an event on one line: the codes that are known in words, the rest as it is.
std::string View::detail_of(const json& event) const {
  const auto& detail = member(event, "detail");
  if (!detail.is_object()) return {};
  std::string out;
  for (const auto& [key, fact] : detail.items()) {
    if (fact.is_structured() || fact.is_null()) continue;
    auto words = value(lang_, fact);
    const bool of_output = key == "why" && text_at(event, "kind") == "output";
    if (key == "why" || key == "reason") words = called(of_output ? Kind::output : Kind::why, words);
    if (key == "q") words = called(Kind::quality, words);
    if (key == "lane") words = called(Kind::lane, words);
    if (key == "class" || key == "direction" || key == "act") words = called(Kind::fact, words);
    out += fmt::format("{}{}={}", out.empty() ? "" : " ", called(Kind::detail, key), words);
  }
  return out;
}

void View::events() {
  const auto events = list_at(result_, "events");
  if (events.empty()) return hint(Say::no_events, span(lang_, asked_.since));
  Table table{
      {left(Say::time), right(Say::age), left(Say::source), left(Say::event), left(Say::phase), left(Say::detail)}};
  for (const auto& event : events) {
    table.add({time_of(event, "ts"), age_of(event, "ts"), text_at(event, "source"),
               called(Kind::event, text_at(event, "kind")), called(Kind::phase, text_at(event, "phase")),
               detail_of(event)});
  }
  put(table);
  if (std::cmp_greater_equal(events.size(), asked_.limit)) hint(Say::events_cut, events.size());
}

void View::alarms() {
  auto alarms = list_at(result_, "alarms");
  if (alarms.empty()) return hint(Say::no_alarms_defined, asked_.config.string());
  const auto normal = std::stable_partition(alarms.begin(), alarms.end(), calls_for_somebody);
  const auto aside = std::stable_partition(normal, alarms.end(), [](const json& alarm) {
    const auto state = text_at(alarm, "state");
    return state != "shelved" && state != "suppressed" && state != "out-of-service";
  });
  const auto quiet = aside - normal;
  const auto tell_rest = [&, put_aside = std::vector<json>(aside, alarms.end())] {
    for (const auto& alarm : list_at(result_, "alarms")) {
      if (text_at(alarm, "waits") == "clock") hint(Say::alarm_waits, text_at(alarm, "alarm"));
    }
    for (const auto& alarm : put_aside) {
      hint(Say::alarm_stands, text_at(alarm, "alarm"), called(Kind::alarm_state, text_at(alarm, "state")));
    }
    for (const auto& each : list_at(result_, "maintenance")) {
      hint(Say::in_maintenance, text_at(each, "device"), time_of(each, "until"));
    }
    if (member(result_, "flood") == true) hint(Say::in_flood);
  };
  if (normal == alarms.begin()) {
    hint(Say::no_active_alarms, quiet);
    return tell_rest();
  }
  alarms.erase(normal, alarms.end());
  std::stable_sort(alarms.begin(), alarms.end(), [](const json& a, const json& b) { return urgency(a) < urgency(b); });

  Table table{{left(Say::severity), left(Say::alarm), left(Say::state), left(Say::since), right(Say::age),
               right(Say::value), right(Say::limit), right(Say::occurrence), left(Say::text)}};
  for (const auto& alarm : alarms) {
    const auto severity = text_at(alarm, "severity");
    table.add({Cell{called(Kind::severity, severity), style_of_severity(severity)}, text_at(alarm, "alarm"),
               called(Kind::alarm_state, text_at(alarm, "state")), time_of(alarm, "since"), age_of(alarm, "since"),
               value(lang_, member(alarm, "value")), value(lang_, member(alarm, "limit")), figure(alarm, "occurrence"),
               both_at(lang_, alarm, "text")});
  }
  put(table);
  if (quiet > 0) hint(Say::more_alarms_normal, quiet);
  tell_rest();
  if (text_at(alarms.front(), "state") != "acked") hint(Say::next_ack, text_at(alarms.front(), "alarm"));
}

void View::acknowledged() {
  const auto& alarm = member(result_, "alarm");
  hint(Say::acked_done, text_at(alarm, "alarm"), figure(alarm, "occurrence"));
}

void View::outputs() {
  const auto outputs = list_at(result_, "outputs");
  if (outputs.empty()) return hint(Say::no_outputs, asked_.config.string());
  Table table{{left(Say::output_heading), left(Say::name), left(Say::state), left(Say::reason), left(Say::since),
               left(Say::output_confirmed), left(Say::output_until), left(Say::output_waits)}};
  for (const auto& output : outputs) {
    const auto& by_hand = member(output, "by_hand");
    const auto& confirmed = member(output, "confirmed");
    const auto failure = text_at(output, "failure");
    const bool on = member(output, "on") == true;
    const bool locked = member(output, "locked") == true;
    const bool spent = !on && member(output, "spent") == true;
    auto reason = called(Kind::output, locked ? "interlock" : spent ? "max-on" : text_at(output, "why"));
    if (const auto alarm = text_at(output, "alarm"); !alarm.empty()) reason += " " + alarm;
    if (!failure.empty()) reason = failure;
    const auto state = text_at(output, "kind") == "message" ? figure(output, "pending") : text(on ? Say::on : Say::off);
    table.add({text_at(output, "output"), both_at(lang_, output, "name"), Cell{state, on ? Style::bad : Style::plain},
               Cell{reason, failure.empty() ? Style::plain : Style::bad}, time_of(output, "since"),
               confirmed.is_null() ? text(Say::none) : text(Say::yes),
               by_hand.is_object() ? text(Say::by_hand_by, time_of(by_hand, "until"), text_at(by_hand, "by")) : text(Say::none),
               time_of(output, "waits_until")});
  }
  put(table);
}

void View::output_set() {
  const auto& output = member(result_, "output");
  const auto id = text_at(output, "output");
  const auto& by_hand = member(output, "by_hand");
  if (text_at(output, "kind") == "message") return hint(Say::output_sent, id);
  if (!by_hand.is_object()) return hint(Say::output_auto, id);
  hint(Say::output_done, id, text(member(by_hand, "on") == true ? Say::on : Say::off), time_of(by_hand, "until"));
  if (member(output, "locked") == true) hint(Say::output_locked, id);
}

void View::packs() {
  const auto packs = list_at(result_, "packs");
  Table table{{left(Say::pack_heading), left(Say::text)}};
  for (const auto& pack : packs) table.add({text_at(pack, "pack"), both_at(lang_, pack, "text")});
  put(table);
  hint(Say::next_init, text_at(packs.front(), "pack"));
}

// How each alarm stands now that one was put aside, or taken back.
void View::put_aside() {
  const auto alarms = list_at(result_, "alarms");
  if (alarms.empty()) return hint(Say::nothing_changed);
  for (const auto& alarm : alarms) {
    hint(Say::alarm_stands, text_at(alarm, "alarm"), called(Kind::alarm_state, text_at(alarm, "state")));
  }
}

// Empty where there is none.
std::string View::time_in(const json& object, const char* key) const {
  const auto& time = member(object, key);
  return time.is_number_integer() ? span(lang_, Millis{time.get<std::int64_t>()}) : std::string{};
}

std::string View::condition_of(const json& rule) const {
  if (const auto when = text_at(rule, "when"); !when.empty()) return printable(when);
  const auto point = text_at(rule, "point");
  const auto condition = text_at(rule, "condition");
  const auto limit = value(lang_, member(rule, "limit"));
  if (condition == "rise") return text(Say::condition_rise, point, limit, time_in(rule, "within_ms"));
  if (condition == "fall") return text(Say::condition_fall, point, limit, time_in(rule, "within_ms"));
  return fmt::format("{} {} {}", point, condition == "above" ? ">" : condition == "below" ? "<" : "=", limit);
}

void View::explained() {
  const auto& alarm = member(result_, "alarm");
  const auto& rule = member(alarm, "rule");
  auto table = Table::labels();
  const auto add = [&](Say label, const std::string& words) {
    if (!words.empty()) table.add({text(label), words});
  };
  add(Say::alarm, text_at(alarm, "alarm"));
  add(Say::text, both_at(lang_, alarm, "text"));
  add(Say::severity, called(Kind::severity, text_at(alarm, "severity")));
  add(Say::state, called(Kind::alarm_state, text_at(alarm, "state")));
  add(Say::since, time_of(alarm, "since"));
  add(Say::value, value(lang_, member(alarm, "value")));
  add(Say::condition, condition_of(rule));
  for (const auto& season : list_at(rule, "seasons")) {
    const auto& months = list_at(season, "months");
    const auto& hours = list_at(season, "hours");
    if (months.size() != 2 || hours.size() != 2) continue;
    add(Say::by_season, text(Say::season_limit, months[0].dump(), months[1].dump(), hours[0].dump(), hours[1].dump(),
                             value(lang_, member(season, "limit"))));
  }
  if (const auto& deadband = member(rule, "deadband"); deadband.is_number() && deadband != 0) {
    add(Say::deadband, value(lang_, deadband));
  }
  add(Say::on_delay, time_in(rule, "on_delay_ms"));
  add(Say::off_delay, time_in(rule, "off_delay_ms"));
  add(Say::suppressed_when, printable(text_at(rule, "suppressed_when")));
  add(Say::cause, both_at(lang_, rule, "cause"));
  add(Say::consequence, both_at(lang_, rule, "consequence"));
  add(Say::action, both_at(lang_, rule, "action"));
  add(Say::time_to_act, time_in(rule, "time_to_act_ms"));
  for (const auto* key : {"shelved", "out_of_service"}) {
    const auto& aside = member(alarm, key);
    if (!aside.is_object()) continue;
    add(Say::put_aside_by, printable(fmt::format("{}  {}", text_at(aside, "by"), text_at(aside, "reason"))));
    if (member(aside, "until").is_number()) add(Say::put_aside_until, time_of(aside, "until"));
  }
  std::string why;
  for (const auto& each : list_at(alarm, "suppressed_by")) {
    if (each.is_string()) why += (why.empty() ? "" : ", ") + called(Kind::why, each.get<std::string>());
  }
  add(Say::suppressed_by, why);
  put(table);
  if (text_at(alarm, "waits") == "clock") hint(Say::alarm_waits, text_at(alarm, "alarm"));
  if (member(alarm, "chatters") == true) hint(Say::it_chatters);
}

void View::cameras() {
  const auto cameras = list_at(result_, "cameras");
  if (cameras.empty()) return hint(Say::no_cameras, asked_.config.string());
  Table table{{left(Say::camera), left(Say::name), left(Say::state), left(Say::reason), right(Say::picture_rate),
               right(Say::frames), left(Say::zones), left(Say::last_event)}};
  for (const auto& camera : cameras) {
    const auto state = text_at(camera, "state");
    const auto& fps = member(camera, "fps");
    std::vector<std::string> zones;
    for (const auto& zone : list_at(camera, "zones")) zones.push_back(zone.is_string() ? zone.get<std::string>() : "");
    table.add({text_at(camera, "id"), both_at(lang_, camera, "name"),
               Cell{called(Kind::camera, state), style_of_link(state)}, called(Kind::why, text_at(camera, "why")),
               fps.is_number() ? fmt::format("{:.1f}", fps.get<double>()) : text(Say::none), figure(camera, "frames"),
               fmt::format("{}", fmt::join(zones, " ")), age_of(camera, "last_event_ts")});
  }
  put(table);
  const auto& eyes = member(result_, "eyes");
  const auto state = text_at(eyes, "state");
  auto process = Table::labels();
  process.add({text(Say::analysis),
               Cell{text(Say::restarts, called(Kind::camera, state), figure(eyes, "restarts")), style_of_link(state)}});
  shown_.data += '\n';
  put(process);
}

void View::picture() {
  const auto name = text_at(result_, "picture");
  const auto file = text_at(result_, "file");
  const auto size = bytes(count_at(result_, "bytes"));
  if (!file.empty()) return hint(Say::saved, name, file, size);
  auto table = Table::labels();
  table.add({text(Say::picture), name});
  table.add({text(Say::picture_size), size});
  put(table);
  hint(Say::next_show, name);
}

void View::pictures() {
  const auto pictures = list_at(result_, "pictures");
  if (pictures.empty()) return hint(Say::no_pictures);
  Table table{{left(Say::picture), left(Say::time), right(Say::age), left(Say::camera), left(Say::event), left(Say::zones),
               right(Say::picture_size), left(Say::held)}};
  for (const auto& picture : pictures) {
    table.add({text_at(picture, "picture"), time_of(picture, "ts"), age_of(picture, "ts"), text_at(picture, "camera"),
               called(Kind::event, text_at(picture, "kind")), text_at(picture, "zone"), bytes(count_at(picture, "bytes")),
               text(member(picture, "held") == true ? Say::yes : Say::none)});
  }
  put(table);
  hint(Say::pictures_use, bytes(count_at(result_, "used_bytes")), bytes(count_at(result_, "budget_bytes")),
       figure(result_, "keep_days"), bytes(count_at(result_, "held_bytes")));
}

// What a power cut would cost now.
std::string View::at_risk() const {
  const auto& cut = member(result_, "power_cut");
  const auto records = count_at(cut, "records");
  const auto readings = count_at(result_, "batch_readings");
  if (records + readings == 0) return text(Say::nothing_lost);
  const auto oldest = std::max(count_at(cut, "oldest_ms"), count_at(result_, "batch_ms"));
  if (oldest == 0) return text(Say::would_lose, records, readings);
  return text(Say::would_lose_since, records, readings, span(lang_, Millis{std::min<std::uint64_t>(oldest, kMaxSpanMs)}));
}

std::string View::written_a_day() const {
  const auto& written = member(result_, "written");
  if (!written.is_object()) return text(Say::not_metered);
  const auto uptime = span(lang_, Millis{std::min<std::uint64_t>(count_at(written, "uptime_ms"), kMaxSpanMs)});
  const auto so_far = bytes(count_at(written, "since_start"));
  if (!member(written, "per_day").is_number()) return text(Say::written_so_far, uptime, so_far);
  return text(Say::written_projected, bytes(count_at(written, "per_day")), uptime, so_far);
}

void View::journal() {
  const bool live = member(result_, "quota_bytes").is_number();  // of a daemon that runs
  const auto used = count_at(result_, "file_bytes") + count_at(result_, "media_bytes") + count_at(result_, "aside_bytes");
  auto table = Table::labels();
  table.add({text(Say::epoch), text_at(result_, "epoch")});
  table.add({text(Say::boot), figure(result_, "boot")});
  const auto window = count_at(result_, "window_ms");
  if (window > 0) table.add({text(Say::window), span(lang_, Millis{std::min<std::uint64_t>(window, 300'000)})});
  if (live) table.add({text(Say::power_cut), at_risk()});
  table.add({text(Say::file_size), bytes(count_at(result_, "file_bytes"))});
  table.add({text(Say::media_size), bytes(count_at(result_, "media_bytes"))});
  if (const auto aside = count_at(result_, "aside_bytes"); aside > 0)
    table.add({text(Say::aside), Cell{bytes(aside), Style::attention}});
  if (const auto older = count_at(result_, "older_unsent"); older > 0)
    table.add({text(Say::older), text(Say::records_unsent, older)});
  if (live) {
    const auto quota = std::max<std::uint64_t>(1, count_at(result_, "quota_bytes"));
    const auto free = count_at(result_, "free_bytes");
    const auto floor = count_at(result_, "min_free_bytes");
    table.add({text(Say::quota), text(Say::used_of, bytes(used), bytes(quota), used / (quota / 100 + 1))});
    table.add({text(Say::disk_free),
               Cell{text(Say::free_floor, bytes(free), bytes(floor)), free < floor ? Style::bad : Style::plain}});
    table.add({text(Say::written_day), written_a_day()});
  }
  const auto failure = text_at(result_, "failure");
  if (!failure.empty()) table.add({text(Say::failure), Cell{failure, Style::bad}});
  put(table);

  Table lanes{{left(Say::lane), right(Say::first), right(Say::last), right(Say::waiting), right(Say::unsent)}};
  for (const auto* name : kLanes) {
    const auto& lane = member(member(result_, "lanes"), name);
    lanes.add({called(Kind::lane, name), figure(lane, "first"), figure(lane, "last"), figure(lane, "waiting"),
               figure(lane, "unsent")});
  }
  shown_.data += '\n';
  put(lanes);
  if (!failure.empty()) hint(Say::journal_failing);
}

void View::journal_stat() {
  Table lanes{{left(Say::lane), right(Say::first), right(Say::last), right(Say::records), right(Say::size), left(Say::oldest)}};
  for (const auto* name : kLanes) {
    const auto& lane = member(member(result_, "lanes"), name);
    const json oldest{{"ts", member(lane, "oldest_ts")}, {"tq", member(lane, "oldest_tq")}};
    lanes.add({called(Kind::lane, name), figure(lane, "first"), figure(lane, "last"), figure(lane, "records"),
               bytes(count_at(lane, "bytes")), time_of(oldest, "ts")});
  }
  put(lanes);
  auto table = Table::labels();
  table.add({text(Say::file_size), bytes(count_at(result_, "file_bytes"))});
  table.add({text(Say::media_size), bytes(count_at(result_, "media_bytes"))});
  if (const auto& each = member(result_, "bytes_a_reading"); each.is_number())
    table.add({text(Say::bytes_a_reading), fmt::format("{:.1f}", each.get<double>())});
  for (const auto& aside : list_at(result_, "aside")) {
    table.add({text(Say::aside), Cell{fmt::format("{}  {}", text_at(aside, "file"), bytes(count_at(aside, "bytes"))),
                                      Style::attention}});
  }
  shown_.data += '\n';
  put(table);
  if (const auto epochs = list_at(result_, "epochs").size(); epochs > 1) hint(Say::journal_older_records, epochs - 1);
}

void View::journal_check() {
  auto table = Table::labels();
  table.add({text(Say::checked), text(Say::blocks_checked, figure(result_, "records"), figure(result_, "blocks"),
                                      bytes(count_at(result_, "bytes")))});
  for (const auto& wrong : list_at(result_, "damaged")) {
    table.add({text(Say::damage), Cell{fmt::format("{} {}-{} ({}, {})", called(Kind::lane, text_at(wrong, "lane")),
                                                   figure(wrong, "from"), figure(wrong, "to"), text_at(wrong, "epoch"),
                                                   text_at(wrong, "why")),
                                       Style::bad}});
  }
  for (const auto& wrong : list_at(result_, "damaged_file"))
    table.add({text(Say::damage), Cell{value(lang_, wrong), Style::bad}});
  for (const auto& name : list_at(result_, "pictures_missing"))
    table.add({text(Say::missing_pictures), Cell{value(lang_, name), Style::bad}});
  for (const auto& aside : list_at(result_, "aside"))
    table.add({text(Say::aside), Cell{text_at(aside, "file"), Style::attention}});
  put(table);
  hint(member(result_, "ok") == true ? Say::journal_intact : Say::journal_damaged);
}

void View::journal_export() {
  const auto folder = text_at(result_, "folder");
  auto table = Table::labels();
  table.add({text(Say::folder), folder});
  std::uint64_t size = count_at(result_, "picture_bytes");
  for (const auto& file : list_at(result_, "files")) size += count_at(file, "bytes");
  table.add({text(Say::records), figure(result_, "records")});
  table.add({text(Say::pictures), figure(result_, "pictures")});
  table.add({text(Say::size), bytes(size)});
  if (const auto& times = member(result_, "times"); times.is_object())
    table.add({text(Say::times), text(Say::range_of, time_of(times, "first"), time_of(times, "last"))});
  for (const auto& wrong : list_at(result_, "damaged")) {
    table.add({text(Say::damage), Cell{fmt::format("{} {}-{}", called(Kind::lane, text_at(wrong, "lane")),
                                                   figure(wrong, "from"), figure(wrong, "to")),
                                       Style::bad}});
  }
  put(table);
  if (count_at(result_, "records") == 0) hint(Say::export_nothing);
  hint(Say::export_done, folder);
}

void View::uplink() {
  const auto state = text_at(result_, "state");
  if (state == "off") return hint(Say::uplink_off, asked_.config.string());
  auto table = Table::labels();
  table.add({text(Say::state), Cell{called(Kind::uplink, state), style_of_link(state)}});
  table.add({text(Say::since), fmt::format("{} ({})", time_of(result_, "since_ts"), age_of(result_, "since_ts"))});
  table.add({text(Say::broker), text_at(result_, "broker")});
  table.add({text(Say::protocol), text_at(result_, "protocol")});
  auto last_error = both_at(lang_, result_, "trouble");
  if (last_error.empty()) last_error = text_at(result_, "last_error");
  if (!last_error.empty()) table.add({text(Say::last_error), Cell{last_error, Style::attention}});
  table.add({text(Say::inflight), figure(result_, "inflight")});
  table.add({text(Say::reconnects), figure(result_, "reconnects")});
  for (const auto& each : list_at(result_, "warnings")) {
    table.add({text(Say::warning), Cell{both_at(lang_, each, "text"), Style::attention}});
  }
  put(table);

  Table lanes{{left(Say::lane), right(Say::last), right(Say::sent), right(Say::pending)}};
  for (const auto* name : kLanes) {
    const auto& lane = member(member(result_, "lanes"), name);
    lanes.add({called(Kind::lane, name), figure(lane, "last"), figure(lane, "sent"), figure(lane, "pending")});
  }
  shown_.data += '\n';
  put(lanes);
}

void View::uplink_test() {
  auto where = Table::labels();
  where.add({text(Say::broker), text_at(result_, "broker")});
  put(where);
  shown_.data += '\n';
  Table steps{{left(Say::step), left(Say::result), right(Say::took), left(Say::detail)}};
  for (const auto& step : list_at(result_, "steps")) {
    const auto words = both_at(lang_, step, "text");
    const bool failed = step.contains("fault");
    const bool passed = step.contains("ms");
    steps.add({called(Kind::link_step, text_at(step, "step")),
               Cell{text(failed ? Say::step_failed : passed ? Say::step_ok : Say::step_skipped), failed ? Style::bad : passed ? Style::good : Style::plain},
               passed ? figure(step, "ms") + " ms" : "", words.empty() ? text_at(step, "detail") : words});
  }
  put(steps);
}

void View::config_check() {
  const auto diagnostics = list_at(result_, "diagnostics");
  for (const auto& wrong : diagnostics) {
    std::string place = text_at(wrong, "file");
    if (count_at(wrong, "line") > 0) place += fmt::format(":{}:{}", count_at(wrong, "line"), count_at(wrong, "column"));
    shown_.data += printable(fmt::format("{}: {}", place, both_at(asked_.lang, wrong, "text"))) + '\n';
  }
  if (diagnostics.empty()) return hint(Say::config_ok, asked_.config.string());
  hint(Say::config_bad, asked_.config.string(), diagnostics.size());
}

}  // namespace

Shown show(const Invocation& asked, const json& result, WallTime now, bool colour) {
  return View{asked, result, now, colour}.draw();
}

}  // namespace hamlet::ctl
