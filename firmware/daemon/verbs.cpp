// What can be asked of the box: one table for the local socket and for the county.

#include <sys/resource.h>

#include <fstream>
#include <utility>

#include "firmware/control/args.hpp"
#include "firmware/daemon/box.hpp"
#include "firmware/daemon/meta.hpp"
#include "firmware/daemon/texts.hpp"
#include "sync/journal/figures.hpp"
#include "sync/journal/reader.hpp"

namespace hamlet::daemon {
namespace {

using control::Access;
using control::Args;
using control::Reply;
using nlohmann::json;

constexpr std::int64_t kMaxRows = 100'000;
constexpr std::int64_t kDayMs = 86'400'000;

json both(const Text& text) { return {{"zh", text.zh}, {"en", text.en}}; }

json problem(std::string id, const Text& text) { return {{"id", std::move(id)}, {"text", both(text)}}; }

std::size_t count_state(const json& rows, std::string_view state) {
  return static_cast<std::size_t>(
      std::count_if(rows.begin(), rows.end(), [&](const json& row) { return row.value("state", "") == state; }));
}

// Resident memory, from the kernel's accounting.
std::uint64_t resident_bytes() {
  std::ifstream file{"/proc/self/statm"};
  std::uint64_t total = 0;
  std::uint64_t resident = 0;
  file >> total >> resident;
  return resident * 4096;
}

}  // namespace

void Box::add_verb(std::string name, Access access, std::string args, control::Verb::Handler handler,
                   std::optional<Millis> deadline) {
  verbs_.add({.name = std::move(name),
              .access = access,
              .county = true,  // whether it may is for [county] verbs to say
              .args = std::move(args),
              .handler = std::move(handler),
              .deadline = deadline});
}

void Box::add_verbs() {
  // A verb that only shows what is in memory: no arguments, answered at once.
  const auto show = [this](std::string name, json (Box::*what)() const) {
    add_verb(std::move(name), Access::read, "", [this, what](const json& args, const auto&, const Reply& reply) {
      Args in{args};
      if (auto wrong = in.wrong()) return reply(tl::unexpected(*wrong));
      reply((this->*what)());
    });
  };
  show("ping", &Box::ping_json);
  show("status", &Box::status_json);
  show("points", &Box::points_json);
  show("alarms", &Box::alarms_json);
  show("cameras", &Box::cameras_json);
  show("journal", &Box::journal_json);
  show("uplink", &Box::uplink_json);
  show("outputs", &Box::outputs_json);
  add_verb("output.set", Access::change, "output, value, for_ms?",
           [this](const json& args, const auto& caller, Reply reply) { set_output(args, caller, std::move(reply)); });
  add_verb("readings", Access::read, "point, since_ms?, limit?",
           [this](const json& args, const auto&, Reply reply) { list_readings(args, std::move(reply)); });
  add_verb("events", Access::read, "source?, since_ms?, limit?",
           [this](const json& args, const auto&, Reply reply) { list_events(args, std::move(reply)); });
  add_verb("alarm.ack", Access::change, "alarm, occurrence?",
           [this](const json& args, const auto& caller, Reply reply) { acknowledge(args, caller, std::move(reply)); });
  const auto operate = [this](std::string name, std::string args, auto method) {
    add_verb(std::move(name), Access::change, std::move(args), [this, method](const json& in, const auto& caller, Reply reply) {
      (this->*method)(in, caller, std::move(reply));
    });
  };
  operate("alarm.shelve", "alarm, for_ms, reason?", &Box::shelve);
  operate("alarm.unshelve", "alarm", &Box::unshelve);
  operate("alarm.out-of-service", "alarm, reason?", &Box::take_out_of_service);
  operate("alarm.in-service", "alarm", &Box::put_in_service);
  operate("alarm.maintenance", "device, for_ms, reason?: for_ms 0 ends it", &Box::maintain);
  add_verb("alarm.explain", Access::read, "alarm",
           [this](const json& args, const auto&, const Reply& reply) { explain(args, reply); });
  const auto test_link = [this](const json& args, const auto&, const Reply& reply) {
    Args in{args};
    if (auto wrong = in.wrong()) return reply(tl::unexpected(*wrong));
    uplink_->test([reply](auto steps) {
      if (!steps) return reply(tl::unexpected(steps.error()));
      reply(std::move(*steps));
    });
  };
  add_verb("uplink.test", Access::read, "", test_link, uplink::Uplink::kTestWithin);
  add_verb("replay", Access::read, "lane, from, to, epoch?", [this](const json& args, const auto&, const Reply& reply) {
    auto asked = uplink_->replay(args);
    if (!asked) return reply(tl::unexpected(asked.error()));
    reply(std::move(*asked));
  });
  add_picture_verbs();
  add_proposal_verbs();
  add_verb("reload", Access::change, "", [this](const json& args, const auto&, const Reply& reply) {
    Args in{args};
    if (auto wrong = in.wrong()) return reply(tl::unexpected(*wrong));
    if (auto done = reload(); !done) return reply(tl::unexpected(Failure{done.error()}));
    reply(json::object());
  });
}

json Box::ping_json() const { return json::object(); }

json Box::cameras_json() const { return eyes_->status(); }

json Box::uplink_json() const { return uplink_->status(); }

json Box::alarm_json(const Alarm& alarm) const {
  json out{{"alarm", alarm.id},
          {"occurrence", alarm.occurrence},
          {"state", to_string(alarm.state)},
          {"severity", to_string(alarm.severity)},
          {"since", nullptr},
          {"value", to_json(alarm.value)},
          {"limit", to_json(alarm.limit)},
          {"text", both(alarm.text)},
          {"sources", alarm.sources}};
  if (alarm.occurrence > 0) {
    const auto dated = journal_->date(alarm.since);
    out["since"] = to_ms(dated.wall);
    out["tq"] = to_string(dated.quality);
  }
  const auto standing = detect_->standing(alarm.id);
  if (standing && standing->rule->goes_by_clock() && !certain_time(clock_.mono())) out["waits"] = "clock";
  return out;
}

json Box::alarms_json() const {
  auto rows = json::array();
  for (const auto& alarm : detect_->alarms()) rows.push_back(alarm_json(alarm));
  json out{{"alarms", std::move(rows)}, {"flood", detect_->in_flood()}, {"maintenance", json::array()}};
  for (const auto& [device, how] : detect_->maintenance()) {
    json row{{"device", device}, {"by", how.by}, {"reason", how.reason}};
    if (how.until) row["until"] = to_ms(journal_->date({journal_->boot(), *how.until}).wall);
    out["maintenance"].push_back(std::move(row));
  }
  return out;
}

json Box::points_json() const {
  auto rows = json::array();
  for (const auto& device : drivers_->devices()) {
    for (const auto& point : device.points) {
      json row{{"point", point.point}, {"name", both(point.name)}, {"unit", point.unit}, {"value", nullptr}, {"q", "missing"}};
      if (const auto state = detect_->point_state(point.point)) {
        row["tests"] = state->tests;
        if (state->waits_for_clock) row["waits"] = "clock";
        if (const auto& detector = state->detector) {
          row["detector"] = {{"samples", detector->samples}, {"learned_ms", detector->time.count()}, {"ready", detector->ready}};
        }
      }
      const auto latest = latest_.find(point.point);
      if (latest == latest_.end()) {
        row["why"] = "no-reading-yet";
        row["ts"] = nullptr;
      } else {
        const auto& reading = latest->second;
        const auto dated = journal_->date({journal_->boot(), reading.at});
        row["value"] = to_json(reading.value);
        row["q"] = to_string(reading.quality);
        if (!reading.why.empty()) row["why"] = reading.why;
        row["ts"] = to_ms(dated.wall);
        row["tq"] = to_string(dated.quality);
      }
      rows.push_back(std::move(row));
    }
  }
  return {{"points", std::move(rows)}};
}

json Box::journal_json() const {
  auto out = journal::to_json(journal_->stat());
  out["batch_readings"] = batch_.size();
  if (!batch_.empty()) out["batch_ms"] = std::max<std::int64_t>(0, (clock_.mono() - batch_.front().at).count());
  return out;
}

json Box::problems_json() const {
  auto out = json::array();
  if (!journal_failure_.empty()) out.push_back(problem("journal", texts::journal_fails(journal_failure_)));
  for (const auto& device : drivers_->status()) {
    if (device.value("state", "") != "down") continue;
    const auto id = device.value("id", "");
    out.push_back(problem("device:" + id, texts::device_down(id, device.value("why", ""))));
  }
  for (const auto& output : outputs_->states()) {
    if (!output.failure.empty()) out.push_back(problem("output:" + output.rule->id, texts::output_fails(output.rule->id, output.failure)));
  }
  const auto eyes = eyes_->status();
  if (eyes["eyes"].value("state", "") == "lost") out.push_back(problem("eyes", texts::eyes_lost()));
  for (const auto& camera : eyes["cameras"]) {
    const auto id = camera.value("id", "");
    const auto why = camera.value("why", "");
    if (why.empty() || why == "disabled") continue;
    const bool down = camera.value("state", "") == "down";
    out.push_back(problem("camera:" + id, down ? texts::camera_down(id, why) : texts::camera_misfit(id, why)));
  }
  if (pictures_->failing()) out.push_back(problem("media", texts::pictures_lost()));
  const auto uplink = uplink_->status();
  const auto state = uplink.value("state", "");
  if (state == "offline" || state == "connecting") {
    const auto trouble = uplink.value("trouble", json{{"zh", "…"}, {"en", "…"}});
    out.push_back(problem("uplink", texts::uplink_away(uplink.value("broker", ""), {trouble["zh"], trouble["en"]})));
  }
  for (const auto& warning : uplink.value("warnings", json::array())) out.push_back(warning);
  if (!certain_time(clock_.mono())) {
    std::vector<std::string> waiting;
    for (const auto& rule : settings_.rules.alarms) {
      if (rule.goes_by_clock()) waiting.push_back(rule.id);
    }
    out.push_back(problem("clock", texts::clock_unset(waiting)));
  }
  return out;
}

json Box::status_json() const {
  const auto stat = journal_->stat();
  const auto now = journal_->date({journal_->boot(), clock_.mono()});
  const auto devices = drivers_->status();
  const auto eyes = eyes_->status();
  const auto uplink = uplink_->status();
  const auto problems = problems_json();
  std::uint64_t unsent = 0;
  std::uint64_t waiting = 0;
  for (const auto& lane : stat.lanes) {
    unsent += lane.unsent;
    waiting += lane.waiting;
  }
  std::size_t ready = 0;
  std::size_t learning = 0;
  for (const auto& rule : settings_.rules.quality) {
    const auto state = detect_->point_state(rule.point);
    if (state && state->detector) ++(state->detector->ready ? ready : learning);
  }
  std::size_t active = 0;
  std::size_t unacked = 0;
  for (const auto& alarm : detect_->alarms()) {
    active += is_active(alarm.state) ? 1U : 0U;
    unacked += alarm.state == AlarmState::unacked || alarm.state == AlarmState::returned ? 1U : 0U;
  }
  return {{"gw", settings_.topics.gw()},
          {"name", both(settings_.gateway.name)},
          {"version", HAMLET_VERSION},
          {"config", trial_ == Trial::running ? "trial" : settings_.changed_by_county ? "county" : "own"},
          {"contract", contract::kVersion},
          {"uptime_s", (clock_.mono() - started_).count() / 1000},
          {"boot", stat.boot},
          {"epoch", stat.epoch},
          {"ts", to_ms(now.wall)},
          {"tq", to_string(now.quality)},
          {"health", problems.empty() ? "ok" : "degraded"},
          {"problems", problems},
          {"devices", {{"up", count_state(devices, "up")}, {"down", count_state(devices, "down")}}},
          {"cameras", {{"up", count_state(eyes["cameras"], "up")}, {"down", count_state(eyes["cameras"], "down")}}},
          {"detectors", {{"ready", ready}, {"learning", learning}}},
          {"alarms", {{"unacked", unacked}, {"active", active}}},
          {"uplink", {{"state", uplink.value("state", "")}, {"broker", uplink.value("broker", "")}}},
          {"journal", {{"unsent", unsent}, {"waiting", waiting}, {"file_bytes", stat.file_bytes}}}};
}

json Box::health_json() const {
  auto status = status_json();
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) { return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6; };
  return {{"health", status["health"]},
          {"problems", status["problems"]},
          {"uptime_s", status["uptime_s"]},
          {"devices", status["devices"]},
          {"cameras", status["cameras"]},
          {"journal", journal_json()},
          {"link", uplink_->status()},
          {"memory_bytes", resident_bytes()},
          {"cpu_s", seconds(usage.ru_utime) + seconds(usage.ru_stime)}};
}

// ---- answered from the journal, on its reading Worker ---------------------------------------------------------------

void Box::query_journal(std::function<Result<json>(journal::Reader&)> run, Reply reply) {
  auto found = std::make_shared<Result<json>>(fail(Errc::failed, "the query did not run"));
  journal_->query([run = std::move(run), found](journal::Reader& reader) { *found = run(reader); },
                  [reply = std::move(reply), found](const Status& status) {
                    if (!status) return reply(tl::unexpected(Failure{status.error()}));
                    if (!*found) return reply(tl::unexpected(Failure{found->error()}));
                    reply(std::move(**found));
                  });
}

void Box::list_readings(const json& args, Reply reply) {
  Args in{args};
  const auto point = in.text("point");
  const auto since = in.integer_or("since_ms", kDayMs);
  const auto limit = in.integer_or("limit", 1000, 1, kMaxRows);
  if (auto wrong = in.wrong()) return reply(tl::unexpected(*wrong));
  std::vector<std::string> known;
  std::string unit;
  for (const auto& device : drivers_->devices()) {
    for (const auto& each : device.points) {
      known.push_back(each.point);
      if (each.point == point) unit = each.unit;
    }
  }
  if (std::find(known.begin(), known.end(), point) == known.end()) {
    return reply(refuse(Errc::not_found, texts::unknown_point(point, config::nearest(point, known).value_or(""))));
  }
  const auto from = clock_.wall() - Millis{since};
  query_journal(
      [=](journal::Reader& reader) -> Result<json> {
        auto rows = reader.readings(point, from, static_cast<std::size_t>(limit));
        if (!rows) return fail(std::move(rows).error());
        return json{{"point", point}, {"unit", unit}, {"readings", std::move(*rows)}};
      },
      std::move(reply));
}

void Box::list_events(const json& args, Reply reply) {
  Args in{args};
  const auto source = in.text_or("source", "");
  const auto since = in.integer_or("since_ms", kDayMs);
  const auto limit = in.integer_or("limit", 1000, 1, kMaxRows);
  if (auto wrong = in.wrong()) return reply(tl::unexpected(*wrong));
  const auto from = clock_.wall() - Millis{since};
  query_journal(
      [=](journal::Reader& reader) -> Result<json> {
        auto rows = reader.events(source, from, static_cast<std::size_t>(limit));
        if (!rows) return fail(std::move(rows).error());
        return json{{"events", std::move(*rows)}};
      },
      std::move(reply));
}

void Box::acknowledge(const json& args, const control::Caller& caller, Reply reply) {
  Args in{args};
  const auto id = in.text("alarm");
  const auto occurrence = in.integer_if("occurrence", 1);
  if (auto wrong = in.wrong()) return reply(tl::unexpected(*wrong));
  const auto seen = occurrence ? std::optional<std::uint64_t>{static_cast<std::uint64_t>(*occurrence)} : std::nullopt;
  auto alarm = detect_->acknowledge(id, seen, clock_.mono());
  if (!alarm) return reply(tl::unexpected(alarm.error()));
  take_transitions({*alarm});
  emit_gateway("operator", {{"verb", "alarm.ack"}, {"by", caller.name}, {"alarm", id}, {"occurrence", alarm->occurrence}});
  // Said to be done only once it would survive a power cut.
  journal_->sync([reply = std::move(reply), row = alarm_json(*alarm)](const Status& status) {
    if (!status) return reply(tl::unexpected(Failure{status.error()}));
    reply(json{{"alarm", row}});
  }, journal::Durable::urgent);
}

// ---- putting alarms aside -------------------------------------------------------------------------------------------

// What an operator did to alarms: transitions and event in one commit, told to be done when that is durable. Where
// nothing changed, as where a shelving is only longer, how the alarm stands.
void Box::operated(Asked<std::vector<Alarm>> done, json detail, const control::Caller& caller, Reply reply) {
  if (!done) return reply(tl::unexpected(done.error()));
  take_transitions(*done);
  if (done->empty() && detail.contains("alarm")) done->push_back(detect_->standing(detail["alarm"].get<std::string>())->alarm);
  detail["by"] = caller.name;
  emit_gateway("operator", std::move(detail));
  auto rows = json::array();
  for (const auto& alarm : *done) rows.push_back(alarm_json(alarm));
  journal_->sync([reply = std::move(reply), rows = std::move(rows)](const Status& status) {
    if (!status) return reply(tl::unexpected(Failure{status.error()}));
    reply(json{{"alarms", rows}});
  }, journal::Durable::urgent);
}

detect::PutAside Box::aside_for(Millis length, std::string reason, const control::Caller& caller) const {
  detect::PutAside how{.length = length, .by = caller.name, .reason = std::move(reason)};
  if (const auto wall = certain_time(clock_.mono()); wall && length > Millis{0}) how.until_wall = *wall + length;
  return how;
}

void Box::shelve(const json& args, const control::Caller& caller, Reply reply) {
  Args in{args};
  const auto id = in.text("alarm");
  const auto length = in.integer_or("for_ms", 0);
  const auto reason = in.text_or("reason", "");
  if (auto wrong = in.wrong()) return reply(tl::unexpected(*wrong));
  operated(detect_->shelve(id, aside_for(Millis{length}, reason, caller), clock_.mono()),
           {{"verb", "alarm.shelve"}, {"alarm", id}, {"for_ms", length}, {"reason", reason}}, caller, std::move(reply));
  arm_tick();
}

void Box::unshelve(const json& args, const control::Caller& caller, Reply reply) {
  Args in{args};
  const auto id = in.text("alarm");
  if (auto wrong = in.wrong()) return reply(tl::unexpected(*wrong));
  operated(detect_->unshelve(id, clock_.mono()), {{"verb", "alarm.unshelve"}, {"alarm", id}}, caller, std::move(reply));
}

void Box::take_out_of_service(const json& args, const control::Caller& caller, Reply reply) {
  Args in{args};
  const auto id = in.text("alarm");
  const auto reason = in.text_or("reason", "");
  if (auto wrong = in.wrong()) return reply(tl::unexpected(*wrong));
  operated(detect_->take_out_of_service(id, aside_for({}, reason, caller), clock_.mono()),
           {{"verb", "alarm.out-of-service"}, {"alarm", id}, {"reason", reason}}, caller, std::move(reply));
}

void Box::put_in_service(const json& args, const control::Caller& caller, Reply reply) {
  Args in{args};
  const auto id = in.text("alarm");
  if (auto wrong = in.wrong()) return reply(tl::unexpected(*wrong));
  operated(detect_->put_in_service(id, clock_.mono()), {{"verb", "alarm.in-service"}, {"alarm", id}}, caller,
           std::move(reply));
  arm_tick();
}

void Box::maintain(const json& args, const control::Caller& caller, Reply reply) {
  Args in{args};
  const auto device = in.text("device");
  const auto length = in.integer_or("for_ms", 0);
  const auto reason = in.text_or("reason", "");
  if (auto wrong = in.wrong()) return reply(tl::unexpected(*wrong));
  const auto now = clock_.mono();
  auto done = length == 0 ? detect_->end_maintenance(device, now)
                          : detect_->begin_maintenance(device, aside_for(Millis{length}, reason, caller), now);
  operated(std::move(done),
           {{"verb", "alarm.maintenance"}, {"device", device}, {"on", length > 0}, {"for_ms", length}, {"reason", reason}},
           caller, std::move(reply));
  arm_tick();
}

// Why an alarm is there, what to do about it, and what stands before it.
void Box::explain(const json& args, const Reply& reply) const {
  Args in{args};
  const auto id = in.text("alarm");
  if (auto wrong = in.wrong()) return reply(tl::unexpected(*wrong));
  const auto standing = detect_->standing(id);
  if (!standing) return reply(tl::unexpected(standing.error()));
  const auto& rule = *standing->rule;
  auto out = alarm_json(standing->alarm);
  out["rule"] = describe_alarm(rule);
  const auto aside = [&](const detect::PutAside& how) {
    json row{{"by", how.by}, {"reason", how.reason}};
    if (how.until) row["until"] = to_ms(journal_->date({journal_->boot(), *how.until}).wall);
    return row;
  };
  if (standing->shelved) out["shelved"] = aside(*standing->shelved);
  if (standing->out_of_service) out["out_of_service"] = aside(*standing->out_of_service);
  if (standing->by_design) out["suppressed_by"].push_back("design");
  if (standing->maintenance) out["suppressed_by"].push_back("maintenance");
  if (standing->hushed) out["suppressed_by"].push_back("flood");
  if (standing->chatters) out["chatters"] = true;
  reply(json{{"alarm", std::move(out)}});
}

}  // namespace hamlet::daemon
