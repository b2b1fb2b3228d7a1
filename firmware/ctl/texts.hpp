#pragma once

#include <span>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "firmware/core/text.hpp"

/// Every text that `hamlet` shows, in both languages: the catalogue is texts.cpp.
namespace hamlet::ctl {

/// A sentence, heading or label. {0}, {1} … are filled in.
enum class Say {
  // help
  about,
  help_footer,
  verb_footer,
  usage,
  options,
  verbs,
  arguments,
  required,
  global_options,
  opt_help,
  opt_version,
  opt_socket,
  opt_config,
  opt_json,
  opt_lang,
  opt_since,
  opt_limit,
  opt_source,
  opt_occurrence,
  meta_path,
  meta_file,
  meta_duration,
  meta_number,
  meta_id,
  meta_lang,
  meta_options,
  meta_verb,
  default_value,
  verb_status,
  verb_points,
  verb_readings,
  verb_events,
  verb_alarms,
  verb_alarms_list,
  verb_alarms_ack,
  verb_cameras,
  verb_journal,
  verb_uplink,
  verb_config,
  verb_config_check,
  verb_probe,
  verb_probe_decode,
  verb_probe_rtu,
  verb_probe_tcp,
  arg_point,
  arg_alarm,
  arg_file,
  arg_protocol,
  arg_serial,
  arg_ip,
  opt_baud,
  opt_format,
  opt_port,
  opt_scan,
  opt_profile,
  opt_address,
  opt_timeout,
  opt_profiles,
  probe_request,
  probe_write,
  probe_answer,
  probe_exception,
  probe_bytes,
  probe_scanning,
  probe_found,
  probe_nobody,
  probe_paste,
  probe_points,
  probe_no_profile,
  probe_no_device,
  probe_not_verified,
  // usage errors
  usage_error,
  verb_missing,
  argument_missing,
  unexpected_argument,
  did_you_mean,
  value_missing,
  not_a_duration,
  not_a_number,
  not_an_id,
  not_a_point,
  not_a_lang,
  not_a_protocol,
  see_help,
  // failures
  error_line,
  advice_daemon_down,
  offline_note,
  offline_failed,
  no_permission_file,
  clock_note,
  journal_absent,
  journal_denied,
  // headings and labels
  gateway,
  state,
  version,
  uptime,
  time,
  devices,
  cameras,
  alarms,
  uplink,
  journal,
  point,
  name,
  value,
  unit,
  quality,
  reason,
  age,
  source,
  event,
  phase,
  detail,
  severity,
  alarm,
  since,
  limit,
  text,
  occurrence,
  camera,
  picture_rate,
  frames,
  zones,
  last_event,
  analysis,
  epoch,
  boot,
  window,
  file_size,
  media_size,
  failure,
  lane,
  first,
  last,
  waiting,
  unsent,
  broker,
  protocol,
  last_error,
  inflight,
  reconnects,
  no_subscriber,
  sent,
  pending,
  problems,
  // values
  up_down,
  alarm_counts,
  uplink_at,
  journal_counts,
  restarts,
  yes,
  no,
  none,
  seconds_ago,
  minutes_ago,
  hours_ago,
  days_ago,
  in_future,
  span_seconds,
  span_minutes,
  span_hours,
  span_days,
  // what there is nothing of, and what to do next
  no_points,
  no_readings,
  no_events,
  no_alarms_defined,
  no_active_alarms,
  more_alarms_normal,
  no_cameras,
  readings_cut,
  events_cut,
  next_steps,
  next_points,
  next_alarms,
  next_cameras,
  next_uplink,
  next_journal,
  next_ack,
  acked_done,
  uplink_off,
  journal_failing,
  // config check
  config_ok,
  config_bad,
  count_,  // how many there are
};

/// One text of the catalogue.
struct Entry {
  Say id;
  std::string_view zh;
  std::string_view en;
};
/// In the order of Say.
[[nodiscard]] std::span<const Entry> catalogue();

[[nodiscard]] std::string_view phrase(Lang lang, Say id);

template <class... Args>
[[nodiscard]] std::string say(Lang lang, Say id, const Args&... args) {
  return fmt::format(fmt::runtime(phrase(lang, id)), args...);
}

/// Which enumeration a code belongs to.
enum class Kind {
  severity,
  alarm_state,
  event,
  phase,
  quality,
  why,
  uplink,
  camera,
  health,
  time_quality,
  lane,
  detail
};

/// One code of the contract, and what people call it.
struct Word {
  Kind kind;
  std::string_view code;
  std::string_view zh;
  std::string_view en;
};
[[nodiscard]] std::span<const Word> vocabulary();

/// What people call a code; the code itself where it is not known.
[[nodiscard]] std::string word(Lang lang, Kind kind, std::string_view code);

}  // namespace hamlet::ctl
