#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "firmware/core/reading.hpp"
#include "firmware/core/result.hpp"
#include "firmware/core/text.hpp"
#include "firmware/core/time.hpp"

namespace hamlet::config {

class Table;

/// One thing wrong in a config file.
struct Diagnostic {
  std::string file;
  std::uint32_t line = 0;    ///< from 1; 0 where the file as a whole is meant
  std::uint32_t column = 0;  ///< from 1, in characters
  Text message;              ///< what is wrong and what is expected

  /// "hamlet.toml:12:8: …"
  [[nodiscard]] std::string to_string(Lang lang = Lang::en) const;
  friend bool operator==(const Diagnostic&, const Diagnostic&) = default;
};

/// A config as written: one TOML file and, sorted by name, the conf.d/*.toml beside it. Tables are merged key by key, a later
/// file wins; arrays of tables ([[device]]) are joined.
///
/// Reading collects errors instead of stopping at the first: each room reads its own table with typed accessors, then
/// finish() adds the keys that nobody asked for. A config with any diagnostic must not be used.
/// Bounds: 1 MiB a file, 64 files, 32 parts a key. Hidden files in conf.d are left out. One thread.
class Document {
 public:
  /// Reads `file` and its conf.d. Problems, unreadable files too, are in diagnostics().
  /// `over`: one file more, read last, in which a [[list]] takes the place of what was there.
  [[nodiscard]] static Document load(const std::filesystem::path& file, const std::filesystem::path& over = {});
  /// Reads text; `name` is what diagnostics call it.
  [[nodiscard]] static Document parse(std::string_view text, std::string name);

  Document(Document&&) noexcept;
  Document& operator=(Document&&) noexcept;
  ~Document();

  [[nodiscard]] Table root() const;

  /// Reports every key in every table read so far that no accessor has asked for, with the nearest known key. Call it last.
  void finish();

  /// Every key that is written, in tables within tables too, as a path: {"uplink", "broker"}.
  [[nodiscard]] std::vector<std::vector<std::string>> every_key() const;

  [[nodiscard]] bool ok() const;
  [[nodiscard]] std::span<const Diagnostic> diagnostics() const;

 private:
  friend class Table;
  struct State;
  explicit Document(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;  // its address is stable: tables point to it
};

template <class T>
struct Range {
  T min = std::numeric_limits<T>::lowest();
  T max = std::numeric_limits<T>::max();
};

/// A secret: where it came from is known to nobody, and it does not print.
class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string value) : value_{std::move(value)} {}
  [[nodiscard]] const std::string& reveal() const { return value_; }
  [[nodiscard]] bool empty() const { return value_.empty(); }

 private:
  std::string value_;
};

/// One table of a Document, which must outlive it. A cheap handle.
///
/// Accessors never fail: a missing or wrong value is noted in the Document and a harmless default comes back. `x(key)` is
/// required, `x_or(key, fallback)` optional. A table that is absent reads as empty.
class Table {
 public:
  /// Whether the key is there. Counts as asking for it.
  [[nodiscard]] bool has(std::string_view key) const;
  /// Whether the table itself was written.
  [[nodiscard]] bool exists() const { return node_ != nullptr; }
  /// The table of the whole document, for what several tables refer to by name.
  [[nodiscard]] Table root() const;
  /// "device[2].point[1]", for messages.
  [[nodiscard]] const std::string& path() const { return path_; }

  [[nodiscard]] std::string text(std::string_view key) const;
  [[nodiscard]] std::string text_or(std::string_view key, std::string fallback) const;
  /// [a-z0-9-]{1,32}
  [[nodiscard]] std::string id(std::string_view key) const;
  /// "device.point"
  [[nodiscard]] std::string point(std::string_view key) const;
  /// { zh = "…", en = "…" }: both, or an error.
  [[nodiscard]] Text both(std::string_view key) const;
  [[nodiscard]] Text both_or(std::string_view key, Text fallback) const;

  [[nodiscard]] bool flag_or(std::string_view key, bool fallback) const;
  /// true, false, a finite number or a text: what a point may be compared with.
  [[nodiscard]] std::optional<Value> value_if(std::string_view key) const;
  [[nodiscard]] std::int64_t integer(std::string_view key, Range<std::int64_t> range = {}) const;
  [[nodiscard]] std::int64_t integer_or(std::string_view key, std::int64_t fallback, Range<std::int64_t> range = {}) const;
  /// A finite number; integers count.
  [[nodiscard]] double number(std::string_view key, Range<double> range = {}) const;
  [[nodiscard]] double number_or(std::string_view key, double fallback, Range<double> range = {}) const;
  [[nodiscard]] std::optional<double> number_if(std::string_view key, Range<double> range = {}) const;
  /// "5s", "10min": see parse_duration().
  [[nodiscard]] Millis duration(std::string_view key, Range<Millis> range = {Millis{0}, Millis::max()}) const;
  [[nodiscard]] Millis duration_or(std::string_view key, Millis fallback,
                                   Range<Millis> range = {Millis{0}, Millis::max()}) const;
  [[nodiscard]] std::optional<Millis> duration_if(std::string_view key,
                                                  Range<Millis> range = {Millis{0}, Millis::max()}) const;

  /// One of a few words; the error lists them and suggests the nearest. Returns the index in `words`.
  [[nodiscard]] std::size_t choice(std::string_view key, std::span<const std::string_view> words) const;
  [[nodiscard]] std::size_t choice_or(std::string_view key, std::size_t fallback,
                                      std::span<const std::string_view> words) const;

  /// [1, 2.5, 3]: every element a finite number. Absent: empty.
  [[nodiscard]] std::vector<double> numbers_or(std::string_view key) const;
  /// ["a", "b"]. Absent: empty.
  [[nodiscard]] std::vector<std::string> texts_or(std::string_view key) const;
  /// [[x, y], [x, y], …], as polygons are written. Absent: empty.
  [[nodiscard]] std::vector<std::pair<double, double>> pairs_or(std::string_view key) const;

  /// A secret, never written into the config itself: `{ credential = "name" }` (systemd, see systemd.exec(5)
  /// LoadCredential=) or `{ file = "/path" }`, a file that only its owner may read. A trailing newline is cut off. 64 KiB at
  /// most. Absent: empty.
  [[nodiscard]] Secret secret_or(std::string_view key) const;

  /// [key]; absent reads as empty.
  [[nodiscard]] Table table(std::string_view key) const;
  /// [[key]]; absent: none.
  [[nodiscard]] std::vector<Table> tables(std::string_view key) const;
  /// Every sub-table of this one with its key ([points."river.level"]); other kinds of value are errors.
  [[nodiscard]] std::vector<std::pair<std::string, Table>> each() const;
  /// The keys as written, without counting as asked.
  [[nodiscard]] std::vector<std::string> keys() const;

  /// Notes a room's own finding at `key` (or at the table itself where the key is empty or absent).
  /// The sentence stands in the room's texts.hpp, in both languages.
  void error(std::string_view key, Text message) const;
  /// The same at a character (from 0) of the text at `key`, where that is written on one line and without escapes.
  void error_at(std::string_view key, std::size_t character, Text message) const;

 private:
  friend class Document;
  [[nodiscard]] std::optional<std::string> text_if(std::string_view key) const;
  [[nodiscard]] std::optional<Text> both_if(std::string_view key) const;
  [[nodiscard]] std::optional<std::int64_t> integer_if(std::string_view key, Range<std::int64_t> range) const;
  [[nodiscard]] std::optional<std::size_t> choice_if(std::string_view key,
                                                     std::span<const std::string_view> words) const;
  template <class T, class Convert>
  [[nodiscard]] std::optional<T> get(std::string_view key, Convert convert) const;
  template <class T>
  [[nodiscard]] T need(std::string_view key, std::optional<T> value, T harmless) const;

  friend struct Document::State;
  Table(Document::State* state, const void* node, std::string path)
      : state_{state}, node_{node}, path_{std::move(path)} {}

  Document::State* state_;
  const void* node_;  // toml::table, which stays out of this header; null: absent
  std::string path_;
};

/// The one of `candidates` that is nearest to `word`, where it is near enough to be what was meant.
[[nodiscard]] std::optional<std::string> nearest(std::string_view word, std::span<const std::string> candidates);

}  // namespace hamlet::config
