#include "firmware/config/config.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <map>
#include <numeric>
#include <set>
#include <sstream>
#include <system_error>

#include <fmt/format.h>
#include <toml++/toml.h>

#include "firmware/config/texts.hpp"
#include "firmware/core/id.hpp"

namespace hamlet::config {
namespace fs = std::filesystem;

namespace {

constexpr std::size_t kMaxFileBytes = 1 << 20;
constexpr std::size_t kMaxFiles = 64;
constexpr std::size_t kMaxSecretBytes = 64 << 10;
constexpr int kMaxKeyParts = 32;

// A value, or what is wrong with it.
template <class T>
using Or = tl::expected<T, Text>;

tl::unexpected<Text> wrong(Text what) { return tl::unexpected<Text>(std::move(what)); }

Or<std::string> read_file(const fs::path& file, std::size_t max_bytes) {
  std::error_code error;
  const auto status = fs::status(file, error);
  if (error || !fs::exists(status)) return wrong(texts::no_file());
  if (fs::is_directory(status)) return wrong(texts::is_directory());
  if (!fs::is_regular_file(status)) return wrong(texts::not_a_file());  // to open a pipe would wait for its other end
  std::ifstream in{file, std::ios::binary};
  if (!in) return wrong(texts::cannot_open());
  std::string text(max_bytes + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(in.gcount()));
  if (text.size() > max_bytes) return wrong(texts::too_large(max_bytes));
  return text;
}

// Where a string that begins at `begin` ends: after its closing quotes, or at the end of the line or text where it has none.
std::size_t end_of_string(std::string_view text, std::size_t begin) {
  const char quote = text[begin];
  const bool multiline = text.substr(begin, 3) == std::string(3, quote);
  const auto closing = std::string(multiline ? 3 : 1, quote);
  for (auto i = begin + closing.size(); i < text.size(); ++i) {
    if (text[i] == '\\' && quote == '"') {
      ++i;
    } else if (text.substr(i, closing.size()) == closing) {
      i += closing.size();
      // Up to two quotes right before the closing three belong to the text.
      for (int more = 0; multiline && more < 2 && i < text.size() && text[i] == quote; ++more) ++i;
      return i;
    } else if (text[i] == '\n' && !multiline) {
      return i;
    }
  }
  return text.size();
}

// The line of the first key with more than kMaxKeyParts parts. The parser bounds the depth of values, not of dotted keys, and
// takes tables down by recursion: a key of 100,000 parts would overflow the stack.
std::optional<std::uint32_t> line_of_deep_key(std::string_view text) {
  std::uint32_t line = 1;
  int parts = 1;
  for (std::size_t i = 0; i < text.size();) {
    const char c = text[i];
    const auto begin = i++;
    if (c == '"' || c == '\'') {
      i = end_of_string(text, begin);
      line += static_cast<std::uint32_t>(std::count(text.begin() + static_cast<std::ptrdiff_t>(begin),
                                                    text.begin() + static_cast<std::ptrdiff_t>(i), '\n'));
    } else if (c == '#') {
      i = std::min(text.find('\n', begin), text.size());
    } else if (c == '.') {
      if (++parts > kMaxKeyParts) return line;
    } else if (std::string_view{"=,[]{}\n"}.find(c) != std::string_view::npos) {
      parts = 1;
      if (c == '\n') ++line;
    }
  }
  return {};
}

// The first line that is not UTF-8: what an editor saved in another encoding, which the parser tells only near the place.
std::optional<std::uint32_t> line_of_bad_utf8(std::string_view text) {
  for (std::uint32_t line = 1;; ++line) {
    const auto end = text.find('\n');
    if (!is_utf8(text.substr(0, end))) return line;
    if (end == std::string_view::npos) return {};
    text.remove_prefix(end + 1);
  }
}

Text kind_of(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::table: return texts::table();
    case toml::node_type::array: return texts::array();
    case toml::node_type::string: return texts::string();
    case toml::node_type::integer: return texts::integer();
    case toml::node_type::floating_point: return texts::number();
    case toml::node_type::boolean: return texts::boolean();
    case toml::node_type::date: return texts::date();
    case toml::node_type::time: return texts::time();
    case toml::node_type::date_time: return texts::date_time();
    case toml::node_type::none: return texts::nothing();
  }
  return texts::nothing();
}

enum class Lists { joined, replaced };

// Moves `from` into `into`: tables key by key, arrays of tables joined (or not), anything else replaced.
void merge(toml::table& into, toml::table&& from, Lists lists) {
  for (auto&& [name, node] : from) {
    const auto& key = name;  // clang 14 captures no structured binding
    auto* present = into.get(key);
    if (present != nullptr && present->is_table() && node.is_table()) {
      merge(*present->as_table(), std::move(*node.as_table()), lists);
    } else if (lists == Lists::joined && present != nullptr && present->is_array_of_tables() && node.is_array_of_tables()) {
      for (auto& element : *node.as_array()) present->as_array()->push_back(std::move(*element.as_table()));
    } else {
      node.visit([&](auto& value) { into.insert_or_assign(key, std::move(value)); });
    }
  }
}

void collect_keys(const toml::node& node, std::vector<std::string>& path, std::vector<std::vector<std::string>>& out) {
  if (const auto* array = node.as_array()) {
    for (const auto& each : *array) collect_keys(each, path, out);
  } else if (const auto* table = node.as_table()) {
    for (const auto& [key, value] : *table) {
      path.emplace_back(key.str());
      out.push_back(path);
      collect_keys(value, path, out);
      path.pop_back();
    }
  }
}

}  // namespace

struct Document::State {
  toml::table root;
  std::string name;  // of the main file
  std::vector<Diagnostic> diagnostics;
  struct Asked {
    std::string path;
    std::set<std::string, std::less<>> keys;
  };
  std::map<const toml::table*, Asked> asked;
  std::set<const toml::node*> failed;  // nodes with a diagnostic

  // The node at `key`, or null where it is absent; the key is known from now on.
  const toml::node* ask(const void* table, std::string_view key) {
    if (table == nullptr) return nullptr;
    const auto* node = static_cast<const toml::table*>(table);
    asked[node].keys.emplace(key);
    return node->get(key);
  }

  Table open(const toml::table* node, std::string path) {
    if (node != nullptr) asked[node].path = path;
    return Table{this, node, std::move(path)};
  }

  // Where a table begins; line 1 for the root and for what was not written.
  toml::source_region where(const void* table) const {
    if (table != nullptr) {
      if (auto region = static_cast<const toml::table*>(table)->source(); region.begin) return region;
    }
    return {{1, 1}, {1, 1}, std::make_shared<const std::string>(name)};
  }

  void note(const toml::source_region& where, Text message) {
    Diagnostic found{where.path ? *where.path : name, where.begin.line, where.begin.column, std::move(message)};
    if (std::find(diagnostics.begin(), diagnostics.end(), found) == diagnostics.end()) {  // a table may be read twice
      diagnostics.push_back(std::move(found));
    }
  }

  void read(std::string_view text, const std::string& file, Lists lists = Lists::joined) {
    if (const auto line = line_of_bad_utf8(text)) {
      diagnostics.push_back({file, *line, 1, texts::not_utf8()});
      return;
    }
    if (const auto line = line_of_deep_key(text)) {
      diagnostics.push_back({file, *line, 1, texts::deep_key(kMaxKeyParts)});
      return;
    }
    try {
      merge(root, toml::parse(text, file), lists);
    } catch (const toml::parse_error& error) {
      note(error.source(), texts::not_toml(error.description()));
    }
  }

  void read(const fs::path& file, Lists lists = Lists::joined) {
    auto text = read_file(file, kMaxFileBytes);
    if (text) {
      read(*text, file.string(), lists);
    } else {
      diagnostics.push_back({file.string(), 0, 0, std::move(text).error()});
    }
  }
};

std::string Diagnostic::to_string(Lang lang) const {
  const auto& words = message.in(lang);
  return line == 0 ? fmt::format("{}: {}", file, words) : fmt::format("{}:{}:{}: {}", file, line, column, words);
}

Document::Document(std::unique_ptr<State> state) : state_{std::move(state)} {}
Document::Document(Document&&) noexcept = default;
Document& Document::operator=(Document&&) noexcept = default;
Document::~Document() = default;

Document Document::load(const fs::path& file, const fs::path& over) {
  auto state = std::make_unique<State>();
  state->name = file.string();
  state->read(file);
  std::vector<fs::path> more;
  std::error_code error;
  for (fs::directory_iterator it{file.parent_path() / "conf.d", error}, end; !error && it != end; it.increment(error)) {
    const auto name = it->path().filename().string();
    // Editors keep locks and swap files beside a file that is open: ".#site.toml".
    if (it->path().extension() == ".toml" && !name.starts_with('.')) more.push_back(it->path());
  }
  std::sort(more.begin(), more.end());
  if (more.size() >= kMaxFiles) {
    state->diagnostics.push_back({state->name, 0, 0, texts::too_many_files(kMaxFiles - 1)});
    more.clear();
  }
  for (const auto& each : more) state->read(each);
  if (!over.empty()) state->read(over, Lists::replaced);
  return Document{std::move(state)};
}

Document Document::parse(std::string_view text, std::string name) {
  auto state = std::make_unique<State>();
  state->name = std::move(name);
  state->read(text, state->name);
  return Document{std::move(state)};
}

Table Document::root() const {
  state_->asked[&state_->root];
  return Table{state_.get(), &state_->root, ""};
}

std::vector<std::vector<std::string>> Document::every_key() const {
  std::vector<std::vector<std::string>> out;
  std::vector<std::string> path;
  collect_keys(state_->root, path, out);
  return out;
}

void Document::finish() {
  for (const auto& [table, asked] : state_->asked) {
    const std::vector<std::string> known(asked.keys.begin(), asked.keys.end());
    for (const auto& [key, node] : *table) {
      if (asked.keys.contains(key.str())) continue;
      auto message = texts::unknown_key(key.str(), asked.path);
      if (const auto near = nearest(key.str(), known)) {
        message = texts::perhaps(message, *near);
      } else {
        message = texts::known_here(message, fmt::format("{}", fmt::join(known, ", ")));
      }
      state_->note(key.source().begin ? key.source() : node.source(), std::move(message));
    }
  }
  std::stable_sort(state_->diagnostics.begin(), state_->diagnostics.end(), [](const auto& a, const auto& b) {
    return std::tie(a.file, a.line, a.column) < std::tie(b.file, b.line, b.column);
  });
}

bool Document::ok() const { return state_->diagnostics.empty(); }

std::span<const Diagnostic> Document::diagnostics() const { return state_->diagnostics; }

namespace {

std::string join_path(const std::string& path, std::string_view key) {
  return path.empty() ? std::string{key} : fmt::format("{}.{}", path, key);
}

template <class T>
Text range_words(const Range<T>& range) {
  const bool low = range.min != std::numeric_limits<T>::lowest();
  const bool high = range.max != std::numeric_limits<T>::max();
  if (low && high) return texts::from_to(range.min, range.max);
  if (low) return texts::at_least(range.min);
  return texts::at_most(range.max);
}

Text range_words(const Range<Millis>& range) {
  if (range.max == Millis::max()) return texts::at_least(to_string(range.min));
  return texts::from_to(to_string(range.min), to_string(range.max));
}

}  // namespace

bool Table::has(std::string_view key) const { return state_->ask(node_, key) != nullptr; }

// One accessor for all types: `convert` gives a value, or says in words what is expected instead.
template <class T, class Convert>
std::optional<T> Table::get(std::string_view key, Convert convert) const {
  const auto* node = state_->ask(node_, key);
  if (node == nullptr) return {};
  auto value = convert(*node);
  if (value) return std::move(*value);
  state_->note(node->source(), texts::at(join_path(path_, key), value.error()));
  state_->failed.insert(node);
  return {};
}

// A required value: absent is an error, wrong has been noted already.
template <class T>
T Table::need(std::string_view key, std::optional<T> value, T harmless) const {
  if (value) return std::move(*value);
  if (state_->ask(node_, key) == nullptr) {
    state_->note(state_->where(node_), texts::at(join_path(path_, key), texts::missing()));
  }
  return harmless;
}

std::optional<std::string> Table::text_if(std::string_view key) const {
  return get<std::string>(key, [](const toml::node& node) -> Or<std::string> {
    if (const auto* text = node.as_string()) return text->get();
    return wrong(texts::want_string(kind_of(node)));
  });
}

std::string Table::text(std::string_view key) const { return need<std::string>(key, text_if(key), {}); }

std::string Table::text_or(std::string_view key, std::string fallback) const {
  return text_if(key).value_or(std::move(fallback));
}

std::string Table::id(std::string_view key) const {
  auto value = get<std::string>(key, [](const toml::node& node) -> Or<std::string> {
    const auto* text = node.as_string();
    if (text != nullptr && is_id(text->get())) return text->get();
    return wrong(texts::want_id());
  });
  return need<std::string>(key, std::move(value), "unnamed");
}

std::string Table::point(std::string_view key) const {
  auto value = get<std::string>(key, [](const toml::node& node) -> Or<std::string> {
    const auto* text = node.as_string();
    if (text != nullptr && is_point_name(text->get())) return text->get();
    return wrong(texts::want_point());
  });
  return need<std::string>(key, std::move(value), "unnamed.unnamed");
}

Text Table::both(std::string_view key) const {
  auto value = both_if(key);
  return need<Text>(key, std::move(value), {});
}

Text Table::both_or(std::string_view key, Text fallback) const { return both_if(key).value_or(std::move(fallback)); }

std::optional<Text> Table::both_if(std::string_view key) const {
  return get<Text>(key, [](const toml::node& node) -> Or<Text> {
    const auto* table = node.as_table();
    const auto* zh = table != nullptr ? table->get_as<std::string>("zh") : nullptr;
    const auto* en = table != nullptr ? table->get_as<std::string>("en") : nullptr;
    if (zh != nullptr && en != nullptr && table->size() == 2) return Text{zh->get(), en->get()};
    return wrong(texts::want_both());
  });
}

bool Table::flag_or(std::string_view key, bool fallback) const {
  return get<bool>(key, [](const toml::node& node) -> Or<bool> {
           if (const auto* flag = node.as_boolean()) return flag->get();
           return wrong(texts::want_flag(kind_of(node)));
         }).value_or(fallback);
}

std::optional<Value> Table::value_if(std::string_view key) const {
  return get<Value>(key, [](const toml::node& node) -> Or<Value> {
    if (const auto* flag = node.as_boolean()) return Value{flag->get()};
    if (const auto* text = node.as_string()) return Value{text->get()};
    const auto number = node.value<double>();
    if (node.is_number() && number && std::isfinite(*number)) return Value{*number};
    return wrong(texts::want_value(kind_of(node)));
  });
}

std::optional<std::int64_t> Table::integer_if(std::string_view key, Range<std::int64_t> range) const {
  return get<std::int64_t>(key, [&](const toml::node& node) -> Or<std::int64_t> {
    const auto* number = node.as_integer();
    if (number == nullptr) return wrong(texts::want_integer(kind_of(node)));
    if (number->get() >= range.min && number->get() <= range.max) return number->get();
    return wrong(texts::out_of_range(number->get(), range_words(range)));
  });
}

std::int64_t Table::integer(std::string_view key, Range<std::int64_t> range) const {
  return need<std::int64_t>(key, integer_if(key, range), std::clamp<std::int64_t>(0, range.min, range.max));
}

std::int64_t Table::integer_or(std::string_view key, std::int64_t fallback, Range<std::int64_t> range) const {
  return integer_if(key, range).value_or(fallback);
}

std::optional<double> Table::number_if(std::string_view key, Range<double> range) const {
  return get<double>(key, [&](const toml::node& node) -> Or<double> {
    const auto number = node.value<double>();
    if (!node.is_number() || !number) return wrong(texts::want_number(kind_of(node)));
    if (!std::isfinite(*number)) return wrong(texts::want_finite());
    if (*number >= range.min && *number <= range.max) return *number;
    return wrong(texts::out_of_range(*number, range_words(range)));
  });
}

double Table::number(std::string_view key, Range<double> range) const {
  return need<double>(key, number_if(key, range), std::clamp(0.0, range.min, range.max));
}

double Table::number_or(std::string_view key, double fallback, Range<double> range) const {
  return number_if(key, range).value_or(fallback);
}

std::optional<Millis> Table::duration_if(std::string_view key, Range<Millis> range) const {
  return get<Millis>(key, [&](const toml::node& node) -> Or<Millis> {
    const auto* text = node.as_string();
    if (text == nullptr) {
      return wrong(texts::want_duration(kind_of(node)));
    }
    const auto parsed = parse_duration(text->get());
    if (!parsed) return wrong(texts::not_a_duration(text->get()));
    if (*parsed >= range.min && *parsed <= range.max) return *parsed;
    return wrong(texts::out_of_range(text->get(), range_words(range)));
  });
}

Millis Table::duration(std::string_view key, Range<Millis> range) const {
  return need<Millis>(key, duration_if(key, range), range.min);
}

Millis Table::duration_or(std::string_view key, Millis fallback, Range<Millis> range) const {
  return duration_if(key, range).value_or(fallback);
}

std::optional<std::size_t> Table::choice_if(std::string_view key, std::span<const std::string_view> words) const {
  return get<std::size_t>(key, [&](const toml::node& node) -> Or<std::size_t> {
    const auto* text = node.as_string();
    const auto found = text == nullptr ? words.end() : std::find(words.begin(), words.end(), text->get());
    if (found != words.end()) return static_cast<std::size_t>(found - words.begin());
    auto message = texts::want_one_of(fmt::format("\"{}\"", fmt::join(words, "\", \"")));
    if (text != nullptr) {
      const std::vector<std::string> known(words.begin(), words.end());
      if (const auto near = nearest(text->get(), known)) message = texts::perhaps_quoted(message, *near);
    }
    return wrong(std::move(message));
  });
}

std::size_t Table::choice(std::string_view key, std::span<const std::string_view> words) const {
  return need<std::size_t>(key, choice_if(key, words), 0);
}

std::size_t Table::choice_or(std::string_view key, std::size_t fallback,
                             std::span<const std::string_view> words) const {
  return choice_if(key, words).value_or(fallback);
}

std::vector<double> Table::numbers_or(std::string_view key) const {
  return get<std::vector<double>>(key, [](const toml::node& node) -> Or<std::vector<double>> {
           std::vector<double> out;
           if (const auto* array = node.as_array()) {
             for (const auto& element : *array) {
               const auto number = element.value<double>();
               if (element.is_number() && number && std::isfinite(*number)) out.push_back(*number);
             }
             if (out.size() == array->size()) return out;
           }
           return wrong(texts::want_numbers());
         }).value_or(std::vector<double>{});
}

std::vector<std::string> Table::texts_or(std::string_view key) const {
  using Texts = std::vector<std::string>;
  return get<Texts>(key, [](const toml::node& node) -> Or<Texts> {
           Texts out;
           if (const auto* array = node.as_array()) {
             for (const auto& element : *array) {
               if (const auto* text = element.as_string()) out.push_back(text->get());
             }
             if (out.size() == array->size()) return out;
           }
           return wrong(texts::want_strings());
         }).value_or(Texts{});
}

std::vector<std::pair<double, double>> Table::pairs_or(std::string_view key) const {
  using Pairs = std::vector<std::pair<double, double>>;
  return get<Pairs>(key, [](const toml::node& node) -> Or<Pairs> {
           Pairs out;
           const auto* array = node.as_array();
           for (std::size_t i = 0; array != nullptr && i < array->size(); ++i) {
             const auto* pair = array->get(i)->as_array();
             if (pair == nullptr || pair->size() != 2) break;
             const auto x = pair->get(0)->value<double>();
             const auto y = pair->get(1)->value<double>();
             if (!x || !y || !std::isfinite(*x) || !std::isfinite(*y)) break;
             out.emplace_back(*x, *y);
           }
           if (array != nullptr && out.size() == array->size()) return out;
           return wrong(texts::want_pairs());
         }).value_or(Pairs{});
}

Secret Table::secret_or(std::string_view key) const {
  return get<Secret>(key, [](const toml::node& node) -> Or<Secret> {
           const auto* table = node.as_table();
           if (table == nullptr || table->size() != 1) return wrong(texts::want_secret());
           fs::path file;
           if (const auto* name = table->get_as<std::string>("credential")) {
             const char* directory = std::getenv("CREDENTIALS_DIRECTORY");
             if (directory == nullptr || name->get().find('/') != std::string::npos) {
               return wrong(texts::no_credential(name->get()));
             }
             file = fs::path{directory} / name->get();
           } else if (const auto* path = table->get_as<std::string>("file")) {
             file = path->get();
             struct stat info {};
             if (stat(file.c_str(), &info) == 0 && (info.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
               return wrong(texts::secret_is_open(file.string()));
             }
           } else {
             return wrong(texts::want_secret());
           }
           auto text = read_file(file, kMaxSecretBytes);
           if (!text) return wrong(texts::at(file.string(), text.error()));
           while (!text->empty() && (text->back() == '\n' || text->back() == '\r')) text->pop_back();
           return Secret{std::move(*text)};
         }).value_or(Secret{});
}

Table Table::table(std::string_view key) const {
  const auto path = join_path(path_, key);
  const auto child = get<const toml::table*>(key, [](const toml::node& node)
                                                     -> Or<const toml::table*> {
    if (const auto* table = node.as_table()) return table;
    return wrong(texts::want_table(kind_of(node)));
  });
  return state_->open(child.value_or(nullptr), path);
}

std::vector<Table> Table::tables(std::string_view key) const {
  using Nodes = std::vector<const toml::table*>;
  const auto found = get<Nodes>(key, [&](const toml::node& node) -> Or<Nodes> {
    Nodes nodes;
    const auto* array = node.as_array();
    for (std::size_t i = 0; array != nullptr && i < array->size(); ++i) {
      if (const auto* table = array->get(i)->as_table()) nodes.push_back(table);
    }
    if (array != nullptr && nodes.size() == array->size()) return nodes;
    return wrong(texts::want_tables(join_path(path_, key), kind_of(node)));
  }).value_or(Nodes{});
  std::vector<Table> out;
  for (std::size_t i = 0; i < found.size(); ++i) {
    out.push_back(state_->open(found[i], fmt::format("{}[{}]", join_path(path_, key), i + 1)));
  }
  return out;
}

std::vector<std::pair<std::string, Table>> Table::each() const {
  std::vector<std::pair<std::string, Table>> out;
  for (const auto& key : keys()) out.emplace_back(key, table(key));
  return out;
}

std::vector<std::string> Table::keys() const {
  std::vector<std::string> out;
  if (node_ == nullptr) return out;
  for (const auto& [key, node] : *static_cast<const toml::table*>(node_)) out.emplace_back(key.str());
  return out;
}

Table Table::root() const { return Table{state_, &state_->root, ""}; }

void Table::error(std::string_view key, Text message) const {
  const auto* node = key.empty() ? nullptr : state_->ask(node_, key);
  const auto path = key.empty() ? path_ : join_path(path_, key);
  if (node != nullptr && state_->failed.contains(node)) return;  // what it said before is the cause
  state_->note(node != nullptr ? node->source() : state_->where(node_),
               texts::at(path, message));
}

void Table::error_at(std::string_view key, std::size_t character, Text message) const {
  const auto* node = state_->ask(node_, key);
  const auto* text = node == nullptr ? nullptr : node->as_string();
  if (text == nullptr) return error(key, std::move(message));
  auto where = node->source();
  const auto characters = static_cast<std::uint32_t>(std::count_if(
      (*text)->begin(), (*text)->end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
  for (const std::uint32_t quote : {1U, 3U}) {  // as long as written: what stands between the quotes is the text
    if (where.end.line != where.begin.line || where.end.column - where.begin.column != characters + 2 * quote) continue;
    where.begin.column += quote + static_cast<std::uint32_t>(character);
    break;
  }
  state_->note(where, texts::at(join_path(path_, key), message));
}

std::optional<std::string> nearest(std::string_view word, std::span<const std::string> candidates) {
  // Levenshtein distance, one row at a time.
  const auto distance = [word](std::string_view other) {
    std::vector<std::size_t> row(other.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 0; i < word.size(); ++i) {
      auto diagonal = row[0];
      row[0] = i + 1;
      for (std::size_t j = 0; j < other.size(); ++j) {
        const auto substituted = diagonal + (word[i] == other[j] ? 0 : 1);
        diagonal = row[j + 1];
        row[j + 1] = std::min({row[j + 1] + 1, row[j] + 1, substituted});
      }
    }
    return row.back();
  };
  constexpr std::size_t kLongestWord = 64;
  if (word.size() > kLongestWord) return {};
  std::optional<std::string> best;
  std::size_t best_distance = std::max<std::size_t>(2, word.size() / 3) + 1;
  for (const auto& candidate : candidates) {
    const auto d = distance(candidate);
    if (d < best_distance && d < candidate.size()) {
      best_distance = d;
      best = candidate;
    }
  }
  return best;
}

}  // namespace hamlet::config
