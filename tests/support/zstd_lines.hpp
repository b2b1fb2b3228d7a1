#pragma once

#include <array>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <zstd.h>

namespace hamlet::support {

/// The lines of a file of one zstd frame. Throws std::runtime_error where it is none, or is cut short.
inline std::vector<std::string> zstd_lines(const std::filesystem::path& file) {
  std::ostringstream packed_stream;
  packed_stream << std::ifstream{file, std::ios::binary}.rdbuf();
  const auto packed = packed_stream.str();
  std::string text;
  std::array<char, 65'536> chunk{};
  ZSTD_DCtx* context = ZSTD_createDCtx();
  ZSTD_inBuffer in{packed.data(), packed.size(), 0};
  std::size_t left = 1;
  while (left != 0) {
    ZSTD_outBuffer out{chunk.data(), chunk.size(), 0};
    left = ZSTD_decompressStream(context, &out, &in);
    if (ZSTD_isError(left) != 0 || (left != 0 && in.pos == in.size && out.pos == 0)) break;
    text.append(chunk.data(), out.pos);
  }
  ZSTD_freeDCtx(context);
  if (left != 0) throw std::runtime_error{file.string() + ": no whole frame of zstd"};
  std::vector<std::string> lines;
  std::istringstream stream{text};
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

}  // namespace hamlet::support
