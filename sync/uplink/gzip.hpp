#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace hamlet::uplink {

/// Compresses payloads, each for itself, as RFC 1952 has it. Keeps 260 kB between calls once it has been used.
class Gzip {
 public:
  static constexpr std::size_t kWorthIt = 256;  ///< bytes from which on it is tried

  Gzip();
  ~Gzip();
  Gzip(const Gzip&) = delete;
  Gzip& operator=(const Gzip&) = delete;

  /// Nothing where the payload would not shrink by an eighth.
  [[nodiscard]] std::optional<std::string> shrink(std::string_view payload);

 private:
  struct Stream;
  std::unique_ptr<Stream> stream_;
};

}  // namespace hamlet::uplink
