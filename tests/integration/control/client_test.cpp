#include "firmware/control/client.hpp"

#include <thread>

#include <doctest/doctest.h>

#include "tests/integration/control/daemon_in_test.hpp"
#include "tests/integration/control/raw_socket.hpp"
#include "tests/support/process.hpp"

using hamlet::Millis;
using hamlet::control::Access;
using hamlet::control::call;
using hamlet::control::Caller;
using hamlet::control::CallFailure;
using hamlet::control::Reply;
using hamlet::support::DaemonInTest;
using hamlet::support::TempDir;
using nlohmann::json;

namespace {

// Somebody who is not hamletd: takes one connection, says something and hangs up, or keeps quiet.
class Impostor {
 public:
  Impostor(const std::filesystem::path& path, std::string says, bool hangs_up)
      : listener_{socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)} {
    const auto address = hamlet::support::unix_address(path);
    REQUIRE(bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(listen(listener_, 1) == 0);
    thread_ = std::thread{[this, says = std::move(says), hangs_up] {
      const int client = accept(listener_, nullptr, nullptr);
      static_cast<void>(::send(client, says.data(), says.size(), MSG_NOSIGNAL));
      char byte = 0;
      while (!hangs_up && recv(client, &byte, 1, 0) > 0) {
      }
      close(client);
    }};
  }
  ~Impostor() {
    thread_.join();
    close(listener_);
  }
  Impostor(const Impostor&) = delete;
  Impostor& operator=(const Impostor&) = delete;

 private:
  int listener_;
  std::thread thread_;
};

CallFailure::Kind kind_of(const tl::expected<json, CallFailure>& result) {
  REQUIRE(!result.has_value());
  CHECK(!result.error().failure.text.zh.empty());
  CHECK(!result.error().failure.text.en.empty());
  return result.error().kind;
}

}  // namespace

TEST_CASE("a call brings the result back, however large") {
  const TempDir dir;
  DaemonInTest daemon;
  daemon.table().add({"echo", Access::read, false, "", [](const json& args, const Caller&, const Reply& reply) {
                        reply(json{{"args", args}, {"padding", std::string(8'000'000, 'p')}});
                      }});
  REQUIRE(daemon.start(dir.path() / "s").has_value());
  const auto result = call(dir.path() / "s", "echo", {{"point", "river.level"}});
  REQUIRE(result.has_value());
  CHECK((*result)["args"]["point"] == "river.level");
}

TEST_CASE("a call tells unreachable from failed") {
  const TempDir dir;
  const auto path = dir.path() / "s";
  SUBCASE("nobody was ever there") {
    CHECK(kind_of(call(path, "status", {})) == CallFailure::Kind::unreachable);
  }
  SUBCASE("the daemon crashed and left its socket") {
    const int crashed = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const auto address = hamlet::support::unix_address(path);
    REQUIRE(bind(crashed, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    close(crashed);
    CHECK(kind_of(call(path, "status", {})) == CallFailure::Kind::unreachable);
  }
  SUBCASE("it hangs") {
    const Impostor impostor{path, "", false};
    CHECK(kind_of(call(path, "status", {}, Millis{20})) == CallFailure::Kind::unreachable);
  }
  SUBCASE("it hangs within a line") {
    const Impostor impostor{path, R"({"ok":true,)", false};
    CHECK(kind_of(call(path, "status", {}, Millis{20})) == CallFailure::Kind::unreachable);
  }
  SUBCASE("it hangs up") {
    const Impostor impostor{path, "", true};
    CHECK(kind_of(call(path, "status", {})) == CallFailure::Kind::unreachable);
  }
  SUBCASE("it refuses at the door, before it has read the request") {
    const Impostor impostor{path, "{\"ok\":false,\"code\":\"denied\",\"error\":{\"zh\":\"不行\",\"en\":\"no\"}}\n",
                            true};
    CHECK(kind_of(call(path, "status", {{"a", std::string(60'000, 'a')}})) == CallFailure::Kind::denied);
  }
  SUBCASE("it speaks another language") {
    const Impostor impostor{path, "220 mail.example ESMTP\n", false};
    CHECK(kind_of(call(path, "status", {})) == CallFailure::Kind::failed);
  }
  SUBCASE("the path cannot be one") {
    CHECK(kind_of(call("/" + std::string(200, 'x'), "status", {})) == CallFailure::Kind::failed);
  }
  SUBCASE("the request is too large to be sent") {
    CHECK(kind_of(call(path, "status", {{"a", std::string(100'000, 'a')}})) == CallFailure::Kind::failed);
  }
}

TEST_CASE("the daemon's own words arrive") {
  const TempDir dir;
  DaemonInTest daemon;
  daemon.table().add({"find", Access::read, false, "", [](const json&, const Caller&, const Reply& reply) {
                        reply(hamlet::refuse(hamlet::Errc::not_found, {"没有这个测点", "no such point"}));
                      }});
  REQUIRE(daemon.start(dir.path() / "s").has_value());
  const auto result = call(dir.path() / "s", "find", {});
  CHECK(kind_of(result) == CallFailure::Kind::failed);
  CHECK(result.error().failure.code == hamlet::Errc::not_found);
  CHECK(result.error().failure.text.zh == "没有这个测点");
}
