// A camera at the machine, played by the test: the seam stands for /dev/video0, which build machines do not have.

#include "cameras/video_device.hpp"

#include <cerrno>
#include <cstring>
#include <deque>

#include <doctest/doctest.h>
#include <linux/videodev2.h>
#include <opencv2/imgproc.hpp>
#include <sys/mman.h>

#include "cameras/capture.hpp"
#include "cameras/evidence.hpp"
#include "tests/support/clip.hpp"

using namespace hamlet;
using namespace hamlet::cameras;

namespace {

const cv::Size kDeviceSize{320, 240};

// Gives a picture whenever a buffer is free, until it is unplugged.
class FakeCamera final : public DeviceCalls {
 public:
  explicit FakeCamera(bool gives_jpeg) : gives_jpeg_{gives_jpeg} {}

  int open(const char* path) override {
    if (std::strcmp(path, "/dev/video0") != 0) return fail_with(ENOENT);
    ++opened;
    return 7;
  }
  int ioctl(int device, unsigned long request, void* argument) override {
    CHECK(device == 7);
    if (unplugged) return fail_with(ENODEV);
    if (request == VIDIOC_QUERYCAP) {
      auto* can = static_cast<v4l2_capability*>(argument);
      can->capabilities = V4L2_CAP_DEVICE_CAPS | V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING;
      can->device_caps = gives_video ? V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING : V4L2_CAP_META_CAPTURE;
    } else if (request == VIDIOC_S_FMT) {
      auto& wanted = static_cast<v4l2_format*>(argument)->fmt.pix;
      if (!gives_jpeg_) wanted.pixelformat = V4L2_PIX_FMT_YUYV;
      wanted.width = static_cast<unsigned>(kDeviceSize.width);
      wanted.height = static_cast<unsigned>(kDeviceSize.height);
      wanted.bytesperline = wanted.width * 2;
    } else if (request == VIDIOC_REQBUFS) {
      memory_.resize(static_cast<v4l2_requestbuffers*>(argument)->count);
    } else if (request == VIDIOC_QUERYBUF) {
      auto* buffer = static_cast<v4l2_buffer*>(argument);
      memory_.at(buffer->index).resize(1U << 18);
      buffer->length = 1U << 18;
      buffer->m.offset = buffer->index << 20;
    } else if (request == VIDIOC_QBUF) {
      free_.push_back(static_cast<v4l2_buffer*>(argument)->index);
    } else if (request == VIDIOC_DQBUF) {
      return give(*static_cast<v4l2_buffer*>(argument));
    } else {
      CHECK(request == VIDIOC_STREAMON);
    }
    return 0;
  }
  void* map(int, std::size_t, off_t offset) override {
    ++mapped;
    return memory_.at(static_cast<std::size_t>(offset) >> 20).data();
  }
  void unmap(void*, std::size_t) override { --mapped; }
  int wait(int, Millis) override { return silent ? 0 : 1; }
  void close(int) override { --opened; }

  int opened = 0;
  int mapped = 0;
  bool gives_video = true;
  bool unplugged = false;
  bool silent = false;
  int damaged = 0;  // of the next ones

 private:
  static int fail_with(int why) {
    errno = why;
    return -1;
  }
  int give(v4l2_buffer& buffer) {
    if (free_.empty()) return fail_with(EAGAIN);
    buffer.index = free_.front();
    free_.pop_front();
    const cv::Mat bgr = support::scene(kDeviceSize, number_++);
    std::string bytes;
    if (gives_jpeg_) {
      bytes = encode_jpeg(bgr, 1U << 18).value();
    } else {
      cv::Mat yuv;
      cv::cvtColor(bgr, yuv, cv::COLOR_BGR2YUV);
      for (int row = 0; row < yuv.rows; ++row) {
        for (int column = 0; column < yuv.cols; column += 2) {
          const auto& left = yuv.at<cv::Vec3b>(row, column);
          for (const auto part : {left[0], left[1], yuv.at<cv::Vec3b>(row, column + 1)[0], left[2]}) bytes += static_cast<char>(part);
        }
      }
    }
    std::memcpy(memory_.at(buffer.index).data(), bytes.data(), bytes.size());
    buffer.bytesused = static_cast<unsigned>(bytes.size());
    if (damaged > 0) {
      --damaged;
      buffer.flags |= V4L2_BUF_FLAG_ERROR;
    }
    return 0;
  }

  const bool gives_jpeg_;
  int number_ = 0;
  std::vector<std::vector<std::uint8_t>> memory_;
  std::deque<std::uint32_t> free_;
};

CameraConfig at_machine(const std::string& path = "/dev/video0") {
  CameraConfig camera;
  camera.id = "cam";
  camera.source = "device:" + path;
  camera.max_fps = 60;
  camera.read_timeout = Millis{500};
  return camera;
}

}  // namespace

TEST_CASE("a camera at the machine gives pictures, as JPEG or as YUYV, until it is unplugged") {
  for (const bool jpeg : {true, false}) {
    CAPTURE(jpeg);
    FakeCamera device{jpeg};
    device.damaged = 2;
    const std::atomic<bool> cancel{false};
    {
      auto capture = Capture::open(at_machine(), cancel, &device);
      REQUIRE_MESSAGE(capture, capture.error().message);
      auto picture = capture->read();
      REQUIRE(picture);
      REQUIRE(*picture);
      CHECK((*picture)->source == kDeviceSize);
      const cv::Mat shown = (*picture)->bgr();
      CHECK(cv::norm(shown, support::scene(kDeviceSize, 2), cv::NORM_L1) / static_cast<double>(shown.total() * 3) < 12);
      device.unplugged = true;
      auto gone = capture->read();
      while (gone) gone = capture->read();  // what was decoded before
      CHECK(gone.error().why == "unreachable");
    }
    CHECK(device.opened == 0);
    CHECK(device.mapped == 0);
  }
}

TEST_CASE("a device that is not there, is no camera or says nothing is told by its name") {
  FakeCamera device{true};
  const std::atomic<bool> cancel{false};
  CHECK(Capture::open(at_machine("/dev/video9"), cancel, &device).error().why == "not-found");
  device.silent = true;
  auto capture = Capture::open(at_machine(), cancel, &device);
  REQUIRE(capture);
  CHECK(capture->read().error().why == "timeout");
  device.gives_video = false;
  const auto refused = Capture::open(at_machine(), cancel, &device);
  CHECK(refused.error().why == "no-video");
  CHECK(refused.error().message.find("/dev/video0") != std::string::npos);
}
