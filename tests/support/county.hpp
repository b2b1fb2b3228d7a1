#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "sync/contract/contract.hpp"

namespace hamlet::support {

/// Plays the county: subscribes to everything below a base, checks each message of the lanes, and keeps the books. A
/// client of its own (bare Paho), that connects again by itself. Thread-safe.
class County {
 public:
  struct Arrival {
    std::string epoch;
    contract::Lane lane = contract::Lane::tele;
    std::uint64_t seq = 0;
    std::string topic;  ///< below the base
    bool hist = false;
    std::chrono::steady_clock::time_point at;
    nlohmann::json payload;  ///< null for the media lane
  };

  struct Options {
    std::string broker;          ///< "mqtt://127.0.0.1:port"
    std::string base;            ///< "hamlet/v1/430124/104/203/gw-0017"
    bool acknowledge = false;    ///< publishes the retained `ack` at most every 100 ms
    bool validate = false;       ///< every message by its schema: what is wrong is in Snapshot::invalid
    bool keep_messages = false;  ///< keeps every lane message in order of arrival (memory!)
    std::function<void(const Arrival&)> on_arrival{};  ///< each lane message, on the client's thread; must not block
  };

  /// What has come of one lane of one epoch.
  struct Lane {
    std::uint64_t received = 0;    ///< messages, duplicates included
    std::uint64_t duplicates = 0;  ///< came before with the same identity and the same content
    std::uint64_t conflicts = 0;   ///< came before with the same identity and another content: never right
    std::uint64_t prefix = 0;      ///< everything up to here is there
    std::uint64_t last = 0;
    std::uint64_t missing = 0;  ///< numbers below `last` that have not come
  };
  using Lanes = std::array<Lane, contract::kLaneCount>;

  struct Snapshot {
    bool connected = false;
    std::map<std::string, Lanes> epochs;
    std::uint64_t readings = 0;  ///< in all tele messages, duplicates left out
    std::uint64_t media_bytes = 0;
    std::uint64_t compressed = 0;  ///< messages that came with content-encoding gzip
    nlohmann::json state;  ///< newest of each; null before
    nlohmann::json meta;
    nlohmann::json health;
    nlohmann::json ack;                                          ///< what some consumer acknowledges
    std::vector<std::pair<std::string, nlohmann::json>> commands;  ///< what some consumer asks: verb and command
    std::map<std::string, nlohmann::json> alarms;                ///< retained snapshots by alarm id
    std::map<std::string, std::vector<nlohmann::json>> replies;  ///< by verb (the last part of the topic)
    std::uint64_t states = 0;                                    ///< how often `state` came
    std::vector<std::string> invalid;                            ///< "topic: what is wrong", at most 100
    std::vector<Arrival> messages;                               ///< only with keep_messages
    [[nodiscard]] Lane total(contract::Lane lane) const;         ///< all epochs together
    /// A table for people, a lane a line.
    [[nodiscard]] std::string to_string() const;
  };

  /// Connects and subscribes, at most 10 s; throws std::runtime_error.
  explicit County(Options options);
  ~County();
  County(const County&) = delete;
  County& operator=(const County&) = delete;

  [[nodiscard]] Snapshot snapshot() const;
  /// Looks every 10 ms until `done` says yes; false at the deadline.
  [[nodiscard]] bool wait_until(const std::function<bool(const Snapshot&)>& done,
                                std::chrono::milliseconds deadline) const;

  /// Publishes below the base, QoS 1; waits for the PUBACK, at most 5 s; throws.
  void publish(const std::string& topic, const std::string& payload, bool retained = false);
  /// The same as an MQTT 5 request: the answer comes to `response_topic` (below the base) with `correlation`.
  void request(const std::string& topic, const std::string& payload, const std::string& response_topic,
               const std::string& correlation);
  /// Correlation data of the answers so far, in order of arrival.
  [[nodiscard]] std::vector<std::string> correlations() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace hamlet::support
