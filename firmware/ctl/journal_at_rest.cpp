#include "firmware/ctl/journal_at_rest.hpp"

#include "firmware/config/config.hpp"
#include "firmware/ctl/texts.hpp"
#include "sync/journal/figures.hpp"
#include "sync/journal/reader.hpp"

namespace hamlet::ctl {
namespace {

using nlohmann::json;

// The unit as the config gives it; the journal does not keep it.
std::string unit_of(const std::filesystem::path& config, const std::string& point) {
  const auto document = config::Document::load(config);
  for (const auto& device : document.root().tables("device")) {
    const auto prefix = device.text_or("id", "") + ".";
    if (!point.starts_with(prefix)) continue;
    for (const auto& known : device.tables("point")) {
      if (prefix + known.text_or("id", "") == point) return known.text_or("unit", "");
    }
  }
  return {};
}

Result<json> read(journal::Reader& reader, const Invocation& asked, WallTime since) {
  const auto limit = static_cast<std::size_t>(asked.limit);
  const auto under = [](const char* key) { return [key](json list) { return json{{key, std::move(list)}}; }; };
  if (asked.verb == Verb::events) return reader.events(asked.source, since, limit).map(under("events"));
  if (asked.verb == Verb::alarms) return reader.alarms().map(under("alarms"));
  if (asked.verb == Verb::journal) return reader.stat().map([](const journal::Stat& stat) { return journal::to_json(stat); });
  return reader.readings(asked.point, since, limit).map([&](json list) {
    return json{{"point", asked.point}, {"unit", unit_of(asked.config, asked.point)}, {"readings", std::move(list)}};
  });
}

}  // namespace

Failure explain_unreadable(const Error& error, const std::filesystem::path& state_dir) {
  const auto both = [&](Say id) {
    return Failure{error.code, {say(Lang::zh, id, state_dir.string()), say(Lang::en, id, state_dir.string())}};
  };
  if (error.code == Errc::not_found) return both(Say::journal_absent);
  if (error.code == Errc::denied) return both(Say::journal_denied);
  return error;
}

Asked<json> read_journal_at_rest(const Invocation& asked, const std::filesystem::path& state_dir,
                                                 const Clock& clock) {
  auto reader = journal::Reader::open(state_dir);
  if (!reader) return tl::unexpected(explain_unreadable(reader.error(), state_dir));
  auto result = read(**reader, asked, clock.wall() - asked.since);
  if (!result) return tl::unexpected(explain_unreadable(result.error(), state_dir));
  return std::move(*result);
}

}  // namespace hamlet::ctl
