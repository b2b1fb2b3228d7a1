#pragma once

#include <cstdint>
#include <string>

namespace hamlet::support {

/// Lives and deaths of one journal on a PowerCutVfs: a random workload, a cut at a random operation, power on,
/// reopened, compared with a JournalModel, and again, in one folder. Everything is drawn from the seed, and the writing
/// thread works only while the io thread waits for it or is held at its first operation, so a seed does the same each
/// time.
///
/// Some journals begin as a file of version 1, so that migrations are cut too; in some, records are so large that
/// checkpoints come, and the cut is aimed at them; in some the quota is small or records go by age; now and then the disk
/// is put into another machine, or the county says that it knows more and records get other numbers. Outside the VFS, what the process did behind the cut is undone: the
/// side file journal.mark has its content of the moment of the cut, later pictures are gone.
struct PowerCutSettings {
  std::uint64_t seed = 1;
  int cuts = 25;             ///< then the run ends
  bool lying_syncs = false;  ///< a disk on which no journal can keep its promises
  std::string schema_v1;     ///< SQL that makes a journal of version 1; empty: none is made
};

struct PowerCutReport {
  int cuts = 0;
  int cuts_while_opening = 0;
  int clean_stops = 0;
  int comparisons = 0;
  int migrations_cut = 0;  ///< while a file of version 1 was opened for the first times
  std::uint64_t turns = 0;
  std::uint64_t turns_lost = 0;  ///< given, not reported, and not there afterwards: as it should be
  std::uint64_t records = 0;
  std::uint64_t gaps = 0;    ///< declared by the journal
  std::uint64_t epochs = 0;
  std::uint64_t renumbered = 0;  ///< times that the county knew more, and the power stayed
  std::string violation;  ///< of a promise; empty: none

  PowerCutReport& operator+=(const PowerCutReport& other);
};

[[nodiscard]] PowerCutReport run_power_cuts(const PowerCutSettings& settings);

}  // namespace hamlet::support
