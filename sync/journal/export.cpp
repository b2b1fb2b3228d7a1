#include "sync/journal/export.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include <fcntl.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "sync/journal/media.hpp"
#include "sync/journal/reader.hpp"
#include "sync/journal/store.hpp"

namespace hamlet::journal {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr int kExportLevel = 3;
constexpr std::size_t kRecords = 256;  // at a time
constexpr std::size_t kBytes = 1U << 20;

tl::unexpected<Error> failed_to(const char* what, const fs::path& path, int why) {
  const auto code = why == ENOSPC || why == EDQUOT || why == EFBIG       ? Errc::full
                    : why == EACCES || why == EPERM || why == EROFS      ? Errc::denied
                    : why == ENOENT || why == ENOTDIR                    ? Errc::not_found
                                                                         : Errc::failed;
  return fail(code, fmt::format("{} {}: {}", what, path.string(), std::generic_category().message(why)));
}

// As sync_folder(), but a stick's file system may have no such thing.
Status sync_stick(const fs::path& folder) {
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return failed_to("open", folder, errno);
  const int why = ::fsync(fd) == 0 ? 0 : errno;
  ::close(fd);
  if (why != 0 && why != EINVAL) return failed_to("sync", folder, why);
  return {};
}

struct Sum {
  std::string name;  ///< below the export's folder
  std::string sha256;
  std::uint64_t bytes = 0;
};

/// A new file, hashed as it is written.
class OutFile {
 public:
  static Result<OutFile> create(const fs::path& folder, std::string name) {
    OutFile file;
    file.path_ = folder / name;
    file.sum_.name = std::move(name);
    file.fd_ = ::open(file.path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (file.fd_ < 0) return failed_to("create", file.path_, errno);
    file.digest_.reset(EVP_MD_CTX_new());
    if (EVP_DigestInit_ex(file.digest_.get(), EVP_sha256(), nullptr) != 1) return fail(Errc::failed, "there is no SHA-256");
    return file;
  }
  ~OutFile() {
    if (fd_ >= 0) ::close(fd_);
  }
  OutFile(OutFile&& other) noexcept
      : path_{std::move(other.path_)}, sum_{std::move(other.sum_)}, fd_{std::exchange(other.fd_, -1)},
        digest_{std::move(other.digest_)} {}
  OutFile& operator=(OutFile&&) = delete;

  Status write(std::string_view bytes) {
    EVP_DigestUpdate(digest_.get(), bytes.data(), bytes.size());
    sum_.bytes += bytes.size();
    while (!bytes.empty()) {
      const auto done = ::write(fd_, bytes.data(), bytes.size());
      if (done < 0 && errno == EINTR) continue;
      if (done < 0) return failed_to("write", path_, errno);
      bytes.remove_prefix(static_cast<std::size_t>(done));
    }
    return {};
  }
  /// Durable when it returns.
  Result<Sum> finish() {
    if (::fsync(fd_) != 0) return failed_to("write", path_, errno);
    if (::close(std::exchange(fd_, -1)) != 0) return failed_to("write", path_, errno);
    std::array<unsigned char, EVP_MAX_MD_SIZE> hash{};
    unsigned size = 0;
    EVP_DigestFinal_ex(digest_.get(), hash.data(), &size);
    for (unsigned i = 0; i < size; ++i) sum_.sha256 += fmt::format("{:02x}", hash.at(i));
    return std::move(sum_);
  }

 private:
  struct Free {
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  };
  OutFile() = default;
  fs::path path_;
  Sum sum_;
  int fd_ = -1;
  std::unique_ptr<EVP_MD_CTX, Free> digest_;
};

/// Lines, compressed.
class Lines {
 public:
  static Result<Lines> create(const fs::path& folder, std::string name) {
    auto file = OutFile::create(folder, std::move(name));
    if (!file) return fail(std::move(file).error());
    return Lines{std::move(*file)};
  }
  Status add(std::string_view line) {
    raw_bytes_ += line.size();
    return pump(line, ZSTD_e_continue);
  }
  Result<Sum> finish() {
    if (auto status = pump({}, ZSTD_e_end); !status) return fail(std::move(status).error());
    return file_.finish();
  }
  [[nodiscard]] std::uint64_t raw_bytes() const { return raw_bytes_; }

 private:
  struct Free {
    void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
  };
  explicit Lines(OutFile file) : file_{std::move(file)}, context_{ZSTD_createCCtx()}, out_(ZSTD_CStreamOutSize(), '\0') {
    ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_compressionLevel, kExportLevel);
    ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_checksumFlag, 1);
  }
  Status pump(std::string_view bytes, ZSTD_EndDirective how) {
    ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
    for (bool done = false; !done;) {
      ZSTD_outBuffer out{out_.data(), out_.size(), 0};
      const auto left = ZSTD_compressStream2(context_.get(), &out, &in, how);
      if (ZSTD_isError(left) != 0) return fail(Errc::failed, fmt::format("zstd: {}", ZSTD_getErrorName(left)));
      if (auto status = file_.write({out_.data(), out.pos}); !status) return status;
      done = how == ZSTD_e_end ? left == 0 : in.pos == in.size;
    }
    return {};
  }

  OutFile file_;
  std::unique_ptr<ZSTD_CCtx, Free> context_;
  std::string out_;
  std::uint64_t raw_bytes_ = 0;
};

/// Numbers of one epoch and lane, as ranges.
struct Numbered {
  std::vector<contract::Range> ranges;
  std::uint64_t count = 0;
  void add(std::uint64_t seq) {
    ++count;
    if (!ranges.empty() && ranges.back().to + 1 == seq) {
      ranges.back().to = seq;
    } else {
      ranges.push_back({seq, seq});
    }
  }
};

json ranges_json(const std::vector<contract::Range>& ranges) {
  auto out = json::array();
  for (const auto& range : ranges) out.push_back({range.from, range.to});
  return out;
}

// What some uplink has not got through yet: all, where no uplink has a position.
std::vector<contract::Range> unsent(const Positions& positions, std::uint32_t generation, Lane lane, contract::Range numbers) {
  std::vector<std::string> uplinks;
  for (const auto& [key, position] : positions) uplinks.push_back(std::get<0>(key));
  uplinks.erase(std::unique(uplinks.begin(), uplinks.end()), uplinks.end());
  if (uplinks.empty()) return {numbers};
  std::vector<contract::Range> all;
  for (const auto& uplink : uplinks) {
    const auto found = positions.find({uplink, generation, lane});
    const auto pending = (found == positions.end() ? Position{} : found->second).pending(numbers.to);
    all.insert(all.end(), pending.begin(), pending.end());
  }
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.from < b.from; });
  std::vector<contract::Range> out;
  for (auto range : all) {
    range.from = std::max(range.from, numbers.from);
    if (!out.empty()) range.from = std::max(range.from, out.back().to + 1);
    if (range.from <= range.to) out.push_back(range);
  }
  return out;
}

/// One export being written.
class Export {
 public:
  Export(Reader& reader, const fs::path& journal_folder, const ExportRequest& request, fs::path folder)
      : reader_{reader}, store_{reader.store()}, pictures_{journal_folder / kMediaFolder}, request_{request},
        folder_{std::move(folder)} {}

  Result<json> write() {
    auto epochs = store_.epochs();
    if (!epochs) return fail(std::move(epochs).error());
    epochs_ = std::move(*epochs);
    auto names = store_.names();
    if (!names) return fail(std::move(names).error());
    names_ = std::move(*names);
    if (::mkdir((folder_ / kMediaFolder).c_str(), 0755) != 0) return failed_to("create", folder_ / kMediaFolder, errno);
    for (const auto lane : contract::kLanes) {
      if (auto status = write_lane(lane); !status) return fail(std::move(status).error());
    }
    return finish();
  }

 private:
  using Keys = std::vector<std::pair<Key, Key>>;

  Result<Keys> wanted(Lane lane) {
    if (request_.range) return reader_.since(lane, request_.range->first);
    const auto positions = store_.positions();
    if (!positions) return fail(positions.error());
    Keys out;
    for (const auto& epoch : epochs_) {
      const auto numbers = store_.numbers(lane, epoch.generation);
      if (!numbers) return fail(numbers.error());
      if (numbers->from == 0) continue;
      for (const auto& range : unsent(*positions, epoch.generation, lane, *numbers))
        out.emplace_back(key_of(epoch.generation, range.from), key_of(epoch.generation, range.to));
    }
    return out;
  }

  Status write_lane(Lane lane) {
    const auto keys = wanted(lane);
    if (!keys) return fail(keys.error());
    std::optional<Lines> lines;
    for (const auto& [from, to] : *keys) {
      for (auto next = from; next <= to;) {
        const auto found = store_.records(lane, next, to, kRecords, kBytes);
        if (!found) return fail(found.error());
        for (const auto& record : found->records) {
          next = key_of(record.generation, record.seq) + 1;
          if (!is_wanted(record)) continue;
          if (!lines) {
            auto made = Lines::create(folder_, fmt::format("{}.ndjson.zst", contract::to_string(lane)));
            if (!made) return fail(std::move(made).error());
            lines.emplace(std::move(*made));
          }
          if (auto status = write_record(record, *lines); !status) return status;
        }
        if (found->damaged) {
          note_damage(lane, found->damaged->first, found->damaged->second);
          next = found->damaged->second + 1;
        } else if (found->records.empty()) {
          break;
        }
        if (request_.progress) request_.progress(records_, 0);
      }
    }
    if (!lines) return {};
    const auto raw = lines->raw_bytes();
    auto sum = lines->finish();
    if (!sum) return fail(std::move(sum).error());
    files_.push_back({{"name", sum->name},
                      {"bytes", sum->bytes},
                      {"unpacked_bytes", raw},
                      {"lines", lines_of_lane_},
                      {"sha256", sum->sha256}});
    lines_of_lane_ = 0;
    sums_.push_back(std::move(*sum));
    return {};
  }

  bool is_wanted(const Record& record) {
    if (!request_.range) return true;
    const auto at = reader_.date(record.at).wall;
    return at >= request_.range->first && at < request_.range->second;
  }

  void note_damage(Lane lane, Key from, Key to) {
    const auto* epoch = epoch_of(generation_of(to));
    damaged_.push_back({{"epoch", epoch == nullptr ? "" : epoch->id},
                        {"lane", contract::to_string(lane)},
                        {"from", seq_of(from)},
                        {"to", seq_of(to)}});
  }

  const EpochRow* epoch_of(std::uint32_t generation) const {
    const auto row =
        std::find_if(epochs_.begin(), epochs_.end(), [&](const auto& each) { return each.generation == generation; });
    return row == epochs_.end() ? nullptr : &*row;
  }

  Status write_record(const Record& record, Lines& lines) {
    const auto* epoch = epoch_of(record.generation);
    const auto key = key_of(record.generation, record.seq);
    if (epoch == nullptr) {
      note_damage(record.lane, key, key);
      return {};
    }
    const auto topic = json(request_.topics.at(record.body.topic)).dump();
    std::string line;
    if (record.lane == Lane::media) {
      if (auto copied = copy_picture(record.body.bytes); !copied) {
        return fail(std::move(copied).error());
      } else if (!*copied) {
        return {};
      }
      line = fmt::format("{{\"topic\":{},\"file\":{}}}\n", topic,
                         json(fmt::format("{}/{}", kMediaFolder, record.body.bytes)).dump());
    } else {
      const auto payload = contract::render(record.body,
                                            {.gw = request_.topics.gw(),
                                             .epoch = epoch->id,
                                             .lane = record.lane,
                                             .seq = record.seq,
                                             .at = record.at,
                                             .hist = true,
                                             .rev = record.rev},
                                            [this](Moment moment) { return reader_.date(moment); }, &names_);
      if (!payload) {
        note_damage(record.lane, key, key);
        return {};
      }
      line = fmt::format("{{\"topic\":{},\"payload\":{}}}\n", topic, *payload);
    }
    const auto at = to_ms(reader_.date(record.at).wall);
    first_ = first_ ? std::min(*first_, at) : at;
    last_ = last_ ? std::max(*last_, at) : at;
    ++records_;
    ++lines_of_lane_;
    numbered_[record.generation][contract::index(record.lane)].add(record.seq);
    return lines.add(line);
  }

  // False where it is not there any more.
  Result<bool> copy_picture(const std::string& name) {
    const auto jpeg = read_picture(pictures_, name);
    if (!jpeg) {
      missing_.push_back(name);
      return false;
    }
    auto file = OutFile::create(folder_, fmt::format("{}/{}", kMediaFolder, name));
    if (!file) return fail(std::move(file).error());
    if (auto status = file->write(*jpeg); !status) return fail(std::move(status).error());
    auto sum = file->finish();
    if (!sum) return fail(std::move(sum).error());
    picture_bytes_ += sum->bytes;
    sums_.push_back(std::move(*sum));
    return true;
  }

  json manifest() const {
    json epochs = json::array();
    for (const auto& [generation, lanes] : numbered_) {
      json row{{"epoch", epoch_of(generation)->id}};
      for (const auto lane : contract::kLanes) {
        const auto& numbers = lanes.at(contract::index(lane));
        if (numbers.count == 0) continue;
        row["lanes"][std::string{contract::to_string(lane)}] = {{"records", numbers.count},
                                                                {"ranges", ranges_json(numbers.ranges)}};
      }
      epochs.push_back(std::move(row));
    }
    json selection{{"what", request_.range ? "range" : "unsent"}};
    if (request_.range) {
      selection["since"] = to_ms(request_.range->first);
      selection["until"] = to_ms(request_.range->second);
    }
    json out{{"format", "hamlet-export/1"},
             {"contract", contract::kVersion},
             {"gw", request_.topics.gw()},
             {"base", request_.topics.base()},
             {"made_by", request_.made_by},
             {"made_ts", to_ms(request_.now)},
             {"read",
              {{"zh", "每行一条消息：zstd -dc LANE.ndjson.zst；校验：sha256sum -c SHA256SUMS；时间为 UTC 毫秒"},
               {"en", "a message a line: zstd -dc LANE.ndjson.zst; verify: sha256sum -c SHA256SUMS; times are UTC in ms"}}},
             {"selection", std::move(selection)},
             {"records", records_},
             {"epochs", std::move(epochs)},
             {"files", files_},
             {"picture_bytes", picture_bytes_},
             {"pictures_missing", missing_},
             {"damaged", damaged_}};
    out["pictures"] = sums_.size() - files_.size();
    if (first_) out["times"] = {{"first", *first_}, {"last", *last_}};
    return out;
  }

  Result<json> finish() {
    auto out = manifest();
    if (auto status = write_file("manifest.json", out.dump(2) + '\n'); !status) return fail(std::move(status).error());
    std::string text;
    for (const auto& sum : sums_) text += fmt::format("{}  {}\n", sum.sha256, sum.name);
    if (auto status = write_file("SHA256SUMS", text); !status) return fail(std::move(status).error());
    for (const auto& folder : {folder_ / kMediaFolder, folder_}) {
      if (auto status = sync_stick(folder); !status) return fail(std::move(status).error());
    }
    return out;
  }

  Status write_file(std::string name, std::string_view text) {
    auto file = OutFile::create(folder_, std::move(name));
    if (!file) return fail(std::move(file).error());
    if (auto status = file->write(text); !status) return status;
    auto sum = file->finish();
    if (!sum) return fail(std::move(sum).error());
    sums_.push_back(std::move(*sum));
    return {};
  }

  Reader& reader_;
  Store& store_;
  const fs::path pictures_;
  const ExportRequest& request_;
  const fs::path folder_;
  std::vector<EpochRow> epochs_;
  contract::Names names_;
  std::vector<Sum> sums_;
  json files_ = json::array();
  json damaged_ = json::array();
  json missing_ = json::array();
  std::map<std::uint32_t, std::array<Numbered, kLaneCount>> numbered_;
  std::uint64_t records_ = 0;
  std::uint64_t lines_of_lane_ = 0;
  std::uint64_t picture_bytes_ = 0;
  std::optional<std::int64_t> first_;
  std::optional<std::int64_t> last_;
};

std::string folder_name(const ExportRequest& request) {
  auto stamp = to_iso_utc(request.now).substr(0, 19);
  std::erase_if(stamp, [](char c) { return c == '-' || c == ':'; });
  return fmt::format("hamlet-{}-{}Z", request.topics.gw(), stamp);
}

// Takes the begun folder away where the export does not come to its end.
class Partial {
 public:
  explicit Partial(fs::path folder) : folder_{std::move(folder)} {}
  ~Partial() {
    std::error_code best_effort;
    if (!folder_.empty()) fs::remove_all(folder_, best_effort);
  }
  Partial(const Partial&) = delete;
  Partial& operator=(const Partial&) = delete;
  void keep() { folder_.clear(); }

 private:
  fs::path folder_;
};

}  // namespace

Result<json> export_records(Reader& reader, const fs::path& journal_folder, const ExportRequest& request) {
  const auto folder = request.to / folder_name(request);
  const auto begun = fs::path{folder}.concat(".part");
  std::error_code error;
  if (fs::exists(folder, error)) return fail(Errc::invalid, fmt::format("{} is there already", folder.string()));
  if (::mkdir(begun.c_str(), 0755) != 0) return failed_to("create", begun, errno);
  Partial partial{begun};
  auto manifest = Export{reader, journal_folder, request, begun}.write();
  if (!manifest) return manifest;
  // No file system of sticks has a rename that refuses to replace; an empty folder at most could have come there meanwhile.
  if (::rename(begun.c_str(), folder.c_str()) != 0) return failed_to("rename", begun, errno);
  partial.keep();
  if (auto status = sync_stick(request.to); !status) return fail(std::move(status).error());
  (*manifest)["folder"] = folder.string();
  return manifest;
}

}  // namespace hamlet::journal
