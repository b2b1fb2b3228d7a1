#include "cameras/eyes.hpp"

#include <csignal>
#include <cstdlib>
#include <utility>

#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <fmt/format.h>
#include <sys/mman.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "firmware/core/log.hpp"

namespace hamlet::cameras {
namespace asio = boost::asio;

namespace {

// About 10 s of a storm of events from every camera.
constexpr std::size_t kOutboxMessages = 256;
constexpr std::size_t kLeastMemory = 16u << 20;

// Whether there is room for a thread's stack and a picture. Nothing is written to it, so it costs none.
bool has_memory() {
  void* some = mmap(nullptr, kLeastMemory, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return some != MAP_FAILED && munmap(some, kLeastMemory) == 0;
}

}  // namespace

Eyes::Eyes(Clock& clock)
    : clock_{clock}, socket_{io_}, heart_{io_}, signals_{io_, SIGTERM}, outbox_{kOutboxMessages, [this] {
                                                                                  post_write();
                                                                                }} {}

Status Eyes::connect(const std::string& socket_path) {
  boost::system::error_code error;
  socket_.connect(asio::local::stream_protocol::endpoint{socket_path}, error);
  if (error) return fail(Errc::unavailable, fmt::format("connect to hamletd at {}: {}", socket_path, error.message()));
  write_buffer_ = encode({Hello{kProtocol, HAMLET_VERSION}});
  asio::write(socket_, asio::buffer(write_buffer_), error);
  if (error) return fail(Errc::unavailable, fmt::format("greet hamletd: {}", error.message()));
  return {};
}

Status Eyes::run() {
  signals_.async_wait([this](const boost::system::error_code& error, int) {
    if (!error) end({});
  });
  read();
  beat();
  io_.run();
  return status_;
}

Eyes::~Eyes() {
  alarm(1);  // the default action of SIGALRM ends us, should a decoder not come back
  outbox_.close();
  for (auto& [id, camera] : cameras_) camera->request_stop();
  cameras_.clear();
  retiring_.clear();
}

void Eyes::end(Status status) {
  if (ended_) return;
  ended_ = true;
  status_ = std::move(status);
  io_.stop();
}

void Eyes::read() {
  socket_.async_read_some(asio::buffer(read_buffer_),
                          [this](const boost::system::error_code& error, std::size_t bytes) { on_read(error, bytes); });
}

void Eyes::on_read(const boost::system::error_code& error, std::size_t bytes) {
  if (error) return end({});  // hamletd is gone, and so are we
  decoder_.feed({read_buffer_.data(), bytes});
  while (!ended_) {
    auto frame = decoder_.next();
    if (!frame) return end(fail(std::move(frame).error()));
    if (!*frame) break;
    auto message = parse(**std::move(frame));
    if (!message) return end(fail(std::move(message).error().in("message of hamletd")));
    if (auto taken = take(*std::move(message)); !taken) return end(std::move(taken));
  }
  if (!ended_) read();
}

Status Eyes::take(Message message) {
  if (const auto* wanted = std::get_if<Configure>(&message.body)) {
    configure(wanted->cameras);
    sd_notify(0, "READY=1");
  } else if (const auto* look = std::get_if<Look>(&message.body)) {
    const auto camera = cameras_.find(look->camera);
    if (camera != cameras_.end()) camera->second->look(look->request);
  } else if (std::holds_alternative<Stop>(message.body)) {
    end({});
  } else {
    return fail(Errc::invalid, "hamletd sent what only hamlet-eyes may send");
  }
  return {};
}

void Eyes::configure(const std::vector<CameraConfig>& cameras) {
  std::map<std::string, std::unique_ptr<Camera>> before = std::exchange(cameras_, {});
  for (const auto& camera : cameras) {
    if (!camera.enabled) continue;
    const auto old = before.find(camera.id);
    if (old != before.end() && same(old->second->config(), camera)) {
      cameras_.insert(before.extract(old));
    } else {
      cameras_[camera.id] = std::make_unique<Camera>(camera, clock_, outbox_);
    }
  }
  for (auto& [id, camera] : before) {
    camera->request_stop();
    retiring_.push_back(std::move(camera));
  }
}

// From any thread.
void Eyes::post_write() {
  asio::post(io_, [this] { write(); });
}

void Eyes::write() {
  if (writing_ || ended_) return;
  if (heartbeat_due_) {
    heartbeat_due_ = false;
    write_buffer_ = encode({Heartbeat{outbox_.dropped()}});
  } else if (auto message = outbox_.take()) {
    write_buffer_ = encode(*message);
  } else {
    return;
  }
  writing_ = true;
  asio::async_write(socket_, asio::buffer(write_buffer_),
                    [this](const boost::system::error_code& error, std::size_t bytes) { on_written(error, bytes); });
}

void Eyes::on_written(const boost::system::error_code& error, std::size_t) {
  writing_ = false;
  if (error) return end({});
  write();
}

void Eyes::beat() {
  heart_.expires_after(kHeartbeat);
  heart_.async_wait([this](const boost::system::error_code& error) { on_beat(error); });
}

void Eyes::on_beat(const boost::system::error_code& error) {
  if (error) return;
  // A camera that finds no memory would try again for ever: a new process has what this one has lost.
  if (!has_memory()) return end(fail(Errc::full, "out of memory"));
  std::erase_if(retiring_, [](const auto& camera) { return camera->finished(); });
  for (const auto& [id, camera] : cameras_) {
    if (camera->hung()) return end(fail(Errc::timeout, fmt::format("camera {} hangs in its decoder", id)));
  }
  for (const auto& camera : retiring_) {
    if (camera->hung()) return end(fail(Errc::timeout, fmt::format("camera {} does not end", camera->config().id)));
  }
  heartbeat_due_ = true;
  write();
  sd_notify(0, "WATCHDOG=1");
  beat();
}

}  // namespace hamlet::cameras
