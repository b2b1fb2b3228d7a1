// A thousand damaged files: the journal opens, hands out nothing that is not what was given, says what it lost, gives
// no number twice, and goes on.

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "firmware/core/log.hpp"
#include "tests/integration/journal/child.hpp"
#include "tests/support/power_cut_vfs.hpp"
#include "tests/support/process.hpp"

using namespace hamlet;
using namespace hamlet::journal;
using hamlet::journal::test::Desk;
using hamlet::journal::test::in_child;
using hamlet::support::TempDir;

namespace {

namespace fs = std::filesystem;

/// Whether the journal mends itself while it runs, salvages, and has marks that tell of a lost end. Until then these
/// findings are only counted.
constexpr bool kHeals = false;

constexpr int kCases = 1'000;
constexpr std::array<std::uint64_t, kLaneCount> kAtRest{40, 150, 400, 20};  // checkpointed
constexpr std::array<std::uint64_t, kLaneCount> kInLog{60, 200, 500, 30};   // and on in the WAL

std::string body_of(Lane lane, std::uint64_t seq) {
  if (lane == Lane::media) return fmt::format("jpeg {}", seq);
  return fmt::format(R"({{"lane":"{}","seq":{},"fill":"{}"}})", contract::to_string(lane), seq,
                     std::string(seq % 300, 'x'));
}

void fill(Desk& desk, const std::array<std::uint64_t, kLaneCount>& up_to) {
  for (const auto lane : contract::kLanes) {
    for (auto seq = desk->committed(lane) + 1; seq <= up_to.at(index(lane)); ++seq) {
      if (!desk.append(lane, body_of(lane, seq))) ::_exit(2);
      desk->put_state(fmt::format("detect/{}", seq % 40), fmt::format("value {}", seq % 40), Urgency::now);
      if (seq % 10 == 0 && !desk.sync()) ::_exit(3);
    }
    if (!desk.sync()) ::_exit(4);
  }
}

// A journal as kill -9 leaves it: much of it in the file, the rest in the WAL. Its epoch.
std::string make_journal(const fs::path& folder) {
  const auto made = in_child([&] {
    {
      Desk desk{folder};
      fill(desk, kAtRest);
    }
    static Desk desk{folder};  // never closed
    fill(desk, kInLog);
    return desk->epoch();
  });
  REQUIRE(made.signal == 0);
  REQUIRE(made.says.size() == 16);
  REQUIRE(fs::file_size(folder / "journal.db-wal") > 100'000);
  fs::remove(folder / "journal.db-shm");
  return made.says;
}

std::string damage(const fs::path& folder, std::mt19937_64& random) {
  const auto dice = [&random](std::uint64_t below) { return random() % below; };
  const auto* name = dice(2) == 0 ? "journal.db" : "journal.db-wal";
  const auto file = folder / name;
  const auto size = fs::file_size(file);
  // A tenth of the places is where it hurts most.
  const auto place = dice(10) == 0 ? dice(std::min<std::uint64_t>(size, 4'096)) : dice(size);
  switch (dice(5)) {
    case 0: {
      fs::resize_file(file, place);
      return fmt::format("{} cut off at {}", name, place);
    }
    case 1: {
      std::fstream out{file, std::ios::binary | std::ios::in | std::ios::out};
      out.seekp(static_cast<std::streamoff>(place / 512 * 512));
      std::string noise(std::min<std::uint64_t>(512, size - place / 512 * 512), '\0');
      const bool zeros = dice(2) == 0;
      for (auto& byte : noise) byte = zeros ? '\0' : static_cast<char>(random());
      out.write(noise.data(), static_cast<std::streamsize>(noise.size()));
      return fmt::format("{}: {} in the sector at {}", name, zeros ? "zeros" : "garbage", place / 512 * 512);
    }
    default: {
      support::flip_bit(file, place, static_cast<unsigned>(dice(8)));
      return fmt::format("{}: a bit turned over at {}", name, place);
    }
  }
}

/// What came out of one case; each finding is a word.
class Examination {
 public:
  Examination(const fs::path& folder, std::string epoch) : folder_{folder}, epoch_{std::move(epoch)} {}

  std::string run() {
    {
      Desk desk{folder_};
      if (!desk.ok()) return "closed " + desk.error().message;
      told_ = !desk->set_aside().empty();
      if (told_) find("aside");
      read_all(desk);
      go_on(desk);
    }
    if (lost_ > 0 && !told_) find("silent");
    Desk again{folder_};
    if (!again.ok()) return findings_ + " closed-later " + again.error().message;
    for (const auto& [lane, bytes] : appended_) {
      const auto records = again.read(lane, again->committed(lane));
      if (!records || records->empty() || (lane != Lane::media && records->back().body.bytes != bytes)) find("forgot");
    }
    return findings_;
  }

 private:
  void find(const std::string& word) {
    if (findings_.find(word) == std::string::npos) findings_ += (findings_.empty() ? "" : " ") + word;
  }

  void read_all(Desk& desk) {
    const bool same_epoch = desk->epoch() == epoch_;
    for (const auto lane : contract::kLanes) {
      const auto last = same_epoch ? kInLog.at(index(lane)) : 0;
      std::set<std::uint64_t> there;
      for (std::uint64_t from = 1; from <= std::max(last, desk->committed(lane));) {
        const auto records = desk.read(lane, from);
        if (!records) {
          told_ = true;
          find(records.error().code == Errc::corrupt ? "corrupt-read" : "failed-read");
          ++from;
          if (records.error().code != Errc::corrupt) break;
          continue;
        }
        if (records->empty()) break;
        for (const auto& record : *records) {
          const auto expected =
              lane == Lane::media ? contract::media_name(epoch_, record.seq) + ".jpg" : body_of(lane, record.seq);
          if (same_epoch && record.seq <= last && record.body.bytes != expected) find("WRONG");
          if (same_epoch && record.seq > last) find("WRONG");
          if (record.seq < from) find("WRONG");
          from = record.seq + 1;
          there.insert(record.seq);
        }
      }
      lost_ += last - std::min<std::uint64_t>(last, there.size());
    }
    const auto states = desk->load_state("detect/");
    if (!states) {
      told_ = true;
      find("failed-state");
    } else if (same_epoch) {
      for (const auto& [key, value] : *states)
        if ("detect/" + value.substr(std::min<std::size_t>(6, value.size())) != key) find("WRONG-STATE");
      if (states->size() < 40) ++lost_;
    }
    if (lost_ > 0) find("lost");
  }

  void go_on(Desk& desk) {
    for (const auto lane : contract::kLanes) {
      const auto bytes = fmt::format(R"({{"after":"{}"}})", contract::to_string(lane));
      const auto given = desk.append(lane, bytes);
      if (!given) {
        find("refuses");
        continue;
      }
      if (given->epoch == epoch_ && given->seq <= kInLog.at(index(lane))) find("NUMBER-AGAIN");
      appended_.emplace_back(lane, bytes);
    }
    desk->put_state("detect/after", "value", Urgency::now);
    if (!desk.sync()) {
      find("stuck");
      appended_.clear();
    }
  }

  const fs::path folder_;
  const std::string epoch_;
  bool told_ = false;
  std::uint64_t lost_ = 0;
  std::string findings_;
  std::vector<std::pair<Lane, std::string>> appended_;
};

}  // namespace

TEST_CASE("a thousand damaged journals open, hand out nothing wrong, and go on") {
  log::set_level(log::Level{0});
  TempDir base{TempDir::On::memory};
  const auto epoch = make_journal(base.path());
  const auto* one = std::getenv("HAMLET_DAMAGE_CASE");
  const int first = one == nullptr ? 1 : std::atoi(one);
  const int last = one == nullptr ? kCases : first;

  std::map<std::string, std::pair<int, std::string>> found;
  for (int number = first; number <= last; ++number) {
    std::mt19937_64 random{static_cast<std::uint64_t>(number)};
    TempDir folder{TempDir::On::memory};
    fs::copy(base.path(), folder.path(), fs::copy_options::recursive);
    const auto what = damage(folder.path(), random);
    const auto ending = in_child([&] { return Examination{folder.path(), epoch}.run(); });
    const auto story = fmt::format("HAMLET_DAMAGE_CASE={} ({}): {}", number, what, ending.says);
    if (one != nullptr) MESSAGE(story);
    auto words = ending.signal != 0 ? fmt::format("signal-{}", ending.signal) : ending.says;
    CHECK_MESSAGE(ending.signal == 0, story);
    CHECK_MESSAGE(words.find("WRONG") == std::string::npos, story);
    if (kHeals) {
      for (const auto* never : {"closed", "silent", "NUMBER-AGAIN", "refuses", "stuck", "forgot", "failed"})
        CHECK_MESSAGE(words.find(never) == std::string::npos, story);
    }
    if (words.empty()) words = "unharmed";
    while (!words.empty()) {
      const auto end = words.starts_with("closed") ? words.size() : std::min(words.find(' '), words.size());
      auto& [count, example] = found[words.starts_with("closed") ? "closed" : words.substr(0, end)];
      if (count++ == 0) example = story;
      words.erase(0, end + 1);
    }
  }
  for (const auto& [word, cases] : found) MESSAGE(word << ": " << cases.first << ", first " << cases.second);
}
