#include "firmware/control/protocol.hpp"

#include <doctest/doctest.h>

using namespace hamlet::control;
using hamlet::Errc;
using nlohmann::json;

namespace {

std::string_view without_newline(const std::string& line) {
  REQUIRE(!line.empty());
  REQUIRE(line.back() == '\n');
  REQUIRE(line.find('\n') == line.size() - 1);
  return std::string_view{line}.substr(0, line.size() - 1);
}

std::string nested(std::size_t levels) {
  return R"({"verb":"x","args":{"a":)" + std::string(levels - 2, '[') + std::string(levels - 2, ']') + "}}";
}

}  // namespace

TEST_CASE("a request survives the way to the daemon") {
  const Request sent{"readings", {{"point", "river.level"}, {"since_ms", 7'200'000}}, 7};
  const auto line = encode_request(sent);
  const auto got = decode_request(without_newline(line));
  REQUIRE(got.has_value());
  CHECK(got->verb == "readings");
  CHECK(got->args == sent.args);
  CHECK(got->id == json(7));
}

TEST_CASE("args and id may be left out") {
  const auto got = decode_request(R"({"verb":"status"})");
  REQUIRE(got.has_value());
  CHECK(got->args == json::object());
  CHECK(got->id.is_null());
}

TEST_CASE("what is no request is refused as invalid, in both languages") {
  std::string line;
  SUBCASE("nothing") {
    line = "";
  }
  SUBCASE("no JSON") {
    line = "status";
  }
  SUBCASE("JSON cut short") {
    line = R"({"verb":"sta)";
  }
  SUBCASE("two values") {
    line = R"({"verb":"status"} {"verb":"status"})";
  }
  SUBCASE("an array") {
    line = R"(["status"])";
  }
  SUBCASE("no verb") {
    line = R"({"args":{}})";
  }
  SUBCASE("an empty verb") {
    line = R"({"verb":""})";
  }
  SUBCASE("a verb beyond 64 bytes") {
    line = R"({"verb":")" + std::string(65, 'x') + R"("})";
  }
  SUBCASE("a verb that is a number") {
    line = R"({"verb":1})";
  }
  SUBCASE("args that are an array") {
    line = R"({"verb":"x","args":[]})";
  }
  SUBCASE("an unknown key") {
    line = R"({"verb":"x","arg":{}})";
  }
  SUBCASE("an id that is an object") {
    line = R"({"verb":"x","id":{}})";
  }
  SUBCASE("an id beyond 64 bytes") {
    line = R"({"verb":"x","id":")" + std::string(65, 'i') + R"("})";
  }
  SUBCASE("bytes that are not UTF-8") {
    line = "{\"verb\":\"\xff\"}";
  }
  SUBCASE("too deep") {
    line = nested(kMaxDepth + 1);
  }
  SUBCASE("far too deep") {
    line = R"({"verb":"x","args":{"a":)" + std::string(30'000, '[');
  }
  SUBCASE("too long") {
    line = R"({"verb":"x","args":{"a":")" + std::string(kMaxRequestBytes, 'a') + R"("}})";
  }
  const auto got = decode_request(line);
  REQUIRE(!got.has_value());
  CHECK(got.error().code == Errc::invalid);
  CHECK(!got.error().text.zh.empty());
  CHECK(!got.error().text.en.empty());
}

TEST_CASE("the bounds themselves are still good") {
  CHECK(decode_request(nested(kMaxDepth)).has_value());
  const std::string frame = R"({"verb":"x","args":{"a":""}})";
  const auto largest =
      R"({"verb":"x","args":{"a":")" + std::string(kMaxRequestBytes - 1 - frame.size(), 'a') + R"("}})";
  CHECK(decode_request(largest).has_value());
  CHECK(!decode_request(largest + " ").has_value());
}

TEST_CASE("a result survives the way back, with the request's id") {
  const auto line = encode_answer(json{{"level", 2.31}, {"name", "河道"}}, "q-1");
  CHECK(line == "{\"id\":\"q-1\",\"ok\":true,\"result\":{\"level\":2.31,\"name\":\"河道\"}}\n");
  const auto got = decode_answer(without_newline(line));
  REQUIRE(got.has_value());
  REQUIRE(got->has_value());
  CHECK((**got)["level"] == 2.31);
}

TEST_CASE("a failure survives the way back, whatever its code") {
  for (const auto code : {Errc::failed, Errc::invalid, Errc::not_found, Errc::timeout, Errc::unavailable, Errc::denied,
                          Errc::full, Errc::corrupt, Errc::cancelled}) {
    const auto got = decode_answer(without_newline(encode_answer(refuse(code, {"不行", "no"}))));
    REQUIRE(got.has_value());
    REQUIRE(!got->has_value());
    CHECK(got->error().code == code);
    CHECK(got->error().text == hamlet::Text{"不行", "no"});
  }
}

TEST_CASE("the words on the wire are frozen") {
  CHECK(encode_answer(refuse(Errc::not_found, {"没有", "none"})) ==
        "{\"ok\":false,\"code\":\"not-found\",\"error\":{\"en\":\"none\",\"zh\":\"没有\"}}\n");
  CHECK(parse_code("something new") == Errc::failed);
}

TEST_CASE("an Error in one language is told in both") {
  const Answer answer = hamlet::fail(Errc::full, "disk full");
  REQUIRE(!answer.has_value());
  CHECK(answer.error().text == hamlet::Text{"disk full", "disk full"});
}

TEST_CASE("an answer beyond 16 MiB becomes a failure that says what to do") {
  const auto line = encode_answer(json{{"a", std::string(kMaxAnswerBytes, 'a')}}, 3);
  CHECK(line.size() < 1000);
  const auto got = decode_answer(without_newline(line));
  REQUIRE(got.has_value());
  REQUIRE(!got->has_value());
  CHECK(got->error().code == Errc::full);
}

TEST_CASE("bytes that are not UTF-8 in a result do not break the line") {
  const auto got = decode_answer(without_newline(encode_answer(json{{"name", "\xff\xfe"}})));
  REQUIRE(got.has_value());
  CHECK(got->has_value());
}

TEST_CASE("what is no answer is told apart from a failure") {
  for (const auto* line : {"", "hello", "[]", "{}", R"({"ok":1})", R"({"ok":true})", R"({"ok":false})",
                           R"({"ok":false,"error":"text"})"}) {
    CAPTURE(line);
    CHECK(!decode_answer(line).has_value());
  }
}
