#include "firmware/control/server.hpp"

#include <fstream>
#include <future>

#include <doctest/doctest.h>
#include <sys/stat.h>

#include "tests/integration/control/daemon_in_test.hpp"
#include "tests/integration/control/raw_socket.hpp"
#include "tests/support/process.hpp"

using hamlet::Errc;
using hamlet::Millis;
using hamlet::control::Access;
using hamlet::control::Caller;
using hamlet::control::Reply;
using hamlet::control::ServerOptions;
using hamlet::support::DaemonInTest;
using hamlet::support::RawSocket;
using hamlet::support::TempDir;
using nlohmann::json;

namespace {

constexpr std::size_t kLarge = 4'000'000;  // more than a socket's buffers take

// A daemon with a few verbs, in a folder of its own.
struct Fixture {
  TempDir dir;
  std::filesystem::path path = dir.path() / "control.sock";
  std::promise<void> began;
  DaemonInTest daemon;
  Reply kept;  // of the verb "slow"; its deadline is of the daemon's

  Fixture() {
    auto& table = daemon.table();
    table.add(
        {"echo", Access::read, false, "", [](const json& args, const Caller&, const Reply& reply) { reply(args); }});
    table.add({"large", Access::read, false, "", [](const json&, const Caller&, const Reply& reply) {
                 reply(json{{"a", std::string(kLarge, 'a')}});
               }});
    table.add({"slow", Access::read, false, "", [this](const json&, const Caller&, Reply reply) {
                 kept = std::move(reply);
                 began.set_value();
               }});
  }
  void start(ServerOptions options = {}) { REQUIRE(daemon.start(path, std::move(options)).has_value()); }
};

json parsed(const std::string& line) {
  REQUIRE(!line.empty());
  return json::parse(line);
}

}  // namespace

TEST_CASE("the socket is for its group and nobody else") {
  Fixture f;
  f.start();
  struct stat info {};
  REQUIRE(stat(f.path.c_str(), &info) == 0);
  CHECK(S_ISSOCK(info.st_mode));
  CHECK((info.st_mode & 07777U) == 0660U);
}

TEST_CASE("the folder of the socket is made where it is absent") {
  Fixture f;
  f.path = f.dir.path() / "run" / "control.sock";
  f.start();
  RawSocket client{f.path};
  client.send("{\"verb\":\"echo\"}\n");
  CHECK(parsed(client.line())["ok"] == true);
}

TEST_CASE("requests may come in pieces, or several at once") {
  Fixture f;
  f.start();
  RawSocket client{f.path};
  SUBCASE("in pieces") {
    for (const char byte : std::string{"{\"verb\":\"echo\",\"args\":{\"a\":1}}\n"}) client.send({&byte, 1});
    CHECK(parsed(client.line())["result"]["a"] == 1);
  }
  SUBCASE("several at once, answered in order") {
    client.send("{\"verb\":\"echo\",\"id\":1}\n{\"verb\":\"nothing\",\"id\":2}\n{\"verb\":\"echo\",\"id\":3}\n{\"ve");
    CHECK(parsed(client.line())["id"] == 1);
    const auto second = parsed(client.line());
    CHECK(second["id"] == 2);
    CHECK(second["code"] == "not-found");
    CHECK(parsed(client.line())["id"] == 3);
    client.send("rb\":\"echo\",\"id\":4}\n");
    CHECK(parsed(client.line())["id"] == 4);
  }
  SUBCASE("nonsense is answered, and the next request still is") {
    client.send("status\n{\"verb\":\"echo\"}\n");
    CHECK(parsed(client.line())["code"] == "invalid");
    CHECK(parsed(client.line())["ok"] == true);
  }
}

TEST_CASE("a request beyond its bound is refused and the client let go") {
  Fixture f;
  f.start();
  RawSocket client{f.path};
  client.send(std::string(hamlet::control::kMaxRequestBytes + 1, 'x'));
  CHECK(parsed(client.line())["code"] == "invalid");
  CHECK(client.line().empty());
}

TEST_CASE("one client too many is told so, and there is room again when another leaves") {
  Fixture f;
  f.start({.max_connections = 2});
  auto first = std::make_unique<RawSocket>(f.path);
  RawSocket second{f.path};
  for (auto* client : {first.get(), &second}) {
    client->send("{\"verb\":\"echo\"}\n");
    CHECK(parsed(client->line())["ok"] == true);
  }
  {
    RawSocket third{f.path};
    CHECK(parsed(third.line())["code"] == "full");
    CHECK(third.line().empty());
  }
  first.reset();
  while (f.daemon.connections() == 2) std::this_thread::yield();
  RawSocket again{f.path};
  again.send("{\"verb\":\"echo\"}\n");
  CHECK(parsed(again.line())["ok"] == true);
}

TEST_CASE("a client that says nothing is let go") {
  Fixture f;
  f.start({.idle = Millis{20}});
  RawSocket client{f.path};
  client.send("{\"verb\":");
  CHECK(client.line().empty());
}

TEST_CASE("a client that does not take its answer is let go, and others are served meanwhile") {
  Fixture f;
  f.start({.write = Millis{100}});
  RawSocket stuck{f.path};
  stuck.send("{\"verb\":\"large\"}\n");
  RawSocket other{f.path};
  other.send("{\"verb\":\"echo\"}\n");
  CHECK(parsed(other.line())["ok"] == true);
  stuck.wait_for_hangup();
  CHECK(stuck.drain() < kLarge);
}

TEST_CASE("answers that nobody takes do not fill the memory") {
  Fixture f;
  f.start({.max_pending_bytes = kLarge + 1000});
  RawSocket stuck{f.path};
  stuck.send("{\"verb\":\"large\"}\n");
  stuck.wait_for_bytes();
  RawSocket other{f.path};
  other.send("{\"verb\":\"large\"}\n");
  CHECK(parsed(other.line())["code"] == "full");
  CHECK(parsed(stuck.line())["ok"] == true);
  stuck.send("{\"verb\":\"echo\"}\n");
  CHECK(parsed(stuck.line())["ok"] == true);
  // Taken: there is room again.
  other.send("{\"verb\":\"large\"}\n");
  CHECK(parsed(other.line())["ok"] == true);
}

TEST_CASE("a client that has gone does not hurt the verb that it began") {
  Fixture f;
  f.start();
  {
    RawSocket client{f.path};
    client.send("{\"verb\":\"slow\"}\n");
    f.began.get_future().wait();
  }
  RawSocket other{f.path};
  other.send("{\"verb\":\"echo\"}\n");
  CHECK(parsed(other.line())["ok"] == true);
  boost::asio::post(f.daemon.io(), [&f] { f.kept(json::object()); });
  other.send("{\"verb\":\"echo\"}\n");
  CHECK(parsed(other.line())["ok"] == true);
}

TEST_CASE("the socket of a crashed daemon is replaced") {
  Fixture f;
  const int crashed = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const auto address = hamlet::support::unix_address(f.path);
  REQUIRE(bind(crashed, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  close(crashed);
  REQUIRE(std::filesystem::exists(f.path));
  f.start();
  RawSocket client{f.path};
  client.send("{\"verb\":\"echo\"}\n");
  CHECK(parsed(client.line())["ok"] == true);
}

TEST_CASE("the socket of a live daemon is not") {
  Fixture f;
  f.start();
  DaemonInTest second;
  const auto started = second.start(f.path);
  REQUIRE(!started.has_value());
  CHECK(started.error().code == Errc::unavailable);
  RawSocket client{f.path};
  client.send("{\"verb\":\"echo\"}\n");
  CHECK(parsed(client.line())["ok"] == true);
}

TEST_CASE("a file that is no socket is never removed") {
  Fixture f;
  std::ofstream{f.path} << "precious";
  const auto started = f.daemon.start(f.path);
  REQUIRE(!started.has_value());
  CHECK(started.error().code == Errc::invalid);
  CHECK(std::filesystem::file_size(f.path) == 8);
}

TEST_CASE("a path that does not fit a socket's address is told in words") {
  Fixture f;
  const auto started = f.daemon.start(f.dir.path() / std::string(120, 'x'));
  REQUIRE(!started.has_value());
  CHECK(started.error().code == Errc::invalid);
}

TEST_CASE("stop lets everybody go and removes the file, and start works again") {
  Fixture f;
  f.start();
  RawSocket client{f.path};
  client.send("{\"verb\":\"slow\"}\n{\"verb\":\"echo\"}\n");
  f.began.get_future().wait();
  f.daemon.stop();
  f.daemon.stop();
  CHECK(client.line().empty());
  CHECK(!std::filesystem::exists(f.path));
  f.start();
  RawSocket again{f.path};
  again.send("{\"verb\":\"echo\"}\n");
  CHECK(parsed(again.line())["ok"] == true);
}
