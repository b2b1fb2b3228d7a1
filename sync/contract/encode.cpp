#include "sync/contract/contract.hpp"
#include "sync/contract/json_text.hpp"
#include "sync/contract/packed.hpp"

namespace hamlet::contract {
namespace {

void append_mark(std::string& out, MonoTime time, MonoTime at) {
  out += kMarkOpen;
  append_integer(out, (time - at).count());
  out += kMarkClose;
}

// "boot:mono" where the moment is of another boot than the record.
void append_mark(std::string& out, Moment time, Moment at) {
  if (time.boot == at.boot) return append_mark(out, time.mono, at.mono);
  out += kMarkOpen;
  append_integer(out, time.boot);
  out += ':';
  append_integer(out, to_ms(time.mono));
  out += kMarkClose;
}

}  // namespace

Body encode_readings(std::span<const Reading> readings, MonoTime at, Names* names) {
  return {.topic = "tele", .bytes = pack(readings, at, names)};
}

Body encode_event(const Event& event, MonoTime at) {
  Body body{.topic = "event/" + event.source + "/" + event.kind, .bytes = {}};
  auto& out = body.bytes;
  out += R"({"source":)";
  append_text(out, event.source);
  out += R"(,"kind":)";
  append_text(out, event.kind);
  out.append(R"(,"phase":")").append(to_string(event.phase));
  out += R"(","event":)";
  append_text(out, event.id);
  if (event.at != at) {
    out += R"(,"t":)";
    append_mark(out, event.at, at);
  }
  out += R"(,"detail":)";
  append_json(out, event.detail.is_object() ? event.detail : nlohmann::json::object());
  out += R"(,"media":)";
  append_array(out, event.media, append_text);
  out += '}';
  return body;
}

Body encode_alarm(const Alarm& alarm, Moment at) {
  Body body{.topic = "alarmlog/" + alarm.id, .bytes = {}};
  auto& out = body.bytes;
  out += R"({"alarm":)";
  append_text(out, alarm.id);
  out += R"(,"occurrence":)";
  append_integer(out, alarm.occurrence);
  out.append(R"(,"state":")").append(to_string(alarm.state));
  out.append(R"(","severity":")").append(to_string(alarm.severity));
  out += R"(","since":)";
  append_mark(out, alarm.since, at);
  out += R"(,"value":)";
  append_value(out, alarm.value);
  out += R"(,"limit":)";
  append_value(out, alarm.limit);
  out += R"(,"text":{"zh":)";
  append_text(out, alarm.text.zh);
  out += R"(,"en":)";
  append_text(out, alarm.text.en);
  out += R"(},"sources":)";
  append_array(out, alarm.sources, append_text);
  out += '}';
  return body;
}

}  // namespace hamlet::contract
