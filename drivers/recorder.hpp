#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "firmware/core/result.hpp"
#include "firmware/core/time.hpp"
#include "firmware/core/worker.hpp"

namespace hamlet::drivers {

/// One line of a recording.
struct Recorded {
  Millis at{};        ///< since the recording began
  bool sent = false;  ///< by us; else received
  std::string bytes;
};

/// "1234 > 01 03 00 00": milliseconds, '>' sent or '<' received, bytes in hex. Comments begin with '#'.
[[nodiscard]] std::string format_recorded(const Recorded& line);
/// Nothing for an empty line and a comment.
[[nodiscard]] Result<std::optional<Recorded>> parse_recorded(std::string_view line);
/// A whole recording; the error names the line. At most 16 MiB.
[[nodiscard]] Result<std::vector<Recorded>> read_recording(const std::filesystem::path& file);

/// Who hears the raw frames of a device: the recorder, and a probe that shows them.
class FrameLog {
 public:
  virtual ~FrameLog() = default;
  virtual void sent(std::span<const std::uint8_t> bytes) = 0;
  virtual void received(std::span<const std::uint8_t> bytes) = 0;
};

[[nodiscard]] inline std::span<const std::uint8_t> as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};  // NOLINT: bytes are characters
}

/// Writes the raw frames of a device to a file, for a bug report or a test. Any thread; never blocks: a Worker writes,
/// and what it cannot keep up with is left out and said so. Bounded: when the file is full it becomes FILE.1, and a new
/// one begins.
class Recorder final : public FrameLog {
 public:
  Recorder(const std::string& id, std::filesystem::path file, std::size_t max_bytes);
  ~Recorder() override { worker_.stop(Worker::Drain::yes); }  ///< writes what waits, too
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  void sent(std::span<const std::uint8_t> bytes) override { record(true, bytes); }
  void received(std::span<const std::uint8_t> bytes) override { record(false, bytes); }

 private:
  void record(bool sent, std::span<const std::uint8_t> bytes);
  void write(const std::string& line);

  const std::filesystem::path file_;
  const std::size_t max_bytes_;
  const std::chrono::steady_clock::time_point begun_ = std::chrono::steady_clock::now();
  std::size_t size_ = 0;  // on worker_
  bool told_ = false;     // on worker_: that it cannot be written
  std::mutex mutex_;
  std::size_t left_out_ = 0;  // guarded by mutex_
  Worker worker_;             // last: it ends before what it uses
};

}  // namespace hamlet::drivers
