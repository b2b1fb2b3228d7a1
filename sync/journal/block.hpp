#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "firmware/core/result.hpp"
#include "sync/journal/journal.hpp"

namespace hamlet::journal {

/// What a lane's rows are keyed by: numbers of a later epoch come behind all of an earlier one.
using Key = std::uint64_t;
inline constexpr unsigned kSeqBits = 40;
inline constexpr std::uint64_t kMaxSeq = (1ULL << kSeqBits) - 1;
inline constexpr std::uint32_t kMaxGeneration = (1U << 23) - 1;
[[nodiscard]] constexpr Key key_of(std::uint32_t generation, std::uint64_t seq) {
  return static_cast<Key>(generation) << kSeqBits | seq;
}
[[nodiscard]] constexpr std::uint32_t generation_of(Key key) { return static_cast<std::uint32_t>(key >> kSeqBits); }
[[nodiscard]] constexpr std::uint64_t seq_of(Key key) { return key & kMaxSeq; }

/// How a block's data is packed. Stored: frozen.
enum class Packing : int { plain = 0, zstd_1 = 1 };  ///< zstd_1: with contract::dictionary_1()

/// A row of a lane: the records of one lane that were committed together, numbered without a hole.
struct Block {
  static constexpr std::size_t kMaxRecords = 256;
  static constexpr std::size_t kMaxRawBytes = 64U << 10;  ///< beyond it a block holds one record

  Key key = 0;              ///< of its last record
  std::uint32_t count = 0;  ///< of records
  Moment at{};              ///< of its last record
  Packing packing = Packing::plain;
  std::string data{};
  std::int32_t crc = 0;  ///< CRC-32 (IEEE) of epoch, lane and all of the above

  [[nodiscard]] Key first() const { return key - count + 1; }
};

/// Makes blocks of records and records of blocks. Pure; one thread. About 400 kB once it has packed something.
///
/// Data, before it is packed: for each record in order, numbers as in contract/varint.hpp: milliseconds before the block's
/// time (zigzag); revision, as a difference to the record before (zigzag); in the lane tele the body, with its length; in
/// the others topic and body as in contract/shapes.hpp. Packed it is one frame of zstd without the four bytes that all begin with.
class Blocks {
 public:
  Blocks();
  ~Blocks();
  Blocks(const Blocks&) = delete;
  Blocks& operator=(const Blocks&) = delete;

  /// How many of the records, from the front, go into one block: those of one boot and generation, in order, within the
  /// bounds. At least one.
  [[nodiscard]] static std::size_t fitting(std::span<const Record* const> records);
  /// `records`: not empty, as fitting() says.
  [[nodiscard]] Block pack(std::span<const Record* const> records, std::string_view epoch);
  /// Error corrupt: the checksum fails, or the data is none. Bounded, whatever the bytes are.
  [[nodiscard]] Result<std::vector<Record>> unpack(const Block& block, Lane lane, std::string_view epoch);

  /// True where the checksum holds.
  [[nodiscard]] static bool intact(const Block& block, Lane lane, std::string_view epoch);

 private:
  struct Contexts;
  std::unique_ptr<Contexts> contexts_;
};

}  // namespace hamlet::journal
