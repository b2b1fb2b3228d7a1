#pragma once

#include <string>
#include <type_traits>
#include <utility>

#include <fmt/format.h>

#include "firmware/core/text.hpp"

namespace hamlet {
namespace detail {

template <class T>
using Spoken = std::conditional_t<std::is_same_v<T, Text>, std::string, T>;

template <class T>
const auto& spoken(Lang lang, const T& argument) {
  if constexpr (std::is_same_v<T, Text>) {
    return argument.in(lang);
  } else {
    return argument;
  }
}

}  // namespace detail

/// A sentence that stands as it is, braces too.
[[nodiscard]] inline Text sentence(std::string zh, std::string en) {
  return {std::move(zh), std::move(en)};
}

/// One sentence, written in both languages in one place: `sentence("缺少 {}", "{} is missing", key)`. Both formats are
/// checked when compiled. An argument that is a Text is put in in the language of the sentence; "{0}" where the order
/// differs.
template <class... Args>
[[nodiscard]] Text sentence(fmt::format_string<const detail::Spoken<Args>&...> zh,
                            fmt::format_string<const detail::Spoken<Args>&...> en, const Args&... args) {
  return {fmt::format(zh, detail::spoken(Lang::zh, args)...), fmt::format(en, detail::spoken(Lang::en, args)...)};
}

}  // namespace hamlet
