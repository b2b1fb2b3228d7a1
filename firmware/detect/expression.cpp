#include "firmware/detect/expression.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>

#include "firmware/config/config.hpp"
#include "firmware/core/id.hpp"
#include "firmware/detect/texts.hpp"

namespace hamlet::detect {

using Op = Expression::Op;
using Node = Expression::Node;

namespace {

constexpr Millis kShortest{1'000};
constexpr Millis kLongest = std::chrono::days{31};
constexpr Millis kTrend = std::chrono::minutes{10};  // of rising and falling, where it is not said

// Units that can be turned into one another: so many of the first of its row.
struct Unit {
  std::string_view name;
  int measure;
  double factor;
};
constexpr std::array kUnits{
    Unit{"m", 0, 1},         Unit{"mm", 0, 0.001},  Unit{"cm", 0, 0.01},    Unit{"km", 0, 1'000},  Unit{"Pa", 1, 1},
    Unit{"hPa", 1, 100},     Unit{"kPa", 1, 1e3},   Unit{"MPa", 1, 1e6},    Unit{"bar", 1, 1e5},   Unit{"L", 2, 0.001},
    Unit{"m³", 2, 1},        Unit{"m3", 2, 1},      Unit{"mV", 3, 0.001},   Unit{"V", 3, 1},       Unit{"kV", 3, 1e3},
    Unit{"mA", 4, 0.001},    Unit{"A", 4, 1},       Unit{"W", 5, 1},        Unit{"kW", 5, 1e3},    Unit{"Wh", 6, 1},
    Unit{"kWh", 6, 1e3},     Unit{"°C", 7, 1},      Unit{"℃", 7, 1},        Unit{"C", 7, 1},       Unit{"m3/s", 8, 1},
    Unit{"m³/s", 8, 1},      Unit{"L/s", 8, 0.001}, Unit{"mm/h", 9, 1},     Unit{"s", 10, 1},      Unit{"min", 10, 60},
    Unit{"h", 10, 3'600},    Unit{"d", 10, 86'400}, Unit{"ms", 10, 0.001},  Unit{"m/s", 11, 1},    Unit{"km/h", 11, 1 / 3.6},
};

// What a number in `from` has to be multiplied by to be one in `to`.
std::optional<double> factor_between(std::string_view from, std::string_view to) {
  if (from == to) return 1;
  const auto find = [](std::string_view name) {
    return std::find_if(kUnits.begin(), kUnits.end(), [&](const auto& unit) { return unit.name == name; });
  };
  const auto* a = find(from);
  const auto* b = find(to);
  if (a == kUnits.end() || b == kUnits.end() || a->measure != b->measure) return {};
  return a->factor / b->factor;
}

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
bool is_word(char c) {
  return is_letter(c) || is_digit(c) || c == '.' || c == '-';
}
// Of a unit: also "%", "°C", "m³".
bool is_unit(char c) {
  return is_letter(c) || c == '%' || static_cast<unsigned char>(c) >= 0x80;
}
char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}
bool same_word(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) { return lower(x) == lower(y); });
}

constexpr std::array<std::string_view, 10> kKeywords{"and",     "or", "not",   "rising", "falling",
                                                     "in",      "true", "false", "since",  "time"};
bool is_keyword(std::string_view word) {
  return std::any_of(kKeywords.begin(), kKeywords.end(), [&](auto each) { return same_word(each, word); });
}

struct Function {
  std::string_view name;
  Op op;
};
constexpr std::array kPointFunctions{Function{"sum", Op::sum},   Function{"avg", Op::average},
                                     Function{"min", Op::lowest}, Function{"max", Op::highest},
                                     Function{"rise", Op::rise}, Function{"fall", Op::fall},
                                     Function{"increase", Op::increase}};
constexpr std::array kConditionFunctions{Function{"all", Op::all},       Function{"any", Op::any},
                                         Function{"at_least", Op::at_least}, Function{"within", Op::within},
                                         Function{"held", Op::held},     Function{"sequence", Op::sequence},
                                         Function{"count", Op::count}};

template <class Functions>
std::optional<Op> find_function(const Functions& functions, std::string_view name) {
  for (const auto& each : functions) {
    if (same_word(each.name, name)) return each.op;
  }
  return {};
}

}  // namespace

// By recursive descent, without a scanner of its own: a word means what its place wants.
class Parser {
 public:
  Parser(std::string_view text, const Names& names) : text_{text}, names_{names} {}

  tl::expected<std::shared_ptr<const Expression>, Expression::Mistake> run() {
    try {
      if (text_.size() > Expression::kMaxLength) stop(0, texts::too_long(Expression::kMaxLength));
      if (!is_utf8(text_)) stop(0, texts::want_operand());
      const auto whole = as_truth(condition());
      skip();
      if (at_ < text_.size()) stop(at_, texts::leftover(word_or_character()));
      if (out_.terms_.empty()) stop(0, texts::names_nothing());
      if (whole != out_.nodes_.size() - 1) put({.op = Op::all, .args = {whole}});
      out_.text_ = text_;
      return std::make_shared<const Expression>(std::move(out_));
    } catch (Expression::Mistake& mistake) {
      return tl::unexpected(std::move(mistake));
    }
  }

 private:
  enum class Type : std::uint8_t { number, truth, text, point };  // point: of whatever its place wants
  struct Part {
    Type type = Type::number;
    std::size_t begin = 0;
    std::size_t node = 0;
    std::size_t name = 0;  // of a point: in names_.points
    std::string unit{};    // of a number
    std::string text{};
  };

  // ---- mistakes ----

  [[noreturn]] void stop(std::size_t byte, Text what) const {
    const auto before = text_.substr(0, byte);
    const auto characters =
        std::count_if(before.begin(), before.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; });
    throw Expression::Mistake{static_cast<std::size_t>(characters), std::move(what)};
  }

  // What follows may be a comparison with a symbol that is none, as "＞" of a Chinese keyboard: that is the mistake.
  [[noreturn]] void stop_unless_symbol(std::size_t byte, Text what) {
    skip();
    const bool ends = at_ >= text_.size() || is_word(text_[at_]) || text_[at_] == ')' || text_[at_] == ',';
    if (ends) stop(byte, std::move(what));
    stop(at_, texts::no_symbol(word_or_character()));
  }

  // ---- letters ----

  void skip() {
    while (at_ < text_.size() && is_space(text_[at_])) ++at_;
  }
  bool take(std::string_view symbol) {
    skip();
    if (!text_.substr(at_).starts_with(symbol)) return false;
    at_ += symbol.size();
    return true;
  }
  void need(std::string_view symbol) {
    if (!take(symbol)) stop(at_, texts::want_symbol(symbol));
  }
  template <class Belongs>
  [[nodiscard]] std::string_view run_of(std::size_t from, Belongs belongs) const {
    auto to = from;
    while (to < text_.size() && belongs(text_[to])) ++to;
    return text_.substr(from, to - from);
  }
  [[nodiscard]] std::string_view peek_word() {
    skip();
    return run_of(at_, is_word);
  }
  bool take_word(std::string_view word) {
    if (!same_word(peek_word(), word)) return false;
    at_ += word.size();
    return true;
  }
  [[nodiscard]] std::string_view word_or_character() const {
    const auto word = run_of(at_, is_word);
    if (!word.empty()) return word;
    auto to = at_ + 1;
    while (to < text_.size() && (static_cast<unsigned char>(text_[to]) & 0xc0) == 0x80) ++to;
    return text_.substr(at_, to - at_);
  }

  // ---- nodes ----

  std::size_t put(Node node) {
    if (out_.nodes_.size() >= Expression::kMaxNodes) stop(at_, texts::too_much(Expression::kMaxNodes));
    out_.nodes_.push_back(std::move(node));
    return out_.nodes_.size() - 1;
  }
  std::size_t put_windowed(Node node) {
    node.memory = out_.windows_++;
    return put(std::move(node));
  }
  std::size_t put_remembering(Node node) {
    node.memory = out_.memories_++;
    return put(std::move(node));
  }
  std::size_t term(Expression::Term wanted) {
    auto& terms = out_.terms_;
    const auto found = std::find(terms.begin(), terms.end(), wanted);
    if (found != terms.end()) return static_cast<std::size_t>(found - terms.begin());
    if (terms.size() >= Expression::kMaxTerms) stop(at_, texts::too_many_terms(Expression::kMaxTerms));
    terms.push_back(std::move(wanted));
    return terms.size() - 1;
  }
  std::size_t term_of(const Part& point) { return term({.name = names_.points[point.name].name}); }

  [[nodiscard]] bool may_be(const Part& point, Kind kind) const {
    return names_.points[point.name].kind.value_or(kind) == kind;
  }
  std::size_t as_number(Part& part) {
    if (part.type == Type::truth) stop(part.begin, texts::want_number());
    if (part.type == Type::text) stop(part.begin, texts::text_needs_equals());
    if (part.type == Type::point) {
      const auto& name = names_.points[part.name];
      if (!may_be(part, Kind::number)) stop(part.begin, texts::point_not_number(name.name));
      part = {.begin = part.begin, .node = put({.op = Op::point, .term = term_of(part)}), .unit = name.unit};
    }
    return part.node;
  }
  std::size_t as_truth(Part part) {
    if (part.type == Type::number) stop_unless_symbol(part.begin, texts::want_condition());
    if (part.type == Type::text) stop(part.begin, texts::text_needs_equals());
    if (part.type == Type::point) {
      if (!may_be(part, Kind::boolean)) stop_unless_symbol(part.begin, texts::point_not_truth(names_.points[part.name].name));
      return put({.op = Op::is_true, .term = term_of(part)});
    }
    return part.node;
  }

  // ---- the grammar ----

  struct Deeper {
    explicit Deeper(Parser& of) : parser{of} {
      if (++of.depth_ > Expression::kMaxDepth) of.stop(of.at_, texts::too_deep(Expression::kMaxDepth));
    }
    ~Deeper() { --parser.depth_; }
    Deeper(const Deeper&) = delete;
    Deeper& operator=(const Deeper&) = delete;
    Parser& parser;
  };

  Part joined(Op op, std::string_view word, Part (Parser::*next)()) {
    auto first = (this->*next)();
    if (!same_word(peek_word(), word)) return first;
    const auto begin = first.begin;
    Node node{.op = op, .args = {as_truth(std::move(first))}};
    while (take_word(word)) node.args.push_back(as_truth((this->*next)()));
    return {.type = Type::truth, .begin = begin, .node = put(std::move(node))};
  }
  Part condition() {
    const Deeper deeper{*this};
    return joined(Op::any, "or", &Parser::conjunction);
  }
  Part conjunction() { return joined(Op::all, "and", &Parser::negation); }

  Part negation() {
    skip();
    const auto begin = at_;
    if (!take_word("not")) return comparison();
    const Deeper deeper{*this};
    const auto of = as_truth(negation());
    return {.type = Type::truth, .begin = begin, .node = put({.op = Op::negation, .args = {of}})};
  }

  Part comparison() {
    auto left = sum();
    if (take_word("rising")) return trend(left, Op::rising);
    if (take_word("falling")) return trend(left, Op::falling);
    for (const std::string_view symbol : {">=", "<=", "==", "!=", ">", "<", "="}) {
      if (take(symbol)) {
        auto right = sum();
        return compare(symbol == "=" ? "==" : symbol, left, right);
      }
    }
    return left;
  }

  Part trend(const Part& point, Op op) {
    if (point.type != Type::point) stop(point.begin, texts::want_point_here());
    if (!may_be(point, Kind::number)) stop(point.begin, texts::point_not_number(names_.points[point.name].name));
    const auto length = take_word("in") ? duration() : kTrend;
    const auto node = put_windowed({.op = op, .term = term_of(point), .window = {length, {}}});
    return {.type = Type::truth, .begin = point.begin, .node = node};
  }

  Part compare(std::string_view symbol, Part& left, Part& right) {
    const auto begin = left.begin;
    const bool equals = symbol == "==" || symbol == "!=";
    const auto done = [&](Node node) {
      auto at = put(std::move(node));
      if (symbol == "!=") at = put({.op = Op::negation, .args = {at}});
      return Part{.type = Type::truth, .begin = begin, .node = at};
    };
    if (left.type == Type::text || right.type == Type::text) {
      auto& text = left.type == Type::text ? left : right;
      const auto& point = left.type == Type::text ? right : left;
      if (!equals || point.type != Type::point) stop(text.begin, texts::text_needs_equals());
      if (!may_be(point, Kind::text)) stop(point.begin, texts::point_not_text(names_.points[point.name].name));
      return done({.op = Op::is_text, .term = term_of(point), .text = std::move(text.text)});
    }
    if (equals && (is_truth(left) || is_truth(right))) {
      const auto a = as_truth(left);
      const auto b = as_truth(right);
      return done({.op = Op::same, .args = {a, b}});
    }
    auto a = as_number(left);
    auto b = as_number(right);
    same_unit(left, right);
    b = right.node;
    if (symbol == ">" || symbol == ">=") std::swap(a, b);
    const auto op = equals ? Op::equal : symbol.size() == 1 ? Op::less : Op::less_equal;
    auto node = done({.op = op, .number = symbol.front() == '>' ? 1.0 : 0.0, .args = {a, b}});
    return node;
  }
  // Whether it can only be a truth.
  [[nodiscard]] bool is_truth(const Part& part) const {
    return part.type == Type::truth ||
           (part.type == Type::point && names_.points[part.name].kind.value_or(Kind::number) == Kind::boolean);
  }

  // Brings the right side into the unit of the left; a number without a unit is in the other's.
  void same_unit(Part& left, Part& right) {
    if (left.unit.empty()) left.unit = right.unit;
    if (right.unit.empty() || right.unit == left.unit) return;
    const auto factor = factor_between(right.unit, left.unit);
    if (!factor) stop(right.begin, texts::other_unit(right.unit, left.unit));
    if (*factor != 1) {
      auto& node = out_.nodes_[right.node];
      if (node.op == Op::number) {
        node.number *= *factor;
      } else {
        const auto by = put({.op = Op::number, .number = *factor});
        right.node = put({.op = Op::multiply, .args = {right.node, by}});
      }
    }
    right.unit = left.unit;
  }

  Part sum() {
    auto left = product();
    for (;;) {
      const bool plus = take("+");
      if (!plus && !take("-")) return left;
      auto right = product();
      const auto a = as_number(left);
      static_cast<void>(as_number(right));
      same_unit(left, right);
      left.node = put({.op = plus ? Op::add : Op::subtract, .args = {a, right.node}});
    }
  }

  Part product() {
    auto left = factor();
    for (;;) {
      const bool times = take("*");
      if (!times && !take("/")) return left;
      auto right = factor();
      const auto a = as_number(left);
      const auto b = as_number(right);
      const auto& by = out_.nodes_[b];
      if (!times && by.op == Op::number && by.number == 0) stop(right.begin, texts::divides_by_zero());
      if (!right.unit.empty()) left.unit = times && left.unit.empty() ? right.unit : std::string{};
      left.node = put({.op = times ? Op::multiply : Op::divide, .args = {a, b}});
    }
  }

  Part factor() {
    const Deeper deeper{*this};
    skip();
    const auto begin = at_;
    if (take("-")) {
      auto of = factor();
      const auto node = as_number(of);
      return {.begin = begin, .node = put({.op = Op::negate, .args = {node}}), .unit = of.unit};
    }
    if (take("(")) {
      auto inner = condition();
      need(")");
      inner.begin = begin;
      return inner;
    }
    if (at_ < text_.size() && (text_[at_] == '"' || text_[at_] == '\'')) {
      return {.type = Type::text, .begin = begin, .text = quoted()};
    }
    const auto word = peek_word();
    if (word.empty()) stop(at_, texts::want_operand());
    if (same_word(word, "time") || same_word(word, "month")) return calendar();
    if (const auto point = find_point(word)) {
      at_ += word.size();
      return {.type = Type::point, .begin = begin, .name = *point};
    }
    if (is_digit(word.front()) || word.front() == '.') return number();
    if (same_word(word, "true") || same_word(word, "false")) {
      at_ += word.size();
      return {.type = Type::truth,
              .begin = begin,
              .node = put({.op = Op::constant, .number = same_word(word, "true") ? 1.0 : 0.0})};
    }
    at_ += word.size();
    if (take("(")) return call(begin, word);
    if (word.find('.') != std::string_view::npos) stop(begin, unknown_point(word));
    stop(begin, is_keyword(word) ? texts::want_operand() : texts::leftover(word));
  }

  [[nodiscard]] std::optional<std::size_t> find_point(std::string_view word) const {
    for (std::size_t i = 0; i < names_.points.size(); ++i) {
      if (names_.points[i].name == word) return i;
    }
    return {};
  }
  [[nodiscard]] Text unknown_point(std::string_view word) const {
    std::vector<std::string> known;
    for (const auto& point : names_.points) known.push_back(point.name);
    const auto near = config::nearest(word, known);
    const auto message = texts::no_such_point(word);
    return near ? texts::perhaps(message, *near) : message;
  }

  Part number() {
    const auto begin = at_;
    double value = 0;
    const auto* from = text_.data() + at_;
    const auto [end, error] = std::from_chars(from, text_.data() + text_.size(), value);
    if (error != std::errc{} || !std::isfinite(value)) stop(begin, texts::bad_number());
    at_ += static_cast<std::size_t>(end - from);
    auto unit_at = at_;
    while (unit_at < text_.size() && text_[unit_at] == ' ') ++unit_at;
    auto unit = run_of(unit_at, is_unit);
    const bool is_name = unit_at > at_ && run_of(unit_at, is_word).find('.') != std::string_view::npos;
    if (unit.empty() || is_keyword(unit) || is_name) {
      if (at_ < text_.size() && is_word(text_[at_]) && text_[at_] != '-') stop(begin, texts::bad_number());
      return {.begin = begin, .node = put({.op = Op::number, .number = value})};
    }
    auto to = unit_at + unit.size();  // "m3", "mm/h"
    while (to < text_.size() && is_digit(text_[to])) ++to;
    if (to + 1 < text_.size() && text_[to] == '/' && is_letter(text_[to + 1])) {
      to += 1 + run_of(to + 1, is_unit).size();
    }
    unit = text_.substr(unit_at, to - unit_at);
    at_ = to;
    return {.begin = begin, .node = put({.op = Op::number, .number = value}), .unit = std::string{unit}};
  }

  std::string quoted() {
    skip();
    if (at_ >= text_.size() || (text_[at_] != '"' && text_[at_] != '\'')) stop(at_, texts::want_id());
    const auto begin = at_;
    const auto end = text_.find(text_[at_], at_ + 1);
    if (end == std::string_view::npos) stop(begin, texts::text_open());
    at_ = end + 1;
    return std::string{text_.substr(begin + 1, end - begin - 1)};
  }

  std::string quoted_id() {
    skip();
    const auto begin = at_;
    auto out = quoted();
    if (!is_id(out)) stop(begin, texts::want_id());
    return out;
  }

  Millis duration() {
    skip();
    const auto begin = at_;
    const auto digits = run_of(at_, [](char c) { return is_digit(c) || c == '.'; });
    auto to = at_ + digits.size();
    while (to < text_.size() && text_[to] == ' ') ++to;
    to += run_of(to, is_letter).size();
    const auto parsed = parse_duration(text_.substr(begin, to - begin));
    if (!parsed || *parsed < kShortest || *parsed > kLongest) {
      stop(begin, texts::want_duration(hamlet::to_string(kShortest), hamlet::to_string(kLongest)));
    }
    at_ = to;
    return *parsed;
  }

  // "06:00" as minutes; nothing where there is none here.
  std::optional<int> time_of_day() {
    const auto text = text_.substr(at_, 5);
    if (text.size() < 5 || text[2] != ':') return {};
    for (const std::size_t i : {0U, 1U, 3U, 4U}) {
      if (!is_digit(text[i])) return {};
    }
    const auto two = [&](std::size_t i) { return (text[i] - '0') * 10 + text[i + 1] - '0'; };
    const int minutes = two(0) * 60 + two(3);
    if (two(3) > 59 || minutes > 24 * 60) return {};
    at_ += 5;
    return minutes;
  }

  Expression::Window window() {
    if (!take_word("since")) return {duration(), {}};
    skip();
    const auto minute = time_of_day();
    if (!minute) stop(at_, texts::want_time_of_day());
    return {std::chrono::days{1}, *minute % (24 * 60)};
  }

  Part calendar() {
    skip();
    const auto begin = at_;
    const bool hours = take_word("time");
    if (!hours) static_cast<void>(take_word("month"));
    if (!take_word("in")) stop(at_, texts::want_symbol("in"));
    skip();
    const auto from = at_;
    const auto first = hours ? time_of_day() : month();
    auto last = first;
    if (hours && !take("-")) last.reset();
    if (hours || take("-")) {
      skip();
      if (last) last = hours ? time_of_day() : month();
    }
    if (!first || !last || (hours && *first == *last)) stop(from, hours ? texts::want_hours() : texts::want_months());
    const auto node = put({.op = hours ? Op::time_in : Op::month_in,
                           .number = static_cast<double>(*first),
                           .last = static_cast<double>(*last)});
    return {.type = Type::truth, .begin = begin, .node = node};
  }
  std::optional<int> month() {
    const auto digits = run_of(at_, is_digit);
    if (digits.empty() || digits.size() > 2) return {};
    int value = 0;
    for (const char c : digits) value = value * 10 + c - '0';
    if (value < 1 || value > 12) return {};
    at_ += digits.size();
    return value;
  }

  Part call(std::size_t begin, std::string_view name) {
    if (const auto op = find_function(kPointFunctions, name)) return over_point(begin, *op);
    if (same_word(name, "event")) return event(begin);
    if (same_word(name, "known")) return known(begin);
    if (const auto op = find_function(kConditionFunctions, name)) return over_conditions(begin, *op);
    std::vector<std::string> all{"event", "known"};
    for (const auto& each : kPointFunctions) all.emplace_back(each.name);
    for (const auto& each : kConditionFunctions) all.emplace_back(each.name);
    const auto near = config::nearest(name, all);
    const auto message = texts::no_such_function(name);
    stop(begin, near ? texts::perhaps(message, *near) : message);
  }

  const Names::Point& point_here() {
    const auto word = peek_word();
    const auto point = find_point(word);
    if (!point) stop(at_, word.find('.') == std::string_view::npos ? texts::want_point_here() : unknown_point(word));
    at_ += word.size();
    return names_.points[*point];
  }

  Part known(std::size_t begin) {
    const auto& name = point_here();
    need(")");
    return {.type = Type::truth, .begin = begin, .node = put({.op = Op::known, .term = term({.name = name.name})})};
  }

  Part over_point(std::size_t begin, Op op) {
    skip();
    const auto at = at_;
    const auto& name = point_here();
    if (name.kind.value_or(Kind::number) != Kind::number) stop(at, texts::point_not_number(name.name));
    need(",");
    const auto over = window();
    need(")");
    const auto node = put_windowed({.op = op, .term = term({.name = name.name}), .window = over});
    return {.begin = begin, .node = node, .unit = name.unit};
  }

  Part event(std::size_t begin) {
    skip();
    const auto at = at_;
    Expression::Term wanted{.is_event = true, .name = quoted_id()};
    if (names_.sources &&
        std::find(names_.sources->begin(), names_.sources->end(), wanted.name) == names_.sources->end()) {
      const auto near = config::nearest(wanted.name, *names_.sources);
      const auto message = texts::no_such_source(wanted.name);
      stop(at, near ? texts::perhaps(message, *near) : message);
    }
    need(",");
    wanted.kind = quoted_id();
    if (take(",")) wanted.zone = quoted_id();
    need(")");
    return {.type = Type::truth, .begin = begin, .node = put({.op = Op::event, .term = term(std::move(wanted))})};
  }

  Part over_conditions(std::size_t begin, Op op) {
    Node node{.op = op};
    if (op == Op::at_least) {
      skip();
      const auto at = at_;
      auto many = number();
      node.number = out_.nodes_.back().number;
      out_.nodes_.pop_back();
      if (node.number < 1 || node.number > Expression::kMaxTerms || node.number != std::floor(node.number)) {
        stop(at, texts::want_count(Expression::kMaxTerms));
      }
      need(",");
    }
    const bool timed = op == Op::within || op == Op::held || op == Op::sequence || op == Op::count;
    const std::size_t least = op == Op::sequence ? 2 : 1;
    for (;;) {
      node.args.push_back(as_truth(condition()));
      if (!timed) {
        if (take(",")) continue;
        break;
      }
      need(",");
      if (op != Op::sequence || duration_here()) {
        if (node.args.size() < least) stop(at_, texts::want_more_conditions(least));
        node.window = op == Op::count ? window() : Expression::Window{duration(), {}};
        break;
      }
    }
    need(")");
    if (op == Op::at_least && node.number > static_cast<double>(node.args.size())) {
      stop(begin, texts::want_more_conditions(static_cast<std::size_t>(node.number)));
    }
    const auto type = op == Op::count ? Type::number : Type::truth;
    return {.type = type, .begin = begin, .node = timed ? put_remembering(std::move(node)) : put(std::move(node))};
  }
  // "10min)": the end of a sequence.
  bool duration_here() {
    skip();
    const auto before = at_;
    const auto digits = run_of(at_, [](char c) { return is_digit(c) || c == '.'; });
    at_ += digits.size();
    skip();
    at_ += run_of(at_, is_letter).size();
    const bool ends = !digits.empty() && take(")");
    at_ = before;
    return ends;
  }

  std::string_view text_;
  const Names& names_;
  std::size_t at_ = 0;
  int depth_ = 0;
  Expression out_;
};

tl::expected<std::shared_ptr<const Expression>, Expression::Mistake> Expression::parse(std::string_view text,
                                                                                        const Names& names) {
  return Parser{text, names}.run();
}

std::vector<std::string> Expression::sources() const {
  std::vector<std::string> out;
  for (const auto& term : terms_) {
    auto label = term.label();
    if (std::find(out.begin(), out.end(), label) == out.end()) out.push_back(std::move(label));
  }
  return out;
}

bool Expression::asks_known(std::size_t term) const {
  return std::any_of(nodes_.begin(), nodes_.end(), [&](const Node& node) { return node.op == Op::known && node.term == term; });
}

bool Expression::goes_by_clock() const {
  return std::any_of(nodes_.begin(), nodes_.end(), [](const Node& node) {
    return node.op == Op::time_in || node.op == Op::month_in || node.window.since_minute;
  });
}

Millis Expression::history() const {
  Millis longest{0};
  for (const auto& node : nodes_) {
    const bool windowed = (node.op >= Op::sum && node.op <= Op::increase) || node.op == Op::rising || node.op == Op::falling;
    if (windowed) longest = std::max(longest, node.window.length);
  }
  return longest;
}

}  // namespace hamlet::detect
