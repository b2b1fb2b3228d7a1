#include "firmware/control/client.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>

#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "firmware/control/texts.hpp"

namespace hamlet::control {
namespace {

namespace fs = std::filesystem;
using Kind = CallFailure::Kind;

tl::unexpected<CallFailure> fail_call(Kind kind, Errc code, Text text) {
  return tl::unexpected<CallFailure>(CallFailure{kind, {code, std::move(text)}});
}

// One connection for one request, under one deadline.
class Call {
 public:
  Call(const fs::path& path, Millis limit) : path_{path.string()}, end_{std::chrono::steady_clock::now() + limit} {}
  ~Call() {
    if (socket_ >= 0) close(socket_);
  }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  tl::expected<void, CallFailure> open();
  // What the daemon refuses at the door it says before it closes: a write that fails still leaves an answer to be read.
  tl::expected<void, CallFailure> send(std::string_view line);
  tl::expected<std::string, CallFailure> receive();

 private:
  [[nodiscard]] Millis left() const {
    const auto rest = std::chrono::duration_cast<Millis>(end_ - std::chrono::steady_clock::now());
    return std::max(rest, Millis{0});
  }
  // False once the deadline has passed.
  [[nodiscard]] bool wait(short events) const {
    pollfd what{socket_, events, 0};
    for (;;) {
      const int ready = poll(&what, 1, static_cast<int>(std::min(left(), Millis{86'400'000}).count()));
      if (ready >= 0 || errno != EINTR) return ready > 0;
    }
  }
  [[nodiscard]] tl::unexpected<CallFailure> silent() const {
    return fail_call(Kind::unreachable, Errc::timeout, texts::daemon_silent(path_));
  }

  std::string path_;
  std::chrono::steady_clock::time_point end_;
  int socket_ = -1;
};

tl::expected<void, CallFailure> Call::open() {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path_.size() >= sizeof address.sun_path) {
    return fail_call(Kind::failed, Errc::invalid, texts::socket_path_too_long(path_));
  }
  std::copy(path_.begin(), path_.end(), std::begin(address.sun_path));
  socket_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  // A daemon that is too busy to accept makes connect() wait; the deadline holds there as well.
  const auto rest = std::max(left(), Millis{1});
  const timeval limit{rest.count() / 1000, rest.count() % 1000 * 1000};
  if (socket_ >= 0) setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  if (socket_ >= 0 && connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return {};
  if (errno == EACCES || errno == EPERM) return fail_call(Kind::denied, Errc::denied, texts::socket_denied(path_));
  if (errno == EAGAIN) return silent();
  if (errno == ENOENT) return fail_call(Kind::unreachable, Errc::unavailable, texts::no_socket(path_));
  if (errno == ECONNREFUSED) return fail_call(Kind::unreachable, Errc::unavailable, texts::nobody_listens(path_));
  return fail_call(Kind::unreachable, Errc::unavailable,
                   texts::no_daemon(path_, std::strerror(errno)));  // NOLINT(concurrency-mt-unsafe)
}

tl::expected<void, CallFailure> Call::send(std::string_view line) {
  while (!line.empty()) {
    if (!wait(POLLOUT)) return silent();
    const auto sent = ::send(socket_, line.data(), line.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent >= 0) {
      line.remove_prefix(static_cast<std::size_t>(sent));
    } else if (errno != EAGAIN && errno != EINTR) {
      return {};
    }
  }
  return {};
}

tl::expected<std::string, CallFailure> Call::receive() {
  std::string line;
  std::array<char, 64 * 1024> chunk{};
  while (line.size() <= kMaxAnswerBytes) {
    if (!wait(POLLIN)) return silent();
    const auto got = recv(socket_, chunk.data(), chunk.size(), MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (got <= 0) return fail_call(Kind::unreachable, Errc::unavailable, texts::connection_lost(path_));
    line.append(chunk.data(), static_cast<std::size_t>(got));
    if (line.back() == '\n') {
      line.pop_back();
      return line;
    }
  }
  return fail_call(Kind::failed, Errc::invalid, texts::answer_not_understood(path_));
}

}  // namespace

tl::expected<nlohmann::json, CallFailure> call(const fs::path& path, std::string_view verb, nlohmann::json args,
                                               Millis deadline) {
  if (args.is_null()) args = nlohmann::json::object();
  const auto request = encode_request({std::string{verb}, std::move(args), nullptr});
  if (request.size() > kMaxRequestBytes) return fail_call(Kind::failed, Errc::invalid, texts::request_too_long());
  Call call{path, deadline};
  const auto line = call.open().and_then([&] { return call.send(request); }).and_then([&] { return call.receive(); });
  if (!line) return tl::unexpected(line.error());

  auto answer = decode_answer(*line);
  if (!answer) return fail_call(Kind::failed, Errc::invalid, texts::answer_not_understood(path.string()));
  if (*answer) return std::move(**answer);
  const auto kind = answer->error().code == Errc::denied ? Kind::denied : Kind::failed;
  return tl::unexpected(CallFailure{kind, answer->error()});
}

}  // namespace hamlet::control
