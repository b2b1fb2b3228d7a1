#include "sync/uplink/gzip.hpp"

#include <zlib.h>

namespace hamlet::uplink {

struct Gzip::Stream {
  z_stream z{};
  ~Stream() { deflateEnd(&z); }
};

Gzip::Gzip() = default;
Gzip::~Gzip() = default;

std::optional<std::string> Gzip::shrink(std::string_view payload) {
  constexpr int kLevel = 6, kGzip = 15 + 16, kMemory = 8;
  if (payload.size() < kWorthIt) return {};
  if (!stream_) {
    auto fresh = std::make_unique<Stream>();
    if (deflateInit2(&fresh->z, kLevel, Z_DEFLATED, kGzip, kMemory, Z_DEFAULT_STRATEGY) != Z_OK) return {};
    stream_ = std::move(fresh);
  }
  auto& z = stream_->z;
  deflateReset(&z);
  std::string out(payload.size() - payload.size() / 8, '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(payload.data()));  // zlib's interface; it only reads
  z.avail_in = static_cast<uInt>(payload.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  if (deflate(&z, Z_FINISH) != Z_STREAM_END) return {};
  out.erase(z.total_out);
  return out;
}

}  // namespace hamlet::uplink
