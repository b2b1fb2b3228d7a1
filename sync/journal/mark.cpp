#include "sync/journal/mark.hpp"

#include <algorithm>
#include <array>
#include <fstream>

#include <nlohmann/json.hpp>

#include "sync/journal/media.hpp"

namespace hamlet::journal {
namespace {

constexpr const char* kMarkFile = "journal.mark";
constexpr std::size_t kMaxMarkBytes = 4'096;

// The log's own format: https://www.sqlite.org/fileformat2.html#the_write_ahead_log
constexpr std::size_t kWalHeader = 32;
constexpr std::size_t kFrameHeader = 24;
constexpr std::uint32_t kWalMagic = 0x377f0682;

std::uint32_t big_endian(const unsigned char* at) {
  return static_cast<std::uint32_t>(at[0]) << 24 | static_cast<std::uint32_t>(at[1]) << 16 |
         static_cast<std::uint32_t>(at[2]) << 8 | at[3];
}

struct FrameSum {
  std::uint32_t a = 0;
  std::uint32_t b = 0;
  friend bool operator==(const FrameSum&, const FrameSum&) = default;
};

FrameSum add(FrameSum sum, const unsigned char* bytes, std::size_t count, bool big) {
  for (std::size_t i = 0; i + 8 <= count; i += 8) {
    const auto word = [&](std::size_t at) {
      const auto value = big_endian(bytes + i + at);
      return big ? value : __builtin_bswap32(value);
    };
    sum.a += word(0) + sum.b;
    sum.b += word(4) + sum.a;
  }
  return sum;
}

FrameSum sum_at(const unsigned char* at) { return {big_endian(at), big_endian(at + 4)}; }

/// What the log's index (-shm) says was committed: https://www.sqlite.org/walformat.html#the_wal_index_header
struct Committed {
  std::uint32_t frames = 0;
  std::array<unsigned char, 8> salt{};
};

// SQLite writes the index when a commit is synced, not before: whatever state of it has come to the disk, these frames were
// there. Its numbers are in the machine's order, little-endian as all ours are.
std::optional<Committed> committed_frames(const std::filesystem::path& file) {
  constexpr std::size_t kIndexHeader = 48;
  std::array<unsigned char, kIndexHeader> header{};
  std::ifstream index{std::filesystem::path{file}.concat("-shm"), std::ios::binary};
  index.read(reinterpret_cast<char*>(header.data()), kIndexHeader);
  if (static_cast<std::size_t>(index.gcount()) != kIndexHeader) return {};
  const auto number = [&header](std::size_t at) { return __builtin_bswap32(big_endian(header.data() + at)); };
  const FrameSum written{number(40), number(44)};
  const bool begun = header[12] != 0;
  if (!begun || add({}, header.data(), 40, false) != written) return {};
  Committed out{.frames = number(16)};
  std::copy_n(header.begin() + 32, out.salt.size(), out.salt.begin());
  return out;
}

}  // namespace

std::optional<Mark> read_mark(const std::filesystem::path& folder) {
  std::ifstream file{folder / kMarkFile, std::ios::binary};
  std::string text(kMaxMarkBytes, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.value("epoch", nlohmann::json{}).is_string() ||
      !json.value("generation", nlohmann::json{}).is_number_unsigned())
    return {};
  Mark mark{json["epoch"], json["generation"].get<std::uint32_t>(), {}, json.value("in_use", nlohmann::json{}) == true};
  if (mark.generation > kMaxGeneration) return {};
  for (const auto lane : contract::kLanes) {
    const auto last = json.value(contract::to_string(lane), nlohmann::json{});
    if (!last.is_number_unsigned() || last.get<std::uint64_t>() > kMaxSeq) return {};
    mark.last.at(index(lane)) = last.get<std::uint64_t>();
  }
  return mark;
}

Status write_mark(const std::filesystem::path& folder, const Mark& mark) {
  nlohmann::json json{{"epoch", mark.epoch}, {"generation", mark.generation}, {"in_use", mark.in_use}};
  for (const auto lane : contract::kLanes) json[std::string{contract::to_string(lane)}] = mark.last.at(index(lane));
  return write_durably(folder, kMarkFile, json.dump() + "\n");
}

bool wal_is_damaged(const std::filesystem::path& file) {
  const auto path = std::filesystem::path{file}.concat("-wal");
  std::error_code error;
  if (const auto size = std::filesystem::file_size(path, error); error || size < kWalKeptBytes) return true;
  std::ifstream wal{path, std::ios::binary};
  std::array<unsigned char, kWalHeader> header{};
  const auto read = [&wal](unsigned char* to, std::size_t count) {
    wal.read(reinterpret_cast<char*>(to), static_cast<std::streamsize>(count));
    return static_cast<std::size_t>(wal.gcount()) == count;
  };
  if (!read(header.data(), header.size())) return true;
  const auto committed = committed_frames(file);
  const auto magic = big_endian(header.data());
  const bool big = (magic & 1U) != 0;
  const std::size_t page = big_endian(header.data() + 8);
  auto sum = add({}, header.data(), 24, big);
  if ((magic & ~1U) != kWalMagic || page < 512 || page > 65'536 || sum != sum_at(header.data() + 24)) {
    // SQLite syncs the header before any frame: two frames of one log say that there was one.
    if (committed && committed->frames > 0) return true;
    std::array<std::array<unsigned char, kFrameHeader>, 2> frames{};
    for (std::size_t i = 0; i < frames.size(); ++i) {
      wal.seekg(static_cast<std::streamoff>(kWalHeader + (i + 1) * (kFrameHeader + kPageBytes)));
      if (!read(frames.at(i).data(), kFrameHeader)) return true;
    }
    return big_endian(frames[0].data() + 8) != 0 &&
           std::equal(frames[0].begin() + 8, frames[0].begin() + 16, frames[1].begin() + 8);
  }

  // What is not synced yet is the last transaction at most: SQLite syncs the log at each commit. So a frame that fails and
  // has a later transaction behind it was once good, while one of the last may have been torn by a power cut. Frames of
  // one writing sum up from one to the next, and what a torn transaction has left behind the end of a later, shorter one
  // ends with its own commit. And a log that was allocated ahead does not end with its file.
  const bool indexed = committed && std::equal(committed->salt.begin(), committed->salt.end(), header.begin() + 16);
  std::uint32_t frames = 0;  // that are as they were written
  std::vector<unsigned char> frame(kFrameHeader + page);
  bool intact = true;
  bool ended = false;  // behind the frame that fails: a transaction in what is read without a break
  while (read(frame.data(), frame.size())) {
    const bool ours = std::equal(frame.begin() + 8, frame.begin() + 16, header.begin() + 16);  // its salt is the log's
    sum = add(add(sum, frame.data(), 8, big), frame.data() + kFrameHeader, page, big);
    const bool follows = ours && sum == sum_at(frame.data() + 16);
    sum = sum_at(frame.data() + 16);
    if (intact && follows) {
      ++frames;
      continue;
    }
    if (intact && indexed && frames < committed->frames) return true;
    intact = false;
    if (follows && ended) return true;
    ended = follows && big_endian(frame.data() + 4) != 0;  // of a frame torn within its header the old may say so
  }
  return false;
}

}  // namespace hamlet::journal
