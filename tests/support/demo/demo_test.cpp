#include "tests/support/demo/demo.hpp"

#include <chrono>

#include <doctest/doctest.h>

#include "tests/support/demo/feed.hpp"
#include "tests/support/demo/ledger.hpp"

using namespace std::chrono_literals;
using hamlet::contract::Lane;
using hamlet::demo::settle;
using hamlet::support::County;

namespace {

constexpr auto kTele = hamlet::contract::index(Lane::tele);

hamlet::demo::Account settle_tele(std::uint64_t journaled, County::Lane came) {
  County::Snapshot county;
  county.epochs["e"].at(kTele) = came;
  hamlet::demo::Journaled journal{.epoch = "e"};
  journal.last.at(kTele) = journaled;
  return settle(journal, county).at(kTele);
}

County::Arrival reading(std::int64_t taken, double value) {
  return {.epoch = "e",
          .lane = Lane::tele,
          .seq = 1,
          .topic = "tele",
          .hist = false,
          .at = {},
          .payload = {{"readings", {{{"s", "river.level"}, {"t", taken}, {"v", value}, {"q", "good"}}}}}};
}

}  // namespace

TEST_CASE("the account finds what is missing at the end, in the middle and altogether") {
  CHECK(settle_tele(10, {.received = 10, .prefix = 10, .last = 10}).missing == 0);
  CHECK(settle_tele(10, {.received = 8, .prefix = 8, .last = 8}).missing == 2);
  CHECK(settle_tele(10, {.received = 9, .prefix = 4, .last = 10, .missing = 1}).missing == 1);
  CHECK(settle_tele(10, {.received = 7, .prefix = 4, .last = 8, .missing = 1}).missing == 3);
  CHECK(settle_tele(10, {}).missing == 10);
  CHECK(settle_tele(0, {}).missing == 0);
}

TEST_CASE("what a later run sends does not make up for what is missing") {
  const auto account = settle_tele(10, {.received = 12, .prefix = 9, .last = 13, .missing = 1});
  CHECK(account.missing == 1);
  CHECK(account.received == 9);
}

TEST_CASE("a message that comes twice counts as received once") {
  const auto account = settle_tele(10, {.received = 13, .duplicates = 3, .prefix = 10, .last = 10});
  CHECK(account.received == 10);
  CHECK(account.duplicated == 3);
  CHECK(account.missing == 0);
}

TEST_CASE("the numbers of another epoch are not those of this journal") {
  County::Snapshot county;
  county.epochs["other"].at(kTele) = {.received = 5, .prefix = 5, .last = 5};
  hamlet::demo::Journaled journal{.epoch = "e"};
  journal.last.at(kTele) = 5;
  const auto accounts = settle(journal, county);
  CHECK(accounts.at(kTele).missing == 5);
  CHECK_FALSE(hamlet::demo::complete(accounts));
}

TEST_CASE("the link is cut in the middle third, or again and again where there is no end") {
  using hamlet::demo::link_up_at;
  CHECK(link_up_at(9'999ms, 30s));
  CHECK_FALSE(link_up_at(10s, 30s));
  CHECK_FALSE(link_up_at(19'999ms, 30s));
  CHECK(link_up_at(20s, 30s));
  CHECK(link_up_at(19s, {}));
  CHECK_FALSE(link_up_at(20s, {}));
  CHECK(link_up_at(35s, {}));
  CHECK_FALSE(link_up_at(61s, {}));
}

TEST_CASE("a late reading does not replace a newer one on the screen") {
  hamlet::demo::Feed feed;
  feed.take(reading(2'000, 2.0));
  feed.take(reading(1'000, 1.0));
  CHECK(feed.contents().points.at("river.level").value == 2.0);
  feed.take(reading(3'000, 3.0));
  CHECK(feed.contents().points.at("river.level").value == 3.0);
}
