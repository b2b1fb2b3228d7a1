#pragma once

#include <string>
#include <string_view>

#include "sync/contract/varint.hpp"

namespace hamlet::contract {

/// A message in few bytes, where its text is one of the shapes that this contract's events have: the shape's number, then
/// what stands in its holes, numbers as numbers. Any other is its text. A topic that the body tells is left out. What
/// comes back is the same to the last byte. Stored: frozen; another shape goes behind the last one.
void put_message(std::string& out, std::string_view topic, std::string_view body);
/// False: bytes that are none.
[[nodiscard]] bool take_message(ByteReader& in, std::string& topic, std::string& body);

}  // namespace hamlet::contract
