#include "tests/support/rtsp_server.hpp"

#include <array>
#include <charconv>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <string_view>
#include <vector>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

extern "C" {
#include <libavformat/avformat.h>
#include <libavutil/base64.h>
}

#include "cameras/evidence.hpp"

namespace hamlet::support {
namespace {

using Steady = std::chrono::steady_clock;

constexpr int kPacket = 1400;

bool send_all(int socket, std::string_view bytes) {
  while (!bytes.empty()) {
    const auto sent = send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

// FFmpeg's RTP muxer: JPEG pictures in, RTP packets out, each with the four bytes that put it into the RTSP connection.
class JpegToRtp {
 public:
  explicit JpegToRtp(cv::Size size) {
    avformat_alloc_output_context2(&format_, nullptr, "rtp", "rtp://127.0.0.1:0");
    auto* buffer = static_cast<unsigned char*>(av_malloc(kPacket));
    format_->pb = avio_alloc_context(buffer, kPacket, 1, this, nullptr, &JpegToRtp::take, nullptr);
    format_->pb->max_packet_size = kPacket;
    auto* stream = avformat_new_stream(format_, nullptr);
    stream->codecpar->codec_type = AVMEDIA_TYPE_VIDEO;
    stream->codecpar->codec_id = AV_CODEC_ID_MJPEG;
    stream->codecpar->format = AV_PIX_FMT_YUVJ420P;
    stream->codecpar->width = size.width;
    stream->codecpar->height = size.height;
    stream->time_base = {1, 25};
    if (avformat_write_header(format_, nullptr) < 0) throw std::runtime_error{"RTP muxer"};
  }
  ~JpegToRtp() {
    av_write_trailer(format_);
    av_freep(&format_->pb->buffer);
    avio_context_free(&format_->pb);
    avformat_free_context(format_);
  }
  JpegToRtp(const JpegToRtp&) = delete;
  JpegToRtp& operator=(const JpegToRtp&) = delete;

  [[nodiscard]] std::string packets(const std::string& jpeg, int number) {
    packets_.clear();
    AVPacket* packet = av_packet_alloc();
    std::vector<std::uint8_t> bytes{jpeg.begin(), jpeg.end()};
    packet->data = bytes.data();
    packet->size = static_cast<int>(bytes.size());
    packet->pts = packet->dts = av_rescale_q(number, {1, 25}, format_->streams[0]->time_base);
    av_write_frame(format_, packet);
    av_packet_free(&packet);
    avio_flush(format_->pb);
    return std::move(packets_);
  }
  [[nodiscard]] std::string sdp() {
    std::array<char, 4096> text{};
    av_sdp_create(&format_, 1, text.data(), static_cast<int>(text.size()));
    return text.data();
  }

 private:
  static int take(void* self, std::uint8_t* bytes, int size) {
    const bool rtcp = size > 1 && bytes[1] >= 192 && bytes[1] <= 223;
    auto& out = static_cast<JpegToRtp*>(self)->packets_;
    out += {'$', static_cast<char>(rtcp ? 1 : 0), static_cast<char>(size >> 8), static_cast<char>(size & 0xff)};
    out.append(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size));
    return size;
  }

  AVFormatContext* format_ = nullptr;
  std::string packets_;
};

std::string basic(const std::string& user, const std::string& password) {
  const std::string plain = user + ":" + password;
  std::vector<char> out(AV_BASE64_SIZE(plain.size()));
  av_base64_encode(out.data(), static_cast<int>(out.size()), reinterpret_cast<const std::uint8_t*>(plain.data()),
                   static_cast<int>(plain.size()));
  return std::string{"Authorization: Basic "} + out.data() + "\r\n";
}

}  // namespace

RtspServer::RtspServer(Options options) : options_{std::move(options)} {
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 || listen(listener_, 4) != 0 ||
      getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    close(listener_);
    throw std::runtime_error{"RTSP server: cannot listen"};
  }
  port_ = ntohs(address.sin_port);
  thread_ = std::thread{[this] { run(); }};
}

RtspServer::~RtspServer() {
  stopping_ = true;
  shutdown(listener_, SHUT_RDWR);
  drop_client();
  thread_.join();
  close(listener_);
}

std::string RtspServer::url() const {
  return fmt::format("rtsp://127.0.0.1:{}/stream", port_);
}

void RtspServer::drop_client() {
  std::lock_guard lock{mutex_};
  if (client_ >= 0) shutdown(client_, SHUT_RDWR);
}

void RtspServer::run() {
  while (!stopping_) {
    const int client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (client < 0) return;
    {
      std::lock_guard lock{mutex_};
      client_ = client;
    }
    ++clients_;
    if (!stopping_) serve(client);
    std::lock_guard lock{mutex_};
    client_ = -1;
    close(client);
  }
}

void RtspServer::serve(int client) {
  JpegToRtp rtp{options_.picture(0).size()};
  std::string received;
  bool playing = false;
  int sent = 0;
  auto due = Steady::now();
  while (!stopping_) {
    const auto wait = std::chrono::duration_cast<std::chrono::milliseconds>(due - Steady::now()).count();
    pollfd ready{client, POLLIN, 0};
    if (poll(&ready, 1, playing ? static_cast<int>(std::max<std::int64_t>(wait, 0)) : -1) > 0) {
      std::array<char, 4096> bytes{};
      const auto count = recv(client, bytes.data(), bytes.size(), 0);
      if (count <= 0) return;
      received.append(bytes.data(), static_cast<std::size_t>(count));
    }
    // RTCP of the client comes in between: it has no blank line, and is passed over.
    for (auto end = received.find("\r\n\r\n"); end != std::string::npos; end = received.find("\r\n\r\n")) {
      const std::string request = received.substr(0, end + 4);
      received.erase(0, end + 4);
      const auto at = request.find("CSeq: ");
      const auto cseq =
          at == std::string::npos ? std::string{"0"} : request.substr(at + 6, request.find("\r\n", at) - at - 6);
      const auto is = [&](std::string_view verb) { return request.find(verb) < request.find("CSeq"); };
      std::string answer = fmt::format("RTSP/1.0 200 OK\r\nCSeq: {}\r\nSession: 1\r\n", cseq);
      if (!options_.user.empty() && request.find(basic(options_.user, options_.password)) == std::string::npos) {
        ++refused_;
        answer =
            fmt::format("RTSP/1.0 401 Unauthorized\r\nCSeq: {}\r\nWWW-Authenticate: Basic realm=\"x\"\r\n\r\n", cseq);
      } else if (is("DESCRIBE ")) {
        const auto sdp = rtp.sdp();
        answer += fmt::format("Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{}", sdp.size(), sdp);
      } else if (is("SETUP ")) {
        answer += "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n\r\n";
      } else if (is("OPTIONS ")) {
        answer += "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n\r\n";
      } else {
        answer += "\r\n";
      }
      if (!send_all(client, answer) || is("TEARDOWN ")) return;
      if (is("PLAY ")) {
        playing = true;
        due = Steady::now();
      }
    }
    if (!playing || Steady::now() < due) continue;
    if (holding_) {
      std::this_thread::sleep_for(options_.interval);
      continue;
    }
    due += options_.interval;
    if (options_.pictures > 0 && sent >= options_.pictures) continue;
    const auto jpeg = cameras::encode_jpeg(options_.picture(sent), 1u << 20);
    if (!jpeg || !send_all(client, rtp.packets(*jpeg, sent++))) return;
  }
}

}  // namespace hamlet::support
