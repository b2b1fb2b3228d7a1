#include "drivers/modbus/profile.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <system_error>

#include <fmt/format.h>

#include "drivers/texts.hpp"

namespace hamlet::drivers::modbus {
namespace {

using namespace std::chrono_literals;
using namespace std::string_view_literals;
namespace fs = std::filesystem;

constexpr std::array kFunctions{"coil"sv, "discrete"sv, "holding"sv, "input"sv};  // 1 to 4
constexpr std::array kTypes{"bit"sv,   "bits"sv,   "int16"sv,   "uint16"sv,  "int32"sv, "uint32"sv,
                            "int64"sv, "uint64"sv, "float32"sv, "float64"sv, "text"sv};  // from Type::bit
constexpr std::array kOrders{"ABCD"sv, "CDAB"sv, "BADC"sv, "DCBA"sv};                    // as Order
constexpr std::array kOutputFunctions{"coil"sv, "holding"sv};

constexpr std::size_t kBit = static_cast<std::size_t>(Type::bit);

void refuse_keys(const config::Table& point, std::initializer_list<std::string_view> keys, const Text& reason) {
  for (const auto key : keys) {
    if (point.has(key)) point.error(key, reason);
  }
}

template <std::size_t N>
std::size_t choice(const config::Table& table, std::string_view key, const std::array<std::string_view, N>& words,
                   std::optional<std::size_t> known) {
  return known ? table.choice_or(key, *known, words) : table.choice(key, words);
}

std::int64_t integer(const config::Table& table, std::string_view key, config::Range<std::int64_t> range,
                     std::optional<std::int64_t> known) {
  return known ? table.integer_or(key, *known, range) : table.integer(key, range);
}

bool is_number(Type type) {
  return type != Type::flag && type != Type::bit && type != Type::bits && type != Type::text;
}

void read_scaling(const config::Table& table, Decoding& decoding) {
  decoding.scale = table.number_or("scale", decoding.scale);
  if (decoding.scale == 0) table.error("scale", texts::scale_zero());
  decoding.offset = table.number_or("offset", decoding.offset);
}

void read_order(const config::Table& table, Decoding& decoding) {
  decoding.order = static_cast<Order>(table.choice_or("order", static_cast<std::size_t>(decoding.order), kOrders));
  if (width(decoding) == 1 && decoding.order == Order::cdab) {
    table.error("order", texts::no_order());
  }
}

void read_bits(const config::Table& table, Decoding& decoding, bool known) {
  const auto bit = known ? std::optional<std::int64_t>{decoding.bit} : std::nullopt;
  decoding.bit = static_cast<unsigned>(integer(table, "bit", {0, 15}, bit));
  if (decoding.type == Type::bits) {
    const auto bits = known ? std::optional<std::int64_t>{decoding.bits} : std::nullopt;
    decoding.bits = static_cast<unsigned>(integer(table, "bits", {1, 16 - decoding.bit}, bits));
  } else {
    refuse_keys(table, {"bits"}, texts::only_for("bits"));
  }
  refuse_keys(table, {"scale", "offset"}, texts::not_for_a_bit());
}

void read_register_type(const config::Table& table, Decoding& decoding, bool known) {
  const auto before = decoding.type;
  const auto type = known ? std::optional{static_cast<std::size_t>(before) - kBit} : std::nullopt;
  decoding.type = static_cast<Type>(choice(table, "type", kTypes, type) + kBit);
  known = known && decoding.type == before;
  if (decoding.type == Type::text) {
    const auto length = known ? std::optional<std::int64_t>{decoding.length} : std::nullopt;
    decoding.length = static_cast<unsigned>(integer(table, "length", {1, 64}, length));
  } else {
    refuse_keys(table, {"length"}, texts::only_for("text"));
  }
  read_order(table, decoding);
  if (const auto invalid = table.numbers_or("invalid"); table.has("invalid")) decoding.invalid = invalid;
  if (decoding.type == Type::bit || decoding.type == Type::bits) return read_bits(table, decoding, known);
  refuse_keys(table, {"bit", "bits"}, texts::only_for("bit"));
  if (decoding.type == Type::text) return refuse_keys(table, {"scale", "offset", "negative_from"}, texts::not_for_a_text());
  read_scaling(table, decoding);
  if (const auto from = table.number_if("negative_from")) decoding.negative_from = from;
}

void read_counter(const config::Table& table, PointSettings& settings) {
  settings.counter = table.flag_or("counter", settings.counter);
  settings.counter_most = static_cast<std::uint64_t>(
      table.integer_or("counter_most", static_cast<std::int64_t>(settings.counter_most), {0, 1LL << 31}));
  const auto type = settings.point.decoding.type;
  if (settings.counter && type != Type::uint16 && type != Type::uint32) {
    table.error("counter", texts::counter_type());
  }
}

std::uint16_t read_address(const config::Table& table, std::int64_t base, std::uint16_t count,
                           std::optional<std::int64_t> known) {
  const auto address = integer(table, "address", {base, base + 65535}, known) - base;
  if (address + count > 65536) {
    table.error("address", texts::beyond_last_register(count));
  }
  return static_cast<std::uint16_t>(address);
}

Profile read_profile_tables(const config::Table& root, std::string id) {
  Profile profile{.id = std::move(id)};
  profile.name = root.both("name");
  profile.source = root.text("source");
  profile.verified = root.flag_or("verified", false);
  serial::read_line_format(root, profile.line);
  profile.unit = static_cast<std::uint8_t>(root.integer_or("unit_id", 1, {1, 255}));
  profile.period = root.duration_if("period", {100ms, 24h});
  profile.timeout = root.duration_if("timeout", {50ms, 30s});
  profile.max_gap = static_cast<std::uint32_t>(root.integer_or("max_gap", 8, {0, 124}));
  const auto base = root.integer_or("base", 0, {0, 1});
  profile.infos = read_points(root, "", [&](const config::Table& table) {
    auto settings = read_point(table, base, nullptr);
    const auto type = value_type(settings.point.decoding);
    profile.points[table.id("id")] = std::move(settings);
    return type;
  });
  for (auto& info : profile.infos) info.point.erase(0, 1);  // the dot after the device's id, which a profile has not
  return profile;
}

}  // namespace

std::string_view to_string(Type type) {
  return type == Type::flag ? "flag" : kTypes.at(static_cast<std::size_t>(type) - kBit);
}

ValueType value_type(const Decoding& decoding) {
  if (decoding.type == Type::flag || decoding.type == Type::bit) return ValueType::boolean;
  return decoding.type == Type::text ? ValueType::text : ValueType::number;
}

PointSettings read_point(const config::Table& table, std::int64_t base, const PointSettings* known) {
  PointSettings settings = known != nullptr ? *known : PointSettings{};
  auto& need = settings.point.need;
  const bool is_known = known != nullptr;
  const auto function = is_known ? std::optional{static_cast<std::size_t>(need.function) - 1} : std::nullopt;
  need.function = static_cast<Function>(choice(table, "function", kFunctions, function) + 1);
  auto& decoding = settings.point.decoding;
  if (is_bits(need.function)) {
    decoding.type = Type::flag;
    refuse_keys(table,
                {"type", "order", "bit", "bits", "length", "scale", "offset", "invalid", "negative_from", "counter",
                 "counter_most"},
                texts::not_for_a_flag());
  } else {
    read_register_type(table, decoding, is_known && decoding.type != Type::flag);
    read_counter(table, settings);
  }
  need.count = width(decoding);
  need.address = read_address(table, base, need.count,
                              is_known ? std::optional{std::int64_t{need.address} + base} : std::nullopt);
  return settings;
}

OutputSettings read_output(const config::Table& table, std::int64_t base) {
  OutputSettings out{.id = table.id("id")};
  out.coil = table.choice("function", kOutputFunctions) == 0;
  out.decoding.type = Type::flag;
  if (out.coil) {
    refuse_keys(table, {"type", "order", "scale", "offset"}, texts::not_for_a_flag());
  } else {
    out.decoding.type = static_cast<Type>(table.choice("type", kTypes) + kBit);
    if (!is_number(out.decoding.type)) table.error("type", texts::output_type());
    read_order(table, out.decoding);
    read_scaling(table, out.decoding);
  }
  out.address = read_address(table, base, width(out.decoding), std::nullopt);
  return out;
}

std::vector<fs::path> profile_folders() {
  if (const char* told = std::getenv("HAMLET_PROFILES"); told != nullptr) return {told};  // NOLINT(concurrency-mt-unsafe)
  return {"/etc/hamlet/profiles", HAMLET_DATADIR "/profiles"};
}

std::vector<std::string> known_profiles() {
  std::vector<std::string> out;
  for (const auto& folder : profile_folders()) {
    std::error_code error;
    for (fs::directory_iterator it{folder, error}, end; !error && it != end; it.increment(error)) {
      if (it->path().extension() == ".toml") out.push_back(it->path().stem().string());
    }
  }
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

tl::expected<Profile, Text> read_profile(const fs::path& file) {
  auto document = config::Document::load(file);
  Profile profile;
  if (document.ok()) profile = read_profile_tables(document.root(), file.stem().string());
  document.finish();
  if (document.ok()) return profile;
  const auto& first = document.diagnostics().front();
  return tl::unexpected(Text{.zh = first.to_string(Lang::zh), .en = first.to_string(Lang::en)});
}

tl::expected<Profile, Text> load_profile(const std::string& id) {
  for (const auto& folder : profile_folders()) {
    const auto file = folder / (id + ".toml");
    std::error_code error;
    if (id.find('/') == std::string::npos && fs::exists(file, error)) return read_profile(file);
  }
  const auto near = config::nearest(id, known_profiles());
  return tl::unexpected(near ? texts::perhaps(texts::no_profile(id), *near) : texts::list_profiles(texts::no_profile(id)));
}

}  // namespace hamlet::drivers::modbus
