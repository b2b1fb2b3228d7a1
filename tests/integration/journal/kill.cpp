// kill -9 under load: what the journal said it had is there afterwards, and no number means two things.

#include <array>
#include <csignal>
#include <filesystem>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include "firmware/core/clock.hpp"
#include "sync/journal/journal.hpp"
#include "sync/journal/reader.hpp"
#include "sync/journal/store.hpp"
#include "tests/support/process.hpp"

using namespace hamlet;
using namespace hamlet::journal;
using contract::Lane;

namespace {

constexpr int kRounds = 200;
constexpr int kWholeEvery = 20;  // then every record is read again; else only what is new, and a few before
constexpr std::array kWritten{Lane::alarm, Lane::event, Lane::tele};

/// What the child says over the pipe: everything up to `seq` in this lane is committed.
struct Report {
  std::uint32_t lane;
  std::uint32_t round;
  std::uint64_t seq;
};

std::string body_of(int round, Lane lane, std::uint64_t seq) {
  return fmt::format(R"({{"round":{},"lane":"{}","seq":{},"fill":"{}"}})", round, contract::to_string(lane), seq,
                     std::string(seq % 700, 'x'));
}

/// The child: appends without end, tells what is committed, and never returns.
class Load {
 public:
  Load(const std::filesystem::path& folder, int round, int pipe)
      : round_{round}, pipe_{pipe}, random_{static_cast<unsigned>(round)} {
    auto opened =
        Journal::open(io_, clock_, {.directory = folder, .window = Millis{3}, .machine_id = "m", .boot_id = "b"});
    if (!opened) ::_exit(3);
    journal_ = std::move(*opened);
    journal_->on_committed([this] { tell(); });
  }

  [[noreturn]] void run() {
    boost::asio::post(io_, [this] { turn(); });
    io_.run();
    ::_exit(4);
  }

 private:
  void turn() {
    for (int i = 0; i < 20; ++i) append();
    // No faster than the disk: the next turn comes with the next commit where much waits.
    if (journal_->stat().lanes[index(Lane::tele)].waiting < 300)
      boost::asio::post(io_, [this] { turn(); });
    else
      starved_ = true;
  }

  void append() {
    const auto dice = random_() % 100;
    const auto lane = dice == 0 ? Lane::alarm : dice < 5 ? Lane::event : Lane::tele;
    const auto seq = journal_->stat().lanes[index(lane)].last + journal_->stat().lanes[index(lane)].waiting + 1;
    const auto urgency = lane == Lane::tele ? Urgency::window : Urgency::now;
    const auto given =
        journal_->append(lane, clock_.mono(), {lane == Lane::tele ? "tele" : "t", body_of(round_, lane, seq)}, urgency);
    if (!given || given->seq != seq) ::_exit(5);
    if (lane == Lane::alarm) journal_->put_state("alarm/last", std::to_string(seq), Urgency::now);
    if (lane == Lane::alarm && !journal_->append_media(clock_.mono(), fmt::format("picture {}", seq))) ::_exit(6);
  }

  void tell() {
    for (const auto lane : kWritten) {
      const Report report{static_cast<std::uint32_t>(lane), static_cast<std::uint32_t>(round_),
                          journal_->committed(lane)};
      if (::write(pipe_, &report, sizeof report) != sizeof report) ::_exit(7);
      journal_->set_position("county", lane, {.prefix = journal_->committed(lane), .beyond = {}});
    }
    if (std::exchange(starved_, false)) boost::asio::post(io_, [this] { turn(); });
  }

  int round_;
  int pipe_;
  std::minstd_rand random_;
  boost::asio::io_context io_;
  SystemClock clock_{true};
  std::unique_ptr<Journal> journal_;
  bool starved_ = false;
};

/// What the parent knows: the content of every number that was ever visible.
class Model {
 public:
  void told(const Report& report) { committed_.at(report.lane) = report.seq; }

  void compare(const std::filesystem::path& folder, int round) {
    const auto reader = Reader::open(folder);
    REQUIRE_MESSAGE(reader, reader.error().message);
    for (const auto lane : kWritten) compare(**reader, lane, round);
    const auto stat = (*reader)->stat();
    REQUIRE(stat);
    if (epoch_.empty()) epoch_ = stat->epoch;
    REQUIRE(stat->epoch == epoch_);
    // The state of the transaction that holds the last alarm.
    const auto state = (*reader)->state("alarm/");
    REQUIRE(state);
    if (!visible_[Lane::alarm].empty()) {
      REQUIRE(state->size() == 1);
      REQUIRE(state->front().second == std::to_string(visible_[Lane::alarm].size()));
    }
    compare_pictures(**reader, folder, round);
  }

  [[nodiscard]] std::size_t records() const {
    std::size_t count = 0;
    for (const auto& [lane, bodies] : visible_) count += bodies.size();
    return count;
  }

 private:
  void compare(Reader& reader, Lane lane, int round) {
    CAPTURE(contract::to_string(lane));
    auto& visible = visible_[lane];
    // What was there is there in most rounds as far as its end goes, and wholly in some.
    std::uint64_t seq = round % kWholeEvery == 0 || visible.size() < 50 ? 0 : visible.size() - 50;
    for (;;) {
      const auto records = reader.records(lane, 0, seq + 1, 10'000, 8U << 20);
      REQUIRE_MESSAGE(records, records.error().message);
      REQUIRE_FALSE(records->damaged);
      if (records->records.empty()) break;
      for (const auto& record : records->records) {
        if (record.seq != ++seq) FAIL("number " << record.seq << " stands where " << seq << " belongs");
        if (seq > visible.size()) visible.push_back(body_of(round, lane, seq));
        if (record.body.bytes != visible[seq - 1]) FAIL("number " << seq << " was given twice: " << record.body.bytes);
      }
    }
    REQUIRE(seq == visible.size());                                 // nothing lost that was visible
    REQUIRE(seq >= committed_.at(static_cast<std::size_t>(lane)));  // nor that was told
  }

  void compare_pictures(Reader& reader, const std::filesystem::path& folder, int round) {
    const auto expected = visible_[Lane::alarm].size();
    const auto from = round % kWholeEvery == 0 || expected <= 50 ? 1 : expected - 50;
    const auto pictures = reader.records(Lane::media, 0, from, 100'000, 64U << 20);
    REQUIRE(pictures);
    REQUIRE(pictures->records.size() == (expected == 0 ? 0 : expected - from + 1));
    for (const auto& picture : pictures->records) {
      const auto path = folder / "media" / picture.body.bytes;
      REQUIRE(std::filesystem::file_size(path) == fmt::format("picture {}", picture.seq).size());
    }
  }

  std::string epoch_;
  std::array<std::uint64_t, contract::kLaneCount> committed_{};
  std::map<Lane, std::vector<std::string>> visible_;
};

// Lets the child work until it has told of `reports` things, kills it, and takes in what it had told.
void run_and_kill(const std::filesystem::path& folder, int round, std::size_t reports, Model& model) {
  std::array<int, 2> pipe{};
  REQUIRE(::pipe(pipe.data()) == 0);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    ::close(pipe[0]);
    Load{folder, round, pipe[1]}.run();
  }
  ::close(pipe[1]);
  Report report{};
  std::size_t count = 0;
  while (::read(pipe[0], &report, sizeof report) == sizeof report) {
    REQUIRE(report.round == static_cast<std::uint32_t>(round));
    model.told(report);
    if (++count == reports) ::kill(child, SIGKILL);
  }
  ::close(pipe[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  REQUIRE(WIFSIGNALED(status));
  REQUIRE(WTERMSIG(status) == SIGKILL);
}

}  // namespace

TEST_CASE("kill -9 at any moment loses nothing committed and gives no number twice") {
  // In memory: what a process wrote outlives it there as on a disk, and the kills come closer together.
  const support::TempDir temporary{support::TempDir::On::memory};
  const auto& folder = temporary.path();
  std::mt19937 random{20'260'501};
  Model model;
  for (int round = 1; round <= kRounds; ++round) {
    CAPTURE(round);
    run_and_kill(folder, round, 1 + random() % 20, model);
    model.compare(folder, round);
  }
  MESSAGE(model.records() << " records over " << kRounds << " kills");
  CHECK(model.records() > 1'000);
}
