#include "firmware/control/server.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>

#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "firmware/control/peer.hpp"
#include "firmware/control/protocol.hpp"
#include "firmware/control/texts.hpp"
#include "firmware/core/log.hpp"

namespace hamlet::control {
namespace {

namespace asio = boost::asio;
namespace fs = std::filesystem;
using asio::local::stream_protocol;
using ErrorCode = boost::system::error_code;

// After a failed accept (no descriptors left): nothing to hurry for.
constexpr Millis kAcceptPause{500};
constexpr mode_t kSocketMode = 0660;

std::string errno_text() {
  return std::strerror(errno);
}  // NOLINT(concurrency-mt-unsafe): glibc's is safe

class Connection;

// What the connections of one server share. It outlives the server while handlers are in flight.
struct Shared {
  const VerbTable* table = nullptr;  // null once stopped
  ServerOptions options;
  std::set<std::shared_ptr<Connection>> connections;
  std::size_t pending_bytes = 0;  // answers being written
};

// One client: reads a request, runs it, writes the answer, reads the next. A client that goes away or stalls is closed.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(stream_protocol::socket socket, std::shared_ptr<Shared> shared, Caller caller)
      : socket_{std::move(socket)},
        deadline_{socket_.get_executor()},
        shared_{std::move(shared)},
        caller_{std::move(caller)} {}

  void read() {
    wait(shared_->options.idle);
    asio::async_read_until(
        socket_, asio::dynamic_buffer(inbox_, kMaxRequestBytes), '\n',
        [self = shared_from_this()](const ErrorCode& error, std::size_t size) { self->on_request(error, size); });
  }

  void close() {
    deadline_.cancel();
    ErrorCode ignored;
    socket_.close(ignored);
    shared_->connections.erase(shared_from_this());
  }

 private:
  void on_request(const ErrorCode& error, std::size_t size) {
    stop_waiting();
    if (error == asio::error::operation_aborted || shared_->table == nullptr) return;
    if (error == asio::error::not_found) {  // the inbox is full and has no newline
      last_ = true;
      return answer(refuse(Errc::invalid, texts::request_too_long()), nullptr);
    }
    if (error) return close();
    auto request = decode_request(std::string_view{inbox_}.substr(0, size - 1));
    inbox_.erase(0, size);
    if (!request) return answer(tl::unexpected(request.error()), nullptr);
    // A verb holds on to the connection weakly: it may take longer than the client stays.
    shared_->table->run(caller_, request->verb, request->args,
                        [weak = weak_from_this(), id = std::move(request->id)](Answer result) {
                          if (const auto self = weak.lock()) self->answer(result, id);
                        });
  }

  void answer(const Answer& result, const nlohmann::json& id) {
    if (!socket_.is_open()) return;
    outbox_ = encode_answer(result, id);
    if (shared_->pending_bytes + outbox_.size() > shared_->options.max_pending_bytes) {
      outbox_ = encode_answer(refuse(Errc::full, texts::too_much_pending()), id);
    }
    shared_->pending_bytes += outbox_.size();
    wait(shared_->options.write);
    asio::async_write(socket_, asio::buffer(outbox_),
                      [self = shared_from_this()](const ErrorCode& error, std::size_t) { self->on_written(error); });
  }

  void on_written(const ErrorCode& error) {
    shared_->pending_bytes -= outbox_.size();
    outbox_ = {};
    stop_waiting();
    if (error == asio::error::operation_aborted || shared_->table == nullptr) return;
    if (error || last_) return close();
    read();
  }

  void wait(Millis limit) {
    deadline_.expires_after(limit);
    deadline_.async_wait([weak = weak_from_this()](const ErrorCode& error) {
      if (error == asio::error::operation_aborted) return;
      if (const auto self = weak.lock()) self->on_deadline();
    });
  }

  void stop_waiting() { deadline_.expires_at(asio::steady_timer::time_point::max()); }
  // The wait may be over, or a new one have begun, between the expiry and this call.
  void on_deadline() {
    if (deadline_.expiry() <= asio::steady_timer::clock_type::now()) close();
  }

  stream_protocol::socket socket_;
  asio::steady_timer deadline_;
  std::shared_ptr<Shared> shared_;
  Caller caller_;
  std::string inbox_;
  std::string outbox_;
  bool last_ = false;  // close after this answer
};

}  // namespace

struct Server::Impl : std::enable_shared_from_this<Server::Impl> {
  Impl(asio::io_context& io, fs::path where, const VerbTable& verbs, ServerOptions settings)
      : path{std::move(where)}, table{verbs}, options{std::move(settings)}, acceptor{io}, pause{io} {}

  Status take_lock();
  Status remove_stale() const;
  Status open_socket();
  Status give_to_group() const;
  void accept();
  void on_accept(const ErrorCode& error, stream_protocol::socket socket);
  void admit_client(stream_protocol::socket socket);
  static void turn_away(stream_protocol::socket& socket, const Failure& failure);

  fs::path path;
  const VerbTable& table;
  ServerOptions options;
  Gates gates;
  stream_protocol::acceptor acceptor;
  asio::steady_timer pause;
  std::shared_ptr<Shared> shared;  // null while stopped
  int lock = -1;
  bool accept_failed = false;
};

Server::Server(asio::io_context& io, fs::path path, const VerbTable& table, ServerOptions options)
    : impl_{std::make_shared<Impl>(io, std::move(path), table, std::move(options))} {}

Server::~Server() {
  stop();
}

std::size_t Server::connections() const {
  return impl_->shared ? impl_->shared->connections.size() : 0;
}

Status Server::start() {
  auto& impl = *impl_;
  impl.gates = {geteuid(), find_group(impl.options.read_group), find_group(impl.options.change_group)};
  auto ready = impl.take_lock().and_then([&impl] { return impl.remove_stale(); }).and_then([&impl] {
    return impl.open_socket();
  });
  if (!ready) {
    stop();
    return fail(std::move(ready).error().in("control socket"));
  }
  impl.shared = std::make_shared<Shared>(Shared{&impl.table, impl.options, {}, 0});
  impl.accept();
  return {};
}

void Server::stop() {
  auto& impl = *impl_;
  impl.pause.cancel();
  ErrorCode ignored;
  if (impl.acceptor.is_open()) {
    impl.acceptor.close(ignored);
    unlink(impl.path.c_str());
  }
  if (const auto shared = std::exchange(impl.shared, nullptr)) {
    shared->table = nullptr;
    const auto connections = std::exchange(shared->connections, {});
    for (const auto& connection : connections) connection->close();
  }
  if (impl.lock >= 0) ::close(std::exchange(impl.lock, -1));
}

// The kernel drops the lock with the process, however it ends; so whoever holds it is alive, and the socket is ours to
// replace.
Status Server::Impl::take_lock() {
  std::error_code error;
  if (path.has_parent_path()) fs::create_directories(path.parent_path(), error);
  if (error) return fail(Errc::failed, fmt::format("cannot make {}: {}", path.parent_path().string(), error.message()));
  const auto name = path.string() + ".lock";
  lock = ::open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (lock < 0) {
    const auto code = errno == EACCES || errno == EPERM ? Errc::denied : Errc::failed;
    return fail(code, fmt::format("cannot open {}: {}", name, errno_text()));
  }
  if (flock(lock, LOCK_EX | LOCK_NB) == 0) return {};
  return fail(Errc::unavailable, fmt::format("another hamletd is using {}; stop it first", path.string()));
}

Status Server::Impl::remove_stale() const {
  struct stat info {};
  if (lstat(path.c_str(), &info) != 0) return {};
  if (!S_ISSOCK(info.st_mode)) {
    return fail(Errc::invalid, fmt::format("{} exists and is not a socket; move it away", path.string()));
  }
  if (unlink(path.c_str()) == 0) return {};
  return fail(Errc::denied, fmt::format("cannot replace {}: {}", path.string(), errno_text()));
}

Status Server::Impl::open_socket() {
  const auto name = path.string();
  if (name.size() >= sizeof(sockaddr_un::sun_path)) return fail(Errc::invalid, texts::socket_path_too_long(name).en);
  ErrorCode error;
  acceptor.open(stream_protocol{}, error);
  if (!error) acceptor.bind(stream_protocol::endpoint{name}, error);
  if (error) return fail(Errc::failed, fmt::format("cannot bind {}: {}", name, error.message()));
  // Nobody can connect before listen(), so nobody sees the file with the mode that the umask gave it.
  if (auto given = give_to_group(); !given) return given;
  acceptor.listen(static_cast<int>(options.max_connections), error);
  if (error) return fail(Errc::failed, fmt::format("cannot listen on {}: {}", name, error.message()));
  return {};
}

Status Server::Impl::give_to_group() const {
  if (!gates.read) {
    log::warning("no such group; the control socket is open to root and to the daemon's user only",
                 {{"group", options.read_group}});
  } else if (chown(path.c_str(), static_cast<uid_t>(-1), *gates.read) != 0) {
    log::warning("cannot give the control socket to its group; start the daemon as a member of it",
                 {{"group", options.read_group}, {"error", errno_text()}});
  }
  if (chmod(path.c_str(), kSocketMode) == 0) return {};
  return fail(Errc::failed, fmt::format("cannot set the mode of {}: {}", path.string(), errno_text()));
}

void Server::Impl::accept() {
  acceptor.async_accept([self = shared_from_this()](const ErrorCode& error, stream_protocol::socket socket) {
    self->on_accept(error, std::move(socket));
  });
}

void Server::Impl::on_accept(const ErrorCode& error, stream_protocol::socket socket) {
  if (error == asio::error::operation_aborted || !shared) return;
  if (error) {
    if (!std::exchange(accept_failed, true)) log::error("control socket cannot accept", {{"error", error.message()}});
    pause.expires_after(kAcceptPause);
    pause.async_wait([self = shared_from_this()](const ErrorCode& stopped) {
      if (stopped != asio::error::operation_aborted && self->shared) self->accept();
    });
    return;
  }
  accept_failed = false;
  admit_client(std::move(socket));
  accept();
}

void Server::Impl::admit_client(stream_protocol::socket socket) {
  const auto peer = read_peer(socket.native_handle());
  auto caller = peer ? admit(*peer, gates) : Caller{};
  if (!caller.may_read) return turn_away(socket, {Errc::denied, texts::may_not_read()});
  if (shared->connections.size() >= options.max_connections) {
    return turn_away(socket, {Errc::full, texts::too_many_connections()});
  }
  const auto connection = std::make_shared<Connection>(std::move(socket), shared, std::move(caller));
  shared->connections.insert(connection);
  connection->read();
}

// A new socket has room for a line; where it has not, the client learns from the close.
void Server::Impl::turn_away(stream_protocol::socket& socket, const Failure& failure) {
  const auto line = encode_answer(tl::unexpected(failure));
  static_cast<void>(::send(socket.native_handle(), line.data(), line.size(), MSG_DONTWAIT | MSG_NOSIGNAL));
}

}  // namespace hamlet::control
