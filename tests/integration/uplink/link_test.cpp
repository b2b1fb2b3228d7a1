// The link itself: TLS by the county's broker set-up to copy, brokers that misbehave, and what a technician is told.
#include <cstdlib>
#include <fstream>
#include <future>
#include <tuple>

#include <openssl/pem.h>
#include <openssl/x509.h>

#include "tests/integration/uplink/box.hpp"
#include "tests/support/false_broker.hpp"
#include "tests/support/proxy.hpp"

using namespace hamlet::uplink_tests;
using hamlet::support::FalseBroker;
using namespace std::chrono_literals;

namespace {

/// The example's mosquitto with its certificates, in a folder of its own.
struct CountyBroker {
  CountyBroker() {
    const std::filesystem::path example = std::filesystem::path{std::getenv("HAMLET_SOURCE")} / "sync/contract/examples/mosquitto";
    std::filesystem::copy(example, folder.path(), std::filesystem::copy_options::recursive);
    certificates("ca");
    certificates("broker localhost");
    certificates("box gw-0017 430124/104/203");
    certificates("box gw-0666 430124/104/203");
    certificates("consumer county");
  }
  void certificates(const std::string& what) const {
    const auto command = "HAMLET_BROKER=" + folder.path().string() + " " + file("certificates") + " " + what;
    REQUIRE(std::system(command.c_str()) == 0);
  }
  /// The example's lines, with this folder and this port.
  void start() {
    std::ifstream in{file("mosquitto.conf")};
    std::string conf{std::istreambuf_iterator<char>{in}, {}};
    const auto replace = [&](const std::string& from, const std::string& to) {
      for (auto at = conf.find(from); at != std::string::npos; at = conf.find(from, at + to.size())) conf.replace(at, from.size(), to);
    };
    port = hamlet::support::free_port();
    replace("/etc/mosquitto/hamlet", folder.path().string());
    replace("/var/lib/mosquitto/", folder.path().string() + "/");
    replace("listener 8883", "listener " + std::to_string(port) + "\nuser root");
    std::ofstream{folder.path() / "test.conf"} << conf;
    program = std::make_unique<hamlet::support::Process>(std::vector<std::string>{"/usr/sbin/mosquitto", "-c", file("test.conf")}, folder.path() / "log");
  }
  [[nodiscard]] std::string file(const std::string& name) const { return (folder.path() / name).string(); }
  [[nodiscard]] std::string uri() const { return "mqtts://localhost:" + std::to_string(port); }
  [[nodiscard]] hamlet::wire::TlsFiles files(const std::string& who) const { return {file("ca.pem"), file(who + ".pem"), file(who + ".key")}; }

  /// Gives a certificate other dates, in days from now.
  void redate(long from, long to, const std::string& whose = "broker") const {
    const auto open = [&](const std::string& name, const char* mode) {
      return std::unique_ptr<std::FILE, int (*)(std::FILE*)>{std::fopen(file(name).c_str(), mode), &std::fclose};
    };
    X509* cert = PEM_read_X509(open(whose + ".pem", "r").get(), nullptr, nullptr, nullptr);
    EVP_PKEY* key = PEM_read_PrivateKey(open("ca.key", "r").get(), nullptr, nullptr, nullptr);
    REQUIRE((cert != nullptr && key != nullptr));
    X509_gmtime_adj(X509_getm_notBefore(cert), from * 86'400);
    X509_gmtime_adj(X509_getm_notAfter(cert), to * 86'400);
    REQUIRE(X509_sign(cert, key, EVP_sha256()) > 0);
    PEM_write_X509(open(whose + ".pem", "w").get(), cert);
    X509_free(cert);
    EVP_PKEY_free(key);
  }

  hamlet::support::TempDir folder;
  std::uint16_t port = 0;
  std::unique_ptr<hamlet::support::Process> program;
};

/// A bare client of the county's or of a box's.
struct Client {
  Client(boost::asio::io_context& io, const CountyBroker& county, const std::string& who)
      : mqtt{io,
             {.broker = hamlet::wire::parse_broker(county.uri()).value(), .tls = county.files(who), .client_id = who + "-client", .user = {}, .password = {}, .will = {}},
             {.connected = [this](const auto&) { connected = true; },
              .disconnected = [this](const auto& error) { why = error.message; },
              .acked = [this](auto acks) { for (const auto& ack : acks) reasons.push_back(ack.reason); },
              .message = [this](auto message) { messages.push_back(std::move(message)); }}} {
    mqtt.connect();
  }
  bool connected = false;
  std::string why;
  std::vector<int> reasons;
  std::vector<hamlet::wire::MqttMessage> messages;
  hamlet::wire::MqttClient mqtt;
};

bool told(Box& box, const std::string& fault) {
  const bool yes = box.run_until([&] { return box.uplink->status().value("fault", "") == fault; }, 20s);
  if (!yes) MESSAGE(box.uplink->status().dump());
  return yes;
}

json test_of(Box& box) {
  json steps;
  box.uplink->test([&](auto result) { steps = result ? *result : json{{"refused", result.error().text.en}}; });
  REQUIRE(box.run_until([&] { return !steps.is_null(); }));
  return steps;
}

}  // namespace

TEST_CASE("the county's broker set-up: TLS both ways, and a box that misbehaves reaches nobody else's topics") {
  CountyBroker county;
  county.start();
  Box box{"mqtts://localhost:1", [&](auto& options) {
    options.broker = county.uri();
    options.tls = county.files("gw-0017");
  }};
  box.read(100, Urgency::now);
  box.uplink->start();
  REQUIRE_MESSAGE(box.online(), box.uplink->status().dump());
  REQUIRE(box.drained());
  CHECK(box.run_until([&] { return box.uplink->status()["certificates"].contains("own"); }));
  CHECK(!box.uplink->status().contains("warnings"));

  Client desk{box.io, county, "county"};
  REQUIRE(box.run_until([&] { return desk.connected; }));
  desk.mqtt.subscribe({"hamlet/v1/#"});
  // Its neighbour's state, its neighbour's and its own commands, and what is not below its base. The broker refuses, and may hang up.
  for (const std::string& topic : {topics().at("state"), topics().at("cmd/ping"), std::string{"hamlet/v1/430124/104/203/gw-0666/cmd/ping"},
                                   std::string{"hamlet/v1/430124/104/204/gw-0666/state"}, std::string{"somewhere"}}) {
    Client villain{box.io, county, "gw-0666"};
    REQUIRE(box.run_until([&] { return villain.connected; }));
    REQUIRE(villain.mqtt.publish({.topic = topic, .payload = "{}"}));
    REQUIRE(box.run_until([&] { return !villain.reasons.empty() || !villain.why.empty(); }));
    for (const int reason : villain.reasons) CHECK(reason == 0x87);
  }
  Client villain{box.io, county, "gw-0666"};
  REQUIRE(box.run_until([&] { return villain.connected; }));
  villain.mqtt.subscribe({"#"});
  REQUIRE(villain.mqtt.publish({.topic = "hamlet/v1/430124/104/203/gw-0666/tele", .payload = "mine"}));
  REQUIRE(desk.mqtt.publish({.topic = topics().at("cmd/ping"), .payload = R"({"id":"c1"})"}));
  REQUIRE(box.run_until([&] { return box.commands.size() == 1; }));
  REQUIRE(box.run_until([&] {
    return std::any_of(desk.messages.begin(), desk.messages.end(), [](const auto& each) { return each.payload == "mine"; });
  }));
  for (const auto& message : desk.messages) CHECK(message.payload != "{}");
  CHECK(villain.messages.empty());
  CHECK(box.commands.size() == 1);
  // More than any box has to send: the broker hangs up, and it reaches nobody.
  REQUIRE(villain.mqtt.publish({.topic = "hamlet/v1/430124/104/203/gw-0666/tele", .payload = std::string(3'000'000, 'x')}));
  box.happen();
  REQUIRE(box.drained());
  REQUIRE(box.run_until([&] { return desk.messages.back().topic == topics().at("event/gateway/up"); }));
  for (const auto& message : desk.messages) CHECK(message.payload.size() < 1'000'000);
  CHECK(box.state() == "online");

  const auto steps = test_of(box);
  CHECK(steps["broker"] == county.uri());
  REQUIRE_MESSAGE(steps["steps"].size() == 6, steps.dump());
  for (const auto& step : steps["steps"]) CHECK_MESSAGE(step["ok"] == true, step.dump());
}

TEST_CASE("the county's broker set-up keeps what an absent consumer has coming, far beyond a broker's default") {
  CountyBroker county;
  county.start();
  const auto listens = [&](const std::string& log, int messages) {
    return hamlet::support::Process{{"/usr/bin/mosquitto_sub", "-h", "localhost", "-p", std::to_string(county.port), "--cafile", county.file("ca.pem"),
                                     "--cert", county.file("county.pem"), "--key", county.file("county.key"), "-i", "books", "-c", "-q", "1",
                                     "-x", "86400", "-V", "5", "-t", topics().at("tele"), "-C", std::to_string(messages), "-W", "40"},
                                    county.folder.path() / log};
  };
  constexpr int kBatches = 3'000;
  Box box{"mqtts://localhost:1", [&](auto& options) {
    options.broker = county.uri();
    options.tls = county.files("gw-0017");
  }};
  box.uplink->start();
  {
    auto books = listens("before", 1);
    REQUIRE(box.online());
    REQUIRE(box.run_until([&] {  // until it has subscribed
      box.read(1, Urgency::now);
      return !books.running();
    }));
    CHECK_MESSAGE(books.wait(1s) == 0, books.log());
  }
  REQUIRE(box.drained());
  box.read(kBatches);
  REQUIRE(box.drained());
  auto books = listens("after", kBatches);
  CHECK_MESSAGE(books.wait(50s) == 0, books.log().substr(0, 300));  // 27: not so many came
}

TEST_CASE("what is wrong with a certificate is told in words") {
  CountyBroker county;
  std::string fault;
  std::string uri;
  SUBCASE("it has expired") {
    county.redate(-30, -2);
    fault = "cert-expired";
  }
  SUBCASE("it is not yet valid: our clock, most likely") {
    county.redate(2, 30);
    fault = "cert-not-yet-valid";
  }
  SUBCASE("it is another's") {
    county.certificates("broker broker.example");
    fault = "cert-name";
  }
  SUBCASE("nobody whom we trust has signed it") {
    county.certificates("ca");  // anew: the broker's own still is of the old one
    fault = "cert-untrusted";
  }
  county.start();
  Box box{"mqtts://localhost:1", [&](auto& options) {
    options.broker = county.uri();
    options.tls = county.files("gw-0017");
    if (fault == "cert-untrusted") options.tls.cert = options.tls.key = "";
  }};
  box.uplink->start();
  CHECK(told(box, fault));
  CHECK(!box.uplink->status()["trouble"]["zh"].get<std::string>().empty());
  const auto steps = test_of(box)["steps"];
  CHECK(steps.back()["step"] == "tls");
  CHECK(steps.back()["fault"] == fault);
}

TEST_CASE("a certificate that expires within 30 days is a warning, and the link works") {
  CountyBroker county;
  county.redate(-2, 20);
  county.start();
  Box box{"mqtts://localhost:1", [&](auto& options) {
    options.broker = county.uri();
    options.tls = county.files("gw-0017");
  }};
  box.uplink->start();
  REQUIRE(box.online());
  REQUIRE(box.run_until([&] { return box.uplink->status().contains("warnings"); }));
  CHECK(box.uplink->status()["warnings"][0]["id"] == "cert-expires");
  const auto steps = test_of(box)["steps"];
  REQUIRE(steps.size() == 6);
  CHECK(steps[2]["ok"] == true);
  CHECK(steps[2]["text"]["en"].get<std::string>().find("expires on") != std::string::npos);
}

TEST_CASE("the box's own certificate: one that expires soon is a warning, one that has expired is told and not tried") {
  CountyBroker county;
  const bool over = [] {
    SUBCASE("soon") { return false; }
    SUBCASE("over") { return true; }
    return false;
  }();
  county.redate(-30, over ? -2 : 20, "gw-0017");
  county.start();
  Box box{"mqtts://localhost:1", [&](auto& options) {
    options.broker = county.uri();
    options.tls = county.files("gw-0017");
  }};
  box.uplink->start();
  if (over) {
    CHECK(told(box, "own-cert-expired"));
    CHECK(test_of(box)["steps"].back()["fault"] == "own-cert-expired");
  } else {
    REQUIRE(box.online());
    REQUIRE(box.run_until([&] { return box.uplink->status().contains("warnings"); }));
    CHECK(box.uplink->status()["warnings"][0]["id"] == "own-cert-expires");
  }
}

TEST_CASE("uplink test ends at the step that fails, with what is wrong there") {
  std::unique_ptr<FalseBroker> false_broker;
  std::unique_ptr<Broker> broker;
  hamlet::support::TempDir folder;
  std::string uri, step, fault;
  hamlet::wire::MqttClient::LookUp look_up;
  const auto over = std::make_shared<std::promise<void>>();
  const auto behave = [&](FalseBroker::Manners manners) {
    false_broker = std::make_unique<FalseBroker>(std::move(manners));
    uri = false_broker->uri();
  };
  const auto allow = [&](const std::string& topic) {
    std::ofstream{folder.path() / "acl"} << "topic read " << topics().base() << "/cmd/#\n" << topic;
    broker = std::make_unique<Broker>("acl_file " + (folder.path() / "acl").string());
    uri = broker->uri();
  };
  SUBCASE("a look-up that hangs") {
    std::tie(uri, step, fault) = std::tuple{"mqtt://county.example", "resolve", "name-hangs"};
    look_up = [over, ended = over->get_future().share()](const std::string&) -> hamlet::Result<std::vector<std::string>> {
      ended.wait();
      return hamlet::fail(hamlet::Errc::unavailable, "too late");
    };
  }
  SUBCASE("a name that nobody knows") {
    std::tie(uri, step, fault) = std::tuple{"mqtt://county.example", "resolve", "name-unknown"};
    look_up = [](const std::string&) -> hamlet::Result<std::vector<std::string>> { return hamlet::fail(hamlet::Errc::not_found, "no such name"); };
  }
  SUBCASE("a captive portal") {
    behave({.says = "HTTP/1.1 302 Found\r\nLocation: http://login.example/\r\n\r\n"});
    std::tie(step, fault) = std::tuple{"login", "portal"};
  }
  SUBCASE("a broker that never answers") {
    behave({.answers_connect = false});
    std::tie(step, fault) = std::tuple{"login", "no-answer"};
  }
  SUBCASE("a wrong password") {
    behave({.connack = 0x86});
    std::tie(step, fault) = std::tuple{"login", "bad-login"};
  }
  SUBCASE("no right to publish") {
    allow("");
    std::tie(step, fault) = std::tuple{"publish", "no-access"};
  }
  SUBCASE("no right to read it back: no fault") {
    allow("topic write " + topics().base() + "/#\n");
    step = "round-trip";
  }
  Box box{uri, [&](auto& options) {
    options.connect_deadline = 4s;
    options.protocol = hamlet::wire::MqttProtocol::v5;
    options.backoff_base = options.backoff_max = 30s;  // out of the way of the test, which a false broker serves alone
    options.look_up = look_up;
  }};
  box.uplink->start();
  REQUIRE(box.run_until([&] { return box.state() == "online" || box.uplink->status().contains("fault"); }));
  const auto last = test_of(box)["steps"].back();
  CHECK(last["step"] == step);
  CHECK_MESSAGE(last.value("fault", "") == fault, last.dump());
  CHECK(last["ok"].is_null() == fault.empty());
  CHECK(!last["text"]["zh"].get<std::string>().empty());
  box.close();
  over->set_value();
}

TEST_CASE("a captive portal, a wrong port and a refused login are told in words") {
  SUBCASE("a web server answers") {
    FalseBroker portal{{.says = "HTTP/1.1 302 Found\r\nLocation: http://login.example/\r\n\r\n"}};
    Box box{portal.uri()};
    box.uplink->start();
    CHECK(told(box, "portal"));
  }
  SUBCASE("nobody listens") {
    Box box{"mqtt://127.0.0.1:" + std::to_string(hamlet::support::free_port())};
    box.uplink->start();
    CHECK(told(box, "not-reached"));
    CHECK(test_of(box)["steps"].back()["step"] == "connect");
  }
  SUBCASE("the login is refused: no hammering") {
    FalseBroker broker{{.connack = 0x86}};
    Box box{broker.uri(), [](auto& options) { options.protocol = hamlet::wire::MqttProtocol::v5; }};
    box.uplink->start();
    CHECK(told(box, "bad-login"));
    const auto logins = broker.logins();
    // Ten times as long as it would wait for a link.
    (void)box.run_until([] { return false; }, 2s);
    CHECK(broker.logins() == logins);
  }
}

TEST_CASE("quota exceeded backs off, and goes on where it was") {
  std::atomic<bool> full = true;
  FalseBroker broker{{.puback = [&](std::uint64_t n) { return full && n > 10 ? 0x97 : 0; }}};
  Box box{broker.uri(), [](auto& options) {
    options.protocol = hamlet::wire::MqttProtocol::v5;
    options.backoff_quota = 500ms;
  }};
  box.read(100, Urgency::now);
  box.uplink->start();
  CHECK(told(box, "quota"));
  CHECK(box.uplink->status()["lanes"]["tele"]["pending"] > 0);
  full = false;
  CHECK(box.drained());
}

TEST_CASE("a broker that never answers, and one that drops each hundredth publish, lose nothing") {
  SUBCASE("no answer to the login") {
    FalseBroker broker{{.answers_connect = false}};
    Box box{broker.uri(), [](auto& options) { options.connect_deadline = 1s; }};
    box.uplink->start();
    CHECK(told(box, "no-answer"));
  }
  SUBCASE("no acknowledgement") {
    FalseBroker broker{{.puback = [](auto) { return FalseBroker::kSilent; }}};
    Box box{broker.uri(), [](auto& options) { options.keepalive = 2s; }};
    box.read(10, Urgency::now);
    box.uplink->start();
    CHECK(told(box, "half-open"));
    CHECK(box.uplink->status()["lanes"]["tele"]["pending"] == 10);
  }
  SUBCASE("dropped each hundredth") {
    FalseBroker broker{{.puback = [](std::uint64_t n) { return n % 100 == 0 ? FalseBroker::kDrop : 0; }}};
    Box box{broker.uri()};
    box.read(500, Urgency::now);
    box.uplink->start();
    CHECK(box.drained());
    CHECK(box.uplink->status()["reconnects"] >= 5);
  }
}

TEST_CASE("another broker takes over, and the first has the box back when it can be reached") {
  Broker first;
  Broker second;
  Box box{first.uri(), [&](auto& options) {
    options.fallback_brokers = {second.uri()};
    options.return_after = 500ms;
  }};
  box.uplink->start();
  REQUIRE(box.online());
  CHECK(box.uplink->status()["broker"] == first.uri());
  first.kill();
  box.read(50, Urgency::now);
  REQUIRE(box.run_until([&] { return box.state() == "online" && box.uplink->status()["broker"] == second.uri(); }));
  REQUIRE(box.drained());
  first.start();
  REQUIRE(box.run_until([&] { return box.state() == "online" && box.uplink->status()["broker"] == first.uri(); }));
}
