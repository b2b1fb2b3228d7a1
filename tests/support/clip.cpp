#include "tests/support/clip.hpp"

#include <algorithm>
#include <fstream>
#include <stdexcept>

#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/opt.h>
}

#include "cameras/evidence.hpp"

namespace hamlet::support {
namespace {

void must(int done, const char* doing) {
  if (done < 0) throw std::runtime_error{std::string{"write_video: "} + doing};
}

// FFmpeg's encoder and muxer.
class VideoFile {
 public:
  VideoFile(const std::filesystem::path& file, cv::Size size, Video video) {
    const auto* encoder = avcodec_find_encoder_by_name(video.h265 ? "libx265" : "libx264");
    if (encoder == nullptr) throw std::runtime_error{"write_video: FFmpeg has no such encoder"};
    codec_ = avcodec_alloc_context3(encoder);
    codec_->width = size.width;
    codec_->height = size.height;
    codec_->time_base = {1, video.fps};
    codec_->framerate = {video.fps, 1};
    codec_->pix_fmt = AV_PIX_FMT_YUV420P;
    codec_->gop_size = video.key_every;
    codec_->max_b_frames = 0;
    codec_->thread_count = 1;
    av_opt_set(codec_->priv_data, "preset", "ultrafast", 0);
    if (video.h265) av_opt_set(codec_->priv_data, "x265-params", "log-level=none:pools=none", 0);
    must(avformat_alloc_output_context2(&format_, nullptr, nullptr, file.c_str()), "no such container");
    if ((format_->oformat->flags & AVFMT_GLOBALHEADER) != 0) codec_->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
    must(avcodec_open2(codec_, encoder, nullptr), "open the encoder");
    stream_ = avformat_new_stream(format_, nullptr);
    stream_->time_base = codec_->time_base;
    must(avcodec_parameters_from_context(stream_->codecpar, codec_), "parameters");
    must(avio_open(&format_->pb, file.c_str(), AVIO_FLAG_WRITE), "open the file");
    must(avformat_write_header(format_, nullptr), "write the header");
    frame_->format = AV_PIX_FMT_YUV420P;
    frame_->width = size.width;
    frame_->height = size.height;
    must(av_frame_get_buffer(frame_, 0), "out of memory");
  }
  ~VideoFile() {
    av_packet_free(&packet_);
    av_frame_free(&frame_);
    avcodec_free_context(&codec_);
    avio_closep(&format_->pb);
    avformat_free_context(format_);
  }
  VideoFile(const VideoFile&) = delete;
  VideoFile& operator=(const VideoFile&) = delete;

  void add(const cv::Mat& bgr, int number) {
    must(av_frame_make_writable(frame_), "out of memory");
    cv::Mat yuv;
    cv::cvtColor(bgr, yuv, cv::COLOR_BGR2YUV_I420);
    const auto* from = yuv.data;
    for (std::size_t plane = 0; plane < 3; ++plane) {
      const int columns = plane == 0 ? bgr.cols : bgr.cols / 2;
      for (int row = 0; row < (plane == 0 ? bgr.rows : bgr.rows / 2); ++row, from += columns) {
        std::copy_n(from, columns, frame_->data[plane] + static_cast<std::ptrdiff_t>(row) * frame_->linesize[plane]);
      }
    }
    frame_->pts = number;
    take(frame_);
  }
  void end() {
    take(nullptr);
    must(av_write_trailer(format_), "write the end");
  }

 private:
  void take(const AVFrame* frame) {
    must(avcodec_send_frame(codec_, frame), "encode");
    while (avcodec_receive_packet(codec_, packet_) >= 0) {
      av_packet_rescale_ts(packet_, codec_->time_base, stream_->time_base);
      packet_->stream_index = stream_->index;
      packet_->duration = av_rescale_q(1, codec_->time_base, stream_->time_base);  // else mp4 gives the last picture no time at all
      must(av_interleaved_write_frame(format_, packet_), "write");
    }
  }

  AVCodecContext* codec_ = nullptr;
  AVFormatContext* format_ = nullptr;
  AVStream* stream_ = nullptr;
  AVFrame* frame_ = av_frame_alloc();
  AVPacket* packet_ = av_packet_alloc();
};

}  // namespace

cv::Mat scene(cv::Size size, int frame, int brightness, double noise_level) {
  cv::Mat texture(size.height / 8 + 1, size.width / 8 + 1, CV_8UC3);
  cv::RNG still{42};
  still.fill(texture, cv::RNG::UNIFORM, brightness - 40, brightness + 40);
  cv::Mat bgr;
  cv::resize(texture, bgr, size, 0, 0, cv::INTER_CUBIC);
  cv::Mat noise(size, CV_16SC3);
  cv::RNG moving{static_cast<std::uint64_t>(frame) + 1};
  moving.fill(noise, cv::RNG::NORMAL, 0, noise_level);
  cv::add(bgr, noise, bgr, cv::noArray(), CV_8U);
  return bgr;
}

void draw_thing(cv::Mat& bgr, cv::Rect box) {
  cv::rectangle(bgr, box, {240, 240, 240}, cv::FILLED);
  for (int y = box.y + 4; y < box.br().y; y += 8) {
    cv::line(bgr, {box.x, y}, {box.br().x - 1, y}, {200, 30, 30}, 2);
  }
}

void write_clip(const std::filesystem::path& file, int frames, const std::function<cv::Mat(int)>& picture) {
  std::ofstream out{file, std::ios::binary};
  for (int frame = 0; frame < frames; ++frame) {
    const auto jpeg = cameras::encode_jpeg(picture(frame), 1u << 20);
    if (!jpeg) throw std::runtime_error{jpeg.error().message};
    out << *jpeg;
  }
  if (!out.flush()) throw std::runtime_error{"write " + file.string()};
}

void write_video(const std::filesystem::path& file, int frames, const std::function<cv::Mat(int)>& picture, Video video) {
  av_log_set_level(AV_LOG_QUIET);
  const cv::Mat first = picture(0);
  VideoFile out{file, first.size(), video};
  out.add(first, 0);
  for (int frame = 1; frame < frames; ++frame) out.add(picture(frame), frame);
  out.end();
}

}  // namespace hamlet::support
