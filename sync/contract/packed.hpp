#pragma once

// Readings in few bytes: what encode.cpp and render.cpp share. Not part of the room's face.
//
// A packed batch: 0x03 and the number of readings, then column by column, so that what a poll repeats costs nothing:
//   points      until all have one: a point's number in Names, or 0 and the name; then how many of those behind it are as
//               foretold. Foretold is the point that followed when this one was last seen in the batch, else the one
//               whose number is the next.
//   times       until all have one: milliseconds after the reading before (the first: after the record's own time),
//               zigzag, * 2, + 1 where more readings have the same time; then how many, without the first of them
//   values      of each reading: (difference to the last decimal of this point in the batch, with its digits) zigzag, * 2;
//               else the shape * 2 + 1, and the value. Shapes: kNothing, kFalse, kTrue, kText, kDouble, kDecimal + digits
//   exceptions  their number, then for each: distance to the one before, flags (quality, device time), why (like a point;
//               for qualities other than good), device time
// Numbers are LEB128 unless said otherwise.
// A decimal is an integer and its number of digits behind the point: 2.31 is 231, 2. It is used only where it gives back
// the very same double. The format is stored: frozen.

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "firmware/core/reading.hpp"
#include "firmware/core/result.hpp"
#include "sync/contract/names.hpp"

namespace hamlet::contract {

inline constexpr char kPackedMark = '\x03';

/// `names` may be null: every name is then written out.
[[nodiscard]] std::string pack(std::span<const Reading> readings, MonoTime at, Names* names);

/// Readings in order. Error corrupt: bytes that are no batch, or a number without a name. At most kMaxPacked readings.
inline constexpr std::size_t kMaxPacked = 100'000;
[[nodiscard]] Result<std::vector<Reading>> unpack(std::string_view bytes, MonoTime at, const Names* names);

}  // namespace hamlet::contract
