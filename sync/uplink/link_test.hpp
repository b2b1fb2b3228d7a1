#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include <boost/asio/io_context.hpp>
#include <nlohmann/json_fwd.hpp>

#include "firmware/wire/mqtt_client.hpp"

namespace hamlet::uplink {

/// A certificate that expires within this is told of.
inline constexpr std::chrono::days kExpiresSoon{30};

/// `hamlet uplink test`: the way to a broker step by step, beside the session that there may be: resolve, connect, tls, login, publish,
/// round-trip. Called from the io thread; each step has its time, as a link like 2G needs it, and all together end within kDeadline. A
/// certificate that expires soon passes with a text.
class LinkTest {
 public:
  static constexpr Millis kDeadline{50'000};

  /// `probe`: what is published and read back, on a topic below the base that a box may use for that. `options.client_id` must not be the
  /// session's. `now` judges the certificates.
  LinkTest(boost::asio::io_context& io, wire::MqttOptions options, wire::MqttPublish probe, WallTime now, wire::MqttClient::LookUp look_up);
  ~LinkTest();  ///< abandons it
  /// `then`, once: {"steps":[{"step","ok",…}]}. `ok` is null where a step did not apply. A step that failed is the last.
  void run(std::function<void(nlohmann::json)> then);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace hamlet::uplink
