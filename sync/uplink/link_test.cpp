#include "sync/uplink/link_test.hpp"

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include <boost/asio/ip/address.hpp>
#include <boost/asio/steady_timer.hpp>
#include <nlohmann/json.hpp>

#include "firmware/wire/resolver.hpp"
#include "sync/uplink/texts.hpp"

namespace hamlet::uplink {
namespace {

using nlohmann::json;
using Steady = std::chrono::steady_clock;
// At 30 kbit/s with 800 ms each way a connection by TLS takes six seconds.
constexpr Millis kResolve{5'000}, kConnect{10'000}, kLogin{20'000}, kPublish{10'000}, kRoundTrip{5'000};
static_assert(kResolve + kConnect + kLogin + kPublish + kRoundTrip <= LinkTest::kDeadline);

}  // namespace

struct LinkTest::Impl : std::enable_shared_from_this<Impl> {
  Impl(boost::asio::io_context& the_io, wire::MqttOptions the_options, wire::MqttPublish the_probe, WallTime the_time,
       wire::MqttClient::LookUp the_look_up)
      : io{the_io},
        options{std::move(the_options)},
        probe{std::move(the_probe)},
        now{the_time},
        look_up{std::move(the_look_up)},
        timer{io},
        resolver{io, look_up},
        checker{io} {
    options.connect_deadline = std::min(options.connect_deadline, kLogin);
  }

  void run(std::function<void(json)> then) {
    done = std::move(then);
    begin("resolve");
    arm(kResolve);
    boost::system::error_code is_name;
    (void)boost::asio::ip::make_address(options.broker.host, is_name);
    if (!is_name) return resolved(std::vector{options.broker.host});
    const auto asked = resolver.resolve(options.broker.host, [weak = weak_from_this()](auto found) {
      if (const auto self = weak.lock()) self->resolved(std::move(found));
    });
    if (!asked) fails("name-hangs", texts::plain(asked.error().message));
  }

  void resolved(Result<std::vector<std::string>> found) {
    if (!found) return fails("name-unknown", texts::plain(found.error().message));
    passes(found->front());
    begin("connect");
    timer.cancel();  // the checker ends by itself, and so does the client
    checker.check(found->front(), options.broker, options.tls, kConnect, [weak = weak_from_this()](wire::LinkReport report) {
      if (const auto self = weak.lock()) self->checked(report);
    });
  }

  void checked(const wire::LinkReport& report) {
    if (!report.connect_took) return fails(report.trouble->fault, report.trouble->text);
    passes("", report.connect_took);
    if (options.broker.tls) {
      begin("tls");
      if (report.trouble) return fails(report.trouble->fault, report.trouble->text);
      passes(report.expires ? day(*report.expires) : "", report.tls_took);
      const auto soon = now + kExpiresSoon;
      if (report.own_expires && *report.own_expires < soon) steps.back()["text"] = both(texts::own_cert_expires(day(*report.own_expires)));
      if (report.expires && *report.expires < soon) steps.back()["text"] = both(texts::cert_expires(options.broker.host, day(*report.expires)));
    } else if (report.trouble) {
      begin("login");
      return fails(report.trouble->fault, report.trouble->text);
    }
    begin("login");
    client.emplace(io, options,
                   wire::MqttHandlers{.connected = [this](const wire::MqttSession& session) { logged_in(session); },
                                      .disconnected = [this](const wire::LinkError& why) { fails(why.fault, why.text); },
                                      .acked = [this](std::span<const wire::MqttAck> acks) { acked(acks.front()); },
                                      .message = [this](const wire::MqttMessage& message) { arrived(message); }},
                   look_up);
    client->connect();
  }

  void logged_in(const wire::MqttSession& session) {
    passes("MQTT " + std::string{wire::to_string(session.protocol)});
    client->peek(probe.topic);
    begin("publish");
    arm(kPublish);
    if (const auto taken = client->publish(probe); !taken) fails("lost", texts::plain(taken.error().message));
  }

  void acked(const wire::MqttAck& ack) {
    if (ack.refused()) return fails("no-access", texts::refused("reply/test", wire::reason_text(ack.reason)));
    passes("");
    begin("round-trip");
    arm(kRoundTrip);
    if (came_back) return back();
  }

  void arrived(const wire::MqttMessage& message) {
    if (message.topic != probe.topic || message.payload != probe.payload || finished) return;
    came_back = true;
    if (step == "round-trip") back();
  }

  void back() {
    passes("");
    finish();
  }

  void arm(Millis within) {
    timer.expires_after(within);
    timer.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
      if (error) return;
      if (const auto self = weak.lock()) self->too_late();
    });
  }
  void too_late() {
    if (step != "round-trip") return fails(step == "resolve" ? "name-hangs" : "no-answer", texts::no_answer());
    steps.push_back({{"step", step}, {"ok", nullptr}, {"text", both(texts::not_read_back())}});
    finish();
  }

  // ---- what is told ----

  static std::string day(WallTime at) { return to_iso_utc(at).substr(0, 10); }
  static json both(const Text& text) { return {{"zh", text.zh}, {"en", text.en}}; }
  void begin(std::string_view what) {
    step = what;
    since = Steady::now();
  }
  void passes(const std::string& detail, std::optional<Millis> took = {}) {
    json one{{"step", step}, {"ok", true}, {"ms", took.value_or(std::chrono::duration_cast<Millis>(Steady::now() - since)).count()}};
    if (!detail.empty()) one["detail"] = detail;
    steps.push_back(std::move(one));
  }
  void fails(std::string_view fault, const Text& why) {
    if (finished) return;
    steps.push_back({{"step", step}, {"ok", false}, {"fault", fault}, {"text", both(why)}});
    finish();
  }
  void finish() {
    if (std::exchange(finished, true)) return;
    timer.cancel();
    resolver.cancel();
    if (done) done({{"steps", steps}});
  }

  boost::asio::io_context& io;
  wire::MqttOptions options;
  const wire::MqttPublish probe;
  const WallTime now;
  const wire::MqttClient::LookUp look_up;
  std::function<void(json)> done;
  boost::asio::steady_timer timer;
  wire::Resolver resolver;
  wire::LinkChecker checker;
  json steps = json::array();
  std::string step;
  Steady::time_point since;
  bool came_back = false;
  bool finished = false;
  std::optional<wire::MqttClient> client;  // last: its handlers use the rest
};

LinkTest::LinkTest(boost::asio::io_context& io, wire::MqttOptions options, wire::MqttPublish probe, WallTime now,
                   wire::MqttClient::LookUp look_up)
    : impl_{std::make_shared<Impl>(io, std::move(options), std::move(probe), now, std::move(look_up))} {}

LinkTest::~LinkTest() {
  impl_->finished = true;
  impl_->done = nullptr;
  if (impl_->client) impl_->client->stop();
}

void LinkTest::run(std::function<void(nlohmann::json)> then) { impl_->run(std::move(then)); }

}  // namespace hamlet::uplink
