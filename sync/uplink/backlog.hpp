#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "firmware/core/time.hpp"
#include "sync/contract/contract.hpp"
#include "sync/journal/journal.hpp"

namespace hamlet::uplink {

/// Whether a record is history by now: older than 60 s and twice the commit window, or of an earlier boot.
[[nodiscard]] bool is_history(Moment at, std::uint32_t boot, MonoTime now, Millis commit_window);

/// What one lane of one epoch still has to send, in two parts: what is live, in order as it is committed, and the rest, which is history
/// and is filled in behind it. It reads the journal a bounded number of records ahead, hands out the next of either part, and moves the
/// position as they are acknowledged. Called from the io thread.
class Backlog {
 public:
  static constexpr std::string_view kName = "county";  ///< of the position
  static constexpr std::size_t kBatch = 256;           ///< records in one read; at most twice as many are held of each part
  static constexpr std::size_t kBatchBytes = 256 * 1024;
  /// Live records that have become history join the rest only where fewer ranges lie beyond the prefix: what is in flight adds some.
  static constexpr std::size_t kMaxRanges = 40;

  enum class Part { live, rest };
  enum class Order { oldest, newest };  ///< of the rest
  struct Plan {
    std::size_t live = 0;           ///< so many of the newest count as live when a session begins
    Order order = Order::oldest;
    Millis commit_window{10'000};   ///< the journal's: what is history
  };

  /// `more` is called when front() may have changed. Refers to the journal.
  Backlog(journal::Journal& journal, const journal::Epoch& epoch, contract::Lane lane, Plan plan, std::function<void()> more);
  /// What the county asks to be sent once more: these numbers alone, all of them rest. The position is of this object and not the
  /// journal's.
  Backlog(journal::Journal& journal, const journal::Epoch& epoch, contract::Lane lane, contract::Range again,
          std::function<void()> more);

  /// A new session: forgets what was read and handed out, and starts behind the position.
  void rewind();
  /// Reads on where little is left. Call it after a commit and after pop().
  void read_ahead();
  /// What was live and has not been sent within the time that makes it history joins the rest, but for the newest.
  void age(MonoTime now);

  /// The next record to send; null where there is none now. A picture only with its bytes.
  [[nodiscard]] const journal::Record* front(Part part) const;
  /// The front's picture.
  [[nodiscard]] std::string take_picture(Part part);
  void pop(Part part);

  /// The broker has it (or it cannot be sent, ever).
  void done(std::uint64_t seq);
  /// The county has stored everything up to here; never more than what was sent.
  void stored(std::uint64_t seq);
  /// What was sent is sent again where the county has stored nothing more of it for `patience`. Call it now and then.
  void await_ack(MonoTime now, Millis patience);
  /// Newest committed number, or the last that is to be sent again.
  [[nodiscard]] std::uint64_t last() const;
  /// Hands the position to the journal where it has moved.
  void store();

  [[nodiscard]] contract::Lane lane() const { return lane_; }
  [[nodiscard]] std::uint32_t generation() const { return generation_; }
  [[nodiscard]] const std::string& epoch() const { return epoch_; }
  [[nodiscard]] const journal::Position& position() const { return position_; }
  [[nodiscard]] std::uint64_t highest_done() const;

 private:
  using Records = Result<std::vector<journal::Record>>;
  /// A stretch of numbers, read ahead.
  struct Cursor {
    std::uint64_t next = 1;  // first number that was not read
    std::uint64_t to = 0;    // last that is to be
    std::deque<journal::Record> ahead{};
    std::string picture{};  // of the front
    bool has_picture = false;
    bool reading = false;
    bool fetching = false;
    // Answers of the journal's to a question before the cursor was placed anew, or after our end, find that this is gone.
    std::shared_ptr<bool> alive = std::make_shared<bool>(true);
  };
  static Cursor at(std::uint64_t from, std::uint64_t to) { return {.next = from, .to = to}; }
  [[nodiscard]] Cursor& of(Part part) { return part == Part::live ? live_ : rest_; }
  [[nodiscard]] const Cursor& of(Part part) const { return part == Part::live ? live_ : rest_; }
  void send_again();
  void read_ahead(Part part);
  void took(Part part, Records records, std::uint64_t asked_up_to);
  void skip_to(Cursor& cursor, std::uint64_t seq);
  [[nodiscard]] bool next_stretch();
  void fetch_picture(Part part);
  void took_picture(Part part, std::uint64_t seq, Result<std::string> bytes);

  journal::Journal& journal_;
  const std::uint32_t generation_;
  const std::string epoch_;
  const contract::Lane lane_;
  const Plan plan_;
  const std::function<void()> more_;
  const std::uint64_t again_up_to_ = 0;  // 0: everything
  journal::Position position_;
  bool moved_ = false;
  std::uint64_t stored_before_ = 0;          // of the position, when await_ack() saw it last
  std::optional<MonoTime> unstored_since_{};  // since then it has not moved, and more is sent than is stored
  std::uint64_t first_live_ = 1;     // the rest lies below
  Cursor live_, rest_;               // rest_: one stretch of it
  std::uint64_t rest_left_ = 0;      // newest first: what of the rest was not read lies at or below
  std::set<std::uint64_t> on_way_;   // handed out, not acknowledged
};

}  // namespace hamlet::uplink
