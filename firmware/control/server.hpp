#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>

#include <boost/asio/io_context.hpp>

#include "firmware/control/verb_table.hpp"
#include "firmware/core/result.hpp"
#include "firmware/core/time.hpp"

namespace hamlet::control {

struct ServerOptions {
  std::string read_group = "hamlet";  ///< owns the socket file: its members may connect and read
  std::string change_group =
      "hamlet-admin";                ///< its members may also change; they must be in read_group too, to connect
  std::size_t max_connections = 32;  ///< one more is refused with an answer that says so
  std::size_t max_pending_bytes = 2 * kMaxAnswerBytes;  ///< answers not yet taken by their clients, together
  Millis idle{60'000};                                  ///< a client without a whole request for so long is let go
  Millis write{30'000};  ///< a client that does not take its answer for so long is let go
};

/// The local socket: AF_UNIX stream, mode 0660, one request a line and one answer a line (protocol.hpp), one at a time
/// per client.
///
/// Root and the daemon's own user may change; everybody else by group, told from the kernel's credentials of the peer
/// at the time it connected. Owned by the composition root, called from the io thread. `path`.lock tells a live daemon
/// from a crashed one: the socket file of a crashed one is replaced, that of a live one is not.
class Server {
 public:
  /// `table` must outlive the server.
  Server(boost::asio::io_context& io, std::filesystem::path path, const VerbTable& table, ServerOptions options = {});
  ~Server();  ///< stop()
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  /// Makes the folder (0755) and the socket and listens. Error unavailable: another daemon holds the path; denied,
  /// invalid, failed.
  [[nodiscard]] Status start();
  /// Closes every connection and removes the socket file. Idempotent.
  void stop();

  [[nodiscard]] std::size_t connections() const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;  // shared with handlers in flight
};

}  // namespace hamlet::control
