#pragma once

#include <string>
#include <string_view>
#include <utility>

#include <tl/expected.hpp>

namespace hamlet {

/// What kind of failure it was, for code that has to choose; people read Error::message.
enum class Errc {
  failed,       ///< anything not named below
  invalid,      ///< input that does not parse or is out of range
  not_found,    ///< a thing that was named does not exist
  timeout,      ///< a deadline passed
  unavailable,  ///< the other side cannot be reached now; trying again later is right
  denied,       ///< not permitted
  full,         ///< a bound was reached: queue, disk, quota
  corrupt,      ///< data that was once good is not any more
  cancelled,    ///< stopped on purpose
};

/// A failure, told to a person: what happened, where, and what to do next.
struct Error {
  Errc code = Errc::failed;
  std::string message;

  /// Puts context in front: `Error{"disk full"}.in("open journal")` reads "open journal: disk full".
  [[nodiscard]] Error in(std::string_view where) && {
    message.insert(0, ": ").insert(0, where);
    return std::move(*this);
  }
  [[nodiscard]] Error in(std::string_view where) const& { return Error{*this}.in(where); }
};

/// A value or an Error. Return it or handle it; log it once, where it is handled. Functions that return one are [[nodiscard]].
template <class T>
using Result = tl::expected<T, Error>;
using Status = Result<void>;

/// `return fail(Errc::invalid, "…");`
[[nodiscard]] inline tl::unexpected<Error> fail(Errc code, std::string message) {
  return tl::unexpected<Error>(Error{code, std::move(message)});
}

/// `return fail(std::move(result).error().in("open journal"));`
[[nodiscard]] inline tl::unexpected<Error> fail(Error error) { return tl::unexpected<Error>(std::move(error)); }

}  // namespace hamlet
