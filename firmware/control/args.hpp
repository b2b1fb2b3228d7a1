#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "firmware/control/protocol.hpp"

namespace hamlet::control {

/// Reads a verb's args. Accessors never fail: the first thing wrong is kept, and a harmless default comes back. Ask for
/// everything, then:
///
///     Args in{args};
///     const auto point = in.text("point");
///     const auto limit = in.integer_or("limit", 100, 1, 10'000);
///     if (const auto wrong = in.wrong()) return reply(tl::unexpected(*wrong));
class Args {
 public:
  explicit Args(const nlohmann::json& args) : args_{args} {}

  [[nodiscard]] std::string text(std::string_view key);
  /// A boolean or a text that is not empty; required.
  [[nodiscard]] nlohmann::json value(std::string_view key);
  [[nodiscard]] std::string text_or(std::string_view key, std::string fallback);
  [[nodiscard]] std::int64_t integer_or(std::string_view key, std::int64_t fallback, std::int64_t min = 0,
                                        std::int64_t max = std::numeric_limits<std::int64_t>::max());
  [[nodiscard]] std::optional<std::int64_t> integer_if(std::string_view key, std::int64_t min = 0,
                                                       std::int64_t max = std::numeric_limits<std::int64_t>::max());

  /// The first thing wrong, or a key that nobody asked for. Call it last.
  [[nodiscard]] std::optional<Failure> wrong();

 private:
  [[nodiscard]] const nlohmann::json* ask(std::string_view key);
  void note(Text text);

  const nlohmann::json& args_;
  std::set<std::string, std::less<>> asked_;
  std::optional<Failure> wrong_;
};

}  // namespace hamlet::control
