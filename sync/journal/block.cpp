#include "sync/journal/block.hpp"

#include <zstd.h>

#include "sync/contract/dictionary.hpp"
#include "sync/contract/shapes.hpp"
#include "sync/contract/varint.hpp"
#include "sync/journal/crc.hpp"

namespace hamlet::journal {
namespace {

constexpr int kLevel = 1;
constexpr std::string_view kMagic{"\x28\xb5\x2f\xfd", 4};  // in front of each of zstd's frames: not stored
constexpr std::size_t kWorthPacking = 48;                // bytes; below it zstd's own header eats the gain
constexpr std::size_t kMaxUnpackedBytes = (1U << 20) + (1U << 16);  // one record of the largest size

struct Free {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
  void operator()(ZSTD_CDict* dictionary) const { ZSTD_freeCDict(dictionary); }
  void operator()(ZSTD_DDict* dictionary) const { ZSTD_freeDDict(dictionary); }
};

std::size_t raw_size(const Record& record) { return record.body.topic.size() + record.body.bytes.size() + 24; }

std::int32_t checksum(const Block& block, Lane lane, std::string_view epoch) {
  return crc_of(epoch, lane, block.key, block.count, block.at.boot, to_ms(block.at.mono), static_cast<int>(block.packing),
                block.data);
}

tl::unexpected<Error> damaged(const Block& block, Lane lane) {
  return fail(Errc::corrupt, fmt::format("journal: records {} to {} of the lane {} fail their checksum",
                                         seq_of(block.first()), seq_of(block.key), contract::to_string(lane)));
}

}  // namespace

// Made when first needed: a reader that only reads needs half of it.
struct Blocks::Contexts {
  std::unique_ptr<ZSTD_CCtx, Free> compress;
  std::unique_ptr<ZSTD_CDict, Free> compress_with;
  std::unique_ptr<ZSTD_DCtx, Free> decompress;
  std::unique_ptr<ZSTD_DDict, Free> decompress_with;

  // Empty where packing gains nothing.
  std::string squeeze(std::string_view raw) {
    if (!compress) {
      const auto text = contract::dictionary_1();
      compress.reset(ZSTD_createCCtx());
      compress_with.reset(ZSTD_createCDict(text.data(), text.size(), kLevel));
      // No frame header but the size: what it says is known.
      ZSTD_CCtx_setParameter(compress.get(), ZSTD_c_checksumFlag, 0);
      ZSTD_CCtx_setParameter(compress.get(), ZSTD_c_dictIDFlag, 0);
      ZSTD_CCtx_refCDict(compress.get(), compress_with.get());
    }
    std::string out(ZSTD_compressBound(raw.size()), '\0');
    const auto size = ZSTD_compress2(compress.get(), out.data(), out.size(), raw.data(), raw.size());
    if (ZSTD_isError(size) != 0 || size - kMagic.size() >= raw.size()) return {};
    out.resize(size);
    return out.substr(kMagic.size());
  }

  bool unsqueeze(std::string_view stored, std::string& raw) {
    if (!decompress) {
      const auto text = contract::dictionary_1();
      decompress.reset(ZSTD_createDCtx());
      decompress_with.reset(ZSTD_createDDict(text.data(), text.size()));
    }
    const auto data = std::string{kMagic}.append(stored);
    const auto size = ZSTD_getFrameContentSize(data.data(), data.size());
    if (size > kMaxUnpackedBytes) return false;  // also its two error values
    raw.resize(static_cast<std::size_t>(size));
    const auto got = ZSTD_decompress_usingDDict(decompress.get(), raw.data(), raw.size(), data.data(), data.size(),
                                                decompress_with.get());
    return ZSTD_isError(got) == 0 && got == raw.size();
  }
};

Blocks::Blocks() : contexts_{std::make_unique<Contexts>()} {}
Blocks::~Blocks() = default;

std::size_t Blocks::fitting(std::span<const Record* const> records) {
  const auto& first = *records.front();
  std::size_t bytes = 0;
  std::size_t count = 0;
  for (const auto* record : records) {
    bytes += raw_size(*record);
    const bool fits = count == 0 || (bytes <= Block::kMaxRawBytes && count < Block::kMaxRecords);
    if (!fits || record->at.boot != first.at.boot || record->generation != first.generation) break;
    ++count;
  }
  return count;
}

Block Blocks::pack(std::span<const Record* const> records, std::string_view epoch) {
  const auto& last = *records.back();
  Block block{.key = key_of(last.generation, last.seq), .count = static_cast<std::uint32_t>(records.size()), .at = last.at};
  std::string raw;
  const Record* before = nullptr;
  for (const auto* record : records) {
    contract::put_signed(raw, (last.at.mono - record->at.mono).count());
    contract::put_signed(raw, static_cast<std::int64_t>(record->rev - (before == nullptr ? 0 : before->rev)));
    if (last.lane == Lane::tele) {
      contract::put_text(raw, record->body.bytes);
    } else {
      contract::put_message(raw, record->body.topic, record->body.bytes);
    }
    before = record;
  }
  if (raw.size() >= kWorthPacking) block.data = contexts_->squeeze(raw);
  block.packing = block.data.empty() ? Packing::plain : Packing::zstd_1;
  if (block.data.empty()) block.data = std::move(raw);
  block.crc = checksum(block, last.lane, epoch);
  return block;
}

bool Blocks::intact(const Block& block, Lane lane, std::string_view epoch) {
  return block.count >= 1 && block.count <= Block::kMaxRecords && seq_of(block.key) >= block.count &&
         block.crc == checksum(block, lane, epoch);
}

Result<std::vector<Record>> Blocks::unpack(const Block& block, Lane lane, std::string_view epoch) {
  if (!intact(block, lane, epoch)) return damaged(block, lane);
  std::string unpacked;
  if (block.packing == Packing::zstd_1 && !contexts_->unsqueeze(block.data, unpacked)) return damaged(block, lane);
  contract::ByteReader in{block.packing == Packing::plain ? std::string_view{block.data} : std::string_view{unpacked}};
  std::vector<Record> records(block.count);
  auto seq = seq_of(block.first());
  const Record* before = nullptr;
  for (auto& record : records) {
    record.lane = lane;
    record.generation = generation_of(block.key);
    record.seq = seq++;
    record.at = {block.at.boot, block.at.mono - Millis{in.zigzag()}};
    record.rev = static_cast<std::uint64_t>(in.zigzag()) + (before == nullptr ? 0 : before->rev);
    if (lane == Lane::tele) {
      record.body = {"tele", std::string{in.text()}};
    } else if (!contract::take_message(in, record.body.topic, record.body.bytes)) {
      return damaged(block, lane);
    }
    before = &record;
  }
  if (!in.done()) return damaged(block, lane);
  return records;
}

}  // namespace hamlet::journal
