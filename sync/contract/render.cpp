#include <charconv>

#include <fmt/format.h>

#include "sync/contract/contract.hpp"
#include "sync/contract/json_text.hpp"
#include "sync/contract/packed.hpp"

namespace hamlet::contract {
namespace {

std::optional<std::int64_t> parse_integer(std::string_view text) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return {};
  return number;
}

// What stands between the two bytes of a mark.
std::optional<Moment> parse_mark(std::string_view mark, Moment at) {
  const auto colon = mark.find(':');
  const auto mono = parse_integer(mark.substr(colon == std::string_view::npos ? 0 : colon + 1));
  if (!mono) return {};
  if (colon == std::string_view::npos) return Moment{at.boot, at.mono + Millis{*mono}};
  const auto boot = parse_integer(mark.substr(0, colon));
  if (!boot || *boot < 0 || *boot > std::numeric_limits<std::uint32_t>::max()) return {};
  return Moment{static_cast<std::uint32_t>(*boot), mono_from_ms(*mono)};
}

void append_reading(std::string& out, const Reading& reading, WallTime wall) {
  out += R"({"s":)";
  append_text(out, reading.point);
  out += R"(,"t":)";
  append_integer(out, to_ms(wall));
  out += R"(,"v":)";
  append_value(out, reading.value);
  out.append(R"(,"q":")").append(to_string(reading.quality)).append(1, '"');
  if (!reading.why.empty()) {
    out += R"(,"why":)";
    append_text(out, reading.why);
  }
  if (reading.device_time) {
    out += R"(,"dt":)";
    append_integer(out, to_ms(*reading.device_time));
  }
  out += '}';
}

Status append_batch(std::string& out, const std::string& bytes, Moment at, const DateFunction& date,
                    const Names* names) {
  const auto readings = unpack(bytes, at.mono, names);
  if (!readings) return fail(readings.error());
  constexpr std::size_t kTypicalReading = 72;
  out.reserve(out.size() + 16 + kTypicalReading * readings->size());
  out += R"(,"readings":)";
  // Neighbours were mostly taken in the same poll: one look at the table of boots serves them all.
  MonoTime dated = at.mono;
  auto wall = date(at).wall;
  append_array(out, *readings, [&](std::string& text, const Reading& reading) {
    if (reading.at != dated) {
      dated = reading.at;
      wall = date({at.boot, dated}).wall;
    }
    append_reading(text, reading, wall);
  });
  out += '}';
  return {};
}

// Copies what is inside the body's braces, with wall times in place of the marks.
Status append_body(std::string& out, const std::string& body, Moment at, const DateFunction& date,
                   const Names* names) {
  if (body.starts_with(kPackedMark)) return append_batch(out, body, at, date, names);
  if (body.size() < 2 || body.front() != '{' || body.back() != '}')
    return fail(Errc::corrupt, "a record's body is no object");
  if (body.size() > 2) out += ',';
  std::size_t from = 1;
  for (;;) {
    const auto open = body.find(kMarkOpen, from);
    if (open == std::string::npos) break;
    const auto close = body.find(kMarkClose, open);
    if (close == std::string::npos) return fail(Errc::corrupt, "a record's body has a time mark without an end");
    const auto moment = parse_mark(std::string_view{body}.substr(open + 1, close - open - 1), at);
    if (!moment) return fail(Errc::corrupt, "a record's body has a time mark that is none");
    out.append(body, from, open - from);
    append_integer(out, to_ms(date(*moment).wall));
    from = close + 1;
  }
  out.append(body, from);
  return {};
}

void append_origin(std::string& out, std::string_view gw, std::string_view epoch) {
  out += R"({"gw":)";
  append_text(out, gw);
  out += R"(,"epoch":)";
  append_text(out, epoch);
}

void append_dated(std::string& out, Dated time) {
  out += R"(,"ts":)";
  append_integer(out, to_ms(time.wall));
  out.append(R"(,"tq":")").append(to_string(time.quality)).append(1, '"');
}

// The record's time; the moment itself too where its wall time means nothing yet.
void append_time(std::string& out, Moment at, const DateFunction& date) {
  const auto time = date(at);
  append_dated(out, time);
  if (time.quality != TimeQuality::unsynced) return;
  out += R"(,"boot":)";
  append_integer(out, at.boot);
  out += R"(,"mono":)";
  append_integer(out, to_ms(at.mono));
}

void append_revision(std::string& out, std::uint64_t rev) {
  out += R"(,"rev":)";
  append_integer(out, rev);
}

void append_presence(std::string& out, std::string_view state, const Presence& presence) {
  append_origin(out, presence.gw, presence.epoch);
  out.append(R"(,"state":")").append(state).append(R"(","boot":)");
  append_integer(out, presence.boot);
  out += R"(,"firmware":)";
  append_text(out, presence.firmware);
  out += R"(,"contract":)";
  append_integer(out, kVersion);
}

void append_range(std::string& out, const Range& range) {
  out += '[';
  append_integer(out, range.from);
  out += ',';
  append_integer(out, range.to);
  out += ']';
}

void append_lanes(std::string& out, const Presence::Lanes& lanes) {
  out += R"(,"lanes":{)";
  for (const auto lane : kLanes) {
    const auto& progress = lanes.at(index(lane));
    if (lane != kLanes.front()) out += ',';
    out.append(1, '"').append(to_string(lane)).append(R"(":{"last":)");
    append_integer(out, progress.last);
    out += R"(,"pending":)";
    append_array(out, progress.pending, append_range);
    out += '}';
  }
  out += '}';
}

}  // namespace

Result<std::string> render(const Body& body, const Envelope& envelope, const DateFunction& date, const Names* names) {
  constexpr std::size_t kEnvelope = 192;
  std::string out;
  out.reserve(kEnvelope + body.bytes.size() + body.bytes.size() / 4);  // a mark grows by about ten bytes
  append_origin(out, envelope.gw, envelope.epoch);
  out.append(R"(,"lane":")").append(to_string(envelope.lane)).append(R"(","seq":)");
  append_integer(out, envelope.seq);
  append_time(out, envelope.at, date);
  out += envelope.hist ? R"(,"hist":true)" : R"(,"hist":false)";
  append_revision(out, envelope.rev);
  if (auto status = append_body(out, body.bytes, envelope.at, date, names); !status) return fail(std::move(status).error());
  return out;
}

Result<std::vector<Reading>> decode_readings(const Body& body, MonoTime at, const Names* names) {
  return unpack(body.bytes, at, names);
}

Result<std::string> render_snapshot(const Alarm& alarm, std::string_view gw, std::string_view epoch, Moment now,
                                    std::uint64_t rev, const DateFunction& date) {
  std::string out;
  append_origin(out, gw, epoch);
  append_time(out, now, date);
  append_revision(out, rev);
  const auto body = encode_alarm(alarm, now);
  if (auto status = append_body(out, body.bytes, now, date, nullptr); !status) return fail(std::move(status).error());
  return out;
}

std::string render_online(const Presence& presence, Dated now) {
  std::string out;
  append_presence(out, "online", presence);
  append_dated(out, now);
  append_lanes(out, presence.lanes);
  if (!presence.older.empty()) {
    out += R"(,"older":[)";
    for (bool first = true; const auto& [epoch, lanes] : presence.older) {
      if (!std::exchange(first, false)) out += ',';
      out += R"({"epoch":)";
      append_text(out, epoch);
      append_lanes(out, lanes);
      out += '}';
    }
    out += ']';
  }
  out += '}';
  return out;
}

std::string render_offline(const Presence& presence, std::optional<Dated> now) {
  std::string out;
  append_presence(out, "offline", presence);
  if (now) append_dated(out, *now);
  append_lanes(out, presence.lanes);
  out += '}';
  return out;
}

}  // namespace hamlet::contract
