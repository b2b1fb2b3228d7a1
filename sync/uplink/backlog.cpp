#include "sync/uplink/backlog.hpp"

#include <algorithm>
#include <utility>

#include "firmware/core/log.hpp"

namespace hamlet::uplink {

bool is_history(Moment at, std::uint32_t boot, MonoTime now, Millis commit_window) {
  return at.boot != boot || now - at.mono > std::max(Millis{60'000}, 2 * commit_window);
}

Backlog::Backlog(journal::Journal& journal, const journal::Epoch& epoch, contract::Lane lane, std::function<void()> more)
    : journal_{journal},
      generation_{epoch.generation},
      epoch_{epoch.id},
      lane_{lane},
      more_{std::move(more)},
      position_{journal.position(kName, lane, epoch.generation)},
      next_{position_.prefix + 1} {}

Backlog::Backlog(journal::Journal& journal, const journal::Epoch& epoch, contract::Lane lane, contract::Range again,
                 std::function<void()> more)
    : journal_{journal},
      generation_{epoch.generation},
      epoch_{epoch.id},
      lane_{lane},
      more_{std::move(more)},
      again_up_to_{again.to},
      position_{.prefix = again.from - 1},
      next_{again.from} {}

std::uint64_t Backlog::last() const {
  if (again_up_to_ != 0) return again_up_to_;
  for (const auto& epoch : journal_.epochs()) {
    if (epoch.generation == generation_) return epoch.last.at(contract::index(lane_));
  }
  return 0;
}

void Backlog::rewind() {
  session_ = std::make_shared<bool>(true);
  ahead_.clear();
  has_picture_ = reading_ = fetching_ = false;
  next_ = position_.prefix + 1;
}

void Backlog::read_ahead() {
  const auto last = this->last();
  if (reading_ || ahead_.size() >= kBatch || next_ > last) return;
  reading_ = true;
  journal_.read(lane_, next_, kBatch, kBatchBytes, [this, session = std::weak_ptr{session_}, last](Records records) {
    if (session.expired()) return;
    reading_ = false;
    took(std::move(records), last);
  }, generation_);
}

void Backlog::took(Records records, std::uint64_t asked_up_to) {
  if (!records) {
    // Full, or the disk; or damaged: the journal then gives up what is. The next commit or tick asks again.
    log::warning("cannot read the journal",
                 {{"lane", contract::to_string(lane_)}, {"error", records.error().message}});
    return;
  } else if (records->empty()) {
    skip_to(asked_up_to + 1);
  } else {
    for (auto& record : *records) {
      if (again_up_to_ != 0 && record.seq > again_up_to_) {
        skip_to(again_up_to_ + 1);
        break;
      }
      skip_to(record.seq);
      next_ = record.seq + 1;
      if (!position_.contains(record.seq)) ahead_.push_back(std::move(record));
    }
  }
  read_ahead();
  fetch_picture();
  more_();
}

/// The numbers from next_ to before `seq` are not in the journal any more: nothing is left to send of them.
void Backlog::skip_to(std::uint64_t seq) {
  for (; next_ < seq; ++next_) done(next_);
}

const journal::Record* Backlog::front() const {
  if (ahead_.empty() || (lane_ == contract::Lane::media && !has_picture_)) return nullptr;
  return &ahead_.front();
}

std::string Backlog::take_picture() {
  return std::exchange(picture_, {});
}

void Backlog::pop() {
  ahead_.pop_front();
  has_picture_ = false;
  read_ahead();
  fetch_picture();
}

void Backlog::fetch_picture() {
  if (lane_ != contract::Lane::media || ahead_.empty() || has_picture_ || fetching_) return;
  fetching_ = true;
  const auto& record = ahead_.front();
  journal_.read_media(record.body.bytes, [this, session = std::weak_ptr{session_}, seq = record.seq](auto bytes) {
    if (session.expired()) return;
    fetching_ = false;
    took_picture(seq, std::move(bytes));
  });
}

void Backlog::took_picture(std::uint64_t seq, Result<std::string> bytes) {
  if (!bytes && bytes.error().code == Errc::full) return;  // too many reads wait: the next commit or tick asks again
  if (bytes) {
    picture_ = std::move(*bytes);
    has_picture_ = true;
  } else {
    log::warning("a picture is gone and will not be sent", {{"seq", seq}, {"error", bytes.error().message}});
    done(seq);
    pop();
  }
  more_();
}

void Backlog::done(std::uint64_t seq) {
  if (position_.contains(seq)) return;
  // Never refused: handed out in order, at most a window of numbers can be missing before this one.
  moved_ = position_.add(seq) || moved_;
}

void Backlog::stored(std::uint64_t seq) {
  seq = std::min(seq, position_.prefix);
  if (seq <= position_.stored) return;
  position_.stored = seq;
  moved_ = true;
}

void Backlog::send_again() {
  if (position_.stored >= position_.prefix) return;
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
