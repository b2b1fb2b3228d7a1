#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "firmware/core/time.hpp"
#include "sync/contract/contract.hpp"
#include "sync/journal/journal.hpp"

namespace hamlet::uplink {

/// Whether a record is history by now: older than 60 s and twice the commit window, or of an earlier boot.
[[nodiscard]] bool is_history(Moment at, std::uint32_t boot, MonoTime now, Millis commit_window);

/// What one lane of one epoch still has to send. It reads the journal ahead of the position, a bounded number of records, hands out
/// the next, and moves the position as they are acknowledged. Called from the io thread.
class Backlog {
 public:
  static constexpr std::string_view kName = "county";  ///< of the position
  static constexpr std::size_t kBatch = 256;           ///< records in one read; at most twice as many are held
  static constexpr std::size_t kBatchBytes = 256 * 1024;

  /// `more` is called when front() may have changed. Refers to the journal.
  Backlog(journal::Journal& journal, const journal::Epoch& epoch, contract::Lane lane, std::function<void()> more);
  /// What the county asks to be sent once more: these numbers alone. The position is of this object and not the journal's.
  Backlog(journal::Journal& journal, const journal::Epoch& epoch, contract::Lane lane, contract::Range again,
          std::function<void()> more);

  /// A new session: forgets what was read and handed out, and starts behind the position.
  void rewind();
  /// Reads on where little is left. Call it after a commit and after pop().
  void read_ahead();

  /// The next record to send; null where there is none now. A picture only with its bytes.
  [[nodiscard]] const journal::Record* front() const;
  /// The front's picture.
  [[nodiscard]] std::string take_picture();
  void pop();

  /// The broker has it (or it cannot be sent, ever).
  void done(std::uint64_t seq);
  /// The county has stored everything up to here; never more than what was sent.
  void stored(std::uint64_t seq);
  /// What was sent and not stored is sent again.
  void send_again();
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
  void took(Records records, std::uint64_t asked_up_to);
  void skip_to(std::uint64_t seq);
  void fetch_picture();
  void took_picture(std::uint64_t seq, Result<std::string> bytes);

  journal::Journal& journal_;
  const std::uint32_t generation_;
  const std::string epoch_;
  const contract::Lane lane_;
  const std::function<void()> more_;
  const std::uint64_t again_up_to_ = 0;  // 0: everything
  journal::Position position_;
  bool moved_ = false;
  std::uint64_t next_ = 1;  // first number that was not read
  std::deque<journal::Record> ahead_;
  std::string picture_;  // of the front
  bool has_picture_ = false;
  bool reading_ = false;
  bool fetching_ = false;
  // Answers of the journal's to a question before rewind(), or after our end, find that this is gone.
  std::shared_ptr<bool> session_ = std::make_shared<bool>(true);
};

}  // namespace hamlet::uplink
