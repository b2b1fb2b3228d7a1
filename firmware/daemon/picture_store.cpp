#include "firmware/daemon/picture_store.hpp"

#include <algorithm>
#include <atomic>
#include <fstream>
#include <map>
#include <system_error>
#include <utility>

#include <boost/asio/post.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "firmware/core/log.hpp"
#include "sync/journal/media.hpp"

namespace hamlet::daemon {
namespace fs = std::filesystem;

namespace {

constexpr std::string_view kStart = "\xff\xd8";
constexpr std::string_view kComment = "\xff\xfe";
constexpr std::size_t kMaxAbout = 1024;
constexpr std::uint64_t kBeforeJournal = 16U << 20;  // pictures go before the journal has to give up readings
constexpr std::chrono::hours kAgesEvery{1};
constexpr WallTime kSet{
    std::chrono::sys_days{std::chrono::year{2024} / 1 / 1}};  // an earlier time is of an unset clock

// The JPEG with a comment before all else.
std::string with_comment(const std::string& jpeg, std::string_view about) {
  const std::size_t length = about.size() + 2;
  std::string out{kStart};
  out.append(kComment).append({static_cast<char>(length >> 8U), static_cast<char>(length & 0xffU)});
  return out.append(about).append(jpeg, kStart.size());
}

std::string comment_of(const fs::path& file) {
  std::ifstream in{file, std::ios::binary};
  std::string head(kStart.size() + kComment.size() + 2, '\0');
  if (!in.read(head.data(), static_cast<std::streamsize>(head.size()))) return {};
  if (!head.starts_with(std::string{kStart}.append(kComment))) return {};
  const auto byte = [&](std::size_t at) { return static_cast<std::size_t>(static_cast<unsigned char>(head[at])); };
  const std::size_t length = byte(4) << 8U | byte(5);
  if (length < 2 || length > kMaxAbout + 2) return {};
  std::string about(length - 2, '\0');
  if (!in.read(about.data(), static_cast<std::streamsize>(about.size()))) return {};
  return about;
}

WallTime stored_at(const struct stat& file) {
  return wall_from_ms(static_cast<std::int64_t>(file.st_mtim.tv_sec) * 1000 + file.st_mtim.tv_nsec / 1'000'000);
}

}  // namespace

bool is_picture_name(std::string_view name) {
  return journal::parse_picture_name(fmt::format("{}.jpg", name)).has_value();
}

// Everything that touches the disk, on the Worker's thread. What is there is read once, before the first job.
class PictureStore::Files {
 public:
  Files(fs::path media, Options options) : media_{std::move(media)}, options_{options} {}

  void set_options(Options options) { options_ = options; }
  [[nodiscard]] bool failing() const { return failing_; }  // any thread

  void keep(const std::string& name, const std::string& jpeg, std::string_view about) {
    load();
    if (known_.contains(name)) return;
    const auto bytes = about.size() <= kMaxAbout ? with_comment(jpeg, about) : jpeg;
    make_room(bytes.size());
    const auto written = journal::write_durably(full(), file_name(name), bytes);
    struct stat there {};
    if (!written || ::stat((full() / file_name(name)).c_str(), &there) != 0) {
      if (!failing_.exchange(true)) log::error("pictures cannot be stored", {{"why", written ? "gone" : written.error().message}});
      return;
    }
    failing_ = false;
    add(name, {bytes.size(), stored_at(there), false});
  }

  void tend(std::optional<WallTime> now) {
    load();
    make_room(0);
    if (!now || (looked_ && *now >= *looked_ && *now - *looked_ < kAgesEvery)) return;
    looked_ = *now;
    std::optional<WallTime> oldest;
    for (const auto& name : order_) {
      const auto& file = known_.at(name);
      if (file.at >= kSet && !file.held && (!oldest || file.at < *oldest)) oldest = file.at;
    }
    if (!oldest) return;
    const WallTime limit = std::min(*now - options_.keep, *oldest + std::chrono::days{1});
    forget_if([&](const File& file) { return file.at >= kSet && file.at < limit && file.at < *now - options_.keep; });
  }

  Result<Listing> list(std::size_t limit, bool held_only) {
    load();
    Listing out{.pictures = {}, .bytes = bytes_, .held_bytes = held_bytes_};
    for (auto name = order_.rbegin(); name != order_.rend() && out.pictures.size() < limit; ++name) {
      const auto& file = known_.at(*name);
      if (held_only && !file.held) continue;
      out.pictures.push_back({*name, file.bytes, file.at, file.held, comment_of(place(*name, file.held))});
    }
    return out;
  }

  Result<std::string> read(const std::string& name) {
    load();
    const auto file = known_.find(name);
    if (file == known_.end()) return journal::read_picture(media_, file_name(name));
    return journal::read_picture(file->second.held ? held() : full(), file_name(name));
  }

  Result<bool> hold(const std::string& name, bool wanted) {
    load();
    const auto file = known_.find(name);
    if (file == known_.end()) return wanted ? hold_of_journal(name) : fail(Errc::not_found, name);
    if (file->second.held == wanted) return true;
    if (auto moved = rename(place(name, !wanted), place(name, wanted)); !moved) return moved;
    file->second.held = wanted;
    count(file->second, wanted ? full_counts_less : held_counts_less);
    return true;
  }

 private:
  struct File {
    std::uint64_t bytes = 0;
    WallTime at{};
    bool held = false;
  };
  enum Moved { full_counts_less, held_counts_less };

  [[nodiscard]] fs::path full() const { return media_ / "full"; }
  [[nodiscard]] fs::path held() const { return media_ / "held"; }
  [[nodiscard]] static std::string file_name(const std::string& name) { return name + ".jpg"; }
  [[nodiscard]] fs::path place(const std::string& name, bool is_held) const {
    return (is_held ? held() : full()) / file_name(name);
  }

  // Where they are not, or no longer; that one cannot be made, the first picture tells.
  void make_folders() const {
    std::error_code ignored;
    fs::create_directories(media_, ignored);
    for (const auto& folder : {full(), held()}) ::mkdir(folder.c_str(), 0700);
  }

  void load() {
    make_folders();
    if (std::exchange(loaded_, true)) return;
    std::error_code error;
    std::vector<std::pair<WallTime, std::string>> found;
    for (const bool is_held : {false, true}) {
      const auto folder = is_held ? held() : full();
      for (auto entry = fs::directory_iterator{folder, error}; !error && entry != fs::directory_iterator{};
           entry.increment(error)) {
        const auto stem = entry->path().stem().string();
        struct stat there {};
        if (::stat(entry->path().c_str(), &there) != 0) continue;
        if (!is_picture_name(stem) || entry->path().extension() != ".jpg") {
          if (entry->path().extension() == ".tmp") fs::remove(entry->path(), error);  // a power cut left it
          continue;
        }
        const File file{static_cast<std::uint64_t>(there.st_size), stored_at(there), is_held};
        if (!known_.emplace(stem, file).second) continue;
        (is_held ? held_bytes_ : bytes_) += file.bytes;
        found.emplace_back(file.at, stem);
      }
    }
    std::sort(found.begin(), found.end());
    for (auto& [at, name] : found) order_.push_back(std::move(name));
  }

  void add(const std::string& name, File file) {
    (file.held ? held_bytes_ : bytes_) += file.bytes;
    known_.emplace(name, file);
    order_.push_back(name);
  }

  void count(const File& file, Moved moved) {
    (moved == full_counts_less ? bytes_ : held_bytes_) -= file.bytes;
    (moved == full_counts_less ? held_bytes_ : bytes_) += file.bytes;
  }

  // What goes must be gone before the disk is full.
  [[nodiscard]] std::uint64_t to_free(std::uint64_t coming) const {
    std::uint64_t most = bytes_ + coming > options_.budget_bytes ? bytes_ + coming - options_.budget_bytes : 0;
    struct statvfs disk {};
    if (::statvfs(full().c_str(), &disk) == 0) {
      const std::uint64_t free = static_cast<std::uint64_t>(disk.f_bavail) * disk.f_frsize;
      const auto wanted = options_.min_free_bytes + kBeforeJournal + coming;
      if (free < wanted) most = std::max(most, wanted - free);
    }
    return most;
  }

  void make_room(std::uint64_t coming) {
    const auto wanted = to_free(coming);
    std::uint64_t freed = 0;
    if (wanted > 0) {
      forget_if([&](const File& file) {
        if (freed >= wanted) return false;
        freed += file.bytes;
        return true;
      });
    }
  }

  // In their order, the oldest first; held ones never.
  template <class Which>
  void forget_if(const Which& which) {
    std::erase_if(order_, [&](const std::string& name) {
      const auto file = known_.find(name);
      if (file->second.held || !which(file->second)) return false;
      std::error_code gone;
      fs::remove(place(name, false), gone);
      bytes_ -= file->second.bytes;
      known_.erase(file);
      return true;
    });
  }

  // The journal removes its own name of a picture when it likes: the bytes stay.
  Result<bool> hold_of_journal(const std::string& name) {
    std::error_code error;
    fs::create_hard_link(media_ / file_name(name), place(name, true), error);
    if (error == std::errc::no_such_file_or_directory) return fail(Errc::not_found, name);
    if (error) return fail(Errc::failed, fmt::format("hold {}: {}", name, error.message()));
    (void)journal::sync_folder(held());
    struct stat there {};
    if (::stat(place(name, true).c_str(), &there) == 0)
      add(name, {static_cast<std::uint64_t>(there.st_size), stored_at(there), true});
    return true;
  }

  static Result<bool> rename(const fs::path& from, const fs::path& to) {
    std::error_code error;
    fs::rename(from, to, error);
    if (error) return fail(Errc::failed, fmt::format("rename {}: {}", from.string(), error.message()));
    (void)journal::sync_folder(to.parent_path());
    (void)journal::sync_folder(from.parent_path());
    return true;
  }

  const fs::path media_;
  Options options_;
  bool loaded_ = false;
  std::atomic<bool> failing_{false};
  std::map<std::string, File, std::less<>> known_;
  std::vector<std::string> order_;  // as stored
  std::uint64_t bytes_ = 0;
  std::uint64_t held_bytes_ = 0;
  std::optional<WallTime> looked_;
};

PictureStore::PictureStore(boost::asio::io_context& io, fs::path media, Options options)
    : io_{io}, files_{std::make_shared<Files>(std::move(media), options)}, worker_{"media", kMaxWaiting} {}

PictureStore::~PictureStore() {
  stop();
}

bool PictureStore::failing() const {
  return files_->failing();
}

void PictureStore::stop() {
  worker_.stop(Worker::Drain::yes);
}

void PictureStore::set_options(Options options) {
  if (!worker_.post([files = files_, options] { files->set_options(options); }))
    log::warning("[media] stays as it was: the disk is slow");
}

bool PictureStore::keep(const std::string& name, std::string jpeg, const nlohmann::json& about) {
  return worker_.post([files = files_, name, jpeg = std::move(jpeg),
                       about = about.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)] {
    files->keep(name, jpeg, about);
  });
}

void PictureStore::tend(std::optional<WallTime> now) {
  static_cast<void>(worker_.post([files = files_, now] { files->tend(now); }));  // else the next time
}

template <class T>
void PictureStore::ask(std::function<Result<T>(Files&)> what, std::function<void(Result<T>)> then) {
  auto answer = std::make_shared<std::function<void(Result<T>)>>(std::move(then));
  const bool taken = worker_.post([&io = io_, files = files_, what = std::move(what), answer] {
    boost::asio::post(io, [answer, result = what(*files)]() mutable { (*answer)(std::move(result)); });
  });
  if (!taken) (*answer)(fail(Errc::full, "too much waits for the disk"));
}

void PictureStore::list(std::size_t limit, bool held_only, std::function<void(Result<Listing>)> then) {
  ask<Listing>([limit, held_only](Files& files) { return files.list(limit, held_only); }, std::move(then));
}

void PictureStore::read(const std::string& name, std::function<void(Result<std::string>)> then) {
  ask<std::string>([name](Files& files) { return files.read(name); }, std::move(then));
}

void PictureStore::hold(const std::string& name, bool held, std::function<void(Status)> then) {
  ask<bool>([name, held](Files& files) { return files.hold(name, held); },
            [then = std::move(then)](const Result<bool>& done) { then(done ? Status{} : Status{fail(done.error())}); });
}

}  // namespace hamlet::daemon
