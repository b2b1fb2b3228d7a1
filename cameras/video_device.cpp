#include "cameras/video_device.hpp"

#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/videodev2.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cameras/picture.hpp"

namespace hamlet::cameras {
namespace {

constexpr std::uint32_t kBuffers = 4;

tl::unexpected<Error> failed(std::string_view doing) {
  const int why = errno;
  const auto code = why == ENOENT                     ? Errc::not_found
                    : why == EACCES || why == EPERM   ? Errc::denied
                    : why == ENODEV || why == ENXIO   ? Errc::unavailable
                    : why == ENOTTY || why == EINVAL  ? Errc::invalid
                                                      : Errc::failed;
  return fail(code, fmt::format("{}: {}", doing, std::generic_category().message(why)));
}

v4l2_buffer buffer_of(std::uint32_t index = 0) {
  v4l2_buffer buffer{};
  buffer.type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
  buffer.memory = V4L2_MEMORY_MMAP;
  buffer.index = index;
  return buffer;
}

}  // namespace

int DeviceCalls::open(const char* path) { return ::open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); }
int DeviceCalls::ioctl(int device, unsigned long request, void* argument) {
  int done = 0;
  do {
    done = ::ioctl(device, request, argument);
  } while (done < 0 && errno == EINTR);
  return done;
}
void* DeviceCalls::map(int device, std::size_t length, off_t offset) {
  return ::mmap(nullptr, length, PROT_READ, MAP_SHARED, device, offset);
}
void DeviceCalls::unmap(void* at, std::size_t length) { ::munmap(at, length); }
int DeviceCalls::wait(int device, Millis wait) {
  pollfd ready{device, POLLIN, 0};
  return ::poll(&ready, 1, static_cast<int>(wait.count()));
}
void DeviceCalls::close(int device) { ::close(device); }

Result<VideoDevice> VideoDevice::open(const std::string& path, DeviceCalls& calls) {
  const int device = calls.open(path.c_str());
  if (device < 0) return failed("open " + path);
  VideoDevice camera{calls, device};
  v4l2_capability can{};
  if (calls.ioctl(device, VIDIOC_QUERYCAP, &can) < 0) return fail(Errc::invalid, path + " is no camera");
  const auto capabilities = (can.capabilities & V4L2_CAP_DEVICE_CAPS) != 0 ? can.device_caps : can.capabilities;
  if ((capabilities & V4L2_CAP_VIDEO_CAPTURE) == 0 || (capabilities & V4L2_CAP_STREAMING) == 0) {
    return fail(Errc::invalid, path + " gives no video: a camera has more than one device, try the others");
  }
  if (auto chosen = camera.choose_format(); !chosen) return fail(std::move(chosen).error().in(path));
  if (auto started = camera.start(); !started) return fail(std::move(started).error().in(path));
  return camera;
}

// JPEG takes a tenth of the bus that YUYV takes.
Status VideoDevice::choose_format() {
  for (const auto wanted : {V4L2_PIX_FMT_MJPEG, V4L2_PIX_FMT_YUYV}) {
    v4l2_format format{};
    format.type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
    format.fmt.pix.width = kPictureColumns;
    format.fmt.pix.height = kPictureRows;
    format.fmt.pix.pixelformat = wanted;
    format.fmt.pix.field = V4L2_FIELD_ANY;
    if (calls_->ioctl(device_, VIDIOC_S_FMT, &format) < 0) {
      if (errno == EINVAL) continue;
      return failed("choose a format");
    }
    const auto& chosen = format.fmt.pix;
    if (chosen.pixelformat != wanted) continue;
    if (chosen.width < 16 || chosen.height < 16 || chosen.width > 8192 || chosen.height > 8192) break;
    format_ = wanted == V4L2_PIX_FMT_MJPEG ? Format::jpeg : Format::yuyv;
    columns_ = static_cast<int>(chosen.width);
    rows_ = static_cast<int>(chosen.height);
    if (format_ == Format::yuyv && chosen.bytesperline != chosen.width * 2) break;  // rows with gaps
    return {};
  }
  return fail(Errc::invalid, "it gives neither JPEG nor YUYV");
}

Status VideoDevice::start() {
  v4l2_requestbuffers request{};
  request.type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
  request.memory = V4L2_MEMORY_MMAP;
  request.count = kBuffers;
  if (calls_->ioctl(device_, VIDIOC_REQBUFS, &request) < 0) return failed("ask for buffers");
  for (std::uint32_t index = 0; index < request.count; ++index) {
    auto buffer = buffer_of(index);
    if (calls_->ioctl(device_, VIDIOC_QUERYBUF, &buffer) < 0) return failed("ask for a buffer");
    void* at = calls_->map(device_, buffer.length, static_cast<off_t>(buffer.m.offset));
    if (at == MAP_FAILED) return failed("map a buffer");
    buffers_.emplace_back(static_cast<std::uint8_t*>(at), buffer.length);
    if (calls_->ioctl(device_, VIDIOC_QBUF, &buffer) < 0) return failed("hand over a buffer");
  }
  int type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
  if (calls_->ioctl(device_, VIDIOC_STREAMON, &type) < 0) return failed("start");
  return {};
}

Result<bool> VideoDevice::read(Millis wait, const std::function<void(std::span<const std::uint8_t>)>& take) {
  const int ready = calls_->wait(device_, wait);
  if (ready < 0 && errno != EINTR) return failed("wait");
  if (ready <= 0) return false;
  auto buffer = buffer_of();
  if (calls_->ioctl(device_, VIDIOC_DQBUF, &buffer) < 0) {
    if (errno == EAGAIN) return false;
    return fail(Errc::unavailable, fmt::format("read: {}", std::generic_category().message(errno)));
  }
  const bool ours = buffer.index < buffers_.size();
  const bool whole = ours && (buffer.flags & V4L2_BUF_FLAG_ERROR) == 0 && buffer.bytesused <= buffers_[buffer.index].size() && buffer.bytesused > 0;
  if (whole) take(buffers_[buffer.index].first(buffer.bytesused));
  if (ours && calls_->ioctl(device_, VIDIOC_QBUF, &buffer) < 0) return failed("hand a buffer back");
  return whole;
}

VideoDevice::VideoDevice(VideoDevice&& other) noexcept
    : calls_{other.calls_},
      device_{std::exchange(other.device_, -1)},
      format_{other.format_},
      columns_{other.columns_},
      rows_{other.rows_},
      buffers_{std::exchange(other.buffers_, {})} {}

VideoDevice& VideoDevice::operator=(VideoDevice&& other) noexcept {
  close();
  calls_ = other.calls_;
  device_ = std::exchange(other.device_, -1);
  format_ = other.format_;
  columns_ = other.columns_;
  rows_ = other.rows_;
  buffers_ = std::exchange(other.buffers_, {});
  return *this;
}

VideoDevice::~VideoDevice() { close(); }

// The kernel stops the stream with the descriptor.
void VideoDevice::close() {
  if (device_ < 0) return;
  for (const auto& buffer : std::exchange(buffers_, {})) calls_->unmap(buffer.data(), buffer.size());
  calls_->close(std::exchange(device_, -1));
}

}  // namespace hamlet::cameras
