#include "tests/support/demo/ledger.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "sync/journal/reader.hpp"
#include "tests/support/demo/village.hpp"

namespace hamlet::demo {
namespace {

constexpr std::size_t kMostReadings = 10'000'000;

Result<std::uint64_t> count_readings(journal::Reader& reader) {
  std::uint64_t count = 0;
  for (const auto point : kPoints) {
    const auto readings = reader.readings(point, wall_from_ms(0), kMostReadings);
    if (!readings) return fail(readings.error().in(point));
    count += readings->size();
  }
  return count;
}

// Of the numbers up to `last`, how many have not come. Beyond it there may be what a later run sent.
std::uint64_t count_missing(const support::County::Lane& came, std::uint64_t last) {
  if (came.prefix >= last) return 0;
  if (came.last <= last) return last - came.last + came.missing;
  return std::min(came.missing, last - came.prefix);
}

}  // namespace

Result<Journaled> read_journal(const std::filesystem::path& state_dir) {
  const auto reader = journal::Reader::open(state_dir);
  if (!reader) return fail(reader.error());
  const auto stat = (*reader)->stat();
  if (!stat) return fail(stat.error());
  const auto readings = count_readings(**reader);
  if (!readings) return fail(readings.error());
  Journaled journaled{.epoch = stat->epoch, .last = {}, .readings = *readings};
  for (const auto lane : contract::kLanes) {
    journaled.last.at(contract::index(lane)) = stat->lanes.at(contract::index(lane)).last;
  }
  return journaled;
}

Accounts settle(const Journaled& journaled, const support::County::Snapshot& county) {
  Accounts accounts;
  const auto epoch = county.epochs.find(journaled.epoch);
  for (const auto lane : contract::kLanes) {
    const auto at = contract::index(lane);
    auto& account = accounts.at(at);
    account.journaled = journaled.last.at(at);
    const auto came = epoch == county.epochs.end() ? support::County::Lane{} : epoch->second.at(at);
    account.missing = count_missing(came, account.journaled);
    account.received = account.journaled - account.missing;
    account.duplicated = came.duplicates + came.conflicts;
  }
  return accounts;
}

bool complete(const Accounts& accounts) {
  return std::none_of(accounts.begin(), accounts.end(), [](const Account& account) { return account.missing > 0; });
}

std::string to_table(const Accounts& accounts) {
  auto table = fmt::format("{:<7}{:>11}{:>11}{:>11}{:>12}\n", "lane", "journaled", "received", "missing", "duplicated");
  for (const auto lane : contract::kLanes) {
    const auto& account = accounts.at(contract::index(lane));
    table += fmt::format("{:<7}{:>11}{:>11}{:>11}{:>12}\n", contract::to_string(lane), account.journaled,
                         account.received, account.missing, account.duplicated);
  }
  return table;
}

}  // namespace hamlet::demo
