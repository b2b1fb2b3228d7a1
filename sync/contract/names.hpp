#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

namespace hamlet::contract {

/// Short numbers for the names that readings repeat: points, and the reasons of their quality. Numbers count from 1, are
/// never given to another name, and are stored with the journal: without its names a packed reading says nothing.
/// One thread at a time. Moved freely, copied only where one says so.
class Names {
 public:
  Names() = default;
  Names(Names&&) = default;
  Names& operator=(Names&&) = default;
  Names(const Names&) = delete;
  Names& operator=(const Names&) = delete;
  [[nodiscard]] Names clone() const {
    Names out;
    for (Id id = 1; id <= last(); ++id) out.restore(id, names_[id - 1]);
    return out;
  }

  using Id = std::uint32_t;
  static constexpr Id kInline = 0;                ///< no number: the name itself is written
  static constexpr std::size_t kMax = 16'384;     ///< names; more are written out
  static constexpr std::size_t kMaxBytes = 128;   ///< of one name; longer ones are written out

  /// The name's number, a new one where it has none; kInline where it gets none.
  [[nodiscard]] Id intern(std::string_view name) {
    if (const auto found = ids_.find(name); found != ids_.end()) return found->second;
    if (names_.size() >= kMax || name.size() > kMaxBytes || name.empty()) return kInline;
    names_.emplace_back(name);
    const auto id = static_cast<Id>(names_.size());
    ids_.emplace(names_.back(), id);
    return id;
  }
  /// Nothing where there is no such number, or its name was lost.
  [[nodiscard]] std::optional<std::string_view> at(Id id) const {
    if (id == 0 || id > names_.size() || names_[id - 1].empty()) return {};
    return names_[id - 1];
  }
  [[nodiscard]] Id last() const { return static_cast<Id>(names_.size()); }

  /// Takes up a stored name; numbers come in rising order, and one that was lost stays without a name.
  void restore(Id id, std::string name) {
    if (id <= names_.size() || id > kMax) return;
    names_.resize(id - 1);
    names_.push_back(std::move(name));
    if (!names_.back().empty()) ids_.emplace(names_.back(), id);
  }

 private:
  std::deque<std::string> names_;                           // by number - 1; a deque: ids_ refers to them
  std::unordered_map<std::string_view, Id> ids_;
};

}  // namespace hamlet::contract
