#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "firmware/core/time.hpp"
#include "tests/support/county.hpp"
#include "tests/support/demo/feed.hpp"
#include "tests/support/demo/ledger.hpp"

namespace hamlet::demo {

/// What there is to show at one moment.
struct View {
  Millis elapsed{};
  std::optional<Millis> total{};  ///< none: runs on
  bool link_up = true;
  std::optional<Millis> link_since{};  ///< how long ago that changed; none: never
  Feed::Contents feed{};
  support::County::Snapshot county{};
  Accounts lanes{};           ///< as of now: what is on its way counts as backlog, not as missing
  std::uint64_t backlog = 0;  ///< records in the box that the broker has not acknowledged
  bool box_answers = false;   ///< the control socket does
};

/// The demo's picture: on a terminal drawn again in place, elsewhere a line now and then.
class Screen {
 public:
  explicit Screen(std::string hint);
  ~Screen();  ///< gives the cursor back
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  void show(const View& view);
  /// How often show() is worth it.
  [[nodiscard]] Millis period() const { return terminal_ ? Millis{250} : Millis{1'000}; }

 private:
  void draw(const View& view);
  void print(const View& view);

  const std::string hint_;
  const bool terminal_;
  std::uint64_t most_backlog_ = 20;  // what a full bar means
  std::uint64_t told_ = 0;           // news printed so far
  std::optional<bool> link_was_up_;
};

}  // namespace hamlet::demo
