#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "sync/journal/journal.hpp"

namespace hamlet::support {

/// The journal broke a promise; says which.
struct Violation : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// What a journal promises, kept beside it in memory over any number of power cuts and reopenings.
///
/// Everything that was given to the journal between two turns of its io thread is one turn here. After a reopening the
/// journal must stand exactly after one of the turns: not before the last one that was reported as durable, all of a
/// turn or nothing of it (records, state), nothing of a later one; a position is one that was given, whichever, and not
/// ahead of what is there. Beside that: no hole in a lane, no record
/// changed, no number that was ever seen means anything else, in any epoch.
class JournalModel {
 public:
  using Lane = journal::Lane;
  using PositionKey = std::pair<std::string, Lane>;

  /// The journal, read as a whole.
  struct Content {
    std::string epoch;
    std::array<std::vector<journal::Record>, journal::kLaneCount> lanes;
    std::map<std::string, std::string> states;
    std::map<PositionKey, journal::Position> positions;  ///< those that are not empty
  };

  // ---- one life of the journal

  void append(const std::string& epoch, journal::Record record);
  void put_state(const std::string& key, std::optional<std::string> value);
  void set_position(const PositionKey& key, journal::Position position);
  /// Ends a turn; its number.
  std::size_t end_turn();
  /// The journal said that it has committed everything up to `seq`, or all of the turns up to `turn`.
  void reported(Lane lane, std::uint64_t seq);
  void reported_turn(std::size_t turn);
  [[nodiscard]] std::size_t turns() const { return turns_.size(); }
  /// A record as it was read while the journal lives.
  void seen(const std::string& epoch, const journal::Record& record);

  // ---- between lives

  /// Takes a journal that was there before the first life as it is.
  void adopt(Content content);
  /// Throws Violation; else what was read is from now on what must be there. How many turns are gone, none of them
  /// reported.
  std::size_t compare(const Content& content);

  [[nodiscard]] std::uint64_t last(Lane lane) const { return now_.last.at(contract::index(lane)); }
  [[nodiscard]] std::uint64_t records() const { return seen_.size(); }

 private:
  struct Turn {
    std::vector<journal::Record> records;
    std::map<std::string, std::optional<std::string>> states;
    [[nodiscard]] bool empty() const { return records.empty() && states.empty(); }
  };
  struct Standing {
    std::array<std::uint64_t, journal::kLaneCount> last{};
    std::map<std::string, std::string> states;
    void add(const Turn& turn);
    friend bool operator==(const Standing&, const Standing&) = default;
  };
  using Key = std::tuple<std::string, Lane, std::uint64_t>;

  void check_record(const Key& key, const journal::Record& record) const;
  [[nodiscard]] std::string difference(const Standing& expected, const Standing& found) const;

  std::string epoch_;
  Standing durable_;  ///< what the last comparison found
  Standing now_;      ///< the same and all turns since
  std::vector<Turn> turns_;
  Turn turn_;
  std::size_t reported_ = 0;  ///< so many of the turns are durable
  std::map<Key, journal::Record> seen_;
  std::map<Key, journal::Record> given_;  ///< since the last comparison
  std::map<PositionKey, std::vector<journal::Position>> offered_;
};

}  // namespace hamlet::support
