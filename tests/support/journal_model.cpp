#include "tests/support/journal_model.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace hamlet::support {

using contract::index;
using journal::Lane;
using journal::Position;
using journal::Record;

namespace {

std::string name(const std::string& epoch, Lane lane, std::uint64_t seq) {
  return fmt::format("{} {} {}", epoch, contract::to_string(lane), seq);
}

std::string show(const Record& record) {
  return fmt::format("[{}:{} rev {} {} {} bytes: {}]", record.at.boot, to_ms(record.at.mono), record.rev,
                     record.body.topic, record.body.bytes.size(), record.body.bytes.substr(0, 120));
}

// A batch of version 1 is JSON and is packed when it is migrated: it says the same then.
std::string message_of(const Record& record) {
  const auto date = [](Moment moment) { return contract::Dated{wall_from_ms(to_ms(moment.mono)), TimeQuality::synced}; };
  return contract::render(record.body, {.gw = "gw", .epoch = "e", .lane = record.lane, .seq = record.seq, .at = record.at},
                          date)
      .value_or("damaged");
}

bool same(const Record& a, const Record& b) {
  return a.lane == b.lane && a.seq == b.seq && a.at == b.at && a.rev == b.rev && a.body.topic == b.body.topic &&
         (a.body.bytes == b.body.bytes || (a.lane == Lane::tele && message_of(a) == message_of(b)));
}

template <class Map, class Show>
std::string difference_of(const Map& expected, const Map& found, Show show_key) {
  for (const auto& [key, value] : expected) {
    const auto at = found.find(key);
    if (at == found.end()) return show_key(key) + " is missing";
    if (!(at->second == value)) return show_key(key) + " is another one";
  }
  for (const auto& [key, value] : found)
    if (!expected.contains(key)) return show_key(key) + " is there";
  return {};
}

}  // namespace

void JournalModel::Standing::add(const Turn& turn) {
  for (const auto& record : turn.records) last.at(index(record.lane)) = record.seq;
  for (const auto& [key, value] : turn.states) {
    if (value) {
      states[key] = *value;
    } else {
      states.erase(key);
    }
  }
}

void JournalModel::append(const std::string& epoch, Record record) {
  const Key key{epoch, record.lane, record.seq};
  if (!epoch_.empty() && epoch != epoch_) throw Violation{"append() speaks of the epoch " + epoch};
  if (const auto at = seen_.find(key); at != seen_.end())
    throw Violation{"number given again: " + name(epoch, record.lane, record.seq) + ", was " + show(at->second)};
  if (record.seq != last(record.lane) + 1)
    throw Violation{
        fmt::format("append() gave {} where {} was next", name(epoch, record.lane, record.seq), last(record.lane) + 1)};
  now_.last.at(index(record.lane)) = record.seq;
  given_[key] = record;
  turn_.records.push_back(std::move(record));
}

void JournalModel::put_state(const std::string& key, std::optional<std::string> value) {
  turn_.states[key] = std::move(value);
}

void JournalModel::set_position(const PositionKey& key, Position position) {
  offered_[key].push_back(std::move(position));
}

std::size_t JournalModel::end_turn() {
  if (!turn_.empty()) {
    now_.add(turn_);
    turns_.push_back(std::exchange(turn_, {}));
  }
  return turns_.size();
}

void JournalModel::reported(Lane lane, std::uint64_t seq) {
  if (seq > last(lane)) throw Violation{fmt::format("{} is called committed, and was not given", name("", lane, seq))};
  for (auto i = turns_.size(); i > reported_; --i) {
    for (const auto& record : turns_[i - 1].records)
      if (record.lane == lane && record.seq <= seq) return reported_turn(i);
  }
}

void JournalModel::reported_turn(std::size_t turn) {
  reported_ = std::max(reported_, turn);
}

void JournalModel::check_record(const Key& key, const Record& record) const {
  const auto& [epoch, lane, seq] = key;
  auto at = seen_.find(key);
  if (at == seen_.end()) {
    at = given_.find(key);
    if (at == given_.end()) throw Violation{name(epoch, lane, seq) + " was never given: " + show(record)};
  }
  if (!same(at->second, record))
    throw Violation{name(epoch, lane, seq) + " was " + show(at->second) + " and is " + show(record)};
}

void JournalModel::seen(const std::string& epoch, const Record& record) {
  const Key key{epoch, record.lane, record.seq};
  check_record(key, record);
  seen_.emplace(key, record);
}

void JournalModel::adopt(Content content) {
  epoch_ = content.epoch;
  for (auto& lane : content.lanes) {
    for (auto& record : lane) {
      durable_.last.at(index(record.lane)) = record.seq;
      Key key{epoch_, record.lane, record.seq};
      seen_.emplace(std::move(key), std::move(record));
    }
  }
  durable_.states = std::move(content.states);
  for (auto& [key, position] : content.positions) offered_[key].push_back(std::move(position));
  now_ = durable_;
}

std::string JournalModel::difference(const Standing& expected, const Standing& found) const {
  for (const auto lane : contract::kLanes) {
    const auto e = expected.last.at(index(lane));
    const auto f = found.last.at(index(lane));
    if (e != f) return fmt::format("the lane {} ends at {} and not {}", contract::to_string(lane), f, e);
  }
  auto out = difference_of(expected.states, found.states, [](const auto& key) { return "state " + key; });
  return out;
}

std::size_t JournalModel::compare(const Content& content) {
  if (!epoch_.empty() && content.epoch != epoch_)
    throw Violation{"a new epoch although nothing was lost: " + epoch_ + ", then " + content.epoch};
  epoch_ = content.epoch;

  Standing found{.last = durable_.last, .states = content.states};
  for (const auto lane : contract::kLanes) {
    std::uint64_t seq = 0;
    for (const auto& record : content.lanes.at(index(lane))) {
      if (record.seq != ++seq)
        throw Violation{name(epoch_, lane, record.seq) + fmt::format(" stands where {} belongs", seq)};
      check_record({epoch_, lane, seq}, record);
    }
    found.last.at(index(lane)) = seq;
    if (seq < durable_.last.at(index(lane)))
      throw Violation{fmt::format("{} is lost, it was there before", name(epoch_, lane, seq + 1))};
  }
  // A position is stored now and then: one that was given, whichever.
  for (const auto& [key, position] : content.positions) {
    const auto& offered = offered_[key];
    if (std::find(offered.begin(), offered.end(), position) == offered.end())
      throw Violation{fmt::format("the position of {} in {} was never given", key.first, contract::to_string(key.second))};
    const auto furthest = position.beyond.empty() ? position.prefix : position.beyond.back().to;
    if (furthest > found.last.at(index(key.second)))
      throw Violation{fmt::format("the position of {} in {} is {}, ahead of the last record {}", key.first,
                                  contract::to_string(key.second), furthest, found.last.at(index(key.second)))};
  }

  // Which turn does it stand after?
  Standing standing = durable_;
  for (std::size_t i = 0; i < reported_; ++i) standing.add(turns_[i]);
  const auto least = standing;
  std::string nearest;
  std::size_t after = reported_;
  for (; !(standing == found); ++after) {
    if (standing.last == found.last) nearest = fmt::format("; after turn {}: {}", after, difference(standing, found));
    if (after == turns_.size())
      throw Violation{
          fmt::format("it stands after none of the turns {} (reported) to {} (given); after the first: {}{}", reported_,
                      turns_.size(), difference(least, found), nearest)};
    standing.add(turns_[after]);
  }

  for (const auto& lane : content.lanes)
    for (const auto& record : lane) seen_.emplace(Key{epoch_, record.lane, record.seq}, record);
  const auto lost = turns_.size() - after;
  durable_ = standing;
  now_ = std::move(standing);
  turns_.clear();
  given_.clear();
  turn_ = {};
  reported_ = 0;
  return lost;
}

}  // namespace hamlet::support
