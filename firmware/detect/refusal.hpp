#pragma once

#include <utility>

#include <tl/expected.hpp>

#include "firmware/core/result.hpp"
#include "firmware/core/text.hpp"

namespace hamlet::detect {

/// Why something that was asked for is not done.
struct Refusal {
  Errc code = Errc::invalid;
  Text text;
};

/// What came of something that a person asked for.
template <class T>
using Asked = tl::expected<T, Refusal>;

[[nodiscard]] inline tl::unexpected<Refusal> refuse(Errc code, Text text) {
  return tl::unexpected<Refusal>(Refusal{code, std::move(text)});
}

}  // namespace hamlet::detect
