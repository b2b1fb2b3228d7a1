// A thousand damaged files: the journal opens, hands out nothing that is not what was given, salvages, says of each number that
// it is lost (or that the epoch ended before it), gives no number twice, and goes on. More, or one again:
//
//   HAMLET_DAMAGE_CASES=N     so many cases
//   HAMLET_DAMAGE_CASE=N      the Nth alone, with its story

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
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

using LaneNumbers = std::array<std::uint64_t, kLaneCount>;

constexpr int kCases = 1'000;
constexpr std::array<std::uint64_t, kLaneCount> kAtRest{40, 150, 400, 20};  // checkpointed
constexpr std::array<std::uint64_t, kLaneCount> kInLog{60, 200, 500, 30};   // and on in the WAL, this lane last
constexpr std::uint64_t kInTurn = 10;

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
      if (seq % kInTurn == 0 && !desk.sync()) ::_exit(3);
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
  return made.says;
}

// Without the zeros that the log is allocated with.
std::uint64_t used_size(const fs::path& file) {
  std::ifstream in{file, std::ios::binary};
  const std::string bytes{std::istreambuf_iterator<char>{in}, {}};
  return bytes.find_last_not_of('\0') + 1;
}

std::string damage(const fs::path& folder, std::mt19937_64& random) {
  const auto dice = [&random](std::uint64_t below) { return random() % below; };
  const auto* name = dice(2) == 0 ? "journal.db" : "journal.db-wal";
  const auto file = folder / name;
  const auto size = used_size(file);
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
      settle(desk);
      compare();
      go_on(desk);
    }
    Desk again{folder_};
    if (!again.ok()) return findings_ + " closed-later " + again.error().message;
    settle(again);
    for (const auto& [given, bytes] : appended_) {
      const auto records = again.read(given.lane, given.seq, generation_of(again, given.epoch));
      if (!records || records->empty() || records->front().seq != given.seq ||
          (given.lane != Lane::media && records->front().body.bytes != bytes))
        find("forgot");
    }
    return findings_;
  }

 private:
  void find(const std::string& word) {
    if ((" " + findings_ + " ").find(" " + word + " ") == std::string::npos) findings_ += (findings_.empty() ? "" : " ") + word;
  }

  static std::uint32_t generation_of(Desk& desk, const std::string& epoch) {
    for (const auto& each : desk->epochs())
      if (each.id == epoch) return each.generation;
    return kCurrent - 1;  // has no records
  }

  // Tends until all was checked and salvage has ended; whatever was found meanwhile is read again.
  void settle(Desk& desk) {
    constexpr int kRounds = 12;
    for (int pass = 0; pass < 8; ++pass) {
      for (int i = 0; i < kRounds; ++i)
        if (!desk.tend()) find("stuck");
      // Earlier epochs are shown when salvage has ended.
      if (!desk.run_until([&] { return last_of(desk, epoch_).has_value(); })) find("stuck");
      if (read_all(desk)) return;
    }
    find("failed-read");
  }

  static std::optional<LaneNumbers> last_of(Desk& desk, const std::string& epoch) {
    for (const auto& each : desk->epochs())
      if (each.id == epoch) return each.last;
    return {};
  }

  // False where something cannot be read, yet: also where reading made the journal say something, or replace itself.
  bool read_all(Desk& desk) {
    const auto before = std::pair{desk->epoch(), desk->committed(Lane::event)};
    there_ = {};
    states_.reset();
    said_last_ = last_of(desk, epoch_).value_or(LaneNumbers{});
    told_ = told_ || !desk->set_aside().empty();
    if (!desk->set_aside().empty()) find("aside");
    for (const auto& epoch : std::vector{desk->epochs()}) {  // reading may find what changes them
      for (const auto lane : contract::kLanes)
        if (!read_lane(desk, epoch, lane)) return false;
    }
    auto states = desk->load_state("detect/");
    if (!states) return false;
    states_ = std::move(*states);
    return desk.sync() && before == std::pair{desk->epoch(), desk->committed(Lane::event)};
  }

  bool read_lane(Desk& desk, const Epoch& epoch, Lane lane) {
    for (std::uint64_t from = 1;;) {
      const auto records = desk.read(lane, from, epoch.generation);
      if (!records) {
        find(records.error().code == Errc::corrupt ? "corrupt-read" : "unavailable");
        return false;
      }
      if (records->empty()) return true;
      for (const auto& record : *records) {
        if (record.seq < from) find("WRONG");
        from = record.seq + 1;
        note(epoch, record);
      }
    }
  }

  void note(const Epoch& epoch, const Record& record) {
    if (record.body.topic == "event/gateway/journal") return found_journal_event(record);
    if (record.body.topic == "event/gateway/gap") return found_gap(record);
    if (epoch.id != epoch_) return;
    const auto i = index(record.lane);
    const auto expected =
        record.lane == Lane::media ? contract::media_name(epoch_, record.seq) + ".jpg" : body_of(record.lane, record.seq);
    if (record.seq > kInLog.at(i) ? !appended(record) : record.body.bytes != expected) find("WRONG");
    there_.at(i).insert(record.seq);
  }

  [[nodiscard]] bool appended(const Record& record) const {
    return std::any_of(appended_.begin(), appended_.end(), [&](const auto& each) {
      return each.first.lane == record.lane && each.first.seq == record.seq &&
             (record.lane == Lane::media || each.second == record.body.bytes);
    });
  }

  void found_journal_event(const Record& record) {
    told_ = true;
    if (record.body.bytes.find("salvaged") != std::string::npos) find("salvaged");
  }

  void found_gap(const Record& record) {
    const auto json = nlohmann::json::parse(record.body.bytes, nullptr, false);
    const auto& detail = json.is_object() && json.contains("detail") ? json["detail"] : json;
    if (!detail.is_object() || !detail.contains("lane")) return find("gap-unreadable");
    for (const auto lane : contract::kLanes) {
      if (detail["epoch"] != epoch_ || detail["lane"] != std::string{contract::to_string(lane)}) continue;
      for (auto seq = detail["from"].get<std::uint64_t>(); seq <= std::min(detail["to"].get<std::uint64_t>(), kInLog.at(index(lane))); ++seq)
        declared_.at(index(lane)).insert(seq);
    }
  }

  // What is not there must be declared, number by number; or the epoch has ended before it, and that is told.
  void compare() {
    for (const auto lane : contract::kLanes) {
      const auto i = index(lane);
      for (std::uint64_t seq = 1; seq <= kInLog.at(i); ++seq) {
        if (there_.at(i).contains(seq)) continue;
        find("lost");
        if (declared_.at(i).contains(seq)) {
          find("declared");
        } else if (told_ && seq > said_last_.at(i)) {
          find("ended-before");
        } else {
          find("silent-" + std::string{contract::to_string(lane)});
        }
      }
    }
    if (!states_) return;
    for (const auto& [key, value] : *states_)
      if ("detect/" + value.substr(std::min<std::size_t>(6, value.size())) != key) find("WRONG-STATE");
    if (states_->size() < 40) find(told_ ? "state-lost" : "state-silent");
  }

  void go_on(Desk& desk) {
    for (const auto lane : contract::kLanes) {
      const auto bytes = fmt::format(R"({{"after":"{}"}})", contract::to_string(lane));
      const auto given = desk.append(lane, bytes);
      if (!given) {
        find("refuses");
        continue;
      }
      const auto i = index(lane);
      if (given->epoch == epoch_ && given->seq <= kInLog.at(i)) find("NUMBER-AGAIN");
      appended_.emplace_back(*given, bytes);
    }
    desk->put_state("detect/after", "value after", Urgency::now);
    if (!desk.sync()) {
      find("stuck");
      appended_.clear();
    }
  }

  const fs::path folder_;
  const std::string epoch_;
  bool told_ = false;
  LaneNumbers said_last_{};
  std::array<std::set<std::uint64_t>, kLaneCount> there_{};
  std::array<std::set<std::uint64_t>, kLaneCount> declared_{};
  std::optional<std::vector<std::pair<std::string, std::string>>> states_;
  std::string findings_;
  std::vector<std::pair<Identity, std::string>> appended_;
};

}  // namespace

TEST_CASE("a thousand damaged journals open, hand out nothing wrong, and go on") {
  if (std::getenv("HAMLET_DAMAGE_CASE") == nullptr) log::set_level(log::Level{0});
  TempDir base{TempDir::On::memory};
  const auto epoch = make_journal(base.path());
  const auto* one = std::getenv("HAMLET_DAMAGE_CASE");
  const auto* many = std::getenv("HAMLET_DAMAGE_CASES");
  const int first = one == nullptr ? 1 : std::atoi(one);
  const int last = one != nullptr ? first : many != nullptr ? std::atoi(many) : kCases;

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
    for (const auto* never : {"WRONG", "NUMBER-AGAIN", "failed-read", "closed", "refuses", "stuck", "forgot", "silent"})
      CHECK_MESSAGE(words.find(never) == std::string::npos, story);
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
