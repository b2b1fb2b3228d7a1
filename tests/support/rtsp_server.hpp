#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include <opencv2/core/mat.hpp>

namespace hamlet::support {

/// A camera on 127.0.0.1 that speaks RTSP as far as a client needs it: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN;
/// Motion-JPEG by RTP (RFC 2435) inside the RTSP connection, 25 pictures a second. One client at a time, on a thread of
/// its own.
class RtspServer {
 public:
  struct Options {
    std::function<cv::Mat(int)> picture;  ///< from 0; sides are multiples of 8
    std::string user{};                   ///< then Basic authentication is demanded
    std::string password{};
    std::chrono::milliseconds interval{40};
    int pictures = 0;  ///< sent to each client, and then nothing, with the connection left open; 0: no end
  };
  explicit RtspServer(Options options);
  ~RtspServer();
  RtspServer(const RtspServer&) = delete;
  RtspServer& operator=(const RtspServer&) = delete;

  [[nodiscard]] std::uint16_t port() const { return port_; }
  /// "rtsp://127.0.0.1:port/stream"
  [[nodiscard]] std::string url() const;
  /// Clients that were refused for a wrong or missing password, requests counted.
  [[nodiscard]] int refused() const { return refused_; }
  [[nodiscard]] int clients() const { return clients_; }
  /// Keeps back what is due, as a bad link does; it comes all at once when that is over.
  void hold(bool back) { holding_ = back; }
  /// Ends the present connection, as a power cut would.
  void drop_client();

 private:
  void run();
  void serve(int client);

  const Options options_;
  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::atomic<bool> stopping_{false};
  std::atomic<bool> holding_{false};
  std::atomic<int> refused_{0};
  std::atomic<int> clients_{0};
  std::mutex mutex_;
  int client_ = -1;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace hamlet::support
