#pragma once

#include <array>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>

#include "cameras/camera.hpp"
#include "cameras/messages.hpp"
#include "cameras/outbox.hpp"
#include "firmware/core/clock.hpp"
#include "firmware/core/result.hpp"

namespace hamlet::cameras {

/// The process hamlet-eyes: its socket to the daemon and its cameras. Lives on one thread, beside one thread a camera.
class Eyes {
 public:
  explicit Eyes(Clock& clock);
  ~Eyes();  ///< ends the cameras; the process dies where that takes longer than a second
  Eyes(const Eyes&) = delete;
  Eyes& operator=(const Eyes&) = delete;

  /// Reaches the daemon and says hello.
  [[nodiscard]] Status connect(const std::string& socket_path);
  /// Until the daemon says stop, goes away, or SIGTERM comes. Error: what else went wrong.
  [[nodiscard]] Status run();

 private:
  using Socket = boost::asio::local::stream_protocol::socket;

  void read();
  void on_read(const boost::system::error_code& error, std::size_t bytes);
  [[nodiscard]] Status take(Message message);
  void configure(const std::vector<CameraConfig>& cameras);
  void post_write();
  void write();
  void on_written(const boost::system::error_code& error, std::size_t bytes);
  void beat();
  void on_beat(const boost::system::error_code& error);
  void end(Status status);

  Clock& clock_;
  boost::asio::io_context io_;
  Socket socket_;
  boost::asio::steady_timer heart_;
  boost::asio::signal_set signals_;
  std::array<char, 65536> read_buffer_{};
  FrameDecoder decoder_;
  std::string write_buffer_;
  bool writing_ = false;
  bool heartbeat_due_ = false;
  bool ended_ = false;
  Status status_;
  Outbox outbox_;
  std::map<std::string, std::unique_ptr<Camera>> cameras_;
  std::vector<std::unique_ptr<Camera>> retiring_;  // asked to stop, not yet done
};

}  // namespace hamlet::cameras
