// The barometer of ADDING_A_DRIVER.md, built from the page, against a peer that sends its lines.

#include <cstdlib>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>

#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>
#include <doctest/doctest.h>
#include <fmt/format.h>

#include "drivers/barometer/barometer.hpp"
#include "drivers/drivers.hpp"
#include "firmware/core/clock.hpp"

using namespace hamlet;
using namespace hamlet::drivers;
using namespace std::chrono_literals;
using boost::asio::ip::tcp;

namespace {

// The device that the page puts into the config, at another address.
std::string device_of_the_page(std::uint16_t port) {
  const char* const source = std::getenv("HAMLET_SOURCE");
  REQUIRE(source != nullptr);
  std::ifstream page{std::string{source} + "/drivers/ADDING_A_DRIVER.md"};
  const std::string text{std::istreambuf_iterator<char>{page}, {}};
  const auto from = text.find("```toml\n") + 8;
  auto toml = text.substr(from, text.find("```", from) - from);
  const std::string address = "address = \"192.168.1.30\"";
  return toml.replace(toml.find(address), address.size(), fmt::format("address = \"127.0.0.1\"\nport = {}\nperiod = \"1s\"", port));
}

/// Sends its line to whoever connects.
class Peer {
 public:
  explicit Peer(boost::asio::io_context& io) : acceptor_{io, tcp::endpoint{boost::asio::ip::address_v4::loopback(), 0}} { accept(); }
  [[nodiscard]] std::uint16_t port() const { return acceptor_.local_endpoint().port(); }
  std::string line = "1013.25 hPa\n";

 private:
  void accept() {
    acceptor_.async_accept([this](const boost::system::error_code& error, tcp::socket socket) {
      if (error) return;
      boost::system::error_code ignored;
      boost::asio::write(socket, boost::asio::buffer(line), ignored);
      accept();
    });
  }
  tcp::acceptor acceptor_;
};

}  // namespace

TEST_CASE("the guide's example does what the guide says") {
  CHECK(barometer::parse_line("1013.25 hPa\r") == 1013.25);
  CHECK(!barometer::parse_line("nan hPa"));
  CHECK(!barometer::parse_line("1013.25"));

  boost::asio::io_context io;
  Peer peer{io};
  SUBCASE("a pressure") {}
  SUBCASE("a line that is none") { peer.line = "hello\n"; }
  SUBCASE("a line without end") { peer.line = std::string(1000, '1'); }
  const bool good = peer.line.starts_with("1013");

  auto document = config::Document::parse(device_of_the_page(peer.port()), "guide.toml");
  const auto tables = document.root().tables("device");
  REQUIRE(tables.size() == 1);
  const auto& table = tables[0];
  Drivers::Planned planned{.info = {.id = table.id("id"), .driver = table.text("driver"), .name = table.both_or("name", {})},
                           .missing_every = 1min};
  auto blueprint = barometer::read(table, planned.info.id);
  document.finish();
  CHECK(document.ok());
  planned.info.points = blueprint.points;
  planned.build = blueprint.build;

  SystemClock clock;
  std::vector<Reading> readings;
  std::vector<Event> events;
  Drivers::Config config;
  config.push_back(std::move(planned));
  Drivers drivers{io, clock, std::move(config), {.readings = [&](auto batch) { readings.insert(readings.end(), batch.begin(), batch.end()); },
                                                 .event = [&](Event event) { events.push_back(std::move(event)); }}};
  drivers.start();
  const auto until = std::chrono::steady_clock::now() + 20s;
  while (readings.empty() && std::chrono::steady_clock::now() < until) io.run_one_for(5ms);
  REQUIRE(!readings.empty());
  CHECK(readings[0].point == "weather.pressure");
  if (good) {
    CHECK(readings[0].value == Value{1013.25});
    CHECK(drivers.status()[0]["state"] == "up");
  } else {
    CHECK(readings[0].why == "device-down");
    CHECK(events.at(0).kind == "down");
  }
  drivers.stop();
}
