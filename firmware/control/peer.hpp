#pragma once

#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

#include "firmware/control/verb_table.hpp"

namespace hamlet::control {

/// Who is at the other end of a connected Unix socket, as the kernel noted it when it connected.
struct Peer {
  uid_t uid = 0;
  std::vector<gid_t> groups;  ///< primary and supplementary
};

/// Nothing where the kernel does not tell.
[[nodiscard]] std::optional<Peer> read_peer(int socket);

/// What the groups stand for; nothing where the machine does not have one.
struct Gates {
  uid_t own = 0;  ///< the daemon's
  std::optional<gid_t> read;
  std::optional<gid_t> change;
};

[[nodiscard]] std::optional<gid_t> find_group(const std::string& name);

/// Root, the daemon's own user and the change group may do everything, the read group may read, others nothing.
[[nodiscard]] Caller admit(const Peer& peer, const Gates& gates);

}  // namespace hamlet::control
