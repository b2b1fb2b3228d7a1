#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <nlohmann/json_fwd.hpp>

#include "firmware/core/result.hpp"
#include "firmware/core/time.hpp"
#include "firmware/core/worker.hpp"

namespace hamlet::daemon {

/// The pictures of which the county gets the thumbnails: `full/NAME.jpg`, and those under legal hold: `held/NAME.jpg`,
/// in a folder that nobody but the daemon may read, so that whoever looks has to ask it. NAME is the thumbnail's
/// identity (EPOCH-SEQ). What a picture shows (camera, zone, kind, event) is written in the file, as a JPEG comment.
///
/// The oldest pictures go as the budget fills, as the disk does, and by age; a held one stays until it is released. By
/// age goes at most a day's pictures an hour, and nothing while the clock is unset: a clock that jumps empties no
/// folder.
///
/// Called from the io thread; one Worker touches the disk, in order. A picture is durable some time after keep(); a
/// power cut before that loses the picture, not the event nor its thumbnail.
class PictureStore {
 public:
  struct Options {
    std::uint64_t budget_bytes = 256ULL << 20;    ///< [media] `budget_mb`, 1 MB to 1 TB; held pictures do not count
    std::chrono::days keep{30};                   ///< [media] `keep_days`, 1 to 3650
    std::uint64_t min_free_bytes = 128ULL << 20;  ///< of [journal]: left free on the disk for others
  };
  /// A picture as it is listed.
  struct Entry {
    std::string name;
    std::uint64_t bytes = 0;
    WallTime at{};  ///< when it was stored, by the clock as it was then
    bool held = false;
    std::string about;  ///< JSON, or empty
  };
  struct Listing {
    std::vector<Entry> pictures;  ///< the newest first
    std::uint64_t bytes = 0;      ///< of all that are not held
    std::uint64_t held_bytes = 0;
  };

  /// `media`: the folder media/ of the journal, whose pictures may be held too.
  PictureStore(boost::asio::io_context& io, std::filesystem::path media, Options options);
  ~PictureStore();  ///< stop()
  PictureStore(const PictureStore&) = delete;
  PictureStore& operator=(const PictureStore&) = delete;

  void set_options(Options options);
  /// False where kMaxWaiting wait for a slow disk: the picture is given up.
  [[nodiscard]] bool keep(const std::string& name, std::string jpeg, const nlohmann::json& about);
  /// Makes room, and at most hourly looks at the age of pictures. `now`: nothing while the clock is unset.
  void tend(std::optional<WallTime> now);
  /// The newest `limit`. Error full: too much waits for the disk.
  void list(std::size_t limit, bool held_only, std::function<void(Result<Listing>)> then);
  /// The bytes. Errors: not_found, full, failed.
  void read(const std::string& name, std::function<void(Result<std::string>)> then);
  /// Durable when it says so. Errors: not_found, full, failed.
  void hold(const std::string& name, bool held, std::function<void(Status)> then);
  /// The last picture could not be written.
  [[nodiscard]] bool failing() const;
  /// Writes what waits. Idempotent.
  void stop();

  static constexpr std::size_t kMaxWaiting = 64;

 private:
  class Files;  // the Worker's
  template <class T>
  void ask(std::function<Result<T>(Files&)> what, std::function<void(Result<T>)> then);

  boost::asio::io_context& io_;
  std::shared_ptr<Files> files_;
  Worker worker_;  // last: its thread uses files_
};

/// Whether this may be the name of a picture.
[[nodiscard]] bool is_picture_name(std::string_view name);

}  // namespace hamlet::daemon
