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
#include "tests/support/sample_consumer.hpp"

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
  /// The example's lines, with this folder and this port. `queue`: another bound of what is kept for an absent consumer, bytes.
  void start(std::size_t queue = 0) {
    std::ifstream in{file("mosquitto.conf")};
    std::string conf{std::istreambuf_iterator<char>{in}, {}};
    const auto replace = [&](const std::string& from, const std::string& to) {
      for (auto at = conf.find(from); at != std::string::npos; at = conf.find(from, at + to.size())) conf.replace(at, from.size(), to);
    };
    port = hamlet::support::free_port();
    replace("/etc/mosquitto/hamlet", folder.path().string());
    replace("/var/lib/mosquitto/", folder.path().string() + "/");
    if (queue > 0) replace("max_queued_bytes 2147483648", "max_queued_bytes " + std::to_string(queue));
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
    REQUIRE(box.online());  // the broker is there
    auto books = listens("before", 1);
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

TEST_CASE("a box that floods fills what is kept for an absent consumer and no more, and what the other sends arrives in the end") {
  std::string which;
  SUBCASE("Python") { which = "python"; }
  SUBCASE("Node") { which = "node"; }
  constexpr std::size_t kQueue = 4'000'000, kFlood = 40'000'000, kMessage = 200'000;
  CountyBroker county;
  county.start(kQueue);
  const auto command = hamlet::support::sample_consumer(which, "localhost:" + std::to_string(county.port), county.folder.path() / which,
                                                        {"ca", county.file("ca.pem"), "cert", county.file("county.pem"), "key", county.file("county.key")});
  if (command.empty()) return;
  const auto says = [](const hamlet::support::Process& program, const std::string& words) { return program.log().find(words) != std::string::npos; };
  const auto resident = [&] {
    std::size_t all = 0, pages = 0;
    std::ifstream{"/proc/" + std::to_string(county.program->pid()) + "/statm"} >> all >> pages;
    return pages * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  };
  Box box{"mqtts://localhost:1", [&](auto& options) {
    options.broker = county.uri();
    options.tls = county.files("gw-0017");
    options.county_ack = true;
    options.health_every = 1s;
  }};
  box.uplink->start();
  REQUIRE(box.online());
  box.read(20, Urgency::now);
  auto program = std::make_unique<hamlet::support::Process>(command, county.folder.path() / "log-before");
  REQUIRE_MESSAGE(box.run_until([&] { return says(*program, "state gw-0017 online"); }), program->log());
  program->kill();

  Client villain{box.io, county, "gw-0666"};
  REQUIRE(box.run_until([&] { return villain.connected; }));
  const auto before = resident();
  const auto flood = [&](const std::string& below, std::string payload) {
    REQUIRE(box.run_until([&] { return villain.mqtt.window_left() > 0; }));
    REQUIRE(villain.mqtt.publish({.topic = "hamlet/v1/430124/104/203/gw-0666/" + below, .payload = std::move(payload), .retained = below == "state"}));
  };
  flood("state", R"({"state":"online","lanes":{"tele":7}})");
  flood("tele", "nonsense");
  flood("tele", R"({"lane":"tele","epoch":"9f2c41d07be1a655","seq":"x","readings":[]})");
  flood("event/gateway/gap", R"({"lane":"event","epoch":"9f2c41d07be1a655","seq":1,"source":"gateway","kind":"gap",)"
                             R"("detail":{"epoch":"9f2c41d07be1a655","lane":"tele","from":1,"to":900000000000000,"count":1,"reason":"quota"}})");
  for (std::size_t sent = 0; sent < kFlood; sent += kMessage) {
    if (sent % (40 * kMessage) == 0) {
      box.read(60, Urgency::now);
      box.raise();
    }
    flood("tele", std::string(kMessage, 'x'));
  }
  REQUIRE(box.run_until([&] { return villain.mqtt.inflight() == 0; }));
  REQUIRE(box.drained());
  CHECK(box.uplink->status()["reconnects"] == 0);
  CHECK(resident() < before + 3 * kQueue);

  program = std::make_unique<hamlet::support::Process>(command, county.folder.path() / "log-after");
  const bool stored = box.run_until([&] {
    const auto now = box.uplink->status()["county"];
    return now["tele"] == 20 + 5 * 60 && now["alarm"] == 5;
  }, 60s);
  CHECK_MESSAGE(stored, box.uplink->status().dump(), "\n", program->log().substr(0, 2'000));
  CHECK(says(*program, "hole gw-0017 tele"));  // else the flood was none
  CHECK(says(*program, "not understood hamlet/v1/430124/104/203/gw-0666/"));
  CHECK(!says(*program, "LOST gw-0017"));
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

TEST_CASE("a captive portal behind TLS is told in words, whatever it answers with") {
  const std::string page = "HTTP/1.1 302 Found\r\nLocation: http://login.example/\r\n\r\n";
  hamlet::support::TempDir folder;
  std::unique_ptr<FalseBroker> plain;
  std::unique_ptr<hamlet::support::Process> server;
  auto port = hamlet::support::free_port();
  const auto serve = [&](FalseBroker::Manners manners) {
    plain = std::make_unique<FalseBroker>(std::move(manners));
    port = plain->port();
  };
  SUBCASE("a certificate of its own, and a page") {
    const auto file = [&](const char* name) { return (folder.path() / name).string(); };
    const auto make = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=login.example -keyout " + file("key") + " -out " + file("cert") + " 2>/dev/null";
    REQUIRE(std::system(make.c_str()) == 0);
    server = std::make_unique<hamlet::support::Process>(
        std::vector<std::string>{"/usr/bin/openssl", "s_server", "-accept", "127.0.0.1:" + std::to_string(port), "-cert", file("cert"), "-key", file("key"), "-www"},
        folder.path() / "log");
  }
  SUBCASE("plain HTTP on the port of TLS") { serve({.says = page}); }
  SUBCASE("plain HTTP that waits for the end of a request") { serve({.says = page, .once_asked = "\r\n\r\n"}); }
  Box box{"mqtts://localhost:" + std::to_string(port), [](auto& options) {
    options.connect_deadline = 3s;
    options.backoff_base = options.backoff_max = 1h;  // out of the way of the checks: some of these serve one at a time
    options.seed = 1;
  }};
  REQUIRE(box.run_until([&] { return !server || server->log().find("ACCEPT") != std::string::npos; }));
  box.uplink->start();
  CHECK(told(box, "portal"));
  const auto words = [](const json& text) {
    CHECK(text["en"].get<std::string>().find("captive portal") != std::string::npos);
    CHECK(text["zh"].get<std::string>().find("热点认证") != std::string::npos);
  };
  words(box.uplink->status()["trouble"]);
  const auto last = test_of(box)["steps"].back();
  CHECK(last["step"] == "tls");
  CHECK_MESSAGE(last.value("fault", "") == "portal", last.dump());
  words(last["text"]);
}

// Its deadlines used to be those of a quick link.
TEST_CASE("uplink test passes by TLS on a link as slow as 2G") {
  CountyBroker county;
  county.start();
  hamlet::support::Proxy proxy{county.port};
  Box box{"mqtts://localhost:1", [&](auto& options) {
    options.broker = "mqtts://localhost:" + std::to_string(proxy.port());
    options.tls = county.files("gw-0017");
    options.connect_deadline = 20s;
  }};
  box.uplink->start();
  REQUIRE_MESSAGE(box.online(), box.uplink->status().dump());
  proxy.rate(30'000);
  proxy.delay(800ms);
  const auto steps = test_of(box)["steps"];
  REQUIRE_MESSAGE(steps.size() == 6, steps.dump());
  for (const auto& step : steps) CHECK_MESSAGE(step["ok"] == true, step.dump());
  CHECK(steps[2]["ms"] >= 1'600);
}

// What DESIGN asks for 0x10 beyond that, counting it, Paho does not let us: mqtt_client.cpp, trap 11.
TEST_CASE("a broker that says that nobody subscribes stops nothing, and nothing is stored by it") {
  FalseBroker broker{{.puback = [](auto) { return 0x10; }}};
  Box box{broker.uri(), [](auto& options) {
    options.protocol = hamlet::wire::MqttProtocol::v5;
    options.county_ack = true;
  }};
  box.read(50, Urgency::now);
  box.uplink->start();
  CHECK(box.drained());
  CHECK(box.state() == "online");
  CHECK(box.journal->position("county", Lane::tele).prefix == 50);
  CHECK(box.journal->position("county", Lane::tele).stored == 0);
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
