#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <nlohmann/json.hpp>

#include "firmware/config/config.hpp"
#include "firmware/core/alarm.hpp"
#include "firmware/core/clock.hpp"
#include "firmware/core/failure.hpp"
#include "firmware/wire/mqtt_client.hpp"
#include "sync/contract/contract.hpp"
#include "sync/journal/journal.hpp"

namespace hamlet::uplink {

/// The table [uplink]. Absent, or with `enabled = false`: the box keeps everything and sends nothing.
struct Options {
  bool enabled = false;
  std::string broker;                                     ///< "mqtt://host[:port]", or by TLS "mqtts://host[:port]"
  std::vector<std::string> fallback_brokers;              ///< tried in this order where the first is not reached
  Millis return_after{600'000};                           ///< how often the first is looked for from another; 1 s to 1 d
  wire::TlsFiles tls;                                     ///< `ca`, `cert`, `key`
  wire::MqttProtocol protocol = wire::MqttProtocol::any;  ///< "5", "3.1.1" or "auto": 5, then 3.1.1
  std::string client_id;                                  ///< default: "hamlet-{gw}"
  std::string user;                                       ///< default: none
  config::Secret password;                                ///< { credential = "…" } or { file = "…" }
  Millis keepalive{30'000};                               ///< 1 s to 10 min; a dead link is found within twice this
  Millis connect_deadline{20'000};                        ///< look-up, TCP and login together; 1 s to 5 min
  Millis backoff_base{1'000};                             ///< `backoff`: the first retry comes within this
  Millis backoff_max{60'000};                             ///< and later ones within up to this, drawn at random
  Millis backoff_refused{600'000};                        ///< login or access refused: half of this to all of it; 1 s to 1 d
  Millis backoff_quota{10'000};                           ///< 0x97 and the like, or another by our name: the first wait, doubled up to a hundred times that
  Millis health_every{60'000};                            ///< 1 s to 1 d
  double live_share = 0.5;                                ///< of the link for what is live while a backlog waits; 0 to 1
  bool newest_first = false;                              ///< `backlog`: "oldest" or "newest" of it first
  std::uint64_t max_kbit = 0;                             ///< kbit/s, headers counted in; 0: as much as there is
  bool compress = false;                                  ///< gzip on MQTT 5 (CONTRACT.md), for what gains by it, a backlog's batches together
  Millis session_expiry{0};                               ///< how long the broker keeps commands for a box that is away; 0 to 30 d
  bool county_ack = false;                                ///< the county acknowledges by the topic `ack`
  wire::MqttClient::LookUp look_up{};                     ///< of names, for tests; empty: the system's
  std::uint64_t seed = 0;                                 ///< of the jitter, for tests; 0: the kernel's random source
};
/// Reads the table [uplink]; it owns its keys.
[[nodiscard]] Options read_options(const config::Table& table);

/// What the uplink asks of the daemon. All on the io thread.
struct Hooks {
  struct Meta {
    std::uint64_t revision = 0;  ///< `rev` of every message
    nlohmann::json body;         ///< an object: devices, points, cameras, …
  };
  std::function<Meta()> meta;
  std::function<std::vector<Alarm>()> alarms;  ///< every alarm that is configured, as it stands
  /// Alarms that the config no longer has: each birth clears their snapshots, until `cleared` says that the broker has done so.
  std::function<std::vector<std::string>()> gone{};  ///< may be empty
  std::function<void()> cleared{};
  /// Whole topics with retained messages under a base that the box has left: each birth clears them, until `left` says that the
  /// broker has answered for all of them.
  std::function<std::vector<std::string>()> left_behind{};  ///< may be empty
  std::function<void()> left{};
  std::function<nlohmann::json()> health;      ///< an object
  /// A command that is not retained and parses. `reply` may be called later, once, from the io thread; it adds `id`.
  std::function<void(contract::Command, std::function<void(nlohmann::json)> reply)> command;
  /// One that is not run because it is retained or does not parse; a retained one is told of once a run.
  std::function<void(std::string_view name)> picture{};  ///< is about to be sent; may be empty
  std::function<void(std::string_view verb, std::string_view why)> ignored{};  ///< may be empty
};

/// The sessions with the county: finds where it stands, sends the next until nothing is left; on any trouble drops the
/// link, waits, and looks again.
///
///   off | offline -(backoff)-> connecting -> birth -> online -> offline …
///
/// Owned by the composition root, which stops it before the journal. Every member is called from the io thread. It
/// keeps nothing of its own: positions are the journal's, under the name "county". A crash or a lost link makes it send
/// again what was not acknowledged, with the same identity.
class Uplink {
 public:
  /// Refers to `clock` and `journal`, which must outlive it.
  Uplink(boost::asio::io_context& io, Clock& clock, Options options, contract::Topics topics, journal::Journal& journal,
         Hooks hooks);
  ~Uplink();  ///< stop()
  Uplink(const Uplink&) = delete;
  Uplink& operator=(const Uplink&) = delete;

  /// Connects, and keeps trying. Nothing where it is not enabled.
  void start();
  /// Publishes `state` offline where there is a link, and ends. Blocks at most 2 s. Idempotent.
  void stop();

  /// The journal has committed something: call it after each commit (Journal::on_committed).
  void committed();
  /// A new epoch has begun, or an earlier one has been salvaged (Journal::on_epoch).
  void epochs_changed();
  /// An alarm has changed: its retained snapshot follows once everything appended so far is durable.
  void alarm_changed(const Alarm& alarm);
  /// The config has: `meta` and all snapshots are published anew.
  void meta_changed();

  /// The county's command `replay {lane, from, to, epoch?}`: these numbers are sent once more, with the identity they have, after
  /// everything else that waits; those that the journal no longer has are passed over. Positions and snapshots stay as they are.
  /// Survives a lost link, not a restart. Returns what will be sent: the same, `to` at most the lane's last.
  [[nodiscard]] Asked<nlohmann::json> replay(const nlohmann::json& args);

  /// The verb `uplink.test`: LinkTest on the broker that is used or tried now. `then` gets its steps with "broker", or a refusal,
  /// within kTestWithin.
  static constexpr Millis kTestWithin{55'000};
  void test(std::function<void(Asked<nlohmann::json>)> then);

  /// For the verb `uplink`:
  /// {"state","broker","protocol","since_ts","last_error"?,"fault"?,"trouble"?:{"zh","en"},"warnings"?:[{"id","text"}],"certificates"?,
  /// "inflight","inflight_bytes","rate_kbit","round_trip_ms","reconnects","replays"?,"county"?,"lanes":{"alarm":{"last","sent","pending"},…}}.
  [[nodiscard]] nlohmann::json status() const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace hamlet::uplink
