#include "sync/uplink/backlog.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include "firmware/core/log.hpp"

namespace hamlet::uplink {

bool is_history(Moment at, std::uint32_t boot, MonoTime now, Millis commit_window) {
  return at.boot != boot || now - at.mono > std::max(Millis{60'000}, 2 * commit_window);
}

Backlog::Backlog(journal::Journal& journal, const journal::Epoch& epoch, contract::Lane lane, Plan plan, std::function<void()> more)
    : journal_{journal},
      generation_{epoch.generation},
      epoch_{epoch.id},
      lane_{lane},
      plan_{plan},
      more_{std::move(more)},
      position_{journal.position(kName, lane, epoch.generation)} {
  rewind();
}

Backlog::Backlog(journal::Journal& journal, const journal::Epoch& epoch, contract::Lane lane, contract::Range again,
                 std::function<void()> more)
    : journal_{journal},
      generation_{epoch.generation},
      epoch_{epoch.id},
      lane_{lane},
      plan_{},
      more_{std::move(more)},
      again_up_to_{again.to},
      position_{.prefix = again.from - 1} {
  rewind();
}

std::uint64_t Backlog::last() const {
  if (again_up_to_ != 0) return again_up_to_;
  for (const auto& epoch : journal_.epochs()) {
    if (epoch.generation == generation_) return epoch.last.at(contract::index(lane_));
  }
  return 0;
}

void Backlog::rewind() {
  const auto last = this->last();
  on_way_.clear();
  first_live_ = std::max(position_.prefix, last - std::min<std::uint64_t>(last, plan_.live)) + 1;
  live_ = at(first_live_, std::numeric_limits<std::uint64_t>::max());
  rest_ = at(position_.prefix + 1, 0);
  rest_left_ = first_live_ - 1;
}

void Backlog::age(MonoTime now) {
  const auto* record = front(Part::live);
  const auto newest = last();
  if (record == nullptr || newest - record->seq < std::max<std::uint64_t>(plan_.live, 1)) return;
  if (!is_history(record->at, journal_.boot(), now, plan_.commit_window)) return;
  if (position_.beyond.size() + 1 >= kMaxRanges) return;  // then in order
  first_live_ = newest - plan_.live + 1;
  live_ = at(first_live_, live_.to);
  rest_left_ = first_live_ - 1;
  if (plan_.order == Order::newest) rest_ = at(1, 0);
  read_ahead();
}

void Backlog::read_ahead() {
  for (const auto part : {Part::live, Part::rest}) {
    read_ahead(part);
    fetch_picture(part);
  }
}

/// Places rest_ on what is to be read next of the rest. False: nothing is left.
bool Backlog::next_stretch() {
  const auto gaps = position_.pending(first_live_ - 1);
  if (plan_.order == Order::oldest) {
    const auto gap = std::find_if(gaps.begin(), gaps.end(), [&](const auto& each) { return each.to >= rest_.next; });
    if (gap == gaps.end()) return false;
    rest_.next = std::max(rest_.next, gap->from);
    rest_.to = gap->to;
    return true;
  }
  const auto gap = std::find_if(gaps.rbegin(), gaps.rend(), [&](const auto& each) { return each.from <= rest_left_; });
  if (gap == gaps.rend()) return false;
  rest_.to = std::min(gap->to, rest_left_);
  rest_.next = rest_.to - gap->from < kBatch ? gap->from : rest_.to - kBatch + 1;
  rest_left_ = rest_.next - 1;
  return true;
}

void Backlog::read_ahead(Part part) {
  auto& cursor = of(part);
  if (cursor.reading || cursor.ahead.size() >= kBatch) return;
  if (part == Part::rest && cursor.next > cursor.to && !next_stretch()) return;
  const auto last = std::min(cursor.to, this->last());
  if (cursor.next > last) return;
  cursor.reading = true;
  const auto count = std::min<std::uint64_t>(kBatch, last - cursor.next + 1);
  journal_.read(lane_, cursor.next, count, kBatchBytes, [this, part, alive = std::weak_ptr{cursor.alive}, last](Records records) {
    if (alive.expired()) return;
    of(part).reading = false;
    took(part, std::move(records), last);
  }, generation_);
}

void Backlog::took(Part part, Records records, std::uint64_t asked_up_to) {
  auto& cursor = of(part);
  if (!records) {
    // Full, or the disk; or damaged: the journal then gives up what is. The next commit or tick asks again.
    log::warning("cannot read the journal",
                 {{"lane", contract::to_string(lane_)}, {"error", records.error().message}});
    return;
  } else if (records->empty()) {
    skip_to(cursor, asked_up_to + 1);
  } else {
    for (auto& record : *records) {
      skip_to(cursor, std::min(record.seq, asked_up_to + 1));
      if (record.seq > asked_up_to) break;
      cursor.next = record.seq + 1;
      if (!position_.contains(record.seq) && !on_way_.contains(record.seq)) cursor.ahead.push_back(std::move(record));
    }
  }
  read_ahead(part);
  fetch_picture(part);
  more_();
}

/// The numbers from next to before `seq` are not in the journal any more: nothing is left to send of them.
void Backlog::skip_to(Cursor& cursor, std::uint64_t seq) {
  for (; cursor.next < seq; ++cursor.next) done(cursor.next);
}

const journal::Record* Backlog::front(Part part) const {
  const auto& cursor = of(part);
  if (cursor.ahead.empty() || (lane_ == contract::Lane::media && !cursor.has_picture)) return nullptr;
  return &cursor.ahead.front();
}

std::string Backlog::take_picture(Part part) {
  return std::exchange(of(part).picture, {});
}

void Backlog::pop(Part part) {
  auto& cursor = of(part);
  on_way_.insert(cursor.ahead.front().seq);
  cursor.ahead.pop_front();
  cursor.has_picture = false;
  read_ahead(part);
  fetch_picture(part);
}

void Backlog::fetch_picture(Part part) {
  auto& cursor = of(part);
  if (lane_ != contract::Lane::media || cursor.ahead.empty() || cursor.has_picture || cursor.fetching) return;
  cursor.fetching = true;
  const auto& record = cursor.ahead.front();
  journal_.read_media(record.body.bytes, [this, part, alive = std::weak_ptr{cursor.alive}, seq = record.seq](auto bytes) {
    if (alive.expired()) return;
    of(part).fetching = false;
    took_picture(part, seq, std::move(bytes));
  });
}

void Backlog::took_picture(Part part, std::uint64_t seq, Result<std::string> bytes) {
  if (!bytes && bytes.error().code == Errc::full) return;  // too many reads wait: the next commit or tick asks again
  if (bytes) {
    of(part).picture = std::move(*bytes);
    of(part).has_picture = true;
  } else {
    log::warning("a picture is gone and will not be sent", {{"seq", seq}, {"error", bytes.error().message}});
    pop(part);
    done(seq);
  }
  more_();
}

void Backlog::done(std::uint64_t seq) {
  on_way_.erase(seq);
  if (position_.contains(seq)) return;
  // Never refused: both parts go in order, and what is in flight can leave no more holes than fit beside kMaxRanges.
  moved_ = position_.add(seq) || moved_;
}

void Backlog::stored(std::uint64_t seq) {
  seq = std::min(seq, position_.prefix);
  if (seq <= position_.stored) return;
  position_.stored = seq;
  moved_ = true;
}

void Backlog::await_ack(MonoTime now, Millis patience) {
  const bool waits = position_.stored < position_.prefix;
  const bool moved = std::exchange(stored_before_, position_.stored) != position_.stored;
  if (!waits) return unstored_since_.reset();
  if (moved || !unstored_since_) {
    unstored_since_ = now;
  } else if (now - *unstored_since_ >= patience) {
    unstored_since_ = now;
    send_again();
  }
}

void Backlog::send_again() {
  position_.prefix = position_.stored;
  position_.beyond.clear();
  moved_ = true;
  rewind();
  read_ahead();
}

void Backlog::store() {
  if (std::exchange(moved_, false) && again_up_to_ == 0) journal_.set_position(kName, lane_, position_, generation_);
}

std::uint64_t Backlog::highest_done() const {
  return position_.beyond.empty() ? position_.prefix : position_.beyond.back().to;
}

}  // namespace hamlet::uplink
