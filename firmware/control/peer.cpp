#include "firmware/control/peer.hpp"

#include <algorithm>
#include <cerrno>

#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <sys/socket.h>

namespace hamlet::control {
namespace {

// Room for an entry of passwd or group; a group with thousands of members needs more than the libc's own estimate.
constexpr std::size_t kEntryBytes = 256 * 1024;

// The groups as they were when the peer connected.
std::optional<std::vector<gid_t>> peer_groups(int socket) {
#ifdef SO_PEERGROUPS
  std::vector<gid_t> groups(64);
  for (int attempt = 0; attempt < 2; ++attempt) {
    auto size = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
    if (getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &size) == 0) {
      groups.resize(size / sizeof(gid_t));
      return groups;
    }
    if (errno != ERANGE) return {};
    groups.resize(size / sizeof(gid_t));  // the kernel says how many there are
  }
#else
  static_cast<void>(socket);
#endif
  return {};
}

std::optional<std::string> user_name(uid_t uid) {
  std::vector<char> room(kEntryBytes);
  passwd entry{};
  passwd* found = nullptr;
  if (getpwuid_r(uid, &entry, room.data(), room.size(), &found) != 0 || found == nullptr) return {};
  return std::string{found->pw_name};
}

// For kernels before 4.13: the groups as the user database has them now.
std::vector<gid_t> database_groups(uid_t uid, gid_t gid) {
  const auto name = user_name(uid);
  if (!name) return {};
  std::vector<gid_t> groups(64);
  auto count = static_cast<int>(groups.size());
  if (getgrouplist(name->c_str(), gid, groups.data(), &count) < 0) {
    groups.resize(static_cast<std::size_t>(count));
    if (getgrouplist(name->c_str(), gid, groups.data(), &count) < 0) return {};
  }
  groups.resize(static_cast<std::size_t>(count));
  return groups;
}

}  // namespace

std::optional<Peer> read_peer(int socket) {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) return {};
  Peer peer{.uid = credentials.uid, .groups = {}};
  const auto groups = peer_groups(socket);
  peer.groups = groups ? *groups : database_groups(credentials.uid, credentials.gid);
  peer.groups.push_back(credentials.gid);
  return peer;
}

std::optional<gid_t> find_group(const std::string& name) {
  std::vector<char> room(kEntryBytes);
  group entry{};
  group* found = nullptr;
  if (getgrnam_r(name.c_str(), &entry, room.data(), room.size(), &found) != 0 || found == nullptr) return {};
  return found->gr_gid;
}

Caller admit(const Peer& peer, const Gates& gates) {
  const auto in = [&peer](std::optional<gid_t> group) {
    return group && std::find(peer.groups.begin(), peer.groups.end(), *group) != peer.groups.end();
  };
  Caller caller;
  const auto name = user_name(peer.uid);
  caller.name = name ? fmt::format("{} (uid {})", *name, peer.uid) : fmt::format("uid {}", peer.uid);
  caller.may_change = peer.uid == 0 || peer.uid == gates.own || in(gates.change);
  caller.may_read = caller.may_change || in(gates.read);
  return caller;
}

}  // namespace hamlet::control
