#include "firmware/ctl/run.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>

#include <boost/beast/core/detail/base64.hpp>
#include <unistd.h>

#include "firmware/config/gateway.hpp"
#include "firmware/ctl/exit.hpp"
#include "firmware/ctl/format.hpp"
#include "firmware/ctl/packs.hpp"
#include "firmware/ctl/table.hpp"
#include "firmware/ctl/texts.hpp"
#include "firmware/ctl/views.hpp"

namespace hamlet::ctl {
namespace {

using control::CallFailure;
using nlohmann::json;

std::string_view wire_name(Verb verb) {
  switch (verb) {
    case Verb::status:
      return "status";
    case Verb::points:
      return "points";
    case Verb::readings:
      return "readings";
    case Verb::events:
      return "events";
    case Verb::alarms:
      return "alarms";
    case Verb::alarm_ack:
      return "alarm.ack";
    case Verb::alarm_shelve:
      return "alarm.shelve";
    case Verb::alarm_unshelve:
      return "alarm.unshelve";
    case Verb::alarm_out:
      return "alarm.out-of-service";
    case Verb::alarm_in:
      return "alarm.in-service";
    case Verb::alarm_maintenance:
      return "alarm.maintenance";
    case Verb::alarm_explain:
      return "alarm.explain";
    case Verb::cameras:
      return "cameras";
    case Verb::snapshot:
      return "snapshot";
    case Verb::media_list:
      return "media.list";
    case Verb::media_show:
      return "media.show";
    case Verb::media_upload:
      return "media.upload";
    case Verb::media_hold:
      return "media.hold";
    case Verb::media_release:
      return "media.release";
    case Verb::journal:
      return "journal";
    case Verb::uplink:
      return "uplink";
    case Verb::uplink_test:
      return "uplink.test";
    case Verb::outputs:
      return "outputs";
    case Verb::output_set:
      return "output.set";
    case Verb::journal_stat:
    case Verb::journal_check:
    case Verb::journal_export:
    case Verb::config_check:
    case Verb::init:
    case Verb::backtest:
    case Verb::probe:
      break;  // ask nobody
  }
  return "";
}

// Whether the journal alone can answer.
bool is_journaled(Verb verb) {
  return verb == Verb::readings || verb == Verb::events || verb == Verb::alarms || verb == Verb::journal;
}

bool is_on_files(Verb verb) {
  return verb == Verb::journal_stat || verb == Verb::journal_check || verb == Verb::journal_export;
}

json wire_args(const Invocation& asked) {
  json args = json::object();
  if (asked.verb == Verb::readings) args["point"] = asked.point;
  if (asked.verb == Verb::readings || asked.verb == Verb::events) {
    args["since_ms"] = asked.since.count();
    args["limit"] = asked.limit;
  }
  if (asked.verb == Verb::events && !asked.source.empty()) args["source"] = asked.source;
  if (asked.verb == Verb::alarm_ack) {
    args["alarm"] = asked.alarm;
    if (asked.occurrence) args["occurrence"] = *asked.occurrence;
  }
  if (asked.verb == Verb::snapshot) args["camera"] = asked.camera;
  if (!asked.picture.empty()) args["picture"] = asked.picture;
  if (asked.verb == Verb::media_list) {
    if (asked.limit > 0) args["limit"] = asked.limit;
    if (asked.held) args["held"] = 1;
  }
  if (asked.verb == Verb::output_set) {
    args["output"] = asked.output;
    args["value"] = asked.value == "on" ? json(true) : asked.value == "off" ? json(false) : json(asked.value);
    if (asked.length >= Millis{1}) args["for_ms"] = asked.length.count();
  }
  if (asked.verb >= Verb::alarm_shelve && asked.verb <= Verb::alarm_explain) {
    if (!asked.alarm.empty()) args["alarm"] = asked.alarm;
    if (!asked.device.empty()) args["device"] = asked.device;
    if (!asked.reason.empty()) args["reason"] = asked.reason;
    if (asked.verb == Verb::alarm_shelve || asked.verb == Verb::alarm_maintenance) args["for_ms"] = asked.length.count();
  }
  return args;
}

std::string dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace) + '\n';
}

json to_json(const std::vector<config::Diagnostic>& diagnostics, const std::string& file) {
  json list = json::array();
  for (const auto& wrong : diagnostics) {
    list.push_back({{"file", wrong.file},
                    {"line", wrong.line},
                    {"column", wrong.column},
                    {"message", wrong.message.en},
                    {"text", {{"zh", wrong.message.zh}, {"en", wrong.message.en}}}});
  }
  return {{"file", file}, {"ok", diagnostics.empty()}, {"diagnostics", std::move(list)}};
}

// One invocation being carried out.
class Run {
 public:
  Run(const Invocation& asked, const World& world) : asked_{asked}, world_{world} {}

  int carry_out() {
    if (asked_.verb == Verb::config_check) return check_config();
    if (asked_.verb == Verb::backtest) return world_.backtest(asked_, world_.out, world_.err);
    if (is_on_files(asked_.verb)) return work_on_journal();
    if (asked_.verb == Verb::probe) return world_.probe(asked_);
    if (asked_.verb == Verb::init) return init();
    const auto result = world_.ask(asked_.socket, wire_name(asked_.verb), wire_args(asked_));
    if (!result) return tell(result.error());
    if (asked_.verb == Verb::media_show) return save(*result);
    if (asked_.verb != Verb::snapshot || asked_.out.empty()) return present(*result);
    const auto shown = world_.ask(asked_.socket, wire_name(Verb::media_show), {{"picture", text_at(*result, "picture")}});
    return shown ? save(*shown) : tell(shown.error());
  }

 private:
  [[nodiscard]] int tell(const CallFailure& failed) const {
    const auto& [code, text] = failed.failure;
    switch (failed.kind) {
      case CallFailure::Kind::denied:
        return complain("denied", text, kDenied);
      case CallFailure::Kind::failed:
        return complain(control::to_string(code), text, kFailed);
      case CallFailure::Kind::unreachable:
        break;
    }
    if (is_journaled(asked_.verb)) return fall_back(text);
    advise_down(text);
    return report("unreachable", text, kUnreachable);
  }

  // The picture goes where it was asked to.
  [[nodiscard]] int save(const json& result) const {
    namespace codec = boost::beast::detail::base64;
    const auto coded = text_at(result, "jpeg");
    std::string jpeg(codec::decoded_size(coded.size()), '\0');
    jpeg.erase(std::min(jpeg.size(), codec::decode(jpeg.data(), coded.data(), coded.size()).first));
    if (asked_.out == "-") {
      world_.out << jpeg << std::flush;
      return kOk;
    }
    std::ofstream file{asked_.out, std::ios::binary | std::ios::trunc};
    file << jpeg << std::flush;
    if (!file) {
      const auto path = asked_.out.string();
      return complain("failed", {say(Lang::zh, Say::cannot_write, path), say(Lang::en, Say::cannot_write, path)}, kFailed);
    }
    return present({{"picture", text_at(result, "picture")}, {"file", asked_.out.string()}, {"bytes", jpeg.size()}});
  }

  template <class... Args>
  void words(Say id, const Args&... args) const {
    world_.err << say(asked_.lang, id, args...) << '\n';
  }

  int present(const json& result) const {
    if (asked_.json) {
      world_.out << dump(result);
    } else {
      const auto shown = show(asked_, result, world_.clock.wall(), world_.colour);
      world_.out << shown.data << std::flush;  // before the words, where both go to one terminal
      world_.err << shown.words;
    }
    if (asked_.verb == Verb::status && text_at(result, "health") == "degraded") return kDegraded;
    if (asked_.verb == Verb::uplink_test) {
      for (const auto& step : result.value("steps", json::array())) {
        if (step.contains("fault")) return kFailed;
      }
    }
    return kOk;
  }

  // For a program where --json asks for it: the words have gone to stderr.
  int report(std::string_view code, const Text& text, int exit_code) const {
    if (asked_.json) world_.out << dump({{"error", {{"code", code}, {"zh", text.zh}, {"en", text.en}}}});
    return exit_code;
  }

  int complain(std::string_view code, const Text& text, int exit_code) const {
    words(Say::error_line, printable(text.in(asked_.lang)));
    return report(code, text, exit_code);
  }

  void advise_down(const Text& text) const {
    words(Say::error_line, printable(text.in(asked_.lang)));
    words(Say::advice_daemon_down);
  }

  // The daemon is down: its journal still has what was committed.
  int fall_back(const Text& unreachable) const {
    advise_down(unreachable);
    const auto state_dir = state_directory();
    const auto result = world_.read_journal(asked_, state_dir);
    if (result) {
      words(Say::offline_note, state_dir.string());
      return present(*result);
    }
    const auto& failure = result.error();
    words(Say::offline_failed, printable(failure.text.in(asked_.lang)));
    if (failure.code == Errc::denied) return report("denied", failure.text, kDenied);
    return report("unreachable", unreachable, kUnreachable);
  }

  int work_on_journal() const {
    const auto document = config::Document::load(asked_.config);
    std::uint64_t told = 0;
    const auto tell = [&](std::uint64_t done, std::uint64_t total) {
      constexpr std::uint64_t kRecords = 100'000;
      const auto step = total > 0 ? done * 10 / total : done / kRecords;
      if (step <= told) return;
      told = step;
      if (total > 0) {
        words(Say::percent_done, step * 10);
      } else {
        words(Say::records_done, done);
      }
    };
    const auto result = world_.work_on_journal(asked_, config::read_gateway(document.root()), tell);
    if (!result) {
      const auto& failure = result.error();
      const bool denied = failure.code == Errc::denied;
      return complain(denied ? "denied" : control::to_string(failure.code), failure.text, denied ? kDenied : kFailed);
    }
    const auto code = present(*result);
    return result->value("ok", true) ? code : kFailed;
  }

  int init() const {
    const auto packs = find_packs(world_.packs);
    if (packs.empty()) return complain("not-found", both(Say::no_packs, world_.packs.string()), kFailed);
    return asked_.pack.empty() ? list(packs) : write_one_of(packs);
  }

  int list(const std::vector<Pack>& packs) const {
    json rows = json::array();
    for (const auto& pack : packs) rows.push_back({{"pack", pack.id}, {"text", {{"zh", pack.title.zh}, {"en", pack.title.en}}}});
    return present({{"packs", std::move(rows)}});
  }

  int write_one_of(const std::vector<Pack>& packs) const {
    const auto found = std::find_if(packs.begin(), packs.end(), [&](const auto& pack) { return pack.id == asked_.pack; });
    if (found == packs.end()) {
      std::string known;
      for (const auto& pack : packs) known += (known.empty() ? "" : ", ") + pack.id;
      return complain("not-found", both(Say::no_pack, asked_.pack, known), kFailed);
    }
    if (asked_.file.empty()) {
      world_.out << found->toml;
      return kOk;
    }
    const auto file = asked_.file.string();
    if (std::filesystem::exists(asked_.file)) return complain("failed", both(Say::file_exists, file), kFailed);
    std::ofstream out{asked_.file, std::ios::binary};
    out << found->toml << std::flush;
    if (!out) return complain("failed", both(Say::file_fails, file, std::strerror(errno)), kFailed);
    words(Say::pack_written, file);
    return kOk;
  }

  template <class... Args>
  static Text both(Say id, const Args&... args) {
    return {say(Lang::zh, id, args...), say(Lang::en, id, args...)};
  }

  // Where the config says; its default where the config cannot be read.
  [[nodiscard]] std::filesystem::path state_directory() const {
    const auto document = config::Document::load(asked_.config);
    return config::read_gateway(document.root()).state_dir;
  }

  int check_config() const {
    const auto file = asked_.config.string();
    if (access(file.c_str(), R_OK) != 0 && errno == EACCES) {
      return complain("denied",
                      {say(Lang::zh, Say::no_permission_file, file), say(Lang::en, Say::no_permission_file, file)},
                      kDenied);
    }
    const auto diagnostics = world_.check_config(asked_.config);
    static_cast<void>(present(to_json(diagnostics, file)));
    return diagnostics.empty() ? kOk : kFailed;
  }

  const Invocation& asked_;
  const World& world_;
};

}  // namespace

int run(const std::vector<std::string>& args, const World& world) {
  const auto lang = choose_lang(args, world.env);
  const auto asked = parse(args, lang);
  if (asked) return Run{*asked, world}.carry_out();
  const auto& end = asked.error();
  (end.exit_code == kOk ? world.out : world.err) << end.text;
  return end.exit_code;
}

}  // namespace hamlet::ctl
