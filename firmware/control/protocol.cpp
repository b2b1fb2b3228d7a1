#include "firmware/control/protocol.hpp"

#include <array>

#include "firmware/control/texts.hpp"

namespace hamlet::control {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxVerbBytes = 64;
constexpr std::size_t kMaxIdBytes = 64;

struct Code {
  Errc code;
  std::string_view word;
};
constexpr std::array kCodes{
    Code{Errc::failed, "failed"},   Code{Errc::invalid, "invalid"},         Code{Errc::not_found, "not-found"},
    Code{Errc::timeout, "timeout"}, Code{Errc::unavailable, "unavailable"}, Code{Errc::denied, "denied"},
    Code{Errc::full, "full"},       Code{Errc::corrupt, "corrupt"},         Code{Errc::cancelled, "cancelled"},
};

std::string dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

bool is_request_id(const json& id) {
  return id.is_null() || id.is_number_integer() ||
         (id.is_string() && id.get_ref<const std::string&>().size() <= kMaxIdBytes);
}

std::string text_at(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string{};
}

}  // namespace

std::string_view to_string(Errc code) {
  for (const auto& known : kCodes) {
    if (known.code == code) return known.word;
  }
  return "failed";
}

Errc parse_code(std::string_view text) {
  for (const auto& known : kCodes) {
    if (known.word == text) return known.code;
  }
  return Errc::failed;
}

std::optional<json> parse_bounded(std::string_view text) {
  bool too_deep = false;
  // `depth` counts what is open around the value: 0 for the outermost.
  const auto guard = [&too_deep](int depth, json::parse_event_t event, json&) {
    const bool opens = event == json::parse_event_t::object_start || event == json::parse_event_t::array_start;
    if (opens && static_cast<std::size_t>(depth) >= kMaxDepth) too_deep = true;
    return !too_deep;
  };
  auto value = json::parse(text, guard, false);
  if (too_deep || value.is_discarded()) return {};
  return value;
}

Asked<Request> decode_request(std::string_view line) {
  if (line.size() >= kMaxRequestBytes) return refuse(Errc::invalid, texts::request_too_long());
  auto object = parse_bounded(line);
  if (!object) return refuse(Errc::invalid, texts::request_not_json());
  if (!object->is_object()) return refuse(Errc::invalid, texts::request_wrong_form());

  Request request;
  for (auto& [key, value] : object->items()) {
    if (key == "verb" && value.is_string()) {
      request.verb = value.get<std::string>();
    } else if (key == "args" && value.is_object()) {
      request.args = std::move(value);
    } else if (key == "id" && is_request_id(value)) {
      request.id = std::move(value);
    } else {
      return refuse(Errc::invalid, texts::request_wrong_form());
    }
  }
  if (request.verb.empty() || request.verb.size() > kMaxVerbBytes) {
    return refuse(Errc::invalid, texts::request_wrong_form());
  }
  return request;
}

std::string encode_request(const Request& request) {
  json object{{"verb", request.verb}, {"args", request.args}};
  if (!request.id.is_null()) object["id"] = request.id;
  return dump(object) + '\n';
}

std::string encode_answer(const Answer& answer, const json& id) {
  // Put together as text: a result may be large, and copying it into an object costs as much again.
  auto line = std::string{"{"};
  if (!id.is_null()) line += "\"id\":" + dump(id) + ",";
  if (!answer) {
    const json error{{"zh", answer.error().text.zh}, {"en", answer.error().text.en}};
    return line + "\"ok\":false,\"code\":" + dump(to_string(answer.error().code)) + ",\"error\":" + dump(error) + "}\n";
  }
  line += "\"ok\":true,\"result\":" + dump(*answer) + "}\n";
  if (line.size() <= kMaxAnswerBytes) return line;
  return encode_answer(refuse(Errc::full, texts::answer_too_long()), id);
}

Result<Answer> decode_answer(std::string_view line) {
  const auto bad = [] { return hamlet::fail(Errc::invalid, "not an answer of hamletd"); };
  if (line.size() >= kMaxAnswerBytes) return bad();
  auto object = parse_bounded(line);
  if (!object || !object->is_object()) return bad();
  const auto ok = object->find("ok");
  if (ok == object->end() || !ok->is_boolean()) return bad();
  if (ok->get<bool>()) {
    const auto result = object->find("result");
    if (result == object->end()) return bad();
    return Answer{std::move(*result)};
  }
  const auto error = object->find("error");
  if (error == object->end() || !error->is_object()) return bad();
  return Answer{refuse(parse_code(text_at(*object, "code")), {text_at(*error, "zh"), text_at(*error, "en")})};
}

}  // namespace hamlet::control
