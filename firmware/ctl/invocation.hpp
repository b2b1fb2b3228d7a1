#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <tl/expected.hpp>

#include "firmware/core/text.hpp"
#include "firmware/core/time.hpp"

namespace hamlet::ctl {

enum class Verb {
  status, points, readings, events, alarms, alarm_ack, alarm_shelve, alarm_unshelve, alarm_out, alarm_in, alarm_maintenance, alarm_explain, cameras, snapshot, media_list, media_show, media_upload, media_hold, media_release, journal, journal_stat, journal_check, journal_export, uplink, uplink_test, outputs, output_set, config_check, init,
  backtest, probe };

/// What `hamlet probe KIND …` was given; each kind uses what it needs.
struct ProbeAsked {
  std::string kind;      ///< "decode"
  std::string protocol;  ///< of decode, sl651 and hj212: "sl651" or "hj212"
  std::string listen;       ///< of sl651 and hj212: the TCP port they wait at, "9000", "10.0.0.1:9000"
  std::string udp;          ///< of sl651: the same, of UDP
  std::int64_t count = 0;   ///< of sl651 and hj212: ends after so many frames; 0: never
  std::string device;    ///< of modbus-rtu, sl651 and hj212 a path, of modbus-tcp an address
  std::string profile;
  std::string speed = "9600";  ///< of a serial port; baud
  std::string format = "8N1";  ///< of a serial port
  std::int64_t port = 502;     ///< of modbus-tcp
  std::int64_t unit = 0;       ///< 0: the profile's
  std::string timeout = "500ms";
  std::string recording;  ///< a file of raw frames, in place of a device
  bool scan = false;
  bool list_profiles = false;
};

/// "9000" at all addresses of this box.
[[nodiscard]] std::string listen_address(const std::string& asked);

/// A point in time as it was asked for: an age, or Beijing time.
struct When {
  Millis age{};
  std::optional<WallTime> at{};
  [[nodiscard]] WallTime as_of(WallTime now) const { return at.value_or(now - age); }
};

/// What the technician asked for, parsed and checked.
struct Invocation {
  Verb verb = Verb::status;
  std::filesystem::path socket = "/run/hamlet/control.sock";
  std::filesystem::path config = "/etc/hamlet/hamlet.toml";
  bool json = false;
  Lang lang = Lang::en;

  std::string point;                       ///< of readings and backtest
  std::string source;                      ///< of events; empty: all
  Millis since{};                          ///< of readings and events: an age
  std::int64_t limit = 0;                  ///< of readings, events and media list
  std::string alarm;                       ///< of alarms ack, shelve, …
  std::string device;                      ///< of alarms maintenance
  Millis length{};                         ///< of outputs set, alarms shelve and maintenance; 0: maintenance ends
  std::string reason;                      ///< of alarms shelve, out-of-service and maintenance
  std::optional<std::int64_t> occurrence;  ///< of alarms ack
  std::string camera;                      ///< of cameras snapshot
  std::string picture;                     ///< of media show, upload, hold and release
  std::filesystem::path out;               ///< of cameras snapshot and media show: where the JPEG goes; "-": standard output
  bool held = false;                       ///< of media list: those alone
  std::string output;                      ///< of outputs set and auto
  std::string value = "auto";              ///< of outputs set: "on", "off" or a message's text
  std::string pack;                        ///< of init; empty: list them
  std::filesystem::path file;              ///< of init; empty: standard output
  std::filesystem::path csv;               ///< of backtest; "-": standard input
  std::string zone = "Z";                  ///< of backtest: of times that name none
  bool summary = false;                    ///< of backtest
  std::filesystem::path to;                ///< of journal export: a folder
  std::optional<std::pair<When, When>> range;  ///< of journal export; nothing: what is unsent
  ProbeAsked probe;
};

/// The command line said no more than "help" or "version", or it was wrong.
struct ParseEnd {
  int exit_code = 0;
  std::string text;  ///< for stdout when the code is 0, else for stderr
};

/// `args` without the program's name. Help and errors are in `lang`.
[[nodiscard]] tl::expected<Invocation, ParseEnd> parse(std::vector<std::string> args, Lang lang);

}  // namespace hamlet::ctl
