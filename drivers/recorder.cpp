#include "drivers/recorder.hpp"

#include <charconv>
#include <fstream>
#include <system_error>

#include <fmt/format.h>

#include "firmware/core/log.hpp"

namespace hamlet::drivers {
namespace {

constexpr std::size_t kMostWaiting = 256;         // lines
constexpr std::size_t kMostBytes = 64 << 10;      // of a frame
constexpr std::uintmax_t kMostRecording = 16 << 20;

std::optional<int> hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return {};
}

}  // namespace

std::string format_recorded(const Recorded& line) {
  auto out = fmt::format("{} {}", line.at.count(), line.sent ? '>' : '<');
  for (const auto byte : line.bytes) fmt::format_to(std::back_inserter(out), " {:02X}", static_cast<unsigned char>(byte));
  return out;
}

Result<std::optional<Recorded>> parse_recorded(std::string_view line) {
  if (line.ends_with('\r')) line.remove_suffix(1);
  if (line.empty() || line.front() == '#') return std::nullopt;
  std::int64_t at = 0;
  const auto time = std::from_chars(line.data(), line.data() + line.size(), at);
  auto rest = line.substr(static_cast<std::size_t>(time.ptr - line.data()));
  if (time.ec != std::errc{} || at < 0 || rest.size() < 2 || rest[0] != ' ' || (rest[1] != '>' && rest[1] != '<')) {
    return fail(Errc::invalid, "expected milliseconds and '>' or '<', then bytes in hex");
  }
  Recorded out{.at = Millis{at}, .sent = rest[1] == '>', .bytes = {}};
  rest.remove_prefix(2);
  std::optional<int> high;
  for (const char c : rest) {
    if (c == ' ' && !high) continue;
    const auto digit = hex_digit(c);
    if (!digit) return fail(Errc::invalid, "expected bytes of two hex digits each");
    if (high) out.bytes.push_back(static_cast<char>(*high << 4 | *digit));
    high = high ? std::nullopt : digit;
  }
  if (high) return fail(Errc::invalid, "a byte has one digit only");
  return out;
}

Result<std::vector<Recorded>> read_recording(const std::filesystem::path& file) {
  std::error_code error;
  if (const auto size = std::filesystem::file_size(file, error); error || size > kMostRecording) {
    return fail(Errc::invalid, fmt::format("{}: no such file, or larger than 16 MiB", file.string()));
  }
  std::ifstream in{file};
  std::vector<Recorded> out;
  std::string text;
  for (int number = 1; std::getline(in, text); ++number) {
    auto line = parse_recorded(text);
    if (!line) return fail(std::move(line).error().in(fmt::format("{}:{}", file.string(), number)));
    if (*line) out.push_back(std::move(**line));
  }
  return out;
}

Recorder::Recorder(const std::string& id, std::filesystem::path file, std::size_t max_bytes)
    : file_{std::move(file)}, max_bytes_{max_bytes}, worker_{"record-" + id, kMostWaiting} {
  std::error_code error;
  if (const auto size = std::filesystem::file_size(file_, error); !error) size_ = size;
}

void Recorder::record(bool sent, std::span<const std::uint8_t> bytes) {
  const auto since = std::chrono::steady_clock::now() - begun_;
  bytes = bytes.first(std::min(bytes.size(), kMostBytes));
  auto line = format_recorded({.at = std::chrono::duration_cast<Millis>(since),
                               .sent = sent,
                               .bytes = {reinterpret_cast<const char*>(bytes.data()), bytes.size()}});
  const std::lock_guard lock{mutex_};
  if (left_out_ > 0) line = fmt::format("# {} lines left out\n{}", left_out_, line);
  const bool taken = worker_.post([this, line = std::move(line) + '\n'] { write(line); });
  left_out_ = taken ? 0 : left_out_ + 1;
}

void Recorder::write(const std::string& line) {
  if (size_ + line.size() > max_bytes_) {
    std::error_code ignored;
    std::filesystem::rename(file_, file_.string() + ".1", ignored);
    size_ = 0;
  }
  std::ofstream out{file_, size_ == 0 ? std::ios::trunc : std::ios::app};
  out << line;
  size_ += line.size();
  if (!out.flush() && !std::exchange(told_, true)) {
    log::warning("a recording cannot be written; check its folder and the disk", {{"file", file_.string()}});
  }
}

}  // namespace hamlet::drivers
