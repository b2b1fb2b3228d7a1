#include "firmware/control/peer.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <unistd.h>

using namespace hamlet::control;

namespace {

const Gates kGates{.own = 990, .read = 1001, .change = 1002};

}  // namespace

TEST_CASE("groups open the gates") {
  struct Row {
    const char* who;
    Peer peer;
    bool read;
    bool change;
  };
  const std::vector<Row> rows{
      {"root", {0, {0}}, true, true},
      {"the daemon's own user", {990, {990}}, true, true},
      {"a reader", {2000, {2000, 1001}}, true, false},
      {"a reader by primary group", {2000, {1001}}, true, false},
      {"a technician", {2000, {2000, 1001, 1002}}, true, true},
      {"anybody else", {2000, {2000, 100}}, false, false},
  };
  for (const auto& row : rows) {
    CAPTURE(row.who);
    const auto caller = admit(row.peer, kGates);
    CHECK(caller.may_read == row.read);
    CHECK(caller.may_change == row.change);
    CHECK(caller.origin == Caller::Origin::local);
    CHECK(caller.name.find(std::to_string(row.peer.uid)) != std::string::npos);
  }
}

TEST_CASE("a group that the machine does not have lets nobody in") {
  const Gates gates{.own = 990, .read = {}, .change = {}};
  CHECK(!admit({2000, {2000}}, gates).may_read);
  CHECK(admit({990, {990}}, gates).may_change);
  CHECK(!find_group("no-such-group-of-hamlet").has_value());
  CHECK(find_group("root") == gid_t{0});
}

TEST_CASE("the kernel tells who is at the other end") {
  int ends[2];
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  const auto peer = read_peer(ends[0]);
  REQUIRE(peer.has_value());
  CHECK(peer->uid == geteuid());
  CHECK(std::find(peer->groups.begin(), peer->groups.end(), getegid()) != peer->groups.end());
  close(ends[0]);
  close(ends[1]);
  CHECK(!read_peer(-1).has_value());
}
