#include "firmware/daemon/eyes_link.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <csignal>
#include <deque>
#include <map>
#include <random>
#include <utility>

#include <boost/asio/buffer.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <poll.h>
extern "C" {
#include <sys/pidfd.h>  // declares no linkage of its own in glibc 2.36
}
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "firmware/core/id.hpp"
#include "firmware/core/log.hpp"

namespace hamlet::daemon {
namespace asio = boost::asio;

namespace {

using Protocol = asio::local::stream_protocol;
using boost::system::error_code;

constexpr std::size_t kMaxWaitingFrames = 16;  // to eyes: config, stop
constexpr std::size_t kMaxWords = 200;         // of a fault, in bytes
constexpr std::size_t kMaxDetailBytes = 4096;  // of an observation
constexpr Millis kOldest{3'600'000};           // an observation is of the last hour, or its time is wrong
constexpr Millis kChildEnds{1'500};            // after SIGTERM, before SIGKILL
constexpr std::size_t kMaxShots = 8;           // asked for and not come
constexpr Millis kProven{60'000};              // a child that lived for this long begins with the shortest wait again

std::string words(int error) {
  return std::error_code{error, std::generic_category()}.message();
}

// A Unix socket that only its owner may use from the moment it exists.
Result<Protocol::acceptor> listen(asio::io_context& io, const EyesLink::Options& options) {
  const std::string path = options.socket.string();
  const auto failed = [&path](std::string_view doing) {
    return fail(Errc::failed, fmt::format("{} {}: {}", doing, path, words(errno)));
  };
  if (path.size() >= sizeof(sockaddr_un::sun_path)) {
    return fail(Errc::invalid,
                fmt::format("the socket's path {} is longer than {} bytes", path, sizeof(sockaddr_un::sun_path) - 1));
  }
  struct stat present {};
  if (lstat(path.c_str(), &present) == 0 && S_ISSOCK(present.st_mode)) unlink(path.c_str());  // of a run before

  Protocol::acceptor acceptor{io};
  error_code error;
  acceptor.open({}, error);
  if (error) return fail(Errc::failed, fmt::format("make a socket: {}", error.message()));
  if (fchmod(acceptor.native_handle(), S_IRUSR | S_IWUSR) != 0) return failed("set the mode of");
  acceptor.bind(Protocol::endpoint{path}, error);
  if (!error) acceptor.listen(4, error);
  if (error) return fail(Errc::failed, fmt::format("listen on {}: {}", path, error.message()));
  if (options.socket_group) {
    if (lchown(path.c_str(), static_cast<uid_t>(-1), *options.socket_group) != 0) return failed("give to its group");
    if (chmod(path.c_str(), S_IRUSR | S_IWUSR | S_IRGRP | S_IWGRP) != 0) return failed("set the mode of");
  }
  return acceptor;
}

// In the child, between fork and exec: system calls only.
[[noreturn]] void become(const char* program, const char* socket, pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(127);  // it died before that took effect
  setpgid(0, 0);                        // a Ctrl-C is for the daemon, which then ends us
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  close_range(3, ~0U, 0);
  std::array<const char*, 4> arguments{program, "--socket", socket, nullptr};
  execv(program, const_cast<char* const*>(arguments.data()));
  _exit(127);
}

bool same_place(const cameras::Observation& a, const cameras::Observation& b) {
  return a.camera == b.camera && a.zone == b.zone && a.kind == b.kind;
}

// Both, and such as they should be, or neither.
EyesLink::Jpegs jpegs_of(cameras::Message& message) {
  const auto is_jpeg = [](const std::string& bytes, std::size_t most) {
    return bytes.size() <= most && bytes.starts_with("\xff\xd8");
  };
  if (!is_jpeg(message.binary, cameras::kMaxJpegBytes) || !is_jpeg(message.thumbnail, cameras::kMaxThumbnailBytes)) return {};
  return {std::move(message.binary), std::move(message.thumbnail)};
}

std::string shortened(std::string text) {
  if (text.size() > kMaxWords) text.resize(kMaxWords);
  return is_utf8(text) ? text : std::string{};
}

}  // namespace

class EyesLink::Impl : public std::enable_shared_from_this<EyesLink::Impl> {
 public:
  Impl(asio::io_context& io, Clock& clock, Options options, Sink sink)
      : io_{io},
        clock_{clock},
        options_{std::move(options)},
        sink_{std::move(sink)},
        acceptor_{io},
        accept_pause_{io},
        socket_{io},
        child_exit_{io},
        silence_{io},
        restart_{io} {}

  Status start(std::vector<cameras::CameraConfig> cameras);
  void reload(std::vector<cameras::CameraConfig> cameras);
  void stop();
  void forget_sink() { sink_ = {}; }
  void snapshot(const std::string& camera, std::function<void(Result<Shot>)> then);
  [[nodiscard]] nlohmann::json status() const;

 private:
  enum class State { off, starting, up, lost };
  struct View {
    cameras::CameraConfig config;
    cameras::CameraState state;
    std::optional<std::string> down_event;
    std::optional<MonoTime> last_event;
  };
  struct WaitingShot {
    std::string camera;
    std::function<void(Result<Shot>)> then;
    asio::steady_timer deadline;
  };

  // Cameras.
  void adopt(std::vector<cameras::CameraConfig> cameras);
  [[nodiscard]] bool wanted() const;

  // The child.
  void pursue();
  void spawn();
  void on_child_exit(const error_code& error);
  void kill_child() const;
  void end_child();
  void restart_later();
  void on_restart(const error_code& error);

  // The session.
  void accept();
  void on_accept(const error_code& error, Protocol::socket peer);
  void begin_session(Protocol::socket peer);
  [[nodiscard]] bool may_connect(Protocol::socket& peer) const;
  void read();
  void on_read(const error_code& error, std::size_t bytes);
  void send(cameras::Message message);
  void write();
  void on_written(const error_code& error);
  void listen_for_silence();
  void on_silence(const error_code& error);
  void lose(std::string_view why);
  void close_session();

  // What eyes says.
  [[nodiscard]] Status take(cameras::Message message);
  [[nodiscard]] Status take(const cameras::Hello& hello);
  void take(cameras::CameraState state);
  void take(cameras::Observation seen, Jpegs jpegs);
  void take(const cameras::Snapshot& shot, Jpegs jpegs);
  void end_shot(std::uint64_t request, Result<Shot> shot);

  // Events.
  void tell(cameras::Observation seen, Jpegs jpegs);
  void tell(std::string source, std::string kind, Phase phase, std::string id, nlohmann::json detail);
  void end_observations(std::string_view why);
  void end_down(View& view, std::string_view why);
  void eyes_lost(std::string_view why);
  void eyes_back(std::string_view why);

  asio::io_context& io_;
  Clock& clock_;
  const Options options_;
  Sink sink_;
  State state_ = State::off;
  bool running_ = false;

  std::map<std::string, View> views_;                 // by camera
  std::vector<std::string> order_;                    // of the config
  std::map<std::string, cameras::Observation> open_;  // by event: what was last said of it
  std::optional<std::string> lost_event_;
  std::map<std::uint64_t, WaitingShot> shots_;  // by request
  std::uint64_t next_shot_ = 1;

  Protocol::acceptor acceptor_;
  asio::steady_timer accept_pause_;
  Protocol::socket socket_;
  unsigned session_ = 0;  // handlers of an earlier one find that out
  bool connected_ = false;
  bool greeted_ = false;
  cameras::FrameDecoder decoder_;
  std::array<char, 65536> read_buffer_{};
  std::deque<std::string> frames_;  // to eyes; the first is being written
  bool writing_ = false;

  pid_t child_ = -1;
  MonoTime child_since_{};
  asio::posix::stream_descriptor child_exit_;
  asio::steady_timer silence_;
  asio::steady_timer restart_;
  Millis restart_wait_{};
  Millis patience_{options_.silence};
  MonoTime session_since_{};
  bool restarting_ = false;  // restart_ is running
  std::uint64_t restarts_ = 0;
  std::minstd_rand random_{std::random_device{}()};
};

// ---- what the link is told to do -----------------------------------------------------------------------------------

Status EyesLink::Impl::start(std::vector<cameras::CameraConfig> cameras) {
  if (running_) return {};
  auto acceptor = listen(io_, options_);
  if (!acceptor) return fail(std::move(acceptor).error().in("wait for hamlet-eyes"));
  acceptor_ = *std::move(acceptor);
  running_ = true;
  restart_wait_ = options_.restart_first;
  adopt(std::move(cameras));
  accept();
  pursue();
  return {};
}

void EyesLink::Impl::reload(std::vector<cameras::CameraConfig> cameras) {
  adopt(std::move(cameras));
  if (greeted_) {
    cameras::Configure configure;
    for (const auto& id : order_) configure.cameras.push_back(views_.at(id).config);
    send({std::move(configure)});
  }
  pursue();
}

void EyesLink::Impl::stop() {
  if (!running_) return;
  running_ = false;
  restarting_ = false;
  state_ = State::off;
  error_code ignored;
  acceptor_.close(ignored);
  accept_pause_.cancel();
  restart_.cancel();
  close_session();
  end_child();
  unlink(options_.socket.c_str());
  end_observations("stopped");
  for (auto& [id, view] : views_) end_down(view, "stopped");
  eyes_back("stopped");
}

nlohmann::json EyesLink::Impl::status() const {
  static constexpr std::array<std::string_view, 4> kStates{"off", "starting", "up", "lost"};
  auto cameras = nlohmann::json::array();
  for (const auto& id : order_) {
    const auto& view = views_.at(id);
    auto zones = nlohmann::json::array();
    for (const auto& zone : view.config.zones) zones.push_back(zone.id);
    nlohmann::json camera{{"id", id},
                          {"name", {{"zh", view.config.name.zh}, {"en", view.config.name.en}}},
                          {"state", to_string(view.state.condition)},
                          {"fps", std::round(view.state.fps * 10) / 10},
                          {"frames", view.state.frames},
                          {"zones", std::move(zones)}};
    if (!view.state.why.empty()) camera["why"] = view.state.why;
    if (view.last_event) camera["last_event_ts"] = to_ms(clock_.wall() - (clock_.mono() - *view.last_event));
    cameras.push_back(std::move(camera));
  }
  return {{"cameras", std::move(cameras)},
          {"eyes", {{"state", kStates.at(static_cast<std::size_t>(state_))}, {"restarts", restarts_}}}};
}

// ---- cameras -------------------------------------------------------------------------------------------------------

// Takes the config over. A camera that did not change keeps what is known of it.
void EyesLink::Impl::adopt(std::vector<cameras::CameraConfig> cameras) {
  auto before = std::exchange(views_, {});
  order_.clear();
  for (auto& config : cameras) {
    order_.push_back(config.id);
    View& view = views_[config.id];
    const auto old = before.find(config.id);
    if (old != before.end()) {
      view = std::move(old->second);
      before.erase(old);
    }
    if (view.state.camera.empty() || !same(view.config, config)) {
      view.state = {.camera = config.id};
      if (!config.enabled)
        view.state = {.camera = config.id, .condition = cameras::CameraCondition::down, .why = "disabled"};
    }
    view.config = std::move(config);
    if (!view.config.enabled) end_down(view, "disabled");
  }
  for (auto& [id, view] : before) end_down(view, "removed");
}

bool EyesLink::Impl::wanted() const {
  return std::any_of(views_.begin(), views_.end(), [](const auto& entry) { return entry.second.config.enabled; });
}

// ---- the child -----------------------------------------------------------------------------------------------------

// Sees to it that eyes comes, where there is something to watch.
void EyesLink::Impl::pursue() {
  if (!running_ || connected_ || child_ > 0 || restarting_) return;
  if (!wanted()) {
    state_ = State::off;
    eyes_back("not-needed");
    return;
  }
  state_ = State::starting;
  if (options_.program) return spawn();
  listen_for_silence();
}

void EyesLink::Impl::spawn() {
  const std::string program = options_.program->string();
  const std::string socket = options_.socket.string();
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child == 0) become(program.c_str(), socket.c_str(), parent);
  if (child < 0) {
    lose("fork: " + words(errno));
    return restart_later();
  }
  child_ = child;
  child_since_ = clock_.mono();
  const int exit = pidfd_open(child, 0);
  if (exit < 0) {
    lose("pidfd_open: " + words(errno));
    end_child();
    return restart_later();
  }
  child_exit_.assign(exit);
  child_exit_.async_wait(asio::posix::stream_descriptor::wait_read,
                         [self = shared_from_this()](const error_code& error) { self->on_child_exit(error); });
  listen_for_silence();
}

void EyesLink::Impl::on_child_exit(const error_code& error) {
  if (error || child_ <= 0) return;
  error_code ignored;
  child_exit_.close(ignored);
  int status = 0;
  waitpid(std::exchange(child_, -1), &status, 0);
  if (WIFSIGNALED(status)) {
    lose(fmt::format("killed by signal {}", WTERMSIG(status)));
  } else if (WEXITSTATUS(status) == 127) {
    lose("the program cannot be started: " + options_.program->string());
  } else if (WEXITSTATUS(status) == cameras::kOutOfMemory) {
    lose("out of memory");
  } else {
    lose(fmt::format("exit {}", WEXITSTATUS(status)));
  }
  restart_later();
}

void EyesLink::Impl::kill_child() const {
  if (child_ > 0) kill(child_, SIGKILL);
}

// Blocks until it has ended; it is made to.
void EyesLink::Impl::end_child() {
  if (child_ <= 0) return;
  kill(child_, SIGTERM);
  pollfd exit{child_exit_.is_open() ? child_exit_.native_handle() : -1, POLLIN, 0};
  if (exit.fd < 0 || poll(&exit, 1, static_cast<int>(kChildEnds.count())) != 1) kill_child();
  waitpid(std::exchange(child_, -1), nullptr, 0);
  error_code ignored;
  child_exit_.close(ignored);
}

void EyesLink::Impl::restart_later() {
  if (!running_) return;
  if (clock_.mono() - child_since_ > kProven) restart_wait_ = options_.restart_first;
  std::uniform_real_distribution<double> part{0.5, 1.0};
  restarting_ = true;
  restart_.expires_after(Millis{std::llround(static_cast<double>(restart_wait_.count()) * part(random_))});
  restart_.async_wait([self = shared_from_this()](const error_code& error) { self->on_restart(error); });
  restart_wait_ = std::min(2 * restart_wait_, options_.restart_most);
}

void EyesLink::Impl::on_restart(const error_code& error) {
  if (error || !running_) return;
  restarting_ = false;
  pursue();
}

// ---- the session ---------------------------------------------------------------------------------------------------

void EyesLink::Impl::accept() {
  acceptor_.async_accept([self = shared_from_this()](const error_code& error, Protocol::socket peer) {
    self->on_accept(error, std::move(peer));
  });
}

void EyesLink::Impl::on_accept(const error_code& error, Protocol::socket peer) {
  if (!running_) return;
  if (error) {
    // Out of descriptors, say: it would fail again at once.
    log::error("hamlet-eyes cannot connect", {{"why", error.message()}});
    accept_pause_.expires_after(Millis{1'000});
    accept_pause_.async_wait([self = shared_from_this()](const error_code& aborted) {
      if (!aborted && self->running_) self->accept();
    });
    return;
  }
  if (may_connect(peer)) begin_session(std::move(peer));
  accept();
}

bool EyesLink::Impl::may_connect(Protocol::socket& peer) const {
  ucred who{};
  socklen_t size = sizeof who;
  if (getsockopt(peer.native_handle(), SOL_SOCKET, SO_PEERCRED, &who, &size) != 0) return false;
  const bool known = who.uid == geteuid() || (options_.peer_uid && who.uid == *options_.peer_uid);
  if (known && !connected_) return true;
  log::warning("refused a connection to the socket of hamlet-eyes",
               {{"pid", who.pid}, {"uid", who.uid}, {"why", known ? "there is one already" : "not its user"}});
  return false;
}

void EyesLink::Impl::begin_session(Protocol::socket peer) {
  socket_ = std::move(peer);
  connected_ = true;
  listen_for_silence();
  read();
}

void EyesLink::Impl::read() {
  socket_.async_read_some(asio::buffer(read_buffer_),
                          [self = shared_from_this(), session = session_](const error_code& error, std::size_t bytes) {
                            if (session == self->session_) self->on_read(error, bytes);
                          });
}

void EyesLink::Impl::on_read(const error_code& error, std::size_t bytes) {
  if (error && child_ > 0) return kill_child();  // why it went, its end tells
  if (error) return lose("it closed the socket");
  listen_for_silence();
  decoder_.feed({read_buffer_.data(), bytes});
  const unsigned session = session_;
  while (session == session_) {
    auto frame = decoder_.next();
    if (!frame) return lose(frame.error().message);
    if (!*frame) return read();
    auto message = cameras::parse(**std::move(frame));
    if (!message) return lose(message.error().message);
    if (auto taken = take(*std::move(message)); !taken) return lose(taken.error().message);
  }
}

void EyesLink::Impl::send(cameras::Message message) {
  if (frames_.size() >= kMaxWaitingFrames) return lose("it does not read");
  frames_.push_back(cameras::encode(message));
  write();
}

void EyesLink::Impl::write() {
  if (writing_ || frames_.empty()) return;
  writing_ = true;
  asio::async_write(socket_, asio::buffer(frames_.front()),
                    [self = shared_from_this(), session = session_](const error_code& error, std::size_t) {
                      if (session == self->session_) self->on_written(error);
                    });
}

void EyesLink::Impl::on_written(const error_code& error) {
  writing_ = false;
  if (error) return lose("it closed the socket");
  frames_.pop_front();
  write();
}

// Whatever it says puts this off.
void EyesLink::Impl::listen_for_silence() {
  silence_.expires_after(greeted_ ? patience_ : std::max(options_.comes_within, options_.silence));
  silence_.async_wait([self = shared_from_this()](const error_code& error) { self->on_silence(error); });
}

void EyesLink::Impl::on_silence(const error_code& error) {
  // It may have spoken when this was already on its way.
  if (error || !running_ || silence_.expiry() > asio::steady_timer::clock_type::now()) return;
  error_code ignored;
  if (connected_ && socket_.available(ignored) > 0) return listen_for_silence();  // it was we who did not listen
  if (greeted_) patience_ = std::min(2 * patience_, std::max(options_.comes_within, options_.silence));
  lose(connected_ ? "it has hung" : "it does not come");
}

void EyesLink::Impl::close_session() {
  if (greeted_ && clock_.mono() - session_since_ > kProven) patience_ = options_.silence;
  ++session_;
  connected_ = false;
  greeted_ = false;
  writing_ = false;
  error_code ignored;
  socket_.close(ignored);
  silence_.cancel();
  frames_.clear();
  decoder_ = {};
  while (!shots_.empty()) end_shot(shots_.begin()->first, fail(Errc::unavailable, "eyes-lost"));
}

// Eyes is gone, or has to go. A child is restarted when it has ended; else whoever started eyes does that.
void EyesLink::Impl::lose(std::string_view why) {
  close_session();
  kill_child();
  if (state_ == State::lost) return;
  if (!wanted()) {
    state_ = State::off;
    return;
  }
  state_ = State::lost;
  ++restarts_;
  for (auto& [id, view] : views_) {
    if (view.config.enabled)
      view.state = {.camera = id, .condition = cameras::CameraCondition::down, .why = "eyes-lost"};
  }
  end_observations("eyes-lost");
  eyes_lost(why);
}

// ---- what eyes says ------------------------------------------------------------------------------------------------

Status EyesLink::Impl::take(cameras::Message message) {
  if (const auto* hello = std::get_if<cameras::Hello>(&message.body)) return take(*hello);
  if (!greeted_) return fail(Errc::invalid, "it did not say hello");
  if (auto* state = std::get_if<cameras::CameraState>(&message.body)) {
    take(std::move(*state));
  } else if (auto* seen = std::get_if<cameras::Observation>(&message.body)) {
    take(std::move(*seen), jpegs_of(message));
  } else if (const auto* shot = std::get_if<cameras::Snapshot>(&message.body)) {
    take(*shot, jpegs_of(message));
  } else if (!std::holds_alternative<cameras::Heartbeat>(message.body)) {
    return fail(Errc::invalid, "it sent what only hamletd may send");
  }
  return {};
}

Status EyesLink::Impl::take(const cameras::Hello& hello) {
  if (greeted_) return fail(Errc::invalid, "it said hello twice");
  if (hello.protocol != cameras::kProtocol) {
    return fail(Errc::invalid,
                fmt::format("it speaks protocol {}, {} is needed: install hamletd and hamlet-eyes of one version",
                            hello.protocol, cameras::kProtocol));
  }
  greeted_ = true;
  session_since_ = clock_.mono();
  state_ = State::up;
  eyes_back({});
  for (auto& [id, view] : views_) {
    if (view.config.enabled) view.state = {.camera = id};
  }
  cameras::Configure configure;
  for (const auto& id : order_) configure.cameras.push_back(views_.at(id).config);
  send({std::move(configure)});
  return {};
}

void EyesLink::Impl::take(cameras::CameraState state) {
  const auto found = views_.find(state.camera);
  if (found == views_.end() || !found->second.config.enabled) return;
  View& view = found->second;
  if (!is_id(state.why)) state.why.clear();
  state.message = shortened(std::move(state.message));
  view.state = std::move(state);
  if (view.state.condition == cameras::CameraCondition::up) {
    end_down(view, {});
  } else if (view.state.condition == cameras::CameraCondition::down && !view.down_event) {
    view.down_event = random_hex64();
    tell(view.config.id, "down", Phase::start, *view.down_event,
         {{"why", view.state.why}, {"message", view.state.message}});
  }
}

void EyesLink::Impl::take(cameras::Observation seen, Jpegs jpegs) {
  const auto camera = views_.find(seen.camera);
  const auto open = open_.find(seen.event);
  const MonoTime now = clock_.mono();
  seen.at = std::clamp(seen.at, now - kOldest, now);
  if (seen.detail.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace).size() > kMaxDetailBytes) return;

  if (seen.phase == Phase::start || seen.phase == Phase::once) {
    if (camera == views_.end() || !camera->second.config.enabled || open != open_.end()) return;
    const auto& zones = camera->second.config.zones;
    const bool known = seen.zone == cameras::kWholePicture ||
                       std::any_of(zones.begin(), zones.end(), [&](const auto& zone) { return zone.id == seen.zone; });
    if (!known) return;
    camera->second.last_event = seen.at;
    if (seen.phase == Phase::start) {
      const auto same = [&](const auto& entry) { return same_place(entry.second, seen); };
      if (std::any_of(open_.begin(), open_.end(), same)) return;
      open_[seen.event] = seen;
    }
  } else {
    if (open == open_.end() || !same_place(open->second, seen)) return;
    if (seen.phase == Phase::end) {
      open_.erase(open);
    } else {
      open->second = seen;
    }
  }
  tell(std::move(seen), std::move(jpegs));
}

// ---- snapshots -----------------------------------------------------------------------------------------------------

void EyesLink::Impl::snapshot(const std::string& camera, std::function<void(Result<Shot>)> then) {
  const auto view = views_.find(camera);
  if (view == views_.end()) return then(fail(Errc::not_found, camera));
  if (!greeted_ || view->second.state.condition != cameras::CameraCondition::up) {
    const auto& why = view->second.state.why;
    return then(fail(Errc::unavailable, why.empty() ? "starting" : why));
  }
  if (shots_.size() >= kMaxShots) return then(fail(Errc::full, camera));
  const auto request = next_shot_++;
  auto& waiting = shots_.emplace(request, WaitingShot{camera, std::move(then), asio::steady_timer{io_}}).first->second;
  waiting.deadline.expires_after(kShotWithin);
  waiting.deadline.async_wait([self = shared_from_this(), request](const error_code& error) {
    if (!error) self->end_shot(request, fail(Errc::timeout, "timeout"));
  });
  send({cameras::Look{camera, request}});
}

void EyesLink::Impl::take(const cameras::Snapshot& shot, Jpegs jpegs) {
  const auto waiting = shots_.find(shot.request);
  if (waiting == shots_.end() || waiting->second.camera != shot.camera) return;  // too late
  if (shot.why == "no-pictures") return end_shot(shot.request, fail(Errc::denied, shot.why));
  if (jpegs.full.empty()) return end_shot(shot.request, fail(Errc::failed, "failed"));
  const MonoTime now = clock_.mono();
  end_shot(shot.request, Shot{std::clamp(shot.at, now - kOldest, now), std::move(jpegs)});
}

void EyesLink::Impl::end_shot(std::uint64_t request, Result<Shot> shot) {
  auto waiting = shots_.extract(request);
  if (!waiting.empty()) waiting.mapped().then(std::move(shot));
}

// ---- events --------------------------------------------------------------------------------------------------------

void EyesLink::Impl::tell(cameras::Observation seen, Jpegs jpegs) {
  if (sink_.observation) sink_.observation(std::move(seen), std::move(jpegs));
}

void EyesLink::Impl::tell(std::string source, std::string kind, Phase phase, std::string id, nlohmann::json detail) {
  if (!sink_.event) return;
  sink_.event(Event{std::move(source), std::move(kind), phase, std::move(id), clock_.mono(), std::move(detail)});
}

void EyesLink::Impl::end_observations(std::string_view why) {
  for (auto& [id, seen] : std::exchange(open_, {})) {
    seen.phase = Phase::end;
    seen.detail["why"] = why;
    seen.at = clock_.mono();
    tell(seen, {});
  }
}

void EyesLink::Impl::end_down(View& view, std::string_view why) {
  if (!view.down_event) return;
  auto detail = nlohmann::json::object();
  if (!why.empty()) detail["why"] = why;
  tell(view.config.id, "down", Phase::end, *std::exchange(view.down_event, std::nullopt), std::move(detail));
}

void EyesLink::Impl::eyes_lost(std::string_view why) {
  if (lost_event_) return;  // told already, and not back since
  log::error("hamlet-eyes is lost: no camera is watched", {{"why", why}});
  lost_event_ = random_hex64();
  tell("gateway", "eyes", Phase::start, *lost_event_, {{"why", shortened(std::string{why})}});
}

void EyesLink::Impl::eyes_back(std::string_view why) {
  if (!lost_event_) return;
  log::info("hamlet-eyes is back", {{"restarts", restarts_}});
  auto detail = nlohmann::json::object();
  if (!why.empty()) detail["why"] = why;
  tell("gateway", "eyes", Phase::end, *std::exchange(lost_event_, std::nullopt), std::move(detail));
}

// ---- EyesLink ------------------------------------------------------------------------------------------------------

EyesLink::EyesLink(asio::io_context& io, Clock& clock, Options options, Sink sink)
    : impl_{std::make_shared<Impl>(io, clock, std::move(options), std::move(sink))} {}

EyesLink::~EyesLink() {
  impl_->forget_sink();
  impl_->stop();
}

Status EyesLink::start(std::vector<cameras::CameraConfig> cameras) {
  return impl_->start(std::move(cameras));
}
void EyesLink::reload(std::vector<cameras::CameraConfig> cameras) {
  impl_->reload(std::move(cameras));
}
void EyesLink::stop() {
  impl_->stop();
}
void EyesLink::snapshot(const std::string& camera, std::function<void(Result<Shot>)> then) {
  impl_->snapshot(camera, std::move(then));
}
nlohmann::json EyesLink::status() const {
  return impl_->status();
}

}  // namespace hamlet::daemon
