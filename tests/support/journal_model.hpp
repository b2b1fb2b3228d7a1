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
///
/// The journal has a say of its own: events gateway/gap and gateway/journal are accepted wherever they stand. What is not
/// there any more must have been declared by a gap, or be stored by the county.
class JournalModel {
 public:
  using Lane = journal::Lane;
  using PositionKey = std::pair<std::string, Lane>;

  /// The journal, read as a whole.
  struct Epoch {
    std::string id;
    std::array<std::uint64_t, journal::kLaneCount> last{};  ///< as the journal says
    std::array<std::vector<journal::Record>, journal::kLaneCount> lanes{};
  };
  struct Content {
    std::vector<Epoch> epochs;  ///< oldest first; the last one goes on
    std::map<std::string, std::string> states;
    std::map<PositionKey, journal::Position> positions;  ///< of the last epoch, those that are not empty
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
  /// A record as it was read while the journal lives; what the journal declares is taken in.
  void seen(const std::string& epoch, const journal::Record& record);

  // ---- between lives

  /// From now on a new epoch may be found, once.
  void may_renew() { may_renew_ = true; }
  /// All that stands behind `kept` in the epoch that goes on has the same place behind nothing in the epoch `to`, which goes on
  /// from now on. Straight after compare().
  void moved(const std::string& to, const std::array<std::uint64_t, journal::kLaneCount>& kept);
  [[nodiscard]] const std::string& epoch() const { return epoch_; }
  /// Takes a journal that was there before the first life as it is.
  void adopt(Content content);
  /// Throws Violation; else what was read is from now on what must be there. How many turns are gone, none of them
  /// reported.
  std::size_t compare(const Content& content);

  [[nodiscard]] std::uint64_t last(Lane lane) const { return now_.last.at(contract::index(lane)); }
  [[nodiscard]] std::uint64_t records() const { return seen_.size(); }
  [[nodiscard]] std::uint64_t gaps() const { return gaps_; }
  [[nodiscard]] std::uint64_t epochs() const { return closed_.size() + 1; }

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

  using LaneKey = std::pair<std::string, Lane>;

  void take_own(const std::string& epoch, const journal::Record& record);
  void check_gone(const LaneKey& lane, std::uint64_t from, std::uint64_t to) const;
  void check_lane(const Epoch& epoch, Lane lane);
  [[nodiscard]] std::uint64_t last_given(const LaneKey& lane, std::uint64_t up_to) const;
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
  std::map<LaneKey, std::map<std::uint64_t, std::uint64_t>> declared_;  ///< ranges: from, to
  std::map<LaneKey, std::uint64_t> stored_;                              ///< by the county, as far as was ever said
  std::map<std::string, std::array<std::uint64_t, journal::kLaneCount>> closed_;  ///< epochs of before: what was there
  std::uint64_t gaps_ = 0;
  bool may_renew_ = false;
};

}  // namespace hamlet::support
