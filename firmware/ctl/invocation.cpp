#include "firmware/ctl/invocation.hpp"

#include <algorithm>
#include <array>
#include <ctime>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include "firmware/config/config.hpp"
#include "firmware/core/id.hpp"
#include "firmware/ctl/exit.hpp"
#include "firmware/ctl/table.hpp"
#include "firmware/ctl/texts.hpp"

namespace hamlet::ctl {
namespace {

constexpr std::int64_t kMaxLimit = 100'000;
constexpr std::int64_t kMaxOccurrence = 1'000'000'000'000;

// "Z", "+08:00", "-05:30"
bool is_zone(std::string_view text) {
  if (text == "Z") return true;
  if (text.size() != 6 || (text[0] != '+' && text[0] != '-') || text[3] != ':') return false;
  const auto number = [&](std::size_t at) { return (text[at] - '0') * 10 + text[at + 1] - '0'; };
  const auto digits = {text[1], text[2], text[4], text[5]};
  const bool all = std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; });
  return all && number(1) <= 14 && number(4) <= 59;
}

// "2h", "7d": so long ago. "2026-11-20", "2026-11-20T08:30": Beijing time.
std::optional<When> parse_when(const std::string& word) {
  if (const auto age = parse_duration(word)) return When{*age};
  constexpr std::array kForms{"%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S"};
  for (const auto* form : kForms) {
    std::tm parts{};
    const auto* end = ::strptime(word.c_str(), form, &parts);
    if (end == nullptr || *end != '\0') continue;
    const std::chrono::year_month_day day{std::chrono::year{parts.tm_year + 1900},
                                          std::chrono::month{static_cast<unsigned>(parts.tm_mon + 1)},
                                          std::chrono::day{static_cast<unsigned>(parts.tm_mday)}};
    if (!day.ok()) return {};
    const auto time = std::chrono::sys_days{day} + std::chrono::hours{parts.tm_hour - 8} +
                      std::chrono::minutes{parts.tm_min} + std::chrono::seconds{parts.tm_sec};
    return When{{}, WallTime{time}};
  }
  return {};
}

// CLI11's help in our words, with columns that hold for wide characters.
class HelpFormatter final : public CLI::Formatter {
 public:
  explicit HelpFormatter(Lang lang) : lang_{lang} {
    label("Usage", say(lang, Say::usage));
    label("OPTIONS", say(lang, Say::meta_options));
    label("SUBCOMMAND", say(lang, Say::meta_verb));
    label("SUBCOMMANDS", say(lang, Say::meta_verb));
    label("Positionals", say(lang, Say::arguments));
    label("REQUIRED", "(" + say(lang, Say::required) + ")");
  }

  std::string make_help(const CLI::App* app, std::string name, CLI::AppFormatMode mode) const override {
    return CLI::detail::find_and_replace(Formatter::make_help(app, std::move(name), mode), "\n\n\n", "\n\n");
  }
  std::string make_option(const CLI::Option* option, bool positional) const override {
    return row(make_option_name(option, positional) + make_option_opts(option), option->get_description());
  }
  std::string make_option_opts(const CLI::Option* option) const override {
    std::string out = option->get_type_size() == 0 || option->get_positional() ? "" : " " + option->get_type_name();
    if (option->get_required()) out += " " + get_label("REQUIRED");
    return out;
  }
  std::string make_option_desc(const CLI::Option* option) const override { return option->get_description(); }
  // A verb that takes a verb of its own is shown with it.
  std::string make_subcommand(const CLI::App* verb) const override {
    std::string out = row(verb->get_name(), verb->get_description());
    for (const auto* inner : verb->get_subcommands({})) {
      out += row(verb->get_name() + " " + inner->get_name(), inner->get_description());
    }
    return out;
  }

 private:
  static constexpr std::size_t kFirstColumn = 28;
  static std::string row(const std::string& name, const std::string& description) {
    const auto first = pad("  " + name, kFirstColumn);
    const bool fits = display_width("  " + name) < kFirstColumn;
    return first + (fits ? "" : "\n" + std::string(kFirstColumn, ' ')) + description + '\n';
  }
  Lang lang_;
};

// Everything that the command line is made of. Options of CLI11 write into `out`.
class CommandLine {
 public:
  explicit CommandLine(Lang lang) : lang_{lang}, app_{text(Say::about), "hamlet"} {
    out_.lang = lang;
    app_.formatter(std::make_shared<HelpFormatter>(lang));
    app_.set_help_flag("-h,--help", text(Say::opt_help));
    app_.set_version_flag("--version", "hamlet " HAMLET_VERSION, text(Say::opt_version));
    app_.option_defaults()->group(text(Say::global_options));
    app_.get_help_ptr()->group(text(Say::global_options));
    app_.get_version_ptr()->group(text(Say::global_options));
    app_.footer(text(Say::help_footer));
    app_.fallthrough();
    app_.require_subcommand(1);
    add_globals();
    app_.option_defaults()->group(text(Say::options));
    add_reading_verbs();
    add_history_verbs();
    add_alarm_verbs();
    add_output_verbs();
    add_config_verbs();
    add_probe_verbs();
  }

  tl::expected<Invocation, ParseEnd> parse(std::vector<std::string> args) {
    std::reverse(args.begin(), args.end());  // as CLI11 wants them
    try {
      app_.parse(std::move(args));
    } catch (const CLI::CallForHelp&) {
      return end(kOk, app_.help());
    } catch (const CLI::CallForVersion& version) {
      return end(kOk, std::string{version.what()} + '\n');
    } catch (const CLI::Error& error) {
      const auto words = say(lang_, Say::usage_error, explain(error));
      return end(kUsage, say(lang_, Say::error_line, words) + '\n' + say(lang_, Say::see_help, chosen_name()) + '\n');
    }
    if (!choose_range()) {
      return end(kUsage, say(lang_, Say::error_line, say(lang_, Say::usage_error, text(Say::range_or_unsent))) + '\n' +
                             say(lang_, Say::see_help, chosen_name()) + '\n');
    }
    out_.since = parse_duration(since_).value_or(Millis{0});
    out_.length = parse_duration(length_).value_or(Millis{0});
    return out_;
  }

 private:
  [[nodiscard]] std::string text(Say id) const { return say(lang_, id); }
  static tl::unexpected<ParseEnd> end(int code, std::string words) {
    return tl::unexpected<ParseEnd>(ParseEnd{code, std::move(words)});
  }

  CLI::App* verb(CLI::App& parent, const char* name, Say about, Verb is) {
    auto* app = parent.add_subcommand(name, text(about));
    app->group(text(Say::verbs));
    app->get_help_ptr()->group(text(Say::options));
    app->footer(text(Say::verb_footer));
    app->callback([this, app, is] {
      if (app->get_subcommands().empty()) out_.verb = is;
    });
    return app;
  }

  std::string with_default(Say about, const std::string& value) const {
    return text(about) + " (" + say(lang_, Say::default_value, value) + ")";
  }

  void add_globals() {
    app_.add_option("--socket", out_.socket, with_default(Say::opt_socket, out_.socket.string()))
        ->type_name(text(Say::meta_path));
    app_.add_option("--config", out_.config, with_default(Say::opt_config, out_.config.string()))
        ->type_name(text(Say::meta_file));
    app_.add_flag("--json", out_.json, text(Say::opt_json));
    app_.add_option("--lang", lang_word_, text(Say::opt_lang))
        ->type_name(text(Say::meta_lang))
        ->check(check([](const std::string& word) { return word == "zh" || word == "en"; }, Say::not_a_lang));
  }

  void add_reading_verbs() {
    verb(app_, "status", Say::verb_status, Verb::status);
    verb(app_, "points", Say::verb_points, Verb::points);
  }

  void add_history_verbs() {
    auto* readings = verb(app_, "readings", Say::verb_readings, Verb::readings);
    readings->add_option("POINT", out_.point, text(Say::arg_point))
        ->required()
        ->check(check([](const std::string& word) { return is_point_name(word); }, Say::not_a_point));
    add_reach(*readings, "2h", 100);
    auto* events = verb(app_, "events", Say::verb_events, Verb::events);
    add_reach(*events, "24h", 100);
    events->add_option("--source", out_.source, text(Say::opt_source))
        ->type_name(text(Say::meta_id))
        ->check(check([](const std::string& word) { return is_id(word); }, Say::not_an_id));
  }

  void add_reach(CLI::App& app, const std::string& since, std::int64_t limit) {
    const auto is_duration = [](const std::string& word) { return parse_duration(word).has_value(); };
    app.add_option("--since", since_, with_default(Say::opt_since, since))
        ->type_name(text(Say::meta_duration))
        ->check(check(is_duration, Say::not_a_duration));
    app.add_option("--limit", out_.limit, with_default(Say::opt_limit, fmt::to_string(limit)))
        ->type_name(text(Say::meta_number))
        ->check(in_range(1, kMaxLimit));
    app.preparse_callback([this, since, limit](std::size_t) {
      since_ = since;
      out_.limit = limit;
    });
  }

  void add_alarm_verbs() {
    auto* alarms = verb(app_, "alarms", Say::verb_alarms, Verb::alarms);
    verb(*alarms, "list", Say::verb_alarms_list, Verb::alarms);
    auto* ack = verb(*alarms, "ack", Say::verb_alarms_ack, Verb::alarm_ack);
    ack->add_option("ID", out_.alarm, text(Say::arg_alarm))
        ->required()
        ->check(check([](const std::string& word) { return is_id(word); }, Say::not_an_id));
    ack->add_option("--occurrence", out_.occurrence, text(Say::opt_occurrence))
        ->type_name(text(Say::meta_number))
        ->check(in_range(1, kMaxOccurrence));
    auto* shelve = one_alarm(*alarms, "shelve", Say::verb_alarms_shelve, Verb::alarm_shelve);
    add_length(*shelve, Say::opt_for)->required();
    add_reason(*shelve);
    one_alarm(*alarms, "unshelve", Say::verb_alarms_unshelve, Verb::alarm_unshelve);
    add_reason(*one_alarm(*alarms, "out-of-service", Say::verb_alarms_out, Verb::alarm_out));
    one_alarm(*alarms, "in-service", Say::verb_alarms_in, Verb::alarm_in);
    auto* maintenance = verb(*alarms, "maintenance", Say::verb_alarms_maintenance, Verb::alarm_maintenance);
    maintenance->add_option("DEVICE", out_.device, text(Say::arg_device))
        ->required()
        ->check(check([](const std::string& word) { return is_id(word); }, Say::not_an_id));
    auto* length = add_length(*maintenance, Say::opt_for);
    add_reason(*maintenance);
    auto* off = maintenance->add_flag_callback("--off", [this] { length_ = "0s"; }, text(Say::opt_off));
    off->excludes(length);
    length->excludes(off);
    maintenance->preparse_callback([this](std::size_t) { length_ = "4h"; });
    one_alarm(*alarms, "explain", Say::verb_alarms_explain, Verb::alarm_explain);
  }

  CLI::App* one_alarm(CLI::App& parent, const char* name, Say about, Verb is) {
    auto* app = verb(parent, name, about, is);
    app->add_option("ID", out_.alarm, text(Say::arg_alarm))
        ->required()
        ->check(check([](const std::string& word) { return is_id(word); }, Say::not_an_id));
    return app;
  }
  CLI::Option* add_length(CLI::App& app, Say about) {
    return app.add_option("--for", length_, text(about))
        ->type_name(text(Say::meta_duration))
        ->check(check([](const std::string& word) { return parse_duration(word).value_or(Millis{0}) > Millis{0}; }, Say::not_a_duration));
  }
  void add_reason(CLI::App& app) {
    app.add_option("--reason", out_.reason, text(Say::opt_reason))->type_name(text(Say::meta_text));
  }

  void add_output_verbs() {
    auto* outputs = verb(app_, "outputs", Say::verb_outputs, Verb::outputs);
    verb(*outputs, "list", Say::verb_outputs_list, Verb::outputs);
    auto* set = verb(*outputs, "set", Say::verb_outputs_set, Verb::output_set);
    auto* give_back = verb(*outputs, "auto", Say::verb_outputs_auto, Verb::output_set);
    for (auto* app : {set, give_back}) {
      app->add_option("ID", out_.output, text(Say::arg_output))
          ->required()
          ->check(check([](const std::string& word) { return is_id(word); }, Say::not_an_id));
    }
    set->add_option("VALUE", out_.value, text(Say::arg_output_value))->required();
    add_length(*set, Say::opt_for);
    set->preparse_callback([this](std::size_t) { length_ = "10min"; });
  }

  void add_config_verbs() {
    add_picture_verbs();
    add_journal_verbs();
    auto* uplink = verb(app_, "uplink", Say::verb_uplink, Verb::uplink);
    verb(*uplink, "test", Say::verb_uplink_test, Verb::uplink_test);
    auto* config = verb(app_, "config", Say::verb_config, Verb::config_check);
    config->require_subcommand(1);
    auto* inner = verb(*config, "check", Say::verb_config_check, Verb::config_check);
    inner->add_option("FILE", out_.config, text(Say::arg_file));
    auto* init = verb(app_, "init", Say::verb_init, Verb::init);
    init->add_option("--pack", out_.pack, text(Say::opt_pack))
        ->type_name(text(Say::meta_id))
        ->check(check([](const std::string& word) { return is_id(word); }, Say::not_an_id));
    init->add_option("--output", out_.file, text(Say::opt_output))->type_name(text(Say::meta_file));
    auto* backtest = verb(app_, "backtest", Say::verb_backtest, Verb::backtest);
    backtest->add_option("--csv", out_.csv, text(Say::opt_csv))->type_name(text(Say::meta_file))->required();
    backtest->add_option("--point", out_.point, text(Say::arg_point))
        ->type_name(text(Say::meta_id))
        ->required()
        ->check(check([](const std::string& word) { return is_point_name(word); }, Say::not_a_point));
    backtest->add_option("--zone", out_.zone, with_default(Say::opt_zone, out_.zone))
        ->type_name("+08:00")
        ->check(check([](const std::string& word) { return is_zone(word); }, Say::not_a_zone));
    backtest->add_flag("--summary", out_.summary, text(Say::opt_summary));
  }

  void add_picture_verbs() {
    auto* cameras = verb(app_, "cameras", Say::verb_cameras, Verb::cameras);
    auto* snapshot = verb(*cameras, "snapshot", Say::verb_cameras_snapshot, Verb::snapshot);
    snapshot->add_option("CAMERA", out_.camera, text(Say::arg_camera))
        ->required()
        ->check(check([](const std::string& word) { return is_id(word); }, Say::not_an_id));
    snapshot->add_option("--out", out_.out, text(Say::opt_out))->type_name(text(Say::meta_file));
    auto* media = verb(app_, "media", Say::verb_media, Verb::media_list);
    auto* list = verb(*media, "list", Say::verb_media_list, Verb::media_list);
    list->add_flag("--held", out_.held, text(Say::opt_held));
    list->add_option("--limit", out_.limit, with_default(Say::opt_limit, "100"))
        ->type_name(text(Say::meta_number))
        ->check(in_range(1, 1'000));
    const auto one = [&](const char* name, Say about, Verb is) {
      auto* app = verb(*media, name, about, is);
      app->add_option("PICTURE", out_.picture, text(Say::arg_picture))->required();
      return app;
    };
    one("show", Say::verb_media_show, Verb::media_show)
        ->add_option("--out", out_.out, text(Say::opt_out))
        ->type_name(text(Say::meta_file))
        ->required();
    one("upload", Say::verb_media_upload, Verb::media_upload);
    one("hold", Say::verb_media_hold, Verb::media_hold);
    one("release", Say::verb_media_release, Verb::media_release);
  }

  void add_journal_verbs() {
    auto* journal = verb(app_, "journal", Say::verb_journal, Verb::journal);
    verb(*journal, "stat", Say::verb_journal_stat, Verb::journal_stat);
    verb(*journal, "check", Say::verb_journal_check, Verb::journal_check);
    auto* out = verb(*journal, "export", Say::verb_journal_export, Verb::journal_export);
    out->add_option("--to", out_.to, text(Say::opt_to))->type_name(text(Say::meta_path))->required();
    out->add_flag("--unsent", unsent_, text(Say::opt_unsent));
    const auto is_when = [](const std::string& word) { return parse_when(word).has_value(); };
    out->add_option("--since", from_, text(Say::opt_from))->type_name(text(Say::meta_when))->check(check(is_when, Say::not_a_time));
    out->add_option("--until", until_, text(Say::opt_until))->type_name(text(Say::meta_when))->check(check(is_when, Say::not_a_time));
  }

  // What the options of `journal export` mean together. False where they contradict each other.
  bool choose_range() {
    if (from_.empty()) return until_.empty();
    if (unsent_) return false;
    out_.range = {*parse_when(from_), until_.empty() ? When{} : *parse_when(until_)};
    return true;
  }

  // Every kind of probe is a verb of its own below `probe`; it writes what it is given into out_.probe.
  void add_probe_verbs() {
    auto* probe = verb(app_, "probe", Say::verb_probe, Verb::probe);
    probe->require_subcommand(1);
    auto* decode = probe_kind(*probe, "decode", Say::verb_probe_decode);
    decode->add_option("PROTOCOL", out_.probe.protocol, text(Say::arg_protocol))
        ->required()
        ->check(check([](const std::string& word) { return word == "sl651" || word == "hj212"; }, Say::not_a_protocol));
    for (const auto& [name, about] : {std::pair{"sl651", Say::verb_probe_sl651}, {"hj212", Say::verb_probe_hj212}}) {
      auto* listen = probe_kind(*probe, name, about);
      listen->add_option("PATH", out_.probe.device, text(Say::arg_serial));
      listen->add_option("--listen", out_.probe.listen, text(Say::opt_listen))->type_name(text(Say::meta_port));
      if (name == std::string_view{"sl651"}) {
        listen->add_option("--udp", out_.probe.udp, text(Say::opt_udp))->type_name(text(Say::meta_port));
      }
      add_serial_line(*listen);
      listen->add_option("--count", out_.probe.count, text(Say::opt_count))
          ->type_name(text(Say::meta_number))
          ->check(in_range(1, 1'000'000));
    }
    add_modbus_probes(*probe);
  }

  void add_serial_line(CLI::App& app) {
    auto& asked = out_.probe;
    app.add_option("--baud", asked.speed, with_default(Say::opt_baud, asked.speed))->type_name(text(Say::meta_number));
    app.add_option("--format", asked.format, with_default(Say::opt_format, asked.format))->type_name(text(Say::meta_id));
  }

  void add_modbus_probes(CLI::App& probe) {
    auto& asked = out_.probe;
    auto* rtu = probe_kind(probe, "modbus-rtu", Say::verb_probe_rtu);
    rtu->add_option("PATH", asked.device, text(Say::arg_serial));
    add_serial_line(*rtu);
    auto* tcp = probe_kind(probe, "modbus-tcp", Say::verb_probe_tcp);
    tcp->add_option("HOST", asked.device, text(Say::arg_ip));
    tcp->add_option("--port", asked.port, with_default(Say::opt_port, fmt::to_string(asked.port)))
        ->type_name(text(Say::meta_number))
        ->check(in_range(1, 65535));
    for (auto* app : {rtu, tcp}) {
      app->add_flag("--scan", asked.scan, text(Say::opt_scan));
      app->add_option("--profile", asked.profile, text(Say::opt_profile))->type_name(text(Say::meta_id));
      app->add_option("--address", asked.unit, text(Say::opt_address))
          ->type_name(text(Say::meta_number))
          ->check(in_range(1, 255));
      app->add_option("--timeout", asked.timeout, with_default(Say::opt_timeout, asked.timeout))
          ->type_name(text(Say::meta_duration))
          ->check(check([](const std::string& word) { return parse_duration(word).has_value(); }, Say::not_a_duration));
      app->add_option("--recording", asked.recording, text(Say::opt_recording))->type_name(text(Say::meta_file));
      app->add_flag("--profiles", asked.list_profiles, text(Say::opt_profiles));
    }
  }

  CLI::App* probe_kind(CLI::App& probe, const char* name, Say about) {
    auto* app = verb(probe, name, about, Verb::probe);
    app->parse_complete_callback([this, name] { out_.probe.kind = name; });
    return app;
  }

  template <class Accept>
  CLI::Validator check(Accept accept, Say complaint) {
    const auto lang = lang_;
    return CLI::Validator{[accept, complaint, lang](std::string& word) {
                            return accept(word) ? std::string{} : say(lang, complaint, word);
                          },
                          ""};
  }

  CLI::Validator in_range(std::int64_t min, std::int64_t max) {
    const auto lang = lang_;
    return CLI::Validator{[min, max, lang](std::string& word) {
                            std::int64_t number = 0;
                            const bool ok = CLI::detail::lexical_cast(word, number) && number >= min && number <= max;
                            return ok ? std::string{} : say(lang, Say::not_a_number, word, min, max);
                          },
                          ""};
  }

  // The innermost verb that was named.
  CLI::App& chosen() {
    auto* app = &app_;
    while (!app->get_subcommands().empty()) app = app->get_subcommands().front();
    return *app;
  }
  std::string chosen_name() {
    std::string name = "hamlet";
    for (auto* app = &app_; !app->get_subcommands().empty();) {
      app = app->get_subcommands().front();
      name += " " + app->get_name();
    }
    return name;
  }

  // What CLI11 says in English, in our words. It tells apart by type; the name of what is meant it puts first.
  std::string explain(const CLI::Error& error) {
    const std::string what = error.what();
    if (dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr) return explain_extra();
    if (dynamic_cast<const CLI::RequiredError*>(&error) != nullptr) {
      constexpr std::string_view kSuffix = " is required";
      const auto name = what.substr(0, what.size() - std::min(what.size(), kSuffix.size()));
      if (name != "A subcommand") return say(lang_, Say::argument_missing, name);
      return app_.remaining(true).empty() ? say(lang_, Say::verb_missing) : explain_extra();
    }
    const auto name = what.substr(0, what.find(':'));
    if (dynamic_cast<const CLI::ArgumentMismatch*>(&error) != nullptr) return say(lang_, Say::value_missing, name);
    return what;  // our own validators speak the language already
  }

  std::string explain_extra() {
    const auto extras = app_.remaining(true);
    const std::string word = extras.empty() ? "" : extras.front();
    auto out = say(lang_, Say::unexpected_argument, word);
    std::vector<std::string> known;
    for (const auto* app : {&app_, &chosen()}) {
      for (const auto* option : app->get_options()) {
        for (const auto& name : option->get_lnames()) known.push_back("--" + name);
      }
    }
    for (const auto* verb : chosen().get_subcommands({})) known.push_back(verb->get_name());
    if (const auto near = config::nearest(word, known)) out += say(lang_, Say::did_you_mean, *near);
    return out;
  }

  Lang lang_;
  CLI::App app_;
  Invocation out_;
  std::string since_ = "0s";
  std::string length_;
  std::string lang_word_;
  std::string from_;
  std::string until_;
  bool unsent_ = false;
};

}  // namespace

std::string listen_address(const std::string& asked) {
  return asked.find(':') == std::string::npos ? "0.0.0.0:" + asked : asked;
}

tl::expected<Invocation, ParseEnd> parse(std::vector<std::string> args, Lang lang) {
  return CommandLine{lang}.parse(std::move(args));
}

}  // namespace hamlet::ctl
