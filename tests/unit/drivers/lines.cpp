#include <doctest/doctest.h>

#include "drivers/lines/lines.hpp"
#include "drivers/lines/nmea.hpp"

using namespace hamlet;
using namespace hamlet::drivers;
using namespace hamlet::drivers::lines;

namespace {

struct Read {
  std::shared_ptr<const Meaning> meaning;
  std::vector<PointInfo> infos;
  std::vector<std::string> problems;

  explicit Read(const std::string& toml) {
    auto document = config::Document::parse(toml, "test.toml");
    meaning = read_meaning(document.root(), "wx", infos);
    document.finish();
    for (const auto& each : document.diagnostics()) problems.push_back(each.message.en);
  }
  // "temperature=12.3 rain=-", or why there is nothing.
  [[nodiscard]] std::string of(std::string_view line) const {
    std::string out;
    std::string_view why;
    for (const auto& found : meaning->read(line, why)) {
      out += fmt::format("{}{}={}", out.empty() ? "" : " ", infos[found.point].point.substr(3), to_string(found.value));
    }
    return out.empty() ? std::string{why} : out;
  }
};

}  // namespace

TEST_CASE("a stream is cut into lines, however it comes") {
  const std::string stream = "a\r\nbb\n\nccc\rdd";
  for (std::size_t piece = 1; piece <= stream.size(); ++piece) {
    Splitter splitter;
    std::vector<std::string> got;
    for (std::size_t at = 0; at < stream.size(); at += piece) {
      splitter.feed(std::string_view{stream}.substr(at, piece), [&](std::string_view line) { got.emplace_back(line); });
    }
    CHECK(got == std::vector<std::string>{"a", "bb", "ccc"});
  }
}

TEST_CASE("a line without end is left out, and the next is whole") {
  Splitter splitter;
  std::vector<std::string> got;
  const auto keep = [&](std::string_view line) { got.emplace_back(line); };
  for (int i = 0; i < 100; ++i) splitter.feed(std::string(100, 'x'), keep);
  splitter.feed("\ngood\n", keep);
  CHECK(got == std::vector<std::string>{"good"});
  CHECK(splitter.too_long() == 1);
}

TEST_CASE("NMEA: checksum, talker, type, fields") {
  const auto wind = parse_sentence("$WIMWV,214.8,R,0.1,K,A*28", true);
  REQUIRE(wind);
  CHECK(wind->talker == "WI");
  CHECK(wind->type == "MWV");
  CHECK(wind->fields == std::vector<std::string>{"214.8", "R", "0.1", "K", "A"});
  CHECK(parse_sentence("$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,*47", true)->fields.size() == 14);
  CHECK(parse_sentence("$WIMWV,214.8,R,0.1,K,A*29", true).error() == "bad-checksum");
  CHECK(parse_sentence("$WIMWV,214.8,R,0.1,K,A*2", true).error() == "bad-checksum");
  CHECK(parse_sentence("$WIMWV,214.8,R,0.1,K,A", true).error() == "no-checksum");
  CHECK(parse_sentence("$WIMWV,214.8,R,0.1,K,A", false));
  CHECK(parse_sentence("hello there", false).error() == "not-nmea");
  CHECK(parse_sentence("$PASHR,1", false)->talker == "P");
  CHECK(parse_coordinate("4807.038", "S").value() == doctest::Approx(-48.1173));
  CHECK_FALSE(parse_coordinate("4860.000", "N"));
  CHECK_FALSE(parse_coordinate("9100.000", "N"));
}

TEST_CASE("NMEA points are fields of a sentence, where the instrument calls them valid") {
  const Read wx{R"(protocol = "nmea"
[[point]]
id = "direction"
sentence = "MWV"
field = 1
valid_field = 5
valid = ["A"]
[[point]]
id = "speed"
sentence = "MWV"
field = 3
scale = 0.5
[[point]]
id = "lat"
sentence = "GGA"
field = 2
type = "coordinate"
)"};
  CHECK(wx.problems.empty());
  CHECK(wx.of("$WIMWV,214.8,R,0.1,K,A*28") == "direction=214.8 speed=0.05");
  CHECK(wx.of("$WIMWV,214.8,R,0.1,K,V*3F") == "direction=- speed=0.05");
  CHECK(wx.of("$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,*47").starts_with("lat=48.117"));
  CHECK(wx.of("$WIMWV,214.8,R,0.1,K,A*00") == "bad-checksum");
}

TEST_CASE("lines are read by pattern, with named groups") {
  const Read wx{R"(patterns = ['Ta=(?P<temperature>[-+0-9.]+|///)C', '^door (?P<door>\w+)$', 'name=(?P<n>.*)$']
[[point]]
id = "temperature"
none = ["///"]
scale = 10
[[point]]
id = "door"
type = "boolean"
is_true = "OPEN"
[[point]]
id = "label"
group = "n"
type = "text"
)"};
  CHECK(wx.problems.empty());
  CHECK(wx.of("0R2,Ta=+12.5C,Ua=60P") == "temperature=125");
  CHECK(wx.of("0R2,Ta=///C") == "temperature=-");
  CHECK(wx.of("0R2,Ta=1.2.3C") == "temperature=-");
  CHECK(wx.of("door OPEN") == "door=true");
  CHECK(wx.of("door SHUT") == "door=false");
  CHECK(wx.of("name=river") == "label=river");
  CHECK(wx.of("nothing") == "no-match");
}

TEST_CASE("patterns that are wrong are told, and none runs away") {
  CHECK(Read{"patterns = ['(?P<a>']\n[[point]]\nid = \"a\"\n"}.problems.size() == 1);
  CHECK(Read{"patterns = ['(?P<a>x)']\n[[point]]\nid = \"b\"\n"}.problems ==
        std::vector<std::string>{"point[1].group: no pattern has a group (?P<b>...)"});
  const Read slow{"patterns = ['(?P<a>(x+x+)+y)']\n[[point]]\nid = \"a\"\ntype = \"text\"\n"};
  CHECK(slow.of(std::string(1000, 'x')) == "no-match");  // would take for ever where it backtracks
}
