#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "firmware/core/result.hpp"
#include "sync/journal/opening.hpp"
#include "sync/journal/store.hpp"

namespace hamlet::journal {

/// What one attempt to commit has brought.
struct Outcome {
  std::array<Key, kLaneCount> last{};  ///< newest that is committed now; 0: none of that lane was
  std::uint64_t records = 0;           ///< committed
  std::size_t bytes = 0;               ///< of what was committed
  std::uint64_t picture_bytes = 0;
  Status status;        ///< of the whole
  bool urgent = false;  ///< all but readings and pictures is durable
  int wal_pages = 0;
};

/// What becomes of records that were appended to a copy of a journal that has gone on elsewhere: those of one epoch behind
/// `kept` get the numbers from 1 on in another, and so do the pictures that they name. Pure.
class Renumbering {
 public:
  Renumbering(const EpochRow& from, const EpochRow& to, const Numbers& kept);
  [[nodiscard]] bool moves(const Record& record) const;
  /// To one that moves.
  void apply(Record& record) const;

 private:
  void rename_pictures(std::string& text) const;
  const std::uint32_t from_;
  const std::uint32_t to_;
  const Numbers kept_;
  const std::pair<std::string, std::string> names_;  // how those of pictures begin, before and after
  const std::string id_;
};

/// Brings batches to disk, in order: lives on the `journal-write` Worker. What fails stays first in line. On a full disk
/// readings and pictures stay behind while the rest is committed, at need from the reserve: a file whose room is given
/// back first.
class Writer {
 public:
  Writer(std::unique_ptr<Store> store, Options options);

  /// Everything that was added so far, or as much of it as can be.
  [[nodiscard]] Outcome write(Changes changes);
  [[nodiscard]] std::size_t unwritten_records() const { return unwritten_.records.size(); }

  [[nodiscard]] Status checkpoint();
  /// Sets the damaged file aside and goes on with a new one; what is unwritten goes there.
  [[nodiscard]] Result<Replaced> heal(const std::string& reason, WallTime now, const contract::Names& names);
  /// All of what is committed behind `kept`, in one transaction, and with it positions of the epoch that ends.
  [[nodiscard]] Status renumber(const EpochRow& from, const EpochRow& to, const Numbers& kept, const Positions& positions);
  /// One slice; see Salvage. `summary` when it is through; nothing of it where there was nothing to do.
  struct Salvaged {
    bool more = false;
    std::optional<nlohmann::json> summary{};
    std::vector<EpochRow> epochs{};  ///< with the newest numbers that were found
  };
  [[nodiscard]] Salvaged salvage();

 private:
  [[nodiscard]] Status commit(Changes& changes);
  void note_used(const std::vector<NewRecord>& patient);
  [[nodiscard]] bool take_reserve();
  void give_reserve();

  std::unique_ptr<Store> store_;  // null while heal() has not found another one
  const Options options_;
  const std::filesystem::path pictures_;
  Changes unwritten_;
  bool full_ = false;
  std::set<Lane> noted_;  // whose numbers are noted as used while their records wait
  std::unique_ptr<Salvage> salvage_;
  bool salvage_looked_ = false;
};

}  // namespace hamlet::journal
