#include "sync/uplink/pacer.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace hamlet::uplink {
namespace {

constexpr double kCapBurst = 500;  // ms that the cap may be behind: what was not used before is lost

}  // namespace

void Pacer::reset() {
  in_flight_ = 0;
  delivered_ = 0;
  best_ = best_before_ = 0;
  pace_ms_ = 0;
  round_trip_ = Millis{0};
  limited_at_ = MonoTime::min();
}

double Pacer::rate() const { return std::max(best_, best_before_); }

std::size_t Pacer::limit() const {
  if (delivered_ == 0) return kFirstBytes;
  const auto carries = static_cast<double>(round_trip_.count()) * kGain + static_cast<double>(kSlack.count());
  return static_cast<std::size_t>(rate() * carries);
}

bool Pacer::may_send(MonoTime now) {
  if (static_cast<double>(to_ms(now)) < cap_ms_) return false;
  if (in_flight_ == 0) return true;
  // Once a minute the queues run empty, so that the next message shows what the road itself takes.
  const bool outdated = delivered_ > 0 && now - round_trip_at_ > kRoundTripFor;
  if (outdated || in_flight_ >= limit()) {
    note_limit(now);
    return false;
  }
  return static_cast<double>(to_ms(now)) >= pace_ms_;
}

Millis Pacer::wait(MonoTime now) const {
  const auto until = in_flight_ == 0 ? cap_ms_ : std::max(cap_ms_, pace_ms_);
  const auto wait = std::ceil(until - static_cast<double>(to_ms(now)));
  return wait <= 0 ? Millis{0} : Millis{static_cast<Millis::rep>(wait)};
}

Pacer::Sent Pacer::sent(std::size_t bytes, MonoTime now) {
  const auto ms = static_cast<double>(to_ms(now));
  if (max_kbit_ > 0) cap_ms_ = std::max(cap_ms_, ms - kCapBurst) + 8 * static_cast<double>(bytes) / static_cast<double>(max_kbit_);
  if (rate() > 0) pace_ms_ = std::max(pace_ms_, ms - static_cast<double>(kSlack.count())) + static_cast<double>(bytes) / (kPace * rate());
  const bool alone = in_flight_ == 0;
  if (alone) delivered_at_ = now;
  in_flight_ += bytes;
  return {.bytes = bytes, .at = now, .delivered = delivered_, .delivered_at = delivered_at_, .alone = alone};
}

void Pacer::acked(const Sent& sent, MonoTime now) {
  in_flight_ -= std::min(in_flight_, sent.bytes);
  delivered_ += sent.bytes;
  delivered_at_ = now;
  const auto took = std::max(Millis{1}, now - sent.delivered_at);
  const double rate = static_cast<double>(delivered_ - sent.delivered) / static_cast<double>(took.count());
  // A link that had nothing to do shows nothing of what it could: only what was held back makes a former best old.
  const bool limited = limited_at_ >= sent.at;
  if (limited && now - stretch_since_ > std::max(kRateFor, 4 * round_trip_)) {
    best_before_ = std::exchange(best_, 0);
    stretch_since_ = now;
  }
  best_ = std::max(best_, rate);
  const auto round_trip = now - sent.at;
  const bool first = delivered_ == sent.bytes;
  if (first || round_trip <= round_trip_ || (sent.alone && now - round_trip_at_ > kRoundTripFor)) {
    round_trip_ = round_trip;
    round_trip_at_ = now;
  }
}

}  // namespace hamlet::uplink
