#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/integration/drivers/rig.hpp"
#include "tests/support/modbus_simulator.hpp"

using namespace hamlet;
using namespace hamlet::drivers;
using namespace std::chrono_literals;
using support::ModbusSimulator;
using Kind = ModbusSimulator::Kind;
using Fault = ModbusSimulator::Fault;

namespace {

std::string device(const ModbusSimulator& simulator, std::string_view id, std::string_view more = "") {
  return fmt::format(
      "[[device]]\nid = \"{}\"\ndriver = \"modbus\"\naddress = \"127.0.0.1\"\nport = {}\nperiod = \"100ms\"\n"
      "backoff_max = \"1s\"\n{}\n",
      id, simulator.port(), more);
}

std::string point(std::string_view id, std::string_view function, int address, std::string_view more = "") {
  return fmt::format("[[device.point]]\nid = \"{}\"\nfunction = \"{}\"\naddress = {}\n{}\n", id, function, address,
                     more);
}

const std::string kLevel = point("level", "input", 0, "type = \"float32\"");

ModbusSimulator::Request asked(Kind kind, std::uint16_t address, std::uint16_t count) {
  return {1, kind, address, count};
}

// A port of 127.0.0.1 where connecting hangs: somebody listens and never accepts, and the queue is full.
class DeafPort {
 public:
  DeafPort() : listener_{socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)} {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    REQUIRE(bind(listener_, reinterpret_cast<const sockaddr*>(&address), size) == 0);
    REQUIRE(getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    REQUIRE(listen(listener_, 0) == 0);
    port_ = ntohs(address.sin_port);
    while (connects(address)) {
    }
  }
  ~DeafPort() {
    close(listener_);
    for (const int each : queued_) close(each);
  }
  DeafPort(const DeafPort&) = delete;
  DeafPort& operator=(const DeafPort&) = delete;

  [[nodiscard]] std::uint16_t port() const { return port_; }

 private:
  bool connects(const sockaddr_in& address) {
    queued_.push_back(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    (void)connect(queued_.back(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
    pollfd waiting{queued_.back(), POLLOUT, 0};
    return poll(&waiting, 1, 200) == 1;
  }

  int listener_;
  std::uint16_t port_ = 0;
  std::vector<int> queued_;
};

}  // namespace

TEST_CASE("values of every kind, type and order arrive as the device has them") {
  ModbusSimulator simulator;
  simulator.set_bit(Kind::coil, 3, true);
  simulator.set_bit(Kind::discrete, 4, true);
  simulator.set_register(Kind::holding, 10, 0xFF9B);
  simulator.set_registers(Kind::holding, 20, {0x4366, 0x3333});
  simulator.set_registers(Kind::holding, 22, {0x3333, 0x4366});
  simulator.set_registers(Kind::holding, 24, {0x6643, 0x3333});
  simulator.set_registers(Kind::holding, 26, {0x3333, 0x6643});
  simulator.set_registers(Kind::input, 30, {0xFFFF, 0xFFFE});
  simulator.set_registers(Kind::input, 40, {0x4093, 0x4A45, 0x6D5C, 0xFAAD});
  simulator.set_register(Kind::input, 50, 0xFFFF);
  simulator.set_registers(Kind::input, 60, {0x7FC0, 0x0000});

  Rig rig{device(simulator, "plc") + point("coil", "coil", 3) + point("off", "coil", 2) +
          point("discrete", "discrete", 4) +
          point("int16", "holding", 10, "type = \"int16\"\nscale = 0.1\noffset = 1") +
          point("bit", "holding", 10, "type = \"bit\"\nbit = 2") + point("uint16", "holding", 10, "type = \"uint16\"") +
          point("abcd", "holding", 20, "type = \"float32\"") +
          point("cdab", "holding", 22, "type = \"float32\"\norder = \"CDAB\"") +
          point("badc", "holding", 24, "type = \"float32\"\norder = \"BADC\"") +
          point("dcba", "holding", 26, "type = \"float32\"\norder = \"DCBA\"") +
          point("int32", "input", 30, "type = \"int32\"") + point("uint32", "input", 30, "type = \"uint32\"") +
          point("float64", "input", 40, "type = \"float64\"") +
          point("unfitted", "input", 50, "type = \"int16\"\ninvalid = [65535]") +
          point("nan", "input", 60, "type = \"float32\"")};
  REQUIRE(rig.run_until([&] { return rig.readings.size() >= 15; }));

  const auto value = [&](std::string_view name) { return to_string(rig.of(fmt::format("plc.{}", name)).at(0).value); };
  CHECK(value("coil") == "true");
  CHECK(value("off") == "false");
  CHECK(value("discrete") == "true");
  CHECK(value("int16") == "-9.1");
  CHECK(value("bit") == "false");
  CHECK(value("uint16") == "65435");
  for (const auto* order : {"abcd", "cdab", "badc", "dcba"}) CHECK(value(order) == "230.2");
  CHECK(value("int32") == "-2");
  CHECK(value("uint32") == "4294967294");
  CHECK(std::get<double>(rig.of("plc.float64").at(0).value) == doctest::Approx(1234.5678));
  CHECK(rig.of("plc.unfitted").at(0).quality == Quality::missing);
  CHECK(rig.of("plc.unfitted").at(0).why == "invalid-raw");
  CHECK(rig.of("plc.nan").at(0).quality == Quality::missing);
  CHECK(rig.of("plc.nan").at(0).why == "not-a-number");
  CHECK(rig.of("plc.coil").at(0).quality == Quality::good);
  CHECK(rig.state() == "up");
  CHECK(rig.events.empty());
}

TEST_CASE("points of one function are read in one request, on one connection") {
  ModbusSimulator simulator;
  Rig rig{device(simulator, "plc", "unit_id = 9\nbase = 1\nmax_gap = 4") +
          point("a", "holding", 1, "type = \"int16\"") + point("b", "holding", 6, "type = \"float64\"") +
          point("c", "holding", 15, "type = \"int16\"") + point("d", "coil", 1) + point("e", "coil", 3)};
  REQUIRE(rig.run_until([&] { return rig.count("plc.a") >= 3; }));
  const auto requests = simulator.requests();
  REQUIRE(requests.size() >= 9);
  const std::vector<ModbusSimulator::Request> once{
      {9, Kind::coil, 0, 3}, {9, Kind::holding, 0, 9}, {9, Kind::holding, 14, 1}};
  for (std::size_t i = 0; i < 9; ++i) CHECK(requests[i] == once[i % 3]);
  CHECK(simulator.connections() == 1);
}

TEST_CASE("a request that is refused as a whole is split, and that is remembered") {
  ModbusSimulator simulator;
  simulator.set_register(Kind::holding, 4, 44);
  SUBCASE("a hole that may not be read") {
    simulator.forbid(Kind::holding, 2);
    Rig rig{device(simulator, "plc") + point("a", "holding", 0, "type = \"int16\"") +
            point("b", "holding", 4, "type = \"int16\"")};
    CHECK(to_string(rig.next("plc.b").value) == "44");
    CHECK(simulator.requests().at(0) == asked(Kind::holding, 0, 5));
    simulator.forget_requests();
    (void)rig.next("plc.b");
    REQUIRE(simulator.requests().size() >= 2);
    CHECK(simulator.requests()[0] == asked(Kind::holding, 0, 1));
    CHECK(simulator.requests()[1] == asked(Kind::holding, 4, 1));
    CHECK(rig.events.empty());
  }
  SUBCASE("one point that does not exist: the others still have values") {
    simulator.forbid(Kind::holding, 5);
    Rig rig{device(simulator, "plc") + point("a", "holding", 3, "type = \"int16\"") +
            point("b", "holding", 4, "type = \"int16\"") + point("none", "holding", 5, "type = \"int16\"")};
    CHECK(to_string(rig.next("plc.b").value) == "44");
    REQUIRE(rig.run_until([&] { return rig.count("plc.b") >= 5; }));
    REQUIRE(rig.count("plc.none") == 1);  // not at every poll: once a minute
    CHECK(rig.of("plc.none")[0].quality == Quality::missing);
    CHECK(rig.of("plc.none")[0].why == "illegal-address");
    CHECK(rig.state() == "up");
  }
  SUBCASE("more at once than the device can") {
    simulator.limit_count(2);
    Rig rig{device(simulator, "plc") + point("a", "holding", 2, "type = \"int32\"") +
            point("b", "holding", 4, "type = \"int16\"") + point("c", "holding", 5, "type = \"int16\"")};
    CHECK(to_string(rig.next("plc.b").value) == "44");
    CHECK(rig.of("plc.a")[0].quality == Quality::good);
  }
}

TEST_CASE("a device that stops answering is down, once, and up again with the same event") {
  ModbusSimulator simulator;
  simulator.set_float(Kind::input, 0, 2.31F);
  Rig rig{device(simulator, "river", "timeout = \"100ms\"\nretries = 1") + kLevel};
  CHECK(rig.state() == "starting");
  CHECK(to_string(rig.next("river.level").value) == "2.31");
  CHECK(rig.state() == "up");
  CHECK(rig.events.empty());

  std::string why;
  SUBCASE("silent") {
    simulator.set_fault(Fault::silent);
    why = "timeout";
  }
  SUBCASE("too slow") {
    simulator.set_fault(Fault::slow, 300ms);
    why = "timeout";
  }
  SUBCASE("closing the connection") {
    simulator.set_fault(Fault::close);
    why = "closed";
  }
  SUBCASE("answering somebody else's request") {
    simulator.set_fault(Fault::wrong_transaction);
    why = "bad-answer";
  }
  SUBCASE("answering for another unit") {
    simulator.set_fault(Fault::wrong_unit);
    why = "bad-answer";
  }
  SUBCASE("stopping in the middle of an answer") {
    simulator.set_fault(Fault::truncated);
    why = "timeout";
  }
  SUBCASE("sending a byte now and then") {
    simulator.set_fault(Fault::trickle, 60ms);
    why = "timeout";
  }
  SUBCASE("silent behind a gateway that says so") {
    simulator.set_fault(Fault::exception, {}, 0x0B);
    why = "gateway-target";
  }
  CAPTURE(why);
  rig.readings.clear();
  REQUIRE(rig.run_until([&] { return !rig.events.empty(); }));
  REQUIRE(rig.run_until([&] { return rig.drivers->status()[0]["failures"] >= 2; }));
  REQUIRE(rig.events.size() == 1);
  CHECK(rig.events[0].source == "river");
  CHECK(rig.events[0].kind == "down");
  CHECK(rig.events[0].phase == Phase::start);
  CHECK(rig.events[0].detail["why"] == why);
  CHECK_FALSE(rig.events[0].detail["message"].get<std::string>().empty());
  CHECK(rig.drivers->status()[0]["state"] == "down");
  CHECK(rig.drivers->status()[0]["why"] == why);
  auto said = rig.of("river.level");
  std::erase_if(said, [](const Reading& reading) { return reading.quality == Quality::good; });
  REQUIRE(said.size() == 1);
  CHECK(said[0].quality == Quality::missing);
  CHECK(said[0].why == "device-down");
  CHECK(std::holds_alternative<std::monostate>(said[0].value));

  simulator.set_float(Kind::input, 0, 2.5F);
  simulator.set_fault(Fault::none);
  CHECK(to_string(rig.next("river.level").value) == "2.5");
  REQUIRE(rig.events.size() == 2);
  CHECK(rig.events[1].phase == Phase::end);
  CHECK(rig.events[1].id == rig.events[0].id);
  CHECK(rig.events[1].kind == "down");
  CHECK(rig.state() == "up");
  CHECK_FALSE(rig.drivers->status()[0].contains("why"));
}

TEST_CASE("a device that is down says so again every missing_every") {
  ModbusSimulator simulator;
  simulator.set_fault(Fault::close);
  Rig rig{device(simulator, "river", "retries = 0\nmissing_every = \"1s\"") + kLevel};
  REQUIRE(rig.run_until([&] { return rig.count("river.level") >= 3; }));
  const auto said = rig.of("river.level");
  CHECK(said[1].at - said[0].at >= 1s);
  CHECK(said[2].at - said[1].at >= 1s);
  CHECK(said[2].why == "device-down");
  CHECK(rig.events.size() == 1);
}

TEST_CASE("an exception is the device's own word: it is up, its point has no value") {
  ModbusSimulator simulator;
  simulator.set_fault(Fault::exception, {}, 0x04);
  Rig rig{device(simulator, "river") + kLevel};
  const auto reading = rig.next("river.level");
  CHECK(reading.quality == Quality::missing);
  CHECK(reading.why == "device-failure");
  CHECK(rig.state() == "up");
  simulator.set_fault(Fault::none);
  CHECK(rig.next("river.level").quality == Quality::good);
  CHECK(rig.events.empty());
}

TEST_CASE("a device that drops idle connections is asked on a new one, without a failure") {
  ModbusSimulator simulator;
  auto first = std::make_unique<ModbusSimulator>();
  const auto port = first->port();
  Rig rig{device(*first, "river", "retries = 0") + kLevel};
  CHECK(rig.next("river.level").quality == Quality::good);
  first.reset();  // restarted between two polls: its side of the connection is closed
  ModbusSimulator again{port};
  CHECK(rig.next("river.level").quality == Quality::good);
  REQUIRE(rig.run_until([&] { return again.connections() == 1; }));
}

TEST_CASE("nobody there is told apart") {
  auto gone = std::make_unique<ModbusSimulator>();
  const auto config = device(*gone, "river") + kLevel;
  gone.reset();
  Rig rig{config};
  REQUIRE(rig.run_until([&] { return rig.state() == "down"; }));
  CHECK(rig.drivers->status()[0]["why"] == "refused");
}

TEST_CASE("a slow device does not delay another") {
  ModbusSimulator slow;
  ModbusSimulator quick;
  slow.set_fault(Fault::silent);
  Rig rig{device(slow, "slow", "timeout = \"10s\"\nretries = 0") + kLevel + device(quick, "quick") + kLevel};
  REQUIRE(rig.run_until([&] { return !slow.requests().empty(); }));
  rig.readings.clear();
  REQUIRE(rig.run_until([&] { return rig.count("quick.level") >= 10; }, 5s));
  CHECK(rig.count("slow.level") == 0);
  CHECK(rig.state(0) == "starting");
  CHECK(slow.requests().size() == 1);
}

TEST_CASE("stop returns at once while a device hangs, and nothing is said after it") {
  const auto stopped_within = [](Rig& rig) {
    const auto begin = std::chrono::steady_clock::now();
    rig.drivers->stop();
    const auto took = std::chrono::steady_clock::now() - begin;
    rig.drivers->stop();
    const auto said = rig.readings.size() + rig.events.size();
    while (rig.io.poll() > 0) {
    }
    CHECK(rig.readings.size() + rig.events.size() == said);
    return took;
  };
  ModbusSimulator simulator;
  const auto* patient = "timeout = \"30s\"\nretries = 10";
  SUBCASE("waiting for an answer") {
    simulator.set_fault(Fault::silent);
    Rig rig{device(simulator, "river", patient) + kLevel};
    REQUIRE(rig.run_until([&] { return !simulator.requests().empty(); }));
    CHECK(stopped_within(rig) < 5s);
  }
  SUBCASE("in the middle of an answer") {
    simulator.set_fault(Fault::trickle, 500ms);
    Rig rig{device(simulator, "river", patient) + kLevel};
    REQUIRE(rig.run_until([&] { return !simulator.requests().empty(); }));
    CHECK(stopped_within(rig) < 5s);
  }
  SUBCASE("connecting") {
    DeafPort deaf;
    Rig rig{fmt::format("[[device]]\nid = \"river\"\ndriver = \"modbus\"\naddress = \"127.0.0.1\"\nport = {}\n{}\n",
                        deaf.port(), patient) +
            kLevel};
    CHECK(stopped_within(rig) < 5s);
    CHECK(rig.events.empty());
  }
  SUBCASE("with a poll done that nobody has taken yet") {
    Rig rig{device(simulator, "river") + kLevel};
    REQUIRE(rig.run_until([&] { return rig.count("river.level") > 0; }));
    simulator.forget_requests();
    REQUIRE(rig.run_until([&] { return !simulator.requests().empty(); }));
    CHECK(stopped_within(rig) < 5s);
  }
}

TEST_CASE("neighbouring coils that go the same way are switched together, where the device can") {
  constexpr auto kWriteCoils = static_cast<Kind>(15);
  ModbusSimulator simulator;
  bool together = true;
  SUBCASE("it can") {}
  SUBCASE("it knows no such function") {
    simulator.forbid_function(15);
    together = false;
  }
  SUBCASE("it is silent on what it does not know") {
    simulator.forbid_function(15, true);
    together = false;
  }
  std::string outputs;
  for (const int address : {0, 1, 2, 3, 4, 5, 6, 7, 20}) {
    outputs += fmt::format("[[device.output]]\nid = \"c{0}\"\nfunction = \"coil\"\naddress = {0}\n", address);
  }
  Rig rig{device(simulator, "relay", "timeout = \"200ms\"") + point("c", "coil", 900) + outputs};
  REQUIRE(rig.run_until([&] { return rig.count("relay.c") >= 1; }));

  const auto writes = [&](std::optional<Kind> kind = {}) {
    const auto all = simulator.requests();
    return std::count_if(all.begin(), all.end(), [&](const auto& each) {
      return kind ? each.kind == *kind : each.kind == kWriteCoils || each.kind == static_cast<Kind>(5);
    });
  };
  for (int round = 0; round < 2; ++round) {
    simulator.log_answers();
    simulator.forget_requests();
    int confirmed = 0;
    const std::vector<std::pair<int, bool>> orders{{5, true}, {0, true},  {1, true},  {20, true}, {2, true}, {3, true},
                                                   {4, true}, {7, true},  {6, true},  {5, false}, {6, false},
                                                   {5, true}, {6, true},  {7, false}, {0, false}};
    for (const auto& [address, on] : orders) {
      rig.drivers->output(fmt::format("relay.c{}", address))->set(on, [&](const Status& status) {
        CHECK(status);
        ++confirmed;
      });
    }
    REQUIRE(rig.run_until([&] { return confirmed == 15; }));
    for (const int address : {1, 2, 3, 4, 5, 6, 20}) CHECK(simulator.coil(static_cast<std::uint16_t>(address)));
    for (const int address : {0, 7}) CHECK_FALSE(simulator.coil(static_cast<std::uint16_t>(address)));
    std::map<int, std::vector<bool>> wanted;
    std::map<int, std::vector<bool>> seen;
    for (const auto& [address, on] : orders) wanted[address].push_back(on);
    for (const auto& each : simulator.answers()) {
      if (each.written) seen[each.request.address].push_back(*each.written);
    }
    CHECK(seen == wanted);  // each its own, in order
    if (together) {
      CHECK(writes() <= 9);
    } else {
      CHECK(writes(kWriteCoils) == (round == 0 ? 1 : 0));
    }
  }
}
