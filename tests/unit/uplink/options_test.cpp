#include <doctest/doctest.h>

#include "sync/uplink/uplink.hpp"

using hamlet::config::Document;
using hamlet::uplink::read_options;
using hamlet::wire::MqttProtocol;
using namespace std::chrono_literals;

TEST_CASE("without a table there is no uplink") {
  auto document = Document::parse("", "t.toml");
  CHECK_FALSE(read_options(document.root().table("uplink")).enabled);
  CHECK(document.ok());
}

TEST_CASE("a broker is enough") {
  auto document = Document::parse("[uplink]\nbroker = \"mqtt://county.example\"\n", "t.toml");
  const auto options = read_options(document.root().table("uplink"));
  document.finish();
  REQUIRE(document.ok());
  CHECK(options.enabled);
  CHECK(options.protocol == MqttProtocol::any);
  CHECK(options.keepalive == 30s);
  CHECK(options.backoff_base == 1s);
  CHECK(options.backoff_max == 60s);
  CHECK_FALSE(options.county_ack);
}

TEST_CASE("everything may be said") {
  auto document = Document::parse(R"([uplink]
enabled = false
broker = "mqtts://10.0.0.1:1884"
fallback_brokers = ["mqtts://b.example", "mqtt://c.example"]
return_after = "5min"
ca = "/c/ca.pem"
cert = "/c/box.pem"
key = "/c/box.key"
backoff_refused = "1h"
backoff_quota = "30s"
protocol = "3.1.1"
client_id = "box-1"
user = "box"
keepalive = "1 min"
connect_deadline = "30s"
backoff = "5s"
backoff_max = "10min"
health_every = "5min"
county_ack = true
live_share = 0.8
backlog = "newest"
max_kbit = 64
compress = true
session_expiry = "2h"
)",
                                  "t.toml");
  const auto options = read_options(document.root().table("uplink"));
  document.finish();
  REQUIRE(document.ok());
  CHECK_FALSE(options.enabled);
  CHECK(options.protocol == MqttProtocol::v311);
  CHECK(options.client_id == "box-1");
  CHECK(options.fallback_brokers.size() == 2);
  CHECK(options.return_after == 5min);
  CHECK(options.tls.key == "/c/box.key");
  CHECK(options.backoff_refused == 1h);
  CHECK(options.backoff_quota == 30s);
  CHECK(options.keepalive == 60s);
  CHECK(options.backoff_max == 10min);
  CHECK(options.county_ack);
  CHECK(options.live_share == 0.8);
  CHECK(options.newest_first);
  CHECK(options.max_kbit == 64);
  CHECK(options.compress);
  CHECK(options.session_expiry == 2h);
}

TEST_CASE("what is wrong is found, with its place") {
  const auto first_finding = [](const std::string& line) {
    auto document = Document::parse("[uplink]\n" + line + "\n", "t.toml");
    (void)read_options(document.root().table("uplink"));
    document.finish();
    return document.ok() ? std::string{} : document.diagnostics().front().to_string();
  };
  CHECK(first_finding("enabled = true").find("broker") != std::string::npos);
  CHECK(first_finding("broker = \"county.example:1883\"").find("t.toml:2:") == 0);
  CHECK(first_finding("broker = \"mqtt://c\"\nprotocol = \"4\"").find("t.toml:3:") == 0);
  CHECK(first_finding("broker = \"mqtts://c\"\nfallback_brokers = [\"b:1\"]").find("t.toml:3:") == 0);
  CHECK(first_finding("broker = \"mqtts://c\"\ncert = \"/c\"").find("t.toml:3:") == 0);
  CHECK(first_finding("broker = \"mqtt://c\"\nkeepalive = \"1s\"").find("t.toml:3:") == 0);
  CHECK(first_finding("broker = \"mqtt://c\"\nbackoff = \"1min\"\nbackoff_max = \"1s\"").find("t.toml:4:") == 0);
  CHECK(first_finding("broker = \"mqtt://c\"\nlive_share = 1.5").find("t.toml:3:") == 0);
  CHECK(first_finding("broker = \"mqtt://c\"\nbacklog = \"middle\"").find("t.toml:3:") == 0);
  CHECK(first_finding("broker = \"mqtt://c\"\nkeepalife = \"30s\"").find("keepalive") != std::string::npos);
}
