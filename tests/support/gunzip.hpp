#pragma once

#include <string>

#include <zlib.h>

namespace hamlet::support {

/// Nothing where it is damaged, or larger than 1 MiB: than any message.
inline std::string gunzip(std::string payload) {
  std::string out(1U << 20, '\0');
  z_stream z{};
  if (inflateInit2(&z, 15 + 16) != Z_OK) return {};
  z.next_in = reinterpret_cast<Bytef*>(payload.data());
  z.avail_in = static_cast<uInt>(payload.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  const bool whole = inflate(&z, Z_FINISH) == Z_STREAM_END;
  out.erase(whole ? z.total_out : 0);
  inflateEnd(&z);
  return out;
}

}  // namespace hamlet::support
