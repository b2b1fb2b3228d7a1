#include "firmware/ctl/texts.hpp"

#include <set>

#include <doctest/doctest.h>

#include "firmware/core/alarm.hpp"
#include "firmware/core/event.hpp"
#include "firmware/core/reading.hpp"

using namespace hamlet::ctl;
using hamlet::Lang;

namespace {

// "{0}", "{1}", …: every placeholder of a text.
std::set<std::string> placeholders(std::string_view text) {
  std::set<std::string> out;
  for (auto at = text.find('{'); at != text.npos; at = text.find('{', at + 1))
    out.emplace(text.substr(at, text.find('}', at) + 1 - at));
  return out;
}

bool has_chinese(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) >= 0xE3; });
}

// What a script reads stays as it is: signs, and text that is nothing but a code.
bool needs_no_words(Say id) {
  return id == Say::meta_lang || id == Say::none || id == Say::uplink_at;
}

}  // namespace

TEST_CASE("every text is there in both languages, with the same placeholders") {
  REQUIRE(catalogue().size() == static_cast<std::size_t>(Say::count_));
  for (const auto& entry : catalogue()) {
    CAPTURE(entry.en);
    CHECK(!entry.zh.empty());
    CHECK(!entry.en.empty());
    CHECK(placeholders(entry.zh) == placeholders(entry.en));
    CHECK(hamlet::is_utf8(entry.zh));
    CHECK(!has_chinese(entry.en));
    if (!needs_no_words(entry.id)) CHECK((has_chinese(entry.zh) || entry.id == Say::picture_rate));
  }
}

TEST_CASE("placeholders are numbered from 0 without a hole") {
  for (const auto& entry : catalogue()) {
    CAPTURE(entry.en);
    std::size_t next = 0;
    for (const auto& found : placeholders(entry.en)) CHECK(found == fmt::format("{{{}}}", next++));
  }
}

TEST_CASE("every code is there once, in both languages") {
  std::set<std::pair<Kind, std::string_view>> seen;
  for (const auto& word : vocabulary()) {
    CAPTURE(word.code);
    CHECK(seen.insert({word.kind, word.code}).second);
    CHECK(word.zh.empty() == word.en.empty());
    if (!word.zh.empty()) CHECK(has_chinese(word.zh));
  }
}

TEST_CASE("the codes of the core have words") {
  using hamlet::AlarmState;
  const auto known = [](Kind kind, std::string_view code) {
    CAPTURE(code);
    const auto words = vocabulary();
    CHECK(std::any_of(words.begin(), words.end(), [&](const Word& w) { return w.kind == kind && w.code == code; }));
  };
  for (int i = 0; i <= static_cast<int>(AlarmState::out_of_service); ++i) {
    CHECK(has_chinese(word(Lang::zh, Kind::alarm_state, to_string(static_cast<AlarmState>(i)))));
  }
  for (int i = 0; i <= static_cast<int>(hamlet::Severity::warning); ++i) {
    known(Kind::severity, to_string(static_cast<hamlet::Severity>(i)));
  }
  for (int i = 0; i <= static_cast<int>(hamlet::Quality::missing); ++i) {
    known(Kind::quality, to_string(static_cast<hamlet::Quality>(i)));
  }
  for (int i = 0; i <= static_cast<int>(hamlet::Phase::once); ++i)
    known(Kind::phase, to_string(static_cast<hamlet::Phase>(i)));
  for (int i = 0; i <= static_cast<int>(hamlet::TimeQuality::repaired); ++i) {
    known(Kind::time_quality, to_string(static_cast<hamlet::TimeQuality>(i)));
  }
}

TEST_CASE("a code that nobody knows is shown as it is") {
  CHECK(word(Lang::zh, Kind::why, "device-down") == "设备掉线");
  CHECK(word(Lang::en, Kind::alarm_state, "unacked") == "not acknowledged");
  CHECK(word(Lang::zh, Kind::why, "cosmic-ray") == "cosmic-ray");
  CHECK(word(Lang::zh, Kind::event, "timeout") == "timeout");  // a why, not an event
}
