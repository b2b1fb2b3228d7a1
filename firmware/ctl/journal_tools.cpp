#include "firmware/ctl/journal_tools.hpp"

#include "firmware/ctl/journal_at_rest.hpp"
#include "firmware/ctl/texts.hpp"
#include "sync/journal/export.hpp"
#include "sync/journal/figures.hpp"
#include "sync/journal/reader.hpp"

namespace hamlet::ctl {
namespace {

using nlohmann::json;

Failure both(Errc code, Say id, const std::string& what) {
  return Failure{code, {say(Lang::zh, id, what), say(Lang::en, id, what)}};
}

Failure explain_export(const Error& error, const std::string& to) {
  switch (error.code) {
    case Errc::full:
      return both(error.code, Say::export_full, to);
    case Errc::denied:
      return both(error.code, Say::export_denied, to);
    case Errc::not_found:
      return both(error.code, Say::export_no_folder, to);
    case Errc::failed:
    case Errc::invalid:
    case Errc::timeout:
    case Errc::unavailable:
    case Errc::corrupt:
    case Errc::cancelled:
      break;
  }
  return both(error.code, Say::export_failed, error.message);
}

Asked<json> write_export(journal::Reader& reader, const Invocation& asked, const config::Gateway& gateway,
                                         WallTime now, const journal::Progress& tell) {
  const auto topics = gateway.path.empty() ? contract::Topics::from_division(gateway.division, gateway.id)
                                           : contract::Topics::from_path(gateway.path, gateway.id);
  if (!topics) return tl::unexpected(both(topics.error().code, Say::export_no_topics, asked.config.string()));
  journal::ExportRequest request{.to = asked.to, .topics = *topics, .made_by = "hamlet " HAMLET_VERSION, .now = now, .progress = tell};
  if (asked.range) request.range = {asked.range->first.as_of(now), asked.range->second.as_of(now)};
  auto result = journal::export_records(reader, gateway.state_dir, request);
  if (!result) return tl::unexpected(explain_export(result.error(), asked.to.string()));
  return std::move(*result);
}

}  // namespace

Asked<json> work_on_journal(const Invocation& asked, const config::Gateway& gateway, const Clock& clock,
                                            const std::function<void(std::uint64_t, std::uint64_t)>& tell) {
  const auto& folder = gateway.state_dir;
  auto reader = journal::Reader::open(folder);
  if (!reader) {
    if (reader.error().code == Errc::corrupt && asked.verb == Verb::journal_check) {
      return json{{"ok", false}, {"damaged_file", {reader.error().message}}};
    }
    return tl::unexpected(explain_unreadable(reader.error(), folder));
  }
  if (asked.verb == Verb::journal_export) return write_export(**reader, asked, gateway, clock.wall(), tell);
  auto result = asked.verb == Verb::journal_stat ? journal::lane_figures(**reader, folder)
                                                 : journal::check_everything(**reader, folder, tell);
  if (!result) return tl::unexpected(explain_unreadable(result.error(), folder));
  return std::move(*result);
}

}  // namespace hamlet::ctl
