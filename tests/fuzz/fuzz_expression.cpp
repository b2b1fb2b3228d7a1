// Expressions of rules: whatever is written, it is read or refused at a character that it has; what is read has a truth
// at any time, whatever its points say, and does not depend on being looked at more often.

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "firmware/detect/expression.hpp"
#include "firmware/detect/watch.hpp"

namespace hamlet::fuzz_expression {
using namespace hamlet;
using namespace hamlet::detect;

namespace {

const Names& names() {
  static const Names all{
      .points = {{"a.b", Kind::number, "m"}, {"c.d", Kind::boolean, ""}, {"e.f", Kind::text, ""}, {"g.h", {}, ""}},
      .sources = {}};
  return all;
}

}  // namespace

// The first line is the expression; each byte of the rest is something that happens.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view all{reinterpret_cast<const char*>(data), size};
  const auto line = all.substr(0, all.find('\n'));
  const auto rest = all.substr(std::min(all.size(), line.size() + 1));
  const auto parsed = Expression::parse(line, names());
  if (!parsed) {
    if (parsed.error().character > line.size() || parsed.error().what.en.empty()) std::abort();
    return 0;
  }
  const auto& expression = *parsed;
  if (expression->terms().empty() || expression->terms().size() > Expression::kMaxTerms) std::abort();
  if (expression->nodes().size() > Expression::kMaxNodes) std::abort();
  Watch watch{expression};
  std::int64_t ms = 0;
  bool clock = false;
  for (const auto c : rest.substr(0, 2'000)) {
    const auto byte = static_cast<std::uint8_t>(c);
    const auto term = (byte >> 3U) % expression->terms().size();
    constexpr std::int64_t kSteps[] = {0, 1'000, 59'000, 3'600'000, 86'400'000, 315'360'000'000, -5'000, 250};
    ms = std::max<std::int64_t>(0, std::min<std::int64_t>(ms + kSteps[byte & 7U], 40'000'000'000'000));
    const auto at = mono_from_ms(ms);
    const auto wall = clock ? std::optional{wall_from_ms(1'795'000'000'000 + ms)} : std::nullopt;
    const Value values[] = {
        static_cast<double>(byte) / 7, byte % 2 == 0, std::string{"open"}, Value{}, 1.7e308, -1.7e308};
    if (expression->terms()[term].is_event) {
      const auto& wanted = expression->terms()[term];
      const Event event{.source = wanted.name,
                        .kind = byte % 5 == 0 ? std::string{"down"} : wanted.kind,
                        .phase = static_cast<Phase>(byte % 4),
                        .id = std::string(1, static_cast<char>('a' + byte % 3)),
                        .at = at,
                        .detail = {{"zone", wanted.zone}}};
      if (watch.feed(term, event)) {
        static_cast<void>(watch.judge(at, wall));
        watch.end_pulse();
      }
    } else {
      watch.feed(term, at, wall, values[byte % 6], byte % 6 != 3);
    }
    clock = clock || byte == 'C';
    const auto verdict = watch.judge(at, wall);
    if (watch.due() && *watch.due() <= at && ms > 5'000'000) {
      if (to_ms(*watch.due()) + 1 < 0) std::abort();
    }
    for (const auto* value : {&verdict.value, &verdict.limit}) {
      const auto* x = std::get_if<double>(value);
      if (x != nullptr && !std::isfinite(*x)) std::abort();  // goes into a message
    }
    if (watch.judge(at, wall).truth != verdict.truth) std::abort();
  }
  Watch again{expression};
  again.restore(watch.save());
  if (again.save() != watch.save()) std::abort();
  return 0;
}

}  // namespace hamlet::fuzz_expression
