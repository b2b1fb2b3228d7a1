#include "tests/support/journal_model.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

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

bool is_own(const Record& record) {
  return record.lane == Lane::event &&
         (record.body.topic == "event/gateway/gap" || record.body.topic == "event/gateway/journal");
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
  // The journal's own events may stand between.
  if (record.lane == Lane::event ? record.seq <= last(record.lane) : record.seq != last(record.lane) + 1)
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
  auto& stored = stored_[{epoch_, key.second}];
  stored = std::max(stored, position.stored);
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
  if (seq > last(lane) && lane != Lane::event) throw Violation{fmt::format("{} is called committed, and was not given", name("", lane, seq))};
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
  if (at == seen_.end() && is_own(record)) return;
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
  take_own(epoch, record);
  seen_.emplace(key, record);
}

void JournalModel::take_own(const std::string& epoch, const Record& record) {
  if (!is_own(record) || record.body.topic != "event/gateway/gap" || seen_.contains({epoch, record.lane, record.seq})) return;
  const auto json = nlohmann::json::parse(record.body.bytes, nullptr, /*allow_exceptions=*/false);
  const auto& detail = json.contains("detail") ? json["detail"] : json;
  ++gaps_;
  for (const auto lane : contract::kLanes) {
    if (detail.at("lane") != std::string{contract::to_string(lane)}) continue;
    auto& to = declared_[{detail.at("epoch").get<std::string>(), lane}][detail.at("from").get<std::uint64_t>()];
    to = std::max(to, detail.at("to").get<std::uint64_t>());
  }
}

void JournalModel::check_gone(const LaneKey& lane, std::uint64_t from, std::uint64_t to) const {
  if (const auto stored = stored_.find(lane); stored != stored_.end()) from = std::max(from, stored->second + 1);
  if (const auto declared = declared_.find(lane); declared != declared_.end()) {
    for (const auto& [first, last] : declared->second)
      if (first <= from) from = std::max(from, last + 1);
  }
  if (from <= to)
    throw Violation{fmt::format("{} is gone (to {}), neither declared nor stored", name(lane.first, lane.second, from), to)};
}

void JournalModel::check_lane(const Epoch& epoch, Lane lane) {
  std::uint64_t seq = 0;
  for (const auto& record : epoch.lanes.at(index(lane))) {
    if (seq != 0 && record.seq != seq + 1)
      throw Violation{name(epoch.id, lane, record.seq) + fmt::format(" stands where {} belongs", seq + 1)};
    if (seq == 0) check_gone({epoch.id, lane}, 1, record.seq - 1);
    seq = record.seq;
    check_record({epoch.id, lane, seq}, record);
  }
  const auto last = epoch.last.at(index(lane));
  if (seq > last) throw Violation{fmt::format("{} is there, and {} is called the last", name(epoch.id, lane, seq), last)};
  check_gone({epoch.id, lane}, seq + 1, last);
}

std::uint64_t JournalModel::last_given(const LaneKey& lane, std::uint64_t up_to) const {
  std::uint64_t last = 0;
  for (const auto* records : {&seen_, &given_}) {
    auto at = records->upper_bound({lane.first, lane.second, up_to});
    while (at != records->begin()) {
      --at;
      const auto& [epoch, in, seq] = at->first;
      if (epoch != lane.first || in != lane.second) break;
      if (is_own(at->second)) continue;
      last = std::max(last, seq);
      break;
    }
  }
  return last;
}

void JournalModel::adopt(Content content) {
  epoch_ = content.epochs.back().id;
  for (auto& lane : content.epochs.back().lanes) {
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

void JournalModel::moved(const std::string& to, const std::array<std::uint64_t, journal::kLaneCount>& kept) {
  std::map<Key, Record> seen;
  for (auto& [key, record] : seen_) {
    const auto& [epoch, lane, seq] = key;
    const auto behind = kept.at(index(lane));
    if (epoch != epoch_ || seq <= behind) {
      seen.emplace(key, std::move(record));
      continue;
    }
    record.seq = seq - behind;
    if (lane == Lane::media) {
      const auto picture = contract::media_name(to, record.seq);
      record.body = {"media/" + picture, picture + ".jpg"};
    }
    Key there{to, lane, record.seq};
    seen.emplace(std::move(there), std::move(record));
  }
  seen_ = std::move(seen);
  auto& closed = closed_[epoch_];
  for (const auto lane : contract::kLanes) {
    const auto i = index(lane);
    closed.at(i) = last_given({epoch_, lane}, kept.at(i));
    durable_.last.at(i) -= std::min(durable_.last.at(i), kept.at(i));
  }
  now_ = durable_;
  epoch_ = to;
  offered_.clear();
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
  const auto& newest = content.epochs.back();
  if (epoch_.empty()) epoch_ = newest.id;
  const bool renewed = newest.id != epoch_;
  if (renewed && !may_renew_) throw Violation{"a new epoch although nothing was lost: " + epoch_ + ", then " + newest.id};
  for (const auto& epoch : content.epochs)
    for (const auto& record : epoch.lanes.at(index(Lane::event))) take_own(epoch.id, record);

  Standing found{.last = durable_.last, .states = content.states};
  bool there = false;
  for (const auto& epoch : content.epochs) {
    for (const auto lane : contract::kLanes) {
      check_lane(epoch, lane);
      const auto last = last_given({epoch.id, lane}, epoch.last.at(index(lane)));
      const auto before = closed_.find(epoch.id);
      const auto least = before != closed_.end() ? before->second.at(index(lane))
                         : epoch.id == epoch_    ? durable_.last.at(index(lane))
                                                 : 0;
      if (last < least) throw Violation{fmt::format("{} is lost, it was there before", name(epoch.id, lane, last + 1))};
      if (epoch.id == epoch_) found.last.at(index(lane)) = last;
    }
    there = there || epoch.id == epoch_;
  }
  if (!there) throw Violation{"the epoch " + epoch_ + " is gone"};
  // A position is stored now and then: one that was given, whichever.
  for (const auto& [key, position] : content.positions) {
    const auto& offered = offered_[key];
    if (std::find(offered.begin(), offered.end(), position) == offered.end())
      throw Violation{fmt::format("the position of {} in {} was never given", key.first, contract::to_string(key.second))};
    const auto furthest = position.beyond.empty() ? position.prefix : position.beyond.back().to;
    if (furthest > newest.last.at(index(key.second)))
      throw Violation{fmt::format("the position of {} in {} is {}, ahead of the last record {}", key.first,
                                  contract::to_string(key.second), furthest, newest.last.at(index(key.second)))};
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

  for (const auto& epoch : content.epochs)
    for (const auto& lane : epoch.lanes)
      for (const auto& record : lane) seen_.emplace(Key{epoch.id, record.lane, record.seq}, record);
  const auto lost = turns_.size() - after;
  if (renewed) {
    closed_[epoch_] = standing.last;
    epoch_ = newest.id;
    standing.last = {};
    offered_.clear();
    may_renew_ = false;
  }
  durable_ = standing;
  now_ = std::move(standing);
  turns_.clear();
  // What was durable and has been trimmed before anybody read it was there, too.
  for (auto& [key, record] : given_) {
    const auto& [epoch, lane, seq] = key;
    const auto named = std::find_if(content.epochs.begin(), content.epochs.end(), [&](const auto& each) { return each.id == epoch; });
    if (named != content.epochs.end() && seq <= named->last.at(index(lane))) seen_.emplace(key, std::move(record));
  }
  given_.clear();
  turn_ = {};
  reported_ = 0;
  return lost;
}

}  // namespace hamlet::support
