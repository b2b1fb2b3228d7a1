// The same outage for Hamlet and for mosquitto's bridge: messages come while the link is down, the machine's program is killed once, the link
// is back. Prints a row of the table in RESULTS.md for each. tests/bench/outage builds and runs it.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <deque>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_set>

#include <boost/asio/io_context.hpp>
#include <fmt/format.h>
#include <mqtt/async_client.h>

#include "firmware/core/clock.hpp"
#include "firmware/core/command_line.hpp"
#include "sync/uplink/uplink.hpp"
#include "tests/support/broker.hpp"
#include "tests/support/process.hpp"

namespace {

using namespace hamlet;
using namespace std::chrono_literals;
using contract::Lane;
using support::Broker;
using Clock = std::chrono::steady_clock;

constexpr int kCommit = 100;        // messages
constexpr auto kQuiet = 10s;        // nothing more comes
const contract::Topics kTopics = contract::Topics::from_division("430124104203", "gw-0017").value();

// ---- Hamlet's side, each part a process of its own ------------------------------------------------------------------------

std::unique_ptr<journal::Journal> open(boost::asio::io_context& io, SystemClock& clock, const std::string& folder) {
  return journal::Journal::open(io, clock, {.directory = folder, .window = Millis{1'000}, .machine_id = std::string(32, 'a'), .boot_id = std::string(32, 'b')}).value();
}

void run_until(boost::asio::io_context& io, const std::function<bool()>& done) {
  while (!done()) {
    io.restart();
    io.run_one_for(5ms);
  }
}

/// Stores so many messages, says so, and waits to be killed.
int store(const std::string& folder, std::uint64_t count) {
  boost::asio::io_context io;
  SystemClock clock{true};
  auto journal = open(io, clock, folder);
  for (std::uint64_t i = 1; i <= count; ++i) {
    Event event{.source = "gateway", .kind = "note", .id = "0123456789abcdef", .at = clock.mono()};
    event.detail = {{"n", i}};
    (void)journal->append(Lane::event, clock.mono(), contract::encode_event(event, clock.mono()), journal::Urgency::window).value();
    if (i % kCommit == 0 || i == count) {
      journal->sync([](const auto&) {});
      run_until(io, [&] { return journal->committed(Lane::event) == i; });
    }
  }
  std::printf("stored\n");
  std::fflush(stdout);
  for (;;) std::this_thread::sleep_for(1h);
}

int send(const std::string& folder, const std::string& broker) {
  boost::asio::io_context io;
  SystemClock clock{true};
  auto journal = open(io, clock, folder);
  uplink::Options options;
  options.enabled = true;
  options.broker = broker;
  uplink::Uplink uplink{io, clock, options, kTopics, *journal,
                        {.meta = [] { return uplink::Hooks::Meta{1, nlohmann::json::object()}; },
                         .alarms = [] { return std::vector<Alarm>{}; },
                         .health = [] { return nlohmann::json::object(); },
                         .command = [](contract::Command, const auto&) {}}};
  uplink.start();
  run_until(io, [] { return false; });
  return 0;
}

// ---- the county ------------------------------------------------------------------------------------------------------------

/// Counts the numbers that come; its session outlives the broker.
class Subscriber {
 public:
  Subscriber(const Broker& broker, std::string field)
      : field_{std::move(field)}, client_{"tcp://127.0.0.1:" + std::to_string(broker.port()), "county", static_cast<mqtt::iclient_persistence*>(nullptr)} {
    client_.set_message_callback([this](const mqtt::const_message_ptr& message) { arrived(message->to_string()); });
    connect();
    client_.subscribe("#", 1)->wait();
  }
  void connect() {
    mqtt::connect_options options;
    options.set_clean_session(false);
    client_.connect(options)->wait();
  }
  void leave() { client_.disconnect()->wait(); }
  /// When the last one came, once nothing more does.
  Clock::time_point wait(std::uint64_t wanted) {
    for (const auto began = Clock::now();;) {
      std::this_thread::sleep_for(20ms);
      const std::lock_guard lock{mutex_};
      if (seen_.size() >= wanted) return last_;
      if (Clock::now() - std::max(began + 30s, last_) > kQuiet) return last_;
    }
  }
  std::uint64_t count() {
    const std::lock_guard lock{mutex_};
    return seen_.size();
  }

 private:
  void arrived(const std::string& payload) {
    const auto at = payload.find(field_);
    if (at == std::string::npos) return;
    const std::lock_guard lock{mutex_};
    if (seen_.insert(std::strtoull(payload.c_str() + at + field_.size(), nullptr, 10)).second) last_ = Clock::now();
  }
  const std::string field_;
  mqtt::async_client client_;
  std::mutex mutex_;
  std::unordered_set<std::uint64_t> seen_;
  Clock::time_point last_{};
};

double megabytes(pid_t pid) {
  std::ifstream file{fmt::format("/proc/{}/status", pid)};
  for (std::string word; file >> word;) {
    if (word != "VmHWM:") continue;
    double kilobytes = 0;
    file >> kilobytes;
    return kilobytes * 1'024 / 1e6;
  }
  return 0;
}

void row(const std::string& who, std::uint64_t lost, double seconds, double memory) {
  fmt::print("| {} | {} | {:.1f} | {:.0f} |\n", who, lost, seconds, memory);
  std::fflush(stdout);
}

void hamlet_outage(std::uint64_t count) {
  const auto self = std::filesystem::read_symlink("/proc/self/exe").string();
  support::TempDir folder;
  Broker county{"max_queued_messages 0"};
  Subscriber subscriber{county, "\"n\":"};
  double memory = 0;
  {
    support::Process storing{{self, "--store", folder.path() / "state", "--count", std::to_string(count)}, folder.path() / "log"};
    while (storing.log().find("stored") == std::string::npos) std::this_thread::sleep_for(50ms);
    memory = megabytes(storing.pid());
    storing.kill();
  }
  const auto back = Clock::now();
  support::Process sending{{self, "--send", folder.path() / "state", "--broker", county.uri()}, folder.path() / "log2"};
  const auto last = subscriber.wait(count);
  row("Hamlet: journal and uplink, 100 messages a commit", count - subscriber.count(), std::chrono::duration<double>(last - back).count(),
      std::max(memory, megabytes(sending.pid())));
}

void mosquitto_outage(std::uint64_t count, const std::string& persistence, const std::string& who) {
  Broker county{"max_queued_messages 0", Broker::Persistence::yes};
  Subscriber subscriber{county, "\"n\":"};
  subscriber.leave();
  county.stop();
  const auto config = fmt::format("max_queued_messages 0\n{}\nconnection county\naddress 127.0.0.1:{}\ntopic # out 1\ncleansession false\nrestart_timeout 1 1\n", persistence, county.port());
  Broker bridge{config, Broker::Persistence::yes};
  {
    mqtt::async_client client{"tcp://127.0.0.1:" + std::to_string(bridge.port()), "village", mqtt::create_options{MQTTVERSION_5, 50}, static_cast<mqtt::iclient_persistence*>(nullptr)};
    client.connect()->wait();
    // The same payload as Hamlet's, numbered; twenty at a time.
    std::deque<mqtt::delivery_token_ptr> window;
    for (std::uint64_t i = 1; i <= count; ++i) {
      const auto payload = fmt::format(
          R"({{"gw":"gw-0017","epoch":"9f2c41d07be1a655","lane":"event","seq":{0},"ts":1795411860123,"tq":"synced","hist":true,"rev":0,"source":"gateway","kind":"note","phase":"once","event":"0123456789abcdef","detail":{{"n":{0}}},"media":[]}})", i);
      window.push_back(client.publish("hamlet/v1/430124/104/203/gw-0017/event/gateway/note", payload, 1, false));
      if (window.size() < 20) continue;
      window.front()->wait();
      window.pop_front();
    }
    for (const auto& each : window) each->wait();
    client.disconnect()->wait();
  }
  auto memory = megabytes(bridge.pid());
  bridge.kill();
  county.start();
  subscriber.connect();
  const auto back = Clock::now();
  bridge.start();
  const auto last = subscriber.wait(count);
  memory = std::max(memory, megabytes(bridge.pid()));
  row(who, count - subscriber.count(), subscriber.count() == 0 ? NAN : std::chrono::duration<double>(last - back).count(), memory);
}

}  // namespace

int main(int argc, char** argv) {
  CommandLine line{"The same outage for Hamlet and for mosquitto's bridge"};
  std::string storing, sending, broker;
  int messages = 200'000;
  line.number("--count", messages, "messages while the link is down", 1'000, 10'000'000);
  line.text("--store", storing, "of its own use");
  line.text("--send", sending, "of its own use");
  line.text("--broker", broker, "of its own use");
  if (const auto ends = line.parse(argc, argv)) return *ends;
  const auto count = static_cast<std::uint64_t>(messages);
  if (!storing.empty()) return store(storing, count);
  if (!sending.empty()) return send(sending, broker);
  fmt::print("| {} messages, killed once | lost | s to drain | peak MB |\n|---|---|---|---|\n", count);
  hamlet_outage(count);
  mosquitto_outage(count, "", "mosquitto's bridge, saving each 1,800 s (its default)");
  mosquitto_outage(count, "autosave_interval 10", "mosquitto's bridge, autosave_interval 10");
  return 0;
}
