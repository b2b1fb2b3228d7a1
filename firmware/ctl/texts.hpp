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
  opt_csv,
  opt_zone,
  opt_summary,
  opt_to,
  opt_unsent,
  opt_from,
  opt_until,
  meta_path,
  meta_file,
  meta_duration,
  meta_number,
  meta_id,
  meta_when,
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
  verb_journal_stat,
  verb_journal_check,
  verb_journal_export,
  verb_uplink,
  verb_config,
  verb_config_check,
  verb_probe,
  verb_probe_decode,
  verb_backtest,
  arg_point,
  arg_alarm,
  arg_file,
  arg_protocol,
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
  not_a_zone,
  not_a_time,
  range_or_unsent,
  see_help,
  // failures
  error_line,
  advice_daemon_down,
  offline_note,
  offline_failed,
  no_permission_file,
  no_file,
  clock_note,
  journal_absent,
  journal_denied,
  export_full,
  export_denied,
  export_no_folder,
  export_no_topics,
  export_failed,
  percent_done,
  records_done,
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
  power_cut,
  quota,
  disk_free,
  written_day,
  older,
  aside,
  records,
  size,
  oldest,
  bytes_a_reading,
  damage,
  checked,
  folder,
  pictures,
  times,
  missing_pictures,
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
  nothing_lost,
  would_lose,
  would_lose_since,
  used_of,
  free_floor,
  written_projected,
  written_so_far,
  not_metered,
  records_unsent,
  blocks_checked,
  range_of,
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
  tests_wait,
  detector_learns,
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
  journal_intact,
  journal_damaged,
  journal_older_records,
  export_done,
  export_nothing,
  // config check
  config_ok,
  config_bad,
  // probe
  probe_offset,
  probe_raw,
  probe_field,
  probe_frame,
  probe_warning,
  probe_refused,
  probe_summary,
  // backtest
  backtest_no_point,
  backtest_bad_line,
  backtest_more_bad_lines,
  backtest_empty,
  backtest_corrected,
  backtest_anomaly,
  backtest_rows,
  backtest_late,
  backtest_bad_lines,
  backtest_anomalies,
  backtest_learned,
  backtest_raised,
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
  detail,
  frame_field
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
