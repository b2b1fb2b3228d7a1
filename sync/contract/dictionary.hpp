#pragma once

#include <string_view>

namespace hamlet::contract {

/// What bodies of this contract are mostly made of: a raw dictionary for zstd, so that a block of one record is small
/// too. What is stored was packed with it: frozen. Another one gets another number and stays beside it.
[[nodiscard]] std::string_view dictionary_1();

}  // namespace hamlet::contract
