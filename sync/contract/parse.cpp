#include <algorithm>

#include <fmt/format.h>

#include "firmware/core/id.hpp"
#include "sync/contract/contract.hpp"

namespace hamlet::contract {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxBytes = 1U << 20;
constexpr int kMaxDepth = 32;
constexpr std::size_t kMaxEpochs = 64;
constexpr std::size_t kMaxCommandId = 64;

// Counts brackets outside strings, so that nothing deep is ever built.
bool is_shallow(std::string_view text) {
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') {
        ++i;
      } else if (c == '"') {
        in_string = false;
      }
      continue;
    }
    if (c == '"') in_string = true;
    if (c == '{' || c == '[') ++depth;
    if (c == '}' || c == ']') --depth;
    if (depth > kMaxDepth) return false;
  }
  return true;
}

Result<json> parse_object(std::string_view payload) {
  if (payload.size() > kMaxBytes) return fail(Errc::invalid, "larger than 1 MiB");
  if (!is_shallow(payload)) return fail(Errc::invalid, "nested deeper than 32 levels");
  auto parsed = json::parse(payload, nullptr, /*allow_exceptions=*/false);
  if (parsed.is_discarded()) return fail(Errc::invalid, "not JSON");
  if (!parsed.is_object()) return fail(Errc::invalid, "a JSON object is expected");
  return parsed;
}

// Typed access to an object that came from outside. The first thing that is wrong is kept, with where it is.
class Fields {
 public:
  Fields(const json& object, std::string path) : object_{object}, path_{std::move(path)} {}

  const json* find(std::string_view key) const {
    const auto found = object_.find(key);
    return found == object_.end() ? nullptr : &*found;
  }
  std::string text(std::string_view key) {
    const auto* field = find(key);
    if (field != nullptr && field->is_string()) return field->get<std::string>();
    note(key, "a string");
    return {};
  }
  std::string id(std::string_view key) {
    auto value = text(key);
    if (!is_id(value)) note(key, "an id, 1 to 32 of a-z, 0-9 and '-'");
    return value;
  }
  std::string epoch(std::string_view key) {
    auto value = text(key);
    if (!is_epoch(value)) note(key, "16 hex digits");
    return value;
  }
  std::uint64_t count(std::string_view key) {
    const auto* field = find(key);
    if (field != nullptr && field->is_number_unsigned()) return field->get<std::uint64_t>();
    note(key, "a whole number, not negative");
    return 0;
  }
  std::int64_t integer(std::string_view key) {
    const auto* field = find(key);
    if (field != nullptr && field->is_number_integer() &&
        !(field->is_number_unsigned() && field->get<std::uint64_t>() > std::numeric_limits<std::int64_t>::max())) {
      return field->get<std::int64_t>();
    }
    note(key, "a whole number");
    return 0;
  }
  bool flag(std::string_view key) {
    const auto* field = find(key);
    if (field != nullptr && field->is_boolean()) return field->get<bool>();
    note(key, "true or false");
    return false;
  }
  // A number, a boolean, a string or null.
  void value(std::string_view key) {
    const auto* field = find(key);
    if (field == nullptr || field->is_structured()) note(key, "a number, a boolean, a string or null");
  }
  template <class Enum>
  Enum word(std::string_view key, std::initializer_list<Enum> words) {
    const auto written = text(key);
    for (const auto candidate : words) {
      if (to_string(candidate) == written) return candidate;
    }
    note(key, "one of the contract's words");
    return *words.begin();
  }
  const json& part(std::string_view key, json::value_t type) {
    static const json kObject = json::object();
    static const json kArray = json::array();
    const auto* field = find(key);
    if (field != nullptr && field->type() == type) return *field;
    note(key, type == json::value_t::array ? "an array" : "an object");
    return type == json::value_t::array ? kArray : kObject;
  }
  void texts(std::string_view key) {
    for (const auto& item : part(key, json::value_t::array)) {
      if (!item.is_string()) note(key, "strings only");
    }
  }

  void note(std::string_view key, std::string_view expected) {
    if (status_) status_ = fail(Errc::invalid, fmt::format("{}{}: expected {}", path_, key, expected));
  }
  void merge(const Fields& part) {
    if (status_ && !part.status_) status_ = part.status_;
  }
  [[nodiscard]] const Status& status() const { return status_; }

  static bool is_epoch(std::string_view text) {
    return text.size() == 16 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
  }

 private:
  const json& object_;
  std::string path_;
  Status status_{};
};

void check_reading(Fields& message, const json& reading, std::size_t i) {
  if (!reading.is_object()) return message.note(fmt::format("readings[{}]", i), "an object");
  Fields fields{reading, fmt::format("readings[{}].", i)};
  if (!is_point_name(fields.text("s"))) fields.note("s", "a point, device.point");
  (void)fields.integer("t");
  fields.value("v");
  (void)fields.word("q", {Quality::good, Quality::suspect, Quality::bad, Quality::missing});
  message.merge(fields);
}

void check_readings(Fields& message) {
  std::size_t i = 0;
  for (const auto& reading : message.part("readings", json::value_t::array)) check_reading(message, reading, i++);
}

void check_event(Fields& message) {
  (void)message.id("source");
  (void)message.id("kind");
  (void)message.word("phase", {Phase::start, Phase::update, Phase::end, Phase::once});
  (void)message.text("event");
  (void)message.part("detail", json::value_t::object);
  message.texts("media");
}

void check_alarm(Fields& message) {
  (void)message.id("alarm");
  (void)message.count("occurrence");
  (void)message.word("state", {AlarmState::normal, AlarmState::unacked, AlarmState::acked, AlarmState::returned,
                               AlarmState::shelved, AlarmState::suppressed, AlarmState::out_of_service});
  (void)message.word("severity", {Severity::critical, Severity::major, Severity::minor, Severity::warning});
  (void)message.integer("since");
  message.value("value");
  message.value("limit");
  Fields text{message.part("text", json::value_t::object), "text."};
  (void)text.text("zh");
  (void)text.text("en");
  message.merge(text);
  message.texts("sources");
}

Dated read_time(Fields& fields) {
  const auto ts = fields.integer("ts");
  const auto quality =
      fields.word("tq", {TimeQuality::unsynced, TimeQuality::synced, TimeQuality::holdover, TimeQuality::repaired});
  if (quality == TimeQuality::unsynced) {
    (void)fields.count("boot");
    (void)fields.integer("mono");
  }
  return {wall_from_ms(ts), quality};
}

void check_content(Fields& fields, Lane lane) {
  switch (lane) {
    case Lane::alarm:
      return check_alarm(fields);
    case Lane::event:
      return check_event(fields);
    case Lane::tele:
      return check_readings(fields);
    case Lane::media:
      return fields.note("lane", "alarm, event or tele; a picture is no message");
  }
}

}  // namespace

Result<Message> parse_message(std::string_view payload, json* whole) {
  auto parsed = parse_object(payload);
  if (!parsed) return fail(std::move(parsed).error().in("message"));
  Fields fields{*parsed, ""};
  Message message;
  message.gw = fields.id("gw");
  message.epoch = fields.epoch("epoch");
  message.lane = fields.word("lane", {Lane::alarm, Lane::event, Lane::tele, Lane::media});
  message.seq = fields.count("seq");
  if (message.seq == 0) fields.note("seq", "a number from 1");
  message.time = read_time(fields);
  message.hist = fields.flag("hist");
  message.rev = fields.count("rev");
  check_content(fields, message.lane);
  if (!fields.status()) return fail(fields.status().error().in("message"));
  if (whole != nullptr) *whole = std::move(*parsed);
  return message;
}

Result<std::vector<Ack>> parse_ack(std::string_view payload) {
  std::vector<Ack> acks;
  if (payload.empty()) return acks;  // a retained message that was cleared
  const auto parsed = parse_object(payload);
  if (!parsed) return fail(parsed.error().in("ack"));
  if (parsed->size() > kMaxEpochs) return fail(Errc::invalid, fmt::format("ack: more than {} epochs", kMaxEpochs));
  for (const auto& [epoch, lanes] : parsed->items()) {
    if (!Fields::is_epoch(epoch)) return fail(Errc::invalid, "ack: every key must be an epoch, 16 hex digits");
    if (!lanes.is_object()) return fail(Errc::invalid, fmt::format("ack: {}: expected an object", epoch));
    Ack ack{.epoch = epoch};
    Fields fields{lanes, epoch + "."};
    for (const auto lane : kLanes) {
      if (fields.find(to_string(lane)) != nullptr) ack.stored.at(index(lane)) = fields.count(to_string(lane));
    }
    if (!fields.status()) return fail(fields.status().error().in("ack"));
    acks.push_back(std::move(ack));
  }
  return acks;
}

Result<Ack> parse_state(std::string_view payload) {
  const auto parsed = parse_object(payload);
  if (!parsed) return fail(parsed.error().in("state"));
  Fields fields{*parsed, ""};
  Ack mark{.epoch = fields.text("epoch")};
  if (!fields.status()) return fail(fields.status().error().in("state"));
  if (!Fields::is_epoch(mark.epoch)) return fail(Errc::invalid, "state: epoch: 16 hex digits");
  const auto* lanes = fields.find("lanes");
  if (lanes == nullptr || !lanes->is_object()) return mark;
  for (const auto lane : kLanes) {
    const auto found = lanes->find(to_string(lane));
    if (found == lanes->end() || !found->is_object()) continue;
    Fields progress{*found, "lanes."};
    if (progress.find("last") != nullptr) mark.stored.at(index(lane)) = progress.count("last");
    if (!progress.status()) return fail(progress.status().error().in("state"));
  }
  return mark;
}

Result<Command> parse_command(std::string_view verb, std::string_view payload) {
  const auto is_word = [](std::string_view text, std::string_view more) {
    return std::all_of(text.begin(), text.end(), [&](char c) {
      return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || more.find(c) != std::string_view::npos;
    });
  };
  if (verb.empty() || verb.size() > 32 || !is_word(verb, ".-")) return fail(Errc::invalid, "command: the verb is none");
  auto parsed = parse_object(payload);
  if (!parsed) return fail(std::move(parsed).error().in("command"));
  Fields fields{*parsed, ""};
  Command command;
  command.verb = verb;
  command.id = fields.text("id");
  if (command.id.empty() || command.id.size() > kMaxCommandId ||
      !is_word(command.id, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-_.:")) {
    fields.note("id", "1 to 64 of A-Z, a-z, 0-9 and -_.:");
  }
  if (fields.find("exp") != nullptr) command.expires = wall_from_ms(fields.integer("exp"));
  if (!fields.status()) return fail(fields.status().error().in("command"));
  command.args = std::move(*parsed);
  return command;
}

}  // namespace hamlet::contract
