#include <doctest/doctest.h>

#include "drivers/modbus/frame.hpp"

using namespace hamlet::drivers::modbus;

namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr std::uint16_t kTransaction = 0x1234;
constexpr std::uint8_t kUnit = 7;

Request two_registers() {
  return {Function::holding, 0, 2, {0}};
}
// 65.2 and -10.1 in tenths.
Bytes good_answer() {
  return {0x12, 0x34, 0, 0, 0, 7, kUnit, 3, 4, 0x02, 0x8C, 0xFF, 0x9B};
}

void check_refused(const Bytes& frame, std::string_view part) {
  const auto words = decode_answer(kTransaction, kUnit, two_registers(), frame);
  REQUIRE_FALSE(words);
  CHECK(words.error().why == "bad-answer");
  CHECK_FALSE(words.error().exception);
  CHECK(words.error().message.find(part) != std::string::npos);
}

}  // namespace

TEST_CASE("a request has header, function, address and count") {
  const Request request{Function::input, 0x0102, 125, {}};
  const auto frame = encode_request(kTransaction, kUnit, request);
  CHECK(Bytes(frame.begin(), frame.end()) == Bytes{0x12, 0x34, 0, 0, 0, 6, kUnit, 4, 0x01, 0x02, 0, 125});
}

TEST_CASE("a good answer gives its registers") {
  const auto words = decode_answer(kTransaction, kUnit, two_registers(), good_answer());
  REQUIRE(words);
  CHECK(*words == std::vector<std::uint16_t>{0x028C, 0xFF9B});
}

TEST_CASE("bits are unpacked, the lowest first") {
  const Request ten{Function::coil, 0, 10, {}};
  const auto words = decode_answer(kTransaction, kUnit, ten, Bytes{0x12, 0x34, 0, 0, 0, 5, kUnit, 1, 2, 0x05, 0x02});
  REQUIRE(words);
  CHECK(*words == std::vector<std::uint16_t>{1, 0, 1, 0, 0, 0, 0, 0, 0, 1});
}

TEST_CASE("an exception is told with its code") {
  const auto words = decode_answer(kTransaction, kUnit, two_registers(), Bytes{0x12, 0x34, 0, 0, 0, 3, kUnit, 0x83, 2});
  REQUIRE_FALSE(words);
  CHECK(words.error().exception == 2);
  CHECK(words.error().why == "illegal-address");
  CHECK(words.error().message ==
        "the device answered with exception 02 (illegal-address) to function 3, addresses 0 to 1 (from 0)");
}

TEST_CASE("an answer that does not fit the request is never taken for a value") {
  auto frame = good_answer();
  SUBCASE("of another transaction: late") {
    frame[1] = 0x33;
    check_refused(frame, "transaction");
  }
  SUBCASE("of another protocol, in either byte") {
    frame[3] = 1;
    check_refused(frame, "protocol");
    frame[3] = 0;
    frame[2] = 1;
    check_refused(frame, "protocol");
  }
  SUBCASE("with a length field of 0, 1, one too many, or over 254") {
    for (const int length : {0, 1, 8, 255}) {
      frame[5] = static_cast<std::uint8_t>(length);
      check_refused(frame, "length");
    }
    frame[4] = 1;
    frame[5] = 7;
    check_refused(frame, "length");
  }
  SUBCASE("of another unit") {
    frame[6] = 8;
    check_refused(frame, "unit 8");
  }
  SUBCASE("of another function, or an exception to one") {
    frame[7] = 4;
    check_refused(frame, "function 4");
    check_refused({0x12, 0x34, 0, 0, 0, 3, kUnit, 0x84, 2}, "function 132");
  }
  SUBCASE("with a byte count that lies") {
    frame[8] = 2;
    check_refused(frame, "number of values");
  }
  SUBCASE("cut short or too long") {
    check_refused({0x12, 0x34, 0, 0, 0, 2, kUnit, 3}, "8 bytes");
    check_refused({0x12, 0x34, 0, 0, 0, 6, kUnit, 3, 4, 0x02, 0x8C, 0xFF}, "number of values");
    check_refused({0x12, 0x34, 0, 0, 0, 8, kUnit, 3, 4, 0x02, 0x8C, 0xFF, 0x9B, 0}, "number of values");
  }
  SUBCASE("the request itself, echoed") {
    const auto echo = encode_request(kTransaction, kUnit, two_registers());
    check_refused({echo.begin(), echo.end()}, "number of values");
  }
}

TEST_CASE("a device asked as unit 0 or 255 may name itself as it likes") {
  auto frame = good_answer();
  frame[6] = 1;
  CHECK(decode_answer(kTransaction, 0, two_registers(), frame));
  CHECK(decode_answer(kTransaction, 255, two_registers(), frame));
}
