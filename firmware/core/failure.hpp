#pragma once

#include <utility>

#include <tl/expected.hpp>

#include "firmware/core/result.hpp"
#include "firmware/core/text.hpp"

namespace hamlet {

/// Why something that a person asked for is not done, in both languages.
struct Failure {
  Errc code = Errc::failed;
  Text text;

  Failure(Errc why, Text words) : code{why}, text{std::move(words)} {}
  /// An Error knows one language only; both show it.
  Failure(const Error& error)
      : code{error.code}, text{error.message, error.message} {}  // NOLINT: implicit, as intended
};

/// What came of something that a person asked for.
template <class T>
using Asked = tl::expected<T, Failure>;

/// `return reply(refuse(Errc::not_found, {"没有这个测点", "no such point"}));`
[[nodiscard]] inline tl::unexpected<Failure> refuse(Errc code, Text text) {
  return tl::unexpected<Failure>(Failure{code, std::move(text)});
}

}  // namespace hamlet
