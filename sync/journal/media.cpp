#include "sync/journal/media.hpp"

#include <cerrno>
#include <charconv>
#include <fstream>
#include <iterator>
#include <system_error>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

namespace hamlet::journal {
namespace {

namespace fs = std::filesystem;

// A file descriptor that closes itself.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_{fd} {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

tl::unexpected<Error> failed(const fs::path& path, std::string_view what) {
  const int why = errno;
  const auto code = why == ENOSPC || why == EDQUOT  ? Errc::full
                    : why == EACCES || why == EROFS ? Errc::denied
                                                    : Errc::failed;
  return fail(code, fmt::format("{} {}: {}", what, path.string(), std::generic_category().message(why)));
}

Status write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const auto written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return fail(Errc::failed, "");
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return {};
}

}  // namespace

Status write_durably(const fs::path& folder, const std::string& name, std::string_view bytes) {
  const auto path = folder / name;
  const auto temporary = folder / (name + ".tmp");
  {
    const Descriptor file{::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640)};
    if (file.get() < 0) return failed(temporary, "create");
    if (!write_all(file.get(), bytes) || ::fsync(file.get()) != 0) {
      auto error = failed(temporary, "write");
      ::unlink(temporary.c_str());
      return error;
    }
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0) return failed(path, "rename to");
  return sync_folder(folder);
}

Status sync_folder(const fs::path& folder) {
  const Descriptor directory{::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (directory.get() < 0 || ::fsync(directory.get()) != 0) return failed(folder, "sync");
  return {};
}

std::optional<std::pair<std::string, std::uint64_t>> parse_picture_name(std::string_view name) {
  constexpr std::string_view kEnd = ".jpg";
  const auto dash = name.find('-');
  if (dash != 16 || !name.ends_with(kEnd)) return {};
  const auto epoch = name.substr(0, dash);
  if (epoch.find_first_not_of("0123456789abcdef") != std::string_view::npos) return {};
  const auto digits = name.substr(dash + 1, name.size() - dash - 1 - kEnd.size());
  std::uint64_t seq = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), seq);
  if (error != std::errc{} || end != digits.data() + digits.size()) return {};
  return std::pair{std::string{epoch}, seq};
}

void remove_picture(const fs::path& folder, const std::string& name) {
  std::error_code absent;
  if (parse_picture_name(name)) fs::remove(folder / name, absent);
}

Result<std::string> read_picture(const fs::path& folder, const std::string& name) {
  if (!parse_picture_name(name)) return fail(Errc::invalid, fmt::format("'{}' is no picture of the journal", name));
  std::ifstream file{folder / name, std::ios::binary};
  if (!file) return fail(Errc::not_found, fmt::format("picture {}: not there", name));
  std::string bytes{std::istreambuf_iterator<char>{file}, {}};
  if (file.bad()) return fail(Errc::failed, fmt::format("picture {}: cannot be read", name));
  return bytes;
}

std::uint64_t picture_bytes(const fs::path& folder) {
  std::uint64_t bytes = 0;
  std::error_code error;
  for (auto entry = fs::directory_iterator{folder, error}; !error && entry != fs::directory_iterator{};
       entry.increment(error)) {
    std::error_code gone;
    const auto size = entry->file_size(gone);
    if (!gone) bytes += size;
  }
  return bytes;
}

}  // namespace hamlet::journal
