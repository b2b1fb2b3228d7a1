#include <bit>
#include <cmath>
#include <limits>

#include <doctest/doctest.h>

#include "drivers/modbus/decode.hpp"

using namespace hamlet;
using namespace hamlet::drivers::modbus;

namespace {

using Words = std::vector<std::uint16_t>;

// The words of `bits` as a device sends them big endian.
Words big_endian(std::uint64_t bits, std::size_t count) {
  Words words(count);
  for (std::size_t i = 0; i < count; ++i)
    words[i] = static_cast<std::uint16_t>(bits >> (16 * (count - 1 - i)) & 0xFFFF);
  return words;
}

double number(const Words& words, const Decoding& how) {
  const auto value = decode(words, how);
  REQUIRE(value);
  return std::get<double>(*value);
}

std::string_view why(const Words& words, const Decoding& how) {
  const auto value = decode(words, how);
  REQUIRE_FALSE(value);
  return value.error();
}

}  // namespace

TEST_CASE("16-bit registers are read with and without a sign") {
  CHECK(number({0xFF9B}, {.type = Type::int16}) == -101);
  CHECK(number({0xFF9B}, {.type = Type::uint16}) == 65435);
  CHECK(number({0x7FFF}, {.type = Type::int16}) == 32767);
  CHECK(number({0x8000}, {.type = Type::int16}) == -32768);
  SUBCASE("and with their bytes swapped") {
    CHECK(number({0x9BFF}, {.type = Type::int16, .order = Order::badc}) == -101);
    CHECK(number({0x9BFF}, {.type = Type::int16, .order = Order::dcba}) == -101);
  }
}

TEST_CASE("a 32-bit value is the same in all four word orders") {
  // 230.2 as a float is 43 66 33 33.
  CHECK(number({0x4366, 0x3333}, {.type = Type::float32, .order = Order::abcd}) == 230.2);
  CHECK(number({0x3333, 0x4366}, {.type = Type::float32, .order = Order::cdab}) == 230.2);
  CHECK(number({0x6643, 0x3333}, {.type = Type::float32, .order = Order::badc}) == 230.2);
  CHECK(number({0x3333, 0x6643}, {.type = Type::float32, .order = Order::dcba}) == 230.2);

  CHECK(number({0x0102, 0x0304}, {.type = Type::uint32, .order = Order::abcd}) == 0x01020304);
  CHECK(number({0x0304, 0x0102}, {.type = Type::uint32, .order = Order::cdab}) == 0x01020304);
  CHECK(number({0x0201, 0x0403}, {.type = Type::uint32, .order = Order::badc}) == 0x01020304);
  CHECK(number({0x0403, 0x0201}, {.type = Type::uint32, .order = Order::dcba}) == 0x01020304);

  CHECK(number({0xFFFF, 0xFFFE}, {.type = Type::int32}) == -2);
  CHECK(number({0xFFFE, 0xFFFF}, {.type = Type::int32, .order = Order::cdab}) == -2);
  CHECK(number({0xFFFF, 0xFFFE}, {.type = Type::uint32}) == 4294967294.0);
}

TEST_CASE("a 64-bit value is the same in all four word orders") {
  const auto bits = std::bit_cast<std::uint64_t>(-1234.5678);
  const auto abcd = big_endian(bits, 4);
  const Words cdab(abcd.rbegin(), abcd.rend());
  const auto swapped = [](Words words) {
    for (auto& word : words) word = static_cast<std::uint16_t>(word >> 8 | word << 8);
    return words;
  };
  CHECK(number(abcd, {.type = Type::float64, .order = Order::abcd}) == -1234.5678);
  CHECK(number(cdab, {.type = Type::float64, .order = Order::cdab}) == -1234.5678);
  CHECK(number(swapped(abcd), {.type = Type::float64, .order = Order::badc}) == -1234.5678);
  CHECK(number(swapped(cdab), {.type = Type::float64, .order = Order::dcba}) == -1234.5678);
}

TEST_CASE("scale and offset give the decimal that a person expects") {
  CHECK(number({3}, {.type = Type::uint16, .scale = 0.1}) == 0.3);  // 3 * 0.1 is 0.30000000000000004
  CHECK(number({251}, {.type = Type::int16, .scale = 0.1, .offset = -40}) == -14.9);
  CHECK(number({0xFF9B}, {.type = Type::int16, .scale = 0.1}) == -10.1);
  CHECK(number({1500}, {.type = Type::uint16, .scale = -0.001, .offset = 4.2}) == 2.7);  // radar: height minus distance
  CHECK(number(big_endian(std::bit_cast<std::uint32_t>(2.31F), 2), {.type = Type::float32}) == 2.31);
  CHECK_FALSE(std::signbit(number({0x8000, 0}, {.type = Type::float32})));  // no "-0.0"
}

TEST_CASE("a raw value that means none gives no value") {
  CHECK(why({0xFFFF}, {.type = Type::uint16, .invalid = {65535}}) == "invalid-raw");
  CHECK(why({0xFFFF}, {.type = Type::int16, .invalid = {65535}}) == "invalid-raw");
  CHECK(why({0xFFFF}, {.type = Type::int16, .invalid = {-1}}) == "invalid-raw");
  CHECK(why({0x7FFF}, {.type = Type::int16, .scale = 0.1, .invalid = {1, 32767}}) == "invalid-raw");
  CHECK(why({0xFFFF, 0xFFFF}, {.type = Type::int32, .invalid = {4294967295.0}}) == "invalid-raw");
  CHECK(why(big_endian(std::bit_cast<std::uint32_t>(-9999.0F), 2), {.type = Type::float32, .invalid = {-9999}}) ==
        "invalid-raw");
  CHECK(why({0xFFFF}, {.type = Type::bit, .bit = 3, .invalid = {65535}}) == "invalid-raw");
  CHECK(number({0xFFFE}, {.type = Type::uint16, .invalid = {65535}}) == 65534);
}

TEST_CASE("NaN and infinities are no values") {
  CHECK(why({0x7FC0, 0x0000}, {.type = Type::float32}) == "not-a-number");
  CHECK(why({0x7F80, 0x0000}, {.type = Type::float32}) == "not-a-number");
  CHECK(why({0xFF80, 0x0000}, {.type = Type::float32}) == "not-a-number");
  const auto nan = std::bit_cast<std::uint64_t>(std::numeric_limits<double>::quiet_NaN());
  CHECK(why(big_endian(nan, 4), {.type = Type::float64}) == "not-a-number");
  const auto huge = std::bit_cast<std::uint64_t>(1e300);
  CHECK(why(big_endian(huge, 4), {.type = Type::float64, .scale = 1e300}) == "not-a-number");
}

TEST_CASE("flags and bits are booleans") {
  CHECK(std::get<bool>(*decode(Words{1}, {.type = Type::flag})));
  CHECK_FALSE(std::get<bool>(*decode(Words{0}, {.type = Type::flag})));
  CHECK(std::get<bool>(*decode(Words{0x0008}, {.type = Type::bit, .bit = 3})));
  CHECK_FALSE(std::get<bool>(*decode(Words{0xFFF7}, {.type = Type::bit, .bit = 3})));
  CHECK(std::get<bool>(*decode(Words{0x8000}, {.type = Type::bit, .bit = 15})));
  CHECK(std::get<bool>(*decode(Words{0x0080}, {.type = Type::bit, .order = Order::badc, .bit = 15})));
}

TEST_CASE("several bits of a register are a number") {
  CHECK(number({0x1234}, {.type = Type::bits, .bit = 4, .bits = 8}) == 0x23);
  CHECK(number({0xFFFF}, {.type = Type::bits, .bit = 0, .bits = 16}) == 65535);
}

TEST_CASE("64-bit integers") {
  CHECK(number({0xFFFF, 0xFFFF, 0xFFFF, 0xFFFE}, {.type = Type::int64}) == -2);
  CHECK(number({0, 1, 0, 0}, {.type = Type::uint64}) == 4294967296.0);
}

TEST_CASE("negative values that a maker writes from some number on") {
  const Decoding how{.type = Type::uint16, .scale = 0.1, .negative_from = 10000};
  CHECK(number({10250}, how) == -25.0);
  CHECK(number({250}, how) == 25.0);
}

TEST_CASE("text is cut at its end and must be text") {
  const Decoding how{.type = Type::text, .length = 3};
  CHECK(std::get<std::string>(*decode(Words{0x4142, 0x4320, 0x2000}, how)) == "ABC");
  CHECK(std::get<std::string>(*decode(Words{0, 0, 0}, how)).empty());
  CHECK(std::get<std::string>(*decode(Words{0x4241, 0x0043, 0}, {.type = Type::text, .order = Order::badc, .length = 3})) ==
        "ABC");
  CHECK(why({0x41C3, 0x2000, 0x0000}, how) == "not-text");
  CHECK(why({0x410A, 0x4200, 0x0000}, how) == "not-text");
}

TEST_CASE("what is written is what would be read") {
  for (const auto order : {Order::abcd, Order::cdab, Order::badc, Order::dcba}) {
    for (const auto type : {Type::int16, Type::uint16, Type::int32, Type::uint32, Type::int64, Type::uint64,
                            Type::float32, Type::float64}) {
      if (order == Order::cdab && (type == Type::int16 || type == Type::uint16)) continue;
      const Decoding how{.type = type, .order = order, .scale = 0.5, .offset = 1};
      const auto words = encode_value(Value{101.0}, how);
      REQUIRE(words);
      CHECK(number(*words, how) == 101.0);
    }
  }
  CHECK(encode_value(Value{true}, {.type = Type::flag}) == Words{1});
  CHECK_FALSE(encode_value(Value{70000.0}, {.type = Type::uint16}));
  CHECK_FALSE(encode_value(Value{-1.0}, {.type = Type::uint16}));
  CHECK_FALSE(encode_value(Value{std::string{"on"}}, {.type = Type::uint16}));
}
