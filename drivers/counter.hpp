#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace hamlet::drivers {

/// A count that goes on where the device's own wraps (rain tips, kWh) or starts anew.
///
/// The total begins as what the device shows first. A step of more than `most` is no step: the device was reset or
/// exchanged, and counting goes on from what it shows now.
class Counter {
 public:
  /// `modulus`: where the device's count wraps, 65536 or 2^32. `most`: the greatest step taken for one; 0: half of that.
  explicit Counter(std::uint64_t modulus, std::uint64_t most = 0)
      : modulus_{modulus}, most_{most == 0 ? modulus / 2 : most} {}

  /// The total after the device showed `raw`.
  std::uint64_t advance(std::uint64_t raw);

  /// "raw total": for Memory.
  [[nodiscard]] std::string save() const;
  /// False where `text` is none of save()'s.
  bool restore(std::string_view text);

 private:
  std::uint64_t modulus_;
  std::uint64_t most_;
  std::optional<std::uint64_t> last_;
  std::uint64_t total_ = 0;
};

}  // namespace hamlet::drivers
