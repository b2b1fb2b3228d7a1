#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <sys/types.h>

#include "firmware/core/result.hpp"
#include "firmware/core/time.hpp"

namespace hamlet::cameras {

/// What VideoDevice asks of the kernel, as the system calls of these names: the seam for a machine without a camera. Calls return
/// -1 and set errno.
class DeviceCalls {
 public:
  virtual ~DeviceCalls() = default;
  [[nodiscard]] virtual int open(const char* path);  ///< to read: the filter of hamlet-eyes allows no more, and V4L2 needs no more
  [[nodiscard]] virtual int ioctl(int device, unsigned long request, void* argument);
  [[nodiscard]] virtual void* map(int device, std::size_t length, off_t offset);
  virtual void unmap(void* at, std::size_t length);
  /// Waits until there is a picture; at most `wait`. 1, 0 or -1, as poll().
  [[nodiscard]] virtual int wait(int device, Millis wait);
  virtual void close(int device);
};

/// A camera at this machine (V4L2, streaming by mapped buffers): JPEG where it can, else YUYV, in the size nearest to what is
/// looked at. One thread.
class VideoDevice {
 public:
  enum class Format { jpeg, yuyv };

  /// Errors: not_found, denied, invalid (no camera, or none that we can read), failed. `calls` must outlive it.
  [[nodiscard]] static Result<VideoDevice> open(const std::string& path, DeviceCalls& calls);
  VideoDevice(VideoDevice&&) noexcept;
  VideoDevice& operator=(VideoDevice&&) noexcept;
  ~VideoDevice();

  [[nodiscard]] Format format() const { return format_; }
  [[nodiscard]] int columns() const { return columns_; }
  [[nodiscard]] int rows() const { return rows_; }

  /// The next picture's bytes go to `take`, which must not keep them. False where there was none within `wait`, or a damaged one.
  /// Errors: unavailable (it is gone), failed.
  [[nodiscard]] Result<bool> read(Millis wait, const std::function<void(std::span<const std::uint8_t>)>& take);

 private:
  VideoDevice(DeviceCalls& calls, int device) : calls_{&calls}, device_{device} {}
  [[nodiscard]] Status choose_format();
  [[nodiscard]] Status start();
  void close();

  DeviceCalls* calls_;
  int device_ = -1;
  Format format_ = Format::yuyv;
  int columns_ = 0;
  int rows_ = 0;
  std::vector<std::span<std::uint8_t>> buffers_;
};

}  // namespace hamlet::cameras
