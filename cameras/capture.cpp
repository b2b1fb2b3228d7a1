#include "cameras/capture.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <optional>
#include <utility>

#include <fmt/format.h>

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/error.h>
#include <libavutil/log.h>
#include <libavutil/opt.h>
#include <libswscale/swscale.h>
}

#include "cameras/video_device.hpp"

namespace hamlet::cameras {
namespace {

using Steady = std::chrono::steady_clock;

constexpr std::int64_t kMaxPixels = 8192 * 4320;
// A step of the time stamps that is longer than this is a fault in them, not a pause.
constexpr Millis kMaxStep{10'000};
constexpr Millis kUsualStep{40};
// Key frames of which one comes so late tell too little to do with them alone: "smart" encoders send one in ten seconds or more.
constexpr Millis kFarApart{5'000};
// A live source that was silent for this long, and for more than is usual with it, has stalled: what follows may be old.
constexpr Millis kStall{1'000};

struct FormatCloser {
  void operator()(AVFormatContext* format) const { avformat_close_input(&format); }
};
struct CodecCloser {
  void operator()(AVCodecContext* codec) const { avcodec_free_context(&codec); }
};
struct PacketCloser {
  void operator()(AVPacket* packet) const { av_packet_free(&packet); }
};
struct FrameCloser {
  void operator()(AVFrame* frame) const { av_frame_free(&frame); }
};
struct ScalerCloser {
  void operator()(SwsContext* scaler) const { sws_freeContext(scaler); }
};

class Options {
 public:
  Options() = default;
  Options(const Options&) = delete;
  Options& operator=(const Options&) = delete;
  ~Options() { av_dict_free(&dictionary_); }
  void set(const char* key, const std::string& value) { av_dict_set(&dictionary_, key, value.c_str(), 0); }
  [[nodiscard]] AVDictionary** get() { return &dictionary_; }

 private:
  AVDictionary* dictionary_ = nullptr;
};

std::string_view why_of(int error, bool live) {
  switch (error) {
    case AVERROR(ENOENT):
    case AVERROR_HTTP_NOT_FOUND:
    case AVERROR_HTTP_BAD_REQUEST:  // of a path that it does not know, by RTSP
      return "not-found";
    case AVERROR(EACCES):
    case AVERROR(EPERM):  // of an address that hamlet-eyes.service does not let through, say
      return "denied";
    case AVERROR_HTTP_UNAUTHORIZED:
    case AVERROR_HTTP_FORBIDDEN:
      return "refused";
    case AVERROR_HTTP_OTHER_4XX:
    case AVERROR_HTTP_SERVER_ERROR:
      return "exception";
    case AVERROR(ETIMEDOUT):
      return "timeout";
    case AVERROR(ECONNREFUSED):
    case AVERROR(ECONNRESET):
    case AVERROR(EPIPE):
    case AVERROR(EHOSTUNREACH):
    case AVERROR(ENETUNREACH):
      return "unreachable";
    case AVERROR(EIO):  // of a host name that is not known, say
      return live ? "unreachable" : "failed";
    case AVERROR_INVALIDDATA:  // a web page, say
      return live ? "no-video" : "corrupt";
    case AVERROR(EISDIR):
    case AVERROR_STREAM_NOT_FOUND:
    case AVERROR_DECODER_NOT_FOUND:
      return "no-video";
    default:
      return "failed";
  }
}

std::string_view why_of(Errc code) {
  return code == Errc::not_found     ? "not-found"
         : code == Errc::denied      ? "denied"
         : code == Errc::invalid     ? "no-video"
         : code == Errc::unavailable ? "unreachable"
                                     : "failed";
}

std::string words_of(int error) {
  std::array<char, AV_ERROR_MAX_STRING_SIZE> text{};
  av_strerror(error, text.data(), text.size());
  return text.data();
}

std::string percent_encode(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    out += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

// The old names of formats whose Y goes from 0 to 255.
std::optional<AVPixelFormat> full_range_twin(AVPixelFormat format) {
  switch (static_cast<int>(format)) {
    case AV_PIX_FMT_YUVJ420P:
      return AV_PIX_FMT_YUV420P;
    case AV_PIX_FMT_YUVJ422P:
      return AV_PIX_FMT_YUV422P;
    case AV_PIX_FMT_YUVJ444P:
      return AV_PIX_FMT_YUV444P;
    case AV_PIX_FMT_YUVJ440P:
      return AV_PIX_FMT_YUV440P;
    default:
      return std::nullopt;
  }
}

}  // namespace

std::string address_of(const CameraConfig& camera) {
  if (camera.is_file()) return camera.source.substr(std::string_view{"file:"}.size());
  const auto host = camera.source.find("://") + 3;
  if (camera.user.empty() || host == std::string::npos + 3) return camera.source;
  return fmt::format("{}{}:{}@{}", camera.source.substr(0, host), percent_encode(camera.user),
                     percent_encode(camera.password.reveal()), camera.source.substr(host));
}

// Its address is stable: FFmpeg's interrupt callback points to it.
struct Capture::State {
  State(const CameraConfig& camera, const std::atomic<bool>& cancel_flag)
      : cancel{cancel_flag},
        is_file{camera.is_file()},
        is_rtsp{camera.source.starts_with("rtsp://")},
        read_timeout{camera.read_timeout},
        interval{static_cast<Millis::rep>(1000.0 / camera.max_fps)} {}

  const std::atomic<bool>& cancel;
  const bool is_file;
  const bool is_rtsp;
  const Millis read_timeout;
  const Millis interval;  // between pictures handed on

  Steady::time_point deadline{};
  std::unique_ptr<AVFormatContext, FormatCloser> format;
  std::optional<VideoDevice> device;  // in place of `format`
  std::unique_ptr<AVCodecContext, CodecCloser> codec;
  std::unique_ptr<AVPacket, PacketCloser> packet{av_packet_alloc()};
  std::unique_ptr<AVFrame, FrameCloser> frame{av_frame_alloc()};
  std::unique_ptr<SwsContext, ScalerCloser> scaler;
  int stream = -1;
  bool keys_alone_asked = false;
  bool keys_alone = false;
  Steady::time_point last_key{};
  bool drained = false;  // no packet will come any more
  bool stamps = true;    // Motion-JPEG by HTTP has none, and FFmpeg makes some up, 25 a second

  std::uint64_t frames = 0;
  std::uint64_t corrupt = 0;
  std::optional<std::int64_t> last_stamp;  // of the stream, in its own time base
  Millis media{};
  Millis next_due{};

  Steady::time_point arrived{};         // the last packet
  Millis waited{};                      // for it
  Steady::time_point arrived_before{};  // the last frame
  Millis usual_wait{};                  // between frames
  bool was_silent = false;              // before the last frame
  Millis behind{};                      // how much of what a stall kept back is still to come

  static int interrupted(void* self) {
    const auto* state = static_cast<const State*>(self);
    return state->cancel || Steady::now() > state->deadline ? 1 : 0;
  }

  [[nodiscard]] CaptureError error(int code, std::string_view doing) const {
    if (cancel) return {"stopped", "stopped"};
    if (Steady::now() > deadline) return {"timeout", fmt::format("{}: nothing came within the deadline", doing)};
    return {std::string{why_of(code, !is_file)}, fmt::format("{}: {}", doing, words_of(code))};
  }

  int open_format(const CameraConfig& camera) {
    auto* context = avformat_alloc_context();
    if (context == nullptr) return AVERROR(ENOMEM);
    context->interrupt_callback = {&State::interrupted, this};
    Options options;
    // What a stream or a playlist may make FFmpeg open, whatever it says.
    options.set("protocol_whitelist", is_file ? "file" : is_rtsp ? "rtp,tcp,udp" : "http,tcp");
    if (!is_file) options.set("timeout", std::to_string(std::chrono::microseconds{camera.read_timeout}.count()));
    if (is_rtsp) {
      options.set("rtsp_transport", camera.transport == Transport::tcp ? "tcp" : "udp");
      options.set("allowed_media_types", "video");
      options.set("analyzeduration", "2000000");
    }
    const auto* rtsp = !is_rtsp ? nullptr : av_find_input_format("rtsp");
    const int opened = avformat_open_input(&context, address_of(camera).c_str(), rtsp, options.get());
    if (opened < 0) return opened;  // FFmpeg has freed it
    format.reset(context);
    stamps = is_file || (format->iformat->flags & AVFMT_NOTIMESTAMPS) == 0;
    return avformat_find_stream_info(format.get(), nullptr);
  }

  int open_codec() {
    const AVCodec* decoder = nullptr;
    stream = av_find_best_stream(format.get(), AVMEDIA_TYPE_VIDEO, -1, -1, &decoder, 0);
    if (stream < 0) return stream;
    for (unsigned i = 0; i < format->nb_streams; ++i) {
      if (static_cast<int>(i) != stream) format->streams[i]->discard = AVDISCARD_ALL;
    }
    codec.reset(avcodec_alloc_context3(decoder));
    if (!codec) return AVERROR(ENOMEM);
    const int copied = avcodec_parameters_to_context(codec.get(), format->streams[stream]->codecpar);
    if (copied < 0) return copied;
    codec->thread_count = 1;
    codec->max_pixels = kMaxPixels;
    codec->pkt_timebase = format->streams[stream]->time_base;
    return avcodec_open2(codec.get(), decoder, nullptr);
  }

  [[nodiscard]] tl::expected<void, CaptureError> open_device(const std::string& path, DeviceCalls& calls) {
    auto opened = VideoDevice::open(path, calls);
    if (!opened) return tl::unexpected(CaptureError{std::string{why_of(opened.error().code)}, opened.error().message});
    device = *std::move(opened);
    stamps = false;
    const bool jpeg = device->format() == VideoDevice::Format::jpeg;
    const auto* decoder = avcodec_find_decoder(jpeg ? AV_CODEC_ID_MJPEG : AV_CODEC_ID_RAWVIDEO);
    codec.reset(decoder == nullptr ? nullptr : avcodec_alloc_context3(decoder));
    if (!codec) return tl::unexpected(error(AVERROR_DECODER_NOT_FOUND, "open decoder"));
    codec->width = device->columns();
    codec->height = device->rows();
    codec->pix_fmt = jpeg ? AV_PIX_FMT_NONE : AV_PIX_FMT_YUYV422;
    codec->thread_count = 1;
    codec->max_pixels = kMaxPixels;
    const int done = avcodec_open2(codec.get(), decoder, nullptr);
    if (done < 0) return tl::unexpected(error(done, "open decoder"));
    return {};
  }

  // The device's next picture into the decoder.
  [[nodiscard]] tl::expected<void, CaptureError> feed_from_device() {
    constexpr Millis kLook{200};  // then whether to give up
    const auto began = Steady::now();
    const auto read = device->read(kLook, [this, began](std::span<const std::uint8_t> bytes) {
      if (av_new_packet(packet.get(), static_cast<int>(bytes.size())) < 0) return;
      std::copy(bytes.begin(), bytes.end(), packet->data);
      packet->flags |= AV_PKT_FLAG_KEY;
      arrived = Steady::now();
      waited = std::chrono::duration_cast<Millis>(arrived - began);
      if (avcodec_send_packet(codec.get(), packet.get()) < 0) ++corrupt;
      av_packet_unref(packet.get());
    });
    if (!read) return tl::unexpected(CaptureError{std::string{why_of(read.error().code)}, read.error().message});
    return {};
  }

  // Puts one packet into the decoder. At the end of the source the decoder is drained.
  [[nodiscard]] tl::expected<void, CaptureError> feed() {
    if (device) return feed_from_device();
    const auto began = Steady::now();
    const int got = av_read_frame(format.get(), packet.get());
    if (got == AVERROR_EOF && is_file) {
      drained = true;
      avcodec_send_packet(codec.get(), nullptr);
      return {};
    }
    if (interrupted(this) != 0) {
      av_packet_unref(packet.get());
      return tl::unexpected(error(got, "read"));
    }
    if (got == AVERROR(EAGAIN)) return {};
    if (got == AVERROR_INVALIDDATA) {
      ++corrupt;
      return {};
    }
    if (!is_file && (got == AVERROR_EOF || got == AVERROR(EIO) || got == AVERROR(ECONNRESET) || got == AVERROR(EPIPE))) {
      return tl::unexpected(CaptureError{"closed", "read: the camera ended the stream"});
    }
    if (got < 0) return tl::unexpected(error(got, "read"));
    arrived = Steady::now();
    waited = std::chrono::duration_cast<Millis>(arrived - began);
    if (packet->stream_index == stream && wanted() && avcodec_send_packet(codec.get(), packet.get()) < 0) ++corrupt;
    av_packet_unref(packet.get());
    return {};
  }

  // After a pause the frames between key frames would refer to what was never decoded: the switch waits for a key frame.
  [[nodiscard]] bool wanted() {
    if ((packet->flags & AV_PKT_FLAG_KEY) != 0) {
      keys_alone = keys_alone_asked && (is_file || arrived - last_key < kFarApart);
      last_key = arrived;
      return true;
    }
    return !keys_alone;
  }

  // Takes the decoder's next frame: true; false where it needs another packet.
  [[nodiscard]] bool take() {
    while (true) {
      const int got = avcodec_receive_frame(codec.get(), frame.get());
      if (got == AVERROR(EAGAIN) || got == AVERROR_EOF) return false;
      const bool whole = got >= 0 && (frame->flags & AV_FRAME_FLAG_CORRUPT) == 0 && frame->decode_error_flags == 0;
      if (whole && frame->width > 0 && frame->height > 0) return true;
      ++corrupt;
      if (got < 0) return false;
      static_cast<void>(advance());
    }
  }

  // By how much the frame goes on from the last, if it has a time stamp that can be right.
  [[nodiscard]] std::optional<Millis> stamped_step() {
    const auto stamp = frame->best_effort_timestamp;
    if (!stamps || stamp == AV_NOPTS_VALUE) return std::nullopt;
    const auto before = std::exchange(last_stamp, stamp);
    if (!before) return std::nullopt;
    const Millis step{av_rescale_q(stamp - *before, codec->pkt_timebase, {1, 1000})};
    return step >= Millis{0} && step <= kMaxStep ? std::optional{step} : std::nullopt;
  }

  // Counts the frame and moves the source's time on to it. Whether it was kept back by a stall: then as much as the stall was long
  // comes without our having to wait for it. By the time stamps alone a camera whose clock is off would be stale for ever.
  [[nodiscard]] bool advance() {
    ++frames;
    const auto step = stamped_step();
    const auto since = std::chrono::duration_cast<Millis>(arrived - std::exchange(arrived_before, arrived));
    if (frames == 1) return false;
    media += step.value_or(is_file ? kUsualStep : since);
    if (is_file) return false;
    const Millis due = step.value_or(usual_wait);
    const bool silent = since - due > kStall + 4 * usual_wait;
    if (std::exchange(was_silent, silent) && silent) {  // nothing was kept back: so slow is its pace
      usual_wait = since;
      behind = Millis{0};
      return false;
    }
    if (silent) {
      behind = since - due;
      return true;
    }
    behind = waited > due / 2 ? Millis{0} : behind - due;
    if (behind > Millis{0}) return true;
    usual_wait += (since - usual_wait) / 8;
    return false;
  }

  [[nodiscard]] tl::expected<Picture, CaptureError> scale() {
    const cv::Size source{frame->width, frame->height};
    const cv::Size size = picture_size(source);
    // Told to convert between equal ranges, it copies.
    const auto coded = static_cast<AVPixelFormat>(frame->format);
    const auto twin = full_range_twin(coded);
    scaler.reset(sws_getCachedContext(scaler.release(), source.width, source.height, twin.value_or(coded), size.width,
                                      size.height, AV_PIX_FMT_YUV420P, SWS_BILINEAR, nullptr, nullptr, nullptr));
    if (!scaler) return tl::unexpected(CaptureError{"no-video", "the pixel format cannot be converted"});
    Picture picture{cv::Mat(size.height * 3 / 2, size.width, CV_8UC1), source, frames, media,
                    twin.has_value() || frame->color_range == AVCOL_RANGE_JPEG};
    std::array<std::uint8_t*, 4> planes{picture.y().data, picture.u().data, picture.v().data, nullptr};
    std::array<int, 4> strides{size.width, size.width / 2, size.width / 2, 0};
    sws_scale(scaler.get(), frame->data, frame->linesize, 0, source.height, planes.data(), strides.data());
    return picture;
  }
};

Capture::Capture(std::unique_ptr<State> state) : state_{std::move(state)} {}
Capture::Capture(Capture&&) noexcept = default;
Capture& Capture::operator=(Capture&&) noexcept = default;
Capture::~Capture() = default;

void Capture::rest(bool key_frames_alone) {
  state_->keys_alone_asked = key_frames_alone;
}
std::uint64_t Capture::frames() const {
  return state_->frames;
}
std::uint64_t Capture::corrupt() const {
  return state_->corrupt;
}

tl::expected<Capture, CaptureError> Capture::open(const CameraConfig& camera, const std::atomic<bool>& cancel, DeviceCalls* calls) {
  static DeviceCalls kernel;  // has no state
  av_log_set_level(AV_LOG_QUIET);  // its lines would carry the address, password included
  auto state = std::make_unique<State>(camera, cancel);
  state->deadline = Steady::now() + camera.open_timeout;
  if (camera.is_device()) {
    const auto path = camera.source.substr(std::string_view{"device:"}.size());
    if (auto opened = state->open_device(path, calls != nullptr ? *calls : kernel); !opened) return tl::unexpected(std::move(opened).error());
    return Capture{std::move(state)};
  }
  if (const int opened = state->open_format(camera); opened < 0) return tl::unexpected(state->error(opened, "open"));
  if (const int opened = state->open_codec(); opened < 0) return tl::unexpected(state->error(opened, "open decoder"));
  return Capture{std::move(state)};
}

tl::expected<std::optional<Picture>, CaptureError> Capture::read() {
  auto& state = *state_;
  state.deadline = Steady::now() + state.read_timeout;
  while (true) {
    if (State::interrupted(&state) != 0) return tl::unexpected(state.error(0, "read a frame that can be decoded"));
    if (!state.take()) {
      if (state.drained) return std::nullopt;
      if (auto fed = state.feed(); !fed) return tl::unexpected(std::move(fed).error());
      continue;
    }
    const bool stale = state.advance();
    state.deadline = Steady::now() + state.read_timeout;
    if (stale || state.media < state.next_due) continue;
    state.next_due = std::max(state.next_due + state.interval, state.media);
    return state.scale();
  }
}

}  // namespace hamlet::cameras
