// Lines of instruments: any bytes, in pieces, by pattern and as NMEA; and the thermometers' file.

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "drivers/board/sysfs.hpp"
#include "drivers/lines/lines.hpp"
#include "drivers/lines/nmea.hpp"
#include "drivers/recorder.hpp"

namespace hamlet::fuzz_lines {
using namespace hamlet;
using namespace hamlet::drivers;
using namespace hamlet::drivers::lines;

namespace {

std::shared_ptr<const Meaning> meaning_of(const char* toml) {
  auto document = config::Document::parse(toml, "fuzz.toml");
  std::vector<PointInfo> infos;
  auto meaning = read_meaning(document.root(), "x", infos);
  document.finish();
  if (!document.ok()) std::abort();
  return meaning;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto text = meaning_of(
      "patterns = ['Ta=(?P<t>[^C]*)C', '(?P<d>\\w+)$']\n[[point]]\nid = \"t\"\n[[point]]\nid = \"d\"\ntype = "
      "\"text\"\n");
  static const auto nmea = meaning_of(
      "protocol = \"nmea\"\nchecksum = false\n[[point]]\nid = \"a\"\nsentence = \"MWV\"\nfield = 1\nvalid_field = 5\n"
      "valid = [\"A\"]\n[[point]]\nid = \"b\"\nsentence = \"GGA\"\nfield = 2\ntype = \"coordinate\"\n");
  const std::string_view bytes{reinterpret_cast<const char*>(data), size};
  Splitter splitter;
  const auto piece = size > 0 ? 1U + data[0] % 64U : 1U;
  for (std::size_t at = 0; at < size; at += piece) {
    splitter.feed(bytes.substr(at, piece), [](std::string_view line) {
      if (line.size() > Splitter::kMost) std::abort();
      std::string_view why;
      for (const auto& meaning : {text, nmea}) {
        for (const auto& found : meaning->read(line, why)) {
          const auto* number = std::get_if<double>(&found.value);
          if (number != nullptr && !std::isfinite(*number)) std::abort();
        }
      }
      if (const auto recorded = parse_recorded(line); recorded && *recorded) {
        const auto again = parse_recorded(format_recorded(**recorded));
        if (!again || !*again || (*again)->bytes != (*recorded)->bytes) std::abort();
      }
    });
  }
  (void)board::parse_w1_slave(bytes);
  return 0;
}

}  // namespace hamlet::fuzz_lines
