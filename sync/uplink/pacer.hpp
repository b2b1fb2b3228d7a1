#pragma once

#include <cstddef>
#include <cstdint>

#include "firmware/core/time.hpp"

namespace hamlet::uplink {

/// How much may be on its way at once.
///
/// What is handed over waits in queues that nobody can look into (kernel, modem, network), and an alarm waits behind it. So there is never
/// more in flight than the link has been seen to deliver in one round trip, and one message. The rate is the highest of late at which
/// acknowledgements came; the round trip is the shortest, measured anew each minute on a message that is alone on its way (the idea is
/// BBR's). Nor does it go in a burst, but at half as much again as that rate at most. On top a cap in kbit/s.
///
/// Pure: time is passed in. A data plan or a schedule would be one more reason for may_send() to say no.
class Pacer {
 public:
  static constexpr std::size_t kFirstBytes = 2'048;  ///< in flight before anything is known
  static constexpr Millis kSlack{50};                ///< of delivery, beyond the round trip, and of a burst: what clocks and brokers blur
  static constexpr double kGain = 1.1;               ///< more than the round trip carries, to see whether it carries more
  static constexpr double kPace = 1.5;               ///< times the rate
  static constexpr Millis kRoundTripFor{60'000};
  static constexpr Millis kRateFor{2'000};  ///< or four round trips, and at most twice that

  explicit Pacer(std::uint64_t max_kbit = 0) : max_kbit_{max_kbit} {}

  /// A new session: nothing is in flight, nothing is known.
  void reset();

  /// Whether one more may go now; one always may where nothing is on its way. What is urgent does not ask.
  [[nodiscard]] bool may_send(MonoTime now);
  /// Something waits, but not for us: what is seen now is all that this link will show.
  void note_limit(MonoTime now) { limited_at_ = now; }
  /// How long it says no whatever is acknowledged; zero: it does not.
  [[nodiscard]] Millis wait(MonoTime now) const;

  /// One message: keep it until its acknowledgement.
  struct Sent {
    std::size_t bytes = 0;
    MonoTime at{};
    std::uint64_t delivered = 0;
    MonoTime delivered_at{};
    bool alone = false;
  };
  [[nodiscard]] Sent sent(std::size_t bytes, MonoTime now);
  void acked(const Sent& sent, MonoTime now);

  /// Below this one more may go.
  [[nodiscard]] std::size_t limit() const;
  [[nodiscard]] std::size_t in_flight() const { return in_flight_; }
  [[nodiscard]] double bytes_per_second() const { return 1'000 * rate(); }
  [[nodiscard]] Millis round_trip() const { return round_trip_; }

 private:
  [[nodiscard]] double rate() const;  // bytes a millisecond

  const std::uint64_t max_kbit_;
  double cap_ms_ = 0;   // when the cap has carried what was sent, ms of MonoTime; outlives a session
  double pace_ms_ = 0;  // when kPace times the rate has
  std::size_t in_flight_ = 0;
  std::uint64_t delivered_ = 0;  // bytes
  MonoTime delivered_at_{};
  MonoTime limited_at_ = MonoTime::min();
  double best_ = 0, best_before_ = 0;  // of this stretch of kRateFor and of the one before
  MonoTime stretch_since_{};
  Millis round_trip_{0};
  MonoTime round_trip_at_{};  // when it was measured; meaningful once delivered_ > 0
};

/// Shares a link between what is live and what is history while both have something to send.
class Share {
 public:
  /// `live`: the part of it for what is live, 0 to 1.
  explicit Share(double live) : live_{live} {}
  [[nodiscard]] bool live_is_next() const { return balance_ <= 0; }
  /// One of them was sent while both waited.
  void sent(bool live, std::size_t bytes) {
    balance_ += live ? static_cast<double>(bytes) * (1 - live_) : -static_cast<double>(bytes) * live_;
  }
  /// One had nothing to send: it has saved nothing up.
  void alone() { balance_ = 0; }

 private:
  const double live_;
  double balance_ = 0;  // bytes that history is owed; negative: what is live
};

}  // namespace hamlet::uplink
